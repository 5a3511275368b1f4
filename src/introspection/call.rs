//! Calls to an introspection endpoint: what is asked about, how a call can end, and what that is called.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::introspection::budget::Denied;
use crate::introspection::requester::Requester;
use crate::jose::ResponseFault;
use crate::jose::introspected::MAX_INTROSPECTION_BYTES;
use crate::policy::MetadataFault;
use crate::redacted::Redacted;
use crate::unix_time::UnixTime;

/// The longest answer that is worth reading; a metadata document has the same room.
pub const MAX_ANSWER_BYTES: usize = MAX_INTROSPECTION_BYTES;

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

/// How a call ended, as the host saw it.
#[derive(Clone, PartialEq, Eq)]
pub enum CallOutcome {
    /// An HTTP response arrived.
    Response {
        /// Its status.
        status: u16,
        /// Its `Retry-After`.
        retry_after: Option<String>,
        /// What it says of the server's rate limit.
        rate_limit: RateLimitFields,
        /// Its body.
        body: Vec<u8>,
    },
    /// None did.
    Failed(CallFault),
}

impl fmt::Debug for CallOutcome {
    /// Without the body: it describes a person.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Response { status, body, .. } => write!(formatter, "Response({status}, {} bytes)", body.len()),
            Self::Failed(fault) => write!(formatter, "Failed({fault:?})"),
        }
    }
}

/// The fields with which Okta tells its rate limit, as they were sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RateLimitFields {
    /// `X-Rate-Limit-Limit`: the requests that are allowed in a minute.
    pub limit: Option<String>,
    /// `X-Rate-Limit-Remaining`: those that are left.
    pub remaining: Option<String>,
    /// `X-Rate-Limit-Reset`: when all of them are again, in seconds after the epoch.
    pub reset: Option<String>,
}

/// Why a call brought no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallFault {
    /// The host knows no upstream of that name.
    UpstreamUnknown,
    /// The upstream has no endpoint that could be asked: DNS, health, circuit breaker.
    UpstreamUnavailable,
    /// No connection came about: refused, unreachable, or TLS failed.
    ConnectionFailed,
    /// The connection was closed before an answer came.
    ConnectionClosed,
    /// Nothing came in time.
    TimedOut,
    /// The answer broke off, or was longer than the host holds.
    Incomplete,
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

/// Something that ends at a time, if the clock is not set back before it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: UnixTime,
    pub(super) until: UnixTime,
}

/// Clocks are corrected by less than this without anybody having set them back.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(1);

impl Span {
    /// Whether it still lasts. When the clock was set back nobody can tell, and it does not.
    pub(super) fn contains(self, now: UnixTime) -> bool {
        now < self.until && self.from.since(now) <= CLOCK_TOLERANCE
    }
}

impl CallFault {
    /// The stable name of the fault, for logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UpstreamUnknown => "upstream_unknown",
            Self::UpstreamUnavailable => "upstream_unavailable",
            Self::ConnectionFailed => "connection_failed",
            Self::ConnectionClosed => "connection_closed",
            Self::TimedOut => "timed_out",
            Self::Incomplete => "incomplete",
            Self::CredentialsRefused(_) => "credentials_refused",
            Self::TooManyRequests => "too_many_requests",
            Self::Status(_) => "status",
            Self::Answer(ResponseFault::TooLarge) => "too_large",
            Self::Answer(ResponseFault::NotAnObject) => "not_json",
            Self::Answer(ResponseFault::ActiveMissing) => "not_an_introspection_answer",
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
            Self::UpstreamUnknown => "the host has no upstream (cluster) of the configured name",
            Self::UpstreamUnavailable => {
                "the upstream has no endpoint: look at its DNS name, health checks and circuit breakers"
            }
            Self::ConnectionFailed => {
                "no connection to the upstream: refused, unreachable, or TLS failed (Envoy's stats of the cluster tell which)"
            }
            Self::ConnectionClosed => "the server closed the connection without an answer",
            Self::TimedOut => "no answer within introspection.timeout",
            Self::Incomplete => "the answer broke off",
            Self::CredentialsRefused(_) => {
                "the endpoint refuses this gateway: look at introspection.client_id, its secret or key, and client_auth"
            }
            Self::TooManyRequests => "over the server's rate limit: lower introspection.requests_per_minute",
            Self::Status(_) => "an answer other than 200; redirects are not followed",
            Self::Answer(ResponseFault::TooLarge) => "an answer this long is none to introspection",
            Self::Answer(ResponseFault::NotAnObject | ResponseFault::ActiveMissing) => {
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

    #[wasm_bindgen_test(unsupported = test)]
    fn a_span_ends_at_its_end_and_when_the_clock_is_set_back() {
        let at = UnixTime::from_millis;
        let span = Span { from: at(10_000), until: at(20_000) };
        for (now, lasts) in [(10_000, true), (19_999, true), (20_000, false), (9_000, true), (8_999, false), (0, false)]
        {
            assert_eq!(span.contains(at(now)), lasts, "{now}");
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn an_outcome_does_not_show_the_answer() {
        let outcome = CallOutcome::Response {
            status: 200,
            retry_after: None,
            rate_limit: RateLimitFields::default(),
            body: b"{\"sub\":\"alice\"}".to_vec(),
        };
        assert_eq!(format!("{outcome:?}"), "Response(200, 15 bytes)");
    }
}
