//! The challenge: which token would help (RFC 9110 section 11.6.1, RFC 6750 section 3, RFC 9470 section 3).

use std::fmt::Write as _;

use super::{Denial, Message};
use crate::http::HeaderValue;
use crate::policy::Policy;

/// The value of `WWW-Authenticate`. `None` if no other token is known to help.
pub(super) fn challenge(message: &Message<'_>, refusal: &Denial<'_>, policy: &Policy) -> Option<HeaderValue> {
    let mut challenge = format!("Bearer realm={}", quoted(&policy.responses.realm));
    match message {
        Message::Forbidden | Message::Unavailable(_) => return None,
        // There was no credential, so there is no error.
        Message::NoCredential => {}
        Message::InvalidToken | Message::InvalidRequest => add(&mut challenge, "error", &quoted(message.error())),
        Message::ScopeMissing(scopes) => {
            add(&mut challenge, "error", &quoted(message.error()));
            add(&mut challenge, "scope", &list(scopes));
        }
        Message::StepUpRequired { acr_values, max_age, scopes } => {
            add(&mut challenge, "error", &quoted(message.error()));
            if !acr_values.is_empty() {
                add(&mut challenge, "acr_values", &list(acr_values));
            }
            if let Some(age) = max_age {
                add(&mut challenge, "max_age", &quoted(&age.as_secs().to_string()));
            }
            if !scopes.is_empty() {
                add(&mut challenge, "scope", &list(scopes));
            }
        }
    }
    // Another token does not correct a malformed request.
    let is_malformed = matches!(message, Message::InvalidRequest);
    if let (false, Some(resource)) = (is_malformed, policy.resources.find(refusal.head)) {
        // Without an authenticated token, MCP clients start with these scopes (MCP authorization, 2025-11-25).
        let enforced = refusal.rule.requirement.as_ref().filter(|_| !refusal.rule.report_only);
        let scopes = enforced.map(|requirement| requirement.scopes_to_request()).unwrap_or_default();
        if matches!(message, Message::NoCredential | Message::InvalidToken) && !scopes.is_empty() {
            add(&mut challenge, "scope", &list(&scopes));
        }
        // RFC 9728 section 5.1
        add(&mut challenge, "resource_metadata", &quoted(resource.address.metadata_address()));
    }
    // Not encoded: an encoded `%` would change the scope `a%b`. The loader rejects unsafe values.
    Some(HeaderValue::parse(&challenge).unwrap_or_else(|| HeaderValue::encode(&challenge, None)))
}

fn add(challenge: &mut String, name: &str, value: &str) {
    // Writing to a string does not fail.
    let _ = write!(challenge, ", {name}={value}");
}

fn list(items: &[&str]) -> String {
    quoted(&items.join(" "))
}

/// A quoted-string (RFC 9110 section 5.6.4).
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
