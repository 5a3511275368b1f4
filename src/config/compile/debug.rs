//! `responses.debug` -> [`DebugCallers`]: a long secret, in a header with no other use.

use super::diagnostics::Diagnostics;
use super::reserved_headers::{reserved, response_field_reason};
use super::secret::look_up;
use super::warnings;
use crate::config::error::Path;
use crate::config::schema::responses::DebugDocument;
use crate::http::HeaderName;
use crate::policy::DebugCallers;

const HEADER: &str = "x-auth-debug";
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 16..=256;

/// Compiles `debug`; `None` with an error. `is_taken` knows the headers with another use.
pub(super) fn debug(
    document: DebugDocument,
    is_taken: &dyn Fn(&HeaderName) -> bool,
    at: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<DebugCallers> {
    let DebugDocument { header, secret } = document;
    let (header_at, secret_at) = (at.member("header"), at.member("secret"));
    let header = header.map_or_else(|| HeaderName::parse(HEADER), |name| HeaderName::parse(&name));
    let header = header.filter(|name| {
        name.as_str().len() <= 64 && reserved(name).is_none() && response_field_reason(name.as_str()).is_none()
    });
    let hint = "the name of a header of your own, such as \"x-auth-debug\"";
    let header = diagnostics.parsed(header, &header_at, hint).filter(|name| {
        diagnostics.check(!is_taken(name), &header_at, "this header is used for something else; choose another")
    });
    let secret = diagnostics.required(
        secret,
        &secret_at,
        "callers who send it receive the reason of a denial; write where it is found: {\"env\": \"AUTH_DEBUG_KEY\"}",
    );
    let secret = secret.and_then(|secret| look_up(secret, &secret_at, diagnostics));
    let secret = secret.filter(|secret| {
        let is_visible = secret.reveal().bytes().all(|byte| byte.is_ascii_graphic());
        diagnostics.check(
            SECRET_BYTES.contains(&secret.reveal().len()) && is_visible,
            &secret_at,
            "the variable must hold 16 to 256 ASCII characters and no space; `openssl rand -hex 16` makes some",
        )
    });
    diagnostics.warn(&warnings::DEBUG_RESPONSES, at);
    Some(DebugCallers::new(header?, secret?.reveal().as_bytes()))
}
