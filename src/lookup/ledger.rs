//! The calls of the last minute, as the workers of a process share them: in slots of five seconds, and for each requester.
//! `rate_limiter` decides what they mean for the next call.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::lookup::record::{Record, RecordReader, RecordWriter};
use crate::lookup::requester::{Caller, PerClass, Requester};
#[cfg(test)]
use crate::lookup::requester_counts;
use crate::lookup::requester_counts::{RequesterCounts, Seed};
use crate::lookup::retry_after;
use crate::unix_time::UnixTime;

const SLOT_MILLIS: u64 = 5000;
/// A minute, and the slot it begins in.
pub(crate) const SLOTS: usize = 13;
#[cfg(test)]
pub(crate) const RECORD_BYTES: usize = 1 + 8 + 8 + 4 + 8 + SLOTS * 8 + requester_counts::RECORD_BYTES;
/// A server's limit counts for so long after it was last stated.
const CEILING_LASTS: Duration = Duration::from_secs(300);

/// The calls that began in one slot of time.
type Slot = PerClass<u32>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ledger {
    /// Which slot since the epoch the first one is; the others follow back in time.
    number: u64,
    slots: [Slot; SLOTS],
    blocked_until: UnixTime,
    /// The server's own limit; 0: not known.
    ceiling: u32,
    ceiling_until: UnixTime,
    requesters: RequesterCounts,
}

impl Ledger {
    /// Without a call. `seed` is randomness.
    pub(crate) fn new(seed: Seed, now: UnixTime) -> Self {
        let never = UnixTime::from_millis(0);
        Self {
            number: now.as_millis() / SLOT_MILLIS,
            slots: [Slot::default(); SLOTS],
            blocked_until: never,
            ceiling: 0,
            ceiling_until: never,
            requesters: RequesterCounts::new(seed, now),
        }
    }

    /// The record as it stands `now`.
    pub(crate) fn of_record(record: &[u8], now: UnixTime) -> Option<Self> {
        let mut ledger = Self::from_bytes(record)?;
        ledger.advance(now);
        Some(ledger)
    }

    /// Forgets what is over a minute old.
    pub(crate) fn advance(&mut self, now: UnixTime) {
        self.requesters.advance(now);
        // Longer than any pause: from before the clock went back.
        if self.blocked_until.since(now) > retry_after::LONGEST {
            self.blocked_until = UnixTime::from_millis(0);
        }
        if self.ceiling_until.since(now) > CEILING_LASTS {
            self.ceiling_until = UnixTime::from_millis(0);
        }
        let number = now.as_millis() / SLOT_MILLIS;
        if self.number > number.saturating_add(1) {
            // The same: when the calls were made is not known, so they count as if made now.
            let all = self.slots.iter().fold(Slot::default(), |all, slot| Slot {
                established: all.established.saturating_add(slot.established),
                unknown: all.unknown.saturating_add(slot.unknown),
            });
            self.slots = [Slot::default(); SLOTS];
            self.number = number;
            if let Some(first) = self.slots.first_mut() {
                *first = all;
            }
        }
        let passed = usize::try_from(number.saturating_sub(self.number)).unwrap_or(SLOTS).min(SLOTS);
        self.slots.rotate_right(passed);
        self.slots.iter_mut().take(passed).for_each(|slot| *slot = Slot::default());
        self.number = self.number.max(number);
    }

    /// All calls that count so many slots from now.
    pub(crate) fn all(&self, slots: usize) -> u64 {
        self.kept(slots).map(|slot| u64::from(slot.established).saturating_add(u64::from(slot.unknown))).sum()
    }

    /// Those among them that are the next to be forgotten.
    pub(crate) fn oldest(&self, slots: usize) -> u64 {
        self.all(slots).saturating_sub(self.all(slots.saturating_add(1)))
    }

    /// Those among them for unknown tokens.
    pub(crate) fn unknown(&self, slots: usize) -> u64 {
        self.kept(slots).map(|slot| u64::from(slot.unknown)).sum()
    }

    fn kept(&self, slots: usize) -> impl Iterator<Item = &Slot> {
        self.slots.iter().take(SLOTS.saturating_sub(slots))
    }

    /// The calls for a requester in the minute before `time`.
    pub(crate) fn calls_of(&self, requester: Requester, time: UnixTime) -> u64 {
        self.requesters.of(requester, time)
    }

