//! The only "now" the core knows: milliseconds since the Unix epoch, handed in by whoever calls.
//! Arithmetic saturates, so a clock that jumps never panics and never wraps a deadline around.

use std::time::Duration;

/// A point in time, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime {
    millis: u64,
}

impl UnixTime {
    /// The point that lies `millis` milliseconds after the epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self { millis }
    }

    /// The point that lies `seconds` seconds after the epoch.
    pub const fn from_secs(seconds: u64) -> Self {
        Self { millis: seconds.saturating_mul(1000) }
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> u64 {
        self.millis
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn as_secs(self) -> u64 {
        self.millis / 1000
    }

    /// The point `by` later, at most the end of time.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self { millis: self.millis.saturating_add(millis_of(by)) }
    }

    /// How long ago `earlier` was; zero when the clock went back and it lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.millis.saturating_sub(earlier.millis))
    }
}

fn millis_of(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test(unsupported = test)]
    fn arithmetic_saturates_instead_of_wrapping() {
        let end = UnixTime::from_millis(u64::MAX);
        assert_eq!(end.plus(Duration::from_secs(1)), end);
        assert_eq!(UnixTime::from_secs(u64::MAX), end);
        assert_eq!(UnixTime::from_secs(1).plus(Duration::MAX), end);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_clock_that_went_back_gives_zero_elapsed_time() {
        let earlier = UnixTime::from_secs(100);
        assert_eq!(UnixTime::from_secs(40).since(earlier), Duration::ZERO);
        assert_eq!(UnixTime::from_secs(101).since(earlier), Duration::from_secs(1));
    }
}
