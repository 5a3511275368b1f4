//! The parked requests: pending on keys, an introspection response or the revocation list. They are bounded in number and
//! bytes, and each has a deadline.
//!
//! Anybody can make up a token that is pending on a key, or an opaque one that was never active. Such untrusted tokens have
//! half of the limits, divided equally between providers: a flood of tokens of one issuer neither blocks those of another
//! nor trusted ones. An eighth of a provider's part is for tokens whose signature fails with the keys held, because hardly
//! any of them is genuine.
//!
//! A request is *resumable* when what it is pending on may have arrived. It is decided with the next batch, elsewhere.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use crate::engine::effects::StreamId;
use crate::engine::pipeline::Request;
use crate::engine::pipeline::outcome::PendingOn;
use crate::introspection::call::TokenDigest;
use crate::lookup::requester::BudgetClass;
use crate::policy::ProviderId;
use crate::unix_time::{MonotonicClock, MonotonicTime, UnixTime};

/// The least part of a provider of the limits for untrusted tokens.
const LEAST_PART: ParkingLimits = ParkingLimits { requests: 64, bytes: 1024 * 1024 };

/// The part of a provider's limits for tokens whose signature fails with the keys held: one in this many.
const SHARE_OF_FAILED_SIGNATURES: usize = 8;

/// The size of a request beside the bytes it holds: its entry in a hash table, which is a quarter full just after it grew,
/// in the queue of resumable requests and in the index by token.
const ENTRY_BYTES: usize = 4 * size_of::<(StreamId, ParkedRequest)>() + 512;

/// The limits of parked requests in one worker.
#[derive(Clone, Copy, Debug)]
pub struct ParkingLimits {
    pub requests: usize,
    /// Bytes that they hold in the module. The host holds more.
    pub bytes: usize,
}

impl Default for ParkingLimits {
    fn default() -> Self {
        Self { requests: 4096, bytes: 32 * 1024 * 1024 }
    }
}

#[derive(Debug)]
pub(super) struct Parked {
    limits: ParkingLimits,
    all: Usage,
    /// The usage by untrusted tokens, in total and by provider.
    untrusted: Usage,
    by_provider: HashMap<ProviderId, Usage>,
    /// The usage by tokens whose signature fails with the keys held, by provider.
    failed: HashMap<ProviderId, Usage>,
    /// The limits of these usages.
    half: ParkingLimits,
    part: ParkingLimits,
    share: ParkingLimits,
    requests: HashMap<StreamId, ParkedRequest>,
    /// The streams that are pending on the introspection of a token, so that a response finds them.
    by_token: HashMap<(ProviderId, TokenDigest), BTreeSet<StreamId>>,
    resumable: VecDeque<StreamId>,
    clock: MonotonicClock,
}

#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    requests: usize,
    bytes: usize,
}

impl Usage {
    const fn has_capacity_for(self, bytes: usize, limits: ParkingLimits) -> bool {
        self.requests < limits.requests && self.bytes.saturating_add(bytes) <= limits.bytes
    }

