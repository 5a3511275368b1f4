//! The schema of `introspection` and `revocations`. The document never contains a secret, only the variable that holds it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::config::decode::{Decode, document, expect, string_enum};
use crate::config::error::{ConfigError, ConfigErrorKind, Path};

document! {
    /// Token introspection (RFC 7662).
    IntrospectionDocument {
        /// The endpoint. Default: Okta's, with the preset; otherwise the one in the issuer's metadata, which must be on the
        /// issuer's own host.
        uri: String,
        /// The id of a client that may introspect.
        client_id: String,
        /// `client_secret_basic`, `client_secret_post` or `private_key_jwt`. Default: `client_secret_basic`.
        client_auth: ClientAuth,
        /// The variable that holds the client's secret: `{"env": "NAME"}`. Not with `private_key_jwt`.
        client_secret: Secret,
        /// The variable that holds the client's private key, PKCS#8 in PEM or a JWK, RSA or P-256. With `private_key_jwt` only.
        private_key: Secret,
        /// The `kid` of the key at the issuer. Default: the one in the JWK, or none.
        key_id: String,
        /// How long an active response is cached: a revoked token is accepted for that long. At most `"1h"`. Default: `"30s"`.
        cache_ttl: Duration,
        /// How long an inactive response is cached. At most `"1m"`. Default: `"5s"`.
        inactive_cache_ttl: Duration,
        /// The timeout of a call, and of a request that waits for it. Default: `"2s"`.
        timeout: Duration,
        /// The limit of calls per minute, for all workers of the process together. A lower limit that the server states
        /// replaces it. Half of the limit of the smallest Okta organisation unless written. Default: 150.
        requests_per_minute: u32,
        /// How long after `cache_ttl` a cached active response is used while the endpoint is unavailable. At most `"1h"`.
        /// Default: `"0s"`.
        stale_if_error: Duration,
        /// Whether opaque tokens, which are not JWTs, are introspected at this issuer. Default: `true` where no other provider
        /// has `introspection`.
        opaque_tokens: bool,
    }
}

document! {
    /// A reference to a secret.
    SecretDocument {
        /// The name of an environment variable, in upper case; Envoy passes those that `vm_config` lists.
        env: String,
    }
}

document! {
    /// A list of revoked tokens, which the filter polls.
    RevocationsDocument {
        /// The `https` URL of the list.
        uri: String,
        /// The upstream of the list: on Envoy the name of a cluster.
        upstream: String,
        /// Header fields of every callout to it, as in `callout_headers` of a provider: `{"authorization": {"env":
        /// "REVOCATIONS_AUTHORIZATION"}}`. Default: none.
        callout_headers: BTreeMap<String, CalloutHeaderValue>,
        /// The polling interval. Default: `"10s"`.
        refresh: Duration,
        /// The timeout of a poll. Default: `"2s"`.
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

/// The value of a header field, or the variable that holds it.
#[derive(Debug)]
pub enum CalloutHeaderValue {
    /// The value.
    Text(String),
    /// The variable that holds it.
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

/// The client authentication at the endpoint.
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

string_enum!(ClientAuth { "client_secret_basic" => SecretBasic, "client_secret_post" => SecretPost, "private_key_jwt" => PrivateKeyJwt });
