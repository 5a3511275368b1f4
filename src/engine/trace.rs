//! The trace of a request: what each step of the pipeline found, in the order in which the engine decides.
//!
//! It is recorded only with the cargo feature `trace`, which the command-line tool enables. In the module a [`Trace`] has no
//! size and its methods do nothing. `Debug` prints no token.

use std::rc::Rc;

use crate::engine::deny_reason::DenyReason;
use crate::introspection::call::TokenKind;
use crate::jose::compact::JoseHeader;
use crate::jose::{Algorithm, Claims, TokenFault, UnverifiedToken};
use crate::policy::{
    Binding, CertificateSource, ClaimFault, ConstraintFault, CredentialLocation, ProviderId, RuleFault, RuleId,
    UnmetReason, ValidatedToken,
};
use crate::unix_time::UnixTime;

#[derive(Clone, Debug)]
pub enum TraceEvent {
    /// The rule that matches the request, or why none can be selected.
    Rule(Result<RuleId, RuleFault>),
    /// A managed header or a credential cannot be removed from the request.
    Unremovable,
    /// The location of the token, or why there is none, and whether the rule needs one.
    Credential {
        rule: RuleId,
        location: Result<CredentialLocation, DenyReason>,
        /// Whether the request is allowed without a token.
        anonymous: AnonymousCheck,
    },
    /// The token is not a JWT. This provider introspects it, if one accepts opaque tokens.
    OpaqueToken(Option<ProviderId>),
    /// The token has the three parts of a JWT and cannot be parsed.
    MalformedToken(TokenFault),
    /// The token is a JWT. Its signature is not verified yet.
    Jwt {
        header: JoseHeader,
        /// Its length.
        bytes: usize,
    },
    /// The provider whose settings apply.
    Provider {
        provider: ProviderId,
        /// The one of its issuers that the token names.
        issuer: Rc<str>,
    },
    /// The token selects no provider.
    NoProvider {
        /// The token, whose signature is not verified.
        token: Box<UnverifiedToken>,
        fault: ClaimFault,
    },
    /// The algorithm of the token.
    Algorithm {
        provider: ProviderId,
        algorithm: Algorithm,
        /// Whether the provider's tokens may use it.
        is_allowed: bool,
    },
    /// The token has expired according to its `exp`. Its signature is not verified.
    ClaimedExpiry(UnixTime),
    /// Only introspection authenticates the JWTs of this provider.
    IntrospectionOnly(ProviderId),
    /// The token is in the token cache.
    CachedToken,
    /// The keys that may have signed the token.
    Keys {
        /// How many keys the provider has.
        count: usize,
        /// The algorithm of the token.
        algorithm: Algorithm,
        result: KeyLookUp,
    },
    /// Whether one of these keys verifies the signature.
    Signature { is_valid: bool },
    /// The introspection of the token.
    Introspection {
        /// Whether the token is opaque, or a JWT that the rule has introspected.
        kind: TokenKind,
        result: CheckResult,
    },
    /// The claims of the token.
    Claims {
        provider: ProviderId,
        /// The claims. The cache does not have those of a rejected introspection response.
        claims: Option<Claims>,
        /// Why they are not valid.
        fault: Option<ClaimFault>,
        /// When they were validated.
        now: UnixTime,
    },
    /// The token is authentic and its claims are valid.
    Identity(Rc<ValidatedToken>),
    /// Whether the client has the certificate and the key that the token is bound to.
    SenderConstraint {
        binding: Binding,
        /// Where the certificate was looked for, if the token is bound to one.
        certificate: Option<CertificateSource>,
        checked: Result<(), ConstraintFault>,
    },
    /// The proof was used before.
    UsedProof(ConstraintFault),
    /// A value of the token cannot be forwarded.
    Unforwardable(DenyReason),
    /// The revocation list, if one is configured.
    Revocation(CheckResult),
    /// The requirement of the rule.
    Requirement {
        rule: RuleId,
        provider: ProviderId,
        token: Rc<ValidatedToken>,
        /// Why it is not met.
        unmet: Option<UnmetReason>,
        /// When the request was received.
        arrived_at: UnixTime,
        /// When it was evaluated.
        now: UnixTime,
    },
    /// The request may not be pending, or not any longer.
    NotPending(DenyReason),
}

