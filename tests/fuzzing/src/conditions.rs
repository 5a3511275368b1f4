//! The target for conditions: any text, and where it is a condition, any request to evaluate it on.
//!
//! The input's parts are separated by NULs: the expression, the claim `c` of the token as JSON, the request's target, the
//! host's value of every attribute, a header `x-device`.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use okta_proxy_wasm::cel::{Activation, Attribute, AttributeValues, Program};
use okta_proxy_wasm::config;
use okta_proxy_wasm::engine::{Algorithm, SignatureVerifier};
use okta_proxy_wasm::http::RequestHead;
use okta_proxy_wasm::jose::{Key, KeySet, UnverifiedToken};
use okta_proxy_wasm::policy::condition::token_attributes;
use okta_proxy_wasm::policy::{AmbiguousPaths, Policy, RequestTarget, ValidatedToken};
use okta_proxy_wasm::unix_time::UnixTime;
use serde_json::{Value, json};

use crate::engine_harness::NOW;
use crate::signing::{AUDIENCE, ISSUER, SigningKey, key_set, payload, with};

/// Says yes: the claims are the fuzzer's.
struct AcceptAll;

impl SignatureVerifier for AcceptAll {
    fn verifies(&self, _: Algorithm, _: &Key, _: &[u8], _: &[u8]) -> bool {
        true
    }
}

fn keys() -> &'static KeySet {
    static KEYS: OnceLock<KeySet> = OnceLock::new();
    KEYS.get_or_init(|| KeySet::parse(key_set(&[&SigningKey::a("k1")]).to_string().as_bytes()).expect("a key set"))
}

fn policy() -> Policy {
    let document = json!({ "providers": { "okta": {
        "issuer": ISSUER, "audiences": [AUDIENCE], "jwks": { "inline": key_set(&[&SigningKey::a("k1")]) } } } });
    config::load(document.to_string().as_bytes(), &config::no_environment).expect("a good configuration").policy
}

