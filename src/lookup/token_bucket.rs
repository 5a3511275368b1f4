//! A token bucket, kept as one time (GCRA): when it is full again. A worker may have one of its own, and the workers of a
//! process share one in the record of their lease.

use std::time::Duration;

use crate::lookup::record::{Record, RecordReader, RecordWriter};
use crate::unix_time::UnixTime;

/// So many lookups may follow each other.
const BURST: u32 = 3;

/// The lookups that are left. One token is refilled in each interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenBucket {
    full_at: UnixTime,
}

impl Default for TokenBucket {
    fn default() -> Self {
        Self::full_at(UnixTime::from_millis(0))
    }
}

impl TokenBucket {
    /// The bucket that is full at that time.
    pub const fn full_at(full_at: UnixTime) -> Self {
        Self { full_at }
    }

    /// How long no token can be taken by a caller who leaves so many as a `reserve`; zero when one can.
    pub fn wait(self, reserve: u32, refill: Duration, now: UnixTime) -> Duration {
        if self.is_unreadable(refill, now) {
            return Duration::ZERO;
        }
        let spare = BURST.saturating_sub(reserve.saturating_add(1));
        self.full_at.since(now).saturating_sub(refill.saturating_mul(spare))
    }

    /// Takes a token, and leaves so many as a `reserve`.
    ///
    /// # Errors
    /// There is none for so long.
    pub fn try_acquire(self, reserve: u32, refill: Duration, now: UnixTime) -> Result<Self, Duration> {
        match self.wait(reserve, refill, now) {
            Duration::ZERO => Ok(Self::full_at(self.at(refill, now).full_at.max(now).plus(refill))),
            wait => Err(wait),
        }
    }

    #[must_use]
    pub fn give_back(self, refill: Duration) -> Self {
        let refill = u64::try_from(refill.as_millis()).unwrap_or(u64::MAX);
        Self::full_at(UnixTime::from_millis(self.full_at.as_millis().saturating_sub(refill)))
    }

    /// One that is emptier than empty is from before the clock was set back, or corrupt: one token is left, whatever the
    /// reserve.
    fn is_unreadable(self, refill: Duration, now: UnixTime) -> bool {
        self.full_at > now.plus(refill.saturating_mul(BURST))
    }

    /// The same bucket, which can be read.
    fn at(self, refill: Duration, now: UnixTime) -> Self {
        match self.is_unreadable(refill, now) {
            true => Self::full_at(now.plus(refill.saturating_mul(BURST.saturating_sub(1)))),
            false => self,
        }
    }
}

impl Record for TokenBucket {
    fn write(&self, to: &mut RecordWriter) {
        to.time(self.full_at);
    }

    fn read(from: &mut RecordReader<'_>) -> Option<Self> {
        from.time().map(Self::full_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFILL: Duration = Duration::from_secs(4);
    const START: UnixTime = UnixTime::from_secs(1_800_000_000);

    #[test]
    fn flood_gets_the_burst_and_then_one_token_in_each_interval() {
        let mut bucket = TokenBucket::default();
        let mut taken = Vec::new();
        for millis in (0..120_000).step_by(10) {
            if let Ok(next) = bucket.try_acquire(0, REFILL, START.plus(Duration::from_millis(millis))) {
                bucket = next;
                taken.push(millis);
            }
        }
        assert_eq!(taken[..5], [0, 10, 20, 4_000, 8_000]);
        let most = taken.iter().map(|from| taken.iter().filter(|at| (*from..from + 60_000).contains(at)).count()).max();
        assert_eq!(most, Some(17), "in any minute, as docs/keys.md says");
        assert!(taken.windows(2).all(|pair| pair[1] - pair[0] <= 4_000));
    }

    #[test]
    fn callers_with_a_reserve_leave_one_token_to_others() {
        let mut bucket = TokenBucket::default();
        let mut taken = Vec::new();
        for millis in (0..60_000).step_by(10) {
            let now = START.plus(Duration::from_millis(millis));
            if let Ok(next) = bucket.try_acquire(1, REFILL, now) {
                bucket = next;
                taken.push(millis);
            }
            assert!(bucket.try_acquire(0, REFILL, now).is_ok(), "{millis}");
        }
        assert_eq!(taken[..4], [0, 10, 4_000, 8_000]);
        let minute = START.plus(Duration::from_secs(60));
        let emptied = (0..2).fold(bucket, |bucket, _| bucket.try_acquire(0, REFILL, minute).unwrap());
        assert_eq!(emptied.try_acquire(1, REFILL, START.plus(Duration::from_secs(61))), Err(Duration::from_secs(7)));
    }

    #[test]
    fn token_given_back_can_be_taken_again() {
        let bucket = (0..3).fold(TokenBucket::default(), |bucket, _| bucket.try_acquire(0, REFILL, START).unwrap());
        assert_eq!(bucket.try_acquire(0, REFILL, START), Err(REFILL));
        assert!(bucket.give_back(REFILL).try_acquire(0, REFILL, START).is_ok());
    }

    #[test]
    fn clock_set_back_or_corrupt_record_leaves_one_token() {
        let empty = (0..3).fold(TokenBucket::default(), |bucket, _| bucket.try_acquire(0, REFILL, START).unwrap());
        for (bucket, now) in
            [(empty, UnixTime::from_secs(1)), (TokenBucket::full_at(UnixTime::from_millis(u64::MAX)), START)]
        {
            for reserve in [0, 1] {
                let next = bucket.try_acquire(reserve, REFILL, now).unwrap();
                assert_eq!(next.try_acquire(0, REFILL, now), Err(REFILL));
                assert!(next.try_acquire(0, REFILL, now.plus(REFILL)).is_ok());
                assert_eq!(next.try_acquire(1, REFILL, now), Err(REFILL * 2));
            }
        }
    }
}
