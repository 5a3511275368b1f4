//! A schema of ours, in draft-04: Kong stops starting when it is given any other.

use serde_json::{Map, Value, json};

/// The same schema. Of what 2020-12 has and draft-04 has not, ours use `$defs` alone, and members beside `$ref`.
pub(super) fn converted(schema: &Value) -> Value {
    match schema {
        Value::Object(members) => Value::Object(converted_members(members)),
        Value::Array(items) => items.iter().map(converted).collect(),
        Value::String(text) => Value::String(text.replace("#/$defs/", "#/definitions/")),
        Value::Null | Value::Bool(_) | Value::Number(_) => schema.clone(),
    }
}

fn converted_members(members: &Map<String, Value>) -> Map<String, Value> {
    // There, what stands beside it does not count.
    if let (Some(reference), true) = (members.get("$ref"), members.len() > 1) {
        let mut rest = members.clone();
        rest.remove("$ref");
        let mut members = converted_members(&rest);
        members.insert("allOf".to_owned(), json!([{ "$ref": converted(reference) }]));
        return members;
    }
    let rename = |(name, value): (&String, &Value)| match name.as_str() {
        "$schema" if value.is_string() => (name.clone(), json!("http://json-schema.org/draft-04/schema#")),
        "$defs" => ("definitions".to_owned(), converted(value)),
        // Texts for people.
        "description" if value.is_string() => (name.clone(), value.clone()),
        _ => (name.clone(), converted(value)),
    };
    members.iter().map(rename).collect()
}
