//! The main job, as a host with Envoy's behaviour sees it.

use std::collections::BTreeMap;
use std::time::Duration;

use embedded_host::{Action, CalloutResponse, Fields, HostBehavior, Outcome, StreamId, Vm};
use serde_json::json;

use super::signing::{SigningKey, payload, with};
use super::{
    NOW, configured, fetch_keys, fetched_keys, fields, forwarded, good_token, inline_keys, published, status,
    tick_until, with_keys, with_token,
};

/// What one request may cost in crossings between host and module: its calls to the host, and the callbacks and
/// allocations by which the host enters it. Crossings are the price of a request on a busy gateway. Lower these when you
/// can; raise them only with a reason. Four are the metrics: the clock a second time and the time of the decision, and a
/// count under the rule and one under the provider, if there is any. One entry is the response's: it can carry the next
/// nonce for DPoP proofs.
const MOST_CALLS_WHEN_ADMITTED: usize = 10;
const MOST_CALLS_WHEN_REFUSED: usize = 7;
const MOST_ENTRIES_WHEN_ADMITTED: usize = 5;
const MOST_ENTRIES_WHEN_REFUSED: usize = 5;

#[test]
fn keys_are_fetched_on_the_first_tick_and_a_good_request_is_forwarded_with_its_identity() {
    let (mut vm, root) = configured(HostBehavior::envoy(), &fetched_keys());
    assert_eq!(vm.take_callout(), None, "some hosts allow no callout while they configure");
    vm.tick(root);
    let callout = vm.take_callout().unwrap();
    assert_eq!(callout.upstream, "okta");
    assert_eq!(callout.header(":method"), Some("GET"));
    assert_eq!(callout.header(":authority"), Some("acme.okta.com"));
    assert_eq!(callout.header(":path"), Some("/oauth2/default/v1/keys"));
    assert_eq!(callout.header(":scheme"), Some("https"));
    assert_eq!(callout.timeout, Duration::from_secs(5));
    vm.answer(&callout, published());
    assert_eq!(vm.take_callout(), None);

    let mut head = with_token(&good_token());
    head.extend(
        [("x-user-id", "mallory"), ("X-User-Id", "mallory"), ("x_user_id", "mallory"), ("x-kept", "yes")]
            .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())),
    );
    let stream = vm.request(root, head);
    assert_eq!(forwarded(&vm, stream, "x-user-id"), ["alice@acme.com"]);
    assert_eq!(forwarded(&vm, stream, "x-client-id"), ["0oa1client"]);
    assert_eq!(forwarded(&vm, stream, "x-granted-scopes"), ["read:accounts write:accounts"]);
    assert_eq!(forwarded(&vm, stream, "x-kept"), ["yes"]);
    for gone in ["authorization", "X-User-Id", "x_user_id"] {
        assert_eq!(forwarded(&vm, stream, gone), Vec::<String>::new(), "{gone}");
    }
    assert_eq!(vm.body(stream, 100, true), Action::Continue);
    vm.close(stream);
}

#[test]
fn request_without_a_good_token_is_rejected_and_every_later_callback_pauses() {
    let (mut vm, root) = with_keys(HostBehavior::envoy());
    let expired = SigningKey::a("k1").token(&with(&payload(NOW), json!({ "exp": NOW - 600 })));
    for (head, expected, reason) in [
        (fields(&[]), 401, "token_missing"),
        (with_token(&expired), 401, "token_expired"),
        (with_token("not-a-token"), 401, "token_opaque"),
        (
            fields(&[("authorization", b"Bearer a.b.c"), ("authorization", b"Bearer a.b.c")]),
            400,
            "multiple_credentials",
        ),
    ] {
        let stream = vm.request(root, head);
        assert_eq!(status(&vm, stream), expected, "{reason}");
        assert_eq!(vm.reasons().last().unwrap(), reason);
        assert_eq!(vm.body(stream, 10, false), Action::Pause, "{reason}");
        assert_eq!(vm.trailers(stream, Vec::new()), Action::Pause, "{reason}");
        vm.close(stream);
    }
}

/// Its key may have been replaced under the same `kid`: it waits for a newer set, once.
#[test]
fn failed_signature_waits_for_a_newer_key_set_and_is_rejected_with_every_later_callback_paused() {
    let (mut vm, root) = with_keys(HostBehavior::envoy());
    let forged = SigningKey::b("k1").token(&payload(NOW));
    let first = vm.request(root, with_token(&forged));
    assert_eq!(vm.outcome(first), Outcome::Waiting);
    assert_eq!(vm.body(first, 1024, false), Action::Pause, "forwarded undecided");
    fetch_keys(&mut vm, root);
    tick_until(&mut vm, root, |vm| vm.outcome(first) != Outcome::Waiting);
    let second = vm.request(root, with_token(&forged));
    for stream in [first, second] {
        assert_eq!(status(&vm, stream), 401);
        assert_eq!(vm.reasons().last().unwrap(), "signature_invalid");
        assert_eq!(vm.body(stream, 10, false), Action::Pause);
        assert_eq!(vm.trailers(stream, Vec::new()), Action::Pause);
        vm.close(stream);
    }
}

