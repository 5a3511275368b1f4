//! The roots of a process wake each other: each has a queue, registered in a slot of a shared record (`wake_slots`).

use std::cell::Cell;

use proxy_wasm::hostcalls;

use crate::host::clock;
use crate::host::shared_data::{Change, prefixed, read, update};
use crate::unix_time::UnixTime;
use crate::wake_slots::{CONFIRM_EVERY, WakeSlots};

const RECORD: &str = "roots/slots";

/// The slot of this root. It is claimed at the first tick, because Envoy configures a VM that it removes at once, and
/// that VM should not claim a slot.
#[derive(Debug, Default)]
pub(super) struct WakeUps {
    /// A random number that is unique among the roots of the process.
    owner: Cell<u64>,
    queue: Cell<Option<u32>>,
    confirmed_at: Cell<Option<UnixTime>>,
}

impl WakeUps {
    /// Confirms the slot, if it is due.
    pub(super) fn confirm(&self) {
        let now = clock::now();
        let is_due = |last: UnixTime| last > now || now.since(last) >= CONFIRM_EVERY;
        if !self.confirmed_at.get().is_none_or(is_due) {
            return;
        }
        let is_first = self.confirmed_at.replace(Some(now)).is_none();
        let owner = self.owner.get();
        if self.queue.get().is_some_and(|queue| change(|slots| slots.confirm(owner, queue, now)) == Some(true)) {
            return;
        }
        self.queue.set(self.join(now));
        if is_first && self.queue.get().is_none() {
            log::warn!("the filter has no shared queue: keys that another worker fetched are found by polling");
        }
    }

    /// Claims a slot, then registers its queue. The host wakes the last root that registered the queue.
    fn join(&self, now: UnixTime) -> Option<u32> {
        let [a, b, c, d, e, f, g, h, ..] = clock::entropy()?.0;
        let owner = u64::from_le_bytes([a, b, c, d, e, f, g, h]).max(1);
        self.owner.set(owner);
        let number = change(|slots| slots.claim(owner, now))??;
        let queue = hostcalls::register_shared_queue(&prefixed(&format!("roots/{number}"))).ok()?;
        (change(|slots| slots.confirm(owner, queue, now)) == Some(true)).then_some(queue)
    }

    /// Empties the queue that became ready and returns whether it is this root's.
    pub(super) fn drain(&self, queue: u32) -> bool {
        while let Ok(Some(_)) = hostcalls::dequeue_shared_queue(queue) {}
        let is_own = self.queue.get() == Some(queue);
        if !is_own {
            // A crashed VM had a root with this slot number. No other root releases its queue.
            change(|slots| slots.release_queue(queue));
        }
        is_own
    }

    /// Makes the host call this root right after the current callback, before the next tick.
    pub(super) fn wake_self(&self) {
        if let Some(queue) = self.queue.get() {
            // If this fails, the next tick does the work.
            let _ = hostcalls::enqueue_shared_queue(queue, Some(b"calls"));
        }
    }

    /// Wakes all other roots of the process.
    pub(super) fn wake_others(&self) {
        let others = WakeSlots::from_bytes(read(RECORD).as_deref()).others(self.owner.get(), clock::now());
        for queue in others {
            // The host has no such queue: its VM is gone.
            if hostcalls::enqueue_shared_queue(queue, Some(b"news")).is_err() {
                change(|slots| slots.release_queue(queue));
            }
        }
    }

    pub(super) fn leave(&self) {
        if self.queue.take().is_some() {
            change(|slots| slots.release(self.owner.get()));
        }
    }
}

/// Updates the record. `None` if other roots changed it at every attempt.
fn change<T>(change: impl Fn(&mut WakeSlots) -> T) -> Option<T> {
    update(RECORD, |record| {
        let mut slots = WakeSlots::from_bytes(record);
        let result = change(&mut slots);
        Change::Write(slots.to_bytes(), result)
    })
}
