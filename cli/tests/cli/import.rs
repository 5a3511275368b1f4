//! `import`: converted documents of other products, documents that cannot be converted, and the same requests decided by
//! Envoy's own `jwt_authn`.

mod constructs;
mod istio_model;
mod istio_rules;
mod side_by_side;

use std::fs;

use crate::signing::{AUDIENCE, ISSUER, SigningKey, key_set, payload, with};
use crate::tool::{Run, assert_golden, root, run, run_with_input};
use serde_json::{Value, json};
use testbed::authorization_server::now;
use testbed::{Envoy, EnvoyBuilder, ListenerOptions, Request};

fn import(from: &str, document: &str) -> Run {
    run_with_input(&["import", "--from", from, "-"], document)
}

#[test]
fn foreign_documents_are_converted_and_unconverted_settings_are_listed() {
    for (from, name) in [("envoy-jwt-authn", "envoy-bootstrap"), ("istio", "istio"), ("istio", "istio-require-token")] {
        let found = run(&["import", "--from", from, &format!("cli/tests/data/import/{name}.yaml")]);
        assert_eq!(found.status, 0, "{name}: {}", found.transcript());
        assert_golden(&format!("import-{name}"), &found.transcript());
        let checked = run_with_input(&["check", "-"], &found.stdout);
        assert_eq!(checked.status, 0, "{name}: {}", checked.transcript());
    }
}

#[test]
fn imported_istio_policies_decide_as_istio_or_more_strictly() {
    let made = run(&["import", "--from", "istio", "cli/tests/data/import/istio.yaml"]);
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("made-by-import.json");
    fs::write(&config, &made.stdout).unwrap();
    let found = run(&["test", "--config", config.to_str().unwrap(), "cli/tests/data/import/istio-decisions.yaml"]);
    assert_eq!(found.status, 0, "{}", found.transcript());
}

#[test]
fn products_without_an_importer_are_named_with_an_alternative() {
    let guide = fs::read_to_string(root().join("docs/guides/from-kong.md")).unwrap();
    let (_, block) = guide.split_once("```yaml theirs\n").unwrap();
    let (kong, _) = block.split_once("```").unwrap();
    let ingress = "apiVersion: configuration.konghq.com/v1\nkind: KongPlugin\nplugin: openid-connect\n";
    let security_policy =
        "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: SecurityPolicy\nspec: {jwt: {providers: []}}\n";
    for from in ["istio", "envoy-jwt-authn"] {
        for (document, place, instead) in [
            (kong, "$: cannot be imported: Kong's", "docs/guides/from-kong.md"),
            (ingress, "$: cannot be imported: Kong's", "docs/guides/from-kong.md"),
            (security_policy, "$: cannot be imported: SecurityPolicy", "the same targetRefs"),
        ] {
            let found = import(from, document);
            assert_eq!((found.status, found.stdout.as_str()), (1, ""), "{from}: {}", found.transcript());
            assert_eq!(found.stderr.lines().count(), 1, "{from}: {}", found.transcript());
            assert!(found.stderr.starts_with(place) && found.stderr.contains(instead), "{}", found.transcript());
        }
    }
}

/// A filter with one provider, changed.
fn jwt_authn(changes: &Value) -> Value {
    let provider = json!({ "issuer": ISSUER, "audiences": [AUDIENCE],
        "remote_jwks": { "http_uri": { "uri": "https://acme.okta.com/keys", "cluster": "okta", "timeout": "5s" } } });
    let mut filter = json!({ "providers": { "okta": provider }, "rules": [] });
    json_patch(&mut filter, changes);
    filter
}

fn json_patch(value: &mut Value, changes: &Value) {
    match (value.as_object_mut(), changes.as_object()) {
        (Some(members), Some(changes)) => {
            for (name, change) in changes {
                if change.is_null() {
                    members.remove(name);
                } else {
                    json_patch(members.entry(name).or_insert(Value::Null), change);
                }
            }
        }
        _ => *value = changes.clone(),
    }
}

