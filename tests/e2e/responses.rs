//! Rejections in a real Envoy, as each kind of client gets them: scripts of other origins (with Envoy's own CORS filter and
//! without), browsers, gRPC clients over HTTP/2 and HTTP/1.1, and `HEAD`.

use std::process::Command;

use crate::gateway::{Gateway, Setup, minimal_configuration};
use serde_json::{Value, json};
use testbed::{ListenerOptions, Request, Response};

const APP: &str = "https://app.acme.com";
const TYPE: &str = "type.googleapis.com/envoy.extensions.filters.http.cors.v3";

fn configuration() -> Value {
    let mut configuration = minimal_configuration();
    configuration["token"] = json!({
        "from_headers": [{ "name": "authorization", "scheme": "Bearer" }],
        "from_cookies": ["access_token"], "from_params": ["access_token"] });
    configuration["rules"] = json!([
        { "match": { "path": "/pay" }, "require": { "acr": "urn:okta:loa:2fa:any", "max_age": "15m" }, "redirect_browsers": true },
        { "match": { "path": "/reports" }, "require": { "groups": ["finance"] } },
        { "match": { "path": "/closed" }, "access": "deny" },
    ]);
    configuration["default_rule"] = json!({ "redirect_browsers": true });
    configuration["responses"] = json!({
        "realm": "acme",
        "custom": { "forbidden": {
            "body": "<h1>Not yours</h1>", "content_type": "text/html; charset=utf-8", "headers": { "x-support": "help@acme.com" } } },
        "cors": { "allow_origins": [APP, "https://*.shop.acme.com"], "allow_credentials": true },
        "login": { "url": "https://app.acme.com/login", "return_base": "https://shop.acme.com" },
    });
    configuration
}

/// A listener with Envoy's CORS filter in front of ours, as a gateway for single-page apps has it.
fn behind_the_cors_filter(name: &str) -> ListenerOptions {
    let mut listener = ListenerOptions::filtered(name, &configuration());
    listener.filters_before =
        vec![json!({ "name": "envoy.filters.http.cors", "typed_config": { "@type": format!("{TYPE}.Cors") } })];
    listener.typed_per_filter_config = json!({ "envoy.filters.http.cors": {
        "@type": format!("{TYPE}.CorsPolicy"),
        "allow_origin_string_match": [{ "exact": APP }, { "exact": "https://envoy-only.example" }],
        "allow_methods": "GET, PUT", "expose_headers": "x-from-envoy", "allow_credentials": true,
    } });
    listener
}

fn start() -> Gateway {
    let configuration = configuration();
    Setup { configuration, more_listeners: vec![behind_the_cors_filter("cors")], workers: 1, ..Setup::default() }
        .start()
}

