//! `explain`: steps and decision of requests, with tokens that are signed for the test.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::thread;

use crate::signing::{SigningKey, key_set, payload, with};
use crate::tool::{Run, assert_golden, run, run_trusting, run_with_input};
use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::tls::CertificateAuthority;
use testbed::{AuthorizationServer, UserTokenRequest};

const NOW: u64 = 1_800_000_000;
const CONFIG: &str = "examples/microservices/plugin.json";

/// The issuer's keys in a file, and tokens of it.
struct Issuer {
    directory: TempDir,
    key: SigningKey,
}

impl Issuer {
    fn new() -> Self {
        let issuer = Self { directory: tempfile::tempdir().unwrap(), key: SigningKey::a("k1") };
        issuer.file("keys.json", &key_set(&[&SigningKey::a("k1"), &SigningKey::b("k2")]).to_string());
        issuer
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn token(&self, changes: Value) -> String {
        self.key.token(&with(&payload(NOW - 60), changes))
    }

    fn explain(&self, config: &str, token: &str, more: &[&str]) -> Run {
        let keys = self.directory.path().join("keys.json");
        let at = NOW.to_string();
        let fixed = ["explain", "--config", config, "--at", &at, "--keys", keys.to_str().unwrap()];
        let arguments = [&fixed, &["--token", "-"][..], more].concat();
        let run = run_with_input(&arguments, token);
        if more.contains(&"--format") {
            assert_last_step_agrees(&run);
        } else {
            assert_last_step_agrees(&run_with_input(&[&arguments[..], &["--format", "json"]].concat(), token));
        }
        run
    }
}

/// A denied request ends with the only step that fails; an allowed one has none.
fn assert_last_step_agrees(run: &Run) {
    // Not the result for a request, or not as JSON.
    let Ok(json) = serde_json::from_str::<Value>(&run.stdout) else { return };
    let marks = marks(run);
    let failed: Vec<usize> =
        marks.iter().enumerate().filter_map(|(at, (_, outcome))| (outcome == "fail").then_some(at)).collect();
    let expected: Vec<usize> = (json["verdict"] == "deny").then(|| marks.len() - 1).into_iter().collect();
    assert_eq!(failed, expected, "{}", run.transcript());
}

fn marks(run: &Run) -> Vec<(String, String)> {
    let json = run.json();
    let steps = json["steps"].as_array().unwrap();
    let text = |step: &Value, name: &str| step[name].as_str().unwrap().to_owned();
    steps.iter().map(|step| (text(step, "step"), text(step, "outcome"))).collect()
}

/// The filter rejects a key set with a duplicate member; a parser that takes the last one would verify with other keys.
#[test]
fn key_set_is_parsed_as_the_filter_parses_it() {
    let issuer = Issuer::new();
    let keys = key_set(&[&SigningKey::a("k1")]).to_string();
    let request = ["--request", "GET https://shop.acme.com/orders/1"];
    let twice = keys.replacen('{', r#"{"keys":[],"#, 1);
    let key_twice = keys.replacen(r#""kid":"k1""#, r#""kid":"other","kid":"k1""#, 1);
    assert_ne!(key_twice, keys);
    let deep = keys.replacen('{', &format!(r#"{{"x":{}{},"#, "[".repeat(20), "]".repeat(20)), 1);
    for text in [&*twice, &key_twice, &deep, "[]", "{}"] {
        issuer.file("keys.json", text);
        let run = issuer.explain("examples/step-up/plugin.json", &issuer.token(json!({})), &request);
        assert_eq!(run.status, 2, "{text}: {}", run.transcript());
        assert!(run.stderr.contains("keys.json: $: not a key set"), "{text}: {}", run.stderr);
    }
    issuer.file("keys.json", r#"{"keys":[]}"#);
    let run = issuer.explain("examples/step-up/plugin.json", &issuer.token(json!({})), &request);
    assert!(run.stderr.contains("no key here can verify a signature"), "{}", run.stderr);
}

#[test]
fn allowed_request_is_explained_with_all_steps_and_the_forwarded_headers() {
    let issuer = Issuer::new();
    let token = issuer.token(json!({ "groups": ["support"], "acr": "phr" }));
    let request = ["--request", "POST https://shop.acme.com/orders/1/refund", "-H", "X-User-Id: root"];
    let scopes = issuer.token(json!({ "groups": ["support"], "acr": "phr", "scp": ["orders:write"] }));
    assert_golden("explain-allowed", &issuer.explain(CONFIG, &scopes, &request).transcript());
    let refused = issuer.explain(CONFIG, &token, &request);
    assert_golden("explain-scope-missing", &refused.transcript());
    assert_golden(
        "explain-json",
        &issuer.explain(CONFIG, &scopes, &[&request[..], &["--format", "json"]].concat()).transcript(),
    );
}

#[test]
fn token_of_the_okta_org_authorization_server_is_explained_with_a_remedy() {
    let issuer = Issuer::new();
    let hint = "the Okta org authorization server issued the token";
    for (iss, is_of_org) in [
        ("https://acme.okta.com", true),
        ("https://evil.example", false),
        ("https://acme.okta.com/oauth2", false),
        ("", false),
    ] {
        let run = issuer.explain(CONFIG, &issuer.token(json!({ "iss": iss })), &["--request", "GET /orders/1"]);
        let transcript = run.transcript();
        assert!(transcript.contains("issuer_unknown"), "{transcript}");
        assert_eq!(transcript.contains(hint), is_of_org, "{iss}: {transcript}");
    }
}

#[test]
fn rejected_request_ends_with_the_failed_step_and_allowed_request_has_none() {
    let issuer = Issuer::new();
    let stranger = SigningKey::b("k1").token(&payload(NOW));
    let rows: Vec<(&str, String, Option<&str>)> = vec![
        ("GET /healthz", String::new(), None),
        ("GET /catalog/1", issuer.token(json!({})), None),
        ("GET /orders/1", issuer.token(json!({ "scp": ["orders:read"] })), None),
        ("GET /admin/reports", issuer.token(json!({})), None),
        ("GET /debug", issuer.token(json!({})), Some("rule")),
        ("GET /catalog/%2fx", issuer.token(json!({})), Some("rule")),
        ("GET /orders/1", String::from("x.y.z"), Some("token")),
        ("GET /orders/1", String::from("opaque"), Some("token")),
        ("GET /orders/1", issuer.token(json!({ "iss": "https://evil.example" })), Some("provider")),
        (
            "GET /orders/1",
            issuer.key.token_with_header(&json!({ "alg": "PS256", "kid": "k1" }), &payload(NOW)),
            Some("algorithm"),
        ),
        ("GET /orders/1", SigningKey::a("k9").token(&payload(NOW)), Some("key")),
        ("GET /orders/1", stranger, Some("signature")),
        ("GET /orders/1", issuer.token(json!({ "exp": NOW - 4000 })), Some("claims")),
        ("GET /orders/1", issuer.token(json!({ "aud": "api://payroll" })), Some("claims")),
        ("GET /orders/1", issuer.token(json!({ "nbf": "soon" })), Some("claims")),
        ("GET /orders/1", issuer.token(json!({ "cnf": {} })), Some("claims")),
        ("GET /orders/1", issuer.token(json!({ "scp": [] })), Some("requirement")),
        ("GET /stock/1", issuer.token(json!({})), Some("requirement")),
    ];
    for (request, token, stopped_at) in rows {
        let found = issuer.explain(CONFIG, &token, &["--format", "json", "--request", request]);
        let verdict = if stopped_at.is_some() { ("deny", 1) } else { ("allow", 0) };
        assert_eq!(
            (found.json()["verdict"].as_str().unwrap(), found.status),
            verdict,
            "{request}: {}",
            found.transcript()
        );
        let failed = marks(&found).into_iter().find(|(_, outcome)| outcome == "fail");
        assert_eq!(failed.as_ref().map(|(step, _)| &**step), stopped_at, "{request}: {}", found.transcript());
    }
}

#[test]
fn token_is_never_printed_whole_from_any_location() {
    let issuer = Issuer::new();
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("plugin.json");
    for place in [
        json!({ "forward": true }),
        json!({ "from_headers": [], "from_cookies": ["at"], "forward": true }),
        json!({ "from_headers": [], "from_params": ["at"], "forward": true }),
    ] {
        let document = json!({ "providers": { "okta": {
            "okta": { "domain": "acme.okta.com" }, "audiences": ["api://default"], "upstream": "okta" } }, "token": place });
        fs::write(&config, document.to_string()).unwrap();
        let token = issuer.token(json!({}));
        for format in ["text", "json"] {
            let found = issuer.explain(config.to_str().unwrap(), &token, &["--format", format]);
            assert_eq!(found.status, 0, "{}", found.transcript());
            for part in token.split('.') {
                assert!(!found.transcript().contains(part), "{place}: {}", found.transcript());
            }
        }
    }
}

#[test]
fn opaque_token_is_validated_by_the_introspection_response() {
    let issuer = Issuer::new();
    let config = issuer.file(
        "plugin.json",
        &json!({ "providers": { "okta": {
        "okta": { "domain": "acme.okta.com" }, "audiences": ["api://default"], "upstream": "okta",
        "introspection": { "client_id": "0oaGateway", "client_secret": { "env": "OKTA_CLIENT_SECRET" } } } } })
        .to_string(),
    );
    let answer = |value: Value| issuer.file("answer.json", &value.to_string());
    let active =
        answer(json!({ "active": true, "aud": "api://default", "scope": "a b", "sub": "alice", "exp": NOW + 60 }));
    let found = issuer.explain(&config, "opaque", &["--format", "json", "--introspection", &active]);
    assert_eq!((found.status, found.json()["reason"].as_str()), (0, Some("authorized")), "{}", found.transcript());
    let inactive = answer(json!({ "active": false }));
    let found = issuer.explain(&config, "opaque", &["--format", "json", "--introspection", &inactive]);
    assert_eq!((found.status, found.json()["reason"].as_str()), (1, Some("token_inactive")), "{}", found.transcript());
    let unsaid = issuer.explain(&config, "opaque", &[]);
    assert!(unsaid.status == 2 && unsaid.stderr.contains("--introspection"), "{}", unsaid.transcript());
}

#[test]
fn attributes_of_a_condition_are_given_by_name() {
    let issuer = Issuer::new();
    let config = "examples/ip-allow-list/plugin.json";
    let token = issuer.token(json!({ "groups": ["platform-admins"] }));
    let explain = |address: &str| {
        let attribute = format!("source.address={address}");
        issuer.explain(
            config,
            &token,
            &["--format", "json", "--request", "GET /catalog/prices", "--attribute", &attribute],
        )
    };
    let (inside, outside) = (explain("203.0.113.9"), explain("10.1.2.3"));
    assert_eq!(inside.json()["verdict"], "allow", "{}", inside.transcript());
    assert_eq!(outside.json()["verdict"], "deny", "{}", outside.transcript());
}

#[test]
fn certificate_of_a_bound_token_is_explained_with_its_source() {
    const HOP: &str = "5d95c3876576b207c0c104e82a4fa5a2573b365e0ed565ee6de6022c03027ad4";
    /// SHA-256 of nothing, in both spellings.
    const CLIENT: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const THUMBPRINT: &str = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
    let issuer = Issuer::new();
    let mut configuration: Value =
        serde_json::from_str(&fs::read_to_string(crate::tool::root().join(CONFIG)).unwrap()).unwrap();
    for provider in configuration["providers"].as_object_mut().unwrap().values_mut() {
        provider["sender_constraint"] = json!({ "mtls": "if_bound" });
    }
    configuration["client_certificate"] =
        json!({ "header": "x-forwarded-client-cert", "hops": { "certificate_hashes": [HOP] } });
    configuration["rules"] = json!([]);
    configuration["default_rule"] = json!({ "access": "token" });
    let config = issuer.file("plugin.json", &configuration.to_string());
    let token = issuer.token(json!({ "cnf": { "x5t#S256": THUMBPRINT } }));
    let constraint = |digest: &str, header: Option<&str>| {
        let attribute = format!("connection.sha256_peer_certificate_digest={digest}");
        let header = header.map(|value| format!("x-forwarded-client-cert: {value}"));
        let more = header.iter().flat_map(|header| ["--header", header.as_str()]);
        let arguments = ["--format", "json", "--request", "GET /orders/1", "--attribute", &attribute];
        let run = issuer.explain(&config, &token, &arguments.into_iter().chain(more).collect::<Vec<_>>());
        let steps = run.json()["steps"].as_array().unwrap().clone();
        let step =
            steps.iter().find(|step| step["step"] == "constraint").unwrap_or_else(|| panic!("{}", run.transcript()));
        (step["outcome"].as_str().unwrap().to_owned(), step["message"].as_str().unwrap().to_owned())
    };
    let (of_client, of_other) = (format!("Hash={CLIENT}"), format!("Hash={}", "0".repeat(64)));
    for (digest, header, outcome, said) in [
        (HOP, Some(&*of_client), "pass", "in the header `x-forwarded-client-cert` of a hop"),
        (CLIENT, Some(&*of_other), "pass", "the certificate is that of the connection"),
        (HOP, Some(&*of_other), "fail", "the header of the hop (`client_certificate`) describes another certificate"),
        (HOP, None, "fail", "is missing"),
        (HOP, Some("Hash=00"), "fail", "does not describe exactly one certificate"),
        (&"0".repeat(64), Some(&*of_client), "fail", "the client has shown another certificate"),
    ] {
        let (found, message) = constraint(digest, header);
        assert!(found == outcome && message.contains(said), "{digest} {header:?}: {found} {message}");
        assert!(!message.contains(CLIENT) && !message.contains("Hash="), "{message}");
    }
}

/// Responds to every request with this body, made for its port, until the test ends.
fn serve(body: impl FnOnce(u16) -> String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let body = body(port);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            // The client may close the connection early.
            let _sent = stream.write_all(format!("{head}{body}").as_bytes());
        }
    });
    port
}

#[test]
fn keys_are_fetched_from_the_same_url_as_in_the_filter() {
    let issuer = Issuer::new();
    let port = serve(|_| key_set(&[&SigningKey::a("k1")]).to_string());
    let config = issuer.file(
        "plugin.json",
        &json!({ "providers": { "local": {
        "issuer": crate::signing::ISSUER, "insecure_http": true, "audiences": ["api://default"], "upstream": "idp",
        "jwks": { "uri": format!("http://127.0.0.1:{port}/keys") } } } })
        .to_string(),
    );
    let at = NOW.to_string();
    let token = format!("@{}", issuer.file("token.txt", &issuer.token(json!({}))));
    let arguments = ["explain", "--config", &config, "--at", &at, "--token", &token, "--format", "json"];
    let found = run(&[&arguments[..], &["--fetch"]].concat());
    assert_last_step_agrees(&found);
    assert_eq!((found.status, found.json()["reason"].as_str()), (0, Some("authorized")), "{}", found.transcript());
    assert!(found.json()["notes"][0].as_str().unwrap().contains("200"), "{}", found.transcript());
    let without = run(&arguments);
    assert!(without.status == 2 && without.stderr.contains("--fetch"), "{}", without.transcript());
    let stranger = format!("@{}", issuer.file("stranger.txt", &SigningKey::b("k1").token(&payload(NOW))));
    let found =
        run(&["explain", "--config", &config, "--at", &at, "--token", &stranger, "--format", "json", "--fetch"]);
    assert_last_step_agrees(&found);
    assert_eq!(
        (found.status, found.json()["reason"].as_str()),
        (1, Some("signature_invalid")),
        "{}",
        found.transcript()
    );
    let unknown = format!("@{}", issuer.file("other.txt", &SigningKey::b("k7").token(&payload(NOW))));
    let found = run(&["explain", "--config", &config, "--at", &at, "--token", &unknown, "--format", "json", "--fetch"]);
    assert_last_step_agrees(&found);
    assert_eq!((found.status, found.json()["reason"].as_str()), (1, Some("key_unknown")), "{}", found.transcript());
}

#[test]
fn keys_are_found_by_the_issuers_metadata() {
    let issuer = Issuer::new();
    // One document serves as metadata and key set.
    let port = serve(|port| {
        let home = format!("http://127.0.0.1:{port}");
        let metadata = json!({ "issuer": home, "jwks_uri": format!("{home}/keys") });
        with(&key_set(&[&SigningKey::a("k1")]), metadata).to_string()
    });
    let home = format!("http://127.0.0.1:{port}");
    let provider = json!({ "issuer": home, "insecure_http": true, "audiences": ["api://default"], "upstream": "idp" });
    let config = issuer.file("plugin.json", &json!({ "providers": { "local": provider } }).to_string());
    let token = format!("@{}", issuer.file("token.txt", &issuer.token(json!({ "iss": home }))));
    let at = NOW.to_string();
    let found = run(&["explain", "--config", &config, "--at", &at, "--token", &token, "--format", "json", "--fetch"]);
    assert_last_step_agrees(&found);
    assert_eq!((found.status, found.json()["reason"].as_str()), (0, Some("authorized")), "{}", found.transcript());
    assert_eq!(found.json()["notes"].as_array().unwrap().len(), 2, "{}", found.transcript());
}

#[test]
fn keys_are_fetched_over_tls_only_from_a_trusted_server() {
    let idp = AuthorizationServer::start_as("https://localhost/oauth2/default");
    let issuer = Issuer::new();
    let provider = json!({
        "issuer": "https://localhost/oauth2/default", "audiences": ["api://default"], "upstream": "idp",
        "jwks": { "uri": format!("https://localhost:{}/oauth2/default/v1/keys", idp.port()) } });
    let config = issuer.file("plugin.json", &json!({ "providers": { "local": provider } }).to_string());
    let token = format!("@{}", issuer.file("token.txt", &idp.user_token(&UserTokenRequest::default())));
    let explain = |trusted: &Path| {
        let arguments = ["explain", "--config", &config, "--token", &token, "--format", "json", "--fetch"];
        run_trusting(&arguments, trusted)
    };
    let found = explain(&idp.ca_pem_path());
    assert_eq!((found.status, found.json()["reason"].as_str()), (0, Some("authorized")), "{}", found.transcript());
    let others = tempfile::tempdir().unwrap();
    let found = explain(&CertificateAuthority::create(others.path()).ca_pem_path());
    assert_eq!(found.status, 2, "{}", found.transcript());
    assert!(
        found.stderr.contains("--fetch: the issuer's keys cannot be fetched: GET https://localhost:"),
        "{}",
        found.stderr
    );
}

#[test]
fn unusable_input_is_reported_in_a_sentence() {
    for (arguments, said) in [
        (&["explain", "--config", "tests/data/faults/rules_paths.json"][..], "the configuration is rejected"),
        (&["explain", "--config", CONFIG, "--request", "nonsense"], "not a request"),
        (&["explain", "--config", CONFIG, "-H", "nonsense"], "NAME: VALUE"),
        (&["explain", "--config", CONFIG, "--at", "tomorrow"], "not a time"),
        (&["explain", "--config", CONFIG, "--attribute", "source.colour=red"], "not an attribute"),
        (&["explain", "--config", CONFIG, "--token", "@no-such-file"], "no-such-file"),
    ] {
        let found = run(arguments);
        assert!(found.status == 2 && found.stderr.contains(said), "{arguments:?}: {}", found.transcript());
    }
}

/// Each step that may deny after the signature, and what it says.
#[test]
fn status_of_the_token_and_its_identity_are_steps() {
    let issuer = Issuer::new();
    let provider = json!({
        "okta": { "domain": "acme.okta.com" }, "audiences": ["api://default"], "upstream": "okta",
        "introspection": { "client_id": "c", "client_secret": { "env": "SECRET" } } });
    let document = json!({
        "providers": { "okta": provider },
        "revocations": { "upstream": "list", "uri": "https://list.acme.com/" },
        "claim_to_headers": [{ "claim": "note", "header": "x-note" }], "token": { "max_bytes": 32000 },
        "rules": [
            { "match": { "path": "/introspected" }, "introspect": true },
            { "match": { "path": "/reported" }, "require": { "scopes": ["missing"] }, "report_only": true },
            { "match": { "path": "/anonymous" }, "access": "public", "require": { "condition": "request.method == 'POST'" } },
        ],
    });
    let config = issuer.file("status.json", &document.to_string());
    let good = issuer.token(json!({}));
    let active = json!({ "active": true, "aud": "api://default", "sub": "alice@acme.com", "exp": NOW + 60 });
    let inactive = json!({ "active": false });
    let list = issuer.file("list.json", &json!({ "revoked": [{ "jti": "AT.revoked" }] }).to_string());
    let (revoked, none) = (issuer.token(json!({ "jti": "AT.revoked" })), Value::Null);
    let (long, inexact) = (issuer.token(json!({ "note": "x".repeat(9000) })), issuer.token(json!({ "note": 1e300 })));
    let bob = with(&active, json!({ "sub": "bob" }));
    let other = with(&active, json!({ "aud": "other" }));
    let rows = [
        ("/", &*good, &none, None),
        ("/", &revoked, &none, Some(("revocation", "on the revocation list"))),
        ("/", &long, &none, Some(("headers", "a value is too long to be forwarded"))),
        ("/", &inexact, &none, Some(("headers", "a number cannot be forwarded exactly"))),
        ("/introspected", &good, &active, None),
        ("/introspected", &good, &inactive, Some(("introspection", "required by the rule: the token is inactive"))),
        (
            "/introspected",
            &good,
            &bob,
            Some(("introspection", "required by the rule: the response is about another token")),
        ),
        ("/reported", &good, &none, None),
        ("/anonymous", "", &none, Some(("requirement", "condition_unmet"))),
        ("/", "opaque", &active, None),
        ("/", "opaque", &inactive, Some(("introspection", "the token is inactive"))),
        (
            "/",
            "opaque",
            &none,
            Some((
                "introspection",
                "invalid introspection response: it is not a JSON object, or has a duplicate member",
            )),
        ),
        ("/", "opaque", &other, Some(("claims", "`aud` names no expected audience"))),
    ];
    for (path, token, response, stopped_at) in rows {
        let request = format!("GET {path}");
        let response = issuer.file("response.json", &response.to_string());
        let more = ["--format", "json", "--request", &request, "--introspection", &response, "--revocations", &list];
        let found = issuer.explain(&config, token, &more);
        let json = found.json();
        let last = json["steps"].as_array().unwrap().last().unwrap().clone();
        assert_eq!(json["verdict"] == "deny", stopped_at.is_some(), "{}", found.transcript());
        if let Some(stopped_at) = stopped_at {
            let text = |name: &str| last[name].as_str().unwrap();
            assert_eq!((text("step"), text("message")), stopped_at, "{}", found.transcript());
        }
    }
}

#[test]
fn jwt_without_local_verification_is_introspected() {
    let issuer = Issuer::new();
    let config = issuer.file(
        "plugin.json",
        r#"{"providers": {"okta": {
            "okta": {"domain": "acme.okta.com", "authorization_server": "org"}, "audiences": ["https://acme.okta.com"], "upstream": "okta",
            "introspection": {"client_id": "c", "client_secret": {"env": "SECRET"}}
        }}}"#,
    );
    let org = json!({ "iss": "https://acme.okta.com", "aud": "https://acme.okta.com" });
    let answers = [(json!({ "active": true, "sub": "alice" }), 0), (json!({ "active": false }), 1)];
    for (answer, status) in answers {
        let answer = issuer.file("answer.json", &with(&answer, org.clone()).to_string());
        let request = ["--request", "GET https://api.acme.com/", "--introspection", &answer, "--format", "json"];
        let run = issuer.explain(&config, &issuer.token(org.clone()), &request);
        assert_eq!(run.status, status, "{}", run.transcript());
        let asked = marks(&run).into_iter().find(|(step, _)| step == "introspection").unwrap();
        assert_eq!(asked.1 == "pass", status == 0, "{asked:?}");
    }
}

