//! Arithmetic and functions on values: checked, so that what does not fit is an error.

use super::cost::CostLimit;
use super::error::EvaluationError;
use super::program::Function;
use super::timestamp::{TimePart, duration_in_range, parse_duration, parse_timestamp, timestamp_in_range};
use super::value::{List, Map, Value};
use crate::encoding::{needs_no_escape, percent_escape};

type Evaluated<T> = Result<T, EvaluationError>;

const WRONG: EvaluationError = EvaluationError::WrongType;
const RANGE: EvaluationError = EvaluationError::OutOfRange;

/// What making a string, a list or a map costs beyond its contents.
pub(super) const ALLOCATION: usize = 4;

/// RFC 3339 needs 36 bytes, and a span a few more.
const MAX_TIMESTAMP_BYTES: usize = 64;

pub(super) fn string<'v>(value: &'v Value<'_>) -> Evaluated<&'v str> {
    if let Value::String(text) = value { Ok(text) } else { Err(WRONG) }
}

fn timestamp<'a>(millis: Option<i64>) -> Evaluated<Value<'a>> {
    millis.and_then(timestamp_in_range).map(Value::Timestamp).ok_or(RANGE)
}

fn duration<'a>(millis: Option<i64>) -> Evaluated<Value<'a>> {
    millis.and_then(duration_in_range).map(Value::Duration).ok_or(RANGE)
}

fn int<'a>(number: Option<i64>) -> Evaluated<Value<'a>> {
    number.map(Value::Int).ok_or(RANGE)
}

pub(super) fn negate<'a>(operand: &Value<'a>) -> Evaluated<Value<'a>> {
    if let Value::Int(number) = operand {
        int(number.checked_neg())
    } else if let Value::Double(number) = operand {
        Ok(Value::Double(-number))
    } else if let Value::Duration(millis) = operand {
        duration(millis.checked_neg())
    } else {
        Err(WRONG)
    }
}

pub(super) fn add<'a>(cost: &mut CostLimit, left: &Value<'a>, right: &Value<'a>) -> Evaluated<Value<'a>> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => int(left.checked_add(*right)),
        (Value::Double(left), Value::Double(right)) => Ok(Value::Double(left + right)),
        (Value::String(left), Value::String(right)) => {
            cost.charge(ALLOCATION)?;
            cost.charge_bytes(left.len().saturating_add(right.len()))?;
            Ok(Value::String([&**left, &**right].concat().into()))
        }
        (Value::List(left), Value::List(right)) => {
            cost.charge(left.len().saturating_add(right.len()).saturating_add(2 * ALLOCATION))?;
            let all = |list: &List<'a>| (0..list.len()).map(|place| list.item(place)).collect::<Evaluated<Vec<_>>>();
            let mut joined = all(left)?;
            joined.extend(all(right)?);
            Ok(Value::List(List::Computed(joined.into())))
        }
        (Value::Timestamp(point), Value::Duration(by)) | (Value::Duration(by), Value::Timestamp(point)) => {
            timestamp(point.checked_add(*by))
        }
        (Value::Duration(left), Value::Duration(right)) => duration(left.checked_add(*right)),
        _ => Err(WRONG),
    }
}

pub(super) fn subtract<'a>(left: &Value<'a>, right: &Value<'a>) -> Evaluated<Value<'a>> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => int(left.checked_sub(*right)),
        (Value::Double(left), Value::Double(right)) => Ok(Value::Double(left - right)),
        (Value::Timestamp(point), Value::Duration(by)) => timestamp(point.checked_sub(*by)),
        (Value::Timestamp(left), Value::Timestamp(right)) | (Value::Duration(left), Value::Duration(right)) => {
            duration(left.checked_sub(*right))
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
        (Value::Int(_), Value::Int(0)) => Err(EvaluationError::DivisionByZero),
        (Value::Int(left), Value::Int(right)) => int(left.checked_div(*right)),
        (Value::Double(left), Value::Double(right)) => Ok(Value::Double(left / right)),
        _ => Err(WRONG),
    }
}

