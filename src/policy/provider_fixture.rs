//! A provider, its claims and its active tokens, for unit tests.

use std::time::Duration;

use serde_json::{Value, json};

use crate::jose::signing_fixture::TestKey;
use crate::jose::{ActiveToken, Algorithm, IntrospectedToken};
use crate::policy::dpop::NonceMode;
use crate::policy::{Audiences, ClaimNames, Dpop, KeyOrigin, Provider, PublicOrigin, SenderConstraint};
use crate::unix_time::UnixTime;

pub(crate) const NOW_SECS: u64 = 1_700_000_000;
pub(crate) const NOW: UnixTime = UnixTime::from_secs(NOW_SECS);
pub(crate) const ISSUER: &str = "https://acme.okta.com/oauth2/default";
pub(crate) const AUDIENCE: &str = "api://default";
pub(crate) const SKEW_SECS: u64 = 30;

pub(crate) fn provider() -> Provider {
    Provider {
        name: "okta".into(),
        issuer: ISSUER.into(),
        additional_issuers: Vec::new(),
        is_okta: true,
        audiences: Audiences::AnyOf(vec![AUDIENCE.to_owned(), "api://second".to_owned()]),
        algorithms: vec![Algorithm::Es256],
        clock_skew: Duration::from_secs(SKEW_SECS),
        client_ids: None,
        max_token_lifetime: None,
        sender_constraint: SenderConstraint::default(),
        accept_nonce: false,
        claim_names: ClaimNames::default(),
        keys: KeyOrigin::Inline(TestKey::P256.key_set()),
        introspection: None,
    }
}

/// DPoP for `https://api.acme.com`, without nonces.
pub(crate) fn dpop(is_required: bool) -> Dpop {
    Dpop {
        is_required,
        algorithms: vec![Algorithm::Es256],
        max_age: Duration::from_secs(60),
        nonce: NonceMode::Off,
        origins: vec![PublicOrigin::parse("https://api.acme.com").unwrap()],
    }
}

/// The claims with `changes`. A change to `null` removes the claim.
pub(crate) fn changed(mut claims: Value, changes: &Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

/// A token that its introspection endpoint reports as active, with these claims.
pub(crate) fn active(claims: &Value) -> ActiveToken {
    let members = changed(claims.clone(), &json!({ "active": true }));
    match IntrospectedToken::read(members.to_string().as_bytes()).unwrap() {
        IntrospectedToken::Active(token) => token,
        IntrospectedToken::Inactive => panic!("the response is active"),
    }
}