#[test]
fn providers_of_one_issuer_are_shown_with_their_audiences() {
    let issuer = Issuer::new();
    let provider =
        |audience: &str| json!({ "okta": { "domain": "acme.okta.com" }, "audiences": [audience], "upstream": "okta" });
    let config = json!({ "providers": { "orders": provider("api://orders"), "payments": provider("api://payments") } });
    let config = issuer.file("two.json", &config.to_string());
    let explain = |audience: Value| {
        let mut claims = payload(NOW - 60);
        claims["aud"] = audience;
        issuer.explain(&config, &issuer.key.token(&claims), &["--request", "GET /"])
    };
    let provider_step = |run: &Run| {
        let steps = run.json()["steps"].clone();
        steps.as_array().unwrap().iter().find(|step| step["step"] == "provider").unwrap().clone()
    };
    let json = |audience: Value| {
        let mut claims = payload(NOW - 60);
        claims["aud"] = audience;
        issuer.explain(&config, &issuer.key.token(&claims), &["--request", "GET /", "--format", "json"])
    };
    let passes = explain(json!("api://payments"));
    assert_eq!(passes.status, 0, "{}", passes.transcript());
    assert!(passes.stdout.contains("payments, of the issuer") && passes.stdout.contains("selected by `aud`"));
    for (audience, reason, said) in [
        (json!(["api://orders", "api://payments"]), "audience_ambiguous", "`aud` names audiences of several providers"),
        (json!("api://other"), "audience_unexpected", "`aud` names no expected audience"),
        (Value::Null, "audience_malformed", "`aud` is neither a string nor a list of strings"),
    ] {
        let found = json(audience);
        assert_eq!((found.status, &found.json()["reason"]), (1, &json!(reason)), "{}", found.transcript());
        let step = provider_step(&found);
        assert!(step["outcome"] == "fail" && step["message"].as_str().unwrap().contains(said), "{step}");
        let details = step["details"].to_string();
        assert!(details.contains("orders: ") && details.contains("payments: "), "{details}");
    }
}