#[test]
fn conversion_that_could_allow_more_has_no_result() {
    let provider = |changes: Value| jwt_authn(&json!({ "providers": { "okta": changes } }));
    let rows = [
        (provider(json!({ "issuer": null })), "without an issuer"),
        (provider(json!({ "issuer": "https://*.google.com" })), "a pattern or a placeholder"),
        (provider(json!({ "demands_of_tomorrow": true })), "demands_of_tomorrow"),
        (provider(json!({ "audiences": "api://default" })), "audiences is unknown or has another type"),
        (provider(json!({ "audiences": [7] })), "audiences is unknown or has another type"),
        (provider(json!({ "clock_skew_seconds": "ten" })), "clock_skew_seconds"),
        (provider(json!({ "max_lifetime": 60 })), "max_lifetime"),
        (jwt_authn(&json!({ "bypass_cors_preflight": "yes" })), "bypass_cors_preflight"),
        (provider(json!({ "subjects": { "safe_regex": { "regex": "a+" } } })), "subjects"),
        (provider(json!({ "remote_jwks": null, "local_jwks": { "filename": "/no/such/file" } })), "inline_string"),
        (provider(json!({ "from_headers": [{ "value_prefix": "odd=" }] })), "tokens in it would not be validated"),
        (provider(json!({ "claim_to_headers": [{ "claim_name": "sub" }] })), "clients could write it"),
        (provider(json!({ "payload_in_metadata": "jwt" })), "other filters (RBAC, Lua) may deny requests"),
        (provider(json!({ "failed_status_in_metadata": "jwt" })), "other filters (RBAC, Lua) may deny requests"),
        (provider(json!({ "remote_jwks": { "http_uri": { "uri": null } } })), "http_uri.uri is missing"),
        (provider(json!({ "local_jwks": { "inline_string": "{}" } })), "both remote_jwks and local_jwks"),
        (jwt_authn(&json!({ "requirement_map": { "r": { "provider_name": "okta" } } })), "no rule names it"),
        (
            json!({ "route_config": { "rds": {} }, "filter": with(&jwt_authn(&json!({
                "requirement_map": { "r": { "provider_name": "okta" } },
                "rules": [{ "match": { "prefix": "/a" } }, { "match": { "prefix": "/" }, "requirement_name": "r" }] })),
                json!({ "@type": "x/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication" })) }),
            "routes that are not in this file (RDS) may name it",
        ),
        (
            json!({ "http_filters": [
                with(&jwt_authn(&json!({})), json!({ "@type": "x/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication" })),
                with(&jwt_authn(&json!({})), json!({ "@type": "x/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication" })) ] }),
            "one listener has jwt_authn twice",
        ),
        (
            json!({ "a": { "type_url": "x/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication", "value": {} },
            "b": with(&jwt_authn(&json!({})), json!({ "@type": "x/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication" })) }),
            "TypedStruct",
        ),
        (jwt_authn(&json!({ "filter_state_rules": { "name": "x" } })), "filter_state_rules"),
        (jwt_authn(&json!({ "demands_of_tomorrow": {} })), "demands_of_tomorrow"),
        (
            json!({ "a": { "@type": "x/envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig", "requirement_name": "r" },
            "b": with(&jwt_authn(&json!({})), json!({ "@type": "x/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication" })) }),
            "by route",
        ),
        (json!({ "static_resources": {} }), "no JwtAuthentication"),
        (
            json!({ "apiVersion": "gateway.envoyproxy.io/v1alpha1", "kind": "SecurityPolicy", "spec": { "jwt": {} } }),
            "the same targetRefs",
        ),
    ];
    for (document, said) in rows {
        let found = import("envoy-jwt-authn", &document.to_string());
        assert!(found.status == 1 && found.stdout.is_empty(), "{said}: {}", found.transcript());
        assert!(found.stderr.contains(said), "{said}: {}", found.transcript());
    }
    let istio = |kind: &str, spec: Value| {
        let authentication = json!({ "apiVersion": "security.istio.io/v1", "kind": "RequestAuthentication",
            "spec": { "jwtRules": [{ "issuer": "https://idp.acme.com", "jwksUri": "https://idp.acme.com/keys" }] } });
        format!(
            "{authentication}\n---\n{}",
            json!({ "apiVersion": "security.istio.io/v1", "kind": kind, "spec": spec })
        )
    };
    for (document, said) in [
        (istio("AuthorizationPolicy", json!({ "action": "CUSTOM", "rules": [{}] })), "CUSTOM"),
        (
            format!(
                "{}\n---\n{}",
                istio("AuthorizationPolicy", json!({ "selector": { "matchLabels": { "app": "x" } } })),
                istio("AuthorizationPolicy", json!({ "selector": { "matchLabels": { "app": "y" } } }))
            ),
            "different workloads",
        ),
        (
            istio("AuthorizationPolicy", json!({ "targetRef": { "kind": "Gateway", "name": "x" } })),
            "different workloads",
        ),
        (istio("RequestAuthentication", json!({ "jwtRules": [{ "issuer": "https://a.b", "jwks": "x" }] })), "not JSON"),
        (
            istio("RequestAuthentication", json!({ "jwtRules": [{ "issuer": "https://a.b", "tomorrow": 1 }] })),
            "tomorrow",
        ),
        (istio("RequestAuthentication", json!({ "jwtRule": [] })), "jwtRule is unknown or has another type"),
        (
            istio("AuthorizationPolicy", json!({ "action": "DENY", "rule": [{}] })),
            "rule is unknown or has another type",
        ),
        (istio("AuthorizationPolicy", json!({ "action": 7, "rules": [{}] })), "action is not"),
        (istio("ClusterRbacConfig", json!({ "mode": "ON" })), "may restrict access"),
        (
            istio("AuthorizationPolicy", json!({})).replace(
                "\"kind\":\"AuthorizationPolicy\"",
                "\"kind\":\"AuthorizationPolicy\",\"metadata\":{\"annotations\":{\"istio.io/dry-run\":\"yes\"}}",
            ),
            "neither true nor false",
        ),
    ] {
        let found = import("istio", &document);
        assert!(found.status == 1 && found.stdout.is_empty(), "{said}: {}", found.transcript());
        assert!(found.stderr.contains(said), "{said}: {}", found.transcript());
    }
}

