//! The introspection settings of a provider (RFC 7662) and the source of the list of revoked tokens.

use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use super::callout_address::CalloutAddress;
use super::issuer_metadata::EndpointAddress;
use crate::jose::{PrivateKey, SignedBy};
use crate::redacted::Redacted;

/// The introspection settings of a provider.
#[derive(Clone, Debug)]
pub struct Introspection {
    pub address: EndpointAddress,
    /// How the filter authenticates to the endpoint.
    pub client: ClientAuthentication,
    /// How long an active response is cached, unless the token's `exp` is earlier. A revoked token may be accepted this
    /// long.
    pub cache_ttl: Duration,
    /// How long an inactive response is cached.
    pub inactive_cache_ttl: Duration,
    /// The timeout of one call, and so how long a request waits for it.
    pub timeout: Duration,
    /// How many calls all workers of this gateway may make per minute.
    pub requests_per_minute: NonZeroU32,
    /// How long after `cache_ttl` the last active response is used if the endpoint fails.
    pub stale_if_error: Duration,
    /// Whether opaque tokens are introspected here.
    pub opaque_tokens: OpaqueTokens,
}

/// Whether tokens without an issuer belong to this provider. At most one provider accepts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpaqueTokens {
    /// They belong to this provider.
    Accepted,
    /// Only the provider's JWTs are introspected, if a rule requires it.
    Rejected,
}

/// Client authentication at the endpoint (RFC 6749 section 2.3.1, RFC 7523 section 2.2).
#[derive(Clone, Debug)]
pub enum ClientAuthentication {
    SecretBasic {
        client_id: String,
        secret: Redacted<String>,
    },
    SecretPost {
        client_id: String,
        secret: Redacted<String>,
    },
    PrivateKeyJwt {
        client_id: String,
        /// The key that signs the assertion.
        key: Rc<PrivateKey>,
    },
}

impl ClientAuthentication {
    pub fn client_id(&self) -> &str {
        match self {
            Self::SecretBasic { client_id, .. }
            | Self::SecretPost { client_id, .. }
            | Self::PrivateKeyJwt { client_id, .. } => client_id,
        }
    }

    /// The key, if only the host can sign with it.
    pub fn host_key(&self) -> Option<&PrivateKey> {
        match self {
            Self::PrivateKeyJwt { key, .. } if key.signed_by() == SignedBy::Host => Some(key),
            Self::PrivateKeyJwt { .. } | Self::SecretBasic { .. } | Self::SecretPost { .. } => None,
        }
    }
}

/// A list of revoked tokens that is polled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationSource {
    /// The address of the document.
    pub address: CalloutAddress,
    pub refresh: Duration,
    /// The timeout of one poll.
    pub timeout: Duration,
}
