//! The requests that wait for keys, or for what an issuer says of a token: bounded in number and bytes, each with a
//! deadline of its own.
//!
//! A token of which nothing good is known anybody can make up: one that waits for a key, be it the first key set, and an
//! opaque one that was never active. These share half of the places, and each provider has an equal part of that half, so
//! that a flood of tokens of one issuer takes no place of another one's, nor of a token that is known. Of that part a small
//! share is for tokens whose signature fails with the keys held: hardly any of them is genuine.
//!
//! A request here is either waiting or *recalled*: the reason it waits for may be gone, and it is to be
//! decided with the next batch. Nothing is decided in here.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use crate::engine::StreamId;
use crate::engine::pipeline::Request;
use crate::engine::token_status::PendingOn;
use crate::introspection::call::TokenDigest;
use crate::lookup::rate_limiter::BudgetClass;
use crate::policy::ProviderId;
use crate::unix_time::{MonotonicClock, MonotonicTime, UnixTime};

/// A provider's part of the places for untrusted tokens, however many providers there are.
const LEAST_PART: ParkingLimits = ParkingLimits { requests: 64, bytes: 1024 * 1024 };

/// How much of a provider's part is for tokens whose signature fails with the keys held.
const SHARE_OF_FAILED_SIGNATURES: usize = 8;

/// What a request takes beside what it holds: its place in a hash table, which is a quarter full when it has just
/// grown, and in those of the recalled and of who waits for which answer.
const ENTRY_BYTES: usize = 4 * size_of::<(StreamId, ParkedRequest)>() + 512;

/// How much may wait in one VM.
#[derive(Clone, Copy, Debug)]
pub struct ParkingLimits {
    /// Requests.
    pub requests: usize,
    /// Bytes held by them in this VM. What the host holds of them is not known here.
    pub bytes: usize,
}

impl Default for ParkingLimits {
    fn default() -> Self {
        Self { requests: 4096, bytes: 32 * 1024 * 1024 }
    }
}

/// The waiting requests.
#[derive(Debug)]
pub(super) struct Parked {
    limits: ParkingLimits,
    all: Usage,
    /// Those among them whose token anybody could make up, together and by provider.
    untrusted: Usage,
    by_provider: HashMap<ProviderId, Usage>,
    /// Those among a provider's whose signature fails with the keys held.
    failed: HashMap<ProviderId, Usage>,
    /// Of those.
    half: ParkingLimits,
    part: ParkingLimits,
    share: ParkingLimits,
    requests: HashMap<StreamId, ParkedRequest>,
    /// Who waits for what is said of a token: an answer looks for nobody else.
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
    const fn has_room_for(self, bytes: usize, room: ParkingLimits) -> bool {
        self.requests < room.requests && self.bytes.saturating_add(bytes) <= room.bytes
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

/// How long a request may wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    parked_at: MonotonicTime,
    expires_at: MonotonicTime,
}

impl Deadline {
    /// Whether it has waited long enough.
    pub(super) fn has_passed(self, now: MonotonicTime) -> bool {
        now >= self.expires_at
    }

