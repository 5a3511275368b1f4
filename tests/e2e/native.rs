//! Every algorithm in a real Envoy, verified by the host's library where it can and by the module alone:
//! both accept the same tokens.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use p256::ecdsa::signature::Signer as _;
use serde_json::{Value, json};
use superboring::hash::MessageDigest;
use superboring::pkey::PKey;
use superboring::rsa::{Padding, Rsa};
use superboring::sign::{RsaPssSaltlen, Signer};
use testbed::authorization_server::now;
use testbed::{Envoy, EnvoyBuilder, ListenerOptions, Request};

const ISSUER: &str = "https://issuer.example";
const BY_HOST: [&str; 6] = ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512"];
const BY_MODULE: [&str; 4] = ["PS256", "PS384", "PS512", "EdDSA"];

/// A key pair under `tests/data/keys`: the private half in PKCS#8.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Pair {
    name: &'static str,
    pem: &'static str,
}

const RSA: Pair = Pair { name: "rsa", pem: include_str!("../data/keys/rsa-2048-a.pem") };
const OTHER_RSA: Pair = Pair { name: "other-rsa", pem: include_str!("../data/keys/rsa-2048-b.pem") };
const P256: Pair = Pair { name: "P-256", pem: include_str!("../data/keys/ec-p256.pem") };
const P384: Pair = Pair { name: "P-384", pem: include_str!("../data/keys/ec-p384.pem") };
const P521: Pair = Pair { name: "P-521", pem: include_str!("../data/keys/ec-p521.pem") };
const ED25519: Pair = Pair { name: "Ed25519", pem: include_str!("../data/keys/ed25519.pem") };

impl Pair {
    const fn of(algorithm: &str) -> Self {
        match algorithm.as_bytes() {
            b"ES256" => P256,
            b"ES384" => P384,
            b"ES512" => P521,
            b"EdDSA" => ED25519,
            _ => RSA,
        }
    }

    fn der(self) -> Vec<u8> {
        let text: String = self.pem.lines().filter(|line| !line.starts_with("-----")).collect();
        STANDARD.decode(text).unwrap()
    }

    /// `d`, `x` and `y`: OpenSSL writes the point last, in a BIT STRING that a tag announces, and `d` before it.
    fn curve_numbers(self, length: usize) -> [Vec<u8>; 3] {
        let der = self.der();
        let point = der.len() - 2 * length;
        let heads = if length == 66 { 8 } else { 6 };
        let part = |from: usize| der[from..from + length].to_vec();
        [part(point - heads - length), part(point), part(point + length)]
    }

    fn jwk(self) -> Value {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let curve = |length: usize| {
            let [_, x, y] = self.curve_numbers(length);
            json!({"kty": "EC", "crv": self.name, "x": encode(&x), "y": encode(&y)})
        };
        let mut jwk = match self.name {
            "P-256" => curve(32),
            "P-384" => curve(48),
            "P-521" => curve(66),
            "Ed25519" => json!({"kty": "OKP", "crv": "Ed25519", "x": encode(self.ed25519().pk.as_slice())}),
            _ => {
                let pair = Rsa::private_key_from_pem(self.pem.as_bytes()).unwrap();
                json!({"kty": "RSA", "n": encode(&pair.n().to_vec()), "e": encode(&pair.e().to_vec())})
            }
        };
        jwk["kid"] = self.name.into();
        jwk
    }

    fn ed25519(self) -> ed25519_compact::KeyPair {
        let der = self.der();
        let seed = ed25519_compact::Seed::from_slice(&der[der.len() - 32..]).unwrap();
        ed25519_compact::KeyPair::from_seed(seed)
    }

    fn sign(self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        match algorithm {
            "ES256" => {
                let signature: p256::ecdsa::Signature =
                    p256::ecdsa::SigningKey::from_slice(&self.curve_numbers(32)[0]).unwrap().sign(message);
                signature.to_bytes().to_vec()
            }
            "ES384" => {
                let signature: p384::ecdsa::Signature =
                    p384::ecdsa::SigningKey::from_slice(&self.curve_numbers(48)[0]).unwrap().sign(message);
                signature.to_bytes().to_vec()
            }
            "ES512" => {
                let signature: p521::ecdsa::Signature =
                    p521::ecdsa::SigningKey::from_slice(&self.curve_numbers(66)[0]).unwrap().sign(message);
                signature.to_bytes().to_vec()
            }
            "EdDSA" => self.ed25519().sk.sign(message, None).to_vec(),
            _ => self.rsa_signature(algorithm, message),
        }
    }

