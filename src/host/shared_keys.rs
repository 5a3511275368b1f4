//! One fetch for all the VMs of a process: lease and hand-over through the host's shared data.
//!
//! Whoever can put its lease there fetches, writes the outcome beside it and wakes the others through
//! their queues. What a record means is `keys::sharing`'s business; here bytes are moved. Only on Envoy:
//! other hosts trap on shared data that is not set up, and there each VM fetches for itself.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use proxy_wasm::hostcalls;

use crate::engine::{Fetch, Lease, SharedOutcome, Turn};
use crate::host::shared_data::{TRIES, prefixed, read, write};
use crate::unix_time::UnixTime;

thread_local! {
    /// This VM's number in the process.
    static VM: Cell<Option<u32>> = const { Cell::new(None) };
}

/// One root's part in the sharing.
#[derive(Debug)]
pub(super) struct SharedKeys {
    queue: Option<u32>,
    /// Fetches that somebody else may be making.
    awaiting: RefCell<Vec<Fetch>>,
    /// The leases on fetches that we make, by record.
    held: RefCell<HashMap<String, Lease>>,
}

impl SharedKeys {
    /// Has the root of this number join those of all VMs of this process.
    pub(super) fn join(root: u32) -> Self {
        let queue = own_queue(root);
        if queue.is_none() {
            log::warn!(
                "the host has no shared queues for the filter: keys that another worker fetched are found by polling"
            );
        }
        Self { queue, awaiting: RefCell::default(), held: RefCell::default() }
    }

    /// Whether this root's queue is the one that has become ready. It is emptied.
    pub(super) fn take_wake_up(&self, queue: u32) -> bool {
        while let Ok(Some(_)) = hostcalls::dequeue_shared_queue(queue) {}
        let is_ours = self.queue == Some(queue);
        if !is_ours {
            // That of a root of our number in a VM that was here before and crashed: nobody else will strike it off.
            change_queues(|queues| queues.retain(|listed| *listed != queue));
        }
        is_ours
    }

    /// Has the host call this root as soon as the present callback has ended, sooner than any tick.
    pub(super) fn wake_self(&self) {
        if let Some(queue) = self.queue {
            // When this fails there is the tick.
            let _ = hostcalls::enqueue_shared_queue(queue, Some(b"calls"));
        }
    }

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
                turn @ (Turn::Theirs(_) | Turn::CoolingDown { .. }) => return Some(turn),
            }
        }
        // Somebody else has taken it each time.
        let last = read(&key).0.as_deref().and_then(Lease::from_bytes);
        Some(Turn::Theirs(last.map_or(fetch.keys.sequence, |lease| lease.sequence)))
    }

    /// Writes the outcome of our fetch, gives the lease back and wakes the others.
    pub(super) fn publish(&self, record: &str, outcome: &SharedOutcome) {
        let kind = if outcome.answer.is_some() { "good" } else { "failed" };
        write_newer(&of_record(record, kind), outcome);
        let held = self.held.borrow_mut().remove(record);
        if let Some(ours) = held {
            give_back(record, ours);
        }
        let others = queues().0.into_iter().filter(|queue| Some(*queue) != self.queue);
        // A VM that is gone has no queue to be woken by.
        let gone = |queue: &u32| hostcalls::enqueue_shared_queue(*queue, Some(b"keys")).is_err();
        let gone: Vec<u32> = others.filter(gone).collect();
        if !gone.is_empty() {
            change_queues(|queues| queues.retain(|queue| !gone.contains(queue)));
        }
    }

    /// Leaves the others, who need not be told any more.
    pub(super) fn leave(&self) {
        if let Some(ours) = self.queue {
            change_queues(|queues| queues.retain(|queue| *queue != ours));
        }
    }

    /// Lets others fetch what we were about to: they look whether it is their turn.
    pub(super) fn give_up(&self) {
        for (record, ours) in self.held.take() {
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

/// Writes an outcome, unless that of a later fetch stands there: our lease may have run out.
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
    log::warn!("the other workers could not be told of a fetch of keys");
}

/// The queues of all roots, and the version of that list.
fn queues() -> (Vec<u32>, u32) {
    let (list, version) = read(&of_record("vms", "queues"));
    let list = list.unwrap_or_default();
    let (ids, _) = list.as_chunks::<4>();
    (ids.iter().map(|id| u32::from_le_bytes(*id)).collect(), version)
}

/// Changes that list; `false` when others did so all the time.
fn change_queues(change: impl Fn(&mut Vec<u32>)) -> bool {
    (0..TRIES).any(|_| {
        let (mut ids, version) = queues();
        change(&mut ids);
        let list: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
        write(&of_record("vms", "queues"), &list, version).is_ok()
    })
}

/// The queue that wakes this root. Each has a name of its own, for the host wakes only the last that registered one.
fn own_queue(root: u32) -> Option<u32> {
    let vm = VM.get().or_else(next_vm_number)?;
    VM.set(Some(vm));
    let queue = hostcalls::register_shared_queue(&prefixed(&of_record("vms", &format!("{vm}/{root}")))).ok()?;
    let is_listed = change_queues(|queues| {
        if !queues.contains(&queue) {
            queues.push(queue);
        }
    });
    is_listed.then_some(queue)
}

fn next_vm_number() -> Option<u32> {
    let key = of_record("vms", "count");
    for _ in 0..TRIES {
        let (count, version) = read(&key);
        let bytes = count.and_then(|bytes| <[u8; 4]>::try_from(bytes.as_slice()).ok()).unwrap_or_default();
        let number = u32::from_le_bytes(bytes);
        if write(&key, &number.checked_add(1)?.to_le_bytes(), version).is_ok() {
            return Some(number);
        }
    }
    None
}

/// The key of a kind of record.
fn of_record(record: &str, kind: &str) -> String {
    format!("{record}/{kind}")
}
