//! One request's states; each consumes itself, so a request is decided once and in one place.
//!
//! [`find_credential`] takes the credential out of a head; a token that was judged before is decided with what it
//! granted then, any other one becomes a [`IdentifiedToken`] (its provider is known, nothing is proved) or is refused;
//! [`IdentifiedToken::decide`] proves and judges it, or says what it must wait for and gives it back. An opaque token is proved by
//! its issuer's answer; a JWT by its signature, and where the rule says so its issuer is asked about it besides.

use std::borrow::Cow;
use std::rc::Rc;

use crate::engine::audit::{Proof, Verification};
use crate::engine::decision::Decision;
use crate::engine::deny_reason::DenyReason;
use crate::engine::request_context::RequestContext;
use crate::engine::token_cache::{AuthenticatedToken, TokenCache};
use crate::engine::token_status::{PendingOn, StatusQuery, StatusSources, TokenStatus};
use crate::http::{HeaderEdit, RequestHead};
use crate::introspection::requester::Sender;
use crate::introspection::{AddressNeeded, Arrived, Freshness};
use crate::jose::{Claim, SignatureVerifier, TokenFault, UnverifiedToken};
use crate::keys::{LookUp, ProviderKeys};
use crate::memory;
use crate::policy::token_source::Credential;
use crate::policy::{
    Access, Attribute, AttributeValues, ClaimFault, KeyOrigin, Policy, Provider, ProviderId, RuleId, SelectedProvider,
    ValidatedToken,
};
use crate::redacted::Redacted;
use crate::unix_time::UnixTime;

/// A request with a token that names one of our providers.
#[derive(Debug)]
pub(super) struct IdentifiedToken<'a> {
    facts: RequestContext<'a>,
    token: ParsedToken,
    provider: ProviderId,
}

/// A token of which nothing is proved.
#[derive(Debug)]
enum ParsedToken {
    /// It names its issuer itself.
    Jwt(UnverifiedToken),
    /// It says nothing; whose it is was configured.
    Opaque(Redacted<Rc<[u8]>>),
}

impl ParsedToken {
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
    Done(Decision),
    Pending(IdentifiedToken<'a>, PendingOn),
    /// The host is to be asked for the client's address.
    NeedAddress(IdentifiedToken<'a>),
}

/// What may come of a request at the first look, instead of a credential.
#[derive(Debug)]
pub(super) enum ShortCircuit {
    Decision(Box<Decision>),
    /// Its rule wants to know these of the host first.
    NeedAttributes(Rc<[Attribute]>),
}

impl From<Box<Decision>> for ShortCircuit {
    fn from(decision: Box<Decision>) -> Self {
        Self::Decision(decision)
    }
}

impl From<Decision> for ShortCircuit {
    fn from(decision: Decision) -> Self {
        Self::Decision(Box::new(decision))
    }
}

/// A request with a credential that could be a JWT; nothing of it was looked at.
#[derive(Debug)]
pub(super) struct ExtractedCredential<'a> {
    facts: RequestContext<'a>,
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
) -> Result<ExtractedCredential<'a>, ShortCircuit> {
    let is_answered = attributes.is_some();
    let mut facts = RequestContext {
        head: Cow::Borrowed(head),
        arrived_at: now,
        key_arrival: None,
        status_arrival: None,
        attributes: attributes.unwrap_or_default(),
        rule: RuleId::Default,
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
    if let (false, Some(asked)) = (is_answered, policy.rules.required_attributes(facts.rule, &credential)) {
        return Err(ShortCircuit::NeedAttributes(asked));
    }
    match policy.rules.anonymous_access(facts.rule, &credential, &facts.authorization_request(None, now)) {
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
            return Ok(ExtractedCredential { facts, text: Redacted::new(text) });
        }
        Credential::Missing => DenyReason::TokenMissing,
        Credential::Multiple => DenyReason::MultipleCredentials,
        Credential::Malformed => DenyReason::CredentialMalformed,
        Credential::TooLarge => DenyReason::TokenTooLarge,
    };
    Err(facts.deny(policy, None, reason).into())
}

impl<'a> ExtractedCredential<'a> {
    /// The credential.
    pub(super) fn text(&self) -> &[u8] {
        self.text.reveal()
    }

