//! Which introspection responses are validated as access tokens.

use super::*;
use crate::jose::IntrospectedToken;
use crate::policy::provider_fixture::{self, AUDIENCE, ISSUER, NOW, NOW_SECS, SKEW_SECS, changed, provider};
use serde_json::{Value, json};

const ENDS: UnixTime = UnixTime::from_secs(NOW_SECS + 31);

/// A response in Okta's format with `changes`. A change to `null` removes the member.
fn active(changes: &Value) -> ActiveToken {
    let members = json!({
        "token_type": "Bearer", "scope": "openid orders:read", "client_id": "0oa1", "sub": "alice@acme.com",
        "username": "alice@acme.com", "iss": ISSUER, "aud": AUDIENCE, "jti": "AT.1", "uid": "00u1",
        "iat": NOW_SECS - 60, "nbf": NOW_SECS - 60, "exp": NOW_SECS + 3600, "device_id": "q4SZgrA9sOeHkfst5uaa",
    });
    provider_fixture::active(&changed(members, changes))
}

fn validate_with(changes: &Value, provider: &Provider, now: UnixTime) -> Result<ValidatedToken, ClaimFault> {
    ValidatedToken::validate_active(active(changes), provider, ENDS, now)
}

fn fault(changes: &Value) -> Option<ClaimFault> {
    validate_with(changes, &provider(), NOW).err()
}

#[test]
fn okta_response_has_the_same_identity_as_its_jwt() {
    let token = validate_with(&json!({}), &provider(), NOW).unwrap();
    assert_eq!(token.subject(), Some("alice@acme.com"));
    assert_eq!(token.client(), Some("0oa1"));
    assert_eq!(token.scopes(), ["openid", "orders:read"]);
    assert_eq!(token.claims().string("uid"), Claim::Valid("00u1"));
}

#[test]
fn claim_names_of_jwts_and_responses_are_unified() {
    let with = |changes: Value| {
        let token = validate_with(&changes, &provider(), NOW).unwrap();
        (token.client().map(str::to_owned), token.scopes().join(" "))
    };
    let expected = (Some("0oa1".to_owned()), "a b".to_owned());
    assert_eq!(with(json!({"client_id": null, "cid": "0oa1", "scope": null, "scp": ["a", "b"]})), expected);
    assert_eq!(with(json!({"client_id": null, "azp": "0oa1", "scope": "a  b"})), expected);
    let mut own = provider();
    own.claim_names.client = vec!["app".to_owned()];
    own.claim_names.scope = vec!["rights".to_owned()];
    let token = validate_with(&json!({"scope": "a b"}), &own, NOW).unwrap();
    assert_eq!(
        (token.client(), token.scopes().join(" ")),
        (Some("0oa1"), "a b".to_owned()),
        "the names of introspection"
    );
    let token = validate_with(&json!({"app": "x", "rights": ["c"]}), &own, NOW).unwrap();
    assert_eq!(
        (token.client(), token.scopes().join(" ")),
        (Some("x"), "c".to_owned()),
        "configured names take precedence"
    );
    assert_eq!(validate_with(&json!({"app": 5}), &own, NOW).err(), Some(ClaimFault::IdentityMalformed));
}

#[test]
fn issuer_is_optional_but_must_match() {
    assert_eq!(fault(&json!({"iss": null})), None);
    for other in ["https://acme.okta.com/oauth2/default/", "https://acme.okta.com", ""] {
        assert_eq!(fault(&json!({"iss": other})), Some(ClaimFault::IssuerUnknown), "{other}");
    }
    for malformed in [json!([ISSUER]), json!(5), json!({})] {
        assert_eq!(fault(&json!({"iss": malformed})), Some(ClaimFault::IssuerMalformed), "{malformed}");
    }
}

