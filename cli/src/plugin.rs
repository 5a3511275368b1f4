//! Finds plugin configurations: a file is one, or is a configuration of Envoy, Istio, Envoy Gateway, Kong or nginx that
//! contains some.

mod envoy;
mod manifests;
mod nginx;

use std::collections::BTreeSet;
use std::path::Path;

use okta_proxy_wasm::config::Loaded;
use okta_proxy_wasm::jose::{JsonLimits, parse_object};
use serde::Deserialize as _;
use serde_json::Value;

use crate::failure::Failure;
use crate::input;
use crate::positions::{Origin, Position};
use crate::secrets::visit_secrets;

/// The filter's limits.
const LIMITS: JsonLimits = JsonLimits { depth: 64, members: 4096 };
/// Top-level members of host configurations, which a plugin configuration never has.
const HOST_MEMBERS: [&str; 6] =
    ["static_resources", "dynamic_resources", "resources", "@type", "apiVersion", "_format_version"];

/// A plugin configuration.
pub struct Plugin {
    /// The location, for messages.
    pub location: String,
    /// The text that the filter receives.
    pub text: String,
    /// The parsed text; `null` if it is not a JSON object.
    pub document: Value,
    /// The position in the file.
    pub origin: Origin,
    /// The file of the position, if the host's configuration includes it.
    pub included_file: Option<String>,
    /// Warnings about the host's configuration.
    pub warnings: Vec<String>,
    /// Faults of the host's configuration.
    pub host_faults: Vec<HostFault>,
    /// Whether nginx runs the plugin.
    is_in_nginx: bool,
}

impl Plugin {
    /// The faults of the host's configuration, and what the host cannot do of the plugin's. `loaded` is `None` for a
    /// configuration that does not load.
    pub fn take_host_faults(&mut self, loaded: Option<&Loaded>) -> Vec<HostFault> {
        let mut faults = std::mem::take(&mut self.host_faults);
        if self.is_in_nginx {
            faults.extend(nginx::unsupported(&self.document, loaded));
        }
        faults
    }
}

/// A reason for which the plugin does not work in its host.
pub struct HostFault {
    /// The path in the plugin's configuration, or the directive of the host.
    pub path: String,
    pub message: String,
    /// The position of the directive, with its file.
    pub position: Option<(String, Position)>,
}

/// Reads all plugin configurations in a file, at least one.
pub fn read(path: &Path) -> Result<Vec<Plugin>, Failure> {
    let bytes = input::read(path)?;
    let name = if path.as_os_str() == "-" { String::from("standard input") } else { path.display().to_string() };
    let is_yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    let is_object = bytes.trim_ascii_start().first() == Some(&b'{');
    let read = if is_object { serde_json::from_slice::<Value>(&bytes).ok() } else { None };
    let is_of_host =
        HOST_MEMBERS.iter().any(|member| read.as_ref().is_some_and(|document| document.get(*member).is_some()));
    if !is_yaml && !is_object && nginx::is_nginx(&String::from_utf8_lossy(&bytes)) {
        let text = String::from_utf8(bytes).map_err(|_| Failure::of_file(path, "not UTF-8"))?;
        return some_plugin(path, nginx::plugins_in(path, &text)?);
    }
    let is_plain_yaml = path.as_os_str() == "-" && !is_object && !bytes.trim_ascii().is_empty();
    if !(is_yaml || is_of_host || is_plain_yaml) {
        // The filter reports invalid UTF-8 as invalid JSON, and so does this tool.
        let text = String::from_utf8_lossy(&bytes).into_owned();
        return Ok(vec![Plugin {
            location: name,
            document: document_of(&text),
            text,
            origin: Origin::whole(),
            included_file: None,
            warnings: Vec::new(),
            host_faults: Vec::new(),
            is_in_nginx: false,
        }]);
    }
    let text = String::from_utf8(bytes).map_err(|_| Failure::of_file(path, "not UTF-8"))?;
    let documents = yaml_documents(path, &text)?;
    some_plugin(path, documents.iter().flat_map(|document| plugins_in(&name, &text, document)).collect())
}

fn some_plugin(path: &Path, found: Vec<Plugin>) -> Result<Vec<Plugin>, Failure> {
    if found.is_empty() {
        return Err(Failure::of_file(path, "no okta-proxy-wasm plugin in this file"));
    }
    Ok(found)
}