    /// What others are asked about it.
    pub(super) fn question(&mut self, policy: &Policy, arrived: Arrived, now: UnixTime) -> StatusQuery<'_> {
        self.facts.status_query(self.text.reveal(), policy, arrived, now)
    }

    /// Decides the request: its token is known.
    pub(super) fn decide_by(
        self,
        policy: &Policy,
        grant: &AuthenticatedToken,
        introspection: Option<Freshness>,
        now: UnixTime,
    ) -> Decision {
        self.facts.authorize(policy, grant, Verification { proof: Proof::Cached, introspection }, now)
    }

    /// Refuses the request, whose token is known.
    pub(super) fn refuse(self, policy: &Policy, grant: &AuthenticatedToken, reason: DenyReason) -> Decision {
        let facts = RequestContext { issuer: grant.issuer.clone(), ..self.facts };
        facts.deny(policy, policy.providers.get(grant.provider), reason)
    }

    /// Reads the token and finds the provider it names. `aud` is read only where several providers have its issuer.
    pub(super) fn identify(self, policy: &Policy, now: UnixTime) -> Result<IdentifiedToken<'a>, Box<Decision>> {
        let Self { mut facts, text } = self;
        let text = text.reveal();
        let opaque = |text: &[u8]| ParsedToken::Opaque(Redacted::new(Rc::from(text)));
        let token = match UnverifiedToken::parse(text) {
            Ok(token) => token,
            Err(_) if !UnverifiedToken::has_three_parts(text) => {
                let Some((id, provider)) = policy.providers.of_opaque_tokens() else {
                    return Err(Box::new(facts.deny(policy, None, DenyReason::TokenOpaque)));
                };
                facts.issuer = provider.only_issuer().cloned();
                return Ok(IdentifiedToken { facts, token: opaque(text), provider: id });
            }
            Err(fault) => return Err(Box::new(facts.deny(policy, None, fault.into()))),
        };
        let SelectedProvider { id, provider, issuer } = match policy.providers.select(&token) {
            Ok(selected) => selected,
            Err(fault) => return Err(Box::new(facts.deny(policy, None, fault.into()))),
        };
        facts.issuer = Some(Rc::clone(issuer));
        let is_opaque = matches!(provider.keys, KeyOrigin::IntrospectionOnly);
        if !is_opaque && !provider.algorithms.contains(&token.header().algorithm) {
            return Err(Box::new(facts.deny(policy, Some(provider), DenyReason::AlgorithmNotAllowed)));
        }
        // A token that says itself that it has expired is not worth a signature check, let alone a fetch or a call.
        if matches!(token.claimed_expiry(), Claim::Valid(expiry) if provider.takes_as_expired(expiry, now)) {
            return Err(Box::new(facts.deny(policy, Some(provider), ClaimFault::Expired.into())));
        }
        let token = if is_opaque { opaque(text) } else { ParsedToken::Jwt(token) };
        Ok(IdentifiedToken { facts, token, provider: id })
    }
}

impl<'a> IdentifiedToken<'a> {
    /// Whose token it says it is.
    pub(super) const fn provider(&self) -> ProviderId {
        self.provider
    }

    /// How many bytes it holds while it waits, beside itself.
    pub(super) fn held_bytes(&self) -> usize {
        let token = match &self.token {
            ParsedToken::Jwt(token) => token.parked_bytes(),
            ParsedToken::Opaque(text) => memory::allocation(text.reveal().len().saturating_add(2 * size_of::<usize>())),
        };
        let parts = [self.facts.head.held_bytes(), self.facts.attributes.held_bytes()];
        let edits = self.facts.stripping.iter().map(HeaderEdit::held_bytes);
        parts.into_iter().chain(edits).fold(token, usize::saturating_add)
    }

