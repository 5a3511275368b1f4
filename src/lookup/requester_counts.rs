//! How many calls were made for each requester in the last minute: a count-min sketch of fixed size, because anybody can
//! have many addresses.
//!
//! A count is never too small. It is too large where others share both cells of a requester, by a 256th of all calls on
//! average. The seed is random, so nobody can choose an address that shares cells with a chosen other one. The last minute
//! is estimated from the current and the previous minute of the clock, as if calls were spread evenly over a minute.

use sha2::{Digest as _, Sha256};

use crate::lookup::record::{Record, RecordReader, RecordWriter};
use crate::lookup::requester::Requester;
use crate::unix_time::UnixTime;

const ROWS: usize = 2;
const COLUMNS: usize = 256;
const MINUTE_MILLIS: u64 = 60_000;
const SEED_BYTES: usize = 16;
/// What it adds to a record.
#[cfg(test)]
pub(crate) const RECORD_BYTES: usize = SEED_BYTES + 8 + ROWS * COLUMNS * 4;

/// What makes the cells of a requester unpredictable.
pub(crate) type Seed = [u8; SEED_BYTES];

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct RequesterCounts {
    seed: Seed,
    /// The current minute since the epoch.
    minute: u64,
    rows: [[Cell; COLUMNS]; ROWS],
}

/// The calls of all requesters that share it.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Cell {
    current: u16,
    previous: u16,
}

impl RequesterCounts {
    pub(crate) const fn new(seed: Seed, now: UnixTime) -> Self {
        Self { seed, minute: minute_of(now), rows: [[Cell { current: 0, previous: 0 }; COLUMNS]; ROWS] }
    }

    /// Forgets what is over a minute old. When the clock was set back, nothing is.
    pub(crate) fn advance(&mut self, now: UnixTime) {
        let minute = minute_of(now);
        let passed = minute.saturating_sub(self.minute);
        self.minute = minute;
        if passed == 0 {
            return;
        }
        for cell in self.rows.iter_mut().flatten() {
            let previous = if passed == 1 { cell.current } else { 0 };
            *cell = Cell { current: 0, previous };
        }
    }

    /// The calls of a requester in the minute before `time`, which lies no minute before the last one counted.
    pub(crate) fn of(&self, requester: Requester, time: UnixTime) -> u64 {
        let rest = MINUTE_MILLIS.saturating_sub(time.as_millis() % MINUTE_MILLIS);
        let part = |calls: u16| u64::from(calls).saturating_mul(rest) / MINUTE_MILLIS;
        let estimate = |cell: Cell| match minute_of(time).saturating_sub(self.minute) {
            0 => u64::from(cell.current).saturating_add(part(cell.previous)),
            1 => part(cell.current),
            _ => 0,
        };
        self.columns(requester).map(|(row, column)| estimate(self.cell(row, column))).min().unwrap_or(0)
    }

    pub(crate) fn add(&mut self, requester: Requester) {
        self.change(requester, |calls| calls.saturating_add(1));
    }

    pub(crate) fn take_back(&mut self, requester: Requester) {
        self.change(requester, |calls| calls.saturating_sub(1));
    }

    fn change(&mut self, requester: Requester, change: impl Fn(u16) -> u16) {
        for (row, column) in self.columns(requester) {
            if let Some(cell) = self.rows.get_mut(row).and_then(|row| row.get_mut(column)) {
                cell.current = change(cell.current);
            }
        }
    }

    fn cell(&self, row: usize, column: usize) -> Cell {
        self.rows.get(row).and_then(|row| row.get(column)).copied().unwrap_or_default()
    }

    /// The cells of a requester: a column in each row.
    fn columns(&self, requester: Requester) -> impl Iterator<Item = (usize, usize)> + use<> {
        let digest = Sha256::new().chain_update(self.seed).chain_update(requester.as_bytes()).finalize();
        let bytes: [u8; 32] = digest.into();
        bytes.into_iter().take(ROWS).map(usize::from).enumerate()
    }
}

