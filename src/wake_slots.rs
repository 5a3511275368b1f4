//! The queues with which the roots of a process wake each other, encoded for the host's shared data.
//!
//! A host keeps every queue and its content until the process ends. So queues are reused: each root holds a numbered
//! slot, and the number is part of its queue's name. A root confirms its slot every few seconds. A slot that is not
//! confirmed expires, because its root is gone, even if the host removed the VM without a callback.

use std::time::Duration;

use crate::unix_time::UnixTime;

/// How often a root confirms its slot.
pub const CONFIRM_EVERY: Duration = Duration::from_secs(10);
/// How long a slot is held without confirmation: long enough for a busy worker.
const HELD_FOR: Duration = Duration::from_secs(40);
/// More slots than any machine has workers and replaced configurations.
const MAX_SLOTS: usize = 1024;
const SLOT_BYTES: usize = 20;
const VERSION: u8 = 1;

/// The slots of all roots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WakeSlots(Vec<Option<Slot>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    /// A random number that only the owner knows.
    owner: u64,
    /// The host's id of the queue. 0 until it is registered.
    queue: u32,
    confirmed_at: UnixTime,
}

impl Slot {
    /// A time far in the future was stored before the clock was set back.
    fn is_held(self, now: UnixTime) -> bool {
        now.since(self.confirmed_at) < HELD_FOR && self.confirmed_at.since(now) < HELD_FOR
    }
}

impl WakeSlots {
    /// Decodes the record. Malformed bytes are an empty record.
    pub fn from_bytes(record: Option<&[u8]>) -> Self {
        let slots = record.and_then(|bytes| bytes.strip_prefix(&[VERSION])).unwrap_or_default();
        let (slots, rest) = slots.as_chunks::<SLOT_BYTES>();
        if !rest.is_empty() || slots.len() > MAX_SLOTS {
            return Self::default();
        }
        Self(slots.iter().map(read_slot).collect())
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        for slot in &self.0 {
            let slot = slot.unwrap_or(Slot { owner: 0, queue: 0, confirmed_at: UnixTime::from_millis(0) });
            bytes.extend(slot.owner.to_le_bytes());
            bytes.extend(slot.queue.to_le_bytes());
            bytes.extend(slot.confirmed_at.as_millis().to_le_bytes());
        }
        bytes
    }

    /// Assigns `owner` the first free slot. Returns its number, or `None` if all slots are held.
    pub fn claim(&mut self, owner: u64, now: UnixTime) -> Option<usize> {
        let free = self.0.iter().position(|slot| !slot.is_some_and(|slot| slot.is_held(now)));
        let number = free.unwrap_or(self.0.len());
        let claimed = Some(Slot { owner, queue: 0, confirmed_at: now });
        match self.0.get_mut(number) {
            Some(slot) => *slot = claimed,
            None if number < MAX_SLOTS => self.0.push(claimed),
            None => return None,
        }
        Some(number)
    }

    /// Renews the slot of `owner` and stores its queue. Returns `false` if it has no slot.
    pub fn confirm(&mut self, owner: u64, queue: u32, now: UnixTime) -> bool {
        let mut own = self.0.iter_mut().flatten().filter(|slot| slot.owner == owner);
        own.next().map(|slot| (slot.queue, slot.confirmed_at) = (queue, now)).is_some()
    }

    /// Frees the slot of `owner`.
    pub fn release(&mut self, owner: u64) {
        self.free(|slot| slot.owner == owner);
    }

    /// Frees the slot of a queue that the host does not have.
    pub fn release_queue(&mut self, queue: u32) {
        self.free(|slot| slot.queue == queue);
    }

    fn free(&mut self, matches: impl Fn(&Slot) -> bool) {
        for slot in &mut self.0 {
            slot.take_if(|slot| matches(slot));
        }
        while self.0.pop_if(|slot| slot.is_none()).is_some() {}
    }

    /// The queues of all other roots.
    pub fn others(&self, owner: u64, now: UnixTime) -> Vec<u32> {
        let others = self.0.iter().flatten().filter(|slot| slot.owner != owner && slot.queue != 0 && slot.is_held(now));
        others.map(|slot| slot.queue).collect()
    }
}

