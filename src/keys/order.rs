//! What began before what, without a clock: wall clocks are set back and forward.
//!
//! Two orders. [`Moment`]: the events of this VM, which knows its own order. [`Sequence`]: the fetches of all VMs of the
//! process, numbered by the lease that each of them takes. A VM that reads the number in the lease knows that every
//! fetch of a later number began after that moment.

use crate::unix_time::MonotonicTime;

/// A position in the order of this VM's events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(u64);

/// When a request came that needs a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrived {
    pub(super) moment: Moment,
    pub(super) at: MonotonicTime,
    /// Whether it has waited for a key that was not held.
    has_waited: bool,
}

impl Arrived {
    /// The same of a request that waits for a key that is not held.
    #[must_use]
    pub const fn waiting(self) -> Self {
        Self { has_waited: true, ..self }
    }

    /// Whether a signature that fails with the set of this fetch is final: the fetch began after the request came, or the
    /// request waited for it. When a fetch began that another VM made long ago is not known.
    pub(super) fn is_judged_by(self, began: Began) -> bool {
        began.moment > self.moment || (self.has_waited && began.moment > Moment::default())
    }
}

/// The number of a fetch in the process. Serial number arithmetic (RFC 1982): a corrupt record whose number is far
/// ahead is followed by newer numbers all the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sequence(pub(super) u64);

impl Sequence {
    /// The number after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// Whether the fetch of this number began after that of the other one.
    pub const fn is_newer_than(self, other: Self) -> bool {
        let ahead = self.0.wrapping_sub(other.0);
        ahead != 0 && ahead < 1 << 63
    }

    /// The newer of the two.
    #[must_use]
    pub const fn newer(self, other: Self) -> Self {
        if other.is_newer_than(self) { other } else { self }
    }
}

/// When a fetch began, at the earliest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Began {
    pub(super) moment: Moment,
    pub(super) at: MonotonicTime,
}

/// The order of one provider's fetches, as this VM knows it.
#[derive(Debug, Default)]
pub(super) struct FetchOrder {
    moment: Moment,
    newest: Sequence,
    /// The number that was read from the lease last, and when.
    observed: Option<(Sequence, Began)>,
    /// The last reading of an older number.
    observed_before: Option<(Sequence, Began)>,
}

impl FetchOrder {
    /// What a request notes that comes now.
    pub(super) const fn arrived(&self, at: MonotonicTime) -> Arrived {
        Arrived { moment: self.moment, at, has_waited: false }
    }

    /// A fetch begins here.
    pub(super) fn begin(&mut self, at: MonotonicTime) -> Began {
        self.moment = Moment(self.moment.0.saturating_add(1));
        Began { moment: self.moment, at }
    }

    /// The number of a fetch for which there is no lease.
    pub(super) fn number(&mut self) -> Sequence {
        self.newest = self.newest.next();
        self.newest
    }

    /// The lease of the process has this number now.
    pub(super) fn observe(&mut self, sequence: Sequence, at: MonotonicTime) {
        let now = self.begin(at);
        if let Some((last, _)) = self.observed.filter(|(last, _)| *last != sequence) {
            self.observed_before = self.observed.filter(|_| sequence.is_newer_than(last));
        }
        self.observed = Some((sequence, now));
        self.newest = sequence;
    }

    /// There is a fetch of this number.
    pub(super) const fn learn(&mut self, sequence: Sequence) {
        self.newest = self.newest.newer(sequence);
    }

    /// When the fetch of this number began that another VM made: after everything that came before a reading of an
    /// older number. Without one nobody knows.
    pub(super) fn began(&self, sequence: Sequence) -> Began {
        let readings = [self.observed, self.observed_before];
        let earlier = readings.into_iter().flatten().find(|(read, _)| sequence.is_newer_than(*read));
        earlier.map(|(_, at)| at).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use wasm_bindgen_test::wasm_bindgen_test;

    fn at(seconds: u64) -> MonotonicTime {
        MonotonicTime::default().plus(Duration::from_secs(seconds))
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_corrupt_number_does_not_block_newer_ones() {
        for corrupt in [0, 5, 1 << 40, 1 << 62, u64::MAX / 2, u64::MAX] {
            let next = Sequence(corrupt).next();
            assert!(next.is_newer_than(Sequence(corrupt)) && !Sequence(corrupt).is_newer_than(next), "{corrupt}");
            assert!(!next.is_newer_than(next));
        }
        assert_eq!(Sequence(7).newer(Sequence(u64::MAX)), Sequence(7), "older by eight");
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_fetch_of_another_worker_began_after_the_last_reading_of_an_older_number() {
        let mut order = FetchOrder::default();
        assert_eq!(order.began(Sequence(9)), Began::default(), "nothing was read");
        order.observe(Sequence(5), at(1));
        order.observe(Sequence(5), at(2));
        assert_eq!(order.began(Sequence(5)), Began::default(), "that one was under way");
        assert_eq!(order.began(Sequence(6)).at, at(2));
        order.observe(Sequence(6), at(3));
        assert_eq!(order.began(Sequence(6)).at, at(2));
        assert_eq!(order.began(Sequence(7)).at, at(3));
        let arrived = order.arrived(at(3));
        assert!(order.began(Sequence(7)).moment <= arrived.moment, "a request that came since is not judged by it");
        order.observe(Sequence(1), at(4));
        assert_eq!(order.began(Sequence(2)).at, at(4), "the record was lost: counted anew");
        assert_eq!(order.number(), Sequence(2));
    }
}
