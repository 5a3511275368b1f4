//! JSON read strictly: duplicate members refused, depth and member count bounded.
//!
//! Two readers of a document with `"alg"` twice may each believe another one (RFC 8259 section 4), so
//! such a document is refused whole. Serves token parts, key sets and the configuration.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// How deep and how wide a document may be.
#[derive(Clone, Copy, Debug)]
pub struct JsonLimits {
    /// Nesting of objects and arrays, the outermost counted.
    pub depth: usize,
    /// Members of one object.
    pub members: usize,
}

/// Why a text is not the JSON object that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonFault {
    /// Not JSON at all, or JSON with something behind it.
    Syntax {
        /// Line of the fault, counted from 1.
        line: usize,
        /// Column of the fault.
        column: usize,
    },
    /// JSON, but not an object.
    NotAnObject,
    /// A member name stands twice in one object.
    DuplicateMember,
    /// Nested deeper, or with more members, than the limits allow.
    OverLimits,
}

/// Reads one JSON object.
///
/// # Errors
/// The fault that was met first; the text itself is never part of it.
pub fn parse_object(text: &[u8], limits: JsonLimits) -> Result<Map<String, Value>, JsonFault> {
    // Once for the whole text, and not again for each string in it.
    let text = std::str::from_utf8(text).map_err(|fault| not_utf_8(text, fault.valid_up_to()))?;
    let particular = Cell::new(None);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let seed = Strict { depth_left: limits.depth, members: limits.members, fault: &particular };
    let value =
        seed.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value)).map_err(|error| {
            particular.get().unwrap_or(JsonFault::Syntax { line: error.line(), column: error.column() })
        })?;
    if let Value::Object(members) = value { Ok(members) } else { Err(JsonFault::NotAnObject) }
}

/// The place of the first byte that is no UTF-8.
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
    fn refuse<E: serde::de::Error>(&self, fault: JsonFault) -> E {
        self.fault.set(Some(fault));
        E::custom("refused")
    }

    fn deeper<E: serde::de::Error>(&self) -> Result<Strict<'a>, E> {
        match self.depth_left.checked_sub(1) {
            Some(depth_left) => Ok(Strict { depth_left, ..*self }),
            None => Err(self.refuse(JsonFault::OverLimits)),
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
                return Err(self.refuse(JsonFault::OverLimits));
            }
            let value = members.next_value_seed(inner)?;
            if object.insert(name, value).is_some() {
                return Err(self.refuse(JsonFault::DuplicateMember));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    const LIMITS: JsonLimits = JsonLimits { depth: 3, members: 4 };

    fn fault(text: &str) -> JsonFault {
        fault_of(text.as_bytes())
    }

    fn fault_of(text: &[u8]) -> JsonFault {
        parse_object(text, LIMITS).unwrap_err()
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn every_kind_of_value_is_read() {
        let text = r#"{"a":[true,null,-1,2,1.5],"b":{"c":"\u00e9"}}"#;
        let object = parse_object(text.as_bytes(), LIMITS).unwrap();
        assert_eq!(Value::Object(object), serde_json::from_str::<Value>(text).unwrap());
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_member_twice_is_refused_also_when_escaped_or_nested() {
        assert_eq!(fault(r#"{"alg":1,"alg":1}"#), JsonFault::DuplicateMember);
        assert_eq!(fault(r#"{"alg":1,"\u0061lg":2}"#), JsonFault::DuplicateMember);
        assert_eq!(fault(r#"{"a":{"b":1,"b":1}}"#), JsonFault::DuplicateMember);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn depth_and_width_are_bounded() {
        assert!(parse_object(br#"{"a":[[1]]}"#, LIMITS).is_ok());
        assert_eq!(fault(r#"{"a":[[[1]]]}"#), JsonFault::OverLimits);
        assert_eq!(fault(r#"{"a":1,"b":1,"c":1,"d":1,"e":1}"#), JsonFault::OverLimits);
        let deep = format!("{{\"a\":{}", "[".repeat(100_000));
        assert_eq!(fault(&deep), JsonFault::OverLimits);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn what_is_not_one_json_object_is_refused() {
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
