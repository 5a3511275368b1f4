//! `token` -> [`TokenSource`]: the locations of credentials, without contradictions.

use super::diagnostics::Diagnostics;
use super::reserved_headers::{Reserved, reserved};
use super::warnings;
use crate::config::error::Path;
use crate::config::schema::{FromHeaderDocument, TokenDocument};
use crate::http::HeaderName;
use crate::policy::token_source::{AuthScheme, CookieName, HeaderForm, HeaderSource, ParamName, ValuePrefix};
use crate::policy::{Forwarding, TokenSource};

const DEFAULT_MAX_TOKEN_BYTES: u32 = 8192;
/// Envoy's limit for all headers together.
const MAX_TOKEN_BYTES: u32 = 60 * 1024;

/// Compiles `token`; `None` with an error. `identity` are the headers of
/// forwarded claims, where no credential is read.
pub(super) fn token_source(
    token: TokenDocument,
    identity: Option<&Forwarding>,
    accepts_proofs: Option<bool>,
    at: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<TokenSource> {
    let max_bytes = token.max_bytes.unwrap_or(DEFAULT_MAX_TOKEN_BYTES);
    let is_in_range = (256..=MAX_TOKEN_BYTES).contains(&max_bytes);
    diagnostics.check(is_in_range, &at.member("max_bytes"), "between 256 and 61440");
    let headers_at = at.member("from_headers");
    let cookies_at = at.member("from_cookies");
    let params_at = at.member("from_params");
    let headers = match token.from_headers {
        Some(headers) => header_sources(headers, identity, &headers_at, diagnostics),
        None => default_headers(),
    };
    let cookies =
        names(token.from_cookies, CookieName::parse, "not a cookie name (RFC 6265)", &cookies_at, diagnostics);
    let hint = "a parameter name of letters, digits and `-._~` only";
    let params = names(token.from_params, ParamName::parse, hint, &params_at, diagnostics);
    let (mut headers, cookies, params) = (headers?, cookies?, params?);
    let reported = [&headers_at, &cookies_at, &params_at].iter().any(|at| at.is_reported(diagnostics.errors));
    if headers.is_empty() && cookies.is_empty() && params.is_empty() && !reported {
        diagnostics.invalid(
            at,
            "there is nowhere to look for a token; name a header, a cookie or a query parameter, or leave `from_headers` out",
        );
    }
    if !params.is_empty() {
        diagnostics.warn(&warnings::TOKEN_IN_QUERY, &params_at);
    }
    let max_bytes = usize::try_from(max_bytes).unwrap_or(usize::MAX);
    let exact_names = token.insecure_exact_names.unwrap_or(false);
    if exact_names {
        diagnostics.insecure(&warnings::INSECURE_EXACT_NAMES, &at.member("insecure_exact_names"));
    }
    let forward = token.forward.unwrap_or(false);
    match accepts_proofs {
        Some(true) => accept_dpop_scheme(&mut headers, &headers_at, diagnostics),
        Some(false) => reject_dpop_scheme(&headers, &headers_at, diagnostics),
        // The providers have an error.
        None => {}
    }
    if accepts_proofs == Some(true) && forward {
        diagnostics.warn(&warnings::BOUND_TOKEN_FORWARDED, &at.member("forward"));
    }
    Some(TokenSource { headers, cookies, params, forward, exact_names, max_bytes })
}

/// Clients send a token that is bound to a key as `Authorization: DPoP …` (RFC 9449 section 7.1).
fn accept_dpop_scheme(headers: &mut [HeaderSource], at: &Path, diagnostics: &mut Diagnostics<'_>) {
    let schemes = headers.iter_mut().find_map(|source| match &mut source.form {
        HeaderForm::Schemes(schemes) if source.name == HeaderName::AUTHORIZATION => Some(schemes),
        HeaderForm::Schemes(_) | HeaderForm::Whole | HeaderForm::Prefixes(_) => None,
    });
    match schemes {
        Some(schemes) if schemes.iter().any(AuthScheme::is_dpop) => {}
        Some(schemes) => schemes.push(AuthScheme::dpop()),
        None => diagnostics.invalid(
            at,
            "`sender_constraint.dpop` of a provider needs `authorization` with a scheme: {\"name\": \"authorization\", \"scheme\": \"Bearer\"}",
        ),
    }
}

fn reject_dpop_scheme(headers: &[HeaderSource], at: &Path, diagnostics: &mut Diagnostics<'_>) {
    let reads_dpop = headers
        .iter()
        .any(|source| matches!(&source.form, HeaderForm::Schemes(schemes) if schemes.iter().any(AuthScheme::is_dpop)));
    let hint = "the scheme `DPoP` is accepted where a provider has `sender_constraint.dpop`, which checks the proofs; leave it out here";
    diagnostics.check(!reads_dpop, at, hint);
}

fn default_headers() -> Option<Vec<HeaderSource>> {
    let form = HeaderForm::Schemes(vec![AuthScheme::parse("Bearer")?]);
    Some(vec![HeaderSource { name: HeaderName::AUTHORIZATION, form }])
}

/// The headers, each name once with all its schemes.
fn header_sources(
    documents: Vec<FromHeaderDocument>,
    identity: Option<&Forwarding>,
    at: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Vec<HeaderSource>> {
    let wanted = documents.len();
    let mut read = 0;
    let mut sources: Vec<HeaderSource> = Vec::new();
    for (index, document) in documents.into_iter().enumerate() {
        let at = at.item(index);
        let (name_at, scheme_at) = (at.member("name"), at.member("scheme"));
        let name = diagnostics.required(document.name, &name_at, "write the name of the header that carries the token");
        let name = name.and_then(|name| header_name(&name, identity, &name_at, diagnostics));
        let prefix_at = at.member("value_prefix");
        let hint = "printable ASCII that does not begin with a space, such as \"Bearer \"";
        let is_alone = document.value_prefix.is_none() || document.scheme.is_none();
        let prefix =
            document.value_prefix.and_then(|prefix| diagnostics.parsed(ValuePrefix::parse(&prefix), &prefix_at, hint));
        diagnostics.check(is_alone, &prefix_at, "not together with `scheme`; write one of the two");
        let hint = "the name of a scheme without spaces, such as \"Bearer\"";
        let scheme =
            document.scheme.and_then(|scheme| diagnostics.parsed(AuthScheme::parse(&scheme), &scheme_at, hint));
        let Some(name) = name else { continue };
        if scheme_at.is_reported(diagnostics.errors) || prefix_at.is_reported(diagnostics.errors) {
            continue;
        }
        let form = match (scheme, prefix) {
            (None, None) => HeaderForm::Whole,
            (Some(scheme), _) => HeaderForm::Schemes(vec![scheme]),
            (None, Some(prefix)) => HeaderForm::Prefixes(vec![prefix]),
        };
        if form == HeaderForm::Whole && name == HeaderName::AUTHORIZATION {
            diagnostics.warn(&warnings::AUTHORIZATION_WITHOUT_SCHEME, &name_at);
        }
        read += 1;
        add_header(&mut sources, HeaderSource { name, form }, &at, diagnostics);
    }
    (read == wanted).then_some(sources)
}

fn header_name(
    name: &str,
    identity: Option<&Forwarding>,
    at: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<HeaderName> {
    let name = match HeaderName::parse(name) {
        None => Err("not a header name (RFC 9110 section 5.1)"),
        Some(name) if name.folds_to("cookie") => {
            Err("cookies have a field of their own: name the cookie in `from_cookies`")
        }
        Some(name) => match reserved(&name) {
            // Headers that control the request or describe its body carry no token.
            Some(kind @ (Reserved::Framing | Reserved::Proxy | Reserved::Target)) => Err(kind.reason()),
            Some(Reserved::Credential | Reserved::Client) | None => Ok(name),
        },
    };
    let name = diagnostics.accept(name, at)?;
    if identity.is_some_and(|identity| identity.is_managed(name.as_str())) {
        diagnostics.invalid(at, "a header of `claim_to_headers`, `forward_payload_header` or `request_headers_to_remove`: it tells the backend who the user is and is never read");
        return None;
    }
    Some(name)
}

fn add_header(sources: &mut Vec<HeaderSource>, new: HeaderSource, at: &Path, diagnostics: &mut Diagnostics<'_>) {
    let Some(known) = sources.iter_mut().find(|known| known.name.folds_to(new.name.as_str())) else {
        sources.push(new);
        return;
    };
    let hint = match (&mut known.form, new.form) {
        _ if known.name != new.name => "another entry names the same header in another spelling",
        (HeaderForm::Schemes(known), HeaderForm::Schemes(new)) if !new.iter().any(|scheme| known.contains(scheme)) => {
            known.extend(new);
            return;
        }
        (HeaderForm::Prefixes(known), HeaderForm::Prefixes(new))
            if !new.iter().any(|prefix| known.iter().any(|known| known.overlaps(prefix))) =>
        {
            known.extend(new);
            return;
        }
        (HeaderForm::Schemes(_), HeaderForm::Schemes(_)) | (HeaderForm::Whole, HeaderForm::Whole) => {
            "another entry says the same"
        }
        (HeaderForm::Prefixes(_), HeaderForm::Prefixes(_)) => {
            "another entry has the same `value_prefix`, or one that contains it"
        }
        (HeaderForm::Schemes(_), HeaderForm::Whole) | (HeaderForm::Whole, HeaderForm::Schemes(_)) => {
            "another entry reads the same header with a scheme, or without one; write one of the two"
        }
        (HeaderForm::Prefixes(_), HeaderForm::Schemes(_) | HeaderForm::Whole)
        | (HeaderForm::Schemes(_) | HeaderForm::Whole, HeaderForm::Prefixes(_)) => {
            "another entry reads the same header with a `value_prefix`, or without one; write one of the two"
        }
    };
    diagnostics.invalid(at, hint);
}

/// A list of names, each once.
fn names<T: PartialEq>(
    names: Option<Vec<String>>,
    parse: fn(&str) -> Option<T>,
    hint: &'static str,
    at: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Vec<T>> {
    diagnostics.each(names.unwrap_or_default(), at, |diagnostics, name, at, names| {
        let name = diagnostics.parsed(parse(&name), at, hint)?;
        diagnostics.check(!names.contains(&name), at, "named twice").then_some(name)
    })
}
