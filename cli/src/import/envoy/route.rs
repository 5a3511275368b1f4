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
    let mut is_expression = false;
    let mut set = |name: &str, value: Value| conditions.insert(name.to_owned(), value);
    if let Some(prefix) = fields.text("prefix") {
        if prefix != "/" && !prefix.is_empty() {
            // By characters: /admin is /administrator too, unlike our path_prefix.
            set("path_regex", json!(format!("{}.*", regex_of(prefix))));
        }
    } else if let Some(path) = fields.text("path") {
        set("path_regex", json!(regex_of(path)));
    } else if let Some(prefix) = fields.text("path_separated_prefix") {
        // As an expression: `path_prefix` is also met by a path with empty segments.
        set("path_regex", json!(format!("{}(?:/.*)?", regex_of(prefix))));
    } else if let Some(regex) = fields.object("safe_regex") {
        is_expression = true;
        match regex.text("regex").filter(|text| means_the_same(text)) {
            Some(text) => drop(set("path_regex", json!(text))),
            None => missing.push(String::from("safe_regex")),
        }
        let _of_no_use = regex.get("google_re2");
        missing.extend(regex.rest());
    } else {
        missing.push(String::from("a match that is not by path"));
    }
    match fields.get("case_sensitive") {
        // It does not count for safe_regex.
        Some(Value::Bool(false)) if !is_expression => drop(set("ignore_case", json!(true))),
        None | Some(Value::Bool(_)) => {}
        Some(_) => missing.push(String::from("case_sensitive of another type")),
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

/// Whether RE2 and the filter's library are known to read an expression alike: letters, digits, punctuation, `.`, classes,
/// groups, alternatives and repetitions, and no flags, sets within sets or Unicode classes.
fn means_the_same(regex: &str) -> bool {
    let mut in_class = false;
    let mut left = regex.chars().peekable();
    while let Some(character) = left.next() {
        let known = match character {
            '\\' => left.next().is_some_and(|escaped| escaped.is_ascii_punctuation() || "dDwW".contains(escaped)),
            '[' if in_class => false,
            '[' => {
                in_class = true;
                left.next_if_eq(&'^');
                left.peek().is_some_and(|first| !"]-".contains(*first))
            }
            ']' => std::mem::take(&mut in_class),
            '&' | '~' if in_class => false,
            '-' if in_class => left.peek() != Some(&'-'),
            '(' if !in_class && left.next_if_eq(&'?').is_some() => left.next() == Some(':'),
            // Only `{2}`, `{2,}` and `{2,3}` are repetitions for both.
            '{' if !in_class => {
                let mut count = String::new();
                while let Some(inner) = left.next_if(|inner| inner.is_ascii_digit() || *inner == ',') {
                    count.push(inner);
                }
                let commas = count.matches(',').count();
                left.next() == Some('}') && commas <= 1 && count.starts_with(|first: char| first.is_ascii_digit())
            }
            other => other.is_ascii_graphic(),
        };
        if !known {
            return false;
        }
    }
    !in_class
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
