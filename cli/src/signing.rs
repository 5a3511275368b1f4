//! Keys generated for one run, to sign the tokens of policy tests.

use std::cell::OnceCell;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use okta_proxy_wasm::jose::Algorithm;
use p256::ecdsa::signature::Signer as _;
use serde_json::{Value, json};
use superboring::hash::MessageDigest;
use superboring::pkey::{PKey, Private};
use superboring::rsa::{Padding, Rsa};
use superboring::sign::{RsaPssSaltlen, Signer};

use crate::failure::Failure;

/// One key of each type, generated on first use.
#[derive(Default)]
pub struct RunKeys {
    rsa: OnceCell<Rsa<Private>>,
    p256: OnceCell<p256::ecdsa::SigningKey>,
    p384: OnceCell<p384::ecdsa::SigningKey>,
    p521: OnceCell<p521::ecdsa::SigningKey>,
    ed25519: OnceCell<ed25519_compact::KeyPair>,
}

fn key_error(_: impl std::fmt::Debug) -> Failure {
    Failure(String::from("no key to sign with could be made"))
}

/// Tries random bytes until they are a valid key; for curves the first attempt almost always succeeds.
fn from_random<T, const N: usize>(make: impl Fn(&[u8]) -> Option<T>) -> Result<T, Failure> {
    for _ in 0..1000 {
        let mut bytes = [0; N];
        getrandom::fill(&mut bytes).map_err(key_error)?;
        if let Some(key) = make(&bytes) {
            return Ok(key);
        }
    }
    Err(key_error(()))
}

