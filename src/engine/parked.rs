//! The requests that wait for keys, or for what an issuer says of a token: bounded in number and bytes, each with a
//! deadline of its own. Tokens of which nothing good is known take half of the room at most: anybody can make them up.
//!
//! A request here is either waiting or *recalled*: the reason it waits for may be gone, and it is to be
//! decided with the next batch. Nothing is decided in here.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use crate::engine::StreamId;
use crate::engine::inquiries::Awaited;
use crate::engine::request::NamedToken;
use crate::introspection::call::{Standing, TokenDigest};
use crate::policy::ProviderId;
use crate::unix_time::UnixTime;

/// Clocks are corrected by less than this without anybody having set them back.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(1);

/// How much may wait in one VM.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Requests.
    pub requests: usize,
    /// Bytes held by them, about.
    pub bytes: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self { requests: 4096, bytes: 32 * 1024 * 1024 }
    }
}

/// The waiting requests.
#[derive(Debug)]
pub(super) struct Parked {
    room: Room,
    held_bytes: usize,
    /// Those among them whose token nobody knows.
    unknown: Held,
    waiting: HashMap<StreamId, Waiting>,
    /// Who waits for what is said of a token: an answer looks for nobody else.
    by_answer: HashMap<(ProviderId, TokenDigest), BTreeSet<StreamId>>,
    recalled: VecDeque<StreamId>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Held {
    requests: usize,
    bytes: usize,
}

/// How long a request may wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) since: UnixTime,
    pub(super) until: UnixTime,
}

impl Patience {
    /// Whether it has waited long enough. When the clock was set back nobody can tell, and its end may be hours off.
    pub(super) fn is_over(self, now: UnixTime) -> bool {
        now >= self.until || self.since.since(now) > CLOCK_TOLERANCE
    }
}

#[derive(Debug)]
struct Waiting {
    token: NamedToken<'static>,
    awaited: Awaited,
    patience: Patience,
    recalled: bool,
}

impl Parked {
    pub(super) fn new(room: Room) -> Self {
        Self {
            room,
            held_bytes: 0,
            unknown: Held::default(),
            waiting: HashMap::new(),
            by_answer: HashMap::new(),
            recalled: VecDeque::new(),
        }
    }

    /// Whether this request may wait too.
    pub(super) fn has_room_for(&self, token: &NamedToken<'_>, awaited: Awaited) -> bool {
        let bytes = token.held_bytes();
        let is_within =
            |held: Held, room: Room| held.requests < room.requests && held.bytes.saturating_add(bytes) <= room.bytes;
        let all = Held { requests: self.waiting.len(), bytes: self.held_bytes };
        let half = Room { requests: self.room.requests / 2, bytes: self.room.bytes / 2 };
        is_within(all, self.room) && (!is_unknown(awaited) || is_within(self.unknown, half))
    }

    /// Takes a request in that has to wait.
    pub(super) fn insert(
        &mut self,
        stream: StreamId,
        token: NamedToken<'static>,
        awaited: Awaited,
        patience: Patience,
    ) {
        // A stream id that is still here was never closed by the host; the older request is forgotten.
        self.take(stream);
        let bytes = token.held_bytes();
        self.held_bytes = self.held_bytes.saturating_add(bytes);
        if is_unknown(awaited) {
            self.unknown.requests = self.unknown.requests.saturating_add(1);
            self.unknown.bytes = self.unknown.bytes.saturating_add(bytes);
        }
        if let Awaited::Answer { of, about, .. } = awaited {
            self.by_answer.entry((of, about)).or_default().insert(stream);
        }
        self.waiting.insert(stream, Waiting { token, awaited, patience, recalled: false });
    }

    /// Recalls all that wait for this provider's keys.
    pub(super) fn recall(&mut self, provider: ProviderId) {
        self.recall_where(|waiting| waiting.awaited == Awaited::Keys(provider));
    }

    /// Recalls all that wait for what this provider says of a token.
    pub(super) fn recall_answered(&mut self, provider: ProviderId, token: TokenDigest) {
        // They leave the index with their recall, so that nobody is looked for twice.
        for stream in self.by_answer.remove(&(provider, token)).unwrap_or_default() {
            if let Some(waiting) = self.waiting.get_mut(&stream).filter(|waiting| !waiting.recalled) {
                waiting.recalled = true;
                self.recalled.push_back(stream);
            }
        }
    }

    /// Recalls all that have waited long enough.
    pub(super) fn recall_overdue(&mut self, now: UnixTime) {
        self.recall_where(|waiting| waiting.patience.is_over(now));
    }

    fn recall_where(&mut self, is_meant: impl Fn(&Waiting) -> bool) {
        let before = self.recalled.len();
        for (stream, waiting) in &mut self.waiting {
            if !waiting.recalled && is_meant(waiting) {
                waiting.recalled = true;
                self.recalled.push_back(*stream);
            }
        }
        // Oldest first, as far as the host numbers its streams in order.
        if let Some(added) = self.recalled.make_contiguous().get_mut(before..) {
            added.sort_unstable();
        }
    }

    /// The next recalled request, taken out.
    pub(super) fn next_recalled(&mut self) -> Option<(StreamId, NamedToken<'static>, Patience)> {
        loop {
            let stream = self.recalled.pop_front()?;
            // One whose client left in the meantime is here no more.
            if let Some(waiting) = self.take(stream) {
                return Some((stream, waiting.token, waiting.patience));
            }
        }
    }

    /// Whether there is a recalled request.
    pub(super) fn has_recalled(&self) -> bool {
        !self.recalled.is_empty()
    }

    /// Forgets a request; gives the token of which it was the last to wait for what is said.
    pub(super) fn remove(&mut self, stream: StreamId) -> Option<(ProviderId, TokenDigest)> {
        match self.take(stream)?.awaited {
            Awaited::Answer { of, about, .. } if !self.is_awaited(of, about) => Some((of, about)),
            Awaited::Answer { .. } | Awaited::Keys(_) => None,
        }
    }

    /// Whether a request waits for what this provider says of a token.
    pub(super) fn is_awaited(&self, provider: ProviderId, token: TokenDigest) -> bool {
        self.by_answer.contains_key(&(provider, token))
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// When the first of them has waited long enough.
    pub(super) fn earliest_deadline(&self) -> Option<UnixTime> {
        self.waiting.values().map(|waiting| waiting.patience.until).min()
    }

    fn take(&mut self, stream: StreamId) -> Option<Waiting> {
        let waiting = self.waiting.remove(&stream)?;
        let bytes = waiting.token.held_bytes();
        self.held_bytes = self.held_bytes.saturating_sub(bytes);
        if is_unknown(waiting.awaited) {
            self.unknown.requests = self.unknown.requests.saturating_sub(1);
            self.unknown.bytes = self.unknown.bytes.saturating_sub(bytes);
        }
        if let Awaited::Answer { of, about, .. } = waiting.awaited
            && let Some(streams) = self.by_answer.get_mut(&(of, about))
        {
            streams.remove(&stream);
            if streams.is_empty() {
                self.by_answer.remove(&(of, about));
            }
        }
        Some(waiting)
    }
}

const fn is_unknown(awaited: Awaited) -> bool {
    matches!(awaited, Awaited::Answer { standing: Standing::Unknown, .. })
}
