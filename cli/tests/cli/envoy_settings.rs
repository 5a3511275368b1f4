//! Warnings of `check` about the Envoy around the filter: each weakness, its path in the file and the recommended setting.

use std::fs;
use std::slice::from_ref;

use serde_json::{Value, json};

use crate::tool::{root, run_with_input};

pub(crate) const MANAGER: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
pub(crate) const PLACE: &str = "$.static_resources.listeners[0].filter_chains[0].filters[0].typed_config";

fn typed(kind: &str) -> Value {
    json!({ "@type": format!("type.googleapis.com/envoy.extensions.filters.http.{kind}") })
}

/// A configuration with rules by path and by host.
pub(crate) fn plugin() -> Value {
    json!({
        "providers": { "okta": { "okta": { "domain": "acme.okta.com" }, "audiences": ["a"], "upstream": "okta" } },
        "rules": [
            { "name": "static", "match": { "hosts": ["static.acme.com"], "path_prefix": "/css" }, "access": "public" },
            { "name": "api", "match": { "hosts": ["API.acme.com", "*.eu.acme.com"], "path_prefix": "/api" } },
        ],
    })
}

/// A listener without warnings.
pub(crate) fn bootstrap(plugin: &Value) -> Value {
    let ours = json!({ "name": "okta", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
        "config": { "failure_policy": "FAIL_RELOAD", "configuration": {
            "@type": "type.googleapis.com/google.protobuf.StringValue", "value": plugin.to_string() } } } });
    let router = json!({ "name": "router", "typed_config": typed("router.v3.Router") });
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "use_remote_address": true, "normalize_path": true, "merge_slashes": true,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "strip_any_host_port": true, "strip_trailing_host_dot": true,
        "common_http_protocol_options": { "headers_with_underscores_action": "DROP_HEADER" },
        "http_filters": [ours, router],
        "route_config": { "virtual_hosts": [
            { "name": "static", "domains": ["static.acme.com"], "routes": [
                { "match": { "prefix": "/" }, "route": { "cluster": "files" } }] },
            { "name": "api", "domains": ["api.acme.com", "*.eu.acme.com"], "routes": [
                { "match": { "path_separated_prefix": "/api" }, "route": { "cluster": "api",
                    "regex_rewrite": { "pattern": { "regex": "^/api/*" }, "substitution": "/" } } },
                { "match": { "prefix": "/v2/" }, "route": { "cluster": "api-2", "prefix_rewrite": "/" } }] },
        ] },
    });
    let listener = json!({ "name": "public", "filter_chains": [{ "filters": [
        { "name": "http", "typed_config": manager }] }] });
    let labels = ["verdict", "reason", "constraint", "outcome", "result", "verifier", "rule", "provider"];
    let tags: Vec<Value> = labels
        .iter()
        .map(|label| json!({ "tag_name": label, "regex": format!("^wasmcustom\\.okta_proxy_wasm.*(\\.{label}\\.(\\w+))") }))
        .collect();
    json!({
        "static_resources": { "listeners": [listener], "clusters": [issuer_cluster()] },
        "stats_config": { "stats_tags": tags },
    })
}

/// The cluster of the issuer, which verifies its certificate.
fn issuer_cluster() -> Value {
    json!({ "name": "okta", "transport_socket": { "name": "tls", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "sni": "acme.okta.com",
        "common_tls_context": { "validation_context": {
            "trusted_ca": { "filename": "/etc/ssl/certs/ca-certificates.crt" },
            "match_typed_subject_alt_names": [{ "san_type": "DNS", "matcher": { "exact": "acme.okta.com" } }] } } } } })
}

/// The faults or warnings of a document: code, and path, message and fix.
pub(crate) fn diagnostics(document: &Value, kind: &str) -> Vec<(String, String)> {
    let found = run_with_input(&["check", "--assume-env", "--format", "json", "-"], &document.to_string());
    let configurations = found.json()["configurations"].as_array().unwrap().clone();
    let all = configurations.iter().flat_map(|found| found[kind].as_array().unwrap().clone());
    let text = |one: &Value, name: &str| one[name].as_str().unwrap_or_default().to_owned();
    all.map(|one| {
        let is_of_host = !["unknown_field", "missing_field"].contains(&one["code"].as_str().unwrap());
        assert!(one["line"].is_u64() && (one["fix"].is_string() || !is_of_host), "{one}");
        (text(&one, "code"), format!("{}: {}; {}", text(&one, "path"), text(&one, "message"), text(&one, "fix")))
    })
    .collect()
}

