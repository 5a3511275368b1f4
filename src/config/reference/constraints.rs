//! What the schema requires of values beyond their types: patterns, limits, fields that exclude each other. The loader checks
//! these itself; `tests/core/schema.rs` compares both.

use serde_json::Value;

/// By structure: constraints of its own, and below `fields` those of its fields, with examples.
pub(super) fn all() -> Value {
    serde_json::from_str(include_str!("constraints.json")).unwrap_or_default()
}

/// Adds constraints to a schema; those of `items` and the like to the schema there.
pub(super) fn merge(schema: &mut Value, constraints: Option<&Value>) {
    match (schema, constraints) {
        (Value::Object(schema), Some(Value::Object(constraints))) => {
            for (key, constraint) in constraints {
                merge(schema.entry(key.clone()).or_insert(Value::Null), Some(constraint));
            }
        }
        (schema, Some(constraint)) => *schema = constraint.clone(),
        (_, None) => {}
    }
}
