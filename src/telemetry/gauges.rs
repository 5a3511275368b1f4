//! Gauges over all workers of a process. A host has one value for a gauge, whichever worker sets it, and no callback when a
//! worker ends: so each worker writes its report into one shared record, and sets the gauges to the totals of all current
//! reports. A report that is not renewed expires, with its worker or provider.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::{Kind, Metric};
use crate::unix_time::UnixTime;

/// How often a worker reports.
pub const INTERVAL: Duration = Duration::from_secs(5);
/// How long a report counts: long enough for a busy worker.
pub const LIFETIME: Duration = Duration::from_secs(20);
/// More than a machine has workers, with configurations that are being replaced.
const MAX_REPORTS: usize = 1024;
/// Begins a report in the record; no name of a gauge begins so.
const REPORT: &str = "report";

/// Values by the names of gauges.
pub type Gauges = BTreeMap<String, u64>;

#[derive(Debug)]
struct Report<'a> {
    by: u64,
    at: UnixTime,
    gauges: Vec<(&'a str, u64)>,
}

/// The record with one more report.
#[derive(Debug, PartialEq, Eq)]
pub struct Merged {
    /// Replaces the record that was read.
    pub record: Vec<u8>,
    /// The totals of all current reports.
    pub totals: Gauges,
}

/// Adds the report of the worker `by` to the record. A malformed record counts as empty.
pub fn merge(record: Option<&[u8]>, by: u64, gauges: &Gauges, now: UnixTime) -> Merged {
    let held = record.and_then(|bytes| std::str::from_utf8(bytes).ok()).and_then(parse).unwrap_or_default();
    let counts = |report: &Report<'_>| {
        // A report from the future was written before the clock was set back.
        report.by != by && now.since(report.at) < LIFETIME && report.at.since(now) < LIFETIME
    };
    let own = gauges.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let mut reports = vec![Report { by, at: now, gauges: own }];
    reports.extend(held.into_iter().filter(counts).take(MAX_REPORTS));
    Merged { record: write(&reports).into_bytes(), totals: totals(&reports) }
}

fn totals(reports: &[Report<'_>]) -> Gauges {
    let mut totals = Gauges::new();
    for (name, value) in reports.iter().flat_map(|report| &report.gauges) {
        // Others may write into the record: only gauges of this filter are set.
        let Some(kind) = Metric::of_name(name).map(|metric| metric.kind) else { continue };
        match kind {
            Kind::Sum => {
                let total = totals.entry((*name).to_owned()).or_default();
                *total = total.saturating_add(*value);
            }
            Kind::Max => {
                let max = totals.entry((*name).to_owned()).or_default();
                *max = (*max).max(*value);
            }
            Kind::Counter | Kind::Histogram => {}
        }
    }
    totals
}

/// A line `report BY MILLIS` for each report, and a line `NAME VALUE` for each of its gauges.
fn write(reports: &[Report<'_>]) -> String {
    let mut text = String::new();
    for report in reports {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{REPORT} {} {}", report.by, report.at.as_millis());
        for (name, value) in &report.gauges {
            let _ = writeln!(text, "{name} {value}");
        }
    }
    text
}

fn parse(text: &str) -> Option<Vec<Report<'_>>> {
    let mut reports: Vec<Report<'_>> = Vec::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        let (first, second, third) = (words.next()?, words.next()?.parse().ok()?, words.next());
        match third {
            Some(at) if first == REPORT => {
                let at = UnixTime::from_millis(at.parse().ok()?);
                reports.push(Report { by: second, at, gauges: Vec::new() });
            }
            Some(_) => return None,
            None => reports.last_mut()?.gauges.push((first, second)),
        }
    }
    Some(reports)
}

#[cfg(test)]
mod tests {
    use super::super::{DECISIONS, KEYS_AGE, PARKED};
    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

    fn at(seconds: u64) -> UnixTime {
        NOW.plus(Duration::from_secs(seconds))
    }

    fn values(parked: u64, age: u64) -> Gauges {
        [(PARKED.name_with(&[]), parked), (KEYS_AGE.name_with(&["okta"]), age)].into()
    }

    #[test]
    fn sums_add_up_and_maxima_take_the_greatest() {
        let first = merge(None, 1, &values(3, 50), NOW);
        assert_eq!(first.totals, values(3, 50));
        let second = merge(Some(&first.record), 2, &values(4, 7), at(1));
        assert_eq!(second.totals, values(7, 50));
        let third = merge(Some(&second.record), 1, &values(0, 5), at(2));
        assert_eq!(third.totals, values(4, 7), "a report replaces the worker's earlier one");
    }

    #[test]
    fn the_report_of_an_ended_worker_expires() {
        let gone = merge(None, 1, &[(KEYS_AGE.name_with(&["old"]), 900)].into(), NOW);
        let still = merge(Some(&gone.record), 2, &values(1, 1), at(19));
        assert_eq!(still.totals.len(), 3);
        let after = merge(Some(&still.record), 2, &values(1, 1), at(20));
        assert_eq!(after.totals, values(1, 1));
        let clock_went_back = merge(Some(&gone.record), 2, &values(1, 1), UnixTime::from_secs(1_700_000_000));
        assert_eq!(clock_went_back.totals, values(1, 1));
    }

    #[test]
    fn only_gauges_of_this_filter_are_set_whatever_the_record_holds() {
        for record in [
            &b""[..],
            b"\xff",
            b"{}",
            b"report",
            b"report 1",
            b"report 2 -1",
            b"okta_proxy_wasm.workers 1",
            b"report 2 1800000000000\nokta_proxy_wasm.workers",
            b"report 2 1800000000000\nokta_proxy_wasm.workers 1 1",
        ] {
            assert_eq!(merge(Some(record), 1, &values(1, 1), NOW).totals, values(1, 1));
        }
        let strange: Gauges = [
            (DECISIONS.name_with(&["allow", "authorized", "x"]), 5),
            ("cluster.okta.upstream_rq_total".to_owned(), 5),
            (PARKED.name_with(&[]), u64::MAX),
        ]
        .into();
        let written = merge(None, 1, &strange, NOW);
        assert_eq!(merge(Some(&written.record), 2, &values(1, 1), NOW).totals, values(u64::MAX, 1));
    }
}
