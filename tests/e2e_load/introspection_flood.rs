//! Ten thousand random tokens a second against a real Envoy: their effect on the issuer, on valid tokens and on Envoy's memory.

#![allow(clippy::disallowed_methods, reason = "calls are counted by the minute")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::introspection_gateway::{self, active, inactive, print_calls, start_gateway};
use serde_json::json;
use testbed::Request;
use testbed::flood::Flood;
use testbed::http1::Response;
use testbed::process::resident_mebibytes;

const REQUESTS_PER_MINUTE: usize = 60;
const KNOWN: [&str; 3] = ["known-alice", "known-bob", "known-carol"];
/// For some seconds, and the same twice.
const RANDOM_TOKENS: usize = 100_000;
const AT_MOST: Duration = Duration::from_secs(8);
/// What a second flood may leave behind that the first did not: what allocators and V8 do.
const MEBIBYTES_OF_SLACK: f64 = 6.0;

/// How many of these calls were made in the minute in which there were most.
fn most_in_a_minute(calls: &[Instant]) -> usize {
    let within = |first: &Instant| {
        calls.iter().filter(|call| *call >= first && **call - *first < Duration::from_secs(60)).count()
    };
    calls.iter().map(within).max().unwrap_or(0)
}

/// A token that is not in any other request, as long as those of issuers are.
fn random_token(flood: usize, number: usize) -> Request {
    // Of Knuth: spreads consecutive numbers over all that there are.
    let spread = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Request::get("/accounts").bearer(&format!("{spread:016x}{flood}{number:08}nobodys-token-of-43-bytes"))
}

/// The answers to random tokens.
#[derive(Default)]
struct RejectedRequests {
    inactive: AtomicUsize,
    undecided: AtomicUsize,
}

impl RejectedRequests {
    fn count(&self, response: &Response) {
        match response.status {
            401 => self.inactive.fetch_add(1, Ordering::Relaxed),
            503 => {
                assert!(response.header("retry-after").is_some(), "when is it to come back?");
                self.undecided.fetch_add(1, Ordering::Relaxed)
            }
            other => panic!("a random token was answered {other}"),
        };
    }
}

#[test]
fn flood_of_random_tokens_uses_half_of_the_budget_affects_no_cached_token_and_leaks_no_memory() {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&calls);
    let (gateway, server) = start_gateway(json!({ "requests_per_minute": REQUESTS_PER_MINUTE }), move |token, _| {
        seen.lock().expect("no panic").push(Instant::now());
        if KNOWN.contains(&token) { active(json!({})) } else { inactive() }
    });
    // Every worker knows them.
    for token in KNOWN {
        for _ in 0..20 {
            assert_eq!(gateway.get(token).status, 200);
        }
    }
    let refusals = RejectedRequests::default();
    let flood = |number: usize| {
        let port = gateway.port();
        let flood = Flood { port, connections: 64, requests: RANDOM_TOKENS, at_most: AT_MOST };
        let flooded = flood.send(|at| random_token(number, at), |response| refusals.count(response));
        (flooded, resident_mebibytes(gateway.envoy.pid()))
    };
    let before = resident_mebibytes(gateway.envoy.pid());
    let ([(first, after_first), (second, after_second)], known) = std::thread::scope(|scope| {
        let floods = scope.spawn(|| [flood(1), flood(2)]);
        let mut known = 0;
        while !floods.is_finished() {
            // A connection of its own, so that both workers are asked.
            let mut connection = gateway.connect();
            for token in KNOWN {
                connection.send(&Request::get("/accounts").bearer(token)).expect("it reads");
                let response = connection.read_response().expect("an answer");
                assert_eq!(response.status, 200, "{token}: {:?}", gateway.reasons().last());
                known += 1;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        (floods.join().expect("every random token is refused"), known)
    });
    let (inactive, undecided) = (refusals.inactive.into_inner(), refusals.undecided.into_inner());
    let about: Vec<String> = server.requests().iter().map(introspection_gateway::token_in).collect();
    let unknown = about.iter().filter(|token| !KNOWN.contains(&token.as_str())).count();
    print_calls("flood of random tokens", first.answered + second.answered, unknown);
    print_calls("known tokens during the flood", known, about.len() - unknown);
    println!("{inactive} were answered 401 and {undecided} 503");
    println!(
        "{:.0} and {:.0} requests a second for {:.1?} and {:.1?}",
        first.rate(),
        second.rate(),
        first.lasted,
        second.lasted
    );
    println!(
        "resident: {before:.1} MiB before, {after_first:.1} after the first flood, {after_second:.1} after the second"
    );

    assert_eq!(inactive + undecided, first.answered + second.answered);
    let most = most_in_a_minute(&calls.lock().expect("no panic"));
    assert!(most <= REQUESTS_PER_MINUTE, "{most} calls in a minute");
    assert!(unknown >= 1 && known >= 1, "nothing was tried");
    let minutes = 1 + (first.lasted + second.lasted).as_secs() as usize / 60;
    assert!(unknown <= minutes * REQUESTS_PER_MINUTE / 2, "{unknown} calls for tokens that were never active");
    let grown = after_second - after_first;
    assert!(grown < MEBIBYTES_OF_SLACK, "{grown:.1} MiB more after a second flood like the first");
    gateway.assert_no_trap();
}
