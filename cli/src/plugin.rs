//! Finds our configurations: a file is one, or one of Envoy, Istio, Envoy Gateway or Kong with some in it.

mod envoy;
mod manifests;

use std::collections::BTreeSet;
use std::path::Path;

use okta_proxy_wasm::jose::{JsonLimits, parse_object};
use serde::Deserialize as _;
use serde_json::Value;

use crate::failure::Failure;
use crate::input;
use crate::positions::Origin;
use crate::secrets::visit_secrets;

/// The same as the filter's own.
const LIMITS: JsonLimits = JsonLimits { depth: 64, members: 4096 };
/// What a host's configuration has at its top, and ours never has.
const OF_HOSTS: [&str; 6] =
    ["static_resources", "dynamic_resources", "resources", "@type", "apiVersion", "_format_version"];

/// One configuration of ours.
pub struct Plugin {
    /// Where it was found, for people.
    pub place: String,
    /// As the filter gets it.
    pub text: String,
    /// The same, read; `null` where it is no JSON object.
    pub document: Value,
    /// Where in its file it stands.
    pub origin: Origin,
    /// What around it weakens or breaks it.
    pub warnings: Vec<String>,
}

/// All of ours in a file, at least one.
pub fn read(path: &Path) -> Result<Vec<Plugin>, Failure> {
    let bytes = input::read(path)?;
    let name = if path.as_os_str() == "-" { String::from("standard input") } else { path.display().to_string() };
    let is_yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    let is_object = bytes.trim_ascii_start().first() == Some(&b'{');
    let read = if is_object { serde_json::from_slice::<Value>(&bytes).ok() } else { None };
    let is_of_host =
        OF_HOSTS.iter().any(|member| read.as_ref().is_some_and(|document| document.get(*member).is_some()));
    let is_plain_yaml = path.as_os_str() == "-" && !is_object && !bytes.trim_ascii().is_empty();
    if !(is_yaml || is_of_host || is_plain_yaml) {
        // The filter says of bytes that are no text that they are no JSON, and so does this.
        let text = String::from_utf8_lossy(&bytes).into_owned();
        return Ok(vec![Plugin {
            place: name,
            document: document_of(&text),
            text,
            origin: Origin::whole(),
            warnings: Vec::new(),
        }]);
    }
    let text = String::from_utf8(bytes).map_err(|_| Failure::of_file(path, "not UTF-8"))?;
    let documents = yaml_documents(path, &text)?;
    let found: Vec<Plugin> = documents.iter().flat_map(|document| held_by(&name, &text, document)).collect();
    if found.is_empty() {
        return Err(Failure::of_file(path, "no okta-proxy-wasm plugin in this file"));
    }
    Ok(found)
}

/// The only one in a file.
pub fn read_one(path: &Path) -> Result<Plugin, Failure> {
    let mut found = read(path)?;
    match (found.pop(), found.len()) {
        (Some(plugin), 0) => Ok(plugin),
        // The same one in several listeners is one.
        (Some(plugin), _) if found.iter().all(|other| other.document == plugin.document) => Ok(plugin),
        (_, others) => Err(Failure::of_file(
            path,
            format!("{} different configurations in this file; provide one of them", others + 1),
        )),
    }
}

/// The documents of a YAML file, of which JSON is a part.
pub fn yaml_documents(path: &Path, text: &str) -> Result<Vec<Value>, Failure> {
    let read = yaml_serde::Deserializer::from_str(text).map(Value::deserialize);
    let documents: Result<Vec<Value>, _> = read.collect();
    let documents = documents.map_err(|error| Failure::of_file(path, format!("not valid YAML: {error}")))?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

fn document_of(text: &str) -> Value {
    parse_object(text.trim_ascii().as_bytes(), LIMITS).map_or(Value::Null, Value::Object)
}

/// What a host's configuration has for a plugin of ours.
struct Held<'a> {
    /// The object that says where the module comes from and when it may be missing.
    around: &'a Value,
    /// Where it stands below the host's object.
    below: String,
    /// The configuration, as the filter gets it.
    text: String,
    host: Host<'a>,
}

