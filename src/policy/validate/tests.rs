use super::*;
use crate::jose::signing_fixture::verified;
use crate::policy::provider::ClaimNames;
use crate::policy::provider_fixture::{self, AUDIENCE, ISSUER, NOW, NOW_SECS, SKEW_SECS, changed, provider};
use serde_json::{Value, json};
use std::time::Duration;

/// Which kinds of tokens are access tokens.
#[path = "kind_tests.rs"]
mod kind_tests;

/// The claims of an Okta access token with `changes`. A change to `null` removes the claim.
fn claims(changes: &Value) -> Value {
    let claims = json!({
        "ver": 1, "jti": "AT.abc", "iss": ISSUER, "aud": AUDIENCE, "sub": "alice@acme.com", "iat": NOW_SECS - 60,
        "exp": NOW_SECS + 3600, "cid": "0oa1", "uid": "00u1", "scp": ["openid", "orders:read"],
    });
    changed(claims, changes)
}

fn validate_at(changes: &Value, provider: &Provider, now: UnixTime) -> Result<ValidatedToken, ClaimFault> {
    ValidatedToken::validate(verified(&claims(changes), None), provider, now)
}

fn fault_with(changes: &Value, provider: &Provider) -> Option<ClaimFault> {
    validate_at(changes, provider, NOW).err()
}

fn fault(changes: &Value) -> Option<ClaimFault> {
    fault_with(changes, &provider())
}

fn fault_at(changes: &Value, now_millis: u64) -> Option<ClaimFault> {
    validate_at(changes, &provider(), UnixTime::from_millis(now_millis)).err()
}

/// The fault of a claim with the value `null`, which [`claims`] cannot express.
fn fault_of_null(name: &str) -> Option<ClaimFault> {
    let mut claims = claims(&json!({}));
    claims[name] = Value::Null;
    ValidatedToken::validate(verified(&claims, None), &provider(), NOW).err()
}

#[test]
fn okta_token_is_validated_with_its_identity() {
    let token = validate_at(&json!({}), &provider(), NOW).unwrap();
    assert_eq!(token.subject(), Some("alice@acme.com"));
    assert_eq!(token.client(), Some("0oa1"));
    assert_eq!(token.scopes(), ["openid", "orders:read"]);
    assert_eq!(token.claims().string("uid"), Claim::Valid("00u1"));
}

#[test]
fn rfc_9068_token_is_validated_with_its_identity() {
    let changes = json!({"ver": null, "cid": null, "uid": null, "scp": null, "client_id": "s6BhdRkqt3", "scope": "openid orders:read"});
    let token = ValidatedToken::validate(verified(&claims(&changes), Some("at+jwt")), &provider(), NOW).unwrap();
    assert_eq!(token.client(), Some("s6BhdRkqt3"));
    assert_eq!(token.scopes(), ["openid", "orders:read"]);
}

#[test]
fn issuer_is_compared_byte_for_byte() {
    for issuer in [
        json!(null),
        json!(""),
        json!(format!("{ISSUER}/")),
        json!(format!("{ISSUER} ")),
        json!(&ISSUER[..ISSUER.len() - 1]),
        json!(ISSUER.replace("acme", "ACME")),
        json!(ISSUER.replace("https", "http")),
        json!(format!("{ISSUER}\0")),
        json!([ISSUER]),
        json!({"iss": ISSUER}),
        json!(5),
        json!(true),
    ] {
        assert_eq!(fault(&json!({ "iss": issuer })), Some(ClaimFault::IssuerUnknown), "{issuer}");
    }
    assert_eq!(fault(&json!({"iss": null, "ISS": ISSUER})), Some(ClaimFault::IssuerUnknown));
}

