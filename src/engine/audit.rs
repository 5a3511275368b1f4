//! The audit record of a decision. It never contains a token.
//!
//! It has only configured names and claims of authenticated tokens. Strings are bounded in bytes, so that no client decides
//! the length of a log line: a record has at most [`MAX_BYTES`]. It is serialized only when it is logged.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;

use crate::engine::bounded_text::{bounded, bounded_list};
use crate::engine::deny_reason::DenyReason;
use crate::engine::request_summary::RequestSummary;
use crate::http::RequestHead;
use crate::introspection::Freshness;
use crate::jose::Claim;
use crate::policy::{
    AuditTrail, BindingKind, CredentialLocation, Logged, Provider, Requirement, Rule, SampleRate, UnmetReason,
    ValidatedToken,
};

/// The version of the record's schema.
pub(super) const SCHEMA: u32 = 1;
/// The longest record in bytes.
pub const MAX_BYTES: usize = 4096;
/// The limits of lists in bytes.
const MAX_SCOPES_BYTES: usize = 768;
const MAX_REQUIRED_SCOPES_BYTES: usize = 512;

/// The record of a decision.
#[derive(Clone, Debug)]
pub struct AuditRecord {
    /// The request, if the record is logged.
    request: Option<RequestSummary>,
    rule: Option<Rc<str>>,
    requirement: Option<Rc<Requirement>>,
    issued_by: Option<IssuerInfo>,
    /// The issuer of a JWT of no provider, escaped.
    unknown_issuer: Option<Rc<str>>,
    outcome: Outcome,
    source: Option<CredentialLocation>,
    verification: Option<Verification>,
    waited: Option<Duration>,
    sampling: Sampling,
}

/// Whether a record is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Sampling {
    /// Logged.
    #[default]
    Always,
    /// Logged as a sample: others of its kind are not.
    Sampled(SampleRate),
    /// Not logged.
    Dropped,
}

/// The kind by which denials are limited. It has no rule: with a thousand rules a client would get a thousand times the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DenialKind {
    /// `allow` where the rule is `report_only`.
    pub(super) decision: &'static str,
    pub(super) reason: &'static str,
    pub(super) would_deny: Option<&'static str>,
}

/// How a token was authenticated for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verification {
    pub(super) proof: Proof,
    /// How fresh the introspection response is, where one was used.
    pub(super) introspection: Option<Freshness>,
}

/// What a token was authenticated by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// Its signature, verified for this request.
    Verified,
    /// The cache of verified tokens.
    Cached,
    /// An introspection response alone.
    Introspected,
}

#[derive(Clone, Debug)]
struct IssuerInfo {
    /// The configured name of the provider.
    provider: Rc<str>,
    /// The issuer. Unknown for an opaque token whose provider has several.
    issuer: Option<Rc<str>>,
}

/// What is recorded of a conclusion.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Allowed(Rc<ValidatedToken>),
    /// Allowed; the rule only reports that it is not met.
    Reported(Rc<ValidatedToken>, UnmetReason),
    /// Allowed; the reason is one that the rule only reports.
    AllowedWithoutToken(Option<UnmetReason>),
    Denied(DenyReason),
    /// The token is authenticated and does not meet the rule.
    Unmet(Rc<ValidatedToken>, UnmetReason),
}

/// The members in order, described by `docs/audit-record.schema.json`.
#[derive(Serialize)]
struct Line<'a> {
    schema: u32,
    decision: &'static str,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    would_deny: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown_issuer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scopes: Vec<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    required_scopes: Vec<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acr: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender_constraint: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jkt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x5t_s256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    introspection: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waited_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sampled: Option<f64>,
}

impl AuditRecord {
    pub(super) fn new(rule: &Rule, outcome: Outcome) -> Self {
        Self {
            request: None,
            rule: rule.name.clone(),
            requirement: rule.requirement.clone(),
            issued_by: None,
            unknown_issuer: None,
            outcome,
            source: None,
            verification: None,
            waited: None,
            sampling: Sampling::Always,
        }
    }

