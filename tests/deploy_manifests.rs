//! The Kubernetes manifests under `deploy/`, which operators copy: each holds a configuration that loads, names a cluster
//! that the same folder makes, fails closed and pins what it runs. Istio's are held against its published schemas; of Envoy
//! Gateway's no registry has any. Neither runs here.

#![allow(missing_docs, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]
#![allow(clippy::unwrap_used, reason = "a test")]

mod pages;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use okta_proxy_wasm::config;
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

#[test]
fn the_manifests_of_istio_load_fail_closed_and_reach_okta_over_validated_tls() {
    let wasm_plugin = &object("istio/wasm-plugin.yaml", "WasmPlugin")["spec"];
    let traffic_extension = &object("istio/traffic-extension.yaml", "TrafficExtension")["spec"];
    let entry = &object("istio/identity-provider.yaml", "ServiceEntry")["spec"];
    let rule = &object("istio/identity-provider.yaml", "DestinationRule")["spec"];
    let host = entry["hosts"][0].as_str().unwrap();
    for (phase, plugin) in
        [(&wasm_plugin["phase"], wasm_plugin), (&traffic_extension["phase"], &traffic_extension["wasm"])]
    {
        assert_eq!(phase, "AUTHN");
        assert_eq!(plugin["failStrategy"], "FAIL_RELOAD");
        assert!(plugin["url"].as_str().unwrap().starts_with("oci://"));
        assert_pinned(&plugin["url"], &plugin["sha256"]);
        let variables = plugin["vmConfig"]["env"].as_array().unwrap();
        assert!(variables.iter().all(|variable| variable["valueFrom"] == "HOST"), "a secret is written down");
        let names: Vec<&str> = variables.iter().map(|variable| variable["name"].as_str().unwrap()).collect();
        let cluster = format!("outbound|{}||{host}", entry["ports"][0]["number"]);
        assert_eq!(upstream_of(&plugin["pluginConfig"], &names), cluster);
    }
    assert_eq!(wasm_plugin["pluginConfig"], traffic_extension["wasm"]["pluginConfig"], "they say they are the same");
    assert_eq!(rule["host"], host);
    assert_eq!(
        rule["trafficPolicy"]["tls"],
        json!({ "mode": "SIMPLE", "sni": host, "subjectAltNames": [host],
                "caCertificates": "/etc/ssl/certs/ca-certificates.crt" })
    );
    assert_eq!((&entry["exportTo"], &rule["exportTo"]), (&json!(["."]), &json!(["."])));
}

#[test]
fn the_manifests_of_envoy_gateway_load_fail_closed_and_their_cluster_is_one_that_envoy_accepts() {
    let policy = &object("envoy-gateway/extension-policy.yaml", "EnvoyExtensionPolicy")["spec"];
    let traffic = &object("envoy-gateway/proxy.yaml", "ClientTrafficPolicy")["spec"];
    let proxy = &object("envoy-gateway/proxy.yaml", "EnvoyProxy")["spec"];
    let wasm = &policy["wasm"][0];
    assert_eq!(wasm["failOpen"], false);
    assert_eq!(policy["targetRefs"][0]["kind"], "Gateway", "routes that are added later would be open");
    assert_eq!(policy["targetRefs"], traffic["targetRefs"]);
    assert_eq!(traffic["path"], json!({ "escapedSlashesAction": "RejectRequest", "disableMergeSlashes": false }));
    assert_eq!(traffic["headers"], json!({ "withUnderscoresAction": "DropHeader" }));
    let image = &wasm["code"]["image"];
    assert!(!image["url"].as_str().unwrap().contains("://"), "Envoy Gateway wants an image's name, not a URL");
    assert_pinned(&image["url"], &image["sha256"]);

    let container = &proxy["provider"]["kubernetes"]["envoyDeployment"]["container"];
    let set: Vec<&str> = container["env"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(wasm["env"]["hostKeys"], json!(set), "what the filter may see is what the Deployment sets");
    let bootstrap = proxy["bootstrap"]["value"].as_str().unwrap();
    let clusters: Value = yaml_serde::from_str(bootstrap).unwrap();
    assert_eq!(clusters["static_resources"]["clusters"][0]["name"], upstream_of(&wasm["config"], &set));
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

/// What Istio's schemas find wrong, a line each.
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

#[test]
fn istio_s_schemas_find_nothing_wrong_and_do_find_what_is_wrong() {
    let mut all = objects("istio/identity-provider.yaml");
    all.extend(objects("istio/wasm-plugin.yaml"));
    assert_eq!(faults_by_schema(&all), "");
    all[0]["spec"]["ports"][0]["number"] = json!("https");
    all[1]["spec"]["trafficPolicy"]["tls"]["mode"] = json!("SAFE");
    all[2]["spec"]["failStrategy"] = json!("RELOAD");
    let faults = faults_by_schema(&all);
    for kind in ["ServiceEntry", "DestinationRule", "WasmPlugin"] {
        assert!(faults.contains(&format!("{kind}: ")), "{faults}");
    }
}

#[test]
fn the_guide_from_istio_begins_and_ends_with_what_istio_s_schemas_take() {
    let guide = fs::read_to_string(project_root().join("docs/guides/from-istio.md")).unwrap();
    let blocks = pages::blocks(&guide).into_iter().filter(|block| block.language.starts_with("yaml"));
    let all: Vec<Value> = blocks.flat_map(|block| objects_in(&block.text)).collect();
    let kinds: Vec<&Value> = all.iter().map(|object| &object["kind"]).collect();
    assert_eq!(kinds, ["RequestAuthentication", "AuthorizationPolicy", "AuthorizationPolicy", "WasmPlugin"]);
    assert_eq!(faults_by_schema(&all), "");
    let plugin = &all[3]["spec"];
    assert_pinned(&plugin["url"], &plugin["sha256"]);
    assert_eq!(upstream_of(&plugin["pluginConfig"], &[]), "outbound|443||acme.okta.com");
}

/// Whoever adds a file gets a test for it.
#[test]
fn no_manifest_is_left_out() {
    let deploy = project_root().join("deploy");
    let mut found = BTreeSet::new();
    for folder in fs::read_dir(&deploy).unwrap().map(|entry| entry.unwrap().path()) {
        for file in fs::read_dir(folder).unwrap() {
            found.insert(file.unwrap().path().strip_prefix(&deploy).unwrap().display().to_string());
        }
    }
    let tested = [
        "envoy-gateway/extension-policy.yaml",
        "envoy-gateway/proxy.yaml",
        "istio/identity-provider.yaml",
        "istio/traffic-extension.yaml",
        "istio/wasm-plugin.yaml",
    ];
    assert_eq!(found, tested.into_iter().map(str::to_owned).collect());
}
