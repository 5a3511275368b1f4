//! Which tokens are access tokens: by header type, by claims that declare a kind, and by `nonce`.

use super::*;

#[test]
fn typ_must_be_absent_or_of_an_access_token() {
    let validate = |typ| ValidatedToken::validate(verified(&claims(&json!({})), typ), &provider(), NOW).err();
    assert_eq!(validate(None), None);
    for typ in [
        "JWT",
        "jwt",
        "at+jwt",
        "AT+JWT",
        "application/at+jwt",
        "Application/AT+jwt",
        "application/jwt",
        "JOSE",
        "jose",
        "application/jose",
    ] {
        assert_eq!(validate(Some(typ)), None, "{typ}");
    }
    for typ in [
        "",
        "dpop+jwt",
        "logout+jwt",
        "secevent+jwt",
        "id_token+jwt",
        "token-introspection+jwt",
        "JOSE+JSON",
        "jose ",
        "JWE",
        "at+jwt ",
        " JWT",
        "jwt,at+jwt",
        "x-at+jwt",
        "text/at+jwt",
        "application/application/at+jwt",
        "application/",
    ] {
        assert_eq!(validate(Some(typ)), Some(ClaimFault::NotAnAccessToken), "{typ:?}");
    }
}

#[test]
fn id_token_claim_is_rejected_with_any_value() {
    for changes in [
        json!({"jti": "ID.abc"}),
        json!({"jti": "ID."}),
        json!({"nonce": "n-0S6_WzA2Mj"}),
        json!({"nonce": ""}),
        json!({"nonce": 5}),
        json!({"at_hash": "77QmUPtjPfzWtF2AnpK9RQ"}),
        json!({"at_hash": []}),
    ] {
        assert_eq!(fault(&changes), Some(ClaimFault::NotAnAccessToken), "{changes}");
    }
    for name in ["nonce", "at_hash", "c_hash", "events"] {
        assert_eq!(fault_of_null(name), None, "{name}: null is how serializers write an absent member");
    }
    for changes in [json!({"jti": null}), json!({"jti": "id.abc"}), json!({"jti": "IDabc"}), json!({"jti": "xID."})] {
        assert_eq!(fault(&changes), None, "{changes}");
    }
}

/// Claims in access tokens and other tokens of issuers, from public reports: Cognito (`token_use`), Keycloak and Red
/// Hat SSO (`typ`), Ory Hydra (`token_use`), OpenIddict (`token_usage`), Salesforce and djangorestframework-simplejwt
/// (`token_type`), ForgeRock (`tokenName`).
#[test]
fn other_declared_kind_is_rejected_and_unknown_kind_is_accepted() {
    for (name, kinds) in [
        ("typ", &["ID", "Refresh", "Offline", "Logout", "logout+jwt", "secevent+jwt", "Serialized-ID"][..]),
        ("typ", &["InitialAccessToken", "RegistrationAccessToken"][..]),
        ("token_use", &["id", "ID", "refresh", "refresh_token", "id_token"][..]),
        ("token_usage", &["id_token", "refresh_token", "authorization_code"][..]),
        ("token_type", &["refresh", "refresh_token", "id_token", "N_A", "mac", "pop"][..]),
        ("token_type", &["urn:ietf:params:oauth:token-type:refresh_token", "RefreshToken"][..]),
        ("tokenName", &["id_token", "refresh_token"][..]),
    ] {
        for kind in kinds {
            let other = Some(ClaimFault::NotAnAccessToken);
            assert_eq!(fault(&json!({ name: kind })), other, "{name}: {kind}");
            assert_eq!(fault(&json!({ name: [kind] })), other, "{name}: [{kind}]");
            assert_eq!(fault(&json!({ name: ["access_token", kind] })), other, "{name}: [access_token, {kind}]");
        }
    }
    for name in ["typ", "token_use", "token_usage", "token_type", "tokenName"] {
        for kind in ["access", "access_token", "Bearer", "bearer", "at+jwt", "JWT", "", "custom"] {
            assert_eq!(fault(&json!({ name: kind })), None, "{name}: {kind}");
            assert_eq!(fault(&json!({ name: [kind] })), None, "{name}: [{kind}]");
        }
        for kind in ["DPoP", "dpop"] {
            let constrained = Some(ClaimFault::SenderConstrained);
            assert_eq!(fault(&json!({ name: kind })), constrained, "{name}: {kind}, and possession is not verified");
        }
        assert_eq!(fault_of_null(name), None, "{name}: null");
        assert_eq!(fault(&json!({ name: [] })), None, "{name}: []");
        for wrong in [json!(5), json!(true), json!({}), json!(["access", 5])] {
            assert_eq!(fault(&json!({ name: wrong })), Some(ClaimFault::NotAnAccessToken), "{name}: {wrong}");
        }
    }
}

/// Before Keycloak 25 the access token of a browser sign-in has the `nonce`.
#[test]
fn nonce_is_accepted_with_at_jwt_or_by_setting_in_a_declared_access_token() {
    let keycloak = json!({"typ": "Bearer", "nonce": "n-0S6_WzA2Mj", "azp": "web", "cid": null});
    let accepting = Provider { accept_nonce: true, ..provider() };
    let with = |changes: &Value, typ, provider: &Provider| {
        ValidatedToken::validate(verified(&claims(changes), typ), provider, NOW).err()
    };
    let rejected = Some(ClaimFault::NotAnAccessToken);
    assert_eq!(with(&keycloak, Some("JWT"), &provider()), rejected);
    assert_eq!(with(&keycloak, Some("JWT"), &accepting), None);
    for typ in ["at+jwt", "application/at+jwt", "AT+JWT"] {
        assert_eq!(with(&json!({"nonce": "n"}), Some(typ), &provider()), None, "{typ}");
    }
    assert_eq!(with(&json!({"nonce": "n"}), Some("JWT"), &accepting), rejected, "no claim declares an access token");
    assert_eq!(with(&json!({"nonce": "n", "typ": "ID"}), Some("JWT"), &accepting), rejected);
    for mark in ["at_hash", "c_hash", "events"] {
        let changes = json!({"typ": "Bearer", "nonce": "n", mark: "x"});
        for typ in ["JWT", "at+jwt"] {
            assert_eq!(with(&changes, Some(typ), &accepting), rejected, "{mark} with {typ}");
        }
    }
}
