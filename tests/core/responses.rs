//! Responses to rejected clients: each rejection in each format, for gRPC clients, browsers, scripts of other origins and
//! `HEAD`, a row per case. Runs natively and, as wasm, under Node.

use crate::engine_harness::{Harness, NOW, Setup, published, response_of};
use crate::random::Random;
use crate::signing::{AUDIENCE, ISSUER, SigningKey, key_set, payload, with};
use okta_proxy_wasm::engine::{ParkingLimits, Verdict};
use okta_proxy_wasm::http::{HeaderValue, LocalResponse, RequestHead, is_token};
use serde_json::{Value, json};

const TWO_FACTORS: &str = "urn:okta:loa:2fa:any";
const PAGE: (&str, &str) = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
const LOGIN: &str = "https://app.acme.com/login";

/// An engine of one configuration. No request may wait: what needs keys that are not there is answered 503.
struct Gate(Harness);

impl Gate {
    /// The rules of these tests with some answers.
    fn new(responses: Value) -> Self {
        Self::configured(with(&rules(), json!({ "responses": responses })))
    }

    fn configured(configuration: Value) -> Self {
        let limits = ParkingLimits { requests: 0, bytes: 0 };
        Self(Harness::with(&configuration, Setup { limits, ..Setup::default() }))
    }

    fn reject(&mut self, fields: Vec<(String, Vec<u8>)>) -> (LocalResponse, &'static str) {
        let decision = self.0.decide(&RequestHead::new(fields));
        (response_of(&decision).clone(), decision.audit.reason())
    }

    /// The reply to a request of this case with more fields; `:method` may be among them.
    fn reply(&mut self, case: &Case, more: &[(&str, &str)]) -> LocalResponse {
        let (reply, reason) = self.reject(case.fields(more));
        assert_eq!(reason, case.reason, "{} {more:?}", case.path);
        assert_safe(&reply);
        reply
    }
}

/// Rules by which a request can fail in every way.
fn rules() -> Value {
    let issuer =
        json!({ "issuer": ISSUER, "audiences": [AUDIENCE], "jwks": { "inline": key_set(&[&SigningKey::a("k1")]) } });
    let away = json!({ "issuer": "https://away.example", "audiences": [AUDIENCE], "upstream": "away",
        "jwks": { "uri": "https://away.example/keys" } });
    json!({
        "providers": { "okta": issuer, "away": away },
        "token": { "from_headers": [{ "name": "authorization", "scheme": "Bearer" }], "from_cookies": ["at"], "from_params": ["at"] },
        "rules": [
            { "match": { "path": "/scope" }, "require": { "scopes": ["a%b", "admin"] } },
            { "match": { "path": "/group" }, "require": { "groups": ["finance"] } },
            { "match": { "path": "/pay" }, "require": { "acr": TWO_FACTORS, "max_age": "15m", "scopes": ["pay"] } },
            { "match": { "path": "/closed" }, "access": "deny" },
        ],
    })
}

/// The same, and each of them redirects browsers.
fn redirecting(login: Value) -> Value {
    let mut configuration =
        with(&rules(), json!({ "default_rule": { "redirect_browsers": true }, "responses": { "login": login } }));
    for rule in configuration["rules"].as_array_mut().unwrap() {
        if rule["access"] != "deny" {
            rule["redirect_browsers"] = json!(true);
        }
    }
    configuration
}

/// A refusal and what is to be said of it.
struct Case {
    path: &'static str,
    token: Vec<String>,
    reason: &'static str,
    status: u16,
    error: &'static str,
    sentence: &'static str,
    challenge: Option<&'static str>,
    /// What the login page is told, where a log-in helps.
    step_up: Option<&'static str>,
}