    /// Sets provider and issuer, verified or not.
    #[must_use]
    pub(super) fn with_issuer(self, provider: Option<&Provider>, issuer: Option<Rc<str>>) -> Self {
        let issued_by = |provider: &Provider| IssuerInfo { provider: Rc::clone(&provider.name), issuer };
        Self { issued_by: provider.map(issued_by), ..self }
    }

    /// Sets the issuer that a JWT names, where it is no provider's.
    #[must_use]
    pub(super) fn with_unknown_issuer(self, unknown_issuer: Option<Rc<str>>) -> Self {
        Self { unknown_issuer, ..self }
    }

    /// Sets the request. To be called for records that are read only: it copies parts of the head.
    pub(super) fn set_request(&mut self, head: &RequestHead) {
        self.request = Some(RequestSummary::of(head));
    }

    /// Sets the location of the credential.
    #[must_use]
    pub(super) fn with_source(self, source: Option<CredentialLocation>) -> Self {
        Self { source, ..self }
    }

    /// Sets how the token was authenticated.
    #[must_use]
    pub(super) fn with_verification(self, verification: Option<Verification>) -> Self {
        Self { verification, ..self }
    }

    /// Sets how long the request was parked.
    pub(super) const fn set_waited(&mut self, waited: Duration) {
        self.waited = Some(waited);
    }

    /// Sets whether it is logged. The default is yes.
    pub(super) const fn set_sampling(&mut self, sampling: Sampling) {
        self.sampling = sampling;
    }

    pub fn is_logged(&self) -> bool {
        self.sampling != Sampling::Dropped
    }

    /// The configured share of its kind that is logged. A reported denial counts as a denial.
    pub const fn extent(&self, trail: &AuditTrail) -> Logged {
        match self.outcome {
            Outcome::Denied(_) | Outcome::Unmet(..) | Outcome::Reported(..) | Outcome::AllowedWithoutToken(Some(_)) => {
                trail.denied
            }
            Outcome::Allowed(_) | Outcome::AllowedWithoutToken(None) => trail.allowed,
        }
    }

    /// The kind of a denial or reported denial; `None` for all others.
    pub(super) const fn denial_kind(&self) -> Option<DenialKind> {
        match self.outcome {
            Outcome::Denied(_) | Outcome::Unmet(..) | Outcome::Reported(..) | Outcome::AllowedWithoutToken(Some(_)) => {
                Some(DenialKind { decision: self.verdict(), reason: self.reason(), would_deny: self.would_deny() })
            }
            Outcome::Allowed(_) | Outcome::AllowedWithoutToken(None) => None,
        }
    }

