//! Decisions on requests: `check(policy, request, keys, now) == decision`, a row per case.
//! Runs natively and, as wasm, under Node; and, by path, in the built module on every host (`tests/embedded-host`).

#[path = "decisions/common_issuers.rs"]
mod common_issuers;

use crate::engine_harness::{Harness, NOW, Setup, bearer, head, published, response_of as reply};
use crate::signing::{AUDIENCE, ISSUER, SigningKey, key_set, one_issuer, payload, with};
use crate::verdicts::{edits, reason};
use okta_proxy_wasm::engine::{Decision, ParkingLimits, StreamId};
use okta_proxy_wasm::http::HeaderName;
use okta_proxy_wasm::unix_time::UnixTime;
use serde_json::{Value, json};

fn decide(configuration: &Value, fields: &[(&str, &str)]) -> Decision {
    decide_at(configuration, &[&[(":method", "GET"), (":path", "/accounts")], fields].concat())
}

/// As [`decide`], where the row brings its own `:path`.
fn decide_at(configuration: &Value, fields: &[(&str, &str)]) -> Decision {
    Harness::new(configuration).decide(&head(fields))
}

fn with_token(token: &str) -> Decision {
    decide(&one_issuer(), &[("authorization", &format!("Bearer {token}"))])
}

fn with_payload(changes: Value) -> Decision {
    with_token(&SigningKey::a("k1").token(&with(&payload(NOW), changes)))
}

#[test]
fn a_good_token_passes_with_its_identity_and_without_its_credential() {
    let decision = with_token(&SigningKey::a("k1").token(&payload(NOW)));
    assert_eq!(
        edits(&decision),
        [
            "-authorization",
            "x-user-id=alice@acme.com",
            "x-client-id=0oa1client",
            "x-granted-scopes=read:accounts write:accounts"
        ]
    );
    assert_eq!(reason(&decision), "authorized");
}

#[test]
fn the_same_identity_is_found_under_the_names_of_rfc_9068() {
    let decision = with_payload(json!({ "cid": null, "client_id": "c2", "scp": null, "scope": "a b" }));
    let expected = ["-authorization", "x-user-id=alice@acme.com", "x-client-id=c2", "x-granted-scopes=a b"];
    assert_eq!(edits(&decision), expected);
}

#[test]
fn every_spelling_of_an_identity_header_is_removed_before_the_filter_sets_it() {
    let token = SigningKey::a("k1").token(&with(&payload(NOW), json!({ "scp": null, "cid": null })));
    let spoofed = [
        ("authorization", format!("Bearer {token}")),
        ("x-user-id", "mallory".to_owned()),
        ("X_User_Id", "mallory".to_owned()),
        ("x.user.id", "mallory".to_owned()),
        ("x-user-id", "mallory".to_owned()),
        ("x-client-id", "mallory".to_owned()),
        ("x-granted-scopes", "admin".to_owned()),
        ("x-user-idx", "stays".to_owned()),
    ];
    let fields: Vec<(&str, &str)> = spoofed.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(
        edits(&decide(&one_issuer(), &fields)),
        [
            "-x-user-id",
            "-x_user_id",
            "-x.user.id",
            "-x-client-id",
            "-x-granted-scopes",
            "-authorization",
            "x-user-id=alice@acme.com"
        ]
    );
}

#[test]
fn credential_is_forwarded_only_where_configured() {
    let mut configuration = one_issuer();
    configuration["token"] = json!({ "forward": true });
    let token = SigningKey::a("k1").token(&payload(NOW));
    let decision = decide(&configuration, &[("authorization", &format!("Bearer {token}"))]);
    assert!(!edits(&decision).contains(&"-authorization".to_owned()));
}

