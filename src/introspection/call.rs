//! Calls to an introspection endpoint: what is asked about, how a call can end, and what that is called.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::callout::{ResponseFormat, TransportError};
use crate::introspection::budget::Denied;
use crate::introspection::requester::Requester;
use crate::jose::ResponseFault;
use crate::jose::introspected::MAX_INTROSPECTION_BYTES;
use crate::policy::MetadataFault;
use crate::redacted::Redacted;

/// What is read of a response, also of one with a metadata document.
pub const CALL_RESPONSE: ResponseFormat = ResponseFormat {
    headers: &["retry-after", "x-rate-limit-limit", "x-rate-limit-remaining", "x-rate-limit-reset"],
    max_bytes: MAX_INTROSPECTION_BYTES,
};

/// The how-many-eth call to a provider's endpoint in this VM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallNumber(pub(super) u64);

/// What is known of a token before it is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TokenKind {
    /// Nothing: all that is known is what the endpoint says.
    Opaque,
    /// A JWT that was proved and admitted already; the endpoint only says whether it was revoked.
    Jwt,
}

impl TokenKind {
    /// That of a token that was never asked about.
    pub(super) const fn standing(self) -> Standing {
        match self {
            Self::Opaque => Standing::Unknown,
            Self::Jwt => Standing::Known,
        }
    }
}

/// Whether anybody could have made the token up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// It was active before, or its signature holds: nobody can flood us with such.
    Known,
    /// Any text at all.
    Unknown,
}

/// For whom a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Of the token.
    pub standing: Standing,
    /// Whose share of the calls it counts against; `None`: nobody knows, and it is limited with all others only.
    pub requester: Option<Requester>,
}

impl From<Standing> for Caller {
    fn from(standing: Standing) -> Self {
        Self { standing, requester: None }
    }
}

/// A token by its SHA-256, with its kind: what is remembered and shared of it. Two tokens never meet, and the memory of
/// an answer, here and in the host's shared data, lets nobody use the token.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// The digest of every byte of `token`.
    pub fn of(kind: TokenKind, token: &[u8]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(match kind {
            TokenKind::Opaque => b"opaque:",
            TokenKind::Jwt => b"jwt...:",
        });
        hasher.update(token);
        Self(hasher.finalize().into())
    }

    pub(super) const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(super) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for TokenDigest {
    /// Enough to tell two apart.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(formatter, "TokenDigest({a:02x}{b:02x}{c:02x}{d:02x})")
    }
}

/// A call for the host to make. What is sent is made when it is known that it will be
/// (`ProviderIntrospection::request`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Comes back with the outcome.
    pub number: CallNumber,
    /// What it is for.
    pub purpose: Purpose,
    /// How long it may take.
    pub timeout: Duration,
}

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To find the endpoint, at the how-many-eth metadata address. Costs nothing of the budget and is not shared.
    Metadata(usize),
    /// To ask about a token.
    Token {
        /// Which.
        digest: TokenDigest,
        /// From which part of the budget.
        standing: Standing,
        /// Out of whose share.
        requester: Option<Requester>,
    },
}

/// A token that is asked about.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) digest: TokenDigest,
    pub(super) kind: TokenKind,
    pub(super) caller: Caller,
    pub(super) text: Redacted<Rc<[u8]>>,
}

/// Why a call brought no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallFault {
    /// No response.
    Transport(TransportError),
    /// The endpoint does not take our credentials: 401 or 403.
    CredentialsRefused(u16),
    /// 429
    TooManyRequests,
    /// Another status than 200.
    Status(u16),
    /// 200, and not an introspection answer.
    Answer(ResponseFault),
    /// The issuer's metadata does not lead to its endpoint.
    Metadata(MetadataFault),
    /// The host did not sign our assertion.
    NotSigned,
}

