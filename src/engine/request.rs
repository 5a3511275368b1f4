//! One request's states; each consumes itself, so a request is decided once and in one place.
//!
//! [`find_credential`] takes the credential out of a head; a token that was judged before is decided with what it
//! granted then, any other one becomes a [`NamedToken`] (its provider is known, nothing is proved) or is refused;
//! [`NamedToken::decide`] proves and judges it, or says what it must wait for and gives it back. An opaque token is proved by
//! its issuer's answer; a JWT by its signature, and where the rule says so its issuer is asked about it besides.

use std::borrow::Cow;
use std::rc::Rc;

use crate::engine::audit::{Evidence, Proof};
use crate::engine::decision::Decision;
use crate::engine::deny_reason::DenyReason;
use crate::engine::inquiries::{Awaited, Inquiries, Question, Said};
use crate::engine::request_facts::RequestFacts;
use crate::engine::token_cache::{Grant, TokenCache};
use crate::http::{HeaderEdit, RequestHead};
use crate::introspection::requester::Sender;
use crate::introspection::{AddressNeeded, Arrived, Freshness};
use crate::jose::{Claim, SignatureVerifier, TokenFault, UnverifiedToken};
use crate::keys::{LookUp, ProviderKeys};
use crate::memory;
use crate::policy::token_source::Credential;
use crate::policy::{
    Access, AdmittedToken, Attribute, AttributeValues, ClaimFault, KeyOrigin, Policy, Provider, ProviderId, RuleId,
    SelectedProvider,
};
use crate::redacted::Redacted;
use crate::unix_time::UnixTime;

/// A request with a token that names one of our providers.
#[derive(Debug)]
pub(super) struct NamedToken<'a> {
    facts: RequestFacts<'a>,
    token: Named,
    provider: ProviderId,
}

/// A token of which nothing is proved.
#[derive(Debug)]
enum Named {
    /// It names its issuer itself.
    Jwt(UnverifiedToken),
    /// It says nothing; whose it is was configured.
    Opaque(Redacted<Rc<[u8]>>),
}

impl Named {
    fn text(&self) -> &[u8] {
        match self {
            Self::Jwt(token) => token.text().reveal(),
            Self::Opaque(text) => text.reveal(),
        }
    }
}

/// How far a request got.
#[derive(Debug)]
pub(super) enum Progress<'a> {
    Decided(Decision),
    Waiting(NamedToken<'a>, Awaited),
    /// The host is to be asked for the client's address.
    AddressNeeded(NamedToken<'a>),
}

/// What may come of a request at the first look, instead of a credential.
#[derive(Debug)]
pub(super) enum Early {
    Decided(Box<Decision>),
    /// Its rule wants to know these of the host first.
    Asks(Rc<[Attribute]>),
}

impl From<Box<Decision>> for Early {
    fn from(decision: Box<Decision>) -> Self {
        Self::Decided(decision)
    }
}

impl From<Decision> for Early {
    fn from(decision: Decision) -> Self {
        Self::Decided(Box::new(decision))
    }
}

/// A request with a credential that could be a JWT; nothing of it was looked at.
#[derive(Debug)]
pub(super) struct Presented<'a> {
    facts: RequestFacts<'a>,
    text: Redacted<Cow<'a, [u8]>>,
}

