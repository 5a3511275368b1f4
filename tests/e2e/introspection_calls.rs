//! The number of calls that an introspection endpoint receives, scenario by scenario, in a real Envoy. Each test prints its
//! counts in a line that begins with `calls:`.

#![allow(clippy::disallowed_methods, reason = "what is tested takes a while")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::gateway::Gateway;
use crate::introspection_gateway::{
    active, active_response, inactive, print_calls, start_gateway, start_gateway_with_workers,
};
use serde_json::json;
use testbed::polling::until;
use testbed::{Connection, Request, Script, ScriptedResponse, send_many};

/// Enough for a busy machine to send two thousand requests.
const A_WHILE: Duration = Duration::from_secs(4);
const MANY: usize = 2000;

fn bearer(token: &str) -> Request {
    Request::get("/accounts").bearer(token)
}

/// How many of these requests were answered so.
fn count_of(gateway: &Gateway, status: u16, requests: &[Request], at_once: usize) -> usize {
    let answers = send_many(gateway.port(), requests, at_once);
    answers.iter().filter(|answer| answer.as_ref().is_ok_and(|response| response.status == status)).count()
}

#[test]
fn token_is_introspected_once_while_its_response_is_cached() {
    let members = json!({ "cache_ttl": "1h", "inactive_cache_ttl": "1m" });
    let (gateway, server) =
        start_gateway(members, |token, _| if token == "good" { active(json!({})) } else { inactive() });
    for (scenario, token, status) in [("active, cached", "good", 200), ("inactive, cached", "bad", 401)] {
        let before = server.count();
        assert_eq!(count_of(&gateway, status, &vec![bearer(token); MANY], 20), MANY, "{:?}", gateway.reasons().last());
        print_calls(scenario, MANY, server.count() - before);
        assert_eq!(server.count() - before, 1, "{scenario}");
    }
    gateway.assert_no_trap();
}

#[test]
fn two_thousand_simultaneous_requests_with_one_uncached_token_cause_one_call() {
    for workers in [1, 2, 4] {
        let slowly = |_: &str, _| Script::Slow { delay: A_WHILE, answer: active_response(json!({})) };
        let (gateway, server) = start_gateway_with_workers(workers, json!({ "timeout": "10s" }), slowly);
        let passed = count_of(&gateway, 200, &vec![bearer("cold"); MANY], MANY);
        print_calls(&format!("one cold token at once, {workers} workers"), MANY, server.count());
        assert_eq!((passed, server.count(), gateway.backend.count()), (MANY, 1, MANY), "{:?}", gateway.reasons());
        gateway.assert_no_trap();
    }
}

#[test]
fn token_revoked_while_cached_is_allowed_for_at_most_cache_ttl_and_causes_one_more_call() {
    let (gateway, server) = start_gateway(json!({ "cache_ttl": "2s", "inactive_cache_ttl": "1m" }), |_, nth| {
        if nth == 0 { active(json!({})) } else { inactive() }
    });
    let mut sent = 0;
    until("the refusal", Duration::from_secs(20), || {
        sent += 1;
        (gateway.get("token").status == 401).then_some(())
    });
    for _ in 0..100 {
        sent += 1;
        assert_eq!(gateway.get("token").status, 401);
    }
    print_calls("revoked while it is cached", sent, server.count());
    assert_eq!(server.count(), 2);
}

#[test]
fn endpoint_that_returns_429_is_not_called_until_retry_after() {
    let (gateway, server) = start_gateway(json!({}), |token, nth| match (token, nth) {
        (_, 0) => ScriptedResponse::new(429, "").header("retry-after", "3").into(),
        _ => active(json!({})),
    });
    let mut sent = 0;
    for number in 0..200 {
        let response = gateway.get(&format!("token-{number}"));
        // A machine that is slow enough has come to the end of the three seconds.
        if server.count() > 1 {
            break;
        }
        sent += 1;
        assert_eq!(response.status, 503);
        assert!(response.header("retry-after").is_some());
    }
    print_calls("429 with Retry-After: 3, within these", sent, 1);
    assert!(sent > 1, "nobody was refused by it");
    until("its time to be over", Duration::from_secs(20), || (gateway.get("token").status == 200).then_some(()));
    gateway.assert_no_trap();
}