impl Record for RequesterCounts {
    fn write(&self, to: &mut RecordWriter) {
        to.bytes(&self.seed);
        to.number(self.minute);
        for cell in self.rows.iter().flatten() {
            to.bytes(&cell.current.to_le_bytes());
            to.bytes(&cell.previous.to_le_bytes());
        }
    }

    fn read(from: &mut RecordReader<'_>) -> Option<Self> {
        let mut counts = Self::new(from.array()?, UnixTime::from_millis(0));
        counts.minute = from.number()?;
        for cell in counts.rows.iter_mut().flatten() {
            let [a, b, c, d] = from.array()?;
            *cell = Cell { current: u16::from_le_bytes([a, b]), previous: u16::from_le_bytes([c, d]) };
        }
        Some(counts)
    }
}

const fn minute_of(time: UnixTime) -> u64 {
    time.as_millis() / MINUTE_MILLIS
}

impl std::fmt::Debug for RequesterCounts {
    /// Without its cells, which are many, and its seed, which is secret.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("RequesterCounts").field("minute", &self.minute).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// The beginning of a minute.
    const START: UnixTime = UnixTime::from_secs(1_700_000_040);

    fn address(number: u32) -> Requester {
        let [a, b, c, d] = number.to_be_bytes();
        Requester::at_address(format!("{a}.{b}.{c}.{d}").as_bytes()).unwrap()
    }

    fn after(seconds: u64) -> UnixTime {
        START.plus(Duration::from_secs(seconds))
    }

    #[test]
    fn calls_are_counted_for_their_requester_and_fade_over_the_next_minute() {
        let mut counts = RequesterCounts::new([7; 16], START);
        (0..60).for_each(|_| counts.add(address(1)));
        counts.add(address(2));
        counts.take_back(address(2));
        assert_eq!((counts.of(address(1), START), counts.of(address(2), START)), (60, 0));
        for (seconds, expected) in [(59, 60), (60, 60), (75, 45), (90, 30), (119, 1), (120, 0), (1000, 0)] {
            assert_eq!(counts.of(address(1), after(seconds)), expected, "looking ahead, after {seconds} s");
            let mut then = counts.clone();
            then.advance(after(seconds));
            assert_eq!(then.of(address(1), after(seconds)), expected, "after {seconds} s");
        }
    }

    #[test]
    fn a_count_is_never_too_small_and_rarely_too_large() {
        let mut counts = RequesterCounts::new([7; 16], START);
        (0..16).for_each(|flooder| (0..100).for_each(|_| counts.add(address(flooder))));
        assert!((0..16).all(|flooder| counts.of(address(flooder), START) >= 100));
        let disturbed = (1000..3000).filter(|other| counts.of(address(*other), START) > 0).count();
        // (16 / 256)², or 8 of 2,000.
        assert!(disturbed < 40, "{disturbed} of 2000 share both cells with one of 16 flooders");
        let other_seed = |seed| {
            let mut counts = RequesterCounts::new([seed; 16], START);
            counts.add(address(1));
            (2..100_000).find(|other| counts.of(address(*other), START) > 0)
        };
        assert_ne!(other_seed(1), other_seed(2), "whose cells are shared depends on the seed");
    }

    #[test]
    fn a_clock_that_is_set_back_forgets_nothing_and_a_record_comes_back() {
        let mut counts = RequesterCounts::new([7; 16], START);
        counts.add(address(1));
        let hour_before = UnixTime::from_millis(START.as_millis() - 3_600_000);
        counts.advance(hour_before);
        assert_eq!(counts.of(address(1), hour_before), 1);
        let mut bytes = counts.to_bytes();
        assert_eq!(bytes.len(), 1 + RECORD_BYTES);
        assert_eq!(RequesterCounts::from_bytes(&bytes), Some(counts));
        for end in [0, 1, 16, 25, RECORD_BYTES] {
            assert_eq!(RequesterCounts::from_bytes(&bytes[..end]), None, "{end}");
        }
        bytes.push(0);
        assert_eq!(RequesterCounts::from_bytes(&bytes), None);
    }
}
