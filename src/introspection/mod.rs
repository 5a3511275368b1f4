//! What one provider's introspection endpoint says of tokens (RFC 7662), and when to ask.
//!
//! A state machine without a clock, a socket or a callback, in the manner of `keys`: it is asked about tokens
//! ([`ProviderIntrospection::look_up_opaque`], [`ProviderIntrospection::look_up_jwt`]), asked which calls are due
//! ([`ProviderIntrospection::begin_calls`]), told how they ended ([`ProviderIntrospection::finish_call`]) and what other
//! VMs of the process learned ([`ProviderIntrospection::adopt`]). The engine is to own one for each provider that has an
//! endpoint. The host carries calls out: lease and answer of the other VMs ([`sharing`]), the budget of all of them
//! ([`budget`]), then the request ([`ProviderIntrospection::request`]).
//!
//! The rules: one call a token at a time, however many requests wait; an answer serves no longer than `cache_ttl` and
//! its token's `exp`; a call that fails changes nothing but the time of the next, and where the operator says so the last
//! active answer goes on serving; an answer that is not active ends that at once; nobody can make us ask more often than
//! the budget allows, nor keep it from those who were active before.

mod cache;
pub mod call;
mod completion;
pub mod consistency;
mod endpoint;
pub mod figures;
#[cfg(test)]
pub(crate) mod fixture;
mod lookup;
pub mod request;
mod response;
pub mod sharing;

use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use crate::lookup::call_limits::CallLimits;
use crate::lookup::order::CallOrder;
use crate::lookup::rate_limiter::RateLimiter;
use crate::lookup::single_flight::SingleFlight;
use crate::policy::{CacheLimits, ClaimFault, Introspection};
use crate::unix_time::UnixTime;

use cache::ResponseCache;
use call::{Call, CallResult, Subject, TokenDigest};
use endpoint::Endpoint;
use figures::LookUps;
use request::Entropy;
use sharing::{RecordNames, SharedResponse, SharedResponses};

pub use crate::lookup::order::Arrived;

/// A token whose call failed is not asked about again for so long.
const RETRY: Duration = Duration::from_secs(1);

/// What is known of a provider's tokens over time.
#[derive(Debug)]
pub struct ProviderIntrospection {
    settings: Introspection,
    record_name: String,
    budget: RateLimiter,
    cache: ResponseCache,
    order: CallOrder,
    queue: SingleFlight<Subject>,
    limits: CallLimits,
    endpoint: Endpoint,
    others: Rc<dyn SharedResponses>,
    look_ups: LookUps,
    taken_over: u64,
}

/// What is known of a token.
#[derive(Clone, Debug)]
pub enum LookUp<T> {
    /// It is active.
    Active(T, Freshness),
    /// It is not, or not to be used here.
    Refused(Refusal),
    /// A call that will tell is under way or comes soon: whoever waits for it is told by this.
    Wait(TokenDigest),
    /// It cannot be known now.
    Unavailable(Unavailable),
}

/// Why nothing can be known of a token now, and after how long that may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Unavailable {
    /// Why.
    pub cause: Cause,
    /// How long.
    pub wait: Duration,
}

/// What stands in the way of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The endpoint failed, or does not want to be asked.
    EndpointFailing,
    /// All calls of this minute were made, or this client has had its share.
    BudgetSpent,
    /// Too many tokens wait for their calls.
    TooManyAsked,
}

/// How good an active answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Within `cache_ttl`.
    Fresh,
    /// Past it, by `stale_if_error`, because no other is to be had.
    Stale,
}

/// Why a token does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Its issuer says that it is not active: expired, revoked, or never issued.
    Inactive,
    /// It is active, and not what is wanted here.
    Claim(ClaimFault),
    /// What is active is another token than the one that was asked about.
    AnotherToken,
}

/// A call for an unknown token would be made, and it is not known for whom: the host is to be asked for the client's
/// address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressNeeded;

/// Calls to make, and who need not wait for one.
#[derive(Debug, Default)]
pub struct Begun {
    /// For the host.
    pub calls: Vec<Call>,
    /// Whoever waits for these tokens is to look again.
    pub recall: Vec<TokenDigest>,
}

/// What the end of a call leads to.
#[derive(Debug)]
pub struct CallEnd {
    /// What changed.
    pub result: CallResult,
    /// Whoever waits for these tokens is to look again.
    pub recall: Vec<TokenDigest>,
    /// What the other VMs of the process should know.
    pub share: Option<SharedResponse>,
    /// Until when none of them is to call: for [`RateLimiter::block`].
    pub block: Option<UnixTime>,
    /// The server's own limit, when the others are to be told: for [`RateLimiter::lower`].
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
    /// Knows nothing yet but what `others` were told. `limits` are those of the active tokens that are remembered.
    pub fn new(settings: Introspection, limits: CacheLimits, others: Rc<dyn SharedResponses>) -> Self {
        let budget = RateLimiter::new(settings.requests_per_minute);
        Self {
            record_name: sharing::record_name(&settings),
            budget,
            cache: ResponseCache::new(limits),
            order: CallOrder::new(),
            queue: SingleFlight::default(),
            limits: CallLimits::new(budget, UnixTime::from_millis(0)),
            endpoint: Endpoint::new(&settings.address),
            others,
            look_ups: LookUps::default(),
            taken_over: 0,
            settings,
        }
    }

    /// The same with randomness, so that nobody can choose with whom to share a count of calls.
    #[must_use]
    pub fn with_seed(mut self, seed: &Entropy) -> Self {
        let seed = seed.0.first_chunk().copied().unwrap_or_default();
        self.budget = self.budget.with_seed(seed);
        self.limits = CallLimits::new(self.budget, UnixTime::from_millis(0));
        self
    }

    /// What a request notes that comes now, for its look-ups.
    pub const fn arrived(&self) -> Arrived {
        self.order.arrived()
    }

    /// How long a request may wait for a call.
    pub const fn longest_wait(&self) -> Duration {
        self.settings.timeout
    }

    /// Where the VMs of the process keep what they share of this token.
    pub fn record_names(&self, token: &TokenDigest) -> RecordNames {
        RecordNames::of(&self.record_name, token)
    }

    /// The name of the record that the budget of all VMs stands in.
    pub fn budget_record(&self) -> String {
        format!("{}/budget", self.record_name)
    }

    /// What takes a call out of that record.
    pub const fn budget(&self) -> RateLimiter {
        self.budget
    }
}

impl CallEnd {
    const fn late() -> Self {
        Self { result: CallResult::Late, recall: Vec::new(), share: None, block: None, ceiling: None }
    }
}

#[cfg(test)]
mod tests;
