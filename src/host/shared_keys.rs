//! One fetch for all the VMs of a process: lease and hand-over through the host's shared data.
//!
//! Whoever can put its lease there fetches, writes the outcome beside it and wakes the others through
//! their queues. What a record means is `keys::sharing`'s business; here bytes are moved. Only on Envoy:
//! other hosts trap on shared data that is not set up, and there each VM fetches for itself.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::engine::{Fetch, Lease, SharedOutcome, Turn};
use crate::host::shared_data::{TRIES, read, write};
use crate::unix_time::UnixTime;

/// One root's part in the sharing.
#[derive(Debug, Default)]
pub(super) struct SharedKeys {
    /// Fetches that somebody else may be making.
    awaiting: RefCell<Vec<Fetch>>,
    /// The leases on fetches that we make, by record.
    held: RefCell<HashMap<String, Lease>>,
}

impl SharedKeys {
    /// What others wrote of a provider's keys.
    pub(super) fn outcomes(&self, record: &str) -> Vec<SharedOutcome> {
        let read = |kind| read(&of_record(record, kind)).0.and_then(|bytes| SharedOutcome::from_bytes(&bytes));
        [read("good"), read("failed")].into_iter().flatten().collect()
    }

    /// Whose turn it is to make `fetch`; "ours" only once our lease is written. `is_still_needed` learns
    /// what others wrote, after the lease was read: what is written later changes the lease as well.
    pub(super) fn take_turn(
        &self,
        record: &str,
        fetch: &Fetch,
        now: UnixTime,
        mut is_still_needed: impl FnMut() -> bool,
    ) -> Option<Turn> {
        let key = of_record(record, "lease");
        for _ in 0..TRIES {
            let (lease, version) = read(&key);
            if !is_still_needed() {
                return None;
            }
            match Turn::of(&fetch.keys, lease.as_deref().and_then(Lease::from_bytes), now) {
                Turn::Ours(ours) => {
                    if write(&key, &ours.to_bytes(), version).is_ok() {
                        self.held.borrow_mut().insert(record.to_owned(), ours);
                        return Some(Turn::Ours(ours));
                    }
                }
                turn @ (Turn::Theirs | Turn::CoolingDown(_)) => return Some(turn),
            }
        }
        Some(Turn::Theirs)
    }

    /// Writes the outcome of our fetch and gives the lease back.
    pub(super) fn publish(&self, record: &str, outcome: &SharedOutcome) {
        let kind = if outcome.answer.is_some() { "good" } else { "failed" };
        let key = of_record(record, kind);
        let (_, version) = read(&key);
        if write(&key, &outcome.to_bytes(), version).is_err() {
            log::warn!("another worker wrote its keys at the same moment");
        }
        self.held.borrow_mut().remove(record);
        let key = of_record(record, "lease");
        if let (Some(lease), version) = read(&key)
            && let Some(lease) = Lease::from_bytes(&lease)
        {
            // When this fails our lease had run out and somebody else took it: then it is theirs.
            let _ = write(&key, &lease.given_back().to_bytes(), version);
        }
    }

    /// Lets others fetch what we were about to: they look whether it is their turn. Where a lease has run out and somebody else
    /// has put his in its place, that one stays.
    pub(super) fn give_up(&self) {
        for (record, ours) in self.held.take() {
            let key = of_record(&record, "lease");
            let (held, version) = read(&key);
            if held.and_then(|bytes| Lease::from_bytes(&bytes)) == Some(ours) {
                // When this fails somebody took it just now.
                let _ = write(&key, &ours.given_back().to_bytes(), version);
            }
        }
    }

    /// Keeps a fetch that somebody else may be making.
    pub(super) fn wait_for_others(&self, fetch: Fetch) {
        self.awaiting.borrow_mut().push(fetch);
    }

    /// The fetches kept, to be looked at again.
    pub(super) fn take_awaiting(&self) -> Vec<Fetch> {
        self.awaiting.take()
    }

    /// Whether somebody else may be fetching for us.
    pub(super) fn is_awaiting(&self) -> bool {
        !self.awaiting.borrow().is_empty()
    }
}

/// The key of a kind of record.
fn of_record(record: &str, kind: &str) -> String {
    format!("{record}/{kind}")
}
