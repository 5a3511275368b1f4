//! How many fetches unknown key ids and failed signatures may cause: a token bucket, in each VM and, in the lease, in the
//! whole process.
//!
//! Kept as one time (GCRA): when the bucket is full again. In a flood of unknown key ids one fetch is made in each refill
//! interval, so a rotated key is found one interval and one fetch after its publication at the latest. In peace there
//! is a fetch left for the first token of a rotated key, also where single forged tokens come in between. The last one is
//! never for a failed signature: tokens with known key ids that anybody can make up do not delay a rotated key.

use std::time::Duration;

use crate::keys::fetch::FetchCause;
use crate::unix_time::{MonotonicTime, UnixTime};

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

    /// How long no fetch of this cause is left; zero when there is one.
    fn wait(self, cause: FetchCause, refill: Duration, now: UnixTime) -> Duration {
        let needed = match cause {
            FetchCause::Due => return Duration::ZERO,
            FetchCause::UnknownKeyId => 1,
            FetchCause::SignatureInvalid => 2,
        };
        if self.is_unreadable(refill, now) {
            return Duration::ZERO;
        }
        self.full_at.since(now).saturating_sub(refill.saturating_mul(BURST.saturating_sub(needed)))
    }

    /// Takes a fetch of this cause; one that is due is not limited.
    ///
    /// # Errors
    /// There is none for so long.
    pub(super) fn take(self, cause: FetchCause, refill: Duration, now: UnixTime) -> Result<Self, Duration> {
        if cause == FetchCause::Due {
            return Ok(self);
        }
        let wait = self.wait(cause, refill, now);
        if wait > Duration::ZERO {
            return Err(wait);
        }
        Ok(Self::full_at(self.at(refill, now).full_at.max(now).plus(refill)))
    }

    /// Puts a fetch back that was not made.
    #[must_use]
    fn give_back(self, refill: Duration) -> Self {
        let refill = u64::try_from(refill.as_millis()).unwrap_or(u64::MAX);
        Self::full_at(UnixTime::from_millis(self.full_at.as_millis().saturating_sub(refill)))
    }

    /// One that is emptier than empty is from before the clock was set back, or corrupt: one fetch is left, of either cause.
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

/// The fetches that are left to this VM, and what it knows of those of the process, which its lease counts.
#[derive(Debug, Default)]
pub(super) struct FetchLimit {
    bucket: TokenBucket,
    /// When the process has a fetch for an unknown key id again.
    unknown_key_id_from: MonotonicTime,
    /// The same for a failed signature.
    signature_from: MonotonicTime,
}

impl FetchLimit {
    /// How long no fetch of this cause may be made.
    pub(super) fn wait(&self, cause: FetchCause, refill: Duration, now: MonotonicTime, wall: UnixTime) -> Duration {
        let allowed_from = match cause {
            FetchCause::Due => return Duration::ZERO,
            FetchCause::UnknownKeyId => self.unknown_key_id_from,
            // Where none is left none is to spare.
            FetchCause::SignatureInvalid => self.unknown_key_id_from.max(self.signature_from),
        };
        self.bucket.wait(cause, refill, wall).max(allowed_from.since(now))
    }

    /// Takes a fetch out of the bucket of this VM.
    ///
    /// # Errors
    /// There is none for so long.
    pub(super) fn take(&mut self, cause: FetchCause, refill: Duration, wall: UnixTime) -> Result<(), Duration> {
        self.bucket = self.bucket.take(cause, refill, wall)?;
        Ok(())
    }

    /// A fetch was not made: another VM made it, or the process has none left.
    pub(super) fn give_back(&mut self, cause: FetchCause, refill: Duration) {
        if cause != FetchCause::Due {
            self.bucket = self.bucket.give_back(refill);
        }
    }

    /// The process has no fetch of this cause until then.
    pub(super) const fn put_off(&mut self, cause: FetchCause, until: MonotonicTime) {
        match cause {
            FetchCause::SignatureInvalid => self.signature_from = until,
            FetchCause::Due | FetchCause::UnknownKeyId => self.unknown_key_id_from = until,
        }
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
            if let Ok(next) = bucket.take(FetchCause::UnknownKeyId, REFILL, START.plus(Duration::from_millis(millis))) {
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
    fn failed_signatures_leave_one_fetch_to_unknown_key_ids() {
        let mut bucket = TokenBucket::default();
        let mut taken = Vec::new();
        for millis in (0..60_000).step_by(10) {
            let now = START.plus(Duration::from_millis(millis));
            if let Ok(next) = bucket.take(FetchCause::SignatureInvalid, REFILL, now) {
                bucket = next;
                taken.push(millis);
            }
            assert!(bucket.take(FetchCause::UnknownKeyId, REFILL, now).is_ok(), "{millis}");
        }
        assert_eq!(taken[..4], [0, 10, 4_000, 8_000]);
        let minute = START.plus(Duration::from_secs(60));
        let emptied = (0..2).fold(bucket, |bucket, _| bucket.take(FetchCause::UnknownKeyId, REFILL, minute).unwrap());
        assert_eq!(
            emptied.take(FetchCause::SignatureInvalid, REFILL, START.plus(Duration::from_secs(61))),
            Err(Duration::from_secs(7))
        );
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn what_was_not_made_comes_back() {
        let bucket = (0..3)
            .fold(TokenBucket::default(), |bucket, _| bucket.take(FetchCause::UnknownKeyId, REFILL, START).unwrap());
        assert_eq!(bucket.take(FetchCause::UnknownKeyId, REFILL, START), Err(REFILL));
        assert!(bucket.give_back(REFILL).take(FetchCause::UnknownKeyId, REFILL, START).is_ok());
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_clock_that_is_set_back_or_a_corrupt_record_neither_blocks_nor_opens_the_bucket() {
        let empty = (0..3)
            .fold(TokenBucket::default(), |bucket, _| bucket.take(FetchCause::UnknownKeyId, REFILL, START).unwrap());
        for (bucket, now) in
            [(empty, UnixTime::from_secs(1)), (TokenBucket::full_at(UnixTime::from_millis(u64::MAX)), START)]
        {
            for cause in [FetchCause::UnknownKeyId, FetchCause::SignatureInvalid] {
                let next = bucket.take(cause, REFILL, now).unwrap();
                assert_eq!(next.take(FetchCause::UnknownKeyId, REFILL, now), Err(REFILL));
                assert!(next.take(FetchCause::UnknownKeyId, REFILL, now.plus(REFILL)).is_ok());
                assert_eq!(next.take(FetchCause::SignatureInvalid, REFILL, now), Err(REFILL * 2));
            }
        }
    }
}