#[test]
fn audience_must_contain_an_expected_one_and_only_strings() {
    for (audience, expected) in [
        (json!(AUDIENCE), None),
        (json!("api://second"), None),
        (json!([AUDIENCE]), None),
        (json!(["api://other", AUDIENCE]), None),
        (json!(null), Some(ClaimFault::AudienceMissing)),
        (json!([]), Some(ClaimFault::AudienceMalformed)),
        (json!([AUDIENCE, 5]), Some(ClaimFault::AudienceMalformed)),
        (json!([AUDIENCE, null]), Some(ClaimFault::AudienceMalformed)),
        (json!([[AUDIENCE]]), Some(ClaimFault::AudienceMalformed)),
        (json!({"aud": AUDIENCE}), Some(ClaimFault::AudienceMalformed)),
        (json!({ AUDIENCE: true }), Some(ClaimFault::AudienceMalformed)),
        (json!(5), Some(ClaimFault::AudienceMalformed)),
        (json!(true), Some(ClaimFault::AudienceMalformed)),
        (json!(""), Some(ClaimFault::AudienceUnexpected)),
        (json!("api://default/"), Some(ClaimFault::AudienceUnexpected)),
        (json!("api://defaul"), Some(ClaimFault::AudienceUnexpected)),
        (json!("API://default"), Some(ClaimFault::AudienceUnexpected)),
        (json!("api://default api://second"), Some(ClaimFault::AudienceUnexpected)),
        (json!(["api://other", "api://defaultX"]), Some(ClaimFault::AudienceUnexpected)),
    ] {
        assert_eq!(fault(&json!({ "aud": audience })), expected, "{audience}");
    }
    assert_eq!(fault_of_null("aud"), Some(ClaimFault::AudienceMalformed));
}

#[test]
fn any_audience_is_accepted_if_none_is_expected_unless_malformed() {
    let provider = Provider { audiences: Audiences::InsecureAny, ..provider() };
    // Ory Hydra writes `"aud": []` for a client without audiences.
    for audience in [json!(null), json!([]), json!("anybody"), json!(["a", "b"])] {
        assert_eq!(fault_with(&json!({ "aud": audience }), &provider), None, "{audience}");
    }
    for audience in [json!(5), json!([null]), json!(["a", 1]), json!({})] {
        assert_eq!(
            fault_with(&json!({ "aud": audience }), &provider),
            Some(ClaimFault::AudienceMalformed),
            "{audience}"
        );
    }
    let without_audience = Provider { audiences: Audiences::AnyOf(Vec::new()), ..provider_fixture::provider() };
    assert_eq!(fault_with(&json!({}), &without_audience), Some(ClaimFault::AudienceUnexpected));
}

#[test]
fn token_expires_exactly_at_exp_plus_skew() {
    let end = (NOW_SECS + SKEW_SECS) * 1000;
    let changes = json!({ "exp": NOW_SECS });
    assert_eq!(fault_at(&changes, end - 1), None);
    assert_eq!(fault_at(&changes, end), Some(ClaimFault::Expired));
    assert_eq!(fault_at(&changes, end + 1), Some(ClaimFault::Expired));
    assert_eq!(fault_at(&changes, u64::MAX), Some(ClaimFault::Expired));
    // A fraction of a second is not added.
    let fraction = json!({"exp": 1_700_000_000.9});
    assert_eq!(fault_at(&fraction, end - 1), None);
    assert_eq!(fault_at(&fraction, end), Some(ClaimFault::Expired));

    let strict = Provider { clock_skew: Duration::ZERO, ..provider() };
    let at = |millis| validate_at(&changes, &strict, UnixTime::from_millis(millis)).err();
    assert_eq!(at(NOW_SECS * 1000 - 1), None);
    assert_eq!(at(NOW_SECS * 1000), Some(ClaimFault::Expired));
}

#[test]
fn token_is_valid_exactly_from_nbf_minus_skew() {
    let changes = json!({"nbf": NOW_SECS, "iat": null});
    let begin = (NOW_SECS - SKEW_SECS) * 1000;
    assert_eq!(fault_at(&changes, begin - 1), Some(ClaimFault::NotYetValid));
    assert_eq!(fault_at(&changes, begin), None);
    assert_eq!(fault_at(&changes, 0), Some(ClaimFault::NotYetValid));
    assert_eq!(fault(&json!({"nbf": 253_402_300_799_u64})), Some(ClaimFault::NotYetValid));
}