/// Reads a file with a single plugin configuration.
pub fn read_one(path: &Path) -> Result<Plugin, Failure> {
    let mut found = read(path)?;
    match (found.pop(), found.len()) {
        (Some(plugin), 0) => Ok(plugin),
        // Equal configurations of several listeners count once.
        (Some(plugin), _) if found.iter().all(|other| other.document == plugin.document) => Ok(plugin),
        (_, others) => Err(Failure::of_file(
            path,
            format!("{} different configurations in this file; provide one of them", others + 1),
        )),
    }
}

/// Parses the documents of a YAML or JSON file.
pub fn yaml_documents(path: &Path, text: &str) -> Result<Vec<Value>, Failure> {
    let read = yaml_serde::Deserializer::from_str(text).map(Value::deserialize);
    let documents: Result<Vec<Value>, _> = read.collect();
    let documents = documents.map_err(|error| Failure::of_file(path, format!("not valid YAML: {error}")))?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

fn document_of(text: &str) -> Value {
    parse_object(text.trim_ascii().as_bytes(), LIMITS).map_or(Value::Null, Value::Object)
}

/// A plugin configuration in a host's configuration.
struct HostedConfig<'a> {
    /// The object with the module's source and failure policy.
    container: &'a Value,
    /// The path below the host's object.
    subpath: String,
    /// The configuration text that the filter receives.
    text: String,
    host: Host<'a>,
}

/// The host whose configuration contains it.
enum Host<'a> {
    /// With the cluster names, if all clusters are static.
    Envoy(Option<&'a BTreeSet<String>>),
    /// With the object's `spec`.
    Istio(&'a Value),
    /// With the object's `spec`.
    EnvoyGateway(&'a Value),
    Kong,
}

impl HostedConfig<'_> {
    /// Warnings about the host's configuration around the plugin.
    fn warnings(&self, document: &Value) -> Vec<String> {
        match self.host {
            Host::Envoy(clusters) => envoy::warnings(self.container, document, clusters),
            Host::Istio(spec) => manifests::istio_warnings(self.container, spec, document),
            Host::EnvoyGateway(spec) => manifests::gateway_warnings(self.container, spec, document),
            Host::Kong => vec![String::from(
                "the module was not run in Kong: do not use it there \
                 (docs/deploying.md, \"Kong and nginx\")",
            )],
        }
    }
}

/// All plugin configurations in a host's document.
fn plugins_in(file: &str, text: &str, document: &Value) -> Vec<Plugin> {
    let clusters = envoy::cluster_names(document);
    let mut managers = envoy::connection_managers(document);
    let mut found = Vec::new();
    let mut paths = Vec::new();
    visit(document, "$", &mut |at, value| {
        for hosted in envoy::hosted_config(value, clusters.as_ref()).into_iter().chain(manifests::hosted_configs(value))
        {
            let document = document_of(&hosted.text);
            if document.get("providers").is_some() || is_this_filter(hosted.container) {
                let mut warnings = hosted.warnings(&document);
                let manager = managers.iter().find(|manager| manager.contains(at));
                warnings.extend(manager.into_iter().flat_map(|manager| manager.warnings(at, &document)));
                paths.push(at.to_owned());
                found.push(Plugin {
                    location: format!("{file}: {at}{}", hosted.subpath),
                    origin: Origin::of_block(text, &hosted.text),
                    included_file: None,
                    warnings,
                    host_faults: Vec::new(),
                    is_in_nginx: false,
                    document,
                    text: hosted.text,
                });
            }
        }
    });
    managers.retain(|manager| !paths.iter().any(|at| manager.contains(at)));
    // Reported once, with the first plugin of this filter.
    if let Some(first) = found.first_mut() {
        first.warnings.extend(managers.iter().filter_map(envoy::ConnectionManager::unprotected));
    }
    found
}

/// Whether the module's source or name is that of this filter.
fn is_this_filter(container: &Value) -> bool {
    let code = container
        .pointer("/vm_config/code")
        .or(container.pointer("/vmConfig/code"))
        .or(container.get("code"))
        .or(container.get("url"))
        .or(container.get("name"));
    let code = code.map(Value::to_string).unwrap_or_default();
    code.contains("okta_proxy_wasm") || code.contains("okta-proxy-wasm")
}

/// Warnings for variables that the host does not pass to the plugin. `list` names the setting that passes them.
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

/// Visits every object in a document with its path.
pub fn visit<'a>(value: &'a Value, at: &str, visitor: &mut impl FnMut(&str, &'a Value)) {
    match value {
        Value::Object(members) => {
            visitor(at, value);
            for (name, member) in members {
                visit(member, &format!("{at}.{name}"), visitor);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                visit(item, &format!("{at}[{index}]"), visitor);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
