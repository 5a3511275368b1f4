//! Istio's and Envoy Gateway's manifests: their targets, and their settings for the listeners of a gateway. A target that
//! matches nothing is no error there, and leaves the gateway open.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};
use testbed::TempDir;
use testbed::module::project_root;

use super::{ISTIO_PLUGINS, object, objects_in, objects_with_schema, text};
use crate::pages::blocks;

/// The pods of a Helm release `istio-ingress`, or a Gateway of the Gateway API: whatever matches neither lets every request pass.
fn assert_targets_a_gateway(name: &str, spec: &Value) {
    let gateway = json!([{ "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "api" }]);
    let labels = json!({ "matchLabels": { "istio": "ingress" } });
    let is_targeted = spec["targetRefs"] == gateway && spec["selector"].is_null();
    let is_selected = spec["targetRefs"].is_null() && spec["selector"] == labels;
    assert!(is_targeted || is_selected, "{name} is for no gateway that we document: {spec}");
}

/// The Gateways of a folder, as policies name them: namespace and name.
fn gateways_in(folder: &str) -> BTreeSet<(String, String)> {
    let all = objects_with_schema(folder);
    let gateways = all.iter().filter(|object| object["kind"] == "Gateway");
    gateways.map(|gateway| named(gateway, &gateway["metadata"]["name"])).collect()
}

/// An object's namespace, with a name.
fn named(object: &Value, name: &Value) -> (String, String) {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&object["metadata"]["namespace"]), text(name))
}

#[test]
fn every_target_is_a_gateway_of_the_same_folder_and_every_gateway_is_a_target() {
    for folder in ["istio/", "envoy-gateway/"] {
        let gateways = gateways_in(folder);
        let mut targets = BTreeSet::new();
        for object in objects_with_schema(folder) {
            for target in object["spec"]["targetRefs"].as_array().into_iter().flatten() {
                assert_eq!(
                    (&target["group"], &target["kind"]),
                    (&json!("gateway.networking.k8s.io"), &json!("Gateway"))
                );
                let target = named(&object, &target["name"]);
                assert!(gateways.contains(&target), "{folder}: {} targets {target:?}", object["kind"]);
                let is_plugin = ["WasmPlugin", "TrafficExtension", "EnvoyExtensionPolicy"]
                    .contains(&object["kind"].as_str().unwrap());
                targets.extend(is_plugin.then_some(target));
            }
            for parent in object["spec"]["parentRefs"].as_array().into_iter().flatten() {
                assert!(gateways.contains(&named(&object, &parent["name"])), "{folder}: {parent}");
            }
        }
        assert_eq!(targets, gateways, "{folder}: a Gateway without the filter");
        assert!(gateways.contains(&(
            String::from(if folder == "istio/" { "istio-ingress" } else { "default" }),
            String::from("api")
        )));
    }
    // Names are the same in all folders, so the documentation's commands are, too.
    let class = object("envoy-gateway/gateway.yaml", "GatewayClass");
    let gateway = object("envoy-gateway/gateway.yaml", "Gateway");
    let proxy = object("envoy-gateway/proxy.yaml", "EnvoyProxy");
    assert_eq!(gateway["spec"]["gatewayClassName"], class["metadata"]["name"]);
    assert_eq!(
        gateway["spec"]["infrastructure"]["parametersRef"],
        json!({ "group": "gateway.envoyproxy.io", "kind": "EnvoyProxy", "name": proxy["metadata"]["name"] })
    );
    assert_eq!(gateway["metadata"]["namespace"], proxy["metadata"]["namespace"], "a parametersRef has no namespace");
}

#[test]
fn canary_is_the_same_filter_on_a_gateway_of_its_own() {
    let mut canary = object("istio/canary.yaml", "TrafficExtension");
    let stable = object("istio/traffic-extension.yaml", "TrafficExtension");
    assert_ne!(canary["metadata"]["name"], stable["metadata"]["name"], "it would replace the other");
    assert_ne!(canary["spec"]["targetRefs"], stable["spec"]["targetRefs"]);
    canary["spec"]["targetRefs"] = stable["spec"]["targetRefs"].clone();
    assert_eq!(canary["spec"], stable["spec"]);
    for kind in ["Gateway", "HTTPRoute"] {
        let (mut canary, stable) = (object("istio/canary.yaml", kind), object("istio/gateway.yaml", kind));
        assert_ne!(canary["metadata"]["name"], stable["metadata"]["name"], "{kind}");
        if kind == "HTTPRoute" {
            canary["spec"]["parentRefs"] = stable["spec"]["parentRefs"].clone();
        }
        assert_eq!(canary["spec"], stable["spec"], "{kind}");
    }
}

/// Istio takes a gateway's listeners for those of a client, and a waypoint's and a sidecar's inbound ones for those of a server.
#[test]
fn only_the_sidecar_matches_a_mode_and_only_it_has_a_selector() {
    for (file, kind, _) in ISTIO_PLUGINS {
        let spec = &object(file, kind)["spec"];
        if file == "istio/sidecar.yaml" {
            assert_eq!(spec["match"], json!([{ "mode": "SERVER" }]));
            assert_eq!(spec["selector"], json!({ "matchLabels": { "app": "accounts" } }));
            assert!(spec["targetRefs"].is_null());
        } else {
            assert!(spec["match"].is_null() && spec["selector"].is_null(), "{file}");
        }
        assert!(text(file).contains("PASSES UNCHECKED"), "{file} does not say what a wrong target does");
    }
}

#[test]
fn istio_and_envoy_gateway_plugins_target_a_gateway_and_document_how_to_check_it() {
    for (file, kind) in [
        ("istio/wasm-plugin.yaml", "WasmPlugin"),
        ("istio/traffic-extension.yaml", "TrafficExtension"),
        ("istio/introspection.yaml", "TrafficExtension"),
        ("envoy-gateway/extension-policy.yaml", "EnvoyExtensionPolicy"),
        ("envoy-gateway/introspection.yaml", "EnvoyExtensionPolicy"),
    ] {
        assert_targets_a_gateway(file, &object(file, kind)["spec"]);
        let text = text(file);
        let mut said = vec!["EVERY REQUEST PASSES UNCHECKED"];
        if !file.ends_with("introspection.yaml") {
            said.push(if file.starts_with("istio") { "must get 401" } else { "must answer 401" });
        }
        if file.starts_with("istio") && !file.ends_with("introspection.yaml") {
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

/// The tunnel's listener needs the ports of its hosts; the settings themselves are those of the gateways.
#[test]
fn waypoint_settings_are_those_of_gateways_for_its_http_listener_only() {
    let patch = |file: &str| object(file, "EnvoyFilter")["spec"]["configPatches"][0].take();
    let (gateway, waypoint) = (patch("istio/listener.yaml"), patch("istio/waypoint.yaml"));
    assert_eq!(waypoint["patch"], gateway["patch"]);
    assert_eq!(waypoint["match"]["listener"]["name"], "main_internal");
    assert_eq!(waypoint["match"]["listener"]["filterChain"], gateway["match"]["listener"]["filterChain"]);
    assert_eq!(waypoint["match"]["context"], "SIDECAR_INBOUND", "Istio has no context of its own for waypoints");
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
