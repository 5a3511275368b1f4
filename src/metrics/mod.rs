//! What the filter tells of itself in numbers: the names, what is counted under them, and how the numbers of several
//! workers become one.
//!
//! Knows neither the engine nor a host. A name has at most one word of the operator's (a rule, a provider), and that comes
//! last: so no choice of words makes two names alike, and a tag of Envoy's stats gives it back as it was written. All other
//! words are ours and few. Nothing that a request says is in a name: there is no end to that, and a host never forgets one.
//! Rule and provider are never in one name, for their product with the reasons has no useful bound.

mod name;
pub mod reports;

/// A number that the filter tells, or a family of them that differ in their labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Metric {
    /// Its name, behind `okta_proxy_wasm`.
    pub name: &'static str,
    /// What kind of number it is.
    pub kind: Kind,
    /// What its members differ in, in the order of the name.
    pub labels: &'static [&'static str],
}

/// What a number tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// How often something has happened. Those of all workers add up in the host.
    Counter,
    /// How much of something there is: what all workers have of it together.
    Sum,
    /// The same, of the worker that has most of it.
    Most,
    /// How long something took.
    Histogram,
}

const fn metric(name: &'static str, kind: Kind, labels: &'static [&'static str]) -> Metric {
    Metric { name, kind, labels }
}

/// Requests that were decided.
pub const DECISIONS: Metric = metric("decisions_total", Kind::Counter, &["verdict", "reason", "rule"]);
/// The same, of those whose token names a provider.
pub const PROVIDER_DECISIONS: Metric =
    metric("provider_decisions_total", Kind::Counter, &["verdict", "reason", "provider"]);
/// Requests that passed and that a rule on trial would have refused.
pub const WOULD_DENY: Metric = metric("would_deny_total", Kind::Counter, &["reason", "rule"]);
/// Fetches of keys that ended.
pub const KEY_FETCHES: Metric = metric("key_fetches_total", Kind::Counter, &["outcome", "provider"]);
/// Fetches that began because a token names a key that is not held.
pub const UNKNOWN_KEY_FETCHES: Metric = metric("unknown_key_fetches_total", Kind::Counter, &["provider"]);
/// Fetches that began because the signature of a token fails with the keys held.
pub const SIGNATURE_INVALID_FETCHES: Metric = metric("signature_invalid_fetches_total", Kind::Counter, &["provider"]);
/// Fetches that brought other keys than were held.
pub const KEY_CHANGES: Metric = metric("key_changes_total", Kind::Counter, &["provider"]);
/// Introspection calls that ended.
pub const INTROSPECTION_CALLS: Metric = metric("introspection_calls_total", Kind::Counter, &["outcome", "provider"]);
/// What is known of tokens when a request asks.
pub const INTROSPECTION_LOOK_UPS: Metric =
    metric("introspection_look_ups_total", Kind::Counter, &["result", "provider"]);
/// Answers that another worker was given.
pub const INTROSPECTION_TAKEN_OVER: Metric =
    metric("introspection_answers_taken_over_total", Kind::Counter, &["provider"]);
/// Polls of the list of revoked tokens that ended.
pub const REVOCATION_POLLS: Metric = metric("revocation_polls_total", Kind::Counter, &["outcome"]);
/// Whether a token was verified before.
pub const TOKEN_CACHE_LOOK_UPS: Metric = metric("token_cache_look_ups_total", Kind::Counter, &["result"]);
/// Configurations that the host brought.
pub const CONFIGURATIONS: Metric = metric("configurations_total", Kind::Counter, &["outcome"]);
/// Reports of workers: while they come, the gauges are true.
pub const REPORTS: Metric = metric("reports_total", Kind::Counter, &[]);

/// Workers that reported lately.
pub const WORKERS: Metric = metric("workers", Kind::Sum, &[]);
/// Requests that wait.
pub const PARKED: Metric = metric("parked_requests", Kind::Sum, &[]);
/// Keys that are held and can be used.
pub const KEYS: Metric = metric("keys", Kind::Most, &["provider"]);
/// How long ago they were published.
pub const KEYS_AGE: Metric = metric("keys_age_seconds", Kind::Most, &["provider"]);
/// Workers that have none to verify with.
pub const WORKERS_WITHOUT_KEYS: Metric = metric("workers_without_keys", Kind::Sum, &["provider"]);
/// Answers about active tokens that are remembered.
pub const INTROSPECTION_ANSWERS: Metric = metric("introspection_answers", Kind::Sum, &["provider"]);
/// The bytes they take.
pub const INTROSPECTION_BYTES: Metric = metric("introspection_answer_bytes", Kind::Sum, &["provider"]);
/// Tokens that are being asked about.
pub const INTROSPECTION_ASKED: Metric = metric("introspection_asked_tokens", Kind::Sum, &["provider"]);
/// Calls that may be made in a minute.
pub const INTROSPECTION_BUDGET: Metric = metric("introspection_budget_per_minute", Kind::Most, &["provider"]);
/// Workers that ask nothing for a while, because the endpoint fails or wants to be left alone.
pub const INTROSPECTION_PAUSED: Metric = metric("introspection_paused_workers", Kind::Sum, &["provider"]);
/// How long ago the list of revoked tokens was confirmed.
pub const REVOCATIONS_AGE: Metric = metric("revocation_list_age_seconds", Kind::Most, &[]);
/// Its entries.
pub const REVOCATIONS: Metric = metric("revocation_list_entries", Kind::Most, &[]);
/// Workers that have none.
pub const WORKERS_WITHOUT_REVOCATIONS: Metric = metric("workers_without_revocation_list", Kind::Sum, &[]);
/// Verified tokens that are remembered.
pub const TOKEN_CACHE_TOKENS: Metric = metric("token_cache_tokens", Kind::Sum, &[]);
/// The bytes they take.
pub const TOKEN_CACHE_BYTES: Metric = metric("token_cache_bytes", Kind::Sum, &[]);
/// Who verifies the algorithms that are in use.
pub const ALGORITHMS: Metric = metric("algorithms", Kind::Most, &["verifier"]);
/// Checks that the operator weakened.
pub const RELAXED: Metric = metric("relaxed_settings", Kind::Most, &[]);

/// How long a decision took that was made at once.
pub const DECISION_TIME: Metric = metric("decision_microseconds", Kind::Histogram, &[]);
/// How long requests waited that were decided later.
pub const PARKED_TIME: Metric = metric("parked_milliseconds", Kind::Histogram, &[]);

/// All of them.
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
    RELAXED,
    DECISION_TIME,
    PARKED_TIME,
];