#[test]
fn token_issued_after_now_plus_skew_is_rejected() {
    let changes = json!({ "iat": NOW_SECS });
    let begin = (NOW_SECS - SKEW_SECS) * 1000;
    assert_eq!(fault_at(&changes, begin - 1), Some(ClaimFault::IssuedInTheFuture));
    assert_eq!(fault_at(&changes, begin), None);
}

#[test]
fn exp_is_required_and_nbf_and_iat_are_optional() {
    assert_eq!(fault(&json!({"exp": null})), Some(ClaimFault::ExpiryMissing));
    assert_eq!(fault(&json!({"exp": null, "EXP": NOW_SECS + 60})), Some(ClaimFault::ExpiryMissing));
    assert_eq!(fault(&json!({"iat": null, "nbf": null})), None);
}

/// CVE-2026-25537: a claim of the wrong type is never treated as absent.
#[test]
fn time_of_wrong_type_or_out_of_range_is_malformed() {
    for name in ["exp", "nbf", "iat"] {
        for value in [
            json!("99999999999"),
            json!("soon"),
            json!(""),
            json!(true),
            json!(false),
            json!([NOW_SECS]),
            json!({"at": NOW_SECS}),
            json!(-1),
            json!(-0.5),
            json!(253_402_300_800_u64),
            json!(9_007_199_254_740_992_u64),
            json!(9_223_372_036_854_775_808_u64),
            json!(u64::MAX),
            json!(1e308),
        ] {
            assert_eq!(fault(&json!({ name: value })), Some(ClaimFault::TimeMalformed), "{name}: {value}");
        }
        assert_eq!(fault_of_null(name), Some(ClaimFault::TimeMalformed), "{name}: null");
    }
    // Malformed also if the token is expired or not yet valid.
    assert_eq!(fault(&json!({"exp": 1, "nbf": "x"})), Some(ClaimFault::TimeMalformed));
}

#[test]
fn lifetime_limit_is_exact_and_requires_iat() {
    let provider = Provider { max_token_lifetime: Some(Duration::from_secs(3600)), ..provider() };
    for (changes, expected) in [
        (json!({"iat": NOW_SECS, "exp": NOW_SECS + 3600}), None),
        (json!({"iat": NOW_SECS, "exp": NOW_SECS + 3601}), Some(ClaimFault::LifetimeTooLong)),
        (json!({"iat": NOW_SECS - 10, "exp": NOW_SECS + 3591}), Some(ClaimFault::LifetimeTooLong)),
        (json!({"iat": null}), Some(ClaimFault::LifetimeTooLong)),
        (json!({"iat": 0, "exp": NOW_SECS + 1}), Some(ClaimFault::LifetimeTooLong)),
        (json!({"iat": NOW_SECS, "exp": 253_402_300_799_u64}), Some(ClaimFault::LifetimeTooLong)),
        // Issued after its expiry: within the skew in both directions, and below the limit.
        (json!({"iat": NOW_SECS, "exp": NOW_SECS - 1}), None),
    ] {
        assert_eq!(fault_with(&changes, &provider), expected, "{changes}");
    }
    assert_eq!(fault(&json!({"exp": 253_402_300_799_u64})), None, "no limit is configured");
}

#[test]
fn sender_constrained_token_is_rejected() {
    for cnf in [
        json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}),
        json!({"x5t#S256": "x"}),
        json!({}),
        json!("x"),
        json!(false),
    ] {
        assert_eq!(fault(&json!({ "cnf": cnf })), Some(ClaimFault::SenderConstrained), "{cnf}");
    }
    assert_eq!(fault_of_null("cnf"), Some(ClaimFault::SenderConstrained));
}

#[test]
fn identity_claim_of_wrong_type_is_malformed() {
    for (name, values) in [
        ("sub", vec![json!(5), json!(true), json!(["alice"]), json!({})]),
        ("cid", vec![json!(5), json!(["0oa1"]), json!({})]),
        ("scp", vec![json!(5), json!({}), json!(["a", 1]), json!(["a b"]), json!([""]), json!([["a"]]), json!(true)]),
        // The list of revoked tokens could not identify such a token.
        ("jti", vec![json!(5), json!(true), json!(["AT.abc"]), json!({}), json!([])]),
    ] {
        for value in values {
            assert_eq!(fault(&json!({ name: value })), Some(ClaimFault::IdentityMalformed), "{name}: {value}");
        }
        assert_eq!(fault_of_null(name), None, "{name}: null is how serializers write an absent member");
    }
    // The first name present is used, even if it is malformed and the next is not.
    assert_eq!(fault(&json!({"cid": 5, "client_id": "0oa1"})), Some(ClaimFault::IdentityMalformed));
    assert_eq!(fault(&json!({"scp": 5, "scope": "a"})), Some(ClaimFault::IdentityMalformed));
    assert_eq!(fault(&json!({"cid": null, "azp": 5})), Some(ClaimFault::IdentityMalformed));
}

