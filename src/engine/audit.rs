//! The audit record of one decision: what a security team needs to know of it, never a token.
//!
//! Only configured names and *proved* claims are in it; of a token that failed nothing but its failure.
//! Every text is bounded, so no client decides how long a log line is. A record refers to what it tells
//! and is written out only when somebody logs it: most admitted requests are not logged.

use std::rc::Rc;

use serde::Serialize;

use crate::engine::deny_reason::DenyReason;
use crate::http::RequestHead;
use crate::introspection::Freshness;
use crate::jose::Claim;
use crate::policy::{AdmittedToken, Provider, Rule, UnmetReason};

/// The version of the record's form.
const SCHEMA: u32 = 1;
const MAX_TEXT_CHARS: usize = 256;

/// One decision, as it may be logged.
#[derive(Clone, Debug)]
pub struct AuditRecord {
    request_id: Option<String>,
    rule: Option<Rc<str>>,
    provider: Option<Rc<str>>,
    outcome: Outcome,
    introspection: Option<Freshness>,
}

#[derive(Clone, Debug)]
enum Outcome {
    Allowed(Rc<AdmittedToken>),
    /// Good for the rule but for this, which is only reported.
    Reported(Rc<AdmittedToken>, UnmetReason),
    /// A rule on trial would have kept it out for this.
    AllowedWithoutToken(Option<UnmetReason>),
    Denied(DenyReason),
    /// A good token that does not do for the rule: whose it is was proved.
    Unmet(Rc<AdmittedToken>, UnmetReason),
}

/// The record's members in their order.
#[derive(Serialize)]
struct Line<'a> {
    schema: u32,
    decision: &'static str,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    would_deny: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    introspection: Option<&'static str>,
}

impl AuditRecord {
    /// A request that may pass; `unmet` would have kept it out if it were not only reported.
    pub fn allowed(
        request_id: Option<String>,
        rule: &Rule,
        provider: Rc<str>,
        token: Rc<AdmittedToken>,
        unmet: Option<UnmetReason>,
    ) -> Self {
        let outcome = match unmet {
            None => Outcome::Allowed(token),
            Some(reason) => Outcome::Reported(token, reason),
        };
        Self { request_id, rule: rule.name.clone(), provider: Some(provider), outcome, introspection: None }
    }

    /// A request that needs no token; `unmet` as above.
    pub fn allowed_without_token(request_id: Option<String>, rule: &Rule, unmet: Option<UnmetReason>) -> Self {
        Self {
            request_id,
            rule: rule.name.clone(),
            provider: None,
            outcome: Outcome::AllowedWithoutToken(unmet),
            introspection: None,
        }
    }

    /// A request that is refused; `provider` is known when the token names a configured issuer.
    pub fn denied(request_id: Option<String>, rule: &Rule, provider: Option<&Provider>, reason: DenyReason) -> Self {
        let provider = provider.map(|provider| Rc::clone(&provider.name));
        Self { request_id, rule: rule.name.clone(), provider, outcome: Outcome::Denied(reason), introspection: None }
    }

    /// A good token that may not do this.
    pub fn unmet(
        request_id: Option<String>,
        rule: &Rule,
        provider: Rc<str>,
        token: Rc<AdmittedToken>,
        reason: UnmetReason,
    ) -> Self {
        Self {
            request_id,
            rule: rule.name.clone(),
            provider: Some(provider),
            outcome: Outcome::Unmet(token, reason),
            introspection: None,
        }
    }

    /// How good its issuer's answer was, where it was asked.
    #[must_use]
    pub fn introspected(self, introspection: Option<Freshness>) -> Self {
        Self { introspection, ..self }
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
    pub const fn provider(&self) -> Option<&Rc<str>> {
        self.provider.as_ref()
    }

    /// The reason's name.
    pub const fn reason(&self) -> &'static str {
        match &self.outcome {
            Outcome::Allowed(_) | Outcome::Reported(..) => "admitted",
            Outcome::AllowedWithoutToken(_) => "no_token_needed",
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
            provider: self.provider.as_deref().map(bounded),
            subject: token.and_then(AdmittedToken::subject).map(bounded),
            client: token.and_then(AdmittedToken::client).map(bounded),
            jti: token.and_then(token_id).map(bounded),
            introspection: self.introspection.map(|freshness| match freshness {
                Freshness::Fresh => "fresh",
                Freshness::Stale => "stale",
            }),
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

fn token_id(token: &AdmittedToken) -> Option<&str> {
    match token.claims().text("jti") {
        Claim::Valid(id) => Some(id),
        Claim::Absent | Claim::Malformed => None,
    }
}

fn bounded(text: &str) -> &str {
    let end = text.char_indices().nth(MAX_TEXT_CHARS).map_or(text.len(), |(end, _)| end);
    text.get(..end).unwrap_or_default()
}
