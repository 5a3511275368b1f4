//! Counting in the host: on Envoy alone, for the SDK panics when defining a metric fails. It returns an error of an
//! increment or a record of a metric that the host does not know.
//!
//! The first of a kind defines the host's metric and remembers its number; from then on a request costs two increments and
//! no text is put together for it. A VM defines each metric once, whatever number of configurations it is given: a host
//! keeps what each definition takes for as long as the VM runs.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::types::{MetricType, Status};

use crate::engine::audit::AuditRecord;
use crate::engine::{CallNote, CallResult, FetchNote, FetchResult, PollResult};
use crate::telemetry::{self, Kind, Metric};

/// What rules are called that the operator gave no name.
const UNNAMED: &str = "(unnamed)";
/// The reason of a request that was to be forwarded and was rejected: the host cannot do what its decision needs.
const UNDELIVERED: &str = "undelivered";

thread_local! {
    /// The host's numbers of the metrics that this VM has defined.
    static DEFINED: RefCell<HashMap<String, u32>> = RefCell::default();
}

/// What one configuration counts.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    are_counted: Cell<bool>,
    decisions: RefCell<HashMap<Decided, Numbers>>,
    times: Cell<Option<Times>>,
}

/// Decisions that are counted alike.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Decided {
    rule: Option<Rc<str>>,
    provider: Option<Rc<str>>,
    reason: &'static str,
    would_deny: Option<&'static str>,
}

/// What counts them.
#[derive(Clone, Copy, Debug)]
struct Numbers {
    of_rule: u32,
    of_provider: Option<u32>,
    on_trial: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Times {
    decision: u32,
    parked: u32,
}

impl Metrics {
    /// Begins anew with a configuration, where the host is one that counts.
    pub(super) fn begin(&self, host_can: bool) {
        self.decisions.take();
        self.are_counted.set(host_can);
        // Here, and not with the first request: a host that does not know metrics ends the module at its start.
        let times = || {
            Ok(Times {
                decision: define(&telemetry::DECISION_TIME, &[])?,
                parked: define(&telemetry::PARKED_TIME, &[])?,
            })
        };
        self.times.set(if host_can { self.unless_refused(times) } else { None });
        for outcome in ["accepted", "refused"] {
            self.add(telemetry::CONFIGURATIONS.name_with(&[outcome]), Kind::Counter, 0);
        }
    }

    pub(super) fn are_counted(&self) -> bool {
        self.are_counted.get()
    }

    /// A decision was carried out.
    pub(super) fn count_decision(&self, audit: &AuditRecord) {
        self.count_as(audit, audit.verdict(), audit.reason(), audit.would_deny());
    }

    /// A request was to be forwarded and was rejected: the host cannot do what its decision needs.
    pub(super) fn count_undelivered(&self, audit: &AuditRecord) {
        self.count_as(audit, "deny", UNDELIVERED, None);
    }

    fn count_as(&self, audit: &AuditRecord, verdict: &str, reason: &'static str, would_deny: Option<&'static str>) {
        if !self.are_counted.get() {
            return;
        }
        let decided = Decided { rule: audit.rule().cloned(), provider: audit.provider().cloned(), reason, would_deny };
        let known = self.decisions.borrow().get(&decided).copied();
        self.unless_refused(|| {
            let numbers = match known {
                Some(numbers) => numbers,
                None => {
                    let numbers = decided.define(verdict)?;
                    self.decisions.borrow_mut().insert(decided, numbers);
                    numbers
                }
            };
            let all = [Some(numbers.of_rule), numbers.of_provider, numbers.on_trial];
            all.into_iter().flatten().try_for_each(|number| hostcalls::increment_metric(number, 1))
        });
    }

    /// How long a decision took that was made at once.
    pub(super) fn time_decision(&self, took: Duration) {
        if let Some(times) = self.times.get() {
            self.unless_refused(|| hostcalls::record_metric(times.decision, whole(took.as_micros())));
        }
    }

    /// How long a request waited that is decided now.
    pub(super) fn time_parked(&self, waited: Duration) {
        if let Some(times) = self.times.get() {
            self.unless_refused(|| hostcalls::record_metric(times.parked, whole(waited.as_millis())));
        }
    }

