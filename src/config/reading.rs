//! Reading a document without stopping at the first fault.
//!
//! `serde` gives up where it first trips, and an operator who mends one fault per rollout is not
//! served. So each type of the document says how it is read from a JSON value and adds what is wrong to
//! a list; [`document!`] writes that for a structure.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use super::fault::{ConfigFault, ConfigProblem, Path};

/// A type that can stand in the document.
pub(super) trait Read: Sized {
    /// The value, or `None` after adding to `faults` why not.
    fn read(value: &Value, at: &Path, faults: &mut Vec<ConfigFault>) -> Option<Self>;

    /// What takes the place of an item that could not be read, so that those behind it keep theirs.
    fn stand_in() -> Option<Self> {
        None
    }
}

/// A structure of the document: an object with a fixed set of fields, all of which may be left out.
pub(super) trait ReadObject: Sized {
    /// The names it has, for hints.
    const FIELDS: &'static [&'static str];
    /// Reads the fields that are there; `null` counts as left out.
    fn read_fields(members: &Map<String, Value>, at: &Path, faults: &mut Vec<ConfigFault>) -> Self;
}

/// Declares a structure of the document; each field becomes optional, its doc comment is the manual. One whose name is
/// a word of Rust's own says how it is written: `conditions as "match": …`.
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
        impl $crate::config::manual::Described for $name {
            fn describe(manual: &mut $crate::config::manual::Manual) -> serde_json::Value {
                manual.structure(stringify!($name), &[$($doc),*], |manual| vec![
                    $( $crate::config::manual::Field {
                        name: $crate::config::reading::document!(@written $field $($written)?),
                        doc: $crate::config::manual::text(&[$($field_doc),*]),
                        value: <$type as $crate::config::manual::Described>::describe(manual),
                    }, )*
                ])
            }
        }

        impl $crate::config::reading::ReadObject for $name {
            const FIELDS: &'static [&'static str] =
                &[$($crate::config::reading::document!(@written $field $($written)?)),*];

            fn read_fields(
                members: &serde_json::Map<String, serde_json::Value>,
                at: &$crate::config::fault::Path,
                faults: &mut Vec<$crate::config::fault::ConfigFault>,
            ) -> Self {
                Self {
                    $( $field: $crate::config::reading::read_member(
                        members, $crate::config::reading::document!(@written $field $($written)?), at, faults
                    ), )*
                }
            }
        }
    };
}
pub(super) use document;

/// A choice among words.
pub(super) trait Words: Copy + 'static {
    /// Each word and what it means.
    const WORDS: &'static [(&'static str, Self)];
    /// What is wanted where something else stands.
    const WANTED: &'static str;
}

/// Reads one of the words.
pub(super) fn read_word<T: Words>(value: &Value, at: &Path, faults: &mut Vec<ConfigFault>) -> Option<T> {
    let found = T::WORDS.iter().find(|(word, _)| value.as_str() == Some(word)).map(|(_, meaning)| *meaning);
    expect(found, T::WANTED, at, faults)
}

/// Reads a structure and refuses the members that are none of its fields.
pub(super) fn read_object<T: ReadObject>(members: &Map<String, Value>, at: &Path, faults: &mut Vec<ConfigFault>) -> T {
    for name in members.keys() {
        // Editors want "$schema" at the top; it says nothing to us.
        let tolerated = name == "$schema" && T::FIELDS.contains(&"providers");
        if !tolerated && !T::FIELDS.contains(&name.as_str()) {
            faults.push(at.member(name).fault(ConfigProblem::UnknownField(nearest(name, T::FIELDS))));
        }
    }
    T::read_fields(members, at, faults)
}

/// Reads one field of a structure.
pub(super) fn read_member<T: Read>(
    members: &Map<String, Value>,
    name: &str,
    at: &Path,
    faults: &mut Vec<ConfigFault>,
) -> Option<T> {
    match members.get(name) {
        None | Some(Value::Null) => None,
        Some(value) => T::read(value, &at.member(name), faults),
    }
}

impl<T: ReadObject> Read for T {
    fn read(value: &Value, at: &Path, faults: &mut Vec<ConfigFault>) -> Option<Self> {
        let members = object(value, at, faults)?;
        Some(read_object(members, at, faults))
    }

    fn stand_in() -> Option<Self> {
        Some(T::read_fields(&Map::new(), &Path::root(), &mut Vec::new()))
    }
}

impl Read for String {
    fn read(value: &Value, at: &Path, faults: &mut Vec<ConfigFault>) -> Option<Self> {
        expect(value.as_str().map(str::to_owned), "a string", at, faults)
    }
}

impl Read for bool {
    fn read(value: &Value, at: &Path, faults: &mut Vec<ConfigFault>) -> Option<Self> {
        expect(value.as_bool(), "true or false", at, faults)
    }
}

