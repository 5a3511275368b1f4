//! The audit record of one decision: what a security team needs to know of it, never a token.
//!
//! Only configured names and *proved* claims are in it; of a token that failed nothing but its failure.
//! Every string is bounded in bytes, so no client decides how long a log line is: a record has [`MAX_BYTES`] at most. A
//! record refers to what it tells and is written out only when somebody logs it: most admitted requests are not logged.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;

use crate::engine::deny_reason::DenyReason;
use crate::http::RequestHead;
use crate::introspection::Freshness;
use crate::jose::Claim;
use crate::policy::{
    AuditTrail, CredentialLocation, Logged, Provider, Requirement, Rule, SampleRate, UnmetReason, ValidatedToken,
};

/// The version of the record's form.
pub(super) const SCHEMA: u32 = 1;
/// The longest record, as it is written.
pub const MAX_BYTES: usize = 4096;
/// The longest string, as JSON writes it.
const MAX_TEXT_BYTES: usize = 256;
/// What the entries of a list have together, and how many there are.
const MAX_SCOPES_BYTES: usize = 768;
const MAX_REQUIRED_SCOPES_BYTES: usize = 512;
const MAX_LISTED: usize = 64;
/// The end of a string that was cut, and the last entry of such a list.
const CUT: &str = "…";

/// One decision, as it may be logged.
#[derive(Clone, Debug)]
pub struct AuditRecord {
    request_id: Option<String>,
    rule: Option<Rc<str>>,
    requirement: Option<Rc<Requirement>>,
    issued_by: Option<IssuerInfo>,
    outcome: Outcome,
    source: Option<CredentialLocation>,
    verification: Option<Verification>,
    waited: Option<Duration>,
    sampling: Sampling,
}

/// Whether a record is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Sampling {
    /// It is, as all of its kind are.
    #[default]
    Always,
    /// It is, and others of its kind are not.
    Sampled(SampleRate),
    /// It is not.
    Dropped,
}

/// What refusals have in common that are limited together. Not the rule: with a thousand rules a client that asks for
/// each would have a thousand times as many lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DenialKind {
    /// `allow` where the rule is `report_only`.
    pub(super) decision: &'static str,
    pub(super) reason: &'static str,
    pub(super) would_deny: Option<&'static str>,
}

/// How a good token was proved for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verification {
    pub(super) proof: Proof,
    /// How good its issuer's answer was, where it was asked.
    pub(super) introspection: Option<Freshness>,
}

/// What a good token was proved by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// Its signature, for this request.
    Verified,
    /// Its signature, for an earlier one.
    Cached,
    /// Its issuer's word.
    Introspected,
}

#[derive(Clone, Debug)]
struct IssuerInfo {
    /// The operator's name for the issuer.
    provider: Rc<str>,
    /// The issuer that the token names; not known of an opaque token whose provider has several.
    issuer: Option<Rc<str>>,
}

#[derive(Clone, Debug)]
enum Outcome {
    Allowed(Rc<ValidatedToken>),
    /// Good for the rule but for this, which is only reported.
    Reported(Rc<ValidatedToken>, UnmetReason),
    /// A rule on trial would have kept it out for this.
    AllowedWithoutToken(Option<UnmetReason>),
    Denied(DenyReason),
    /// A good token that does not do for the rule: whose it is was proved.
    Unmet(Rc<ValidatedToken>, UnmetReason),
}

