//! Points in time: the core reads no clock, callers pass the time. Arithmetic saturates: a clock that jumps neither panics nor
//! overflows a deadline.

use std::time::Duration;

/// A point in time, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime {
    millis: u64,
}

impl UnixTime {
    /// The time `millis` milliseconds after the epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self { millis }
    }

    /// The time `seconds` seconds after the epoch.
    pub const fn from_secs(seconds: u64) -> Self {
        Self { millis: seconds.saturating_mul(1000) }
    }

    pub const fn as_millis(self) -> u64 {
        self.millis
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn as_secs(self) -> u64 {
        self.millis / 1000
    }

    /// The time `by` later, saturating.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self { millis: self.millis.saturating_add(millis_of(by)) }
    }

    /// The time since `earlier`; zero when `earlier` is in the future.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.millis.saturating_sub(earlier.millis))
    }
}

/// A time that never goes back, for durations: milliseconds since an arbitrary origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct MonotonicTime {
    millis: u64,
}

impl MonotonicTime {
    /// The time `by` later, saturating.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self { millis: self.millis.saturating_add(millis_of(by)) }
    }

    /// The time `by` earlier, saturating.
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        Self { millis: self.millis.saturating_sub(millis_of(by)) }
    }

    /// The time since `earlier`; zero when `earlier` is in the future.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.millis.saturating_sub(earlier.millis))
    }
}

/// A monotonic clock over the wall clock. A step back does not change durations; a step forward counts as elapsed time.
#[derive(Clone, Copy, Debug)]
pub struct MonotonicClock {
    latest: UnixTime,
    /// The sum of all steps back.
    set_back: u64,
}

impl MonotonicClock {
    /// A clock that starts at `now`.
    pub const fn new(now: UnixTime) -> Self {
        Self { latest: now, set_back: 0 }
    }

    /// The time at the wall-clock time `now`. After a step back time stands still until [`Self::advance`].
    pub fn at(&self, now: UnixTime) -> MonotonicTime {
        MonotonicTime { millis: self.latest.max(now).millis.saturating_add(self.set_back) }
    }

    /// The time at the wall-clock time `now`; detects a step back.
    pub fn advance(&mut self, now: UnixTime) -> MonotonicTime {
        self.set_back = self.set_back.saturating_add(self.latest.millis.saturating_sub(now.millis));
        self.latest = now;
        self.at(now)
    }

    /// The wall-clock time then, if the clock is not set.
    pub const fn wall(&self, at: MonotonicTime) -> UnixTime {
        UnixTime { millis: at.millis.saturating_sub(self.set_back) }
    }
}

/// A span of wall-clock time, which is over as soon as the clock is set back before it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub from: UnixTime,
    pub until: UnixTime,
}

/// Clocks are corrected by less than this without anybody having set them back.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(1);

impl Span {
    /// Whether it still lasts; not when the clock was set back.
    pub fn contains(self, now: UnixTime) -> bool {
        now < self.until && self.from.since(now) <= CLOCK_TOLERANCE
    }
}

fn millis_of(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_instead_of_wrapping() {
        let end = UnixTime::from_millis(u64::MAX);
        assert_eq!(end.plus(Duration::from_secs(1)), end);
        assert_eq!(UnixTime::from_secs(u64::MAX), end);
        assert_eq!(UnixTime::from_secs(1).plus(Duration::MAX), end);
    }

    #[test]
    fn a_clock_that_is_set_back_gives_zero_elapsed_time() {
        let earlier = UnixTime::from_secs(100);
        assert_eq!(UnixTime::from_secs(40).since(earlier), Duration::ZERO);
        assert_eq!(UnixTime::from_secs(101).since(earlier), Duration::from_secs(1));
    }
    #[test]
    fn durations_do_not_change_when_the_wall_clock_is_set_back() {
        let mut clock = MonotonicClock::new(UnixTime::from_secs(1000));
        let start = clock.advance(UnixTime::from_secs(1000));
        let end = start.plus(Duration::from_secs(10));
        assert_eq!(clock.wall(end), UnixTime::from_secs(1010));
        let set_back = UnixTime::from_secs(400);
        assert_eq!(clock.at(set_back), start, "not noticed yet");
        assert_eq!(clock.advance(set_back), start);
        assert_eq!(clock.wall(end), UnixTime::from_secs(410));
        assert_eq!(clock.advance(UnixTime::from_secs(409)).since(start), Duration::from_secs(9));
        assert_eq!(clock.advance(UnixTime::from_secs(410)), end);
    }

    #[test]
    fn a_span_ends_at_its_end_and_when_the_clock_is_set_back() {
        let at = UnixTime::from_millis;
        let span = Span { from: at(10_000), until: at(20_000) };
        for (now, lasts) in [(10_000, true), (19_999, true), (20_000, false), (9_000, true), (8_999, false), (0, false)]
        {
            assert_eq!(span.contains(at(now)), lasts, "{now}");
        }
    }
}
