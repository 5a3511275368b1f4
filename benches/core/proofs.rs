//! What proofs of possession cost (DPoP, RFC 9449): to check and verify one, and to record that it is used.

use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use okta_proxy_wasm::engine::{
    Bucket, PortableVerifier, Record as _, Recorded, SignatureVerifier, UsedProof, bucket_capacity,
};
use okta_proxy_wasm::http::RequestHead;
use okta_proxy_wasm::jose::{Algorithm, ProofKey, UnverifiedProof};
use okta_proxy_wasm::policy::dpop::ProofContext;
use okta_proxy_wasm::policy::{Dpop, NonceMode, PublicOrigin};
use okta_proxy_wasm::replay::{Holder, ProofDigest};
use okta_proxy_wasm::thumbprint::Thumbprint;
use p256::ecdsa::signature::Signer as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{Believing, Item, NOW};

/// `max_proofs`: the default, and the largest.
const DEFAULT_PROOFS: u32 = 131_072;
const MOST_PROOFS: u32 = 1_048_576;
/// Each has an eighth of a full bucket: less than the quarter that one may use.
const HOLDERS: usize = 8;

pub fn items(token: &str, head: RequestHead) -> Vec<Item> {
    let case = Rc::new(Case::new(token, head));
    let item = |name, run: fn(&Case)| {
        let case = Rc::clone(&case);
        Item::new(name, move || run(&case))
    };
    vec![
        item("proof: parse", |case| drop(UnverifiedProof::parse(case.proof.as_bytes()).unwrap())),
        item("proof: parse and check", |case| drop(case.checked())),
        item("proof: known key, signature believed", |case| case.verify_with_known_key(&Believing)),
        item("proof: new key, signature believed", |case| case.verify_with_new_key(&Believing)),
        item("proof: known key, verified", |case| case.verify_with_known_key(&PortableVerifier)),
        item("proof: new key, verified", |case| case.verify_with_new_key(&PortableVerifier)),
        recording("replay memory: record, empty bucket", DEFAULT_PROOFS, 0),
        recording("replay memory: record, full bucket", DEFAULT_PROOFS, bucket_capacity(DEFAULT_PROOFS) - 1),
        recording("replay memory: record, full largest bucket", MOST_PROOFS, bucket_capacity(MOST_PROOFS) - 1),
    ]
}

/// A proof for a request with a token.
struct Case {
    settings: Dpop,
    head: RequestHead,
    token: Vec<u8>,
    proof: String,
    thumbprint: Thumbprint,
    known: ProofKey,
}

impl Case {
    fn new(token: &str, head: RequestHead) -> Self {
        let proof = sign(token);
        let parsed = UnverifiedProof::parse(proof.as_bytes()).unwrap();
        let settings = Dpop {
            is_required: false,
            algorithms: Algorithm::ALL.to_vec(),
            max_age: Duration::from_secs(60),
            nonce: NonceMode::Off,
            origins: vec![PublicOrigin::parse("https://api.acme.com").unwrap()],
        };
        let (thumbprint, known) = (parsed.thumbprint(), parsed.key().unwrap());
        Self { settings, head, token: token.into(), thumbprint, known, proof }
    }

    /// The proof, after all checks but that of its signature.
    fn checked(&self) -> UnverifiedProof<'_> {
        let proof = UnverifiedProof::parse(self.proof.as_bytes()).unwrap();
        let Self { head, token, thumbprint, .. } = self;
        let context = ProofContext { head, token, key: *thumbprint, nonces: None, now: NOW };
        assert_eq!(self.settings.check(&proof, &context), Ok(None));
        proof
    }

    fn verify_with_known_key(&self, verifier: &dyn SignatureVerifier) {
        self.checked().verify(&self.known, verifier).unwrap();
    }

    fn verify_with_new_key(&self, verifier: &dyn SignatureVerifier) {
        let proof = self.checked();
        let key = proof.key().unwrap();
        proof.verify(&key, verifier).unwrap();
    }
}

/// A proof for the request of the benchmark with this token, of a key for ES256.
fn sign(token: &str) -> String {
    let key = p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
    let point = key.verifying_key().to_sec1_point(false);
    let [x, y] = [point.x(), point.y()].map(|number| URL_SAFE_NO_PAD.encode(number.unwrap()));
    let header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": { "kty": "EC", "crv": "P-256", "x": x, "y": y } });
    let claims = json!({ "jti": "5f3c1a52-8f0e-4d0a-9a3b-0c5d6b7a8e9f", "htm": "GET",
        "htu": "https://api.acme.com/accounts/1234567/transactions", "iat": NOW.as_secs(),
        "ath": URL_SAFE_NO_PAD.encode(Sha256::digest(token)) });
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let signing_input = format!("{header}.{claims}");
    let signature: p256::ecdsa::Signature = key.sign(signing_input.as_bytes());
    format!("{signing_input}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
}

/// Recording a proof in a bucket with so many others, from the bytes that workers share to those that replace them: all
/// but the calls of the host.
fn recording(name: &'static str, max_proofs: u32, others: usize) -> Item {
    let capacity = bucket_capacity(max_proofs);
    let used = |number: usize| UsedProof {
        digest: ProofDigest::new(Thumbprint::new([7; 32]), &number.to_string()),
        holder: Holder::new([(number % HOLDERS).to_le_bytes().as_slice()]),
        until: NOW.plus(Duration::from_secs(60)),
    };
    let mut bucket = Bucket::default();
    for number in 0..others {
        assert_eq!(bucket.record(&used(number), capacity, NOW), Recorded::First);
    }
    let (bytes, proof) = (bucket.to_bytes(), used(others));
    Item::new(name, move || {
        let mut bucket = Bucket::from_bytes(&bytes).unwrap();
        assert_eq!(bucket.record(&proof, capacity, NOW), Recorded::First);
        bucket.to_bytes()
    })
}
