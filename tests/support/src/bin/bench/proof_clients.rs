//! Clients whose tokens are bound to a key, and their proofs (DPoP, RFC 9449).

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use testbed::Request;

use crate::signing::SigningKey;
use crate::tokens::claims;

/// The origin of the URLs in proofs. Requests have its host, and go to a listener without TLS.
pub const ORIGIN: &str = "https://api.acme.com";
const PATH: &str = "/accounts";

/// A client with a key for ES256 of its own, and a token that is bound to it.
pub struct BoundClient {
    pair: EcdsaKeyPair,
    random: SystemRandom,
    /// The encoded header of its proofs, which has the public key.
    header: String,
    token: String,
    /// `ath` of its proofs.
    token_hash: String,
}

impl BoundClient {
    /// Makes a key, and a token of this subject that `issuer` signs.
    pub fn new(issuer: &SigningKey, subject: &str, number: usize) -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a new key");
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random);
        let pair = pair.expect("the key that was made");
        // The first byte is 4, "uncompressed".
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        let [x, y] = [x, y].map(|number| URL_SAFE_NO_PAD.encode(number));
        let jwk = json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y });
        let header = encode(&json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": jwk }));
        let thumbprint = hash(&format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#));

        let mut claims = claims(number);
        claims["sub"] = json!(subject);
        claims["cnf"] = json!({ "jkt": thumbprint });
        let token = issuer.token(&claims);
        Self { pair, random, header, token_hash: hash(&token), token }
    }

    /// A request with the token and a new proof, which is made at `now` and has this `jti`.
    pub fn request(&self, now: u64, id: &str) -> Request {
        let authorization = format!("DPoP {}", self.token);
        Request::get(PATH).header("authorization", authorization).header("dpop", self.proof(now, id))
    }

    fn proof(&self, now: u64, id: &str) -> String {
        let claims = json!({ "jti": id, "htm": "GET", "htu": format!("{ORIGIN}{PATH}"), "iat": now,
            "ath": self.token_hash });
        let signing_input = format!("{}.{}", self.header, encode(&claims));
        let signature = self.pair.sign(&self.random, signing_input.as_bytes()).expect("it signs");
        format!("{signing_input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// The time in seconds.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970").as_secs()
}

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn hash(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()))
}

#[cfg(test)]
pub mod tests {
    use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    use super::*;
    use crate::signing::Kind;

    /// The value of a header of a request.
    pub fn header(request: &Request, name: &str) -> Option<String> {
        let head = String::from_utf8(request.head()).unwrap();
        let value = head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        value.map(str::to_owned)
    }

    fn part(jws: &str, place: usize) -> Value {
        let part = jws.split('.').nth(place).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }

    #[test]
    fn a_proof_is_signed_with_the_key_that_the_token_is_bound_to() {
        let client = BoundClient::new(&SigningKey::of(Kind::Es256), "alice@acme.com", 7);
        let request = client.request(1_800_000_000, "first");
        let token = header(&request, "authorization").unwrap().strip_prefix("DPoP ").unwrap().to_owned();
        let proof = header(&request, "dpop").unwrap();

        let jwk = part(&proof, 0)["jwk"].clone();
        let [x, y] = ["x", "y"].map(|name| jwk[name].as_str().unwrap().to_owned());
        let thumbprint = hash(&format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#));
        assert_eq!(part(&token, 1)["cnf"], json!({ "jkt": thumbprint }));

        let claims = part(&proof, 1);
        let expected = json!({ "jti": "first", "htm": "GET", "htu": "https://api.acme.com/accounts",
            "iat": 1_800_000_000, "ath": hash(&token) });
        assert_eq!(claims, expected);

        let (signing_input, signature) = proof.rsplit_once('.').unwrap();
        let [x, y] = [x, y].map(|number| URL_SAFE_NO_PAD.decode(number).unwrap());
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, [vec![4], x, y].concat());
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        assert!(key.verify(signing_input.as_bytes(), &signature).is_ok());
        assert!(key.verify(b"something else", &signature).is_err());
    }

    #[test]
    fn every_client_has_a_key_of_its_own() {
        let issuer = SigningKey::of(Kind::Es256);
        let [first, second] = [0, 1].map(|number| BoundClient::new(&issuer, "alice@acme.com", number));
        assert_ne!(first.header, second.header);
        assert_ne!(first.token, second.token);
    }
}
