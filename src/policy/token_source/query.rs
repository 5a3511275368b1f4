//! A token in a parameter of the query (RFC 6750 section 2.3). Names and values are compared and read as a
//! backend decodes a form, so that `access%5Ftoken` is no way past us.

use std::borrow::Cow;

use super::folding::{decoded, folds_to};
use super::{Credential, CredentialLocation, NamedPart, Names, UnremovableCredential};
use crate::http::{HeaderEdit, RequestHead, StrippedField};

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
    names: Names<'_, ParamName>,
    max_bytes: usize,
) -> impl Iterator<Item = Credential<'a>> {
    targets(head, names).flat_map(|target| params(target.query)).filter_map(move |param| match part(param, names) {
        // Three characters of the query are one of the token at best.
        NamedPart::Exact(value) if value.len() / 3 > max_bytes => Some(Credential::TooLarge),
        NamedPart::Exact(value) => Some(Credential::read(decoded(value), CredentialLocation::Query, max_bytes)),
        NamedPart::Folded => Some(Credential::Malformed),
        NamedPart::Other => None,
    })
}

/// The request target without the parameters of these names; every other byte stays.
pub(super) fn strip(
    head: &RequestHead,
    names: Names<'_, ParamName>,
    forward: bool,
) -> Result<Option<HeaderEdit>, UnremovableCredential> {
    let mut edit = None;
    for target in targets(head, names) {
        let Some(rest) = target.without(names, forward) else { continue };
        let rest = StrippedField::of_path(rest).ok_or(UnremovableCredential)?;
        // One request has one target; with two of them no edit would be right.
        if edit.replace(HeaderEdit::Rewrite(rest)).is_some() {
            return Err(UnremovableCredential);
        }
    }
    Ok(edit)
}

/// The one target of a request without the parameters of these names, for whom it is shown to; every other byte stays.
pub fn target_without<'a>(head: &'a RequestHead, names: &[ParamName]) -> Option<Cow<'a, [u8]>> {
    let text = head.single(FIELD)?;
    let rest = Target::of(text).without(Names { names, folds: true }, false);
    Some(rest.map_or(Cow::Borrowed(text), Cow::Owned))
}

/// Whether a backend could find a parameter called `name` in the query.
pub fn has_param(head: &RequestHead, name: &[u8]) -> bool {
    let targets = head.values(FIELD).map(Target::of);
    let mut params = targets.flat_map(|target| target.query.split(|byte| b"&;".contains(byte)));
    params.any(|param| folds_to(split_before(param, b'=').0, name))
}

impl<'a> Target<'a> {
    fn of(text: &'a [u8]) -> Self {
        let (rest, fragment) = split_before(text, b'#');
        let (path, query) = split_before(rest, b'?');
        Self { path, query: query.strip_prefix(b"?").unwrap_or_default(), fragment }
    }

    /// What is left without these parameters; `None` when nothing is removed.
    fn without(&self, names: Names<'_, ParamName>, forward: bool) -> Option<Vec<u8>> {
        let is_removed = |param: &&[u8]| part(param, names).is_removed(forward);
        if !params(self.query).any(|param| is_removed(&param)) {
            return None;
        }
        let others: Vec<&[u8]> = params(self.query).filter(|param| !is_removed(param)).collect();
        let query = others.join(&b"&"[..]);
        let mark: &[u8] = if query.is_empty() { b"" } else { b"?" };
        Some([self.path, mark, &query, self.fragment].concat())
    }
}

/// The request's target, looked at only when there is something to look for.
fn targets<'a>(head: &'a RequestHead, names: Names<'_, ParamName>) -> impl Iterator<Item = Target<'a>> {
    head.values(FIELD).take(if names.names.is_empty() { 0 } else { usize::MAX }).map(Target::of)
}

fn split_before(text: &[u8], mark: u8) -> (&[u8], &[u8]) {
    let at = text.iter().position(|byte| *byte == mark).unwrap_or(text.len());
    text.split_at_checked(at).unwrap_or((text, b""))
}

fn params(query: &[u8]) -> impl Iterator<Item = &[u8]> {
    query.split(|byte| *byte == b'&')
}

/// What a parameter is; its value still encoded.
fn part<'a>(param: &'a [u8], names: Names<'_, ParamName>) -> NamedPart<'a> {
    let (name, rest) = split_before(param, b'=');
    if is_exact(name, names) {
        return NamedPart::Exact(rest.strip_prefix(b"=").unwrap_or_default());
    }
    // Some readers take `;` for `&` (CVE-2021-23336), and would find in another parameter's value one of ours, which we
    // have not looked at.
    let mut hidden = param.split(|byte| *byte == b';').skip(1).filter(|part| part.contains(&b'='));
    let is_folded = is_folded(name, names)
        || hidden.any(|part| {
            let (name, _) = split_before(part, b'=');
            is_exact(name, names) || is_folded(name, names)
        });
    if is_folded { NamedPart::Folded } else { NamedPart::Other }
}

fn is_exact(name: &[u8], names: Names<'_, ParamName>) -> bool {
    let name = decoded(name);
    names.names.iter().any(|wanted| wanted.0.as_bytes() == name.as_ref())
}

fn is_folded(name: &[u8], names: Names<'_, ParamName>) -> bool {
    names.folds && names.names.iter().any(|wanted| folds_to(name, wanted.0.as_bytes()))
}
