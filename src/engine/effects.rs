//! The effects that the host carries out for the engine, as data.

use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use super::{CallResult, Decision, FetchResult, ListNews, Poll, PollResult, Purpose, SharedOutcome, SharedResponse};
use crate::engine::log_limit::SuppressedRecords;
use crate::introspection::call::CallNumber;
use crate::keys::fetch::{FetchNumber, KeyFetch};
use crate::policy::ProviderId;
use crate::unix_time::UnixTime;

/// The host's id of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u32);

/// The id of a key fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchId {
    pub(super) provider: ProviderId,
    pub(super) number: FetchNumber,
}

impl FetchId {
    /// The provider whose keys it fetches.
    pub const fn provider(self) -> ProviderId {
        self.provider
    }

    /// Whether it is a fetch of this provider's keys.
    pub fn is_of(self, provider: ProviderId) -> bool {
        self.provider == provider
    }
}

/// A key fetch to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// Comes back with its result.
    pub id: FetchId,
    /// The callout.
    pub keys: KeyFetch,
}

/// The id of an introspection call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId {
    pub(super) provider: ProviderId,
    pub(super) number: CallNumber,
}

impl CallId {
    /// The provider whose endpoint it calls.
    pub const fn provider(self) -> ProviderId {
        self.provider
    }
}

/// An introspection call to make. [`super::Engine::call_request`] has its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntrospectionCall {
    /// Comes back with its result.
    pub id: CallId,
    /// Its purpose. All workers together make one call about a token at a time, within their rate limit.
    pub purpose: Purpose,
    /// Its timeout.
    pub timeout: Duration,
}

/// Effects, in the order in which the host carries them out.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Fetches to begin. Where workers share data, one of them makes a fetch at a time.
    pub fetches: Vec<Fetch>,
    /// Further callouts of fetches that are under way.
    pub follow_ups: Vec<Fetch>,
    /// The outcome of a key fetch, for other workers.
    pub share: Option<(ProviderId, SharedOutcome)>,
    /// Introspection calls to make.
    pub calls: Vec<IntrospectionCall>,
    /// An introspection response, for other workers.
    pub response: Option<(ProviderId, SharedResponse)>,
    /// A provider that no worker may call before that time.
    pub block: Option<(ProviderId, UnixTime)>,
    /// The rate limit that a provider's server states, in calls a minute.
    pub ceiling: Option<(ProviderId, NonZeroU32)>,
    /// A poll of the revocation list to make.
    pub poll: Option<Poll>,
    /// The revocation list, for other workers.
    pub list_news: Option<ListNews>,
    /// Decisions of parked requests, at most [`super::BATCH`].
    pub decided: Vec<(StreamId, Decision)>,
    /// Counts of denials that were not logged one by one.
    pub suppressed: Vec<SuppressedRecords>,
    /// The latest time of the next tick.
    pub next_tick: Option<UnixTime>,
    /// The result of the fetch that has ended, for the log.
    pub note: Option<FetchNote>,
    /// The result of the introspection call that has ended.
    pub call_note: Option<CallNote>,
    /// The result of the poll that has ended.
    pub poll_note: Option<PollResult>,
}

/// The result of a key fetch, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchNote {
    /// The configured name of the provider.
    pub provider: Rc<str>,
    /// Its result.
    pub result: FetchResult,
}

/// The result of an introspection call, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallNote {
    /// The configured name of the provider.
    pub provider: Rc<str>,
    /// Its result.
    pub result: CallResult,
}
