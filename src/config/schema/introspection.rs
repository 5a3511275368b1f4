//! `introspection` and `revocations` as the operator writes them: how an issuer is asked about tokens, and where the
//! revoked ones are listed. A secret is never written here, only where it is found.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::config::decode::{Decode, StringEnum, decode_enum, document, expect};
use crate::config::error::{ConfigError, ConfigErrorKind, Path};

document! {
    /// How the issuer is asked about tokens (RFC 7662).
    IntrospectionDocument {
        /// The endpoint. Default: Okta's, with the preset; otherwise what the issuer's metadata names, which must be on
        /// the issuer's own host.
        uri: String,
        /// Who asks: the id of a client that the issuer lets introspect.
        client_id: String,
        /// `client_secret_basic`, `client_secret_post` or `private_key_jwt`. Default: `client_secret_basic`.
        client_auth: ClientAuth,
        /// Where the client's secret is: `{"env": "NAME"}`. Not with `private_key_jwt`.
        client_secret: Secret,
        /// Where the client's private key is, PKCS#8 in PEM or a JWK, RSA or P-256. With `private_key_jwt` only.
        private_key: Secret,
        /// The `kid` that the issuer knows the key by. Default: the one in the JWK, or none.
        key_id: String,
        /// How long an active answer serves: so long a revoked token may go on. At most `"1h"`. Default: `"30s"`.
        cache_ttl: Duration,
        /// How long a token that was refused is refused without asking again. At most `"1m"`. Default: `"5s"`.
        inactive_cache_ttl: Duration,
        /// How long a call may take, and a request wait for it. Default: `"2s"`.
        timeout: Duration,
        /// How many calls may be made in any minute, by all workers of the process together. Default: 150,
        /// half of the limit of the smallest Okta organisation. A lower limit that the server states replaces it.
        requests_per_minute: u32,
        /// How long past `cache_ttl` the last active answer serves when no other is to be had. At most `"1h"`. Default:
        /// `"0s"`, never.
        stale_if_error: Duration,
        /// Whether tokens that are no JWTs are this issuer's. Default: `true` where no other provider has
        /// `introspection`.
        opaque_tokens: bool,
    }
}

document! {
    /// Where a secret is found.
    SecretDocument {
        /// The name of an environment variable, in capitals; Envoy passes on those that `vm_config` names.
        env: String,
    }
}

document! {
    /// A list of revoked tokens that is polled.
    RevocationsDocument {
        /// The list, an `https` URL.
        uri: String,
        /// The host's name for the connection to it: on Envoy a cluster.
        upstream: String,
        /// Header fields of every callout to it, as `callout_headers` of a provider: `{"authorization": {"env":
        /// "REVOCATIONS_AUTHORIZATION"}}`. Default: none.
        callout_headers: BTreeMap<String, CalloutHeaderValue>,
        /// How often it is asked for. Default: `"10s"`.
        refresh: Duration,
        /// How long that may take. Default: `"2s"`.
        timeout: Duration,
    }
}

/// A secret by reference.
#[derive(Debug)]
pub struct Secret(pub SecretDocument);

impl Decode for Secret {
    fn decode(value: &Value, at: &Path, errors: &mut Vec<ConfigError>) -> Option<Self> {
        if value.is_string() {
            errors.push(at.error(ConfigErrorKind::Invalid(
                "a secret is not written here, but where it is found: {\"env\": \"OKTA_CLIENT_SECRET\"}; change the one that was",
            )));
            return None;
        }
        SecretDocument::decode(value, at, errors).map(Self)
    }
}

/// The value of a header field: as it is, or where the secret is found.
#[derive(Debug)]
pub enum CalloutHeaderValue {
    /// The value.
    Text(String),
    /// Where it is.
    Secret(Secret),
}

impl Decode for CalloutHeaderValue {
    fn decode(value: &Value, at: &Path, errors: &mut Vec<ConfigError>) -> Option<Self> {
        match value {
            Value::String(text) => Some(Self::Text(text.clone())),
            Value::Object(_) => Secret::decode(value, at, errors).map(Self::Secret),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
                expect(None, "a string, or where a secret is found: {\"env\": \"NAME\"}", at, errors)
            }
        }
    }
}

/// How the endpoint is told who asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// The secret in `Authorization`.
    #[default]
    SecretBasic,
    /// The secret in the body.
    SecretPost,
    /// An assertion that is signed with the private key.
    PrivateKeyJwt,
}

impl StringEnum for ClientAuth {
    const VARIANTS: &'static [(&'static str, Self)] = &[
        ("client_secret_basic", Self::SecretBasic),
        ("client_secret_post", Self::SecretPost),
        ("private_key_jwt", Self::PrivateKeyJwt),
    ];
    const EXPECTED: &'static str = "one of \"client_secret_basic\", \"client_secret_post\", \"private_key_jwt\"";
}

impl Decode for ClientAuth {
    fn decode(value: &Value, at: &Path, errors: &mut Vec<ConfigError>) -> Option<Self> {
        decode_enum(value, at, errors)
    }
}
