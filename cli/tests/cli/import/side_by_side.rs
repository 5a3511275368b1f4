//! Filters of several kinds, each as `jwt_authn` and as `import` converts it, in one Envoy: the filter never allows what
//! the original denies, and the backend never sees another identity.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use testbed::authorization_server::now;
use testbed::backend::Backend;
use testbed::{Cluster, Envoy, EnvoyBuilder, ListenerOptions, Request};

use super::import;
use crate::signing::{AUDIENCE, ISSUER, SigningKey, key_set, payload, with};

const OTHER: &str = "partner@idp.example";
/// Headers that some original below manages.
const MANAGED: [&str; 5] = ["x-user-id", "kubeflow-userid", "x-client", "x-scopes", "x-jwt-payload"];
/// Where a client puts a token.
const PLACES: [&str; 14] = [
    "bearer",
    "no space",
    "colon",
    "lower-case bearer",
    "other scheme",
    "behind another scheme",
    "x-token",
    "x-token with a prefix",
    "x-odd",
    "cookie",
    "access_token",
    "access%5Ftoken",
    "t",
    "nowhere",
];

fn provider(issuer: &str, key: &SigningKey, changes: Value) -> Value {
    let base = json!({ "issuer": issuer, "audiences": [AUDIENCE],
        "local_jwks": { "inline_string": key_set(&[key]).to_string() } });
    with(&base, changes)
}

/// The filters: a name, the original, and whether the listeners normalize paths.
fn filters() -> Vec<(&'static str, Value, bool)> {
    let (a, b) = (SigningKey::a("k1"), SigningKey::b("k2"));
    let one = |changes: Value| json!({ "okta": provider(ISSUER, &a, changes) });
    let two = |first: Value, second: Value| json!({ "okta": provider(ISSUER, &a, first), "partner": provider(OTHER, &b, second) });
    let maybe = json!({ "allow_missing": {} });
    let either =
        json!({ "requires_any": { "requirements": [{ "provider_name": "okta" }, { "provider_name": "partner" }] } });
    let rules = |first: Value| {
        json!([
            { "match": { "prefix": "/maybe" }, "requires": maybe },
            { "match": { "prefix": "/lenient" }, "requires": { "allow_missing_or_failed": {} } },
            { "match": { "path": "/open" } },
            { "match": { "prefix": "/" }, "requires": first },
        ])
    };
    let claim = |header: &str, claim: &str| json!([{ "header_name": header, "claim_name": claim }]);
    vec![
        // Kubeflow: one header from different claims of two issuers.
        (
            "kubeflow",
            json!({
            "providers": two(
                json!({ "forward": true, "claim_to_headers": claim("kubeflow-userid", "email"),
                    "from_headers": [{ "name": "Authorization", "value_prefix": "Bearer " }], "forward_payload_header": "x-jwt-payload" }),
                json!({ "forward": true, "claim_to_headers": claim("kubeflow-userid", "sub") })),
            "rules": rules(either.clone()) }),
            true,
        ),
        (
            "default locations",
            json!({
            "providers": one(json!({ "forward": true, "claim_to_headers": claim("x-user-id", "sub") })),
            "rules": rules(json!({ "provider_name": "okta" })), "bypass_cors_preflight": true }),
            true,
        ),
        (
            "locations of one provider",
            json!({
            "providers": two(
                json!({ "from_headers": [{ "name": "x-token" }], "from_cookies": ["session"], "from_params": ["t"] }),
                json!({ "from_headers": [{ "name": "x-token" }, { "name": "x-odd", "value_prefix": "token=" }], "from_params": ["access_token"] })),
            "rules": rules(json!({ "provider_name": "okta" })) }),
            true,
        ),
        (
            "prefixes",
            json!({
            "providers": one(json!({ "forward": true, "from_headers": [
                { "name": "x-odd", "value_prefix": "token=" }, { "name": "x-token", "value_prefix": "Token " },
                { "name": "authorization", "value_prefix": "Bearer " }] })),
            "rules": rules(json!({ "provider_name": "okta" })) }),
            true,
        ),
        (
            "a prefix without a space",
            json!({
            "providers": one(json!({ "forward": true, "from_headers": [{ "name": "Authorization", "value_prefix": "Bearer" }] })),
            "rules": rules(json!({ "provider_name": "okta" })) }),
            true,
        ),
        (
            "a prefix without a space of one provider",
            json!({
            "providers": two(
                json!({ "from_headers": [{ "name": "x-token" }, { "name": "Authorization", "value_prefix": "Bearer" }] }),
                json!({ "from_headers": [{ "name": "x-token" }] })),
            "rules": rules(either.clone()) }),
            true,
        ),
        (
            "requires_all",
            requires_all(&two(
                json!({ "forward": true, "audiences": ["https://api.acme.com/", AUDIENCE] }),
                json!({ "forward": true }),
            )),
            true,
        ),
        (
            "requires_all without forward",
            requires_all(&two(json!({ "audiences": ["https://api.acme.com/", AUDIENCE] }), json!({}))),
            true,
        ),
        (
            "client and scopes",
            json!({
            "providers": one(json!({ "forward_payload_header": "x-jwt-payload", "pad_forward_payload_header": false, "claim_to_headers": [
                { "header_name": "x-client", "claim_name": "client_id" }, { "header_name": "x-scopes", "claim_name": "scope" },
                { "header_name": "x-user-id", "claim_name": "sub" }] })),
            "rules": rules(json!({ "provider_name": "okta" })) }),
            true,
        ),
        (
            "audiences",
            json!({
                "providers": one(json!({ "audiences": ["https://api.acme.com/"], "clock_skew_seconds": 10, "max_lifetime": "1800s" })),
                "rules": [
                    { "match": { "prefix": "/maybe" }, "requires": { "provider_and_audiences": { "provider_name": "okta", "audiences": ["api://default"] } } },
                    { "match": { "prefix": "/" }, "requires": { "provider_name": "okta" } }],
            }),
            true,
        ),
        (
            "paths",
            json!({ "providers": one(json!({})), "rules": [
            { "match": { "path": "/keys:list" } },
            { "match": { "safe_regex": { "regex": "/open|/x.*" } } },
            { "match": { "safe_regex": { "regex": "/lenient" }, "case_sensitive": false } },
            { "match": { "path_separated_prefix": "/seg" } },
            { "match": { "path": "/MAYBE", "case_sensitive": false }, "requires": maybe },
            { "match": { "prefix": "/keys" }, "requires": { "provider_name": "okta" } },
            { "match": { "prefix": "/adm%69n" }, "requires": { "provider_name": "okta" } },
            { "match": { "prefix": "/a" } },
            { "match": { "prefix": "/" }, "requires": { "provider_name": "okta" } },
        ] }),
            false,
        ),
    ]
}