pub(super) fn modulo<'a>(left: &Value<'a>, right: &Value<'a>) -> Evaluated<Value<'a>> {
    match (left, right) {
        (Value::Int(_), Value::Int(0)) => Err(EvaluationError::DivisionByZero),
        (Value::Int(left), Value::Int(right)) => int(left.checked_rem(*right)),
        _ => Err(WRONG),
    }
}

pub(super) fn time_part<'a>(part: TimePart, of: &Value<'a>, offset: i64) -> Evaluated<Value<'a>> {
    if let Value::Timestamp(millis) = of {
        Ok(Value::Int(part.of(*millis, offset)))
    } else if let Value::Duration(millis) = of {
        part.of_duration(*millis).map(Value::Int).ok_or(WRONG)
    } else {
        Err(WRONG)
    }
}

pub(super) fn apply<'a>(cost: &mut CostLimit, function: Function, operands: &[Value<'a>]) -> Evaluated<Value<'a>> {
    match (function, operands) {
        (Function::Size, [Value::String(text)]) => {
            cost.charge_bytes(text.len())?;
            int(i64::try_from(text.chars().count()).ok())
        }
        (Function::Size, [Value::List(list)]) => int(i64::try_from(list.len()).ok()),
        (Function::Size, [Value::Map(Map::Json(members))]) => int(i64::try_from(members.len()).ok()),
        (Function::Size, [Value::Map(Map::Computed(entries))]) => int(i64::try_from(entries.len()).ok()),
        (Function::Size, [Value::Map(headers @ Map::Headers(_))]) => int(i64::try_from(headers.keys(cost)?.len()).ok()),
        (Function::StartsWith | Function::EndsWith, [of, part]) => {
            let (of, part) = (string(of)?, string(part)?);
            cost.charge_bytes(part.len())?;
            Ok(Value::Bool(if function == Function::StartsWith { of.starts_with(part) } else { of.ends_with(part) }))
        }
        (Function::Contains, [of, part]) => {
            let (of, part) = (string(of)?, string(part)?);
            // A search compares bytes more than once.
            cost.charge_bytes(of.len().saturating_add(part.len()).saturating_mul(2))?;
            Ok(Value::Bool(of.contains(part)))
        }
        (Function::LowerAscii, [of]) => {
            let of = string(of)?;
            cost.charge(ALLOCATION)?;
            cost.charge_bytes(of.len())?;
            Ok(Value::String(of.to_ascii_lowercase().into()))
        }
        (Function::PathSegment, [path, Value::Int(place)]) => {
            let path = string(path)?;
            cost.charge(ALLOCATION.saturating_add(path.len() / 4))?;
            path_segment(path, *place)
        }
        (Function::Int, [Value::Int(number)]) => Ok(Value::Int(*number)),
        (Function::Int, [Value::Double(number)]) => int(whole(*number)),
        (Function::Int, [Value::String(text)]) => {
            // In wasm a checked multiplication is a call.
            cost.charge(text.len())?;
            int(text.parse().ok())
        }
        (Function::Int, [Value::Timestamp(millis)]) => Ok(Value::Int(millis.div_euclid(1000))),
        (Function::Double, [Value::Int(number)]) => Ok(Value::Double(nearest(*number))),
        (Function::Double, [Value::Double(number)]) => Ok(Value::Double(*number)),
        (Function::Double, [Value::String(text)]) => {
            // Of many digits each may matter for how the last one is rounded.
            cost.charge(text.len().saturating_add(8))?;
            text.parse().ok().filter(|number: &f64| number.is_finite()).map(Value::Double).ok_or(RANGE)
        }
        (Function::String, [Value::String(text)]) => Ok(Value::String(text.clone())),
        (Function::String, [Value::Int(number)]) => {
            cost.charge(ALLOCATION)?;
            Ok(Value::String(number.to_string().into()))
        }
        (Function::String, [Value::Bool(value)]) => Ok(Value::String(if *value { "true" } else { "false" }.into())),
        (Function::Timestamp, [Value::Int(seconds)]) => timestamp(seconds.checked_mul(1000)),
        (Function::Timestamp, [Value::String(text)]) => timestamp(parse_timestamp(short(text, cost)?)),
        (Function::Timestamp, [Value::Timestamp(millis)]) => Ok(Value::Timestamp(*millis)),
        (Function::Duration, [Value::String(text)]) => duration(parse_duration(short(text, cost)?)),
        (Function::Duration, [Value::Duration(millis)]) => Ok(Value::Duration(*millis)),
        _ => Err(WRONG),
    }
}

