//! Tokens in headers, cookies and the query of requests through a real Envoy: read from the configured locations,
//! rejected when there are two, and removed before the backend.

use std::time::Duration;

use crate::gateway::{API, Gateway, Setup, minimal_configuration};
use serde_json::{Value, json};
use testbed::http1::Received;
use testbed::polling::until;
use testbed::{Mode, Request};

/// Two schemes, two headers, a cookie and a parameter.
fn configuration() -> Value {
    let mut configuration = minimal_configuration();
    configuration["token"] = json!({
        "from_headers": [{ "name": "authorization", "scheme": "Bearer" }, { "name": "authorization", "scheme": "Token" },
                         { "name": "x-api-token" }],
        "from_cookies": ["access_token"], "from_params": ["access_token"] });
    configuration
}

fn gateway() -> Gateway {
    Setup { configuration: configuration(), ..Setup::default() }.start()
}

/// The only request that the backend received since the last one.
fn the_forwarded_one(gateway: &Gateway) -> Received {
    let mut received = gateway.backend.requests();
    gateway.backend.clear();
    assert_eq!(received.len(), 1);
    received.remove(0)
}

/// The values of these headers that the backend received.
fn seen(received: &Received, names: &[&str]) -> Vec<String> {
    let of = |name: &&str| {
        received.headers.all(name).iter().map(|value| value.escape_ascii().to_string()).collect::<Vec<_>>()
    };
    names.iter().flat_map(of).collect()
}

/// All that the backend received but the body, as text.
fn text(received: &Received) -> String {
    let fields = received.headers.0.iter().chain(&received.trailers.0);
    let lines = fields.map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value)));
    lines.fold(received.path.clone(), |text, line| format!("{text}\n{line}"))
}

const CARRIERS: [&str; 5] = ["authorization", "x-api-token", "x_api_token", "x.api.token", "cookie"];

#[test]
fn token_from_each_location_is_accepted_and_the_rest_is_forwarded_byte_for_byte() {
    let gateway = gateway();
    let token = gateway.alice();
    let cookie = |line: &str| Request::get("/a?q=%31+&q").header("cookie", line.replace("TOKEN", &token));
    let query = |path: &str| Request::get(path.replace("TOKEN", &token));
    let plain = "/a?q=%31+&q";
    let get = || Request::get(plain);
    let rows: Vec<(Request, &str, &[&str])> = vec![
        (get().bearer(&token), plain, &[]),
        (get().header("authorization", format!("token {token}")), plain, &[]),
        (get().header("X-Api-Token", &token), plain, &[]),
        (get().header("X-Api-Token", &token).header("authorization", b"Basic YTpi"), plain, &[]),
        (
            get().header("x-api-token", &token).header("x_api_token", b"forged").header("X.Api.Token", b"forged"),
            plain,
            &[],
        ),
        (cookie("access_token=TOKEN"), plain, &[]),
        (cookie("sid=\"1\";  access_token=\"TOKEN\" ;x=y=%20="), plain, &["sid=\\\"1\\\"; x=y=%20="]),
        (
            cookie("sid=1; access_token=TOKEN").header("cookie", b"x=\xff; access-token=stays"),
            plain,
            &["sid=1; x=\\xff; access-token=stays"],
        ),
        (query("/a?access_token=TOKEN"), "/a", &[]),
        (query("/a?q=%31+&access_token=TOKEN&q").header("cookie", b"b=1;c=2"), plain, &["b=1;c=2"]),
        (query("/a?access%5Ftoken=TOKEN&q=%31+&q"), plain, &[]),
        (query("/a?q=%31+&q&%61ccess_token=TOKEN"), plain, &[]),
        (query("/a/%20b;c=d?&&x=?&access_token=TOKEN&y=%zz&token=stays"), "/a/%20b;c=d?&&x=?&y=%zz&token=stays", &[]),
    ];
    for (request, path, cookies) in rows {
        let head = String::from_utf8_lossy(&request.head()).replace(&token, "TOKEN");
        assert_eq!(request.send(gateway.port()).status, 200, "{head}");
        let received = the_forwarded_one(&gateway);
        assert_eq!(received.path, path, "{head}");
        assert_eq!(seen(&received, &CARRIERS), cookies, "{head}");
        assert_eq!(seen(&received, &["x-user-id"]), ["alice@acme.com"], "{head}");
        let (_, signature) = token.rsplit_once('.').unwrap_or_default();
        assert!(!text(&received).contains(signature), "the token is somewhere in the forwarded request: {head}");
    }
    gateway.assert_no_trap();
}