fn read_slot(bytes: &[u8; SLOT_BYTES]) -> Option<Slot> {
    let (owner, rest) = bytes.split_first_chunk::<8>()?;
    let (queue, rest) = rest.split_first_chunk::<4>()?;
    let (confirmed_at, _) = rest.split_first_chunk::<8>()?;
    let owner = u64::from_le_bytes(*owner);
    let confirmed_at = UnixTime::from_millis(u64::from_le_bytes(*confirmed_at));
    (owner != 0).then_some(Slot { owner, queue: u32::from_le_bytes(*queue), confirmed_at })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

    fn at(seconds: u64) -> UnixTime {
        NOW.plus(Duration::from_secs(seconds))
    }

    /// A root that claims a slot and registers the queue `100 + number`.
    fn join(slots: &mut WakeSlots, owner: u64, now: UnixTime) -> usize {
        let number = slots.claim(owner, now).expect("a free slot");
        assert!(slots.confirm(owner, 100 + u32::try_from(number).unwrap(), now));
        *slots = WakeSlots::from_bytes(Some(&slots.to_bytes()));
        number
    }

    #[test]
    fn each_root_has_a_slot_and_the_queues_of_all_others() {
        let mut slots = WakeSlots::default();
        assert_eq!([1, 2, 3].map(|owner| join(&mut slots, owner, NOW)), [0, 1, 2]);
        assert_eq!(slots.others(2, at(1)), [100, 102]);
        slots.release(1);
        assert_eq!(slots.others(2, at(1)), [102]);
        assert_eq!(join(&mut slots, 4, at(1)), 0, "the first free one");
        slots.release_queue(102);
        assert_eq!(slots.others(2, at(1)), [100]);
        slots.release(4);
        slots.release(2);
        assert_eq!(slots.to_bytes(), [VERSION], "free slots at the end take no bytes");
    }

    #[test]
    fn slot_without_confirmation_expires_and_is_reused() {
        let mut slots = WakeSlots::default();
        let mut now = NOW;
        for reload in 0..10_000_u64 {
            now = now.plus(Duration::from_secs(1));
            join(&mut slots, 1000 + reload, now);
            assert!(slots.0.len() <= 41, "{} slots after {reload} roots", slots.0.len());
        }
        assert!(slots.confirm(1000 + 9_999, 7, now), "a root that confirms its slot keeps it");
        assert_eq!(slots.others(1, now.plus(Duration::from_secs(39))), [7]);
        assert_eq!(slots.others(1, now.plus(Duration::from_secs(40))), [0; 0]);
        assert!(!slots.confirm(1000, 7, now), "another root has the first slot");
    }

    #[test]
    fn claimed_slot_without_a_queue_is_not_woken() {
        let mut slots = WakeSlots::default();
        slots.claim(1, NOW);
        assert_eq!(slots.others(2, NOW), [0; 0]);
    }

    #[test]
    fn slot_expires_after_the_clock_is_set_back() {
        let mut slots = WakeSlots::default();
        join(&mut slots, 1, NOW);
        let hour_before = UnixTime::from_secs(1_800_000_000 - 3600);
        assert_eq!(slots.others(2, hour_before), [0; 0]);
        assert!(slots.confirm(1, 100, hour_before), "its root confirms it");
        assert_eq!(slots.others(2, hour_before), [100]);
    }

    #[test]
    fn malformed_record_is_empty_and_slots_are_limited() {
        let mut full = WakeSlots::default();
        for owner in 1..=1024 {
            join(&mut full, owner, NOW);
        }
        assert_eq!(full.claim(2000, NOW), None);
        let mut too_many = full.to_bytes();
        too_many.extend([1; SLOT_BYTES]);
        for malformed in [&b""[..], b"\0", &[0xff; 40], &[VERSION; 40], b"{}", &too_many] {
            assert_eq!(WakeSlots::from_bytes(Some(malformed)), WakeSlots::default());
        }
        assert_eq!(WakeSlots::from_bytes(None), WakeSlots::default());
    }
}