fn get_or_make<T>(cell: &OnceCell<T>, make: impl FnOnce() -> Result<T, Failure>) -> Result<&T, Failure> {
    if cell.get().is_none() {
        let made = make()?;
        return Ok(cell.get_or_init(|| made));
    }
    cell.get().ok_or_else(|| key_error(()))
}

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl RunKeys {
    fn rsa(&self) -> Result<&Rsa<Private>, Failure> {
        get_or_make(&self.rsa, || Rsa::generate(2048).map_err(key_error))
    }

    fn p256(&self) -> Result<&p256::ecdsa::SigningKey, Failure> {
        get_or_make(&self.p256, || from_random::<_, 32>(|bytes| p256::ecdsa::SigningKey::from_slice(bytes).ok()))
    }

    fn p384(&self) -> Result<&p384::ecdsa::SigningKey, Failure> {
        get_or_make(&self.p384, || from_random::<_, 48>(|bytes| p384::ecdsa::SigningKey::from_slice(bytes).ok()))
    }

    fn p521(&self) -> Result<&p521::ecdsa::SigningKey, Failure> {
        get_or_make(&self.p521, || {
            from_random::<_, 66>(|bytes| {
                // The key has 521 of the 528 bits.
                let (first, rest) = bytes.split_first()?;
                let bytes = [&[first & 1], rest].concat();
                p521::ecdsa::SigningKey::from_slice(&bytes).ok()
            })
        })
    }

    fn ed25519(&self) -> Result<&ed25519_compact::KeyPair, Failure> {
        get_or_make(&self.ed25519, || {
            from_random::<_, 32>(|bytes| {
                let seed = ed25519_compact::Seed::from_slice(bytes).ok()?;
                Some(ed25519_compact::KeyPair::from_seed(seed))
            })
        })
    }

    /// The key set of an issuer with these algorithms. Issuers with different keys have a different `kid`.
    pub fn key_set(&self, algorithms: &[Algorithm], key_id: &str) -> Result<Value, Failure> {
        let keys: Result<Vec<Value>, Failure> =
            algorithms.iter().map(|algorithm| self.jwk(*algorithm, key_id)).collect();
        let mut keys = keys?;
        keys.dedup();
        Ok(json!({ "keys": keys }))
    }

    fn jwk(&self, algorithm: Algorithm, key_id: &str) -> Result<Value, Failure> {
        let point = |curve: &str, point: &[u8]| {
            let (x, y) = point.split_at(point.len() / 2);
            json!({ "kty": "EC", "kid": key_id, "crv": curve, "x": encoded(x), "y": encoded(y) })
        };
        // SEC 1 starts an uncompressed point with a tag byte.
        let coordinates = |sec1: &[u8]| sec1.get(1..).unwrap_or_default().to_vec();
        Ok(match algorithm {
            Algorithm::Rs256
            | Algorithm::Rs384
            | Algorithm::Rs512
            | Algorithm::Ps256
            | Algorithm::Ps384
            | Algorithm::Ps512 => {
                let key = self.rsa()?;
                json!({ "kty": "RSA", "kid": key_id, "n": encoded(key.n().to_vec()), "e": encoded(key.e().to_vec()) })
            }
            Algorithm::Es256 => {
                point("P-256", &coordinates(self.p256()?.verifying_key().to_sec1_point(false).as_bytes()))
            }
            Algorithm::Es384 => {
                point("P-384", &coordinates(self.p384()?.verifying_key().to_sec1_point(false).as_bytes()))
            }
            Algorithm::Es512 => {
                point("P-521", &coordinates(self.p521()?.verifying_key().to_sec1_point(false).as_bytes()))
            }
            Algorithm::EdDsa => {
                json!({ "kty": "OKP", "kid": key_id, "crv": "Ed25519", "x": encoded(*self.ed25519()?.pk) })
            }
        })
    }

    /// Signs a token with these claims.
    pub fn token(&self, algorithm: Algorithm, key_id: &str, claims: &Value) -> Result<String, Failure> {
        let header = json!({ "alg": algorithm.name(), "kid": key_id, "typ": "at+jwt" });
        let input = format!("{}.{}", encoded(header.to_string()), encoded(claims.to_string()));
        let signature = self.signature(algorithm, input.as_bytes())?;
        Ok(format!("{input}.{}", encoded(signature)))
    }

    fn signature(&self, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, Failure> {
        let (digest, is_pss) = match algorithm {
            Algorithm::Rs256 => (MessageDigest::sha256(), false),
            Algorithm::Rs384 => (MessageDigest::sha384(), false),
            Algorithm::Rs512 => (MessageDigest::sha512(), false),
            Algorithm::Ps256 => (MessageDigest::sha256(), true),
            Algorithm::Ps384 => (MessageDigest::sha384(), true),
            Algorithm::Ps512 => (MessageDigest::sha512(), true),
            Algorithm::Es256 => {
                let signature: p256::ecdsa::Signature = self.p256()?.sign(message);
                return Ok(signature.to_bytes().to_vec());
            }
            Algorithm::Es384 => {
                let signature: p384::ecdsa::Signature = self.p384()?.sign(message);
                return Ok(signature.to_bytes().to_vec());
            }
            Algorithm::Es512 => {
                let signature: p521::ecdsa::Signature = self.p521()?.sign(message);
                return Ok(signature.to_bytes().to_vec());
            }
            Algorithm::EdDsa => return Ok(self.ed25519()?.sk.sign(message, None).to_vec()),
        };
        let pair = PKey::from_rsa(self.rsa()?.clone()).map_err(key_error)?;
        let mut signer = Signer::new(digest, &pair).map_err(key_error)?;
        signer.set_rsa_padding(if is_pss { Padding::PKCS1_PSS } else { Padding::PKCS1 }).map_err(key_error)?;
        if is_pss {
            signer.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH).map_err(key_error)?;
        }
        signer.sign_oneshot_to_vec(message).map_err(key_error)
    }
}

/// A private key for a configuration that requires one and signs nothing.
pub fn unused_private_key() -> Result<String, Failure> {
    let keys = RunKeys::default();
    let mut jwk = keys.jwk(Algorithm::Es256, "unused")?;
    if let Some(members) = jwk.as_object_mut() {
        members.insert(String::from("d"), json!(encoded(keys.p256()?.to_bytes())));
    }
    Ok(jwk.to_string())
}
