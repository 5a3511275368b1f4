//! `check` of the clusters by which the filter calls an issuer, in Envoy, Istio and Envoy Gateway: each fault with its code and
//! line, and settings without one.

use std::fs;

use serde_json::{Value, json};

use crate::envoy_settings::{MANAGER, PLACE, bootstrap, diagnostics, plugin, put};
use crate::tool::{root, run, run_with_input};

const CLUSTER: &str = "/static_resources/clusters/0";
const AT: &str = "$.static_resources.clusters[0]";
const TLS: &str = "/static_resources/clusters/0/transport_socket/typed_config";
const VALIDATION: &str =
    "/static_resources/clusters/0/transport_socket/typed_config/common_tls_context/validation_context";

/// The bootstrap with other settings at a place.
fn with(pointer: &str, value: Value) -> Value {
    let mut changed = bootstrap(&plugin());
    put(&mut changed, pointer, value);
    changed
}

fn endpoints(addresses: &[Value]) -> Value {
    let all: Vec<Value> = addresses.iter().map(|address| json!({ "endpoint": { "address": address } })).collect();
    json!({ "endpoints": [{ "lb_endpoints": all }] })
}

fn socket(address: &str) -> Value {
    json!({ "socket_address": { "address": address, "port_value": 443 } })
}

fn codes(document: &Value, kind: &str) -> Vec<(String, String)> {
    let path = |text: String| text.split(": ").next().unwrap_or_default().to_owned();
    diagnostics(document, kind).into_iter().map(|(code, text)| (code, path(text))).collect()
}

fn typed(kind: &str, mut members: Value) -> Value {
    members["@type"] = json!(format!("type.googleapis.com/envoy.extensions.transport_sockets.{kind}"));
    json!({ "name": "x", "typed_config": members })
}

