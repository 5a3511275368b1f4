//! The keys of `tests/data/keys/` for unit tests: their public JWKs, signatures and tokens made with them.
//!
//! Anything at all can be signed here, also what no sound issuer would sign. What a *sound* issuer
//! signs, the tests of `verify` let another library (jwt-simple) sign.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jwt_simple::prelude::{ES256KeyPair, ES384KeyPair, Ed25519KeyPair, RS256KeyPair};
use num_bigint::BigUint;
use p256::ecdsa::signature::Signer as _;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::{Algorithm, KeySet, PortableVerifier, UnverifiedToken, VerifiedToken};
pub(crate) use crate::encoding::base64url;

/// One of the fixed key pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TestKey {
    RsaA,
    RsaB,
    P256,
    P384,
    P521,
    Ed25519,
}

static RSA_A: LazyLock<Value> = LazyLock::new(|| jwk(&RS256KeyPair::from_pem(TestKey::RsaA.pem()).unwrap().to_jwk()));
static RSA_B: LazyLock<Value> = LazyLock::new(|| jwk(&RS256KeyPair::from_pem(TestKey::RsaB.pem()).unwrap().to_jwk()));
static P256: LazyLock<Value> = LazyLock::new(|| jwk(&ES256KeyPair::from_pem(TestKey::P256.pem()).unwrap().to_jwk()));
static P384: LazyLock<Value> = LazyLock::new(|| jwk(&ES384KeyPair::from_pem(TestKey::P384.pem()).unwrap().to_jwk()));
static P521: LazyLock<Value> = LazyLock::new(p521_jwk);
static ED25519: LazyLock<Value> =
    LazyLock::new(|| jwk(&Ed25519KeyPair::from_pem(TestKey::Ed25519.pem()).unwrap().to_jwk()));

