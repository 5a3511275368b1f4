//! Locates the credential of a request and removes it from the forwarded request.
//!
//! A request with two credentials is rejected (RFC 6750 section 2), because the filter and the backend might choose
//! different ones. This applies across headers, cookies and the query, also if they are equal, and if only a more
//! lenient parser would find the second. Each submodule handles one kind of location. Trailers and rewritten addresses
//! (`x-original-url`) are no locations.

mod cookie;
mod folding;
mod header;
mod query;

use std::borrow::Cow;

use crate::http::{HeaderEdit, HeaderName, RequestHead, push_new};

pub use cookie::CookieName;
pub use header::{AuthScheme, HeaderForm, HeaderSource, ValuePrefix};
pub(super) use query::has_param;
pub use query::{ParamName, target_without};

/// Where tokens are located, and whether they are forwarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSource {
    /// Header fields, each name once.
    pub headers: Vec<HeaderSource>,
    pub cookies: Vec<CookieName>,
    pub params: Vec<ParamName>,
    /// Whether the backend receives the credential.
    pub forward: bool,
    /// Whether cookies and parameters whose names backends could fold to one of these names are ignored. Otherwise they
    /// are rejected and removed.
    pub exact_names: bool,
    /// The longest accepted token in bytes.
    pub max_bytes: usize,
}

/// The credential of a request or of one location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential<'a> {
    /// None, or one of another scheme (`Basic`, `Negotiate`).
    Missing,
    /// One token, without scheme, quotes and percent-encoding, and its location.
    Token(Cow<'a, [u8]>, CredentialLocation),
    Multiple,
    /// A value that is not exactly one token.
    Malformed,
    /// A token over the size limit. It is not parsed.
    TooLarge,
}

/// The kind of location of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialLocation {
    Header,
    /// A header with the scheme `DPoP`.
    DpopHeader,
    Cookie,
    Query,
}

impl CredentialLocation {
    /// The name in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Header | Self::DpopHeader => "header",
            Self::Cookie => "cookie",
            Self::Query => "query",
        }
    }
}

/// A credential is in a field that cannot be written back safely: the host passed bytes that no HTTP message can
/// contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnremovableCredential;

/// The names in one kind of location.
#[derive(Debug)]
struct Names<'a, N> {
    names: &'a [N],
    /// Whether spellings that backends fold to one of them count.
    folds: bool,
}

impl<N> Clone for Names<'_, N> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<N> Copy for Names<'_, N> {}

/// A cookie or parameter.
enum NamedPart<'a> {
    /// It has one of the names. Contains the value.
    Exact(&'a [u8]),
    /// A backend could read it, or a part of it, under one of the names. The filter reads no token from it.
    Folded,
    /// It has another name.
    Other,
}

impl NamedPart<'_> {
    /// Whether it is removed. A credential that the filter did not read is never forwarded.
    const fn is_removed(&self, forward: bool) -> bool {
        match self {
            Self::Exact(_) => !forward,
            Self::Folded => true,
            Self::Other => false,
        }
    }
}

