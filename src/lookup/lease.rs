//! The lease on a lookup: of all workers of a process, one makes it at a time.
//!
//! The record in the host's shared data is written by compare-and-swap. Its number grows with every lease, also past one
//! that was lost or is corrupt, so that no two leases are equal: a worker gives back only the lease that it holds itself.

use std::time::Duration;

use crate::lookup::rate_limiter::LimitReached;
use crate::lookup::record::{Record, RecordReader, RecordWriter};
use crate::sequence::Sequence;
use crate::unix_time::{Span, UnixTime};

/// Who makes a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lease<D> {
    /// This worker, once this record replaces the one that was read.
    Acquired(LeaseRecord<D>),
    /// Another worker makes the lookup of this number.
    HeldByOther(Sequence),
    /// No worker, for now.
    Cooldown {
        /// How long none is allowed.
        wait: Duration,
        /// The number of the last lookup.
        sequence: Sequence,
    },
}

/// How the request for the lease of a callout ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseOutcome {
    /// This worker has the lease of this number.
    Acquired(Sequence),
    /// Another worker makes the lookup of this number.
    HeldByOther(Sequence),
    /// No worker, for now.
    Cooldown {
        /// How long none is allowed.
        wait: Duration,
        /// The number of the last lookup.
        sequence: Sequence,
    },
    /// The rate limit of all workers is reached.
    LimitReached(LimitReached),
}

impl<D> From<Lease<D>> for LeaseOutcome {
    fn from(lease: Lease<D>) -> Self {
        match lease {
            Lease::Acquired(record) => Self::Acquired(record.sequence),
            Lease::HeldByOther(sequence) => Self::HeldByOther(sequence),
            Lease::Cooldown { wait, sequence } => Self::Cooldown { wait, sequence },
        }
    }
}

/// A lease, as workers share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseRecord<D> {
    /// When it was taken, and until when it runs.
    pub span: Span,
    /// The number of the lookup, which is the last one once the lease is over.
    pub sequence: Sequence,
    /// What its owner keeps with it.
    pub detail: D,
}

impl<D: Copy> LeaseRecord<D> {
    /// The lease after `held`. `next` is the number of the lookup as far as this worker knows.
    pub fn after(held: Option<Self>, next: Sequence, detail: D, lasts: Duration, now: UnixTime) -> Self {
        let sequence = held.map_or(next, |held| next.newer(held.sequence.next()));
        Self { span: Span { from: now, until: now.plus(lasts) }, sequence, detail }
    }

    /// Whether its holder is still expected to end the lookup; not when the clock was set back.
    pub fn is_running(&self, now: UnixTime) -> bool {
        self.span.contains(now)
    }

    /// The lease once its holder is done. It is over by every clock, also by one that was set back a little.
    #[must_use]
    pub const fn given_back(self) -> Self {
        Self { span: Span { from: self.span.from, until: UnixTime::from_millis(0) }, ..self }
    }
}

impl<D: Record> Record for LeaseRecord<D> {
    fn write(&self, to: &mut RecordWriter) {
        to.time(self.span.from);
        to.time(self.span.until);
        to.sequence(self.sequence);
        self.detail.write(to);
    }

    fn read(from: &mut RecordReader<'_>) -> Option<Self> {
        let span = Span { from: from.time()?, until: from.time()? };
        Some(Self { span, sequence: from.sequence()?, detail: D::read(from)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lookup::token_bucket::TokenBucket;

    const START: u64 = 1_800_000_000;
    const LASTS: Duration = Duration::from_secs(5);

    const fn at(seconds: u64) -> UnixTime {
        UnixTime::from_secs(START + seconds)
    }

    fn lease(held: Option<LeaseRecord<TokenBucket>>, next: u64, now: UnixTime) -> LeaseRecord<TokenBucket> {
        LeaseRecord::after(held, Sequence::new(next), TokenBucket::full_at(at(9)), LASTS, now)
    }

    #[test]
    fn lease_runs_until_its_end_and_not_after_the_clock_is_set_back() {
        let lease = lease(None, 1, at(0));
        for (now, is_running) in [(at(0), true), (at(4), true), (at(5), false), (UnixTime::from_secs(START - 1), true)]
        {
            assert_eq!(lease.is_running(now), is_running, "{now:?}");
        }
        assert!(!lease.is_running(UnixTime::from_secs(START - 60)));
    }

    #[test]
    fn lease_given_back_is_over_by_every_clock_and_keeps_number_and_detail() {
        let lease = lease(None, 7, at(0));
        let given_back = lease.given_back();
        for now in [0, START - 60, START - 1, START, START + 4] {
            assert!(!given_back.is_running(UnixTime::from_secs(now)), "{now}");
        }
        assert_eq!((given_back.sequence, given_back.detail), (lease.sequence, lease.detail));
    }

    #[test]
    fn each_lease_has_a_newer_number_than_the_record_and_than_this_worker_knows() {
        let first = lease(None, 1, at(0));
        assert_eq!(first.sequence, Sequence::new(1));
        let second = lease(Some(first), 1, at(10));
        assert_eq!(second.sequence, Sequence::new(2), "after the record");
        assert_eq!(lease(Some(first), 9, at(10)).sequence, Sequence::new(9), "the record was lost once");
        assert_eq!(lease(Some(second.given_back()), 1, at(20)).sequence, Sequence::new(3));
        assert_ne!(lease(Some(first), 1, at(0)), first, "two leases of one moment are not equal");
    }

    #[test]
    fn record_round_trips_and_other_bytes_are_no_lease() {
        let lease = lease(None, 1 << 40, at(3));
        let bytes = lease.to_bytes();
        assert_eq!(LeaseRecord::from_bytes(&bytes), Some(lease));
        for end in 0..bytes.len() {
            assert_eq!(LeaseRecord::<TokenBucket>::from_bytes(&bytes[..end]), None, "{end}");
        }
        assert_eq!(LeaseRecord::<TokenBucket>::from_bytes(&[&*bytes, b"\0"].concat()), None);
    }
}