#[test]
fn chosen_claims_reach_the_backend_in_the_chosen_form() {
    let mut configuration = one_issuer();
    configuration["claim_to_headers"] = json!([
        { "header": "X-Groups", "claim": "groups", "format": "comma" },
        { "header": "x-tenant", "claim": ["https://acme.com/claims", "tenant"] },
        { "header": "x-all", "claim": "https://acme.com/claims", "format": "json" },
        { "header": "x-scopes", "claim": "scope" },
        { "header": "x-missing", "claim": "no_such_claim" },
    ]);
    let changes = json!({ "groups": ["a", "b,c"], "https://acme.com/claims": { "tenant": "t1" } });
    let token = SigningKey::a("k1").token(&with(&payload(NOW), changes));
    let fields = [("authorization", &*format!("Bearer {token}")), ("x-missing", "mallory"), ("x-user-id", "passes")];
    assert_eq!(
        edits(&decide(&configuration, &fields)),
        [
            "-x-missing",
            "-authorization",
            "x-groups=a,b%2Cc",
            "x-tenant=t1",
            r#"x-all={"tenant":"t1"}"#,
            "x-scopes=read:accounts write:accounts"
        ]
    );
}

#[test]
fn without_a_credential_the_challenge_names_no_error() {
    for fields in [
        &[][..],
        &[("authorization", "Basic YTpi")],
        &[("authorization", "Negotiate abc")],
        &[("authorization", "DPoP a.b.c")],
    ] {
        let decision = decide(&one_issuer(), fields);
        assert_eq!(reason(&decision), "token_missing");
        let reply = reply(&decision);
        assert_eq!(reply.status, 401);
        assert_eq!(reply.header(&HeaderName::WWW_AUTHENTICATE), Some(r#"Bearer realm="okta-proxy-wasm""#));
        assert_eq!(reply.header(&HeaderName::CACHE_CONTROL), Some("no-store"));
        assert_eq!(reply.header(&HeaderName::CONTENT_TYPE), Some("application/json"));
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(body["error"], "unauthorized");
    }
}

#[test]
fn every_bad_token_gets_the_same_response() {
    let good = SigningKey::a("k1").token(&payload(NOW));
    let (signed_part, _) = good.rsplit_once('.').unwrap();
    let other_issuer = json!({ "iss": "https://evil.example/oauth2/default" });
    let rows: Vec<(&str, Decision)> = vec![
        ("token_expired", with_payload(json!({ "exp": NOW - 3600 }))),
        ("audience_unexpected", with_payload(json!({ "aud": "api://other" }))),
        ("audience_missing", with_payload(json!({ "aud": null }))),
        ("audience_malformed", with_payload(json!({ "aud": 5 }))),
        ("expiry_missing", with_payload(json!({ "exp": null }))),
        ("time_malformed", with_payload(json!({ "exp": "99999999999" }))),
        ("token_not_yet_valid", with_payload(json!({ "nbf": NOW + 3600 }))),
        ("token_issued_in_the_future", with_payload(json!({ "iat": NOW + 3600 }))),
        ("issuer_unknown", with_payload(other_issuer)),
        ("issuer_unknown", with_payload(json!({ "iss": format!("{ISSUER}/") }))),
        ("issuer_malformed", with_payload(json!({ "iss": [ISSUER] }))),
        ("issuer_malformed", with_payload(json!({ "iss": null }))),
        ("not_an_access_token", with_payload(json!({ "nonce": "n" }))),
        ("not_an_access_token", with_payload(json!({ "jti": "ID.abc" }))),
        ("not_an_access_token", with_payload(json!({ "token_use": "id" }))),
        ("identity_malformed", with_payload(json!({ "jti": 7 }))),
        ("sender_constrained", with_payload(json!({ "cnf": { "jkt": "x" } }))),
        ("identity_malformed", with_payload(json!({ "sub": 7 }))),
        ("key_unknown", with_token(&SigningKey::a("k2").token(&payload(NOW)))),
        ("signature_invalid", with_token(&SigningKey::b("k1").token(&payload(NOW)))),
        ("signature_invalid", with_token(&format!("{signed_part}."))),
        ("algorithm_unsupported", with_token(&unsigned(&json!({ "alg": "none" })))),
        ("algorithm_unsupported", with_token(&unsigned(&json!({ "alg": "HS256", "kid": "k1" })))),
        ("algorithm_not_allowed", with_token(&unsigned(&json!({ "alg": "RS512", "kid": "k1" })))),
        ("token_extension_unsupported", with_token(&unsigned(&json!({ "alg": "RS256", "crit": ["exp"] })))),
        ("token_header_json", with_token("W10.e30.YQ")),
        ("token_encoding", with_token("a.b.c")),
        ("token_opaque", with_token("opaque-token")),
        ("token_opaque", with_token("a.b.c.d.e")),
        ("credential_malformed", decide(&one_issuer(), &[("authorization", "Bearer  a.b.c")])),
        ("token_too_large", with_token(&"a".repeat(8193))),
    ];
    let expected = reply(&rows[0].1).clone();
    assert_eq!(expected.status, 401);
    let challenge = expected.header(&HeaderName::WWW_AUTHENTICATE).unwrap();
    assert_eq!(challenge, r#"Bearer realm="okta-proxy-wasm", error="invalid_token""#);
    for (name, decision) in &rows {
        assert_eq!(reason(decision), *name);
        assert_eq!(*reply(decision), expected, "the client can tell {name} apart");
    }
}

fn unsigned(header: &Value) -> String {
    SigningKey::a("k1").token_with_header(header, &payload(NOW))
}

#[test]
fn two_credentials_are_rejected_as_a_malformed_request() {
    let token = SigningKey::a("k1").token(&payload(NOW));
    let bearer = format!("Bearer {token}");
    let joined = format!("{bearer},{bearer}");
    for fields in
        [&[("authorization", bearer.as_str()), ("authorization", bearer.as_str())][..], &[("authorization", &joined)]]
    {
        let decision = decide(&one_issuer(), fields);
        assert_eq!(reason(&decision), "multiple_credentials");
        assert_eq!(reply(&decision).status, 400);
        assert_eq!(
            reply(&decision).header(&HeaderName::WWW_AUTHENTICATE),
            Some(r#"Bearer realm="okta-proxy-wasm", error="invalid_request""#)
        );
    }
}

/// One issuer, and tokens looked for in two headers, a cookie and a parameter.
fn many_sources() -> Value {
    let mut configuration = one_issuer();
    configuration["token"] = json!({
        "from_headers": [{ "name": "Authorization", "scheme": "bearer" }, { "name": "authorization", "scheme": "Token" },
                         { "name": "x-api-token" }],
        "from_cookies": ["access_token"], "from_params": ["access_token"] });
    configuration
}

/// The edits beside the identity, which is the same for all.
fn stripped(decision: &Decision) -> Vec<String> {
    let mut edits = edits(decision);
    let identity = edits.split_off(edits.len() - 3);
    assert_eq!(identity[0], "x-user-id=alice@acme.com");
    edits
}

#[test]
fn token_from_each_configured_location_is_accepted_and_removed() {
    // The fields, and what is taken out beside the two headers.
    type Row<'a> = (&'a [(&'a str, String)], &'a [&'a str]);
    let token = SigningKey::a("k1").token(&payload(NOW));
    let encoded = token.replace('.', "%2E");
    let rows: [Row<'_>; 8] = [
        (&[("authorization", format!("Bearer {token}"))], &[]),
        (&[("authorization", format!("TOKEN {token}"))], &[]),
        (&[("x-api-token", token.clone())], &[]),
        (&[("x-api-token", token.clone()), ("x_api_token", "forged".to_owned())], &["-x_api_token"]),
        (&[("authorization", "Basic YTpi".to_owned()), ("x-api-token", token.clone())], &[]),
        (&[("cookie", format!("sid=1; access_token={token}; x=y"))], &["cookie~sid=1; x=y"]),
        (&[("cookie", "sid=1".to_owned()), ("cookie", format!("access_token=\"{token}\""))], &["cookie~sid=1"]),
        (&[(":path", format!("/a?x=%31&access%5Ftoken={encoded}&y"))], &[":path~/a?x=%31&y"]),
    ];
    for (fields, more) in rows {
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let decision = decide_at(&many_sources(), &fields);
        assert_eq!(stripped(&decision), [&["-authorization", "-x-api-token"], more].concat(), "{fields:?}");
    }
}

#[test]
fn credentials_in_two_locations_are_a_malformed_request_even_when_one_is_good() {
    let token = SigningKey::a("k1").token(&payload(NOW));
    let places = [
        ("authorization", format!("Bearer {token}")),
        ("x-api-token", token.clone()),
        ("cookie", format!("access_token={token}")),
        (":path", format!("/a?access_token={token}")),
    ];
    let bad = [
        ("x-api-token", "opaque".to_owned()),
        ("cookie", "access_token=".to_owned()),
        (":path", "/?access%5ftoken".to_owned()),
    ];
    for one in &places {
        for other in places.iter().chain(&bad).filter(|other| one.0 != other.0 || one.0 == "cookie") {
            let decision = decide_at(&many_sources(), &[(one.0, &one.1), (other.0, &other.1)]);
            assert_eq!(reason(&decision), "multiple_credentials", "{} {}", one.0, other.0);
            assert_eq!(reply(&decision).status, 400);
        }
    }
    for path in
        [format!("/?access_token={token}&access_token={token}"), format!("/?access_token={token}&access%5ftoken=x")]
    {
        assert_eq!(reason(&decide_at(&many_sources(), &[(":path", &path)])), "multiple_credentials");
    }
}

#[test]
fn cookies_and_parameters_are_not_read_unless_configured() {
    let token = SigningKey::a("k1").token(&payload(NOW));
    let elsewhere = [
        ("cookie", format!("access_token={token}")),
        (":path", format!("/?access_token={token}")),
        ("x-api-token", token.clone()),
    ];
    for (name, value) in &elsewhere {
        assert_eq!(reason(&decide_at(&one_issuer(), &[(name, value)])), "token_missing", "{name}");
        let bearer = format!("Bearer {token}");
        let decision = decide_at(&one_issuer(), &[(name, value), ("authorization", &bearer)]);
        assert_eq!(stripped(&decision), ["-authorization"], "{name} is left alone");
    }
    for name in ["x-original-url", "x-rewrite-url", "x-envoy-original-path", "referer"] {
        let decision = decide_at(&many_sources(), &[(":path", "/"), (name, &format!("/?access_token={token}"))]);
        assert_eq!(reason(&decision), "token_missing", "{name}");
    }
}

#[test]
fn configured_locations_replace_the_authorization_header() {
    let mut configuration = one_issuer();
    configuration["token"] = json!({ "from_headers": [], "from_cookies": ["at"] });
    let token = SigningKey::a("k1").token(&payload(NOW));
    let (cookie, bearer) = (format!("at={token}"), format!("Bearer {token}"));
    assert_eq!(stripped(&decide(&configuration, &[("cookie", &cookie)])), ["-cookie"]);
    assert_eq!(reason(&decide(&configuration, &[("authorization", &bearer)])), "token_missing");
}

#[test]
fn forwarded_credentials_are_left_unchanged() {
    let mut configuration = many_sources();
    configuration["token"]["forward"] = json!(true);
    let token = SigningKey::a("k1").token(&payload(NOW));
    for (name, value) in [
        ("cookie", format!("access_token={token}")),
        (":path", format!("/?access_token={token}")),
        ("x-api-token", token),
    ] {
        let decision = decide_at(&configuration, &[(name, &value), ("X_Api.Token", "forged")]);
        assert_eq!(stripped(&decision), ["-x_api.token"], "{name}");
    }
}

#[test]
fn credential_that_is_no_token_or_cannot_be_removed_is_rejected() {
    let token = SigningKey::a("k1").token(&payload(NOW));
    for (name, value) in [
        ("cookie", "access_token=".to_owned()),
        ("cookie", "access_token=\"a".to_owned()),
        ("cookie", format!("x=1, access_token={token}")),
        (":path", "/?access_token=a+b".to_owned()),
        (":path", format!("/?x=1;access_token={token}")),
        ("x-api-token", format!("Bearer {token}")),
        ("cookie", format!("x=\r\ny: z; access_token={token}")),
        (":path", format!("/\r\nx: y?access_token={token}")),
    ] {
        let decision = decide_at(&many_sources(), &[(name, &value)]);
        assert_eq!(reason(&decision), "credential_malformed", "{value}");
        assert_eq!(reply(&decision).status, 401);
    }
    let long = "a".repeat(8193);
    for (name, value) in
        [("cookie", format!("access_token={long}")), (":path", format!("/?access_token={long}")), ("x-api-token", long)]
    {
        assert_eq!(reason(&decide_at(&many_sources(), &[(name, &value)])), "token_too_large", "{name}");
    }
}

/// A request that waits holds what is left of its cookies and path, and counts it.
#[test]
fn credential_is_removed_from_a_pending_request_as_from_any_other() {
    let mut configuration = many_sources();
    configuration["providers"]["okta"]["jwks"] = json!({ "uri": format!("{ISSUER}/v1/keys") });
    configuration["providers"]["okta"]["upstream"] = json!("okta");
    let limits = ParkingLimits { requests: 100, bytes: 20_000 };
    let mut engine = Harness::with(&configuration, Setup { limits, ..Setup::default() });
    let key = SigningKey::a("k1");
    let token = key.token(&payload(NOW));
    let fetch = engine.tick_begins_a_fetch();
    let mut arrive = |cookie: String| engine.request(&head(&[(":path", "/a?x=1"), ("cookie", &cookie)]));
    let parked = arrive(format!("sid=1; access_token={token}; X=y"));
    assert_eq!(parked.err(), Some(StreamId(1)));
    let no_room = arrive(format!("access_token={token}; big={}", "b".repeat(20_000)));
    assert_eq!(no_room.map(|decision| reason(&decision)), Ok("too_many_pending"), "there is no limits for its cookies");
    engine.done(fetch.id, published(&key_set(&[&key])));
    let (stream, decision) = &engine.decided[0];
    assert_eq!(*stream, StreamId(1));
    assert_eq!(stripped(decision), ["-authorization", "-x-api-token", "cookie~sid=1; X=y"]);
}

#[test]
fn trailers_that_a_backend_could_read_as_a_credential_are_removed() {
    let harness = Harness::new(&many_sources());
    for name in ["authorization", "x-api-token", "X_Api_Token", "cookie", "x-user-id"] {
        assert!(harness.engine.is_managed_trailer(name), "{name}");
    }
    assert!(!harness.engine.is_managed_trailer("x-innocent"));
}

#[test]
fn token_is_valid_before_exp_plus_skew_and_expired_at_it() {
    let engine_at = |now: UnixTime, exp: u64| {
        let token = SigningKey::a("k1").token(&with(&payload(NOW), json!({ "exp": exp })));
        let mut engine = Harness::new(&one_issuer());
        engine.now = now;
        engine.reason(&bearer(token))
    };
    let end = UnixTime::from_secs(NOW + 60);
    assert_eq!(engine_at(end, NOW), "token_expired");
    assert_eq!(engine_at(UnixTime::from_millis(end.as_millis() - 1), NOW), "authorized");
}

#[test]
fn keys_of_one_issuer_never_verify_a_token_of_another() {
    let provider = |issuer: &str, key: &SigningKey| json!({ "issuer": issuer, "audiences": [AUDIENCE], "jwks": { "inline": key_set(&[key]) } });
    let (a, b) = (SigningKey::a("k1"), SigningKey::b("k1"));
    let configuration = json!({ "providers": { "a": provider(ISSUER, &a), "b": provider("https://b.example", &b) } });
    let bearer = |key: &SigningKey, issuer: &str| {
        format!("Bearer {}", key.token(&with(&payload(NOW), json!({ "iss": issuer }))))
    };
    let verdict =
        |key: &SigningKey, issuer: &str| reason(&decide(&configuration, &[("authorization", &bearer(key, issuer))]));
    assert_eq!(verdict(&a, ISSUER), "authorized");
    assert_eq!(verdict(&b, "https://b.example"), "authorized");
    assert_eq!(verdict(&b, ISSUER), "signature_invalid");
    assert_eq!(verdict(&a, "https://b.example"), "signature_invalid");
}

#[test]
fn only_listed_clients_are_allowed_where_a_list_is_configured() {
    let mut configuration = one_issuer();
    configuration["providers"]["okta"]["client_ids"] = json!(["0oa1client"]);
    let verdict = |changes: Value| {
        let token = SigningKey::a("k1").token(&with(&payload(NOW), changes));
        reason(&decide(&configuration, &[("authorization", &format!("Bearer {token}"))]))
    };
    assert_eq!(verdict(json!({})), "authorized");
    assert_eq!(verdict(json!({ "cid": "0oa2other" })), "client_unexpected");
    assert_eq!(verdict(json!({ "cid": null })), "client_unexpected");
}

#[test]
fn audit_record_names_subject_and_reason_and_bounds_client_input() {
    let bearer =
        format!("Bearer {}", SigningKey::a("k1").token(&with(&payload(NOW), json!({ "sub": "x".repeat(2000) }))));
    let logged = with(&one_issuer(), json!({ "audit": { "allowed": "all" } }));
    let decision = decide(&logged, &[("x-request-id", "r-1"), ("authorization", &bearer)]);
    let record: Value = serde_json::from_str(&decision.audit.to_json()).unwrap();
    assert_eq!(record["schema"], 1);
    assert_eq!(record["decision"], "allow");
    assert_eq!(record["request_id"], "r-1");
    assert_eq!(record["provider"], "okta");
    assert_eq!(record["client"], "0oa1client");
    assert_eq!(record["jti"], "AT.k8vHqQ0p");
    assert_eq!(record["subject"].as_str().unwrap().len(), 256);

    let denied = decide(&one_issuer(), &[("x-request-id", "a b\n")]);
    let record: Value = serde_json::from_str(&denied.audit.to_json()).unwrap();
    assert_eq!(
        record,
        json!({ "schema": 1, "decision": "deny", "reason": "token_missing", "method": "GET", "path": "/accounts" })
    );
}

#[test]
fn token_of_each_issuer_of_a_provider_is_accepted_and_its_issuer_is_named() {
    let mut configuration = one_issuer();
    let okta = &mut configuration["providers"]["okta"];
    okta["issuer"] = json!("https://login.example/{tenant}/v2.0");
    okta["additional_issuers"] = json!(["acme.com"]);
    okta["tenants"] = json!(["t1", "t2"]);
    configuration["claim_to_headers"] = json!([{ "header": "x-issuer", "claim": "iss" }]);
    configuration["filter_state"] = json!(["issuer"]);
    configuration["rules"] = json!([
        { "match": { "path": "/t2" }, "require": { "condition": "token.issuer == 'https://login.example/t2/v2.0'" } }]);
    let decide = |issuer: &str, path: &str, changes: Value| {
        let claims = with(&with(&payload(NOW), json!({ "iss": issuer })), changes);
        let token = format!("Bearer {}", SigningKey::a("k1").token(&claims));
        decide_at(&configuration, &[(":method", "GET"), (":path", path), ("authorization", &token)])
    };
    let line = |decision: &Decision| serde_json::from_str::<Value>(&decision.audit.to_json()).unwrap();
    for issuer in ["https://login.example/t1/v2.0", "https://login.example/t2/v2.0", "acme.com"] {
        let decision = decide(issuer, "/", json!({}));
        assert_eq!(edits(&decision), ["-authorization", &format!("x-issuer={issuer}")]);
        assert_eq!((&line(&decision)["provider"], &line(&decision)["issuer"]), (&json!("okta"), &json!(issuer)));
        let told: Vec<_> = decision.filter_state.iter().map(|entry| format!("{entry:?}")).collect();
        assert!(told.iter().any(|entry| entry.contains(issuer)), "{told:?}");
        let expired = decide(issuer, "/", json!({ "exp": NOW - 3600 }));
        assert_eq!((reason(&expired), &line(&expired)["issuer"]), ("token_expired", &json!(issuer)));
        let on_rule = decide(issuer, "/t2", json!({}));
        assert_eq!(reason(&on_rule) == "authorized", issuer.contains("/t2/"), "{issuer}");
        assert_eq!(line(&on_rule)["issuer"], issuer, "a token that a rule rejects");
    }
    for issuer in [
        "https://login.example/t3/v2.0",
        "https://login.example/{tenant}/v2.0",
        "https://login.example//v2.0",
        "https://login.example/t1/v2.0/",
        "https://login.example/t1/../t2/v2.0",
        "https://login.example/T1/v2.0",
        "t1",
        "ACME.com",
        "",
    ] {
        let decision = decide(issuer, "/", json!({}));
        assert_eq!((reason(&decision), line(&decision).get("issuer")), ("issuer_unknown", None), "{issuer}");
    }
}
