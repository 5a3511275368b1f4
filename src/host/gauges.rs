//! Reports the engine's statistics every few seconds: adds the counts to the host's counters, and sets the gauges to the
//! totals over all workers (`telemetry::gauges`).

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use crate::engine::Entropy;
use crate::host::clock;
use crate::host::metrics::Metrics;
use crate::host::shared_data::{Change, update};
use crate::telemetry::gauges::{self, Gauges};
use crate::telemetry::stats::{ConfigurationStats, Stats};
use crate::telemetry::{self, Kind};
use crate::unix_time::UnixTime;

/// The shared record of all workers' reports.
const RECORD: &str = "metrics/reports";

/// One root's reports.
#[derive(Debug, Default)]
pub(super) struct Reporter {
    /// The reporting root: no two roots of a process draw the same number.
    by: Cell<u64>,
    last: Cell<Option<UnixTime>>,
    /// The counts that are in the host's counters, by name.
    counted: RefCell<BTreeMap<String, u64>>,
    configuration: Cell<ConfigurationStats>,
    /// The gauges that are set: a gauge that no current report has any more is set to 0.
    set: RefCell<Gauges>,
}

impl Reporter {
    /// Restarts with a configuration: its engine counts from 0.
    pub(super) fn begin(&self, entropy: &Entropy, configuration: ConfigurationStats) {
        let (first, _) = entropy.0.split_first_chunk().unwrap_or((&[0; 8], &[]));
        self.by.set(u64::from_le_bytes(*first));
        self.last.set(None);
        self.counted.take();
        self.configuration.set(configuration);
    }

    fn is_due(&self, now: UnixTime) -> bool {
        // Also when the clock was set back.
        self.last.get().is_none_or(|last| last > now || now.since(last) >= gauges::INTERVAL)
    }

    /// Reports the statistics, when that is due.
    pub(super) fn report(&self, metrics: &Metrics, stats: impl FnOnce(UnixTime) -> Option<Stats>) {
        let now = clock::now();
        if !metrics.are_counted() || !self.is_due(now) {
            return;
        }
        let Some(stats) = stats(now) else { return };
        self.last.set(Some(now));
        self.add_counts(metrics, &stats);
        self.report_gauges(metrics, &stats.gauges(&self.configuration.get()), now);
        metrics.count(&telemetry::REPORTS, &[]);
    }

    fn add_counts(&self, metrics: &Metrics, stats: &Stats) {
        let mut counted = self.counted.borrow_mut();
        for (name, count) in stats.counters() {
            let before = counted.insert(name.clone(), count).unwrap_or(0);
            metrics.add(name, Kind::Counter, count.saturating_sub(before));
        }
    }

    fn report_gauges(&self, metrics: &Metrics, own: &Gauges, now: UnixTime) {
        let totals = update(RECORD, |record| {
            let merged = gauges::merge(record, self.by.get(), own, now);
            Change::Write(merged.record, merged.totals)
        });
        totals.into_iter().for_each(|totals| self.set_gauges(metrics, totals));
    }

    fn set_gauges(&self, metrics: &Metrics, totals: Gauges) {
        let before = self.set.replace(totals.clone());
        let gone: Vec<_> = before.into_keys().filter(|name| !totals.contains_key(name)).map(|name| (name, 0)).collect();
        for (name, value) in totals.into_iter().chain(gone) {
            metrics.add(name, Kind::Sum, value);
        }
    }
}