/// What a finished call changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallResult {
    /// The endpoint has said what it knows of the token.
    Answered,
    /// It has said so to another VM, and this one did not ask.
    TakenOver,
    /// The endpoint has been found.
    Discovered,
    /// It has not.
    Failed {
        /// Why.
        fault: CallFault,
        /// How long no call is made now; zero while it is one failure among others.
        pause: Duration,
    },
    /// Not at its end yet: another metadata address follows with the next calls.
    Continues,
    /// An answer that nobody waits for any more, or older than what is held; ignored.
    Late,
}

/// When a call may be made after all that could not be made now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Postponed {
    /// Another VM asks about the same token.
    AskedElsewhere,
    /// The budget of all VMs together is spent for so long.
    BudgetSpent(Duration),
    /// The requester has had its share of the budget of all VMs together for so long.
    ShareSpent(Duration),
    /// The server told another VM that it wants to be left alone for so long.
    Blocked(Duration),
}

impl From<Denied> for Postponed {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Blocked(wait) => Self::Blocked(wait),
            Denied::Spent(wait) => Self::BudgetSpent(wait),
            Denied::ShareSpent(wait) => Self::ShareSpent(wait),
        }
    }
}

impl CallFault {
    /// The stable name of the fault, for logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transport(error) => error.name(),
            Self::CredentialsRefused(_) => "credentials_refused",
            Self::TooManyRequests => "too_many_requests",
            Self::Status(_) => "status",
            Self::Answer(ResponseFault::TooLarge) => "too_large",
            Self::Answer(ResponseFault::NotAnObject) => "not_json",
            Self::Answer(ResponseFault::NotAnAnswer) => "not_an_introspection_answer",
            Self::Metadata(MetadataFault::Malformed) => "no_metadata",
            Self::Metadata(MetadataFault::IssuerMismatch) => "metadata_issuer_mismatch",
            Self::Metadata(MetadataFault::NoAddress) => "metadata_without_introspection_endpoint",
            Self::Metadata(MetadataFault::ForeignAddress) => "metadata_introspection_endpoint_foreign",
            Self::NotSigned => "assertion_not_signed",
        }
    }

    /// Where to look first.
    pub const fn hint(self) -> &'static str {
        match self {
            Self::Transport(TransportError::TimedOut) => "no answer within introspection.timeout",
            Self::Transport(error) => error.hint(),
            Self::CredentialsRefused(_) => {
                "the endpoint refuses this gateway: look at introspection.client_id, its secret or key, and client_auth"
            }
            Self::TooManyRequests => "over the server's rate limit: lower introspection.requests_per_minute",
            Self::Status(_) => "an answer other than 200; redirects are not followed",
            Self::Answer(ResponseFault::TooLarge) => "an answer this long is none to introspection",
            Self::Answer(ResponseFault::NotAnObject | ResponseFault::NotAnAnswer) => {
                "the answer is none to introspection: look at introspection.uri"
            }
            Self::Metadata(MetadataFault::Malformed) => {
                "neither /.well-known address of the issuer answers with its metadata; write introspection.uri"
            }
            Self::Metadata(MetadataFault::IssuerMismatch) => {
                "the metadata describes another issuer: `issuer` must be written exactly as there"
            }
            Self::Metadata(MetadataFault::NoAddress) => {
                "the metadata has no introspection_endpoint; write introspection.uri"
            }
            Self::Metadata(MetadataFault::ForeignAddress) => {
                "the metadata's introspection_endpoint is not https on the issuer's own host; write introspection.uri, with its upstream"
            }
            Self::NotSigned => "the host did not sign the client assertion",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test(unsupported = test)]
    fn a_digest_is_of_every_byte_and_of_the_kind() {
        let opaque = |token: &str| TokenDigest::of(TokenKind::Opaque, token.as_bytes());
        assert_eq!(opaque("abc"), opaque("abc"));
        for other in ["abC", "abc=", "ab", ""] {
            assert_ne!(opaque("abc"), opaque(other));
        }
        assert_ne!(opaque("abc"), TokenDigest::of(TokenKind::Jwt, b"abc"));
        assert_eq!(format!("{:?}", TokenDigest([0xab; 32])), "TokenDigest(abababab)");
    }
}
