//! Limits the calls in any minute, of all workers of the process together.
//!
//! A ledger of the last minute in slots of five seconds, as bytes: small enough to compare-and-swap in the host's shared
//! data, and pure, so that a worker without shared data keeps one of its own with the same code. A minute touches at most
//! thirteen slots, and all thirteen are counted: in no minute are there more calls than the limit.
//!
//! Half of it is reserved for credentials that nobody can make up ([`BudgetClass::Established`]). They are nearly all of an
//! honest load, so the half that unknown ones may use is more than they need; in a flood of random ones it is all they get.
//!
//! No requester gets all of a part. A call is made for it while its calls of the last minute are fewer than a multiple of
//! those that are left: alone, one address gets a third of the unknown half, and one OAuth client five sixths of the
//! limit. Of n such addresses each gets 1/(n + 2), and twice that is left for all others.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::lookup::ledger::{Ledger, SLOTS};
use crate::lookup::record::Record as _;
use crate::lookup::requester::{BudgetClass, Caller};
use crate::lookup::requester_counts::Seed;
use crate::unix_time::UnixTime;

/// An address may have half as many calls as are left of the unknown half: one in three when it is alone.
const LEFT_PER_ADDRESS_CALL: u64 = 2;
/// An OAuth client, which mostly has many users, may have five times as many as are left: five in six.
const CALLS_PER_LEFT_OF_CLIENT: u64 = 5;

/// The limit of one server.
#[derive(Clone, Copy, Debug)]
pub struct RateLimiter {
    limit: NonZeroU32,
    seed: Seed,
}

/// Whether a call may be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acquire {
    /// It may, once this record replaces the one that was read.
    Granted(Vec<u8>),
    /// It may not.
    Exhausted(LimitReached),
}

/// Why no call may be made, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitReached {
    /// The server asked for a pause.
    Blocked(Duration),
    /// All calls of this minute were made, or all that this class may use.
    Exhausted(Duration),
    /// There are calls left, and this requester has used up its share.
    ShareExhausted(Duration),
}

impl LimitReached {
    pub const fn wait(self) -> Duration {
        match self {
            Self::Blocked(wait) | Self::Exhausted(wait) | Self::ShareExhausted(wait) => wait,
        }
    }
}

impl RateLimiter {
    /// So many calls in any minute.
    pub const fn new(limit: NonZeroU32) -> Self {
        Self { limit, seed: [0; 16] }
    }

    /// The same with randomness, so that nobody can choose with whom to share a count.
    pub(crate) const fn with_seed(self, seed: Seed) -> Self {
        Self { seed, ..self }
    }

    /// Counts one call in the ledger of `record`. Bytes of another form are an empty ledger.
    pub fn try_acquire(self, record: Option<&[u8]>, caller: impl Into<Caller>, now: UnixTime) -> Acquire {
        let mut ledger = self.ledger(record, now);
        match self.try_acquire_from(&mut ledger, caller.into(), now) {
            Ok(()) => Acquire::Granted(ledger.to_bytes()),
            Err(denied) => Acquire::Exhausted(denied),
        }
    }

    /// Takes a call back that was not made.
    pub fn give_back(self, record: Option<&[u8]>, caller: impl Into<Caller>, now: UnixTime) -> Vec<u8> {
        self.change(record, now, |ledger| ledger.take_back(caller.into()))
    }

    /// No worker calls until then: the server asked for a pause.
    pub fn block(self, record: Option<&[u8]>, until: UnixTime, now: UnixTime) -> Vec<u8> {
        self.change(record, now, |ledger| ledger.block(until, now))
    }

    /// The server takes no more than so many calls a minute, as far as it said lately.
    pub fn lower(self, record: Option<&[u8]>, ceiling: NonZeroU32, now: UnixTime) -> Vec<u8> {
        self.change(record, now, |ledger| ledger.lower(ceiling, now))
    }

    fn change(self, record: Option<&[u8]>, now: UnixTime, change: impl FnOnce(&mut Ledger)) -> Vec<u8> {
        let mut ledger = self.ledger(record, now);
        change(&mut ledger);
        ledger.to_bytes()
    }