/// Whose configuration holds it.
enum Host<'a> {
    /// With the clusters, where all of them are there.
    Envoy(Option<&'a BTreeSet<String>>),
    /// With the object's `spec`.
    Istio(&'a Value),
    /// With the object's `spec`.
    EnvoyGateway(&'a Value),
    Kong,
}

impl Held<'_> {
    /// What around `document`, which is ours, weakens or breaks it.
    fn warnings(&self, document: &Value) -> Vec<String> {
        match self.host {
            Host::Envoy(clusters) => envoy::warnings(self.around, document, clusters),
            Host::Istio(spec) => manifests::istio_warnings(self.around, spec, document),
            Host::EnvoyGateway(spec) => manifests::gateway_warnings(self.around, spec, document),
            Host::Kong => vec![String::from(
                "the module does not work in Kong: it opens the gateway or takes it down; do not use it there \
                 (docs/deploying.md, \"Kong and nginx\")",
            )],
        }
    }
}

/// All of ours in a document of a host's.
fn held_by(file: &str, text: &str, document: &Value) -> Vec<Plugin> {
    let clusters = envoy::names_of_clusters(document);
    let mut managers = envoy::connection_managers(document);
    let mut found = Vec::new();
    let mut places = Vec::new();
    visit(document, "$", &mut |at, value| {
        for held in envoy::held(value, clusters.as_ref()).into_iter().chain(manifests::held(value)) {
            let document = document_of(&held.text);
            if document.get("providers").is_some() || names_our_module(held.around) {
                let mut warnings = held.warnings(&document);
                let manager = managers.iter().find(|manager| manager.holds(at));
                warnings.extend(manager.into_iter().flat_map(|manager| manager.warnings(at, &document)));
                places.push(at.to_owned());
                found.push(Plugin {
                    place: format!("{file}: {at}{}", held.below),
                    origin: Origin::of_block(text, &held.text),
                    warnings,
                    document,
                    text: held.text,
                });
            }
        }
    });
    managers.retain(|manager| !places.iter().any(|at| manager.holds(at)));
    // Reported once, with the first plugin of this filter.
    if let Some(first) = found.first_mut() {
        first.warnings.extend(managers.iter().filter_map(envoy::ConnectionManager::unprotected));
    }
    found
}

/// Where the module comes from, wherever it is said.
fn names_our_module(around: &Value) -> bool {
    let code = around
        .pointer("/vm_config/code")
        .or(around.pointer("/vmConfig/code"))
        .or(around.get("code"))
        .or(around.get("url"))
        .or(around.get("name"));
    let code = code.map(Value::to_string).unwrap_or_default();
    code.contains("okta_proxy_wasm") || code.contains("okta-proxy-wasm")
}

/// The variables that a configuration names and the host does not pass on; `list` is where it would say that it does.
fn variables_not_passed(document: &Value, list: &str, is_passed: impl Fn(&str) -> bool) -> Vec<String> {
    let mut warnings = Vec::new();
    visit_secrets(document, &mut |_, variable| {
        if !is_passed(variable) {
            warnings.push(format!("the variable {variable} is not in {list}: the plugin cannot read it"));
        }
    });
    warnings
}

fn fails_open() -> String {
    String::from("the plugin fails open: when it does not run, every request is forwarded without a check")
}

/// Tells of every object in a document, with its place.
pub fn visit<'a>(value: &'a Value, at: &str, tell: &mut impl FnMut(&str, &'a Value)) {
    match value {
        Value::Object(members) => {
            tell(at, value);
            for (name, member) in members {
                visit(member, &format!("{at}.{name}"), tell);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                visit(item, &format!("{at}[{index}]"), tell);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
