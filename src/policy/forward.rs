//! [`ValidatedToken`] -> edits to the request that goes on: the identity in headers, and before that
//! every header gone by which a client could have claimed one itself.
//!
//! Backends fold header names: to a CGI or WSGI program `X_User_Id`, `X.User.Id` and `X-User-ID` are
//! one variable (CVE-2025-64484, CVE-2026-88011). So every spelling that folds to a managed name goes.

use serde_json::Value;

use super::provider::ClaimNames;
use super::validate::ValidatedToken;
use crate::http::{HeaderEdit, HeaderName, HeaderValue, RequestHead, unprefixed};
use crate::jose::Claim;

/// The longest value of a claim, in bytes as it is written: the least that common servers take in one line of a header
/// is 8190 with its name (Apache's `LimitRequestFieldSize`).
const LONGEST_VALUE: usize = 8000;

/// From here on two whole numbers are one double: `18446744073709551617` was read as `18446744073709551616`.
const INEXACT: f64 = 9_007_199_254_740_992.0;

/// Why a claim is not forwarded. In part, or rounded, it would be another identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unforwardable {
    /// The value is longer than backends take in a header.
    TooLong,
    /// A whole number in it does not fit into 64 bits, and was rounded when the token was read.
    NumberInexact,
}

/// Which claims reach the backend under which names.
#[derive(Clone, Debug, Default)]
pub struct Forwarding {
    claims: Vec<ForwardedClaim>,
    /// The header for the whole payload.
    payload: Option<HeaderName>,
    /// Headers that are removed and never written.
    removed: Vec<HeaderName>,
    /// The lengths of all their names, a bit each: most fields of a request are told apart by this alone.
    lengths: u64,
}

/// One claim in one header.
#[derive(Clone, Debug)]
pub struct ForwardedClaim {
    /// The header.
    pub header: HeaderName,
    /// What is written.
    pub source: ClaimSource,
    /// How the value is written.
    pub format: ClaimFormat,
}

/// What of a token is written into a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimSource {
    /// Whom the token speaks for, wherever its provider has that.
    Subject,
    /// The OAuth client.
    Client,
    /// The scopes.
    Scopes,
    /// The claim at a path of literal member names, at least one.
    Claim(Vec<String>),
}

/// How a claim's value is written into a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimFormat {
    /// Text with commas percent-encoded; numbers and booleans as in JSON; lists and objects as JSON.
    String,
    /// The elements of a list with a blank between them.
    Space,
    /// The elements of a list with a comma between them.
    Comma,
    /// JSON in ASCII.
    Json,
}

impl Forwarding {
    /// Forwards these claims, and the token's whole payload in another header, and manages these headers.
    pub fn new(claims: Vec<ForwardedClaim>, payload: Option<HeaderName>) -> Self {
        Self { claims, payload, removed: Vec::new(), lengths: 0 }.with_lengths()
    }

    /// Also removes these headers from every request, without writing them.
    #[must_use]
    pub fn also_removing(mut self, removed: Vec<HeaderName>) -> Self {
        self.removed = removed;
        self.with_lengths()
    }

    fn with_lengths(mut self) -> Self {
        self.lengths = self.managed().fold(0, |lengths, header| lengths | length_bit(header.as_str()));
        self
    }

    /// Every header that a client may not set.
    fn managed(&self) -> impl Iterator<Item = &HeaderName> {
        self.claims.iter().map(|claim| &claim.header).chain(&self.payload).chain(&self.removed)
    }

    /// Takes every header out that only we may write, in each spelling that is there.
    pub fn strip(&self, head: &RequestHead) -> Vec<HeaderEdit> {
        let mut managed: Vec<&str> = Vec::new();
        for name in head.names() {
            if self.is_managed(name) && !managed.contains(&name) {
                managed.push(name);
            }
        }
        managed.into_iter().map(|name| HeaderEdit::Remove(name.to_owned())).collect()
    }

    /// Writes the identity into a request that was stripped.
    ///
    /// # Errors
    /// When a value cannot be written whole and exactly.
    pub fn identity(&self, token: &ValidatedToken) -> Result<Vec<HeaderEdit>, Unforwardable> {
        let mut edits = Vec::with_capacity(self.claims.len() + 1);
        for ForwardedClaim { header, source, format } in &self.claims {
            edits.extend(source.written(*format, token)?.map(|value| HeaderEdit::Set(header.clone(), value)));
        }
        if let Some(header) = &self.payload {
            // As it was signed: who reads it sees what was proved, and a token's own limit is its limit. An opaque token
            // signs nothing, and nothing is made up for it.
            let payload = token.payload().and_then(|payload| HeaderValue::parse(payload.as_base64url()));
            edits.extend(payload.map(|value| HeaderEdit::Set(header.clone(), value)));
        }
        Ok(edits)
    }