/// A rule for each requirement, for tokens of an Okta provider and of another one.
fn requirements() -> Value {
    let okta = json!({ "okta": { "domain": "acme.okta.com" }, "audiences": ["api://default"], "upstream": "okta" });
    let other = json!({ "issuer": "https://idp.example", "audiences": ["api://default"], "upstream": "idp",
        "jwks": { "uri": "https://idp.example/keys" }, "sender_constraint": { "mtls": "if_bound" } });
    let requires = [
        ("acr", json!({ "acr": "phr" })),
        ("max_age", json!({ "max_age": "15m" })),
        ("groups", json!({ "groups": ["admins"] })),
        ("amr", json!({ "amr": ["hwk"] })),
        ("scopes", json!({ "scopes": ["orders:read", "orders:write"] })),
        ("any_scope", json!({ "any_scope": ["orders:read", "orders:write", "orders:admin"] })),
        ("client_ids", json!({ "client_ids": ["0oa1"] })),
        ("audiences", json!({ "audiences": ["api://orders"] })),
        ("claims", json!({ "claims": { "tenant": "acme" } })),
        ("condition", json!({ "condition": "claims.tenant == 'acme'" })),
        ("proof", json!({ "proof": "any" })),
    ];
    let rule = |(name, require): &(&str, Value)| json!({ "match": { "path": format!("/{name}") }, "require": require });
    json!({ "providers": { "okta": okta, "other": other }, "rules": requires.iter().map(rule).collect::<Vec<_>>() })
}