impl Case {
    fn fields(&self, more: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
        let owned = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
        let mut fields = vec![owned(":authority", "api.acme.com"), owned(":path", self.path)];
        if !more.iter().any(|(name, _)| *name == ":method") {
            fields.push(owned(":method", "GET"));
        }
        fields.extend(self.token.iter().map(|token| owned("authorization", &format!("Bearer {token}"))));
        fields.extend(more.iter().map(|(name, value)| owned(name, value)));
        fields
    }
}

/// One for each message that a client can get.
fn cases() -> Vec<Case> {
    let token = |changes| SigningKey::a("k1").token(&with(&payload(NOW), changes));
    let good = token(json!({}));
    let case = |path, token: &[&String], reason, status, error, sentence, challenge, step_up| {
        let token = token.iter().map(|token| (*token).clone()).collect();
        Case { path, token, reason, status, error, sentence, challenge, step_up }
    };
    let invalid = "The access token is not valid.";
    let malformed = "The request is malformed or carries more than one credential.";
    let undecided = "The request cannot be authorized at the moment.";
    let denied = "The access token does not permit this request.";
    let not_valid = Some(r#", error="invalid_token""#);
    let not_well = Some(r#", error="invalid_request""#);
    vec![
        case("/a", &[], "token_missing", 401, "unauthorized", "An access token is needed.", Some(""), Some("")),
        case(
            "/a",
            &[&token(json!({ "exp": NOW - 3600 }))],
            "token_expired",
            401,
            "invalid_token",
            invalid,
            not_valid,
            Some(""),
        ),
        case("/a", &[&"opaque".to_owned()], "token_opaque", 401, "invalid_token", invalid, not_valid, Some("")),
        case("/a", &[&good, &good], "multiple_credentials", 400, "invalid_request", malformed, not_well, None),
        case("/a%2fb", &[&good], "path_escaped_slash", 400, "invalid_request", malformed, not_well, None),
        case(
            "/scope",
            &[&good],
            "scope_missing",
            403,
            "insufficient_scope",
            "The access token lacks a scope.",
            Some(r#", error="insufficient_scope", scope="a%b admin""#),
            None,
        ),
        case("/group", &[&good], "group_missing", 403, "access_denied", denied, None, None),
        case("/closed", &[&good], "access_denied", 403, "access_denied", denied, None, None),
        case(
            "/pay",
            &[&good],
            "authentication_too_weak",
            401,
            "insufficient_user_authentication",
            "A stronger or more recent authentication is needed.",
            Some(
                r#", error="insufficient_user_authentication", acr_values="urn:okta:loa:2fa:any", max_age="900", scope="pay""#,
            ),
            Some("&acr_values=urn%3Aokta%3Aloa%3A2fa%3Aany&max_age=900&scope=pay"),
        ),
        case(
            "/a",
            &[&token(json!({ "iss": "https://away.example" }))],
            "too_many_pending",
            503,
            "temporarily_unavailable",
            undecided,
            None,
            None,
        ),
    ]
}

/// Every value under a name.
fn all<'a>(reply: &'a LocalResponse, name: &str) -> Vec<&'a str> {
    let named = reply.headers.iter().filter(|(field, _)| field.as_str() == name);
    named.map(|(_, value)| value.as_str()).collect()
}

fn text(reply: &LocalResponse) -> String {
    String::from_utf8(reply.body.clone()).unwrap()
}

/// What holds for every answer there is.
fn assert_safe(reply: &LocalResponse) {
    assert_eq!(all(reply, "cache-control"), ["no-store"]);
    let mut names: Vec<&str> = reply.headers.iter().map(|(name, _)| name.as_str()).collect();
    for (name, value) in &reply.headers {
        assert!(is_token(name.as_str()), "{name:?}");
        assert!(HeaderValue::parse(value.as_str()).is_some(), "{value:?}");
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), reply.headers.len(), "a field twice: {:?}", reply.headers);
    assert_eq!(all(reply, "location").is_empty(), reply.status != 302);
}

