//! Features of the filter that nginx cannot provide. The filter refuses such a configuration at start, and then responds to
//! every request with 503.

use okta_proxy_wasm::config::{Loaded, Path};
use okta_proxy_wasm::policy::Attribute;
use serde_json::Value;

use crate::plugin::diagnostic::{HostCode, HostDiagnostic};
use crate::plugin::visit;

/// `loaded` is `None` for a document that does not load.
pub(in crate::plugin) fn faults(document: &Value, loaded: Option<&Loaded>) -> Vec<HostDiagnostic> {
    let mut faults = Vec::new();
    let mut report = |path: &str, message: &'static str, fix: &'static str| {
        faults.push(HostDiagnostic::of_plugin(HostCode::NGINX_UNSUPPORTED, path, message, fix));
    };
    let token = document.get("token").unwrap_or(&Value::Null);
    let is_list = |value: Option<&Value>| value.and_then(Value::as_array).is_some_and(|items| !items.is_empty());
    if is_list(token.get("from_params")) && token.get("forward") != Some(&Value::Bool(true)) {
        report(
            "$.token.from_params",
            "nginx cannot remove a query parameter",
            "set `token.forward` to `true`, or remove this setting",
        );
    }
    if is_list(document.get("filter_state")) {
        report("$.filter_state", "only Envoy has filter state", "remove this setting");
    }
    if document.get("clear_route_cache") == Some(&Value::Bool(true)) {
        report("$.clear_route_cache", "only Envoy has a route cache", "remove this setting");
    }
    let providers = loaded.into_iter().flat_map(|loaded| loaded.policy.providers.iter());
    for (_, provider) in providers {
        if provider.introspection.as_ref().is_some_and(|settings| settings.client.host_key().is_some()) {
            let path = Path::root().member("providers").member(&provider.name);
            report(
                path.member("introspection").member("private_key").as_str(),
                "nginx does not sign with an RSA key",
                "use a P-256 key",
            );
        }
    }
    faults
}

/// Conditions that fail in nginx where they read these attributes.
pub(super) fn warnings(document: &Value) -> Vec<HostDiagnostic> {
    let mut warnings = Vec::new();
    visit(document, "$", &mut |at, value| {
        let condition = value.get("condition").and_then(Value::as_str).unwrap_or_default();
        let missing = Attribute::ALL.into_iter().filter(|attribute| attribute.is_of_envoy_only());
        for attribute in missing.map(|attribute| attribute.path().join(".")).filter(|name| condition.contains(name)) {
            warnings.push(HostDiagnostic::of_plugin(
                HostCode::NGINX_ATTRIBUTE,
                format!("{at}.condition"),
                format!("nginx does not provide `{attribute}`, and a condition that reads it denies the request"),
                "remove it",
            ));
        }
    });
    warnings
}