#[test]
fn token_that_may_be_missing_is_optional_only_without_further_requirements() {
    let access = |changes: Value| {
        let mut rules = json!([{ "match": { "prefix": "/" }, "requires": { "allow_missing": {} } }]);
        if changes.get("requirement_map").is_some() {
            let named = json!({ "match": { "prefix": "/x" }, "requirement_name": "x" });
            rules.as_array_mut().unwrap().push(named);
        }
        let filter = jwt_authn(&with(&changes, json!({ "rules": rules })));
        let found = import("envoy-jwt-authn", &filter.to_string());
        assert_eq!(found.status, 0, "{}", found.transcript());
        found.json()["rules"][0]["access"].clone()
    };
    assert_eq!(access(json!({})), "optional");
    assert_eq!(access(json!({ "providers": { "okta": { "subjects": { "exact": "alice" } } } })), "token");
    let named =
        json!({ "x": { "provider_and_audiences": { "provider_name": "okta", "audiences": ["api://special"] } } });
    assert_eq!(access(json!({ "requirement_map": named })), "token");
}

/// Kubeflow issue 6702: both providers write one header, from different claims.
#[test]
fn a_header_that_only_some_providers_write_is_still_removed_from_requests() {
    let claim = |name: &str| json!([{ "header_name": "Kubeflow-Userid", "claim_name": name }]);
    let filter = jwt_authn(&json!({ "providers": {
        "okta": { "claim_to_headers": claim("email"), "forward_payload_header": "x-jwt-payload" },
        "m2m": { "issuer": "https://idp.partner.example", "claim_to_headers": claim("sub"),
            "remote_jwks": { "http_uri": { "uri": "https://idp.partner.example/keys", "cluster": "m2m" } } },
    } }));
    let found = import("envoy-jwt-authn", &filter.to_string());
    assert_eq!(found.status, 0, "{}", found.transcript());
    assert_eq!(found.json()["claim_to_headers"], json!([]));
    let mut removed: Vec<String> = serde_json::from_value(found.json()["request_headers_to_remove"].clone()).unwrap();
    removed.sort();
    assert_eq!(removed, ["kubeflow-userid", "x-jwt-payload"]);
    assert!(found.stderr.contains("removed from requests and not written"), "{}", found.transcript());
}

