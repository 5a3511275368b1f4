//! Decodes a document and collects all errors. `serde` stops at the first one, and one error per rollout is not acceptable:
//! so each type of the document decodes itself from a JSON value and adds its errors to a list. [`document!`] implements
//! that for structures.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use super::error::{ConfigError, ConfigErrorKind, Path};
use crate::spelling::nearest;

/// A type of the document.
pub(super) trait Decode: Sized {
    /// The value, or `None` after adding an error.
    fn decode(value: &Value, at: &Path, errors: &mut Vec<ConfigError>) -> Option<Self>;

    /// Replaces an invalid item of a list, so that those after it keep their index.
    fn placeholder() -> Option<Self> {
        None
    }
}

/// A structure of the document: an object with a fixed set of fields, all of them optional.
pub(super) trait DecodeObject: Sized {
    /// The field names, for hints.
    const FIELDS: &'static [&'static str];
    /// Decodes the fields that are present; `null` counts as missing.
    fn decode_fields(members: &Map<String, Value>, at: &Path, errors: &mut Vec<ConfigError>) -> Self;
}

/// Declares a structure of the document. Each field becomes optional, and its doc comment is the reference. A field whose
/// name is a Rust keyword has its written name behind `as`: `conditions as "match": …`.
macro_rules! document {
    (@written $field:ident) => { stringify!($field) };
    (@written $field:ident $written:literal) => { $written };
    ($(#[doc = $doc:literal])* $name:ident {
        $( $(#[doc = $field_doc:literal])* $field:ident $(as $written:literal)?: $type:ty, )*
    }) => {
        $(#[doc = $doc])*
        #[derive(Debug, Default)]
        pub struct $name { $( $(#[doc = $field_doc])* pub $field: Option<$type>, )* }

        #[cfg(not(target_family = "wasm"))]
        impl $crate::config::reference::Described for $name {
            fn describe(reference: &mut $crate::config::reference::Reference) -> serde_json::Value {
                reference.structure(stringify!($name), &[$($doc),*], |reference| vec![
                    $( $crate::config::reference::Field {
                        name: $crate::config::decode::document!(@written $field $($written)?),
                        doc: $crate::config::reference::text(&[$($field_doc),*]),
                        value: <$type as $crate::config::reference::Described>::describe(reference),
                    }, )*
                ])
            }
        }

        impl $crate::config::decode::DecodeObject for $name {
            const FIELDS: &'static [&'static str] =
                &[$($crate::config::decode::document!(@written $field $($written)?)),*];

            fn decode_fields(
                members: &serde_json::Map<String, serde_json::Value>,
                at: &$crate::config::error::Path,
                errors: &mut Vec<$crate::config::error::ConfigError>,
            ) -> Self {
                Self {
                    $( $field: $crate::config::decode::decode_field(
                        members, $crate::config::decode::document!(@written $field $($written)?), at, errors
                    ), )*
                }
            }
        }
    };
}
pub(super) use document;

/// Decodes an enum from strings with these values.
macro_rules! string_enum {
    ($name:ident { $first:literal => $first_variant:ident $(, $value:literal => $variant:ident)* }) => {
        impl $crate::config::decode::Decode for $name {
            fn decode(
                value: &serde_json::Value,
                at: &$crate::config::error::Path,
                errors: &mut Vec<$crate::config::error::ConfigError>,
            ) -> Option<Self> {
                const EXPECTED: &str = concat!("one of \"", $first, "\"" $(, ", \"", $value, "\"")*);
                let found = match value.as_str() {
                    Some($first) => Some(Self::$first_variant),
                    $( Some($value) => Some(Self::$variant), )*
                    _ => None,
                };
                $crate::config::decode::expect(found, EXPECTED, at, errors)
            }
        }

        #[cfg(not(target_family = "wasm"))]
        impl $crate::config::reference::Described for $name {
            fn describe(_: &mut $crate::config::reference::Reference) -> serde_json::Value {
                serde_json::json!({ "type": "string", "enum": [$first $(, $value)*] })
            }
        }
    };
}
pub(super) use string_enum;

/// Decodes a structure and rejects unknown fields.
pub(super) fn decode_object<T: DecodeObject>(
    members: &Map<String, Value>,
    at: &Path,
    errors: &mut Vec<ConfigError>,
) -> T {
    for name in members.keys() {
        // For editors.
        let tolerated = name == "$schema" && T::FIELDS.contains(&"providers");
        if !tolerated && !T::FIELDS.contains(&name.as_str()) {
            errors.push(at.member(name).error(ConfigErrorKind::UnknownField(nearest(name, T::FIELDS.iter().copied()))));
        }
    }
    T::decode_fields(members, at, errors)
}

/// Decodes one field of a structure.
pub(super) fn decode_field<T: Decode>(
    members: &Map<String, Value>,
    name: &str,
    at: &Path,
    errors: &mut Vec<ConfigError>,
) -> Option<T> {
    match members.get(name) {
        None | Some(Value::Null) => None,
        Some(value) => T::decode(value, &at.member(name), errors),
    }
}

impl<T: DecodeObject> Decode for T {
    fn decode(value: &Value, at: &Path, errors: &mut Vec<ConfigError>) -> Option<Self> {
        let members = object(value, at, errors)?;
        Some(decode_object(members, at, errors))
    }

    fn placeholder() -> Option<Self> {
        Some(T::decode_fields(&Map::new(), &Path::root(), &mut Vec::new()))
    }
}

impl Decode for String {
    fn decode(value: &Value, at: &Path, errors: &mut Vec<ConfigError>) -> Option<Self> {
        expect(value.as_str().map(str::to_owned), "a string", at, errors)
    }
}

impl Decode for bool {
    fn decode(value: &Value, at: &Path, errors: &mut Vec<ConfigError>) -> Option<Self> {
        expect(value.as_bool(), "a boolean", at, errors)
    }
}

impl Decode for u32 {
    /// Hosts that pass the document through protobuf or Lua write integers as `300.0`.
    fn decode(value: &Value, at: &Path, errors: &mut Vec<ConfigError>) -> Option<Self> {
        let whole =
            value.as_f64().filter(|number| number.fract() == 0.0 && (0.0..=f64::from(Self::MAX)).contains(number));
        // An integer in range by the filter.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let number = whole.map(|number| number as Self);
        expect(number, "a non-negative integer", at, errors)
    }
}

impl Decode for f64 {
    fn decode(value: &Value, at: &Path, errors: &mut Vec<ConfigError>) -> Option<Self> {
        expect(value.as_f64(), "a number", at, errors)
    }
}

impl Decode for Duration {
    fn decode(value: &Value, at: &Path, errors: &mut Vec<ConfigError>) -> Option<Self> {
        let duration = value.as_str().and_then(parse_duration);
        expect(duration, "a duration such as \"30s\", \"1.5s\", \"5m\" or \"1h\"", at, errors)
    }
}

impl Decode for Map<String, Value> {
    fn decode(value: &Value, at: &Path, errors: &mut Vec<ConfigError>) -> Option<Self> {
        object(value, at, errors).cloned()
    }
}

impl<T: Decode> Decode for Vec<T> {
    /// An empty list may arrive as `{}` from hosts that re-encode the document in Lua.
    fn decode(value: &Value, at: &Path, errors: &mut Vec<ConfigError>) -> Option<Self> {
        let items = match value {
            Value::Array(items) => items.as_slice(),
            Value::Object(members) if members.is_empty() => &[],
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                errors.push(at.error(ConfigErrorKind::WrongType("a list")));
                return None;
            }
        };
        // All items are decoded and keep their index: later errors name it.
        let items: Vec<Option<T>> = items
            .iter()
            .enumerate()
            .map(|(index, item)| T::decode(item, &at.item(index), errors).or_else(T::placeholder))
            .collect();
        items.into_iter().collect()
    }
}

impl<T: Decode> Decode for BTreeMap<String, T> {
    fn decode(value: &Value, at: &Path, errors: &mut Vec<ConfigError>) -> Option<Self> {
        let members = object(value, at, errors)?;
        let read = |(name, value): (&String, &Value)| Some((name.clone(), T::decode(value, &at.member(name), errors)?));
        Some(members.iter().filter_map(read).collect())
    }
}

fn object<'a>(value: &'a Value, at: &Path, errors: &mut Vec<ConfigError>) -> Option<&'a Map<String, Value>> {
    expect(value.as_object(), "an object", at, errors)
}

/// Adds an error where a value has another type.
pub(super) fn expect<T>(
    value: Option<T>,
    expected: &'static str,
    at: &Path,
    errors: &mut Vec<ConfigError>,
) -> Option<T> {
    if value.is_none() {
        errors.push(at.error(ConfigErrorKind::WrongType(expected)));
    }
    value
}

/// Durations in proto3 JSON (`"60s"`, `"1.5s"`), and with minutes and hours.
fn parse_duration(text: &str) -> Option<Duration> {
    const MAX_SECONDS: f64 = 10.0 * 365.0 * 24.0 * 3600.0;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let plain =
        number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') && number.bytes().next()?.is_ascii_digit();
    let seconds = match unit {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    } * number.parse::<f64>().ok().filter(|_| plain)?;
    (seconds <= MAX_SECONDS).then(|| Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_proto3_json_and_minutes_and_hours() {
        assert_eq!(parse_duration("60s"), Some(Duration::from_secs(60)));
        assert_eq!(parse_duration("1.5s"), Some(Duration::from_millis(1500)));
        assert_eq!(parse_duration("5m"), Some(Duration::from_secs(300)));
        assert_eq!(parse_duration("24h"), Some(Duration::from_secs(86_400)));
        assert_eq!(parse_duration("0s"), Some(Duration::ZERO));
        for text in
            ["", "s", "60", "-1s", "+1s", "1e3s", "1 s", "infs", "NaNs", ".5s", "5d", "99999999999h", "é", "1.2.3s"]
        {
            assert_eq!(parse_duration(text), None, "{text:?}");
        }
    }
}
