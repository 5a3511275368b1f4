//! The keys of the benchmark: fast signing, and their key set.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256};
use ring::signature::{RsaEncoding, RsaKeyPair};
use serde_json::{Value, json};

/// What tokens are signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// RS256 with 2,048 bits: what nearly every issuer does.
    Rs256,
    /// RS256 with 4,096 bits.
    Rs256Of4096,
    /// ES256.
    Es256,
    /// PS256 with 2,048 bits.
    Ps256,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Rs256, Self::Rs256Of4096, Self::Es256, Self::Ps256];

    /// As it stands in names of files and workloads.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "rs256",
            Self::Rs256Of4096 => "rs256-4096",
            Self::Es256 => "es256",
            Self::Ps256 => "ps256",
        }
    }

    /// As a reader calls it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256 2048",
            Self::Rs256Of4096 => "RS256 4096",
            Self::Es256 => "ES256",
            Self::Ps256 => "PS256 2048",
        }
    }

    fn algorithm(self) -> &'static str {
        match self {
            Self::Rs256 | Self::Rs256Of4096 => "RS256",
            Self::Es256 => "ES256",
            Self::Ps256 => "PS256",
        }
    }
}

/// A key pair and the name it is published under.
pub struct SigningKey {
    kind: Kind,
    key_id: String,
    pair: Pair,
    random: SystemRandom,
}

enum Pair {
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
    Ecdsa(EcdsaKeyPair),
}

impl SigningKey {
    /// One of the project's test keys.
    pub fn of(kind: Kind) -> Self {
        let random = SystemRandom::new();
        let rsa = |pem, encoding| Pair::Rsa(RsaKeyPair::from_pkcs8(&der(pem)).expect("an RSA key in PKCS#8"), encoding);
        let pair = match kind {
            Kind::Rs256 => rsa(include_str!("../../../../data/keys/rsa-2048-a.pem"), &RSA_PKCS1_SHA256),
            Kind::Rs256Of4096 => rsa(include_str!("../../../../data/keys/rsa-4096.pem"), &RSA_PKCS1_SHA256),
            Kind::Ps256 => rsa(include_str!("../../../../data/keys/rsa-2048-b.pem"), &RSA_PSS_SHA256),
            Kind::Es256 => {
                let der = der(include_str!("../../../../data/keys/ec-p256.pem"));
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der, &random);
                Pair::Ecdsa(pair.expect("a P-256 key in PKCS#8"))
            }
        };
        let key_id = URL_SAFE_NO_PAD.encode(digest(&SHA256, pair.public_key()));
        Self { kind, key_id, pair, random }
    }

    /// What it signs.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its public half.
    pub fn jwk(&self) -> Value {
        let mut jwk = match &self.pair {
            Pair::Rsa(pair, _) => {
                let public: PublicKeyComponents<Vec<u8>> = pair.public().into();
                json!({"kty": "RSA", "n": URL_SAFE_NO_PAD.encode(public.n), "e": URL_SAFE_NO_PAD.encode(public.e)})
            }
            Pair::Ecdsa(pair) => {
                // After the 4 that says "uncompressed": x and y.
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y)})
            }
        };
        jwk["use"] = json!("sig");
        jwk["alg"] = json!(self.kind.algorithm());
        jwk["kid"] = json!(self.key_id);
        jwk
    }

    /// The header and these claims, as they are signed. The header names the key by its fingerprint.
    pub fn signing_input(&self, claims: &Value) -> String {
        let header = json!({"alg": self.kind.algorithm(), "kid": self.key_id});
        format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()))
    }

    /// A token of these claims.
    pub fn token(&self, claims: &Value) -> String {
        let signing_input = self.signing_input(claims);
        let signature = match &self.pair {
            Pair::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(*encoding, &self.random, signing_input.as_bytes(), &mut signature).expect("it signs");
                signature
            }
            Pair::Ecdsa(pair) => pair.sign(&self.random, signing_input.as_bytes()).expect("it signs").as_ref().to_vec(),
        };
        format!("{signing_input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

impl Pair {
    fn public_key(&self) -> &[u8] {
        match self {
            Self::Rsa(pair, _) => pair.public_key().as_ref(),
            Self::Ecdsa(pair) => pair.public_key().as_ref(),
        }
    }
}

fn der(pem: &str) -> Vec<u8> {
    let lines = pem.lines().filter(|line| !line.starts_with('-'));
    STANDARD.decode(lines.collect::<String>()).expect("base64 between the lines of dashes")
}

#[cfg(test)]
mod tests {
    use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    use super::*;

    #[test]
    fn a_token_verifies_with_the_key_that_is_published() {
        let key = SigningKey::of(Kind::Es256);
        let token = key.token(&json!({"sub": "alice"}));
        let (signing_input, signature) = token.rsplit_once('.').unwrap();
        let part = |name: &str| URL_SAFE_NO_PAD.decode(key.jwk()[name].as_str().unwrap()).unwrap();
        let public_key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, [vec![4], part("x"), part("y")].concat());
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        assert!(public_key.verify(signing_input.as_bytes(), &signature).is_ok());
        assert!(public_key.verify(b"something else", &signature).is_err());
    }

    #[test]
    fn every_kind_has_a_key_of_its_own_and_signs_with_it() {
        let keys = Kind::ALL.map(SigningKey::of);
        for key in &keys {
            let jwk = key.jwk();
            assert_eq!(keys.iter().filter(|other| other.jwk()["kid"] == jwk["kid"]).count(), 1);
            let header = key.token(&json!({})).split('.').next().map(|part| URL_SAFE_NO_PAD.decode(part).unwrap());
            let header: Value = serde_json::from_slice(&header.unwrap()).unwrap();
            assert_eq!((&header["alg"], &header["kid"]), (&jwk["alg"], &jwk["kid"]));
        }
    }
}