#[test]
fn audience_is_required_as_for_a_jwt() {
    assert_eq!(fault(&json!({"aud": ["x", "api://default"]})), None);
    assert_eq!(fault(&json!({"aud": null})), Some(ClaimFault::AudienceMissing));
    assert_eq!(fault(&json!({"aud": "api://default/"})), Some(ClaimFault::AudienceUnexpected));
    assert_eq!(fault(&json!({"aud": []})), Some(ClaimFault::AudienceMalformed));
    let any = Provider { audiences: Audiences::InsecureAny, ..provider() };
    assert!(validate_with(&json!({"aud": null}), &any, NOW).is_ok());
    assert!(validate_with(&json!({"aud": []}), &any, NOW).is_ok());
    assert_eq!(validate_with(&json!({"aud": 5}), &any, NOW).err(), Some(ClaimFault::AudienceMalformed));
}

#[test]
fn times_are_exact_to_the_millisecond() {
    let exp = json!({"exp": NOW_SECS - SKEW_SECS + 1});
    assert!(validate_with(&exp, &provider(), UnixTime::from_millis(NOW_SECS * 1000 + 999)).is_ok());
    assert_eq!(validate_with(&exp, &provider(), UnixTime::from_secs(NOW_SECS + 1)).err(), Some(ClaimFault::Expired));
    assert_eq!(fault(&json!({"nbf": NOW_SECS + SKEW_SECS})), None);
    assert_eq!(fault(&json!({"nbf": NOW_SECS + SKEW_SECS + 1})), Some(ClaimFault::NotYetValid));
    assert_eq!(fault(&json!({"iat": NOW_SECS + SKEW_SECS + 1})), Some(ClaimFault::IssuedInTheFuture));
    for name in ["exp", "nbf", "iat"] {
        assert_eq!(fault(&json!({ name: "soon" })), Some(ClaimFault::TimeMalformed), "{name}");
    }
    let token = validate_with(&json!({}), &provider(), NOW).unwrap();
    assert!(token.is_current(UnixTime::from_secs(NOW_SECS + 3629)));
    assert!(!token.is_current(UnixTime::from_secs(NOW_SECS + 3630)));
}

#[test]
fn token_without_exp_expires_with_its_response() {
    let token = validate_with(&json!({"exp": null}), &provider(), NOW).unwrap();
    assert!(token.is_current(UnixTime::from_millis(ENDS.as_millis() - 1)));
    assert!(!token.is_current(ENDS));
    let limited = Provider { max_token_lifetime: Some(Duration::from_secs(7200)), ..provider() };
    assert!(validate_with(&json!({}), &limited, NOW).is_ok());
    for unsaid in [json!({"exp": null}), json!({"iat": null}), json!({"exp": NOW_SECS + 7141})] {
        assert_eq!(validate_with(&unsaid, &limited, NOW).err(), Some(ClaimFault::LifetimeTooLong), "{unsaid}");
    }
}

#[test]
fn only_bearer_access_tokens_are_accepted() {
    for fine in [
        json!({"token_type": null}),
        json!({"token_type": "bearer"}),
        json!({"token_type": "BEARER"}),
        json!({"typ": "Bearer"}),
        json!({"typ": "JWT"}),
        json!({"token_use": "access"}),
        json!({"token_usage": "access_token"}),
        json!({"token_type": "access_token"}),
        json!({"token_use": "access_token"}),
        json!({"token_type": ["Bearer"]}),
        json!({"token_type": "urn:pingidentity.com:oauth2:validated_token"}),
    ] {
        assert_eq!(fault(&fine), None, "{fine}");
    }
    for other in [
        json!({"token_type": "mac"}),
        json!({"token_type": "refresh_token"}),
        json!({"token_type": "N_A"}),
        json!({"token_type": 5}),
        json!({"typ": "Refresh"}),
        json!({"typ": "Offline"}),
        json!({"typ": "ID"}),
        json!({"typ": "Logout"}),
        json!({"token_use": "id"}),
        json!({"token_use": "refresh_token"}),
        json!({"token_use": 5}),
        json!({"typ": ["Refresh"]}),
        json!({"token_usage": "refresh_token"}),
        json!({"jti": "ID.1"}),
        json!({"nonce": "n"}),
        json!({"at_hash": "h"}),
        json!({"c_hash": "h"}),
        json!({"events": {}}),
    ] {
        assert_eq!(fault(&other), Some(ClaimFault::NotAnAccessToken), "{other}");
    }
    for bound in [json!({"token_type": "DPoP"}), json!({"token_type": "dpop"}), json!({"cnf": {"jkt": "x"}})] {
        assert_eq!(fault(&bound), Some(ClaimFault::SenderConstrained), "{bound}");
    }
}