/// The failing detail of the requirement of `path`.
fn unmet(issuer: &Issuer, config: &str, path: &str, token: &str) -> String {
    let run = issuer.explain(config, token, &["--request", &format!("GET /{path}"), "--format", "json"]);
    let json = run.json();
    let step = json["steps"].as_array().and_then(|steps| steps.last()).cloned().unwrap_or_default();
    assert_eq!(step["step"], "requirement", "{}", run.transcript());
    let failed = step["details"].as_array().unwrap().iter().find(|detail| detail["outcome"] == "fail").cloned();
    failed.unwrap()["message"].as_str().unwrap().to_owned()
}

#[test]
fn unmet_requirement_is_explained_with_what_is_wanted_found_and_what_would_help() {
    let issuer = Issuer::new();
    let config = issuer.file("plugin.json", &requirements().to_string());
    let okta = |changes: Value| issuer.token(with(&json!({ "iss": crate::signing::ISSUER }), changes));
    let other = |changes: Value| issuer.token(with(&json!({ "iss": "https://idp.example" }), changes));
    let rows = [
        (
            "acr",
            okta(json!({ "acr": "urn:okta:loa:1fa:pwd" })),
            "acr: wanted phr; the token has urn:okta:loa:1fa:pwd (the client can ask for a sign-in with acr_values=phr)",
        ),
        (
            "acr",
            okta(json!({})),
            "acr: wanted phr; the token has no claim \"acr\" (the client can ask for a sign-in with acr_values=phr)",
        ),
        (
            "max_age",
            okta(json!({ "auth_time": NOW - 7_200 })),
            "max_age: wanted 15 min; signed in 2 h ago (the client can ask for a sign-in with max_age=900)",
        ),
        (
            "groups",
            okta(json!({ "groups": null })),
            "groups: wanted admins; the token has no claim \"groups\" (Okta: add it to the access token)",
        ),
        (
            "groups",
            other(json!({ "groups": null })),
            "groups: wanted admins; the token has no claim \"groups\" (let the issuer add it to the access token)",
        ),
        (
            "groups",
            okta(json!({ "groups": ["staff", "two words"] })),
            "groups: wanted admins; the token has staff, \"two words\"",
        ),
        (
            "amr",
            okta(json!({ "amr": ["pwd"] })),
            "amr: wanted hwk; the token has pwd (Okta has `amr` in ID tokens only: require `acr`)",
        ),
        (
            "scopes",
            okta(json!({ "scp": ["orders:read"] })),
            "scopes: wanted orders:read and orders:write; the token has orders:read (the client can request a token with orders:write)",
        ),
        (
            "any_scope",
            okta(json!({ "scp": [] })),
            "any_scope: wanted one of orders:read, orders:write, orders:admin; the token has no scopes (the client can request a token with one of orders:read, orders:write, orders:admin)",
        ),
        ("client_ids", okta(json!({ "cid": "0oa2" })), "client_ids: wanted 0oa1; the token was issued to 0oa2"),
        ("audiences", okta(json!({})), "audiences: wanted api://orders; the token has api://default"),
        (
            "claims",
            okta(json!({ "tenant": "evil\u{1b}[2J" })),
            "claim tenant: wanted acme; the token has \"evil\\u001b[2J\"",
        ),
        (
            "condition",
            okta(json!({})),
            "condition: claims.tenant == 'acme'; it has no value: an attribute, header, claim or field is missing, or an index is out of range",
        ),
        ("condition", okta(json!({ "tenant": "other" })), "condition: claims.tenant == 'acme'; it is false"),
        (
            "proof",
            okta(json!({})),
            "proof: wanted any; the token is not bound to the client (the provider's `sender_constraint` accepts no such tokens)",
        ),
        (
            "proof",
            other(json!({})),
            "proof: wanted any; the token is not bound to the client (the client can request a token that is bound to its certificate)",
        ),
    ];
    for (path, token, expected) in rows {
        assert_eq!(unmet(&issuer, &config, path, &token), expected, "{path}");
    }
}