/// A string that may be a timestamp or duration. A longer one is neither; parsing it would cost more a byte than anything else.
fn short<'t>(text: &'t str, cost: &mut CostLimit) -> Evaluated<&'t str> {
    cost.charge(16)?;
    if text.len() <= MAX_TIMESTAMP_BYTES { Ok(text) } else { Err(RANGE) }
}

/// The part of a path between two slashes, decoded. The first one has the number 1; an empty one is missing.
fn path_segment<'a>(path: &str, place: i64) -> Evaluated<Value<'a>> {
    let place = usize::try_from(place).ok().and_then(|place| place.checked_sub(1)).ok_or(RANGE)?;
    let path = path.strip_prefix('/').ok_or(WRONG)?;
    let segment = path.split('/').nth(place).filter(|segment| !segment.is_empty());
    let decoded = decode_segment(segment.ok_or(EvaluationError::Missing)?);
    decoded.map(|text| Value::String(text.into())).ok_or(EvaluationError::NotText)
}

/// Decodes the escapes of one segment, once. `None` for a broken escape, for bytes that are not UTF-8, and for control
/// characters and separators, which no segment has for every server.
fn decode_segment(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let [byte, behind @ ..] = rest {
        let (byte, behind) = if *byte == b'%' { percent_escape(behind)? } else { (*byte, behind) };
        bytes.push(byte);
        rest = behind;
    }
    let is_plain =
        |text: &String| !text.contains(|character: char| character.is_control() || "/\\".contains(character));
    String::from_utf8(bytes).ok().filter(is_plain)
}

/// A value that is compared with a path, or a list or map of such values: an error where it would have an escape there,
/// because `acme%20inc` in a path is the string `acme inc`.
pub(super) fn check_without_escapes(cost: &mut CostLimit, value: &Value<'_>) -> Evaluated<()> {
    let check_all = |cost: &mut CostLimit, items: &List<'_>| {
        cost.charge(items.len())?;
        (0..items.len()).try_for_each(|place| check_string(cost, &items.item(place)?))
    };
    if let Value::List(items) = value {
        check_all(cost, items)
    } else if let Value::Map(map) = value {
        let keys = map.keys(cost)?;
        check_all(cost, &List::Computed(keys))
    } else {
        check_string(cost, value)
    }
}

/// A value of another type than string is not comparable anyway.
fn check_string(cost: &mut CostLimit, value: &Value<'_>) -> Evaluated<()> {
    let Value::String(text) = value else { return Ok(()) };
    cost.charge_bytes(text.len().saturating_mul(2))?;
    if needs_no_escape(text) { Ok(()) } else { Err(EvaluationError::PathAmbiguous) }
}

#[allow(clippy::cast_possible_truncation, reason = "in range by the guard, and truncated as CEL says")]
fn whole(number: f64) -> Option<i64> {
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    (number > -BEYOND && number < BEYOND).then_some(number as i64)
}

#[allow(clippy::cast_precision_loss, reason = "what a conversion to double is")]
const fn nearest(number: i64) -> f64 {
    number as f64
}
