//! The decision: a state machine that the host drives and that never calls out.
//!
//! Inputs are requests, the outcomes of fetches, ticks and closed streams, each with the time; outputs
//! are a decision or "parked", and an [`Outbox`] of effects to carry out: fetches to make, parked streams
//! that are decided now, and when to tick next. A parked request is decided *before* the host is told
//! to continue, and each exactly once. The one thing it has done by others is the check of a signature
//! ([`SignatureVerifier`]), which the host may do, and which calls nothing back.

pub mod audit;
pub mod deny_reason;
mod parked;
pub mod reply;
mod request;

use std::time::Duration;

use crate::http::RequestHead;
use crate::keys::{FetchNumber, KeyFetch, ProviderKeys};
use crate::policy::{Policy, ProviderId};
use crate::unix_time::UnixTime;

use deny_reason::DenyReason;
use parked::Parked;
use request::{Identified, NamedToken, Progress, identify};

pub use crate::jose::{Algorithm, Doubt, NativeVerifier, PortableVerifier, SignatureVerifier};
pub use crate::keys::{FetchFault, FetchOutcome, FetchResult, Jitter, MAX_ANSWER_BYTES};
pub use parked::Room;
pub use request::{Decision, Verdict};

/// How many parked requests are decided in one go. More than some 270 at once overflow the host's stack
/// (`reference/envoy.md`, trap 2), and each may cost a signature check that others wait behind.
pub const BATCH: usize = 32;
/// How soon the next batch follows.
const NEXT_BATCH: Duration = Duration::from_millis(1);
/// The host ends a fetch in time; this is how much longer a request waits in case it does not.
const WAIT_GRACE: Duration = Duration::from_secs(1);
/// With nothing to do, look at the clock again after this long: it may have jumped.
const IDLE_TICK: Duration = Duration::from_secs(60);

/// The host's id of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u32);

/// Which fetch of which provider; comes back with its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchId {
    provider: ProviderId,
    number: FetchNumber,
}

/// A fetch for the host to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// Comes back with the outcome.
    pub id: FetchId,
    /// What to fetch.
    pub keys: KeyFetch,
}

/// Effects to carry out, in this order.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Fetches to make.
    pub fetches: Vec<Fetch>,
    /// Parked streams that are decided now, at most [`BATCH`] of them.
    pub decided: Vec<(StreamId, Decision)>,
    /// When to tick at the latest.
    pub next_tick: Option<UnixTime>,
    /// What an operator should see of the fetch that just ended.
    pub note: Option<FetchNote>,
}

/// How a fetch of a provider's keys ended, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchNote {
    /// The operator's name for the provider.
    pub provider: String,
    /// How it ended.
    pub result: FetchResult,
}

/// What became of a request that has just come.
#[derive(Debug)]
pub enum Arrival {
    /// Decided at once.
    Decided(Box<Decision>),
    /// It waits; its decision comes in an [`Outbox`]. Tick as soon as possible.
    Parked,
}

/// Decides requests under one policy.
pub struct Engine {
    policy: Policy,
    verifier: Box<dyn SignatureVerifier>,
    keys: Vec<(ProviderId, ProviderKeys)>,
    parked: Parked,
}

impl Engine {
    /// An engine without keys: the first tick asks for them.
    pub fn new(policy: Policy, verifier: Box<dyn SignatureVerifier>, room: Room, now: UnixTime) -> Self {
        let keys = policy.providers().map(|(id, provider)| (id, ProviderKeys::new(&provider.keys, now))).collect();
        Self { policy, verifier, keys, parked: Parked::new(room) }
    }

    /// A request has come.
    pub fn on_request(&mut self, stream: StreamId, head: &RequestHead, now: UnixTime) -> Arrival {
        let begun = |provider| keys_of(&self.keys, provider).map(ProviderKeys::begun).unwrap_or_default();
        match identify(head, &self.policy, begun) {
            Identified::Refused(decision) => Arrival::Decided(Box::new(decision)),
            Identified::Named(token) => match self.decide(token, now) {
                Progress::Decided(decision) => Arrival::Decided(Box::new(decision)),
                Progress::Waiting(token) => self.park(stream, token, now),
            },
        }
    }

