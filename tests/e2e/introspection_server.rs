//! Token introspection in a real Envoy at a real authorization server: opaque tokens, and JWTs where a rule requires it.
//! Calls are counted where they arrive.

#![allow(clippy::disallowed_methods, reason = "how long a revoked token goes on is measured")]

use std::time::{Duration, Instant};

use crate::gateway::{Gateway, Setup};
use serde_json::{Value, json};
use testbed::authorization_server::{DEFAULT_AUDIENCE, DNS_NAME, OPAQUE_AUDIENCE};
use testbed::polling::until;
use testbed::{ClientTokenRequest, ListenerOptions, Request, Response, SigningKey, UserTokenRequest};

/// The server's clients `gateway`, `posting_gateway` and `signing_gateway`.
const CLIENT_ID: &str = "0oa1gateway0000000d7";
const CLIENT_SECRET: &str = "gateway-secret-Jw81";
const POSTING_CLIENT_ID: &str = "0oa1gateway0post00d7";
const POSTED_SECRET: &str = "gateway-secret-Jw82";
const SIGNING_CLIENT_ID: &str = "0oa1gateway0sign00d7";
const READ: &str = "read:accounts";

/// The filter asks the authorization server: about JWTs below `/asked` only. `/orders` wants a scope.
fn configuration(members: Value) -> Value {
    let mut introspection = json!({ "client_id": CLIENT_ID, "client_secret": { "env": "OKTA_CLIENT_SECRET" } });
    for (name, value) in members.as_object().into_iter().flatten() {
        introspection[name] = value.clone();
    }
    introspection.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
    json!({
        "providers": { "okta": {
            "okta": { "domain": DNS_NAME }, "audiences": [OPAQUE_AUDIENCE, DEFAULT_AUDIENCE], "upstream": "okta",
            "introspection": introspection } },
        "rules": [
            { "name": "asked", "match": { "path_prefix": "/asked" }, "introspect": true },
            { "name": "orders", "match": { "path": "/orders" }, "require": { "scopes": ["write:orders"] } },
        ],
    })
}

/// What the configuration names in the environment.
fn environment() -> Vec<(&'static str, String)> {
    vec![
        ("OKTA_CLIENT_SECRET", CLIENT_SECRET.to_owned()),
        ("POSTED_SECRET", POSTED_SECRET.to_owned()),
        ("RSA_KEY", include_str!("../data/keys/rsa-2048-a.pem").to_owned()),
        ("P256_KEY", include_str!("../data/keys/ec-p256.pem").to_owned()),
    ]
}

fn seeing_secrets(listener: ListenerOptions) -> ListenerOptions {
    let host_env_keys = environment().into_iter().map(|(name, _)| name.to_owned()).collect();
    ListenerOptions { host_env_keys, ..listener }
}

fn start_gateway(members: Value) -> Gateway {
    let configuration = configuration(members);
    let gateway = Setup {
        configuration,
        listener: seeing_secrets,
        environment: environment(),
        shares_authorization_server: false,
        ..Setup::default()
    }
    .start();
    gateway.wait_until_keys_are_held();
    gateway
}

fn opaque_of_alice(gateway: &Gateway) -> String {
    let token = gateway.idp.user_token(&UserTokenRequest { audience: OPAQUE_AUDIENCE, ..Default::default() });
    assert!(!token.contains('.'), "not opaque");
    token
}

fn opaque_for(gateway: &Gateway, audience: &str) -> String {
    gateway.idp.client_token(&ClientTokenRequest { scopes: READ, audience })
}

fn get(gateway: &Gateway, path: &str, token: &str) -> Response {
    Request::get(path).bearer(token).send(gateway.port())
}

fn statuses(gateway: &Gateway, path: &str, token: &str, times: usize) -> Vec<u16> {
    (0..times).map(|_| get(gateway, path, token).status).collect()
}

