//! The reference for people: a table for each structure, in the order in which a reader of the document meets them.

use std::fmt::Write as _;

use serde_json::Value;

use super::{Manual, Structure, plain, required};

/// Markdown.
pub(super) fn written(manual: &Manual) -> String {
    let mut text = String::from(
        "# Configuration reference\n\n\
         Written by `make docs` from the types that read the document: change the comments there (`src/config/schema/`), not this page.\n\
         Any field may be left out where no other place says otherwise; `null` counts as left out. An unknown field refuses the configuration.\n\n\
         Durations are texts such as `\"30s\"`, `\"1.5s\"`, `\"5m\"` and `\"1h\"`.\n",
    );
    for name in in_order(manual) {
        if let Some(structure) = manual.structures.get(name) {
            write_structure(&mut text, name, structure);
        }
    }
    text
}

/// Each structure behind the one that mentions it first.
fn in_order(manual: &Manual) -> Vec<&'static str> {
    let mut order = vec!["Document"];
    let mut at = 0;
    while let Some(name) = order.get(at).copied() {
        at += 1;
        let mut mentioned = Vec::new();
        for field in manual.structures.get(name).iter().flat_map(|structure| &structure.fields) {
            references(&field.value, &mut mentioned);
        }
        for found in mentioned {
            let known = manual.structures.keys().copied().find(|name| plain(name) == found);
            order.extend(known.filter(|name| !order.contains(name)));
        }
    }
    order
}

fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            let reference = members.get("$ref").and_then(Value::as_str);
            found.extend(reference.and_then(|text| text.strip_prefix("#/$defs/")).map(str::to_owned));
            members.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn write_structure(text: &mut String, name: &str, structure: &Structure) {
    let title = if name == "Document" { "The document" } else { plain(name) };
    // Writing to a text does not fail.
    let _ =
        write!(text, "\n## {title}\n\n{}\n\n| field | what stands there | meaning |\n|---|---|---|\n", structure.doc);
    for field in &structure.fields {
        let needed = if required(name).contains(&field.name) { " (needed)" } else { "" };
        let meaning = field.doc.replace("\n\n", "<br>").replace('|', "\\|");
        let _ = writeln!(text, "| `{}`{needed} | {} | {meaning} |", field.name, kind(&field.value));
    }
}

/// What may stand there, in words.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|text| text.strip_prefix("#/$defs/")) {
        return format!("[{name}](#{})", name.to_lowercase());
    }
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<String> = words.iter().filter_map(Value::as_str).map(|word| format!("`{word}`")).collect();
        return words.join(", ");
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        return choices.iter().map(kind).collect::<Vec<_>>().join(" or ");
    }
    match schema["type"].as_str() {
        Some("array") => format!("list of {}", kind(&schema["items"])),
        Some("object") if schema["additionalProperties"].is_object() => {
            format!("object of {}", kind(&schema["additionalProperties"]))
        }
        Some("string") if schema["pattern"].is_string() => "duration".to_owned(),
        Some("string") => "text".to_owned(),
        Some("boolean") => "`true`, `false`".to_owned(),
        Some("integer") => "whole number".to_owned(),
        Some(other) => other.to_owned(),
        None => "text, number, `true` or `false`".to_owned(),
    }
}