/// A condition that is not understood turns a rule into a denial, or omits a rule that allowed requests.
#[test]
fn rule_that_cannot_be_expressed_denies() {
    let rule = |rule: Value| {
        let found = import("envoy-jwt-authn", &jwt_authn(&json!({ "rules": [rule] })).to_string());
        assert_eq!(found.status, 0, "{}", found.transcript());
        found.json()["rules"].clone()
    };
    let needs = json!({ "provider_name": "okta" });
    let denied = |conditions: Value| json!([{ "name": "rule-0", "match": conditions, "access": "deny" }]);
    let query = json!({ "prefix": "/a", "query_parameters": [{ "name": "x" }] });
    assert_eq!(rule(json!({ "match": query, "requires": needs })), denied(json!({ "path_regex": "/a.*" })));
    assert_eq!(rule(json!({ "match": query })), json!([]));
    assert_eq!(rule(json!({ "match": { "connect_matcher": {} }, "requires": needs })), denied(json!({})));
    for requires in [
        json!({ "provider_name": "nobody" }),
        json!({ "requirement_of_tomorrow": {} }),
        json!({ "provider_name": "okta", "tomorrow": 1 }),
        json!({ "requires_all": { "requirements": [needs, needs] } }),
        json!({ "requires_any": { "requirements": [] } }),
    ] {
        let found = rule(json!({ "match": { "prefix": "/" }, "requires": requires }));
        assert_eq!(found, denied(json!({})), "{requires}");
    }
    let named = rule(json!({ "match": { "prefix": "/" }, "requirement_name": "nobody" }));
    assert_eq!(named, denied(json!({})));
}

/// The same requests through Envoy's filter and ours, side by side in one Envoy.
struct BothFilters {
    envoy: Envoy,
}

