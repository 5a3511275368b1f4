//! What to write instead of what is wrong: the field that is meant, also where it belongs elsewhere, and the form of a value.
//! For the command-line tool: the module does without these texts.
//!
//! A suggestion is made of names and forms that this crate knows. It never has a string of the document.

mod fields;
mod values;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::error::{ConfigError, ConfigErrorKind, Path};
use fields::{Fields, choices, join};

/// Adds suggestions to the errors of a document. `schema` is the JSON Schema of documents.
pub(super) fn add(members: &Map<String, Value>, schema: &Value, errors: &mut [ConfigError]) {
    let mut by_path: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, error) in errors.iter().enumerate() {
        by_path.entry(error.path.clone()).or_default().push(index);
    }
    let mut walk = Walk { schema, fields: Fields::of(schema), by_path, errors };
    walk.object(members, &[schema], &Path::root(), "");
}

struct Walk<'a> {
    schema: &'a Value,
    fields: Fields<'a>,
    /// The errors of each path.
    by_path: BTreeMap<String, Vec<usize>>,
    errors: &'a mut [ConfigError],
}

impl<'a> Walk<'a> {
    /// Visits the members of an object. `place` is its path with `NAME` and `[]` in the places of names and indices.
    fn object(&mut self, members: &Map<String, Value>, schemas: &[&'a Value], at: &Path, place: &str) {
        let declared = |key: &str| schemas.iter().find_map(|schema| schema.get(key).filter(|found| found.is_object()));
        let (properties, additional) = (declared("properties"), declared("additionalProperties"));
        for (name, value) in members {
            let at = at.member(name);
            if let Some(schema) = properties.and_then(|properties| properties.get(name)) {
                self.value(value, schema, &at, &join(place, name));
            } else if let Some(schema) = additional {
                self.value(value, schema, &at, &join(place, "NAME"));
            } else if let Some(properties) = properties {
                let Some(indices) = self.by_path.get(at.as_str()) else { continue };
                let suggestion = self.fields.meant(name, properties, place);
                for index in indices {
                    let error = self.errors.get_mut(*index);
                    if let Some(error) = error.filter(|error| matches!(error.kind, ConfigErrorKind::UnknownField(_))) {
                        error.suggestion.clone_from(&suggestion);
                    }
                }
            }
        }
    }

    fn value(&mut self, value: &Value, schema: &'a Value, at: &Path, place: &str) {
        let schemas = choices(self.schema, schema);
        for index in self.by_path.get(at.as_str()).into_iter().flatten() {
            let Some(error) = self.errors.get_mut(*index) else { continue };
            let is_other_type = matches!(error.kind, ConfigErrorKind::WrongType(_));
            if is_other_type || matches!(error.kind, ConfigErrorKind::Invalid(_)) {
                error.suggestion = values::meant(value, &schemas, place, is_other_type);
            }
        }
        match value {
            Value::Object(members) => self.object(members, &schemas, at, place),
            Value::Array(items) => {
                let Some(schema) = schemas.iter().find_map(|schema| schema.get("items")) else { return };
                for (index, item) in items.iter().enumerate() {
                    self.value(item, schema, &at.item(index), &format!("{place}[]"));
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}
