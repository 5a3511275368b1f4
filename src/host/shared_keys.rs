//! One fetch for all the VMs of a process: lease and hand-over through the host's shared data.
//!
//! The VM that can put its lease there fetches and writes the outcome beside it; then its root wakes the others
//! (`wake_ups`). What a record means is `keys::sharing`'s business; here bytes are moved. Only on Envoy:
//! other hosts trap on shared data that is not set up, and there each VM fetches for itself.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::engine::{Fetch, FetchId, Lease, SharedOutcome, Turn};
use crate::host::shared_data::{TRIES, read, write};
use crate::unix_time::UnixTime;

/// One root's part in the sharing.
#[derive(Debug, Default)]
pub(super) struct SharedKeys {
    /// Fetches that somebody else may be making.
    awaiting: RefCell<Vec<Fetch>>,
    /// The leases on fetches that we make, by record.
    held: RefCell<HashMap<String, (FetchId, Lease)>>,
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
                        self.held.borrow_mut().insert(record.to_owned(), (fetch.id, ours));
                        return Some(Turn::Ours(ours));
                    }
                }
                turn @ (Turn::Theirs(_) | Turn::CoolingDown { .. }) => return Some(turn),
            }
        }
        // Somebody else has taken it each time.
        let last = read(&key).0.as_deref().and_then(Lease::from_bytes);
        Some(Turn::Theirs(last.map_or(fetch.keys.sequence, |lease| lease.sequence)))
    }

    /// Writes the outcome of our fetch and gives the lease back.
    pub(super) fn publish(&self, record: &str, outcome: &SharedOutcome) {
        let kind = if outcome.answer.is_some() { "good" } else { "failed" };
        write_newer(&of_record(record, kind), outcome);
        let held = self.held.borrow_mut().remove(record);
        if let Some((_, ours)) = held {
            give_back(record, ours);
        }
    }

    /// Lets others fetch what we were about to: they look whether it is their turn.
    pub(super) fn give_up(&self) {
        for (record, (_, ours)) in self.held.take() {
            give_back(&record, ours);
        }
    }

    /// Gives the leases back of fetches that ended without an outcome: given up, or made by another VM meanwhile.
    pub(super) fn give_back_unused(&self, is_fetching: impl Fn(FetchId) -> bool) {
        for (record, (_, ours)) in self.held.borrow_mut().extract_if(|_, (fetch, _)| !is_fetching(*fetch)) {
            give_back(&record, ours);
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

/// Gives a lease back. Where it has run out and somebody else has put his in its place, that one stays.
fn give_back(record: &str, ours: Lease) {
    let key = of_record(record, "lease");
    let (held, version) = read(&key);
    if held.and_then(|bytes| Lease::from_bytes(&bytes)) == Some(ours) {
        // When this fails somebody took it just now.
        let _ = write(&key, &ours.given_back().to_bytes(), version);
    }
}

/// Writes an outcome, unless the record holds that of a later fetch: the lease of this VM may have run out.
fn write_newer(key: &str, outcome: &SharedOutcome) {
    for _ in 0..TRIES {
        let (held, version) = read(key);
        let held = held.and_then(|bytes| SharedOutcome::from_bytes(&bytes));
        if held.is_some_and(|held| held.sequence.is_newer_than(outcome.sequence))
            || write(key, &outcome.to_bytes(), version).is_ok()
        {
            return;
        }
    }
    log::warn!("the outcome of a fetch of keys was not shared: other workers wrote theirs each time");
}

/// The key of a kind of record.
fn of_record(record: &str, kind: &str) -> String {
    format!("{record}/{kind}")
}
