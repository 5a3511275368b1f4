//! `responses` -> [`Answers`]: bodies and headers that are safe to write, and redirects whose target no request
//! determines.

use std::collections::{BTreeMap, BTreeSet};

use super::debug::debug;
use super::diagnostics::{Diagnostics, present};
use super::reserved_headers::response_field_reason;
use super::warnings;
use crate::config::error::Path;
use crate::config::schema::responses::{
    CorsDocument, CustomDocument, CustomResponseDocument, LoginDocument, ResponsesDocument,
};
use crate::http::{HeaderName, HeaderValue, is_token};
use crate::policy::responses::{CustomBody, CustomResponse, CustomResponses, LoginAddress, ReturnBase};
use crate::policy::token_source::ParamName;
use crate::policy::{AllowedOrigins, Cors, Detail, Forwarding, Login, OriginPattern, Responses, TokenSource};

const REALM: &str = "okta-proxy-wasm";
const RETURN_TO: &str = "return_to";
/// The parameters that the filter adds for the login page (RFC 9470 section 4).
const STEP_UP: [&str; 3] = ["acr_values", "max_age", "scope"];
/// RFC 6750 section 2.3: read only where it is configured, and never forwarded to the login page.
const TOKEN_PARAMETER: &str = "access_token";

const MAX_BODY_BYTES: usize = 16 * 1024;
const MAX_HEADERS: usize = 16;
const MAX_HEADER_BYTES: usize = 1024;

/// The other uses of headers and parameters.
pub(super) struct Written<'a> {
    pub(super) token_source: Option<&'a TokenSource>,
    pub(super) forwarding: Option<&'a Forwarding>,
    /// Whether denials may have a nonce for the client's proofs.
    pub(super) accepts_proofs: bool,
}

impl Written<'_> {
    /// Whether the header has another use: a credential, an identity or a field of a response.
    fn has(&self, name: &HeaderName, custom: Option<&CustomResponses>) -> bool {
        let is_of = |response: &CustomResponse| response.headers.iter().any(|(header, _)| header == name);
        self.token_source.is_some_and(|source| source.is_carrier(name.as_str()))
            || self.forwarding.is_some_and(|forwarding| forwarding.is_managed(name.as_str()))
            || custom.is_some_and(|custom| {
                [&custom.bad_request, &custom.unauthorized, &custom.forbidden, &custom.unavailable]
                    .into_iter()
                    .any(is_of)
            })
    }
}