/// `Indeterminate(Missing)` is for developers: no output of a denied request has the name of a Rust type or variant.
#[test]
fn no_output_has_debug_text_of_rust() {
    let issuer = Issuer::new();
    let config = issuer.file("plugin.json", &requirements().to_string());
    let good = issuer.token(json!({ "iss": crate::signing::ISSUER }));
    let (signed, _) = good.rsplit_once('.').unwrap();
    let header = |text: &str| base64url(text);
    let tokens = [
        good.clone(),
        format!("{signed}.AAAA"),
        format!("{}.e30.AAAA", header(r#"{"alg":"none"}"#)),
        format!("{}.e30.AAAA", header("[]")),
        format!("{}.e30.AAAA", header(r#"{"alg":"RS256","crit":["x"]}"#)),
        format!("{}.!!.AAAA", header(r#"{"alg":"RS256"}"#)),
        String::from("opaque"),
        issuer.token(json!({ "iss": crate::signing::ISSUER, "aud": 5 })),
        issuer.token(json!({ "iss": crate::signing::ISSUER, "exp": "soon" })),
        issuer.token(json!({ "iss": crate::signing::ISSUER, "cnf": { "jkt": "x" } })),
        issuer.token(json!({ "iss": "https://evil.example" })),
    ];
    let requests = ["GET /acr", "GET /groups", "GET /condition", "GET /a%2fb", "get /", "GET /\\", "GET /free"];
    for token in &tokens {
        for request in requests {
            let run = issuer.explain(&config, token, &["--request", request]);
            let text = run.transcript();
            let words = text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
            let debug = words.filter(|word| {
                let capitals = word.bytes().filter(u8::is_ascii_uppercase).count();
                let is_name = capitals >= 2 && word.bytes().all(|byte| byte.is_ascii_alphabetic());
                is_name && word.bytes().any(|byte| byte.is_ascii_lowercase()) && !KNOWN_WORDS.contains(word)
            });
            assert_eq!(debug.collect::<Vec<_>>(), Vec::<&str>::new(), "{text}");
            for sign in ["Some(", "None", "Missing", "Malformed", "Ok(", "Err(", "Target(", "Claim("] {
                assert!(!text.contains(sign), "{sign}: {text}");
            }
        }
    }
}

/// A key of P-256, and the thumbprint of its public half.
const DPOP_KEY: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}"#;
const DPOP_THUMBPRINT: &str = "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U";

#[test]
fn a_proof_is_made_with_the_key_of_the_client_and_shown_only_as_a_command() {
    let issuer = Issuer::new();
    let key = issuer.file("client.json", DPOP_KEY);
    let bound = issuer.token(json!({ "cnf": { "jkt": DPOP_THUMBPRINT } }));
    for nonce in ["off", "required"] {
        let config = issuer.file(
            "dpop.json",
            &json!({ "providers": { "okta": { "issuer": crate::signing::ISSUER, "audiences": ["api://default"],
                "jwks": { "inline": key_set(&[&SigningKey::a("k1")]) }, "sender_constraint": { "dpop": "required", "proofs": {
                    "origins": ["https://api.acme.com", "https://www.acme.com"], "nonce": nonce } } } } })
            .to_string(),
        );
        let request = ["--request", "GET https://www.acme.com/orders?x=1"];
        let with_key = |more: &[&str]| {
            let fixed = ["--dpop-key", &key, request[0], request[1]];
            issuer.explain(&config, &bound, &[&fixed, more].concat())
        };
        let run = with_key(&["--curl"]);
        let text = run.transcript();
        assert_eq!(run.status, 0, "{text}");
        let expected = format!("the token is bound to the key {DPOP_THUMBPRINT} (DPoP), and the client has proved");
        assert!(text.contains(&expected), "{text}");
        assert!(text.contains("-H 'authorization: ''DPoP '\"$TOKEN\" -H 'dpop: ''ey"), "{text}");
        assert!(!text.contains("\"d\""), "{text}");
        // The output of the request has no proof.
        let run = with_key(&[]);
        assert!(!run.stdout.contains("eyJ"), "{}", run.stdout);
        // A nonce that the gateway did not make.
        let run = with_key(&["--dpop-nonce", "other"]);
        assert_eq!(run.stdout.contains("nonce_invalid"), nonce == "required", "{}", run.stdout);
        // Without a key.
        let run = issuer.explain(&config, &bound, &request);
        assert!(run.stdout.contains("dpop_scheme_required"), "{}", run.stdout);
    }
    let other = issuer.token(json!({ "cnf": { "jkt": "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU" } }));
    let config = issuer.directory.path().join("dpop.json");
    let run = issuer.explain(config.to_str().unwrap(), &other, &["--dpop-key", &key]);
    assert!(run.stdout.contains("proof_key_mismatch"), "{}", run.stdout);
    for (config, key, expected) in [
        (config.to_str().unwrap(), issuer.file("public.json", "{}"), "not a private key of P-256"),
        (CONFIG, key, "the provider has no `sender_constraint.dpop`"),
    ] {
        let run = issuer.explain(config, &bound, &["--dpop-key", &key]);
        assert_eq!((run.status, run.stderr.contains(expected)), (2, true), "{}", run.stderr);
    }
}

/// Written so by people.
const KNOWN_WORDS: [&str; 1] = ["IDs"];

fn base64url(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
}

#[test]
fn token_is_taken_with_its_scheme_and_a_forgotten_at_sign_is_named() {
    let issuer = Issuer::new();
    let config = issuer.file("plugin.json", &requirements().to_string());
    let token = issuer.token(json!({ "iss": crate::signing::ISSUER }));
    for given in [format!("Bearer {token}"), format!("bearer  {token}\n"), format!("Authorization: Bearer {token}")] {
        let run = issuer.explain(&config, &given, &["--request", "GET /free"]);
        assert_eq!(run.status, 0, "{}", run.transcript());
    }
    let path = issuer.file("token.txt", &token);
    let run = run(&["explain", "--config", &config, "--token", &path]);
    assert_eq!(run.status, 2, "{}", run.transcript());
    assert!(run.stderr.contains(&format!("write @{path}")), "{}", run.stderr);
}

#[test]
fn request_is_also_written_as_a_curl_command_without_the_token() {
    let issuer = Issuer::new();
    let config = issuer.file("plugin.json", &requirements().to_string());
    let token = issuer.token(json!({ "iss": crate::signing::ISSUER }));
    let more = [
        "--request",
        "DELETE https://api.acme.com/it's?a=1&b=2",
        "-H",
        "X-Trace: a b",
        "-H",
        "Cookie: sid=5",
        "--curl",
    ];
    let run = issuer.explain(&config, &token, &more);
    let expected = r#"curl -i -X 'DELETE' 'https://api.acme.com/it'\''s?a=1&b=2' -H 'x-trace: ''a b' -H 'cookie: '"$TOKEN" -H 'authorization: ''Bearer '"$TOKEN""#;
    assert!(run.stdout.contains(expected), "{}", run.transcript());
    assert!(!run.stdout.contains(&token), "{}", run.transcript());
    let json = issuer.explain(&config, &token, &[&more[..], &["--format", "json"]].concat()).json();
    assert_eq!(json["curl"], expected);
}

#[test]
fn html_page_loads_nothing_and_escapes_the_request_and_the_token() {
    let issuer = Issuer::new();
    let config = issuer.file("plugin.json", &requirements().to_string());
    let token = issuer.token(json!({ "iss": crate::signing::ISSUER, "groups": ["<script>alert(1)</script>"] }));
    let at = NOW.to_string();
    let keys = issuer.directory.path().join("keys.json");
    let arguments = ["explain", "--config", &config, "--at", &at, "--keys", keys.to_str().unwrap(), "--token", "-"];
    let more = ["--request", "GET /groups?<b>", "--html", "--curl"];
    let run = run_with_input(&[&arguments[..], &more].concat(), &token);
    assert_eq!(run.status, 1, "{}", run.transcript());
    let page = &run.stdout;
    assert!(page.starts_with("<!doctype html>") && page.contains("default-src 'none'"), "{page}");
    assert!(page.contains("Denied: group_missing") && page.contains("&lt;script&gt;"), "{page}");
    for sign in ["<script", "<b>", "http://", "src=", "href=", &token] {
        assert!(!page.contains(sign), "{sign}: {page}");
    }
}