    /// With a head of its own, for one that waits.
    pub(super) fn into_owned(self) -> IdentifiedToken<'static> {
        let Self { facts, token, provider } = self;
        let RequestContext {
            head,
            arrived_at: came_at,
            key_arrival: arrived,
            status_arrival: arrived_for_answer,
            attributes,
            rule,
            ..
        } = facts;
        let RequestContext { mut stripping, source, issuer, sender, .. } = facts;
        let (head, sender) = (Cow::Owned(head.into_owned()), sender.settled());
        stripping.shrink_to_fit();
        let facts = RequestContext {
            head,
            arrived_at: came_at,
            key_arrival: arrived,
            status_arrival: arrived_for_answer,
            attributes,
            rule,
            stripping,
            source,
            issuer,
            sender,
        };
        IdentifiedToken { facts, token, provider }
    }

    /// The token as it was given.
    pub(super) fn text(&self) -> &[u8] {
        self.token.text()
    }

    /// Whether it was proved before, if it is remembered: what its issuer says of an opaque token is remembered elsewhere.
    pub(super) const fn is_cacheable(&self) -> bool {
        matches!(self.token, ParsedToken::Jwt(_))
    }

    /// What others are asked about it.
    pub(super) fn question(&mut self, policy: &Policy, arrived: Arrived, now: UnixTime) -> StatusQuery<'_> {
        self.facts.status_query(self.token.text(), policy, arrived, now)
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
        inquiries: &mut StatusSources,
        verifier: &dyn SignatureVerifier,
        now: UnixTime,
    ) -> Progress<'a> {
        let Self { mut facts, token, provider: id } = self;
        let Some(provider) = policy.providers.get(id) else {
            return Progress::Done(facts.deny(policy, None, ClaimFault::IssuerUnknown.into()));
        };
        let token = match token {
            ParsedToken::Jwt(token) => token,
            ParsedToken::Opaque(text) => return decide_opaque(facts, text, (id, provider), policy, inquiries, now),
        };
        let generation = keys.generation_in_use(now);
        let header = token.header();
        let arrived = *facts.key_arrival.get_or_insert(keys.arrived(now));
        let candidates = match keys.look_up(header.key_id.as_deref(), header.algorithm, arrived, now) {
            LookUp::Found(candidates) => candidates,
            LookUp::Wait => {
                facts.key_arrival = Some(arrived.waiting());
                return Progress::Pending(
                    Self { facts, token: ParsedToken::Jwt(token), provider: id },
                    PendingOn::Keys(id),
                );
            }
            LookUp::Unknown => return Progress::Done(facts.deny(policy, Some(provider), DenyReason::KeyUnknown)),
            LookUp::Unavailable(retry_after) => {
                let reason = DenyReason::KeysUnavailable(retry_after);
                return Progress::Done(facts.deny(policy, Some(provider), reason));
            }
        };
        let (text, held_bytes) = (Rc::clone(token.text().reveal()), token.held_bytes());
        // It is used up by being proved; one that is asked about then may have to wait.
        let may_wait = policy.rules.rule(facts.rule).introspects || !inquiries.has_list();
        let again = may_wait.then(|| token.clone());
        let is_known_bad = generation.is_some_and(|keys| known.is_cached_as_invalid(&text, keys, now));
        let verified = if is_known_bad { Err(Box::new(token)) } else { token.try_verify(&candidates, verifier) };
        let verified = match verified {
            Ok(verified) => verified,
            Err(token) => {
                if let Some(keys) = generation.filter(|_| !is_known_bad) {
                    known.insert_invalid(text, keys, now);
                }
                let header = token.header();
                return if keys.awaits_newer_set(header.key_id.as_deref(), header.algorithm, arrived, now) {
                    Progress::Pending(
                        Self { facts, token: ParsedToken::Jwt(*token), provider: id },
                        PendingOn::NewerKeys(id),
                    )
                } else {
                    Progress::Done(facts.deny(policy, Some(provider), TokenFault::SignatureInvalid.into()))
                };
            }
        };
        let admitted = ValidatedToken::validate(verified, provider, now).map_err(DenyReason::from);
        let grant = match admitted.and_then(|token| AuthenticatedToken::new(id, provider, Rc::new(token), policy)) {
            Ok(grant) => grant,
            Err(reason) => return Progress::Done(facts.deny(policy, Some(provider), reason)),
        };
        if let Some(keys) = generation {
            known.insert(Rc::clone(&text), grant.clone(), keys, held_bytes);
        }
        let question = facts.status_query(&text, policy, inquiries.arrived(id), now);
        let said = inquiries.jwt_status(&grant, policy, &question);
        Progress::Done(match (said, again) {
            (TokenStatus::Valid(introspection), _) => {
                facts.authorize(policy, &grant, Verification { proof: Proof::Verified, introspection }, now)
            }
            (TokenStatus::Denied(reason), _) => facts.deny(policy, Some(provider), reason),
            (TokenStatus::Pending(awaited), Some(token)) => {
                return Progress::Pending(Self { facts, token: ParsedToken::Jwt(token), provider: id }, awaited);
            }
            // Nobody was asked.
            (TokenStatus::Pending(_), None) => facts.deny(policy, Some(provider), DenyReason::WaitTimedOut),
        })
    }

    /// Ends the wait: the token is known by now.
    pub(super) fn decide_by(
        self,
        policy: &Policy,
        grant: &AuthenticatedToken,
        introspection: Option<Freshness>,
        now: UnixTime,
    ) -> Decision {
        self.facts.authorize(policy, grant, Verification { proof: Proof::Cached, introspection }, now)
    }

    /// Ends the wait with a refusal.
    pub(super) fn refuse(self, policy: &Policy, reason: DenyReason) -> Decision {
        self.facts.deny(policy, policy.providers.get(self.provider), reason)
    }
}

/// Decides by what the issuer says of the token. The grant is made anew from each answer and never remembered: the answer is.
fn decide_opaque<'a>(
    mut facts: RequestContext<'a>,
    text: Redacted<Rc<[u8]>>,
    (id, provider): (ProviderId, &Provider),
    policy: &Policy,
    inquiries: &mut StatusSources,
    now: UnixTime,
) -> Progress<'a> {
    let question = facts.status_query(text.reveal(), policy, inquiries.arrived(id), now);
    let said = inquiries.opaque_status(id, facts.sender, policy, &question);
    let (token, freshness) = match said {
        Err(AddressNeeded) => {
            return Progress::NeedAddress(IdentifiedToken { facts, token: ParsedToken::Opaque(text), provider: id });
        }
        Ok(TokenStatus::Valid(good)) => good,
        Ok(TokenStatus::Denied(reason)) => return Progress::Done(facts.deny(policy, Some(provider), reason)),
        Ok(TokenStatus::Pending(awaited)) => {
            return Progress::Pending(
                IdentifiedToken { facts, token: ParsedToken::Opaque(text), provider: id },
                awaited,
            );
        }
    };
    Progress::Done(match AuthenticatedToken::new(id, provider, token, policy) {
        Ok(grant) => {
            let evidence = Verification { proof: Proof::Introspected, introspection: Some(freshness) };
            facts.authorize(policy, &grant, evidence, now)
        }
        Err(reason) => facts.deny(policy, Some(provider), reason),
    })
}
