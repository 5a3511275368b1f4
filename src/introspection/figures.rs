//! How much is asked and remembered of a provider's tokens, in numbers, for the operator's metrics.

use crate::introspection::{Cause, Freshness, LookUp, ProviderIntrospection, Unavailable};
use crate::unix_time::UnixTime;

/// One provider's numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Active tokens that are remembered.
    pub active: usize,
    /// The bytes they take, about.
    pub bytes: usize,
    /// Tokens that wait for their call or are asked about.
    pub asked: usize,
    /// The calls that may be made in a minute: as configured, or fewer where the server says so.
    pub calls_per_minute: u32,
    /// Whether no call is made for a while, because the endpoint fails or wants to be left alone.
    pub is_paused: bool,
    /// What the look-ups led to.
    pub look_ups: LookUps,
    /// Responses of other workers, which spared calls.
    pub taken_over: u64,
}

/// How often a look-up led to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LookUps {
    /// Active, by an answer within `cache_ttl`.
    pub fresh: u64,
    /// Active, by one past it.
    pub stale: u64,
    /// Refused.
    pub refused: u64,
    /// To be asked.
    pub waits: u64,
    /// Unknown: the endpoint fails.
    pub endpoint_failing: u64,
    /// Unknown: all calls of the minute were made.
    pub budget_spent: u64,
    /// Unknown: too many tokens wait for their calls.
    pub too_many_asked: u64,
}

impl LookUps {
    /// Counts one more.
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
    /// The numbers as they are `now`.
    pub fn figures(&self, now: UnixTime) -> Figures {
        Figures {
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
