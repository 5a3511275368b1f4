//! The bodies of the fuzz targets: everything that parses bytes from outside, each with its invariants.
//!
//! They live here once; `fuzz/` hands them to libFuzzer (nightly, `make fuzz`), `tests/core/fuzz_short.rs` runs them over
//! the corpus in `tests/data/fuzz` and over mutations of it (stable, `make test`). A target panics when an invariant fails and
//! returns nothing.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a target fails by panicking"
)]

mod bytes;
mod conditions;
#[path = "../../engine_harness/mod.rs"]
mod engine_harness;
mod introspection;
mod introspection_sequence;
#[path = "../../signing/proof.rs"]
mod proof_signer;
mod proofs;
mod routes;
mod sequence;
#[path = "../../signing/mod.rs"]
mod signing;

use serde_json::json;

use engine_harness::NOW;
use signing::{ISSUER, SigningKey, key_set, payload};

/// A target's body.
pub type Target = fn(&[u8]);

/// Every target under its name, which is also its folder in `tests/data/fuzz`.
pub const TARGETS: [(&str, Target); 16] = [
    ("token", bytes::token),
    ("key_set", bytes::key_set),
    ("configuration", bytes::configuration),
    ("request_head", bytes::request_head),
    ("request_locations", bytes::request_locations),
    ("fetch_response", bytes::fetched_response),
    ("metadata", bytes::metadata),
    ("introspection_response", introspection::response),
    ("introspection_records", introspection::records),
    ("proof", proofs::proof),
    ("signed_proof", proofs::signed_proof),
    ("uri", proofs::uri),
    ("condition", conditions::condition),
    ("routes", routes::routes),
    ("sequence", sequence::sequence),
    ("introspection_sequence", introspection_sequence::introspection_sequence),
];

/// Runs the target of that name.
///
/// # Panics
/// When there is none, or when it finds something.
pub fn run(name: &str, input: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("a target");
    target(input);
}

