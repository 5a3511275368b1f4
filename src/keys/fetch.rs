//! Fetches of keys: what to fetch, and how a fetch ends.

use std::time::Duration;

use crate::callout::{ResponseFormat, TransportError};
use crate::jose::KeySetFault;
use crate::jose::jwk::MAX_KEY_SET_BYTES;
use crate::policy::CalloutAddress;
use crate::sequence::Sequence;

pub use crate::jose::jwk::MAX_KEYS;
pub use crate::policy::MetadataFault;
pub use crate::randomness::Jitter;

/// What is read of a response.
pub const KEY_RESPONSE: ResponseFormat = ResponseFormat { headers: &["cache-control"], max_bytes: MAX_KEY_SET_BYTES };

/// The how-many-eth fetch of a provider's keys in this worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchNumber(pub(super) u64);

/// Why a fetch is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchCause {
    /// There are no keys, or those held want refreshing.
    Due,
    /// A token named a key that the set held does not have: such fetches are limited, in the whole process.
    UnknownKeyId,
    /// The signature of a token fails with the keys held, one of which may have been replaced. Such fetches share the limit of
    /// those for unknown key ids, and leave one to them.
    SignatureInvalid,
}

/// One callout to make on the way to a provider's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFetch {
    /// Which fetch it belongs to; comes back with its outcome.
    pub number: FetchNumber,
    pub address: CalloutAddress,
    /// How long it may take.
    pub timeout: Duration,
    pub cause: FetchCause,
    /// Its number in the process, as far as this worker knows; the number in the lease counts.
    pub sequence: Sequence,
    /// How long it takes until one more fetch for an unknown key id or a failed signature is allowed.
    pub cooldown: Duration,
}

/// Why a fetch brought no keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FetchFault {
    Transport(TransportError),
    Status(u16),
    /// Not a key set that can be used.
    KeySet(KeySetFault),
    /// The issuer's metadata does not lead to its keys.
    Metadata(MetadataFault),
    /// Another worker's fetch failed; its log says why.
    Elsewhere,
}

/// What a finished fetch changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchResult {
    /// A new set is held: so many keys, so many skipped as unusable.
    Replaced {
        /// Keys that can be used.
        usable: usize,
        /// Keys that cannot.
        skipped: usize,
        /// Whether other keys than these were held.
        is_other: bool,
        /// Whether this worker fetched it, or another one.
        fetched_here: bool,
    },
    /// Nothing changed; the next attempt is so far off.
    Failed {
        fault: FetchFault,
        /// When it is tried again.
        retry_in: Duration,
    },
    /// Not at its end yet: another callout follows.
    Continues,
    /// A response that no request waits for any more, or that is older than the set held; ignored.
    Late,
}

impl FetchResult {
    /// The same of a fetch that this worker made.
    #[must_use]
    pub(super) const fn of_own_fetch(self) -> Self {
        match self {
            Self::Replaced { usable, skipped, is_other, .. } => {
                Self::Replaced { usable, skipped, is_other, fetched_here: true }
            }
            Self::Failed { .. } | Self::Continues | Self::Late => self,
        }
    }
}

impl FetchFault {
    /// The stable name of the fault, for logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transport(error) => error.name(),
            Self::KeySet(KeySetFault::TooLarge) => "too_large",
            Self::Status(_) => "status",
            Self::KeySet(KeySetFault::Malformed) => "not_a_key_set",
            Self::KeySet(KeySetFault::NoUsableKey) => "no_usable_key",
            Self::Metadata(MetadataFault::Malformed) => "no_metadata",
            Self::Metadata(MetadataFault::IssuerMismatch) => "metadata_issuer_mismatch",
            Self::Metadata(MetadataFault::NoAddress) => "metadata_without_key_address",
            Self::Metadata(MetadataFault::ForeignAddress) => "metadata_key_address_foreign",
            Self::Elsewhere => "failed_in_another_worker",
        }
    }

    /// Where to look first.
    pub const fn hint(self) -> &'static str {
        match self {
            Self::Transport(TransportError::TimedOut) => "no answer within jwks.timeout",
            Self::Transport(error) => error.hint(),
            Self::KeySet(KeySetFault::TooLarge) => "an answer of more than 1 MiB: look at the path of jwks.uri",
            Self::Status(_) => "an answer other than 200; redirects are not followed",
            Self::KeySet(KeySetFault::Malformed) => "the answer is no key set: look at the path of jwks.uri",
            Self::KeySet(KeySetFault::NoUsableKey) => "no key in the set can verify signatures",
            Self::Metadata(MetadataFault::Malformed) => {
                "neither /.well-known address of the issuer answers with its metadata; write jwks.uri"
            }
            Self::Metadata(MetadataFault::IssuerMismatch) => {
                "the metadata describes another issuer: `issuer` must be written exactly as there"
            }
            Self::Metadata(MetadataFault::NoAddress) => "the metadata has no jwks_uri; write jwks.uri",
            Self::Metadata(MetadataFault::ForeignAddress) => {
                "the metadata's jwks_uri is not https on the issuer's own host; write jwks.uri, with its upstream"
            }
            Self::Elsewhere => "the worker that fetched for all logs why",
        }
    }
}