impl TokenSource {
    const fn cookie_names(&self) -> Names<'_, CookieName> {
        Names { names: self.cookies.as_slice(), folds: !self.exact_names }
    }

    const fn param_names(&self) -> Names<'_, ParamName> {
        Names { names: self.params.as_slice(), folds: !self.exact_names }
    }

    /// Finds the credential in all locations.
    pub fn find<'a>(&self, head: &'a RequestHead) -> Credential<'a> {
        let headers = self.headers.iter().map(|source| source.credential(head, self.max_bytes));
        let cookies = cookie::credentials(head, self.cookie_names(), self.max_bytes);
        let params = query::credentials(head, self.param_names(), self.max_bytes);
        headers.chain(cookies).chain(params).fold(Credential::Missing, Credential::and)
    }

    /// Removes the credentials from the forwarded request, whether or not they were used. A spelling that the filter
    /// does not read and a backend could read is always removed.
    ///
    /// # Errors
    /// If a credential cannot be removed. The request must not be forwarded then.
    pub fn strip(&self, head: &RequestHead) -> Result<Vec<HeaderEdit>, UnremovableCredential> {
        let mut edits = Vec::new();
        for source in &self.headers {
            if !self.forward {
                edits.push(HeaderEdit::Remove(source.name.as_str().to_owned()));
            }
            for edit in head.removals(|name| source.is_unread(name) && !self.has_header(name)) {
                push_new(&mut edits, edit);
            }
        }
        edits.extend(cookie::strip(head, self.cookie_names(), self.forward)?);
        edits.extend(query::strip(head, self.param_names(), self.forward)?);
        Ok(edits)
    }

    /// The edits of a preflight without a token: `edits`, plus the removal of all cookies and of credentials that are
    /// otherwise forwarded. Browsers send none with a preflight, and these are not verified.
    ///
    /// # Errors
    /// If a credential cannot be removed. The request must not be forwarded then.
    pub fn strip_preflight(
        &self,
        head: &RequestHead,
        edits: Vec<HeaderEdit>,
    ) -> Result<Vec<HeaderEdit>, UnremovableCredential> {
        let mut edits = edits;
        edits.retain(|edit| !matches!(edit, HeaderEdit::Rewrite(_)));
        let carriers = self.headers.iter().map(|source| source.name.as_str());
        for name in carriers.chain([HeaderName::AUTHORIZATION.as_str(), cookie::FIELD]) {
            if head.values(name).next().is_some() {
                push_new(&mut edits, HeaderEdit::Remove(name.to_owned()));
            }
        }
        edits.extend(query::strip(head, self.param_names(), false)?);
        Ok(edits)
    }

    fn has_header(&self, name: &str) -> bool {
        self.headers.iter().any(|source| source.name.as_str() == name)
    }

    /// Whether a field of this name can carry a credential, in any spelling.
    pub fn is_carrier(&self, name: &str) -> bool {
        let is_header = self.headers.iter().any(|source| source.name.folds_to(name) || source.is_unread(name));
        is_header || (!self.cookies.is_empty() && name.eq_ignore_ascii_case(cookie::FIELD))
    }
}

impl<'a> Credential<'a> {
    /// Reads a value that must be exactly one token.
    fn read(text: Cow<'a, [u8]>, location: CredentialLocation, max_bytes: usize) -> Self {
        if text.len() > max_bytes {
            Self::TooLarge
        } else if is_token68(&text) {
            Self::Token(text, location)
        } else {
            Self::Malformed
        }
    }

    /// Combines the credentials of two locations.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Missing, one) | (one, Self::Missing) => one,
            (
                Self::Token(..) | Self::Multiple | Self::Malformed | Self::TooLarge,
                Self::Token(..) | Self::Multiple | Self::Malformed | Self::TooLarge,
            ) => Self::Multiple,
        }
    }
}

/// `b64token` of RFC 6750: at least one character, padding only at the end.
fn is_token68(text: &[u8]) -> bool {
    let body = text.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    let is_character = |byte: &u8| TOKEN68.get(usize::from(*byte)) == Some(&true);
    // Chunks without an early exit are several times as fast.
    body > 0
        && text
            .get(..body)
            .unwrap_or_default()
            .chunks(32)
            .all(|stride| stride.iter().fold(true, |all, byte| all & is_character(byte)))
}

/// The characters of a `b64token`. A table, because every request's whole token is scanned.
#[allow(clippy::indexing_slicing, reason = "evaluated when this is compiled: out of bounds is an error there")]
const TOKEN68: [bool; 256] = {
    let mut table = [false; 256];
    let mut at = 0;
    let characters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/";
    while at < characters.len() {
        table[characters[at] as usize] = true;
        at += 1;
    }
    table
};

#[cfg(test)]
mod tests;