/// Inputs to begin with, per target: the corpus was written from these (`cargo run -p fuzz-targets`).
pub fn seeds(target: &str) -> Vec<(&'static str, Vec<u8>)> {
    let key = SigningKey::a("k1");
    let token = key.token(&payload(NOW));
    let set = key_set(&[&key, &SigningKey::b("k2")]).to_string();
    let remote = json!({ "providers": { "okta": { "okta": { "domain": "acme.okta.com" }, "audiences": ["api://default"],
        "upstream": "okta" } } });
    let inline = json!({
        "providers": { "p": {
            "issuer": ISSUER, "audiences": ["a", "b"], "algorithms": ["RS256", "ES256", "EdDSA"], "clock_skew": "30s",
            "client_ids": ["c"], "max_token_lifetime": "1h", "subject_claim": "uid", "client_claim": "cid",
            "scope_claim": "scp", "groups_claim": ["r", "g"], "insecure_http": true, "upstream": "u",
            "jwks": { "uri": "http://localhost:80/keys", "refresh": "10m", "max_stale": "1h", "timeout": "5s" } } },
        "token": { "forward": true, "max_bytes": 4096 },
        "claim_to_headers": [{ "claim": "sub", "header": "x-sub" }] });
    let mut ruled = remote.clone();
    ruled["rules"] = json!([
        { "name": "health", "match": { "path": "/healthz" }, "access": "public" },
        { "name": "r", "match": { "hosts": ["*.acme.com", "[::1]"], "path_prefix": "/a", "methods": ["GET"], "ignore_case": true },
          "require": { "scopes": ["r:a"], "any_scope": ["x", "y"], "acr": ["phr"], "max_age": "15m", "proof": "any" } },
        { "match": { "path_regex": "/[0-9]{4}(/.*)?" }, "report_only": true, "require": {
          "any_of": [{ "groups": ["g"] }, { "claims": { "d": "f", "l": { "one_of": [3, true] } }, "client_ids": ["c"] }],
          "all_of": [{ "amr": ["hwk"] }], "not": { "audiences": ["z"] } } }]);
    ruled["default_rule"] = json!({ "access": "deny" });
    ruled["bypass_cors_preflight"] = json!(true);
    ruled["responses"] = json!({ "realm": "acme" });
    let ec = json!({ "keys": [
        { "kty": "EC", "crv": "P-256", "kid": "e", "alg": "ES256", "use": "sig", "key_ops": ["verify"],
          "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" },
        { "kty": "OKP", "crv": "Ed25519", "kid": "o", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" },
        { "kty": "oct", "k": "AA" }, 5, {} ] });
    match target {
        "proof" | "signed_proof" | "uri" => proofs::seeds(target),
        "token" => vec![
            ("good", token.clone().into_bytes()),
            ("none", b"eyJhbGciOiJub25lIn0.e30.".to_vec()),
            ("crit", key.token_with_header(&json!({ "alg": "RS256", "crit": ["exp"], "exp": 1 }), &payload(NOW)).into()),
            ("deep", key.token_of_texts("{\"alg\":\"RS256\"}", &format!("{{\"a\":{}1{}}}", "[".repeat(40), "]".repeat(40))).into()),
            ("twice", key.token_of_texts("{\"alg\":\"RS256\",\"alg\":\"none\"}", "{\"\\u0061\":1,\"a\":1e400}").into()),
        ],
        "key_set" => vec![("rsa", set.into_bytes()), ("others", ec.to_string().into_bytes()), ("empty", b"{\"keys\":[]}".to_vec())],
        "configuration" => vec![
            ("okta", remote.to_string().into_bytes()),
            ("whole", inline.to_string().into_bytes()),
            ("rules", ruled.to_string().into_bytes()),
            ("keys_inline", json!({ "providers": { "p": { "issuer": ISSUER, "audiences": ["a"], "jwks": { "inline": ec } } } }).to_string().into()),
            ("faults", b"{\"providers\":{\"\":{\"okta\":{\"domain\":\"x/../y\"},\"audiences\":5,\"clock_skew\":\"9999999999999999999h\"}},\"x\":{}}".to_vec()),
        ],
        "request_head" => vec![
            ("good", format!("authorization\0Bearer {token}\n:path\0/a?b=c\nx-request-id\0r1").into_bytes()),
            ("spoofed", format!("X_User-Id\0mallory\nauthorization\0bearer {token}\nx.client.id\0m\nx-user-id\0\u{e9}").into_bytes()),
            ("two", format!("authorization\0Bearer {token}\nAuthorization\0Bearer {token}").into_bytes()),
            ("joined", format!("authorization\0Basic a, Bearer {token}").into_bytes()),
            ("cookie", format!("cookie\0access_token={token}\n:path\0/?access_token={token}").into_bytes()),
        ],
        "request_locations" => vec![
            ("cookie", format!("cookie\0a=b; access_token={token}; c=d").into_bytes()),
            ("cookies", format!("Cookie\0access_token=\"{token}\"\ncookie\0x=1;access_token=").into_bytes()),
            ("query", format!(":path\0/a?b=c&access_token={token}&%61ccess_token=#f").into_bytes()),
            ("encoded", format!(":path\0/a?%61ccess_token={}", token.replace('.', "%2e")).into_bytes()),
            ("header", format!("x-token\0{token}\nX_Token\0{token}\nx-user-id\0m").into_bytes()),
            ("both", format!("authorization\0Bearer {token}\n:path\0/?access_token={token}").into_bytes()),
        ],
        "fetch_response" => vec![
            ("good", b"max-age=300, must-revalidate\n".to_vec()),
            ("odd_age", b"max-age=\"99999999999999999999\", no-store, max-age=0\n".to_vec()),
            ("body", [b"public\n", set.as_bytes()].concat()),
        ],
        "metadata" => {
            let document = |address: &str| {
                json!({ "issuer": bytes::DISCOVERED, "jwks_uri": address, "response_types_supported": ["code"] }).to_string().into_bytes()
            };
            vec![
                ("good", document("https://idp.example/realms/a/keys?x=1")),
                ("foreign", document("https://idp.example.evil.example/keys")),
                ("odd", document("HTTPS://IDP.example:443/../keys#x")),
                ("other_issuer", b"{\"issuer\":\"https://idp.example/realms/b\",\"jwks_uri\":\"https://idp.example/k\"}".to_vec()),
            ]
        }
        "condition" => conditions::seeds(),
        "routes" => routes::seeds(),
        "sequence" => sequence::seeds(),
        "introspection_sequence" => introspection_sequence::seeds(),
        other => introspection::seeds(other),
    }
}
