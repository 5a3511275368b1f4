//! `responses.debug` -> [`DebugCallers`]: a long secret, in a header with no other use.

use super::Diagnostics;
use super::introspection::look_up;
use super::reserved_headers::reserved;
use super::responses::why_not_yours;
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
    let header = header
        .filter(|name| name.as_str().len() <= 64 && reserved(name).is_none() && why_not_yours(name.as_str()).is_none());
    if header.is_none() {
        diagnostics.invalid(&header_at, "the name of a header of your own, such as \"x-auth-debug\"");
    }
    let header = header.filter(|name| {
        let is_taken = is_taken(name);
        if is_taken {
            diagnostics.invalid(&header_at, "this header is used for something else; choose another");
        }
        !is_taken
    });
    let secret = diagnostics.required(
        secret,
        &secret_at,
        "who shows it is told why a request is refused; write where it is found: {\"env\": \"AUTH_DEBUG_KEY\"}",
    );
    let secret = secret.and_then(|secret| look_up(secret, &secret_at, diagnostics));
    let secret = secret.filter(|secret| {
        let is_visible = secret.reveal().bytes().all(|byte| byte.is_ascii_graphic());
        let is_usable = SECRET_BYTES.contains(&secret.reveal().len()) && is_visible;
        if !is_usable {
            diagnostics.invalid(
                &secret_at,
                "the variable must hold 16 to 256 ASCII characters and no space; `openssl rand -hex 16` makes some",
            );
        }
        is_usable
    });
    diagnostics.warnings.push(String::from(
        "responses.debug is on: whoever knows its secret learns of every refusal which check failed, and may try until none does",
    ));
    Some(DebugCallers::new(header?, secret?.reveal().as_bytes()))
}