#[test]
fn cluster_that_does_not_verify_the_issuer_is_a_fault() {
    let names = "common_tls_context.validation_context.match_typed_subject_alt_names";
    let validation = "common_tls_context.validation_context";
    let sds = json!({ "name": "ca", "sds_config": {} });
    let plain = json!({ "transport_socket": null });
    let dns = |kind: &str, text: &str| json!({ "match_typed_subject_alt_names": [{ "san_type": "DNS", "matcher": { kind: text } }] });
    let options = json!({ "typed_extension_protocol_options": { "x": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "upstream_http_protocol_options": { "auto_sni": true } } } });
    let below = |path: &str| format!("{AT}.transport_socket.typed_config.{path}");
    for (pointer, value, code, path) in [
        (CLUSTER, plain.clone(), "cluster_without_tls", AT.to_owned()),
        (
            CLUSTER,
            json!({ "transport_socket": typed("raw_buffer.v3.RawBuffer", json!({})) }),
            "cluster_without_tls",
            AT.to_owned(),
        ),
        (
            CLUSTER,
            json!({ "transport_socket": null, "load_assignment": endpoints(&[socket("127.0.0.1"), socket("10.0.0.1")]) }),
            "cluster_without_tls",
            AT.to_owned(),
        ),
        (
            CLUSTER,
            json!({ "transport_socket": null, "transport_socket_matches": [{ "name": "a", "match": {} }] }),
            "cluster_without_tls",
            AT.to_owned(),
        ),
        (TLS, json!({ "common_tls_context": null }), "tls_without_validation", below(validation)),
        (VALIDATION, json!({ "trusted_ca": null }), "tls_without_validation", below(validation)),
        (
            VALIDATION,
            json!({ "trust_chain_verification": "ACCEPT_UNTRUSTED" }),
            "tls_without_validation",
            below(validation),
        ),
        (VALIDATION, json!({ "trust_chain_verification": 1 }), "tls_without_validation", below(validation)),
        (TLS, json!({ "sni": null }), "tls_sni", below("sni")),
        (TLS, json!({ "sni": "other.okta.com" }), "tls_sni", below("sni")),
        (VALIDATION, json!({ "match_typed_subject_alt_names": null }), "tls_subject_alt_names", below(names)),
        (VALIDATION, json!({ "match_typed_subject_alt_names": [] }), "tls_subject_alt_names", below(names)),
        (VALIDATION, dns("exact", "okta.com"), "tls_subject_alt_names", below(names)),
        (VALIDATION, dns("suffix", ".example.com"), "tls_subject_alt_names", below(names)),
        (VALIDATION, dns("prefix", "id."), "tls_subject_alt_names", below(names)),
        // `auto_sni` alone compares no name.
        (
            CLUSTER,
            {
                let mut both = options;
                both["transport_socket"] = typed(
                    "tls.v3.UpstreamTlsContext",
                    json!({
            "common_tls_context": { "validation_context": { "trusted_ca": { "filename": "/ca" } } } }),
                );
                both
            },
            "tls_subject_alt_names",
            below(names),
        ),
        // In one of several sockets.
        (
            CLUSTER,
            json!({ "transport_socket_matches": [{ "name": "a", "match": {}, "transport_socket":
            typed("tls.v3.UpstreamTlsContext", json!({ "sni": "acme.okta.com", "common_tls_context": {} })) }] }),
            "tls_without_validation",
            format!("{AT}.transport_socket_matches[0].transport_socket.typed_config.{validation}"),
        ),
        // Around TLS.
        (
            CLUSTER,
            json!({ "transport_socket": typed("proxy_protocol.v3.ProxyProtocolUpstreamTransport", json!({ "transport_socket":
            typed("tls.v3.UpstreamTlsContext", json!({ "sni": "acme.okta.com" })) })) }),
            "tls_without_validation",
            format!("{AT}.transport_socket.typed_config.transport_socket.typed_config.{validation}"),
        ),
        // The names that are not dynamic.
        (
            TLS,
            json!({ "common_tls_context": { "combined_validation_context": {
            "default_validation_context": { "trusted_ca": { "filename": "/ca" } } } } }),
            "tls_subject_alt_names",
            below(
                "common_tls_context.combined_validation_context.default_validation_context.match_typed_subject_alt_names",
            ),
        ),
    ] {
        let document = with(pointer, value.clone());
        assert_eq!(codes(&document, "faults"), [(code.to_owned(), path)], "{pointer} {value}");
        assert_eq!(codes(&document, "warnings"), [], "{pointer} {value}");
    }
    let only_sds =
        json!({ "common_tls_context": { "validation_context": null, "validation_context_sds_secret_config": sds } });
    let combined = json!({ "common_tls_context": { "validation_context": null, "combined_validation_context": {
        "default_validation_context": { "match_typed_subject_alt_names": [] }, "validation_context_sds_secret_config": sds } } });
    let camel = json!({ "transport_socket": null, "transportSocket": { "name": "x", "typedConfig": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", "sni": "ACME.okta.com",
        "commonTlsContext": { "validationContext": { "systemRootCerts": {},
            "matchTypedSubjectAltNames": [{ "sanType": "DNS", "matcher": { "suffix": ".okta.com" } }] } } } } });
    let automatic = json!({ "transport_socket": typed("tls.v3.UpstreamTlsContext", json!({ "common_tls_context": {
        "validation_context": { "trusted_ca": { "filename": "/ca" } } } })), "typed_extension_protocol_options": { "x": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "upstream_http_protocol_options": { "auto_sni": true, "auto_san_validation": true } } } });
    for (pointer, value) in [
        (TLS, only_sds),
        (TLS, combined),
        (CLUSTER, camel),
        (CLUSTER, automatic),
        (
            CLUSTER,
            json!({ "transport_socket": null, "load_assignment": endpoints(&[socket("127.0.0.1"), socket("::1")]) }),
        ),
        (
            CLUSTER,
            json!({ "transport_socket": null, "load_assignment": endpoints(&[json!({ "pipe": { "path": "/s" } }), socket("localhost")]) }),
        ),
        (
            CLUSTER,
            json!({ "transport_socket": null, "load_assignment": endpoints(&[json!({ "envoyInternalAddress": {} })]) }),
        ),
        (CLUSTER, json!({ "transport_socket": null, "cluster_type": { "name": "envoy.clusters.aggregate" } })),
        (CLUSTER, json!({ "transport_socket": typed("alts.v3.Alts", json!({})) })),
        (VALIDATION, dns("exact", "*.okta.com")),
        (
            VALIDATION,
            json!({ "match_typed_subject_alt_names": [{ "san_type": "URI", "matcher": { "prefix": "spiffe://" } }] }),
        ),
        (
            VALIDATION,
            json!({ "match_typed_subject_alt_names": [{ "san_type": "DNS", "matcher": { "safe_regex": { "regex": "x" } } }] }),
        ),
        (
            VALIDATION,
            json!({ "match_typed_subject_alt_names": null, "match_subject_alt_names": [{ "exact": "acme.okta.com" }] }),
        ),
        (
            VALIDATION,
            json!({ "trusted_ca": null, "match_typed_subject_alt_names": null, "verify_certificate_spki": ["x"] }),
        ),
        (TLS, json!({ "sni": null, "auto_host_sni": "true" })),
        (VALIDATION, json!({ "match_typed_subject_alt_names": [{ "san_type": 3, "matcher": { "exact": "x" } }] })),
    ] {
        let document = with(pointer, value.clone());
        assert_eq!((codes(&document, "faults"), codes(&document, "warnings")), (vec![], vec![]), "{pointer} {value}");
    }
}

