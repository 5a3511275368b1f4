//! CEL values. Claims and headers are borrowed and never copied.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashSet;
use std::mem::discriminant;
use std::ops::Deref;
use std::rc::Rc;

use serde_json::{Map as JsonMap, Value as Json};

use super::cost::CostLimit;
use super::error::EvaluationError;
use crate::http::RequestHead;

/// One value. No `Debug`: it may be client input.
#[derive(Clone)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    String(StringValue<'a>),
    List(List<'a>),
    Map(Map<'a>),
    /// Milliseconds since the Unix epoch.
    Timestamp(i64),
    /// Milliseconds.
    Duration(i64),
}

/// A string. One that an expression made is shared from then on: no variable or list copies it.
#[derive(Clone)]
pub(super) enum StringValue<'a> {
    Borrowed(&'a str),
    Computed(Rc<str>),
}

impl Deref for StringValue<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Computed(text) => text,
        }
    }
}

impl<'a> From<&'a str> for StringValue<'a> {
    fn from(text: &'a str) -> Self {
        Self::Borrowed(text)
    }
}

impl From<String> for StringValue<'_> {
    fn from(text: String) -> Self {
        Self::Computed(text.into())
    }
}

impl<'a> From<Cow<'a, str>> for StringValue<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        match text {
            Cow::Borrowed(text) => Self::Borrowed(text),
            Cow::Owned(text) => text.into(),
        }
    }
}

#[derive(Clone)]
pub(super) enum List<'a> {
    Json(&'a [Json]),
    Strings(&'a [String]),
    Computed(Rc<[Value<'a>]>),
}

#[derive(Clone)]
pub(super) enum Map<'a> {
    Json(&'a JsonMap<String, Json>),
    Headers(&'a RequestHead),
    Computed(Rc<[(Value<'a>, Value<'a>)]>),
}

impl<'a> Value<'a> {
    /// A claim. An integer that does not fit 64 bits is an error: rounded, it would be equal to others. A double beyond 64
    /// bits is such an integer, rounded by the JSON parser.
    pub(super) fn of(json: &'a Json) -> Result<Self, EvaluationError> {
        match json {
            Json::Null => Ok(Self::Null),
            Json::Bool(value) => Ok(Self::Bool(*value)),
            Json::Number(number) => match (number.as_i64(), number.is_u64(), number.as_f64()) {
                (Some(number), _, _) => Ok(Self::Int(number)),
                (None, false, Some(number)) if number.abs() < BEYOND => Ok(Self::Double(number)),
                (None, _, _) => Err(EvaluationError::OutOfRange),
            },
            Json::String(text) => Ok(Self::String(StringValue::Borrowed(text))),
            Json::Array(items) => Ok(Self::List(List::Json(items))),
            Json::Object(members) => Ok(Self::Map(Map::Json(members))),
        }
    }

    /// Whether two values are of one type. Numbers are, whole or not.
    pub(super) fn is_of_type(&self, other: &Self) -> bool {
        let are_numbers = [self, other].iter().all(|value| matches!(value, Self::Int(_) | Self::Double(_)));
        are_numbers || discriminant(self) == discriminant(other)
    }

    /// How many bytes a comparison of two values looks at; those of lists and maps are compared one by one.
    pub(super) fn compared_bytes(&self, other: &Self) -> usize {
        if let (Self::String(left), Self::String(right)) = (self, other) { left.len().min(right.len()) } else { 0 }
    }

    /// Whether two keys of a map are the same one. Keys of different types differ.
    pub(super) fn is_key(&self, other: &Self) -> bool {
        self.order(other).is_ok_and(|order| order == Some(Ordering::Equal))
    }

    /// Which of two values of one ordered type comes first; not-a-number comes nowhere.
    pub(super) fn order(&self, other: &Self) -> Result<Option<Ordering>, EvaluationError> {
        match (self, other) {
            (Self::Int(left), Self::Int(right))
            | (Self::Timestamp(left), Self::Timestamp(right))
            | (Self::Duration(left), Self::Duration(right)) => Ok(Some(left.cmp(right))),
            (Self::Double(left), Self::Double(right)) => Ok(left.partial_cmp(right)),
            (Self::Int(left), Self::Double(right)) => Ok(order_mixed(*left, *right)),
            (Self::Double(left), Self::Int(right)) => Ok(order_mixed(*right, *left).map(Ordering::reverse)),
            (Self::String(left), Self::String(right)) => Ok(Some(str::cmp(left, right))),
            (Self::Bool(left), Self::Bool(right)) => Ok(Some(left.cmp(right))),
            _ => Err(EvaluationError::WrongType),
        }
    }
}

/// The first integer beyond 64 bits.
const BEYOND: f64 = 9_223_372_036_854_775_808.0;

/// Exact, where a conversion of the integer would round it to its neighbours.
#[allow(clippy::cast_possible_truncation, reason = "in range by the guards, and whole")]
fn order_mixed(whole: i64, double: f64) -> Option<Ordering> {
    if double.is_nan() {
        None
    } else if double >= BEYOND {
        Some(Ordering::Less)
    } else if double < -BEYOND {
        Some(Ordering::Greater)
    } else {
        let floor = double.floor();
        let fraction = if double > floor { Ordering::Less } else { Ordering::Equal };
        Some(whole.cmp(&(floor as i64)).then(fraction))
    }
}

impl<'a> List<'a> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Json(items) => items.len(),
            Self::Strings(items) => items.len(),
            Self::Computed(items) => items.len(),
        }
    }

    /// The item at `index`, from 0; an error, too, where there is none.
    pub(super) fn item(&self, index: usize) -> Result<Value<'a>, EvaluationError> {
        const NONE: EvaluationError = EvaluationError::Missing;
        match self {
            Self::Json(items) => Value::of(items.get(index).ok_or(NONE)?),
            Self::Strings(items) => items.get(index).map(|text| Value::String(StringValue::Borrowed(text))).ok_or(NONE),
            Self::Computed(items) => items.get(index).cloned().ok_or(NONE),
        }
    }
}

impl<'a> Map<'a> {
    /// What a walk over it visits.
    pub(super) fn keys(&self, cost: &mut CostLimit) -> Result<Rc<[Value<'a>]>, EvaluationError> {
        let text = |name: &'a str| Value::String(StringValue::Borrowed(name));
        match self {
            Self::Json(members) => {
                cost.charge(members.len())?;
                Ok(members.keys().map(|name| text(name)).collect())
            }
            Self::Headers(head) => Ok(header_names(head, cost)?.into_iter().map(text).collect()),
            Self::Computed(entries) => {
                cost.charge(entries.len())?;
                Ok(entries.iter().map(|(key, _)| key.clone()).collect())
            }
        }
    }
}

/// Each name once, in order, without pseudo-headers.
fn header_names<'a>(head: &'a RequestHead, cost: &mut CostLimit) -> Result<Vec<&'a str>, EvaluationError> {
    let bytes = head.names().map(|name| name.len().saturating_add(64)).fold(0, usize::saturating_add);
    cost.charge_bytes(bytes)?;
    let mut seen = HashSet::new();
    Ok(head.names().filter(|name| !name.starts_with(':') && seen.insert(*name)).collect())
}
