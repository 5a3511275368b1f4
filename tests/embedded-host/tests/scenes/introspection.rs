//! Token introspection: the calls, how two VMs of a process share them, and hosts without shared data.

use std::time::Duration;

use embedded_host::{
    Action, Callout, CalloutResponse, HostBehavior, Outcome, RootId, SharedStore, StreamId, Support, Vm,
};
use serde_json::{Value, json};

use super::{
    AUDIENCE, ISSUER, NOW, SigningKey, forwarded, good_token, inline_keys, key_set, status, tick_until, with_token,
};

const TOKEN: &str = "opaque+token/of~alice==";
const SECRET: &str = "hunter2%";
const ENVIRONMENT: &[&str] = &[
    "OKTA_CLIENT_SECRET=hunter2%",
    concat!("RSA_KEY=", include_str!("../../../data/keys/rsa-2048-a.pem")),
    concat!("P256_KEY=", include_str!("../../../data/keys/ec-p256.pem")),
];

fn introspecting(members: Value) -> Value {
    let mut introspection = json!({ "client_id": "0oaGateway", "client_secret": { "env": "OKTA_CLIENT_SECRET" } });
    for (name, value) in members.as_object().unwrap() {
        introspection[name] = value.clone();
    }
    if introspection["client_auth"] == "private_key_jwt" {
        introspection.as_object_mut().unwrap().remove("client_secret");
    }
    json!({ "providers": { "okta": {
        "okta": { "domain": "acme.okta.com" }, "audiences": [AUDIENCE], "upstream": "okta",
        "jwks": { "inline": key_set(&[&SigningKey::a("k1")]) }, "introspection": introspection } } })
}

fn started(behavior: HostBehavior, store: &SharedStore, configuration: &Value) -> (Vm, RootId) {
    let mut vm = Vm::start_sharing(HostBehavior { environment: ENVIRONMENT, ..behavior }, store);
    let (root, accepted) = vm.configure(configuration.to_string().as_bytes());
    assert!(accepted, "{:?}", vm.log());
    (vm, root)
}

/// A process with two workers, configured alike.
fn two_vms(members: Value) -> [(Vm, RootId); 2] {
    vms(members)
}

fn active() -> CalloutResponse {
    let members = json!({
        "active": true, "token_type": "Bearer", "scope": "read:accounts", "client_id": "0oa1client",
        "sub": "alice@acme.com", "iss": ISSUER, "aud": AUDIENCE, "iat": NOW, "exp": NOW + 3600,
    });
    CalloutResponse::new(200, members.to_string().as_bytes())
}

fn with_header(mut answer: CalloutResponse, name: &str, value: &str) -> CalloutResponse {
    answer.headers.push((name.to_owned(), value.as_bytes().to_vec()));
    answer
}

/// The call that a request with this token leads to.
fn next_callout(vm: &mut Vm, root: RootId) -> Callout {
    vm.tick(root);
    vm.take_callout().unwrap_or_else(|| panic!("nobody is asked: {:?}", vm.log()))
}

#[test]
fn managed_trailers_of_a_request_whose_token_is_introspected_are_removed_before_it_is_resumed() {
    for token in [TOKEN.to_owned(), good_token()] {
        let mut configuration = introspecting(json!({}));
        configuration["default_rule"] = json!({ "introspect": true });
        let (mut vm, root) = started(HostBehavior::envoy(), &SharedStore::default(), &configuration);
        let stream = vm.request(root, with_token(&token));
        let trailers = [("x-user-id", "mallory"), ("x-checksum", "0")];
        let trailers = trailers.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).to_vec();
        assert_eq!(vm.trailers(stream, trailers), Action::Pause);
        let callout = next_callout(&mut vm, root);
        vm.answer(&callout, active());
        tick_until(&mut vm, root, |vm| vm.outcome(stream) != Outcome::Waiting);
        assert_eq!(forwarded(&vm, stream, "x-user-id"), ["alice@acme.com"]);
        assert_eq!(vm.trailers_of(stream), [("x-checksum".to_owned(), b"0".to_vec())]);
    }
}

