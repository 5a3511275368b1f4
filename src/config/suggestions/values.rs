//! The form of a value that was written in another one.

use serde_json::Value;

use crate::config::reference::DURATION;
use crate::spelling::edit_distance;

/// Algorithms of other kinds, with the reason why they are not accepted.
const OTHER_ALGORITHMS: [(&str, &str); 5] = [
    (
        "HS",
        "it is symmetric: every backend that verifies could also sign; have the issuer sign with `RS256` or `ES256`",
    ),
    ("NONE", "it is no signature; have the issuer sign with `RS256` or `ES256`"),
    ("RSA", "it encrypts and does not sign; have the issuer sign with `RS256`"),
    ("DIR", "it encrypts and does not sign; have the issuer sign with `RS256`"),
    ("ES256K", "it is not supported; have the issuer sign with `ES256`"),
];

const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"];

/// The suggestion for a value with an error, by the schemas of which it should meet one. `is_other_type`: it was not decoded.
pub(super) fn meant(value: &Value, schemas: &[&Value], place: &str, is_other_type: bool) -> Option<String> {
    let has_type = |name: &str| schemas.iter().any(|schema| is_of_type(schema, name));
    let is_duration = schemas.iter().any(|schema| schema.get("pattern").and_then(Value::as_str) == Some(DURATION));
    if is_duration {
        // A duration out of its bounds has the right form.
        return duration(value).filter(|_| is_other_type).map(|duration| format!("write \"{duration}\""));
    }
    if let Some(text) = value.as_str() {
        if let Some(found) = schemas.iter().find_map(|schema| listed(text, schema)) {
            return Some(found);
        }
        if has_type("array") && !has_type("string") {
            let is_several = text.trim().contains([' ', ',', ';']);
            let list = if is_several { "[\"a\", \"b\"]" } else { "[\"a\"]" };
            return Some(format!("write a list with a string for each: {list}"));
        }
        if has_type("boolean") && !has_type("string") {
            return boolean(text).map(|truth| format!("write {truth} without quotes"));
        }
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_number && (has_type("integer") || has_type("number")) && !has_type("string") {
            return Some(String::from("write the number without quotes"));
        }
        if place.ends_with(".methods[]") {
            let method = METHODS.into_iter().find(|method| method.eq_ignore_ascii_case(text.trim()));
            return method.map(|method| format!("write \"{method}\""));
        }
        return address(text, place);
    }
    if let Some(number) = value.as_u64().filter(|number| *number < 2 && has_type("boolean")) {
        return Some(format!("write {}", number == 1));
    }
    let holds_one = value.as_array().is_some_and(|items| items.len() == 1);
    if holds_one && !has_type("array") && (has_type("string") || has_type("boolean") || has_type("integer")) {
        return Some(String::from("write the value without brackets"));
    }
    None
}

fn is_of_type(schema: &Value, name: &str) -> bool {
    match schema.get("type") {
        Some(Value::String(found)) => found == name,
        Some(Value::Array(found)) => found.iter().any(|found| found.as_str() == Some(name)),
        _ => false,
    }
}

/// The value of an enumeration that a text is likely to mean.
fn listed(text: &str, schema: &Value) -> Option<String> {
    let values = schema.get("enum").and_then(Value::as_array)?;
    let plain = |text: &str| text.to_ascii_lowercase().replace(['-', '_', ' '], "");
    let values = || values.iter().filter_map(Value::as_str);
    if values().any(|value| value == text) {
        return None;
    }
    let text = text.trim();
    if values().any(|value| value == "RS256") {
        let upper = text.to_ascii_uppercase();
        let reason = OTHER_ALGORITHMS.iter().find(|(start, _)| upper.starts_with(start)).map(|(_, reason)| *reason);
        if let Some(reason) = reason {
            return Some(reason.to_owned());
        }
    }
    let same = values().find(|value| plain(value) == plain(text));
    let near = || {
        let limit = if text.len() <= 4 { 1 } else { 2 };
        let distances = values().map(|value| (edit_distance(&plain(text), &plain(value)), value));
        distances.min().filter(|(distance, _)| *distance <= limit && text.len() <= 64).map(|(_, value)| value)
    };
    same.or_else(near).map(|value| format!("did you mean \"{value}\"?"))
}

fn boolean(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// A duration in another form, in one that the loader reads.
fn duration(value: &Value) -> Option<String> {
    const MAX: f64 = 1e9;
    let in_unit = |number: f64, unit: &str| -> Option<String> {
        let (number, unit) = match unit {
            "" | "s" | "sec" | "secs" | "second" | "seconds" => (number, "s"),
            "ms" | "msec" | "msecs" | "millis" | "millisecond" | "milliseconds" => (number / 1000.0, "s"),
            "m" | "min" | "mins" | "minute" | "minutes" => (number, "m"),
            "h" | "hr" | "hrs" | "hour" | "hours" => (number, "h"),
            "d" | "day" | "days" => (number * 24.0, "h"),
            "w" | "week" | "weeks" => (number * 168.0, "h"),
            _ => return None,
        };
        // Fractions of a unit other than of a second are no plain numbers any more.
        (number.is_finite() && (0.0..MAX).contains(&number)).then(|| format!("{number}{unit}"))
    };
    match value {
        Value::Number(number) => in_unit(number.as_f64()?, "s"),
        Value::String(text) => {
            let text = text.trim().to_ascii_lowercase();
            let end =
                text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
            let (number, unit) = text.split_at_checked(end)?;
            if !number.starts_with(|first: char| first.is_ascii_digit()) || number.len() > 12 {
                return None;
            }
            if let Some(sum) = composed(&text) {
                return Some(sum);
            }
            in_unit(number.parse().ok()?, unit.trim())
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The seconds of a duration such as `1h30m`.
fn composed(text: &str) -> Option<String> {
    let mut seconds = 0_u64;
    let mut parts = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|character: char| !character.is_ascii_digit())?;
        let number: u64 = rest.get(..end)?.parse().ok()?;
        let unit = match rest.get(end..)?.chars().next()? {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return None,
        };
        seconds = seconds.checked_add(number.checked_mul(unit)?)?;
        parts += 1;
        rest = rest.get(end.checked_add(1)?..)?;
    }
    (parts > 1).then(|| format!("{seconds}s"))
}

/// An address without `https`.
fn address(text: &str, place: &str) -> Option<String> {
    let is_address = [".issuer", ".uri", ".url", ".resource"].iter().any(|end| place.ends_with(end));
    let text = text.trim();
    if !is_address || text.starts_with("https://") {
        return None;
    }
    if text.starts_with("http://") {
        return Some(String::from("begin it with https:// in place of http://"));
    }
    let is_host = text.contains('.') && !text.contains([' ', ':', '@']) && !text.starts_with(['/', '.']);
    is_host.then(|| String::from("begin it with https://"))
}