impl BothFilters {
    fn start(filter: &Value) -> Self {
        let imported = import("envoy-jwt-authn", &filter.to_string());
        assert_eq!(imported.status, 0, "{}", imported.transcript());
        let ours = ListenerOptions { direct_response: true, ..ListenerOptions::filtered("ours", &imported.json()) };
        let theirs = json!({ "name": "envoy.filters.http.jwt_authn", "typed_config": with(filter, json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication" })) });
        let theirs = ListenerOptions {
            direct_response: true,
            filters_before: vec![theirs],
            ..ListenerOptions::unfiltered("theirs")
        };
        Self { envoy: EnvoyBuilder::new().concurrency(1).listener(ours).listener(theirs).start() }
    }

    /// Whether jwt_authn and the filter allow the request.
    fn pass(&self, method: &str, path: &str, token: Option<&str>) -> (bool, bool) {
        let request = Request::new(method, path);
        self.pass_as(&token.iter().fold(request, |request, token| request.bearer(token)))
    }

    fn pass_as(&self, request: &Request) -> (bool, bool) {
        let passes = |listener: &str| request.clone().send(self.envoy.port(listener)).status == 200;
        (passes("theirs"), passes("ours"))
    }
}

#[test]
fn provider_requirements_and_token_locations_are_as_strict_as_in_envoy() {
    let key = SigningKey::a("k1");
    let filter = json!({
        "providers": { "okta": {
            "issuer": ISSUER, "audiences": [AUDIENCE], "local_jwks": { "inline_string": key_set(&[&key]).to_string() },
            "from_headers": [{ "name": "x-token", "value_prefix": "Token " }], "from_params": ["t"], "from_cookies": ["session"],
            "subjects": { "prefix": "svc-" }, "clock_skew_seconds": 10, "max_lifetime": "1800s",
            "claim_to_headers": [{ "header_name": "x-sub", "claim_name": "sub" }],
        } },
        "requirement_map": { "good": { "provider_name": "okta" }, "maybe": { "requires_any": { "requirements": [
            { "provider_name": "okta" }, { "allow_missing": {} }] } } },
        "rules": [
            { "match": { "path": "/maybe" }, "requirement_name": "maybe" },
            { "match": { "prefix": "/" }, "requirement_name": "good" },
        ],
    });
    let both = BothFilters::start(&filter);
    let now = now();
    let claims = with(&payload(now), json!({ "sub": "svc-batch", "iat": now - 60, "exp": now + 1700 }));
    let token = |changes: Value| key.token(&with(&claims, changes));
    let tokens = [
        ("good", token(json!({}))),
        ("another subject", token(json!({ "sub": "alice" }))),
        ("no subject", token(json!({ "sub": null }))),
        ("living long", token(json!({ "exp": now + 7200 }))),
        ("old and living long", token(json!({ "iat": now - 7200, "exp": now + 60 }))),
        ("without iat", token(json!({ "iat": null }))),
        ("just expired", token(json!({ "exp": now - 5 }))),
        ("expired", token(json!({ "exp": now - 30 }))),
        ("early", token(json!({ "nbf": now + 30 }))),
        ("broken", format!("{}x", token(json!({})))),
    ];
    let (mut found, mut passed) = (Vec::new(), 0);
    for path in ["/", "/maybe"] {
        for (name, token) in &tokens {
            let get = || Request::get(path);
            let requests = [
                ("header", get().header("x-token", format!("Token {token}"))),
                ("parameter", Request::get(format!("{path}?t={token}"))),
                ("cookie", get().header("cookie", format!("session={token}"))),
                ("bearer", get().bearer(token)),
                ("bare header", get().header("x-token", token)),
            ];
            for (place, request) in requests {
                let (theirs, ours) = both.pass_as(&request);
                assert!(theirs || !ours, "{path} with {name} as {place}: passes ours, and not theirs");
                passed += i32::from(ours);
                if theirs != ours {
                    found.push(format!("{path} with {name} as {place}"));
                }
            }
        }
    }
    assert!(passed >= 6, "{passed}");
    assert_golden("import-stricter-providers", &format!("{}\n", found.join("\n")));
}

#[test]
fn filter_rejects_whatever_jwt_authn_rejects_and_differences_are_listed() {
    let (a, b) = (SigningKey::a("k1"), SigningKey::b("k2"));
    let provider = |issuer: &str, key: &SigningKey| {
        json!({ "issuer": issuer, "audiences": [AUDIENCE], "forward": true,
            "local_jwks": { "inline_string": key_set(&[key]).to_string() } })
    };
    const OTHER: &str = "https://idp.partner.example";
    let filter = json!({
        "providers": { "okta": provider(ISSUER, &a), "partner": provider(OTHER, &b) },
        "rules": [
            { "match": { "prefix": "/open" } },
            { "match": { "path": "/exact" }, "requires": { "provider_name": "okta" } },
            { "match": { "path": "/exact/" } },
            { "match": { "path": "/only" } },
            { "match": { "prefix": "/only" }, "requires": { "provider_name": "okta" } },
            { "match": { "safe_regex": { "regex": "/v[0-9]/open" } }, "requires": { "allow_missing": {} } },
            { "match": { "prefix": "/v" }, "requires": { "provider_name": "partner" } },
            { "match": { "prefix": "/admin" }, "requires": { "provider_name": "okta" } },
            { "match": { "path_separated_prefix": "/seg" }, "requires": { "provider_name": "partner" } },
            { "match": { "safe_regex": { "regex": "/re/[0-9]+" } }, "requires": { "provider_and_audiences":
                { "provider_name": "okta", "audiences": ["api://special"] } } },
            { "match": { "prefix": "/any", "headers": [{ "name": ":method", "string_match": { "exact": "GET" } }] },
              "requires": { "requires_any": { "requirements": [{ "provider_name": "okta" }, { "provider_name": "partner" }] } } },
            { "match": { "prefix": "/maybe" }, "requires": { "requires_any": { "requirements": [
                { "provider_name": "okta" }, { "provider_name": "partner" }, { "allow_missing": {} }] } } },
            { "match": { "prefix": "/lenient" }, "requires": { "allow_missing_or_failed": {} } },
            { "match": { "prefix": "/both" }, "requires": { "requires_all": { "requirements": [
                { "provider_name": "okta" }, { "provider_name": "partner" }] } } },
            { "match": { "prefix": "/closed", "query_parameters": [{ "name": "x", "present_match": true }] }, "requires": { "provider_name": "okta" } },
        ],
    });
    let both = BothFilters::start(&filter);
    let claims = payload(now());
    let token = |key: &SigningKey, changes: Value| key.token(&with(&claims, changes));
    let okta = token(&a, json!({}));
    let tokens = [
        ("none", None),
        ("okta", Some(okta.clone())),
        ("partner", Some(token(&b, json!({ "iss": OTHER })))),
        ("special", Some(token(&a, json!({ "aud": "api://special" })))),
        ("crossed", Some(token(&b, json!({})))),
        ("expired", Some(token(&a, json!({ "exp": now() - 600 })))),
        ("early", Some(token(&a, json!({ "nbf": now() + 600 })))),
        ("endless", Some(token(&a, json!({ "exp": null })))),
        ("for others", Some(token(&a, json!({ "aud": "api://payroll" })))),
        ("unknown", Some(token(&a, json!({ "iss": "https://evil.example" })))),
        ("broken", Some(format!("{okta}x"))),
        ("opaque", Some(String::from("opaque"))),
    ];
    let paths = [
        "/",
        "/open",
        "/opened/x",
        "/exact",
        "/exact/",
        "/exact/x",
        "/admin",
        "/administrator",
        "/admin/../open",
        "/seg",
        "/seg/x",
        "/segment",
        "/re/12",
        "/re/12x",
        "/any/x",
        "/maybe",
        "/maybe/x",
        "/lenient",
        "/both",
        "/closed",
        "/closed?x=1",
        "/only",
        "/only/",
        "/v1/open",
        "/v1/open/",
        "/v1",
        "/ADMIN",
        "//admin",
        "/%61dmin",
    ];
    let (mut stricter, mut rows, mut passed) = (Vec::new(), 0, 0);
    for method in ["GET", "POST"] {
        for path in paths {
            for (name, token) in &tokens {
                let (theirs, ours) = both.pass(method, path, token.as_deref());
                assert!(theirs || !ours, "{method} {path} with {name}: passes ours, and not theirs");
                rows += 1;
                passed += i32::from(ours);
                if theirs != ours {
                    stricter.push(format!("{method} {path} with {name}"));
                }
            }
        }
    }
    assert!(rows > 500 && passed > 100, "{rows} rows, {passed} passed");
    assert_golden(
        "import-stricter-than-envoy",
        &format!("of {rows} rows these pass Envoy's filter alone:\n{}\n", stricter.join("\n")),
    );
}

/// Two providers of one issuer, with keys and audiences of their own.
fn providers_of_one_issuer(changes: &Value) -> Value {
    let provider = |audience: &str, key: &SigningKey| json!({ "issuer": ISSUER, "audiences": [audience], "local_jwks": { "inline_string": key_set(&[key]).to_string() } });
    let mut filter = json!({ "providers": {
        "orders": provider("orders", &SigningKey::a("k1")), "payments": provider("payments", &SigningKey::b("k1")) } });
    json_patch(&mut filter, changes);
    filter
}

#[test]
fn providers_of_one_issuer_are_as_strict_as_in_envoy() {
    let any = |requirements: Value| json!({ "requires_any": { "requirements": requirements } });
    let (orders, payments) = (json!({ "provider_name": "orders" }), json!({ "provider_name": "payments" }));
    let missing = json!({ "allow_missing": {} });
    let rule = |path: &str, requires: Value| json!({ "match": { "path": path }, "requires": requires });
    let filter = providers_of_one_issuer(&json!({ "rules": [
        rule("/orders", orders.clone()),
        rule("/payments", payments.clone()),
        rule("/any", any(json!([orders, payments]))),
        rule("/maybe", any(json!([orders, payments, missing]))),
        rule("/maybe-orders", any(json!([orders, missing]))),
        rule("/missing", missing.clone()),
        rule("/failed", json!({ "allow_missing_or_failed": {} })),
        rule("/all", json!({ "requires_all": { "requirements": [missing, payments] } })),
    ] }));
    let both = BothFilters::start(&filter);
    let token = |key: &SigningKey, audience: Value| key.token(&with(&payload(now()), json!({ "aud": audience })));
    let (a, b) = (SigningKey::a("k1"), SigningKey::b("k1"));
    let tokens = [
        ("none", None),
        ("orders", Some(token(&a, json!("orders")))),
        ("payments", Some(token(&b, json!("payments")))),
        ("orders, other key", Some(token(&b, json!("orders")))),
        ("payments, other key", Some(token(&a, json!("payments")))),
        ("both", Some(token(&a, json!(["orders", "payments"])))),
        ("both, other key", Some(token(&b, json!(["orders", "payments"])))),
        ("another", Some(token(&a, json!("another")))),
        ("broken", Some(format!("{}x", token(&a, json!("orders"))))),
    ];
    let mut passed = Vec::new();
    for path in ["/orders", "/payments", "/any", "/maybe", "/maybe-orders", "/missing", "/failed", "/all"] {
        for (name, token) in &tokens {
            let (theirs, ours) = both.pass("GET", path, token.as_deref());
            assert!(theirs || !ours, "{path} with {name}: passes ours, and not theirs");
            if ours {
                passed.push(format!("{path} with {name}"));
            }
        }
    }
    let expected = [
        "/orders with orders",
        "/payments with payments",
        "/any with orders",
        "/any with payments",
        "/maybe with none",
        "/maybe with orders",
        "/maybe with payments",
        "/maybe-orders with orders",
    ];
    assert_eq!(passed, expected);
}

#[test]
fn providers_of_one_issuer_without_audiences_of_their_own_leave_no_result() {
    let with_audiences = json!({ "rules": [{ "match": { "prefix": "/" }, "requires": {
        "provider_and_audiences": { "provider_name": "orders", "audiences": ["payments"] } } }] });
    for (changes, said) in [
        (json!({ "providers": { "orders": { "audiences": null } } }), "one of them has no audiences"),
        (json!({ "providers": { "payments": { "audiences": [] } } }), "one of them has no audiences"),
        (json!({ "providers": { "payments": { "audiences": ["x", "orders"] } } }), "both have the audience \"orders\""),
        (with_audiences, "both have the audience \"payments\""),
    ] {
        let found = import("envoy-jwt-authn", &providers_of_one_issuer(&changes).to_string());
        assert!(found.status == 1 && found.stdout.is_empty(), "{said}: {}", found.transcript());
        assert!(
            found.stderr.contains(said) && !found.stderr.contains("would reject the result"),
            "{}",
            found.transcript()
        );
    }
}

/// Next to another requirement, `allow_missing` allows no token that the other one rejects.
#[test]
fn allow_missing_beside_a_provider_rejects_tokens_of_another_provider() {
    let (a, b) = (SigningKey::a("k1"), SigningKey::b("k2"));
    const OTHER: &str = "https://idp.partner.example";
    let provider = |issuer: &str, key: &SigningKey| json!({ "issuer": issuer, "audiences": [AUDIENCE], "local_jwks": { "inline_string": key_set(&[key]).to_string() } });
    let filter = json!({
        "providers": { "okta": with(&provider(ISSUER, &a), json!({ "subjects": { "prefix": "svc-" } })),
            "partner": provider(OTHER, &b) },
        "rules": [{ "match": { "prefix": "/" }, "requires": { "requires_any": { "requirements": [
            { "provider_name": "okta" }, { "allow_missing": {} }] } } }],
    });
    let both = BothFilters::start(&filter);
    let claims = with(&payload(now()), json!({ "sub": "svc-batch" }));
    let of_partner = b.token(&with(&claims, json!({ "iss": OTHER })));
    assert_eq!(both.pass("GET", "/", Some(&of_partner)), (false, false), "a token of another provider");
    assert_eq!(both.pass("GET", "/", Some(&a.token(&claims))), (true, true));
}
