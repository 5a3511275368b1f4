//! Parses JSON strictly: no duplicate members, limited depth and member count.
//!
//! Two parsers of a document with `"alg"` twice may each use another value (RFC 8259 section 4), so such a document is
//! rejected. Used for token parts, key sets and the configuration.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Limits of the depth and width of a document.
#[derive(Clone, Copy, Debug)]
pub struct JsonLimits {
    /// Nesting of objects and arrays, including the outermost.
    pub depth: usize,
    pub members: usize,
}

/// Why the input is not the expected JSON object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonFault {
    /// Not valid JSON, or followed by other content.
    Syntax {
        /// Line of the fault, starting at 1.
        line: usize,
        /// Column of the fault, starting at 1.
        column: usize,
    },
    /// JSON, but not an object.
    NotAnObject,
    /// An object has two members of the same name.
    DuplicateMember,
    /// Deeper or wider than the limits.
    OverLimits,
}

/// Parses one JSON object.
///
/// # Errors
/// The first fault found. It holds no part of the input.
pub fn parse_object(text: &[u8], limits: JsonLimits) -> Result<Map<String, Value>, JsonFault> {
    // Checks UTF-8 once for the whole input, not for each string.
    let text = std::str::from_utf8(text).map_err(|fault| not_utf_8(text, fault.valid_up_to()))?;
    let specific = Cell::new(None);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let seed = Strict { depth_left: limits.depth, members: limits.members, fault: &specific };
    let value = seed
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| specific.get().unwrap_or(JsonFault::Syntax { line: error.line(), column: error.column() }))?;
    if let Value::Object(members) = value { Ok(members) } else { Err(JsonFault::NotAnObject) }
}

/// The location of the first byte that is not UTF-8.
fn not_utf_8(text: &[u8], at: usize) -> JsonFault {
    let before = text.get(..at).unwrap_or_default();
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    JsonFault::Syntax { line, column }
}

#[derive(Clone, Copy)]
struct Strict<'a> {
    depth_left: usize,
    members: usize,
    fault: &'a Cell<Option<JsonFault>>,
}

impl<'a> Strict<'a> {
    fn reject<E: serde::de::Error>(&self, fault: JsonFault) -> E {
        self.fault.set(Some(fault));
        E::custom("rejected")
    }

    fn deeper<E: serde::de::Error>(&self) -> Result<Strict<'a>, E> {
        match self.depth_left.checked_sub(1) {
            Some(depth_left) => Ok(Strict { depth_left, ..*self }),
            None => Err(self.reject(JsonFault::OverLimits)),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.len() >= self.members {
                return Err(self.reject(JsonFault::OverLimits));
            }
            let value = members.next_value_seed(inner)?;
            if object.insert(name, value).is_some() {
                return Err(self.reject(JsonFault::DuplicateMember));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: JsonLimits = JsonLimits { depth: 3, members: 4 };

    fn fault(text: &str) -> JsonFault {
        fault_of(text.as_bytes())
    }

    fn fault_of(text: &[u8]) -> JsonFault {
        parse_object(text, LIMITS).unwrap_err()
    }

    #[test]
    fn all_value_types_are_parsed() {
        let text = r#"{"a":[true,null,-1,2,1.5],"b":{"c":"\u00e9"}}"#;
        let object = parse_object(text.as_bytes(), LIMITS).unwrap();
        assert_eq!(Value::Object(object), serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn duplicate_member_is_rejected_also_escaped_or_nested() {
        assert_eq!(fault(r#"{"alg":1,"alg":1}"#), JsonFault::DuplicateMember);
        assert_eq!(fault(r#"{"alg":1,"\u0061lg":2}"#), JsonFault::DuplicateMember);
        assert_eq!(fault(r#"{"a":{"b":1,"b":1}}"#), JsonFault::DuplicateMember);
    }

    #[test]
    fn document_over_depth_or_member_limit_is_rejected() {
        assert!(parse_object(br#"{"a":[[1]]}"#, LIMITS).is_ok());
        assert_eq!(fault(r#"{"a":[[[1]]]}"#), JsonFault::OverLimits);
        assert_eq!(fault(r#"{"a":1,"b":1,"c":1,"d":1,"e":1}"#), JsonFault::OverLimits);
        let deep = format!("{{\"a\":{}", "[".repeat(100_000));
        assert_eq!(fault(&deep), JsonFault::OverLimits);
    }

    #[test]
    fn input_other_than_one_json_object_is_rejected() {
        for text in ["[]", "\"a\"", "1", "null", "true"] {
            assert_eq!(fault(text), JsonFault::NotAnObject, "{text}");
        }
        for text in [
            "",
            "{",
            "{}x",
            "{} {}",
            "\u{feff}{}",
            "{'a':1}",
            "{\"a\":1,}",
            "{\"a\":1e400}",
            "{\"a\":NaN}",
            r#"{"a":"\ud800"}"#,
        ] {
            assert!(matches!(fault(text), JsonFault::Syntax { .. }), "{text}");
        }
        assert_eq!(fault_of(b"{\"a\":\n\"b\xff\"}"), JsonFault::Syntax { line: 2, column: 3 });
    }
}
