//! Makes what no sound issuer would: signatures of every algorithm over any bytes, HMACs under public keys, raw RSA
//! encodings, second encodings of ECDSA signatures. Uses the fixed keys under `tests/data/keys`.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that cannot sign has failed")]

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_simple::prelude::{ES256KeyPair, ES384KeyPair, Ed25519KeyPair};
use num_bigint::BigUint;
use p256::ecdsa::signature::Signer as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use superboring::hash::MessageDigest;
use superboring::hmac::Hmac;
use superboring::pkey::{PKey, Private};
use superboring::rsa::{Padding, Rsa};
use superboring::sign::{RsaPssSaltlen, Signer};

/// One of the fixed key pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forge {
    RsaA,
    RsaB,
    P256,
    P384,
    Ed25519,
}

const RSA_A_PEM: &[u8] = include_bytes!("../data/keys/rsa-2048-a.pem");
const RSA_B_PEM: &[u8] = include_bytes!("../data/keys/rsa-2048-b.pem");

static RSA_A: LazyLock<Rsa<Private>> = LazyLock::new(|| Rsa::private_key_from_pem(RSA_A_PEM).unwrap());
static RSA_B: LazyLock<Rsa<Private>> = LazyLock::new(|| Rsa::private_key_from_pem(RSA_B_PEM).unwrap());
static P256_JWK: LazyLock<Value> =
    LazyLock::new(|| parsed(&ES256KeyPair::from_pem(include_str!("../data/keys/ec-p256.pem")).unwrap().to_jwk()));
static P384_JWK: LazyLock<Value> =
    LazyLock::new(|| parsed(&ES384KeyPair::from_pem(include_str!("../data/keys/ec-p384.pem")).unwrap().to_jwk()));
static ED25519_JWK: LazyLock<Value> =
    LazyLock::new(|| parsed(&Ed25519KeyPair::from_pem(include_str!("../data/keys/ed25519.pem")).unwrap().to_jwk()));

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

impl Forge {
    pub fn rsa(self) -> &'static Rsa<Private> {
        match self {
            Self::RsaA => &RSA_A,
            Self::RsaB => &RSA_B,
            Self::P256 | Self::P384 | Self::Ed25519 => panic!("{self:?} is no RSA key"),
        }
    }

    /// The private JWK of a key that is not RSA.
    fn curve_jwk(self) -> &'static Value {
        match self {
            Self::P256 => &P256_JWK,
            Self::P384 => &P384_JWK,
            Self::Ed25519 => &ED25519_JWK,
            Self::RsaA | Self::RsaB => panic!("{self:?} is an RSA key"),
        }
    }

    /// The private scalar or seed of a key that is not RSA.
    pub fn secret(self) -> Vec<u8> {
        unbase64url(self.curve_jwk()["d"].as_str().unwrap())
    }

    /// The public JWK under that `kid`, with neither `alg` nor `use`.
    pub fn jwk(self, kid: &str) -> Value {
        match self {
            Self::RsaA | Self::RsaB => {
                let rsa = self.rsa();
                json!({ "kty": "RSA", "kid": kid, "n": base64url(rsa.n().to_vec()), "e": base64url(rsa.e().to_vec()) })
            }
            Self::P256 | Self::P384 => {
                let jwk = self.curve_jwk();
                json!({ "kty": "EC", "kid": kid, "crv": jwk["crv"], "x": jwk["x"], "y": jwk["y"] })
            }
            Self::Ed25519 => json!({ "kty": "OKP", "kid": kid, "crv": "Ed25519", "x": self.curve_jwk()["x"] }),
        }
    }

    /// A signature of that algorithm, when this key can make one.
    pub fn sign(self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        match (self, algorithm) {
            (Self::RsaA | Self::RsaB, "RS256" | "RS384" | "RS512") => {
                self.rsa_signature(hash(algorithm), None, message)
            }
            (Self::RsaA | Self::RsaB, "PS256" | "PS384" | "PS512") => {
                self.rsa_signature(hash(algorithm), Some(RsaPssSaltlen::DIGEST_LENGTH), message)
            }
            (Self::P256, "ES256") => {
                let key = p256::ecdsa::SigningKey::from_slice(&self.secret()).unwrap();
                let signature: p256::ecdsa::Signature = key.sign(message);
                signature.to_bytes().to_vec()
            }
            (Self::P384, "ES384") => {
                let key = p384::ecdsa::SigningKey::from_slice(&self.secret()).unwrap();
                let signature: p384::ecdsa::Signature = key.sign(message);
                signature.to_bytes().to_vec()
            }
            (Self::Ed25519, "EdDSA") => {
                let seed = ed25519_compact::Seed::from_slice(&self.secret()).unwrap();
                ed25519_compact::KeyPair::from_seed(seed).sk.sign(message, None).to_vec()
            }
            (key, algorithm) => panic!("{key:?} cannot sign {algorithm}"),
        }
    }

    fn rsa_signature(self, digest: MessageDigest, pss_salt: Option<RsaPssSaltlen>, message: &[u8]) -> Vec<u8> {
        let pair = PKey::from_rsa(self.rsa().clone()).unwrap();
        let mut signer = Signer::new(digest, &pair).unwrap();
        signer.set_rsa_padding(if pss_salt.is_some() { Padding::PKCS1_PSS } else { Padding::PKCS1 }).unwrap();
        if let Some(salt) = pss_salt {
            signer.set_rsa_pss_saltlen(salt).unwrap();
        }
        signer.sign_oneshot_to_vec(message).unwrap()
    }

    /// `encoded^d mod n`: the RSA signature of any encoded message.
    pub fn private_operation(self, encoded: &[u8]) -> Vec<u8> {
        let [n, d] = [self.rsa().n(), self.rsa().d()].map(|number| BigUint::from_bytes_be(&number.to_vec()));
        fixed(&BigUint::from_bytes_be(encoded).modpow(&d, &n), 256)
    }

    /// A token that this key signs as `algorithm`, whatever its header says.
    pub fn token_of_texts(self, algorithm: &str, header: &str, payload: &str) -> String {
        let input = signing_input(header, payload);
        let signature = self.sign(algorithm, input.as_bytes());
        format!("{input}.{}", base64url(signature))
    }

    /// A token whose header names `algorithm` and `kid` and has these other members.
    pub fn token(self, algorithm: &str, kid: &str, members: Value, payload: &Value) -> String {
        let mut header = json!({ "alg": algorithm, "kid": kid });
        header.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        self.token_of_texts(algorithm, &header.to_string(), &payload.to_string())
    }
}