fn jwk(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// jwt-simple does not know this curve. OpenSSL's PKCS#8 holds `d` in an OCTET STRING, the 66 bytes before
/// the tagged BIT STRING of `x` and `y`, which are the last.
fn p521_jwk() -> Value {
    let text: String = TestKey::P521.pem().lines().filter(|line| !line.starts_with("-----")).collect();
    let der = STANDARD.decode(text).unwrap();
    let (rest, point) = der.split_at(der.len() - 132);
    let (rest, heads) = rest.split_at(rest.len() - 8);
    assert_eq!(heads, b"\xa1\x81\x89\x03\x81\x86\x00\x04");
    let (x, y) = point.split_at(66);
    json!({"kty": "EC", "crv": "P-521", "d": base64url(&rest[rest.len() - 66..]), "x": base64url(x), "y": base64url(y)})
}

impl TestKey {
    /// The private key, PKCS#8.
    pub(crate) const fn pem(self) -> &'static str {
        match self {
            Self::RsaA => include_str!("../../tests/data/keys/rsa-2048-a.pem"),
            Self::RsaB => include_str!("../../tests/data/keys/rsa-2048-b.pem"),
            Self::P256 => include_str!("../../tests/data/keys/ec-p256.pem"),
            Self::P384 => include_str!("../../tests/data/keys/ec-p384.pem"),
            Self::P521 => include_str!("../../tests/data/keys/ec-p521.pem"),
            Self::Ed25519 => include_str!("../../tests/data/keys/ed25519.pem"),
        }
    }

    fn private_jwk(self) -> &'static Value {
        match self {
            Self::RsaA => &RSA_A,
            Self::RsaB => &RSA_B,
            Self::P256 => &P256,
            Self::P384 => &P384,
            Self::P521 => &P521,
            Self::Ed25519 => &ED25519,
        }
    }

    /// The bytes of one member of the private JWK.
    pub(crate) fn octets(self, member: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(self.private_jwk()[member].as_str().unwrap()).unwrap()
    }

    /// Whether the private JWK has such a member.
    pub(crate) fn has(self, member: &str) -> bool {
        self.private_jwk().get(member).is_some()
    }

    /// The public JWK with neither `kid` nor `alg` nor `use`.
    pub(crate) fn public_jwk(self) -> Value {
        let members = self.private_jwk().as_object().unwrap().iter();
        let public: Map<String, Value> = members
            .filter(|(name, _)| ["kty", "crv", "n", "e", "x", "y"].contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        public.into()
    }

    /// The key set that holds this key alone.
    pub(crate) fn key_set(self) -> KeySet {
        KeySet::parse(json!({"keys": [self.public_jwk()]}).to_string().as_bytes()).unwrap()
    }

    /// `number^d mod n` for an RSA key: the signature of an encoded message, well-formed or not.
    pub(crate) fn private_operation(self, encoded: &[u8]) -> Vec<u8> {
        let [n, d] = ["n", "d"].map(|name| BigUint::from_bytes_be(&self.octets(name)));
        let number = BigUint::from_bytes_be(encoded);
        assert!(number < n, "an encoding that is not smaller than the modulus cannot be signed");
        let signature = number.modpow(&d, &n).to_bytes_be();
        let length = self.octets("n").len();
        [vec![0; length - signature.len()], signature].concat()
    }

    /// The signature over `message` with the key's plainest algorithm: RS256, ES256, ES384, ES512, EdDSA.
    pub(crate) fn sign(self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::RsaA | Self::RsaB => {
                let digest_info = b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20";
                let digest = Sha256::digest(message);
                let padding = vec![0xff; self.octets("n").len() - 3 - digest_info.len() - digest.len()];
                self.private_operation(&[&[0, 1], &padding[..], &[0], digest_info, &digest].concat())
            }
            Self::P256 => {
                let signature: p256::ecdsa::Signature =
                    p256::ecdsa::SigningKey::from_slice(&self.octets("d")).unwrap().sign(message);
                signature.to_bytes().to_vec()
            }
            Self::P384 => {
                let signature: p384::ecdsa::Signature =
                    p384::ecdsa::SigningKey::from_slice(&self.octets("d")).unwrap().sign(message);
                signature.to_bytes().to_vec()
            }
            Self::P521 => {
                let signature: p521::ecdsa::Signature =
                    p521::ecdsa::SigningKey::from_slice(&self.octets("d")).unwrap().sign(message);
                signature.to_bytes().to_vec()
            }
            Self::Ed25519 => {
                let seed = ed25519_compact::Seed::from_slice(&self.octets("d")).unwrap();
                ed25519_compact::KeyPair::from_seed(seed).sk.sign(message, None).to_vec()
            }
        }
    }

    /// The algorithm that [`TestKey::sign`] signs with.
    pub(crate) const fn algorithm(self) -> Algorithm {
        match self {
            Self::RsaA | Self::RsaB => Algorithm::Rs256,
            Self::P256 => Algorithm::Es256,
            Self::P384 => Algorithm::Es384,
            Self::P521 => Algorithm::Es512,
            Self::Ed25519 => Algorithm::EdDsa,
        }
    }

    /// A signed token; `header` as given, with nothing added.
    pub(crate) fn token(self, header: &Value, claims: &Value) -> String {
        let signing_input = format!("{}.{}", base64url(header.to_string()), base64url(claims.to_string()));
        format!("{signing_input}.{}", base64url(self.sign(signing_input.as_bytes())))
    }
}

/// Claims with a good signature, under a header with that `typ`; made with the P-256 key, whose
/// signatures are quick.
pub(crate) fn verified(claims: &Value, typ: Option<&str>) -> VerifiedToken {
    let mut header = json!({"alg": "ES256"});
    if let Some(typ) = typ {
        header["typ"] = typ.into();
    }
    let keys = TestKey::P256.key_set();
    let token = UnverifiedToken::parse(TestKey::P256.token(&header, claims).as_bytes()).unwrap();
    token.verify(&keys.candidates(None, Algorithm::Es256), &PortableVerifier).unwrap()
}

/// The JSON in a part of a token.
pub(crate) fn decoded(part: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}