#[test]
fn identity_claims_may_be_absent() {
    let token = validate_at(&json!({"sub": null, "cid": null, "scp": null}), &provider(), NOW).unwrap();
    assert_eq!((token.subject(), token.client()), (None, None));
    assert!(token.scopes().is_empty());
}

#[test]
fn identity_claim_names_are_configurable() {
    let claim_names = ClaimNames {
        subject: "uid".to_owned(),
        client: vec!["app".to_owned()],
        scope: vec!["permissions".to_owned()],
        ..ClaimNames::default()
    };
    let provider = Provider { claim_names, ..provider() };
    let token = validate_at(&json!({"app": "web", "permissions": ["p"]}), &provider, NOW).unwrap();
    assert_eq!((token.subject(), token.client()), (Some("00u1"), Some("web")));
    assert_eq!(token.scopes(), ["p"]);
    // A claim under an unused name may have any type.
    assert_eq!(fault_with(&json!({"sub": 5, "cid": 5, "scp": 5}), &provider), None);
}

#[test]
fn only_configured_clients_are_accepted() {
    let provider = Provider { client_ids: Some(vec!["0oa1".to_owned(), "0oa2".to_owned()]), ..provider() };
    for (changes, expected) in [
        (json!({}), None),
        (json!({"cid": "0oa2"}), None),
        (json!({"cid": null, "client_id": "0oa1"}), None),
        (json!({"cid": null, "azp": "0oa1"}), None),
        (json!({"cid": null, "client_id": "other", "azp": "0oa1"}), Some(ClaimFault::ClientUnexpected)),
        (json!({"cid": "other", "client_id": "0oa1"}), Some(ClaimFault::ClientUnexpected)),
        (json!({"cid": "0OA1"}), Some(ClaimFault::ClientUnexpected)),
        (json!({"cid": "0oa"}), Some(ClaimFault::ClientUnexpected)),
        (json!({"cid": "0oa1 "}), Some(ClaimFault::ClientUnexpected)),
        (json!({"cid": ""}), Some(ClaimFault::ClientUnexpected)),
        (json!({"cid": null}), Some(ClaimFault::ClientUnexpected)),
        (json!({"cid": null, "CID": "0oa1"}), Some(ClaimFault::ClientUnexpected)),
    ] {
        assert_eq!(fault_with(&changes, &provider), expected, "{changes}");
    }
    let without_client = Provider { client_ids: Some(Vec::new()), ..provider_fixture::provider() };
    assert_eq!(fault_with(&json!({}), &without_client), Some(ClaimFault::ClientUnexpected));
}

#[test]
fn groups_are_read_from_the_providers_claim_and_malformed_groups_are_accepted() {
    let nested = ClaimNames {
        groups: ["realm_access".to_owned(), "roles".to_owned()].into_iter().collect(),
        ..ClaimNames::default()
    };
    let nested = Provider { claim_names: nested, ..provider() };
    let changes = json!({"groups": ["a"], "realm_access": {"roles": ["b", "c"]}});
    assert_eq!(validate_at(&changes, &provider(), NOW).unwrap().groups(), Claim::Valid(vec!["a"]));
    assert_eq!(validate_at(&changes, &nested, NOW).unwrap().groups(), Claim::Valid(vec!["b", "c"]));
    assert_eq!(validate_at(&json!({}), &provider(), NOW).unwrap().groups(), Claim::Absent);
    assert_eq!(validate_at(&json!({"groups": 5}), &provider(), NOW).unwrap().groups(), Claim::Malformed);
}
