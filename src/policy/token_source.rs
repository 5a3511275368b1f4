//! Where in a request the token stands, and what it means when there are several.
//!
//! Two credentials in one request are refused, not chosen between (RFC 6750 section 2): the filter and
//! the backend might choose differently.

use crate::http::RequestHead;

/// Where tokens are looked for, and what becomes of the credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSource {
    /// Whether the backend may see the credential.
    pub forward: bool,
    /// The longest token that is looked at, in bytes.
    pub max_bytes: usize,
}

/// What a request offers as its credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential<'a> {
    /// Nothing, or a scheme that is not ours (`Basic`, `Negotiate`).
    Absent,
    /// One bearer token, as it was sent.
    Token(&'a [u8]),
    /// More than one credential.
    Repeated,
    /// The `Bearer` scheme with something that is not one token.
    Malformed,
    /// A token over the limit; it is not looked at.
    TooLarge,
}

impl TokenSource {
    /// The header that carries the credential.
    pub const HEADER: &str = "authorization";

    /// Finds the credential in the `Authorization` header (RFC 6750 section 2.1).
    pub fn find<'a>(&self, head: &'a RequestHead) -> Credential<'a> {
        let mut values = head.values(Self::HEADER);
        let Some(value) = values.next() else { return Credential::Absent };
        if values.next().is_some() || holds_a_second_credential(value) {
            return Credential::Repeated;
        }
        let Some(rest) = strip_scheme(value) else { return Credential::Absent };
        match rest.strip_prefix(b" ") {
            Some(token) if token.len() > self.max_bytes => Credential::TooLarge,
            Some(token) if is_token68(token) => Credential::Token(token),
            _ => Credential::Malformed,
        }
    }
}

/// Hosts join the lines of a repeated `Authorization` with a comma. A comma is no part of a bearer
/// token, and elsewhere (`Digest`) it only counts when a bearer credential stands behind it.
fn holds_a_second_credential(value: &[u8]) -> bool {
    let mut parts = value.split(|byte| *byte == b',');
    let first_is_ours = parts.next().is_some_and(|first| strip_scheme(first).is_some());
    parts.any(|part| first_is_ours || strip_scheme(part.trim_ascii_start()).is_some())
}

/// What follows the scheme name, which is case-insensitive (RFC 9110 section 11.1) and ends where no
/// token character follows.
fn strip_scheme(value: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"bearer";
    let (scheme, rest) = value.split_at_checked(SCHEME.len())?;
    let ends_here = rest.first().is_none_or(|byte| !byte.is_ascii_alphanumeric() && *byte != b'-' && *byte != b'_');
    (scheme.eq_ignore_ascii_case(SCHEME) && ends_here).then_some(rest)
}

/// `b64token` of RFC 6750: at least one character, padding only at the end.
fn is_token68(text: &[u8]) -> bool {
    let body = text.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    body > 0 && text.iter().take(body).all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    fn find(values: &[&[u8]]) -> String {
        let source = TokenSource { forward: false, max_bytes: 16 };
        let fields = values.iter().map(|value| ("Authorization".to_owned(), value.to_vec())).collect();
        let head = RequestHead::new(fields);
        match source.find(&head) {
            Credential::Token(token) => format!("token {}", String::from_utf8_lossy(token)),
            other @ (Credential::Absent | Credential::Repeated | Credential::Malformed | Credential::TooLarge) => {
                format!("{other:?}")
            }
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn the_scheme_is_case_insensitive_and_followed_by_one_blank() {
        for value in ["Bearer a.b-c_d~e/f+", "bearer a.b-c_d~e/f+", "BEARER a.b-c_d~e/f+"] {
            assert_eq!(find(&[value.as_bytes()]), "token a.b-c_d~e/f+", "{value}");
        }
        assert_eq!(find(&[b"Bearer a=="]), "token a==");
        let malformed: [&[u8]; 12] = [
            b"Bearer",
            b"Bearer ",
            b"Bearer  a",
            b"Bearer\ta",
            b"Bearer\xa0a",
            b"Bearer:a",
            b"Bearer a b",
            b"Bearer a ",
            b"Bearer \xff",
            b"Bearer =",
            b"Bearer a=b",
            b"Bearer \"a\"",
        ];
        for value in malformed {
            assert_eq!(find(&[value]), "Malformed", "{value:?}");
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn another_scheme_is_no_bearer_credential() {
        let others: [&[u8]; 7] = [
            b"Basic YTpi",
            b"DPoP a",
            b"Negotiate a",
            b"Bearerish a",
            b"\xff\xfe",
            b"",
            b"Digest username=\"a\", realm=\"b\"",
        ];
        for value in others {
            assert_eq!(find(&[value]), "Absent", "{value:?}");
        }
        assert_eq!(find(&[]), "Absent");
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn two_credentials_are_refused_in_whatever_form_the_host_shows_them() {
        let forms: [&[&[u8]]; 7] = [
            &[b"Bearer a", b"Bearer a"],
            &[b"Bearer a", b"Bearer b"],
            &[b"Bearer a", b"Basic b"],
            &[b"Bearer a,Bearer b"],
            &[b"Bearer a, Basic b"],
            &[b"Basic a,bearer b"],
            &[b"Bearer a,"],
        ];
        for values in forms {
            assert_eq!(find(values), "Repeated", "{values:?}");
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_token_over_the_limit_is_not_looked_at() {
        assert_eq!(find(&[b"Bearer 1234567890123456"]), "token 1234567890123456");
        assert_eq!(find(&[b"Bearer 12345678901234567"]), "TooLarge");
    }
}