#[test]
fn each_kind_of_client_gets_its_response_format() {
    let gateway = start();
    let port = gateway.port();
    let (token, expired) =
        (gateway.alice(), gateway.bent(json!({ "exp": testbed::authorization_server::now() - 600 })));
    let page = |request: Request| request.header("accept", "text/html,*/*;q=0.8");

    // A browser goes to the log-in and back, without the token that it brought in its address.
    let login = "https://app.acme.com/login?return_to=https%3A%2F%2Fshop.acme.com";
    let step_up = "&acr_values=urn%3Aokta%3Aloa%3A2fa%3Aany&max_age=900";
    let rows = [
        (
            page(Request::get("/cart?id=7&x=%2F")).header("host", "evil.example"),
            format!("{login}%2Fcart%3Fid%3D7%26x%3D%252F"),
        ),
        (page(Request::get(format!("/cart?access_token={expired}&id=7"))), format!("{login}%2Fcart%3Fid%3D7")),
        (page(Request::get("/cart")).header("cookie", format!("access_token={expired}")), format!("{login}%2Fcart")),
        (page(Request::get("/pay").bearer(&token)), format!("{login}%2Fpay{step_up}")),
        (page(Request::get("/cart")).header("sec-fetch-mode", "navigate"), format!("{login}%2Fcart")),
        // Envoy makes a path of it, and that is a path here.
        (page(Request::get("//evil.example/x")), format!("{login}%2Fevil.example%2Fx")),
        (page(Request::get("http://evil.example/x")), format!("{login}%2Fx")),
    ];
    for (request, location) in &rows {
        let response = request.send(port);
        assert_eq!(response.status, 302, "{request:?}");
        assert_eq!(response.headers("location"), [location.as_str()], "{request:?}");
        assert_eq!(response.header("cache-control").as_deref(), Some("no-store"));
        assert_eq!((response.text(), response.header("www-authenticate")), (String::new(), None));
    }
    for request in [
        page(Request::get("/cart")).header("sec-fetch-mode", "cors"),
        page(Request::get("/cart")).header("origin", APP),
        page(Request::post("/cart")).body(b"{}"),
        Request::get("/cart").header("accept", "*/*"),
    ] {
        assert_eq!(request.send(port).status, 401, "{request:?}");
    }

    // What the operator wrote for one status.
    let response = page(Request::get("/reports").bearer(&token)).send(port);
    assert_eq!((response.status, response.text()), (403, "<h1>Not yours</h1>".to_owned()));
    assert_eq!(response.headers("content-type"), ["text/html; charset=utf-8"]);
    assert_eq!(response.headers("x-support"), ["help@acme.com"]);
    assert_eq!(response.headers("cache-control"), ["no-store"]);

    // HEAD: length and type of the body, and not a byte of it: the next thing on the connection is the next answer.
    let mut connection = gateway.connect();
    let mut ask = |request: &Request| {
        connection.send(request).expect("sent");
        connection.read_response().expect("an answer")
    };
    for (path, token) in [("/cart", ""), ("/reports", &*token)] {
        let of = |method| Request::new(method, path).header("authorization", format!("Bearer {token}").trim_end());
        let (head, get) = (ask(&of("HEAD")), ask(&of("GET")));
        assert!(head.body.is_empty() && !get.body.is_empty(), "{path}");
        for name in ["content-length", "content-type", "www-authenticate", "cache-control"] {
            assert_eq!(head.headers(name), get.headers(name), "{path} {name}");
        }
        assert_eq!(head.header("content-length"), Some(get.body.len().to_string()), "{path}");
    }
    assert_eq!(ask(&page(Request::new("HEAD", "/cart"))).status, 302);
    assert_eq!(ask(&Request::get("/cart")).json()["error"], "unauthorized");

    // gRPC: Envoy makes a status of it, and its message is a sentence.
    let grpc = |path: &str| Request::post(path).header("content-type", "application/grpc+proto");
    for (request, status, message) in [
        (grpc("/cart"), "16", "An access token is needed."),
        (page(grpc("/cart").bearer(&expired)), "16", "The access token is not valid."),
        (grpc("/pay").bearer(&token), "16", "A stronger or more recent authentication is needed."),
        (grpc("/reports").bearer(&token), "7", "The access token does not permit this request."),
        (
            grpc("/cart").bearer(&token).bearer(&token),
            "13",
            "The request is malformed or carries more than one credential.",
        ),
    ] {
        let response = request.body(b"\0\0\0\0\0").send(port);
        assert_eq!((response.status, response.text()), (200, String::new()));
        assert_eq!(response.headers("grpc-status"), [status], "{message}");
        assert_eq!(response.headers("grpc-message"), [message]);
        assert_eq!(response.headers("content-type"), ["application/grpc"]);
    }
    let web =
        Request::post("/cart").header("content-type", "application/grpc-web+proto").body(b"\0\0\0\0\0").send(port);
    assert_eq!((web.status, web.header("grpc-status")), (401, None), "which grpc-web clients read as 16");
    let fields = over_http2(port, "/cart", "application/grpc");
    assert_eq!(fields[":status"], 200);
    assert_eq!((&fields["grpc-status"], &fields["grpc-message"]), (&json!("16"), &json!("An access token is needed.")));
    assert_eq!(fields["www-authenticate"], r#"Bearer realm="acme""#);
    assert_eq!(gateway.backend.count(), 0, "a refused request was forwarded");
    gateway.assert_no_trap();
}

/// The header fields of the answer to a `POST` over HTTP/2, as Node's client has them; trailers-only is headers.
fn over_http2(port: u16, path: &str, content_type: &str) -> Value {
    let script = r"
        const [port, path, type] = process.argv.slice(1);
        const session = require('http2').connect(`http://127.0.0.1:${port}`);
        const stream = session.request({ ':method': 'POST', ':path': path, 'content-type': type, te: 'trailers' });
        stream.on('response', fields => { process.stdout.write(JSON.stringify(fields)); });
        stream.on('end', () => session.close());
        stream.resume();
        stream.end(Buffer.alloc(5));";
    let output =
        Command::new("node").args(["-e", script, &port.to_string(), path, content_type]).output().expect("node runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("fields")
}

/// The values of the fields that a browser looks at: who may read, with cookies, and which headers.
fn cors_of(response: &Response) -> [Vec<String>; 3] {
    ["origin", "credentials", "headers"].map(|what| {
        let does = if what == "headers" { "expose" } else { "allow" };
        response.headers(&format!("access-control-{does}-{what}"))
    })
}

/// Envoy's filter, in front, answers preflights itself and writes its own fields over ours wherever its policy names the
/// origin, into our refusals too; where it does not, ours stay.
#[test]
fn scripts_of_allowed_origins_read_rejections_with_and_without_envoys_cors_filter() {
    let gateway = start();
    let (plain, behind) = (gateway.port(), gateway.envoy.port("cors"));
    const OURS: &str = "www-authenticate, retry-after";
    const ENVOYS: &str = "x-from-envoy";
    let rows = [
        (plain, APP, Some(OURS)),
        (plain, "https://eu.shop.acme.com", Some(OURS)),
        (plain, "https://envoy-only.example", None),
        (plain, "https://evil.example", None),
        (plain, "null", None),
        (behind, APP, Some(ENVOYS)),
        (behind, "https://eu.shop.acme.com", Some(OURS)),
        (behind, "https://envoy-only.example", Some(ENVOYS)),
        (behind, "https://evil.example", None),
    ];
    for (port, origin, exposed) in rows {
        for path in ["/cart", "/closed"] {
            let response = Request::get(path).header("origin", origin).send(port);
            let row = format!("{origin} at {}", if port == plain { "ours alone" } else { "both" });
            assert!([401, 403].contains(&response.status), "{row}");
            let expected = exposed.map_or_else(Default::default, |exposed| {
                [vec![origin.to_owned()], vec!["true".to_owned()], vec![exposed.to_owned()]]
            });
            assert_eq!(cors_of(&response), expected, "{row}");
            assert_eq!(response.headers("vary"), ["Origin"], "{row}");
        }
    }
    for port in [plain, behind] {
        for request in [Request::get("/cart"), Request::get("/cart").header("origin", APP).header("origin", APP)] {
            let response = request.send(port);
            assert_eq!((cors_of(&response), response.headers("vary")), (Default::default(), vec!["Origin".to_owned()]));
        }
    }
    // A preflight that comes to us stays refused: no browser takes an answer for leave that is not a success.
    let preflight =
        |path| Request::new("OPTIONS", path).header("origin", APP).header("access-control-request-method", "PUT");
    for (path, status) in [("/cart", 401), ("/closed", 403)] {
        let response = preflight(path).send(plain);
        assert_eq!((response.status, response.headers("access-control-allow-methods")), (status, Vec::new()));
        let response = preflight(path).send(behind);
        assert_eq!(
            (response.status, response.headers("access-control-allow-methods")),
            (200, vec!["GET, PUT".to_owned()])
        );
    }
    assert_eq!(gateway.backend.count(), 0, "a refused request was forwarded");
    gateway.assert_no_trap();
}

#[test]
fn only_clients_with_the_debug_secret_get_the_reason_and_backend_and_log_never_see_it() {
    const SECRET: &str = "debug-0123456789abcdef";
    let mut configuration = configuration();
    configuration["responses"]["debug"] = json!({ "secret": { "env": "AUTH_DEBUG_KEY" } });
    let gateway = Setup {
        configuration,
        listener: |listener| ListenerOptions { host_env_keys: vec!["AUTH_DEBUG_KEY".to_owned()], ..listener },
        environment: vec![("AUTH_DEBUG_KEY", SECRET.to_owned())],
        workers: 1,
        ..Setup::default()
    }
    .start();
    let (port, token) = (gateway.port(), gateway.alice());
    let debug_details = |response: &Response| {
        let values = response.headers("x-auth-debug");
        assert!(values.len() < 2, "{values:?}");
        values.first().map(|value| serde_json::from_str::<Value>(value).expect("JSON"))
    };
    let group = Request::get("/reports").bearer(&token);
    let refused = group.clone().header("x-auth-debug", SECRET).send(port);
    assert_eq!(
        debug_details(&refused),
        Some(json!({ "reason": "group_missing", "provider": "okta", "claims": ["groups"] }))
    );
    assert_eq!((refused.status, refused.text()), (403, "<h1>Not yours</h1>".to_owned()));
    let grpc = Request::post("/reports").header("content-type", "application/grpc").bearer(&token);
    let grpc = grpc.header("x-auth-debug", SECRET).body(b"\0\0\0\0\0").send(port);
    assert_eq!((grpc.header("grpc-status").as_deref(), debug_details(&grpc).is_some()), (Some("7"), true));
    for request in [group.clone(), group.header("x-auth-debug", "debug-0123456789abcdee")] {
        assert_eq!(debug_details(&request.send(port)), None);
    }
    let passed = Request::get("/cart").bearer(&token).header("X-Auth-Debug", SECRET).header("x_auth_debug", SECRET);
    assert_eq!((passed.send(port).status, gateway.backend.count()), (200, 1));
    let seen = format!("{:?}", gateway.backend.requests());
    assert!(!seen.contains(SECRET) && !seen.to_lowercase().contains("debug"), "{seen}");
    let log = gateway.envoy.log();
    assert!(log.contains("[debug_responses] $.responses.debug: ") && !log.contains(SECRET));
    gateway.assert_no_trap();
}
