//! The gauges of all workers of a process as one. A gauge has one value in the host, whoever sets it, and a worker that
//! ends says nothing any more: so each writes what it sees into a record that all share, and sets the gauges to what all
//! have written lately. What nobody has written lately is over, be it that a worker is gone or a provider.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::{Kind, Metric};
use crate::unix_time::UnixTime;

/// How often a worker reports.
pub const EVERY: Duration = Duration::from_secs(5);
/// How long a report counts: long enough for a worker that was busy.
pub const LASTS: Duration = Duration::from_secs(20);
/// More than any machine has workers, and configurations that are being replaced.
const MOST_REPORTS: usize = 1024;
/// What stands before a report in the record; names of gauges have no blanks and begin otherwise.
const REPORT: &str = "report";

/// What one worker sees, by the names of gauges.
pub type Readings = BTreeMap<String, u64>;

#[derive(Debug)]
struct Report<'a> {
    by: u64,
    at: UnixTime,
    readings: Vec<(&'a str, u64)>,
}

/// A record with one more report in it.
#[derive(Debug, PartialEq, Eq)]
pub struct Reported {
    /// To be put in the place of the one that was read.
    pub record: Vec<u8>,
    /// What all see together.
    pub totals: Readings,
}

/// Adds what the worker `by` sees `now` to the record. What does not read as a record says nothing.
pub fn add(record: Option<&[u8]>, by: u64, readings: &Readings, now: UnixTime) -> Reported {
    let held = record.and_then(|bytes| std::str::from_utf8(bytes).ok()).and_then(parse).unwrap_or_default();
    let counts = |report: &Report<'_>| {
        // One from the future is from before the clock went back.
        report.by != by && now.since(report.at) < LASTS && report.at.since(now) < LASTS
    };
    let own = readings.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let mut reports = vec![Report { by, at: now, readings: own }];
    reports.extend(held.into_iter().filter(counts).take(MOST_REPORTS));
    Reported { record: write(&reports).into_bytes(), totals: totals(&reports) }
}

fn totals(reports: &[Report<'_>]) -> Readings {
    let mut totals = Readings::new();
    for (name, value) in reports.iter().flat_map(|report| &report.readings) {
        // Others may write into the record: what is none of our gauges is not told.
        let Some(kind) = Metric::of_name(name).map(|metric| metric.kind) else { continue };
        match kind {
            Kind::Sum => {
                let total = totals.entry((*name).to_owned()).or_default();
                *total = total.saturating_add(*value);
            }
            Kind::Most => {
                let most = totals.entry((*name).to_owned()).or_default();
                *most = (*most).max(*value);
            }
            Kind::Counter | Kind::Histogram => {}
        }
    }
    totals
}

/// A line for each report, `report BY MILLIS`, and one for each of its readings, `NAME VALUE`.
fn write(reports: &[Report<'_>]) -> String {
    let mut text = String::new();
    for report in reports {
        // Writing to a text does not fail.
        let _ = writeln!(text, "{REPORT} {} {}", report.by, report.at.as_millis());
        for (name, value) in &report.readings {
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
                reports.push(Report { by: second, at, readings: Vec::new() });
            }
            Some(_) => return None,
            None => reports.last_mut()?.readings.push((first, second)),
        }
    }
    Some(reports)
}

#[cfg(test)]
mod tests {
    use super::super::{DECISIONS, KEYS_AGE, PARKED};
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

    fn at(seconds: u64) -> UnixTime {
        NOW.plus(Duration::from_secs(seconds))
    }

    fn sees(parked: u64, age: u64) -> Readings {
        [(PARKED.name_with(&[]), parked), (KEYS_AGE.name_with(&["okta"]), age)].into()
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn sizes_add_up_and_of_ages_the_greatest_counts() {
        let first = add(None, 1, &sees(3, 50), NOW);
        assert_eq!(first.totals, sees(3, 50));
        let second = add(Some(&first.record), 2, &sees(4, 7), at(1));
        assert_eq!(second.totals, sees(7, 50));
        let third = add(Some(&second.record), 1, &sees(0, 5), at(2));
        assert_eq!(third.totals, sees(4, 7), "one's earlier report is replaced");
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_worker_that_is_gone_leaves_nothing_behind() {
        let gone = add(None, 1, &[(KEYS_AGE.name_with(&["old"]), 900)].into(), NOW);
        let still = add(Some(&gone.record), 2, &sees(1, 1), at(19));
        assert_eq!(still.totals.len(), 3);
        let after = add(Some(&still.record), 2, &sees(1, 1), at(20));
        assert_eq!(after.totals, sees(1, 1));
        let clock_went_back = add(Some(&gone.record), 2, &sees(1, 1), UnixTime::from_secs(1_700_000_000));
        assert_eq!(clock_went_back.totals, sees(1, 1));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn whatever_stands_in_the_record_only_our_gauges_are_told() {
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
            assert_eq!(add(Some(record), 1, &sees(1, 1), NOW).totals, sees(1, 1));
        }
        let strange: Readings = [
            (DECISIONS.name_with(&["allow", "authorized", "x"]), 5),
            ("cluster.okta.upstream_rq_total".to_owned(), 5),
            (PARKED.name_with(&[]), u64::MAX),
        ]
        .into();
        let written = add(None, 1, &strange, NOW);
        assert_eq!(add(Some(&written.record), 2, &sees(1, 1), NOW).totals, sees(u64::MAX, 1));
    }
}
