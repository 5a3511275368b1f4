//! How many fetches unknown key ids may cause: a token bucket, in each VM and, in the lease, in the whole process.
//!
//! Kept as one time (GCRA): when the bucket is full again. In a flood of unknown key ids one fetch is made in each refill
//! interval, so a rotated key is found one interval and one fetch after its publication at the latest. In peace there
//! is a fetch left for the first token of a rotated key, also where single forged tokens come in between.

use std::time::Duration;

use crate::unix_time::UnixTime;

/// So many fetches may follow each other.
pub(super) const BURST: u32 = 3;

/// The fetches that are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TokenBucket {
    full_at: UnixTime,
}

impl Default for TokenBucket {
    fn default() -> Self {
        Self::full_at(UnixTime::from_millis(0))
    }
}

impl TokenBucket {
    /// The bucket that is full at that time.
    pub(super) const fn full_at(full_at: UnixTime) -> Self {
        Self { full_at }
    }

    /// When it is full.
    pub(super) const fn is_full_at(self) -> UnixTime {
        self.full_at
    }

    /// How long no fetch is left; zero when there is one.
    pub(super) fn wait(self, refill: Duration, now: UnixTime) -> Duration {
        self.at(refill, now).full_at.since(now).saturating_sub(refill.saturating_mul(BURST.saturating_sub(1)))
    }

    /// Takes a fetch.
    ///
    /// # Errors
    /// There is none for so long.
    pub(super) fn take(self, refill: Duration, now: UnixTime) -> Result<Self, Duration> {
        let wait = self.wait(refill, now);
        if wait > Duration::ZERO {
            return Err(wait);
        }
        Ok(Self::full_at(self.at(refill, now).full_at.max(now).plus(refill)))
    }

    /// Puts a fetch back that was not made.
    #[must_use]
    pub(super) fn give_back(self, refill: Duration) -> Self {
        let refill = u64::try_from(refill.as_millis()).unwrap_or(u64::MAX);
        Self::full_at(UnixTime::from_millis(self.full_at.as_millis().saturating_sub(refill)))
    }

    /// One that is emptier than empty is from before the clock was set back, or corrupt: one fetch is left.
    fn at(self, refill: Duration, now: UnixTime) -> Self {
        let interval = |times: u32| now.plus(refill.saturating_mul(times));
        if self.full_at > interval(BURST) { Self::full_at(interval(BURST.saturating_sub(1))) } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    const REFILL: Duration = Duration::from_secs(4);
    const START: UnixTime = UnixTime::from_secs(1_800_000_000);

    #[wasm_bindgen_test(unsupported = test)]
    fn a_flood_gets_the_burst_and_then_one_fetch_in_each_interval() {
        let mut bucket = TokenBucket::default();
        let mut taken = Vec::new();
        for millis in (0..120_000).step_by(10) {
            if let Ok(next) = bucket.take(REFILL, START.plus(Duration::from_millis(millis))) {
                bucket = next;
                taken.push(millis);
            }
        }
        assert_eq!(taken[..5], [0, 10, 20, 4_000, 8_000]);
        let most = taken.iter().map(|from| taken.iter().filter(|at| (*from..from + 60_000).contains(at)).count()).max();
        assert_eq!(most, Some(17), "in any minute, as docs/keys.md says");
        assert!(taken.windows(2).all(|pair| pair[1] - pair[0] <= 4_000));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn what_was_not_made_comes_back() {
        let bucket = (0..3).fold(TokenBucket::default(), |bucket, _| bucket.take(REFILL, START).unwrap());
        assert_eq!(bucket.take(REFILL, START), Err(REFILL));
        assert!(bucket.give_back(REFILL).take(REFILL, START).is_ok());
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_clock_that_is_set_back_or_a_corrupt_record_neither_blocks_nor_opens_the_bucket() {
        let empty = (0..3).fold(TokenBucket::default(), |bucket, _| bucket.take(REFILL, START).unwrap());
        for (bucket, now) in
            [(empty, UnixTime::from_secs(1)), (TokenBucket::full_at(UnixTime::from_millis(u64::MAX)), START)]
        {
            let next = bucket.take(REFILL, now).unwrap();
            assert_eq!(next.take(REFILL, now), Err(REFILL));
            assert!(next.take(REFILL, now.plus(REFILL)).is_ok());
        }
    }
}
