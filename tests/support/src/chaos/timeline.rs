//! The periods of a condition: a fault of an endpoint, a flood, a reload.

use std::sync::Mutex;
use std::time::Duration;

use super::clock::Moment;

/// One period. `until` is `None` while it lasts.
#[derive(Clone, Debug)]
pub struct Period {
    pub name: &'static str,
    pub from: Moment,
    pub until: Option<Moment>,
    /// How long its consequences may last after it.
    pub recovery: Duration,
}

/// Periods in the order in which they began.
#[derive(Debug, Default)]
pub struct Timeline(Mutex<Vec<Period>>);

impl Timeline {
    pub fn begin(&self, name: &'static str, now: Moment) {
        self.periods().push(Period { name, from: now, until: None, recovery: Duration::ZERO });
    }

    /// Ends the last period; `recovery` says how long its consequences may last, from how long it lasted.
    pub fn end(&self, now: Moment, recovery: impl Fn(Duration) -> Duration) {
        if let Some(last) = self.periods().last_mut().filter(|last| last.until.is_none()) {
            last.until = Some(now);
            last.recovery = recovery(now.saturating_sub(last.from));
        }
    }

    /// A period that is over already.
    pub fn note(&self, name: &'static str, from: Moment, until: Moment) {
        self.periods().push(Period { name, from, until: Some(until), recovery: Duration::ZERO });
    }

    /// The names of the periods, recoveries included, that have a moment in common with `from..=to`.
    pub fn overlapping(&self, from: Moment, to: Moment) -> Vec<&'static str> {
        let is_common =
            |period: &&Period| period.from <= to && period.until.is_none_or(|until| until + period.recovery >= from);
        self.periods().iter().filter(is_common).map(|period| period.name).collect()
    }

    /// Whether nothing held for so long at a stretch, between `from` and `to`.
    pub fn has_quiet(&self, from: Moment, to: Moment, long: Duration) -> bool {
        let mut quiet_from = from;
        for period in self.periods().iter() {
            if period.from >= quiet_from + long {
                break;
            }
            let Some(until) = period.until else { return false };
            quiet_from = quiet_from.max(until + period.recovery);
        }
        quiet_from + long <= to
    }

    /// How many periods there were, by name.
    pub fn counts(&self) -> std::collections::BTreeMap<&'static str, usize> {
        let mut counts = std::collections::BTreeMap::new();
        for period in self.periods().iter() {
            *counts.entry(period.name).or_default() += 1;
        }
        counts
    }

    fn periods(&self) -> std::sync::MutexGuard<'_, Vec<Period>> {
        self.0.lock().expect("no panic")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Moment {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_period_overlaps_until_its_recovery_is_over() {
        let faults = Timeline::default();
        faults.begin("hang", at(10));
        assert_eq!(faults.overlapping(at(11), at(12)), ["hang"]);
        faults.end(at(12), |lasted| lasted);
        assert_eq!(faults.overlapping(at(14), at(20)), ["hang"]);
        assert_eq!(faults.overlapping(at(15), at(20)), [""; 0]);
        assert_eq!(faults.overlapping(at(1), at(9)), [""; 0]);
    }

    #[test]
    fn quiet_is_between_periods_and_after_the_last() {
        let faults = Timeline::default();
        assert!(faults.has_quiet(at(0), at(5), at(5)));
        assert!(!faults.has_quiet(at(1), at(5), at(5)));
        faults.begin("hang", at(4));
        assert!(faults.has_quiet(at(0), at(5), at(4)), "before it");
        assert!(!faults.has_quiet(at(0), at(60), at(5)));
        faults.end(at(8), |_| at(2));
        assert!(!faults.has_quiet(at(0), at(14), at(5)));
        assert!(faults.has_quiet(at(0), at(15), at(5)));
    }
}
