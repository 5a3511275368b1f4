//! Third-party clients against a real Envoy: curl over HTTP/1.1 and HTTP/2, a gRPC client and server, and a browser
//! with a page of another origin. `make setup` installs them (`tests/clients`).

use std::time::Duration;

use crate::gateway::{Gateway, Setup, minimal_configuration};
use serde_json::{Value, json};
use testbed::polling::until;
use testbed::programs::{GrpcServer, curl, grpc_calls};
use testbed::{
    CertificateAuthority, ClientCertificates, Cluster, DownstreamTls, ListenerOptions, Mode, TempDir, UserTokenRequest,
};

const NAME: &str = "api.acme.com";
const TLS: &str = "tls";

fn configuration() -> Value {
    let mut configuration = minimal_configuration();
    configuration["responses"] = json!({ "realm": "acme" });
    configuration["rules"] = json!([
        { "name": "read", "match": { "path_prefix": "/accounts", "methods": ["GET", "HEAD"] },
          "require": { "scopes": ["read:accounts"] } },
        { "name": "write", "match": { "path_prefix": "/accounts" }, "require": { "scopes": ["write:accounts"] } },
    ]);
    configuration
}

fn writer(gateway: &Gateway) -> String {
    let request = UserTokenRequest { scopes: "read:accounts write:accounts", ..UserTokenRequest::default() };
    gateway.idp.user_token(&request)
}

/// A header field of what a client saw; `""` where there is none.
fn field(response: &Value, name: &str) -> String {
    let fields = response["headers"].as_array().cloned().unwrap_or_default();
    let values: Vec<&str> =
        fields.iter().filter(|field| field[0] == name).filter_map(|field| field[1].as_str()).collect();
    values.join(", ")
}

#[test]
fn curl_gets_the_same_decisions_over_http_1_and_2_with_and_without_tls() {
    let directory = TempDir::with_prefix("clients-").expect("a temporary directory");
    let authority = CertificateAuthority::create(directory.path());
    let over_tls = ListenerOptions {
        tls: Some(DownstreamTls {
            certificate: authority.issue(NAME),
            clients: ClientCertificates::NotAsked,
            tls_inspector: false,
        }),
        ..ListenerOptions::filtered(TLS, &configuration())
    };
    let gateway =
        Setup { configuration: configuration(), more_listeners: vec![over_tls], workers: 1, ..Setup::default() }
            .start();
    let (reader, writer) = (gateway.alice(), writer(&gateway));
    let bearer = |token: &str| format!("Authorization: Bearer {token}");
    let challenge = |rest: &str| format!("Bearer realm=\"acme\"{rest}");
    let long = "x".repeat(3 << 20);
    let bare = challenge("");
    let scope = challenge(", error=\"insufficient_scope\", scope=\"write:accounts\"");
    let twice = challenge(", error=\"invalid_request\"");
    let invalid = challenge(", error=\"invalid_token\"");
    let calls = [
        ("GET", vec![bearer(&reader)], None, 200, String::new()),
        ("GET", vec![], None, 401, bare.clone()),
        ("GET", vec![bearer("x.y.z")], None, 401, invalid),
        ("GET", vec![bearer(&reader), bearer(&reader)], None, 400, twice),
        ("HEAD", vec![bearer(&reader)], None, 200, String::new()),
        ("HEAD", vec![], None, 401, bare.clone()),
        ("POST", vec![bearer(&writer)], Some("amount=7"), 200, String::new()),
        ("POST", vec![bearer(&reader)], Some("amount=7"), 403, scope),
        ("POST", vec![bearer(&writer)], Some(long.as_str()), 200, String::new()),
        ("POST", vec![], Some(long.as_str()), 401, bare),
    ];
    let plain = format!("http://{NAME}:{}/accounts/7?a=b", gateway.port());
    let secure = format!("https://{NAME}:{}/accounts/7?a=b", gateway.envoy.port(TLS));
    let roads = [("1.1", &plain), ("2-prior", &plain), ("1.1", &secure), ("2", &secure)];
    let mut transfers = Vec::new();
    for (http, url) in roads {
        for (method, headers, body, ..) in &calls {
            let resolve = [gateway.port(), gateway.envoy.port(TLS)].map(|port| format!("{NAME}:{port}:127.0.0.1"));
            transfers.push(json!({ "url": url, "method": method, "headers": headers, "body": body, "http": http,
                "ca": authority.ca_pem_path(), "resolve": resolve }));
        }
    }
    let responses = curl(&json!(transfers));
    let expected = roads.iter().flat_map(|road| calls.iter().map(move |call| (road, call)));
    for (((http, url), (method, headers, body, status, challenge)), response) in expected.zip(&responses) {
        let row = format!("{method} {url} over {http} with {} fields: {}", headers.len(), response["error"]);
        assert_eq!(response["status"], *status, "{row}");
        assert_eq!(response["http"], http.trim_end_matches("-prior"), "{row}");
        assert_eq!(field(response, "www-authenticate"), *challenge, "{row}");
        let text = response["body"].as_str().unwrap_or_default();
        if *method == "HEAD" {
            assert_eq!(text, "", "{row}");
        } else if *status == 200 {
            let echo: Value = serde_json::from_str(text).expect("the backend's echo");
            assert_eq!(echo["path"], "/accounts/7?a=b", "{row}");
            assert_eq!(echo["body_length"], body.unwrap_or_default().len(), "{row}");
            assert_eq!(field(&echo, "x-user-id"), "alice@acme.com", "{row}");
            assert_eq!(field(&echo, "authorization"), "", "{row}");
        } else {
            assert_eq!(field(response, "cache-control"), "no-store", "{row}");
            let told: Value = serde_json::from_str(text).expect("a JSON body");
            assert!(told["error"].is_string(), "{row}: {told}");
        }
    }
    let passed = calls.iter().filter(|(.., status, _)| *status == 200).count();
    assert_eq!(gateway.backend.count(), roads.len() * passed, "a refused request was forwarded");
    gateway.assert_no_trap();
}