#[test]
fn opaque_token_is_allowed_and_its_identity_is_forwarded() {
    let gateway = start_gateway(json!({}));
    let machine = opaque_for(&gateway, OPAQUE_AUDIENCE);
    let (service, application) =
        (gateway.idp.client_credentials("service").0, gateway.idp.client_credentials("application").0);
    for (token, user, client) in
        [(opaque_of_alice(&gateway), "alice@acme.com", &application), (machine, service.as_str(), &service)]
    {
        let before = gateway.idp.introspections();
        let request =
            Request::get("/accounts").bearer(&token).header("x-user-id", "root").header("x-client-id", "root");
        for _ in 0..10 {
            let response = request.clone().send(gateway.port());
            assert_eq!(response.status, 200, "{:?}", gateway.reasons());
            let received = gateway.backend.requests().pop().expect("a request");
            for (header, value) in [("x-user-id", user), ("x-client-id", client), ("x-granted-scopes", READ)] {
                assert_eq!(received.headers.text(header).as_deref(), Some(value), "{header}");
            }
            assert_eq!(received.headers.first("authorization"), None, "the credential goes no further");
        }
        assert_eq!(gateway.idp.introspections() - before, 1, "all workers together ask once");
    }
    let log = gateway.envoy.log();
    assert!(!log.contains(CLIENT_SECRET), "the secret is in the log");
    gateway.assert_no_trap();
}