/// The record's members in their order; `docs/audit-record.schema.json` describes them.
#[derive(Serialize)]
struct Line<'a> {
    schema: u32,
    decision: &'static str,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    would_deny: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<Cow<'a, str>>,
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
    /// A request that may pass; `unmet` would have kept it out if it were not only reported.
    pub(super) fn allowed(
        request_id: Option<String>,
        rule: &Rule,
        token: Rc<ValidatedToken>,
        unmet: Option<UnmetReason>,
    ) -> Self {
        let outcome = match unmet {
            None => Outcome::Allowed(token),
            Some(reason) => Outcome::Reported(token, reason),
        };
        Self::new(request_id, rule, outcome)
    }

    /// A request that needs no token; `unmet` as above.
    pub(super) fn allowed_without_token(request_id: Option<String>, rule: &Rule, unmet: Option<UnmetReason>) -> Self {
        Self::new(request_id, rule, Outcome::AllowedWithoutToken(unmet))
    }

    /// A request that is refused.
    pub(super) fn denied(request_id: Option<String>, rule: &Rule, reason: DenyReason) -> Self {
        Self::new(request_id, rule, Outcome::Denied(reason))
    }

    /// A good token that may not do this.
    pub(super) fn unmet(
        request_id: Option<String>,
        rule: &Rule,
        token: Rc<ValidatedToken>,
        reason: UnmetReason,
    ) -> Self {
        Self::new(request_id, rule, Outcome::Unmet(token, reason))
    }

    fn new(request_id: Option<String>, rule: &Rule, outcome: Outcome) -> Self {
        Self {
            request_id,
            rule: rule.name.clone(),
            requirement: rule.requirement.clone(),
            issued_by: None,
            outcome,
            source: None,
            verification: None,
            waited: None,
            sampling: Sampling::Always,
        }
    }

    /// The provider is known when the token names a configured issuer, proved or not.
    #[must_use]
    pub(super) fn with_issuer(self, provider: Option<&Provider>, issuer: Option<Rc<str>>) -> Self {
        let issued_by = |provider: &Provider| IssuerInfo { provider: Rc::clone(&provider.name), issuer };
        Self { issued_by: provider.map(issued_by), ..self }
    }

    /// Where the token stood.
    #[must_use]
    pub(super) fn with_source(self, source: Option<CredentialLocation>) -> Self {
        Self { source, ..self }
    }

    /// How a good token was proved.
    #[must_use]
    pub(super) fn with_verification(self, evidence: Verification) -> Self {
        Self { verification: Some(evidence), ..self }
    }

    /// The request was parked for so long.
    pub(super) const fn set_waited(&mut self, waited: Duration) {
        self.waited = Some(waited);
    }

    /// Says whether it is logged; until then it is.
    pub(super) const fn set_sampling(&mut self, entry: Sampling) {
        self.sampling = entry;
    }

    /// Whether somebody is to log it.
    pub fn is_logged(&self) -> bool {
        self.sampling != Sampling::Dropped
    }

    /// How much of its kind is logged: a refusal on trial counts as one.
    pub const fn extent(&self, trail: &AuditTrail) -> Logged {
        match self.outcome {
            Outcome::Denied(_) | Outcome::Unmet(..) | Outcome::Reported(..) | Outcome::AllowedWithoutToken(Some(_)) => {
                trail.denied
            }
            Outcome::Allowed(_) | Outcome::AllowedWithoutToken(None) => trail.allowed,
        }
    }

    /// What a refusal, also one on trial, has in common with others; nothing of what is admitted.
    pub(super) const fn denial_kind(&self) -> Option<DenialKind> {
        match self.outcome {
            Outcome::Denied(_) | Outcome::Unmet(..) | Outcome::Reported(..) | Outcome::AllowedWithoutToken(Some(_)) => {
                Some(DenialKind { decision: self.verdict(), reason: self.reason(), would_deny: self.would_deny() })
            }
            Outcome::Allowed(_) | Outcome::AllowedWithoutToken(None) => None,
        }
    }

    /// Why a rule on trial would have refused what passed.
    pub const fn would_deny(&self) -> Option<&'static str> {
        match self.outcome {
            Outcome::Reported(_, reason) | Outcome::AllowedWithoutToken(Some(reason)) => Some(reason.name()),
            Outcome::Allowed(_) | Outcome::AllowedWithoutToken(None) | Outcome::Denied(_) | Outcome::Unmet(..) => None,
        }
    }

    /// `allow` or `deny`.
    pub const fn verdict(&self) -> &'static str {
        match self.outcome {
            Outcome::Allowed(_) | Outcome::Reported(..) | Outcome::AllowedWithoutToken(_) => "allow",
            Outcome::Denied(_) | Outcome::Unmet(..) => "deny",
        }
    }

    /// The rule's name.
    pub const fn rule(&self) -> Option<&Rc<str>> {
        self.rule.as_ref()
    }

    /// The operator's name for the issuer.
    pub fn provider(&self) -> Option<&Rc<str>> {
        self.issued_by.as_ref().map(|issued_by| &issued_by.provider)
    }

    /// The issuer.
    pub fn issuer(&self) -> Option<&str> {
        self.issued_by.as_ref().and_then(|issued_by| issued_by.issuer.as_deref())
    }

    /// The scopes that the rule asks for, of several that would do the first.
    pub fn required_scopes(&self) -> Vec<&str> {
        self.requirement.as_ref().map(|requirement| requirement.scopes_to_request()).unwrap_or_default()
    }

    /// Where the token stood: `header`, `cookie` or `query`.
    pub fn source(&self) -> Option<&'static str> {
        self.source.map(CredentialLocation::name)
    }

    /// What a good token was proved by: `verified`, `cached` or `introspected`.
    pub fn proof(&self) -> Option<&'static str> {
        self.verification.map(|evidence| match evidence.proof {
            Proof::Verified => "verified",
            Proof::Cached => "cached",
            Proof::Introspected => "introspected",
        })
    }

    /// How good its issuer's answer was: `fresh` or `stale`.
    pub fn introspection(&self) -> Option<&'static str> {
        let introspection = self.verification.and_then(|evidence| evidence.introspection);
        introspection.map(|freshness| match freshness {
            Freshness::Fresh => "fresh",
            Freshness::Stale => "stale",
        })
    }

    /// The reason's name.
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
        let token = match &self.outcome {
            Outcome::Allowed(token) | Outcome::Reported(token, _) | Outcome::Unmet(token, _) => Some(token.as_ref()),
            Outcome::AllowedWithoutToken(_) | Outcome::Denied(_) => None,
        };
        let line = Line {
            schema: SCHEMA,
            decision: self.verdict(),
            reason: self.reason(),
            request_id: self.request_id.as_deref(),
            rule: self.rule.as_deref().map(bounded),
            would_deny: self.would_deny(),
            provider: self.provider().map(|name| bounded(name)),
            issuer: self.issuer().map(bounded),
            subject: token.and_then(ValidatedToken::subject).map(bounded),
            client: token.and_then(ValidatedToken::client).map(bounded),
            jti: token.and_then(|token| claim(token, "jti")).map(bounded),
            scopes: token
                .map(|token| bounded_list(token.scopes().iter().map(String::as_str), MAX_SCOPES_BYTES))
                .unwrap_or_default(),
            required_scopes: bounded_list(self.required_scopes().into_iter(), MAX_REQUIRED_SCOPES_BYTES),
            acr: token.and_then(|token| claim(token, "acr")).map(bounded),
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

/// The host's id of the request, when it is a plain text: it comes through the client.
pub fn request_id_of(head: &RequestHead) -> Option<String> {
    let id = head.values("x-request-id").next()?;
    let plain = !id.is_empty() && id.len() <= 64 && id.iter().all(u8::is_ascii_graphic);
    plain.then(|| String::from_utf8_lossy(id).into_owned())
}

fn claim<'a>(token: &'a ValidatedToken, name: &str) -> Option<&'a str> {
    match token.claims().string(name) {
        Claim::Valid(text) => Some(text),
        Claim::Absent | Claim::Malformed => None,
    }
}

