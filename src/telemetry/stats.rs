//! The statistics of one engine, and the counters and gauges that they become.

use std::rc::Rc;
use std::time::Duration;

use super as metrics;
use super::Metric;
use super::gauges::Gauges;

/// The statistics of one engine.
#[derive(Clone, Debug)]
pub struct Stats {
    /// Parked requests.
    pub parked: usize,
    pub token_cache: TokenCacheStats,
    pub providers: Vec<ProviderStats>,
    /// The revocation list, where one is configured.
    pub revocations: Option<RevocationStats>,
}

/// The statistics of the token cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenCacheStats {
    pub tokens: usize,
    /// Their bytes, approximately.
    pub bytes: usize,
    pub hits: u64,
    /// Cache misses, of JWTs of configured issuers.
    pub misses: u64,
}

/// The statistics of one provider.
#[derive(Clone, Debug)]
pub struct ProviderStats {
    /// The operator's name for it.
    pub name: Rc<str>,
    pub keys: KeyStats,
    /// Introspection, where it is configured.
    pub introspection: Option<IntrospectionStats>,
}

/// The statistics of a provider's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyStats {
    /// Keys, also expired ones.
    pub held: usize,
    /// The time since they were fetched; `None` for inline keys, and without keys.
    pub age: Option<Duration>,
    /// Whether keys are usable.
    pub are_usable: bool,
}

/// The statistics of a provider's introspection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IntrospectionStats {
    /// Cached active tokens.
    pub active: usize,
    /// Their bytes, approximately.
    pub bytes: usize,
    /// Tokens with a pending call.
    pub asked: usize,
    /// The permitted calls per minute: as configured, or fewer where the server says so.
    pub calls_per_minute: u32,
    /// Whether no call is made for now, because the endpoint fails or answers 429.
    pub is_paused: bool,
    pub look_ups: LookUpStats,
    /// Responses that another worker received.
    pub taken_over: u64,
}

/// The results of look-ups in the introspection cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LookUpStats {
    /// Active, within `cache_ttl`.
    pub fresh: u64,
    /// Active, past `cache_ttl`.
    pub stale: u64,
    pub refused: u64,
    pub waits: u64,
    /// Unavailable: the endpoint fails.
    pub endpoint_failing: u64,
    /// Unavailable: all calls of the minute are made.
    pub budget_spent: u64,
    /// Unavailable: too many tokens are pending.
    pub too_many_asked: u64,
}

/// The statistics of the revocation list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevocationStats {
    /// The time since its server confirmed it; `None` without a list.
    pub age: Option<Duration>,
    pub entries: usize,
}

/// What a configuration determines for its whole life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConfigurationStats {
    /// Algorithms in use that the host verifies.
    pub host_algorithms: usize,
    /// Algorithms in use that the module verifies.
    pub module_algorithms: usize,
    /// Algorithms in use that the module verifies because the host failed its self-test.
    pub fallback_algorithms: usize,
    pub insecure_settings: usize,
}

impl Stats {
    pub fn counters(&self) -> Vec<(String, u64)> {
        let cache = &self.token_cache;
        let mut counters: Vec<_> = [("hit", cache.hits), ("miss", cache.misses)]
            .map(|(result, count)| (metrics::TOKEN_CACHE_LOOK_UPS.name_with(&[result]), count))
            .into();
        for ProviderStats { name, introspection, .. } in &self.providers {
            let Some(IntrospectionStats { look_ups, taken_over, .. }) = introspection else { continue };
            counters.push((metrics::INTROSPECTION_TAKEN_OVER.name_with(&[name]), *taken_over));
            let results = [
                ("active", look_ups.fresh),
                ("stale", look_ups.stale),
                ("refused", look_ups.refused),
                ("wait", look_ups.waits),
                ("endpoint_failing", look_ups.endpoint_failing),
                ("budget_spent", look_ups.budget_spent),
                ("too_many_asked", look_ups.too_many_asked),
            ];
            counters.extend(
                results.map(|(result, count)| (metrics::INTROSPECTION_LOOK_UPS.name_with(&[result, name]), count)),
            );
        }
        counters
    }

    /// The gauges of this worker.
    pub fn gauges(&self, configuration: &ConfigurationStats) -> Gauges {
        let mut gauges = Gauges::new();
        let mut set = |metric: &Metric, labels: &[&str], value: usize| {
            gauges.insert(metric.name_with(labels), u64::try_from(value).unwrap_or(u64::MAX));
        };
        set(&metrics::WORKERS, &[], 1);
        set(&metrics::PARKED, &[], self.parked);
        set(&metrics::TOKEN_CACHE_TOKENS, &[], self.token_cache.tokens);
        set(&metrics::TOKEN_CACHE_BYTES, &[], self.token_cache.bytes);
        set(&metrics::INSECURE_SETTINGS, &[], configuration.insecure_settings);
        set(&metrics::ALGORITHMS, &["host"], configuration.host_algorithms);
        set(&metrics::ALGORITHMS, &["module"], configuration.module_algorithms);
        set(&metrics::ALGORITHMS, &["module_in_doubt"], configuration.fallback_algorithms);
        if let Some(list) = self.revocations {
            set(&metrics::REVOCATIONS, &[], list.entries);
            set(&metrics::REVOCATIONS_AGE, &[], seconds(list.age));
            set(&metrics::WORKERS_WITHOUT_REVOCATIONS, &[], usize::from(list.age.is_none()));
        }
        for ProviderStats { name, keys, introspection } in &self.providers {
            let provider: &[&str] = &[name];
            set(&metrics::KEYS, provider, keys.held);
            set(&metrics::KEYS_AGE, provider, seconds(keys.age));
            set(&metrics::WORKERS_WITHOUT_KEYS, provider, usize::from(!keys.are_usable));
            let Some(introspection) = introspection else { continue };
            set(&metrics::INTROSPECTION_ANSWERS, provider, introspection.active);
            set(&metrics::INTROSPECTION_BYTES, provider, introspection.bytes);
            set(&metrics::INTROSPECTION_ASKED, provider, introspection.asked);
            let calls_per_minute = usize::try_from(introspection.calls_per_minute).unwrap_or(usize::MAX);
            set(&metrics::INTROSPECTION_BUDGET, provider, calls_per_minute);
            set(&metrics::INTROSPECTION_PAUSED, provider, usize::from(introspection.is_paused));
        }
        gauges
    }
}

/// 0 without an age.
fn seconds(age: Option<Duration>) -> usize {
    age.and_then(|age| usize::try_from(age.as_secs()).ok()).unwrap_or(0)
}