#[test]
fn token_is_sent_only_in_the_body_and_the_secret_only_once() {
    let (mut vm, root) = started(HostBehavior::envoy(), &SharedStore::default(), &introspecting(json!({})));
    let waiting = vm.request(root, with_token(TOKEN));
    let callout = next_callout(&mut vm, root);
    assert_eq!((callout.upstream.as_str(), callout.timeout), ("okta", Duration::from_secs(2)));
    for (name, expected) in [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "acme.okta.com"),
        (":path", "/oauth2/default/v1/introspect"),
        ("accept", "application/json"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("authorization", "Basic MG9hR2F0ZXdheTpodW50ZXIyJTI1"),
    ] {
        assert_eq!(callout.header(name), Some(expected), "{name}");
    }
    assert!(callout.header("user-agent").is_some_and(|agent| agent.starts_with("okta-proxy-wasm/")));
    assert_eq!(callout.headers.len(), 8, "{:?}", callout.headers);
    assert_eq!(callout.body, b"token=opaque%2Btoken%2Fof%7Ealice%3D%3D&token_type_hint=access_token");

    vm.answer(&callout, active());
    tick_until(&mut vm, root, |vm| vm.outcome(waiting) != Outcome::Waiting);
    assert_eq!(forwarded(&vm, waiting, "x-user-id"), ["alice@acme.com"]);
    let again = vm.request(root, with_token(TOKEN));
    assert_eq!(forwarded(&vm, again, "x-user-id"), ["alice@acme.com"], "it is remembered");
    assert_eq!(vm.take_callout(), None);
    for hidden in [TOKEN, "opaque%2B", SECRET, "MG9hR2F0"] {
        assert!(!vm.log().iter().any(|line| line.contains(hidden)), "{:?}", vm.log());
    }
}

