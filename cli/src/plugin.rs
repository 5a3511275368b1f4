//! Finds our configurations: a file is one, or an Envoy configuration with some in it.

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
const STRING_VALUE: &str = "google.protobuf.StringValue";
const WASM_FILTER: &str = "envoy.extensions.filters.http.wasm.v3.Wasm";

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
    /// What of Envoy's configuration weakens or breaks it.
    pub warnings: Vec<String>,
}

/// All of ours in a file, at least one.
pub fn read(path: &Path) -> Result<Vec<Plugin>, Failure> {
    let bytes = input::read(path)?;
    let name = if path.as_os_str() == "-" { String::from("standard input") } else { path.display().to_string() };
    let is_yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    let is_object = bytes.trim_ascii_start().first() == Some(&b'{');
    let read = if is_object { serde_json::from_slice::<Value>(&bytes).ok() } else { None };
    let is_of_envoy = ["static_resources", "dynamic_resources", "resources", "@type"]
        .iter()
        .any(|member| read.as_ref().is_some_and(|document| document.get(*member).is_some()));
    let is_plain_yaml = path.as_os_str() == "-" && !is_object && !bytes.trim_ascii().is_empty();
    if !(is_yaml || is_of_envoy || is_plain_yaml) {
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
    let found: Vec<Plugin> = documents.iter().flat_map(|document| of_envoy(&name, &text, document)).collect();
    if found.is_empty() {
        return Err(Failure::of_file(path, "no plugin with a configuration of okta-proxy-wasm in it"));
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
            format!("{} different configurations in it; give one of them alone", others + 1),
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

fn of_envoy(file: &str, text: &str, document: &Value) -> Vec<Plugin> {
    let clusters = names_of_clusters(document);
    let mut found = Vec::new();
    visit(document, "$", &mut |at, value| {
        let Some(filter) = filter_config(value) else { return };
        let Some(held) = configuration_of(filter) else { return };
        let read = document_of(&held);
        let is_ours = read.get("providers").is_some() || names_our_module(filter);
        if !is_ours {
            return;
        }
        found.push(Plugin {
            place: format!("{file}: {at}"),
            origin: Origin::of_block(text, &held),
            warnings: host_warnings(filter, &read, clusters.as_ref()),
            document: read,
            text: held,
        });
    });
    found
}

/// Tells of every object in a document, with its place.
pub fn visit(value: &Value, at: &str, tell: &mut impl FnMut(&str, &Value)) {
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

/// The `config` of a Wasm filter: `value` is its `typed_config`, as such or as a TypedStruct.
fn filter_config(value: &Value) -> Option<&Value> {
    let is_wasm = |name: &str| value.get(name).and_then(Value::as_str).is_some_and(|kind| kind.ends_with(WASM_FILTER));
    if is_wasm("@type") {
        return value.get("config");
    }
    if is_wasm("type_url") { value.get("value")?.get("config") } else { None }
}

/// What the plugin gets. Of another type than text it gets bytes that are no JSON, which it says.
fn configuration_of(filter: &Value) -> Option<String> {
    let configuration = filter.get("configuration")?;
    let is_text = configuration.get("@type").and_then(Value::as_str).is_some_and(|kind| kind.ends_with(STRING_VALUE));
    match configuration.get("value") {
        Some(Value::String(text)) if is_text => Some(text.clone()),
        Some(_) | None => Some(String::from("not a google.protobuf.StringValue")),
    }
}

fn names_our_module(filter: &Value) -> bool {
    let code = filter.pointer("/vm_config/code").map(Value::to_string).unwrap_or_default();
    code.contains("okta_proxy_wasm") || code.contains("okta-proxy-wasm")
}

/// The static clusters; nothing where others may come.
fn names_of_clusters(document: &Value) -> Option<BTreeSet<String>> {
    if document.get("dynamic_resources").is_some() {
        return None;
    }
    let clusters = document.pointer("/static_resources/clusters")?.as_array()?;
    Some(clusters.iter().filter_map(|cluster| cluster.get("name")?.as_str().map(str::to_owned)).collect())
}

/// What the filter's promises rest on and only Envoy's configuration says.
fn host_warnings(filter: &Value, document: &Value, clusters: Option<&BTreeSet<String>>) -> Vec<String> {
    let mut warnings = Vec::new();
    let is_open = filter.get("fail_open") == Some(&Value::Bool(true))
        || filter.get("failure_policy").and_then(Value::as_str) == Some("FAIL_OPEN");
    if is_open {
        warnings.push(String::from("the plugin fails open: when it does not run, every request passes unchecked"));
    }
    let passed = filter.pointer("/vm_config/environment_variables");
    let is_passed = |name: &str| {
        let listed = passed.and_then(|passed| passed.get("host_env_keys")?.as_array());
        listed.is_some_and(|keys| keys.iter().any(|key| key.as_str() == Some(name)))
            || passed.and_then(|passed| passed.get("key_values")?.get(name)).is_some()
    };
    visit_secrets(document, &mut |_, variable| {
        if !is_passed(variable) {
            warnings.push(format!(
                "the variable {variable} is not among vm_config.environment_variables: the plugin will not find it"
            ));
        }
    });
    let providers = document.get("providers").and_then(Value::as_object).into_iter().flat_map(|all| all.values());
    for source in providers.chain(document.get("revocations")) {
        let upstream = source.get("upstream").and_then(Value::as_str);
        if let (Some(upstream), Some(clusters)) = (upstream, clusters)
            && !clusters.contains(upstream)
        {
            warnings.push(format!("there is no cluster {upstream:?}, which the configuration names as upstream"));
        }
    }
    warnings
}
