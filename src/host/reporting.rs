//! What the engine knows of itself in numbers, told every few seconds: its counts are added to the host's counters, and the
//! rest goes into the workers' common record (`metrics::reports`), of which the gauges are made.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use crate::engine::Entropy;
use crate::engine::figures::{Figures, IntrospectionFigures, ProviderFigures};
use crate::host::clock;
use crate::host::native_crypto::Verification;
use crate::host::root_state::RootState;
use crate::host::shared_data::{TRIES, read, write};
use crate::metrics::reports::{self, Readings};
use crate::metrics::{self, Kind, Metric};
use crate::unix_time::UnixTime;

/// Where the reports of all workers stand.
const RECORD: &str = "metrics/reports";

/// One root's part in the reports.
#[derive(Debug, Default)]
pub(super) struct Reporter {
    /// Who reports: no two roots of a process draw the same number.
    by: Cell<u64>,
    last: Cell<Option<UnixTime>>,
    /// The counts that the host was told, by their names.
    told: RefCell<BTreeMap<String, u64>>,
    setting: Cell<Setting>,
    /// The gauges that were set, to be set back when nobody sees anything of them any more.
    set: RefCell<Readings>,
}

/// What does not change with time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Setting {
    pub(super) verification: Verification,
    /// How many checks are switched off.
    pub(super) relaxed: usize,
}

impl Reporter {
    /// Begins anew with a configuration: its engine counts from nothing.
    pub(super) fn begin(&self, entropy: &Entropy, setting: Setting) {
        let (first, _) = entropy.0.split_first_chunk().unwrap_or((&[0; 8], &[]));
        self.by.set(u64::from_le_bytes(*first));
        self.last.set(None);
        self.told.take();
        self.setting.set(setting);
    }

    fn is_due(&self, now: UnixTime) -> bool {
        // A clock that was set back does not silence it.
        self.last.get().is_none_or(|last| last > now || now.since(last) >= reports::EVERY)
    }
}

impl RootState {
    /// Reports, when it is time to.
    pub(super) fn report(&self) {
        let now = clock::now();
        if !self.metrics.are_counted() || !self.reporter.is_due(now) {
            return;
        }
        let Some(figures) = self.with_engine(|engine| engine.figures(now)) else { return };
        self.reporter.last.set(Some(now));
        self.tell_counts(&figures);
        self.tell_gauges(&readings(&figures, self.reporter.setting.get()), now);
        self.metrics.count(&metrics::REPORTS, &[]);
    }

    fn tell_counts(&self, figures: &Figures) {
        let mut told = self.reporter.told.borrow_mut();
        for (name, count) in counts(figures) {
            let before = told.insert(name.clone(), count).unwrap_or(0);
            self.metrics.add(name, Kind::Counter, count.saturating_sub(before));
        }
    }

    fn tell_gauges(&self, readings: &Readings, now: UnixTime) {
        for _ in 0..TRIES {
            let (record, version) = read(RECORD);
            let reported = reports::add(record.as_deref(), self.reporter.by.get(), readings, now);
            if write(RECORD, &reported.record, version).is_ok() {
                return self.set_gauges(reported.totals);
            }
        }
    }

    fn set_gauges(&self, totals: Readings) {
        let before = self.reporter.set.replace(totals.clone());
        let over = before.into_keys().filter(|name| !totals.contains_key(name)).map(|name| (name, 0));
        let over: Vec<_> = over.collect();
        for (name, value) in totals.into_iter().chain(over) {
            self.metrics.add(name, Kind::Sum, value);
        }
    }
}

/// The engine's counts, by the names of the host's counters.
fn counts(figures: &Figures) -> Vec<(String, u64)> {
    let cache = &figures.token_cache;
    let mut counts: Vec<_> = [("hit", cache.hits), ("miss", cache.misses)]
        .map(|(result, count)| (metrics::TOKEN_CACHE_LOOK_UPS.name_with(&[result]), count))
        .into();
    for ProviderFigures { name, introspection, .. } in &figures.providers {
        let Some(IntrospectionFigures { look_ups, taken_over, .. }) = introspection else { continue };
        counts.push((metrics::INTROSPECTION_TAKEN_OVER.name_with(&[name]), *taken_over));
        let results = [
            ("active", look_ups.fresh),
            ("stale", look_ups.stale),
            ("refused", look_ups.refused),
            ("wait", look_ups.waits),
            ("endpoint_failing", look_ups.endpoint_failing),
            ("budget_spent", look_ups.budget_spent),
            ("too_many_asked", look_ups.too_many_asked),
        ];
        let of_result = |(result, count)| (metrics::INTROSPECTION_LOOK_UPS.name_with(&[result, name]), count);
        counts.extend(results.map(of_result));
    }
    counts
}

/// What this worker sees, by the names of the gauges.
fn readings(figures: &Figures, setting: Setting) -> Readings {
    let mut readings = Readings::new();
    let mut see = |metric: &Metric, labels: &[&str], value: usize| {
        readings.insert(metric.name_with(labels), u64::try_from(value).unwrap_or(u64::MAX));
    };
    see(&metrics::WORKERS, &[], 1);
    see(&metrics::PARKED, &[], figures.parked);
    see(&metrics::TOKEN_CACHE_TOKENS, &[], figures.token_cache.tokens);
    see(&metrics::TOKEN_CACHE_BYTES, &[], figures.token_cache.bytes);
    see(&metrics::RELAXED, &[], setting.relaxed);
    let Verification { by_host, by_module, failed_self_test: in_doubt } = setting.verification;
    for (verifier, count) in [("host", by_host), ("module", by_module), ("module_in_doubt", in_doubt)] {
        see(&metrics::ALGORITHMS, &[verifier], count);
    }
    if let Some(list) = figures.revocations {
        see(&metrics::REVOCATIONS, &[], list.entries);
        see(&metrics::REVOCATIONS_AGE, &[], seconds(list.age));
        see(&metrics::WORKERS_WITHOUT_REVOCATIONS, &[], usize::from(list.age.is_none()));
    }
    for ProviderFigures { name, keys, introspection } in &figures.providers {
        let of: &[&str] = &[name];
        see(&metrics::KEYS, of, keys.held);
        see(&metrics::KEYS_AGE, of, seconds(keys.age));
        see(&metrics::WORKERS_WITHOUT_KEYS, of, usize::from(!keys.are_usable));
        let Some(asked) = introspection else { continue };
        see(&metrics::INTROSPECTION_ANSWERS, of, asked.active);
        see(&metrics::INTROSPECTION_BYTES, of, asked.bytes);
        see(&metrics::INTROSPECTION_ASKED, of, asked.asked);
        see(&metrics::INTROSPECTION_BUDGET, of, usize::try_from(asked.calls_per_minute).unwrap_or(usize::MAX));
        see(&metrics::INTROSPECTION_PAUSED, of, usize::from(asked.is_paused));
    }
    readings
}

/// Nothing has no age.
fn seconds(age: Option<Duration>) -> usize {
    age.and_then(|age| usize::try_from(age.as_secs()).ok()).unwrap_or(0)
}
