//! Plugin configurations in the resources of Istio, Envoy Gateway and Kong, which convert the YAML to a string.

use serde_json::Value;

use crate::plugin::{Host, HostedConfig, fails_open, variables_not_passed};

/// The plugin configurations of a resource.
pub(super) fn hosted_configs(value: &Value) -> Vec<HostedConfig<'_>> {
    let kind = value.get("kind").and_then(Value::as_str).unwrap_or_default();
    let of_istio = match kind {
        "WasmPlugin" => value.get("spec").map(|plugin| (plugin, ".spec.pluginConfig")),
        "TrafficExtension" => value.pointer("/spec/wasm").map(|plugin| (plugin, ".spec.wasm.pluginConfig")),
        _ => None,
    };
    let spec = value.get("spec").unwrap_or(&Value::Null);
    let of_istio = of_istio.map(|(plugin, below)| HostedConfig {
        container: plugin,
        subpath: below.to_owned(),
        text: text_of(plugin.get("pluginConfig")),
        host: Host::Istio(spec),
    });
    let of_gateway = (kind == "EnvoyExtensionPolicy").then(|| value.pointer("/spec/wasm")?.as_array()).flatten();
    let of_gateway = of_gateway.into_iter().flatten().enumerate().map(|(index, plugin)| HostedConfig {
        container: plugin,
        subpath: format!(".spec.wasm[{index}].config"),
        text: text_of(plugin.get("config")),
        host: Host::EnvoyGateway(spec),
    });
    // Kong's filter chain is a member of a service or a route, or a resource of its own.
    let of_kong = value.get("filters").and_then(Value::as_array).filter(|_| kind.is_empty());
    let of_kong = of_kong.into_iter().flatten().enumerate().filter(|(_, filter)| filter.get("name").is_some());
    let of_kong = of_kong.map(|(index, filter)| HostedConfig {
        container: filter,
        subpath: format!(".filters[{index}].config"),
        text: text_of(filter.get("config")),
        host: Host::Kong,
    });
    of_istio.into_iter().chain(of_gateway).chain(of_kong).collect()
}

/// The text that the filter receives: a string unchanged, an object as JSON, and an empty text if absent.
fn text_of(configuration: Option<&Value>) -> String {
    match configuration {
        Some(Value::String(text)) => text.clone(),
        Some(written) => written.to_string(),
        None => String::new(),
    }
}

/// Warnings for Istio's resource.
pub(super) fn istio_warnings(plugin: &Value, spec: &Value, document: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    if plugin.get("failStrategy").and_then(Value::as_str) == Some("FAIL_OPEN") {
        warnings.push(fails_open());
    }
    if spec.get("match").is_some_and(|selected| *selected != Value::Array(Vec::new())) {
        warnings.push(String::from(
            "$.spec.match: requests that it does not name are forwarded without a check: on a gateway remove it, for a sidecar \
             write `[{mode: SERVER}]`",
        ));
    }
    if spec.get("phase").and_then(Value::as_str) != Some("AUTHN") {
        warnings.push(String::from(
            "without `phase: AUTHN` the plugin runs after Istio's own authentication and authorization, which then evaluate requests that the filter has not checked",
        ));
    }
    let url = plugin.get("url").and_then(Value::as_str).unwrap_or_default();
    if !url.starts_with("file://") && !has_digest(plugin.get("sha256"), url) {
        warnings.push(not_pinned());
    }
    let passed = plugin.pointer("/vmConfig/env").and_then(Value::as_array);
    let is_passed = |name: &str| {
        let mut all = passed.into_iter().flatten();
        all.any(|variable| variable.get("name").and_then(Value::as_str) == Some(name))
    };
    warnings.extend(variables_not_passed(document, "vmConfig.env", is_passed));
    warnings
}

/// Warnings for Envoy Gateway's policy.
pub(super) fn gateway_warnings(plugin: &Value, spec: &Value, document: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    if plugin.get("failOpen") == Some(&Value::Bool(true)) {
        warnings.push(fails_open());
    }
    let targets = spec.get("targetRefs").and_then(Value::as_array).into_iter().flatten();
    let targets = targets.chain(spec.get("targetRef"));
    if spec.get("targetSelectors").is_some() || targets.into_iter().any(|target| !is_whole_gateway(target)) {
        warnings.push(String::from(
            "$.spec.targetRefs: routes and listeners that it does not name, and those that are added later, are forwarded \
             without a check; name the Gateway, without `sectionName`",
        ));
    }
    let source = plugin.pointer("/code/image").or(plugin.pointer("/code/http"));
    let url = source.and_then(|source| source.get("url")?.as_str()).unwrap_or_default();
    if !has_digest(source.and_then(|source| source.get("sha256")), url) {
        warnings.push(not_pinned());
    }
    let passed = plugin.pointer("/env/hostKeys").and_then(Value::as_array);
    let is_passed = |name: &str| passed.into_iter().flatten().any(|key| key.as_str() == Some(name));
    warnings.extend(variables_not_passed(document, "env.hostKeys", is_passed));
    warnings
}

fn is_whole_gateway(target: &Value) -> bool {
    target.get("kind").and_then(Value::as_str) == Some("Gateway") && target.get("sectionName").is_none()
}

fn has_digest(sha256: Option<&Value>, url: &str) -> bool {
    sha256.and_then(Value::as_str).is_some_and(|digest| !digest.is_empty()) || url.contains("@sha256:")
}

fn not_pinned() -> String {
    String::from("no `sha256` pins the module: anyone who can push to its source can replace it")
}