#[test]
fn post_before_the_keys_pauses_in_every_callback_and_is_resumed_by_the_root() {
    let (mut vm, root) = configured(HostBehavior::envoy(), &fetched_keys());
    let good = vm.request(root, with_token(&good_token()));
    let bad = vm.request(root, with_token(&SigningKey::b("k1").token(&payload(NOW))));
    for stream in [good, bad] {
        assert_eq!(vm.outcome(stream), Outcome::Waiting);
        assert_eq!(vm.body(stream, 1024, false), Action::Pause, "forwarded undecided");
        assert_eq!(vm.trailers(stream, Vec::new()), Action::Pause, "forwarded undecided");
    }
    fetch_keys(&mut vm, root);
    tick_until(&mut vm, root, |vm| vm.outcome(bad) != Outcome::Waiting && vm.outcome(good) != Outcome::Waiting);
    assert_eq!(forwarded(&vm, good, "x-user-id"), ["alice@acme.com"]);
    assert_eq!(vm.body(good, 1024, true), Action::Continue);
    assert_eq!(status(&vm, bad), 401);
    assert_eq!(vm.body(bad, 1024, true), Action::Pause);
}

#[test]
fn many_pending_requests_are_resumed_in_bounded_batches() {
    let (mut vm, root) = configured(HostBehavior::envoy(), &fetched_keys());
    let token = good_token();
    let crowd: Vec<_> = (0..100).map(|_| vm.request(root, with_token(&token))).collect();
    vm.tick(root);
    let callout = vm.take_callout().unwrap();
    let released = |vm: &Vm| crowd.iter().filter(|id| vm.outcome(**id) != Outcome::Waiting).count();
    vm.answer(&callout, published());
    let first = released(&vm);
    assert!(first <= 50, "{first} streams released in one callback");
    tick_until(&mut vm, root, |vm| released(vm) == crowd.len());
    assert_eq!(vm.take_callout(), None, "one fetch serves them all");
}

/// Trailers of which a client controls all, three of them named like what only the filter writes.
fn forged_trailers() -> Fields {
    let trailers = [("x-user-id", "mallory"), ("x-checksum", "0"), ("X_Client_Id", "mallory"), ("Authorization", "a")];
    trailers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
}

fn trailer_names(vm: &Vm, stream: StreamId) -> Vec<String> {
    vm.trailers_of(stream).into_iter().map(|(name, _)| name).collect()
}

#[test]
fn managed_trailers_never_reach_the_backend() {
    let (mut vm, root) = configured(HostBehavior::envoy(), &inline_keys());
    let stream = vm.request(root, with_token(&good_token()));
    assert_eq!(vm.trailers(stream, forged_trailers()), Action::Continue);
    assert_eq!(trailer_names(&vm, stream), ["x-checksum"]);
}

/// With `allow_on_headers_stop_iteration` Envoy calls the trailer callback while the request is pending, and not again
/// after it is resumed.
#[test]
fn managed_trailers_of_a_pending_request_are_removed_before_it_is_resumed() {
    let (mut vm, root) = configured(HostBehavior::envoy(), &fetched_keys());
    let good = vm.request(root, with_token(&good_token()));
    let bad = vm.request(root, with_token(&SigningKey::b("k1").token(&payload(NOW))));
    for stream in [good, bad] {
        assert_eq!(vm.body(stream, 1024, false), Action::Pause);
        assert_eq!(vm.trailers(stream, forged_trailers()), Action::Pause);
        assert_eq!(trailer_names(&vm, stream), ["x-checksum"]);
    }
    fetch_keys(&mut vm, root);
    tick_until(&mut vm, root, |vm| vm.outcome(bad) != Outcome::Waiting && vm.outcome(good) != Outcome::Waiting);
    assert_eq!(forwarded(&vm, good, "x-user-id"), ["alice@acme.com"]);
    assert_eq!(trailer_names(&vm, good), ["x-checksum"]);
    assert_eq!(status(&vm, bad), 401);
}