/// Whether a request is allowed without a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnonymousCheck {
    /// Its rule requires a token.
    TokenRequired,
    /// It is allowed, perhaps only because the rule reports an unmet requirement and does not enforce it.
    Allowed {
        /// The requirement that is only reported.
        would_deny: Option<UnmetReason>,
    },
    /// Another requirement of the rule is not met.
    Unmet(UnmetReason),
}

/// The keys that may have signed a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyLookUp {
    /// The `kid` of each.
    Found(Vec<Option<String>>),
    /// The issuer publishes no such key.
    Unknown,
    /// The keys are being fetched.
    Pending,
    /// The keys are not available now.
    Unavailable,
}

/// The result of a check that may depend on a callout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckResult {
    Passed,
    Denied(DenyReason),
    /// The callout has not ended.
    Pending,
}

/// Steps whose events are replaced when they run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TracedStep {
    /// Never runs again.
    #[cfg(feature = "trace")]
    Extract,
    Identify,
    Authenticate,
    /// The status of the token and the requirement of the rule.
    Authorize,
}

/// The events of one request so far. A resumed request runs some steps again, and each event is there once.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// `None`: nothing is recorded.
    #[cfg(feature = "trace")]
    events: Option<Vec<TraceEvent>>,
}

#[cfg(feature = "trace")]
impl Trace {
    /// A trace that records.
    pub(super) const fn recording() -> Self {
        Self { events: Some(Vec::new()) }
    }

    /// The events, in the order of the steps.
    pub fn events(&self) -> &[TraceEvent] {
        self.events.as_deref().unwrap_or_default()
    }

    pub(super) const fn is_recording(&self) -> bool {
        self.events.is_some()
    }

    /// Removes what a step recorded that runs again.
    pub(super) fn restart(&mut self, step: TracedStep) {
        self.events.iter_mut().for_each(|events| events.retain(|event| event.step() != step));
    }

    /// Records an event after those of its step and of the steps before it. A token from the cache is parsed late, when its
    /// request is parked.
    pub(super) fn record(&mut self, event: impl FnOnce() -> TraceEvent) {
        let Some(events) = &mut self.events else { return };
        let event = event();
        let at = events.iter().rposition(|earlier| earlier.step() <= event.step()).map_or(0, |last| last + 1);
        events.insert(at, event);
    }

    /// Whether the token was authenticated before the request was parked.
    pub(super) fn is_authenticated(&self) -> bool {
        self.events().iter().any(|event| matches!(event, TraceEvent::Identity(_)))
    }
}

/// Records nothing.
#[cfg(not(feature = "trace"))]
impl Trace {
    pub(super) const fn is_recording(&self) -> bool {
        false
    }

    pub(super) const fn restart(&mut self, _: TracedStep) {}

    pub(super) fn record(&mut self, _: impl FnOnce() -> TraceEvent) {}

    pub(super) const fn is_authenticated(&self) -> bool {
        false
    }
}

#[cfg(feature = "trace")]
impl TraceEvent {
    /// The step that records it.
    const fn step(&self) -> TracedStep {
        match self {
            Self::Rule(_) | Self::Unremovable | Self::Credential { .. } => TracedStep::Extract,
            Self::OpaqueToken(_)
            | Self::MalformedToken(_)
            | Self::Jwt { .. }
            | Self::Provider { .. }
            | Self::NoProvider { .. }
            | Self::Algorithm { .. }
            | Self::ClaimedExpiry(_)
            | Self::IntrospectionOnly(_) => TracedStep::Identify,
            Self::CachedToken
            | Self::Keys { .. }
            | Self::Signature { .. }
            | Self::Introspection { kind: TokenKind::Opaque, .. }
            | Self::Claims { .. }
            | Self::Identity(_)
            | Self::Unforwardable(_) => TracedStep::Authenticate,
            Self::Introspection { kind: TokenKind::Jwt, .. }
            | Self::SenderConstraint { .. }
            | Self::UsedProof(_)
            | Self::Revocation(_)
            | Self::Requirement { .. }
            | Self::NotPending(_) => TracedStep::Authorize,
        }
    }
}
