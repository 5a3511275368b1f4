//! `callout_headers` -> [`CalloutHeaders`]: header fields of callouts, except those that the filter sets.

use std::collections::BTreeMap;

use super::diagnostics::Diagnostics;
use super::reserved_headers::{Reserved, reserved};
use super::secret::look_up;
use crate::config::error::Path;
use crate::config::schema::introspection::CalloutHeaderValue;
use crate::http::{HeaderName, HeaderValue};
use crate::policy::CalloutHeaders;
use crate::redacted::Redacted;

const MAX_HEADERS: usize = 16;
const MAX_VALUE_BYTES: usize = 4096;

/// Compiles the headers of one upstream; `None` with an error. `sets_authorization`: the filter authenticates
/// there with `authorization`.
pub(super) fn callout_headers(
    documents: Option<BTreeMap<String, CalloutHeaderValue>>,
    sets_authorization: bool,
    at: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<CalloutHeaders> {
    let documents = documents.unwrap_or_default();
    let count = documents.len();
    let is_short = diagnostics.check(count <= MAX_HEADERS, at, "at most 16 headers");
    let mut fields: Vec<(HeaderName, Redacted<String>)> = Vec::new();
    for (name, document) in documents {
        let at = at.member(&name);
        let name = match HeaderName::parse(&name) {
            None => Err("not a header name (RFC 9110 section 5.1); pseudo-headers come from `uri`"),
            Some(name) if fields.iter().any(|(other, _)| *other == name) => {
                Err("duplicate entry: header names ignore case")
            }
            Some(name) => why_not(&name, sets_authorization).map_or(Ok(name), Err),
        };
        let is_secret = name.as_ref().is_ok_and(|name| reserved(name) == Some(Reserved::Credential));
        let value = value(document, is_secret, &at, diagnostics);
        fields.extend(diagnostics.accept(name, &at).zip(value));
    }
    (fields.len() == count && is_short && !at.is_reported(diagnostics.errors)).then(|| CalloutHeaders::new(fields))
}

/// Why this header is reserved.
fn why_not(name: &HeaderName, sets_authorization: bool) -> Option<&'static str> {
    let text = name.as_str();
    if reserved(name) == Some(Reserved::Framing) {
        return Some("reserved: it frames the message, describes its body or belongs to the connection; remove it");
    }
    if text.starts_with("x-envoy-") || text == "x-forwarded-for" {
        return Some("reserved: Envoy writes it; remove it");
    }
    if matches!(text, "accept" | "accept-encoding" | "range") || text.starts_with("if-") {
        return Some("reserved: the filter decides which response it asks for; remove it");
    }
    (text == "authorization" && sets_authorization).then_some(
        "the filter sets it for `introspection` with \"client_secret_basic\"; remove it, or use another `client_auth`",
    )
}

fn value(
    document: CalloutHeaderValue,
    is_secret: bool,
    at: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Redacted<String>> {
    let (value, hint) = match document {
        CalloutHeaderValue::Text(_) if is_secret => {
            diagnostics.invalid(
                at,
                "a secret is not written here, but where it is found: {\"env\": \"NAME\"}; change the one that was",
            );
            return None;
        }
        CalloutHeaderValue::Text(text) => (
            Redacted::new(text),
            "not a header value: 1 to 4096 characters of printable ASCII, without a space at either end",
        ),
        CalloutHeaderValue::Secret(secret) => (
            look_up(secret, at, diagnostics)?,
            "the variable holds no header value: 1 to 4096 characters of printable ASCII, without a line end, or a space at either end",
        ),
    };
    let is_usable =
        (1..=MAX_VALUE_BYTES).contains(&value.reveal().len()) && HeaderValue::parse(value.reveal()).is_some();
    diagnostics.check(is_usable, at, hint).then_some(value)
}
