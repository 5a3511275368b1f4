//! Plugin configurations in a configuration of Envoy.

pub(super) mod breakers;
mod client_certificate;
mod connection_manager;
pub(super) mod fields;
mod hosts;
mod labels;
mod routes;
mod rules;
pub(super) mod tls;

use serde_json::Value;

use super::diagnostic::{HostCode, HostDiagnostic};
use super::hosted::{Host, HostedConfig};
use super::manifests::digest;
use super::{fails_open, variables_not_passed};
pub(super) use connection_manager::{ConnectionManager, connection_managers};
use fields::{field, is_one_of, is_true, list, string};
pub(super) use labels::missing_labels;

const STRING_VALUE: &str = "google.protobuf.StringValue";
const WASM_FILTER: &str = "envoy.extensions.filters.http.wasm.v3.Wasm";

/// The plugin configuration, if `value` is the `typed_config` of a Wasm filter.
pub(super) fn hosted_config(value: &Value) -> Option<HostedConfig<'_>> {
    let filter = filter_config(value)?;
    let text = configuration_of(filter)?;
    let container_path = if value.get("config").is_some() { ".config" } else { ".value.config" };
    Some(HostedConfig {
        container: filter,
        container_path,
        subpath: String::new(),
        value_path: format!("{container_path}.configuration.value"),
        text,
        host: Host::Envoy,
    })
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

/// Diagnostics about settings of the Wasm filter at `at` that this filter depends on.
pub(super) fn diagnostics(filter: &Value, at: &str, document: &Value) -> Vec<HostDiagnostic> {
    let mut found = Vec::new();
    if is_one_of(filter, "failure_policy", &[("FAIL_OPEN", 3)]) {
        found.push(fails_open(format!("{at}.failure_policy"), "write `failure_policy: FAIL_RELOAD`"));
    } else if is_true(filter, "fail_open") {
        found.push(fails_open(format!("{at}.fail_open"), "remove it, and write `failure_policy: FAIL_RELOAD`"));
    }
    let machine = field(filter, "vm_config");
    let variables = machine.and_then(|vm| field(vm, "environment_variables"));
    let is_passed = |name: &str| {
        let listed = variables.map(|variables| list(variables, "host_env_keys")).unwrap_or_default();
        listed.iter().any(|key| key.as_str() == Some(name))
            || variables.and_then(|variables| field(variables, "key_values")?.get(name)).is_some()
    };
    let fix = |name: &str| format!("write `environment_variables: {{host_env_keys: [{name}]}}` into `vm_config`");
    let path = format!("{at}.vm_config.environment_variables.host_env_keys");
    found.extend(variables_not_passed(document, &path, is_passed, fix));
    if let Some(remote) = machine.and_then(|vm| field(vm, "code")).and_then(|code| field(code, "remote")) {
        let url = field(remote, "http_uri").and_then(|uri| string(uri, "uri")).unwrap_or_default();
        let remote_at = format!("{at}.vm_config.code.remote");
        let path = format!("{remote_at}.sha256");
        found.extend(digest(field(remote, "sha256"), &path, url, &format!("{remote_at}.http_uri.uri")));
    }
    if is_true(filter, "allow_on_headers_stop_iteration") {
        found.push(HostDiagnostic::of_host(
            HostCode::HEADERS_STOP_ITERATION,
            format!("{at}.allow_on_headers_stop_iteration"),
            "while a request waits for keys or introspection, Envoy gives its body to the filter in parts, and rejects a body \
             that is longer than `per_connection_buffer_limit_bytes` with 413",
            "remove it",
        ));
    }
    found
}