/// The answer that no gRPC client, browser or other origin asked for.
fn assert_ordinary(reply: &LocalResponse, case: &Case, realm: &str) {
    assert_eq!(reply.status, case.status);
    let challenge = case.challenge.map(|rest| format!("Bearer realm=\"{realm}\"{rest}"));
    assert_eq!(all(reply, "www-authenticate"), challenge.iter().collect::<Vec<_>>());
    assert_eq!(all(reply, "retry-after"), if case.status == 503 { &["1"][..] } else { &[] });
}

#[test]
fn every_rejection_has_the_configured_response_format() {
    for detail in ["terse", "reason"] {
        let of = |format| json!({ "realm": "acme", "format": format, "detail": detail });
        let (mut json, mut problem, mut plain) =
            (Gate::new(of("json")), Gate::new(of("problem")), Gate::new(of("text")));
        for case in &cases() {
            let with_reason = |object: Value| {
                if detail == "reason" { with(&object, json!({ "reason": case.reason })) } else { object }
            };
            let reply = json.reply(case, &[]);
            assert_ordinary(&reply, case, "acme");
            assert_eq!(all(&reply, "content-type"), ["application/json"]);
            let expected = with_reason(json!({ "error": case.error, "error_description": case.sentence }));
            assert_eq!(serde_json::from_slice::<Value>(&reply.body).unwrap(), expected);

            let reply = problem.reply(case, &[]);
            assert_ordinary(&reply, case, "acme");
            assert_eq!(all(&reply, "content-type"), ["application/problem+json"]);
            let title = match case.status {
                400 => "Bad Request",
                401 => "Unauthorized",
                403 => "Forbidden",
                _ => "Service Unavailable",
            };
            let expected = with_reason(json!({
                "type": "about:blank", "title": title, "status": case.status, "detail": case.sentence, "error": case.error }));
            assert_eq!(serde_json::from_slice::<Value>(&reply.body).unwrap(), expected);

            let reply = plain.reply(case, &[]);
            assert_ordinary(&reply, case, "acme");
            assert_eq!(all(&reply, "content-type"), ["text/plain; charset=utf-8"]);
            let second = if detail == "reason" { format!("{}\n", case.reason) } else { String::new() };
            assert_eq!(text(&reply), format!("{}\n{second}", case.sentence));
        }
    }
    // Without a word on answers, and with `Accept` of all kinds: the form is the operator's choice.
    let mut gate = Gate::new(json!({}));
    for accept in ["text/html", "application/problem+json", "text/plain", "*/*", ""] {
        let reply = gate.reply(&cases()[0], &[("accept", accept)]);
        assert_ordinary(&reply, &cases()[0], "okta-proxy-wasm");
        assert_eq!(text(&reply), r#"{"error":"unauthorized","error_description":"An access token is needed."}"#);
    }
}

#[test]
fn configured_bodies_and_headers_are_added_to_the_headers_of_the_filter() {
    let custom = |status: u16| json!({ "body": format!("<h1>{status}</h1>"), "content_type": "text/html; charset=utf-8", "headers": { "X-Support": format!("s{status}") } });
    let mut gate = Gate::new(json!({ "realm": "acme", "detail": "reason", "custom": {
        "bad_request": custom(400), "unauthorized": custom(401), "forbidden": custom(403), "unavailable": custom(503) } }));
    for case in &cases() {
        let reply = gate.reply(case, &[]);
        assert_ordinary(&reply, case, "acme");
        assert_eq!(all(&reply, "content-type"), ["text/html; charset=utf-8"]);
        assert_eq!(text(&reply), format!("<h1>{}</h1>", case.status));
        assert_eq!(all(&reply, "x-support"), [format!("s{}", case.status)]);
    }
    // One class only, and one half of it only.
    let mut gate = Gate::new(json!({ "format": "text", "custom": {
        "unauthorized": { "headers": { "x-support": "1" } }, "forbidden": { "body": "No." } } }));
    for case in &cases() {
        let reply = gate.reply(case, &[]);
        assert_eq!(all(&reply, "content-type"), ["text/plain; charset=utf-8"]);
        let own = if case.status == 403 { "No.".to_owned() } else { format!("{}\n", case.sentence) };
        assert_eq!((text(&reply), all(&reply, "x-support").len()), (own, usize::from(case.status == 401)));
    }
}

#[test]
fn grpc_client_gets_a_message_and_is_never_redirected() {
    let responses = json!({ "realm": "acme", "login": { "url": LOGIN }, "cors": { "allow_origins": ["*"] },
        "custom": { "unauthorized": { "body": "<h1>401</h1>", "content_type": "text/html", "headers": { "x-support": "1" } } } });
    let mut configuration = with(&redirecting(json!({ "url": LOGIN })), json!({ "responses": responses }));
    let mut terse = Gate::configured(configuration.clone());
    configuration["responses"]["detail"] = json!("reason");
    let mut telling = Gate::configured(configuration);
    for case in &cases() {
        for content_type in ["application/grpc", "application/grpc+proto", "application/grpc+json"] {
            for method in ["POST", "GET"] {
                let more = [(":method", method), ("content-type", content_type), PAGE, ("origin", "https://a.example")];
                let reply = terse.reply(case, &more);
                assert_ordinary(&reply, case, "acme");
                assert_eq!(text(&reply), case.sentence);
                assert_eq!(all(&reply, "content-type"), ["text/plain; charset=utf-8"]);
                assert_eq!(all(&reply, "x-support").len(), usize::from(case.status == 401));
                assert_eq!(text(&telling.reply(case, &more)), format!("{} ({})", case.sentence, case.reason));
            }
        }
        // What Envoy does not take for gRPC is answered as HTTP.
        for other in [
            "application/grpc-web",
            "application/grpc-web+proto",
            "application/grpcx",
            "application/json",
            "Application/gRPC",
        ] {
            let reply = terse.reply(case, &[(":method", "POST"), ("content-type", other)]);
            assert_ne!(text(&reply), case.sentence, "{other}");
        }
    }
}

#[test]
fn browser_is_redirected_to_sign_in_where_it_helps_and_other_clients_get_the_error() {
    let mut gate = Gate::configured(redirecting(json!({ "url": LOGIN })));
    let navigations: [&[(&str, &str)]; 5] = [
        &[PAGE],
        &[PAGE, ("sec-fetch-mode", "navigate")],
        &[(":method", "HEAD"), PAGE],
        &[("accept", "text/html")],
        &[("accept", "image/png"), ("accept", "application/xhtml+xml;q=0.1")],
    ];
    let others: [&[(&str, &str)]; 13] = [
        &[],
        &[("accept", "*/*")],
        &[("accept", "text/*, application/json")],
        &[("accept", "text/html;q=0, */*")],
        &[PAGE, ("sec-fetch-mode", "cors")],
        &[PAGE, ("sec-fetch-mode", "same-origin")],
        &[PAGE, ("sec-fetch-mode", "websocket")],
        &[PAGE, ("sec-fetch-mode", "navigate"), ("sec-fetch-mode", "navigate")],
        &[PAGE, ("origin", "https://app.acme.com")],
        &[PAGE, ("content-type", "application/grpc")],
        &[(":method", "POST"), PAGE],
        &[(":method", "DELETE"), PAGE, ("sec-fetch-mode", "navigate")],
        &[(":method", "OPTIONS"), PAGE, ("access-control-request-method", "GET")],
    ];
    let mut plain = Gate::new(json!({ "login": { "url": LOGIN } }));
    for case in &cases() {
        for more in navigations {
            let reply = gate.reply(case, more);
            let Some(step_up) = case.step_up else {
                assert_ordinary(&reply, case, "okta-proxy-wasm");
                continue;
            };
            let place = case.path.replace('/', "%2F");
            assert_eq!(reply.status, 302);
            assert_eq!(all(&reply, "location"), [format!("{LOGIN}?return_to={place}{step_up}")]);
            assert_eq!((reply.body.len(), reply.headers.len()), (0, 2), "{reply:?}");
            // Where the rule does not ask for it.
            assert_eq!(plain.reply(case, more).status, 401);
        }
        for more in others {
            assert_ordinary(&gate.reply(case, more), case, "okta-proxy-wasm");
        }
    }
    // Only the rules that want it.
    let mut configuration = redirecting(json!({ "url": LOGIN }));
    configuration["default_rule"] = json!({});
    let mut gate = Gate::configured(configuration);
    let statuses: Vec<u16> = cases().iter().map(|case| gate.reply(case, &[PAGE]).status).collect();
    assert_eq!(statuses, [401, 401, 401, 400, 400, 403, 403, 403, 302, 503]);
}

#[test]
fn browser_returns_to_the_requested_url_without_a_token() {
    let location = |login: Value, path: &'static str, more: &[(&str, &str)]| {
        let mut configuration = redirecting(login);
        // Without rules a path is not looked at before.
        configuration["rules"] = json!([]);
        let case = Case { path, token: Vec::new(), ..cases().remove(0) };
        let (reply, _) = Gate::configured(configuration).reject(case.fields(&[&[PAGE], more].concat()));
        assert_safe(&reply);
        assert_eq!(reply.status, 302, "{path}");
        all(&reply, "location")[0].to_owned()
    };
    let returns = |path| location(json!({ "url": LOGIN }), path, &[]).strip_prefix(LOGIN).unwrap().to_owned();
    let rows = [
        ("/", "?return_to=%2F"),
        ("/a/b?x=1&y=%20#".trim_end_matches('#'), "?return_to=%2Fa%2Fb%3Fx%3D1%26y%3D%2520"),
        ("/a?next=https://evil.example", "?return_to=%2Fa%3Fnext%3Dhttps%3A%2F%2Fevil.example"),
        // The credential goes, wherever a server might read one; the rest stays.
        ("/a?at=s3cret", "?return_to=%2Fa"),
        ("/a?x=1&at=s3cret&y=2", "?return_to=%2Fa%3Fx%3D1%26y%3D2"),
        ("/a?%61t=s3cret&x", "?return_to=%2Fa%3Fx"),
        ("/a?x=1;at=s3cret", "?return_to=%2Fa"),
        ("/a?access_token=s3cret&x=1", "?return_to=%2Fa%3Fx%3D1"),
        ("/a?access%5Ftoken=s3cret", "?return_to=%2Fa"),
        // What another reader would take for another site, or nobody for a path.
        ("//evil.example/", ""),
        ("/\\evil.example", ""),
        ("/a//b", ""),
        ("/./evil", ""),
        ("/%2fevil.example", ""),
        ("/a\r\nset-cookie: a=1", ""),
        ("https://evil.example/", ""),
        ("*", ""),
        ("", ""),
        ("/a#b", ""),
    ];
    for (path, expected) in rows {
        let found = returns(path);
        assert!(!found.contains("s3cret"), "{path}: {found}");
        assert_eq!(found, expected, "{path}");
    }
    // What the operator wrote is kept and used; what the request says of hosts is not.
    let login = json!({ "url": "https://app.acme.com/login?tenant=7", "return_to_parameter": "next", "return_base": "https://shop.acme.com" });
    let spoofed = [("host", "evil.example"), ("x-forwarded-host", "evil.example"), ("forwarded", "host=evil.example")];
    assert_eq!(
        location(login, "/cart?id=7", &spoofed),
        "https://app.acme.com/login?tenant=7&next=https%3A%2F%2Fshop.acme.com%2Fcart%3Fid%3D7"
    );
    // Two targets are none; so is one whose length nobody would take.
    assert_eq!(location(json!({ "url": LOGIN }), "/a", &[(":path", "/b")]), LOGIN);
}

