//! The targets that parse responses of an introspection endpoint, revocation feeds and records of the host's shared data.

use std::cell::RefCell;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use okta_proxy_wasm::callout::HttpResponse;
use okta_proxy_wasm::config;
use okta_proxy_wasm::introspection::call::CallResult;
use okta_proxy_wasm::introspection::sharing::{CallLease, NothingShared, SharedResponse};
use okta_proxy_wasm::introspection::{LookUp, ProviderIntrospection};
use okta_proxy_wasm::jose::PrivateKey;
use okta_proxy_wasm::lookup::rate_limiter::{Acquire, LimitReached, RateLimiter};
use okta_proxy_wasm::lookup::record::Record as _;
use okta_proxy_wasm::lookup::requester::Requester;
use okta_proxy_wasm::lookup::requester::{BudgetClass, Caller};
use okta_proxy_wasm::policy::{
    CacheLimits, CalloutAddress, ClientAuthentication, EndpointAddress, Introspection, OpaqueTokens, Policy,
};
use okta_proxy_wasm::randomness::Jitter;
use okta_proxy_wasm::redacted::Redacted;
use okta_proxy_wasm::revocation::list::RevocationList;
use okta_proxy_wasm::unix_time::UnixTime;
use serde_json::{Value, json};

use crate::engine_harness::NOW;
use crate::signing::{AUDIENCE, ISSUER};

fn policy() -> Policy {
    let configuration = json!({ "providers": { "a": { "issuer": ISSUER, "audiences": [AUDIENCE], "upstream": "a" } } });
    config::load(configuration.to_string().as_bytes(), &config::no_environment).expect("a configuration").policy
}

fn settings() -> Introspection {
    Introspection {
        address: EndpointAddress::Known(CalloutAddress::parse("https://idp.example/i", "idp").expect("an address")),
        client: ClientAuthentication::SecretPost { client_id: "c".to_owned(), secret: Redacted::new("s".to_owned()) },
        cache_ttl: Duration::from_secs(30),
        inactive_cache_ttl: Duration::from_secs(5),
        timeout: Duration::from_secs(2),
        requests_per_minute: NonZeroU32::MAX,
        stale_if_error: Duration::from_secs(60),
        opaque_tokens: OpaqueTokens::Accepted,
    }
}

/// An answer: its status in the first two bytes, `Retry-After` up to a line feed, then the body. Nothing is active but
/// by a 200 with one JSON object that says so to any reader of JSON, with our audience.
pub(crate) fn response(input: &[u8]) {
    thread_local! {
        static POLICY: RefCell<Policy> = RefCell::new(policy());
    }
    let Some(([low, high], rest)) = input.split_first_chunk::<2>() else { return };
    let status = u16::from_le_bytes([*low, *high]);
    let mut parts = rest.splitn(2, |byte| *byte == b'\n');
    let retry_after = parts.next().map(|text| String::from_utf8_lossy(text).into_owned());
    let body = parts.next().unwrap_or_default().to_vec();
    let now = UnixTime::from_secs(NOW);
    POLICY.with_borrow(|policy| {
        let (_, provider) = policy.providers.iter().next().expect("a provider");
        let mut introspection = ProviderIntrospection::new(settings(), CacheLimits::default(), Rc::new(NothingShared));
        let arrived = introspection.arrived();
        assert!(matches!(introspection.look_up_opaque(b"t", provider, arrived, now), LookUp::Pending(_)));
        let call = introspection.begin_calls(Jitter(0), now).calls.remove(0);
        let outcome = Ok(HttpResponse::new(status, body.clone()).with_header("retry-after", retry_after));
        let end = introspection.finish_call(call.number, None, outcome, provider, Jitter(0), now);
        assert_eq!(end.resume.len(), 1, "whoever waits is told");
        assert!(end.block.is_none_or(|until| until > now && until <= now.plus(Duration::from_secs(600))));
        let found = introspection.look_up_opaque(b"t", provider, arrived, now);
        assert!(!matches!(found, LookUp::Pending(_)), "asked again and again");
        assert_eq!(matches!(found, LookUp::Unavailable(_)), matches!(end.result, CallResult::Failed { .. }));
        if let LookUp::Active(token, _) = found {
            assert_eq!(status, 200);
            let read: Value = serde_json::from_slice(&body).expect("JSON");
            assert_eq!(read["active"], json!(true));
            assert!(
                read["aud"] == json!(AUDIENCE)
                    || read["aud"].as_array().is_some_and(|all| all.contains(&json!(AUDIENCE)))
            );
            assert!(token.is_current(now));
        }
    });
}