/// A token with this claim; none where it makes it one that is not admitted.
fn token(claim: &[u8], policy: &Policy) -> Option<ValidatedToken> {
    let claim = serde_json::from_slice(claim).unwrap_or_else(|_| json!(String::from_utf8_lossy(claim)));
    let claims: Value = with(&payload(NOW), json!({ "c": claim }));
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","kid":"k1"}"#);
    let text = format!("{header}.{}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()), "A".repeat(342));
    let token = UnverifiedToken::parse(text.as_bytes()).ok()?;
    let candidates = keys().candidates(Some("k1"), Algorithm::Rs256);
    let verified = token.verify(&candidates, &AcceptAll).ok()?;
    let (_, provider) = policy.providers.iter().next()?;
    ValidatedToken::validate(verified, provider, UnixTime::from_secs(NOW)).ok()
}

/// Reads the expression and judges by it.
pub(crate) fn condition(input: &[u8]) {
    thread_local! {
        static POLICY: Policy = policy();
    }
    let mut parts = input.split(|byte| *byte == 0);
    let text = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let [claim, target, attribute, device] = std::array::from_fn(|_| parts.next().unwrap_or_default());
    let condition = match Program::compile(&text) {
        Ok(condition) => condition,
        Err(faults) => {
            assert!((1..=16).contains(&faults.len()), "{} faults", faults.len());
            let lines: Vec<&str> = text.split('\n').collect();
            for fault in faults {
                assert!(!fault.to_string().chars().any(char::is_control), "a fault that breaks a log line: {fault}");
                let line = lines.get(fault.line - 1).expect("a line of the text");
                assert!(fault.column <= line.chars().count() + 1, "behind the end of its line: {fault:?}");
                let excerpt = fault.message_with_excerpt();
                assert!(excerpt.len() < 2048 && excerpt.lines().count() == 3, "{excerpt}");
            }
            return;
        }
    };
    let attributes = condition.attributes();
    assert!(attributes.iter().enumerate().all(|(place, one)| !attributes[..place].contains(one)), "asked for twice");
    let fields = [(":method", &b"GET"[..]), (":authority", b"Api.Acme.com"), (":path", target), ("x-device", device)];
    let head = RequestHead::new(fields.map(|(name, value)| (name.to_owned(), value.to_vec())).into());
    let read = RequestTarget::of(&head, AmbiguousPaths::Reject).ok().filter(|read| read.other_readings().is_empty());
    let path = read.as_ref().map(|read| read.path().as_str());
    let said_by_the_host = |which: &[Attribute]| {
        let mut values = AttributeValues::default();
        which.iter().for_each(|one| values.insert(*one, attribute.to_vec()));
        values
    };
    let (all, asked) = (said_by_the_host(&Attribute::ALL), said_by_the_host(attributes));
    POLICY.with(|policy| {
        let token = token(claim, policy);
        let judged = |condition: &Program, values: &AttributeValues| {
            let token = token.as_ref().map(|token| token_attributes(token, "okta"));
            condition.evaluate(&Activation::new(&head, path, UnixTime::from_secs(NOW), values, token))
        };
        let found = judged(&condition, &asked);
        assert_eq!(found, judged(&condition, &asked), "judged twice, judged differently");
        assert_eq!(found, judged(&condition, &all), "an attribute is read that was not asked for");
        // What is not true is false or an error, and an error does not become true behind a `!`.
        for negated in [format!("!({text}\n)"), format!("({text}\n) ? false : true")] {
            if let Ok(negated) = Program::compile(&negated) {
                assert_eq!(judged(&negated, &asked).ok(), found.ok().map(|holds| !holds), "its opposite");
            }
        }
    });
}

/// Inputs to begin with.
pub(crate) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let seed = |text: &str, claim: &str, target: &str, attribute: &[u8]| {
        [text.as_bytes(), claim.as_bytes(), target.as_bytes(), attribute, b"d-7"].join(&0)
    };
    vec![
        ("tenant", seed("claims.c == path_segment(request.url_path, 2)", "\"acme\"", "/orgs/acme?x=1", b"")),
        (
            "normal-form",
            seed(
                "request.host != 'b.com' && request.url_path in ['/a', claims.c] || path_segment(request.raw_path, 1) == claims.c",
                "\"a b\"",
                "/a%20b/",
                b"",
            ),
        ),
        (
            "types",
            seed(
                "claims.c != 'guest' && !(claims.c in [1, 'a', null]) && [claims.c] != ['x']",
                "[\"guest\"]",
                "/",
                b"",
            ),
        ),
        (
            "office",
            seed(
                "ip_in(source.address, ['10.0.0.0/8', 'fd00::/8']) && request.time.getHours('+02:00') < 20",
                "1",
                "/",
                b"10.1.2.3:4567",
            ),
        ),
        ("mtls", seed("connection.mtls || !(connection.tls_version == 'TLSv1.2')", "1", "/", b"\x01")),
        ("port", seed("source.port + 1 > 2 && destination.port % 7 != 0", "1", "/", &[0xd7, 0x11, 1, 2, 3, 4, 5, 6])),
        (
            "lists",
            seed(
                "claims.c.exists(x, x.startsWith('a')) && claims.c.filter(x, size(x) > 1).map(x, x + 'b').size() == 2",
                "[\"ab\",\"b\",\"abc\"]",
                "/",
                b"",
            ),
        ),
        (
            "nested",
            seed(
                "claims.c.all(x, claims.c.exists_one(y, x.n == y.n)) && has(claims.c) && 'n' in claims.c[0]",
                "[{\"n\":1},{\"n\":2.5}]",
                "/",
                b"",
            ),
        ),
        (
            "texts",
            seed(
                "request.url_path.matches('^/[a-z]+$') ? request.headers['x-device'].contains('d') : request.raw_query.lowerAscii().endsWith('x')",
                "\"\u{e9}\"",
                "/a?B=X",
                b"",
            ),
        ),
        (
            "numbers",
            seed("int(claims.c) / 3 * 2 - 1 >= 5 || double('1e3') < 7.5 || string(claims.c) == '12'", "12", "/", b""),
        ),
        (
            "times",
            seed(
                "timestamp(claims.c) - duration('1h30m') <= request.time || request.time.getDayOfWeek() in [5, 6]",
                "\"2027-01-15T08:00:00Z\"",
                "/",
                b"",
            ),
        ),
        (
            "literals",
            seed(
                "{'a': [1, 2], \"b\": [0x1f]}['a'][0] == 1 && '\\u00e9\\n' != r'\\n' && (true ? null : null) == null",
                "null",
                "/",
                b"",
            ),
        ),
        (
            "token",
            seed(
                "token.client_id != token.subject && 'read:accounts' in token.scopes && token.issuer.startsWith('https')",
                "1",
                "/",
                b"",
            ),
        ),
    ]
}