#[test]
fn managed_trailers_of_a_rejected_request_are_removed() {
    let (mut vm, root) = configured(HostBehavior::envoy(), &inline_keys());
    let stream = vm.request(root, fields(&[]));
    assert_eq!(status(&vm, stream), 401);
    assert_eq!(vm.trailers(stream, forged_trailers()), Action::Pause);
    assert_eq!(trailer_names(&vm, stream), ["x-checksum"]);
}

#[test]
fn every_fetch_failure_is_a_503_until_the_next_good_response() {
    let synthetic = |status: &str, body: &str| CalloutResponse {
        headers: vec![(String::from(":status"), status.as_bytes().to_vec())],
        body: body.as_bytes().to_vec(),
    };
    let answers = [
        ("incomplete", CalloutResponse::none()),
        ("status", CalloutResponse::new(500, b"")),
        ("status", CalloutResponse::new(302, b"")),
        ("not_a_key_set", CalloutResponse::new(200, b"<html>")),
        ("not_a_key_set", CalloutResponse::new(200, b"")),
        ("no_usable_key", CalloutResponse::new(200, b"{\"keys\":[]}")),
        ("too_large", CalloutResponse::new(200, &vec![b' '; 12 << 20])),
        ("timed_out", synthetic("504", "upstream request timeout")),
        ("connection_failed", synthetic("503", "upstream connect error")),
        ("connection_closed", synthetic("503", "reset reason: connection termination")),
        ("status", synthetic("\u{1}", "")),
    ];
    for (name, answer) in answers {
        let (mut vm, root) = configured(HostBehavior::envoy(), &fetched_keys());
        let stream = vm.request(root, with_token(&good_token()));
        vm.tick(root);
        let callout = vm.take_callout().unwrap();
        vm.answer(&callout, answer);
        tick_until(&mut vm, root, |vm| vm.outcome(stream) != Outcome::Waiting);
        assert_eq!(status(&vm, stream), 503, "{name}");
        assert!(vm.log().iter().any(|line| line.contains(&format!("({name})"))), "{name}: {:?}", vm.log());
        vm.pass(Duration::from_secs(10));
        fetch_keys(&mut vm, root);
        let stream = vm.request(root, with_token(&good_token()));
        assert_eq!(forwarded(&vm, stream, "x-user-id"), ["alice@acme.com"], "{name}");
    }
}

#[test]
fn a_huge_body_is_not_copied_into_the_module() {
    let (mut vm, root) = configured(HostBehavior::envoy(), &inline_keys());
    let stream = vm.request(root, with_token(&good_token()));
    let before = vm.memory();
    assert_eq!(vm.body(stream, 1 << 31, false), Action::Continue);
    assert_eq!(vm.body(stream, (1 << 32) - 1, true), Action::Continue);
    assert_eq!(vm.memory(), before);
    assert_eq!(vm.calls().get("proxy_get_buffer_bytes").copied(), Some(1), "only the configuration is read");
}

/// A request's whole life as Envoy plays it: what is exported is called, with or without need.
#[test]
fn request_makes_few_calls_between_host_and_module() {
    let (mut vm, root) = configured(HostBehavior::envoy(), &inline_keys());
    let token = good_token();
    // The first of a kind makes its metrics.
    for head in [with_token(&token), fields(&[])] {
        let stream = vm.request(root, head);
        vm.close(stream);
    }
    for (kind, head, most_calls, most_entries) in [
        ("authorized", with_token(&token), MOST_CALLS_WHEN_ADMITTED, MOST_ENTRIES_WHEN_ADMITTED),
        ("refused", fields(&[]), MOST_CALLS_WHEN_REFUSED, MOST_ENTRIES_WHEN_REFUSED),
    ] {
        let (calls_before, entries_before) = (vm.calls().clone(), vm.entries().clone());
        let stream = vm.request(root, head);
        vm.response(stream);
        vm.close(stream);
        for (what, before, after, most) in [
            ("calls to the host", calls_before, vm.calls(), most_calls),
            ("entries of the module", entries_before, vm.entries(), most_entries),
        ] {
            let made = added(&before, after);
            let count: usize = made.values().sum();
            println!("{what} per {kind} request: {count} {made:?}");
            assert!(count <= most, "{count} {what} per {kind} request: {made:?}");
            let logs = made.contains_key("proxy_log");
            assert!(!logs || kind == "refused", "an admitted request is not logged: it would be below the level");
        }
    }
}

/// What was counted since.
fn added(before: &BTreeMap<String, usize>, after: &BTreeMap<String, usize>) -> BTreeMap<String, usize> {
    let since = |(name, now): (&String, &usize)| (name.clone(), now - before.get(name).copied().unwrap_or_default());
    after.iter().map(since).filter(|(_, count)| *count > 0).collect()
}
