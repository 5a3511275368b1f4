//! Plugin configurations in a configuration of Envoy.

mod connection_manager;
mod fields;
mod hosts;
mod routes;
mod rules;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::plugin::{Host, HostedConfig, fails_open, variables_not_passed};
pub(super) use connection_manager::{ConnectionManager, connection_managers};
use fields::{field, is_true, list};

const STRING_VALUE: &str = "google.protobuf.StringValue";
const WASM_FILTER: &str = "envoy.extensions.filters.http.wasm.v3.Wasm";
/// `FailurePolicy.FAIL_OPEN`.
const FAIL_OPEN: u64 = 3;

/// The plugin configuration, if `value` is the `typed_config` of a Wasm filter.
pub(super) fn hosted_config<'a>(value: &'a Value, clusters: Option<&'a BTreeSet<String>>) -> Option<HostedConfig<'a>> {
    let filter = filter_config(value)?;
    let text = configuration_of(filter)?;
    Some(HostedConfig { container: filter, subpath: String::new(), text, host: Host::Envoy(clusters) })
}

/// The `config` of a Wasm filter: `value` is its `typed_config`, as such or as a TypedStruct.
fn filter_config(value: &Value) -> Option<&Value> {
    let is_wasm = |name: &str| value.get(name).and_then(Value::as_str).is_some_and(|kind| kind.ends_with(WASM_FILTER));
    if is_wasm("@type") {
        return value.get("config");
    }
    if is_wasm("type_url") { value.get("value")?.get("config") } else { None }
}

/// The configuration text. For another type than StringValue, Envoy passes bytes that are not JSON, which the loader
/// reports.
fn configuration_of(filter: &Value) -> Option<String> {
    let configuration = filter.get("configuration")?;
    let is_text = configuration.get("@type").and_then(Value::as_str).is_some_and(|kind| kind.ends_with(STRING_VALUE));
    match configuration.get("value") {
        Some(Value::String(text)) if is_text => Some(text.clone()),
        Some(_) | None => Some(String::from("not a google.protobuf.StringValue")),
    }
}

/// The names of the static clusters; `None` if there may be dynamic ones.
pub(super) fn cluster_names(document: &Value) -> Option<BTreeSet<String>> {
    if document.get("dynamic_resources").is_some() {
        return None;
    }
    let clusters = document.pointer("/static_resources/clusters")?.as_array()?;
    Some(clusters.iter().filter_map(|cluster| cluster.get("name")?.as_str().map(str::to_owned)).collect())
}

/// Warnings for settings in Envoy's configuration that the filter depends on.
pub(super) fn warnings(filter: &Value, document: &Value, clusters: Option<&BTreeSet<String>>) -> Vec<String> {
    let mut warnings = Vec::new();
    // Proto3 JSON may write an enum value as its number.
    let policy = field(filter, "failure_policy");
    let is_open = is_true(filter, "fail_open")
        || policy.is_some_and(|policy| policy.as_str() == Some("FAIL_OPEN") || policy.as_u64() == Some(FAIL_OPEN));
    if is_open {
        warnings.push(fails_open());
    }
    let variables = field(filter, "vm_config").and_then(|vm| field(vm, "environment_variables"));
    let is_passed = |name: &str| {
        let listed = variables.map(|variables| list(variables, "host_env_keys")).unwrap_or_default();
        listed.iter().any(|key| key.as_str() == Some(name))
            || variables.and_then(|variables| field(variables, "key_values")?.get(name)).is_some()
    };
    warnings.extend(variables_not_passed(document, "vm_config.environment_variables", is_passed));
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