/// Compiles `responses`; `None` with an error.
pub(super) fn responses(
    document: ResponsesDocument,
    written: &Written<'_>,
    at: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Responses> {
    let credentials = written.token_source.map_or(&[][..], |source| &source.params);
    let realm = document.realm.unwrap_or_else(|| String::from(REALM));
    let is_plain = (1..=128).contains(&realm.len()) && realm.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    diagnostics.check(is_plain, &at.member("realm"), "1 to 128 printable ASCII characters");
    let detail = document.detail.unwrap_or_default();
    if detail == Detail::Reason {
        diagnostics.warn(&warnings::REASON_IN_RESPONSE, &at.member("detail"));
    }
    let custom = document.custom.map_or_else(
        || Some(CustomResponses::default()),
        |custom| custom_responses(custom, &at.member("custom"), diagnostics),
    );
    let debug = document.debug.map(|document| {
        let is_taken = |name: &HeaderName| written.has(name, custom.as_ref());
        debug(document, &is_taken, &at.member("debug"), diagnostics)
    });
    let cors = document.cors.map(|cors| self::cors(cors, written.accepts_proofs, &at.member("cors"), diagnostics));
    let login = document.login.map(|login| self::login(login, credentials, &at.member("login"), diagnostics));
    // All parts are compiled before, so that every error is listed.
    let (debug, cors, login) = (present(debug)?, present(cors)?, present(login)?);
    let format = document.format.unwrap_or_default();
    is_plain.then_some(Responses { realm, format, detail, custom: custom?, debug, cors, login })
}

fn custom_responses(document: CustomDocument, at: &Path, diagnostics: &mut Diagnostics<'_>) -> Option<CustomResponses> {
    let CustomDocument { bad_request, unauthorized, forbidden, unavailable } = document;
    if [&bad_request, &unauthorized, &forbidden, &unavailable].iter().all(|response| response.is_none())
        && !at.is_reported(diagnostics.errors)
    {
        diagnostics.invalid(at, "nothing in it; name `bad_request`, `unauthorized`, `forbidden` or `unavailable`");
    }
    let mut of = |document: Option<CustomResponseDocument>, name: &str| match document {
        None => Some(CustomResponse::default()),
        Some(document) => custom_response(document, &at.member(name), diagnostics),
    };
    let (bad_request, unauthorized) = (of(bad_request, "bad_request"), of(unauthorized, "unauthorized"));
    let (forbidden, unavailable) = (of(forbidden, "forbidden"), of(unavailable, "unavailable"));
    Some(CustomResponses {
        bad_request: bad_request?,
        unauthorized: unauthorized?,
        forbidden: forbidden?,
        unavailable: unavailable?,
    })
}

fn custom_response(
    document: CustomResponseDocument,
    at: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<CustomResponse> {
    let CustomResponseDocument { body, content_type, headers } = document;
    let (body_at, type_at) = (at.member("body"), at.member("content_type"));
    if body.is_none() && headers.is_none() && !at.is_reported(diagnostics.errors) {
        diagnostics.invalid(at, "nothing in it; write `body`, `headers` or both");
    }
    if body.is_none() && content_type.is_some() && !body_at.is_reported(diagnostics.errors) {
        diagnostics.invalid(&type_at, "there is no `body` that it could describe");
    }
    let bytes = body.map(String::into_bytes);
    let size_is_right = bytes.as_ref().is_none_or(|bytes| (1..=MAX_BODY_BYTES).contains(&bytes.len()));
    diagnostics.check(size_is_right, &body_at, "1 to 16384 bytes: it is sent with every refusal");
    let content_type = content_type.unwrap_or_else(|| String::from("text/plain; charset=utf-8"));
    let content_type = HeaderValue::parse(&content_type).filter(|_| is_media_type(&content_type));
    let hint = "a media type such as \"text/html; charset=utf-8\"";
    let content_type = diagnostics.parsed(content_type, &type_at, hint);
    let headers =
        headers.map_or_else(|| Some(Vec::new()), |headers| own_headers(headers, &at.member("headers"), diagnostics));
    let (content_type, headers) = (content_type?, headers?);
    size_is_right.then(|| CustomResponse { body: bytes.map(|bytes| CustomBody { content_type, bytes }), headers })
}

/// `type/subtype`, and parameters after a semicolon.
fn is_media_type(text: &str) -> bool {
    let kind = text.split(';').next().unwrap_or_default().trim_end();
    text.len() <= 128 && kind.split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype))
}

