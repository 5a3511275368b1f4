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

/// Declares metrics, and `ALL` of them.
macro_rules! metrics {
    ($($(#[$doc:meta])* $constant:ident: $kind:ident $name:literal [$($label:literal),*];)*) => {
        $($(#[$doc])* pub const $constant: Metric =
            Metric { name: $name, kind: Kind::$kind, labels: &[$($label),*] };)*
        /// All metrics.
        pub const ALL: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    /// Decisions.
    DECISIONS: Counter "decisions_total" ["verdict", "reason", "rule"];
    /// Decisions on tokens of a provider.
    PROVIDER_DECISIONS: Counter "provider_decisions_total" ["verdict", "reason", "provider"];
    /// Requests that are allowed by `report_only` alone.
    WOULD_DENY: Counter "would_deny_total" ["reason", "rule"];
    /// Decisions on authenticated tokens of a provider with `sender_constraint`, by what the token is bound to.
    SENDER_CONSTRAINTS: Counter "sender_constraints_total" ["verdict", "constraint", "provider"];
    /// Completed fetches of keys.
    KEY_FETCHES: Counter "key_fetches_total" ["outcome", "provider"];
    /// Fetches that an unknown key id started.
    UNKNOWN_KEY_FETCHES: Counter "unknown_key_fetches_total" ["provider"];
    /// Fetches that an invalid signature started.
    SIGNATURE_INVALID_FETCHES: Counter "signature_invalid_fetches_total" ["provider"];
    /// Fetches that changed the keys.
    KEY_CHANGES: Counter "key_changes_total" ["provider"];
    /// Completed introspection calls.
    INTROSPECTION_CALLS: Counter "introspection_calls_total" ["outcome", "provider"];
    /// Look-ups in the introspection cache.
    INTROSPECTION_LOOK_UPS: Counter "introspection_look_ups_total" ["result", "provider"];
    /// Introspection responses that another worker received.
    INTROSPECTION_TAKEN_OVER: Counter "introspection_answers_taken_over_total" ["provider"];
    /// Completed polls of the revocation list.
    REVOCATION_POLLS: Counter "revocation_polls_total" ["outcome"];
    /// Look-ups in the token cache.
    TOKEN_CACHE_LOOK_UPS: Counter "token_cache_look_ups_total" ["result"];
    /// Configurations that the host passed.
    CONFIGURATIONS: Counter "configurations_total" ["outcome"];
    /// Reports of workers: while it increases, the gauges are current.
    REPORTS: Counter "reports_total" [];
    /// Workers that reported within [`gauges::LIFETIME`].
    WORKERS: Sum "workers" [];
    /// Parked requests.
    PARKED: Sum "parked_requests" [];
    /// Keys.
    KEYS: Max "keys" ["provider"];
    /// The age of the keys.
    KEYS_AGE: Max "keys_age_seconds" ["provider"];
    /// Workers without usable keys.
    WORKERS_WITHOUT_KEYS: Sum "workers_without_keys" ["provider"];
    /// Cached responses about active tokens.
    INTROSPECTION_ANSWERS: Sum "introspection_answers" ["provider"];
    /// Their bytes.
    INTROSPECTION_BYTES: Sum "introspection_answer_bytes" ["provider"];
    /// Tokens with a pending introspection.
    INTROSPECTION_ASKED: Sum "introspection_asked_tokens" ["provider"];
    /// Permitted calls per minute.
    INTROSPECTION_BUDGET: Max "introspection_budget_per_minute" ["provider"];
    /// Workers that make no calls for now, because the endpoint fails or answers 429.
    INTROSPECTION_PAUSED: Sum "introspection_paused_workers" ["provider"];
    /// The age of the revocation list.
    REVOCATIONS_AGE: Max "revocation_list_age_seconds" [];
    /// Its entries.
    REVOCATIONS: Max "revocation_list_entries" [];
    /// Workers without a revocation list.
    WORKERS_WITHOUT_REVOCATIONS: Sum "workers_without_revocation_list" [];
    /// Cached verified tokens.
    TOKEN_CACHE_TOKENS: Sum "token_cache_tokens" [];
    /// Their bytes.
    TOKEN_CACHE_BYTES: Sum "token_cache_bytes" [];
    /// Algorithms in use, by verifier.
    ALGORITHMS: Max "algorithms" ["verifier"];
    /// Insecure settings.
    INSECURE_SETTINGS: Max "insecure_settings" [];
    /// The duration of decisions that are made at once.
    DECISION_TIME: Histogram "decision_microseconds" [];
    /// How long parked requests waited.
    PARKED_TIME: Histogram "parked_milliseconds" [];
}
