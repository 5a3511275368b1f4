//! The targets that parse one document: a token, a key set, a configuration, a request's head, a fetched response.

use std::cell::RefCell;
use std::sync::OnceLock;
use std::time::Duration;

use okta_proxy_wasm::config;
use okta_proxy_wasm::engine::{FetchResult, Jitter, PortableVerifier, Verdict};
use okta_proxy_wasm::http::{HeaderEdit, RequestHead};
use okta_proxy_wasm::jose::{Algorithm, Claim, KeySet, UnverifiedToken};
use okta_proxy_wasm::policy::{Access, RuleId};
use serde_json::{Value, json};

use crate::engine_harness::{Harness, NOW, Setup, bearer, fetch_response, status_of};
use crate::signing::{AUDIENCE, ISSUER, SigningKey, fetched_issuer, key_set as document_of, payload};

const ALGORITHMS: [&str; 9] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];
type Fields = Vec<(String, Vec<u8>)>;

const OURS: [&str; 3] = ["x-user-id", "x-client-id", "x-granted-scopes"];

fn published() -> &'static Value {
    static SET: OnceLock<Value> = OnceLock::new();
    SET.get_or_init(|| document_of(&[&SigningKey::a("k1")]))
}

fn good_token() -> &'static str {
    static TOKEN: OnceLock<String> = OnceLock::new();
    TOKEN.get_or_init(|| SigningKey::a("k1").token(&payload(NOW)))
}

/// A token: what parses has three parts, an algorithm that exists, and is verified by no key at all.
pub(crate) fn token(input: &[u8]) {
    let Ok(token) = UnverifiedToken::parse(input) else { return };
    assert!(UnverifiedToken::has_three_parts(input));
    assert!(input.is_ascii(), "foreign characters in base64url");
    assert!(
        token.held_bytes() < input.len().saturating_mul(8).saturating_add(1024),
        "more memory than the text asks for"
    );
    if let Claim::Valid(issuer) = token.claimed_issuer() {
        assert!(issuer.len() <= input.len());
    }
    assert!(token.verify(&[], &PortableVerifier).is_err(), "verified without a key");
    let token = UnverifiedToken::parse(input).expect("it was read before");
    let keys = KeySet::parse(published().to_string().as_bytes()).expect("a key set");
    let candidates = keys.candidates(Some("k1"), Algorithm::parse("RS256").expect("an algorithm"));
    if token.verify(&candidates, &PortableVerifier).is_ok() {
        assert_eq!(input, good_token().as_bytes(), "forged, or a second form of the same token");
    }
}

/// A key set: what is offered for an algorithm serves it, and checking a signature with it never panics.
pub(crate) fn key_set(input: &[u8]) {
    let Ok(set) = KeySet::parse(input) else { return };
    assert_ne!(set.len(), 0, "a set without a usable key is a fault");
    for algorithm in ALGORITHMS.into_iter().filter_map(Algorithm::parse) {
        let candidates = set.candidates(None, algorithm);
        assert!(candidates.iter().all(|key| key.supports(algorithm)));
        let Some(first) = candidates.first() else { continue };
        if let Some(id) = first.id() {
            assert!(set.candidates(Some(id), algorithm).iter().all(|key| key.id() == Some(id) || key.id().is_none()));
        }
        let token = UnverifiedToken::parse(good_token().as_bytes()).expect("a token");
        // A key of this input's making may verify what it likes; it must only not panic or loop.
        let _ = token.verify(&candidates, &PortableVerifier);
    }
}

/// A configuration: a policy that still asks for a token, or faults that can be shown.
pub(crate) fn configuration(input: &[u8]) {
    match config::load(input, &config::no_environment) {
        Err(faults) => {
            assert!(!faults.is_empty(), "refused without a reason");
            for fault in faults {
                let text = fault.to_string();
                assert!(!text.chars().any(char::is_control), "a fault that breaks a log line: {text:?}");
                assert!(text.len() < 4096 + input.len(), "a fault that floods the log");
            }
        }
        Ok(loaded) => {
            let default_access = loaded.policy.rules.rule(RuleId::Default).access;
            let mut engine = Harness::of_policy(loaded.policy, Setup::default());
            engine.attributes = Some(Vec::new());
            let decision = engine.decide(&RequestHead::new(Vec::new()));
            let is_open = matches!(default_access, Access::Public | Access::Optional);
            assert!(is_open || status_of(&decision) != 200, "a request without anything passes");
            engine.tick();
        }
    }
}

/// A request's head, its fields a line each, name and value apart by NUL; tokens in the `Authorization` header.
pub(crate) fn request_head(input: &[u8]) {
    thread_local! {
        static ENGINE: RefCell<Harness> = RefCell::new(Harness::new(&with_inline_keys(json!({}))));
    }
    let fields = fields_of(input);
    let Some(seen) = ENGINE.with_borrow_mut(|engine| as_the_backend_sees(engine, &fields)) else { return };
    let is_carrier = |name: &str| name.eq_ignore_ascii_case("authorization");
    let offered: Vec<&[u8]> =
        fields.iter().filter(|(name, _)| is_carrier(name)).map(|(_, value)| value.as_slice()).collect();
    let [value] = offered.as_slice() else { panic!("{} credentials passed", offered.len()) };
    let (scheme, token) = value.split_at_checked(7).expect("a scheme");
    assert!(scheme.eq_ignore_ascii_case(b"Bearer "));
    assert_eq!(token, good_token().as_bytes(), "another token passed");
    assert!(!seen.iter().any(|(name, _)| is_carrier(name)));
}

