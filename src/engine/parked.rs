//! The requests that wait for keys: bounded in number and bytes, each with a deadline of its own.
//!
//! A request here is either waiting or *recalled*: the reason it waits for may be gone, and it is to be
//! decided with the next batch. Nothing is decided in here.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::engine::StreamId;
use crate::engine::request::NamedToken;
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
    waiting: HashMap<StreamId, Waiting>,
    recalled: VecDeque<StreamId>,
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
    patience: Patience,
    recalled: bool,
}

impl Parked {
    pub(super) fn new(room: Room) -> Self {
        Self { room, held_bytes: 0, waiting: HashMap::new(), recalled: VecDeque::new() }
    }

    /// Whether this request may wait too.
    pub(super) fn has_room_for(&self, token: &NamedToken<'_>) -> bool {
        let bytes = self.held_bytes.saturating_add(token.held_bytes());
        self.waiting.len() < self.room.requests && bytes <= self.room.bytes
    }

    /// Takes a request in that has to wait.
    pub(super) fn insert(&mut self, stream: StreamId, token: NamedToken<'static>, patience: Patience) {
        self.held_bytes = self.held_bytes.saturating_add(token.held_bytes());
        // A stream id that is still here was never closed by the host; the older request is forgotten.
        let replaced = self.waiting.insert(stream, Waiting { token, patience, recalled: false });
        if let Some(older) = replaced {
            self.held_bytes = self.held_bytes.saturating_sub(older.token.held_bytes());
        }
    }

    /// Recalls all that wait for this provider.
    pub(super) fn recall(&mut self, provider: ProviderId) {
        self.recall_where(|waiting| waiting.token.provider() == provider);
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

    /// Forgets a request.
    pub(super) fn remove(&mut self, stream: StreamId) {
        self.take(stream);
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
        self.held_bytes = self.held_bytes.saturating_sub(waiting.token.held_bytes());
        Some(waiting)
    }
}
