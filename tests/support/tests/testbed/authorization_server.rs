//! The authorization server that stands for Okta has Okta's formats, and can be changed where tests need it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use testbed::authorization_server::{ISSUER, OPAQUE_AUDIENCE, now};
use testbed::{AuthorizationServer, ClientTokenRequest, Request, SigningKey, UserTokenRequest};

/// Header and payload.
fn decoded(token: &str) -> (Value, Value) {
    println!("{token}");
    let part = |text| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    assert_eq!(parts.len(), 3);
    let (header, payload) = (part(parts[0]), part(parts[1]));
    println!("{header}\n{payload}");
    (header, payload)
}

/// The sorted names of an object's members.
fn members(object: &Value) -> Vec<&str> {
    let mut names: Vec<_> = object.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

fn published_kids(server: &AuthorizationServer) -> Vec<String> {
    let keys = server.jwks()["keys"].clone();
    keys.as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_client_token_has_oktas_shape() {
    let server = AuthorizationServer::start();
    let request = ClientTokenRequest { scopes: "read:accounts write:accounts", ..Default::default() };

    let (header, payload) = decoded(&server.client_token(&request));

    assert_eq!(header, json!({"alg": "RS256", "kid": server.kid(SigningKey::Active)}));
    assert_eq!(members(&payload), ["aud", "cid", "exp", "iat", "iss", "jti", "scp", "sub", "ver"]);
    let client_id = server.client_credentials("service").0;
    assert_eq!(payload["ver"], 1);
    assert_eq!(payload["iss"], ISSUER);
    assert_eq!(payload["aud"], "api://default");
    assert_eq!((&payload["cid"], &payload["sub"]), (&json!(client_id), &json!(client_id)));
    assert_eq!(payload["scp"], json!(["read:accounts", "write:accounts"]));
    assert!(payload["jti"].as_str().unwrap().starts_with("AT."));
    assert_eq!(payload["exp"].as_u64().unwrap(), payload["iat"].as_u64().unwrap() + 3600);
    assert!(now().abs_diff(payload["iat"].as_u64().unwrap()) < 10);
}

#[test]
fn a_user_token_names_the_user() {
    let server = AuthorizationServer::start();
    let (_, alice) = decoded(&server.user_token(&UserTokenRequest::default()));
    let claims = ["acr", "aud", "auth_time", "cid", "exp", "iat", "iss", "jti", "scp", "sub", "uid", "ver"];
    assert_eq!(members(&alice), claims);
    assert_eq!((&alice["sub"], &alice["acr"]), (&json!("alice@acme.com"), &json!("urn:okta:loa:1fa:pwd")));
    // The hand-made one is as complete, but for the `acr`, which a test that cares adds.
    let by_hand = server.base_claims(now());
    assert_eq!(members(&by_hand), claims[1..]);

    let bob = UserTokenRequest {
        login: "bob@acme.com",
        scopes: "groups",
        audience: "api://finance",
        acr: Some("urn:okta:loa:2fa:any"),
    };
    let (_, bob) = decoded(&server.user_token(&bob));
    assert_eq!(bob["groups"], json!(["Everyone", "finance_manager"]));
    assert_eq!((&bob["aud"], &bob["acr"]), (&json!("api://finance"), &json!("urn:okta:loa:2fa:any")));
}

#[test]
fn opaque_token_is_active_until_revoked() {
    let server = AuthorizationServer::start();
    let request = ClientTokenRequest { audience: OPAQUE_AUDIENCE, ..Default::default() };
    let token = server.client_token(&request);
    assert!(!token.contains('.'));
    let introspect = || server.post_form("/v1/introspect", "gateway", &[("token", &token)]).json();

    server.rotate();
    let answer = introspect();
    assert_eq!((&answer["active"], &answer["scope"]), (&json!(true), &json!("read:accounts")));
    assert_eq!(answer["client_id"], json!(server.client_credentials("service").0));

    assert_eq!(server.post_form("/v1/revoke", "service", &[("token", &token)]).status, 200);
    assert_eq!(introspect(), json!({"active": false}));
}

#[test]
fn metadata_name_the_issuer_at_every_address() {
    let server = AuthorizationServer::start();
    for name in ["openid-configuration", "oauth-authorization-server"] {
        let request = Request::get(format!("/oauth2/default/.well-known/{name}"));
        let metadata = request.send(server.plain_http_port()).json();
        assert_eq!(metadata["issuer"], ISSUER);
        assert_eq!(metadata["jwks_uri"], format!("{ISSUER}/v1/keys"));
        assert_eq!(metadata["introspection_endpoint"], format!("{ISSUER}/v1/introspect"));
    }
    assert_eq!(Request::get("/v1/keys").send(server.plain_http_port()).status, 404);
    assert_eq!(server.key_fetches(), 0);
}

#[test]
fn keys_are_added_and_removed() {
    let server = AuthorizationServer::start();
    let first = server.kid(SigningKey::Active);
    let before = published_kids(&server);
    assert_eq!(before.len(), 3);
    for key in server.jwks()["keys"].as_array().unwrap() {
        assert_eq!(members(key), ["alg", "e", "kid", "kty", "n", "use"]);
    }

    server.rotate();

    let second = server.kid(SigningKey::Active);
    assert!(!before.contains(&second));
    assert_eq!(server.kid(SigningKey::Previous), first);
    assert_eq!(published_kids(&server), [&before[1], &before[2], &second].map(Clone::clone));
    let (header, _) = decoded(&server.client_token(&ClientTokenRequest::default()));
    assert_eq!(header["kid"], second);

    server.retire(&first);
    assert_eq!(published_kids(&server), [&before[1], &second].map(Clone::clone));
    let kept = server.sign(&json!({}), &server.base_claims(now()), SigningKey::Previous);
    assert_eq!(decoded(&kept).0["kid"], first);

    server.retire(&second);
    assert_eq!(server.kid(SigningKey::Active), before[1]);
    let (header, _) = decoded(&server.client_token(&ClientTokenRequest::default()));
    assert_eq!(header["kid"], before[1]);
    assert!(!published_kids(&server).contains(&server.kid(SigningKey::Unpublished)));
}

#[test]
fn any_claims_can_be_signed() {
    let server = AuthorizationServer::start();
    let header = json!({"typ": "JWT", "kid": "other"});
    let (signed_header, payload) = decoded(&server.sign(&header, &json!({"exp": 1}), SigningKey::Active));
    assert_eq!(signed_header, json!({"alg": "RS256", "kid": "other", "typ": "JWT"}));
    assert_eq!(payload, json!({"exp": 1}));

    let verbatim = server.sign(&json!({}), &json!(r#"{"a":1,"a":2}"#), SigningKey::Active);
    let payload = URL_SAFE_NO_PAD.decode(verbatim.split('.').nth(1).unwrap()).unwrap();
    assert_eq!(payload, br#"{"a":1,"a":2}"#);
}
