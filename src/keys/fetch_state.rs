//! The key set that is cached, the fetch that is wanted, and the one under way.

use crate::jose::KeySet;
use crate::keys::fetch::{FetchCause, FetchNumber, Jitter};
use crate::keys::key_response::Step;
use crate::keys::look_up::KeyGeneration;
use crate::keys::order::Began;
use crate::sequence::Sequence;
use crate::unix_time::MonotonicTime;

#[derive(Debug)]
pub(super) struct CachedSet {
    pub(super) set: KeySet,
    pub(super) generation: KeyGeneration,
    pub(super) sequence: Sequence,
    /// When the fetch that brought it began: it holds all that was published then.
    pub(super) began: Began,
    pub(super) fetched_at: MonotonicTime,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) from: MonotonicTime,
    pub(super) cause: FetchCause,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct InFlight {
    pub(super) number: FetchNumber,
    pub(super) sequence: Sequence,
    pub(super) began: Began,
    pub(super) give_up_at: MonotonicTime,
    /// Whether this worker has the lease on it; else another one may be making it.
    pub(super) is_leased: bool,
    pub(super) jitter: Jitter,
    pub(super) cause: FetchCause,
    pub(super) step: Step,
}
