//! Proofs that are changed at random are judged by this filter and by another resource server (npm `oauth4webapi`). Where
//! they differ, the reason is known.

use crate::engine_harness::{Harness, NOW, head};
use crate::proof_signer::{ProofSigner, claims};
use crate::random::Random;
use crate::signing::{AUDIENCE, ISSUER, SigningKey, key_set, payload, with};
use serde_json::{Value, json};
use testbed::programs::judge_proofs;

const URL: &str = "https://api.acme.com/orders";
const RANDOM_ROWS: usize = 1500;

/// A request with a proof, and what may be different: the reason.
struct Row {
    name: String,
    method: &'static str,
    url: String,
    scheme: &'static str,
    token: String,
    proof: Option<String>,
    difference: Option<&'static str>,
}

fn token(cnf: Value) -> String {
    let claims = with(&payload(NOW), json!({ "cnf": cnf, "client_id": "0oa1client" }));
    SigningKey::a("k1").token_with_header(&json!({ "alg": "RS256", "kid": "k1", "typ": "at+jwt" }), &claims)
}

/// Changes to the header of a proof, each with the reason of a difference.
fn header_changes(client: &ProofSigner) -> Vec<(Value, Option<&'static str>)> {
    let jwk = |changes: Value| json!({ "jwk": with(&client.jwk(), changes) });
    vec![
        (json!({}), None),
        (json!({ "typ": null }), None),
        (json!({ "typ": "JWT" }), None),
        (json!({ "typ": "dpop+JWT" }), Some("`typ` is compared as it is written")),
        (json!({ "typ": "application/dpop+jwt" }), Some("`typ` is compared as it is written")),
        (json!({ "alg": "none" }), None),
        (json!({ "alg": "HS256" }), None),
        (json!({ "alg": "RS256" }), None),
        (json!({ "alg": "ES384" }), None),
        (json!({ "alg": null }), None),
        (json!({ "jwk": null }), None),
        (json!({ "jwk": "x" }), None),
        (json!({ "crit": ["x"], "x": 1 }), None),
        (json!({ "b64": false }), Some("extensions that change how a JWS is read are rejected")),
        (json!({ "zip": "DEF" }), Some("extensions that change how a JWS is read are rejected")),
        (json!({ "kid": "k" }), None),
        (jwk(json!({ "kid": "k", "key_ops": ["verify"], "ext": true })), None),
        (jwk(json!({ "d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI" })), None),
        (jwk(json!({ "x": null })), None),
        (jwk(json!({ "crv": "P-384" })), None),
        (jwk(json!({ "use": "enc" })), Some("a key that says it is not for signatures verifies none")),
        (json!({ "jwk": ProofSigner::new(2).jwk() }), None),
        (json!({ "jwk": { "kty": "oct", "k": "AQAB" } }), None),
    ]
}

/// Changes to the claims of a proof.
fn claim_changes() -> Vec<(Value, Option<&'static str>)> {
    const URIS: Option<&str> =
        Some("URIs are compared in the normal form of RFC 3986, which decodes unreserved characters");
    vec![
        (json!({}), None),
        (json!({ "jti": null }), None),
        (json!({ "jti": 5 }), None),
        (json!({ "jti": "" }), Some("an empty `jti` identifies nothing")),
        (json!({ "htm": null }), None),
        (json!({ "htm": "POST" }), None),
        (json!({ "htm": "get" }), None),
        (json!({ "htu": null }), None),
        (json!({ "htu": "https://api.acme.com/other" }), None),
        (json!({ "htu": "https://evil.example/orders" }), None),
        (json!({ "htu": "http://api.acme.com/orders" }), None),
        (json!({ "htu": "https://api.acme.com:8443/orders" }), None),
        (json!({ "htu": "https://api.acme.com:443/orders" }), None),
        (json!({ "htu": "HTTPS://API.ACME.COM/orders" }), None),
        (json!({ "htu": "https://api.acme.com/orders?q=1" }), None),
        (json!({ "htu": "https://api.acme.com/orders#f" }), None),
        (json!({ "htu": "https://api.acme.com/x/../orders" }), None),
        (json!({ "htu": "https://api.acme.com/%6Frders" }), URIS),
        (json!({ "htu": "https://api.acme.com/orders/" }), None),
        (json!({ "htu": "https://api.acme.com//orders" }), None),
        (json!({ "htu": "https://user@api.acme.com/orders" }), None),
        (json!({ "htu": "/orders" }), None),
        (json!({ "htu": 5 }), None),
        (json!({ "ath": null }), None),
        (json!({ "ath": "x" }), None),
        (json!({ "iat": null }), None),
        (json!({ "iat": NOW - 299 }), None),
        (json!({ "iat": NOW - 302 }), None),
        (json!({ "iat": NOW + 299 }), None),
        (json!({ "iat": NOW + 302 }), None),
        (json!({ "iat": NOW.to_string() }), None),
        (json!({ "exp": NOW - 100 }), None),
        (json!({ "exp": NOW + 100 }), None),
        (json!({ "exp": "soon" }), None),
        (json!({ "nbf": NOW + 100 }), None),
        (json!({ "nbf": NOW - 100 }), None),
        (json!({ "nonce": "unasked" }), None),
    ]
}

