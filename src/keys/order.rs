//! Which fetch began before which, without a clock: by this worker's [`Moment`]s and by the [`Sequence`] of the process.
//! A worker that reads the number in the lease knows that every fetch of a later number began after that moment.

use crate::sequence::{Moment, Sequence};
use crate::unix_time::MonotonicTime;

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
    /// request waited for it. When a fetch began that another worker made long ago is not known.
    pub(super) fn is_judged_by(self, began: Began) -> bool {
        began.moment > self.moment || (self.has_waited && began.moment > Moment::default())
    }
}

/// When a fetch began, at the earliest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Began {
    pub(super) moment: Moment,
    pub(super) at: MonotonicTime,
}

/// The order of one provider's fetches, as this worker knows it.
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
    /// When a request arrives that comes now.
    pub(super) const fn arrived(&self, at: MonotonicTime) -> Arrived {
        Arrived { moment: self.moment, at, has_waited: false }
    }

    /// A fetch begins here.
    pub(super) fn begin(&mut self, at: MonotonicTime) -> Began {
        self.moment = self.moment.next();
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

    /// When the fetch of this number began that another worker made: after everything that came before a reading of an
    /// older number. Without one it is not known.
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

    fn at(seconds: u64) -> MonotonicTime {
        MonotonicTime::default().plus(Duration::from_secs(seconds))
    }

    #[test]
    fn a_fetch_of_another_worker_began_after_the_last_reading_of_an_older_number() {
        let mut order = FetchOrder::default();
        assert_eq!(order.began(Sequence::new(9)), Began::default(), "nothing was read");
        order.observe(Sequence::new(5), at(1));
        order.observe(Sequence::new(5), at(2));
        assert_eq!(order.began(Sequence::new(5)), Began::default(), "that one was under way");
        assert_eq!(order.began(Sequence::new(6)).at, at(2));
        order.observe(Sequence::new(6), at(3));
        assert_eq!(order.began(Sequence::new(6)).at, at(2));
        assert_eq!(order.began(Sequence::new(7)).at, at(3));
        let arrived = order.arrived(at(3));
        assert!(
            order.began(Sequence::new(7)).moment <= arrived.moment,
            "a request that came since is not judged by it"
        );
        order.observe(Sequence::new(1), at(4));
        assert_eq!(order.began(Sequence::new(2)).at, at(4), "the record was lost, and the numbers restart");
        assert_eq!(order.number(), Sequence::new(2));
    }
}
