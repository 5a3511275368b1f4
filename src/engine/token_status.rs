//! What others say of tokens, beside what tokens say themselves: each issuer that is asked, and the list of revoked ones.
//!
//! Nothing here lets a request pass: it says what is known, what it is waited for, or why it is refused.

use std::rc::Rc;
use std::time::Duration;

use crate::engine::deny_reason::DenyReason;
use crate::engine::figures::RevocationFigures;
use crate::engine::token_cache::AuthenticatedToken;
use crate::engine::{CallId, Inquiry, Outbox};
use crate::introspection::call::{Call, Standing, TokenDigest};
use crate::introspection::request::Entropy;
use crate::introspection::requester::Sender;
use crate::introspection::revocation_feed::{Judgement, RevocationFeed};
use crate::introspection::sharing::SharedAnswers;
use crate::introspection::{
    AddressNeeded, Arrived, Cause, Freshness, LookUp, ProviderIntrospection, Refusal, Unavailable,
};
use crate::jitter::Jitter;
use crate::policy::{CacheLimits, ClaimFault, Policy, ProviderId, ValidatedToken};
use crate::unix_time::UnixTime;

/// So much is remembered of answers at least, whatever the operator wants remembered of verified tokens: an answer that is
/// forgotten at once reaches nobody who waits for it.
const MIN_RESPONSE_CACHE: CacheLimits = CacheLimits { tokens: 1024, bytes: 4 * 1024 * 1024 };

/// The issuers that are asked, and the list.
#[derive(Debug)]
pub(super) struct StatusSources {
    introspections: Vec<(ProviderId, ProviderIntrospection)>,
    pub(super) revocations: Option<RevocationFeed>,
}

/// What a request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PendingOn {
    /// The keys of a provider.
    Keys(ProviderId),
    /// A newer key set of a provider: the signature fails with the one held.
    NewerKeys(ProviderId),
    /// What a provider says of a token.
    Introspection { of: ProviderId, about: TokenDigest, standing: Standing },
    /// The first list of revoked tokens.
    Revocations,
}

/// What is said of a token.
#[derive(Debug)]
pub(super) enum TokenStatus<T> {
    /// Nothing against it.
    Valid(T),
    /// It does not pass.
    Denied(DenyReason),
    /// Something that is not known yet.
    Pending(PendingOn),
}

/// A token as a request brings it.
#[derive(Clone, Copy, Debug)]
pub(super) struct StatusQuery<'a> {
    pub(super) text: &'a [u8],
    /// Whether the request's rule has its issuer asked about JWTs too.
    pub(super) introspects: bool,
    /// When the request came, among its provider's calls.
    pub(super) arrived: Arrived,
    pub(super) now: UnixTime,
}