fn own_headers(
    headers: BTreeMap<String, String>,
    at: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Vec<(HeaderName, HeaderValue)>> {
    if !(1..=MAX_HEADERS).contains(&headers.len()) && !at.is_reported(diagnostics.errors) {
        diagnostics.invalid(at, "1 to 16 header fields");
    }
    let wanted = headers.len();
    let mut names = BTreeSet::new();
    let mut usable = Vec::new();
    for (name, value) in headers {
        let at = at.member(&name);
        let parsed = diagnostics.parsed(HeaderName::parse(&name), &at, "not a header name");
        if let Some(hint) = parsed.as_ref().and_then(|name| response_field_reason(name.as_str())) {
            diagnostics.invalid(&at, hint);
            continue;
        }
        let is_new = parsed.as_ref().is_none_or(|name| names.insert(name.clone()));
        diagnostics.check(is_new, &at, "named twice: letter case does not matter");
        let value = HeaderValue::parse(&value).filter(|_| (1..=MAX_HEADER_BYTES).contains(&value.len()));
        let hint = "a value of 1 to 1024 printable ASCII characters, no space at either end";
        let value = diagnostics.parsed(value, &at, hint);
        usable.extend(parsed.zip(value));
    }
    (usable.len() == wanted && (1..=MAX_HEADERS).contains(&wanted)).then_some(usable)
}

fn cors(document: CorsDocument, accepts_proofs: bool, at: &Path, diagnostics: &mut Diagnostics<'_>) -> Option<Cors> {
    let origins_at = at.member("allow_origins");
    let hint = "name the origins that may read refusals, such as [\"https://app.acme.com\"]";
    let origins = diagnostics.required(document.allow_origins, &origins_at, hint);
    let origins = diagnostics.not_empty(origins, &origins_at);
    let allow_credentials = document.allow_credentials.unwrap_or(false);
    let is_any = origins.as_ref().is_some_and(|origins| *origins == ["*"]);
    let hint = "not with `*`: no browser takes the two together";
    diagnostics.check(!(is_any && allow_credentials), &at.member("allow_credentials"), hint);
    let origins = match origins {
        Some(_) if is_any => Some(AllowedOrigins::Any),
        Some(texts) => {
            let patterns = diagnostics.each(texts, &origins_at, |diagnostics, text, at, patterns| {
                let pattern = diagnostics.accept(OriginPattern::parse(&text), at)?;
                diagnostics.check(!patterns.contains(&pattern), at, "named twice").then_some(pattern)
            });
            patterns.map(AllowedOrigins::These)
        }
        None => None,
    };
    let expose = match document.expose_headers {
        Some(names) => exposed(names, &at.member("expose_headers"), diagnostics),
        // RFC 9449 section 8: a script needs the nonce for its next proof.
        None if accepts_proofs => HeaderValue::parse("www-authenticate, retry-after, dpop-nonce"),
        None => HeaderValue::parse("www-authenticate, retry-after"),
    };
    Some(Cors { origins: origins?, allow_credentials, expose: expose? })
}

fn exposed(names: Vec<String>, at: &Path, diagnostics: &mut Diagnostics<'_>) -> Option<HeaderValue> {
    let names = diagnostics.not_empty(Some(names), at)?;
    let mut is_right = diagnostics.check(names.len() <= MAX_HEADERS * 2, at, "at most 32 names");
    for (index, name) in names.iter().enumerate() {
        // With credentials `*` is a header name and no wildcard.
        let is_name = name != "*" && name.len() <= 64 && HeaderName::parse(name).is_some();
        let hint = "the name of a header; `*` is not taken by every browser";
        is_right &= diagnostics.check(is_name, &at.item(index), hint);
    }
    HeaderValue::parse(&names.join(", ").to_ascii_lowercase()).filter(|_| is_right)
}

fn login(
    document: LoginDocument,
    credentials: &[ParamName],
    at: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Login> {
    let (url_at, name_at, base_at) = (at.member("url"), at.member("return_to_parameter"), at.member("return_base"));
    let url = diagnostics.required(document.url, &url_at, "write the address of the application's login page");
    let hint = "an https address such as \"https://app.acme.com/login\", without a fragment; http only to localhost";
    let address = url.and_then(|url| diagnostics.parsed(LoginAddress::parse(&url), &url_at, hint));
    let name = document.return_to_parameter.as_deref().unwrap_or(RETURN_TO);
    let return_to = diagnostics.parsed(
        ParamName::parse(name).filter(|_| name.len() <= 64 && !STEP_UP.contains(&name)),
        &name_at,
        "a parameter name of at most 64 letters, digits and `-._~`, and not `acr_values`, `max_age` or `scope`, which step-up uses",
    );
    if let (Some(address), Some(return_to)) = (&address, &return_to)
        && STEP_UP.iter().chain([&return_to.as_str()]).any(|name| address.has(name))
    {
        diagnostics
            .invalid(&url_at, "has a parameter that the filter adds; which one counts would be for the page to guess");
        return None;
    }
    let hint = "an origin such as \"https://shop.acme.com\", without a path and without a slash at its end";
    let return_base = document.return_base.map(|base| diagnostics.parsed(ReturnBase::parse(&base), &base_at, hint));
    let credential_params = credentials.iter().cloned().chain(ParamName::parse(TOKEN_PARAMETER)).collect();
    let return_base = present(return_base)?;
    Some(Login { address: address?, return_to: return_to?, return_base, credential_params })
}
