//! Where in a request the token stands, what it means when there are several, and how each is taken out
//! of what the backend sees.
//!
//! Two credentials in one request are refused, not chosen between (RFC 6750 section 2): the filter and
//! the backend might choose differently. That holds across headers, cookies and the query, for equal
//! ones too, and also where only a more lenient reader than us would see the second. The rooms below
//! know one kind of place each; trailers and rewritten addresses (`x-original-url`) are no place at all.

mod cookie;
mod header;
mod query;

use std::borrow::Cow;

use crate::http::{HeaderEdit, RequestHead};

pub use cookie::CookieName;
pub use header::{AuthScheme, HeaderForm, HeaderSource, ValuePrefix};
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
    /// The longest token that is looked at, in bytes.
    pub max_bytes: usize,
}

/// What a request, or one place in it, offers as its credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential<'a> {
    /// Nothing, or a scheme that is not ours (`Basic`, `Negotiate`).
    Absent,
    /// One token, as it was meant: without scheme, quotes and percent-encoding; and where it stands.
    Token(Cow<'a, [u8]>, Place),
    /// More than one credential.
    Repeated,
    /// The place for a credential with something in it that is not one token.
    Malformed,
    /// A token over the limit; it is not looked at.
    TooLarge,
}

/// A kind of place for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A header field.
    Header,
    /// A cookie.
    Cookie,
    /// A parameter of the query.
    Query,
}

impl Place {
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
pub struct Unwritable;

impl TokenSource {
    /// Finds the credential, in all places.
    pub fn find<'a>(&self, head: &'a RequestHead) -> Credential<'a> {
        let headers = self.headers.iter().map(|source| source.credential(head, self.max_bytes));
        let cookies = cookie::credentials(head, &self.cookies, self.max_bytes);
        let params = query::credentials(head, &self.params, self.max_bytes);
        headers.chain(cookies).chain(params).fold(Credential::Absent, Credential::and)
    }

    /// Takes the credentials out of what the backend sees, whether or not one of them was used. Another
    /// spelling of a header's name goes in any case: nobody has looked at it.
    ///
    /// # Errors
    /// When one cannot be taken out; then the request must not go on.
    pub fn strip(&self, head: &RequestHead) -> Result<Vec<HeaderEdit>, Unwritable> {
        let mut edits = Vec::new();
        for source in &self.headers {
            if !self.forward {
                edits.push(HeaderEdit::Remove(source.name.as_str().to_owned()));
            }
            for name in head.names().filter(|name| *name != source.name.as_str()) {
                let edit = HeaderEdit::Remove(name.to_owned());
                if source.name.is_meant_by(name) && !edits.contains(&edit) {
                    edits.push(edit);
                }
            }
        }
        if !self.forward {
            edits.extend(cookie::strip(head, &self.cookies)?);
            edits.extend(query::strip(head, &self.params)?);
        }
        Ok(edits)
    }

    /// Whether a field of that name can carry a credential, in any spelling.
    pub fn is_carrier(&self, name: &str) -> bool {
        let is_header = self.headers.iter().any(|source| source.name.is_meant_by(name));
        is_header || (!self.cookies.is_empty() && name.eq_ignore_ascii_case(cookie::FIELD))
    }
}

impl<'a> Credential<'a> {
    /// What stands in a place for a credential and is to be one token.
    fn read(text: Cow<'a, [u8]>, place: Place, max_bytes: usize) -> Self {
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
            (Self::Absent, one) | (one, Self::Absent) => one,
            (
                Self::Token(..) | Self::Repeated | Self::Malformed | Self::TooLarge,
                Self::Token(..) | Self::Repeated | Self::Malformed | Self::TooLarge,
            ) => Self::Repeated,
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