fn warnings(bootstrap: &Value) -> Vec<String> {
    assert_eq!(diagnostics(bootstrap, "faults"), Vec::new());
    diagnostics(bootstrap, "warnings").into_iter().map(|(_, text)| text).collect()
}

/// Sets `value` at `pointer` below the connection manager; members of objects are merged.
pub(crate) fn changed(pointer: &str, value: Value) -> Value {
    let mut changed = bootstrap(&plugin());
    put(&mut changed, &format!("{MANAGER}{pointer}"), value);
    changed
}

pub(crate) fn put(document: &mut Value, pointer: &str, value: Value) {
    let place = document.pointer_mut(pointer).unwrap_or_else(|| panic!("nothing is at {pointer}"));
    match (place, value) {
        (Value::Object(members), Value::Object(more)) => members.extend(more),
        (place, value) => *place = value,
    }
}

/// One warning, which starts with the path and contains each of the strings.
fn assert_warns(bootstrap: &Value, place: &str, texts: &[&str]) {
    assert_one(&warnings(bootstrap), place, texts);
}

/// One fault, which has the code, starts with the path and contains each of the strings; and no warning.
fn assert_fault(document: &Value, code: &str, place: &str, texts: &[&str]) {
    let (codes, faults): (Vec<String>, Vec<String>) = diagnostics(document, "faults").into_iter().unzip();
    assert_one(&faults, place, texts);
    assert_eq!(codes, [code]);
    assert_eq!(diagnostics(document, "warnings"), Vec::new());
}

fn assert_one(found: &[String], place: &str, texts: &[&str]) {
    let [warning] = found else { panic!("{} for {place}: {found:#?}", found.len()) };
    assert!(warning.starts_with(&format!("{place}: ")), "not at {place}: {warning}");
    for text in texts {
        assert!(warning.contains(text), "{text:?} is not in: {warning}");
    }
}

#[test]
fn a_listener_with_every_protection_has_no_warning() {
    assert_eq!(warnings(&bootstrap(&plugin())), Vec::<String>::new());
    // A listener that redirects to https needs no filter.
    let mut two = bootstrap(&plugin());
    let mut redirects = two["static_resources"]["listeners"][0].clone();
    let manager = MANAGER.trim_start_matches("/static_resources/listeners/0");
    put(&mut redirects, &format!("{manager}/http_filters"), json!([]));
    put(
        &mut redirects,
        &format!("{manager}/route_config/virtual_hosts"),
        json!([{ "name": "all", "domains": ["*"], "routes": [
            { "match": { "prefix": "/" }, "redirect": { "https_redirect": true } }] }]),
    );
    two["static_resources"]["listeners"].as_array_mut().unwrap().push(redirects);
    assert_eq!(warnings(&two), Vec::<String>::new());
}

#[test]
fn a_missing_option_of_the_connection_manager_is_a_warning() {
    for (option, written) in [
        ("use_remote_address", "`use_remote_address: true`"),
        ("normalize_path", "`normalize_path: true`"),
        ("merge_slashes", "`merge_slashes: true`"),
        ("path_with_escaped_slashes_action", "`path_with_escaped_slashes_action: REJECT_REQUEST`"),
        ("strip_any_host_port", "`strip_any_host_port: true`"),
        ("strip_trailing_host_dot", "`strip_trailing_host_dot: true`"),
    ] {
        let changed = changed("", json!({ option: null }));
        assert_warns(&changed, &format!("{PLACE}.{option}"), &[written]);
    }
    let underscores = "common_http_protocol_options.headers_with_underscores_action";
    for value in [json!("ALLOW"), Value::Null] {
        let changed = changed("/common_http_protocol_options", json!({ "headers_with_underscores_action": value }));
        assert_warns(&changed, &format!("{PLACE}.{underscores}"), &["DROP_HEADER"]);
    }
}