/// As many of them as there is room for.
fn bounded_list<'a>(texts: impl Iterator<Item = &'a str>, room: usize) -> Vec<Cow<'a, str>> {
    let mut listed = Vec::new();
    let mut room = room;
    for text in texts {
        let text = bounded(text);
        // With its quotes and comma.
        let written = text.chars().map(written_bytes).fold(3, usize::saturating_add);
        match room.checked_sub(written) {
            Some(left) if listed.len().saturating_add(1) < MAX_LISTED => room = left,
            _ => {
                listed.push(Cow::Borrowed(CUT));
                break;
            }
        }
        listed.push(text);
    }
    listed
}

/// As much of a string as there is room for, up to a character's end.
fn bounded(text: &str) -> Cow<'_, str> {
    // Most are short, whatever is in them.
    if text.len() <= MAX_TEXT_BYTES / 6 {
        return Cow::Borrowed(text);
    }
    let mut written = 0_usize;
    let mut cut_at = 0;
    for (at, character) in text.char_indices() {
        if written.saturating_add(CUT.len()) <= MAX_TEXT_BYTES {
            cut_at = at;
        }
        written = written.saturating_add(written_bytes(character));
        if written > MAX_TEXT_BYTES {
            return Cow::Owned([text.get(..cut_at).unwrap_or_default(), CUT].concat());
        }
    }
    Cow::Borrowed(text)
}

/// How long a character is in JSON.
const fn written_bytes(character: char) -> usize {
    match character {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        other => other.len_utf8(),
    }
}
