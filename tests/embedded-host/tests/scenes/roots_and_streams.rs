//! Many streams, and more than one configuration, in one VM.

use std::time::Duration;

use embedded_host::{Action, CalloutResponse, HostBehavior, Outcome, Vm};
use serde_json::json;

use super::signing::{AUDIENCE, SigningKey, key_set, payload};
use super::{
    NOW, configured, fetch_keys, fetched_keys, forwarded, good_token, inline_keys, published, status, tick_until,
    with_keys, with_token,
};

/// How many requests may wait in one VM, as the README promises.
const MOST_THAT_WAIT: usize = 4096;

#[test]
fn closed_pending_stream_is_dropped_and_its_keys_are_still_cached() {
    let (mut vm, root) = configured(HostBehavior::envoy(), &fetched_keys());
    let gone = vm.request(root, with_token(&good_token()));
    vm.tick(root);
    vm.close(gone);
    let callout = vm.take_callout().unwrap();
    vm.answer(&callout, published());
    assert_eq!(vm.outcome(gone), Outcome::Waiting);
    let next = vm.request(root, with_token(&good_token()));
    assert_eq!(forwarded(&vm, next, "x-user-id"), ["alice@acme.com"]);
}

#[test]
fn closed_pending_streams_free_capacity_for_others() {
    let (mut vm, root) = configured(HostBehavior::envoy(), &fetched_keys());
    let token = good_token();
    for _ in 0..=MOST_THAT_WAIT {
        let gone = vm.request(root, with_token(&token));
        assert_eq!(vm.outcome(gone), Outcome::Waiting, "those that left still count");
        vm.close(gone);
    }
    let stays = vm.request(root, with_token(&token));
    fetch_keys(&mut vm, root);
    tick_until(&mut vm, root, |vm| vm.outcome(stays) != Outcome::Waiting);
    assert_eq!(forwarded(&vm, stays, "x-user-id"), ["alice@acme.com"]);
}

/// Envoy begins to count reloaded each time that it is asked for a tick: a crowd that comes faster than the tick would put it
/// off for as long as it comes.
#[test]
fn many_pending_requests_set_the_tick_once() {
    let (mut vm, root) = configured(HostBehavior::envoy(), &fetched_keys());
    let asked = |vm: &Vm| vm.calls()["proxy_set_tick_period_milliseconds"];
    vm.tick(root);
    for _ in 0..2 {
        let before = asked(&vm);
        let crowd: Vec<_> = (0..100).map(|_| vm.request(root, with_token(&good_token()))).collect();
        assert_eq!(asked(&vm), before + 1, "for the whole crowd");
        assert_eq!(vm.tick_period(root), Some(Duration::from_millis(1)));
        assert!(crowd.iter().all(|stream| vm.outcome(*stream) == Outcome::Waiting));
        // Who comes after the tick needs another one.
        vm.tick(root);
    }
}

#[test]
fn pending_request_wakes_its_root_before_the_next_tick() {
    let (mut vm, first) = configured(HostBehavior::envoy(), &fetched_keys());
    let (second, _) = vm.configure(fetched_keys().to_string().as_bytes());
    // Both configurations begin with one fetch of their keys, in vain.
    vm.tick(first);
    vm.tick(second);
    let callout = vm.take_callout().expect("the first of them has asked");
    vm.answer(&callout, CalloutResponse::new(500, b""));
    vm.deliver_queues();
    assert_eq!(vm.take_callout(), None);
    vm.pass(Duration::from_secs(60));
    for root in [first, second] {
        vm.request(root, with_token(&good_token()));
        assert_eq!(vm.deliver_queues(), 1);
        let callout = vm.take_callout().expect("keys are fetched for it");
        assert_eq!(callout.owner, root.0);
        vm.answer(&callout, CalloutResponse::new(500, b""));
        vm.deliver_queues();
        vm.pass(Duration::from_secs(60));
    }
}

#[test]
fn reused_stream_id_is_a_new_request() {
    let (mut vm, root) = configured(HostBehavior::envoy(), &fetched_keys());
    let first = vm.request(root, with_token(&good_token()));
    vm.close(first);
    let again = vm.request_again(first, root, with_token(&SigningKey::b("k1").token(&payload(NOW))));
    fetch_keys(&mut vm, root);
    tick_until(&mut vm, root, |vm| vm.outcome(again) != Outcome::Waiting);
    assert_eq!(status(&vm, again), 401, "decided by the token of another request");
}

#[test]
fn duplicate_stream_id_traps_and_fails_closed() {
    let (mut vm, root) = with_keys(HostBehavior::envoy());
    let stream = vm.request(root, Vec::new());
    assert!(vm.create_context(stream.0, root).is_err(), "the SDK refuses this with a trap, and a trap fails closed");
}

