//! What the engine has the host do, as data: nothing here does anything.

use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use super::{
    CallResult, Decision, FetchResult, ListNews, Poll, PollResult, Purpose, SharedOutcome, SharedResponse, StreamId,
};
use crate::engine::log_limit::SuppressedRecords;
use crate::introspection::call::CallNumber;
use crate::keys::fetch::{FetchNumber, KeyFetch};
use crate::policy::ProviderId;
use crate::unix_time::UnixTime;

/// Which fetch of which provider; comes back with its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchId {
    pub(super) provider: ProviderId,
    pub(super) number: FetchNumber,
}

impl FetchId {
    /// Whose keys it is to bring.
    pub const fn provider(self) -> ProviderId {
        self.provider
    }

    /// Whether it is a fetch of this provider's keys.
    pub fn is_of(self, provider: ProviderId) -> bool {
        self.provider == provider
    }
}

/// A fetch for the host to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// Comes back with the outcome.
    pub id: FetchId,
    /// What to fetch.
    pub keys: KeyFetch,
}

/// Which introspection call of which provider; comes back with its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId {
    pub(super) provider: ProviderId,
    pub(super) number: CallNumber,
}

impl CallId {
    /// Whose endpoint it calls.
    pub const fn provider(self) -> ProviderId {
        self.provider
    }
}

/// An introspection call for the host to make; [`super::Engine::call_request`] says what to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntrospectionCall {
    /// Comes back with the outcome.
    pub id: CallId,
    /// What it is for: of the calls about one token in all workers one is made, within the rate limit of all.
    pub purpose: Purpose,
    /// How long it may take.
    pub timeout: Duration,
}

/// Effects to carry out, in this order.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Fetches to begin, one at a time in the whole process where the host can see to that.
    pub fetches: Vec<Fetch>,
    /// Further callouts of a fetch that was begun already.
    pub follow_ups: Vec<Fetch>,
    /// What to share with the other workers of a provider's keys.
    pub share: Option<(ProviderId, SharedOutcome)>,
    /// Introspection calls to make.
    pub calls: Vec<IntrospectionCall>,
    /// What to share with the other workers of a provider's token.
    pub response: Option<(ProviderId, SharedResponse)>,
    /// A provider that no worker is to call before then.
    pub block: Option<(ProviderId, UnixTime)>,
    /// The limit that a provider's server states itself, in calls a minute.
    pub ceiling: Option<(ProviderId, NonZeroU32)>,
    /// The poll of the revocation list to make.
    pub poll: Option<Poll>,
    /// What to share with the other workers of the revocation list.
    pub list_news: Option<ListNews>,
    /// Parked streams that are decided now, at most [`super::BATCH`] of them.
    pub decided: Vec<(StreamId, Decision)>,
    /// What is logged of refusals that had no line of their own.
    pub suppressed: Vec<SuppressedRecords>,
    /// When to tick at the latest.
    pub next_tick: Option<UnixTime>,
    /// What an operator should see of the fetch that just ended.
    pub note: Option<FetchNote>,
    /// The same of the introspection call that just ended.
    pub call_note: Option<CallNote>,
    /// The same of the poll.
    pub poll_note: Option<PollResult>,
}

/// How a fetch of a provider's keys ended, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchNote {
    /// The operator's name for the provider.
    pub provider: Rc<str>,
    /// How it ended.
    pub result: FetchResult,
}

/// How an introspection call ended, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallNote {
    /// The operator's name for the provider.
    pub provider: Rc<str>,
    /// How it ended.
    pub result: CallResult,
}
