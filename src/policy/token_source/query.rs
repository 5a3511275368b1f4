//! Reads a token from a query parameter (RFC 6750 section 2.3). Names and values are decoded like a form, as backends
//! do, so that `access%5Ftoken` is detected.

use std::borrow::Cow;

use super::folding::{decoded, folds_to};
use super::{Credential, CredentialLocation, NamedPart, Names, UnremovableCredential};
use crate::http::{HeaderEdit, RequestHead, StrippedField};

const FIELD: &str = ":path";

/// The name of a parameter. Names are case-sensitive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamName(String);

impl ParamName {
    /// The name, or `None` if a character of it requires encoding (RFC 3986 section 2.3).
    pub fn parse(text: &str) -> Option<Self> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        (!text.is_empty() && text.bytes().all(is_plain)).then(|| Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The three parts of a request target.
struct Target<'a> {
    path: &'a [u8],
    query: &'a [u8],
    /// Includes the `#`. Clients do not send one, and Envoy rejects it.
    fragment: &'a [u8],
}

/// The credentials in the parameters with these names.
pub(super) fn credentials<'a>(
    head: &'a RequestHead,
    names: Names<'_, ParamName>,
    max_bytes: usize,
) -> impl Iterator<Item = Credential<'a>> {
    targets(head, names).flat_map(|target| params(target.query)).filter_map(move |param| match part(param, names) {
        // At most three characters of the query encode one character of the token.
        NamedPart::Exact(value) if value.len() / 3 > max_bytes => Some(Credential::TooLarge),
        NamedPart::Exact(value) => Some(Credential::read(decoded(value), CredentialLocation::Query, max_bytes)),
        NamedPart::Folded => Some(Credential::Malformed),
        NamedPart::Other => None,
    })
}

/// The request target without the parameters with these names. All other bytes are unchanged.
pub(super) fn strip(
    head: &RequestHead,
    names: Names<'_, ParamName>,
    forward: bool,
) -> Result<Option<HeaderEdit>, UnremovableCredential> {
    let mut edit = None;
    for target in targets(head, names) {
        let Some(rest) = target.without(names, forward) else { continue };
        let rest = StrippedField::of_path(rest).ok_or(UnremovableCredential)?;
        // A request has one target. With two targets no edit is correct.
        if edit.replace(HeaderEdit::Rewrite(rest)).is_some() {
            return Err(UnremovableCredential);
        }
    }
    Ok(edit)
}

/// The single target of a request without the parameters with these names, for other recipients than the backend.
pub fn target_without<'a>(head: &'a RequestHead, names: &[ParamName]) -> Option<Cow<'a, [u8]>> {
    let text = head.single(FIELD)?;
    let rest = Target::of(text).without(Names { names, folds: true }, false);
    Some(rest.map_or(Cow::Borrowed(text), Cow::Owned))
}

/// Whether a backend could read a parameter called `name` from the query.
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

    /// The target without these parameters. `None` if it has none of them.
    fn without(&self, names: Names<'_, ParamName>, forward: bool) -> Option<Vec<u8>> {
        let is_removed = |param: &&[u8]| part(param, names).is_removed(forward);
        if !params(self.query).any(|param| is_removed(&param)) {
            return None;
        }
        let others: Vec<&[u8]> = params(self.query).filter(|param| !is_removed(param)).collect();
        let query = others.join(&b"&"[..]);
        let separator: &[u8] = if query.is_empty() { b"" } else { b"?" };
        Some([self.path, separator, &query, self.fragment].concat())
    }
}

/// The request's target. Not parsed if no name is configured.
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

/// Classifies a parameter. Its value is still encoded.
fn part<'a>(param: &'a [u8], names: Names<'_, ParamName>) -> NamedPart<'a> {
    let (name, rest) = split_before(param, b'=');
    if is_exact(name, names) {
        return NamedPart::Exact(rest.strip_prefix(b"=").unwrap_or_default());
    }
    // Some parsers read `;` as `&` (CVE-2021-23336). They would find a configured parameter, which is not checked here,
    // in the value of another.
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
    names.names.iter().any(|configured| configured.0.as_bytes() == name.as_ref())
}

fn is_folded(name: &[u8], names: Names<'_, ParamName>) -> bool {
    names.folds && names.names.iter().any(|configured| folds_to(name, configured.0.as_bytes()))
}