#[test]
fn inactive_tokens_and_tokens_for_other_audiences_are_rejected() {
    let gateway = start_gateway(json!({}));
    let payroll = opaque_for(&gateway, &format!("{OPAQUE_AUDIENCE}/payroll"));
    let never_issued = opaque_of_alice(&gateway).chars().rev().collect::<String>();
    for (token, reason) in [(never_issued, "token_inactive"), (payroll, "audience_unexpected")] {
        let before = gateway.idp.introspections();
        for _ in 0..5 {
            let response = gateway.get(&token);
            let challenge = response.header("www-authenticate").expect("a challenge");
            assert_eq!(response.status, 401);
            assert!(challenge.contains(r#"error="invalid_token""#), "{challenge}");
        }
        gateway.expect_reasons(reason, 5);
        assert_eq!(gateway.idp.introspections() - before, 1, "{reason}: it is remembered");
    }
    assert_eq!(gateway.backend.count(), 0);
    gateway.assert_no_trap();
}

#[test]
fn opaque_token_without_the_required_scope_gets_a_challenge_that_names_it() {
    let gateway = start_gateway(json!({}));
    let alice = opaque_of_alice(&gateway);
    let refused = get(&gateway, "/orders", &alice);
    assert_eq!(refused.status, 403);
    let challenge = refused.header("www-authenticate").expect("a challenge");
    assert!(challenge.contains(r#"error="insufficient_scope""#), "{challenge}");
    assert!(challenge.contains(r#"scope="write:orders""#), "{challenge}");
    assert_eq!((gateway.backend.count(), gateway.idp.introspections()), (0, 1));
    let request = UserTokenRequest { audience: OPAQUE_AUDIENCE, scopes: "write:orders", ..Default::default() };
    let alice_orders = gateway.idp.user_token(&request);
    assert_eq!(get(&gateway, "/orders", &alice_orders).status, 200, "{:?}", gateway.reasons());
    // The answer is about the token, and the rule about the request.
    assert_eq!(get(&gateway, "/accounts", &alice).status, 200);
    assert_eq!(gateway.idp.introspections(), 2);
    gateway.assert_no_trap();
}

#[test]
fn introspection_response_is_cached_no_longer_than_the_token_lifetime() {
    let gateway = start_gateway(json!({ "cache_ttl": "1h" }));
    gateway.idp.issue_for(Duration::from_secs(3));
    let token = opaque_of_alice(&gateway);
    assert_eq!(gateway.get(&token).status, 200, "{:?}", gateway.reasons());
    until("its end", Duration::from_secs(20), || (gateway.get(&token).status == 401).then_some(()));
    assert_eq!(statuses(&gateway, "/accounts", &token, 10), [401; 10]);
    assert_eq!(gateway.reasons().last().map(String::as_str), Some("token_inactive"));
    assert_eq!(gateway.idp.introspections(), 2, "once while it was active, once when it was over");
    gateway.assert_no_trap();
}

#[test]
fn token_revoked_by_its_client_is_rejected_by_all_workers_within_cache_ttl() {
    let cache_ttl = Duration::from_secs(2);
    let gateway = start_gateway(json!({ "cache_ttl": "2s" }));
    for (kind, token) in [("opaque", opaque_of_alice(&gateway)), ("JWT", gateway.alice())] {
        assert_eq!(statuses(&gateway, "/asked", &token, 10), [200; 10], "{kind}: {:?}", gateway.reasons());
        let before = gateway.idp.introspections();
        gateway.idp.revoke("application", &token);
        let revoked = Instant::now();
        let mut passed = 0;
        until("the refusal", Duration::from_secs(20), || {
            let status = get(&gateway, "/asked", &token).status;
            passed += usize::from(status == 200);
            (status == 401).then_some(())
        });
        let calls = gateway.idp.introspections() - before;
        println!(
            "{kind}: refused {:?} after its revocation (cache_ttl {cache_ttl:?}), {passed} passed, {calls} calls",
            revoked.elapsed()
        );
        assert_eq!(statuses(&gateway, "/asked", &token, 20), [401; 20], "{kind}: by every worker");
    }
    gateway.assert_no_trap();
}

#[test]
fn jwt_is_introspected_where_a_rule_requires_it_and_forged_jwt_never_is() {
    let gateway = start_gateway(json!({}));
    let token = gateway.alice();
    assert_eq!(statuses(&gateway, "/accounts", &token, 5), [200; 5]);
    assert_eq!(gateway.idp.introspections(), 0, "this rule asks nobody");
    assert_eq!(statuses(&gateway, "/asked", &token, 5), [200; 5], "{:?}", gateway.reasons());
    assert_eq!(gateway.idp.introspections(), 1);
    // They say of themselves what the server would say of them: only their signatures are not its own.
    let (signed, signature) = token.rsplit_once('.').expect("a JWT");
    let kid = gateway.idp.kid(SigningKey::Active);
    let swapped = if signature.starts_with('A') { "B" } else { "A" };
    let forged = [
        format!("{signed}.{swapped}{}", &signature[1..]),
        gateway.idp.sign(&json!({ "kid": kid }), &gateway.bent_payload(json!({})), SigningKey::Unpublished),
        gateway.bent(json!({ "exp": 1 })),
        gateway.bent(json!({ "aud": "api://other" })),
    ];
    for token in &forged {
        assert_eq!(statuses(&gateway, "/asked", token, 50), [401; 50], "{:?}", gateway.reasons());
    }
    assert_eq!(gateway.idp.introspections(), 1, "{:?}", gateway.reasons());
    // Well signed, and not one that the server has issued.
    let unheard_of = gateway.bent(json!({ "jti": "AT.neverissued" }));
    assert_eq!(get(&gateway, "/asked", &unheard_of).status, 401);
    assert_eq!(
        (gateway.reasons().last().map(String::as_str), gateway.idp.introspections()),
        (Some("token_inactive"), 2)
    );
    assert_eq!(get(&gateway, "/accounts", &unheard_of).status, 200, "where nobody asks");
    // Revoked: refused where its issuer is asked, and nowhere else, whatever is remembered of it.
    let revoked = gateway.alice();
    gateway.idp.revoke("application", &revoked);
    assert_eq!(get(&gateway, "/asked", &revoked).status, 401);
    assert_eq!(get(&gateway, "/accounts", &revoked).status, 200);
    gateway.assert_no_trap();
}

#[test]
fn gateway_authenticates_at_the_server_with_each_client_auth_method() {
    let signing = |variable: &str, kid: &str| {
        json!({ "client_id": SIGNING_CLIENT_ID, "client_secret": null, "client_auth": "private_key_jwt",
            "private_key": { "env": variable }, "key_id": kid })
    };
    let ways = [
        ("client_secret_basic", json!({}), 200),
        (
            "client_secret_post",
            json!({ "client_id": POSTING_CLIENT_ID, "client_secret": { "env": "POSTED_SECRET" }, "client_auth": "client_secret_post" }),
            200,
        ),
        ("private_key_jwt with RSA", signing("RSA_KEY", "rsa"), 200),
        ("private_key_jwt with P-256", signing("P256_KEY", "p256"), 200),
        ("another's secret", json!({ "client_secret": { "env": "POSTED_SECRET" } }), 503),
        ("another's key", signing("P256_KEY", "rsa"), 503),
    ];
    let more_listeners = ways
        .iter()
        .map(|(name, members, _)| seeing_secrets(ListenerOptions::filtered(name, &configuration(members.clone()))))
        .collect();
    let gateway =
        Setup { more_listeners, environment: environment(), shares_authorization_server: false, ..Setup::default() }
            .start();
    for (name, _, status) in &ways {
        let before = gateway.idp.introspections();
        // None was asked about before: what one of them was told is nothing to the others.
        let token = opaque_of_alice(&gateway);
        let response = Request::get("/accounts").bearer(&token).send(gateway.envoy.port(name));
        assert_eq!(response.status, *status, "{name}: {:?}", gateway.reasons());
        assert_eq!(gateway.idp.introspections() - before, 1, "{name}");
    }
    let log = gateway.envoy.log();
    for (_, secret) in environment() {
        assert!(!log.contains(secret.lines().nth(1).unwrap_or(&secret)), "a secret is in the log");
    }
    gateway.assert_no_trap();
}