/// Janssen and Gluu write `null` for every unset member. Ory Hydra writes `"aud": []`.
#[test]
fn null_member_is_absent_and_grants_nothing() {
    let body = |members: &Value| {
        let body = members.to_string();
        let IntrospectedToken::Active(token) = IntrospectedToken::read(body.as_bytes()).unwrap() else {
            panic!("active")
        };
        token
    };
    let unset = json!({
        "active": true, "aud": "api://default", "scope": null, "client_id": null, "username": null, "token_type": null,
        "exp": null, "iat": null, "nbf": null, "sub": null, "iss": null, "jti": null,
    });
    let admit =
        |members: &Value, provider: &Provider| ValidatedToken::validate_active(body(members), provider, ENDS, NOW);
    let token = admit(&unset, &provider()).unwrap();
    assert_eq!((token.subject(), token.client(), token.scopes().len()), (None, None, 0));
    assert!(!token.is_current(ENDS), "an unset `exp` does not extend the token");
    let mut without_audience = unset.clone();
    for (audience, fault) in [(json!(null), ClaimFault::AudienceMissing), (json!([]), ClaimFault::AudienceMalformed)] {
        without_audience["aud"] = audience;
        assert_eq!(admit(&without_audience, &provider()).err(), Some(fault));
    }
    let limited = Provider { client_ids: Some(vec!["0oa1".to_owned()]), ..provider() };
    assert_eq!(admit(&unset, &limited).err(), Some(ClaimFault::ClientUnexpected));
    let mut bound = unset;
    bound["cnf"] = Value::Null;
    assert_eq!(
        admit(&bound, &provider()).err(),
        Some(ClaimFault::SenderConstrained),
        "a constraint is no optional member"
    );
}

#[test]
fn nonce_is_accepted_by_setting_in_a_declared_access_token() {
    let accepting = Provider { accept_nonce: true, ..provider() };
    let keycloak = json!({"nonce": "n", "typ": "Bearer"});
    assert_eq!(fault(&keycloak), Some(ClaimFault::NotAnAccessToken));
    assert!(validate_with(&keycloak, &accepting, NOW).is_ok());
    let id_token = json!({"nonce": "n", "token_type": null});
    assert_eq!(validate_with(&id_token, &accepting, NOW).err(), Some(ClaimFault::NotAnAccessToken));
}

#[test]
fn jti_of_wrong_type_is_malformed() {
    for jti in [json!(5), json!(["AT.1"]), json!({})] {
        assert_eq!(fault(&json!({ "jti": jti })), Some(ClaimFault::IdentityMalformed), "{jti}");
    }
}

#[test]
fn client_ids_apply_as_for_jwts() {
    let strict = Provider { client_ids: Some(vec!["0oa1".to_owned()]), ..provider() };
    assert!(validate_with(&json!({}), &strict, NOW).is_ok());
    assert_eq!(validate_with(&json!({"client_id": "0oa2"}), &strict, NOW).err(), Some(ClaimFault::ClientUnexpected));
    assert_eq!(validate_with(&json!({"client_id": null}), &strict, NOW).err(), Some(ClaimFault::ClientUnexpected));
}
