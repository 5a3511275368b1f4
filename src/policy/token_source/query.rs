//! A token in a parameter of the query (RFC 6750 section 2.3). Names and values are compared and read as a
//! backend decodes a form, so that `access%5Ftoken` is no way past us.

use std::borrow::Cow;

use super::{Credential, Place, Unwritable};
use crate::http::{HeaderEdit, Remainder, RequestHead};

const FIELD: &str = ":path";

/// The name of a parameter; names are case-sensitive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamName(String);

impl ParamName {
    /// The name, or `None` when it has characters that would have to be encoded (RFC 3986 section 2.3).
    pub fn parse(text: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        (!text.is_empty() && text.bytes().all(plain)).then(|| Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A request target in its three parts.
struct Target<'a> {
    path: &'a [u8],
    query: &'a [u8],
    /// With its `#`. Clients do not send one and Envoy refuses it.
    fragment: &'a [u8],
}

/// What each parameter of these names offers.
pub(super) fn credentials<'a>(
    head: &'a RequestHead,
    names: &[ParamName],
    max_bytes: usize,
) -> impl Iterator<Item = Credential<'a>> {
    targets(head, names).flat_map(|target| params(target.query)).filter_map(move |param| match value(param, names) {
        // Three characters of the query are one of the token at best.
        Some(value) if value.len() / 3 > max_bytes => Some(Credential::TooLarge),
        Some(value) => Some(Credential::read(decoded(value), Place::Query, max_bytes)),
        None => hides_one(param, names).then_some(Credential::Malformed),
    })
}

/// The request target without the parameters of these names; every other byte stays.
pub(super) fn strip(head: &RequestHead, names: &[ParamName]) -> Result<Option<HeaderEdit>, Unwritable> {
    let mut edit = None;
    for target in targets(head, names) {
        let Some(rest) = target.without(names) else { continue };
        let rest = Remainder::of_path(rest).ok_or(Unwritable)?;
        // One request has one target; with two of them no edit would be right.
        if edit.replace(HeaderEdit::Rewrite(rest)).is_some() {
            return Err(Unwritable);
        }
    }
    Ok(edit)
}

/// The one target of a request without the parameters of these names, for whom it is shown to; every other byte stays.
pub fn target_without<'a>(head: &'a RequestHead, names: &[ParamName]) -> Option<Cow<'a, [u8]>> {
    let text = head.the_only(FIELD)?;
    Some(Target::of(text).without(names).map_or(Cow::Borrowed(text), Cow::Owned))
}

impl<'a> Target<'a> {
    fn of(text: &'a [u8]) -> Self {
        let (rest, fragment) = split_before(text, b'#');
        let (path, query) = split_before(rest, b'?');
        Self { path, query: query.strip_prefix(b"?").unwrap_or_default(), fragment }
    }

    /// What is left without these parameters; `None` when it has none of them.
    fn without(&self, names: &[ParamName]) -> Option<Vec<u8>> {
        let is_ours = |param: &&[u8]| value(param, names).is_some() || hides_one(param, names);
        if !params(self.query).any(|param| is_ours(&param)) {
            return None;
        }
        let others: Vec<&[u8]> = params(self.query).filter(|param| !is_ours(param)).collect();
        let query = others.join(&b"&"[..]);
        let mark: &[u8] = if query.is_empty() { b"" } else { b"?" };
        Some([self.path, mark, &query, self.fragment].concat())
    }
}

/// The request's target, looked at only when there is something to look for.
fn targets<'a>(head: &'a RequestHead, names: &[ParamName]) -> impl Iterator<Item = Target<'a>> {
    head.values(FIELD).take(if names.is_empty() { 0 } else { usize::MAX }).map(Target::of)
}

fn split_before(text: &[u8], mark: u8) -> (&[u8], &[u8]) {
    let at = text.iter().position(|byte| *byte == mark).unwrap_or(text.len());
    text.split_at_checked(at).unwrap_or((text, b""))
}

fn params(query: &[u8]) -> impl Iterator<Item = &[u8]> {
    query.split(|byte| *byte == b'&')
}

/// The value, still encoded, of a parameter whose decoded name is one of `names`.
fn value<'a>(param: &'a [u8], names: &[ParamName]) -> Option<&'a [u8]> {
    let (name, rest) = split_before(param, b'=');
    let name = decoded(name);
    let is_named = names.iter().any(|wanted| wanted.0.as_bytes() == name.as_ref());
    is_named.then(|| rest.strip_prefix(b"=").unwrap_or_default())
}

/// Some readers take `;` for `&` (CVE-2021-23336), and would find in another parameter's value one of
/// ours, which we have not looked at.
fn hides_one(param: &[u8], names: &[ParamName]) -> bool {
    param.split(|byte| *byte == b';').skip(1).any(|part| part.contains(&b'=') && value(part, names).is_some())
}

/// A form decoded: `+` is a blank, a broken escape stands for itself.
fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().any(|byte| b"%+".contains(byte)) {
        return Cow::Borrowed(text);
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut left = text;
    while let [byte, rest @ ..] = left {
        left = rest;
        match (byte, rest) {
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    plain.push(high << 4 | low);
                    left = after;
                }
                (None, _) | (_, None) => plain.push(b'%'),
            },
            (b'+', _) => plain.push(b' '),
            (byte, _) => plain.push(*byte),
        }
    }
    Cow::Owned(plain)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}
