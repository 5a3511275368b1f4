//! When a provider's keys are fetched next: ahead of the end of the set held, or after a back-off.

use std::time::Duration;

use crate::keys::fetch::Jitter;
use crate::keys::order::Arrived;
use crate::sequence::{Moment, Sequence};
use crate::unix_time::MonotonicTime;

const FIRST_BACK_OFF: Duration = Duration::from_secs(1);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(60);
/// Without keys every request is denied: then recovery counts more than a quiet network.
const LONGEST_BACK_OFF_WITHOUT_KEYS: Duration = Duration::from_secs(5);
/// A server may ask for refreshes more often than configured, but not for a fetch a second.
const SHORTEST_FRESHNESS: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct FetchSchedule {
    /// The last fetch that failed.
    last_failed: Option<(Sequence, Moment)>,
    failures: u32,
    next_attempt: MonotonicTime,
}

impl FetchSchedule {
    /// The first fetch is due now.
    pub(super) const fn new(now: MonotonicTime) -> Self {
        Self { last_failed: None, failures: 0, next_attempt: now }
    }

    pub(super) const fn next_attempt(&self) -> MonotonicTime {
        self.next_attempt
    }

    pub(super) fn last_failed(&self) -> Option<Sequence> {
        self.last_failed.map(|(sequence, _)| sequence)
    }

    pub(super) fn has_failed_since(&self, arrived: Arrived) -> bool {
        self.last_failed.is_some_and(|(_, began)| began > arrived.moment)
    }

    /// Whether the last fetch failed and the next one is not due yet.
    pub(super) fn is_backing_off(&self, now: MonotonicTime) -> bool {
        self.failures > 0 && now < self.next_attempt
    }

    /// The next fetch is due now.
    pub(super) const fn set_due(&mut self, now: MonotonicTime) {
        self.next_attempt = now;
    }

    /// A fetch brought keys, and the server says for how long they may be kept.
    pub(super) fn note_success(
        &mut self,
        refresh: Duration,
        max_age: Option<Duration>,
        at: MonotonicTime,
        jitter: Jitter,
    ) {
        self.failures = 0;
        let fresh_for = refresh.min(max_age.map_or(Duration::MAX, |age| age.max(SHORTEST_FRESHNESS)));
        self.next_attempt = at.plus(jitter.between_tenths(fresh_for, 8, 10));
    }

    /// A fetch failed; gives how long none is made.
    pub(super) fn note_failure(
        &mut self,
        failed: (Sequence, Moment),
        holds_keys: bool,
        at: MonotonicTime,
        jitter: Jitter,
    ) -> Duration {
        let longest = if holds_keys { LONGEST_BACK_OFF } else { LONGEST_BACK_OFF_WITHOUT_KEYS };
        let back_off = jitter.back_off(FIRST_BACK_OFF, self.failures, longest);
        self.failures = self.failures.saturating_add(1);
        self.last_failed = Some(failed);
        self.next_attempt = at.plus(back_off);
        back_off
    }
}
