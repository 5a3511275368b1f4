//! Reads a token from a cookie (RFC 6265 section 4.2). Several `cookie` lines count as one.

use std::borrow::Cow;

use super::folding::folds_to;
use super::{Credential, CredentialLocation, NamedPart, Names, UnremovableCredential};
use crate::http::{HeaderEdit, RequestHead, StrippedField, is_token};

pub(super) const FIELD: &str = "cookie";

/// The name of a cookie. Names are case-sensitive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieName(String);

impl CookieName {
    /// The name, or `None` if it is not a token (RFC 6265 section 4.1.1).
    pub fn parse(text: &str) -> Option<Self> {
        is_token(text).then(|| Self(text.to_owned()))
    }
}

/// The credentials in the cookies with these names.
pub(super) fn credentials<'a>(
    head: &'a RequestHead,
    names: Names<'_, CookieName>,
    max_bytes: usize,
) -> impl Iterator<Item = Credential<'a>> {
    pairs(head, names).filter_map(move |pair| match part(pair, names) {
        NamedPart::Exact(value) => {
            Some(Credential::read(Cow::Borrowed(unquoted(value)), CredentialLocation::Cookie, max_bytes))
        }
        NamedPart::Folded => Some(Credential::Malformed),
        NamedPart::Other => None,
    })
}

/// The field without the cookies with these names. The others are unchanged, on one line.
pub(super) fn strip(
    head: &RequestHead,
    names: Names<'_, CookieName>,
    forward: bool,
) -> Result<Option<HeaderEdit>, UnremovableCredential> {
    let is_removed = |pair: &&[u8]| part(pair, names).is_removed(forward);
    if !pairs(head, names).any(|pair| is_removed(&pair)) {
        return Ok(None);
    }
    let others: Vec<&[u8]> = pairs(head, names).filter(|pair| !pair.is_empty() && !is_removed(pair)).collect();
    if others.is_empty() {
        return Ok(Some(HeaderEdit::Remove(FIELD.to_owned())));
    }
    StrippedField::of_cookie(others.join(&b"; "[..])).map(HeaderEdit::Rewrite).map(Some).ok_or(UnremovableCredential)
}

/// The cookies of the request. Not parsed if no name is configured.
fn pairs<'a>(head: &'a RequestHead, names: Names<'_, CookieName>) -> impl Iterator<Item = &'a [u8]> {
    let lines = head.values(FIELD).take(if names.names.is_empty() { 0 } else { usize::MAX });
    lines.flat_map(|line| line.split(|byte| *byte == b';')).map(<[u8]>::trim_ascii)
}

/// Classifies a pair. Spaces around `=` are not valid, but backends trim them.
fn part<'a>(pair: &'a [u8], names: Names<'_, CookieName>) -> NamedPart<'a> {
    let (name, value) = name_and_value(pair);
    if is_exact(name, names) {
        return NamedPart::Exact(value);
    }
    let is_folded =
        is_folded(name, names) || hidden_names(pair).any(|name| is_exact(name, names) || is_folded(name, names));
    if is_folded { NamedPart::Folded } else { NamedPart::Other }
}

/// The names inside a pair that are found by parsers which end a cookie at a comma (RFC 2965) or a space (Python).
fn hidden_names(pair: &[u8]) -> impl Iterator<Item = &[u8]> {
    let equal_signs = pair.iter().enumerate().filter(|(_, byte)| **byte == b'=');
    equal_signs.filter_map(|(at, _)| {
        let before = pair.get(..at)?;
        let end = before.iter().rposition(u8::is_ascii_graphic)?;
        let start = before.get(..end)?.iter().rposition(|byte| *byte == b',' || !byte.is_ascii_graphic())?;
        before.get(start + 1..=end)
    })
}

fn name_and_value(pair: &[u8]) -> (&[u8], &[u8]) {
    let end = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
    let (name, rest) = pair.split_at_checked(end).unwrap_or((pair, b""));
    (name.trim_ascii_end(), rest.strip_prefix(b"=").unwrap_or_default().trim_ascii_start())
}

fn is_exact(name: &[u8], names: Names<'_, CookieName>) -> bool {
    names.names.iter().any(|configured| configured.0.as_bytes() == name)
}

fn is_folded(name: &[u8], names: Names<'_, CookieName>) -> bool {
    names.folds && names.names.iter().any(|configured| folds_to(name, configured.0.as_bytes()))
}

/// Removes the quotes around a value.
fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value)
}
