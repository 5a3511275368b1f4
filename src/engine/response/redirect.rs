//! Redirects browsers to sign-in, where that would help and a person navigates. A script needs the 401 and its challenge.
//!
//! Only the configured address is the target. The path that the browser requested is one encoded parameter, and only if all
//! readers take it for a path of this site: `//evil.example`, `/\evil.example` and all that could become one of them are
//! omitted, so that a sign-in page which follows it opens no other site (CVE-2020-11053).

use super::{Denial, Message, is_grpc};
use crate::encoding::{is_unreserved, percent_encode};
use crate::http::{HeaderValue, RequestHead};
use crate::policy::token_source::target_without;
use crate::policy::{Login, Responses};

/// 302: only `GET` and `HEAD` are redirected, so the method never changes.
pub(super) const STATUS: u16 = 302;

/// The longest return path before encoding.
const MAX_RETURN_BYTES: usize = 2048;

/// The `Location`. `None` for requests that get the usual response.
pub(super) fn location(message: &Message<'_>, refusal: &Denial<'_>, answers: &Responses) -> Option<HeaderValue> {
    let login = answers.login.as_ref().filter(|_| refusal.rule.redirect_browsers)?;
    let step_up = match message {
        Message::NoCredential | Message::InvalidToken => Vec::new(),
        Message::StepUpRequired { acr_values, max_age, scopes } => {
            let age = max_age.map(|age| age.as_secs().to_string());
            let params = [
                ("acr_values", acr_values.join(" ")),
                ("max_age", age.unwrap_or_default()),
                ("scope", scopes.join(" ")),
            ];
            params.into_iter().filter(|(_, value)| !value.is_empty()).collect()
        }
        // A new sign-in gives a browser a token of the same kind.
        Message::BoundTokenRequired(_)
        | Message::InvalidProof
        | Message::NonceRequired
        | Message::InvalidRequest
        | Message::ScopeMissing(_)
        | Message::Forbidden
        | Message::Unavailable(_) => {
            return None;
        }
    };
    if !is_navigation(refusal.head) {
        return None;
    }
    let return_to = return_address(refusal.head, login).map(|address| (login.return_to.as_str(), address));
    let step_up = step_up
        .into_iter()
        .map(|(name, value)| (name, percent_encode(value.as_bytes(), |_, byte| is_unreserved(byte))));
    let params: Vec<(&str, String)> = return_to.into_iter().chain(step_up).collect();
    HeaderValue::parse(&login.address.with(&params))
}

/// Whether the request is a navigation of a browser.
fn is_navigation(head: &RequestHead) -> bool {
    let is_safe = matches!(head.single(":method"), Some(b"GET" | b"HEAD"));
    // Fetch Metadata; browsers send it only to `https` and to localhost.
    let mut modes = head.values("sec-fetch-mode");
    let may_navigate = modes.next().is_none_or(|mode| mode == b"navigate") && modes.next().is_none();
    // Scripts send these methods, links do not (Fetch, section 3.1).
    let is_cross_origin_script = head.values("origin").next().is_some();
    is_safe && may_navigate && !is_cross_origin_script && !is_grpc(head) && head.values("accept").any(accepts_html)
}

/// Whether `Accept` has an HTML type. Scripts and tools send `*/*`.
fn accepts_html(accept: &[u8]) -> bool {
    accept.split(|byte| *byte == b',').any(|range| {
        let mut parts = range.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let kind = parts.next().unwrap_or_default();
        let is_page = [&b"text/html"[..], b"application/xhtml+xml"].iter().any(|page| kind.eq_ignore_ascii_case(page));
        is_page && parts.all(|parameter| !has_zero_weight(parameter))
    })
}

/// `q=0`, or a weight that is not a number.
fn has_zero_weight(parameter: &[u8]) -> bool {
    let Some(weight) = parameter.strip_prefix(b"q=").or_else(|| parameter.strip_prefix(b"Q=")) else { return false };
    let is_number = weight.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
    !(is_number && weight.iter().any(|byte| (b'1'..=b'9').contains(byte)))
}

