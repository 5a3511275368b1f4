//! What is demanded of one claim of the operator's choice.

use serde_json::Value;

use super::verdict::{Indeterminate, Verdict};
use crate::jose::{Claim, Claims};

/// A demand on the claim at a path.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimTest {
    /// The literal names on the way to it, at least one.
    pub path: Vec<String>,
    /// What it must hold.
    pub expected: Expected,
}

/// What a claim must hold. A claim that is no list counts as a list of one: many issuers write `"a"` for `["a"]`.
/// Values are compared whole; a text is never searched for another (Okta's own JavaScript verifier takes
/// `promos:writeall` for `promos:write`).
#[derive(Clone, Debug, PartialEq)]
pub enum Expected {
    /// At least one of these values.
    OneOf(Vec<ClaimValue>),
    /// Each of these values.
    AllOf(Vec<ClaimValue>),
    /// Anything but null.
    Presence,
    /// That there is no such claim.
    Absence,
}

/// A value that can be compared.
#[derive(Clone, Debug, PartialEq)]
pub enum ClaimValue {
    /// A text, compared byte for byte.
    Text(String),
    /// A number. Of those that a double holds exactly only, so that no two whole numbers are taken for one.
    Number(f64),
    /// True or false.
    Bool(bool),
}

impl ClaimTest {
    /// Judges the claim. It fails when the claim is not there; `null`, a list with something strange in it, an
    /// object, or a type that none of the expected values has: that cannot be judged.
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
    let is_comparable = |item: &Value| values.iter().any(|value| value.is_of_the_type_of(item));
    if !items.iter().all(is_comparable) {
        return Verdict::Indeterminate(Indeterminate::Malformed);
    }
    Verdict::of(decide(&|value| items.iter().any(|item| value.is(item))))
}

impl ClaimValue {
    fn is(&self, found: &Value) -> bool {
        match self {
            Self::Text(text) => found.as_str() == Some(text),
            // JSON has one type of number: 5 and 5.0 are the same.
            Self::Number(number) => found.as_f64() == Some(*number),
            Self::Bool(truth) => found.as_bool() == Some(*truth),
        }
    }

    fn is_of_the_type_of(&self, found: &Value) -> bool {
        match self {
            Self::Text(_) => found.is_string(),
            Self::Number(_) => found.is_number(),
            Self::Bool(_) => found.is_boolean(),
        }
    }
}
