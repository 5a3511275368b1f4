//! An introspection endpoint, for unit tests.

use std::num::NonZeroU32;
use std::time::Duration;

use serde_json::{Value, json};

use crate::policy::{CalloutAddress, ClientAuthentication, EndpointAddress, Introspection, OpaqueTokens};
use crate::redacted::Redacted;

pub(crate) use crate::policy::provider_fixture::{ISSUER, NOW, active, provider};

pub(crate) fn client(client_id: &str) -> ClientAuthentication {
    ClientAuthentication::SecretBasic {
        client_id: client_id.to_owned(),
        secret: Redacted::new(String::from("hunter2")),
    }
}

pub(crate) fn settings() -> Introspection {
    Introspection {
        address: EndpointAddress::Known(CalloutAddress::parse(&format!("{ISSUER}/v1/introspect"), "okta").unwrap()),
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
