//! Plugin configurations in the resources of Istio, Envoy Gateway and Kong, which convert the YAML to a string.

use serde_json::Value;

use super::diagnostic::{HostCode, HostDiagnostic};
use super::envoy::fields::is_true;
use super::hosted::{Host, HostedConfig};
use super::{fails_open, variables_not_passed};

/// The hexadecimal digits of a SHA-256 digest.
const DIGEST_LENGTH: usize = 64;

/// The plugin configurations of a resource.
pub(super) fn hosted_configs(value: &Value) -> Vec<HostedConfig<'_>> {
    let kind = value.get("kind").and_then(Value::as_str).unwrap_or_default();
    let of_istio = match kind {
        "WasmPlugin" => value.get("spec").map(|plugin| (plugin, ".spec")),
        "TrafficExtension" => value.pointer("/spec/wasm").map(|plugin| (plugin, ".spec.wasm")),
        _ => None,
    };
    let spec = value.get("spec").unwrap_or(&Value::Null);
    let of_istio = of_istio.map(|(plugin, below)| HostedConfig {
        container: plugin,
        container_path: below,
        subpath: format!("{below}.pluginConfig"),
        value_path: format!("{below}.pluginConfig"),
        text: text_of(plugin.get("pluginConfig")),
        host: Host::Istio(spec),
    });
    let of_gateway = (kind == "EnvoyExtensionPolicy").then(|| value.pointer("/spec/wasm")?.as_array()).flatten();
    let of_gateway = of_gateway.into_iter().flatten().enumerate().map(|(index, plugin)| HostedConfig {
        container: plugin,
        container_path: "",
        subpath: format!(".spec.wasm[{index}].config"),
        value_path: format!(".spec.wasm[{index}].config"),
        text: text_of(plugin.get("config")),
        host: Host::EnvoyGateway(spec),
    });
    // Kong's filter chain is a member of a service or a route, or a resource of its own.
    let of_kong = value.get("filters").and_then(Value::as_array).filter(|_| kind.is_empty());
    let of_kong = of_kong.into_iter().flatten().enumerate().filter(|(_, filter)| filter.get("name").is_some());
    let of_kong = of_kong.map(|(index, filter)| HostedConfig {
        container: filter,
        container_path: "",
        subpath: format!(".filters[{index}].config"),
        value_path: format!(".filters[{index}].config"),
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

/// Diagnostics about Istio's resource at `at`.
pub(super) fn istio_diagnostics(
    plugin: &Value,
    plugin_at: &str,
    spec: &Value,
    at: &str,
    document: &Value,
) -> Vec<HostDiagnostic> {
    let mut found = Vec::new();
    if plugin.get("failStrategy").and_then(Value::as_str) == Some("FAIL_OPEN") {
        found.push(fails_open(format!("{plugin_at}.failStrategy"), "write `failStrategy: FAIL_RELOAD`"));
    }
    if spec.get("match").is_some_and(|selected| *selected != Value::Array(Vec::new())) {
        found.push(HostDiagnostic::of_host(
            HostCode::MATCH_EXCLUDES_REQUESTS,
            format!("{at}.spec.match"),
            "requests that it does not name are forwarded without a check",
            "on a gateway remove it; for a sidecar write `[{mode: SERVER}]`",
        ));
    }
    if spec.get("phase").and_then(Value::as_str) != Some("AUTHN") {
        found.push(HostDiagnostic::of_host(
            HostCode::PHASE_NOT_AUTHN,
            format!("{at}.spec.phase"),
            "the plugin runs after Istio's own authentication and authorization, which then evaluate requests that the \
             filter has not checked",
            "write `phase: AUTHN`",
        ));
    }
    let url = plugin.get("url").and_then(Value::as_str).unwrap_or_default();
    found.extend(digest(plugin.get("sha256"), &format!("{plugin_at}.sha256"), url, &format!("{plugin_at}.url")));
    let passed = plugin.pointer("/vmConfig/env").and_then(Value::as_array);
    let is_passed = |name: &str| {
        let mut all = passed.into_iter().flatten();
        all.any(|variable| variable.get("name").and_then(Value::as_str) == Some(name))
    };
    let fix = |name: &str| {
        format!("add `{{name: {name}, valueFrom: HOST}}` to `vmConfig.env`, and the variable to the proxy's container")
    };
    found.extend(variables_not_passed(document, &format!("{plugin_at}.vmConfig.env"), is_passed, fix));
    found
}

/// Diagnostics about Envoy Gateway's policy at `at`.
pub(super) fn gateway_diagnostics(
    plugin: &Value,
    plugin_at: &str,
    spec: &Value,
    at: &str,
    document: &Value,
) -> Vec<HostDiagnostic> {
    let mut found = Vec::new();
    if is_true(plugin, "failOpen") {
        found.push(fails_open(format!("{plugin_at}.failOpen"), "write `failOpen: false`"));
    }
    let targets = spec.get("targetRefs").and_then(Value::as_array).into_iter().flatten();
    let targets = targets.chain(spec.get("targetRef"));
    if spec.get("targetSelectors").is_some() || targets.into_iter().any(|target| !is_whole_gateway(target)) {
        found.push(HostDiagnostic::of_host(
            HostCode::TARGET_IS_PART_OF_GATEWAY,
            format!("{at}.spec.targetRefs"),
            "routes and listeners that it does not name, and those that are added later, are forwarded without a check",
            "name the Gateway, without `sectionName`",
        ));
    }
    let source = ["image", "http"].into_iter().find_map(|name| Some((name, plugin.pointer(&format!("/code/{name}"))?)));
    let (name, source) = source.unwrap_or(("image", &Value::Null));
    let url = source.get("url").and_then(Value::as_str).unwrap_or_default();
    let source_at = format!("{plugin_at}.code.{name}");
    found.extend(digest(source.get("sha256"), &format!("{source_at}.sha256"), url, &format!("{source_at}.url")));
    let passed = plugin.pointer("/env/hostKeys").and_then(Value::as_array);
    let is_passed = |name: &str| passed.into_iter().flatten().any(|key| key.as_str() == Some(name));
    let fix =
        |name: &str| format!("add `{name}` to `env.hostKeys`, and the variable to the container of the EnvoyProxy");
    found.extend(variables_not_passed(document, &format!("{plugin_at}.env.hostKeys"), is_passed, fix));
    found
}

fn is_whole_gateway(target: &Value) -> bool {
    target.get("kind").and_then(Value::as_str) == Some("Gateway") && target.get("sectionName").is_none()
}

/// The diagnostic for a module that no digest pins, or one that is no digest.
pub(super) fn digest(sha256: Option<&Value>, path: &str, url: &str, url_path: &str) -> Option<HostDiagnostic> {
    let of_url = url.split_once("@sha256:").map(|(_, digest)| (digest, url_path));
    // Digits without quotes are a number.
    let number = sha256.filter(|digest| digest.is_number()).map(Value::to_string);
    let written = sha256.and_then(Value::as_str).or(number.as_deref());
    let written = written.filter(|digest| !digest.is_empty()).map(|digest| (digest, path));
    let Some((digest, at)) = written.or(of_url) else {
        // A file of the proxy's own image.
        return (!url.starts_with("file://")).then(|| {
            HostDiagnostic::of_host(
                HostCode::MODULE_NOT_PINNED,
                path,
                "no `sha256` pins the module: anyone who can push to its source can replace it",
                "write the digest of the release (DIGESTS) as `sha256`",
            )
        });
    };
    let is_digest = digest.len() == DIGEST_LENGTH && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    let first = digest.bytes().next();
    let is_repeated = digest.bytes().all(|byte| Some(byte) == first);
    (!is_digest || is_repeated).then(|| {
        HostDiagnostic::of_host(
            HostCode::PLACEHOLDER_DIGEST,
            at,
            format!("{digest:?} is not the SHA-256 digest of a module, so that the host does not load the filter"),
            "write the digest of the release (DIGESTS): 64 hexadecimal digits",
        )
    })
}