/// The host leaves the body out, and could not tell its length and type if it were not given.
#[test]
fn rejection_of_head_equals_the_rejection_of_get() {
    let custom = json!({ "unauthorized": { "body": "<h1>401</h1>", "content_type": "text/html" } });
    for responses in
        [json!({}), json!({ "format": "problem" }), json!({ "format": "text" }), json!({ "custom": custom })]
    {
        let mut gate = Gate::new(responses);
        for case in &cases() {
            let head = gate.reply(case, &[(":method", "HEAD")]);
            assert!(!head.body.is_empty());
            assert_eq!(head, gate.reply(case, &[]));
        }
    }
}

#[test]
fn only_scripts_of_allowed_origins_can_read_a_rejection() {
    let app = "https://app.acme.com";
    let origins: [(&[&str], bool); 10] = [
        (&[app], true),
        (&["https://eu.shop.acme.com"], true),
        (&["https://evil.example"], false),
        (&["https://app.acme.com.evil.example"], false),
        (&["https://app.acme.com, https://app.acme.com"], false),
        (&[app, app], false),
        (&[app, "https://evil.example"], false),
        (&["null"], false),
        (&[""], false),
        (&[], false),
    ];
    let cors =
        |more: Value| json!({ "cors": with(&json!({ "allow_origins": [app, "https://*.shop.acme.com"] }), more) });
    let mut gate = Gate::new(cors(json!({})));
    let mut with_cookies =
        Gate::new(cors(json!({ "allow_credentials": true, "expose_headers": ["WWW-Authenticate", "X-Support"] })));
    let mut anybody = Gate::new(json!({ "cors": { "allow_origins": ["*"] } }));
    let mut silent = Gate::new(json!({}));
    for case in &cases() {
        for (origin, allowed) in origins {
            let more: Vec<(&str, &str)> = origin.iter().map(|origin| ("origin", *origin)).collect();
            let expected =
                |values: &[&str]| if allowed { values.iter().map(|it| (*it).to_owned()).collect() } else { Vec::new() };
            let reply = gate.reply(case, &more);
            assert_ordinary(&reply, case, "okta-proxy-wasm");
            assert_eq!(
                all(&reply, "access-control-allow-origin"),
                expected(&[origin.first().unwrap_or(&"")]),
                "{origin:?}"
            );
            assert_eq!(all(&reply, "access-control-expose-headers"), expected(&["www-authenticate, retry-after"]));
            assert_eq!(all(&reply, "access-control-allow-credentials"), [""; 0]);
            assert_eq!(all(&reply, "vary"), ["Origin"], "whatever was asked: a cache must tell them apart");

            let reply = with_cookies.reply(case, &more);
            assert_eq!(all(&reply, "access-control-allow-credentials"), expected(&["true"]));
            assert_eq!(all(&reply, "access-control-expose-headers"), expected(&["www-authenticate, x-support"]));

            let reply = anybody.reply(case, &more);
            let one = origin.len() == 1;
            assert_eq!(all(&reply, "access-control-allow-origin"), if one { &["*"][..] } else { &[] });

            let names: Vec<String> =
                silent.reply(case, &more).headers.iter().map(|(name, _)| name.as_str().to_owned()).collect();
            assert!(!names.iter().any(|name| name.starts_with("access-control-") || name == "vary"), "{names:?}");
        }
        // A preflight that is refused stays refused: its status fails it, and nothing in it says what would be allowed.
        let preflight = [(":method", "OPTIONS"), ("origin", app), ("access-control-request-method", "PUT")];
        let reply = gate.reply(case, &preflight);
        assert_ordinary(&reply, case, "okta-proxy-wasm");
        assert!(
            all(&reply, "access-control-allow-methods").is_empty()
                && all(&reply, "access-control-allow-headers").is_empty()
        );
    }
}