#[test]
fn options_are_recognized_in_both_spellings_and_only_where_rules_need_them() {
    let camel = json!({
        "normalize_path": null, "normalizePath": true, "strip_any_host_port": null, "stripAnyHostPort": true,
        "common_http_protocol_options": null,
        "commonHttpProtocolOptions": { "headersWithUnderscoresAction": "REJECT_REQUEST" },
    });
    assert_eq!(warnings(&changed("", camel)), Vec::<String>::new());
    // The other way to ignore the port, which leaves it in the request.
    let mut ignored = changed("", json!({ "strip_any_host_port": null }));
    put(&mut ignored, &format!("{MANAGER}/route_config"), json!({ "ignore_port_in_host_matching": true }));
    assert_eq!(warnings(&ignored), Vec::<String>::new());
    let matching = changed("", json!({ "strip_any_host_port": null, "strip_matching_host_port": true }));
    assert_warns(&matching, &format!("{PLACE}.strip_any_host_port"), &["the port of the listener only"]);

    let without_rules = json!({ "providers": plugin()["providers"] });
    let mut bare = bootstrap(&without_rules);
    let bare_options = json!({ "normalize_path": null, "merge_slashes": null, "path_with_escaped_slashes_action": null,
        "strip_any_host_port": null, "strip_trailing_host_dot": null });
    put(&mut bare, MANAGER, bare_options.clone());
    assert_eq!(warnings(&bare), Vec::<String>::new());
    // A condition compares hosts too.
    let mut conditional = plugin();
    conditional["rules"] = json!([{ "name": "x", "require": { "condition": "request.host == 'a.com'" } }]);
    let mut conditional = bootstrap(&conditional);
    put(&mut conditional, MANAGER, json!({ "strip_trailing_host_dot": null }));
    assert_warns(&conditional, &format!("{PLACE}.strip_trailing_host_dot"), &["`strip_trailing_host_dot: true`"]);
}

#[test]
fn host_without_a_virtual_host_and_domain_without_a_rule_are_warnings() {
    let domains = "/route_config/virtual_hosts/0/domains";
    let found = warnings(&changed(domains, json!(["*.static.acme.com"]))).join("\n");
    for said in
        ["$.rules[0].match.hosts[0]: ", "\"static.acme.com\", so this host never matches", "\"*.static.acme.com\""]
    {
        assert!(found.contains(said), "{said:?} is not in:\n{found}");
    }
    // A rule for some of its hosts leaves the others.
    let wider = changed("/route_config/virtual_hosts/1/domains", json!(["api.acme.com", "*.acme.com"]));
    let place = format!("{PLACE}.route_config.virtual_hosts[1].domains[1]");
    assert_warns(&wider, &place, &["\"*.acme.com\"", "default_rule"]);

    let mut unserved = changed("/route_config/virtual_hosts/1/domains", json!(["api.acme.com"]));
    assert_warns(&unserved, "$.rules[1].match.hosts[1]", &["\"*.eu.acme.com\"", "never matches"]);
    // `*` serves it, and every other host comes there too.
    put(&mut unserved, &format!("{MANAGER}/route_config/virtual_hosts/1/domains"), json!(["api.acme.com", "*"]));
    let place = format!("{PLACE}.route_config.virtual_hosts[1].domains[1]");
    assert_warns(&unserved, &place, &["\"*\"", "default_rule"]);
    let unnamed = changed(domains, json!(["static.acme.com", "admin.acme.org"]));
    let place = format!("{PLACE}.route_config.virtual_hosts[0].domains[1]");
    assert_warns(&unnamed, &place, &["\"admin.acme.org\"", "\"deny\""]);

    // The default rule denies unnamed hosts.
    let mut closed = plugin();
    closed["default_rule"] = json!({ "access": "deny" });
    let mut closed = bootstrap(&closed);
    put(&mut closed, &format!("{MANAGER}{domains}"), json!(["static.acme.com", "*"]));
    assert_eq!(warnings(&closed), Vec::<String>::new());
    let with_port = changed(domains, json!(["static.acme.com", "static.acme.com:8443"]));
    let place = format!("{PLACE}.route_config.virtual_hosts[0].domains[1]");
    assert_warns(&with_port, &place, &["without the port"]);
}

