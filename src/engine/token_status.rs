//! Where the status of a token comes from beside its signature: the introspection endpoint of each provider, and the
//! revocation list.

use std::rc::Rc;
use std::time::Duration;

use crate::engine::deny_reason::DenyReason;
use crate::engine::pipeline::outcome::{PendingOn, Stop, Suspension};
use crate::engine::token_cache::AuthenticatedToken;
use crate::introspection::call::TokenDigest;
use crate::introspection::sharing::SharedResponses;
use crate::introspection::{
    AddressNeeded, Arrived, Begun, Cause, Freshness, LookUp, ProviderIntrospection, Rejection, Unavailable,
};
use crate::lookup::requester::BudgetClass;
use crate::lookup::requester::Sender;
use crate::policy::{Attribute, CacheLimits, ClaimFault, Policy, Provider, ProviderId, ValidatedToken};
use crate::randomness::{Entropy, Jitter};
use crate::revocation::feed::{ListStatus, RevocationFeed};
use crate::telemetry::stats::RevocationStats;
use crate::unix_time::UnixTime;

/// The smallest cache of introspection responses: one that is evicted at once reaches none of the requests that are pending
/// on it.
const MIN_RESPONSE_CACHE: CacheLimits = CacheLimits { tokens: 1024, bytes: 4 * 1024 * 1024 };

/// The introspection of each provider, and the revocation list.
#[derive(Debug)]
pub(super) struct StatusSources {
    introspections: Vec<(ProviderId, ProviderIntrospection)>,
    pub(super) revocations: Option<RevocationFeed>,
}

impl StatusSources {
    /// No response is cached.
    pub(super) fn new(policy: &Policy, others: &Rc<dyn SharedResponses>, seed: &Entropy, now: UnixTime) -> Self {
        let limits = CacheLimits {
            tokens: policy.cache.tokens.max(MIN_RESPONSE_CACHE.tokens),
            bytes: policy.cache.bytes.max(MIN_RESPONSE_CACHE.bytes),
        };
        let introspection = |settings| ProviderIntrospection::new(settings, limits, Rc::clone(others)).with_seed(seed);
        let introspections = policy
            .providers
            .iter()
            .filter_map(|(id, provider)| Some((id, introspection(provider.introspection.clone()?))))
            .collect();
        let revocations = policy.revocations.clone().map(|source| RevocationFeed::new(source, now));
        Self { introspections, revocations }
    }

    pub(super) fn of(&self, provider: ProviderId) -> Option<&ProviderIntrospection> {
        self.introspections.iter().find(|(id, _)| *id == provider).map(|(_, introspection)| introspection)
    }

    pub(super) fn of_mut(&mut self, provider: ProviderId) -> Option<&mut ProviderIntrospection> {
        self.introspections.iter_mut().find(|(id, _)| *id == provider).map(|(_, introspection)| introspection)
    }

    /// The arrival of a request now, among the provider's introspection calls.
    pub(super) fn arrived(&self, provider: ProviderId) -> Arrived {
        self.of(provider).map(ProviderIntrospection::arrived).unwrap_or_default()
    }

    /// How long a request may be pending on introspection by this provider.
    pub(super) fn longest_wait(&self, provider: ProviderId) -> Duration {
        self.of(provider).map_or(Duration::ZERO, ProviderIntrospection::longest_wait)
    }