#[test]
fn http_issuer_and_inline_keys_need_no_tls() {
    let plain = json!({ "transport_socket": null });
    let provider = |more: Value| {
        let mut provider =
            json!({ "issuer": "http://idp.acme.com", "audiences": ["a"], "algorithms": ["RS256"], "upstream": "okta" });
        put(&mut provider, "", more);
        let mut document = bootstrap(&json!({ "providers": { "acme": provider } }));
        put(&mut document, CLUSTER, plain.clone());
        codes(&document, "faults")
    };
    let https = json!({ "issuer": "https://idp.acme.com" });
    assert_eq!(provider(https)[0].0, "cluster_without_tls");
    assert_eq!(provider(json!({ "insecure_http": true })), []);
}

#[test]
fn every_url_of_the_configuration_is_compared_with_its_cluster() {
    let mut configuration = plugin();
    let other = "https://sec.acme.com/revoked.json";
    configuration["revocations"] = json!({ "uri": other, "upstream": "okta" });
    let found = codes(&bootstrap(&configuration), "faults");
    let at = format!("{AT}.transport_socket.typed_config");
    let names = format!("{at}.common_tls_context.validation_context.match_typed_subject_alt_names");
    let expected = [("tls_sni", format!("{at}.sni")), ("tls_subject_alt_names", names)];
    assert_eq!(found, expected.map(|(code, path)| (code.to_owned(), path)));
    configuration["revocations"] = json!({ "uri": other, "upstream": "sec" });
    let missing = [(String::from("cluster_missing"), String::from("$.revocations.upstream"))];
    assert_eq!(codes(&bootstrap(&configuration), "faults"), missing);
}

#[test]
fn cluster_is_missing_only_where_all_clusters_are_known() {
    let missing = |document: &Value| codes(document, "faults");
    let expected = [(String::from("cluster_missing"), String::from("$.providers.okta.upstream"))];
    assert_eq!(missing(&with(CLUSTER, json!({ "name": "other" }))), expected);
    let mut without = bootstrap(&plugin());
    without["static_resources"].as_object_mut().unwrap().remove("clusters");
    assert_eq!(missing(&without), expected);
    without["dynamic_resources"] = json!({ "cds_config": {} });
    assert_eq!(missing(&without), []);
    // A configuration that does not load.
    let mut faulty = plugin();
    faulty["providers"]["okta"]["audience"] = json!("x");
    let mut faulty = bootstrap(&faulty);
    put(&mut faulty, CLUSTER, json!({ "name": "other" }));
    assert!(missing(&faulty).contains(&expected[0]), "{:?}", missing(&faulty));
}

#[test]
fn clusters_of_other_files_are_checked_with_their_own_lines() {
    let folder = tempfile::tempdir().unwrap();
    let clusters = fs::read_to_string(root().join("envoy/dynamic/clusters.yaml")).unwrap();
    let broken = folder.path().join("clusters.yaml");
    fs::write(&broken, clusters.replace("sni: acme.okta.com", "sni: acme.oktapreview.com")).unwrap();
    let broken = broken.to_str().unwrap();
    assert_eq!(run(&["check", "--strict", "envoy/dynamic/filter.yaml", "envoy/dynamic/clusters.yaml"]).status, 0);
    let found = run(&["check", "envoy/dynamic/filter.yaml", broken]);
    let line = 1 + clusters.lines().position(|line| line.contains("sni:")).unwrap();
    assert_eq!(found.status, 1, "{}", found.transcript());
    assert!(found.stdout.contains(&format!("  {broken}:{line}:7: $.resources[0].")), "{}", found.transcript());
    // The bootstrap of Envoy Gateway is a text in an object.
    let proxy = fs::read_to_string(root().join("deploy/envoy-gateway/proxy.yaml")).unwrap();
    let line = 1 + proxy.lines().position(|line| line.contains("trusted_ca:")).unwrap();
    let proxy =
        proxy.replace("trusted_ca: {filename: /etc/ssl/certs/ca-certificates.crt}", "allow_expired_certificate: true");
    let path = folder.path().join("proxy.yaml");
    fs::write(&path, proxy).unwrap();
    let path = path.to_str().unwrap();
    let found = run(&["check", "deploy/envoy-gateway/extension-policy.yaml", path]);
    assert!(found.stdout.contains("2 faults"), "{}", found.transcript());
    let expected = format!("  {path}:{}:17: $.spec.bootstrap.value.static_resources.clusters[0].", line - 1);
    assert!(found.stdout.contains(&expected), "{expected}: {}", found.transcript());
    let found = run(&["check", "deploy/envoy-gateway/extension-policy.yaml", "deploy/envoy-gateway/proxy.yaml"]);
    assert!(found.stdout.contains("1 fault\n"), "{}", found.transcript());
}