    /// A fetch of keys has ended.
    pub(super) fn count_fetch(&self, note: &FetchNote) {
        let provider = &note.provider;
        let outcome = match note.result {
            FetchResult::Replaced { fetched_here: true, .. } => "fetched",
            FetchResult::Replaced { fetched_here: false, .. } => "taken_over",
            FetchResult::Failed { fault, .. } => fault.name(),
            FetchResult::Continues | FetchResult::Late => return,
        };
        self.count(&telemetry::KEY_FETCHES, &[outcome, provider]);
        if matches!(note.result, FetchResult::Replaced { is_other: true, fetched_here: true, .. }) {
            self.count(&telemetry::KEY_CHANGES, &[provider]);
        }
    }

    /// An introspection call has ended.
    pub(super) fn count_call(&self, note: &CallNote) {
        let provider = &note.provider;
        let outcome = match note.result {
            CallResult::Answered => "answered",
            CallResult::Discovered => "discovered",
            CallResult::Failed { fault, .. } => fault.name(),
            CallResult::TakenOver | CallResult::Continues | CallResult::Late => return,
        };
        self.count(&telemetry::INTROSPECTION_CALLS, &[outcome, provider]);
    }

    /// A poll has ended.
    pub(super) fn count_poll(&self, result: PollResult) {
        let outcome = match result {
            PollResult::Replaced(_) => "replaced",
            PollResult::TakenOver(_) => "taken_over",
            PollResult::Unchanged => "unchanged",
            PollResult::Failed { fault, .. } => fault.name(),
            PollResult::Late => return,
        };
        self.count(&telemetry::REVOCATION_POLLS, &[outcome]);
    }

    /// Something has happened once more.
    pub(super) fn count(&self, metric: &Metric, labels: &[&str]) {
        self.add(metric.name_with(labels), metric.kind, 1);
    }

    /// Adds to a counter, or says what a gauge is now. A counter is there from the first time on, be it with nothing: when
    /// it comes with its first event, that event is no increase to who looks from time to time.
    pub(super) fn add(&self, name: String, kind: Kind, value: u64) {
        if !self.are_counted.get() {
            return;
        }
        self.unless_refused(|| {
            let number = number_of(kind, name)?;
            match kind {
                // To a host that is a mistake.
                Kind::Counter if value == 0 => Ok(()),
                Kind::Counter => hostcalls::increment_metric(number, i64::try_from(value).unwrap_or(i64::MAX)),
                Kind::Sum | Kind::Max | Kind::Histogram => hostcalls::record_metric(number, value),
            }
        });
    }

    /// Tells the host something; when it refuses, nothing is counted from then on.
    fn unless_refused<T>(&self, tell: impl FnOnce() -> Result<T, Status>) -> Option<T> {
        match tell() {
            Ok(told) => Some(told),
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
    fn define(&self, verdict: &str) -> Result<Numbers, Status> {
        let rule = self.rule.as_deref().unwrap_or(UNNAMED);
        let on_trial = self.would_deny.map(|reason| define(&telemetry::WOULD_DENY, &[reason, rule])).transpose()?;
        let provider = self.provider.as_deref();
        let of_provider = provider
            .map(|provider| define(&telemetry::PROVIDER_DECISIONS, &[verdict, self.reason, provider]))
            .transpose()?;
        Ok(Numbers { of_rule: define(&telemetry::DECISIONS, &[verdict, self.reason, rule])?, of_provider, on_trial })
    }
}

fn define(metric: &Metric, labels: &[&str]) -> Result<u32, Status> {
    number_of(metric.kind, metric.name_with(labels))
}

/// The host's number of a metric, which is defined if it is new.
fn number_of(kind: Kind, name: String) -> Result<u32, Status> {
    if let Some(number) = DEFINED.with_borrow(|defined| defined.get(&name).copied()) {
        return Ok(number);
    }
    let number = hostcalls::define_metric(kind_in_host(kind), &name)?;
    DEFINED.with_borrow_mut(|defined| defined.insert(name, number));
    Ok(number)
}

const fn kind_in_host(kind: Kind) -> MetricType {
    match kind {
        Kind::Counter => MetricType::Counter,
        Kind::Sum | Kind::Max => MetricType::Gauge,
        Kind::Histogram => MetricType::Histogram,
    }
}

fn whole(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