    /// How fresh the introspection response is that calls this JWT active.
    pub(super) fn introspect_jwt(
        &mut self,
        token: &AuthenticatedToken,
        policy: &Policy,
        text: &[u8],
        arrived: Arrived,
        now: UnixTime,
    ) -> Result<Freshness, Stop<'static>> {
        let (Some(introspection), Some(provider)) = (self.of_mut(token.provider), policy.providers.get(token.provider))
        else {
            // The configuration loader refuses such a rule.
            return Err(DenyReason::IntrospectionUnavailable(Duration::ZERO).into());
        };
        match introspection.look_up_jwt(text, &token.token, provider, arrived, now) {
            LookUp::Active(_, freshness) => Ok(freshness),
            LookUp::Rejected(refusal) => Err(refusal.into()),
            LookUp::Unavailable(unavailable) => Err(unavailable.into()),
            // Only the issuer can make tokens whose signature verifies: they are not limited like unknown ones.
            LookUp::Pending(about) => {
                let pending_on =
                    PendingOn::Introspection { of: token.provider, about, class: BudgetClass::Established };
                Err(pending_on.into())
            }
        }
    }

    /// The claims of the introspection response that calls this opaque token active, and how fresh it is.
    pub(super) fn introspect_opaque(
        &mut self,
        (id, provider): (ProviderId, &Provider),
        sender: Sender,
        text: &[u8],
        arrived: Arrived,
        now: UnixTime,
    ) -> Result<(Rc<ValidatedToken>, Freshness), Stop<'static>> {
        let introspection = self.of_mut(id).ok_or(DenyReason::TokenOpaque)?;
        match introspection.look_up_opaque_from(sender, text, provider, arrived, now) {
            Err(AddressNeeded) => {
                Err(Stop::Suspended(Suspension::NeedAttributes(Rc::from([Attribute::SourceAddress]))))
            }
            Ok(LookUp::Active(token, freshness)) => Ok((token, freshness)),
            Ok(LookUp::Rejected(refusal)) => Err(refusal.into()),
            Ok(LookUp::Unavailable(unavailable)) => Err(unavailable.into()),
            Ok(LookUp::Pending(about)) => {
                let class = introspection.class_of_opaque(&about);
                Err(PendingOn::Introspection { of: id, about, class }.into())
            }
        }
    }

    /// No request is pending on this introspection any more.
    pub(super) fn abandon(&mut self, provider: ProviderId, token: &TokenDigest) {
        self.of_mut(provider).into_iter().for_each(|introspection| introspection.abandon(token));
    }

    /// Where the token names no issuer, the entries of each issuer of its provider count.
    pub(super) fn check_revocation_list(
        &self,
        token: &AuthenticatedToken,
        policy: &Policy,
        now: UnixTime,
    ) -> Result<(), Stop<'static>> {
        let Some(feed) = &self.revocations else { return Ok(()) };
        let provider = policy.providers.get(token.provider).ok_or(ClaimFault::IssuerUnknown)?;
        let issuer = token.issuer.as_ref();
        let all = issuer.is_none().then(|| provider.issuers());
        let issuers = issuer.into_iter().chain(all.into_iter().flatten()).map(|issuer| &**issuer);
        match feed.status_of(&token.token, issuers, now) {
            ListStatus::NotListed => Ok(()),
            ListStatus::Revoked => Err(DenyReason::TokenRevoked.into()),
            ListStatus::Pending => Err(PendingOn::Revocations.into()),
            ListStatus::Unavailable(wait) => Err(DenyReason::RevocationsUnavailable(wait).into()),
        }
    }

    /// Begins the calls that are due.
    pub(super) fn begin_calls(&mut self, jitter: Jitter, now: UnixTime) -> Vec<(ProviderId, Begun)> {
        let all = self.introspections.iter_mut();
        all.map(|(provider, introspection)| (*provider, introspection.begin_calls(jitter, now))).collect()
    }

    /// The statistics of the revocation list, where one is configured.
    pub(super) fn revocation_stats(&self, now: UnixTime) -> Option<RevocationStats> {
        self.revocations.as_ref().map(|feed| RevocationStats { age: feed.age(now), entries: feed.entries() })
    }

    /// Whether a list was read, if one is configured.
    pub(super) fn has_list(&self) -> bool {
        self.revocations.as_ref().is_none_or(RevocationFeed::has_list)
    }

    /// How long a request may be pending on the first list.
    pub(super) fn longest_wait_for_list(&self) -> Duration {
        let feed = self.revocations.as_ref().filter(|feed| !feed.has_list());
        feed.map_or(Duration::ZERO, RevocationFeed::longest_wait)
    }

    /// When the next call or poll is due.
    pub(super) fn next_due(&self, now: UnixTime) -> Option<UnixTime> {
        let calls = self.introspections.iter().filter_map(|(_, introspection)| introspection.next_due(now));
        calls.chain(self.revocations.as_ref().map(RevocationFeed::next_due)).min()
    }
}

impl From<Rejection> for DenyReason {
    fn from(refusal: Rejection) -> Self {
        match refusal {
            Rejection::Inactive => Self::TokenInactive,
            Rejection::Claim(fault) => Self::Claim(fault),
            Rejection::OtherToken => Self::IntrospectionMismatch,
        }
    }
}

impl From<Unavailable> for DenyReason {
    fn from(Unavailable { cause, wait }: Unavailable) -> Self {
        match cause {
            Cause::EndpointFailing => Self::IntrospectionUnavailable(wait),
            Cause::RateLimited => Self::IntrospectionRateLimited(wait),
            Cause::QueueFull => Self::TooManyPending,
        }
    }
}