/// Finds the rule of a request, its credential, and what is to be taken out of its head; or decides at once, when the
/// token does not matter or there is none.
pub(super) fn find_credential<'a>(
    head: &'a RequestHead,
    attributes: Option<AttributeValues>,
    sender: Sender,
    policy: &Policy,
    now: UnixTime,
) -> Result<Presented<'a>, Early> {
    let is_answered = attributes.is_some();
    let mut facts = RequestFacts {
        head: Cow::Borrowed(head),
        came_at: now,
        arrived: None,
        arrived_for_answer: None,
        attributes: attributes.unwrap_or_default(),
        rule: RuleId::Otherwise,
        stripping: Vec::new(),
        source: None,
        sender,
        issuer: None,
    };
    match policy.rules.find(head) {
        Ok(rule) => facts.rule = rule,
        Err(fault) => return Err(facts.deny(policy, None, fault.into()).into()),
    }
    if policy.rules.rule(facts.rule).access == Access::Deny {
        return Err(facts.deny(policy, None, DenyReason::AccessDenied).into());
    }
    facts = facts.with_stripping(policy.strip(head), policy)?;
    let credential = policy.token_source.find(head);
    if let (false, Some(asked)) = (is_answered, policy.rules.asks(facts.rule, &credential)) {
        return Err(Early::Asks(asked));
    }
    match policy.rules.without_token(facts.rule, &credential, &facts.asked(None, now)) {
        Ok(Some(proof)) if proof.is_preflight() => {
            let edits = policy.token_source.strip_preflight(head, std::mem::take(&mut facts.stripping));
            return Err(facts.with_stripping(edits, policy)?.allow_without_token(policy, &proof).into());
        }
        Ok(Some(proof)) => return Err(facts.allow_without_token(policy, &proof).into()),
        Ok(None) => {}
        Err(reason) => return Err(facts.deny(policy, None, DenyReason::Unmet(reason)).into()),
    }
    let reason = match credential {
        Credential::Token(text, place) => {
            facts.source = Some(place);
            return Ok(Presented { facts, text: Redacted::new(text) });
        }
        Credential::Absent => DenyReason::TokenMissing,
        Credential::Repeated => DenyReason::CredentialRepeated,
        Credential::Malformed => DenyReason::CredentialMalformed,
        Credential::TooLarge => DenyReason::TokenTooLarge,
    };
    Err(facts.deny(policy, None, reason).into())
}

impl<'a> Presented<'a> {
    /// The credential.
    pub(super) fn text(&self) -> &[u8] {
        self.text.reveal()
    }

    /// What others are asked about it.
    pub(super) fn question(&mut self, policy: &Policy, arrived: Arrived, now: UnixTime) -> Question<'_> {
        self.facts.question(self.text.reveal(), policy, arrived, now)
    }

    /// Decides the request: its token is known.
    pub(super) fn decide_by(
        self,
        policy: &Policy,
        grant: &Grant,
        introspection: Option<Freshness>,
        now: UnixTime,
    ) -> Decision {
        self.facts.decide_by(policy, grant, Evidence { proof: Proof::Remembered, introspection }, now)
    }

    /// Refuses the request, whose token is known.
    pub(super) fn refuse(self, policy: &Policy, grant: &Grant, reason: DenyReason) -> Decision {
        let facts = RequestFacts { issuer: grant.issuer.clone(), ..self.facts };
        facts.deny(policy, policy.providers.get(grant.provider), reason)
    }

    /// Reads the token and finds the provider it names. `aud` is read only where several providers have its issuer.
    pub(super) fn identify(self, policy: &Policy, now: UnixTime) -> Result<NamedToken<'a>, Box<Decision>> {
        let Self { mut facts, text } = self;
        let text = text.reveal();
        let opaque = |text: &[u8]| Named::Opaque(Redacted::new(Rc::from(text)));
        let token = match UnverifiedToken::parse(text) {
            Ok(token) => token,
            Err(_) if !UnverifiedToken::has_three_parts(text) => {
                let Some((id, provider)) = policy.providers.of_opaque_tokens() else {
                    return Err(Box::new(facts.deny(policy, None, DenyReason::TokenOpaque)));
                };
                facts.issuer = provider.only_issuer().cloned();
                return Ok(NamedToken { facts, token: opaque(text), provider: id });
            }
            Err(fault) => return Err(Box::new(facts.deny(policy, None, fault.into()))),
        };
        let SelectedProvider { id, provider, issuer } = match policy.providers.select(&token) {
            Ok(selected) => selected,
            Err(fault) => return Err(Box::new(facts.deny(policy, None, fault.into()))),
        };
        facts.issuer = Some(Rc::clone(issuer));
        let is_opaque = matches!(provider.keys, KeyOrigin::IssuerAlone);
        if !is_opaque && !provider.algorithms.contains(&token.header().algorithm) {
            return Err(Box::new(facts.deny(policy, Some(provider), DenyReason::AlgorithmNotAllowed)));
        }
        // A token that says itself that it has expired is not worth a signature check, let alone a fetch or a call.
        if matches!(token.claimed_expiry(), Claim::Valid(expiry) if provider.takes_as_expired(expiry, now)) {
            return Err(Box::new(facts.deny(policy, Some(provider), ClaimFault::Expired.into())));
        }
        let token = if is_opaque { opaque(text) } else { Named::Jwt(token) };
        Ok(NamedToken { facts, token, provider: id })
    }
}