    const fn add(&mut self, bytes: usize) {
        self.requests = self.requests.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    const fn remove(&mut self, bytes: usize) {
        self.requests = self.requests.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// How long a request may be parked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    parked_at: MonotonicTime,
    expires_at: MonotonicTime,
}

impl Deadline {
    pub(super) fn has_passed(self, now: MonotonicTime) -> bool {
        now >= self.expires_at
    }

    /// How long the request has been parked.
    pub(super) fn waited(self, now: MonotonicTime) -> Duration {
        now.since(self.parked_at)
    }
}

#[derive(Debug)]
struct ParkedRequest {
    request: Request<'static>,
    pending_on: PendingOn,
    deadline: Deadline,
    bytes: usize,
    resumable: bool,
}

impl Parked {
    /// No requests, and limits for this number of providers.
    pub(super) fn new(limits: ParkingLimits, providers: usize) -> Self {
        let half = ParkingLimits { requests: limits.requests / 2, bytes: limits.bytes / 2 };
        let part = |all: usize, least: usize| all.checked_div(providers).unwrap_or(all).max(least).min(all);
        let part = ParkingLimits {
            requests: part(half.requests, LEAST_PART.requests),
            bytes: part(half.bytes, LEAST_PART.bytes),
        };
        let share = |of: usize| of.div_ceil(SHARE_OF_FAILED_SIGNATURES);
        Self {
            limits,
            all: Usage::default(),
            untrusted: Usage::default(),
            by_provider: HashMap::new(),
            failed: HashMap::new(),
            half,
            part,
            share: ParkingLimits { requests: share(part.requests), bytes: share(part.bytes) },
            requests: HashMap::new(),
            by_token: HashMap::new(),
            resumable: VecDeque::new(),
            clock: MonotonicClock::new(UnixTime::from_millis(0)),
        }
    }

    /// The time of a clock that is never set back: a step of the host's clock does not change how long requests are parked.
    pub(super) fn now(&mut self, wall: UnixTime) -> MonotonicTime {
        self.clock.advance(wall)
    }

    /// The deadline of a request that is parked now.
    pub(super) fn deadline(&mut self, wait: Duration, wall: UnixTime) -> Deadline {
        let since = self.now(wall);
        Deadline { parked_at: since, expires_at: since.plus(wait) }
    }

    /// Whether the limits allow one more request.
    pub(super) fn has_capacity_for(&self, request: &Request<'_>, awaited: PendingOn) -> bool {
        let bytes = bytes_of(request);
        let has_part = |provider: ProviderId| {
            let held = self.by_provider.get(&provider).copied().unwrap_or_default();
            self.untrusted.has_capacity_for(bytes, self.half) && held.has_capacity_for(bytes, self.part)
        };
        let has_share = |provider: ProviderId| {
            self.failed.get(&provider).copied().unwrap_or_default().has_capacity_for(bytes, self.share)
        };
        self.all.has_capacity_for(bytes, self.limits)
            && untrusted_of(awaited).is_none_or(has_part)
            && failed_of(awaited).is_none_or(has_share)
    }

    pub(super) fn insert(
        &mut self,
        stream: StreamId,
        request: Request<'static>,
        awaited: PendingOn,
        patience: Deadline,
    ) {
        // The host never closed a stream whose id is still here. The older request is dropped.
        self.take(stream);
        let bytes = bytes_of(&request);
        self.all.add(bytes);
        if let Some(provider) = untrusted_of(awaited) {
            self.untrusted.add(bytes);
            self.by_provider.entry(provider).or_default().add(bytes);
        }
        if let Some(provider) = failed_of(awaited) {
            self.failed.entry(provider).or_default().add(bytes);
        }
        if let PendingOn::Introspection { of, about, .. } = awaited {
            self.by_token.entry((of, about)).or_default().insert(stream);
        }
        self.requests.insert(
            stream,
            ParkedRequest { request, pending_on: awaited, deadline: patience, bytes, resumable: false },
        );
    }

    /// Makes the requests resumable that are pending on the keys of this provider.
    pub(super) fn resume_for_keys(&mut self, provider: ProviderId) {
        let keys = [PendingOn::Keys(provider), PendingOn::NewerKeys(provider)];
        self.recall_where(|waiting| keys.contains(&waiting.pending_on));
    }

    /// Makes the requests resumable that are pending on the introspection of this token.
    pub(super) fn resume_for_token(&mut self, provider: ProviderId, token: TokenDigest) {
        // They leave the index, so that none is found twice.
        for stream in self.by_token.remove(&(provider, token)).unwrap_or_default() {
            if let Some(waiting) = self.requests.get_mut(&stream).filter(|waiting| !waiting.resumable) {
                waiting.resumable = true;
                self.resumable.push_back(stream);
            }
        }
    }

    /// Makes the requests resumable that are pending on the first revocation list.
    pub(super) fn resume_for_revocations(&mut self) {
        self.recall_where(|waiting| waiting.pending_on == PendingOn::Revocations);
    }

    /// Makes the requests resumable whose deadline has passed.
    pub(super) fn resume_overdue(&mut self, now: MonotonicTime) {
        self.recall_where(|waiting| waiting.deadline.has_passed(now));
    }

    fn recall_where(&mut self, is_meant: impl Fn(&ParkedRequest) -> bool) {
        let before = self.resumable.len();
        for (stream, waiting) in &mut self.requests {
            if !waiting.resumable && is_meant(waiting) {
                waiting.resumable = true;
                self.resumable.push_back(*stream);
            }
        }
        // Oldest first, if the host numbers its streams in order.
        if let Some(added) = self.resumable.make_contiguous().get_mut(before..) {
            added.sort_unstable();
        }
    }

    /// Removes the next resumable request.
    pub(super) fn next_resumable(&mut self) -> Option<(StreamId, Request<'static>, Deadline)> {
        loop {
            let stream = self.resumable.pop_front()?;
            // The client of a missing one has left.
            if let Some(waiting) = self.take(stream) {
                return Some((stream, waiting.request, waiting.deadline));
            }
        }
    }

    /// What a request is pending on.
    pub(super) fn pending_on(&self, stream: StreamId) -> Option<PendingOn> {
        self.requests.get(&stream).map(|waiting| waiting.pending_on)
    }

    /// Removes a request with what it is pending on.
    pub(super) fn take_pending(&mut self, stream: StreamId) -> Option<(Request<'static>, PendingOn, Deadline)> {
        self.take(stream).map(|waiting| (waiting.request, waiting.pending_on, waiting.deadline))
    }

    /// Whether there is a resumable request.
    pub(super) fn has_resumable(&self) -> bool {
        !self.resumable.is_empty()
    }

    /// Removes a request. Returns its token if no other request is pending on the introspection of that token.
    pub(super) fn remove(&mut self, stream: StreamId) -> Option<(ProviderId, TokenDigest)> {
        match self.take(stream)?.pending_on {
            PendingOn::Introspection { of, about, .. } if !self.is_pending_on_token(of, about) => Some((of, about)),
            PendingOn::Introspection { .. } | PendingOn::Keys(_) | PendingOn::NewerKeys(_) | PendingOn::Revocations => {
                None
            }
        }
    }

    /// Whether a request is pending on the introspection of this token.
    pub(super) fn is_pending_on_token(&self, provider: ProviderId, token: TokenDigest) -> bool {
        self.by_token.contains_key(&(provider, token))
    }

    /// The number of parked requests.
    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    pub(super) fn earliest_deadline(&self) -> Option<UnixTime> {
        let first = self.requests.values().map(|waiting| waiting.deadline.expires_at).min();
        first.map(|until| self.clock.wall(until))
    }

    fn take(&mut self, stream: StreamId) -> Option<ParkedRequest> {
        let waiting = self.requests.remove(&stream)?;
        self.all.remove(waiting.bytes);
        if let Some(provider) = untrusted_of(waiting.pending_on) {
            self.untrusted.remove(waiting.bytes);
            if let Some(held) = self.by_provider.get_mut(&provider) {
                held.remove(waiting.bytes);
            }
        }
        if let Some(held) = failed_of(waiting.pending_on).and_then(|provider| self.failed.get_mut(&provider)) {
            held.remove(waiting.bytes);
        }
        if let PendingOn::Introspection { of, about, .. } = waiting.pending_on
            && let Some(streams) = self.by_token.get_mut(&(of, about))
        {
            streams.remove(&stream);
            if streams.is_empty() {
                self.by_token.remove(&(of, about));
            }
        }
        Some(waiting)
    }
}

fn bytes_of(request: &Request<'_>) -> usize {
    request.held_bytes().saturating_add(ENTRY_BYTES)
}

/// The provider of an untrusted token.
const fn untrusted_of(awaited: PendingOn) -> Option<ProviderId> {
    match awaited {
        PendingOn::Keys(provider)
        | PendingOn::NewerKeys(provider)
        | PendingOn::Introspection { of: provider, class: BudgetClass::Unknown, .. } => Some(provider),
        PendingOn::Introspection { class: BudgetClass::Established, .. } | PendingOn::Revocations => None,
    }
}

/// The provider of a token whose signature fails with the keys held.
const fn failed_of(awaited: PendingOn) -> Option<ProviderId> {
    match awaited {
        PendingOn::NewerKeys(provider) => Some(provider),
        PendingOn::Keys(_) | PendingOn::Introspection { .. } | PendingOn::Revocations => None,
    }
}