#[test]
fn credentials_in_two_locations_are_rejected_and_reach_no_backend() {
    let gateway = gateway();
    let token = gateway.alice();
    let in_query = format!("/a?access_token={token}");
    let get = || Request::get("/a");
    let cookie = format!("access_token={token}");
    let rows = [
        get().bearer(&token).header("x-api-token", &token),
        get().bearer(&token).header("cookie", &cookie),
        get().bearer(&token).header("cookie", b"access_token="),
        get().bearer(&token).header("authorization", format!("Token {token}")),
        get().header("x-api-token", &token).header("x-api-token", &token),
        get().header("x-api-token", &token).header("x-api-token", b"forged"),
        get().header("cookie", format!("{cookie}; {cookie}")),
        get().header("cookie", &cookie).header("cookie", &cookie),
        get().header("cookie", &cookie).header("cookie", b"a=b; access_token=forged"),
        Request::get(&in_query).bearer(&token),
        Request::get(&in_query).header("cookie", &cookie),
        Request::get(&in_query).header("x-api-token", &token),
        Request::get(format!("{in_query}&access_token={token}")),
        Request::get(format!("{in_query}&access%5ftoken=forged")),
        Request::get(format!("/a?access_token=forged&x=y&access_token={token}")),
        Request::get(format!("{in_query}&x=y;access_token=forged")),
    ];
    for request in &rows {
        let response = request.send(gateway.port());
        let head = String::from_utf8_lossy(&request.head()).replace(&token, "TOKEN");
        assert_eq!(response.status, 400, "{head}");
        let challenge = r#"Bearer realm="okta-proxy-wasm", error="invalid_request""#;
        assert_eq!(response.header("www-authenticate").as_deref(), Some(challenge), "{head}");
    }
    gateway.expect_reasons("multiple_credentials", rows.len());
    assert_eq!(gateway.backend.count(), 0, "a refused request reached the backend");
    let log = gateway.envoy.log();
    assert!(token.split('.').all(|part| !log.contains(part)), "a token was logged");
    gateway.assert_no_trap();
}

#[test]
fn credential_that_is_no_token_is_rejected_and_unconfigured_locations_are_ignored() {
    let gateway = gateway();
    let token = gateway.alice();
    let get = || Request::get("/a");
    let rows = [
        ("credential_malformed", get().header("cookie", b"access_token=")),
        ("credential_malformed", get().header("cookie", b"access_token=\"\xff\"")),
        ("credential_malformed", get().header("cookie", format!("x=1, access_token={token}"))),
        ("credential_malformed", get().header("x-api-token", format!("Bearer {token}"))),
        ("credential_malformed", Request::get("/a?access_token=a+b")),
        ("credential_malformed", Request::get(format!("/a?x=1;access_token={token}"))),
        ("token_too_large", Request::get(format!("/a?access_token={}", "a".repeat(9000)))),
        ("credential_malformed", get().header("cookie", format!("Access_Token={token}"))),
        ("token_missing", get().header("x_api_token", &token)),
        ("token_missing", Request::get(format!("/access_token={token}"))),
        ("token_missing", Request::get(format!("/a%3Faccess_token={token}"))),
        ("token_missing", get().header("x-original-url", format!("/?access_token={token}"))),
        ("token_missing", get().header("x-envoy-original-path", format!("/?access_token={token}"))),
        ("token_missing", Request::post("/a").chunked(&[b"body"]).trailer("authorization", format!("Bearer {token}"))),
        ("token_missing", Request::post("/a").body(format!("access_token={token}"))),
    ];
    for (reason, request) in &rows {
        assert_eq!(request.send(gateway.port()).status, 401, "{reason}");
    }
    for (reason, _) in &rows {
        gateway.expect_reasons(reason, rows.iter().filter(|row| row.0 == *reason).count());
    }
    assert_eq!(gateway.backend.count(), 0);
    gateway.assert_no_trap();
}

#[test]
fn by_default_cookies_and_the_query_are_neither_read_nor_changed() {
    let gateway = Gateway::start();
    let token = gateway.alice();
    let path = format!("/a?access_token={token}&access_token=x");
    let both = Request::get(&path).header("cookie", b"access_token=a;  access_token=b");
    assert_eq!(both.send(gateway.port()).status, 401);
    assert_eq!(both.bearer(&token).send(gateway.port()).status, 200);
    let received = the_forwarded_one(&gateway);
    assert_eq!(received.path, path);
    assert_eq!(seen(&received, &CARRIERS), ["access_token=a;  access_token=b"]);
}

#[test]
fn forwarded_credentials_reach_the_backend_unchanged() {
    let mut configuration = configuration();
    configuration["token"]["forward"] = json!(true);
    let gateway = Setup { configuration, ..Setup::default() }.start();
    let token = gateway.alice();
    let path = format!("/a?x=1&access%5Ftoken={token}");
    assert_eq!(Request::get(&path).header("authorization", b"Basic YTpi").send(gateway.port()).status, 200);
    let received = the_forwarded_one(&gateway);
    assert_eq!(received.path, path);
    assert_eq!(seen(&received, &CARRIERS), ["Basic YTpi"]);

    let cookie = format!("sid=1;  access_token=\"{token}\"");
    assert_eq!(Request::get("/a").header("cookie", &cookie).send(gateway.port()).status, 200);
    assert_eq!(seen(&the_forwarded_one(&gateway), &CARRIERS), [cookie.escape_default().to_string()]);

    let spellings = Request::get("/a").header("x-api-token", &token).header("X_Api_Token", b"forged");
    assert_eq!(spellings.send(gateway.port()).status, 200);
    assert_eq!(seen(&the_forwarded_one(&gateway), &CARRIERS), [token], "the spelling that nobody looked at is gone");
}

