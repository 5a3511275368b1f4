//! How many calls may be made in a minute, by all the VMs of the process together.
//!
//! A ledger of the last minute in slots of five seconds, as bytes: small enough to compare-and-swap in the host's shared
//! data, and pure, so that a VM without shared data keeps one of its own with the same code. A minute touches at most
//! thirteen slots, and all thirteen are counted: in no minute whatsoever are there more calls than the budget.
//!
//! Half of it is kept for tokens that nobody can make up ([`Standing::Known`]): those that were active before, and JWTs
//! whose signature holds. With `cache_ttl` far below the life of a token they are nearly all of an honest load (one
//! first call a token, one a `cache_ttl` from then on), so the half that unknown tokens may use is more than they need
//! in peace; and in a flood of random ones it is all they get.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::introspection::call::Standing;
use crate::introspection::retry_after;
use crate::unix_time::UnixTime;

const VERSION: u8 = 1;
const SLOT_MILLIS: u64 = 5000;
/// A minute, and the slot it begins in.
const SLOTS: usize = 13;
const RECORD_BYTES: usize = 1 + 8 + 8 + SLOTS * 8;

/// The budget of one provider.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    limit: NonZeroU32,
}

/// Whether there is a call left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Take {
    /// Yes, once this record is in the place of the one that was read.
    Taken(Vec<u8>),
    /// No, not for so long.
    Spent(Duration),
}

impl Budget {
    /// So many calls in any minute.
    pub const fn new(limit: NonZeroU32) -> Self {
        Self { limit }
    }

    /// Takes one call out of what `record` says was made. What does not read as a record says nothing.
    pub fn take(self, record: Option<&[u8]>, standing: Standing, now: UnixTime) -> Take {
        let mut ledger = Ledger::at(record, now);
        let wait = self.wait_in(&ledger, standing, now);
        if wait > Duration::ZERO {
            return Take::Spent(wait);
        }
        if let Some(slot) = ledger.slots.first_mut() {
            slot.add(standing);
        }
        Take::Taken(ledger.to_bytes())
    }

    /// How long there is no call left; zero when there is one.
    pub fn wait(self, record: Option<&[u8]>, standing: Standing, now: UnixTime) -> Duration {
        self.wait_in(&Ledger::at(record, now), standing, now)
    }

    /// Gives a call back that was not made.
    pub fn give_back(self, record: Option<&[u8]>, standing: Standing, now: UnixTime) -> Vec<u8> {
        let mut ledger = Ledger::at(record, now);
        for slot in &mut ledger.slots {
            if slot.take_away(standing) {
                break;
            }
        }
        ledger.to_bytes()
    }

    /// Nobody calls until then: the server said so.
    pub fn block(self, record: Option<&[u8]>, until: UnixTime, now: UnixTime) -> Vec<u8> {
        let mut ledger = Ledger::at(record, now);
        ledger.blocked_until = ledger.blocked_until.max(until.min(now.plus(retry_after::LONGEST)));
        ledger.to_bytes()
    }

    fn wait_in(self, ledger: &Ledger, standing: Standing, now: UnixTime) -> Duration {
        let limit = u64::from(self.limit.get());
        let unknown_limit = limit.div_ceil(2);
        let has_room_after = |slots: usize| {
            let kept = || ledger.slots.iter().take(SLOTS.saturating_sub(slots));
            let unknown: u64 = kept().map(|slot| u64::from(slot.unknown)).sum();
            let all: u64 = unknown + kept().map(|slot| u64::from(slot.known)).sum::<u64>();
            all < limit && (standing == Standing::Known || unknown < unknown_limit)
        };
        let slots = (0..=SLOTS).find(|slots| has_room_after(*slots)).unwrap_or(SLOTS);
        let budget = match u64::try_from(slots) {
            Ok(0) | Err(_) => Duration::ZERO,
            Ok(slots) => {
                UnixTime::from_millis((ledger.number.saturating_add(slots)).saturating_mul(SLOT_MILLIS)).since(now)
            }
        };
        budget.max(ledger.blocked_until.since(now))
    }
}

/// The calls that began in one slot of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Slot {
    known: u32,
    unknown: u32,
}

impl Slot {
    const fn of(&mut self, standing: Standing) -> &mut u32 {
        match standing {
            Standing::Known => &mut self.known,
            Standing::Unknown => &mut self.unknown,
        }
    }

