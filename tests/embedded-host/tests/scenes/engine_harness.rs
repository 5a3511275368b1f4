//! The harness of the core's tests, with every host beside it: what the native engine decides is decided in the module on each
//! host too, and must come to the same. So the tables of `tests/core` run in every profile and exist once.

#[path = "../../../engine_harness/mod.rs"]
mod native;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

pub use native::*;
use okta_proxy_wasm::callout::CalloutResult;
use okta_proxy_wasm::engine::{Callout, CalloutId, Decision, LeaseOutcome, RequestOutcome, StreamId};
use okta_proxy_wasm::http::RequestHead;
use serde_json::Value;

use super::profiles::Hosts;

/// Tests of the tables that no host runs, each with the reason. By the end of their path.
const NATIVE_ONLY: [(&str, &str); 11] = [
    (
        "dpop::the_window_includes_its_ends",
        "a script with a fault begins after the pause, with an empty memory of proofs",
    ),
    ("dpop::a_token_with_both_constraints_needs_both", "no host has client certificates here; `tests/e2e` has them"),
    (
        "a_full_memory_rejects_with_503_and_one_client_does_not_take_the_share_of_others",
        "hosts get a part of 40,000 requests",
    ),
    ("failed_signature_is_401_also_when_no_fetch_can_be_made", "what another worker does is said to the engine alone"),
    (
        "two_thousand_requests_with_one_uncached_token_cause_one_call_and_resume_in_batches",
        "2,000 requests; `many_pending_requests_are_resumed_in_bounded_batches` has a crowd",
    ),
    ("assertions_of_one_tick_have_different_jti", "the calls of a host have other random identifiers"),
    ("fetch_postponed_for_another_worker_is_made_later", "what another worker does is said to the engine alone"),
    ("keys_fetched_by_another_worker_decide_pending_requests", "what another worker does is said to the engine alone"),
    (
        "record_from_before_a_clock_step_back_is_used_then_renewed_and_blocks_no_later_record",
        "what another worker does is said to the engine alone",
    ),
    (
        "requests::flood_leaves_only_bounded_state",
        "4,096 parked requests are released in batches, at times that are random on a host",
    ),
    (
        "keys::a_flood_of_unknown_key_ids_gets_a_burst_of_fetches_and_then_one_per_cooldown",
        "95 s of fetches at times that are random on a host; the advisory GHSA-2gx3-rcp4-g85q has the flood",
    ),
];
/// So many requests of one configuration go through the hosts, and of what is decided at once beyond that, one in so many.
const ALL_REQUESTS: u32 = 300;
const ONE_IN: u32 = 8;
/// Of the engines of one test beyond this number, too.
const ALL_ENGINES: u32 = 200;

thread_local! {
    /// The engines of this test so far.
    static ENGINES: Cell<u32> = const { Cell::new(0) };
}

/// See [`native::IS_NATIVE`].
pub const IS_NATIVE: bool = false;

/// An engine, and the module of the same configuration on every host.
pub struct Harness {
    native: native::Harness,
    hosts: Option<Hosts>,
    /// The requests of the callouts under way.
    callouts: BTreeMap<CalloutId, Callout>,
    verified_for_nginx: usize,
}

impl Deref for Harness {
    type Target = native::Harness;

    fn deref(&self) -> &native::Harness {
        &self.native
    }
}

impl DerefMut for Harness {
    fn deref_mut(&mut self) -> &mut native::Harness {
        &mut self.native
    }
}

impl Harness {
    pub fn new(configuration: &Value) -> Self {
        Self::with(configuration, Setup::default())
    }