/// RFC 9449 section 8: a script of another origin needs the nonce for its next proof.
#[test]
fn scripts_can_read_the_nonce_where_proofs_are_accepted() {
    let exposed = |mode: &str, cors: Value| {
        let mut configuration = with(&rules(), json!({ "responses": { "cors": cors } }));
        let proofs = (mode != "off").then(|| json!({ "origins": ["https://api.acme.com"], "nonce": "required" }));
        let mut constraint = json!({ "dpop": mode });
        proofs.into_iter().for_each(|proofs| constraint["proofs"] = proofs);
        configuration["providers"]["okta"]["sender_constraint"] = constraint;
        let case = cases().remove(0);
        let (reply, reason) =
            Gate::configured(configuration).reject(case.fields(&[("origin", "https://app.acme.com")]));
        assert_eq!(reason, "token_missing");
        all(&reply, "access-control-expose-headers").join("; ")
    };
    let default = json!({ "allow_origins": ["*"] });
    let own = json!({ "allow_origins": ["*"], "expose_headers": ["x-a"] });
    assert_eq!(exposed("off", default.clone()), "www-authenticate, retry-after");
    for mode in ["if_bound", "required"] {
        assert_eq!(exposed(mode, default.clone()), "www-authenticate, retry-after, dpop-nonce");
        assert_eq!(exposed(mode, own.clone()), "x-a");
    }
}

