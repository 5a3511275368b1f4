//! Arithmetic and functions on values: checked, so that what does not fit is an error.

use super::budget::Steps;
use super::calendar::{TimePart, in_range, parse_span, parse_time, span_in_range};
use super::fault::ConditionError;
use super::program::Function;
use super::value::{List, Map, Value};
use crate::policy::request_target::{escape, needs_no_escape};

type Evaluated<T> = Result<T, ConditionError>;

const WRONG: ConditionError = ConditionError::WrongType;
const RANGE: ConditionError = ConditionError::OutOfRange;

/// What making a string, a list or a map costs beyond its contents.
pub(super) const ALLOCATION: usize = 4;

/// RFC 3339 needs 36 bytes, and a span a few more.
const LONGEST_TIME: usize = 64;

pub(super) fn text<'v>(value: &'v Value<'_>) -> Evaluated<&'v str> {
    if let Value::Text(text) = value { Ok(text) } else { Err(WRONG) }
}

fn time<'a>(millis: Option<i64>) -> Evaluated<Value<'a>> {
    millis.and_then(in_range).map(Value::Time).ok_or(RANGE)
}

fn span<'a>(millis: Option<i64>) -> Evaluated<Value<'a>> {
    millis.and_then(span_in_range).map(Value::Span).ok_or(RANGE)
}

fn int<'a>(number: Option<i64>) -> Evaluated<Value<'a>> {
    number.map(Value::Int).ok_or(RANGE)
}

pub(super) fn negate<'a>(operand: &Value<'a>) -> Evaluated<Value<'a>> {
    if let Value::Int(number) = operand {
        int(number.checked_neg())
    } else if let Value::Double(number) = operand {
        Ok(Value::Double(-number))
    } else if let Value::Span(millis) = operand {
        span(millis.checked_neg())
    } else {
        Err(WRONG)
    }
}

pub(super) fn add<'a>(steps: &mut Steps, left: &Value<'a>, right: &Value<'a>) -> Evaluated<Value<'a>> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => int(left.checked_add(*right)),
        (Value::Double(left), Value::Double(right)) => Ok(Value::Double(left + right)),
        (Value::Text(left), Value::Text(right)) => {
            steps.spend(ALLOCATION)?;
            steps.spend_bytes(left.len().saturating_add(right.len()))?;
            Ok(Value::Text([&**left, &**right].concat().into()))
        }
        (Value::List(left), Value::List(right)) => {
            steps.spend(left.len().saturating_add(right.len()).saturating_add(2 * ALLOCATION))?;
            let all = |list: &List<'a>| (0..list.len()).map(|place| list.item(place)).collect::<Evaluated<Vec<_>>>();
            let mut joined = all(left)?;
            joined.extend(all(right)?);
            Ok(Value::List(List::Made(joined.into())))
        }
        (Value::Time(point), Value::Span(by)) | (Value::Span(by), Value::Time(point)) => time(point.checked_add(*by)),
        (Value::Span(left), Value::Span(right)) => span(left.checked_add(*right)),
        _ => Err(WRONG),
    }
}

pub(super) fn subtract<'a>(left: &Value<'a>, right: &Value<'a>) -> Evaluated<Value<'a>> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => int(left.checked_sub(*right)),
        (Value::Double(left), Value::Double(right)) => Ok(Value::Double(left - right)),
        (Value::Time(point), Value::Span(by)) => time(point.checked_sub(*by)),
        (Value::Time(left), Value::Time(right)) | (Value::Span(left), Value::Span(right)) => {
            span(left.checked_sub(*right))
        }
        _ => Err(WRONG),
    }
}

pub(super) fn multiply<'a>(left: &Value<'a>, right: &Value<'a>) -> Evaluated<Value<'a>> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => int(left.checked_mul(*right)),
        (Value::Double(left), Value::Double(right)) => Ok(Value::Double(left * right)),
        _ => Err(WRONG),
    }
}

