//! A schema of ours, in draft-04: Kong stops starting when it is given any other.

use serde_json::{Map, Value, json};

/// The same schema. Of what 2020-12 has and draft-04 has not, ours use `$defs`, members beside `$ref`, `if`,
/// `dependentRequired` and `propertyNames`; the last one is left out, as are defaults and examples.
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
    if let (Some(condition), Some(then)) = (members.get("if"), members.get("then")) {
        let choices = json!([{ "not": converted(condition) }, converted(then)]);
        return Map::from_iter([("anyOf".to_owned(), choices)]);
    }
    let left_out = ["$id", "propertyNames", "default", "examples"];
    let members = members.iter().filter(|(name, _)| !left_out.contains(&name.as_str()));
    let rename = |(name, value): (&String, &Value)| match name.as_str() {
        // Names of members and no keywords.
        "properties" => (name.clone(), by_name(value)),
        "dependentRequired" => ("dependencies".to_owned(), value.clone()),
        "$schema" if value.is_string() => (name.clone(), json!("http://json-schema.org/draft-04/schema#")),
        "$defs" => ("definitions".to_owned(), by_name(value)),
        // Texts for people.
        "description" if value.is_string() => (name.clone(), value.clone()),
        _ => (name.clone(), converted(value)),
    };
    members.map(rename).collect()
}

fn by_name(schemas: &Value) -> Value {
    let schemas = schemas.as_object().into_iter().flatten();
    Value::Object(schemas.map(|(name, schema)| (name.clone(), converted(schema))).collect())
}
