//! Converts a [`ValidatedToken`] into request edits: removes every header with which a client could claim an identity,
//! and sets the identity headers.
//!
//! Backends fold header names: a CGI or WSGI program reads `X_User_Id`, `X.User.Id` and `X-User-ID` as one variable
//! (CVE-2025-64484, CVE-2026-88011). So every spelling that folds to a managed name is removed.

use serde_json::Value;

use super::provider::ClaimNames;
use super::validate::ValidatedToken;
use crate::http::{HeaderEdit, HeaderName, HeaderValue, without_gateway_prefix};
use crate::jose::Claim;

/// The longest value of a claim in bytes, as written. The smallest common limit for a header line is 8190 with its name
/// (Apache's `LimitRequestFieldSize`).
const MAX_VALUE_BYTES: usize = 8000;

/// From here on different integers are the same double: `18446744073709551617` is read as `18446744073709551616`.
const INEXACT: f64 = 9_007_199_254_740_992.0;

/// Why a claim cannot be forwarded. A truncated or rounded value would be another identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unforwardable {
    /// The value is longer than backends accept in a header.
    TooLong,
    /// An integer in the value does not fit into 64 bits and was rounded when the token was parsed.
    NumberInexact,
}

/// Which claims the backend receives, and under which names.
#[derive(Clone, Debug, Default)]
pub struct Forwarding {
    claims: Vec<ForwardedClaim>,
    /// The header with the whole payload.
    payload: Option<HeaderName>,
    /// Headers that are removed and never set.
    removed: Vec<HeaderName>,
    /// The lengths of all names, one bit each. Most request fields are excluded by this check alone.
    lengths: u64,
}

/// One claim and its header.
#[derive(Clone, Debug)]
pub struct ForwardedClaim {
    pub header: HeaderName,
    /// The source of the value.
    pub source: ClaimSource,
    /// The format of the value.
    pub format: ClaimFormat,
}

/// The part of a token that is written into a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimSource {
    /// The subject, in whichever claim the provider has it.
    Subject,
    Client,
    Scopes,
    /// The claim at a path of at least one literal member name.
    Claim(Vec<String>),
}

/// The format of a claim's value in a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimFormat {
    /// Strings with commas percent-encoded; numbers and booleans as in JSON; lists and objects as JSON.
    String,
    /// The items of a list, separated by spaces.
    Space,
    /// The items of a list, separated by commas.
    Comma,
    /// JSON in ASCII.
    Json,
}

impl Forwarding {
    /// Forwards these claims, and the payload in another header. All these headers are managed.
    pub fn new(claims: Vec<ForwardedClaim>, payload: Option<HeaderName>) -> Self {
        Self { claims, payload, removed: Vec::new(), lengths: 0 }.with_lengths()
    }

    /// Also removes these headers from every request, without setting them.
    #[must_use]
    pub fn also_removing(mut self, removed: Vec<HeaderName>) -> Self {
        self.removed = removed;
        self.with_lengths()
    }

    fn with_lengths(mut self) -> Self {
        self.lengths = self.managed().fold(0, |lengths, header| lengths | length_bit(header.as_str()));
        self
    }

    /// Every header that a client must not set.
    fn managed(&self) -> impl Iterator<Item = &HeaderName> {
        self.claims.iter().map(|claim| &claim.header).chain(&self.payload).chain(&self.removed)
    }

    /// The edits that set the identity headers, for a stripped request.
    ///
    /// # Errors
    /// If a value cannot be written completely and exactly.
    pub fn identity(&self, token: &ValidatedToken) -> Result<Vec<HeaderEdit>, Unforwardable> {
        let mut edits = Vec::with_capacity(self.claims.len() + 1);
        for ForwardedClaim { header, source, format } in &self.claims {
            edits.extend(source.header_value(*format, token)?.map(|value| HeaderEdit::Set(header.clone(), value)));
        }
        if let Some(header) = &self.payload {
            // Exactly as signed, so the reader gets the verified bytes. The token's size limit bounds it. An opaque
            // token has no payload.
            let payload = token.payload().and_then(|payload| HeaderValue::parse(payload.as_base64url()));
            edits.extend(payload.map(|value| HeaderEdit::Set(header.clone(), value)));
        }
        Ok(edits)
    }

    /// Whether a client must not set a header or trailer of this name.
    pub fn is_managed(&self, name: &str) -> bool {
        self.lengths & length_bit(name) != 0 && self.managed().any(|header| header.folds_to(name))
    }
}

/// The bit for the length of a name without its prefix. The longest lengths share one bit.
fn length_bit(name: &str) -> u64 {
    1 << without_gateway_prefix(name).len().min(63)
}

impl ClaimSource {
    /// The value in this format, safe to write. `None` if the token lacks the claim.
    ///
    /// # Errors
    /// If it is longer than 8000 bytes as written, or a number in it was rounded.
    pub fn header_value(
        &self,
        format: ClaimFormat,
        token: &ValidatedToken,
    ) -> Result<Option<HeaderValue>, Unforwardable> {
        let Some(value) = self.value(token) else { return Ok(None) };
        if has_inexact_number(&value) {
            return Err(Unforwardable::NumberInexact);
        }
        match self.format(format, value) {
            Some(value) if value.as_str().len() > MAX_VALUE_BYTES => Err(Unforwardable::TooLong),
            value => Ok(value),
        }
    }

    fn format(&self, format: ClaimFormat, value: Value) -> Option<HeaderValue> {
        match format {
            ClaimFormat::Json => Some(HeaderValue::json(&value)),
            // The string form of a list of scopes is defined in RFC 6749.
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
            // One issuer uses `cid` where another uses `client_id`.
            Self::Claim(path) => {
                token.claims().get(path).cloned().or_else(|| self.is_client().then(|| Self::Client.value(token))?)
            }
        }
    }

    /// A `scope` string is a list (RFC 6749 section 3.3), under any of the usual names.
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

fn has_inexact_number(value: &Value) -> bool {
    match value {
        // An integer that fits into 64 bits was parsed exactly.
        Value::Number(number) => number.is_f64() && number.as_f64().is_none_or(|number| number.abs() >= INEXACT),
        Value::Array(items) => items.iter().any(has_inexact_number),
        Value::Object(members) => members.values().any(has_inexact_number),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

/// A list of scalars with a separator. Nested values are not written. Empty strings are omitted, because they are
/// invisible between separators and would be a space at an end.
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
