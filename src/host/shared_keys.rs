//! One fetch of keys for all workers of a process: the worker that acquires the lease fetches and shares the outcome; then
//! its root wakes the others (`wake_ups`). On hosts without shared data each worker fetches for itself.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::engine::{Fetch, FetchId, Lease, SharedOutcome, TokenBucket};
use crate::host::shared_data::{HeldLease, acquire, read_record, write_unless};
use crate::unix_time::UnixTime;

/// One root's part in the sharing.
#[derive(Debug, Default)]
pub(super) struct SharedKeys {
    /// Fetches that another worker may be making.
    awaiting: RefCell<Vec<Fetch>>,
    /// The leases on fetches that this worker makes, by record.
    held: RefCell<HashMap<String, (FetchId, HeldLease<TokenBucket>)>>,
}

impl SharedKeys {
    /// What others shared of a provider's keys.
    pub(super) fn outcomes(&self, record: &str) -> Vec<SharedOutcome> {
        ["good", "failed"].into_iter().filter_map(|kind| read_record(&of_record(record, kind))).collect()
    }

    /// The lease on `fetch`. `is_still_needed` takes over what others shared, after the lease was read: what is shared later
    /// changes the lease as well.
    pub(super) fn acquire(
        &self,
        record: &str,
        fetch: &Fetch,
        now: UnixTime,
        mut is_still_needed: impl FnMut() -> bool,
    ) -> Option<Lease<TokenBucket>> {
        let key = of_record(record, "lease");
        let lease = acquire(&key, fetch.keys.sequence, |held| {
            is_still_needed().then(|| Lease::for_fetch(&fetch.keys, held, now))
        });
        if let Some(Lease::Acquired(lease)) = lease {
            self.held.borrow_mut().insert(record.to_owned(), (fetch.id, HeldLease::new(key, lease)));
        }
        lease
    }

    /// Shares the outcome of a fetch that this worker made, and gives the lease back.
    pub(super) fn publish(&self, record: &str, outcome: &SharedOutcome) {
        let kind = if outcome.response.is_some() { "good" } else { "failed" };
        // That of a later fetch stays: the lease of this worker may have run out.
        let is_newer = |held: &SharedOutcome| held.sequence.is_newer_than(outcome.sequence);
        if write_unless(&of_record(record, kind), outcome, is_newer).is_none() {
            log::warn!("the outcome of a fetch of keys was not shared: other workers wrote theirs each time");
        }
        let held = self.held.borrow_mut().remove(record);
        held.into_iter().for_each(|(_, lease)| lease.give_back());
    }

    /// Gives all leases back: other workers look whether they may fetch.
    pub(super) fn give_up(&self) {
        self.held.take().into_values().for_each(|(_, lease)| lease.give_back());
    }

    /// Gives the leases back of fetches that ended without an outcome: timed out, or made by another worker meanwhile.
    pub(super) fn give_back_unused(&self, is_fetching: impl Fn(FetchId) -> bool) {
        let mut held = self.held.borrow_mut();
        let unused = held.extract_if(|_, (fetch, _)| !is_fetching(*fetch));
        unused.for_each(|(_, (_, lease))| lease.give_back());
    }

    /// Keeps a fetch that another worker may be making.
    pub(super) fn wait_for_others(&self, fetch: Fetch) {
        self.awaiting.borrow_mut().push(fetch);
    }

    /// The fetches kept, to be looked at again.
    pub(super) fn take_awaiting(&self) -> Vec<Fetch> {
        self.awaiting.take()
    }

    /// Whether another worker may be fetching for this one.
    pub(super) fn is_awaiting(&self) -> bool {
        !self.awaiting.borrow().is_empty()
    }
}

/// The key of a kind of record.
fn of_record(record: &str, kind: &str) -> String {
    format!("{record}/{kind}")
}
