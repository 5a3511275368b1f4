//! Hosts other than Envoy: missing functions are not called where the call traps, and every failure ends in a decision or a
//! pause, never in a forwarded request.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use embedded_host::{Action, Fault, FaultyCalls, HostBehavior, Outcome, Property, Status, Support, Vm};
use serde_json::json;
use testbed::module::project_root;

use super::{
    configured, fetch_keys, fetched_keys, fields, forwarded, good_token, inline_keys, published, status, tick_until,
    with_keys, with_token,
};

/// The main job from end to end, on a host that tells nothing of itself.
fn the_main_job_works(behavior: HostBehavior) {
    let (mut vm, root) = configured(behavior, &fetched_keys());
    let waiting = vm.request(root, with_token(&good_token()));
    assert_eq!(vm.body(waiting, 10, true), Action::Pause);
    fetch_keys(&mut vm, root);
    tick_until(&mut vm, root, |vm| vm.outcome(waiting) != Outcome::Waiting);
    assert_eq!(forwarded(&vm, waiting, "x-user-id"), ["alice@acme.com"]);
    let refused = vm.request(root, fields(&[]));
    assert_eq!(status(&vm, refused), 401);
}

#[test]
fn host_that_traps_unknown_functions_serves_requests_with_any_properties() {
    for properties in [Property::Status(Status::NotFound), Property::Status(Status::InternalFailure), Property::Empty] {
        the_main_job_works(HostBehavior { properties, ..HostBehavior::nginx() });
    }
}

#[test]
fn host_like_envoy_without_foreign_functions_serves_requests() {
    for status in [Status::NotFound, Status::BadArgument, Status::InternalFailure] {
        the_main_job_works(HostBehavior { foreign_functions: Support::Fails(status), ..HostBehavior::envoy() });
    }
}

#[test]
fn host_that_fails_to_increment_metrics_serves_requests_and_is_called_once() {
    let fault =
        Fault { function: "proxy_increment_metric", status: Status::NotFound as i32, calls: FaultyCalls::From(1) };
    let behavior = HostBehavior { fault: Some(fault), ..HostBehavior::envoy() };
    the_main_job_works(behavior.clone());
    let (mut vm, root) = with_keys(behavior);
    for _ in 0..5 {
        let stream = vm.request(root, with_token(&good_token()));
        assert_eq!(forwarded(&vm, stream, "x-user-id"), ["alice@acme.com"]);
    }
    assert_eq!(vm.calls().get("proxy_increment_metric"), Some(&1));
    assert_eq!(vm.log().iter().filter(|line| line.contains("updating a metric failed")).count(), 1);
}

/// The standard library's hashers ask once and derive the rest.
#[test]
fn random_bytes_are_read_from_the_host_each_time() {
    let (mut vm, root) = configured(HostBehavior::nginx(), &fetched_keys());
    let asked = |vm: &Vm| vm.calls().get("random_get").copied().unwrap_or(0);
    let mut before = asked(&vm);
    assert!(before >= 2, "the engine and the reports have their own: {before}");
    for _ in 0..3 {
        vm.tick(root);
        assert!(asked(&vm) > before, "the pause before the next fetch");
        before = asked(&vm);
    }
}

/// The SDK panics there and leaves nothing to decide: better at the start than with a request.
#[test]
fn host_like_envoy_that_fails_to_define_metrics_is_detected_before_any_request() {
    let behavior = HostBehavior { metrics: Support::Fails(Status::InternalFailure), ..HostBehavior::envoy() };
    assert!(catch_unwind(AssertUnwindSafe(|| configured(behavior, &inline_keys()))).is_err());
}

#[test]
fn bare_host_gets_no_call_that_may_trap() {
    let (mut vm, root) = with_keys(HostBehavior::nginx());
    let stream = vm.request(root, with_token(&good_token()));
    vm.close(stream);
    for name in vm.calls().keys() {
        let dangerous = name.contains("_shared_") || name.ends_with("_metric") || name == "proxy_call_foreign_function";
        assert!(!dangerous, "{name} was called on a host that is not Envoy");
    }
}

/// The file that operators of nginx copy.
#[test]
fn nginx_configuration_rejects_bad_tokens_and_fetches_keys_for_a_good_one() {
    let conf = fs::read_to_string(project_root().join("deploy/nginx/nginx.conf")).unwrap();
    let (_, rest) = conf.split_once("proxy_wasm okta '").unwrap();
    let plugin = serde_json::from_str(rest.split_once("';").unwrap().0).unwrap();
    let (mut vm, root) = configured(HostBehavior::nginx(), &plugin);
    for head in [fields(&[]), with_token("x.y.z")] {
        let stream = vm.request(root, head);
        assert_eq!(status(&vm, stream), 401);
        vm.close(stream);
    }
    let waiting = vm.request(root, with_token(&good_token()));
    let callout = vm.take_callout().unwrap();
    assert_eq!((callout.owner, callout.upstream.as_str()), (waiting.0, "acme.okta.com:443"));
    vm.answer(&callout, published());
    assert_eq!(forwarded(&vm, waiting, "x-user-id"), ["alice@acme.com"]);
}