    /// Whether a client may not set a header or trailer of that name.
    pub fn is_managed(&self, name: &str) -> bool {
        self.lengths & length_bit(name) != 0 && self.managed().any(|header| header.folds_to(name))
    }
}

/// The bit of a name's length without prefix; the longest share one.
fn length_bit(name: &str) -> u64 {
    1 << unprefixed(name).len().min(63)
}

impl ClaimSource {
    /// The value in that form, made safe to write; `None` when the token says nothing of it.
    ///
    /// # Errors
    /// When it is longer than 8000 bytes as written, or a number in it was rounded.
    pub fn written(&self, format: ClaimFormat, token: &ValidatedToken) -> Result<Option<HeaderValue>, Unforwardable> {
        let Some(value) = self.value(token) else { return Ok(None) };
        if holds_inexact_number(&value) {
            return Err(Unforwardable::NumberInexact);
        }
        match self.format(format, value) {
            Some(value) if value.as_str().len() > LONGEST_VALUE => Err(Unforwardable::TooLong),
            value => Ok(value),
        }
    }

    fn format(&self, format: ClaimFormat, value: Value) -> Option<HeaderValue> {
        match format {
            ClaimFormat::Json => Some(HeaderValue::json(&value)),
            // The text form of a list of scopes is RFC 6749's.
            ClaimFormat::String if self.is_scopes() => list(&value, ' '),
            ClaimFormat::String => match value {
                Value::Null => None,
                Value::String(text) => (!text.is_empty()).then(|| HeaderValue::encode_claim(&text, None)),
                Value::Bool(_) | Value::Number(_) => Some(HeaderValue::encode(&value.to_string(), None)),
                Value::Array(_) | Value::Object(_) => Some(HeaderValue::json(&value)),
            },
            ClaimFormat::Space => list(&value, ' '),
            ClaimFormat::Comma => list(&value, ','),
        }
    }

    fn value(&self, token: &ValidatedToken) -> Option<Value> {
        match self {
            Self::Subject => token.subject().map(Value::from),
            Self::Client => token.client().map(Value::from),
            Self::Scopes => Some(Value::from(token.scopes().to_vec())),
            // A `scope` string is a list (RFC 6749 section 3.3), whichever name and form it has.
            Self::Claim(path) if self.is_scopes() => match path.first().map(|name| token.claims().scopes(name)) {
                Some(Claim::Valid(scopes)) => Some(scopes.into()),
                Some(Claim::Malformed) => None,
                Some(Claim::Absent) | None => Self::Scopes.value(token),
            },
            // What one issuer calls `cid` another calls `client_id`.
            Self::Claim(path) => {
                token.claims().at(path).cloned().or_else(|| self.is_client().then(|| Self::Client.value(token))?)
            }
        }
    }

    /// A `scope` string is a list (RFC 6749 section 3.3), whichever of the usual names it has.
    fn is_scopes(&self) -> bool {
        *self == Self::Scopes || self.is_one_of(&ClaimNames::USUAL_SCOPE)
    }

    fn is_client(&self) -> bool {
        *self == Self::Client || self.is_one_of(&ClaimNames::USUAL_CLIENT)
    }

    fn is_one_of(&self, names: &[&str]) -> bool {
        matches!(self, Self::Claim(path) if matches!(path.as_slice(), [name] if names.contains(&name.as_str())))
    }
}

fn holds_inexact_number(value: &Value) -> bool {
    match value {
        // What fits into 64 bits was read as an integer.
        Value::Number(number) => number.is_f64() && number.as_f64().is_none_or(|number| number.abs() >= INEXACT),
        Value::Array(items) => items.iter().any(holds_inexact_number),
        Value::Object(members) => members.values().any(holds_inexact_number),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

/// A list of scalars with a separator between them; anything nested is not written this way, and an
/// empty text is left out: between separators it could not be seen, at an end it would be a blank.
fn list(value: &Value, separator: char) -> Option<HeaderValue> {
    let items: Vec<&Value> = match value {
        Value::Array(items) => items.iter().collect(),
        Value::Null => return None,
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => vec![value],
    };
    let written: Option<Vec<HeaderValue>> = items
        .into_iter()
        .filter(|item| item.as_str() != Some(""))
        .map(|item| match item {
            Value::String(text) => Some(HeaderValue::encode_claim(text, Some(separator))),
            Value::Bool(_) | Value::Number(_) => Some(HeaderValue::encode(&item.to_string(), Some(separator))),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        })
        .collect();
    written.filter(|items| !items.is_empty()).map(|items| HeaderValue::join(&items, separator))
}

#[cfg(test)]
#[path = "forward/tests.rs"]
mod tests;
