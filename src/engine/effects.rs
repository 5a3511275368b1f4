//! What the host reports to the engine, and what the engine has it do, as data.

use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use crate::callout::{CalloutResult, ResponseFormat};
use crate::engine::decision::Decision;
use crate::engine::log_limit::SuppressedRecords;
use crate::introspection::call::{CallNumber, CallResult, TokenDigest};
use crate::introspection::sharing::{RecordNames, SharedResponse};
use crate::keys::fetch::{FetchCause, FetchNumber, FetchResult, KeyFetch};
use crate::keys::sharing::SharedOutcome;
use crate::lookup::http_request::HttpRequest;
use crate::lookup::lease::LeaseOutcome;
use crate::lookup::rate_limiter::RateLimiter;
use crate::lookup::requester::Caller;
use crate::policy::ProviderId;
use crate::revocation::feed::{PollNumber, PollResult};
use crate::revocation::sharing::{ListDocument, ListNews, ListState};
use crate::unix_time::UnixTime;

/// The host's id of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u32);

/// The id of a callout. All callouts of one fetch have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CalloutId {
    /// A provider's keys.
    Keys(ProviderId, FetchNumber),
    /// Introspection at a provider's endpoint, or the metadata with its address.
    Introspection(ProviderId, CallNumber),
    Revocations(PollNumber),
}

impl CalloutId {
    /// The provider that it concerns.
    pub const fn provider(self) -> Option<ProviderId> {
        match self {
            Self::Keys(provider, _) | Self::Introspection(provider, _) => Some(provider),
            Self::Revocations(_) => None,
        }
    }
}

#[derive(Debug)]
pub enum Event {
    Tick,
    CalloutDone(CalloutId, CalloutResult),
    /// The request for the lease of a callout has ended.
    LeaseDone(CalloutId, LeaseOutcome),
    /// Another worker shares the outcome of a key fetch.
    KeysShared(ProviderId, SharedOutcome),
    /// Responses that other workers share in the slots of this call's token. One of them may make the call unnecessary.
    ResponsesShared(CalloutId, Vec<SharedResponse>),
    /// No callout of this parked request is under way, and the host cannot let it wait for that of another one.
    GiveUp(StreamId),
    /// Other workers hold this revocation list.
    ListShared(ListState, ListDocument),
}

/// Effects, to be carried out in order. The engine puts news for other workers before the leases that it gives back,
/// these before decisions, and decisions before new callouts.
pub type Effects = Vec<Effect>;

/// Something that the host does for the engine.
#[derive(Debug)]
pub enum Effect {
    /// Tell the other workers. A host without shared data ignores it.
    Share(SharedRecord),
    /// Log and count this.
    Report(Report),
    /// Give back the lease of a callout.
    ReleaseLease(CalloutId),
    /// Apply the decision on a parked request.
    Decide(StreamId, Box<Decision>),
    /// Acquire the lease of a callout, and report how that ended ([`Event::LeaseDone`]).
    AcquireLease(CalloutId, LeaseRequest),
    /// Send a request, and report how that ended ([`Event::CalloutDone`]).
    Callout(Callout),
    /// Report a tick at that time or earlier; it replaces the time before. The last effect.
    TickAt(UnixTime),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callout {
    /// Comes back with its result.
    pub id: CalloutId,
    pub request: HttpRequest,
    pub timeout: Duration,
    /// What is read of the response.
    pub format: &'static ResponseFormat,
}

/// A lease to acquire: of all workers, one makes the lookup at a time.
#[derive(Clone, Debug)]
pub enum LeaseRequest {
    /// To fetch a provider's keys.
    Keys {
        provider: ProviderId,
        record: String,
        /// The first callout of the fetch.
        fetch: KeyFetch,
    },
    /// To introspect a token.
    Introspection {
        names: RecordNames,
        token: TokenDigest,
        /// The timeout of the call.
        timeout: Duration,
        /// The rate limit of all workers.
        limit: SharedLimit,
        /// Whose share the call counts against.
        caller: Caller,
    },
}

/// The rate limit of all workers.
#[derive(Clone, Debug)]
pub struct SharedLimit {
    /// The name of the record.
    pub record: String,
    /// What reads and changes the record.
    pub limiter: RateLimiter,
}

/// News for other workers.
#[derive(Debug)]
pub enum SharedRecord {
    /// The outcome of a key fetch.
    Keys {
        record: String,
        outcome: SharedOutcome,
    },
    Response {
        names: RecordNames,
        response: SharedResponse,
    },
    /// No worker calls before that time.
    Block(SharedLimit, UnixTime),
    /// The rate limit that a provider's server states, in calls a minute.
    Ceiling(SharedLimit, NonZeroU32),
    List {
        record: String,
        news: ListNews,
    },
}

/// What is logged and counted.
#[derive(Clone, Debug)]
pub enum Report {
    /// The first callout of a key fetch is made.
    FetchStarted {
        /// The configured name of the provider.
        provider: Rc<str>,
        cause: FetchCause,
    },
    /// A key fetch has ended.
    Fetch {
        /// The configured name of the provider.
        provider: Rc<str>,
        result: FetchResult,
    },
    /// An introspection call has ended.
    Call {
        /// The configured name of the provider.
        provider: Rc<str>,
        result: CallResult,
    },
    /// A poll of the revocation list has ended.
    Poll(PollResult),
    /// Denials that were not logged one by one.
    Suppressed(SuppressedRecords),
}
