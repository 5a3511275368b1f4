//! Constructs of Istio and Envoy, each with its conversion.

use std::fs;

use serde_json::{Value, json};

use super::istio_model::Scene;
use super::istio_rules::Request;
use super::{import, jwt_authn};
use crate::signing::{ISSUER, SigningKey, key_set, with};
use crate::tool::root;

const NOW: u64 = 1_800_000_000;

fn authentication(changes: Value) -> Value {
    let key = SigningKey::a("k1");
    let rule = with(&json!({ "issuer": ISSUER, "jwks": key_set(&[&key]).to_string() }), changes);
    json!({ "apiVersion": "security.istio.io/v1", "kind": "RequestAuthentication", "spec": { "jwtRules": [rule] } })
}

fn policy(spec: Value) -> Value {
    json!({ "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "spec": spec })
}

fn imported(documents: &[Value]) -> crate::tool::Run {
    import("istio", &documents.iter().map(Value::to_string).collect::<Vec<_>>().join("\n---\n"))
}

fn converted(documents: &[Value]) -> Value {
    let found = imported(documents);
    assert_eq!(found.status, 0, "{}", found.transcript());
    found.json()
}

fn request_of<'a>(method: &'a str, authority: &'a str, target: &'a str, claims: &'a Value) -> Request<'a> {
    let claims = Some(claims).filter(|claims| !claims.is_null());
    Request { method, target, authority, claims, channel: None, address: "10.1.2.3", port: "8080", split_claims: &[] }
}

/// Whether a request is allowed: a method and a target, with these claims or without a token.
struct Evaluator(Scene);

impl Evaluator {
    fn of(policies: &[Value]) -> Self {
        let documents: Vec<Value> = [authentication(json!({}))].iter().chain(policies).cloned().collect();
        Self(Scene::of(&converted(&documents).to_string()))
    }

    fn allows(&mut self, request: &str, claims: Option<Value>) -> bool {
        let (method, target) = request.split_once(' ').unwrap();
        let (authority, target) = target.split_at(target.find('/').unwrap());
        let authority = if authority.is_empty() { "a.example" } else { authority };
        let key = SigningKey::a("k1");
        let claims = claims.map(|claims| with(&json!({ "iss": ISSUER, "sub": "alice", "exp": NOW + 600 }), claims));
        let credential = claims.as_ref().map(|claims| format!("Bearer {}", key.token(claims)));
        let nothing = Value::Null;
        let request = request_of(method, authority, target, claims.as_ref().unwrap_or(&nothing));
        self.0.allows(&request, credential.as_deref())
    }
}

#[test]
fn deny_without_a_principal_but_at_not_paths_needs_a_token_elsewhere() {
    let deny = |operation: Value| {
        policy(json!({ "action": "DENY", "rules": [
            { "from": [{ "source": { "notRequestPrincipals": ["*"] } }], "to": [{ "operation": operation }] }] }))
    };
    let not_paths = deny(json!({ "notPaths": ["/healthz", "/public/*", "*.css"] }));
    let allow_all = policy(json!({ "rules": [{}] }));
    let allow_some = policy(json!({ "rules": [
        { "from": [{ "source": { "requestPrincipals": ["*"] } }] }, { "to": [{ "operation": { "paths": ["/healthz", "/public/*"] } }] }] }));
    for more in [None, Some(allow_all), Some(allow_some)] {
        let policies: Vec<Value> = std::iter::once(not_paths.clone()).chain(more.clone()).collect();
        let mut judge = Evaluator::of(&policies);
        for open in ["GET /healthz", "GET /public/x", "POST /public/"] {
            assert!(judge.allows(open, None), "{open} {more:?}");
            assert!(judge.allows(open, Some(json!({}))), "{open} {more:?}");
        }
        for closed in [
            "GET /",
            "GET /admin",
            "GET /healthz2",
            "GET /%68ealthz",
            "GET /public/../admin",
            "GET /admin?x=/public/a.css",
        ] {
            assert!(!judge.allows(closed, None), "{closed} {more:?}");
        }
        assert!(judge.allows("GET /admin", Some(json!({}))), "{more:?}");
        assert!(!judge.allows("GET /admin", Some(json!({ "sub": null }))), "{more:?}");
    }
    let mut judge = Evaluator::of(&[deny(json!({ "notMethods": ["GET"], "paths": ["/api*"] }))]);
    assert!(judge.allows("POST /api", Some(json!({}))) && !judge.allows("POST /api", None));
    assert!(judge.allows("GET /other", None));
}

#[test]
fn deny_with_exceptions_and_no_token_becomes_a_condition_of_allowed_requests() {
    let rows = [
        (json!({ "notHosts": ["a.example"] }), "GET a.example/x", "GET b.example/x"),
        (json!({ "notMethods": ["GET", "P*"] }), "POST /x", "DELETE /x"),
        (json!({ "notPaths": ["/open"] }), "GET /open", "GET /%6fpen"),
        (json!({ "notPaths": ["*.css"] }), "GET /a.css?x", "GET /a.cs%73?x=.css"),
        (json!({ "notPaths": ["/open/{*}"] }), "GET /open/a", "GET /open/a/b?/open/a"),
        (json!({ "paths": ["/x*"], "notPaths": ["/x/y"] }), "GET /x/y", "GET /x/z"),
        (json!({ "notPorts": ["8443"], "paths": ["/x"] }), "GET /y", "GET /x"),
        (json!({ "ports": ["8080"], "paths": ["/x"] }), "GET /y", "GET /x"),
    ];
    for (operation, passes, denied) in rows {
        let mut judge =
            Evaluator::of(&[policy(json!({ "action": "DENY", "rules": [{ "to": [{ "operation": operation }] }] }))]);
        assert!(judge.allows(passes, None) && judge.allows(passes, Some(json!({}))), "{operation}: {passes}");
        assert!(!judge.allows(denied, None) && !judge.allows(denied, Some(json!({}))), "{operation}: {denied}");
    }
}

#[test]
fn a_condition_without_values_allows_nothing_and_denies_everything() {
    let policies = |action: &str| {
        policy(json!({ "action": action, "rules": [{ "when": [{ "key": "request.auth.claims[groups]" }] }] }))
    };
    for action in ["ALLOW", "DENY"] {
        let mut judge = Evaluator::of(&[policies(action)]);
        assert!(!judge.allows("GET /", None) && !judge.allows("GET /", Some(json!({ "groups": ["a"] }))), "{action}");
    }
}

#[test]
fn scopes_are_split_where_istio_splits_them() {
    let allow = |claim: &str| {
        policy(
            json!({ "rules": [{ "when": [{ "key": format!("request.auth.claims[{claim}]"), "values": ["read"] }] }] }),
        )
    };
    for (claim, splits) in [("scope", true), ("permission", true), ("scp", false)] {
        let mut judge = Evaluator::of(&[allow(claim)]);
        let mut allows = |value: Value| judge.allows("GET /", Some(json!({ claim: value })));
        assert!(allows(json!("read")) && allows(json!(["write", "read"])), "{claim}");
        assert!(!allows(json!("reader")) && !allows(json!(["write"])) && !allows(json!(null)), "{claim}");
        assert_eq!(allows(json!("write read")), splits, "{claim}");
    }
    // The filter reads one claim of scopes: a token cannot bring its scopes in the other one.
    let mut judge = Evaluator::of(&[allow("scope")]);
    assert!(!judge.allows("GET /", Some(json!({ "scp": ["read"] }))));
    assert!(judge.allows("GET /", Some(json!({ "scp": ["write"], "scope": "read" }))));
    // One of two issuers splits a claim.
    const OTHER: &str = "https://b.example";
    let (a, b) = (SigningKey::a("k1"), SigningKey::b("k2"));
    let mut two = authentication(json!({ "spaceDelimitedClaims": ["teams"] }));
    let jwks = key_set(&[&b]).to_string();
    two["spec"]["jwtRules"].as_array_mut().unwrap().push(json!({ "issuer": OTHER, "jwks": jwks }));
    let mut scene = Scene::of(&converted(&[two, allow("teams")]).to_string());
    for (key, issuer, teams, is_allowed) in [
        (&a, ISSUER, "write read", true),
        (&a, ISSUER, "write", false),
        (&b, OTHER, "write read", false),
        (&b, OTHER, "read", true),
    ] {
        let claims = json!({ "iss": issuer, "sub": "alice", "exp": NOW + 600, "teams": teams });
        let credential = format!("Bearer {}", key.token(&claims));
        assert_eq!(
            scene.allows(&request_of("GET", "a.example", "/", &claims), Some(&credential)),
            is_allowed,
            "{claims}"
        );
    }
}

#[test]
fn rule_for_some_requests_does_not_apply_to_others() {
    let bob = format!("{ISSUER}/bob");
    let deny = policy(json!({ "action": "DENY", "rules": [
        { "from": [{ "source": { "notRequestPrincipals": [bob] } }], "to": [{ "operation": { "paths": ["/api*"] } }] }] }));
    let allow = policy(json!({ "rules": [
        { "from": [{ "source": { "requestPrincipals": ["*"] } }] }, { "to": [{ "operation": { "paths": ["/api/open*"] } }] }] }));
    let mut judge = Evaluator::of(&[deny, allow]);
    let mut allows = |request: &str, subject: &str| judge.allows(request, Some(json!({ "sub": subject })));
    assert!(allows("GET /other", "alice") && allows("GET /other", "bob") && allows("GET /api/x", "bob"));
    assert!(!allows("GET /api/x", "alice") && !allows("GET /api/open/x", "alice") && allows("GET /api/open/x", "bob"));
    assert!(!judge.allows("GET /api/open/x", None) && !judge.allows("GET /other", None));
}

#[test]
fn an_okta_issuer_becomes_the_preset_and_keys_come_through_istios_cluster() {
    const OKTA: &str = "https://acme.okta.com/oauth2/aus1";
    let provider = |issuer: &str, uri: Option<&str>, namespace: Option<&str>| {
        let mut document = authentication(json!({ "issuer": issuer, "jwksUri": uri, "jwks": null }));
        document["metadata"] = json!({ "namespace": namespace });
        converted(&[document])["providers"]["issuer-0"].clone()
    };
    for uri in [None, Some("https://acme.okta.com/oauth2/aus1/v1/keys")] {
        let found = provider(OKTA, uri, None);
        assert_eq!(found["okta"], json!({ "domain": "acme.okta.com", "authorization_server": "aus1" }));
        assert_eq!(found["clock_skew"], "60s", "the preset allows more than jwt_authn");
        assert_eq!((&found["issuer"], &found["jwks"]), (&Value::Null, &Value::Null));
        assert_eq!(found["upstream"], "outbound|443||acme.okta.com");
    }
    for (issuer, uri) in [
        (OKTA, Some("https://mirror.acme.com/keys")),
        ("https://login.acme.com/oauth2/default", None),
        ("https://acme.okta.com.evil.example/oauth2/default", None),
        ("https://acme.okta.com/oauth2/default/x", None),
    ] {
        let found = provider(issuer, uri, None);
        assert_eq!((&found["issuer"], &found["okta"]), (&json!(issuer), &Value::Null));
    }
    for (uri, namespace, cluster) in [
        ("https://idp.acme.com/keys", None, "outbound|443||idp.acme.com"),
        ("https://idp.acme.com:8443", None, "outbound|8443||idp.acme.com"),
        ("http://jwks.prod.svc.cluster.local/keys?x=https://a:1", None, "outbound|80||jwks.prod.svc.cluster.local"),
        ("http://jwks:8000/keys", Some("prod"), "outbound|8000||jwks.prod.svc.cluster.local"),
        ("http://jwks.prod.svc/keys", Some("x"), "outbound|80||jwks.prod.svc.cluster.local"),
    ] {
        assert_eq!(provider("https://idp.acme.com", Some(uri), namespace)["upstream"], cluster, "{uri}");
    }
    let filter = json!({ "clock_skew_seconds": 10, "remote_jwks": { "http_uri": { "uri": "https://acme.okta.com/oauth2/default/v1/keys" } } });
    let found = import("envoy-jwt-authn", &jwt_authn(&json!({ "providers": { "okta": filter } })).to_string());
    let provider = &found.json()["providers"]["okta"];
    assert_eq!((&provider["clock_skew"], &provider["okta"]["domain"]), (&json!("10s"), &json!("acme.okta.com")));
}

#[test]
fn audiences_are_those_that_jwt_authn_treats_as_equal() {
    let audiences = |names: Value| {
        converted(&[authentication(json!({ "audiences": names }))])["providers"]["issuer-0"]["audiences"].clone()
    };
    let all = [
        "api.acme.com",
        "api.acme.com/",
        "http://api.acme.com",
        "http://api.acme.com/",
        "https://api.acme.com",
        "https://api.acme.com/",
    ];
    for name in ["api.acme.com", "https://api.acme.com/"] {
        let mut found: Vec<String> = serde_json::from_value(audiences(json!([name]))).unwrap();
        found.sort();
        assert_eq!(found, all);
    }
    assert_eq!(audiences(json!(["https://a.b//"])), json!(["https://a.b//", "a.b//", "http://a.b//"]));
    assert_eq!(audiences(json!(["api://default", "0oa1"])), json!(["api://default", "0oa1"]));
}

#[test]
fn non_url_issuer_is_kept_where_the_keys_have_an_address() {
    for issuer in ["testing@secure.istio.io", "accounts.google.com", "http://dex.auth.svc:5556/dex"] {
        let found = converted(&[authentication(
            json!({ "issuer": issuer, "jwksUri": "https://idp.acme.com/keys", "jwks": null }),
        )]);
        let provider = &found["providers"]["issuer-0"];
        assert_eq!((&provider["issuer"], &provider["insecure_http"]), (&json!(issuer), &Value::Null));
        assert_eq!(provider["upstream"], "outbound|443||idp.acme.com");
        let filter = jwt_authn(&json!({ "providers": { "okta": { "issuer": issuer } } }));
        let found = import("envoy-jwt-authn", &filter.to_string());
        assert_eq!(found.status, 0, "{}", found.transcript());
        assert_eq!(found.json()["providers"]["okta"]["issuer"], issuer);
    }
    let found = imported(&[authentication(json!({ "issuer": "testing@secure.istio.io", "jwks": null }))]);
    assert!(found.status == 1 && found.stderr.contains("write `jwks.uri`"), "{}", found.transcript());
}

#[test]
fn routing_stays_with_istio_unless_it_reads_claims() {
    let virtual_service = |header: &str| {
        json!({ "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "spec": { "http": [{ "match": [{ "headers": { header: { "exact": "a" } } }] }] } })
    };
    let found = imported(&[authentication(json!({})), virtual_service("x-a")]);
    assert!(found.status == 0 && found.stderr.contains("VirtualService routes requests"), "{}", found.transcript());
    let found = imported(&[authentication(json!({})), virtual_service("@request.auth.claims.group")]);
    assert!(found.status == 1 && found.stderr.contains("routes by `@request.auth`"), "{}", found.transcript());
    let found = imported(&[policy(json!({}))]);
    assert!(found.status == 1 && found.stderr.contains("there is no jwtRules"), "{}", found.transcript());
    let selected = with(&policy(json!({ "selector": { "matchLabels": { "app": "x" } }, "rules": [{}] })), json!({}));
    let found = imported(&[authentication(json!({})), selected]);
    assert!(found.status == 0 && found.stderr.contains("give the plugin this selector"), "{}", found.transcript());
}

/// Istio evaluates conditions after it wrote the header; here they see what the client sent.
#[test]
fn a_condition_on_a_header_that_the_filter_manages_is_not_converted() {
    let policies = |key: &str| {
        let key = format!("request.headers[{key}]");
        let authentication = json!({ "apiVersion": "security.istio.io/v1", "kind": "RequestAuthentication",
            "spec": { "jwtRules": [{ "issuer": ISSUER, "jwksUri": "https://idp.acme.com/keys",
                "outputClaimToHeaders": [{ "header": "x-user-id", "claim": "sub" }] }] } });
        let policy = json!({ "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
            "spec": { "rules": [{ "when": [{ "key": key, "values": ["alice"] }] }] } });
        let found = import("istio", &format!("{authentication}\n---\n{policy}"));
        assert_eq!(found.status, 0, "{}", found.transcript());
        found.json()["rules"].as_array().unwrap().len()
    };
    assert_eq!(policies("x-channel"), 1);
    for managed in ["x-user-id", "X-User-Id", "x_user_id", "Authorization"] {
        assert_eq!(policies(managed), 0, "{managed}");
    }
}

#[test]
fn the_original_documents_of_the_guides_are_imported() {
    for (from, page) in [("istio", "from-istio"), ("envoy-jwt-authn", "from-jwt-authn")] {
        let text = fs::read_to_string(root().join(format!("docs/guides/{page}.md"))).unwrap();
        let originals: Vec<&str> =
            text.split("```yaml theirs\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
        assert!(!originals.is_empty(), "{page}");
        for original in originals {
            let found = import(from, original);
            assert_eq!(found.status, 0, "{page}: {}", found.transcript());
        }
    }
}

/// Two `jwtRules` of one issuer, with keys and audiences of their own; the claim `tier` is a list in tokens of the second.
fn rules_of_one_issuer(first: Value, second: Value) -> Value {
    let rule = |key: &SigningKey, changes: Value| {
        with(&json!({ "issuer": ISSUER, "jwks": key_set(&[key]).to_string() }), changes)
    };
    let rules = [
        rule(&SigningKey::a("k1"), with(&json!({ "audiences": ["orders"] }), first)),
        rule(
            &SigningKey::b("k1"),
            with(&json!({ "audiences": ["payments"], "spaceDelimitedClaims": ["tier"] }), second),
        ),
    ];
    json!({ "apiVersion": "security.istio.io/v1", "kind": "RequestAuthentication", "spec": { "jwtRules": rules } })
}

#[test]
fn jwt_rules_of_one_issuer_are_imported_when_their_audiences_differ() {
    let condition = json!({ "key": "request.auth.claims[tier]", "values": ["read"] });
    let documents = [rules_of_one_issuer(json!({}), json!({})), policy(json!({ "rules": [{ "when": [condition] }] }))];
    let found = imported(&documents);
    assert!(
        found.stderr.contains("have one issuer: a token with audiences of both is rejected"),
        "{}",
        found.transcript()
    );
    let mut scene = Scene::of(&converted(&documents).to_string());
    let (a, b) = (SigningKey::a("k1"), SigningKey::b("k1"));
    for (key, audience, tier, expected) in [
        (&a, json!("orders"), "read", true),
        (&b, json!("payments"), "read", true),
        (&b, json!("payments"), "read write", true),
        (&a, json!("orders"), "read write", false),
        (&a, json!("payments"), "read", false),
        (&b, json!("orders"), "read", false),
        (&a, json!(["orders", "payments"]), "read", false),
        (&b, json!(["orders", "payments"]), "read write", false),
        (&a, json!("other"), "read", false),
    ] {
        let claims = json!({ "iss": ISSUER, "sub": "alice", "exp": NOW + 600, "aud": audience, "tier": tier });
        let credential = format!("Bearer {}", key.token(&claims));
        let request = request_of("GET", "a.example", "/", &claims);
        assert_eq!(scene.allows(&request, Some(&credential)), expected, "{claims}");
    }
    for (first, second, said) in [
        (json!({}), json!({ "audiences": null }), "one of them has no audiences"),
        (json!({ "audiences": null }), json!({}), "one of them has no audiences"),
        (json!({ "audiences": ["orders", "x"] }), json!({ "audiences": ["y", "x"] }), "both have the audience \"x\""),
        (
            json!({ "audiences": ["https://api.acme.com/"] }),
            json!({ "audiences": ["api.acme.com"] }),
            "both have the audience",
        ),
    ] {
        let found = imported(&[rules_of_one_issuer(first, second)]);
        assert!(found.status == 1 && found.stdout.is_empty(), "{}", found.transcript());
        assert!(
            found.stderr.contains(said) && !found.stderr.contains("would reject the result"),
            "{}",
            found.transcript()
        );
    }
}
