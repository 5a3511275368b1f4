//! Where in a request the token stands, what it means when there are several, and how each is taken out
//! of what the backend sees.
//!
//! Two credentials in one request are refused, not chosen between (RFC 6750 section 2): the filter and
//! the backend might choose differently. That holds across headers, cookies and the query, for equal
//! ones too, and also where only a more lenient reader than us would see the second. The rooms below
//! know one kind of place each; trailers and rewritten addresses (`x-original-url`) are no place at all.

mod cookie;
mod folding;
mod header;
mod query;

use std::borrow::Cow;

use crate::http::{HeaderEdit, HeaderName, RequestHead};

pub use cookie::CookieName;
pub use header::{AuthScheme, HeaderForm, HeaderSource, ValuePrefix};
pub(super) use query::has_param;
pub use query::{ParamName, target_without};

/// Where tokens are looked for, and what becomes of the credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSource {
    /// In these header fields, each name once.
    pub headers: Vec<HeaderSource>,
    /// In these cookies.
    pub cookies: Vec<CookieName>,
    /// In these parameters of the query.
    pub params: Vec<ParamName>,
    /// Whether the backend may see the credential.
    pub forward: bool,
    /// Whether cookies and parameters that backends could read under one of these names are ignored instead of rejected
    /// and removed.
    pub exact_names: bool,
    /// The longest token that is looked at, in bytes.
    pub max_bytes: usize,
}

/// What a request, or one place in it, offers as its credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential<'a> {
    /// Nothing, or a scheme that is not ours (`Basic`, `Negotiate`).
    Missing,
    /// One token, as it was meant: without scheme, quotes and percent-encoding; and where it stands.
    Token(Cow<'a, [u8]>, CredentialLocation),
    /// More than one credential.
    Multiple,
    /// The place for a credential with something in it that is not one token.
    Malformed,
    /// A token over the limit; it is not looked at.
    TooLarge,
}

/// A kind of place for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialLocation {
    /// A header field.
    Header,
    /// A cookie.
    Cookie,
    /// A parameter of the query.
    Query,
}

impl CredentialLocation {
    /// Its name in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Cookie => "cookie",
            Self::Query => "query",
        }
    }
}

/// A credential stands in a field that could not be written back safely: the host gave bytes in it that
/// no HTTP message can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnremovableCredential;

/// The names that are looked for in one kind of place.
#[derive(Debug)]
struct Names<'a, N> {
    names: &'a [N],
    /// Whether spellings that backends read as one of them count.
    folds: bool,
}

impl<N> Clone for Names<'_, N> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<N> Copy for Names<'_, N> {}

/// One cookie or parameter.
enum NamedPart<'a> {
    /// It has one of the names, and this value.
    Exact(&'a [u8]),
    /// A backend could read it, or a part of it, under one of the names. The filter reads no token from it.
    Folded,
    /// It has another name.
    Other,
}

impl NamedPart<'_> {
    /// Whether it never reaches the backend. A credential that the filter did not read is not forwarded either.
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

    /// Finds the credential, in all places.
    pub fn find<'a>(&self, head: &'a RequestHead) -> Credential<'a> {
        let headers = self.headers.iter().map(|source| source.credential(head, self.max_bytes));
        let cookies = cookie::credentials(head, self.cookie_names(), self.max_bytes);
        let params = query::credentials(head, self.param_names(), self.max_bytes);
        headers.chain(cookies).chain(params).fold(Credential::Missing, Credential::and)
    }

    /// Removes the credentials from what the backend sees, whether or not one of them was used. A spelling that the filter
    /// does not read and a backend could is removed in any case.
    ///
    /// # Errors
    /// When one cannot be removed; then the request must not be forwarded.
    pub fn strip(&self, head: &RequestHead) -> Result<Vec<HeaderEdit>, UnremovableCredential> {
        let mut edits = Vec::new();
        for source in &self.headers {
            if !self.forward {
                edits.push(HeaderEdit::Remove(source.name.as_str().to_owned()));
            }
            for name in head.names().filter(|name| source.is_unread(name)) {
                let edit = HeaderEdit::Remove(name.to_owned());
                if !self.has_header(name) && !edits.contains(&edit) {
                    edits.push(edit);
                }
            }
        }
        edits.extend(cookie::strip(head, self.cookie_names(), self.forward)?);
        edits.extend(query::strip(head, self.param_names(), self.forward)?);
        Ok(edits)
    }

    /// What [`Self::strip`] and others remove from a request, without all cookies and without the credentials that are
    /// forwarded otherwise: of a preflight that passes without a token. Browsers send none with it, and nobody has checked
    /// these.
    ///
    /// # Errors
    /// When one cannot be removed; then the request must not be forwarded.
    pub fn strip_preflight(
        &self,
        head: &RequestHead,
        edits: Vec<HeaderEdit>,
    ) -> Result<Vec<HeaderEdit>, UnremovableCredential> {
        let mut edits = edits;
        edits.retain(|edit| !matches!(edit, HeaderEdit::Rewrite(_)));
        let carriers = self.headers.iter().map(|source| source.name.as_str());
        for name in carriers.chain([HeaderName::AUTHORIZATION.as_str(), cookie::FIELD]) {
            let edit = HeaderEdit::Remove(name.to_owned());
            if head.values(name).next().is_some() && !edits.contains(&edit) {
                edits.push(edit);
            }
        }
        edits.extend(query::strip(head, self.param_names(), false)?);
        Ok(edits)
    }

    fn has_header(&self, name: &str) -> bool {
        self.headers.iter().any(|source| source.name.as_str() == name)
    }

    /// Whether a field of that name can carry a credential, in any spelling.
    pub fn is_carrier(&self, name: &str) -> bool {
        let is_header = self.headers.iter().any(|source| source.name.folds_to(name) || source.is_unread(name));
        is_header || (!self.cookies.is_empty() && name.eq_ignore_ascii_case(cookie::FIELD))
    }
}

impl<'a> Credential<'a> {
    /// What stands in a place for a credential and is to be one token.
    fn read(text: Cow<'a, [u8]>, place: CredentialLocation, max_bytes: usize) -> Self {
        if text.len() > max_bytes {
            Self::TooLarge
        } else if is_token68(&text) {
            Self::Token(text, place)
        } else {
            Self::Malformed
        }
    }

    /// What two places offer together.
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
    // In strides without a way out in between: several times as fast.
    body > 0
        && text
            .get(..body)
            .unwrap_or_default()
            .chunks(32)
            .all(|stride| stride.iter().fold(true, |all, byte| all & is_character(byte)))
}

/// The characters of a `b64token`, looked up: a whole token is looked at with every request.
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