    /// No host has other limits than those of the module, or starts at another time.
    pub fn with(configuration: &Value, setup: Setup<'_>) -> Self {
        let (standard, limits) = (Setup::default(), |setup: &Setup<'_>| (setup.limits.requests, setup.limits.bytes));
        let is_standard = limits(&setup) == limits(&standard) && setup.start == standard.start;
        let is_standard = is_standard && !setup.shares && !setup.knows_addresses && setup.proofs.is_none();
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        let is_native = NATIVE_ONLY.iter().any(|(name, _)| test.ends_with(name));
        let number = ENGINES.replace(ENGINES.get() + 1);
        let is_sampled = number < ALL_ENGINES || number.is_multiple_of(ONE_IN);
        let hosts = (is_standard && !is_native && is_sampled).then(|| Hosts::new(configuration));
        Self {
            native: native::Harness::with(configuration, setup),
            hosts,
            callouts: BTreeMap::new(),
            verified_for_nginx: 0,
        }
    }

    pub fn request(&mut self, head: &RequestHead) -> Result<Decision, StreamId> {
        let stream = self.native.next_stream();
        self.request_as(stream, head)
    }

    pub fn request_as(&mut self, stream: StreamId, head: &RequestHead) -> Result<Decision, StreamId> {
        let decided = self.native.request_as(stream, head);
        let now = self.native.now;
        if decided.is_err() || stream.0 <= ALL_REQUESTS || stream.0.is_multiple_of(ONE_IN) {
            let with_body = decided.is_ok().then(|| self.with_body(head)).flatten();
            let decided = decided.as_ref().ok();
            let on_nginx = with_body.as_ref().or(decided);
            self.hosts.iter_mut().for_each(|hosts| hosts.request(now, stream, head, decided, on_nginx));
        }
        decided
    }

    /// The decision on a request that may have a body, which nginx does not rule out; it matters to a preflight.
    fn with_body(&mut self, head: &RequestHead) -> Option<Decision> {
        if head.single(":method") != Some(b"OPTIONS") {
            return None;
        }
        let (stream, now, before) = (StreamId(u32::MAX), self.native.now, self.native.signatures_verified());
        let outcome = self.native.engine.on_request(stream, &head.clone().with_body_or_trailers(), now);
        self.verified_for_nginx += self.native.signatures_verified() - before;
        match outcome {
            RequestOutcome::Decision(decision) => Some(*decision),
            other => panic!("not decided at once: {other:?}"),
        }
    }

    pub fn signatures_verified(&self) -> usize {
        self.native.signatures_verified() - self.verified_for_nginx
    }

    pub fn decide(&mut self, head: &RequestHead) -> Decision {
        self.request(head).unwrap_or_else(|_| panic!("pending: {head:?}"))
    }

    pub fn reason(&mut self, head: &RequestHead) -> &'static str {
        self.decide(head).audit.reason()
    }

    pub fn send(&mut self, head: &RequestHead) -> (StreamId, Option<&'static str>) {
        let stream = self.native.next_stream();
        let decision = self.request_as(stream, head).ok();
        let reason = decision.as_ref().map(|decision| decision.audit.reason());
        self.native.decided.extend(decision.map(|decision| (stream, decision)));
        (stream, reason)
    }

    pub fn close(&mut self, stream: StreamId) {
        self.native.close(stream);
        self.hosts.iter_mut().for_each(|hosts| hosts.close(stream));
    }

    pub fn tick(&mut self) -> Effects {
        let decided = self.native.decided.len();
        let effects = self.native.tick();
        let now = self.native.now;
        self.hosts.iter_mut().for_each(|hosts| hosts.tick(now));
        self.after(effects, decided)
    }

    pub fn tick_begins_a_fetch(&mut self) -> Callout {
        let [fetch] = <[Callout; 1]>::try_from(self.tick().fetches).unwrap();
        fetch
    }

    pub fn tick_begins_a_call(&mut self) -> Callout {
        let [call] = <[Callout; 1]>::try_from(self.tick().calls).unwrap();
        call
    }

    pub fn fetch(&mut self, outcome: CalloutResult) -> Effects {
        let fetch = self.tick_begins_a_fetch();
        self.done(fetch.id, outcome)
    }

    pub fn drain(&mut self) {
        while self.pending() > 0 {
            self.tick();
        }
    }

    pub fn done(&mut self, callout: CalloutId, outcome: CalloutResult) -> Effects {
        let decided = self.native.decided.len();
        let request = self.callouts.remove(&callout);
        let (now, effects) = (self.native.now, self.native.done(callout, outcome.clone()));
        if let (Some(hosts), Some(request)) = (&mut self.hosts, request) {
            hosts.done(now, &request, &outcome);
        }
        self.after(effects, decided)
    }

    /// The workers of these hosts take their leases themselves.
    pub fn lease_done(&mut self, callout: CalloutId, outcome: LeaseOutcome) -> Effects {
        self.native.lease_done(callout, outcome)
    }

    pub fn pass(&mut self, time: Duration) {
        self.native.pass(time);
    }

    fn after(&mut self, effects: Effects, decided: usize) -> Effects {
        let begun = effects.fetches.iter().chain(&effects.follow_ups).chain(&effects.calls).chain(&effects.poll);
        self.callouts.extend(begun.map(|callout| (callout.id, callout.clone())));
        let now = self.native.now;
        if let Some(hosts) = &mut self.hosts {
            self.native.decided[decided..].iter().for_each(|(stream, decision)| hosts.decided(now, *stream, decision));
            hosts.end_event();
        }
        effects
    }
}