fn rows() -> Vec<Row> {
    let (client, other) = (ProofSigner::new(1), ProofSigner::new(2));
    let bound = token(json!({ "jkt": client.thumbprint() }));
    let bound_to_other = token(json!({ "jkt": other.thumbprint() }));
    let (headers, claim_rows) = (header_changes(&client), claim_changes());
    let mut random = Random::new(20_261_130);
    let mut rows = Vec::new();
    let pairs = (0..headers.len()).map(|header| (header, 0)).chain((0..claim_rows.len()).map(|claim| (0, claim)));
    let mut pairs: Vec<(usize, usize)> = pairs.collect();
    pairs.extend((0..RANDOM_ROWS).map(|_| (random.index(headers.len()), random.index(claim_rows.len()))));
    for (number, (header, claim)) in pairs.into_iter().enumerate() {
        let ((header, difference), (claim, other_difference)) = (&headers[header], &claim_rows[claim]);
        let is_random = number >= headers.len() + claim_rows.len();
        let own = json!({ "htu": URL, "jti": number.to_string() });
        let of_claims = with(&with(&claims(&bound, NOW), own), claim.clone());
        let signer = if is_random && random.index(10) == 0 { &other } else { &client };
        let mut proof = signer.sign(&with(&client.header(), header.clone()), &of_claims);
        let mut name = format!("{number}: {header} {claim}");
        if is_random && random.index(8) == 0 {
            let at = random.index(proof.len());
            proof.replace_range(at..=at, ["A", "Z", ".", "-", "!"][random.index(5)]);
            name.push_str(" garbled");
        }
        let token = if is_random && random.index(12) == 0 { &bound_to_other } else { &bound };
        rows.push(Row {
            name,
            method: if is_random && random.index(12) == 0 { "PUT" } else { "GET" },
            url: if is_random && random.index(6) == 0 { format!("{URL}?page=2") } else { URL.to_owned() },
            scheme: if is_random && random.index(12) == 0 { "Bearer" } else { "DPoP" },
            token: token.clone(),
            proof: (!is_random || random.index(20) != 0).then_some(proof),
            difference: difference.or(*other_difference),
        });
    }
    rows
}

#[test]
fn another_resource_server_accepts_the_same_proofs() {
    let keys = key_set(&[&SigningKey::a("k1")]);
    let configuration = json!({ "providers": { "okta": { "issuer": ISSUER, "audiences": [AUDIENCE], "jwks": { "inline": keys },
        "sender_constraint": { "dpop": "required", "proofs": {
            "origins": ["https://api.acme.com"], "max_age": "300s" } } } } });
    let rows = rows();
    let requests: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({ "method": row.method, "url": row.url, "authorization": format!("{} {}", row.scheme, row.token),
                "dpop": row.proof })
        })
        .collect();
    let judged = judge_proofs(
        &json!({ "issuer": ISSUER, "audience": AUDIENCE, "keys": keys, "now": NOW, "requests": requests }),
    );
    assert_eq!(judged.len(), rows.len());
    let mut engine = Harness::new(&configuration);
    let (mut accepted, mut differences, mut wrong) = (0, Vec::new(), Vec::new());
    for (row, judged) in rows.iter().zip(judged) {
        let credential = format!("{} {}", row.scheme, row.token);
        let path = row.url.strip_prefix("https://api.acme.com").unwrap();
        let mut fields = vec![
            (":method", row.method),
            (":authority", "api.acme.com"),
            (":path", path),
            ("authorization", &credential),
        ];
        fields.extend(row.proof.as_deref().map(|proof| ("dpop", proof)));
        let reason = engine.reason(&head(&fields));
        let others = judged["accepted"] == json!(true);
        accepted += usize::from(others && reason == "authorized");
        if others != (reason == "authorized") {
            match row.difference {
                Some(difference) => differences.push(difference),
                None => wrong.push(format!("{} -> {reason}, there {judged}", row.name)),
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
    assert!(accepted > 50, "{accepted}");
    let known: std::collections::BTreeSet<_> = rows.iter().filter_map(|row| row.difference).collect();
    let seen: std::collections::BTreeSet<_> = differences.into_iter().collect();
    assert_eq!(seen, known, "a reason of a difference that does not exist");
}