pub(super) fn divide<'a>(left: &Value<'a>, right: &Value<'a>) -> Evaluated<Value<'a>> {
    match (left, right) {
        (Value::Int(_), Value::Int(0)) => Err(ConditionError::DivisionByZero),
        (Value::Int(left), Value::Int(right)) => int(left.checked_div(*right)),
        (Value::Double(left), Value::Double(right)) => Ok(Value::Double(left / right)),
        _ => Err(WRONG),
    }
}

pub(super) fn remainder<'a>(left: &Value<'a>, right: &Value<'a>) -> Evaluated<Value<'a>> {
    match (left, right) {
        (Value::Int(_), Value::Int(0)) => Err(ConditionError::DivisionByZero),
        (Value::Int(left), Value::Int(right)) => int(left.checked_rem(*right)),
        _ => Err(WRONG),
    }
}

pub(super) fn time_part<'a>(part: TimePart, of: &Value<'a>, offset: i64) -> Evaluated<Value<'a>> {
    if let Value::Time(millis) = of {
        Ok(Value::Int(part.of(*millis, offset)))
    } else if let Value::Span(millis) = of {
        part.of_span(*millis).map(Value::Int).ok_or(WRONG)
    } else {
        Err(WRONG)
    }
}

pub(super) fn apply<'a>(steps: &mut Steps, function: Function, operands: &[Value<'a>]) -> Evaluated<Value<'a>> {
    match (function, operands) {
        (Function::Size, [Value::Text(text)]) => {
            steps.spend_bytes(text.len())?;
            int(i64::try_from(text.chars().count()).ok())
        }
        (Function::Size, [Value::List(list)]) => int(i64::try_from(list.len()).ok()),
        (Function::Size, [Value::Map(Map::Json(members))]) => int(i64::try_from(members.len()).ok()),
        (Function::Size, [Value::Map(Map::Made(entries))]) => int(i64::try_from(entries.len()).ok()),
        (Function::Size, [Value::Map(headers @ Map::Headers(_))]) => {
            int(i64::try_from(headers.keys(steps)?.len()).ok())
        }
        (Function::StartsWith | Function::EndsWith, [of, part]) => {
            let (of, part) = (text(of)?, text(part)?);
            steps.spend_bytes(part.len())?;
            Ok(Value::Bool(if function == Function::StartsWith { of.starts_with(part) } else { of.ends_with(part) }))
        }
        (Function::Contains, [of, part]) => {
            let (of, part) = (text(of)?, text(part)?);
            // A search compares bytes more than once.
            steps.spend_bytes(of.len().saturating_add(part.len()).saturating_mul(2))?;
            Ok(Value::Bool(of.contains(part)))
        }
        (Function::LowerAscii, [of]) => {
            let of = text(of)?;
            steps.spend(ALLOCATION)?;
            steps.spend_bytes(of.len())?;
            Ok(Value::Text(of.to_ascii_lowercase().into()))
        }
        (Function::PathSegment, [path, Value::Int(place)]) => {
            let path = text(path)?;
            steps.spend(ALLOCATION.saturating_add(path.len() / 4))?;
            path_segment(path, *place)
        }
        (Function::Int, [Value::Int(number)]) => Ok(Value::Int(*number)),
        (Function::Int, [Value::Double(number)]) => int(whole(*number)),
        (Function::Int, [Value::Text(text)]) => {
            // In wasm a checked multiplication is a call.
            steps.spend(text.len())?;
            int(text.parse().ok())
        }
        (Function::Int, [Value::Time(millis)]) => Ok(Value::Int(millis.div_euclid(1000))),
        (Function::Double, [Value::Int(number)]) => Ok(Value::Double(nearest(*number))),
        (Function::Double, [Value::Double(number)]) => Ok(Value::Double(*number)),
        (Function::Double, [Value::Text(text)]) => {
            // Of many digits each may matter for how the last one is rounded.
            steps.spend(text.len().saturating_add(8))?;
            text.parse().ok().filter(|number: &f64| number.is_finite()).map(Value::Double).ok_or(RANGE)
        }
        (Function::String, [Value::Text(text)]) => Ok(Value::Text(text.clone())),
        (Function::String, [Value::Int(number)]) => {
            steps.spend(ALLOCATION)?;
            Ok(Value::Text(number.to_string().into()))
        }
        (Function::String, [Value::Bool(value)]) => Ok(Value::Text(if *value { "true" } else { "false" }.into())),
        (Function::Timestamp, [Value::Int(seconds)]) => time(seconds.checked_mul(1000)),
        (Function::Timestamp, [Value::Text(text)]) => time(parse_time(short(text, steps)?)),
        (Function::Timestamp, [Value::Time(millis)]) => Ok(Value::Time(*millis)),
        (Function::Duration, [Value::Text(text)]) => span(parse_span(short(text, steps)?)),
        (Function::Duration, [Value::Span(millis)]) => Ok(Value::Span(*millis)),
        _ => Err(WRONG),
    }
}

