//! One provider and its endpoint for the tests of this room.

use std::num::NonZeroU32;
use std::time::Duration;

use serde_json::{Value, json};

use crate::jose::signing_fixture::TestKey;
use crate::jose::{ActiveToken, Algorithm, IntrospectedToken};
use crate::policy::{
    Audiences, CalloutAddress, ClaimNames, ClientAuthentication, Introspection, IntrospectionAddress, KeyOrigin,
    OpaqueTokens, Provider,
};
use crate::redacted::Redacted;
use crate::unix_time::UnixTime;

pub(crate) const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);
pub(crate) const ISSUER: &str = "https://acme.okta.com/oauth2/default";

pub(crate) fn provider() -> Provider {
    Provider {
        name: "okta".into(),
        issuer: ISSUER.into(),
        additional_issuers: Vec::new(),
        audiences: Audiences::AnyOf(vec!["api://default".to_owned()]),
        algorithms: vec![Algorithm::Es256],
        clock_skew: Duration::from_secs(30),
        client_ids: None,
        max_token_lifetime: None,
        accept_nonce: false,
        claim_names: ClaimNames::default(),
        keys: KeyOrigin::Inline(TestKey::P256.key_set()),
        introspection: None,
    }
}

pub(crate) fn client(client_id: &str) -> ClientAuthentication {
    ClientAuthentication::SecretBasic {
        client_id: client_id.to_owned(),
        secret: Redacted::new(String::from("hunter2")),
    }
}

pub(crate) fn settings() -> Introspection {
    Introspection {
        address: IntrospectionAddress::Known(
            CalloutAddress::parse(&format!("{ISSUER}/v1/introspect"), "okta").unwrap(),
        ),
        client: client("0oaGateway"),
        cache_ttl: Duration::from_secs(30),
        inactive_cache_ttl: Duration::from_secs(5),
        timeout: Duration::from_secs(2),
        requests_per_minute: NonZeroU32::new(600).unwrap(),
        stale_if_error: Duration::ZERO,
        opaque_tokens: OpaqueTokens::Accepted,
    }
}

/// An answer as Okta gives it, with `changes` to it; a change to null takes the member away.
pub(crate) fn answer(changes: &Value) -> Vec<u8> {
    let mut members = json!({
        "active": true, "token_type": "Bearer", "scope": "openid orders:read", "client_id": "0oa1", "username": "alice@acme.com",
        "sub": "alice@acme.com", "iss": ISSUER, "aud": "api://default", "jti": "AT.1", "uid": "00u1",
        "iat": NOW.as_secs() - 60, "nbf": NOW.as_secs() - 60, "exp": NOW.as_secs() + 3600,
    });
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            members.as_object_mut().unwrap().remove(name);
        } else {
            members[name] = value.clone();
        }
    }
    members.to_string().into_bytes()
}

/// A token of which its endpoint says this and that it is active.
pub(crate) fn active(claims: &Value) -> ActiveToken {
    let mut members = claims.clone();
    members["active"] = json!(true);
    match IntrospectedToken::read(members.to_string().as_bytes()).unwrap() {
        IntrospectedToken::Active(token) => token,
        IntrospectedToken::Inactive => panic!("said to be active"),
    }
}
