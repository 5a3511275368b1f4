//! Token introspection (RFC 7662) at one provider's endpoint: what is known of tokens, and when a call is made.
//!
//! A state machine without a clock, a socket or a callback, in the manner of `keys`. It is asked about tokens
//! ([`ProviderIntrospection::look_up_opaque`], [`ProviderIntrospection::look_up_jwt`]) and which calls are due
//! ([`ProviderIntrospection::begin_calls`]); it takes how they ended ([`ProviderIntrospection::finish_call`]) and what other
//! workers share ([`ProviderIntrospection::adopt`]). The engine has one for each provider with an endpoint. The host makes
//! the calls: it acquires the lease and reads what other workers share ([`sharing`]), counts the call in the shared rate
//! limit ([`RateLimiter`]), then sends the request ([`ProviderIntrospection::request`]).
//!
//! The rules: one call a token at a time, however many requests wait. A response serves no longer than `cache_ttl` and its
//! token's `exp`. A failed call changes nothing but the time of the next; with `stale_if_error` the last active response
//! still serves. A response that is not active ends that at once. Nobody can cause more calls than the rate limit, nor use
//! up the part that is reserved for tokens that were active before.

mod cache;
pub mod call;
mod completion;
pub mod consistency;
mod endpoint;
#[cfg(test)]
pub(crate) mod fixture;
mod lookup;
pub mod request;
mod response;
pub mod sharing;
mod stats;

use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use crate::lookup::call_limits::CallLimits;
use crate::lookup::order::CallOrder;
use crate::lookup::rate_limiter::RateLimiter;
use crate::lookup::single_flight::SingleFlight;
use crate::policy::{CacheLimits, ClaimFault, Introspection};
use crate::randomness::Entropy;
use crate::telemetry::stats::LookUpStats;
use crate::unix_time::UnixTime;

use cache::ResponseCache;
use call::{Call, CallResult, Subject, TokenDigest};
use endpoint::Endpoint;
use sharing::{RecordNames, SharedResponse, SharedResponses};

pub use crate::lookup::order::Arrived;

/// After a failed call none is made about the same token for so long.
const RETRY: Duration = Duration::from_secs(1);

/// The introspection of one provider's tokens over time.
#[derive(Debug)]
pub struct ProviderIntrospection {
    settings: Introspection,
    record_name: String,
    rate_limiter: RateLimiter,
    cache: ResponseCache,
    order: CallOrder,
    queue: SingleFlight<Subject>,
    limits: CallLimits,
    endpoint: Endpoint,
    others: Rc<dyn SharedResponses>,
    look_ups: LookUpStats,
    taken_over: u64,
}

/// What is known of a token.
#[derive(Clone, Debug)]
pub enum LookUp<T> {
    /// It is active.
    Active(T, Freshness),
    /// It is not, or not valid here.
    Rejected(Rejection),
    /// A call is under way or comes soon; its end resumes the requests that wait for this token.
    Pending(TokenDigest),
    /// It cannot be known now.
    Unavailable(Unavailable),
}

/// Why the status of a token cannot be known now, and after how long that may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Unavailable {
    pub cause: Cause,
    pub wait: Duration,
}

/// What stands in the way of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The endpoint failed, or asked for a pause.
    EndpointFailing,
    /// All calls of this minute were made, or this client has had its share.
    RateLimited,
    /// Too many tokens wait for their calls.
    QueueFull,
}

/// How fresh an active response is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Within `cache_ttl`.
    Fresh,
    /// Past it, by `stale_if_error`, because there is no newer one.
    Stale,
}

/// Why a token is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// Its issuer says that it is not active: expired, revoked, or never issued.
    Inactive,
    /// It is active, and a claim is not valid here.
    Claim(ClaimFault),
    /// The response is about another token.
    OtherToken,
}

/// A call is needed for an unknown token, and the client's address was not requested from the host yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressNeeded;

/// Calls to make, and tokens for which none is made.
#[derive(Debug, Default)]
pub struct Begun {
    /// For the host.
    pub calls: Vec<Call>,
    /// Requests that wait for these tokens are to look again.
    pub resume: Vec<TokenDigest>,
}

/// What the end of a call leads to.
#[derive(Debug)]
pub struct CallEnd {
    pub result: CallResult,
    /// Requests that wait for these tokens are to look again.
    pub resume: Vec<TokenDigest>,
    /// What to share with the other workers.
    pub share: Option<SharedResponse>,
    /// Until when no worker is to call: for [`RateLimiter::block`].
    pub block: Option<UnixTime>,
    /// The server's own limit, when it is to be shared: for [`RateLimiter::lower`].
    pub ceiling: Option<NonZeroU32>,
}

/// Why there is no request to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRequest {
    /// The call has ended already.
    Ended,
    /// The host did not sign: the call is to be finished with [`call::CallFault::NotSigned`].
    NotSigned,
}

impl ProviderIntrospection {
    /// Nothing is cached yet; `others` holds what other workers share. `limits` bound the cache of active responses.
    pub fn new(settings: Introspection, limits: CacheLimits, others: Rc<dyn SharedResponses>) -> Self {
        let rate_limiter = RateLimiter::new(settings.requests_per_minute);
        Self {
            record_name: sharing::record_name(&settings),
            rate_limiter,
            cache: ResponseCache::new(limits),
            order: CallOrder::new(),
            queue: SingleFlight::default(),
            limits: CallLimits::new(rate_limiter, UnixTime::from_millis(0)),
            endpoint: Endpoint::new(&settings.address),
            others,
            look_ups: LookUpStats::default(),
            taken_over: 0,
            settings,
        }
    }

    /// The same with randomness, so that nobody can choose with whom to share a count of calls.
    #[must_use]
    pub fn with_seed(mut self, seed: &Entropy) -> Self {
        let seed = seed.0.first_chunk().copied().unwrap_or_default();
        self.rate_limiter = self.rate_limiter.with_seed(seed);
        self.limits = CallLimits::new(self.rate_limiter, UnixTime::from_millis(0));
        self
    }

    /// When a request arrives that comes now, for its lookups.
    pub const fn arrived(&self) -> Arrived {
        self.order.arrived()
    }

    /// How long a request may wait for a call.
    pub const fn longest_wait(&self) -> Duration {
        self.settings.timeout
    }

    /// The names of the records in which workers share responses about this token.
    pub fn record_names(&self, token: &TokenDigest) -> RecordNames {
        RecordNames::of(&self.record_name, token)
    }

    /// The name of the record with the ledger of all workers' calls.
    pub fn ledger_name(&self) -> String {
        format!("{}/budget", self.record_name)
    }

    /// The limiter of that record.
    pub const fn rate_limiter(&self) -> RateLimiter {
        self.rate_limiter
    }
}

impl<T> LookUp<T> {
    fn and_then<U>(self, then: impl FnOnce(T, Freshness) -> LookUp<U>) -> LookUp<U> {
        match self {
            Self::Active(active, freshness) => then(active, freshness),
            Self::Rejected(rejection) => LookUp::Rejected(rejection),
            Self::Pending(token) => LookUp::Pending(token),
            Self::Unavailable(unavailable) => LookUp::Unavailable(unavailable),
        }
    }
}

const fn unavailable<T>(cause: Cause, wait: Duration) -> LookUp<T> {
    LookUp::Unavailable(Unavailable { cause, wait })
}

impl CallEnd {
    /// One with nothing to share.
    const fn of(result: CallResult, resume: Vec<TokenDigest>) -> Self {
        Self { result, resume, share: None, block: None, ceiling: None }
    }
}

#[cfg(test)]
mod tests;
