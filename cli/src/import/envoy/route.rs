//! Converts Envoy's RouteMatch to `match`, exactly: a wider match would take requests from later rules.

use serde_json::{Value, json};

use crate::import::draft::regex_literal;
use crate::import::fields::Fields;

/// The converted part of a match.
pub struct RouteConditions {
    /// The conditions. They match more requests than the original if `unsupported` is not empty.
    pub conditions: Value,
    /// The parts that cannot be converted.
    pub unsupported: Vec<String>,
}

impl RouteConditions {
    /// Matches every request.
    pub fn any(why: &str) -> Self {
        Self { conditions: json!({}), unsupported: vec![why.to_owned()] }
    }
}

/// Converts a match.
pub fn import(fields: &Fields<'_>) -> RouteConditions {
    let mut conditions = serde_json::Map::new();
    let mut unsupported = Vec::new();
    let mut is_expression = false;
    let mut set = |name: &str, value: Value| conditions.insert(name.to_owned(), value);
    if let Some(prefix) = fields.string("prefix") {
        if prefix != "/" && !prefix.is_empty() {
            // Envoy compares characters: the prefix /admin also matches /administrator, unlike `path_prefix`.
            set("path_regex", json!(format!("{}.*", regex_literal(prefix))));
        }
    } else if let Some(path) = fields.string("path") {
        set("path_regex", json!(regex_literal(path)));
    } else if let Some(prefix) = fields.string("path_separated_prefix") {
        // An expression, because `path_prefix` also matches a path with empty segments.
        set("path_regex", json!(format!("{}(?:/.*)?", regex_literal(prefix))));
    } else if let Some(regex) = fields.object("safe_regex") {
        is_expression = true;
        match regex.string("regex").filter(|text| is_portable_regex(text)) {
            Some(text) => drop(set("path_regex", json!(text))),
            None => unsupported.push(String::from("safe_regex")),
        }
        let _of_no_use = regex.get("google_re2");
        unsupported.extend(regex.unread());
    } else {
        unsupported.push(String::from("a match that is not by path"));
    }
    match fields.get("case_sensitive") {
        // Envoy ignores it for safe_regex.
        Some(Value::Bool(false)) if !is_expression => drop(set("ignore_case", json!(true))),
        None | Some(Value::Bool(_)) => {}
        Some(_) => unsupported.push(String::from("case_sensitive of another type")),
    }
    let mut methods: Option<Vec<String>> = None;
    for (index, header) in fields.list("headers").iter().enumerate() {
        let header = Fields::of(header, format!("{}.headers[{index}]", fields.location));
        match (header.string("name"), exact_value(&header), methods.is_some()) {
            (Some(":method"), Some(method), false) => methods = Some(vec![method]),
            (name, _, _) => unsupported.push(format!("the header {}", name.unwrap_or("without a name"))),
        }
    }
    if let Some(methods) = methods {
        set("methods", json!(methods));
    }
    unsupported.extend(fields.unread());
    RouteConditions { conditions: Value::Object(conditions), unsupported }
}

/// Whether RE2 and the filter's library read an expression alike. Accepted are letters, digits, punctuation, `.`,
/// classes, groups, alternatives and repetitions. Flags, nested sets and Unicode classes are not.
fn is_portable_regex(regex: &str) -> bool {
    let mut in_class = false;
    let mut characters = regex.chars().peekable();
    while let Some(character) = characters.next() {
        let is_portable = match character {
            '\\' => characters.next().is_some_and(|escaped| escaped.is_ascii_punctuation() || "dDwW".contains(escaped)),
            '[' if in_class => false,
            '[' => {
                in_class = true;
                characters.next_if_eq(&'^');
                characters.peek().is_some_and(|first| !"]-".contains(*first))
            }
            ']' => std::mem::take(&mut in_class),
            '&' | '~' if in_class => false,
            '-' if in_class => characters.peek() != Some(&'-'),
            '(' if !in_class && characters.next_if_eq(&'?').is_some() => characters.next() == Some(':'),
            // Both libraries accept only `{2}`, `{2,}` and `{2,3}` as repetitions.
            '{' if !in_class => {
                let mut count = String::new();
                while let Some(inner) = characters.next_if(|inner| inner.is_ascii_digit() || *inner == ',') {
                    count.push(inner);
                }
                let commas = count.matches(',').count();
                characters.next() == Some('}') && commas <= 1 && count.starts_with(|first: char| first.is_ascii_digit())
            }
            other => other.is_ascii_graphic(),
        };
        if !is_portable {
            return false;
        }
    }
    !in_class
}

/// The value of an exact match, if the matcher has no other condition.
fn exact_value(header: &Fields<'_>) -> Option<String> {
    let exact = match header.object("string_match") {
        Some(matcher) => {
            let exact = matcher.string("exact").map(str::to_owned);
            exact.filter(|_| matcher.unread().is_empty())
        }
        None => header.string("exact_match").map(str::to_owned),
    };
    exact.filter(|_| header.unread().is_empty())
}