impl<'a> NamedToken<'a> {
    /// Whose token it says it is.
    pub(super) const fn provider(&self) -> ProviderId {
        self.provider
    }

    /// How many bytes it holds while it waits, beside itself.
    pub(super) fn held_bytes(&self) -> usize {
        let token = match &self.token {
            Named::Jwt(token) => token.parked_bytes(),
            Named::Opaque(text) => memory::allocation(text.reveal().len().saturating_add(2 * size_of::<usize>())),
        };
        let parts = [self.facts.head.held_bytes(), self.facts.attributes.held_bytes()];
        let edits = self.facts.stripping.iter().map(HeaderEdit::held_bytes);
        parts.into_iter().chain(edits).fold(token, usize::saturating_add)
    }

    /// With a head of its own, for one that waits.
    pub(super) fn into_owned(self) -> NamedToken<'static> {
        let Self { facts, token, provider } = self;
        let RequestFacts { head, came_at, arrived, arrived_for_answer, attributes, rule, .. } = facts;
        let RequestFacts { mut stripping, source, issuer, sender, .. } = facts;
        let (head, sender) = (Cow::Owned(head.into_owned()), sender.settled());
        stripping.shrink_to_fit();
        let facts = RequestFacts {
            head,
            came_at,
            arrived,
            arrived_for_answer,
            attributes,
            rule,
            stripping,
            source,
            issuer,
            sender,
        };
        NamedToken { facts, token, provider }
    }

    /// The token as it was given.
    pub(super) fn text(&self) -> &[u8] {
        self.token.text()
    }

    /// Whether it was proved before, if it is remembered: what its issuer says of an opaque token is remembered elsewhere.
    pub(super) const fn may_be_remembered(&self) -> bool {
        matches!(self.token, Named::Jwt(_))
    }

    /// What others are asked about it.
    pub(super) fn question(&mut self, policy: &Policy, arrived: Arrived, now: UnixTime) -> Question<'_> {
        self.facts.question(self.token.text(), policy, arrived, now)
    }

    /// Whether its request's rule has issuers asked.
    pub(super) fn introspects(&self, policy: &Policy) -> bool {
        policy.rules.rule(self.facts.rule).introspects
    }

    /// Decides, or waits when a fetch or a call will tell more.
    pub(super) fn decide(
        self,
        policy: &Policy,
        keys: &mut ProviderKeys,
        known: &mut TokenCache,
        inquiries: &mut Inquiries,
        verifier: &dyn SignatureVerifier,
        now: UnixTime,
    ) -> Progress<'a> {
        let Self { mut facts, token, provider: id } = self;
        let Some(provider) = policy.providers.get(id) else {
            return Progress::Decided(facts.deny(policy, None, ClaimFault::IssuerUnknown.into()));
        };
        let token = match token {
            Named::Jwt(token) => token,
            Named::Opaque(text) => return decide_opaque(facts, text, (id, provider), policy, inquiries, now),
        };
        let generation = keys.generation_in_use(now);
        let header = token.header();
        let arrived = *facts.arrived.get_or_insert(keys.arrived(now));
        let candidates = match keys.look_up(header.key_id.as_deref(), header.algorithm, arrived, now) {
            LookUp::Found(candidates) => candidates,
            LookUp::Wait => {
                facts.arrived = Some(arrived.waiting());
                return Progress::Waiting(Self { facts, token: Named::Jwt(token), provider: id }, Awaited::Keys(id));
            }
            LookUp::Unknown => return Progress::Decided(facts.deny(policy, Some(provider), DenyReason::KeyUnknown)),
            LookUp::Unavailable(retry_after) => {
                let reason = DenyReason::KeysUnavailable(retry_after);
                return Progress::Decided(facts.deny(policy, Some(provider), reason));
            }
        };
        let (text, held_bytes) = (Rc::clone(token.text().reveal()), token.held_bytes());
        // It is used up by being proved; one that is asked about then may have to wait.
        let may_wait = policy.rules.rule(facts.rule).introspects || !inquiries.has_list();
        let again = may_wait.then(|| token.clone());
        let is_known_bad = generation.is_some_and(|keys| known.is_known_bad(&text, keys, now));
        let verified = if is_known_bad { Err(Box::new(token)) } else { token.try_verify(&candidates, verifier) };
        let verified = match verified {
            Ok(verified) => verified,
            Err(token) => {
                if let Some(keys) = generation.filter(|_| !is_known_bad) {
                    known.insert_bad(text, keys, now);
                }
                let header = token.header();
                return if keys.awaits_newer_set(header.key_id.as_deref(), header.algorithm, arrived, now) {
                    Progress::Waiting(Self { facts, token: Named::Jwt(*token), provider: id }, Awaited::NewerKeys(id))
                } else {
                    Progress::Decided(facts.deny(policy, Some(provider), TokenFault::SignatureInvalid.into()))
                };
            }
        };
        let admitted = AdmittedToken::admit(verified, provider, now).map_err(DenyReason::from);
        let grant = match admitted.and_then(|token| Grant::of(id, provider, Rc::new(token), policy)) {
            Ok(grant) => grant,
            Err(reason) => return Progress::Decided(facts.deny(policy, Some(provider), reason)),
        };
        if let Some(keys) = generation {
            known.insert(Rc::clone(&text), grant.clone(), keys, held_bytes);
        }
        let question = facts.question(&text, policy, inquiries.arrived(id), now);
        let said = inquiries.about_jwt(&grant, policy, &question);
        Progress::Decided(match (said, again) {
            (Said::Good(introspection), _) => {
                facts.decide_by(policy, &grant, Evidence { proof: Proof::Verified, introspection }, now)
            }
            (Said::Refused(reason), _) => facts.deny(policy, Some(provider), reason),
            (Said::Wait(awaited), Some(token)) => {
                return Progress::Waiting(Self { facts, token: Named::Jwt(token), provider: id }, awaited);
            }
            // Nobody was asked.
            (Said::Wait(_), None) => facts.deny(policy, Some(provider), DenyReason::WaitTimedOut),
        })
    }

    /// Ends the wait: the token is known by now.
    pub(super) fn decide_by(
        self,
        policy: &Policy,
        grant: &Grant,
        introspection: Option<Freshness>,
        now: UnixTime,
    ) -> Decision {
        self.facts.decide_by(policy, grant, Evidence { proof: Proof::Remembered, introspection }, now)
    }

    /// Ends the wait with a refusal.
    pub(super) fn refuse(self, policy: &Policy, reason: DenyReason) -> Decision {
        self.facts.deny(policy, policy.providers.get(self.provider), reason)
    }
}

