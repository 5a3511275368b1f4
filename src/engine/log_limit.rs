//! Limits the records of denials.
//!
//! A flood of forged tokens must not fill a disk. Of denials with one reason a number is logged each second. The others are
//! counted, and one record has their count. Records of allowed requests are the audit trail and are not limited.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::Serialize;

use crate::engine::audit::{DenialKind, SCHEMA};
use crate::unix_time::UnixTime;

const WINDOW: Duration = Duration::from_secs(1);

/// The limits of one worker, with an entry for each kind that has occurred. There are few kinds.
#[derive(Debug)]
pub(super) struct LogLimit {
    per_second: Option<NonZeroU32>,
    /// The share of denials that is logged at all.
    sampled: Option<f64>,
    windows: Vec<Window>,
}

#[derive(Debug)]
struct Window {
    kind: DenialKind,
    began: UnixTime,
    logged: u32,
    suppressed: Option<Suppressed>,
}

#[derive(Clone, Copy, Debug)]
struct Suppressed {
    since: UnixTime,
    count: u64,
}

/// The record of suppressed denials.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SuppressedRecords {
    schema: u32,
    decision: &'static str,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    would_deny: Option<&'static str>,
    suppressed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sampled: Option<f64>,
}

impl SuppressedRecords {
    /// The record as one line of JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl LogLimit {
    pub(super) const fn new(per_second: Option<NonZeroU32>, sampled: Option<f64>) -> Self {
        Self { per_second, sampled, windows: Vec::new() }
    }

    /// Whether a denial is logged. Otherwise it is counted.
    pub(super) fn admits(&mut self, kind: DenialKind, now: UnixTime) -> bool {
        let Some(per_second) = self.per_second else { return true };
        let Some(window) = self.windows.iter_mut().find(|window| window.kind == kind) else {
            self.windows.push(Window { kind, began: now, logged: 1, suppressed: None });
            return true;
        };
        if is_over(window.began, now) {
            window.began = now;
            window.logged = 0;
        }
        if window.logged < per_second.get() {
            window.logged = window.logged.saturating_add(1);
            return true;
        }
        let suppressed = window.suppressed.get_or_insert(Suppressed { since: now, count: 0 });
        suppressed.count = suppressed.count.saturating_add(1);
        false
    }

    /// The records of denials that were counted for a second or longer; of all without `now`.
    pub(super) fn take_suppressed(&mut self, now: Option<UnixTime>) -> Vec<SuppressedRecords> {
        let sampled = self.sampled;
        let is_due = |suppressed: &mut Suppressed| now.is_none_or(|now| is_over(suppressed.since, now));
        let take = |window: &mut Window| {
            let Suppressed { count, .. } = window.suppressed.take_if(is_due)?;
            let DenialKind { decision, reason, would_deny } = window.kind;
            Some(SuppressedRecords { schema: SCHEMA, decision, reason, would_deny, suppressed: count, sampled })
        };
        self.windows.iter_mut().filter_map(take).collect()
    }

    /// When a record is due.
    pub(super) fn next_due(&self) -> Option<UnixTime> {
        self.windows.iter().filter_map(|window| Some(window.suppressed?.since.plus(WINDOW))).min()
    }
}

/// A clock that was set back ends the second.
fn is_over(began: UnixTime, now: UnixTime) -> bool {
    now < began || now.since(began) >= WINDOW
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
    const FORGED: DenialKind = DenialKind { decision: "deny", reason: "signature_invalid", would_deny: None };
    const MISSING: DenialKind = DenialKind { decision: "deny", reason: "token_missing", would_deny: None };

    fn limit(per_second: u32) -> LogLimit {
        LogLimit::new(NonZeroU32::new(per_second), None)
    }

    fn later(millis: u64) -> UnixTime {
        NOW.plus(Duration::from_millis(millis))
    }

    fn counts(records: &[SuppressedRecords]) -> Vec<(&'static str, u64)> {
        records.iter().map(|record| (record.reason, record.suppressed)).collect()
    }

    #[test]
    fn each_reason_has_its_own_number_of_lines_in_each_second() {
        let mut limit = limit(3);
        let mut logged = |kind, at, of: u32| (0..of).filter(|_| limit.admits(kind, later(at))).count();
        assert_eq!(logged(FORGED, 0, 1000), 3);
        assert_eq!(logged(MISSING, 0, 2), 2);
        assert_eq!(logged(FORGED, 999, 1000), 0);
        assert_eq!(logged(FORGED, 1000, 1000), 3);
        assert_eq!(logged(MISSING, 1000, 2), 2);
        assert_eq!(limit.windows.len(), 2);
    }

    #[test]
    fn every_refusal_is_logged_or_counted_once_also_during_a_flood_that_goes_on() {
        let mut limit = limit(5);
        let (mut logged, mut reported, mut reports) = (0, 0, 0);
        for at in 0..20_000 {
            logged += u64::from(limit.admits(FORGED, later(at)));
            // Ticks come when they come.
            if at % 700 == 0 {
                let records = limit.take_suppressed(Some(later(at)));
                reports += records.len();
                reported += counts(&records).iter().map(|(_, count)| count).sum::<u64>();
            }
        }
        assert!((10..=20).contains(&reports), "{reports}");
        assert_eq!(limit.next_due().is_some(), reported + logged < 20_000);
        // Nothing follows: a tick is enough.
        reported += counts(&limit.take_suppressed(Some(later(30_000)))).iter().map(|(_, count)| count).sum::<u64>();
        assert_eq!((logged, logged + reported), (100, 20_000));
        assert_eq!((limit.next_due(), limit.take_suppressed(None).len()), (None, 0));
    }

    #[test]
    fn a_clock_that_is_set_back_suppresses_nothing_for_longer() {
        let mut limit = limit(1);
        assert!(limit.admits(FORGED, NOW) && !limit.admits(FORGED, NOW));
        let earlier = UnixTime::from_secs(1_700_000_000);
        assert_eq!(counts(&limit.take_suppressed(Some(earlier))), [("signature_invalid", 1)]);
        assert!(limit.admits(FORGED, earlier) && !limit.admits(FORGED, earlier));
        assert!(limit.admits(FORGED, NOW), "and forth");
    }

    #[test]
    fn what_is_not_reported_yet_can_be_taken_at_the_end() {
        let mut limit = LogLimit::new(NonZeroU32::new(1), Some(0.5));
        let trial = DenialKind { decision: "allow", reason: "authorized", would_deny: Some("scope_missing") };
        assert!(limit.admits(trial, NOW) && !limit.admits(trial, NOW));
        assert_eq!(limit.take_suppressed(Some(NOW)), []);
        let [record] = &*limit.take_suppressed(None) else { panic!("no record") };
        assert_eq!(
            record.to_json(),
            r#"{"schema":1,"decision":"allow","reason":"authorized","would_deny":"scope_missing","suppressed":1,"sampled":0.5}"#
        );
    }

    #[test]
    fn without_a_limit_everything_is_logged() {
        let mut limit = limit(0);
        assert!((0..10_000).all(|_| limit.admits(FORGED, NOW)) && limit.windows.is_empty());
    }
}