#[test]
fn a_second_configuration_on_the_same_root_replaces_the_first() {
    let (mut vm, root) = configured(HostBehavior::envoy(), &inline_keys());
    let other_keys = json!({ "providers": { "okta": { "issuer": super::ISSUER, "audiences": [AUDIENCE],
        "jwks": { "inline": key_set(&[&SigningKey::b("k2")]) } } } });
    assert!(vm.reconfigure(root, other_keys.to_string().as_bytes()));
    let old = vm.request(root, with_token(&good_token()));
    assert_eq!(status(&vm, old), 401);
    let new = vm.request(root, with_token(&SigningKey::b("k2").token(&payload(NOW))));
    assert_eq!(forwarded(&vm, new, "x-user-id"), ["alice@acme.com"]);
}

#[test]
fn response_to_a_fetch_of_a_replaced_configuration_is_ignored() {
    let (mut vm, root) = configured(HostBehavior::envoy(), &fetched_keys());
    vm.tick(root);
    let old = vm.take_callout().unwrap();
    let other_issuer = json!({ "providers": { "other": { "issuer": super::ISSUER, "audiences": [AUDIENCE],
        "upstream": "other", "jwks": { "uri": "https://other.example/keys" } } } });
    assert!(vm.reconfigure(root, other_issuer.to_string().as_bytes()));
    vm.tick(root);
    let new = vm.take_callout().unwrap();
    assert_eq!(new.upstream, "other");
    vm.answer(&old, published());
    let stream = vm.request(root, with_token(&good_token()));
    assert_eq!(vm.outcome(stream), Outcome::Waiting, "decided with the keys of another issuer");
    vm.answer(&new, CalloutResponse::new(200, key_set(&[&SigningKey::b("k1")]).to_string().as_bytes()));
    tick_until(&mut vm, root, |vm| vm.outcome(stream) != Outcome::Waiting);
    assert_eq!(status(&vm, stream), 401);
}

#[test]
fn second_root_in_one_vm_has_separate_keys_and_streams() {
    let (mut vm, first) = configured(HostBehavior::envoy(), &inline_keys());
    let (second, accepted) = vm.configure(fetched_keys().to_string().as_bytes());
    assert!(accepted);
    let waiting = vm.request(second, with_token(&good_token()));
    let decided = vm.request(first, with_token(&good_token()));
    assert_eq!(vm.outcome(waiting), Outcome::Waiting);
    assert_eq!(forwarded(&vm, decided, "x-user-id"), ["alice@acme.com"]);
    vm.tick(first);
    assert_eq!(vm.take_callout(), None);
    fetch_keys(&mut vm, second);
    tick_until(&mut vm, second, |vm| vm.outcome(waiting) != Outcome::Waiting);
    assert_eq!(forwarded(&vm, waiting, "x-user-id"), ["alice@acme.com"]);
}

#[test]
fn stream_parked_under_a_replaced_configuration_is_never_forwarded_undecided() {
    let (mut vm, root) = configured(HostBehavior::envoy(), &fetched_keys());
    let stream = vm.request(root, with_token(&SigningKey::b("k1").token(&payload(NOW))));
    vm.tick(root);
    let callout = vm.take_callout().unwrap();
    assert!(vm.reconfigure(root, inline_keys().to_string().as_bytes()));
    vm.answer(&callout, CalloutResponse::new(200, key_set(&[&SigningKey::b("k1")]).to_string().as_bytes()));
    for _ in 0..10 {
        vm.pass(Duration::from_secs(10));
        vm.tick(root);
    }
    assert_eq!(vm.body(stream, 10, true), Action::Pause);
    assert!(!matches!(vm.outcome(stream), Outcome::Forwarded(_)));
    vm.close(stream);
}

#[test]
fn unsolicited_callout_response_is_ignored() {
    let (mut vm, root) = configured(HostBehavior::envoy(), &fetched_keys());
    let stream = vm.request(root, with_token(&good_token()));
    vm.tick(root);
    let callout = vm.take_callout().unwrap();
    vm.answer(&callout, CalloutResponse::new(500, b""));
    tick_until(&mut vm, root, |vm| vm.outcome(stream) != Outcome::Waiting);
    assert_eq!(status(&vm, stream), 503);
}

#[test]
fn a_thousand_requests_do_not_grow_module_memory() {
    let (mut vm, root) = with_keys(HostBehavior::envoy());
    let churn = |vm: &mut Vm, count: usize| {
        for number in 0..count {
            let token = SigningKey::a("k1").token(&payload(NOW));
            let head = if number % 10 == 0 { with_token(&token) } else { with_token(&format!("x{number}.y.z")) };
            let stream = vm.request(root, head);
            vm.close(stream);
        }
    };
    churn(&mut vm, 100);
    let before = vm.memory();
    churn(&mut vm, 900);
    assert!(vm.memory() <= before + 128 * 1024, "{before} -> {}", vm.memory());
}
