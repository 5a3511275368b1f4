//! The memory of pending requests, measured: the resident memory of a process whose parking space is full of the
//! requests that hold most for their size. Each kind of request has a process of its own.
#![cfg(target_os = "linux")]
#![allow(missing_docs, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]
#![allow(clippy::unwrap_used, reason = "a test")]

mod engine_harness;
mod signing;

use std::process::Command;

use engine_harness::{Harness, NOW as START, Setup};
use okta_proxy_wasm::http::RequestHead;
use serde_json::json;
use signing::{SigningKey, key_set};

const ISSUER: &str = "https://a.example";
const MIB: usize = 1024 * 1024;
/// What else the engine may take meanwhile: memory of unknown key ids, the queue of calls.
const BESIDE: usize = MIB;

/// The kinds of requests, and the bytes that may be parked of each: half of the limit for tokens that anybody can make up.
const KINDS: [(&str, usize); 7] = [
    ("ordinary", 16 * MIB),
    ("many tiny fields", 16 * MIB),
    ("fields that are removed", 16 * MIB),
    ("spare capacity", 16 * MIB),
    ("claims of many small objects", 16 * MIB),
    ("opaque tokens", 16 * MIB),
    ("a known token, many tiny fields", 32 * MIB),
];

#[test]
fn pending_requests_hold_no_more_memory_than_documented() {
    let mut too_much = Vec::new();
    for (kind, limit) in KINDS {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "one_kind", "--ignored", "--nocapture"])
            .env("PARKED_KIND", kind)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{kind}: {text}{}", String::from_utf8_lossy(&output.stderr));
        let line = text.lines().find_map(|line| line.strip_prefix("PARKED ")).unwrap();
        let numbers: Vec<usize> = line.split(' ').map(|number| number.parse().unwrap()).collect();
        let (requests, bytes) = (numbers[0], numbers[1]);
        println!("{kind}: {requests} requests hold {} KiB; the limit is {} KiB", bytes / 1024, limit / 1024);
        assert!(requests > 10, "{kind}: {requests}");
        if bytes > limit + BESIDE {
            too_much.push(kind);
        }
    }
    assert_eq!(too_much, Vec::<&str>::new());
}

#[test]
#[ignore = "a part of the other test, in a process of its own"]
fn one_kind() {
    let kind = std::env::var("PARKED_KIND").unwrap_or_else(|_| "ordinary".to_owned());
    let inline = kind == "a known token, many tiny fields";
    let key = SigningKey::a("k1");
    let jwks = if inline { json!({ "inline": key_set(&[&key]) }) } else { json!({ "uri": "https://a.example/keys" }) };
    let configuration = json!({
        "providers": { "a": { "issuer": ISSUER, "audiences": ["api"], "upstream": "a", "jwks": jwks,
            "introspection": { "uri": "https://a.example/introspect", "client_id": "x",
                "client_secret": { "env": "SECRET" } } } },
        "default_rule": { "introspect": true },
        "claim_to_headers": [{ "claim": "sub", "header": "x-user-id" }],
    });
    let secret = |_: &str| Some(String::from("secret"));
    let mut engine = Harness::with(&configuration, Setup { environment: &secret, ..Setup::default() });
    let known = key.token(&json!({ "iss": ISSUER, "aud": "api", "exp": START + 3600, "sub": "alice" }));
    let before = resident();
    let (mut parked, mut refused) = (0, 0);
    for number in 0..20_000 {
        let head = RequestHead::new(fields(&kind, number, &known));
        match engine.request(&head) {
            Err(_) => parked += 1,
            Ok(decision) => {
                let reason = decision.audit.reason();
                assert!(["too_many_pending", "introspection_rate_limited"].contains(&reason), "{reason}");
                refused += 1;
            }
        }
        if refused > 50 {
            break;
        }
    }
    assert_eq!(engine.pending(), parked);
    println!("PARKED {parked} {}", resident().saturating_sub(before));
}

fn fields(kind: &str, number: u32, known: &str) -> Vec<(String, Vec<u8>)> {
    let field = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
    let token = |claims: &str| {
        let header = json!({ "alg": "RS256", "kid": format!("unknown-{number}") }).to_string();
        let payload = format!(r#"{{"iss":"{ISSUER}","aud":"api","exp":4102444800{claims}}}"#);
        format!("{}.{}.{}", signing::encode(&header), signing::encode(&payload), "c2ln".repeat(85))
    };
    let head = |token: &str| {
        vec![
            field(":method", "GET"),
            field(":path", "/accounts"),
            field(":authority", "api.example"),
            field("authorization", &format!("Bearer {token}")),
        ]
    };
    match kind {
        "ordinary" => {
            let mut fields = head(&token(r#","sub":"alice","scp":["a","b"],"cid":"client","jti":"AT.x","ver":1"#));
            fields.extend((0..16).map(|nth| field(&format!("x-field-{nth}"), &"v".repeat(60))));
            fields
        }
        "many tiny fields" => {
            let mut fields = head(&token(""));
            fields.extend((0..3000).map(|_| field("a", "b")));
            fields
        }
        "a known token, many tiny fields" => {
            let mut fields = head(known);
            fields.extend((0..3000).map(|_| field("a", "b")));
            fields
        }
        "fields that are removed" => {
            let signs = ["-", "_", ".", "+", "!", "#", "$", "%", "&", "'", "*", "^", "`", "|", "~"];
            let mut fields = head(&token(""));
            let names = signs.iter().flat_map(|one| signs.iter().map(move |two| format!("x{one}user{two}id")));
            fields.extend(names.map(|name| field(&name, "m")));
            fields
        }
        "spare capacity" => {
            let mut fields = Vec::with_capacity(10_000);
            fields.extend(head(&token("")));
            for _ in 0..50 {
                let mut value = Vec::with_capacity(64 * 1024);
                value.push(b'x');
                fields.push((String::from("x"), value));
            }
            fields
        }
        "claims of many small objects" => {
            let objects = vec![r#"{"a":0}"#; 500].join(",");
            head(&token(&format!(r#","x":[{objects}]"#)))
        }
        "opaque tokens" => head(&format!("opaque-{number:08}")),
        other => panic!("{other}"),
    }
}

/// The memory of this process that is its own.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<usize>().unwrap() * 1024
}
