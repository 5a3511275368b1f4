//! Which call of this worker began before which, and how old its response is: wall clocks are set back and forward.
//!
//! Of two responses that workers share, the one with the newer [`Sequence`](crate::sequence::Sequence) counts. Whether a
//! call began after a request came is decided by this worker's [`Moment`]s. How long a response lasts is measured with a
//! [`MonotonicClock`].

use crate::sequence::Moment;
use crate::unix_time::{MonotonicClock, MonotonicTime, UnixTime};

/// When a request came that needs a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrived(Moment);

/// When a call began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Began {
    moment: Moment,
    pub(crate) at: MonotonicTime,
}

/// The time, by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Now {
    pub(crate) wall: UnixTime,
    pub(crate) at: MonotonicTime,
}

/// The order of the calls to one endpoint in this worker, and its clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallOrder {
    last: Moment,
    clock: MonotonicClock,
}

impl Began {
    /// When another worker began it: whether that was after any request of this worker came is not known.
    pub(crate) fn elsewhere(at: MonotonicTime) -> Self {
        Self { moment: Moment::default(), at }
    }

    /// Whether the request came before.
    pub(crate) fn is_after(self, arrived: Arrived) -> bool {
        self.moment > arrived.0
    }
}

impl Now {
    /// A time of the wall clock that has passed, by the clock that is not set; `None` when it lies ahead. Then the clock
    /// was set back since, and the time is not known.
    pub(crate) fn past(self, time: UnixTime) -> Option<MonotonicTime> {
        (time <= self.wall).then(|| self.at.minus(self.wall.since(time)))
    }
}

impl CallOrder {
    pub(crate) fn new() -> Self {
        Self { last: Moment::default(), clock: MonotonicClock::new(UnixTime::from_millis(0)) }
    }

    /// When a request arrives that comes now.
    pub(crate) const fn arrived(&self) -> Arrived {
        Arrived(self.last)
    }

    /// Reads the clock.
    pub(crate) fn now(&mut self, wall: UnixTime) -> Now {
        Now { wall, at: self.clock.advance(wall) }
    }

    /// A call begins here.
    pub(crate) fn begin(&mut self, at: MonotonicTime) -> Began {
        self.last = self.last.next();
        Began { moment: self.last, at }
    }

    /// What the wall clock said then, had it always been set as it is now.
    pub(crate) const fn wall(&self, at: MonotonicTime) -> UnixTime {
        self.clock.wall(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_call_is_after_the_requests_that_came_before_it_began() {
        let mut order = CallOrder::new();
        let before = order.arrived();
        let now = order.now(UnixTime::from_secs(1000));
        let first = order.begin(now.at);
        let between = order.arrived();
        let back = order.now(UnixTime::from_secs(10));
        let second = order.begin(back.at);
        assert!(first.is_after(before) && !first.is_after(between));
        assert!(second.is_after(before) && second.is_after(between) && !second.is_after(order.arrived()));
        for arrived in [before, between, Arrived::default()] {
            assert!(!Began::elsewhere(back.at).is_after(arrived));
        }
    }

    #[test]
    fn the_age_of_a_time_ahead_is_not_known() {
        let mut order = CallOrder::new();
        order.now(UnixTime::from_secs(1000));
        let now = order.now(UnixTime::from_secs(400));
        let age = |seconds| now.past(UnixTime::from_secs(seconds)).map(|at| now.at.since(at));
        assert_eq!(age(400), Some(Duration::ZERO));
        assert_eq!(age(370), Some(Duration::from_secs(30)));
        assert_eq!(age(401), None);
        let began = order.begin(now.at);
        order.now(UnixTime::from_secs(405));
        assert_eq!(order.wall(began.at), UnixTime::from_secs(400));
        order.now(UnixTime::from_secs(5));
        assert_eq!(order.wall(began.at), UnixTime::from_secs(0), "five seconds ago");
    }
}
