//! The manifests and configurations under `deploy/`, which operators copy. Those for Kubernetes: each holds a configuration
//! that loads, names a cluster that the same folder makes, fails closed and pins what it runs. They are validated by the
//! published schemas of Istio, Envoy Gateway and the Gateway API. Those for nginx and Kong: each loads and states first what was
//! run of it. None of these hosts runs here.

mod documented_steps;
mod istio_gateways;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::pages;
use okta_proxy_wasm::config::{self, reference};
use serde::Deserialize as _;
use serde_json::{Value, json};
use testbed::TempDir;
use testbed::module::project_root;

/// A file's objects.
fn objects(file: &str) -> Vec<Value> {
    objects_in(&fs::read_to_string(project_root().join("deploy").join(file)).unwrap())
}

fn objects_in(text: &str) -> Vec<Value> {
    yaml_serde::Deserializer::from_str(text).map(|document| Value::deserialize(document).unwrap()).collect()
}

fn object(file: &str, kind: &str) -> Value {
    objects(file).into_iter().find(|object| object["kind"] == kind).unwrap_or_else(|| panic!("{file} has no {kind}"))
}

/// The configuration loads where `OKTA_CLIENT_SECRET` is what the host hands over, and the cluster that it names.
fn upstream_of(plugin: &Value, environment: &[&str]) -> String {
    let document = serde_json::to_vec(plugin).unwrap();
    let handed_over = |name: &str| environment.contains(&name).then(|| String::from("set"));
    if let Err(faults) = config::load(&document, &handed_over) {
        panic!("{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    }
    plugin["providers"]["okta"]["upstream"].as_str().unwrap().to_owned()
}

/// The tag is that of this version and what counts is the digest: that of a release stands in its `dist/deploy`.
fn assert_pinned(tagged: &Value, sha256: &Value) {
    let tagged = tagged.as_str().unwrap();
    assert!(tagged.ends_with(concat!("ghcr.io/acme/okta-proxy-wasm:", env!("CARGO_PKG_VERSION"))), "{tagged}");
    assert_eq!(sha256.as_str().unwrap(), "0".repeat(64), "where the digest is to be");
}

/// Istio's objects with the filter: file, kind, and the file with the identity provider's cluster.
const ISTIO_PLUGINS: [(&str, &str, &str); 6] = [
    ("istio/wasm-plugin.yaml", "WasmPlugin", "istio/identity-provider.yaml"),
    ("istio/traffic-extension.yaml", "TrafficExtension", "istio/identity-provider.yaml"),
    ("istio/introspection.yaml", "TrafficExtension", "istio/identity-provider.yaml"),
    ("istio/canary.yaml", "TrafficExtension", "istio/identity-provider.yaml"),
    ("istio/sidecar.yaml", "TrafficExtension", "istio/identity-provider.yaml"),
    ("istio/waypoint.yaml", "TrafficExtension", "istio/waypoint.yaml"),
];

/// The members of the plugin: those of the object itself, or below `wasm`.
fn plugin_of(object: &Value) -> &Value {
    object["spec"].get("wasm").unwrap_or(&object["spec"])
}

#[test]
fn istio_manifests_load_fail_closed_and_reach_okta_over_validated_tls() {
    for (file, kind, provider) in ISTIO_PLUGINS {
        let object = object(file, kind);
        let plugin = plugin_of(&object);
        assert_eq!(object["spec"]["phase"], "AUTHN", "{file}");
        assert_eq!(plugin["failStrategy"], "FAIL_RELOAD", "{file}");
        assert!(plugin["url"].as_str().unwrap().starts_with("oci://"), "{file}");
        assert_pinned(&plugin["url"], &plugin["sha256"]);
        let variables = plugin["vmConfig"]["env"].as_array().cloned().unwrap_or_default();
        assert!(variables.iter().all(|variable| variable["valueFrom"] == "HOST"), "{file}: a secret is written down");
        let names: Vec<&str> = variables.iter().map(|variable| variable["name"].as_str().unwrap()).collect();

        let entry = self::object(provider, "ServiceEntry");
        let rule = self::object(provider, "DestinationRule");
        let host = entry["spec"]["hosts"][0].as_str().unwrap();
        let cluster = format!("outbound|{}||{host}", entry["spec"]["ports"][0]["number"]);
        assert_eq!(upstream_of(&plugin["pluginConfig"], &names), cluster, "{file}");
        assert_eq!(rule["spec"]["host"], host);
        assert_eq!(
            rule["spec"]["trafficPolicy"]["tls"],
            json!({ "mode": "SIMPLE", "sni": host, "subjectAltNames": [host],
                    "caCertificates": "/etc/ssl/certs/ca-certificates.crt" })
        );
        assert_eq!((&entry["spec"]["exportTo"], &rule["spec"]["exportTo"]), (&json!(["."]), &json!(["."])));
        // The cluster is of the namespace of those that call it; for a sidecar the operator copies the file.
        if file != "istio/sidecar.yaml" {
            assert_eq!(entry["metadata"]["namespace"], object["metadata"]["namespace"], "{file}");
        }
    }
    let service_entry = &object("istio/waypoint.yaml", "ServiceEntry");
    assert_eq!(service_entry["metadata"]["labels"]["istio.io/use-waypoint"], "none", "TLS would be added twice");
}

/// Every string in a document.
fn strings(document: &Value, found: &mut Vec<String>) {
    match document {
        Value::Object(members) => members.iter().for_each(|(name, member)| {
            found.push(name.clone());
            strings(member, found);
        }),
        Value::Array(items) => items.iter().for_each(|item| strings(item, found)),
        Value::String(text) => found.push(text.clone()),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[test]
fn first_examples_have_no_secret_and_introspection_is_all_that_the_second_adds() {
    let first_examples = [
        ("istio", ["gateway.yaml", "identity-provider.yaml", "traffic-extension.yaml", "wasm-plugin.yaml"].as_slice()),
        ("envoy-gateway", ["gateway.yaml", "proxy.yaml", "extension-policy.yaml"].as_slice()),
    ];
    for (folder, files) in first_examples {
        for file in files {
            for object in objects(&format!("{folder}/{file}")) {
                let mut found = Vec::new();
                strings(&object, &mut found);
                let secret = |text: &&String| text.to_lowercase().contains("secret") || *text == "introspection";
                assert_eq!(found.iter().find(secret), None, "{folder}/{file}");
            }
        }
    }
    let without_introspection = |mut plugin: Value| {
        plugin["providers"]["okta"].as_object_mut().unwrap().remove("introspection").expect("introspection");
        plugin["rules"].as_array_mut().unwrap().retain(|rule| rule.get("introspect").is_none());
        plugin
    };
    let istio = |file: &str| object(&format!("istio/{file}"), "TrafficExtension")["spec"].take();
    let (first, mut second) = (istio("traffic-extension.yaml"), istio("introspection.yaml"));
    second["wasm"].as_object_mut().unwrap().remove("vmConfig").expect("the variable");
    second["wasm"]["pluginConfig"] = without_introspection(second["wasm"]["pluginConfig"].take());
    assert_eq!(second, first);
    assert_eq!(object("istio/wasm-plugin.yaml", "WasmPlugin")["spec"]["pluginConfig"], first["wasm"]["pluginConfig"]);

    let gateway = |file: &str| object(&format!("envoy-gateway/{file}"), "EnvoyExtensionPolicy")["spec"].take();
    let (first, mut second) = (gateway("extension-policy.yaml"), gateway("introspection.yaml"));
    second["wasm"][0].as_object_mut().unwrap().remove("env").expect("the variable");
    second["wasm"][0]["config"] = without_introspection(second["wasm"][0]["config"].take());
    assert_eq!(second, first);
}

/// The variable that a container gets from a Secret, in a strategic merge patch of a Deployment or in an `EnvoyProxy`.
fn assert_from_a_secret(container: &Value, variable: &str) {
    let from_secret = json!([{ "name": variable,
        "valueFrom": { "secretKeyRef": { "name": "okta-introspection", "key": "client-secret" } } }]);
    assert_eq!(container["env"], from_secret);
}

#[test]
fn introspection_reads_the_variable_that_the_proxy_gets_from_a_secret() {
    let overlay = object("istio/introspection.yaml", "ConfigMap");
    let deployment: Value = yaml_serde::from_str(overlay["data"]["deployment"].as_str().unwrap()).unwrap();
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["name"], "istio-proxy", "Istio's container, which the patch is merged into");
    let extension = object("istio/introspection.yaml", "TrafficExtension");
    let variable = extension["spec"]["wasm"]["vmConfig"]["env"][0]["name"].as_str().unwrap();
    assert_from_a_secret(container, variable);
    let (name, said) = (overlay["metadata"]["name"].as_str().unwrap(), text("istio/introspection.yaml"));
    assert!(said.contains(&format!(r#"{{"group": "", "kind": "ConfigMap", "name": "{name}"}}"#)), "{said}");

    let [patch] = objects("envoy-gateway/introspection-secret.patch.yaml").try_into().unwrap();
    let container = &patch["spec"]["provider"]["kubernetes"]["envoyDeployment"]["container"];
    let policy = object("envoy-gateway/introspection.yaml", "EnvoyExtensionPolicy");
    let hosted = &policy["spec"]["wasm"][0];
    let variable = hosted["env"]["hostKeys"][0].as_str().unwrap();
    assert_from_a_secret(container, variable);
    assert_eq!(upstream_of(&hosted["config"], &[variable]), "okta");
    // The patched object is valid, too.
    let mut proxy = object("envoy-gateway/proxy.yaml", "EnvoyProxy");
    assert!(proxy["spec"]["provider"].is_null(), "the patch would replace it");
    proxy["spec"]["provider"] = patch["spec"]["provider"].clone();
    assert_eq!(faults_by_schema(&[proxy.clone()]), "");
    proxy["spec"]["provider"]["kubernetes"]["envoyDeployment"]["container"]["env"] = json!("OKTA_CLIENT_SECRET");
    assert!(faults_by_schema(&[proxy]).contains("EnvoyProxy: "));
}

#[test]
fn envoy_gateway_manifests_load_fail_closed_and_envoy_accepts_their_cluster() {
    let policy = &object("envoy-gateway/extension-policy.yaml", "EnvoyExtensionPolicy")["spec"];
    let traffic = &object("envoy-gateway/proxy.yaml", "ClientTrafficPolicy")["spec"];
    let proxy = &object("envoy-gateway/proxy.yaml", "EnvoyProxy")["spec"];
    let wasm = &policy["wasm"][0];
    assert_eq!(wasm["failOpen"], false);
    assert_eq!(policy["targetRefs"][0]["kind"], "Gateway", "routes that are added later would be open");
    assert_eq!(policy["targetRefs"], traffic["targetRefs"]);
    assert_eq!(traffic["path"], json!({ "escapedSlashesAction": "RejectRequest", "disableMergeSlashes": false }));
    let action = traffic["headers"]["withUnderscoresAction"].as_str().unwrap();
    assert!(["DropHeader", "RejectRequest"].contains(&action), "Allow forwards x_user_id: {action}");
    assert_eq!(traffic["headers"]["host"], json!({ "stripTrailingHostDot": true }));
    let image = &wasm["code"]["image"];
    assert!(!image["url"].as_str().unwrap().contains("://"), "Envoy Gateway wants an image's name, not a URL");
    assert_pinned(&image["url"], &image["sha256"]);

    assert!(wasm["env"].is_null(), "variables come with introspection.yaml");
    let bootstrap = proxy["bootstrap"]["value"].as_str().unwrap();
    let clusters: Value = yaml_serde::from_str(bootstrap).unwrap();
    assert_eq!(clusters["static_resources"]["clusters"][0]["name"], upstream_of(&wasm["config"], &[]));
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("envoy.yaml");
    fs::write(&file, bootstrap).unwrap();
    testbed::envoy::validate(&file).unwrap();
    // The cluster of an example that asks Okta about tokens too.
    let copied: Value =
        yaml_serde::from_str(&fs::read_to_string(project_root().join("examples/revocation/envoy.yaml")).unwrap())
            .unwrap();
    assert_eq!(clusters["static_resources"]["clusters"][0], copied["static_resources"]["clusters"][0]);
}

/// What the schemas find wrong, a line each.
fn faults_by_schema(objects: &[Value]) -> String {
    let crds = project_root().join("tests/crds");
    assert!(crds.join("node_modules/.installed").is_file(), "the schemas are not installed: run `make setup`");
    let mut node = Command::new("node")
        .arg(crds.join("validate.mjs"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    node.stdin.take().unwrap().write_all(&serde_json::to_vec(objects).unwrap()).unwrap();
    let outcome = node.wait_with_output().unwrap();
    assert!(outcome.status.success());
    String::from_utf8(outcome.stdout).unwrap()
}

/// The schema on npm is older than `mergeType`, so the documented value is checked here.
#[test]
fn documented_policy_on_a_route_is_merged_and_has_no_filter_of_its_own() {
    let page = fs::read_to_string(project_root().join("docs/envoy-gateway.md")).unwrap();
    let blocks = pages::blocks(&page).into_iter().filter(|block| block.language == "yaml");
    let [policy] = blocks.flat_map(|block| objects_in(&block.text)).collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(
        (&policy["kind"], &policy["spec"]["mergeType"]),
        (&json!("EnvoyExtensionPolicy"), &json!("StrategicMerge"))
    );
    assert!(policy["spec"]["wasm"].is_null(), "a list replaces the Gateway's");
    let route = object("envoy-gateway/gateway.yaml", "HTTPRoute");
    assert_eq!(
        policy["spec"]["targetRefs"],
        json!([{ "group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": route["metadata"]["name"] }])
    );
}

/// Changes a member of the first object of a kind, and expects that its schema rejects it.
fn assert_rejected(all: &[Value], kind: &str, pointer: &str, wrong: Value) {
    let mut object = all.iter().find(|object| object["kind"] == kind).unwrap_or_else(|| panic!("no {kind}")).clone();
    *object.pointer_mut(pointer).unwrap_or_else(|| panic!("{kind} has no {pointer}")) = wrong;
    let faults = faults_by_schema(&[object]);
    assert!(faults.starts_with(&format!("{kind}: ")), "{kind} {pointer}: {faults:?}");
}

/// All objects of a folder but those that no schema here is for: a `ConfigMap` and a patch.
fn objects_with_schema(folder: &str) -> Vec<Value> {
    let mut files: Vec<String> = tested_files().filter(|file| file.starts_with(folder)).collect();
    files.retain(|file| !file.ends_with(".patch.yaml"));
    files.iter().flat_map(|file| objects(file)).filter(|object| object["kind"] != "ConfigMap").collect()
}

#[test]
fn istio_schemas_accept_the_manifests_and_reject_wrong_ones() {
    let all = objects_with_schema("istio/");
    assert_eq!(faults_by_schema(&all), "");
    for (kind, pointer, wrong) in [
        ("Gateway", "/spec/listeners/0/port", json!("https")),
        ("HTTPRoute", "/spec/rules/0/backendRefs/0/port", json!("http")),
        ("ServiceEntry", "/spec/ports/0/number", json!("https")),
        ("DestinationRule", "/spec/trafficPolicy/tls/mode", json!("SAFE")),
        ("WasmPlugin", "/spec/targetRefs/0/kind", Value::Null),
        ("TrafficExtension", "/spec/targetRefs/0/kind", Value::Null),
        ("TrafficExtension", "/spec/wasm/failStrategy", json!("FAIL")),
        ("TrafficExtension", "/spec/wasm", json!({ "url": "oci://a/b", "phase": "AUTHN" })),
        ("EnvoyFilter", "/spec/configPatches/0/applyTo", json!("BOOT")),
        ("EnvoyFilter", "/spec/configPatches/0/match/context", json!("EDGE")),
    ] {
        assert_rejected(&all, kind, pointer, wrong);
    }
}

#[test]
fn envoy_gateway_schemas_accept_the_manifests_and_reject_wrong_ones() {
    let mut all = objects_with_schema("envoy-gateway/");
    for file in ["docs/deploying.md", "docs/envoy-gateway.md"] {
        let page = fs::read_to_string(project_root().join(file)).unwrap();
        let blocks =
            pages::blocks(&page).into_iter().filter(|block| block.text.contains("apiVersion: gateway.envoyproxy"));
        all.extend(blocks.flat_map(|block| objects_in(&block.text)));
    }
    assert_eq!(faults_by_schema(&all), "");
    for (kind, pointer, wrong) in [
        ("GatewayClass", "/spec/controllerName", Value::Null),
        ("Gateway", "/spec/infrastructure/parametersRef/kind", Value::Null),
        ("HTTPRoute", "/spec/parentRefs/0/name", json!(7)),
        ("EnvoyExtensionPolicy", "/spec/wasm/0/failOpen", json!("no")),
        ("EnvoyProxy", "/spec/bootstrap/type", json!("Mix")),
        ("ClientTrafficPolicy", "/spec/path/escapedSlashesAction", json!("Refuse")),
        ("BackendTrafficPolicy", "/spec/rateLimit/global/rules/0/limit/unit", json!("Minutes")),
    ] {
        assert_rejected(&all, kind, pointer, wrong);
    }
}

/// A real Prometheus reads what these make of the metrics: `tests/e2e/monitoring.rs`, with those of `envoy/envoy.yaml`.
#[test]
fn every_documented_bootstrap_extracts_the_same_labels() {
    let bootstrap = |file: &str| -> Value {
        yaml_serde::from_str(&fs::read_to_string(project_root().join("envoy").join(file)).unwrap()).unwrap()
    };
    let labels = bootstrap("envoy.yaml")["stats_config"].take();
    assert!(labels["stats_tags"].as_array().unwrap().len() > 5, "{labels}");
    assert_eq!(bootstrap("dynamic/envoy.yaml")["stats_config"], labels);
    let proxy = object("envoy-gateway/proxy.yaml", "EnvoyProxy");
    let merged: Value = yaml_serde::from_str(proxy["spec"]["bootstrap"]["value"].as_str().unwrap()).unwrap();
    assert_eq!(merged["stats_config"], labels);
    let patch = &object("istio/metrics.yaml", "EnvoyFilter")["spec"]["configPatches"][0];
    assert_eq!(patch["patch"]["value"]["stats_config"], labels);
}

#[test]
fn istio_migration_guide_begins_and_ends_with_manifests_valid_by_istio_schemas() {
    let guide = fs::read_to_string(project_root().join("docs/guides/from-istio.md")).unwrap();
    let blocks = pages::blocks(&guide).into_iter().filter(|block| block.language.starts_with("yaml"));
    let all: Vec<Value> = blocks.flat_map(|block| objects_in(&block.text)).collect();
    let kinds: Vec<&Value> = all.iter().map(|object| &object["kind"]).collect();
    let expected =
        ["RequestAuthentication", "AuthorizationPolicy", "AuthorizationPolicy", "WasmPlugin", "TrafficExtension"];
    assert_eq!(kinds, expected);
    assert_eq!(faults_by_schema(&all), "");
    let plugin = &all[3]["spec"];
    assert_pinned(&plugin["url"], &plugin["sha256"]);
    assert_eq!(upstream_of(&plugin["pluginConfig"], &[]), "outbound|443||acme.okta.com");
    let extension = &all[4]["spec"];
    for name in ["selector", "phase"] {
        assert_eq!(extension[name], plugin[name], "{name}");
    }
    for (name, value) in extension["wasm"].as_object().unwrap() {
        assert_eq!(*value, plugin[name], "{name}");
    }
    let members = |value: &Value| value.as_object().unwrap().len();
    // All but the configuration, and the two that stay outside.
    assert_eq!(members(&extension["wasm"]) + 3, members(plugin));
}

fn text(file: &str) -> String {
    fs::read_to_string(project_root().join("deploy").join(file)).unwrap()
}

/// The one configuration that `nginx.conf` hands to the filter, between quotes.
fn in_nginx() -> String {
    let conf = text("nginx/nginx.conf");
    let parts: Vec<&str> = conf.split("proxy_wasm okta '").collect();
    let [_, rest] = parts.as_slice() else { panic!("{} configurations", parts.len() - 1) };
    rest.split_once("';").unwrap().0.to_owned()
}

/// The lines of a configuration file without its comments, each without the space around it.
fn settings(conf: &str) -> Vec<&str> {
    conf.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

/// What is said about the host before anything else.
fn assert_states_what_is_missing(conf: &str) {
    let head: Vec<&str> = conf.lines().take_while(|line| line.starts_with('#')).collect();
    let head = head.join(" ");
    assert!(conf.starts_with("# NOT RUN. DO NOT USE IT until a release says"), "the first line is another: {conf}");
    for said in [
        "NOT RUN by us",
        "hands over no identity",
        "wait for keys",
        "No introspection",
        "No filter state",
        "Kong and nginx",
    ] {
        assert!(head.contains(said), "{said:?} is not in: {head}");
    }
}

/// Every member's name in a document.
fn names(document: &Value, found: &mut BTreeSet<String>) {
    match document {
        Value::Object(members) => members.iter().for_each(|(name, member)| {
            found.insert(name.clone());
            names(member, found);
        }),
        Value::Array(items) => items.iter().for_each(|item| names(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// It loads, its keys are in it, and it makes no callout.
fn assert_for_kong(plugin: &Value) {
    let loaded = config::load(&serde_json::to_vec(plugin).unwrap(), &|_| None);
    if let Err(faults) = loaded {
        panic!("{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    }
    let mut found = BTreeSet::new();
    names(plugin, &mut found);
    // A call, Envoy's filter state, or a header that stands for an identity.
    for impossible in [
        "upstream",
        "uri",
        "introspection",
        "introspect",
        "revocations",
        "filter_state",
        "clear_route_cache",
        "forward_payload_header",
        "env",
    ] {
        assert!(!found.contains(impossible), "{impossible} is not for this host");
    }
    for provider in plugin["providers"].as_object().unwrap().values() {
        assert!(!provider["jwks"]["inline"]["keys"].as_array().unwrap().is_empty());
    }
    assert_eq!(plugin["claim_to_headers"], json!([]), "left out, headers are written that clients can forge");
    assert_eq!(plugin["token"]["forward"], true, "the backend has to judge it again");
    assert_eq!(plugin["native_crypto"], "off");
}

/// `cli/tests/cli/nginx.rs` has `check` find nothing in it.
#[test]
fn nginx_configuration_loads_verifies_its_upstream_and_states_first_what_was_run() {
    let conf = text("nginx/nginx.conf");
    let plugin = serde_json::from_str(&in_nginx()).unwrap();
    assert_eq!(upstream_of(&plugin, &[]), "acme.okta.com:443");
    let first = conf.lines().next().unwrap();
    assert!(first.starts_with("# EXPERIMENTAL: run by hand in nginx 1.27.4 and 1.22.1"), "the first line is another");
    assert!(first.contains("Kong and nginx"), "{first}");
    let settings = settings(&conf);
    for secure in [
        "tls_trusted_certificate /etc/ssl/certs/ca-certificates.crt;",
        "tls_verify_cert on;",
        "tls_verify_host on;",
        "listen 127.0.0.1:8080;",
        "proxy_pass http://127.0.0.1:9000/;",
    ] {
        assert!(settings.contains(&secure), "{secure}");
    }
}

#[test]
fn kong_configuration_matches_its_schema_and_needs_no_missing_host_function() {
    let kong = objects("kong/kong.yaml").remove(0);
    assert_eq!(kong["_format_version"], "3.0");
    let [service] = kong["services"].as_array().unwrap().as_slice() else { panic!("{kong}") };
    let [chain] = service["filter_chains"].as_array().unwrap().as_slice() else { panic!("{service}") };
    let [filter] = chain["filters"].as_array().unwrap().as_slice() else { panic!("{chain}") };
    // The name of the files in the bundle.
    assert_eq!(filter["name"], "okta_proxy_wasm");
    let plugin = &filter["config"];
    assert_for_kong(plugin);
    if let Err(fault) = jsonschema::validate(&reference::json_schema_draft_04(), plugin) {
        panic!("{fault} at {}", fault.instance_path());
    }
    // What Kong's Lua makes of an empty list.
    let rewritten = plugin.to_string().replace("\"claim_to_headers\":[]", "\"claim_to_headers\":{}");
    assert_ne!(rewritten, plugin.to_string());
    assert!(config::load(rewritten.as_bytes(), &|_| None).is_ok());
    assert_states_what_is_missing(&text("kong/kong.yaml"));

    let conf = text("kong/kong.conf");
    assert!(conf.starts_with("# NOT RUN. DO NOT USE IT until a release says"));
    let settings = settings(&conf);
    for needed in [
        "wasm = on",
        "wasm_filters_path = /etc/kong/wasm",
        "database = off",
        "declarative_config = /etc/kong/kong.yaml",
        "nginx_wasm_tls_verify_cert = on",
        "nginx_wasm_tls_verify_host = on",
        "nginx_http_proxy_wasm_isolation = none",
    ] {
        assert!(settings.contains(&needed), "{needed}");
    }
}

/// The files of `deploy/`, each of which a test reads.
const TESTED: [&str; 18] = [
    "envoy-gateway/extension-policy.yaml",
    "envoy-gateway/gateway.yaml",
    "envoy-gateway/introspection-secret.patch.yaml",
    "envoy-gateway/introspection.yaml",
    "envoy-gateway/proxy.yaml",
    "istio/canary.yaml",
    "istio/gateway.yaml",
    "istio/identity-provider.yaml",
    "istio/introspection.yaml",
    "istio/listener.yaml",
    "istio/metrics.yaml",
    "istio/sidecar.yaml",
    "istio/traffic-extension.yaml",
    "istio/wasm-plugin.yaml",
    "istio/waypoint.yaml",
    "kong/kong.conf",
    "kong/kong.yaml",
    "nginx/nginx.conf",
];

fn tested_files() -> impl Iterator<Item = String> {
    TESTED.into_iter().map(str::to_owned)
}

/// Whoever adds a file gets a test for it.
#[test]
fn every_manifest_is_tested() {
    let deploy = project_root().join("deploy");
    let mut found = BTreeSet::new();
    for folder in fs::read_dir(&deploy).unwrap().map(|entry| entry.unwrap().path()) {
        for file in fs::read_dir(folder).unwrap() {
            found.insert(file.unwrap().path().strip_prefix(&deploy).unwrap().display().to_string());
        }
    }
    assert_eq!(found, tested_files().collect());
}