    fn rsa_signature(self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let digest = match &algorithm[2..] {
            "256" => MessageDigest::sha256(),
            "384" => MessageDigest::sha384(),
            "512" => MessageDigest::sha512(),
            _ => panic!("no such algorithm"),
        };
        let pair = PKey::from_rsa(Rsa::private_key_from_pem(self.pem.as_bytes()).unwrap()).unwrap();
        let mut signer = Signer::new(digest, &pair).unwrap();
        if algorithm.starts_with("PS") {
            signer.set_rsa_padding(Padding::PKCS1_PSS).unwrap();
            signer.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH).unwrap();
        } else {
            signer.set_rsa_padding(Padding::PKCS1).unwrap();
        }
        signer.sign_oneshot_to_vec(message).unwrap()
    }
}

/// The three parts of a token.
struct Parts {
    header: String,
    payload: String,
    signature: Vec<u8>,
}

impl Parts {
    /// Says that it was signed with `algorithm` by `named`; was, by `signer`.
    fn new(algorithm: &str, named: Pair, signer: Pair, subject: &str) -> Self {
        let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = encode(json!({"alg": algorithm, "kid": named.name}));
        let payload = encode(json!({"iss": ISSUER, "aud": "api", "sub": subject, "exp": now() + 600}));
        let signature = signer.sign(algorithm, format!("{header}.{payload}").as_bytes());
        Self { header, payload, signature }
    }

    fn text(&self) -> String {
        format!("{}.{}.{}", self.header, self.payload, URL_SAFE_NO_PAD.encode(&self.signature))
    }
}

/// Tokens that must pass and tokens that must not, each with what it is.
fn tokens(algorithm: &str) -> Vec<(bool, String, String)> {
    let pair = Pair::of(algorithm);
    let good = || Parts::new(algorithm, pair, pair, "alice");
    let mut found = vec![(true, String::from("good"), good().text())];
    let mut refuse = |what: &str, parts: Parts| found.push((false, what.to_owned(), parts.text()));
    for at in [0, good().signature.len() / 2, good().signature.len() - 1] {
        let mut altered = good();
        altered.signature[at] ^= 1;
        refuse(&format!("signature altered at {at}"), altered);
    }
    refuse("another's payload", Parts { payload: Parts::new(algorithm, pair, pair, "mallory").payload, ..good() });
    refuse("no signature", Parts { signature: Vec::new(), ..good() });
    let zeros = vec![0; good().signature.len()];
    refuse("zeros", Parts { signature: zeros, ..good() });
    let mut longer = good();
    longer.signature.push(0);
    refuse("a byte too long", longer);
    if pair == RSA {
        refuse("of another key", Parts::new(algorithm, RSA, OTHER_RSA, "alice"));
    }
    for other in BY_HOST.iter().chain(&BY_MODULE).filter(|other| **other != algorithm) {
        let header = URL_SAFE_NO_PAD.encode(json!({"alg": other, "kid": pair.name}).to_string());
        refuse(&format!("under the name of {other}"), Parts { header, ..good() });
    }
    found
}

fn configuration(native_crypto: &str) -> Value {
    let keys: Vec<Value> = [RSA, P256, P384, P521, ED25519].map(Pair::jwk).to_vec();
    json!({
        "native_crypto": native_crypto,
        "providers": { "issuer": {
            "issuer": ISSUER, "audiences": ["api"], "algorithms": ([BY_HOST.as_slice(), BY_MODULE.as_slice()].concat()),
            "jwks": { "inline": { "keys": keys } },
        } },
    })
}

fn start(native_crypto: &str) -> Envoy {
    let listener =
        ListenerOptions { direct_response: true, ..ListenerOptions::filtered("api", &configuration(native_crypto)) };
    EnvoyBuilder::new().listener(listener).start()
}

fn assert_tokens_are_decided_correctly(envoy: &Envoy) {
    for algorithm in BY_HOST.iter().chain(&BY_MODULE) {
        for (passes, what, token) in tokens(algorithm) {
            let status = Request::get("/").bearer(&token).send(envoy.port("api")).status;
            assert_eq!(status, if passes { 200 } else { 401 }, "{algorithm}: {what}");
        }
    }
}

#[test]
fn envoy_verifies_supported_algorithms_and_the_module_the_others() {
    let envoy = start("auto");
    assert_tokens_are_decided_correctly(&envoy);
    let log = envoy.log();
    let said = "signatures are verified by the host (RS256, RS384, RS512, ES256, ES384, ES512) and the module (PS256, PS384, PS512, EdDSA)";
    assert!(log.contains(said), "the log does not say who verifies");
    assert!(!log.contains("the host is not trusted"), "the host failed its test");
    assert!(!log.contains("panicked"));
}

#[test]
fn with_native_crypto_off_the_module_verifies_everything_with_the_same_result() {
    let envoy = start("off");
    assert_tokens_are_decided_correctly(&envoy);
    let log = envoy.log();
    assert!(log.contains("signatures are verified by the module: native_crypto is off"));
    assert!(!log.contains("by the host"));
}
