//! How many fetches unknown key ids and failed signatures may cause: a token bucket in each worker, and one of the whole
//! process in the lease.
//!
//! In a flood of unknown key ids one fetch is made in each refill interval, so a rotated key is found one interval and one
//! fetch after its publication at the latest. Otherwise a fetch is left for the first token of a rotated key, also where
//! single forged tokens come in between. The last one is never for a failed signature: tokens with known key ids that
//! anybody can make up do not delay a rotated key.

use std::time::Duration;

use crate::keys::fetch::FetchCause;
use crate::lookup::token_bucket::TokenBucket;
use crate::unix_time::{MonotonicTime, UnixTime};

/// The fetches that are left to this worker, and what it knows of those of the process, which the lease counts.
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
        let Some(reserve) = cause.reserve() else { return Duration::ZERO };
        // Where none is left, none is to spare.
        let blocked_until =
            if reserve > 0 { self.unknown_key_id_from.max(self.signature_from) } else { self.unknown_key_id_from };
        self.bucket.wait(reserve, refill, wall).max(blocked_until.since(now))
    }

    /// Takes a fetch of this cause out of the bucket of this worker; one that is due is not limited.
    ///
    /// # Errors
    /// There is none for so long.
    pub(super) fn try_acquire(&mut self, cause: FetchCause, refill: Duration, wall: UnixTime) -> Result<(), Duration> {
        if let Some(reserve) = cause.reserve() {
            self.bucket = self.bucket.try_acquire(reserve, refill, wall)?;
        }
        Ok(())
    }

    /// A fetch was not made: another worker made it, or the process has none left.
    pub(super) fn give_back(&mut self, cause: FetchCause, refill: Duration) {
        if cause.reserve().is_some() {
            self.bucket = self.bucket.give_back(refill);
        }
    }

    /// The process has no fetch of this cause until then.
    pub(super) const fn block(&mut self, cause: FetchCause, until: MonotonicTime) {
        match cause {
            FetchCause::SignatureInvalid => self.signature_from = until,
            FetchCause::Due | FetchCause::UnknownKeyId => self.unknown_key_id_from = until,
        }
    }
}

impl FetchCause {
    /// How many fetches of the bucket such a fetch leaves to others; `None`: it takes none of them.
    pub(super) const fn reserve(self) -> Option<u32> {
        match self {
            Self::Due => None,
            Self::UnknownKeyId => Some(0),
            Self::SignatureInvalid => Some(1),
        }
    }
}