#[test]
fn token_is_allowed_only_by_an_active_response_body() {
    for (answer, expected) in [
        (CalloutResponse::new(200, br#"{"active":false}"#), 401),
        (CalloutResponse::new(200, br#"{"active":"true"}"#), 503),
        (CalloutResponse::new(200, b"<html>"), 503),
        (CalloutResponse::new(200, &[b' '; 100_000]), 503),
        (CalloutResponse::new(500, b""), 503),
        (CalloutResponse::new(401, b""), 503),
        (CalloutResponse::none(), 503),
    ] {
        let (mut vm, root) = started(HostBehavior::envoy(), &SharedStore::default(), &introspecting(json!({})));
        let waiting = vm.request(root, with_token(TOKEN));
        let callout = next_callout(&mut vm, root);
        vm.answer(&callout, answer);
        tick_until(&mut vm, root, |vm| vm.outcome(waiting) != Outcome::Waiting);
        assert_eq!(status(&vm, waiting), expected, "{:?}", vm.log());
    }
}

#[test]
fn two_vms_make_one_introspection_call_and_both_resume_pending_requests() {
    let [(mut one, root_one), (mut two, root_two)] = two_vms(json!({}));
    let waits_at_one = one.request(root_one, with_token(TOKEN));
    let waits_at_two = two.request(root_two, with_token(TOKEN));
    let callout = next_callout(&mut one, root_one);
    two.tick(root_two);
    assert_eq!((one.take_callout(), two.take_callout()), (None, None), "one call for both");
    for vm in [&mut one, &mut two] {
        vm.pass(Duration::from_millis(100));
    }
    two.tick(root_two);
    assert_eq!((two.take_callout(), two.outcome(waits_at_two)), (None, Outcome::Waiting));

    one.answer(&callout, active());
    tick_until(&mut one, root_one, |vm| vm.outcome(waits_at_one) != Outcome::Waiting);
    tick_until(&mut two, root_two, |vm| vm.outcome(waits_at_two) != Outcome::Waiting);
    assert_eq!(forwarded(&one, waits_at_one, "x-user-id"), ["alice@acme.com"]);
    assert_eq!(forwarded(&two, waits_at_two, "x-user-id"), ["alice@acme.com"]);
    assert_eq!((one.take_callout(), two.take_callout()), (None, None), "a second call");
}

/// So many VMs of a process, configured alike.
fn vms<const N: usize>(members: Value) -> [(Vm, RootId); N] {
    let (store, configuration) = (SharedStore::default(), introspecting(members));
    [(); N].map(|()| started(HostBehavior::envoy(), &store, &configuration))
}

/// The same without times.
fn always_active() -> CalloutResponse {
    let members = json!({ "active": true, "sub": "alice@acme.com", "iss": ISSUER, "aud": AUDIENCE });
    CalloutResponse::new(200, members.to_string().as_bytes())
}

fn inactive() -> CalloutResponse {
    CalloutResponse::new(200, br#"{"active":false}"#)
}

/// The clock of the process says so, as seconds from the start.
fn set_clocks<const N: usize>(vms: &mut [(Vm, RootId); N], seconds: i64) {
    let now = Duration::from_secs(NOW.checked_add_signed(seconds).unwrap());
    vms.iter_mut().for_each(|(vm, root)| {
        vm.set_clock(now);
        vm.tick(*root);
    });
}

/// A request whose token has to be asked about, and its answer.
fn asks((vm, root): &mut (Vm, RootId), answer: CalloutResponse) -> StreamId {
    let stream = vm.request(*root, with_token(TOKEN));
    let callout = next_callout(vm, *root);
    vm.answer(&callout, answer);
    tick_until(vm, *root, |vm| vm.outcome(stream) != Outcome::Waiting);
    stream
}

#[test]
fn newer_response_of_another_vm_is_used_at_once_after_the_clock_was_set_back() {
    let mut vms = vms::<2>(json!({}));
    asks(&mut vms[0], always_active());
    let (two, root) = &mut vms[1];
    let taken_over = two.request(*root, with_token(TOKEN));
    tick_until(two, *root, |vm| vm.outcome(taken_over) != Outcome::Waiting);
    // By the clock that is not set, all that was known is too old.
    set_clocks(&mut vms, -3600);
    set_clocks(&mut vms, -3560);
    asks(&mut vms[0], always_active());
    let (two, root) = &mut vms[1];
    let stream = two.request(*root, with_token(TOKEN));
    tick_until(two, *root, |vm| vm.outcome(stream) != Outcome::Waiting);
    assert_eq!(two.take_callout(), None, "the other VM has asked already");
    assert_eq!(forwarded(two, stream, "x-user-id"), ["alice@acme.com"]);
}

#[test]
fn clock_step_never_restores_an_active_response_older_than_an_inactive_one() {
    let mut vms = vms::<3>(json!({}));
    asks(&mut vms[0], always_active());
    set_clocks(&mut vms, -100);
    let stream = asks(&mut vms[1], inactive());
    assert_eq!(status(&vms[1].0, stream), 401);
    // The refusal is over, and by the clock the active answer is a second old.
    set_clocks(&mut vms, 1);
    for (vm, root) in &mut vms[1..] {
        let stream = vm.request(*root, with_token(TOKEN));
        let callout = next_callout(vm, *root);
        assert_eq!(vm.outcome(stream), Outcome::Waiting);
        vm.answer(&callout, CalloutResponse::new(500, b""));
    }
}

#[test]
fn late_response_does_not_replace_the_response_of_a_later_call() {
    let mut vms = vms::<3>(json!({ "timeout": "1s" }));
    let (one, root_one) = &mut vms[0];
    let waiting = one.request(*root_one, with_token(TOKEN));
    let late = next_callout(one, *root_one);
    vms.iter_mut().for_each(|(vm, _)| vm.pass(Duration::from_millis(1600)));
    asks(&mut vms[1], inactive());
    let (one, root_one) = &mut vms[0];
    one.answer(&late, always_active());
    tick_until(one, *root_one, |vm| vm.outcome(waiting) != Outcome::Waiting);
    assert_eq!(status(one, waiting), 401);
    for pause in [0, 6] {
        let (three, root_three) = &mut vms[2];
        three.pass(Duration::from_secs(pause));
        let stream = three.request(*root_three, with_token(TOKEN));
        if pause == 0 {
            tick_until(three, *root_three, |vm| vm.outcome(stream) != Outcome::Waiting);
            assert_eq!(status(three, stream), 401);
        } else {
            next_callout(three, *root_three);
        }
    }
}

#[test]
fn lease_is_released_when_the_call_fails_and_expires_when_its_vm_dies() {
    let [(mut one, root_one), (mut two, root_two)] = two_vms(json!({}));
    one.request(root_one, with_token(TOKEN));
    let callout = next_callout(&mut one, root_one);
    one.answer(&callout, CalloutResponse::new(500, b""));
    two.request(root_two, with_token(TOKEN));
    assert!(next_callout(&mut two, root_two).body.starts_with(b"token=opaque"));
    drop(two);

    let store = SharedStore::default();
    let [(mut one, root_one), (mut two, root_two)] =
        [(); 2].map(|()| started(HostBehavior::envoy(), &store, &introspecting(json!({ "timeout": "1s" }))));
    one.request(root_one, with_token(TOKEN));
    next_callout(&mut one, root_one);
    drop(one);
    two.pass(Duration::from_millis(1400));
    two.request(root_two, with_token(TOKEN));
    two.tick(root_two);
    assert_eq!(two.take_callout(), None, "it may be answered yet");
    two.pass(Duration::from_millis(200));
    next_callout(&mut two, root_two);
}

#[test]
fn budget_is_shared_by_all_vms() {
    // Half of it, and so one call, is for tokens that nobody knows.
    let [(mut one, root_one), (mut two, root_two)] = two_vms(json!({ "requests_per_minute": 2 }));
    one.request(root_one, with_token(TOKEN));
    next_callout(&mut one, root_one);
    let waiting = two.request(root_two, with_token("another"));
    tick_until(&mut two, root_two, |vm| vm.outcome(waiting) != Outcome::Waiting);
    assert_eq!(status(&two, waiting), 503);
    assert!(two.reasons().contains(&"introspection_rate_limited".to_owned()), "{:?}", two.log());
    assert_eq!(two.take_callout(), None);
}

#[test]
fn endpoint_that_returns_retry_after_is_not_called_by_any_vm() {
    let [(mut one, root_one), (mut two, root_two)] = two_vms(json!({}));
    one.request(root_one, with_token(TOKEN));
    let callout = next_callout(&mut one, root_one);
    // What it says beside, and how much of it, is nothing to the point.
    let answer = with_header(CalloutResponse::new(429, &[b'x'; 100_000]), "retry-after", "20");
    one.answer(&callout, answer);
    let waiting = two.request(root_two, with_token("another"));
    tick_until(&mut two, root_two, |vm| vm.outcome(waiting) != Outcome::Waiting);
    assert_eq!((status(&two, waiting), two.take_callout()), (503, None));
    two.pass(Duration::from_secs(21));
    two.request(root_two, with_token("another"));
    next_callout(&mut two, root_two);
}

#[test]
fn without_shared_data_each_vm_introspects_itself_and_calls_nothing_that_may_trap() {
    let (mut vm, root) = started(HostBehavior::nginx(), &SharedStore::default(), &introspecting(json!({})));
    let waiting = vm.request(root, with_token(TOKEN));
    let callout = next_callout(&mut vm, root);
    vm.answer(&callout, active());
    tick_until(&mut vm, root, |vm| vm.outcome(waiting) != Outcome::Waiting);
    assert_eq!(forwarded(&vm, waiting, "x-user-id"), ["alice@acme.com"]);
    for name in vm.calls().keys() {
        let dangerous = name.contains("_shared_") || name == "proxy_call_foreign_function";
        assert!(!dangerous, "{name} was called on a host that is not Envoy");
    }
}

#[test]
fn configuration_without_its_secret_is_rejected() {
    let mut vm = Vm::start(HostBehavior::envoy());
    let (_, accepted) = vm.configure(introspecting(json!({})).to_string().as_bytes());
    assert!(!accepted);
    assert!(vm.log().iter().any(|line| line.contains("OKTA_CLIENT_SECRET")), "{:?}", vm.log());
}

#[test]
fn rsa_key_is_rejected_where_the_host_does_not_sign_and_p256_key_needs_no_host() {
    let signing =
        |variable| introspecting(json!({ "client_auth": "private_key_jwt", "private_key": { "env": variable } }));
    for behavior in [HostBehavior::envoy(), HostBehavior::nginx()] {
        let mut vm = Vm::start(HostBehavior { environment: ENVIRONMENT, ..behavior.clone() });
        let (_, accepted) = vm.configure(signing("RSA_KEY").to_string().as_bytes());
        assert_eq!(accepted, behavior.is_nginx, "nginx would end the worker");
        assert!(vm.log().iter().any(|line| line.contains("does not sign")), "{:?}", vm.log());

        let (mut vm, root) = started(behavior, &SharedStore::default(), &signing("P256_KEY"));
        let bodies = ["one", "another"].map(|token| {
            vm.request(root, with_token(token));
            let callout = next_callout(&mut vm, root);
            assert_eq!(callout.header("authorization"), None);
            String::from_utf8(callout.body).unwrap()
        });
        let assertions = bodies.map(|body| body.split_once("&client_assertion=").unwrap().1.to_owned());
        assert_ne!(assertions[0], assertions[1], "each is used once");
    }
}

#[test]
fn rejected_client_credentials_are_logged_as_one_error_and_not_per_token() {
    let (mut vm, root) = started(HostBehavior::envoy(), &SharedStore::default(), &introspecting(json!({})));
    for number in 0..5 {
        vm.request(root, with_token(&format!("opaque-{number}")));
    }
    vm.tick(root);
    while let Some(callout) = vm.take_callout() {
        vm.answer(&callout, CalloutResponse::new(403, b""));
    }
    let is_error = |line: &&String| line.starts_with("error: ") && line.contains("credentials_refused");
    assert_eq!(vm.log().iter().filter(is_error).count(), 1, "{:?}", vm.log());
}

#[test]
fn failed_dispatch_releases_its_lease() {
    let store = SharedStore::default();
    let refusing =
        HostBehavior { callouts: Support::Fails(embedded_host::Status::BadArgument), ..HostBehavior::envoy() };
    let (mut one, root_one) = started(refusing, &store, &introspecting(json!({})));
    let (mut two, root_two) = started(HostBehavior::envoy(), &store, &introspecting(json!({})));
    let waiting = one.request(root_one, with_token(TOKEN));
    tick_until(&mut one, root_one, |vm| vm.outcome(waiting) != Outcome::Waiting);
    assert_eq!(status(&one, waiting), 503);
    two.request(root_two, with_token(TOKEN));
    next_callout(&mut two, root_two);
}

#[test]
fn call_of_a_replaced_configuration_neither_blocks_nor_resumes_requests() {
    let [(mut one, root_one), (mut two, root_two)] = two_vms(json!({}));
    one.request(root_one, with_token(TOKEN));
    let callout = next_callout(&mut one, root_one);
    assert!(one.reconfigure(root_one, introspecting(json!({})).to_string().as_bytes()));
    two.request(root_two, with_token(TOKEN));
    next_callout(&mut two, root_two);

    let waiting = one.request(root_one, with_token(TOKEN));
    one.tick(root_one);
    one.answer(&callout, active());
    assert_eq!(one.outcome(waiting), Outcome::Waiting, "the other VM's answer is waited for");
}

#[test]
fn introspection_endpoint_is_discovered_by_metadata_without_sending_the_secret() {
    let issuer = "https://idp.acme.com";
    let mut configuration = introspecting(json!({}));
    let provider = &mut configuration["providers"]["okta"];
    provider.as_object_mut().unwrap().remove("okta");
    provider["issuer"] = json!(issuer);
    let (mut vm, root) = started(HostBehavior::envoy(), &SharedStore::default(), &configuration);
    let waiting = vm.request(root, with_token(TOKEN));
    let metadata = json!({ "issuer": issuer, "introspection_endpoint": "https://idp.acme.com/ask" }).to_string();
    for answer in [CalloutResponse::new(404, b""), CalloutResponse::new(200, metadata.as_bytes())] {
        let callout = next_callout(&mut vm, root);
        assert_eq!((callout.header(":method"), callout.header("authorization")), (Some("GET"), None));
        assert!(callout.header(":path").unwrap().starts_with("/.well-known/"), "{:?}", callout.headers);
        assert_eq!(callout.body, b"");
        vm.answer(&callout, answer);
    }
    let callout = next_callout(&mut vm, root);
    assert_eq!((callout.header(":method"), callout.header(":path")), (Some("POST"), Some("/ask")));
    let answer = json!({ "active": true, "sub": "alice@acme.com", "iss": issuer, "aud": AUDIENCE, "exp": NOW + 3600 });
    vm.answer(&callout, CalloutResponse::new(200, answer.to_string().as_bytes()));
    tick_until(&mut vm, root, |vm| vm.outcome(waiting) != Outcome::Waiting);
    assert_eq!(forwarded(&vm, waiting, "x-user-id"), ["alice@acme.com"]);
}

#[test]
fn revocation_list_is_polled_with_its_etag() {
    let mut configuration = inline_keys();
    configuration["revocations"] = json!({ "uri": "https://sec.acme.com/revoked.json", "upstream": "sec" });
    let (mut vm, root) = started(HostBehavior::nginx(), &SharedStore::default(), &configuration);
    let waits = vm.request(root, with_token(&good_token()));
    let poll = next_callout(&mut vm, root);
    assert_eq!(vm.outcome(waits), Outcome::Waiting, "until there is a list");
    assert_eq!((poll.upstream.as_str(), poll.header(":path")), ("sec", Some("/revoked.json")));
    assert_eq!((poll.header(":method"), poll.header("if-none-match"), poll.body.len()), (Some("GET"), None, 0));
    vm.answer(&poll, with_header(CalloutResponse::new(200, br#"{"revoked":[]}"#), "etag", "\"a\""));
    assert_eq!(forwarded(&vm, waits, "x-user-id"), ["alice@acme.com"]);
    let passes = vm.request(root, with_token(&good_token()));
    assert_eq!(forwarded(&vm, passes, "x-user-id"), ["alice@acme.com"]);

    vm.pass(Duration::from_secs(10));
    let poll = next_callout(&mut vm, root);
    assert_eq!(poll.header("if-none-match"), Some("\"a\""));
    vm.answer(&poll, CalloutResponse::new(200, br#"{"revoked":[{"sub":"alice@acme.com"}]}"#));
    let revoked = vm.request(root, with_token(&good_token()));
    assert_eq!(status(&vm, revoked), 401);

    vm.pass(Duration::from_secs(10));
    let poll = next_callout(&mut vm, root);
    vm.answer(&poll, CalloutResponse::none());
    let still = vm.request(root, with_token(&good_token()));
    assert_eq!(status(&vm, still), 401);
    assert!(vm.log().iter().any(|line| line.starts_with("warn: the list of revoked tokens could not be read")));
}