/// Decides by what the issuer says of the token. The grant is made anew from each answer and never remembered: the answer is.
fn decide_opaque<'a>(
    mut facts: RequestFacts<'a>,
    text: Redacted<Rc<[u8]>>,
    (id, provider): (ProviderId, &Provider),
    policy: &Policy,
    inquiries: &mut Inquiries,
    now: UnixTime,
) -> Progress<'a> {
    let question = facts.question(text.reveal(), policy, inquiries.arrived(id), now);
    let said = inquiries.about_opaque(id, facts.sender, policy, &question);
    let (token, freshness) = match said {
        Err(AddressNeeded) => {
            return Progress::AddressNeeded(NamedToken { facts, token: Named::Opaque(text), provider: id });
        }
        Ok(Said::Good(good)) => good,
        Ok(Said::Refused(reason)) => return Progress::Decided(facts.deny(policy, Some(provider), reason)),
        Ok(Said::Wait(awaited)) => {
            return Progress::Waiting(NamedToken { facts, token: Named::Opaque(text), provider: id }, awaited);
        }
    };
    Progress::Decided(match Grant::of(id, provider, token, policy) {
        Ok(grant) => {
            let evidence = Evidence { proof: Proof::Introspected, introspection: Some(freshness) };
            facts.decide_by(policy, &grant, evidence, now)
        }
        Err(reason) => facts.deny(policy, Some(provider), reason),
    })
}