fn hash(algorithm: &str) -> MessageDigest {
    match &algorithm[2..] {
        "256" => MessageDigest::sha256(),
        "384" => MessageDigest::sha384(),
        _ => MessageDigest::sha512(),
    }
}

pub fn signing_input(header: &str, payload: &str) -> String {
    format!("{}.{}", base64url(header), base64url(payload))
}

pub fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub fn unbase64url(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// The number big-endian in exactly so many bytes.
pub fn fixed(number: &BigUint, length: usize) -> Vec<u8> {
    let bytes = number.to_bytes_be();
    [vec![0; length - bytes.len()], bytes].concat()
}

/// A token with the same header and payload and another signature.
pub fn with_signature(token: &str, signature: impl AsRef<[u8]>) -> String {
    format!("{}.{}", token.rsplit_once('.').unwrap().0, base64url(signature))
}

pub fn signature_of(token: &str) -> Vec<u8> {
    unbase64url(token.rsplit_once('.').unwrap().1)
}

/// A token signed with HMAC under `secret`, as one does who takes a public key for one.
pub fn hmac_token(algorithm: &str, header: &str, payload: &str, secret: &[u8]) -> String {
    let input = signing_input(header, payload);
    let mut hmac = Hmac::init(secret, &hash(algorithm)).unwrap();
    hmac.update(input.as_bytes()).unwrap();
    format!("{input}.{}", base64url(hmac.finalize().unwrap()))
}

/// The order of the group of P-256 or P-384.
pub fn order(key: Forge) -> BigUint {
    let hex: &[u8] = match key {
        Forge::P256 => b"ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
        Forge::P384 => {
            b"ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973"
        }
        Forge::RsaA | Forge::RsaB | Forge::Ed25519 => panic!("{key:?} has no such order"),
    };
    BigUint::parse_bytes(hex, 16).unwrap()
}

/// `r` and `s` of an ECDSA signature.
pub fn halves(signature: &[u8]) -> (BigUint, BigUint) {
    let (r, s) = signature.split_at(signature.len() / 2);
    (BigUint::from_bytes_be(r), BigUint::from_bytes_be(s))
}

/// `r || s`, each as long as the field.
pub fn joined(key: Forge, r: &BigUint, s: &BigUint) -> Vec<u8> {
    let length = if key == Forge::P256 { 32 } else { 48 };
    [fixed(r, length), fixed(s, length)].concat()
}

/// `(r, n - s)`: the other signature that holds as well.
pub fn twin(key: Forge, signature: &[u8]) -> Vec<u8> {
    let (r, s) = halves(signature);
    joined(key, &r, &(order(key) - s))
}

/// The same two numbers in DER.
pub fn der(signature: &[u8]) -> Vec<u8> {
    let (r, s) = halves(signature);
    let integer = |number: &BigUint| {
        let mut bytes = number.to_bytes_be();
        if bytes[0] >= 0x80 {
            bytes.insert(0, 0);
        }
        [vec![2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
    };
    let body = [integer(&r), integer(&s)].concat();
    [vec![0x30, u8::try_from(body.len()).unwrap()], body].concat()
}

/// `DigestInfo` of SHA-256 as it must be.
pub const SHA256_PREFIX: &[u8] = b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20";

/// An encoded message of 256 bytes: padding up to `0 || prefix || SHA-256(message) || trailer`.
pub fn pkcs1(first: [u8; 2], filler: u8, prefix: &[u8], message: &[u8], trailer: &[u8]) -> Vec<u8> {
    let tail = [&[0], prefix, &Sha256::digest(message)[..], trailer].concat();
    [&first[..], &vec![filler; 256 - 2 - tail.len()], &tail].concat()
}