impl StatusSources {
    /// Nothing was asked yet.
    pub(super) fn new(policy: &Policy, others: &Rc<dyn SharedAnswers>, seed: &Entropy, now: UnixTime) -> Self {
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

    /// What a request notes that comes now with a token of this provider.
    pub(super) fn arrived(&self, provider: ProviderId) -> Arrived {
        self.of(provider).map(ProviderIntrospection::arrived).unwrap_or_default()
    }

    /// How long a request may wait for what this provider says.
    pub(super) fn longest_wait(&self, provider: ProviderId) -> Duration {
        self.of(provider).map_or(Duration::ZERO, ProviderIntrospection::longest_wait)
    }

    /// What is said of a JWT that was proved, and how good that is where its issuer was asked.
    pub(super) fn jwt_status(
        &mut self,
        grant: &AuthenticatedToken,
        policy: &Policy,
        asked: &StatusQuery<'_>,
    ) -> TokenStatus<Option<Freshness>> {
        // First: it costs no call, and whatever the issuer says, a token on the list does not pass.
        match self.revocation_status(grant.provider, &grant.token, grant.issuer.as_ref(), policy, asked.now) {
            TokenStatus::Valid(()) => {}
            TokenStatus::Denied(reason) => return TokenStatus::Denied(reason),
            TokenStatus::Pending(awaited) => return TokenStatus::Pending(awaited),
        }
        if !asked.introspects {
            return TokenStatus::Valid(None);
        }
        let asked_of = (self.of_mut(grant.provider), policy.providers.get(grant.provider));
        let (Some(introspection), Some(provider)) = asked_of else {
            // The loader refuses such a rule: what cannot be asked is not known.
            return TokenStatus::Denied(DenyReason::IntrospectionUnavailable(Duration::ZERO));
        };
        match introspection.look_up_jwt(asked.text, &grant.token, provider, asked.arrived, asked.now) {
            LookUp::Active(_, freshness) => TokenStatus::Valid(Some(freshness)),
            LookUp::Refused(refusal) => TokenStatus::Denied(refusal.into()),
            LookUp::Unavailable(unavailable) => TokenStatus::Denied(unavailable.into()),
            // It was proved: nobody can make up as many of those as he likes.
            LookUp::Wait(about) => {
                TokenStatus::Pending(PendingOn::Introspection { of: grant.provider, about, standing: Standing::Known })
            }
        }
    }

    /// What is said of a token that says nothing itself.
    ///
    /// # Errors
    /// When a call would be made for it, and the host is to be asked for whom first.
    pub(super) fn opaque_status(
        &mut self,
        provider: ProviderId,
        sender: Sender,
        policy: &Policy,
        asked: &StatusQuery<'_>,
    ) -> Result<TokenStatus<(Rc<ValidatedToken>, Freshness)>, AddressNeeded> {
        let asked_of = (self.of_mut(provider), policy.providers.get(provider));
        let (Some(introspection), Some(its_provider)) = asked_of else {
            return Ok(TokenStatus::Denied(DenyReason::TokenOpaque));
        };
        Ok(match introspection.look_up_opaque_from(sender, asked.text, its_provider, asked.arrived, asked.now)? {
            LookUp::Active(token, freshness) => {
                let issuer = its_provider.issuer_of(token.claims());
                match self.revocation_status(provider, &token, issuer, policy, asked.now) {
                    TokenStatus::Valid(()) => TokenStatus::Valid((token, freshness)),
                    TokenStatus::Denied(reason) => TokenStatus::Denied(reason),
                    TokenStatus::Pending(awaited) => TokenStatus::Pending(awaited),
                }
            }
            LookUp::Refused(refusal) => TokenStatus::Denied(refusal.into()),
            LookUp::Unavailable(unavailable) => TokenStatus::Denied(unavailable.into()),
            LookUp::Wait(about) => {
                let standing = introspection.standing_of_opaque(&about);
                TokenStatus::Pending(PendingOn::Introspection { of: provider, about, standing })
            }
        })
    }

    /// No request waits any more for what that provider says of a token.
    pub(super) fn abandon(&mut self, provider: ProviderId, token: &TokenDigest) {
        self.of_mut(provider).into_iter().for_each(|introspection| introspection.abandon(token));
    }

    /// Where the issuer is not known, the entries of each issuer of the provider count.
    fn revocation_status(
        &self,
        provider: ProviderId,
        token: &ValidatedToken,
        issuer: Option<&Rc<str>>,
        policy: &Policy,
        now: UnixTime,
    ) -> TokenStatus<()> {
        let Some(feed) = &self.revocations else { return TokenStatus::Valid(()) };
        let Some(its_provider) = policy.providers.get(provider) else {
            return TokenStatus::Denied(ClaimFault::IssuerUnknown.into());
        };
        let all = issuer.is_none().then(|| its_provider.issuers());
        let issuers = issuer.into_iter().chain(all.into_iter().flatten()).map(|issuer| &**issuer);
        match feed.judge(token, issuers, now) {
            Judgement::NotListed => TokenStatus::Valid(()),
            Judgement::Revoked => TokenStatus::Denied(DenyReason::TokenRevoked),
            Judgement::Pending => TokenStatus::Pending(PendingOn::Revocations),
            Judgement::Unavailable(wait) => TokenStatus::Denied(DenyReason::RevocationsUnavailable(wait)),
        }
    }

    /// The calls and the poll that are due. Whoever waits for these is to look again.
    pub(super) fn begin(
        &mut self,
        jitter: Jitter,
        now: UnixTime,
        outbox: &mut Outbox,
    ) -> Vec<(ProviderId, TokenDigest)> {
        let mut recall = Vec::new();
        for (provider, introspection) in &mut self.introspections {
            let begun = introspection.begin_calls(jitter, now);
            let of_provider = |call: Call| Inquiry {
                id: CallId { provider: *provider, number: call.number },
                purpose: call.purpose,
                timeout: call.timeout,
            };
            outbox.calls.extend(begun.calls.into_iter().map(of_provider));
            recall.extend(begun.recall.into_iter().map(|token| (*provider, token)));
        }
        outbox.poll = self.revocations.as_mut().and_then(|feed| feed.begin_poll(jitter, now));
        recall
    }

    /// The list in numbers, where there is to be one.
    pub(super) fn revocation_figures(&self, now: UnixTime) -> Option<RevocationFigures> {
        self.revocations.as_ref().map(|feed| RevocationFigures { age: feed.age(now), entries: feed.entries() })
    }

    /// Whether there is a list, where there is to be one.
    pub(super) fn has_list(&self) -> bool {
        self.revocations.as_ref().is_none_or(RevocationFeed::has_list)
    }

    /// How long a request may wait for the first list.
    pub(super) fn longest_wait_for_list(&self) -> Duration {
        let feed = self.revocations.as_ref().filter(|feed| !feed.has_list());
        feed.map_or(Duration::ZERO, RevocationFeed::longest_wait)
    }

    /// When something is to be done without being asked.
    pub(super) fn next_due(&self, now: UnixTime) -> Option<UnixTime> {
        let calls = self.introspections.iter().filter_map(|(_, introspection)| introspection.next_due(now));
        calls.chain(self.revocations.as_ref().map(RevocationFeed::next_due)).min()
    }
}

impl From<Refusal> for DenyReason {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Inactive => Self::TokenInactive,
            Refusal::Claim(fault) => Self::Claim(fault),
            Refusal::AnotherToken => Self::IntrospectionMismatch,
        }
    }
}

impl From<Unavailable> for DenyReason {
    fn from(Unavailable { cause, wait }: Unavailable) -> Self {
        match cause {
            Cause::EndpointFailing => Self::IntrospectionUnavailable(wait),
            Cause::BudgetSpent => Self::IntrospectionRateLimited(wait),
            Cause::TooManyAsked => Self::TooManyPending,
        }
    }
}