    /// When the slot begins that is so many after the current one.
    pub(crate) fn slot_after(&self, slots: usize) -> UnixTime {
        let number = self.number.saturating_add(u64::try_from(slots).unwrap_or(u64::MAX));
        UnixTime::from_millis(number.saturating_mul(SLOT_MILLIS))
    }

    pub(crate) fn add(&mut self, caller: Caller) {
        if let Some(slot) = self.slots.first_mut() {
            let count = slot.get_mut(caller.class);
            *count = count.saturating_add(1);
        }
        caller.requester.into_iter().for_each(|requester| self.requesters.add(requester));
    }

    /// A call that was added is not made.
    pub(crate) fn take_back(&mut self, caller: Caller) {
        for slot in &mut self.slots {
            let count = slot.get_mut(caller.class);
            if *count > 0 {
                *count = count.saturating_sub(1);
                caller.requester.into_iter().for_each(|requester| self.requesters.take_back(requester));
                return;
            }
        }
    }

    /// No worker calls until then.
    pub(crate) fn block(&mut self, until: UnixTime, now: UnixTime) {
        self.blocked_until = self.blocked_until.max(until.min(now.plus(retry_after::LONGEST)));
    }

    pub(crate) fn blocked_for(&self, now: UnixTime) -> Duration {
        self.blocked_until.since(now)
    }

    /// The server states its limit, which replaces what it stated before.
    pub(crate) fn lower(&mut self, ceiling: NonZeroU32, now: UnixTime) {
        self.ceiling = ceiling.get();
        self.ceiling_until = now.plus(CEILING_LASTS);
    }

    /// The server's limit, if it was stated lately.
    pub(crate) fn ceiling(&self, now: UnixTime) -> Option<NonZeroU32> {
        NonZeroU32::new(self.ceiling).filter(|_| now < self.ceiling_until)
    }
}

impl Record for Ledger {
    fn write(&self, to: &mut RecordWriter) {
        to.number(self.number);
        to.time(self.blocked_until);
        to.bytes(&self.ceiling.to_le_bytes());
        to.time(self.ceiling_until);
        for slot in &self.slots {
            to.bytes(&slot.established.to_le_bytes());
            to.bytes(&slot.unknown.to_le_bytes());
        }
        self.requesters.write(to);
    }

    fn read(from: &mut RecordReader<'_>) -> Option<Self> {
        let mut ledger = Self::new(Seed::default(), UnixTime::from_millis(0));
        ledger.number = from.number()?;
        ledger.blocked_until = from.time()?;
        ledger.ceiling = from.array().map(u32::from_le_bytes)?;
        ledger.ceiling_until = from.time()?;
        for slot in &mut ledger.slots {
            *slot = Slot {
                established: from.array().map(u32::from_le_bytes)?,
                unknown: from.array().map(u32::from_le_bytes)?,
            };
        }
        ledger.requesters = RequesterCounts::read(from)?;
        Some(ledger)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lookup::requester::BudgetClass;

    #[test]
    fn a_record_comes_back_as_it_was_written_and_nothing_else_is_one() {
        let now = UnixTime::from_secs(1_700_000_000);
        let mut ledger = Ledger::new([7; 16], now);
        let requester = Requester::at_address(b"192.0.2.1");
        ledger.add(Caller { class: BudgetClass::Unknown, requester });
        ledger.block(now.plus(Duration::from_secs(5)), now);
        ledger.lower(NonZeroU32::new(300).unwrap(), now);
        let bytes = ledger.to_bytes();
        assert_eq!(bytes.len(), RECORD_BYTES);
        assert_eq!(Ledger::of_record(&bytes, now), Some(ledger));
        for end in 0..bytes.len() {
            assert_eq!(Ledger::of_record(&bytes[..end], now), None, "{end}");
        }
    }

    #[test]
    fn a_stated_limit_counts_for_five_minutes_and_not_longer_when_the_clock_goes_back() {
        let at = |seconds: u64| UnixTime::from_secs(1_700_000_000 + seconds);
        let mut ledger = Ledger::new([0; 16], at(0));
        let limit = NonZeroU32::new(300);
        ledger.lower(limit.unwrap(), at(0));
        assert_eq!((ledger.ceiling(at(299)), ledger.ceiling(at(300))), (limit, None));
        let hour_before = UnixTime::from_secs(1_700_000_000 - 3600);
        ledger.advance(hour_before);
        assert_eq!(ledger.ceiling(hour_before), None);
    }
}
