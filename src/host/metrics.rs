//! Metrics in the host. On Envoy alone: the SDK panics when the definition of a metric fails, and returns errors of
//! increments and records.
//!
//! The first decision of a kind defines the host's metric and caches its id; further ones cost two to four increments and format
//! no name. A VM defines each metric once, for all its configurations: a host keeps a definition as long as the VM runs.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::types::{MetricType, Status};

use crate::engine::audit::AuditRecord;
use crate::engine::{CallResult, FetchCause, FetchResult, PollResult, Report};
use crate::telemetry::{self, Kind, Metric};

/// The label value of rules without a name.
const UNNAMED: &str = "(unnamed)";
/// The reason of an allowed request that is rejected, because the host cannot apply the decision.
const UNDELIVERED: &str = "undelivered";

thread_local! {
    /// The host's ids of the metrics that this VM has defined.
    static DEFINED: RefCell<HashMap<String, u32>> = RefCell::default();
}

/// The metrics of one configuration.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    are_counted: Cell<bool>,
    decisions: RefCell<HashMap<Decided, CounterIds>>,
    times: Cell<Option<Times>>,
}

/// The labels of a decision.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Decided {
    rule: Option<Rc<str>>,
    provider: Option<Rc<str>>,
    reason: &'static str,
    would_deny: Option<&'static str>,
    constraint: Option<&'static str>,
}

/// The ids of the counters of a decision.
#[derive(Clone, Copy, Debug)]
struct CounterIds {
    of_rule: u32,
    of_provider: Option<u32>,
    on_trial: Option<u32>,
    of_constraint: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Times {
    decision: u32,
    parked: u32,
}

impl Metrics {
    /// Restarts with a configuration; off where the host has no metrics.
    pub(super) fn begin(&self, is_supported: bool) {
        self.decisions.take();
        self.are_counted.set(is_supported);
        // At start and not with the first request: a host without metrics traps here.
        let times = || {
            Ok(Times {
                decision: define(&telemetry::DECISION_TIME, &[])?,
                parked: define(&telemetry::PARKED_TIME, &[])?,
            })
        };
        self.times.set(if is_supported { self.off_on_error(times) } else { None });
        for outcome in ["accepted", "refused"] {
            self.add(telemetry::CONFIGURATIONS.name_with(&[outcome]), Kind::Counter, 0);
        }
    }

    pub(super) fn are_counted(&self) -> bool {
        self.are_counted.get()
    }

    pub(super) fn count_decision(&self, audit: &AuditRecord) {
        self.count_as(audit, audit.verdict(), audit.reason(), audit.would_deny());
    }

    /// Counts an allowed request that is rejected, because the host cannot apply the decision.
    pub(super) fn count_undelivered(&self, audit: &AuditRecord) {
        self.count_as(audit, "deny", UNDELIVERED, None);
    }

    fn count_as(&self, audit: &AuditRecord, verdict: &str, reason: &'static str, would_deny: Option<&'static str>) {
        if !self.are_counted.get() {
            return;
        }
        let decided = Decided {
            rule: audit.rule().cloned(),
            provider: audit.provider().cloned(),
            reason,
            would_deny,
            constraint: audit.counted_constraint(),
        };
        let known = self.decisions.borrow().get(&decided).copied();
        self.off_on_error(|| {
            let numbers = match known {
                Some(numbers) => numbers,
                None => {
                    let numbers = decided.define(verdict)?;
                    self.decisions.borrow_mut().insert(decided, numbers);
                    numbers
                }
            };
            let all = [Some(numbers.of_rule), numbers.of_provider, numbers.on_trial, numbers.of_constraint];
            all.into_iter().flatten().try_for_each(|number| hostcalls::increment_metric(number, 1))
        });
    }

    /// Records the duration of a decision that is made at once.
    pub(super) fn time_decision(&self, took: Duration) {
        if let Some(times) = self.times.get() {
            self.off_on_error(|| hostcalls::record_metric(times.decision, whole(took.as_micros())));
        }
    }

    /// Records how long a parked request waited.
    pub(super) fn time_parked(&self, waited: Duration) {
        if let Some(times) = self.times.get() {
            self.off_on_error(|| hostcalls::record_metric(times.parked, whole(waited.as_millis())));
        }
    }

