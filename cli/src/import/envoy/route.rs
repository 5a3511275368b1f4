//! Envoy's RouteMatch -> `match`, exactly: a rule that is met by more than it was would take requests from the rules behind it.

use serde_json::{Value, json};

use crate::import::draft::regex_of;
use crate::import::fields::Fields;

/// What of a match could be said.
pub struct Matched {
    /// All that is asked for, or less: then the conditions are met by more requests.
    pub conditions: Value,
    /// What could not.
    pub missing: Vec<String>,
}

impl Matched {
    /// All requests.
    pub fn unknown(why: &str) -> Self {
        Self { conditions: json!({}), missing: vec![why.to_owned()] }
    }
}

/// Reads a match.
pub fn import(fields: &Fields<'_>) -> Matched {
    let mut conditions = serde_json::Map::new();
    let mut missing = Vec::new();
    let mut set = |name: &str, value: Value| conditions.insert(name.to_owned(), value);
    if let Some(prefix) = fields.text("prefix") {
        if prefix != "/" && !prefix.is_empty() {
            // By characters: /admin is /administrator too, unlike our path_prefix.
            set("path_regex", json!(format!("{}.*", regex_of(prefix))));
        }
    } else if let Some(path) = fields.text("path") {
        set("path_regex", json!(regex_of(path)));
    } else if let Some(prefix) = fields.text("path_separated_prefix") {
        set("path_prefix", json!(prefix));
    } else if let Some(regex) = fields.object("safe_regex") {
        match regex.text("regex") {
            Some(text) => drop(set("path_regex", json!(text))),
            None => missing.push(String::from("safe_regex")),
        }
        let _of_no_use = regex.get("google_re2");
        missing.extend(regex.rest());
    } else {
        missing.push(String::from("a match that is not by path"));
    }
    if fields.get("case_sensitive") == Some(&Value::Bool(false)) {
        set("ignore_case", json!(true));
    } else {
        let _the_default = fields.get("case_sensitive");
    }
    let mut methods: Option<Vec<String>> = None;
    for (index, header) in fields.list("headers").iter().enumerate() {
        let header = Fields::of(header, format!("{}.headers[{index}]", fields.place));
        match (header.text("name"), exact_value(&header), methods.is_some()) {
            (Some(":method"), Some(method), false) => methods = Some(vec![method]),
            (name, _, _) => missing.push(format!("the header {}", name.unwrap_or("without a name"))),
        }
    }
    if let Some(methods) = methods {
        set("methods", json!(methods));
    }
    missing.extend(fields.rest());
    Matched { conditions: Value::Object(conditions), missing }
}

/// The one value that a header must have, if that is all that is asked for.
fn exact_value(header: &Fields<'_>) -> Option<String> {
    let exact = match header.object("string_match") {
        Some(matcher) => {
            let exact = matcher.text("exact").map(str::to_owned);
            exact.filter(|_| matcher.rest().is_empty())
        }
        None => header.text("exact_match").map(str::to_owned),
    };
    exact.filter(|_| header.rest().is_empty())
}