    /// The reason that the rule only reports.
    pub const fn would_deny(&self) -> Option<&'static str> {
        match self.outcome {
            Outcome::Reported(_, reason) | Outcome::AllowedWithoutToken(Some(reason)) => Some(reason.name()),
            Outcome::Allowed(_) | Outcome::AllowedWithoutToken(None) | Outcome::Denied(_) | Outcome::Unmet(..) => None,
        }
    }

    pub const fn verdict(&self) -> &'static str {
        match self.outcome {
            Outcome::Allowed(_) | Outcome::Reported(..) | Outcome::AllowedWithoutToken(_) => "allow",
            Outcome::Denied(_) | Outcome::Unmet(..) => "deny",
        }
    }

    pub const fn rule(&self) -> Option<&Rc<str>> {
        self.rule.as_ref()
    }

    /// The configured name of the provider.
    pub fn provider(&self) -> Option<&Rc<str>> {
        self.issued_by.as_ref().map(|issued_by| &issued_by.provider)
    }

    pub fn issuer(&self) -> Option<&str> {
        self.issued_by.as_ref().and_then(|issued_by| issued_by.issuer.as_deref())
    }

    /// The scopes that the rule requires; of alternatives the first.
    pub fn required_scopes(&self) -> Vec<&str> {
        self.requirement.as_ref().map(|requirement| requirement.scopes_to_request()).unwrap_or_default()
    }

    /// The location of the credential: `header`, `cookie` or `query`.
    pub fn source(&self) -> Option<&'static str> {
        self.source.map(CredentialLocation::name)
    }

    /// What the authenticated token is bound to: `dpop`, `mtls` or `dpop_mtls`. The client has proved to have it.
    pub fn sender_constraint(&self) -> Option<&'static str> {
        self.token().and_then(|token| token.binding().kind()).map(BindingKind::name)
    }

    /// The same for metrics: `none` without a binding, where tokens of the provider may be bound.
    pub fn counted_constraint(&self) -> Option<&'static str> {
        let counted = self.token().filter(|token| token.constraint_modes().accept_some());
        counted.map(|token| token.binding().kind().map_or("none", BindingKind::name))
    }

    /// The authenticated token.
    fn token(&self) -> Option<&ValidatedToken> {
        match &self.outcome {
            Outcome::Allowed(token) | Outcome::Reported(token, _) | Outcome::Unmet(token, _) => Some(token),
            Outcome::AllowedWithoutToken(_) | Outcome::Denied(_) => None,
        }
    }

    /// What the token was authenticated by: `verified`, `cached` or `introspected`.
    pub fn proof(&self) -> Option<&'static str> {
        self.verification.map(|evidence| match evidence.proof {
            Proof::Verified => "verified",
            Proof::Cached => "cached",
            Proof::Introspected => "introspected",
        })
    }

    /// How fresh the introspection response is: `fresh` or `stale`.
    pub fn introspection(&self) -> Option<&'static str> {
        let introspection = self.verification.and_then(|evidence| evidence.introspection);
        introspection.map(|freshness| match freshness {
            Freshness::Fresh => "fresh",
            Freshness::Stale => "stale",
        })
    }

    pub const fn reason(&self) -> &'static str {
        match &self.outcome {
            Outcome::Allowed(_) | Outcome::Reported(..) => "authorized",
            Outcome::AllowedWithoutToken(_) => "no_token_required",
            Outcome::Denied(reason) => reason.name(),
            Outcome::Unmet(_, reason) => reason.name(),
        }
    }

    /// The record as one line of JSON.
    pub fn to_json(&self) -> String {
        let token = self.token();
        let binding = token.map(|token| *token.binding()).unwrap_or_default();
        let line = Line {
            schema: SCHEMA,
            decision: self.verdict(),
            reason: self.reason(),
            request_id: self.request.as_ref().and_then(|request| request.id.as_deref()),
            method: self.request.as_ref().and_then(|request| request.method.as_deref()),
            host: self.request.as_ref().and_then(|request| request.host.as_deref()),
            path: self.request.as_ref().and_then(|request| request.path.as_deref()),
            rule: self.rule.as_deref().map(bounded),
            would_deny: self.would_deny(),
            provider: self.provider().map(|name| bounded(name)),
            issuer: self.issuer().map(bounded),
            unknown_issuer: self.unknown_issuer.as_deref(),
            subject: token.and_then(ValidatedToken::subject).map(bounded),
            client: token.and_then(ValidatedToken::client).map(bounded),
            jti: token.and_then(|token| claim(token, "jti")).map(bounded),
            scopes: token
                .map(|token| bounded_list(token.scopes().iter().map(String::as_str), MAX_SCOPES_BYTES))
                .unwrap_or_default(),
            required_scopes: bounded_list(self.required_scopes().into_iter(), MAX_REQUIRED_SCOPES_BYTES),
            acr: token.and_then(|token| claim(token, "acr")).map(bounded),
            sender_constraint: self.sender_constraint(),
            jkt: binding.key.as_ref().map(ToString::to_string),
            x5t_s256: binding.certificate.as_ref().map(ToString::to_string),
            source: self.source(),
            proof: self.proof(),
            introspection: self.introspection(),
            waited_ms: self.waited.map(|waited| u64::try_from(waited.as_millis()).unwrap_or(u64::MAX)),
            sampled: match self.sampling {
                Sampling::Sampled(share) => Some(share.as_f64()),
                Sampling::Always | Sampling::Dropped => None,
            },
        };
        serde_json::to_string(&line).unwrap_or_default()
    }
}

fn claim<'a>(token: &'a ValidatedToken, name: &str) -> Option<&'a str> {
    match token.claims().string(name) {
        Claim::Valid(text) => Some(text),
        Claim::Absent | Claim::Malformed => None,
    }
}
