//! The closed list of signature algorithms (RFC 7518 section 3.1, RFC 8037, RFC 9864).
//!
//! `none` and the `HS*` family have no representation, so neither a token nor the configuration can select them.

use std::fmt;

/// A signature algorithm that is accepted in a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// ECDSA on P-521 with SHA-512.
    Es512,
    /// `EdDSA` with the curve Ed25519, or `Ed25519`.
    EdDsa,
}

impl Algorithm {
    pub const ALL: [Self; 10] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::Es512,
        Self::EdDsa,
    ];

    /// An alias of an algorithm. RFC 9864 specifies it fully and deprecates `EdDSA` (section 2.2). The other names of
    /// RFC 9864 are `Ed448`, which is not supported, and names of COSE.
    const ALIAS: (&str, Self) = ("Ed25519", Self::EdDsa);

    /// Every name that [`Self::parse`] accepts.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Self::ALL.into_iter().map(Self::name).chain([Self::ALIAS.0])
    }

    /// The algorithm with this registered name. The comparison is case-sensitive (RFC 7515 section 4.1.1).
    pub fn parse(name: &str) -> Option<Self> {
        let (alias, algorithm) = Self::ALIAS;
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
            .or_else(|| (name == alias).then_some(algorithm))
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::EdDsa => "EdDSA",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_case_sensitive_and_symmetric_algorithms_are_rejected() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::parse(algorithm.name()), Some(algorithm));
        }
        assert_eq!(Algorithm::parse("Ed25519"), Some(Algorithm::EdDsa));
        for name in ["ed25519", "ED25519", "Ed25519 ", "Ed448", "X25519", "ESP256", "ESP384", "ESP512", "ESB256"] {
            assert_eq!(Algorithm::parse(name), None, "{name:?}");
        }
        for name in ["none", "None", "HS256", "hs256", "rs256", "RS256 ", "RS1", "ES256K", ""] {
            assert_eq!(Algorithm::parse(name), None, "{name:?}");
        }
    }
}
