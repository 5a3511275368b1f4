//! The requirement for one claim.

use serde_json::Value;

use super::verdict::{Indeterminate, Verdict};
use crate::jose::{Claim, Claims};

/// The expected value of the claim at a path.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimTest {
    /// The literal names of the path, at least one.
    pub path: Vec<String>,
    pub expected: Expected,
}

/// The expected value of a claim. A claim that is not a list counts as a list of one, because many issuers write `"a"`
/// for `["a"]`. Values are compared whole, never as substrings (Okta's JavaScript verifier accepts `promos:writeall`
/// for `promos:write`).
#[derive(Clone, Debug, PartialEq)]
pub enum Expected {
    /// At least one of these values.
    OneOf(Vec<ClaimValue>),
    AllOf(Vec<ClaimValue>),
    /// Any value except `null`.
    Presence,
    /// No such claim.
    Absence,
}

/// A comparable value.
#[derive(Clone, Debug, PartialEq)]
pub enum ClaimValue {
    /// A string, compared byte for byte.
    Text(String),
    /// A number that a double represents exactly, so that different integers never compare as equal.
    Number(f64),
    Bool(bool),
}

impl ClaimTest {
    /// Evaluates the claim. A missing claim fails. `null`, an object, a list with an item of another type, or a type
    /// that no expected value has is indeterminate.
    pub fn evaluate(&self, claims: &Claims) -> Verdict {
        let found = claims.find(&self.path);
        match (&self.expected, found) {
            (_, Claim::Malformed | Claim::Valid(Value::Null)) => Verdict::Indeterminate(Indeterminate::Malformed),
            (Expected::Absence, found) => Verdict::of(found == Claim::Absent),
            (_, Claim::Absent) => Verdict::Fails,
            (Expected::Presence, Claim::Valid(_)) => Verdict::Holds,
            (Expected::OneOf(values), Claim::Valid(found)) => compare(values, found, |holds| values.iter().any(holds)),
            (Expected::AllOf(values), Claim::Valid(found)) => compare(values, found, |holds| values.iter().all(holds)),
        }
    }
}

fn compare(values: &[ClaimValue], found: &Value, decide: impl Fn(&dyn Fn(&ClaimValue) -> bool) -> bool) -> Verdict {
    let items = match found {
        Value::Array(items) => items.as_slice(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            std::slice::from_ref(found)
        }
    };
    let is_comparable = |item: &Value| values.iter().any(|value| value.has_type_of(item));
    if !items.iter().all(is_comparable) {
        return Verdict::Indeterminate(Indeterminate::Malformed);
    }
    Verdict::of(decide(&|value| items.iter().any(|item| value.is(item))))
}

impl ClaimValue {
    fn is(&self, found: &Value) -> bool {
        match self {
            Self::Text(text) => found.as_str() == Some(text),
            // JSON has one number type: 5 and 5.0 are equal.
            Self::Number(number) => found.as_f64() == Some(*number),
            Self::Bool(value) => found.as_bool() == Some(*value),
        }
    }

    /// Whether both have the same type.
    pub const fn is_of_type(&self, other: &Self) -> bool {
        matches!(
            (self, other),
            (Self::Text(_), Self::Text(_)) | (Self::Number(_), Self::Number(_)) | (Self::Bool(_), Self::Bool(_))
        )
    }

    fn has_type_of(&self, found: &Value) -> bool {
        match self {
            Self::Text(_) => found.is_string(),
            Self::Number(_) => found.is_number(),
            Self::Bool(_) => found.is_boolean(),
        }
    }
}