/// A revocation list, a record of the shared data, or a private key: what reads is written back the same, and nothing
/// panics.
pub(crate) fn records(input: &[u8]) {
    if let Ok(list) = RevocationList::parse(input) {
        let read: Value = serde_json::from_slice(input).expect("JSON");
        assert_eq!(read["revoked"].as_array().map(Vec::len), Some(list.len()));
    }
    if let Some(answer) = SharedResponse::from_bytes(input) {
        assert_eq!(answer.to_bytes(), input);
    }
    if let Some(lease) = CallLease::from_bytes(input) {
        assert_eq!(lease.to_bytes(), input);
    }
    let now = UnixTime::from_secs(NOW);
    let budget = RateLimiter::new(NonZeroU32::MIN);
    for class in [BudgetClass::Established, BudgetClass::Unknown] {
        for requester in [None, Requester::at_address(b"192.0.2.1:80")] {
            let caller = Caller { class, requester };
            match budget.try_acquire(Some(input), caller, now) {
                Acquire::Granted(record) => {
                    let again = budget.try_acquire(Some(&record), caller, now);
                    assert!(matches!(again, Acquire::Exhausted(LimitReached::Exhausted(_))), "more than the budget");
                }
                Acquire::Exhausted(denied) => assert!(denied.wait() <= Duration::from_secs(600), "waits: {denied:?}"),
            }
        }
    }
    if let Ok(text) = std::str::from_utf8(input) {
        let _ = PrivateKey::parse(text);
    }
}

/// Inputs to begin with.
pub(crate) fn seeds(target: &str) -> Vec<(&'static str, Vec<u8>)> {
    let of = |status: u16, retry_after: &str, body: &str| {
        [&status.to_le_bytes()[..], retry_after.as_bytes(), b"\n", body.as_bytes()].concat()
    };
    let active = json!({ "active": true, "iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "client_id": "c", "scope": "a b",
        "token_type": "Bearer", "exp": NOW + 60, "iat": NOW - 60, "nbf": NOW - 60, "jti": "AT.1" });
    let list = json!({ "revoked": [{ "iss": ISSUER, "sub": "alice", "issued_before": NOW }, { "jti": "AT.1" },
        { "client_id": "c" }, { "sid": "s" }] });
    let now = UnixTime::from_secs(NOW);
    match target {
        "introspection_response" => vec![
            ("active", of(200, "", &active.to_string())),
            ("inactive", of(200, "", "{\"active\":false}")),
            ("twice", of(200, "", "{\"active\":false,\"\\u0061ctive\":true,\"aud\":[\"a\"]}")),
            ("later", of(429, "Sun, 06 Nov 2026 08:49:37 GMT", "{}")),
            ("seconds", of(429, "120", "")),
        ],
        "introspection_records" => vec![
            ("list", list.to_string().into_bytes()),
            ("budget", RateLimiter::new(NonZeroU32::MIN).block(None, now.plus(Duration::from_secs(5)), now)),
            ("answer", [&[2, 1][..], &[7; 56], b"{\"active\":true}"].concat()),
            ("lease", [&[2][..], &[7; 56]].concat()),
            ("pem", include_bytes!("../../data/keys/ec-p256.pem").to_vec()),
            ("pem_rsa", include_bytes!("../../data/keys/rsa-2048-a.pem").to_vec()),
        ],
        _ => Vec::new(),
    }
}
