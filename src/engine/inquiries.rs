//! What others say of tokens, beside what tokens say themselves: each issuer that is asked, and the list of revoked ones.
//!
//! Nothing here lets a request pass: it says what is known, what it is waited for, or why it is refused.

use std::rc::Rc;
use std::time::Duration;

use crate::engine::deny_reason::DenyReason;
use crate::engine::figures::RevocationFigures;
use crate::engine::token_cache::Grant;
use crate::engine::{CallId, Inquiry, Outbox};
use crate::introspection::call::{Call, Standing, TokenDigest};
use crate::introspection::request::Entropy;
use crate::introspection::requester::Sender;
use crate::introspection::revocation_feed::{Judgement, RevocationFeed};
use crate::introspection::sharing::SharedResponses;
use crate::introspection::{
    AddressNeeded, Arrived, Cause, Freshness, LookUp, ProviderIntrospection, Refusal, Unavailable,
};
use crate::jitter::Jitter;
use crate::policy::{AdmittedToken, CacheLimits, ClaimFault, Policy, ProviderId};
use crate::unix_time::UnixTime;

/// So much is remembered of answers at least, whatever the operator wants remembered of verified tokens: an answer that is
/// forgotten at once reaches nobody who waits for it.
const LEAST_REMEMBERED: CacheLimits = CacheLimits { tokens: 1024, bytes: 4 * 1024 * 1024 };

/// The issuers that are asked, and the list.
#[derive(Debug)]
pub(super) struct Inquiries {
    introspections: Vec<(ProviderId, ProviderIntrospection)>,
    pub(super) revocations: Option<RevocationFeed>,
}

/// What a request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaited {
    /// The keys of a provider.
    Keys(ProviderId),
    /// A newer key set of a provider: the signature fails with the one held.
    NewerKeys(ProviderId),
    /// What a provider says of a token.
    Answer { of: ProviderId, about: TokenDigest, standing: Standing },
    /// The first list of revoked tokens.
    Revocations,
}

/// What is said of a token.
#[derive(Debug)]
pub(super) enum Said<T> {
    /// Nothing against it.
    Good(T),
    /// It does not pass.
    Refused(DenyReason),
    /// Something that is not known yet.
    Wait(Awaited),
}

/// A token as a request brings it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    pub(super) text: &'a [u8],
    /// Whether the request's rule has its issuer asked about JWTs too.
    pub(super) introspects: bool,
    /// When the request came, among its provider's calls.
    pub(super) arrived: Arrived,
    pub(super) now: UnixTime,
}

impl Inquiries {
    /// Nothing was asked yet.
    pub(super) fn new(policy: &Policy, others: &Rc<dyn SharedResponses>, seed: &Entropy, now: UnixTime) -> Self {
        let limits = CacheLimits {
            tokens: policy.cache.tokens.max(LEAST_REMEMBERED.tokens),
            bytes: policy.cache.bytes.max(LEAST_REMEMBERED.bytes),
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
    pub(super) fn about_jwt(
        &mut self,
        grant: &Grant,
        policy: &Policy,
        asked: &Question<'_>,
    ) -> Said<Option<Freshness>> {
        // First: it costs no call, and whatever the issuer says, a token on the list does not pass.
        match self.about_revocation(grant.provider, &grant.token, grant.issuer.as_ref(), policy, asked.now) {
            Said::Good(()) => {}
            Said::Refused(reason) => return Said::Refused(reason),
            Said::Wait(awaited) => return Said::Wait(awaited),
        }
        if !asked.introspects {
            return Said::Good(None);
        }
        let asked_of = (self.of_mut(grant.provider), policy.providers.get(grant.provider));
        let (Some(introspection), Some(provider)) = asked_of else {
            // The loader refuses such a rule: what cannot be asked is not known.
            return Said::Refused(DenyReason::IntrospectionUnavailable(Duration::ZERO));
        };
        match introspection.look_up_jwt(asked.text, &grant.token, provider, asked.arrived, asked.now) {
            LookUp::Active(_, freshness) => Said::Good(Some(freshness)),
            LookUp::Refused(refusal) => Said::Refused(refusal.into()),
            LookUp::Unavailable(unavailable) => Said::Refused(unavailable.into()),
            // It was proved: nobody can make up as many of those as he likes.
            LookUp::Wait(about) => Said::Wait(Awaited::Answer { of: grant.provider, about, standing: Standing::Known }),
        }
    }

    /// What is said of a token that says nothing itself.
    ///
    /// # Errors
    /// When a call would be made for it, and the host is to be asked for whom first.
    pub(super) fn about_opaque(
        &mut self,
        provider: ProviderId,
        sender: Sender,
        policy: &Policy,
        asked: &Question<'_>,
    ) -> Result<Said<(Rc<AdmittedToken>, Freshness)>, AddressNeeded> {
        let asked_of = (self.of_mut(provider), policy.providers.get(provider));
        let (Some(introspection), Some(its_provider)) = asked_of else {
            return Ok(Said::Refused(DenyReason::TokenOpaque));
        };
        Ok(match introspection.look_up_opaque_from(sender, asked.text, its_provider, asked.arrived, asked.now)? {
            LookUp::Active(token, freshness) => {
                let issuer = its_provider.issuer_of(token.claims());
                match self.about_revocation(provider, &token, issuer, policy, asked.now) {
                    Said::Good(()) => Said::Good((token, freshness)),
                    Said::Refused(reason) => Said::Refused(reason),
                    Said::Wait(awaited) => Said::Wait(awaited),
                }
            }
            LookUp::Refused(refusal) => Said::Refused(refusal.into()),
            LookUp::Unavailable(unavailable) => Said::Refused(unavailable.into()),
            LookUp::Wait(about) => {
                let standing = introspection.standing_of_opaque(&about);
                Said::Wait(Awaited::Answer { of: provider, about, standing })
            }
        })
    }

    /// No request waits any more for what that provider says of a token.
    pub(super) fn abandon(&mut self, provider: ProviderId, token: &TokenDigest) {
        self.of_mut(provider).into_iter().for_each(|introspection| introspection.abandon(token));
    }

    /// Where the issuer is not known, the entries of each issuer of the provider count.
    fn about_revocation(
        &self,
        provider: ProviderId,
        token: &AdmittedToken,
        issuer: Option<&Rc<str>>,
        policy: &Policy,
        now: UnixTime,
    ) -> Said<()> {
        let Some(feed) = &self.revocations else { return Said::Good(()) };
        let Some(its_provider) = policy.providers.get(provider) else {
            return Said::Refused(ClaimFault::IssuerUnknown.into());
        };
        let all = issuer.is_none().then(|| its_provider.issuers());
        let issuers = issuer.into_iter().chain(all.into_iter().flatten()).map(|issuer| &**issuer);
        match feed.judge(token, issuers, now) {
            Judgement::NotListed => Said::Good(()),
            Judgement::Revoked => Said::Refused(DenyReason::TokenRevoked),
            Judgement::Pending => Said::Wait(Awaited::Revocations),
            Judgement::Unavailable(wait) => Said::Refused(DenyReason::RevocationsUnavailable(wait)),
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
            Cause::BudgetSpent => Self::IntrospectionBudgetSpent(wait),
            Cause::TooManyAsked => Self::TooManyWaiting,
        }
    }
}