#[test]
fn disabling_the_filter_on_a_route_is_a_warning() {
    let off =
        json!({ "okta": { "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": true } });
    let weighted = json!({ "cluster": null, "weighted_clusters": { "clusters": [
        { "name": "files", "weight": 90 }, { "name": "files-2", "weight": 10, "typed_per_filter_config": off }] } });
    let routes = "/route_config/virtual_hosts/0/routes/0";
    for (pointer, value, place) in [
        ("/route_config", json!({ "typed_per_filter_config": off }), ".route_config"),
        ("/route_config/virtual_hosts/1", json!({ "typedPerFilterConfig": off }), ".route_config.virtual_hosts[1]"),
        (routes, json!({ "typed_per_filter_config": off }), ".route_config.virtual_hosts[0].routes[0]"),
        (
            "/route_config/virtual_hosts/0/routes/0/route",
            weighted,
            ".route_config.virtual_hosts[0].routes[0].route.weighted_clusters.clusters[1]",
        ),
    ] {
        let member = if value.get("typedPerFilterConfig").is_some() {
            "typedPerFilterConfig"
        } else {
            "typed_per_filter_config"
        };
        let place = format!("{PLACE}{place}.{member}.okta");
        assert_warns(&changed(pointer, value), &place, &["disabled", "\"access\": \"public\""]);
    }
    let other = json!({ "another": off["okta"], "okta": {
        "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {} } });
    assert_eq!(warnings(&changed(routes, json!({ "typed_per_filter_config": other }))), Vec::<String>::new());
}

#[test]
fn rewrite_of_partial_segments_is_a_warning() {
    let route = |matched: Value, action: Value| {
        let mut action = action;
        action["cluster"] = json!("other");
        let routes = json!([{ "match": matched, "route": action }]);
        changed("/route_config/virtual_hosts/0/routes", routes)
    };
    let place = format!("{PLACE}.route_config.virtual_hosts[0].routes[0]");
    let expression = |regex: &str| json!({ "regex_rewrite": { "pattern": { "regex": regex }, "substitution": "/" } });
    let bad = [
        (
            json!({ "prefix": "/api" }),
            json!({ "prefix_rewrite": "/" }),
            ".match.prefix",
            "\"/apiadmin\" is forwarded as \"/admin\"",
        ),
        (
            json!({ "prefix": "/static" }),
            json!({ "prefixRewrite": "/files/" }),
            ".match.prefix",
            "`path_separated_prefix: /static` with `prefix_rewrite: /files`",
        ),
        (
            json!({ "path_separated_prefix": "/api.v1" }),
            json!({ "prefix_rewrite": "/" }),
            ".route.prefix_rewrite",
            r"`regex_rewrite: {pattern: {regex: ^/api\.v1/*}, substitution: /}`",
        ),
        (
            json!({ "path_separated_prefix": "/api" }),
            json!({ "prefix_rewrite": "/v1/" }),
            ".route.prefix_rewrite",
            "\"/api/admin\" is forwarded as \"/v1//admin\"",
        ),
        (json!({ "prefix": "/api" }), expression("^/api/?"), ".match.prefix", "`path_separated_prefix: /api`"),
        (
            json!({ "prefix": "/static/" }),
            json!({ "prefix_rewrite": "/files" }),
            ".route.prefix_rewrite",
            "`prefix_rewrite: /files/`",
        ),
        (json!({ "prefix": "/" }), json!({ "prefix_rewrite": "/app" }), ".route.prefix_rewrite", "\"/appadmin\""),
        (
            json!({ "safe_regex": { "regex": "/v[12]/.*" } }),
            expression("^/v[12]/"),
            ".route.regex_rewrite",
            "path_separated_prefix",
        ),
        (json!({ "prefix": "/x" }), json!({ "cluster_header": "x-cluster" }), ".route.cluster_header", "\"x-cluster\""),
        (
            json!({ "prefix": "/x" }),
            json!({ "host_rewrite_header": "x-h" }),
            ".route.host_rewrite_header",
            "host_rewrite_literal",
        ),
        (
            json!({ "prefix": "/x", "case_sensitive": false }),
            json!({}),
            ".match.case_sensitive",
            "\"ignore_case\": true",
        ),
    ];
    for (matched, action, at, text) in bad {
        assert_warns(&route(matched, action), &format!("{place}{at}"), &[text]);
    }
    let good = [
        (json!({ "path_separated_prefix": "/api" }), json!({ "prefix_rewrite": "/v1" })),
        (json!({ "path_separated_prefix": "/api" }), expression("^/api/*")),
        (json!({ "prefix": "/api/" }), json!({ "prefix_rewrite": "/v1/" })),
        (json!({ "path": "/api" }), json!({ "prefix_rewrite": "/v1" })),
        (json!({ "prefix": "/api" }), json!({ "prefix_rewrite": "" })),
        (json!({ "prefix": "/api" }), json!({})),
    ];
    for (matched, action) in good {
        assert_eq!(warnings(&route(matched.clone(), action.clone())), Vec::<String>::new(), "{matched} {action}");
    }
    let mut two = route(json!({ "path_separated_prefix": "/api" }), expression("^/api/*"));
    let routes = two.pointer_mut(&format!("{MANAGER}/route_config/virtual_hosts/0/routes")).unwrap();
    routes.as_array_mut().unwrap().push(json!({ "match": { "prefix": "/" }, "route": { "cluster": "other" } }));
    assert_warns(&two, &format!("{place}.route"), &["routes[1] forwards to it without a rewrite", "two paths"]);
    let rds = changed("", json!({ "rds": { "route_config_name": "api" } }));
    assert_warns(&rds, &format!("{PLACE}.rds"), &["not in this file"]);
    let vhds = changed("/route_config", json!({ "vhds": {} }));
    assert_warns(&vhds, &format!("{PLACE}.route_config.vhds"), &["not in this file"]);
}

#[test]
fn neighbouring_filter_that_weakens_this_one_is_a_warning() {
    let filters = |before: &[Value], after: &[Value], more: Value| {
        let mut changed = bootstrap(&plugin());
        let list = changed.pointer_mut(&format!("{MANAGER}/http_filters")).unwrap().as_array_mut().unwrap();
        put(&mut list[0], "", more);
        let router = list.pop().unwrap();
        list.extend(after.iter().cloned());
        list.push(router);
        list.splice(0..0, before.iter().cloned());
        changed
    };
    let filter = |kind: &str| json!({ "name": kind, "typed_config": typed(kind) });
    let at = |number: usize| format!("{PLACE}.http_filters[{number}]");
    let cache = filter("cache.v3.CacheConfig");
    let transcoder = filter("grpc_json_transcoder.v3.GrpcJsonTranscoder");
    assert_warns(&filters(from_ref(&cache), &[], json!({})), &at(0), &["before they are checked", "http_filters[1]"]);
    assert_warns(&filters(&[filter("router.v3.Router")], &[], json!({})), &at(0), &["before they are checked"]);
    assert_warns(&filters(&[], from_ref(&transcoder), json!({})), &at(1), &["two names", "/package.Service/Method"]);
    assert_eq!(warnings(&filters(&[transcoder], &[cache], json!({}))), Vec::<String>::new());
    let disabled = filters(&[], &[], json!({ "disabled": true }));
    assert_fault(&disabled, "filter_disabled", &format!("{}.disabled", at(0)), &["remove it"]);
    assert_warns(&filters(&[], &[], json!({ "isOptional": true })), &format!("{}.is_optional", at(0)), &["remove it"]);

    // An upgrade's own list of filters.
    let upgrade = |filters: Value| {
        changed("", json!({ "upgrade_configs": [{ "upgrade_type": "websocket", "filters": filters }] }))
    };
    let router = filter("router.v3.Router");
    let place = format!("{PLACE}.upgrade_configs[0].filters");
    assert_warns(&upgrade(json!([router])), &place, &["without a check"]);
    let ours = bootstrap(&plugin()).pointer(&format!("{MANAGER}/http_filters/0")).unwrap().clone();
    for filters in [json!([]), json!([ours, router])] {
        assert_eq!(warnings(&upgrade(filters)), Vec::<String>::new());
    }

    // Nested in a filter that decides whether it runs.
    let mut nested = bootstrap(&plugin());
    let place = nested.pointer_mut(&format!("{MANAGER}/http_filters/0/typed_config")).unwrap();
    *place = json!({ "@type": "type.googleapis.com/envoy.extensions.common.matching.v3.ExtensionWithMatcher",
        "extension_config": { "name": "okta", "typed_config": place } });
    let inner = format!("{}.typed_config.extension_config.typed_config", at(0));
    assert_warns(&nested, &inner, &["is nested in another filter"]);
}

#[test]
fn a_connection_manager_without_the_filter_is_a_warning() {
    let mut two = bootstrap(&plugin());
    let mut open = two["static_resources"]["listeners"][0].clone();
    let manager = MANAGER.trim_start_matches("/static_resources/listeners/0");
    open.pointer_mut(&format!("{manager}/http_filters")).unwrap().as_array_mut().unwrap().remove(0);
    two["static_resources"]["listeners"].as_array_mut().unwrap().push(open);
    let place = PLACE.replace("listeners[0]", "listeners[1]");
    assert_warns(&two, &format!("{place}.http_filters"), &["forwarded without a check"]);
}

#[test]
fn every_spelling_of_failing_open_is_a_fault() {
    let config = "/http_filters/0/typed_config/config";
    for open in [
        json!({ "failure_policy": "FAIL_OPEN" }),
        json!({ "failure_policy": null, "failurePolicy": "FAIL_OPEN" }),
        json!({ "failure_policy": 3 }),
        json!({ "failure_policy": null, "fail_open": "yes" }),
        json!({ "failure_policy": null, "fail_open": true }),
        json!({ "failure_policy": null, "failOpen": true }),
    ] {
        let written = if open.to_string().contains("ail_open\":") || open.get("failOpen").is_some() {
            "fail_open"
        } else {
            "failure_policy"
        };
        let place = format!("{PLACE}.http_filters[0].typed_config.config.{written}");
        assert_fault(&changed(config, open), "fails_open", &place, &["fails open", "FAIL_RELOAD"]);
    }
}

#[test]
fn manifest_with_ports_or_routes_without_the_filter_is_a_warning() {
    let manifest = |file: &str| fs::read_to_string(root().join("deploy").join(file)).unwrap();
    let extension = manifest("envoy-gateway/extension-policy.yaml");
    let istio = manifest("istio/wasm-plugin.yaml");
    let part = "target_is_part_of_gateway";
    for (changed, code, path) in [
        (extension.replace("kind: Gateway,", "kind: HTTPRoute,"), part, "$.spec.targetRefs"),
        (extension.replace("name: api}", "name: api, sectionName: https}"), part, "$.spec.targetRefs"),
        (
            istio.replace("  phase: AUTHN", "  match: [{ports: [{number: 443}]}]\n  phase: AUTHN"),
            "match_excludes_requests",
            "$.spec.match",
        ),
    ] {
        let found = run_with_input(&["check", "--assume-env", "-"], &changed);
        assert_eq!(found.stdout.matches("warning:").count(), 1, "{}", found.transcript());
        assert!(found.stdout.contains(&format!("warning: [{code}] {path}: ")), "{}", found.transcript());
    }
}

/// The fenced blocks of a language on a page.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("\n```{language}\n");
    page.split(&fence).skip(1).map(|rest| rest.split("\n```").next().unwrap().to_owned()).collect()
}

#[test]
fn documented_open_routes_are_warnings_and_closed_routes_have_two_paths() {
    let page = fs::read_to_string(root().join("docs/rewrites.md")).unwrap();
    let warnings = |configuration: &str, routes: &str| {
        let mut example = bootstrap(&serde_json::from_str(configuration).unwrap());
        let routes: Value = yaml_serde::from_str(routes).unwrap();
        put(
            &mut example,
            &format!("{MANAGER}/route_config/virtual_hosts"),
            json!([{ "name": "all", "domains": ["*"], "routes": routes["routes"] }]),
        );
        warnings(&example)
    };
    let configurations = blocks(&page, "json");
    let open = warnings(&configurations[0], &blocks(&page, "yaml theirs")[0]).join("\n");
    for said in
        ["\"/apiadmin\" is forwarded as \"/admin\"", "`path_separated_prefix: /static`", "clusters[0]", "disabled here"]
    {
        assert!(open.contains(said), "{said:?} is not in:\n{open}");
    }
    let closed = warnings(&configurations[1], &blocks(&page, "yaml")[0]);
    // The rules are for both paths.
    assert!(closed.len() == 1 && closed[0].contains("one resource has two paths"), "{closed:#?}");
}

/// A bootstrap whose plugin reads the certificates of clients behind these hops.
fn behind(hops: Value, header: &str, manager: Value, tls: Value) -> Value {
    let mut plugin = plugin();
    plugin["providers"]["okta"]["sender_constraint"] = json!({ "mtls": "if_bound" });
    plugin["client_certificate"] = json!({ "header": header, "hops": hops });
    let mut document = bootstrap(&plugin);
    put(&mut document, MANAGER, manager);
    let socket = json!({ "name": "tls", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": { "validation_context": tls } } });
    put(&mut document, "/static_resources/listeners/0/filter_chains/0", json!({ "transport_socket": socket }));
    document
}

#[test]
fn names_of_hops_are_verified_by_the_listener() {
    let hash = json!({ "certificate_hashes": ["0".repeat(64)] });
    let verified = json!({ "trusted_ca": { "filename": "ca.pem" } });
    let untrusted = json!({ "trusted_ca": { "filename": "ca.pem" }, "trust_chain_verification": "ACCEPT_UNTRUSTED" });
    let pinned = json!({ "trust_chain_verification": 1, "verify_certificate_hash": ["00"] });
    let context = PLACE.trim_end_matches(".filters[0].typed_config");
    let context = format!("{context}.transport_socket.typed_config.common_tls_context.validation_context");
    for hops in [json!({ "uri_sans": ["spiffe://acme/edge"] }), json!({ "dns_sans": ["edge"] })] {
        let with = |tls: &Value| behind(hops.clone(), "client-cert", json!({}), tls.clone());
        let place = format!("{context}.trust_chain_verification");
        assert_fault(&with(&untrusted), "hop_name_not_verified", &place, &["VERIFY_TRUST_CHAIN"]);
        for good in [&verified, &pinned] {
            assert_eq!(warnings(&with(good)), Vec::<String>::new(), "{good}");
        }
    }
    // A digest needs no verification, and another listener is no affair of this one.
    assert_eq!(warnings(&behind(hash, "client-cert", json!({}), untrusted.clone())), Vec::<String>::new());
    let mut two = behind(json!({ "dns_sans": ["edge"] }), "client-cert", json!({}), verified);
    let mut other = behind(json!({ "dns_sans": ["edge"] }), "client-cert", json!({}), untrusted);
    let other = other["static_resources"]["listeners"][0].take();
    two["static_resources"]["listeners"].as_array_mut().unwrap().push(other);
    assert_eq!(diagnostics(&two, "faults").len(), 1);
}

#[test]
fn addresses_of_hops_are_those_of_connections() {
    let with =
        |manager: Value| behind(json!({ "insecure_addresses": ["10.0.0.7"] }), "client-cert", manager, json!({}));
    for (manager, name) in [
        (json!({ "xff_num_trusted_hops": 1 }), Some("xff_num_trusted_hops")),
        (json!({ "xffNumTrustedHops": "2" }), Some("xff_num_trusted_hops")),
        (json!({ "original_ip_detection_extensions": [{ "name": "x" }] }), Some("original_ip_detection_extensions")),
        (json!({ "use_remote_address": false }), Some("use_remote_address")),
        (json!({ "xff_num_trusted_hops": 0 }), None),
    ] {
        let found = diagnostics(&with(manager.clone()), "faults");
        let places: Vec<bool> = found
            .iter()
            .map(|(code, text)| {
                let place = format!("{PLACE}.{}: ", name.unwrap_or_default());
                code == "hop_address_from_header" && text.starts_with(&place)
            })
            .collect();
        assert_eq!(places, vec![true; usize::from(name.is_some())], "{manager}: {found:?}");
    }
}

#[test]
fn the_header_of_a_hop_reaches_the_filter() {
    let hash = json!({ "certificate_hashes": ["0".repeat(64)] });
    let with = |header: &str, details: Value| {
        behind(hash.clone(), header, json!({ "forward_client_cert_details": details }), json!({}))
    };
    for details in ["FORWARD_ONLY", "ALWAYS_FORWARD_ONLY"] {
        assert_eq!(warnings(&with("x-forwarded-client-cert", json!(details))), Vec::<String>::new(), "{details}");
    }
    for details in [Value::Null, json!("SANITIZE"), json!("SANITIZE_SET"), json!("APPEND_FORWARD"), json!(0)] {
        let place = format!("{PLACE}.forward_client_cert_details");
        assert_warns(&with("x-forwarded-client-cert", details), &place, &["FORWARD_ONLY"]);
    }
    assert_eq!(warnings(&with("client-cert", Value::Null)), Vec::<String>::new());
}
