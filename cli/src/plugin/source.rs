//! Reads a file, and finds out what it is.

use std::path::{Path, PathBuf};

use okta_proxy_wasm::config;
use okta_proxy_wasm::jose::{JsonLimits, parse_object};
use serde_json::Value;

use super::diagnostic::{HostCode, HostDiagnostic};
use super::{Plugin, PluginHost, nginx};
use crate::document::{Document, Text, has_ending, positions_of_json};
use crate::failure::Failure;
use crate::input;
use crate::positions::{Origin, Position};

/// The filter's limits.
const LIMITS: JsonLimits = JsonLimits { depth: 64, members: 4096 };
/// Top-level members of host configurations, which a plugin configuration never has.
const HOST_MEMBERS: [&str; 9] = [
    "static_resources",
    "staticResources",
    "dynamic_resources",
    "dynamicResources",
    "resources",
    "@type",
    "apiVersion",
    "kind",
    "_format_version",
];
/// Members of plugin configurations. A YAML document with one of them is a plugin configuration.
const PLUGIN_MEMBERS: [&str; 3] = ["providers", "rules", "default_rule"];

/// A file.
pub(super) enum Source {
    /// A plugin configuration.
    Plugin(Box<Plugin>),
    /// A configuration of nginx.
    Nginx { path: PathBuf, text: String },
    /// Documents of another host, or of none.
    Documents { path: PathBuf, documents: Vec<Document> },
}

impl Source {
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let bytes = input::read(path)?;
        let is_yaml = has_ending(path, &["yaml", "yml"]);
        let text = Text::of(std::str::from_utf8(&bytes).map_err(|_| Failure::of_file(path, "not UTF-8"))?);
        let owned = || path.to_owned();
        if !is_yaml && !text.is_json() && nginx::is_nginx(&text.text) {
            return Ok(Self::Nginx { path: owned(), text: text.text.to_string() });
        }
        let is_json = text.is_json() && !is_yaml || has_ending(path, &["json", "jsonc"]);
        if is_json && text.as_strict_json().is_none() || text.text.trim().is_empty() && !is_yaml {
            return Ok(Self::Plugin(Box::new(plain(path, &text, text.text.to_string()))));
        }
        let json = text.as_strict_json();
        // A duplicate member of a plugin configuration is reported by the filter's loader.
        let documents = match (&json, text.documents(path)) {
            (Some(json), Err(_)) if is_plugin_of_json(json) => Vec::new(),
            (_, documents) => documents?,
        };
        match (json, documents.as_slice()) {
            (Some(json), [] | [_]) if is_plugin_of_json(&json) => {
                let is_changed = text.has_byte_order_mark || *text.text != *json;
                let mut plugin = plain(path, &text, json);
                plugin.diagnostics.extend(is_changed.then(|| not_strict(path, &text)).flatten());
                Ok(Self::Plugin(Box::new(plugin)))
            }
            (None, [document]) if is_plugin(&document.value) => {
                let mut plugin = plain(path, &text, document.value.to_string());
                plugin.positions = document.positions.clone();
                plugin.origin = Origin::unknown();
                plugin.diagnostics.push(not_strict_json("this file is YAML, which the filter does not read"));
                Ok(Self::Plugin(Box::new(plugin)))
            }
            _ => Ok(Self::Documents { path: owned(), documents }),
        }
    }
}

/// The file's name for messages.
pub(super) fn name_of(path: &Path) -> String {
    if path.as_os_str() == "-" { String::from("standard input") } else { path.display().to_string() }
}

fn is_of_host(document: &Value) -> bool {
    HOST_MEMBERS.iter().any(|member| document.get(*member).is_some())
}

/// Whether a JSON text is a plugin configuration: every text that is no configuration of a host.
fn is_plugin_of_json(text: &str) -> bool {
    !serde_json::from_str::<Value>(text).is_ok_and(|document| is_of_host(&document))
}

fn is_plugin(document: &Value) -> bool {
    !is_of_host(document) && PLUGIN_MEMBERS.iter().any(|member| document.get(*member).is_some())
}

/// The plugin configuration that a file consists of. `text` is what the filter receives.
fn plain(path: &Path, written: &Text, text: String) -> Plugin {
    Plugin {
        location: name_of(path),
        document: document_of(&text),
        positions: positions_of_json(&written.text),
        origin: Origin::whole(),
        text,
        included_file: None,
        diagnostics: Vec::new(),
        host: PluginHost::None,
    }
}

/// The object in a text; `null` if the filter does not accept the text.
pub(super) fn document_of(text: &str) -> Value {
    parse_object(text.trim_ascii().as_bytes(), LIMITS).map_or(Value::Null, Value::Object)
}

/// What the filter says of a file that this tool reads all the same.
fn not_strict(path: &Path, text: &Text) -> Option<HostDiagnostic> {
    let errors = config::load(text.with_byte_order_mark().as_bytes(), &config::no_environment).err()?;
    let (error, at) = errors.iter().find_map(|error| Some((error, error.position()?)))?;
    let position = Position { line: at.line, column: at.column };
    Some(not_strict_json(error.message(None)).with_position(Some((path.display().to_string(), position))))
}

fn not_strict_json(what: impl Into<String>) -> HostDiagnostic {
    HostDiagnostic::of_plugin(
        HostCode::NOT_STRICT_JSON,
        "$",
        what,
        "the filter accepts only JSON: give it what `okta-proxy-wasm check --effective FILE` prints, or write JSON",
    )
}