    /// Time has passed. `jitter` is new randomness.
    pub fn on_tick(&mut self, now: UnixTime, jitter: Jitter) -> Outbox {
        let mut outbox = Outbox::default();
        for (provider, keys) in &mut self.keys {
            if let Some(fetch) = keys.begin_fetch(now, jitter) {
                outbox.fetches.push(Fetch { id: FetchId { provider: *provider, number: fetch.number }, keys: fetch });
            }
        }
        self.decide_a_batch(now, &mut outbox);
        outbox.next_tick = Some(self.next_tick(now));
        outbox
    }

    /// A fetch has ended.
    pub fn on_fetched(&mut self, fetch: FetchId, outcome: FetchOutcome, now: UnixTime) -> Outbox {
        let mut outbox = Outbox::default();
        let name = self.policy.provider(fetch.provider).map(|provider| provider.name.clone());
        if let (Some(keys), Some(name)) = (keys_of_mut(&mut self.keys, fetch.provider), name) {
            let result = keys.finish_fetch(fetch.number, outcome, now);
            outbox.note = Some(FetchNote { provider: name, result });
            self.parked.recall(fetch.provider);
        }
        self.decide_a_batch(now, &mut outbox);
        outbox.next_tick = Some(self.next_tick(now));
        outbox
    }

    /// The client of a parked request has gone, or the stream ended otherwise.
    pub fn on_stream_closed(&mut self, stream: StreamId) {
        self.parked.remove(stream);
    }

    /// Whether a trailer of that name is one that only we may write.
    pub fn is_managed_trailer(&self, name: &str) -> bool {
        self.policy.forwarding.is_managed(name)
    }

    /// How many requests wait.
    pub fn parked(&self) -> usize {
        self.parked.len()
    }

    fn decide(&mut self, token: NamedToken, now: UnixTime) -> Progress {
        match keys_of_mut(&mut self.keys, token.provider()) {
            Some(keys) => token.decide(&self.policy, keys, self.verifier.as_ref(), now),
            // Every provider of the policy has keys by construction.
            None => Progress::Decided(token.refuse(&self.policy, DenyReason::KeyUnknown)),
        }
    }

    fn park(&mut self, stream: StreamId, token: NamedToken, now: UnixTime) -> Arrival {
        let wait = keys_of(&self.keys, token.provider()).map_or(Duration::ZERO, ProviderKeys::longest_wait);
        let deadline = now.plus(wait).plus(WAIT_GRACE);
        if self.parked.has_room_for(&token) {
            self.parked.insert(stream, token, deadline);
            Arrival::Parked
        } else {
            Arrival::Decided(Box::new(token.refuse(&self.policy, DenyReason::TooManyWaiting)))
        }
    }

    fn decide_a_batch(&mut self, now: UnixTime, outbox: &mut Outbox) {
        self.parked.recall_overdue(now);
        for _ in 0..BATCH {
            let Some((stream, token, deadline)) = self.parked.next_recalled() else { break };
            match self.decide(token, now) {
                Progress::Decided(decision) => outbox.decided.push((stream, decision)),
                Progress::Waiting(token) if now >= deadline => {
                    outbox.decided.push((stream, token.refuse(&self.policy, DenyReason::WaitTimedOut)));
                }
                Progress::Waiting(token) => self.parked.insert(stream, token, deadline),
            }
        }
    }

    fn next_tick(&self, now: UnixTime) -> UnixTime {
        if self.parked.has_recalled() {
            return now.plus(NEXT_BATCH);
        }
        let due = self.keys.iter().filter_map(|(_, keys)| keys.next_due()).min();
        let deadline = self.parked.earliest_deadline();
        let idle = now.plus(IDLE_TICK);
        due.into_iter().chain(deadline).fold(idle, UnixTime::min).max(now.plus(NEXT_BATCH))
    }
}

fn keys_of(keys: &[(ProviderId, ProviderKeys)], provider: ProviderId) -> Option<&ProviderKeys> {
    keys.iter().find(|(id, _)| *id == provider).map(|(_, keys)| keys)
}

fn keys_of_mut(keys: &mut [(ProviderId, ProviderKeys)], provider: ProviderId) -> Option<&mut ProviderKeys> {
    keys.iter_mut().find(|(id, _)| *id == provider).map(|(_, keys)| keys)
}
