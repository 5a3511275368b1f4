//! The values of the environment variables that a configuration names. They are never printed.

use std::collections::{BTreeMap, BTreeSet};
use std::env;

use serde_json::Value;

use crate::arguments::SecretSources;
use crate::document::Text;
use crate::failure::Failure;
use crate::signing;

/// The assumed value of a variable: long enough for every secret.
const ASSUMED_SECRET: &str = "assumed-by-the-command-line";

pub struct Secrets {
    from_file: BTreeMap<String, String>,
    assume_missing: bool,
    /// The assumed value where a private key is required.
    assumed_key: String,
}

impl Secrets {
    pub fn new(sources: &SecretSources) -> Result<Self, Failure> {
        let mut from_file = BTreeMap::new();
        if let Some(path) = &sources.env_file {
            for line in Text::read(path)?.text.lines().map(str::trim) {
                if line.is_empty() || line.starts_with('#') {
                    continue;
                }
                let line = line.strip_prefix("export ").unwrap_or(line);
                let Some((name, value)) = line.split_once('=') else {
                    return Err(Failure::of_file(path, "expected NAME=value in each line"));
                };
                from_file.insert(name.trim().to_owned(), unquoted(value.trim()));
            }
        }
        Ok(Self { from_file, assume_missing: sources.assume_env, assumed_key: signing::unused_private_key()? })
    }

    /// Assumes a value for every variable that is not set.
    pub fn assumed() -> Result<Self, Failure> {
        Self::new(&SecretSources { env_file: None, assume_env: true })
    }

    /// Looks up variables. The assumed value is a private key where the document requires one.
    pub fn environment(&self, document: &Value) -> impl Fn(&str) -> Option<String> {
        let keys = variables_of(document, "private_key");
        move |name| {
            let found = self.from_file.get(name).cloned().or_else(|| env::var(name).ok());
            found.filter(|value| !value.trim().is_empty()).or_else(|| {
                let assumed = if keys.contains(name) { self.assumed_key.clone() } else { String::from(ASSUMED_SECRET) };
                self.assume_missing.then_some(assumed)
            })
        }
    }
}

/// Removes quotes. `\n` in double quotes is a line break, so that a PEM key fits on one line.
fn unquoted(value: &str) -> String {
    let within = |quote: char| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    match (within('"'), within('\'')) {
        (Some(text), _) => text.replace("\\n", "\n"),
        (None, Some(text)) => text.to_owned(),
        (None, None) => value.to_owned(),
    }
}

/// The variables that members of this name refer to.
fn variables_of(value: &Value, member: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    visit_secrets(value, &mut |name, variable| {
        if name == member {
            found.insert(variable.to_owned());
        }
    });
    found
}

/// Visits each `"name": {"env": "VARIABLE"}` in a document.
pub fn visit_secrets(value: &Value, visitor: &mut impl FnMut(&str, &str)) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if let Some(Value::String(variable)) = member.get("env") {
                    visitor(name, variable);
                }
                visit_secrets(member, visitor);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| visit_secrets(item, visitor)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
