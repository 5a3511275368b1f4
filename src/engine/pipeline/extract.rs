//! First step: finds the rule, the credential, and what to remove from the head. Concludes where the rule needs no token.

use std::borrow::Cow;
use std::rc::Rc;

use super::request::RequestContext;
use crate::engine::deny_reason::DenyReason;
use crate::http::RequestHead;
use crate::policy::token_source::Credential;
use crate::policy::{Access, AnonymousAccess, Attribute, Policy, UnremovableCredential};
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
    context.rule = policy.rules.find(head)?;
    if policy.rules.rule(context.rule).access == Access::Deny {
        return Err(DenyReason::AccessDenied);
    }
    context.removals = policy.strip(head)?;
    let credential = policy.token_source.find(head);
    if let (false, Some(attributes)) = (has_attributes, policy.rules.required_attributes(context.rule, &credential)) {
        return Ok(Extracted::NeedAttributes(attributes));
    }
    let request = context.authorization_request(None, now);
    if let Some(access) = policy.rules.anonymous_access(context.rule, &credential, &request)? {
        if access.is_preflight() {
            context.removals = policy.token_source.strip_preflight(head, std::mem::take(&mut context.removals))?;
        }
        return Ok(Extracted::Anonymous(access));
    }
    let reason = match credential {
        Credential::Token(text, location) => {
            context.source = Some(location);
            return Ok(Extracted::Token(Redacted::new(text)));
        }
        Credential::Missing => DenyReason::TokenMissing,
        Credential::Multiple => DenyReason::MultipleCredentials,
        Credential::Malformed => DenyReason::CredentialMalformed,
        Credential::TooLarge => DenyReason::TokenTooLarge,
    };
    Err(reason)
}

impl From<UnremovableCredential> for DenyReason {
    fn from(UnremovableCredential: UnremovableCredential) -> Self {
        Self::CredentialMalformed
    }
}
