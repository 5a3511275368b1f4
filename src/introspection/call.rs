//! Calls to an introspection endpoint: the token, and how a call ends.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::callout::{ResponseFormat, TransportError};
use crate::encoding::hex;
use crate::jose::ResponseFault;
use crate::jose::introspected::MAX_INTROSPECTION_BYTES;
use crate::lookup::rate_limiter::LimitReached;
use crate::lookup::requester::Requester;
use crate::lookup::requester::{BudgetClass, Caller};
use crate::lookup::single_flight;
use crate::policy::{MetadataFault, ValidatedToken};
use crate::redacted::Redacted;

pub use crate::lookup::single_flight::CallNumber;

/// What is read of a response, also of one with a metadata document.
pub const CALL_RESPONSE: ResponseFormat = ResponseFormat {
    headers: &["retry-after", "x-rate-limit-limit", "x-rate-limit-remaining", "x-rate-limit-reset"],
    max_bytes: MAX_INTROSPECTION_BYTES,
};

/// What is known of a token before it is introspected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TokenKind {
    /// Nothing: all claims are in the introspection response.
    Opaque,
    /// A JWT that was verified and validated already; the endpoint only says whether it was revoked.
    Jwt,
}

impl TokenKind {
    /// The class of a token that was never active.
    pub(super) const fn class(self) -> BudgetClass {
        match self {
            Self::Opaque => BudgetClass::Unknown,
            Self::Jwt => BudgetClass::Established,
        }
    }
}

/// The SHA-256 of a token with its kind: what is cached and shared of it. Two tokens never collide, and neither the cache nor
/// the host's shared data lets anybody use the token.
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
        write!(formatter, "TokenDigest({})", hex(self.0.get(..4).unwrap_or_default()))
    }
}

/// The OAuth client that a token was issued to; its subject where it names none.
pub(super) fn requester_of(token: &ValidatedToken) -> Option<Requester> {
    let client = token.client().map(|client| Requester::of(b"client:", client.as_bytes()));
    client.or_else(|| Some(Requester::of(b"subject:", token.subject()?.as_bytes())))
}

/// A call for the host to make. Its request is made once it is known that it will be sent
/// (`ProviderIntrospection::request`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Comes back with the outcome.
    pub number: CallNumber,
    pub purpose: Purpose,
    /// How long it may take.
    pub timeout: Duration,
}

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To discover the endpoint, at the how-many-eth metadata address. Not rate limited and not shared.
    Metadata(usize),
    /// To introspect a token.
    Token {
        digest: TokenDigest,
        /// Which part of the rate limit it may use.
        class: BudgetClass,
        /// Whose share it counts against.
        requester: Option<Requester>,
    },
}

/// A token that is introspected.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) digest: TokenDigest,
    pub(super) kind: TokenKind,
    pub(super) caller: Caller,
    pub(super) text: Redacted<Rc<[u8]>>,
}

impl single_flight::Subject for Subject {
    type Key = TokenDigest;

    fn key(&self) -> TokenDigest {
        self.digest
    }

    fn caller(&self) -> Caller {
        self.caller
    }

    fn bytes(&self) -> usize {
        self.text.reveal().len()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallFault {
    Transport(TransportError),
    /// The endpoint rejects our credentials: 401 or 403.
    CredentialsRefused(u16),
    TooManyRequests,
    Status(u16),
    /// 200, and not an introspection response.
    Response(ResponseFault),
    /// The issuer's metadata does not lead to its endpoint.
    Metadata(MetadataFault),
    /// The host did not sign our assertion.
    NotSigned,
}

/// What a finished call changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallResult {
    Answered,
    /// Another worker shared its response, and no call was made.
    TakenOver,
    /// The endpoint has been found.
    Discovered,
    /// It has not.
    Failed {
        fault: CallFault,
        /// How long no call is made now; zero while it is one failure among others.
        pause: Duration,
    },
    /// Not at its end yet: another metadata address follows with the next calls.
    Continues,
    /// A response that no request waits for any more, or older than what is cached; ignored.
    Late,
}

/// Why a call is not made now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deferral {
    /// Another worker makes it.
    HeldByOther,
    /// The workers have used up their calls.
    LimitReached(LimitReached),
}

impl CallFault {
    /// The stable name of the fault, for logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transport(error) => error.name(),
            Self::CredentialsRefused(_) => "credentials_refused",
            Self::TooManyRequests => "too_many_requests",
            Self::Status(_) => "status",
            Self::Response(ResponseFault::TooLarge) => "too_large",
            Self::Response(ResponseFault::NotAnObject) => "not_json",
            Self::Response(ResponseFault::ActiveMissing) => "not_an_introspection_answer",
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
            Self::Response(ResponseFault::TooLarge) => "an answer this long is none to introspection",
            Self::Response(ResponseFault::NotAnObject | ResponseFault::ActiveMissing) => {
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

    #[test]
    fn digest_covers_every_byte_and_the_kind() {
        let opaque = |token: &str| TokenDigest::of(TokenKind::Opaque, token.as_bytes());
        assert_eq!(opaque("abc"), opaque("abc"));
        for other in ["abC", "abc=", "ab", ""] {
            assert_ne!(opaque("abc"), opaque(other));
        }
        assert_ne!(opaque("abc"), TokenDigest::of(TokenKind::Jwt, b"abc"));
        assert_eq!(format!("{:?}", TokenDigest([0xab; 32])), "TokenDigest(abababab)");
    }
}
