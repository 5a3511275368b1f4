//! A provider and its active tokens, for unit tests.

use std::time::Duration;

use serde_json::{Value, json};

use crate::jose::signing_fixture::TestKey;
use crate::jose::{ActiveToken, Algorithm, IntrospectedToken};
use crate::policy::{Audiences, ClaimNames, KeyOrigin, Provider};
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

/// A token of which its endpoint says this and that it is active.
pub(crate) fn active(claims: &Value) -> ActiveToken {
    let mut members = claims.clone();
    members["active"] = json!(true);
    match IntrospectedToken::read(members.to_string().as_bytes()).unwrap() {
        IntrospectedToken::Active(token) => token,
        IntrospectedToken::Inactive => panic!("said to be active"),
    }
}
