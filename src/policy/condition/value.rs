//! The values that expressions compute with. Claims and headers are read where they stand, and copied never.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashSet;
use std::ops::Deref;
use std::rc::Rc;

use serde_json::{Map as JsonMap, Value as Json};

use super::budget::Steps;
use super::fault::ConditionError;
use crate::http::RequestHead;

/// One value. No `Debug`: it may be anything a client sent.
#[derive(Clone)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(Text<'a>),
    List(List<'a>),
    Map(Map<'a>),
    /// Milliseconds since the Unix epoch.
    Time(i64),
    /// Milliseconds.
    Span(i64),
}

/// A string. One that an expression made is shared from then on: no variable or list copies it.
#[derive(Clone)]
pub(super) enum Text<'a> {
    Borrowed(&'a str),
    Made(Rc<str>),
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Made(text) => text,
        }
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self::Borrowed(text)
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self::Made(text.into())
    }
}

impl<'a> From<Cow<'a, str>> for Text<'a> {
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
    Texts(&'a [String]),
    Made(Rc<[Value<'a>]>),
}

#[derive(Clone)]
pub(super) enum Map<'a> {
    Json(&'a JsonMap<String, Json>),
    Headers(&'a RequestHead),
    Made(Rc<[(Value<'a>, Value<'a>)]>),
}

impl<'a> Value<'a> {
    /// A claim. A whole number is an integer, whatever its size: one that does not fit is not rounded, for it would
    /// be equal to others then. Doubles beyond 64 bits are such numbers, rounded by the JSON parser.
    pub(super) fn of(json: &'a Json) -> Result<Self, ConditionError> {
        match json {
            Json::Null => Ok(Self::Null),
            Json::Bool(value) => Ok(Self::Bool(*value)),
            Json::Number(number) => match (number.as_i64(), number.is_u64(), number.as_f64()) {
                (Some(number), _, _) => Ok(Self::Int(number)),
                (None, false, Some(number)) if number.abs() < BEYOND => Ok(Self::Double(number)),
                (None, _, _) => Err(ConditionError::OutOfRange),
            },
            Json::String(text) => Ok(Self::Text(Text::Borrowed(text))),
            Json::Array(items) => Ok(Self::List(List::Json(items))),
            Json::Object(members) => Ok(Self::Map(Map::Json(members))),
        }
    }

    /// Whether two values are of one type. Numbers are, whole or not.
    pub(super) const fn is_of_type(&self, other: &Self) -> bool {
        matches!(
            (self, other),
            (Self::Null, Self::Null)
                | (Self::Bool(_), Self::Bool(_))
                | (Self::Int(_) | Self::Double(_), Self::Int(_) | Self::Double(_))
                | (Self::Text(_), Self::Text(_))
                | (Self::List(_), Self::List(_))
                | (Self::Map(_), Self::Map(_))
                | (Self::Time(_), Self::Time(_))
                | (Self::Span(_), Self::Span(_))
        )
    }

    /// How many bytes a comparison of two values looks at; those of lists and maps are compared one by one.
    pub(super) fn compared_bytes(&self, other: &Self) -> usize {
        if let (Self::Text(left), Self::Text(right)) = (self, other) { left.len().min(right.len()) } else { 0 }
    }

    /// Whether two keys of a map are the same one. Keys of different types differ.
    pub(super) fn is_key(&self, other: &Self) -> bool {
        self.order(other).is_ok_and(|order| order == Some(Ordering::Equal))
    }

    /// Which of two values of one ordered type comes first; not-a-number comes nowhere.
    pub(super) fn order(&self, other: &Self) -> Result<Option<Ordering>, ConditionError> {
        match (self, other) {
            (Self::Int(left), Self::Int(right))
            | (Self::Time(left), Self::Time(right))
            | (Self::Span(left), Self::Span(right)) => Ok(Some(left.cmp(right))),
            (Self::Double(left), Self::Double(right)) => Ok(left.partial_cmp(right)),
            (Self::Int(left), Self::Double(right)) => Ok(order_mixed(*left, *right)),
            (Self::Double(left), Self::Int(right)) => Ok(order_mixed(*right, *left).map(Ordering::reverse)),
            (Self::Text(left), Self::Text(right)) => Ok(Some(str::cmp(left, right))),
            (Self::Bool(left), Self::Bool(right)) => Ok(Some(left.cmp(right))),
            _ => Err(ConditionError::WrongType),
        }
    }
}

/// The first whole number beyond 64 bits.
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
            Self::Texts(items) => items.len(),
            Self::Made(items) => items.len(),
        }
    }

    /// The item at `index`, from 0; an error, too, where there is none.
    pub(super) fn item(&self, index: usize) -> Result<Value<'a>, ConditionError> {
        const NONE: ConditionError = ConditionError::Missing;
        match self {
            Self::Json(items) => Value::of(items.get(index).ok_or(NONE)?),
            Self::Texts(items) => items.get(index).map(|text| Value::Text(Text::Borrowed(text))).ok_or(NONE),
            Self::Made(items) => items.get(index).cloned().ok_or(NONE),
        }
    }
}

impl<'a> Map<'a> {
    /// What a walk over it visits.
    pub(super) fn keys(&self, steps: &mut Steps) -> Result<Rc<[Value<'a>]>, ConditionError> {
        let text = |name: &'a str| Value::Text(Text::Borrowed(name));
        match self {
            Self::Json(members) => {
                steps.spend(members.len())?;
                Ok(members.keys().map(|name| text(name)).collect())
            }
            Self::Headers(head) => Ok(header_names(head, steps)?.into_iter().map(text).collect()),
            Self::Made(entries) => {
                steps.spend(entries.len())?;
                Ok(entries.iter().map(|(key, _)| key.clone()).collect())
            }
        }
    }
}

/// Each once, in order, and none of a pseudo-header.
fn header_names<'a>(head: &'a RequestHead, steps: &mut Steps) -> Result<Vec<&'a str>, ConditionError> {
    let cost = head.names().map(|name| name.len().saturating_add(64)).fold(0, usize::saturating_add);
    steps.spend_bytes(cost)?;
    let mut seen = HashSet::new();
    Ok(head.names().filter(|name| !name.starts_with(':') && seen.insert(*name)).collect())
}
