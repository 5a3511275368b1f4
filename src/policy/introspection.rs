//! How one provider is asked about tokens (RFC 7662), and where revocations are listed: compiled, immutable.

use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use super::callout_address::CalloutAddress;
use super::provider::Discovery;
use crate::jose::{PrivateKey, SignedBy};
use crate::redacted::Redacted;

/// How tokens are introspected at one provider.
#[derive(Clone, Debug)]
pub struct Introspection {
    /// The endpoint.
    pub address: IntrospectionAddress,
    /// Who asks.
    pub client: ClientAuthentication,
    /// How long an active answer serves; its token's `exp` may shorten that. So long a revoked token may go on.
    pub cache_ttl: Duration,
    /// How long a token that was refused is refused without asking again.
    pub inactive_cache_ttl: Duration,
    /// How long one call may take, and so how long a request waits for it.
    pub timeout: Duration,
    /// How many calls this gateway may make in any minute, all its workers together.
    pub requests_per_minute: NonZeroU32,
    /// How long past `cache_ttl` the last active answer serves when no other is to be had.
    pub stale_if_error: Duration,
    /// Whose tokens are asked about.
    pub opaque_tokens: OpaqueTokens,
}

/// Whether tokens that name no issuer are this provider's. At most one provider takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpaqueTokens {
    /// All of them are.
    Taken,
    /// None: only its JWTs are asked about, where a rule wants that.
    Refused,
}

/// Where the endpoint is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IntrospectionAddress {
    /// The operator says where, or the Okta preset knows.
    Known(CalloutAddress),
    /// The issuer's metadata says (`introspection_endpoint`), within the issuer's own host.
    Discovered(Discovery),
}

/// How the endpoint is told who asks (RFC 6749 section 2.3.1, RFC 7523 section 2.2).
#[derive(Clone, Debug)]
pub enum ClientAuthentication {
    /// `client_secret_basic`
    SecretBasic {
        /// `client_id`
        client_id: String,
        /// `client_secret`
        secret: Redacted<String>,
    },
    /// `client_secret_post`
    SecretPost {
        /// `client_id`
        client_id: String,
        /// `client_secret`
        secret: Redacted<String>,
    },
    /// `private_key_jwt`
    PrivateKeyJwt {
        /// `client_id`
        client_id: String,
        /// What the assertion is signed with.
        key: Rc<PrivateKey>,
    },
}

impl ClientAuthentication {
    /// `client_id`
    pub fn client_id(&self) -> &str {
        match self {
            Self::SecretBasic { client_id, .. }
            | Self::SecretPost { client_id, .. }
            | Self::PrivateKeyJwt { client_id, .. } => client_id,
        }
    }

    /// The key that only the host can sign with, if it is one.
    pub fn key_of_host(&self) -> Option<&PrivateKey> {
        match self {
            Self::PrivateKeyJwt { key, .. } if key.signed_by() == SignedBy::Host => Some(key),
            Self::PrivateKeyJwt { .. } | Self::SecretBasic { .. } | Self::SecretPost { .. } => None,
        }
    }
}

/// A list of revoked tokens that is polled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationSource {
    /// The document.
    pub address: CalloutAddress,
    /// How often it is asked for.
    pub refresh: Duration,
    /// How long that may take.
    pub timeout: Duration,
}