    /// Counts a callout that has begun or ended.
    pub(super) fn count_report(&self, report: &Report) {
        match report {
            Report::FetchStarted { provider, cause } => match cause {
                FetchCause::Due => {}
                FetchCause::UnknownKeyId => self.count(&telemetry::UNKNOWN_KEY_FETCHES, &[provider]),
                FetchCause::SignatureInvalid => self.count(&telemetry::SIGNATURE_INVALID_FETCHES, &[provider]),
            },
            Report::Fetch { provider, result } => {
                let outcome = match result {
                    FetchResult::Replaced { fetched_here: true, .. } => "fetched",
                    FetchResult::Replaced { fetched_here: false, .. } => "taken_over",
                    FetchResult::Failed { fault, .. } => fault.name(),
                    FetchResult::Continues | FetchResult::Late => return,
                };
                self.count(&telemetry::KEY_FETCHES, &[outcome, provider]);
                if matches!(result, FetchResult::Replaced { is_other: true, fetched_here: true, .. }) {
                    self.count(&telemetry::KEY_CHANGES, &[provider]);
                }
            }
            Report::Call { provider, result } => {
                let outcome = match result {
                    CallResult::Answered => "answered",
                    CallResult::Discovered => "discovered",
                    CallResult::Failed { fault, .. } => fault.name(),
                    CallResult::TakenOver | CallResult::Continues | CallResult::Late => return,
                };
                self.count(&telemetry::INTROSPECTION_CALLS, &[outcome, provider]);
            }
            Report::Poll(result) => {
                let outcome = match result {
                    PollResult::Replaced(_) => "replaced",
                    PollResult::TakenOver(_) => "taken_over",
                    PollResult::Unchanged => "unchanged",
                    PollResult::Failed { fault, .. } => fault.name(),
                    PollResult::Late => return,
                };
                self.count(&telemetry::REVOCATION_POLLS, &[outcome]);
            }
            Report::Suppressed(_) => {}
        }
    }

    /// Adds 1 to a counter.
    pub(super) fn count(&self, metric: &Metric, labels: &[&str]) {
        self.add(metric.name_with(labels), metric.kind, 1);
    }

    /// Adds to a counter, or sets a gauge. Adding 0 defines a counter: for a scraper, a counter that appears with its first
    /// event has no increase.
    pub(super) fn add(&self, name: String, kind: Kind, value: u64) {
        if !self.are_counted.get() {
            return;
        }
        self.off_on_error(|| {
            let number = id_of(kind, name)?;
            match kind {
                // Hosts reject an increment by 0.
                Kind::Counter if value == 0 => Ok(()),
                Kind::Counter => hostcalls::increment_metric(number, i64::try_from(value).unwrap_or(i64::MAX)),
                Kind::Sum | Kind::Max | Kind::Histogram => hostcalls::record_metric(number, value),
            }
        });
    }

    /// Calls the host; an error turns the metrics off.
    fn off_on_error<T>(&self, update: impl FnOnce() -> Result<T, Status>) -> Option<T> {
        match update() {
            Ok(value) => Some(value),
            Err(status) => {
                self.are_counted.set(false);
                self.times.set(None);
                log::error!("updating a metric failed ({status:?}); metrics are off until the next configuration");
                None
            }
        }
    }
}

impl Decided {
    fn define(&self, verdict: &str) -> Result<CounterIds, Status> {
        let rule = self.rule.as_deref().unwrap_or(UNNAMED);
        let on_trial = self.would_deny.map(|reason| define(&telemetry::WOULD_DENY, &[reason, rule])).transpose()?;
        let provider = self.provider.as_deref();
        let of_provider = provider
            .map(|provider| define(&telemetry::PROVIDER_DECISIONS, &[verdict, self.reason, provider]))
            .transpose()?;
        let of_constraint = provider
            .zip(self.constraint)
            .map(|(provider, constraint)| define(&telemetry::SENDER_CONSTRAINTS, &[verdict, constraint, provider]))
            .transpose()?;
        let of_rule = define(&telemetry::DECISIONS, &[verdict, self.reason, rule])?;
        Ok(CounterIds { of_rule, of_provider, on_trial, of_constraint })
    }
}

fn define(metric: &Metric, labels: &[&str]) -> Result<u32, Status> {
    id_of(metric.kind, metric.name_with(labels))
}

/// The host's id of a metric, which is defined if it is new.
fn id_of(kind: Kind, name: String) -> Result<u32, Status> {
    if let Some(number) = DEFINED.with_borrow(|defined| defined.get(&name).copied()) {
        return Ok(number);
    }
    let number = hostcalls::define_metric(metric_type(kind), &name)?;
    DEFINED.with_borrow_mut(|defined| defined.insert(name, number));
    Ok(number)
}

const fn metric_type(kind: Kind) -> MetricType {
    match kind {
        Kind::Counter => MetricType::Counter,
        Kind::Sum | Kind::Max => MetricType::Gauge,
        Kind::Histogram => MetricType::Histogram,
    }
}

fn whole(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