impl Read for u32 {
    /// Hosts that pass the document through protobuf or Lua write whole numbers as `300.0`.
    fn read(value: &Value, at: &Path, faults: &mut Vec<ConfigFault>) -> Option<Self> {
        let whole =
            value.as_f64().filter(|number| number.fract() == 0.0 && (0.0..=f64::from(Self::MAX)).contains(number));
        // Whole and in range by the filter.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let number = whole.map(|number| number as Self);
        expect(number, "a whole number, not negative", at, faults)
    }
}

impl Read for f64 {
    fn read(value: &Value, at: &Path, faults: &mut Vec<ConfigFault>) -> Option<Self> {
        expect(value.as_f64(), "a number", at, faults)
    }
}

impl Read for Duration {
    fn read(value: &Value, at: &Path, faults: &mut Vec<ConfigFault>) -> Option<Self> {
        let duration = value.as_str().and_then(parse_duration);
        expect(duration, "a duration such as \"30s\", \"1.5s\", \"5m\" or \"1h\"", at, faults)
    }
}

impl Read for Map<String, Value> {
    fn read(value: &Value, at: &Path, faults: &mut Vec<ConfigFault>) -> Option<Self> {
        object(value, at, faults).cloned()
    }
}

impl<T: Read> Read for Vec<T> {
    /// An empty list may arrive as `{}` from hosts that re-encode the document in Lua.
    fn read(value: &Value, at: &Path, faults: &mut Vec<ConfigFault>) -> Option<Self> {
        let items = match value {
            Value::Array(items) => items.as_slice(),
            Value::Object(members) if members.is_empty() => &[],
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                faults.push(at.fault(ConfigProblem::WrongType("a list")));
                return None;
            }
        };
        // All are read, and none moves up: what is said of them later is said by their places.
        let items: Vec<Option<T>> = items
            .iter()
            .enumerate()
            .map(|(index, item)| T::read(item, &at.item(index), faults).or_else(T::stand_in))
            .collect();
        items.into_iter().collect()
    }
}

impl<T: Read> Read for BTreeMap<String, T> {
    fn read(value: &Value, at: &Path, faults: &mut Vec<ConfigFault>) -> Option<Self> {
        let members = object(value, at, faults)?;
        let read = |(name, value): (&String, &Value)| Some((name.clone(), T::read(value, &at.member(name), faults)?));
        Some(members.iter().filter_map(read).collect())
    }
}

fn object<'a>(value: &'a Value, at: &Path, faults: &mut Vec<ConfigFault>) -> Option<&'a Map<String, Value>> {
    expect(value.as_object(), "an object", at, faults)
}

/// Adds a fault where a value is not of the type that is wanted.
pub(super) fn expect<T>(value: Option<T>, wanted: &'static str, at: &Path, faults: &mut Vec<ConfigFault>) -> Option<T> {
    if value.is_none() {
        faults.push(at.fault(ConfigProblem::WrongType(wanted)));
    }
    value
}

/// Durations as proto3 JSON writes them (`"60s"`, `"1.5s"`), and whole minutes and hours.
fn parse_duration(text: &str) -> Option<Duration> {
    const LONGEST: f64 = 10.0 * 365.0 * 24.0 * 3600.0;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let plain =
        number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') && number.bytes().next()?.is_ascii_digit();
    let seconds = match unit {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    } * number.parse::<f64>().ok().filter(|_| plain)?;
    (seconds <= LONGEST).then(|| Duration::from_secs_f64(seconds))
}

/// The known name that a misspelt one is within two edits of.
fn nearest(name: &str, known: &'static [&'static str]) -> Option<&'static str> {
    if name.len() > 64 {
        return None;
    }
    known
        .iter()
        .map(|candidate| (edit_distance(name, candidate), *candidate))
        .min()
        .filter(|(distance, _)| *distance <= 2)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance, over bytes.
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (at, a_byte) in a.bytes().enumerate() {
        let mut left = at + 1;
        let mut diagonal = at;
        let mut next = vec![left];
        for (b_byte, above) in b.bytes().zip(row.iter().skip(1)) {
            left = (left + 1).min(above + 1).min(diagonal + usize::from(a_byte != b_byte));
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test(unsupported = test)]
    fn durations_are_read_as_proto3_json_and_in_minutes_and_hours() {
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

    #[wasm_bindgen_test(unsupported = test)]
    fn a_misspelt_field_finds_its_neighbour_and_a_strange_one_does_not() {
        let known = &["issuer", "audiences", "upstream"];
        assert_eq!(nearest("audience", known), Some("audiences"));
        assert_eq!(nearest("isuer", known), Some("issuer"));
        assert_eq!(nearest("rules", known), None);
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "abc"), 3);
    }
}