/// The encoded return path. `None` if it might lead to another site.
fn return_address(head: &RequestHead, login: &Login) -> Option<String> {
    let target = target_without(head, &login.credential_params)?;
    if !is_same_site_path(&target) {
        return None;
    }
    let base = login.return_base.as_ref().map_or("", |base| base.as_str());
    Some(percent_encode(&[base.as_bytes(), &target].concat(), |_, byte| is_unreserved(byte)))
}

/// Whether it is a path, perhaps with a query, that nobody takes for another host: neither literally, nor with backslashes
/// as slashes, nor with dot segments or escapes resolved.
fn is_same_site_path(target: &[u8]) -> bool {
    let is_short_and_plain =
        target.len() <= MAX_RETURN_BYTES && target.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#');
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    let Some(rest) = path.strip_prefix(b"/") else { return false };
    let mut segments = rest.split(|byte| *byte == b'/').rev();
    // A slash at the end is not an empty segment.
    let last = segments.next().unwrap_or_default();
    let escapes = path.windows(3).filter(|window| window.first() == Some(&b'%'));
    is_short_and_plain
        && !path.contains(&b'\\')
        && !is_dots(last)
        && segments.all(|segment| !segment.is_empty() && !is_dots(segment))
        && escapes.into_iter().all(|escape| !is_divisive(escape))
}

fn is_dots(segment: &[u8]) -> bool {
    matches!(segment, b"." | b"..")
}

/// An escaped slash, backslash, dot, percent sign or control byte.
fn is_divisive(escape: &[u8]) -> bool {
    let upper: Vec<u8> = escape.to_ascii_uppercase();
    matches!(upper.as_slice(), b"%2F" | b"%5C" | b"%2E" | b"%25" | b"%7F" | [b'%', b'0' | b'1', _])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_accepted_where_it_is_named_with_a_weight() {
        for accept in [
            "text/html",
            "TEXT/HTML; charset=utf-8",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "application/json, text/html;q=0.001",
            "application/xhtml+xml ; q=1.0",
        ] {
            assert!(accepts_html(accept.as_bytes()), "{accept}");
        }
        for accept in [
            "",
            "*/*",
            "text/*",
            "application/json",
            "text/html;q=0",
            "text/html; q=0.000",
            "text/html;q=",
            "text/html;q=x1",
            "text/html;Q=0",
            "text/htmlx",
            "application/json;x=text/html",
            "image/avif,*/*;q=0.8",
        ] {
            assert!(!accepts_html(accept.as_bytes()), "{accept}");
        }
    }

    #[test]
    fn only_a_place_here_is_returned_to() {
        for target in [
            "/",
            "/a",
            "/a/",
            "/a/b?c=//d",
            "/a?b=https://shop.acme.com/%2F",
            "/a%20b",
            "/:x@y",
            "/a.b/.c/..d",
            "/?",
            "/a?..//",
        ] {
            assert!(is_same_site_path(target.as_bytes()), "{target}");
        }
        for target in [
            "",
            "a",
            "*",
            "?a",
            "//evil.example",
            "//",
            "/a//b",
            "/\\evil.example",
            "/a\\b",
            "/\t/evil.example",
            "/a b",
            "/a\r\nx: y",
            "/a\0",
            "https://evil.example/",
            "http:evil",
            "/.//evil.example",
            "/./a",
            "/a/..",
            "/../a",
            "/a/.",
            "/..//evil.example",
            "/%2fevil.example",
            "/%5Cevil.example",
            "/%5c",
            "/%2e%2E/a",
            "/%252fevil.example",
            "/%09/evil.example",
            "/a%00",
            "/a%7f",
            "/a#b",
            "/é",
            "/a?b=é",
            "/a?b c",
        ] {
            assert!(!is_same_site_path(target.as_bytes()), "{target}");
        }
        let longest = format!("/{}", "a".repeat(MAX_RETURN_BYTES - 1));
        assert!(is_same_site_path(longest.as_bytes()) && !is_same_site_path(format!("{longest}a").as_bytes()));
    }
}
