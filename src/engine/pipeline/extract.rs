//! First step: finds the rule, the credential, and what to remove from the head. Concludes where the rule needs no token.

use std::borrow::Cow;
use std::rc::Rc;

use super::request::RequestContext;
use crate::engine::deny_reason::DenyReason;
use crate::engine::trace::{AnonymousCheck, TraceEvent};
use crate::http::RequestHead;
use crate::policy::token_source::Credential;
use crate::policy::{Access, AnonymousAccess, Attribute, Policy, UnmetReason, UnremovableCredential};
use crate::redacted::Redacted;
use crate::unix_time::UnixTime;

/// What a head holds.
pub(super) enum Extracted<'a> {
    Token(Redacted<Cow<'a, [u8]>>),
    /// The rule needs no token.
    Anonymous(AnonymousAccess),
    /// The rule needs these of the host first.
    NeedAttributes(Rc<[Attribute]>),
}

pub(super) fn extract<'a>(
    head: &'a RequestHead,
    context: &mut RequestContext<'a>,
    has_attributes: bool,
    policy: &Policy,
    now: UnixTime,
) -> Result<Extracted<'a>, DenyReason> {
    let rule = policy.rules.find(head);
    context.trace.record(|| TraceEvent::Rule(rule));
    context.rule = rule?;
    if policy.rules.rule(context.rule).access == Access::Deny {
        return Err(DenyReason::AccessDenied);
    }
    context.removals = policy.strip(head).inspect_err(|_| context.trace.record(|| TraceEvent::Unremovable))?;
    let credential = policy.token_source.find(head);
    if let (false, Some(attributes)) = (has_attributes, policy.required_attributes(context.rule, &credential)) {
        return Ok(Extracted::NeedAttributes(attributes));
    }
    let request = context.authorization_request(None, now);
    let anonymous = policy.rules.anonymous_access(context.rule, &credential, &request);
    let token = match credential {
        Credential::Token(text, location) => Ok((text, location)),
        Credential::Missing => Err(DenyReason::TokenMissing),
        Credential::Multiple => Err(DenyReason::MultipleCredentials),
        Credential::Malformed => Err(DenyReason::CredentialMalformed),
        Credential::TooLarge => Err(DenyReason::TokenTooLarge),
    };
    context.trace.record(|| TraceEvent::Credential {
        rule: context.rule,
        location: token.as_ref().map(|(_, location)| *location).map_err(|reason| *reason),
        anonymous: anonymous_check(&anonymous),
    });
    if let Some(access) = anonymous? {
        if access.is_preflight() {
            let removals = std::mem::take(&mut context.removals);
            let stripped = policy.token_source.strip_preflight(head, removals);
            context.removals = stripped.inspect_err(|_| context.trace.record(|| TraceEvent::Unremovable))?;
        }
        return Ok(Extracted::Anonymous(access));
    }
    let (text, location) = token?;
    context.source = Some(location);
    Ok(Extracted::Token(Redacted::new(text)))
}

const fn anonymous_check(access: &Result<Option<AnonymousAccess>, UnmetReason>) -> AnonymousCheck {
    match access {
        Ok(None) => AnonymousCheck::TokenRequired,
        Ok(Some(access)) => AnonymousCheck::Allowed { would_deny: access.would_deny() },
        Err(reason) => AnonymousCheck::Unmet(*reason),
    }
}

impl From<UnremovableCredential> for DenyReason {
    fn from(UnremovableCredential: UnremovableCredential) -> Self {
        Self::CredentialMalformed
    }
}