    /// The calls that may be made in a minute: the configured limit, or the server's if that is lower.
    pub(crate) fn limit(self, ledger: &Ledger, now: UnixTime) -> u32 {
        ledger.ceiling(now).map_or(self.limit, |ceiling| ceiling.min(self.limit)).get()
    }

    pub(crate) fn ledger(self, record: Option<&[u8]>, now: UnixTime) -> Ledger {
        record.and_then(|bytes| Ledger::of_record(bytes, now)).unwrap_or_else(|| Ledger::new(self.seed, now))
    }

    pub(crate) fn try_acquire_from(
        self,
        ledger: &mut Ledger,
        caller: Caller,
        now: UnixTime,
    ) -> Result<(), LimitReached> {
        ledger.advance(now);
        self.check(ledger, caller, now)?;
        ledger.add(caller);
        Ok(())
    }

    /// Whether a call may be made, by a ledger that was advanced to `now`.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn check(self, ledger: &Ledger, caller: Caller, now: UnixTime) -> Result<(), LimitReached> {
        let blocked = ledger.blocked_for(now);
        if blocked > Duration::ZERO {
            return Err(LimitReached::Blocked(blocked));
        }
        let limit = u64::from(self.limit(ledger, now));
        // The first slot in which there is a call left, if no more are made until then.
        let first = |is_free: &dyn Fn(usize) -> bool| (0..=SLOTS).find(|slots| is_free(*slots)).unwrap_or(SLOTS);
        let left_in = |slots| left(ledger, caller.class, limit, slots);
        match first(&|slots| left_in(slots) > 0) {
            0 => {}
            slots => return Err(LimitReached::Exhausted(ledger.slot_after(slots).since(now))),
        }
        let Some(requester) = caller.requester else { return Ok(()) };
        let has_share = |slots| {
            let time = if slots == 0 { now } else { ledger.slot_after(slots) };
            let calls = ledger.calls_of(requester, time);
            is_within_share(caller.class, calls, left_in(slots), ledger.oldest(slots))
        };
        match first(&has_share) {
            0 => Ok(()),
            slots => Err(LimitReached::ShareExhausted(ledger.slot_after(slots).since(now))),
        }
    }
}

/// The calls that a class has left so many slots from now.
fn left(ledger: &Ledger, class: BudgetClass, limit: u64, slots: usize) -> u64 {
    let all = limit.saturating_sub(ledger.all(slots));
    match class {
        BudgetClass::Established => all,
        BudgetClass::Unknown => all.min(limit.div_ceil(2).saturating_sub(ledger.unknown(slots))),
    }
}

