//! The statistics of a provider's introspection.

use crate::introspection::{Cause, Freshness, LookUp, ProviderIntrospection, Unavailable};
use crate::telemetry::stats::{IntrospectionStats, LookUpStats};
use crate::unix_time::UnixTime;

impl LookUpStats {
    /// Counts one more look-up.
    pub(super) const fn count<T>(&mut self, found: &LookUp<T>) {
        let count = match found {
            LookUp::Active(_, Freshness::Fresh) => &mut self.fresh,
            LookUp::Active(_, Freshness::Stale) => &mut self.stale,
            LookUp::Rejected(_) => &mut self.refused,
            LookUp::Pending(_) => &mut self.waits,
            LookUp::Unavailable(Unavailable { cause: Cause::EndpointFailing, .. }) => &mut self.endpoint_failing,
            LookUp::Unavailable(Unavailable { cause: Cause::RateLimited, .. }) => &mut self.budget_spent,
            LookUp::Unavailable(Unavailable { cause: Cause::QueueFull, .. }) => &mut self.too_many_asked,
        };
        *count = count.saturating_add(1);
    }
}

impl ProviderIntrospection {
    pub fn stats(&self, now: UnixTime) -> IntrospectionStats {
        IntrospectionStats {
            active: self.cache.len(),
            bytes: self.cache.held_bytes(),
            asked: self.queue.len(),
            calls_per_minute: self.limits.limit(now),
            is_paused: self.limits.is_failing(now) || !self.endpoint.pause(now).is_zero(),
            look_ups: self.look_ups,
            taken_over: self.taken_over,
        }
    }
}
