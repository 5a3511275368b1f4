//! The main job in a real Envoy: good tokens are allowed with their identity, everything else is rejected, and the
//! backend sees no credential and no forged identity.

use std::time::Duration;

use crate::gateway::{API, Gateway, Setup, minimal_configuration};
use crate::signing;
use okta_proxy_wasm::policy::target_headers::TARGET_HEADERS;
use serde_json::{Value, json};
use testbed::authorization_server::{DNS_NAME, ISSUER, now};
use testbed::envoy::ListenerUpdate;
use testbed::polling::until;
use testbed::{
    Backend, ClientTokenRequest, Cluster, EnvoyBuilder, ListenerOptions, Request, ScriptedResponse, ScriptedServer,
    SigningKey, UserTokenRequest,
};

/// The values of a header that the backend received, as its echo tells.
fn received(echo: &Value, name: &str) -> Vec<String> {
    let pairs = echo["headers"].as_array().cloned().unwrap_or_default();
    pairs.iter().filter(|pair| pair[0] == name).filter_map(|pair| pair[1].as_str().map(str::to_owned)).collect()
}

#[test]
fn tokens_of_a_real_authorization_server_pass_with_their_identity() {
    let gateway = Gateway::start();
    let scopes = "read:accounts write:accounts";
    let request = UserTokenRequest { scopes, ..UserTokenRequest::default() };
    let echo = gateway.get(&gateway.idp.user_token(&request)).json();
    assert_eq!(received(&echo, "x-user-id"), ["alice@acme.com"]);
    assert_eq!(received(&echo, "x-client-id"), [gateway.idp.client_credentials("application").0]);
    assert_eq!(received(&echo, "x-granted-scopes"), ["read:accounts write:accounts"]);
    assert_eq!(received(&echo, "authorization"), [""; 0], "the backend saw the credential");

    let client = gateway.idp.client_credentials("service").0;
    let echo = gateway.get(&gateway.idp.client_token(&ClientTokenRequest::default())).json();
    assert_eq!(received(&echo, "x-client-id"), std::slice::from_ref(&client));
    assert_eq!(received(&echo, "x-user-id"), [client]);
    gateway.assert_no_trap();
}

