//! Protected resource metadata (RFC 9728) on the wire: the answer to whoever asks for the document, and the pointer to it
//! in the challenges of refusals.

use crate::engine::deny_reason::DenyReason;
use crate::engine::reply::Refusal;
use crate::http::{HeaderName, HeaderValue, Reply, RequestHead};
use crate::policy::{ProtectedResources, Rule};

const METHODS: &str = "GET, HEAD, OPTIONS";

/// The answer to a request for metadata, without a token and before all rules: who asks has none yet. The document is
/// public, so that pages of any origin may read it: MCP clients also run in browsers.
pub(super) fn answer(resources: &ProtectedResources, head: &RequestHead) -> Option<Reply> {
    let resource = resources.described_at(head)?;
    let mut methods = head.values(":method");
    let reply = match (methods.next(), methods.next()) {
        (Some(b"GET" | b"HEAD"), None) => reply(
            200,
            vec![
                field(HeaderName::CONTENT_TYPE, "application/json"),
                field(HeaderName::CACHE_CONTROL, "public, max-age=3600"),
            ],
            resource.document.clone(),
        ),
        // A preflight comes where a page sends a field of its own, as MCP clients do (`mcp-protocol-version`).
        (Some(b"OPTIONS"), None) => reply(
            204,
            vec![
                field(HeaderName::ALLOW, METHODS),
                field(HeaderName::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
                field(HeaderName::ACCESS_CONTROL_ALLOW_HEADERS, "*"),
                field(HeaderName::ACCESS_CONTROL_MAX_AGE, "3600"),
            ],
            Vec::new(),
        ),
        _ => reply(405, vec![field(HeaderName::ALLOW, METHODS)], Vec::new()),
    };
    Some(reply)
}

/// Adds to a challenge where the metadata stand (RFC 9728 section 5.1) and, where no scope was told and no token
/// judged, which scopes to ask for: MCP clients begin with these (MCP authorization, 2025-11-25).
pub(super) fn point_to_it(reply: &mut Reply, refusal: &Refusal<'_>, rule: &Rule, resources: &ProtectedResources) {
    // A malformed request is not mended by another token.
    if matches!(refusal.reason, DenyReason::CredentialRepeated | DenyReason::Rule(_)) {
        return;
    }
    let Some((_, challenge)) = reply.headers.iter_mut().find(|(name, _)| *name == HeaderName::WWW_AUTHENTICATE) else {
        return;
    };
    let Some(resource) = resources.of(refusal.head) else { return };
    let mut text = challenge.as_str().to_owned();
    let enforced = rule.requirement.as_ref().filter(|_| !rule.report_only);
    let scopes = enforced.map(|requirement| requirement.scopes_to_ask_for()).unwrap_or_default();
    if !matches!(refusal.reason, DenyReason::Unmet(_)) && !scopes.is_empty() {
        // The loader takes scopes only that need no escape within quotes.
        text.push_str(&format!(", scope=\"{}\"", scopes.join(" ")));
    }
    text.push_str(&format!(", resource_metadata=\"{}\"", resource.address.metadata_address()));
    if let Some(value) = HeaderValue::parse(&text) {
        *challenge = value;
    }
}

fn reply(status: u16, headers: Vec<(HeaderName, HeaderValue)>, body: Vec<u8>) -> Reply {
    let mut headers = headers;
    headers.push(field(HeaderName::ACCESS_CONTROL_ALLOW_ORIGIN, "*"));
    Reply { status, headers, body }
}

fn field(name: HeaderName, value: &str) -> (HeaderName, HeaderValue) {
    (name, HeaderValue::encode(value, None))
}
