//! Metrics: their names, the statistics that they are made of, and the gauges over all workers of a process.
//!
//! Knows neither the engine nor a host. A name has at most one label value of the operator's (a rule or a provider), as its
//! last part: so no two values give one name, and a stats tag of Envoy restores the value. All other label values are from
//! fixed sets. No name contains a value of a request: there is no bound to those, and a host never drops a metric. No name
//! has both a rule and a provider: their product with the reasons has no useful bound.

pub mod gauges;
mod name;
pub mod stats;

/// A metric, or a family of metrics that differ in their labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Metric {
    /// The name, without the prefix `okta_proxy_wasm`.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// Its labels, in the order of the name.
    pub labels: &'static [&'static str],
}

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A counter. The host adds up those of all workers.
    Counter,
    /// A gauge: the sum over all workers.
    Sum,
    /// A gauge: the maximum over all workers.
    Max,
    /// A histogram of durations.
    Histogram,
}

const fn metric(name: &'static str, kind: Kind, labels: &'static [&'static str]) -> Metric {
    Metric { name, kind, labels }
}

/// Decisions.
pub const DECISIONS: Metric = metric("decisions_total", Kind::Counter, &["verdict", "reason", "rule"]);
/// Decisions on tokens of a provider.
pub const PROVIDER_DECISIONS: Metric =
    metric("provider_decisions_total", Kind::Counter, &["verdict", "reason", "provider"]);
/// Requests that are allowed by `report_only` alone.
pub const WOULD_DENY: Metric = metric("would_deny_total", Kind::Counter, &["reason", "rule"]);
/// Completed fetches of keys.
pub const KEY_FETCHES: Metric = metric("key_fetches_total", Kind::Counter, &["outcome", "provider"]);
/// Fetches that an unknown key id started.
pub const UNKNOWN_KEY_FETCHES: Metric = metric("unknown_key_fetches_total", Kind::Counter, &["provider"]);
/// Fetches that an invalid signature started.
pub const SIGNATURE_INVALID_FETCHES: Metric = metric("signature_invalid_fetches_total", Kind::Counter, &["provider"]);
/// Fetches that changed the keys.
pub const KEY_CHANGES: Metric = metric("key_changes_total", Kind::Counter, &["provider"]);
/// Completed introspection calls.
pub const INTROSPECTION_CALLS: Metric = metric("introspection_calls_total", Kind::Counter, &["outcome", "provider"]);
/// Look-ups in the introspection cache.
pub const INTROSPECTION_LOOK_UPS: Metric =
    metric("introspection_look_ups_total", Kind::Counter, &["result", "provider"]);
/// Introspection responses that another worker received.
pub const INTROSPECTION_TAKEN_OVER: Metric =
    metric("introspection_answers_taken_over_total", Kind::Counter, &["provider"]);
/// Completed polls of the revocation list.
pub const REVOCATION_POLLS: Metric = metric("revocation_polls_total", Kind::Counter, &["outcome"]);
/// Look-ups in the token cache.
pub const TOKEN_CACHE_LOOK_UPS: Metric = metric("token_cache_look_ups_total", Kind::Counter, &["result"]);
/// Configurations that the host passed.
pub const CONFIGURATIONS: Metric = metric("configurations_total", Kind::Counter, &["outcome"]);
/// Reports of workers: while it increases, the gauges are current.
pub const REPORTS: Metric = metric("reports_total", Kind::Counter, &[]);

/// Workers that reported within [`gauges::LIFETIME`].
pub const WORKERS: Metric = metric("workers", Kind::Sum, &[]);
/// Parked requests.
pub const PARKED: Metric = metric("parked_requests", Kind::Sum, &[]);
/// Keys.
pub const KEYS: Metric = metric("keys", Kind::Max, &["provider"]);
/// The age of the keys.
pub const KEYS_AGE: Metric = metric("keys_age_seconds", Kind::Max, &["provider"]);
/// Workers without usable keys.
pub const WORKERS_WITHOUT_KEYS: Metric = metric("workers_without_keys", Kind::Sum, &["provider"]);
/// Cached responses about active tokens.
pub const INTROSPECTION_ANSWERS: Metric = metric("introspection_answers", Kind::Sum, &["provider"]);
/// Their bytes.
pub const INTROSPECTION_BYTES: Metric = metric("introspection_answer_bytes", Kind::Sum, &["provider"]);
/// Tokens with a pending introspection.
pub const INTROSPECTION_ASKED: Metric = metric("introspection_asked_tokens", Kind::Sum, &["provider"]);
/// Permitted calls per minute.
pub const INTROSPECTION_BUDGET: Metric = metric("introspection_budget_per_minute", Kind::Max, &["provider"]);
/// Workers that make no calls for now, because the endpoint fails or answers 429.
pub const INTROSPECTION_PAUSED: Metric = metric("introspection_paused_workers", Kind::Sum, &["provider"]);
/// The age of the revocation list.
pub const REVOCATIONS_AGE: Metric = metric("revocation_list_age_seconds", Kind::Max, &[]);
/// Its entries.
pub const REVOCATIONS: Metric = metric("revocation_list_entries", Kind::Max, &[]);
/// Workers without a revocation list.
pub const WORKERS_WITHOUT_REVOCATIONS: Metric = metric("workers_without_revocation_list", Kind::Sum, &[]);
/// Cached verified tokens.
pub const TOKEN_CACHE_TOKENS: Metric = metric("token_cache_tokens", Kind::Sum, &[]);
/// Their bytes.
pub const TOKEN_CACHE_BYTES: Metric = metric("token_cache_bytes", Kind::Sum, &[]);
/// Algorithms in use, by verifier.
pub const ALGORITHMS: Metric = metric("algorithms", Kind::Max, &["verifier"]);
/// Insecure settings.
pub const INSECURE_SETTINGS: Metric = metric("insecure_settings", Kind::Max, &[]);

/// The duration of decisions that are made at once.
pub const DECISION_TIME: Metric = metric("decision_microseconds", Kind::Histogram, &[]);
/// How long parked requests waited.
pub const PARKED_TIME: Metric = metric("parked_milliseconds", Kind::Histogram, &[]);

/// All metrics.
pub const ALL: [Metric; 33] = [
    DECISIONS,
    PROVIDER_DECISIONS,
    WOULD_DENY,
    KEY_FETCHES,
    UNKNOWN_KEY_FETCHES,
    SIGNATURE_INVALID_FETCHES,
    KEY_CHANGES,
    INTROSPECTION_CALLS,
    INTROSPECTION_LOOK_UPS,
    INTROSPECTION_TAKEN_OVER,
    REVOCATION_POLLS,
    TOKEN_CACHE_LOOK_UPS,
    CONFIGURATIONS,
    REPORTS,
    WORKERS,
    PARKED,
    KEYS,
    KEYS_AGE,
    WORKERS_WITHOUT_KEYS,
    INTROSPECTION_ANSWERS,
    INTROSPECTION_BYTES,
    INTROSPECTION_ASKED,
    INTROSPECTION_BUDGET,
    INTROSPECTION_PAUSED,
    REVOCATIONS_AGE,
    REVOCATIONS,
    WORKERS_WITHOUT_REVOCATIONS,
    TOKEN_CACHE_TOKENS,
    TOKEN_CACHE_BYTES,
    ALGORITHMS,
    INSECURE_SETTINGS,
    DECISION_TIME,
    PARKED_TIME,
];
