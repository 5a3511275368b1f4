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