/// What may be a time or a span of time. A longer text is none: each of its digits costs more than those of others.
fn short<'t>(text: &'t str, steps: &mut Steps) -> Evaluated<&'t str> {
    steps.spend(16)?;
    if text.len() <= LONGEST_TIME { Ok(text) } else { Err(RANGE) }
}

/// The part of a path between two slashes, decoded. The first one has the number 1; an empty one is missing.
fn path_segment<'a>(path: &str, place: i64) -> Evaluated<Value<'a>> {
    let place = usize::try_from(place).ok().and_then(|place| place.checked_sub(1)).ok_or(RANGE)?;
    let path = path.strip_prefix('/').ok_or(WRONG)?;
    let segment = path.split('/').nth(place).filter(|segment| !segment.is_empty());
    let decoded = decode_segment(segment.ok_or(ConditionError::Missing)?);
    decoded.map(|text| Value::Text(text.into())).ok_or(ConditionError::NotText)
}

/// Decodes the escapes of one segment, once. `None` for a broken escape, for bytes that are not UTF-8, and for control
/// characters and separators, which no segment has for every server.
fn decode_segment(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let [byte, behind @ ..] = rest {
        let (byte, behind) = if *byte == b'%' { escape(behind)? } else { (*byte, behind) };
        bytes.push(byte);
        rest = behind;
    }
    let is_plain =
        |text: &String| !text.contains(|character: char| character.is_control() || "/\\".contains(character));
    String::from_utf8(bytes).ok().filter(is_plain)
}

/// A value that is compared with a path, or a list or map of such values: an error where it would have an escape there,
/// for `acme%20inc` in a path is the text `acme inc`.
pub(super) fn check_without_escapes(steps: &mut Steps, value: &Value<'_>) -> Evaluated<()> {
    let check_all = |steps: &mut Steps, items: &List<'_>| {
        steps.spend(items.len())?;
        (0..items.len()).try_for_each(|place| check_text(steps, &items.item(place)?))
    };
    if let Value::List(items) = value {
        check_all(steps, items)
    } else if let Value::Map(map) = value {
        let keys = map.keys(steps)?;
        check_all(steps, &List::Made(keys))
    } else {
        check_text(steps, value)
    }
}

/// Of another type than text it is not comparable anyway.
fn check_text(steps: &mut Steps, value: &Value<'_>) -> Evaluated<()> {
    let Value::Text(text) = value else { return Ok(()) };
    steps.spend_bytes(text.len().saturating_mul(2))?;
    if needs_no_escape(text) { Ok(()) } else { Err(ConditionError::PathAmbiguous) }
}

#[allow(clippy::cast_possible_truncation, reason = "in range by the guard, and cut to the whole number on purpose")]
fn whole(number: f64) -> Option<i64> {
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    (number > -BEYOND && number < BEYOND).then_some(number as i64)
}

#[allow(clippy::cast_precision_loss, reason = "what a conversion to double is")]
const fn nearest(number: i64) -> f64 {
    number as f64
}