/// PHP, Rack, Express and others read these as `access_token`: the token would arrive as one that was checked.
#[test]
fn a_credential_that_only_a_backend_reads_never_reaches_it_in_any_spelling() {
    let mut configuration = configuration();
    configuration["token"]["forward"] = json!(true);
    configuration["rules"] = json!([
        { "match": { "path": "/public" }, "access": "public" }, { "match": { "path": "/optional" }, "access": "optional" },
    ]);
    let gateway = Setup { configuration, ..Setup::default() }.start();
    let token = gateway.alice();
    let names =
        ["access.token", "access_token[]", "access_token%5B0%5D", "Access_Token", "access%5Btoken", "%20access_token"];
    let cookies = ["access token", "access_token\u{a0}", "\u{2003}access_token", "access%5Ftoken"];
    let in_query = names.iter().map(|name| (*name, ""));
    let in_cookies = names.iter().chain(&cookies).map(|name| ("", *name));
    for (param, cookie) in in_query.chain(in_cookies) {
        let request = |path: &str| match cookie {
            "" => Request::get(format!("{path}?x=1&{param}=forged")).header("cookie", "sid=1"),
            _ => Request::get(format!("{path}?x=1")).header("cookie", format!("sid=1; {cookie}=forged")),
        };
        let name = format!("{param}{cookie}");
        assert_eq!(request("/a").send(gateway.port()).status, 401, "{name}");
        assert_eq!(request("/optional").send(gateway.port()).status, 401, "{name}");
        assert_eq!(request("/a").bearer(&token).send(gateway.port()).status, 400, "{name}");
        assert_eq!(gateway.backend.count(), 0, "{name}");
        assert_eq!(request("/public").send(gateway.port()).status, 200, "{name}");
        let received = the_forwarded_one(&gateway);
        assert_eq!(
            (received.path.as_str(), seen(&received, &CARRIERS)),
            ("/public?x=1", vec!["sid=1".to_owned()]),
            "{name}"
        );
    }
    let other_headers = ["proxy-authorization", "x-forwarded-authorization", "X_HTTP_Authorization"];
    let request =
        other_headers.iter().fold(Request::get("/optional"), |request, name| request.header(name, "Bearer forged"));
    assert_eq!(request.send(gateway.port()).status, 200);
    assert!(!text(&the_forwarded_one(&gateway)).contains("forged"));
    gateway.assert_no_trap();
}

#[test]
fn trailers_that_name_a_credential_never_reach_the_backend() {
    let gateway = gateway();
    let request = Request::post("/a")
        .bearer(&gateway.alice())
        .chunked(&[b"body"])
        .trailer("authorization", b"Bearer forged")
        .trailer("X_Api_Token", b"forged")
        .trailer("cookie", b"access_token=forged")
        .trailer("x-innocent-trailer", b"stays");
    assert_eq!(request.send(gateway.port()).status, 200);
    let received = the_forwarded_one(&gateway);
    let trailers: Vec<&str> = received.trailers.0.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(trailers, ["x-innocent-trailer"]);
    assert!(!text(&received).contains("forged"));
}

/// The edits of a request that waits are made long after its head was read.
#[test]
fn post_pending_on_keys_is_forwarded_complete_and_without_its_credential() {
    let gateway = Setup { configuration: configuration(), gate: Mode::Hold, ..Setup::default() }.start();
    let token = gateway.alice();
    let posts = [
        Request::post("/cookie?x=1").header("cookie", b"sid=1").header("cookie", format!("access_token={token}; y=2")),
        Request::post(format!("/query?x=1&access%5ftoken={token}")).header("cookie", b"sid=1"),
    ];
    let waiting: Vec<_> = posts
        .into_iter()
        .map(|post| {
            let mut connection = gateway.connect();
            connection.send(&post.body(vec![b'x'; 4096])).expect("sent");
            connection
        })
        .collect();
    until("both requests in flight", Duration::from_secs(20), || {
        (gateway.envoy.stat(&format!("http.{API}.downstream_rq_active")) >= 2).then_some(())
    });
    assert_eq!(gateway.backend.count(), 0, "a request was forwarded undecided");
    gateway.gate.set(Mode::Pass);
    for mut connection in waiting {
        assert_eq!(connection.read_response().expect("an answer").status, 200);
    }
    let mut received: Vec<(String, Vec<String>, usize)> = gateway
        .backend
        .requests()
        .iter()
        .map(|request| (request.path.clone(), seen(request, &CARRIERS), request.body.len()))
        .collect();
    received.sort();
    let expected = [("/cookie?x=1", "sid=1; y=2"), ("/query?x=1", "sid=1")];
    assert_eq!(received, expected.map(|(path, cookies)| (path.to_owned(), vec![cookies.to_owned()], 4096)));
    gateway.assert_no_trap();
}