#[test]
fn destination_rule_of_istio_is_checked() {
    let plugin = fs::read_to_string(root().join("deploy/istio/wasm-plugin.yaml")).unwrap();
    let provider = fs::read_to_string(root().join("deploy/istio/identity-provider.yaml")).unwrap();
    let (plugin, provider) = (plugin.replace(&"0".repeat(64), &"0f".repeat(32)), provider);
    let faults = |rule: &str| {
        let found = run_with_input(&["check", "--format", "json", "-"], &format!("{plugin}---\n{rule}")).json();
        let all = found["configurations"][0]["faults"].as_array().unwrap().clone();
        all.iter().map(|fault| fault["code"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let no_fault: [&str; 0] = [];
    assert_eq!(faults(&provider), no_fault);
    for (from, to, code) in [
        ("mode: SIMPLE", "mode: DISABLE", "cluster_without_tls"),
        ("sni: acme.okta.com", "sni: acme.com", "tls_sni"),
        ("subjectAltNames: [acme.okta.com]", "subjectAltNames: [acme.com]", "tls_subject_alt_names"),
        ("mode: SIMPLE", "mode: SIMPLE\n      insecureSkipVerify: true", "tls_without_validation"),
    ] {
        let changed = provider.replace(from, to);
        assert_ne!(changed, provider);
        assert_eq!(faults(&changed), [code], "{to}");
    }
    assert_eq!(faults(&provider.replace("host: acme.okta.com", "host: acme.com")), no_fault);
    assert_eq!(faults(&provider.replace("      sni: acme.okta.com\n", "")), no_fault);
}

#[test]
fn circuit_breakers_must_let_the_calls_of_a_worker_through() {
    let mut configuration = plugin();
    configuration["providers"]["okta"]["introspection"] =
        json!({ "client_id": "c", "client_secret": { "env": "SECRET" } });
    let warnings = |configuration: &Value, thresholds: Value| {
        let mut document = bootstrap(configuration);
        put(&mut document, CLUSTER, json!({ "circuit_breakers": { "thresholds": thresholds } }));
        let config = format!("{MANAGER}/http_filters/0/typed_config/config");
        put(
            &mut document,
            &config,
            json!({ "vm_config": { "environment_variables": { "host_env_keys": ["SECRET"] } } }),
        );
        codes(&document, "warnings")
    };
    let expected = [(String::from("circuit_breakers_too_small"), format!("{AT}.circuit_breakers"))];
    for thresholds in [
        json!([{ "max_requests": 64 }]),
        json!([{ "max_connections": 16, "max_pending_requests": 48 }]),
        json!([{ "priority": "HIGH" }, { "priority": "DEFAULT", "maxRequests": "10" }]),
    ] {
        assert_eq!(warnings(&configuration, thresholds.clone()), expected, "{thresholds}");
    }
    for thresholds in [
        json!([{ "max_requests": 65 }]),
        json!([]),
        json!([{ "max_connections": 16, "max_pending_requests": 49 }]),
        json!([{ "priority": "HIGH", "max_requests": 1 }]),
    ] {
        assert_eq!(warnings(&configuration, thresholds.clone()), [], "{thresholds}");
    }
    assert_eq!(warnings(&plugin(), json!([{ "max_requests": 1 }])), []);
    assert_eq!(warnings(&plugin(), json!([{ "max_requests": 0 }])), expected);
}

#[test]
fn settings_of_the_wasm_filter_have_codes_and_places() {
    let config = format!("{MANAGER}/http_filters/0/typed_config/config");
    let at = format!("{PLACE}.http_filters[0].typed_config.config");
    let remote = |sha256: Value| json!({ "vm_config": { "code": { "remote": { "http_uri": { "uri": "https://a.com/okta_proxy_wasm.wasm" }, "sha256": sha256 } } } });
    let digest = format!("{at}.vm_config.code.remote.sha256");
    for (value, kind, code, path) in [
        (
            json!({ "allow_on_headers_stop_iteration": true }),
            "warnings",
            "headers_stop_iteration",
            format!("{at}.allow_on_headers_stop_iteration"),
        ),
        (remote(json!("0".repeat(64))), "faults", "placeholder_digest", digest.clone()),
        (remote(json!("FILE_DIGEST")), "faults", "placeholder_digest", digest.clone()),
        (remote(json!("0a".repeat(31))), "faults", "placeholder_digest", digest.clone()),
        (remote(json!("<sha256>")), "faults", "placeholder_digest", digest.clone()),
        (remote(json!(0)), "faults", "placeholder_digest", digest.clone()),
        (remote(Value::Null), "warnings", "module_not_pinned", digest),
    ] {
        let document = with(&config, value.clone());
        assert_eq!(codes(&document, kind), [(code.to_owned(), path)], "{value}");
    }
    for value in [json!({ "allow_on_headers_stop_iteration": false }), remote(json!("0a".repeat(32)))] {
        let document = with(&config, value);
        assert_eq!((codes(&document, "faults"), codes(&document, "warnings")), (vec![], vec![]));
    }
    let mut unlabelled = bootstrap(&plugin());
    let tags = unlabelled["stats_config"]["stats_tags"].as_array_mut().unwrap();
    tags.retain(|tag| tag["tag_name"] != "rule");
    assert_eq!(codes(&unlabelled, "warnings"), [(String::from("stats_config"), String::from("$.stats_config"))]);
}

#[test]
fn two_resources_for_one_workload_are_a_fault() {
    let read = |file: &str| fs::read_to_string(root().join("deploy/istio").join(file)).unwrap();
    let (plugin, extension) = (read("wasm-plugin.yaml"), read("traffic-extension.yaml"));
    let digest = "0f".repeat(32);
    let faults = |text: String| {
        let text = text.replace(&"0".repeat(64), &digest);
        let found = run_with_input(&["check", "--assume-env", "--format", "json", "-"], &text).json();
        let all = found["configurations"].as_array().unwrap().clone();
        let all = all.iter().flat_map(|found| found["faults"].as_array().unwrap().clone());
        all.map(|fault| (fault["code"].as_str().unwrap().to_owned(), fault["line"].as_u64().unwrap()))
            .collect::<Vec<_>>()
    };
    let spec = |text: &str, before: usize| (before + 1 + text.lines().position(|line| line == "spec:").unwrap()) as u64;
    let both = faults(format!("{plugin}---\n{extension}"));
    let twice = String::from("filter_runs_twice");
    let second = plugin.lines().count() + 1;
    assert_eq!(both, [(twice.clone(), spec(&plugin, 0)), (twice, spec(&extension, second))]);
    let selected = |label: &str| {
        let lines = extension.replace("  targetRefs:\n", &format!("  selector: {{matchLabels: {{{label}}}}}\n"));
        lines.replace("  - {group: gateway.networking.k8s.io, kind: Gateway, name: api}\n", "")
    };
    for other in [
        extension.replace("name: api}", "name: other}"),
        extension.replace("namespace: istio-ingress", "namespace: other"),
        // Applying one replaces the other.
        plugin.replace("health", "live"),
        extension.replace("/okta-proxy-wasm:", "/another:").replace("providers", "settings"),
        selected("a: b"),
    ] {
        let found = faults(format!("{plugin}---\n{other}"));
        assert!(!found.iter().any(|(code, _)| code == "filter_runs_twice"), "{found:?}\n{other}");
    }
    let renamed = selected("a: b, c: d").replace("name: okta-proxy-wasm", "name: second");
    assert_eq!(faults(format!("{}---\n{renamed}", selected("a: b"))).len(), 2);
    assert_eq!(faults(format!("{}---\n{renamed}", selected("a: x"))).len(), 0);
}