#[test]
fn non_text_bytes_are_rejected_like_any_bad_token_and_the_next_request_is_served() {
    let (mut vm, root) = with_keys(HostBehavior::nginx());
    for bytes in [&b"\xff"[..], b"Bearer \xff\xfe.\x80.\xc0", b"\0", b"", b"Bearer ", b"bearer\ta.b.c"] {
        let stream = vm.request(root, fields(&[("authorization", bytes), ("cookie", bytes), ("x-request-id", bytes)]));
        assert_eq!(status(&vm, stream), 401, "{bytes:?}");
    }
    let mut head = with_token(&good_token());
    head.push((String::from("x-custom"), b"\xff\xfe".to_vec()));
    head.push((String::from("x-user-id"), b"\xff".to_vec()));
    let stream = vm.request(root, head);
    assert_eq!(forwarded(&vm, stream, "x-user-id"), ["alice@acme.com"]);
}

#[test]
fn a_request_without_headers_is_rejected() {
    let (mut vm, root) = configured(HostBehavior::nginx(), &inline_keys());
    let stream = vm.request(root, Vec::new());
    assert_eq!(status(&vm, stream), 503, "there is no target to decide on");
}

#[test]
fn callout_that_fails_at_once_is_a_503_and_is_retried_later() {
    for refusal in [Status::BadArgument, Status::InternalFailure] {
        let (mut vm, root) =
            configured(HostBehavior { callouts: Support::Fails(refusal), ..HostBehavior::nginx() }, &fetched_keys());
        let stream = vm.request(root, with_token(&good_token()));
        tick_until(&mut vm, root, |vm| vm.outcome(stream) != Outcome::Waiting);
        assert_eq!(status(&vm, stream), 503);
        let tries = |vm: &embedded_host::Vm| vm.calls()["proxy_http_call"];
        assert_eq!(tries(&vm), 1);
        vm.pass(Duration::from_secs(60));
        vm.tick(root);
        assert_eq!(tries(&vm), 2, "{refusal:?}");
    }
}

#[test]
fn ticks_are_rare_when_idle() {
    let (mut vm, root) = with_keys(HostBehavior::envoy());
    let asked = |vm: &embedded_host::Vm| vm.calls()["proxy_set_tick_period_milliseconds"];
    let before = asked(&vm);
    for _ in 0..20 {
        let stream = vm.request(root, with_token(&good_token()));
        vm.close(stream);
    }
    assert_eq!(asked(&vm), before, "a request that is decided at once needs no tick");
    assert!(vm.tick_period(root).unwrap() >= Duration::from_secs(1), "{:?}", vm.tick_period(root));
    // Two timers instead of one, as a host has after a trap: the same single fetch.
    for _ in 0..10 {
        vm.tick(root);
    }
    assert_eq!(vm.take_callout(), None);
}

#[test]
fn clock_jump_neither_traps_nor_allows_an_expired_token() {
    let (mut vm, root) = with_keys(HostBehavior::nginx());
    let start = Duration::from_secs(super::NOW);
    for clock in [Duration::ZERO, Duration::from_secs(10_000_000_000), Duration::from_nanos(u64::MAX), start] {
        vm.set_clock(clock);
        vm.tick(root);
        if let Some(callout) = vm.take_callout() {
            vm.answer(&callout, published());
        }
        let stream = vm.request(root, with_token(&good_token()));
        tick_until(&mut vm, root, |vm| vm.outcome(stream) != Outcome::Waiting);
        let passed = matches!(vm.outcome(stream), Outcome::Forwarded(_));
        assert_eq!(passed, clock == start, "{clock:?}: {:?}", vm.log().last());
    }
}

#[test]
fn report_only_denials_are_counted_where_metrics_cannot_trap_and_allowed_everywhere() {
    let mut configuration = inline_keys();
    configuration["rules"] = json!([{ "name": "a.b", "require": { "groups": ["x"] }, "report_only": true }]);
    for (behavior, counted) in [(HostBehavior::envoy(), 2), (HostBehavior::nginx(), 0)] {
        let (mut vm, root) = configured(behavior, &configuration);
        for _ in 0..2 {
            let stream = vm.request(root, with_token(&good_token()));
            assert_eq!(forwarded(&vm, stream, "x-user-id"), ["alice@acme.com"]);
        }
        let calls = |name: &str| vm.calls().get(name).copied().unwrap_or(0);
        // The configuration; then of each request its rule's, its provider's, and what would have been.
        assert_eq!(calls("proxy_increment_metric"), if counted == 0 { 0 } else { 1 + 3 * counted });
        // Those, another outcome of configurations, and the two histograms.
        assert_eq!(calls("proxy_define_metric"), if counted == 0 { 0 } else { 2 + 3 + 2 });
        assert_eq!(calls("proxy_record_metric"), counted, "its time");
    }
}
