//! `claim_to_headers` -> [`ForwardedClaim`]s: headers that claims are forwarded in, one claim each.

use super::diagnostics::Diagnostics;
use super::reserved_headers::{Reserved, reserved};
use crate::config::error::Path;
use crate::config::schema::ClaimToHeaderDocument;
use crate::http::HeaderName;
use crate::policy::{ClaimFormat, ClaimSource, ForwardedClaim};

/// Compiles `claim_to_headers`; `None` with an error.
pub(super) fn forwarded_claims(
    documents: Option<Vec<ClaimToHeaderDocument>>,
    at: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Vec<ForwardedClaim>> {
    let Some(documents) = documents else { return default_forwarded_claims() };
    diagnostics.each(documents, at, |diagnostics, document, at, claims: &[ForwardedClaim]| {
        let header_at = at.member("header");
        let header =
            diagnostics.required(document.header, &header_at, "write the name of the header the backend receives");
        let claim = diagnostics.required(document.claim, &at.member("claim"), "write the name of the claim");
        let header = header.and_then(|name| own_header(&name, &header_at, diagnostics));
        let (header, claim) = (header?, claim?);
        diagnostics.check(
            !claims.iter().any(|other| other.header.folds_to(header.as_str())),
            &header_at,
            "another entry writes the same header, or another spelling of it that backends fold to one",
        );
        let format = document.format.unwrap_or(ClaimFormat::String);
        Some(ForwardedClaim { header, source: ClaimSource::Claim(claim.0), format })
    })
}

/// Compiles `forward_payload_header`. `claims` are the headers in use.
pub(super) fn payload_header(
    name: Option<String>,
    claims: &[ForwardedClaim],
    at: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<HeaderName> {
    let header = own_header(&name?, at, diagnostics)?;
    let is_new = !claims.iter().any(|claim| claim.header.folds_to(header.as_str()));
    diagnostics.check(is_new, at, "a header of `claim_to_headers`, or another spelling of one");
    Some(header)
}

/// Compiles `request_headers_to_remove`; `None` with an error. `claims` and `payload` are removed already.
pub(super) fn removed_headers(
    names: Option<Vec<String>>,
    claims: &[ForwardedClaim],
    payload: Option<&HeaderName>,
    at: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Vec<HeaderName>> {
    diagnostics.each(names.unwrap_or_default(), at, |diagnostics, name, at, removed| {
        let header = HeaderName::parse(&name).filter(|name| !is_needed(name));
        let header = diagnostics.parsed(header, at, "not a header name, or one that the request itself needs")?;
        let mut known = claims.iter().map(|claim| &claim.header).chain(payload).chain(removed);
        let is_new = !known.any(|known| known.folds_to(header.as_str()));
        diagnostics.check(is_new, at, "duplicate entry: this header, or another spelling of it, is removed already");
        Some(header)
    })
}

/// Whether requests require the header: it frames the message, or Envoy routes and traces by it.
fn is_needed(name: &HeaderName) -> bool {
    let is_framing = reserved(name) == Some(Reserved::Framing);
    let is_envoys = matches!(name.as_str(), "x-forwarded-for" | "x-forwarded-proto" | "x-request-id");
    is_framing || is_envoys || name.as_str() == "cookie" || name.as_str().starts_with("x-envoy-")
}

fn default_forwarded_claims() -> Option<Vec<ForwardedClaim>> {
    let default =
        |header: &str, source, format| Some(ForwardedClaim { header: HeaderName::parse(header)?, source, format });
    [
        default("x-user-id", ClaimSource::Subject, ClaimFormat::String),
        default("x-client-id", ClaimSource::Client, ClaimFormat::String),
        default("x-granted-scopes", ClaimSource::Scopes, ClaimFormat::Space),
    ]
    .into_iter()
    .collect()
}

/// A header that claims may be forwarded in.
fn own_header(name: &str, at: &Path, diagnostics: &mut Diagnostics<'_>) -> Option<HeaderName> {
    let header = HeaderName::parse(name).ok_or("not a header name (RFC 9110 section 5.1)");
    let header = header.and_then(|name| reserved(&name).map(Reserved::reason).map_or(Ok(name), Err));
    diagnostics.accept(header, at)
}
