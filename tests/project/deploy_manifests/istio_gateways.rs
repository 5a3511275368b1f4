//! Istio's and Envoy Gateway's manifests: their targets, and their settings for the listeners of a gateway. A target that
//! matches nothing is no error there, and leaves the gateway open.

use std::fs;

use serde_json::{Value, json};
use testbed::TempDir;
use testbed::module::project_root;

use super::{object, objects_in, text};
use crate::pages::blocks;

/// The pods of a Helm release `istio-ingress`, or a Gateway of the Gateway API: whatever matches neither lets every request pass.
fn assert_targets_a_gateway(name: &str, spec: &Value) {
    let gateway = json!([{ "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "api" }]);
    let labels = json!({ "matchLabels": { "istio": "ingress" } });
    let is_targeted = spec["targetRefs"] == gateway && spec["selector"].is_null();
    let is_selected = spec["targetRefs"].is_null() && spec["selector"] == labels;
    assert!(is_targeted || is_selected, "{name} is for no gateway that we document: {spec}");
}

#[test]
fn istio_and_envoy_gateway_plugins_target_a_gateway_and_document_how_to_check_it() {
    for (file, kind) in [
        ("istio/wasm-plugin.yaml", "WasmPlugin"),
        ("istio/traffic-extension.yaml", "TrafficExtension"),
        ("envoy-gateway/extension-policy.yaml", "EnvoyExtensionPolicy"),
    ] {
        assert_targets_a_gateway(file, &object(file, kind)["spec"]);
        let text = text(file);
        let mut said = vec!["EVERY REQUEST PASSES UNCHECKED", "must answer 401"];
        if file.starts_with("istio") {
            said.extend([
                "kubectl get gateway -n",
                "kubectl get pods -n istio-ingress -l istio=ingress",
                "without `istio-`",
            ]);
        }
        for said in said {
            assert!(text.contains(said), "{file} does not say {said:?}");
        }
    }
    let guide = fs::read_to_string(project_root().join("docs/guides/from-istio.md")).unwrap();
    let objects = blocks(&guide).into_iter().filter(|block| block.language == "yaml");
    for object in objects.flat_map(|block| objects_in(&block.text)) {
        assert_targets_a_gateway("docs/guides/from-istio.md", &object["spec"]);
    }
    // Patches of the listener and the bootstrap are for all gateways of the namespace: no label can lose them.
    for file in ["istio/listener.yaml", "istio/metrics.yaml"] {
        let spec = &object(file, "EnvoyFilter")["spec"];
        assert!(spec["workloadSelector"].is_null() && spec["targetRefs"].is_null(), "{file} selects");
        assert_eq!(object(file, "EnvoyFilter")["metadata"]["namespace"], "istio-ingress");
    }
}

/// What every bootstrap to copy has in its connection manager, but for what Istio sets itself (`use_remote_address`).
#[test]
fn istio_listeners_get_the_settings_of_envoy_yaml_and_envoy_accepts_them() {
    let spec = object("istio/listener.yaml", "EnvoyFilter")["spec"].take();
    let [patch] = spec["configPatches"].as_array().unwrap().as_slice() else { panic!("one patch: {spec}") };
    assert_eq!((&patch["applyTo"], &patch["patch"]["operation"]), (&json!("NETWORK_FILTER"), &json!("MERGE")));
    assert_eq!(patch["match"]["context"], "GATEWAY");
    let mut patched = patch["patch"]["value"]["typed_config"].clone();
    let bootstrap: Value =
        yaml_serde::from_str(&fs::read_to_string(project_root().join("envoy/envoy.yaml")).unwrap()).unwrap();
    let manager = bootstrap.pointer("/static_resources/listeners/0/filter_chains/0/filters/0").unwrap();
    assert_eq!(patch["match"]["listener"]["filterChain"]["filter"]["name"], manager["name"]);
    let settings = patched.as_object().unwrap();
    for (name, value) in settings.iter().filter(|(name, _)| *name != "common_http_protocol_options") {
        assert_eq!(*value, manager["typed_config"][name], "{name}");
    }
    for needed in [
        "normalize_path",
        "merge_slashes",
        "path_with_escaped_slashes_action",
        "strip_any_host_port",
        "strip_trailing_host_dot",
    ] {
        assert!(settings.contains_key(needed), "{needed}");
    }
    let underscores = "/common_http_protocol_options/headers_with_underscores_action";
    assert_eq!(patched.pointer(underscores), Some(&json!("DROP_HEADER")));

    // As Istio's listener has the rest.
    let rest = json!({ "stat_prefix": "gateway", "use_remote_address": true, "route_config": {}, "http_filters": [
        { "name": "envoy.filters.http.router", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" } }] });
    patched.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    let listener = json!({ "name": "gateway",
        "address": { "socket_address": { "address": "127.0.0.1", "port_value": 10000 } },
        "filter_chains": [{ "filters": [{ "name": manager["name"], "typed_config": patched }] }] });
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("envoy.json");
    fs::write(&file, json!({ "static_resources": { "listeners": [listener] } }).to_string()).unwrap();
    testbed::envoy::validate(&file).unwrap();
}
