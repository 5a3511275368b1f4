//! Filter state set by the host's own means: where they are missing the configuration is rejected, and where they fail the
//! request is rejected.

use embedded_host::{HostBehavior, Outcome, Property, Status, Support, Vm};
use serde_json::{Value, json};

use super::signing::with;
use super::{configured, fetch_keys, fetched_keys, fields, good_token, inline_keys, status, tick_until, with_token};

/// Envoy with the functions that filter state needs.
fn envoy() -> HostBehavior {
    HostBehavior { foreign_functions: Support::Served, ..HostBehavior::envoy() }
}

fn with_filter_state(document: &Value) -> Value {
    with(document, json!({ "filter_state": ["subject", "reason"] }))
}

#[test]
fn each_name_is_declared_as_a_string_of_one_request_that_is_written_once() {
    let (mut vm, root) = configured(envoy(), &with_filter_state(&inline_keys()));
    let declared = [
        r"\n\rauth_decision\x10\x01\x18\x01",
        r"\n\x0bauth_reason\x10\x01\x18\x01",
        r"\n\x0cauth_subject\x10\x01\x18\x01",
    ];
    let mut found = vm.declared();
    found.sort_unstable();
    let mut expected = declared.to_vec();
    expected.sort_unstable();
    assert_eq!(found, expected);
    // A root that is configured again has declared them already.
    assert!(vm.reconfigure(root, with_filter_state(&inline_keys()).to_string().as_bytes()), "{:?}", vm.log());
    let good = vm.request(root, with_token(&good_token()));
    let all = ["auth_decision=allow", "auth_reason=authorized", "auth_subject=alice@acme.com"];
    assert_eq!(vm.filter_state(good), all);
    assert!(matches!(vm.outcome(good), Outcome::Forwarded(_)));
    let bad = vm.request(root, fields(&[]));
    assert_eq!(vm.filter_state(bad), ["auth_decision=deny", "auth_reason=token_missing"]);
    assert_eq!(status(&vm, bad), 401);
}

#[test]
fn filter_state_of_a_pending_request_is_set_on_its_own_stream() {
    let (mut vm, root) = configured(envoy(), &with_filter_state(&fetched_keys()));
    let good = vm.request(root, with_token(&good_token()));
    let bad = vm.request(root, with_token("a.b.c"));
    assert_eq!(vm.filter_state(good), [""; 0], "nothing is decided yet");
    fetch_keys(&mut vm, root);
    tick_until(&mut vm, root, |vm| vm.outcome(good) != Outcome::Waiting);
    let all = ["auth_decision=allow", "auth_reason=authorized", "auth_subject=alice@acme.com"];
    assert_eq!(vm.filter_state(good), all);
    assert_eq!(vm.filter_state(bad), ["auth_decision=deny", "auth_reason=token_encoding"]);
}

#[test]
fn configuration_that_needs_filter_state_or_routes_is_rejected_on_hosts_without_them() {
    let clearing = with(&inline_keys(), json!({ "clear_route_cache": true }));
    for (behavior, document) in [
        (HostBehavior::nginx(), with_filter_state(&inline_keys())),
        (HostBehavior::nginx(), clearing.clone()),
        (
            HostBehavior { properties: Property::Empty, is_nginx: false, ..HostBehavior::nginx() },
            with_filter_state(&inline_keys()),
        ),
        // Its own version of Envoy, without the function.
        (
            HostBehavior { foreign_functions: Support::Fails(Status::NotFound), ..envoy() },
            with_filter_state(&inline_keys()),
        ),
        (
            HostBehavior { foreign_functions: Support::Fails(Status::InternalFailure), ..envoy() },
            with_filter_state(&inline_keys()),
        ),
    ] {
        let is_nginx = behavior.is_nginx;
        let setting = if document == clearing { "clear_route_cache" } else { "filter_state" };
        let mut vm = Vm::start(behavior);
        let (root, accepted) = vm.configure(document.to_string().as_bytes());
        assert_eq!(accepted, is_nginx, "nginx would end the worker: {document}");
        assert!(vm.log().iter().any(|line| line.starts_with("error") && line.contains(setting)), "{:?}", vm.log());
        let stream = vm.request(root, with_token(&good_token()));
        assert_eq!(status(&vm, stream), 503, "a request without a configuration");
        assert!(!vm.calls().contains_key("proxy_set_property"));
    }
}

#[test]
fn filter_state_set_by_another_plugin_is_kept_and_the_request_is_rejected() {
    let (mut vm, root) = configured(envoy(), &with_filter_state(&inline_keys()));
    let good = vm.write_state_first(root, with_token(&good_token()), "auth_decision");
    assert_eq!(status(&vm, good), 503);
    assert_eq!(vm.filter_state(good), ["auth_decision=of another plugin"]);
    let bad = vm.write_state_first(root, fields(&[]), "auth_decision");
    assert_eq!(status(&vm, bad), 401);
    let counted = |verdict_and_reason: &str| {
        vm.metric_value(&format!("okta_proxy_wasm.decisions_total.{verdict_and_reason}.rule.%28unnamed%29"))
    };
    assert_eq!(counted("verdict.deny.reason.undelivered"), 1, "what does not pass is not counted as passed");
    assert_eq!(counted("verdict.allow.reason.authorized"), 0);
}

#[test]
fn failed_clear_route_cache_rejects_the_request() {
    let document = with(&inline_keys(), json!({ "clear_route_cache": true }));
    let (mut vm, root) = configured(envoy(), &document);
    let calls = |vm: &Vm| vm.calls().get("proxy_call_foreign_function").copied().unwrap_or_default();
    // The signature of the first one is verified by the host too.
    vm.request(root, with_token(&good_token()));
    let before = calls(&vm);
    let good = vm.request(root, with_token(&good_token()));
    assert!(matches!(vm.outcome(good), Outcome::Forwarded(_)));
    assert_eq!(calls(&vm), before + 1);
    let bad = vm.request(root, fields(&[]));
    assert_eq!((status(&vm, bad), calls(&vm)), (401, before + 1), "a refusal has no route");
    let (mut vm, root) = configured(HostBehavior::envoy(), &document);
    let good = vm.request(root, with_token(&good_token()));
    assert_eq!(status(&vm, good), 503);
}
