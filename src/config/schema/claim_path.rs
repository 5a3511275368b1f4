//! The schema of the name of a claim.

use serde_json::Value;

use crate::config::decode::{Decode, expect};
use crate::config::error::{ConfigError, Path};

/// The path of a claim.
#[derive(Debug)]
pub struct ClaimPath(pub Vec<String>);

impl Decode for ClaimPath {
    fn decode(value: &Value, at: &Path, errors: &mut Vec<ConfigError>) -> Option<Self> {
        let names = match value {
            Value::String(name) => Some(vec![name.clone()]),
            Value::Array(items) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
        };
        let names = names.filter(|names: &Vec<String>| !names.is_empty() && names.iter().all(|name| !name.is_empty()));
        expect(names.map(Self), "a claim name, or a list of names that leads to a nested claim", at, errors)
    }
}
