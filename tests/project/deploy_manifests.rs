//! The manifests and configurations under `deploy/`, which operators copy. Those for Kubernetes: each holds a configuration
//! that loads, names a cluster that the same folder makes, fails closed and pins what it runs. They are validated by the
//! published schemas of Istio, which has none yet of `TrafficExtension`, and of Envoy Gateway. Those for nginx and Kong: each
//! loads and states first that it is not to be used. None of these hosts runs here.

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

#[test]
fn istio_manifests_load_fail_closed_and_reach_okta_over_validated_tls() {
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

#[test]
fn istio_schemas_accept_the_manifests_and_reject_wrong_ones() {
    let mut all = objects("istio/identity-provider.yaml");
    all.extend(objects("istio/wasm-plugin.yaml"));
    all.extend(objects("istio/metrics.yaml"));
    all.extend(objects("istio/listener.yaml"));
    assert_eq!(faults_by_schema(&all), "");
    all[0]["spec"]["ports"][0]["number"] = json!("https");
    all[1]["spec"]["trafficPolicy"]["tls"]["mode"] = json!("SAFE");
    all[2]["spec"]["targetRefs"][0]["kind"] = Value::Null;
    all[3]["spec"]["configPatches"][0]["applyTo"] = json!("BOOT");
    all[4]["spec"]["configPatches"][0]["match"]["context"] = json!("EDGE");
    let faults = faults_by_schema(&all);
    for kind in ["ServiceEntry", "DestinationRule", "WasmPlugin", "EnvoyFilter"] {
        assert!(faults.contains(&format!("{kind}: ")), "{faults}");
    }
}

#[test]
fn envoy_gateway_schemas_accept_the_manifests_and_reject_wrong_ones() {
    let mut all = objects("envoy-gateway/extension-policy.yaml");
    all.extend(objects("envoy-gateway/proxy.yaml"));
    let page = fs::read_to_string(project_root().join("docs/deploying.md")).unwrap();
    let blocks = pages::blocks(&page).into_iter().filter(|block| block.text.contains("kind: BackendTrafficPolicy"));
    all.extend(blocks.flat_map(|block| objects_in(&block.text)));
    let kinds: Vec<&str> = all.iter().map(|object| object["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["EnvoyExtensionPolicy", "EnvoyProxy", "ClientTrafficPolicy", "BackendTrafficPolicy"]);
    assert_eq!(faults_by_schema(&all), "");
    all[0]["spec"]["wasm"][0]["failOpen"] = json!("no");
    all[1]["spec"]["bootstrap"]["type"] = json!("Mix");
    all[2]["spec"]["path"]["escapedSlashesAction"] = json!("Refuse");
    all[3]["spec"]["rateLimit"]["global"]["rules"][0]["limit"]["unit"] = json!("Minutes");
    let faults = faults_by_schema(&all);
    for kind in ["EnvoyExtensionPolicy", "EnvoyProxy", "ClientTrafficPolicy", "BackendTrafficPolicy"] {
        assert!(faults.contains(&format!("{kind}: ")), "{kind}: {faults}");
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
    // The schemas are older than the last.
    assert_eq!(faults_by_schema(&all[..4]), "");
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
    assert!(
        conf.starts_with("# DOES NOT WORK. DO NOT USE IT until a release says"),
        "the first line is another: {conf}"
    );
    for said in [
        "opens the gateway or takes it down",
        "every request with a token hangs",
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
fn nginx_configuration_loads_verifies_its_upstream_and_states_first_that_it_was_not_run() {
    let conf = text("nginx/nginx.conf");
    let plugin = serde_json::from_str(&in_nginx()).unwrap();
    assert_eq!(upstream_of(&plugin, &[]), "acme.okta.com:443");
    let first = conf.lines().next().unwrap();
    assert!(first.starts_with("# DO NOT USE IT until a release says that nginx runs it"), "the first line is another");
    assert!(first.contains("not yet run in a real nginx") && first.contains("Kong and nginx"), "{first}");
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
    assert!(conf.starts_with("# DOES NOT WORK. DO NOT USE IT until a release says"));
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
    let tested = [
        "envoy-gateway/extension-policy.yaml",
        "envoy-gateway/proxy.yaml",
        "istio/identity-provider.yaml",
        "istio/listener.yaml",
        "istio/metrics.yaml",
        "istio/traffic-extension.yaml",
        "istio/wasm-plugin.yaml",
        "kong/kong.conf",
        "kong/kong.yaml",
        "nginx/nginx.conf",
    ];
    assert_eq!(found, tested.into_iter().map(str::to_owned).collect());
}
