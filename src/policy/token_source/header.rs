//! Reads a token from a header field: after a scheme, as in `Authorization: Bearer …`, or as the whole value.

use std::borrow::Cow;

use super::{Credential, CredentialLocation};
use crate::http::{HeaderName, RequestHead, folds_equal, is_token, is_token_byte};

/// A header field that carries a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderSource {
    pub name: HeaderName,
    /// The form of its value.
    pub form: HeaderForm,
}

/// Headers from which backends read a token instead of `authorization`: headers for proxies (RFC 9110 section 11.7.1),
/// of Apache rewrites for PHP and CGI, of Google's gateways and of oauth2-proxy. No client sends them. All end with an
/// `n`.
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

/// The form of a header value with a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderForm {
    /// The whole value is the token.
    Whole,
    /// One of these schemes, one space, the token (RFC 6750 section 2.1). Other schemes are not read.
    Schemes(Vec<AuthScheme>),
    /// One of these prefixes, byte for byte, then the token. Envoy's `jwt_authn` searches a value for them. A value
    /// with a prefix elsewhere or in another case is malformed, because another parser may find a token in it.
    Prefixes(Vec<ValuePrefix>),
}

/// The string before the token in a header value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValuePrefix(String);

impl ValuePrefix {
    /// The prefix, or `None` if no header value can start with it.
    pub fn parse(text: &str) -> Option<Self> {
        let is_printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        (is_printable && !text.is_empty() && !text.starts_with(' ')).then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether one contains the other.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.is_in(other.0.as_bytes()) || other.is_in(self.0.as_bytes())
    }

    /// Whether a value contains it, in any case.
    fn is_in(&self, value: &[u8]) -> bool {
        value.windows(self.0.len()).any(|part| part.eq_ignore_ascii_case(self.0.as_bytes()))
    }
}

/// The name of an authentication scheme.
#[derive(Clone, Debug)]
pub struct AuthScheme(String);

impl AuthScheme {
    /// The scheme, or `None` if it is not a token (RFC 9110 section 11.1).
    pub fn parse(text: &str) -> Option<Self> {
        is_token(text).then(|| Self(text.to_owned()))
    }

    /// The scheme of tokens that are bound to a key (RFC 9449 section 7.1).
    pub fn dpop() -> Self {
        Self(String::from("DPoP"))
    }

    pub fn is_dpop(&self) -> bool {
        self.0.eq_ignore_ascii_case("DPoP")
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
    /// Whether a backend could read a credential from a header of this name instead. The filter reads none there.
    pub(super) fn is_unread(&self, name: &str) -> bool {
        let is_spelling = name != self.name.as_str() && self.name.folds_to(name);
        is_spelling || (is_alternative(name) && self.name == HeaderName::AUTHORIZATION)
    }

    /// The credential in the field.
    pub(super) fn credential<'a>(&self, head: &'a RequestHead, max_bytes: usize) -> Credential<'a> {
        let mut values = head.values(self.name.as_str());
        let Some(value) = values.next() else { return Credential::Missing };
        if values.next().is_some() {
            return Credential::Multiple;
        }
        let credential = match self.form.strip_scheme(value) {
            Stripped::OtherScheme => Credential::Missing,
            Stripped::NoSpace => Credential::Malformed,
            Stripped::Text(text, scheme) => Credential::read(Cow::Borrowed(text), scheme, max_bytes),
        };
        match credential {
            // No token contains a comma.
            Credential::Token(..) => credential,
            _ if self.form.has_second_credential(value) => Credential::Multiple,
            Credential::Missing | Credential::Multiple | Credential::Malformed | Credential::TooLarge => credential,
        }
    }
}

/// Whether `name` folds to one of [`ALTERNATIVES`].
fn is_alternative(name: &str) -> bool {
    name.ends_with(['n', 'N']) && ALTERNATIVES.iter().any(|alternative| folds_equal(name, alternative))
}

/// A value without its scheme.
enum Stripped<'a> {
    OtherScheme,
    NoSpace,
    Text(&'a [u8], CredentialLocation),
}

impl HeaderForm {
    /// Hosts join repeated `Authorization` lines with a comma. A comma is not part of a token. In other schemes
    /// (`Digest`) it matters only if a credential with a configured scheme follows.
    fn has_second_credential(&self, value: &[u8]) -> bool {
        let mut parts = value.split(|byte| *byte == b',');
        let first_matches = parts.next().is_some_and(|first| self.has_scheme(first));
        parts.any(|part| first_matches || self.has_scheme(part.trim_ascii_start()))
    }

    fn has_scheme(&self, value: &[u8]) -> bool {
        !matches!(self.strip_scheme(value), Stripped::OtherScheme)
    }

    /// A scheme ends before the first byte that is not a token character, which must be a single space.
    fn strip_scheme<'a>(&self, value: &'a [u8]) -> Stripped<'a> {
        let schemes = match self {
            Self::Whole => return Stripped::Text(value, CredentialLocation::Header),
            Self::Prefixes(prefixes) => {
                let text = prefixes.iter().find_map(|prefix| value.strip_prefix(prefix.0.as_bytes()));
                return match text {
                    Some(text) => Stripped::Text(text, CredentialLocation::Header),
                    None if prefixes.iter().any(|prefix| prefix.is_in(value)) => Stripped::NoSpace,
                    None => Stripped::OtherScheme,
                };
            }
            Self::Schemes(schemes) => schemes,
        };
        let end = value.iter().position(|byte| !is_token_byte(*byte)).unwrap_or(value.len());
        let Some((name, rest)) = value.split_at_checked(end) else { return Stripped::OtherScheme };
        let Some(scheme) = schemes.iter().find(|scheme| name.eq_ignore_ascii_case(scheme.0.as_bytes())) else {
            return Stripped::OtherScheme;
        };
        let location = if scheme.is_dpop() { CredentialLocation::DpopHeader } else { CredentialLocation::Header };
        rest.strip_prefix(b" ").map_or(Stripped::NoSpace, |text| Stripped::Text(text, location))
    }
}