#[test]
fn every_rejection_of_the_table_follows_the_standards_and_reaches_no_backend() {
    let gateway = Gateway::start();
    let good = gateway.alice();
    let (signed_part, signature) = good.rsplit_once('.').unwrap_or_default();
    let forged_payload =
        format!("{}.{}.{signature}", signed_part.split('.').next().unwrap_or_default(), "eyJzdWIiOiJtYWxsb3J5In0");
    let unpublished = gateway.idp.sign(&json!({}), &gateway.bent_payload(json!({})), SigningKey::Unpublished);
    let forged = gateway.idp.sign(
        &json!({ "kid": gateway.idp.kid(SigningKey::Active) }),
        &gateway.bent_payload(json!({})),
        SigningKey::Unpublished,
    );
    let invalid_token = Some(r#"Bearer realm="okta-proxy-wasm", error="invalid_token""#);
    let invalid_request = Some(r#"Bearer realm="okta-proxy-wasm", error="invalid_request""#);
    let bare = Some(r#"Bearer realm="okta-proxy-wasm""#);
    let get = || Request::get("/accounts");
    let rows = [
        (401, bare, "token_missing", get()),
        (401, bare, "token_missing", get().header("authorization", b"Basic YTpi")),
        (400, invalid_request, "multiple_credentials", get().bearer(&good).bearer(&good)),
        (401, invalid_token, "token_expired", get().bearer(&gateway.bent(json!({ "exp": now() - 600 })))),
        (401, invalid_token, "audience_unexpected", get().bearer(&gateway.bent(json!({ "aud": "api://other" })))),
        (401, invalid_token, "issuer_unknown", get().bearer(&gateway.bent(json!({ "iss": "https://evil.example" })))),
        (401, invalid_token, "token_not_yet_valid", get().bearer(&gateway.bent(json!({ "nbf": now() + 600 })))),
        (401, invalid_token, "token_issued_in_the_future", get().bearer(&gateway.bent(json!({ "iat": now() + 600 })))),
        (401, invalid_token, "expiry_missing", get().bearer(&gateway.bent(json!({ "exp": null })))),
        (401, invalid_token, "not_an_access_token", get().bearer(&gateway.bent(json!({ "jti": "ID.x" })))),
        (401, invalid_token, "signature_invalid", get().bearer(&forged)),
        (401, invalid_token, "issuer_malformed", get().bearer(&forged_payload)),
        (401, invalid_token, "key_unknown", get().bearer(&unpublished)),
        (401, invalid_token, "algorithm_unsupported", get().bearer(&format!("eyJhbGciOiJub25lIn0.{}.", "e30"))),
        (401, invalid_token, "token_opaque", get().bearer("opaque")),
        (401, invalid_token, "token_too_large", get().bearer(&"a".repeat(9000))),
    ];
    for (status, challenge, reason, request) in &rows {
        let response = request.send(gateway.port());
        assert_eq!(response.status, *status, "{reason}");
        assert_eq!(response.header("www-authenticate").as_deref(), *challenge, "{reason}");
        assert_eq!(response.header("cache-control").as_deref(), Some("no-store"), "{reason}");
        assert_eq!(response.header("content-type").as_deref(), Some("application/json"), "{reason}");
        assert!(response.json()["error"].is_string(), "{reason}");
        assert!(!response.text().contains(reason), "the client is told the reason {reason}");
    }
    for (_, _, reason, _) in &rows {
        let expected = rows.iter().filter(|row| row.2 == *reason).count();
        gateway.expect_reasons(reason, expected);
    }
    assert_eq!(gateway.backend.count(), 0, "a refused request reached the backend");
    let log = gateway.envoy.log();
    assert!(!log.contains(signature) && !log.contains(signed_part), "a token was logged");
    gateway.assert_no_trap();
}

#[test]
fn head_request_is_rejected_without_a_body() {
    let gateway = Gateway::start();
    let response = Request::new("HEAD", "/accounts").send(gateway.port());
    assert_eq!(response.status, 401);
    assert_eq!(response.text(), "");
}

#[test]
fn forged_identity_headers_never_reach_the_backend() {
    let gateway = Gateway::start();
    // A token without scopes: what is not set by us must be absent, not the client's.
    let token = gateway.bent(json!({ "scp": null }));
    let request = Request::post("/accounts")
        .bearer(&token)
        .header("X-User-ID", b"mallory")
        .header("x-user-id", b"mallory")
        .header("X_User_Id", b"mallory")
        .header("x.user.id", b"mallory")
        .header("X-CLIENT_ID", b"mallory")
        .header("x-granted-scopes", b"admin")
        .header("connection", b"x-user-id")
        .header("x-innocent", b"stays")
        .chunked(&[b"body"])
        .trailer("x-user-id", b"mallory")
        .trailer("x_granted.scopes", b"admin")
        .trailer("x-innocent-trailer", b"stays");
    let response = request.send(gateway.port());
    assert_eq!(response.status, 200);
    let seen = gateway.backend.requests().remove(0);
    let text = format!("{:?} {:?}", seen.headers, seen.trailers).to_lowercase();
    let lossy = |headers: &testbed::http1::Headers| {
        let line = |(name, value): &(String, Vec<u8>)| format!("{name}={}", String::from_utf8_lossy(value));
        headers.0.iter().map(line).collect::<Vec<_>>()
    };
    let (headers, trailers) = (lossy(&seen.headers), lossy(&seen.trailers));
    assert!(headers.iter().chain(&trailers).all(|line| !line.contains("mallory") && !line.contains("admin")), "{text}");
    assert_eq!(headers.iter().filter(|line| line.starts_with("x-user-id=")).count(), 1, "{headers:?}");
    assert!(headers.contains(&"x-innocent=stays".to_owned()), "{headers:?}");
    assert_eq!(trailers, ["x-innocent-trailer=stays"], "trailers reach the filter and only ours are removed");
}

#[test]
fn non_utf_8_bytes_are_rejected_like_any_bad_token_and_the_next_request_is_served() {
    let gateway = Gateway::start();
    let port = gateway.port();
    let statuses: Vec<u16> = (0..8)
        .map(|_| Request::get("/").header("authorization", b"\xff\xfe").send(port).status)
        .chain((0..8).map(|_| Request::get("/").header("authorization", b"Bearer \xff.\xfe.\x80").send(port).status))
        .collect();
    assert!(statuses.iter().all(|status| *status == 401), "{statuses:?}");
    let strange = Request::get("/").bearer(&gateway.alice()).header("x-strange", b"\xff\x80");
    assert_eq!(strange.send(port).status, 200);
    // Names that are no tokens are Envoy's to refuse; whatever it does, the filter survives it.
    for line in [&b"x-\xff: 1"[..], b"\xc3\xa9: 1", b"x y: 1", b": 1"] {
        let _ = Request::get("/").bearer(&gateway.alice()).raw_header_line(line).try_send(port);
    }
    assert_eq!(gateway.get(&gateway.alice()).status, 200);
    gateway.assert_no_trap();
}

#[test]
fn every_value_of_a_repeated_header_is_read() {
    let gateway = Gateway::start();
    let (good, bad) = (gateway.alice(), "x.y.z");
    for (first, second) in [(good.as_str(), bad), (bad, good.as_str()), (good.as_str(), good.as_str())] {
        let response = Request::get("/").bearer(first).bearer(second).send(gateway.port());
        assert_eq!(response.status, 400);
    }
    let mixed = Request::get("/").bearer(&good).header("authorization", b"Basic YTpi").send(gateway.port());
    assert_eq!(mixed.status, 400);
    assert_eq!(gateway.backend.count(), 0);
}

#[test]
fn claims_headers_and_forwarding_are_configurable() {
    let mut configuration = minimal_configuration();
    configuration["token"] = json!({ "forward": true });
    configuration["claim_to_headers"] = json!([
        { "header": "x-groups", "claim": "groups", "format": "comma" },
        { "header": "x-name", "claim": ["profile", "name"] },
    ]);
    let gateway = Setup { configuration, ..Setup::default() }.start();
    let token = gateway.bent(json!({ "groups": ["a", "b"], "profile": { "name": "Zoë\r\nx-admin: 1" } }));
    let echo = gateway.get(&token).json();
    assert_eq!(received(&echo, "x-groups"), ["a,b"]);
    assert_eq!(received(&echo, "x-name"), ["Zo%C3%AB%0D%0Ax-admin: 1"]);
    assert_eq!(received(&echo, "x-admin"), [""; 0]);
    assert_eq!(received(&echo, "authorization"), [format!("Bearer {token}")]);
}

/// oauth2-proxy, Argo CD and Kubernetes dashboards read these headers.
#[test]
fn identity_and_token_in_x_forwarded_headers_replace_those_of_the_client() {
    let mut configuration = minimal_configuration();
    configuration["claim_to_headers"] = json!([
        { "header": "x-forwarded-user", "claim": "sub" },
        { "header": "x-forwarded-email", "claim": "email" },
        { "header": "X-Forwarded-Preferred-Username", "claim": "preferred_username" },
        { "header": "x-forwarded-groups", "claim": "groups", "format": "comma" },
    ]);
    configuration["token"] = json!({ "from_headers": [{ "name": "x-forwarded-access-token" }] });
    let mut with_payload = minimal_configuration();
    with_payload["forward_payload_header"] = json!("x-forwarded-access-token");
    let more_listeners = vec![ListenerOptions::filtered("payload", &with_payload)];
    let gateway = Setup { configuration, more_listeners, ..Setup::default() }.start();
    let token = gateway.bent(json!({ "email": "alice@acme.com", "groups": ["a", "b"] }));
    let names = ["x-forwarded-user", "x-forwarded-email", "x-forwarded-preferred-username", "x-forwarded-groups"];
    let spellings: [fn(&str) -> String; 3] =
        [str::to_owned, |name| name.replace('-', "_"), |name| name.to_uppercase().replace('-', ".")];
    for spelling in spellings {
        gateway.backend.clear();
        let request = Request::post("/accounts").header("x-forwarded-access-token", &token).chunked(&[b"body"]);
        let request = names.iter().fold(request, |request, name| {
            request.header(spelling(name), "mallory").trailer(spelling(name), "mallory")
        });
        assert_eq!(request.send(gateway.port()).status, 200, "{:?}", gateway.reasons());
        let seen = gateway.backend.requests().remove(0);
        assert_eq!(seen.headers.all("x-forwarded-user"), [b"alice@acme.com"]);
        assert_eq!(seen.headers.all("x-forwarded-email"), [b"alice@acme.com"]);
        assert_eq!(seen.headers.all("x-forwarded-groups"), [b"a,b"]);
        assert_eq!(seen.headers.all("x-forwarded-preferred-username").len(), 0, "the token has no such claim");
        assert_eq!(seen.headers.all("x-forwarded-access-token").len(), 0, "the credential is removed");
        let is_mallory = |(_, value): &(String, Vec<u8>)| value == b"mallory";
        assert!(!seen.headers.0.iter().chain(&seen.trailers.0).any(is_mallory), "{seen:?}");
    }
    gateway.backend.clear();
    let request = Request::get("/accounts").bearer(&token).header("x_forwarded_access_token", "mallory");
    let request = request.header("X-Forwarded-Access-Token", "mallory");
    assert_eq!(request.send(gateway.envoy.port("payload")).status, 200, "{:?}", gateway.reasons());
    let seen = gateway.backend.requests().remove(0);
    let payload = token.split('.').nth(1).unwrap_or_default().as_bytes();
    assert_eq!(seen.headers.all("x-forwarded-access-token"), [payload], "the payload and not the client's value");
    assert_eq!(seen.headers.all("x_forwarded_access_token").len(), 0);
    gateway.assert_no_trap();
}

#[test]
fn configuration_with_faults_is_rejected_and_all_of_them_are_logged() {
    let bad = json!({ "providers": { "okta": { "okta": { "domain": "acme-admin.okta.com" }, "upstream": "okta" } }, "tokn": {} });
    let backend = Backend::start();
    let started = EnvoyBuilder::new()
        .listener(ListenerOptions::filtered(API, &bad))
        .static_listeners()
        .cluster(Cluster::backend("backend", backend.port()))
        .try_start();
    let log = match started {
        Ok(_) => panic!("Envoy started with a configuration that has faults"),
        Err(log) => log,
    };
    for fault in [
        "$.tokn: unknown field; did you mean `token`?",
        "$.providers.okta.okta.domain: ",
        "$.providers.okta.audiences: missing",
    ] {
        assert!(log.contains(fault), "not in the log: {fault}\n{log}");
    }
    assert!(!log.contains("acme-admin"), "a configured value was logged");
}

#[test]
fn faulty_update_keeps_the_running_configuration() {
    let gateway = Gateway::start();
    let token = gateway.alice();
    assert_eq!(gateway.get(&token).status, 200);
    let update = gateway.envoy.replace_listener(ListenerOptions::filtered(API, &json!({ "providers": {} })));
    assert!(matches!(update, ListenerUpdate::Rejected(_)), "{update:?}");
    assert_eq!(gateway.get(&token).status, 200);
    assert_eq!(Request::get("/").send(gateway.port()).status, 401);
}

#[test]
fn each_request_of_a_connection_is_decided_separately() {
    let gateway = Gateway::start();
    let token = gateway.alice();
    let mut connection = gateway.connect();
    for good in [true, false, true, false] {
        let request = Request::get("/accounts");
        connection.send(&if good { request.bearer(&token) } else { request }).expect("sent");
        assert_eq!(connection.read_response().expect("an answer").status, if good { 200 } else { 401 });
    }
    assert_eq!(gateway.backend.count(), 2);
}

/// Item 4 of the attacks on real backends: gunicorn takes `SCRIPT_NAME` from the request, Rack `X-Forwarded-Host`.
#[test]
fn headers_that_change_the_target_never_reach_the_backend() {
    let mut keeping = minimal_configuration();
    keeping["insecure_keep_target_headers"] = json!(["x-forwarded-host"]);
    let by_envoy = json!({
        "match": { "prefix": "/rewritten" },
        "route": { "cluster": "backend", "host_rewrite_literal": "internal.acme.com", "append_x_forwarded_host": true,
            "prefix_rewrite": "/new" },
    });
    let setup = Setup {
        listener: |listener| ListenerOptions { use_remote_address: false, ..listener },
        more_listeners: vec![
            ListenerOptions::filtered("keeping", &keeping),
            ListenerOptions {
                routes_before: vec![by_envoy],
                ..ListenerOptions::filtered("rewriting", &minimal_configuration())
            },
        ],
        ..Setup::default()
    };
    let gateway = setup.start();
    let alice = gateway.alice();
    // One spelling in each request: Envoy takes a hundred headers.
    let spellings: [fn(&str) -> String; 4] = [
        str::to_owned,
        |name| name.replace('-', "_"),
        |name| name.replace(['-', '_'], "."),
        |name| format!("Grpc-Metadata-{name}"),
    ];
    let seen = |listener: &str, path: &str, spelling: fn(&str) -> String| {
        let names = TARGET_HEADERS.iter().map(|header| spelling(header.name));
        let others = ["x_forwarded_for", "Content.Type", "x_forwarded_client_cert"].map(str::to_owned);
        let request = Request::post(path).bearer(&alice).header("x-forwarded-user", "stays");
        let request = request.header("content-type", "text/plain").chunked(&[b"body"]);
        let request = names.clone().chain(others).fold(request, |request, name| request.header(name, "evil"));
        let request = names.fold(request, |request, name| request.trailer(name, "evil"));
        gateway.backend.clear();
        assert_eq!(request.send(gateway.envoy.port(listener)).status, 200, "{listener}");
        let seen = gateway.backend.requests().remove(0);
        assert_eq!(seen.headers.text("x-forwarded-user").as_deref(), Some("stays"));
        assert_eq!(seen.headers.text("content-type").as_deref(), Some("text/plain"));
        assert!(seen.trailers.0.is_empty(), "{:?}", seen.trailers);
        let evil = seen.headers.0.iter().filter(|(_, value)| value.windows(4).any(|part| part == b"evil"));
        let evil: Vec<String> = evil.map(|(name, _)| name.clone()).collect();
        (seen, evil)
    };
    for spelling in spellings {
        assert_eq!(seen(API, "/accounts", spelling).1, [""; 0], "{}", spelling("x-a"));
    }
    assert_eq!(seen("keeping", "/accounts", str::to_owned).1, ["x-forwarded-host"]);
    assert_eq!(seen("keeping", "/accounts", |name| name.replace('-', "_")).1, [""; 0]);
    let (seen, evil) = seen("rewriting", "/rewritten/a", str::to_owned);
    assert_eq!(evil, [""; 0]);
    assert_eq!(seen.headers.all("x-forwarded-host"), [b"api.acme.com"], "what Envoy itself adds behind the filter");
    assert_eq!(seen.headers.all("x-envoy-original-path"), [b"/rewritten/a"]);
    gateway.envoy.wait_for_log("[insecure_setting] $.insecure_keep_target_headers[0]: ");
    gateway.assert_no_trap();
}

/// Go and Apache remove every header that `connection` names, and Envoy passes it on with an upgrade.
#[test]
fn an_upgrade_names_no_header_that_the_backend_would_remove() {
    let upgrading = json!({
        "match": { "prefix": "/" },
        "route": { "cluster": "backend", "upgrade_configs": [{ "upgrade_type": "websocket" }] },
    });
    let listener = ListenerOptions {
        routes_before: vec![upgrading],
        ..ListenerOptions::filtered("upgrading", &minimal_configuration())
    };
    let gateway = Setup { more_listeners: vec![listener], ..Setup::default() }.start();
    let alice = gateway.alice();
    for (connection, expected) in [
        ("Upgrade", "Upgrade"),
        ("keep-alive, Upgrade", "keep-alive, Upgrade"),
        ("Upgrade, x-user-id", "upgrade"),
        ("x-user-id,upgrade", "upgrade"),
        ("upgrade,X_User_Id , x-granted-scopes", "upgrade"),
    ] {
        gateway.backend.clear();
        let request = Request::get("/socket")
            .bearer(&alice)
            .header("connection", connection)
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        // The backend speaks no WebSocket; what it received is what counts.
        let _ = request.try_send(gateway.envoy.port("upgrading"));
        let seen = until("the request", Duration::from_secs(10), || gateway.backend.requests().into_iter().next());
        assert_eq!(seen.headers.text("upgrade").as_deref(), Some("websocket"), "{connection}");
        assert_eq!(seen.headers.text("connection").as_deref(), Some(expected), "{connection}");
        assert_eq!(seen.headers.text("x-user-id").as_deref(), Some("alice@acme.com"), "{connection}");
        assert_eq!(seen.headers.all("sec-websocket-key").len(), 1);
    }
    gateway.assert_no_trap();
}

#[test]
fn headers_that_grpc_gateway_reads_as_identity_or_credential_are_removed() {
    let gateway = Gateway::start();
    let token = gateway.bent(json!({ "sub": "", "scp": null }));
    let request = Request::post("/accounts")
        .bearer(&token)
        .header("Grpc-Metadata-X-User-Id", "mallory")
        .header("grpc_metadata_x_user_id", "mallory")
        .header("Grpcgateway-X-User-Id", "mallory")
        .header("Grpc-Metadata-Authorization", "Bearer mallory")
        .header("grpcgateway-authorization", "Bearer mallory")
        .header("grpc-metadata-x-trace", "stays")
        .chunked(&[b"body"])
        .trailer("grpc-metadata-x-user-id", "mallory")
        .trailer("grpc-metadata-authorization", "Bearer mallory");
    assert_eq!(request.send(gateway.port()).status, 200);
    let seen = gateway.backend.requests().remove(0);
    assert!(
        !format!("{seen:?}").contains(&format!("{:?}", b"mallory").trim_matches(['[', ']']).to_owned()),
        "{seen:?}"
    );
    assert_eq!(seen.headers.text("grpc-metadata-x-trace").as_deref(), Some("stays"));
    assert!(seen.trailers.0.is_empty(), "{:?}", seen.trailers);
    assert_eq!(seen.headers.all("x-user-id").len(), 0, "an empty subject is no header");
}

/// Three providers of one issuer: two with the issuer's keys, one with keys at another address; and one of another issuer.
fn providers_of_one_issuer() -> Value {
    let okta = |audience: &str, skew: &str| json!({ "okta": { "domain": DNS_NAME }, "audiences": [audience], "upstream": "okta", "clock_skew": skew });
    let only = |name: &str| json!({ "condition": format!("token.provider == '{name}'") });
    json!({
        "providers": {
            "api": okta("api://default", "60s"),
            "reports": okta("api://reports", "300s"),
            "partner": { "issuer": ISSUER, "audiences": ["api://partner"], "client_ids": ["0oa1partner"],
                "upstream": "partner", "jwks": { "uri": "http://keys.partner.example/keys" }, "insecure_http": true },
            "other": { "issuer": "https://idp.partner.example", "audiences": ["api://default"],
                "jwks": { "inline": signing::key_set(&[&signing::SigningKey::b("k1")]) } },
        },
        "rules": [
            { "match": { "path": "/api" }, "require": only("api") },
            { "match": { "path": "/partner" }, "require": only("partner") },
            { "match": { "path": "/reports" }, "require": { "audiences": ["api://reports"] } },
        ],
    })
}

#[test]
fn audience_selects_one_of_the_providers_of_one_issuer() {
    let partner = signing::SigningKey::a("partner-1");
    let body = signing::key_set(&[&partner]);
    let keys = ScriptedServer::start(move |_, _| ScriptedResponse::json(200, &body).into());
    let more_clusters = vec![Cluster::plain("partner", keys.port())];
    let gateway = Setup {
        configuration: providers_of_one_issuer(),
        more_clusters,
        shares_authorization_server: false,
        ..Setup::default()
    }
    .start();
    let claims = |audience: Value, changes: Value| {
        signing::with(&signing::with(&gateway.bent_payload(json!({})), json!({ "aud": audience })), changes)
    };
    let of_issuer =
        |audience: Value, changes: Value| gateway.idp.sign(&json!({}), &claims(audience, changes), SigningKey::Active);
    let of_partner = |audience: Value, changes: Value| {
        partner.token(&claims(audience, signing::with(&json!({ "cid": "0oa1partner" }), changes)))
    };
    let kid = gateway.idp.kid(SigningKey::Active);
    let (api, reports) = (json!("api://default"), json!("api://reports"));
    let forged_for_api =
        partner.token_with_header(&json!({ "alg": "RS256", "kid": kid }), &claims(api.clone(), json!({})));
    let forged_for_partner = gateway.idp.sign(
        &json!({ "kid": "partner-1" }),
        &claims(json!("api://partner"), json!({ "cid": "0oa1partner" })),
        SigningKey::Active,
    );
    let late = || json!({ "exp": now() - 200 });
    let other = |key: signing::SigningKey| {
        key.token(&claims(json!("api://default"), json!({ "iss": "https://idp.partner.example" })))
    };
    let rows = [
        (200, "authorized", "/api", of_issuer(api.clone(), json!({}))),
        (200, "authorized", "/", of_issuer(api.clone(), json!({}))),
        (403, "condition_unmet", "/partner", of_issuer(api.clone(), json!({}))),
        (403, "rule_audience_not_allowed", "/reports", of_issuer(api.clone(), json!({}))),
        (200, "authorized", "/reports", of_issuer(reports.clone(), json!({}))),
        (403, "condition_unmet", "/api", of_issuer(reports.clone(), json!({}))),
        (200, "authorized", "/partner", of_partner(json!("api://partner"), json!({}))),
        (200, "authorized", "/partner", of_partner(json!(["api://partner", "api://unknown"]), json!({}))),
        (403, "condition_unmet", "/api", of_partner(json!("api://partner"), json!({}))),
        // Keys of one provider with the audience of another.
        (401, "signature_invalid", "/api", forged_for_api),
        (401, "signature_invalid", "/partner", forged_for_partner),
        // Settings of one provider with the audience of another.
        (200, "authorized", "/reports", of_issuer(reports.clone(), late())),
        (401, "token_expired", "/api", of_issuer(api.clone(), late())),
        (401, "client_unexpected", "/partner", of_partner(json!("api://partner"), json!({ "cid": "0oa2other" }))),
        // Audiences of several providers, or of none.
        (401, "audience_ambiguous", "/api", of_issuer(json!([api, reports]), json!({}))),
        (401, "audience_ambiguous", "/reports", of_issuer(json!([reports, api]), json!({}))),
        (401, "audience_ambiguous", "/partner", of_partner(json!(["api://partner", "api://reports"]), json!({}))),
        (401, "audience_unexpected", "/", of_issuer(json!("api://unverified-text"), json!({}))),
        (401, "audience_missing", "/", of_issuer(Value::Null, json!({}))),
        // The same audience, another issuer.
        (200, "authorized", "/", other(signing::SigningKey::b("k1"))),
        (403, "condition_unmet", "/api", other(signing::SigningKey::b("k1"))),
        (401, "signature_invalid", "/", other(signing::SigningKey::a("k1"))),
    ];
    for (path, audience) in [("/api", "api://default"), ("/reports", "api://reports")] {
        let response = Request::get(path).bearer(&of_issuer(json!(audience), json!({}))).send(gateway.port());
        assert_eq!(response.status, 200, "{path}: {:?}", gateway.reasons());
    }
    assert_eq!(gateway.idp.key_fetches(), 1, "providers with one key address share a fetch");
    for round in 1..=2 {
        for (status, reason, path, token) in &rows {
            let response = Request::get(*path).bearer(token).send(gateway.port());
            assert_eq!(response.status, *status, "{path} {reason}: {:?}", gateway.reasons());
        }
        for (_, reason, ..) in rows.iter().filter(|row| row.1 != "authorized") {
            gateway.expect_reasons(reason, round * rows.iter().filter(|row| row.1 == *reason).count());
        }
    }
    let admitted = rows.iter().filter(|row| row.0 == 200).count();
    assert_eq!(gateway.backend.count(), 2 + 2 * admitted, "a rejected request reached the backend");
    // The first set, and in each worker one fetch for the signature that fails.
    let fetches = gateway.idp.key_fetches();
    assert!(fetches <= 3 && keys.count() <= 3, "{fetches} and {} fetches", keys.count());
    gateway.idp.rotate();
    for (path, audience) in [("/api", "api://default"), ("/reports", "api://reports")] {
        let response = Request::get(path).bearer(&of_issuer(json!(audience), json!({}))).send(gateway.port());
        assert_eq!(response.status, 200, "a rotated key: {:?}", gateway.reasons());
    }
    assert!(gateway.idp.key_fetches() <= fetches + 2, "{}", gateway.idp.key_fetches());
    for text in [gateway.envoy.log(), gateway.envoy.admin("GET", "/stats").text()] {
        assert!(!text.contains("unverified-text"), "text of an unverified token");
    }
    gateway.assert_no_trap();
}
