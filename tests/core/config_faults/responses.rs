//! Faults and warnings of `responses` and of rules that redirect browsers.

use serde_json::{Value, json};

use super::{faults, okta_with, warnings};

fn document(members: Value) -> Value {
    let mut document = okta_with(json!({}));
    for (name, value) in members.as_object().unwrap() {
        document[name] = value.clone();
    }
    document
}

fn responding(responses: Value) -> Value {
    document(json!({ "responses": responses }))
}

/// That exactly these lines are said, in any order.
#[track_caller]
fn assert_faults(document: &Value, expected: &[&str]) {
    let mut found = faults(document);
    let mut expected: Vec<String> = expected.iter().map(|line| (*line).to_owned()).collect();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected, "{document}");
}

#[test]
fn every_fault_of_the_responses_is_listed_at_once() {
    let document = document(json!({
        "default_rule": { "redirect_browsers": "yes" },
        "rules": [
            { "match": { "path": "/a" }, "access": "deny", "redirect_browsers": true },
            { "match": { "path": "/b" }, "access": "public", "redirect_browsers": true },
        ],
        "responses": {
            "realm": "", "format": "html", "detail": "all",
            "custom": {
                "unauthorised": { "body": "x" },
                "bad_request": {},
                "unauthorized": { "content_type": "text/html", "headers": { "set-cookie": "a=1", "a b": "1" } },
                "forbidden": { "body": "", "content_type": "html", "headers": { "x-a": "a\r\nset-cookie: z=1", "X-B": "1", "x-b": "2" } },
                "unavailable": { "body": 5, "headers": {} },
            },
            "cors": { "allow_origins": ["https://app.acme.com/", "null", "*", "https://a.example", "https://a.example"], "expose_headers": ["*"] },
            "login": { "url": "http://app.acme.com/login", "return_to_parameter": "scope", "return_base": "https://shop.acme.com/" },
        },
    }));
    let never = "never happens: with this `access` no sign-in makes a difference";
    let origin =
        "an origin such as \"https://app.acme.com\": scheme, host and port only, no path and no slash at the end";
    let lines = [
        "$.default_rule.redirect_browsers: expected a boolean; write true without quotes".to_owned(),
        format!("$.responses.cors.allow_origins[0]: {origin}"),
        "$.responses.cors.allow_origins[1]: `null` is the origin of every sandboxed page, local file and redirect: never to be trusted".to_owned(),
        "$.responses.cors.allow_origins[2]: `*` stands alone: it allows every origin".to_owned(),
        "$.responses.cors.allow_origins[4]: named twice".to_owned(),
        "$.responses.cors.expose_headers[0]: the name of a header; `*` is not taken by every browser".to_owned(),
        "$.responses.custom.bad_request: nothing in it; write `body`, `headers` or both".to_owned(),
        "$.responses.custom.forbidden.body: 1 to 16384 bytes: it is sent with every refusal".to_owned(),
        "$.responses.custom.forbidden.content_type: a media type such as \"text/html; charset=utf-8\"".to_owned(),
        "$.responses.custom.forbidden.headers.x-a: a value of 1 to 1024 printable ASCII characters, no space at either end".to_owned(),
        "$.responses.custom.forbidden.headers.x-b: named twice: letter case does not matter".to_owned(),
        "$.responses.custom.unauthorised: unknown field; did you mean `unauthorized`?".to_owned(),
        "$.responses.custom.unauthorized.content_type: there is no `body` that it could describe".to_owned(),
        "$.responses.custom.unauthorized.headers.set-cookie: anybody can cause a refusal, other sites' pages too, and would set or end users' sessions by it".to_owned(),
        "$.responses.custom.unauthorized.headers[\"a b\"]: not a header name".to_owned(),
        "$.responses.custom.unavailable.body: expected a string".to_owned(),
        "$.responses.custom.unavailable.headers: 1 to 16 header fields".to_owned(),
        "$.responses.detail: expected one of \"terse\", \"reason\"".to_owned(),
        "$.responses.format: expected one of \"json\", \"problem\", \"text\"".to_owned(),
        "$.responses.login.return_base: an origin such as \"https://shop.acme.com\", without a path and without a slash at its end".to_owned(),
        "$.responses.login.return_to_parameter: a parameter name of at most 64 letters, digits and `-._~`, and not `acr_values`, `max_age` or `scope`, which step-up uses".to_owned(),
        "$.responses.login.url: an https address such as \"https://app.acme.com/login\", without a fragment; http only to localhost; begin it with https:// in place of http://".to_owned(),
        "$.responses.realm: 1 to 128 printable ASCII characters".to_owned(),
        format!("$.rules[0].redirect_browsers: {never}"),
        format!("$.rules[1].redirect_browsers: {never}"),
    ];
    assert_faults(&document, &lines.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn headers_written_by_the_filter_or_http_cannot_be_configured() {
    for name in [
        "WWW-Authenticate",
        "Content-Length",
        "Transfer-Encoding",
        "Connection",
        "Content-Type",
        "Cache-Control",
        "Expires",
        "Pragma",
        "Access-Control-Allow-Origin",
        "access-control-max-age",
        "Location",
        "Refresh",
        "Set-Cookie",
        "Set-Cookie2",
        "Vary",
        "Retry-After",
        "grpc-status",
        "Grpc-Message",
        "x-envoy-upstream-service-time",
        "Content-Encoding",
        "Trailer",
        "Upgrade",
        "Date",
        "ETag",
        ":status",
        "",
    ] {
        let found = faults(&responding(json!({ "custom": { "forbidden": { "headers": { name: "1" } } } })));
        assert!(found.len() == 1 && found[0].starts_with("$.responses.custom.forbidden.headers"), "{name}: {found:?}");
    }
    for name in [
        "x-support",
        "Strict-Transport-Security",
        "Content-Security-Policy",
        "Clear-Site-Data",
        "link",
        "x-frame-options",
    ] {
        assert_faults(&responding(json!({ "custom": { "forbidden": { "headers": { name: "1" } } } })), &[]);
    }
    for value in ["", " a", "a ", "a\nb", "é", "a\0", &"a".repeat(1025)] {
        let found = faults(&responding(json!({ "custom": { "unavailable": { "headers": { "x-a": value } } } })));
        assert_eq!(found.len(), 1, "{value:?}: {found:?}");
    }
    let many: serde_json::Map<String, Value> = (0..17).map(|at| (format!("x-{at}"), json!("1"))).collect();
    assert_faults(
        &responding(json!({ "custom": { "forbidden": { "headers": many } } })),
        &["$.responses.custom.forbidden.headers: 1 to 16 header fields"],
    );
    assert_faults(&responding(json!({ "custom": { "forbidden": { "body": "x".repeat(16384) } } })), &[]);
    assert_eq!(faults(&responding(json!({ "custom": { "forbidden": { "body": "x".repeat(16385) } } }))).len(), 1);
    assert_eq!(faults(&responding(json!({ "custom": {} }))).len(), 1);
}

#[test]
fn any_origin_with_credentials_is_rejected() {
    let cors = |cors: Value| responding(json!({ "cors": cors }));
    assert_faults(&cors(json!({ "allow_origins": ["*"] })), &[]);
    assert_faults(
        &cors(json!({ "allow_origins": ["https://*.acme.com"], "allow_credentials": true, "expose_headers": ["x-a"] })),
        &[],
    );
    assert_faults(
        &cors(json!({ "allow_origins": ["*"], "allow_credentials": true })),
        &["$.responses.cors.allow_credentials: not with `*`: no browser takes the two together"],
    );
    assert_faults(
        &cors(json!({})),
        &[
            "$.responses.cors.allow_origins: missing; name the origins that may read refusals, such as [\"https://app.acme.com\"]",
        ],
    );
    let empty = "an empty list; leave the field out or name at least one";
    assert_faults(
        &cors(json!({ "allow_origins": [], "expose_headers": [] })),
        &[&format!("$.responses.cors.allow_origins: {empty}"), &format!("$.responses.cors.expose_headers: {empty}")],
    );
}

#[test]
fn browser_redirect_requires_a_usable_address() {
    let login = |login: Value| {
        document(json!({ "default_rule": { "redirect_browsers": true }, "responses": { "login": login } }))
    };
    let nowhere = "there is nowhere to send them; write `responses.login`";
    assert_faults(
        &document(
            json!({ "default_rule": { "redirect_browsers": true }, "rules": [{ "access": "optional", "redirect_browsers": true }] }),
        ),
        &[&format!("$.default_rule.redirect_browsers: {nowhere}"), &format!("$.rules[0].redirect_browsers: {nowhere}")],
    );
    assert_faults(
        &login(json!({})),
        &["$.responses.login.url: missing; write the address of the application's login page"],
    );
    // A fault there is the only one.
    assert_eq!(faults(&login(json!("https://app.acme.com/login"))), ["$.responses.login: expected an object"]);
    for (url, name) in [
        ("return_to=x", "return_to"),
        ("a=1&acr_values=x", "return_to"),
        ("max_age", "return_to"),
        ("scope=", "next"),
        ("next=/", "next"),
    ] {
        let url = format!("https://app.acme.com/login?{url}");
        assert_faults(
            &login(json!({ "url": url, "return_to_parameter": name })),
            &[
                "$.responses.login.url: has a parameter that the filter adds; which one counts would be for the page to guess",
            ],
        );
    }
    for base in ["http://shop.acme.com", "https://shop.acme.com/a", "shop.acme.com", ""] {
        assert_eq!(
            faults(&login(json!({ "url": "https://app.acme.com/login", "return_base": base }))).len(),
            1,
            "{base}"
        );
    }
    assert_faults(
        &login(json!({ "url": "http://localhost:3000/login?tenant=7", "return_base": "http://localhost:8080" })),
        &[],
    );
}

#[test]
fn response_settings_that_weaken_or_have_no_effect_warn() {
    let login = json!({ "url": "https://app.acme.com/login" });
    let said = |members: Value| warnings(&document(members));
    assert_eq!(said(json!({ "responses": { "detail": "reason" } })), ["reason_in_response $.responses.detail"]);
    assert_eq!(said(json!({ "responses": { "detail": "terse", "login": login } })), ["unused_login $.responses.login"]);
    let redirecting = json!({ "rules": [{ "redirect_browsers": true }], "responses": { "login": login } });
    assert_eq!(said(redirecting.clone()), ["redirect_without_cookie $.token"]);
    let mut with_cookies = redirecting;
    with_cookies["token"] = json!({ "from_cookies": ["at"] });
    assert_eq!(said(with_cookies), [""; 0]);
}
