//! One request on its way through the steps.

use std::borrow::Cow;
use std::rc::Rc;

use crate::engine::trace::Trace;
use crate::http::{HeaderEdit, RequestHead};
use crate::introspection;
use crate::jose::UnverifiedToken;
use crate::keys;
use crate::lookup::requester::Sender;
use crate::memory;
use crate::policy::{
    AttributeValues, AuthorizationRequest, CredentialLocation, NonceAge, Policy, ProviderId, RuleId, ValidatedToken,
};
use crate::redacted::Redacted;
use crate::replay::UsedProof;
use crate::thumbprint::Thumbprint;
use crate::unix_time::UnixTime;

/// What is known of a request beside its token. The head is borrowed until the request is parked.
#[derive(Debug)]
pub(super) struct RequestContext<'a> {
    pub(super) head: Cow<'a, RequestHead>,
    /// `now` for its conditions.
    pub(super) arrived_at: UnixTime,
    /// Which key fetches began before it; set at its first key lookup.
    pub(super) key_arrival: Option<keys::Arrived>,
    /// Which introspection calls began before it; set at its first status query.
    pub(super) status_arrival: Option<introspection::Arrived>,
    /// Attributes that the host provided.
    pub(super) attributes: AttributeValues,
    pub(super) rule: RuleId,
    /// The edits that remove managed headers and credentials before the request is forwarded.
    pub(super) removals: Vec<HeaderEdit>,
    pub(super) source: Option<CredentialLocation>,
    /// Its proof (DPoP), after all checks but the last.
    pub(super) proof: Option<CheckedProof>,
    /// The provider and the configured issuer that the token names, verified or not.
    pub(super) provider: Option<ProviderId>,
    pub(super) issuer: Option<Rc<str>>,
    /// The issuer of a JWT of no provider, escaped and bounded.
    pub(super) unknown_issuer: Option<Rc<str>>,
    /// Whose share of the introspection calls an unknown token uses.
    pub(super) sender: Sender,
    pub(super) trace: Trace,
}

impl<'a> RequestContext<'a> {
    pub(super) fn new(
        head: &'a RequestHead,
        attributes: AttributeValues,
        sender: Sender,
        trace: Trace,
        now: UnixTime,
    ) -> Self {
        Self {
            head: Cow::Borrowed(head),
            arrived_at: now,
            key_arrival: None,
            status_arrival: None,
            attributes,
            rule: RuleId::Default,
            removals: Vec::new(),
            source: None,
            proof: None,
            provider: None,
            issuer: None,
            unknown_issuer: None,
            sender,
            trace,
        }
    }

    pub(super) fn authorization_request<'b>(
        &'b self,
        token: Option<(&'b ValidatedToken, &'b str)>,
        now: UnixTime,
    ) -> AuthorizationRequest<'b> {
        AuthorizationRequest { token, head: &self.head, attributes: &self.attributes, arrived_at: self.arrived_at, now }
    }

    fn into_owned(self) -> RequestContext<'static> {
        let mut removals = self.removals;
        removals.shrink_to_fit();
        RequestContext {
            head: Cow::Owned(self.head.into_owned()),
            arrived_at: self.arrived_at,
            key_arrival: self.key_arrival,
            status_arrival: self.status_arrival,
            attributes: self.attributes,
            rule: self.rule,
            removals,
            source: self.source,
            proof: self.proof,
            provider: self.provider,
            issuer: self.issuer,
            unknown_issuer: self.unknown_issuer,
            sender: self.sender.settled(),
            trace: self.trace,
        }
    }
}

/// A proof that is valid for its request, and was perhaps used before.
#[derive(Clone, Copy, Debug)]
pub(super) struct CheckedProof {
    /// The key that signed it.
    pub(super) key: Thumbprint,
    pub(super) used: UsedProof,
    /// The age of its nonce, if it must have one.
    pub(super) nonce_age: Option<NonceAge>,
}

/// A token, as far as it was read. Nothing here is verified.
#[derive(Debug)]
pub(super) enum Token<'a> {
    Extracted(Redacted<Cow<'a, [u8]>>),
    /// The text of a token that was parsed and then used up by its verification.
    Parsed(Redacted<Rc<[u8]>>),
    Jwt(UnverifiedToken),
    /// Only its issuer can say what it means.
    Opaque(Redacted<Rc<[u8]>>),
}

impl Token<'_> {
    pub(super) fn text(&self) -> &[u8] {
        match self {
            Self::Extracted(text) => text.reveal(),
            Self::Parsed(text) | Self::Opaque(text) => text.reveal(),
            Self::Jwt(token) => token.serialized().reveal(),
        }
    }
}

/// A request with a credential.
#[derive(Debug)]
pub(in crate::engine) struct Request<'a> {
    pub(super) context: RequestContext<'a>,
    pub(super) token: Token<'a>,
}

impl<'a> Request<'a> {
    pub(super) const fn new(context: RequestContext<'a>, text: Redacted<Cow<'a, [u8]>>) -> Self {
        Self { context, token: Token::Extracted(text) }
    }

    /// The provider that the token names, once it was identified.
    pub(in crate::engine) const fn provider(&self) -> Option<ProviderId> {
        self.context.provider
    }

    /// Whether the request's rule has JWTs introspected.
    pub(in crate::engine) fn introspects(&self, policy: &Policy) -> bool {
        policy.rules.rule(self.context.rule).introspects
    }

    /// Makes the request independent of the buffers of the host.
    pub(in crate::engine) fn into_owned(self) -> Request<'static> {
        let token = match self.token {
            Token::Extracted(text) => Token::Parsed(Redacted::new(Rc::from(text.reveal().as_ref()))),
            Token::Parsed(text) => Token::Parsed(text),
            Token::Jwt(token) => Token::Jwt(token),
            Token::Opaque(text) => Token::Opaque(text),
        };
        Request { context: self.context.into_owned(), token }
    }

    /// The bytes it holds while it is parked, beside itself.
    pub(in crate::engine) fn held_bytes(&self) -> usize {
        let token = match &self.token {
            Token::Jwt(token) => token.parked_bytes(),
            Token::Extracted(_) | Token::Parsed(_) | Token::Opaque(_) => {
                memory::allocation(self.token.text().len().saturating_add(2 * size_of::<usize>()))
            }
        };
        let parts = [self.context.head.held_bytes(), self.context.attributes.held_bytes()];
        let edits = self.context.removals.iter().map(HeaderEdit::held_bytes);
        parts.into_iter().chain(edits).fold(token, usize::saturating_add)
    }
}