fn is_within_share(class: BudgetClass, calls: u64, left: u64, oldest: u64) -> bool {
    match class {
        BudgetClass::Unknown => calls.saturating_mul(LEFT_PER_ADDRESS_CALL) < left,
        // The calls of a requester are counted for a minute. Those of the oldest slot may be older, and are counted in
        // `left` alone.
        BudgetClass::Established => calls < left.saturating_add(oldest).saturating_mul(CALLS_PER_LEFT_OF_CLIENT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lookup::ledger::RECORD_BYTES;
    use crate::lookup::requester::Requester;
    use BudgetClass::{Established, Unknown};

    const START: u64 = 1_700_000_000_000;

    struct Shared {
        budget: RateLimiter,
        record: Option<Vec<u8>>,
        made: Vec<(u64, BudgetClass)>,
    }

    impl Shared {
        fn new(limit: u32) -> Self {
            Self { budget: RateLimiter::new(NonZeroU32::new(limit).unwrap()), record: None, made: Vec::new() }
        }

        fn take(&mut self, caller: impl Into<Caller>, at: u64) -> Option<Duration> {
            let caller = caller.into();
            match self.budget.try_acquire(self.record.as_deref(), caller, UnixTime::from_millis(at)) {
                Acquire::Granted(record) => {
                    assert_eq!(record.len(), RECORD_BYTES);
                    self.record = Some(record);
                    self.made.push((at, caller.class));
                    None
                }
                Acquire::Exhausted(denied) => Some(denied.wait()),
            }
        }

        fn most_in_any_minute(&self) -> usize {
            let within = |from: u64| self.made.iter().filter(|(at, _)| (from..from + 60_000).contains(at)).count();
            self.made.iter().map(|(from, _)| within(*from)).max().unwrap_or(0)
        }
    }

    #[test]
    fn in_no_minute_are_there_more_calls_than_the_budget() {
        let mut shared = Shared::new(20);
        let mut random = 88_172_645_463_325_252_u64;
        let mut at = START;
        for _ in 0..3000 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            at += random % 700;
            shared.take(if random.is_multiple_of(3) { Established } else { Unknown }, at);
        }
        assert!(shared.most_in_any_minute() <= 20, "{}", shared.most_in_any_minute());
        assert!(shared.made.len() > 200, "and it is used: {}", shared.made.len());
    }

    #[test]
    fn a_flood_of_unknown_tokens_leaves_half_to_known_ones() {
        let mut shared = Shared::new(600);
        let granted = (0..10_000).filter(|_| shared.take(Unknown, START).is_none()).count();
        assert_eq!(granted, 300);
        let granted = (0..10_000).filter(|_| shared.take(Established, START).is_none()).count();
        assert_eq!(granted, 300);
        assert!(shared.take(Established, START + 59_999).is_some());
    }

    #[test]
    fn known_tokens_may_have_all_of_it_and_a_spent_budget_says_until_when() {
        let mut shared = Shared::new(4);
        assert!((0..4).all(|_| shared.take(Established, START).is_none()));
        let wait = shared.take(Established, START + 1).unwrap();
        assert_eq!(wait, Duration::from_millis(65_000 - 1), "thirteen slots after it began");
        assert!(shared.take(Established, START + 64_999).is_some());
        assert_eq!(shared.take(Unknown, START + 65_000), None);
        let mut one = Shared::new(1);
        assert_eq!((one.take(Unknown, START), one.take(Established, START).is_some()), (None, true));
    }

    fn caller(class: BudgetClass, address: usize) -> Caller {
        let requester = Requester::at_address(format!("10.0.{}.{}", address / 256, address % 256).as_bytes());
        Caller { class, requester }
    }

    /// How many calls each of so many requesters gets that all try again and again.
    fn granted(shared: &mut Shared, class: BudgetClass, requesters: usize) -> Vec<usize> {
        let mut granted = vec![0; requesters];
        for _ in 0..2000 {
            for (number, count) in granted.iter_mut().enumerate() {
                *count += usize::from(shared.take(caller(class, number), START).is_none());
            }
        }
        granted
    }

    #[test]
    fn one_address_gets_a_third_of_the_unknown_half_and_others_find_calls_left() {
        for (addresses, each, left) in [(1, 25, 50), (2, 18, 36), (10, 6, 11), (100, 0, 0)] {
            let mut shared = Shared::new(150);
            let granted = granted(&mut shared, Unknown, addresses);
            assert!(granted.iter().all(|calls| (each..=each + 1).contains(calls)), "{addresses}: {granted:?}");
            let newcomers = (1000..2000).filter(|one| shared.take(caller(Unknown, *one), START).is_none()).count();
            assert!((left..=left + 2).contains(&newcomers), "{addresses}: {newcomers} left");
        }
        let mut shared = Shared::new(150);
        for _ in 0..1000 {
            shared.take(caller(Unknown, 1), START);
        }
        let denied =
            shared.budget.try_acquire(shared.record.as_deref(), caller(Unknown, 1), UnixTime::from_millis(START));
        let Acquire::Exhausted(LimitReached::ShareExhausted(wait)) = denied else { panic!("{denied:?}") };
        assert!(wait <= Duration::from_secs(65), "{wait:?}");
        assert_eq!(shared.take(caller(Unknown, 1), START + wait.as_millis() as u64), None, "after the wait");
    }

    #[test]
    fn one_oauth_client_gets_five_sixths_and_what_it_leaves_is_for_others() {
        for (limit, most) in [(150, 125), (600, 500), (6, 5)] {
            let mut shared = Shared::new(limit);
            let greedy = granted(&mut shared, Established, 1)[0];
            assert!((most * 99 / 100..=most).contains(&greedy), "{greedy} of {limit}");
            assert_eq!(shared.take(caller(Established, 500), START), None, "of {limit}");
        }
    }

    #[test]
    fn unknown_requesters_have_the_common_limit_only() {
        let mut shared = Shared::new(150);
        assert_eq!((0..1000).filter(|_| shared.take(Unknown, START).is_none()).count(), 75);
    }

    #[test]
    fn the_servers_limit_lowers_the_configured_one_and_never_raises_it() {
        let now = UnixTime::from_millis(START);
        for (ceiling, expected) in [(1, 1), (40, 40), (100, 100), (1_000_000, 100)] {
            let mut shared = Shared::new(100);
            shared.record = Some(shared.budget.lower(None, NonZeroU32::new(ceiling).unwrap(), now));
            assert_eq!((0..1000).filter(|_| shared.take(Established, START).is_none()).count(), expected, "{ceiling}");
            // What the server said last counts.
            let hundred = NonZeroU32::new(100).unwrap();
            shared.record = Some(shared.budget.lower(shared.record.as_deref(), hundred, now));
            assert_eq!(
                (0..1000).filter(|_| shared.take(Established, START).is_none()).count(),
                100 - expected,
                "{ceiling}"
            );
        }
    }

    #[test]
    fn call_taken_back_can_be_made_again() {
        let mut shared = Shared::new(2);
        assert_eq!((shared.take(Established, START), shared.take(Established, START + 6000)), (None, None));
        assert!(shared.take(Established, START + 6000).is_some());
        let now = UnixTime::from_millis(START + 6000);
        shared.record = Some(shared.budget.give_back(shared.record.as_deref(), Established, now));
        assert_eq!(shared.take(Established, START + 6000), None);
        shared.record = Some(shared.budget.give_back(shared.record.as_deref(), Unknown, now));
        assert!(shared.take(Established, START + 6000).is_some(), "none of that kind was made");
    }

    #[test]
    fn blocked_limit_blocks_all_workers() {
        let mut shared = Shared::new(100);
        let now = UnixTime::from_millis(START);
        let block = |shared: &mut Shared, seconds| {
            let until = now.plus(Duration::from_secs(seconds));
            shared.record = Some(shared.budget.block(shared.record.as_deref(), until, now));
        };
        block(&mut shared, 20);
        block(&mut shared, 10);
        assert_eq!(shared.take(Established, START), Some(Duration::from_secs(20)));
        assert!(shared.take(Established, START + 19_999).is_some());
        assert_eq!(shared.take(Established, START + 20_000), None);
        block(&mut shared, 1_000_000);
        assert_eq!(shared.take(Established, START), Some(Duration::from_secs(600)), "at most that long");
    }

    #[test]
    fn clock_set_back_neither_blocks_for_hours_nor_forgets() {
        let mut shared = Shared::new(4);
        assert!((0..4).all(|_| shared.take(Established, START).is_none()));
        let now = UnixTime::from_millis(START);
        shared.record = Some(shared.budget.block(shared.record.as_deref(), now.plus(Duration::from_secs(500)), now));
        let hour_before = START - 3_600_000;
        let wait = shared.take(Established, hour_before).unwrap();
        assert!(wait <= Duration::from_secs(65), "{wait:?}");
        shared.record =
            Some(shared.budget.give_back(shared.record.as_deref(), Established, UnixTime::from_millis(hour_before)));
        assert_eq!(shared.take(Established, hour_before), None, "and the count continues from there");
    }

    #[test]
    fn other_bytes_are_no_record() {
        let budget = RateLimiter::new(NonZeroU32::MIN);
        let good = budget.block(None, UnixTime::from_secs(5), UnixTime::from_secs(1));
        let huge = [&good[..1], &[0xff; RECORD_BYTES - 1][..]].concat();
        for alien in [&b""[..], b"\x02", &[0xff; RECORD_BYTES], &huge, b"{}"] {
            let caller = Caller { class: Unknown, requester: Requester::at_address(b"192.0.2.1") };
            for caller in [caller, Established.into()] {
                let wait = match budget.try_acquire(Some(alien), caller, UnixTime::from_secs(1_700_000_000)) {
                    Acquire::Granted(_) => Duration::ZERO,
                    Acquire::Exhausted(denied) => denied.wait(),
                };
                assert!(wait <= Duration::from_secs(65), "{wait:?}");
            }
        }
    }
}