/// An endpoint that resets every connection while it is down, and a token's answer otherwise.
fn breakable() -> (Arc<AtomicBool>, impl Fn(&str, usize) -> Script + Send + Sync + 'static) {
    let is_down = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&is_down);
    let script = move |_: &str, _| if seen.load(Ordering::SeqCst) { Script::Reset } else { active(json!({})) };
    (is_down, script)
}

#[test]
fn unavailable_endpoint_is_called_a_few_times_and_then_probed() {
    let (is_down, script) = breakable();
    let (gateway, server) = start_gateway(json!({}), script);
    is_down.store(true, Ordering::SeqCst);
    let (began, mut sent) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(10) {
        let requests: Vec<Request> = (0..20).map(|number| bearer(&format!("{sent}-{number}"))).collect();
        assert_eq!(count_of(&gateway, 503, &requests, 4), 20, "{:?}", gateway.reasons().last());
        sent += 20;
    }
    print_calls("down for 10 s, every request with another token", sent, server.count());
    // Each worker has to see five failures, while up to four are under way, and tries once after each pause: one second,
    // two, four.
    assert!((1..=2 * (5 + 4 + 4)).contains(&server.count()), "{} calls", server.count());
    is_down.store(false, Ordering::SeqCst);
    until("it to be asked again", Duration::from_secs(60), || (gateway.get("token").status == 200).then_some(()));
    gateway.assert_no_trap();
}

#[test]
fn stale_response_is_used_while_the_endpoint_is_down_and_calls_stay_few() {
    let (is_down, script) = breakable();
    let (gateway, server) = start_gateway(json!({ "cache_ttl": "1s", "stale_if_error": "10m" }), script);
    // Both workers have the answer.
    for _ in 0..20 {
        assert_eq!(gateway.get("good").status, 200, "{:?}", gateway.reasons());
    }
    is_down.store(true, Ordering::SeqCst);
    let (began, before, mut sent) = (Instant::now(), server.count(), 0);
    while began.elapsed() < Duration::from_secs(10) {
        assert_eq!(count_of(&gateway, 200, &vec![bearer("good"); 20], 4), 20, "{:?}", gateway.reasons().last());
        sent += 20;
    }
    print_calls("down for 10 s, stale_if_error", sent, server.count() - before);
    assert!((1..=2 * (5 + 10)).contains(&(server.count() - before)), "{} calls", server.count() - before);
    gateway.assert_no_trap();
}

/// Which of Envoy's threads serves a connection, by the line in which it logs that a token is missing.
fn worker_of(gateway: &Gateway, connection: &mut Connection) -> String {
    let before = gateway.reasons().len();
    connection.send(&Request::get("/accounts")).expect("it is open");
    assert_eq!(connection.read_response().expect("an answer").status, 401);
    gateway.record_number(before + 1);
    let log = gateway.envoy.log();
    let line = log.lines().rfind(|line| line.contains(r#""reason":"token_missing""#)).expect("its line");
    line.split('[').nth(2).expect("a thread").to_owned()
}

/// A connection to each of the two workers.
fn one_connection_each(gateway: &Gateway) -> [Connection; 2] {
    let mut first = gateway.connect();
    let of_first = worker_of(gateway, &mut first);
    for _ in 0..200 {
        let mut second = gateway.connect();
        if worker_of(gateway, &mut second) != of_first {
            return [first, second];
        }
    }
    panic!("every connection came to {of_first}")
}

fn exchange(connection: &mut Connection, token: &str) -> u16 {
    connection.send(&bearer(token)).expect("it is open");
    connection.read_response().expect("an answer").status
}

#[test]
fn worker_with_an_exhausted_budget_allows_a_token_cached_by_another_worker() {
    // Half of it, and so one call, is for tokens that nobody knows.
    let (gateway, server) = start_gateway(json!({ "requests_per_minute": 2, "cache_ttl": "1h" }), |token, _| {
        if token == "good" { active(json!({})) } else { inactive() }
    });
    let [mut knowing, mut other] = one_connection_each(&gateway);
    assert_eq!(exchange(&mut knowing, "good"), 200, "{:?}", gateway.reasons());
    assert_eq!(exchange(&mut other, "random"), 503, "{:?}", gateway.reasons());
    assert_eq!(exchange(&mut other, "good"), 200, "it is in shared data: {:?}", gateway.reasons());
    assert_eq!(server.count(), 1);
    gateway.assert_no_trap();
}