    fn add(&mut self, standing: Standing) {
        let count = self.of(standing);
        *count = count.saturating_add(1);
    }

    fn take_away(&mut self, standing: Standing) -> bool {
        let count = self.of(standing);
        let has_any = *count > 0;
        *count = count.saturating_sub(1);
        has_any
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Ledger {
    /// Which slot since the epoch the first one is; the others follow back in time.
    number: u64,
    slots: [Slot; SLOTS],
    blocked_until: UnixTime,
}

impl Ledger {
    /// The record as it stands `now`.
    fn at(record: Option<&[u8]>, now: UnixTime) -> Self {
        let number = now.as_millis() / SLOT_MILLIS;
        let empty = Self { number, slots: [Slot::default(); SLOTS], blocked_until: UnixTime::from_millis(0) };
        let Some(mut ledger) = record.and_then(Self::from_bytes) else { return empty };
        // Longer than anybody is ever told to wait: from before the clock went back.
        if ledger.blocked_until.since(now) > retry_after::LONGEST {
            ledger.blocked_until = empty.blocked_until;
        }
        if ledger.number > number.saturating_add(1) {
            // The same, and nobody knows when the calls were made: as if it were now.
            let all = ledger.slots.iter().fold(Slot::default(), |all, slot| Slot {
                known: all.known.saturating_add(slot.known),
                unknown: all.unknown.saturating_add(slot.unknown),
            });
            ledger.slots = empty.slots;
            ledger.number = number;
            if let Some(first) = ledger.slots.first_mut() {
                *first = all;
            }
        }
        let passed = usize::try_from(number.saturating_sub(ledger.number)).unwrap_or(SLOTS).min(SLOTS);
        ledger.slots.rotate_right(passed);
        ledger.slots.iter_mut().take(passed).for_each(|slot| *slot = Slot::default());
        ledger.number = ledger.number.max(number);
        ledger
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(RECORD_BYTES);
        bytes.push(VERSION);
        bytes.extend(self.number.to_le_bytes());
        bytes.extend(self.blocked_until.as_millis().to_le_bytes());
        for slot in &self.slots {
            bytes.extend(slot.known.to_le_bytes());
            bytes.extend(slot.unknown.to_le_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&[VERSION]).filter(|_| bytes.len() == RECORD_BYTES)?;
        let (number, rest) = rest.split_first_chunk::<8>()?;
        let (blocked_until, rest) = rest.split_first_chunk::<8>()?;
        let mut slots = [Slot::default(); SLOTS];
        for (slot, [a, b, c, d, e, f, g, h]) in slots.iter_mut().zip(rest.as_chunks::<8>().0) {
            *slot = Slot { known: u32::from_le_bytes([*a, *b, *c, *d]), unknown: u32::from_le_bytes([*e, *f, *g, *h]) };
        }
        let blocked_until = UnixTime::from_millis(u64::from_le_bytes(*blocked_until));
        Some(Self { number: u64::from_le_bytes(*number), slots, blocked_until })
    }
}

#[cfg(test)]
mod tests {
    use super::Standing::{Known, Unknown};
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    const START: u64 = 1_700_000_000_000;

    struct Shared {
        budget: Budget,
        record: Option<Vec<u8>>,
        made: Vec<(u64, Standing)>,
    }

    impl Shared {
        fn new(limit: u32) -> Self {
            Self { budget: Budget::new(NonZeroU32::new(limit).unwrap()), record: None, made: Vec::new() }
        }

        fn take(&mut self, standing: Standing, at: u64) -> Option<Duration> {
            match self.budget.take(self.record.as_deref(), standing, UnixTime::from_millis(at)) {
                Take::Taken(record) => {
                    assert_eq!(record.len(), RECORD_BYTES);
                    self.record = Some(record);
                    self.made.push((at, standing));
                    None
                }
                Take::Spent(wait) => Some(wait),
            }
        }

        fn most_in_any_minute(&self) -> usize {
            let within = |from: u64| self.made.iter().filter(|(at, _)| (from..from + 60_000).contains(at)).count();
            self.made.iter().map(|(from, _)| within(*from)).max().unwrap_or(0)
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn in_no_minute_are_there_more_calls_than_the_budget() {
        let mut shared = Shared::new(20);
        let mut random = 88_172_645_463_325_252_u64;
        let mut at = START;
        for _ in 0..3000 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            at += random % 700;
            shared.take(if random.is_multiple_of(3) { Known } else { Unknown }, at);
        }
        assert!(shared.most_in_any_minute() <= 20, "{}", shared.most_in_any_minute());
        assert!(shared.made.len() > 200, "and it is used: {}", shared.made.len());
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_flood_of_unknown_tokens_leaves_half_to_known_ones() {
        let mut shared = Shared::new(600);
        let granted = (0..10_000).filter(|_| shared.take(Unknown, START).is_none()).count();
        assert_eq!(granted, 300);
        let granted = (0..10_000).filter(|_| shared.take(Known, START).is_none()).count();
        assert_eq!(granted, 300);
        assert!(shared.take(Known, START + 59_999).is_some());
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn known_tokens_may_have_all_of_it_and_a_spent_budget_says_until_when() {
        let mut shared = Shared::new(4);
        assert!((0..4).all(|_| shared.take(Known, START).is_none()));
        let wait = shared.take(Known, START + 1).unwrap();
        assert_eq!(wait, Duration::from_millis(65_000 - 1), "thirteen slots after it began");
        assert!(shared.take(Known, START + 64_999).is_some());
        assert_eq!(shared.take(Unknown, START + 65_000), None);
        let mut one = Shared::new(1);
        assert_eq!((one.take(Unknown, START), one.take(Known, START).is_some()), (None, true));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn what_was_not_made_comes_back() {
        let mut shared = Shared::new(2);
        assert_eq!((shared.take(Known, START), shared.take(Known, START + 6000)), (None, None));
        assert!(shared.take(Known, START + 6000).is_some());
        let now = UnixTime::from_millis(START + 6000);
        shared.record = Some(shared.budget.give_back(shared.record.as_deref(), Known, now));
        assert_eq!(shared.take(Known, START + 6000), None);
        shared.record = Some(shared.budget.give_back(shared.record.as_deref(), Unknown, now));
        assert!(shared.take(Known, START + 6000).is_some(), "none of that kind was made");
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_server_that_wants_to_be_left_alone_is_left_alone_by_all() {
        let mut shared = Shared::new(100);
        let now = UnixTime::from_millis(START);
        let block = |shared: &mut Shared, seconds| {
            let until = now.plus(Duration::from_secs(seconds));
            shared.record = Some(shared.budget.block(shared.record.as_deref(), until, now));
        };
        block(&mut shared, 20);
        block(&mut shared, 10);
        assert_eq!(shared.take(Known, START), Some(Duration::from_secs(20)));
        assert!(shared.take(Known, START + 19_999).is_some());
        assert_eq!(shared.take(Known, START + 20_000), None);
        block(&mut shared, 1_000_000);
        assert_eq!(shared.take(Known, START), Some(Duration::from_secs(600)), "at most that long");
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_clock_that_goes_back_neither_blocks_for_hours_nor_forgets() {
        let mut shared = Shared::new(4);
        assert!((0..4).all(|_| shared.take(Known, START).is_none()));
        let now = UnixTime::from_millis(START);
        shared.record = Some(shared.budget.block(shared.record.as_deref(), now.plus(Duration::from_secs(500)), now));
        let hour_before = START - 3_600_000;
        let wait = shared.take(Known, hour_before).unwrap();
        assert!(wait <= Duration::from_secs(65), "{wait:?}");
        shared.record =
            Some(shared.budget.give_back(shared.record.as_deref(), Known, UnixTime::from_millis(hour_before)));
        assert_eq!(shared.take(Known, hour_before), None, "and it goes on from there");
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn what_somebody_else_wrote_is_no_record() {
        let budget = Budget::new(NonZeroU32::MIN);
        let good = budget.block(None, UnixTime::from_secs(5), UnixTime::from_secs(1));
        assert_eq!(Ledger::from_bytes(&good).map(|ledger| ledger.to_bytes()), Some(good.clone()));
        for end in 0..good.len() {
            assert_eq!(Ledger::from_bytes(&good[..end]), None, "{end}");
        }
        let huge = [&[VERSION], &[0xff; RECORD_BYTES - 1][..]].concat();
        for alien in [&b""[..], b"\x02", &[0xff; RECORD_BYTES], &huge, b"{}"] {
            let wait = budget.wait(Some(alien), Known, UnixTime::from_secs(1_700_000_000));
            assert!(wait <= Duration::from_secs(65), "{wait:?}");
        }
    }
}
