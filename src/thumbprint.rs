//! SHA-256 thumbprints of certificates (RFC 8705 section 3.1) and of keys (RFC 7638).

use std::fmt;

use crate::encoding::{base64url, base64url_decoded};

/// A SHA-256 digest of a certificate in DER, or of the required members of a JWK.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Thumbprint([u8; 32]);

impl Thumbprint {
    pub const fn new(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// Parses base64url without padding (RFC 7515 appendix C), in its only spelling.
    pub fn parse(text: &str) -> Option<Self> {
        let digest: [u8; 32] = base64url_decoded(text)?.try_into().ok()?;
        (base64url(digest) == text).then_some(Self(digest))
    }

    /// Parses 64 hexadecimal digits, as hosts write a digest.
    pub fn of_hex(text: &[u8]) -> Option<Self> {
        let mut digest = [0_u8; 32];
        let (pairs, []) = text.as_chunks::<2>() else { return None };
        if pairs.len() != digest.len() {
            return None;
        }
        for (byte, [high, low]) in digest.iter_mut().zip(pairs) {
            let digit = |digit: &u8| char::from(*digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
            *byte = digit(high)? << 4 | digit(low)?;
        }
        Some(Self(digest))
    }

    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Thumbprint {
    /// As tokens write it: base64url without padding.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&base64url(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SHA-256 of nothing, in both spellings.
    const HEX: &[u8] = b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const BASE64URL: &str = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";

    #[test]
    fn both_spellings_are_one_thumbprint_and_are_written_as_in_tokens() {
        let thumbprint = Thumbprint::parse(BASE64URL).unwrap();
        assert_eq!(Thumbprint::of_hex(HEX), Some(thumbprint));
        assert_eq!(Thumbprint::of_hex(&HEX.to_ascii_uppercase()), Some(thumbprint));
        assert_eq!(thumbprint.to_string(), BASE64URL);
    }

    #[test]
    fn hexadecimal_digits_of_another_length_are_none() {
        for malformed in [&HEX[1..], &HEX[2..], b"", b"zz", &[HEX, b"0"].concat(), &[HEX, b"00"].concat()] {
            assert_eq!(Thumbprint::of_hex(malformed), None, "{malformed:?}");
        }
    }
}