#[test]
fn grpc_client_gets_grpc_statuses() {
    const OK: u64 = 0;
    const PERMISSION_DENIED: u64 = 7;
    const UNAVAILABLE: u64 = 14;
    const UNAUTHENTICATED: u64 = 16;
    let server = GrpcServer::start();
    let mut configuration = configuration();
    configuration["rules"] = json!([{ "name": "accounts", "match": { "path_prefix": "/acme.Accounts", "methods": ["POST"] },
        "require": { "scopes": ["read:accounts"] } }]);
    let gateway = Setup {
        configuration,
        listener: |listener| ListenerOptions { backend: "grpc".to_owned(), ..listener },
        more_clusters: vec![Cluster::http2_backend("grpc", server.port())],
        gate: Mode::Refuse,
        workers: 1,
        ..Setup::default()
    }
    .start();
    let call = |token: Option<&str>| {
        let calls = json!([{ "port": gateway.port(), "token": token, "message": "seven" }]);
        grpc_calls(&calls).remove(0)
    };
    let good = gateway.alice();
    // Without keys nobody can say whether a token is good: that is for later, and no fault of the client.
    let unavailable = call(Some(&good));
    assert_eq!(unavailable["code"], UNAVAILABLE, "{unavailable}");
    assert_eq!(unavailable["metadata"]["www-authenticate"], Value::Null, "{unavailable}");
    assert!(unavailable["metadata"]["retry-after"].is_string(), "{unavailable}");
    gateway.gate.set(Mode::Pass);
    gateway.wait_until_keys_are_held();

    let served = call(Some(&good));
    assert_eq!(served["code"], OK, "{served}");
    assert_eq!(served["answer"]["message"], "seven", "the message arrives");
    let seen = &served["answer"]["metadata"];
    assert_eq!(seen["x-user-id"], "alice@acme.com");
    assert_eq!(seen["authorization"], Value::Null, "the token goes no further: {seen}");

    let lacking = gateway.bent(json!({ "scp": ["other"] }));
    let expired = gateway.bent(json!({ "exp": testbed::authorization_server::now() - 600 }));
    for (token, code, challenge) in [
        (None, UNAUTHENTICATED, r#"Bearer realm="acme""#),
        (Some(&expired), UNAUTHENTICATED, r#"Bearer realm="acme", error="invalid_token""#),
        (
            Some(&lacking),
            PERMISSION_DENIED,
            r#"Bearer realm="acme", error="insufficient_scope", scope="read:accounts""#,
        ),
    ] {
        let refused = call(token.map(String::as_str));
        assert_eq!(refused["code"], code, "{refused}");
        assert_eq!(refused["metadata"]["www-authenticate"], challenge, "{refused}");
        assert_eq!(refused["answer"], Value::Null, "the server was called: {refused}");
    }
    gateway.assert_no_trap();
}

/// What a page of another origin sees. The browser's package is for x86-64 alone.
#[cfg(target_arch = "x86_64")]
mod browser {
    use testbed::programs::Browser;
    use testbed::{ScriptedResponse, ScriptedServer};

    use super::*;

    const PAGE: &str = include_str!("../clients/page.html");
    const BEFORE: &str = "cors before ours";
    const BEHIND: &str = "cors behind ours";
    const OURS: &str = "cors of ours besides";
    const CLOSED: &str = "no preflight passes";

    /// Serves the page, and what it is to ask for.
    fn site(calls: &Value) -> ScriptedServer {
        let calls = calls.clone();
        ScriptedServer::start(move |received, _| {
            match received.path.as_str() {
                "/" => ScriptedResponse::new(200, PAGE).header("content-type", "text/html"),
                "/calls" => ScriptedResponse::json(200, &calls),
                "/results" => ScriptedResponse::new(204, ""),
                _ => ScriptedResponse::new(404, ""),
            }
            .into()
        })
    }

    fn cors_filter() -> Value {
        json!({
            "name": "envoy.filters.http.cors",
            "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors"},
        })
    }

    /// Pages of this machine may come, with a token, and may read challenges.
    fn cors_policy() -> Value {
        json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy",
            "allow_origin_string_match": [{"prefix": "http://127.0.0.1:"}],
            "allow_methods": "GET, PUT",
            "allow_headers": "authorization, content-type",
            "expose_headers": "www-authenticate",
        })
    }

    fn listener(name: &str, bypass: bool) -> ListenerOptions {
        let mut configuration = configuration();
        configuration["bypass_cors_preflight"] = json!(bypass);
        ListenerOptions {
            typed_per_filter_config: json!({ "envoy.filters.http.cors": cors_policy() }),
            ..ListenerOptions::filtered(name, &configuration)
        }
    }

    /// With CORS fields of ours on refusals.
    fn readable(name: &str) -> ListenerOptions {
        let mut configuration = configuration();
        configuration["bypass_cors_preflight"] = json!(true);
        configuration["responses"]["cors"] = json!({ "allow_origins": ["*"] });
        ListenerOptions { plugin_configuration: Some(configuration.to_string()), ..listener(name, true) }
    }

    /// What the page saw of each call.
    fn seen_by_the_page(site: &ScriptedServer) -> Vec<Value> {
        let _browser = Browser::open(&format!("http://127.0.0.1:{}/", site.port()));
        until("the page's results", Duration::from_secs(90), || {
            let results = site.requests().into_iter().find(|request| request.path == "/results")?;
            Some(serde_json::from_slice(&results.body).expect("JSON"))
        })
    }

    #[test]
    fn page_of_another_origin_is_served_only_where_preflights_are_allowed() {
        let gateway = Setup {
            configuration: configuration(),
            more_listeners: vec![
                ListenerOptions { filters_before: vec![cors_filter()], ..listener(BEFORE, false) },
                ListenerOptions { filters_after: vec![cors_filter()], ..listener(BEHIND, true) },
                ListenerOptions { filters_after: vec![cors_filter()], ..readable(OURS) },
                ListenerOptions { filters_after: vec![cors_filter()], ..listener(CLOSED, false) },
            ],
            workers: 1,
            ..Setup::default()
        }
        .start();
        let (reader, writer) = (gateway.alice(), writer(&gateway));
        let call = |listener: &str, method: &str, token: Option<&str>| {
            let url = format!("http://127.0.0.1:{}/accounts/7", gateway.envoy.port(listener));
            json!({ "url": url, "method": method, "token": token, "body": (method == "PUT").then_some("{}") })
        };
        let (served, unreadable) = (json!({ "status": 200 }), json!({ "error": "TypeError" }));
        let refused =
            |status: u16, rest: &str| json!({ "status": status, "challenge": format!("Bearer realm=\"acme\"{rest}") });
        let scope = refused(403, ", error=\"insufficient_scope\", scope=\"write:accounts\"");
        let rows = [
            // In front of ours, Envoy's filter answers preflights itself and adds its headers to our refusals.
            (call(BEFORE, "GET", Some(&reader)), &served),
            (call(BEFORE, "PUT", Some(&writer)), &served),
            (call(BEFORE, "PUT", Some(&reader)), &scope),
            (call(BEFORE, "GET", Some("x.y.z")), &refused(401, ", error=\"invalid_token\"")),
            // Without a header that asks for one there is no preflight.
            (call(BEFORE, "GET", None), &refused(401, "")),
            // What a policy does not allow is no matter of tokens: the browser stops by itself.
            (call(BEFORE, "DELETE", Some(&writer)), &unreadable),
            // Behind ours it sees what passes: preflights too, where that is configured. A refusal of ours it never
            // sees, and the page may not read it.
            (call(BEHIND, "GET", Some(&reader)), &served),
            (call(BEHIND, "PUT", Some(&writer)), &served),
            (call(BEHIND, "PUT", Some(&reader)), &unreadable),
            (call(BEHIND, "GET", Some("x.y.z")), &unreadable),
            (call(BEHIND, "GET", None), &unreadable),
            (call(BEHIND, "DELETE", Some(&writer)), &unreadable),
            // Nor need it, where our refusals say themselves who may read them.
            (call(OURS, "GET", Some(&reader)), &served),
            (call(OURS, "PUT", Some(&reader)), &scope),
            (call(OURS, "GET", Some("x.y.z")), &refused(401, ", error=\"invalid_token\"")),
            (call(OURS, "GET", None), &refused(401, "")),
            // Where preflights need a token no page of another origin gets through: browsers send none with them.
            (call(CLOSED, "GET", Some(&reader)), &unreadable),
            (call(CLOSED, "PUT", Some(&writer)), &unreadable),
        ];
        let calls: Vec<&Value> = rows.iter().map(|(call, _)| call).collect();
        let site = site(&json!(calls));
        for ((call, expected), seen) in rows.iter().zip(seen_by_the_page(&site)) {
            let row = format!("{call}: {seen}");
            for name in ["status", "challenge", "error"] {
                assert_eq!(seen[name], expected[name], "{name}: {row}");
            }
            if expected["status"] == 200 {
                let body: Value = serde_json::from_str(seen["body"].as_str().unwrap_or_default()).expect("an echo");
                assert_eq!(field(&body, "x-user-id"), "alice@acme.com", "{row}");
                assert_eq!(field(&body, "origin"), format!("http://127.0.0.1:{}", site.port()), "{row}");
            }
        }
        let passed = rows.iter().filter(|(_, expected)| expected["status"] == 200).count();
        let methods: Vec<String> = gateway.backend.requests().into_iter().map(|request| request.method).collect();
        assert_eq!(methods.len(), passed, "the backend saw {methods:?}");
        // The browser did ask first, and where it was refused it asked no more.
        let log = gateway.envoy.log();
        let answered = |listener: &str, method: &str, code: u16| {
            let line = |line: &&str| {
                line.contains(&format!("access listener={listener} "))
                    && line.contains(&format!(" {method} /accounts/7 "))
                    && line.contains(&format!(" code={code} "))
            };
            log.lines().filter(line).count()
        };
        assert!(answered(BEFORE, "OPTIONS", 200) >= 2 && answered(BEHIND, "OPTIONS", 200) >= 2, "{log}");
        assert!(answered(CLOSED, "OPTIONS", 401) >= 2, "{log}");
        assert_eq!(answered(CLOSED, "GET", 401) + answered(CLOSED, "PUT", 401), 0, "{log}");
        gateway.assert_no_trap();
    }
}