fn requires_all(providers: &Value) -> Value {
    let maybe = json!({ "allow_missing": {} });
    json!({ "providers": providers, "rules": [
                { "match": { "prefix": "/maybe" }, "requires": { "requires_all": { "requirements": [
                    { "provider_name": "okta" }, { "provider_and_audiences": { "provider_name": "okta", "audiences": ["http://api.acme.com"] } }] } } },
                { "match": { "prefix": "/lenient" }, "requires": { "requires_all": { "requirements": [
                    { "provider_name": "okta" }, { "provider_name": "partner" }] } } },
                { "match": { "prefix": "/open" }, "requires": { "requires_all": { "requirements": [
                    { "requires_any": { "requirements": [{ "provider_name": "okta" }, { "provider_name": "partner" }] } },
                    { "requires_any": { "requirements": [{ "provider_name": "partner" }, maybe.clone()] } }] } } },
                { "match": { "prefix": "/" }, "requires": { "requires_all": { "requirements": [
                    { "provider_name": "okta" }, maybe.clone()] } } },
            ] })
}

struct Pairs {
    envoy: Envoy,
    _backend: Backend,
}

fn start(filters: &[(&str, Value, bool)]) -> Pairs {
    let backend = Backend::start();
    let mut builder = EnvoyBuilder::new().concurrency(1).cluster(Cluster::backend("backend", backend.port()));
    for (name, filter, normalizes) in filters {
        let imported = import("envoy-jwt-authn", &filter.to_string());
        assert_eq!(imported.status, 0, "{name}: {}", imported.transcript());
        let ours = ListenerOptions::filtered(&format!("ours {name}"), &imported.json());
        let theirs = json!({ "name": "envoy.filters.http.jwt_authn", "typed_config": with(filter, json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication" })) });
        let theirs =
            ListenerOptions { filters_before: vec![theirs], ..ListenerOptions::unfiltered(&format!("theirs {name}")) };
        for options in [ours, theirs] {
            builder = builder.listener(ListenerOptions { path_normalization: *normalizes, ..options });
        }
    }
    Pairs { envoy: builder.start(), _backend: backend }
}

fn tokens() -> Vec<(&'static str, String)> {
    let (a, b) = (SigningKey::a("k1"), SigningKey::b("k2"));
    let now = now();
    let claims = with(
        &payload(now),
        json!({ "cid": null, "scp": null, "azp": "0oa1azp", "email": "alice@acme.com",
        "iat": now - 60, "exp": now + 1000 }),
    );
    let token = |key: &SigningKey, changes: Value| key.token(&with(&claims, changes));
    vec![
        ("good", token(&a, json!({}))),
        ("with client and scope", token(&a, json!({ "client_id": "0oa1", "scope": "read write" }))),
        ("of the partner", token(&b, json!({ "iss": OTHER }))),
        ("forged", token(&b, json!({}))),
        ("expired", token(&a, json!({ "iat": now - 900, "exp": now - 300 }))),
        ("for another audience", token(&a, json!({ "aud": "https://api.acme.com/" }))),
        ("for the same audience without a scheme", token(&a, json!({ "aud": ["api.acme.com"] }))),
        ("for the same audience with another scheme", token(&a, json!({ "aud": "http://api.acme.com" }))),
        ("for more of the audience", token(&a, json!({ "aud": "https://api.acme.com//" }))),
        ("issued ahead", token(&a, json!({ "iat": now + 40, "exp": now + 1830, "aud": "https://api.acme.com/" }))),
    ]
}

/// A request with a token in a place, and with managed headers of the client's own.
fn request(path: &str, place: &str, token: &str) -> Request {
    let query = |name: &str| Request::get(format!("{path}?{name}={token}"));
    let get = Request::get(path);
    let request = match place {
        "bearer" => get.bearer(token),
        "no space" => get.header("authorization", format!("Bearer{token}")),
        "colon" => get.header("authorization", format!("Bearer:{token}")),
        "lower-case bearer" => get.header("authorization", format!("bearer {token}")),
        "other scheme" => get.header("authorization", format!("xBearer {token}")),
        "behind another scheme" => get.header("authorization", format!("Basic YTpi Bearer {token}")),
        "x-token" => get.header("x-token", token),
        "x-token with a prefix" => get.header("x-token", format!("Token {token}")),
        "x-odd" => get.header("x-odd", format!("token={token}")),
        "cookie" => get.header("cookie", format!("a=b; session={token}")),
        "access_token" | "access%5Ftoken" | "t" => query(place),
        _ => get,
    };
    MANAGED.iter().fold(request, |request, name| request.header(name, "admin")).header("Kubeflow_Userid", "admin")
}

/// The status, and what the backend saw of managed headers.
fn outcome(request: &Request, port: u16) -> (u16, BTreeMap<String, Vec<String>>) {
    let response = request.send(port);
    let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    if response.status == 200 {
        for pair in response.json()["headers"].as_array().unwrap() {
            let name = pair[0].as_str().unwrap().to_ascii_lowercase().replace('_', "-");
            if MANAGED.contains(&name.as_str()) {
                seen.entry(name).or_default().push(pair[1].as_str().unwrap().to_owned());
            }
        }
    }
    (response.status, seen)
}

#[test]
fn imported_filter_allows_no_request_and_forwards_no_identity_that_the_original_does_not() {
    let filters = filters();
    let pairs = start(&filters);
    let tokens = tokens();
    let mut allowed: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, filter, _) in &filters {
        let (ours, theirs) = (pairs.envoy.port(&format!("ours {name}")), pairs.envoy.port(&format!("theirs {name}")));
        // What the original manages; an original leaves the others to the client, and so does the filter.
        let is_managed = |header: &&&str| filter.to_string().contains(**header);
        let check = |what: &str, request: &Request| {
            let ((our_status, ours), (their_status, theirs)) = (outcome(request, ours), outcome(request, theirs));
            assert!(our_status != 200 || their_status == 200, "{name}, {what}: allowed here, {their_status} there");
            for header in MANAGED.iter().filter(is_managed).filter(|_| our_status == 200) {
                let (our, their) = (ours.get(*header), theirs.get(*header));
                assert!(our.is_none() || our == their, "{name}, {what}: {header} is {our:?} here, {their:?} there");
            }
            our_status == 200
        };
        for path in ["/", "/maybe", "/lenient", "/open"] {
            let preflight = |method: &str, origin: &str, asked: &str| {
                let request = Request::new(method, path).header("origin", origin);
                request.header("access-control-request-method", asked).bearer(&tokens[3].1)
            };
            check("preflight", &preflight("OPTIONS", "https://app.acme.com", "PUT"));
            check("preflight without a method", &preflight("OPTIONS", "https://app.acme.com", ""));
            check("not a preflight", &preflight("GET", "https://app.acme.com", "PUT"));
            for (kind, token) in &tokens {
                for place in PLACES {
                    let is_allowed =
                        check(&format!("{path} with a token {kind} in {place}"), &request(path, place, token));
                    *allowed.entry(name).or_default() += usize::from(is_allowed);
                }
            }
        }
        for path in [
            "/keys:list",
            "/keys%3Alist",
            "/keys:list/",
            "/open/",
            "/open//",
            "/x/y/",
            "/LENIENT",
            "/lenient/",
            "/seg",
            "/seg/x",
            "//seg/x",
            "/segment",
            "/Maybe",
            "/admin",
            "/adm%69n",
            "/a/../keys",
            "/keys/../a",
            "/./open",
            "/%6fpen",
            "/a;x/../keys",
            "/a",
            "/MAYBE",
        ] {
            for place in ["nowhere", "bearer"] {
                check(&format!("{path} with a forged token in {place}"), &request(path, place, &tokens[3].1));
            }
        }
    }
    for (name, count) in allowed {
        assert!(count >= 4, "{name}: {count} requests are allowed, the comparison shows nothing");
    }
}
