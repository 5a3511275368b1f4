//! The audit record of one decision: what a security team needs to know of it, never a token.
//!
//! Only configured names and *proved* claims are in it; of a token that failed nothing but its failure.
//! Every text is bounded, so no client decides how long a log line is.

use serde::Serialize;

use crate::engine::deny_reason::DenyReason;
use crate::http::RequestHead;
use crate::jose::Claim;
use crate::policy::{AdmittedToken, Provider};

/// The version of the record's form.
const SCHEMA: u32 = 1;
const MAX_TEXT_CHARS: usize = 256;

/// One decision, as it is logged: a JSON object on one line.
#[derive(Clone, Debug, Serialize)]
pub struct AuditRecord {
    schema: u32,
    decision: &'static str,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<String>,
}

impl AuditRecord {
    /// A request that may pass.
    pub fn allowed(request_id: Option<String>, provider: &Provider, token: &AdmittedToken) -> Self {
        let jti = match token.claims().text("jti") {
            Claim::Valid(id) => Some(bounded(id)),
            Claim::Absent | Claim::Malformed => None,
        };
        Self {
            schema: SCHEMA,
            decision: "allow",
            reason: "admitted",
            request_id,
            provider: Some(bounded(&provider.name)),
            subject: token.subject().map(bounded),
            client: token.client().map(bounded),
            jti,
        }
    }

    /// A request that is refused; `provider` is known when the token names a configured issuer.
    pub fn denied(request_id: Option<String>, provider: Option<&Provider>, reason: DenyReason) -> Self {
        Self {
            schema: SCHEMA,
            decision: "deny",
            reason: reason.name(),
            request_id,
            provider: provider.map(|provider| bounded(&provider.name)),
            subject: None,
            client: None,
            jti: None,
        }
    }

    /// The reason's name.
    pub const fn reason(&self) -> &'static str {
        self.reason
    }

    /// The record as one line of JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The host's id of the request, when it is a plain text: it comes through the client.
pub fn request_id_of(head: &RequestHead) -> Option<String> {
    let id = head.values("x-request-id").next()?;
    let plain = !id.is_empty() && id.len() <= 64 && id.iter().all(u8::is_ascii_graphic);
    plain.then(|| String::from_utf8_lossy(id).into_owned())
}

fn bounded(text: &str) -> String {
    text.chars().take(MAX_TEXT_CHARS).collect()
}
