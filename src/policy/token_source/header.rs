//! A token in a header field: behind a scheme, as in `Authorization: Bearer …`, or as the whole value.

use std::borrow::Cow;

use super::{Credential, CredentialLocation};
use crate::http::{HeaderName, RequestHead, fold_alike, is_token, is_token_byte};

/// A header field that carries a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderSource {
    /// Its name.
    pub name: HeaderName,
    /// How the token stands in it.
    pub form: HeaderForm,
}

/// Headers that backends read a token from instead of `authorization`: proxies' own (RFC 9110 section 11.7.1), what rewrites of
/// Apache leave for PHP and CGI, what Google's gateways and oauth2-proxy write. No client sends them. All end with an `n`.
const ALTERNATIVES: [&str; 8] = [
    "http-authorization",
    "proxy-authorization",
    "redirect-http-authorization",
    "redirect-x-http-authorization",
    "x-auth-request-access-token",
    "x-forwarded-access-token",
    "x-forwarded-authorization",
    "x-http-authorization",
];

/// How a token stands in a header field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderForm {
    /// The whole value is the token.
    Whole,
    /// One of these schemes, one blank, the token (RFC 6750 section 2.1). Another scheme is no
    /// credential of ours.
    Schemes(Vec<AuthScheme>),
    /// One of these texts, byte for byte, then the token: what Envoy's `jwt_authn` searches a value for. A value that has
    /// one elsewhere, or in other letters, is malformed: another reader may find a token in it.
    Prefixes(Vec<ValuePrefix>),
}

/// What stands before a token in a header field's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValuePrefix(String);

impl ValuePrefix {
    /// The text, or `None` when no value begins with it.
    pub fn parse(text: &str) -> Option<Self> {
        let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        (printable && !text.is_empty() && !text.starts_with(' ')).then(|| Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether one of the two is found in the other.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.is_in(other.0.as_bytes()) || other.is_in(self.0.as_bytes())
    }

    /// Whether it is in a value, in letters of any case.
    fn is_in(&self, value: &[u8]) -> bool {
        value.windows(self.0.len()).any(|part| part.eq_ignore_ascii_case(self.0.as_bytes()))
    }
}

/// The name of an authentication scheme.
#[derive(Clone, Debug)]
pub struct AuthScheme(String);

impl AuthScheme {
    /// The scheme, or `None` when it is no token (RFC 9110 section 11.1).
    pub fn parse(text: &str) -> Option<Self> {
        is_token(text).then(|| Self(text.to_owned()))
    }
}

impl PartialEq for AuthScheme {
    /// Schemes are case-insensitive.
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for AuthScheme {}

impl HeaderSource {
    /// Whether a backend could find a credential in a header of that name instead of this one. The filter reads none there.
    pub(super) fn is_unread(&self, name: &str) -> bool {
        let is_spelling = name != self.name.as_str() && self.name.folds_to(name);
        is_spelling || (is_alternative(name) && self.name == HeaderName::AUTHORIZATION)
    }

    /// What the field offers.
    pub(super) fn credential<'a>(&self, head: &'a RequestHead, max_bytes: usize) -> Credential<'a> {
        let mut values = head.values(self.name.as_str());
        let Some(value) = values.next() else { return Credential::Missing };
        if values.next().is_some() {
            return Credential::Multiple;
        }
        let credential = match self.form.strip_scheme(value) {
            Stripped::NotOurs => Credential::Missing,
            Stripped::NoBlank => Credential::Malformed,
            Stripped::Text(text) => Credential::read(Cow::Borrowed(text), CredentialLocation::Header, max_bytes),
        };
        match credential {
            // No token has a comma in it.
            Credential::Token(..) => credential,
            _ if self.form.holds_a_second_credential(value) => Credential::Multiple,
            Credential::Missing | Credential::Multiple | Credential::Malformed | Credential::TooLarge => credential,
        }
    }
}

/// Whether `name` is one of [`ALTERNATIVES`] in any spelling that backends fold together.
fn is_alternative(name: &str) -> bool {
    name.ends_with(['n', 'N']) && ALTERNATIVES.iter().any(|alternative| fold_alike(name, alternative))
}

/// What is left of a value without its scheme.
enum Stripped<'a> {
    NotOurs,
    NoBlank,
    Text(&'a [u8]),
}

impl HeaderForm {
    /// Hosts join the lines of a repeated `Authorization` with a comma. A comma is no part of a token,
    /// and in other schemes (`Digest`) it only counts when a credential of ours stands behind it.
    fn holds_a_second_credential(&self, value: &[u8]) -> bool {
        let mut parts = value.split(|byte| *byte == b',');
        let first_is_ours = parts.next().is_some_and(|first| self.is_ours(first));
        parts.any(|part| first_is_ours || self.is_ours(part.trim_ascii_start()))
    }

    fn is_ours(&self, value: &[u8]) -> bool {
        !matches!(self.strip_scheme(value), Stripped::NotOurs)
    }

    /// A scheme ends where no token character follows; what follows must be one blank.
    fn strip_scheme<'a>(&self, value: &'a [u8]) -> Stripped<'a> {
        let schemes = match self {
            Self::Whole => return Stripped::Text(value),
            Self::Prefixes(prefixes) => {
                let text = prefixes.iter().find_map(|prefix| value.strip_prefix(prefix.0.as_bytes()));
                return match text {
                    Some(text) => Stripped::Text(text),
                    None if prefixes.iter().any(|prefix| prefix.is_in(value)) => Stripped::NoBlank,
                    None => Stripped::NotOurs,
                };
            }
            Self::Schemes(schemes) => schemes,
        };
        let end = value.iter().position(|byte| !is_token_byte(*byte)).unwrap_or(value.len());
        let Some((name, rest)) = value.split_at_checked(end) else { return Stripped::NotOurs };
        if !schemes.iter().any(|scheme| name.eq_ignore_ascii_case(scheme.0.as_bytes())) {
            return Stripped::NotOurs;
        }
        rest.strip_prefix(b" ").map_or(Stripped::NoBlank, Stripped::Text)
    }
}