    /// How long it has waited.
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
    /// Room for the requests of so many providers.
    pub(super) fn new(room: ParkingLimits, providers: usize) -> Self {
        let half = ParkingLimits { requests: room.requests / 2, bytes: room.bytes / 2 };
        let part = |all: usize, least: usize| all.checked_div(providers).unwrap_or(all).max(least).min(all);
        let part = ParkingLimits {
            requests: part(half.requests, LEAST_PART.requests),
            bytes: part(half.bytes, LEAST_PART.bytes),
        };
        let share = |of: usize| of.div_ceil(SHARE_OF_FAILED_SIGNATURES);
        Self {
            limits: room,
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

    /// Reads the clock that is never set back: who waits has as long as it should whatever the host's clock does.
    pub(super) fn now(&mut self, wall: UnixTime) -> MonotonicTime {
        self.clock.advance(wall)
    }

    /// The deadline of a request that begins to wait.
    pub(super) fn deadline(&mut self, wait: Duration, wall: UnixTime) -> Deadline {
        let since = self.now(wall);
        Deadline { parked_at: since, expires_at: since.plus(wait) }
    }

    /// Whether this request may wait too.
    pub(super) fn has_room_for(&self, request: &Request<'_>, awaited: PendingOn) -> bool {
        let bytes = bytes_of(request);
        let has_part = |provider: ProviderId| {
            let held = self.by_provider.get(&provider).copied().unwrap_or_default();
            self.untrusted.has_room_for(bytes, self.half) && held.has_room_for(bytes, self.part)
        };
        let has_share = |provider: ProviderId| {
            self.failed.get(&provider).copied().unwrap_or_default().has_room_for(bytes, self.share)
        };
        self.all.has_room_for(bytes, self.limits)
            && untrusted_of(awaited).is_none_or(has_part)
            && failed_of(awaited).is_none_or(has_share)
    }

    /// Takes a request in that has to wait.
    pub(super) fn insert(
        &mut self,
        stream: StreamId,
        request: Request<'static>,
        awaited: PendingOn,
        patience: Deadline,
    ) {
        // A stream id that is still here was never closed by the host; the older request is forgotten.
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

    /// Recalls all that wait for this provider's keys.
    pub(super) fn resume_for_keys(&mut self, provider: ProviderId) {
        let keys = [PendingOn::Keys(provider), PendingOn::NewerKeys(provider)];
        self.recall_where(|waiting| keys.contains(&waiting.pending_on));
    }

    /// Recalls all that wait for what this provider says of a token.
    pub(super) fn resume_for_token(&mut self, provider: ProviderId, token: TokenDigest) {
        // They leave the index with their recall, so that nobody is looked for twice.
        for stream in self.by_token.remove(&(provider, token)).unwrap_or_default() {
            if let Some(waiting) = self.requests.get_mut(&stream).filter(|waiting| !waiting.resumable) {
                waiting.resumable = true;
                self.resumable.push_back(stream);
            }
        }
    }

    /// Recalls all that wait for the first list of revoked tokens.
    pub(super) fn resume_for_revocations(&mut self) {
        self.recall_where(|waiting| waiting.pending_on == PendingOn::Revocations);
    }

    /// Recalls all that have waited long enough.
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
        // Oldest first, as far as the host numbers its streams in order.
        if let Some(added) = self.resumable.make_contiguous().get_mut(before..) {
            added.sort_unstable();
        }
    }

    /// The next recalled request, taken out.
    pub(super) fn next_resumable(&mut self) -> Option<(StreamId, Request<'static>, Deadline)> {
        loop {
            let stream = self.resumable.pop_front()?;
            // One whose client left in the meantime is here no more.
            if let Some(waiting) = self.take(stream) {
                return Some((stream, waiting.request, waiting.deadline));
            }
        }
    }

    /// Whether there is a recalled request.
    pub(super) fn has_resumable(&self) -> bool {
        !self.resumable.is_empty()
    }

    /// Forgets a request; gives the token of which it was the last to wait for what is said.
    pub(super) fn remove(&mut self, stream: StreamId) -> Option<(ProviderId, TokenDigest)> {
        match self.take(stream)?.pending_on {
            PendingOn::Introspection { of, about, .. } if !self.is_pending_on_token(of, about) => Some((of, about)),
            PendingOn::Introspection { .. } | PendingOn::Keys(_) | PendingOn::NewerKeys(_) | PendingOn::Revocations => {
                None
            }
        }
    }

    /// Whether a request waits for what this provider says of a token.
    pub(super) fn is_pending_on_token(&self, provider: ProviderId, token: TokenDigest) -> bool {
        self.by_token.contains_key(&(provider, token))
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    /// When the first of them has waited long enough.
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

/// Whose token it says it is, when anybody could have made it up.
const fn untrusted_of(awaited: PendingOn) -> Option<ProviderId> {
    match awaited {
        PendingOn::Keys(provider)
        | PendingOn::NewerKeys(provider)
        | PendingOn::Introspection { of: provider, class: BudgetClass::Unknown, .. } => Some(provider),
        PendingOn::Introspection { class: BudgetClass::Established, .. } | PendingOn::Revocations => None,
    }
}

/// Whose token it says it is, when its signature fails with the keys held.
const fn failed_of(awaited: PendingOn) -> Option<ProviderId> {
    match awaited {
        PendingOn::NewerKeys(provider) => Some(provider),
        PendingOn::Keys(_) | PendingOn::Introspection { .. } | PendingOn::Revocations => None,
    }
}
