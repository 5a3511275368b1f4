//! A token in a cookie (RFC 6265 section 4.2). A client may send several `cookie` lines; they count as one.

use std::borrow::Cow;

use super::{Credential, Place, Unwritable};
use crate::http::{HeaderEdit, Remainder, RequestHead, is_token};

/// The field that holds the cookies.
pub(super) const FIELD: &str = "cookie";

/// The name of a cookie; names are case-sensitive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieName(String);

impl CookieName {
    /// The name, or `None` when it is no token (RFC 6265 section 4.1.1).
    pub fn parse(text: &str) -> Option<Self> {
        is_token(text).then(|| Self(text.to_owned()))
    }
}

/// What each cookie of these names offers.
pub(super) fn credentials<'a>(
    head: &'a RequestHead,
    names: &[CookieName],
    max_bytes: usize,
) -> impl Iterator<Item = Credential<'a>> {
    pairs(head).filter_map(move |pair| match value(pair, names) {
        Some(value) => Some(Credential::read(Cow::Borrowed(unquoted(value)), Place::Cookie, max_bytes)),
        None => hides_one(pair, names).then_some(Credential::Malformed),
    })
}

/// The field without the cookies of these names; the others stay as they are, on one line.
pub(super) fn strip(head: &RequestHead, names: &[CookieName]) -> Result<Option<HeaderEdit>, Unwritable> {
    let is_ours = |pair: &&[u8]| value(pair, names).is_some() || hides_one(pair, names);
    if !pairs(head).any(|pair| is_ours(&pair)) {
        return Ok(None);
    }
    let others: Vec<&[u8]> = pairs(head).filter(|pair| !pair.is_empty() && !is_ours(pair)).collect();
    if others.is_empty() {
        return Ok(Some(HeaderEdit::Remove(FIELD.to_owned())));
    }
    Remainder::of_cookie(others.join(&b"; "[..])).map(HeaderEdit::Rewrite).map(Some).ok_or(Unwritable)
}

fn pairs(head: &RequestHead) -> impl Iterator<Item = &[u8]> {
    head.values(FIELD).flat_map(|line| line.split(|byte| *byte == b';')).map(<[u8]>::trim_ascii)
}

/// The value of a pair whose name is one of `names`. Blanks around `=` are not in the grammar, but
/// backends trim them.
fn value<'a>(pair: &'a [u8], names: &[CookieName]) -> Option<&'a [u8]> {
    let end = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
    let (name, rest) = pair.split_at_checked(end)?;
    let name = name.trim_ascii_end();
    let is_named = names.iter().any(|wanted| wanted.0.as_bytes() == name);
    is_named.then(|| rest.strip_prefix(b"=").unwrap_or_default().trim_ascii_start())
}

/// Some readers take a comma (RFC 2965) or a blank (Python's) for the end of a cookie, and would find in
/// another cookie's value one of ours, which we have not looked at.
fn hides_one(pair: &[u8], names: &[CookieName]) -> bool {
    pair.split(|byte| b", \t".contains(byte)).skip(1).any(|part| part.contains(&b'=') && value(part, names).is_some())
}

/// A value may stand in quotes, which are no part of it.
fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value)
}