/// A request that waits takes along what its answer depends on.
#[test]
fn pending_request_gets_the_same_response() {
    let mut configuration = redirecting(json!({ "url": LOGIN }));
    configuration["responses"]["cors"] = json!({ "allow_origins": ["https://app.acme.com"] });
    let mut engine = Harness::new(&configuration);
    let case = cases().pop().unwrap();
    let asked: [&[(&str, &str)]; 3] =
        [&[("origin", "https://app.acme.com")], &[(":method", "POST"), ("content-type", "application/grpc")], &[PAGE]];
    for more in asked {
        assert!(engine.request(&RequestHead::new(case.fields(more))).is_err(), "it is pending");
    }
    engine.fetch(published(&key_set(&[&SigningKey::b("k1")])));
    let replies: Vec<&LocalResponse> = engine.decided.iter().map(|(_, decision)| response_of(decision)).collect();
    let statuses: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
    assert_eq!(statuses, [401, 401, 302]);
    assert_eq!(all(replies[0], "access-control-allow-origin"), ["https://app.acme.com"]);
    assert_eq!(text(replies[1]), "The access token is not valid.");
    assert_eq!(all(replies[2], "location"), [format!("{LOGIN}?return_to=%2Fa")]);
}

#[test]
fn response_holds_no_byte_of_the_token_and_no_address_chosen_by_the_client() {
    let login = "https://app.acme.com/login?tenant=7";
    let mut configuration = redirecting(json!({ "url": login }));
    configuration["responses"] = json!({ "realm": "a\"b\\c", "login": { "url": login }, "detail": "reason",
        "cors": { "allow_origins": ["https://app.acme.com", "https://*.shop.acme.com"], "allow_credentials": true },
        "custom": { "forbidden": { "body": "<h1>403</h1>", "content_type": "text/html", "headers": { "x-support": "1" } } } });
    let mut gates =
        [Gate::configured(configuration.clone()), Gate::configured(with(&configuration, json!({ "rules": [] })))];
    let good = SigningKey::a("k1").token(&with(&payload(NOW), json!({ "acr": null })));
    let bad = SigningKey::b("k1").token(&payload(NOW));
    let names = [
        "authorization",
        "cookie",
        "origin",
        "accept",
        "sec-fetch-mode",
        "content-type",
        "host",
        "x-forwarded-host",
        ":method",
        ":path",
        ":authority",
    ];
    let pieces: Vec<Vec<u8>> = [
        "/pay",
        "/",
        "//evil.example",
        "/a?at=",
        "access_token=",
        "&",
        ";",
        "?",
        "%2f",
        "\\",
        "\r\nset-cookie: z=1",
        "\0",
        "text/html",
        "navigate",
        "https://app.acme.com",
        "https://a.shop.acme.com",
        "https://evil.example",
        "application/grpc",
        "GET",
        "HEAD",
        ",",
        "at=",
        "Bearer ",
        "q=1",
        "%",
        "é",
    ]
    .iter()
    .map(|piece| piece.as_bytes().to_vec())
    .chain([b"\xff\xfe".to_vec()])
    .collect();
    let mut dice = Random::new(0x9E37_79B9_7F4A_7C15);
    let (mut redirects, mut readable) = (0, 0);
    for round in 0..6000 {
        let token = if round % 2 == 0 { &bad } else { &good };
        // One that could be a browser's, and then anything.
        let paths = [
            "/pay".to_owned(),
            format!("/a?x=1&at={token}"),
            format!("/a?at={token};b=1&access_token={token}"),
            format!("/a;at={token}"),
            "/a".to_owned(),
        ];
        let mut fields: Vec<(String, Vec<u8>)> = vec![
            (":method".to_owned(), dice.pick(&["GET", "HEAD", "POST"]).as_bytes().to_vec()),
            (":path".to_owned(), paths[dice.index(if round % 3 == 0 { 3 } else { 5 })].clone().into_bytes()),
        ];
        match dice.index(3) {
            0 => fields.push(("authorization".to_owned(), format!("Bearer {token}").into_bytes())),
            1 => fields.push(("cookie".to_owned(), format!("at={token}").into_bytes())),
            _ => {}
        }
        if dice.index(2) == 0 {
            fields.push(("accept".to_owned(), b"text/html".to_vec()));
        }
        if dice.index(4) == 0 {
            fields.push(("origin".to_owned(), dice.pick(&pieces).clone()));
        }
        if dice.index(4) == 0 {
            let path = (0..dice.index(6)).flat_map(|_| dice.pick(&pieces).clone()).collect();
            fields.retain(|(name, _)| name != ":path");
            fields.push((":path".to_owned(), path));
        }
        for _ in 0..dice.index(4) {
            let value = (0..dice.index(4)).flat_map(|_| dice.pick(&pieces).clone()).collect();
            fields.push(((*dice.pick(&names)).to_owned(), value));
        }
        // A token as part of a path is no credential, and a place as good as any: it would come back.
        if fields.iter().any(|(name, value)| name == ":path" && value.starts_with(b"/a;")) {
            fields.retain(|(name, _)| name != "accept");
        }
        let head = RequestHead::new(fields.clone());
        let decision = gates[dice.index(2)].0.decide(&head);
        let Verdict::Deny(reply) = &decision.verdict else { continue };
        assert_safe(reply);
        assert!([302, 400, 401, 403, 503].contains(&reply.status), "{}", reply.status);
        assert_eq!(reply.body.is_empty(), reply.status == 302, "{fields:?}");
        let shown = format!("{:?}{}", reply.headers, text(reply));
        for part in token.split('.') {
            assert!(!shown.contains(&part[..12]), "{fields:?}: {shown}");
        }
        for location in all(reply, "location") {
            assert!(location == login || location.starts_with(&format!("{login}&")), "{location}");
            let rest = &location[login.len()..];
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%&=".contains(&byte);
            assert!(rest.bytes().all(|byte| is_plain(byte) || byte == b'_'), "{location}");
            assert!(!rest.contains("return_to=%2F%2F") && !rest.contains("return_to=%2F%5C"), "{location}");
            assert!(rest.is_empty() || !rest.contains("return_to=") || rest.contains("return_to=%2F"), "{location}");
            redirects += 1;
        }
        for origin in all(reply, "access-control-allow-origin") {
            let is_ours = origin == "https://app.acme.com"
                || (origin.starts_with("https://") && origin.ends_with(".shop.acme.com"));
            assert!(is_ours && head.single("origin") == Some(origin.as_bytes()), "{origin}");
            readable += 1;
        }
    }
    assert!(redirects > 200 && readable > 20, "{redirects} redirects, {readable} readable");
}