/// The same with tokens in cookies and the query as well: of what passes, nothing that we take for a credential is left.
pub(crate) fn request_locations(input: &[u8]) {
    thread_local! {
        static ENGINE: RefCell<Harness> = RefCell::new(Harness::new(&with_inline_keys(json!({
            "from_headers": [{ "name": "authorization", "scheme": "Bearer" }, { "name": "x-token" }],
            "from_cookies": ["access_token"], "from_params": ["access_token"] }))));
    }
    ENGINE.with_borrow_mut(|engine| {
        let Some(seen) = as_the_backend_sees(engine, &fields_of(input)) else { return };
        let again = engine.decide(&RequestHead::new(seen));
        assert_eq!(again.audit.reason(), "token_missing", "a credential went on to the backend");
    });
}

fn with_inline_keys(token: Value) -> Value {
    json!({ "token": token, "providers": { "okta": {
        "issuer": ISSUER, "audiences": [AUDIENCE], "jwks": { "inline": published() } } } })
}

fn fields_of(input: &[u8]) -> Fields {
    let lines = input.split(|byte| *byte == b'\n').map(|line| {
        let mut parts = line.splitn(2, |byte| *byte == 0);
        let name = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
        (name, parts.next().unwrap_or_default().to_vec())
    });
    lines.collect()
}

/// Decides a request; when it is allowed, the head that goes on, in which the identity headers are ours alone.
fn as_the_backend_sees(engine: &mut Harness, fields: &Fields) -> Option<Fields> {
    let decision = engine.decide(&RequestHead::new(fields.clone()));
    assert!(!decision.audit.to_json().contains('\n'));
    let edits = match &decision.verdict {
        Verdict::Deny(reply) => {
            assert!((400..=503).contains(&reply.status));
            return None;
        }
        Verdict::Allow(edits) => edits,
    };
    let mut head = fields.clone();
    let mut replace = |name: &str, value: Option<&[u8]>| {
        head.retain(|(held, _)| !held.eq_ignore_ascii_case(name));
        head.extend(value.map(|value| (name.to_owned(), value.to_vec())));
    };
    for edit in edits.iter() {
        match edit {
            HeaderEdit::Remove(name) => replace(name, None),
            HeaderEdit::Set(name, value) => replace(name.as_str(), Some(value.as_str().as_bytes())),
            HeaderEdit::Rewrite(rest) => replace(rest.field(), Some(rest.as_bytes())),
        }
    }
    for ours in OURS {
        let spelling = |name: &str| name.to_ascii_lowercase().replace(['_', '.'], "-");
        let seen: Vec<&str> =
            head.iter().map(|(name, _)| name.as_str()).filter(|name| spelling(name) == ours).collect();
        assert_eq!(seen, [ours], "an identity header of the client's making passed");
    }
    Some(head)
}

/// A fetched answer: the first line is its `Cache-Control`, the rest its body; without a body, a good set.
pub(crate) fn fetched_response(input: &[u8]) {
    let mut engine = Harness::new(&fetched_issuer());
    engine.jitter = Jitter(0);
    let fetch = engine.tick_begins_a_fetch();
    let now = engine.now;
    let mut lines = input.splitn(2, |byte| *byte == b'\n');
    let cache_control = lines.next().and_then(|line| String::from_utf8(line.to_vec()).ok());
    let given = lines.next().unwrap_or_default();
    let body = if given.is_empty() { published().to_string().into_bytes() } else { given.to_vec() };
    let effects = engine.done(fetch.id, fetch_response(200, cache_control.as_deref(), body));
    let next = engine.next_tick.expect("a tick");
    assert!(next > now && next.since(now) <= Duration::from_secs(60), "a tick in {:?}", next.since(now));
    let (_, result) = effects.fetch_result.expect("a result");
    let replaced = matches!(result, FetchResult::Replaced { .. });
    assert!(replaced || !given.is_empty(), "a good set was not taken: {result:?}");
    if replaced {
        // A server can ask for a fetch a minute and no more, whatever it writes.
        engine.pass(Duration::from_secs(40));
        assert!(engine.tick().fetches.is_empty(), "the server drives us to fetch");
        engine.now = now;
    }
    if given.is_empty() {
        assert_eq!(status_of(&engine.decide(&bearer(good_token()))), 200);
    }
}

/// The issuer whose metadata is read.
pub(crate) const DISCOVERED: &str = "https://idp.example/realms/a";

/// An issuer's metadata: whatever it says, the next callout goes to the issuer's own host, and no key comes of it.
pub(crate) fn metadata(input: &[u8]) {
    let mut engine = Harness::new(&json!({ "providers": { "idp": {
        "issuer": DISCOVERED, "audiences": [AUDIENCE], "upstream": "idp" } } }));
    engine.jitter = Jitter(0);
    let effects = engine.fetch(fetch_response(200, None, input));
    assert!(effects.shared_keys.is_none_or(|shared| shared.response.is_none()), "metadata was shared as keys");
    if let Some((_, result)) = effects.fetch_result {
        assert!(matches!(result, FetchResult::Failed { .. }), "metadata was taken for keys");
    }
    assert!(effects.fetches.is_empty() && effects.follow_ups.len() <= 1);
    for next in effects.follow_ups {
        let address = &next.request.address;
        assert_eq!((address.upstream.as_str(), address.scheme.as_str()), ("idp", "https"));
        assert!(address.authority.eq_ignore_ascii_case("idp.example"), "sent to {address}");
        let is_plain = address.path.bytes().all(|byte| (b'!'..=b'~').contains(&byte));
        assert!(address.path.starts_with('/') && is_plain, "a path that is none: {address}");
    }
}
