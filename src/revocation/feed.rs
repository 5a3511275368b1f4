//! The revocation list over time: polled with its ETag, kept when that fails, and never missing unnoticed.
//!
//! Until a first list was read it is not known who is on it: requests wait for the first poll ([`ListStatus::Pending`]), and
//! when that fails they are rejected ([`ListStatus::Unavailable`]), as with keys that were never fetched. Else a restart
//! while the server is down would admit revoked tokens. A root without a list takes over the one that other roots of the
//! process hold. Afterwards the last good list counts, however old; its age is there for metrics and readiness.

use std::rc::Rc;
use std::time::Duration;

use crate::callout::{CalloutResult, ResponseFormat, TransportError};
use crate::http::HeaderValue;
use crate::policy::{CalloutAddress, RevocationSource, ValidatedToken};
use crate::randomness::Jitter;
use crate::revocation::list::{ListFault, MAX_LIST_BYTES, RevocationList};
use crate::revocation::sharing::{ListDigest, ListDocument, ListNews, ListState, record_name};
use crate::unix_time::{Span, UnixTime};

/// What is read of a response.
pub const POLL_RESPONSE: ResponseFormat = ResponseFormat { headers: &["etag"], max_bytes: MAX_LIST_BYTES };
const FIRST_BACK_OFF: Duration = Duration::from_secs(1);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(30);
/// A host that never ends a callout must not block the next poll.
const RESPONSE_GRACE: Duration = Duration::from_secs(2);
/// No real ETag is longer.
const MAX_ETAG_BYTES: usize = 256;

#[derive(Debug)]
pub struct RevocationFeed {
    source: RevocationSource,
    record_name: String,
    current: Option<CurrentList>,
    begun: PollNumber,
    in_flight: Option<(PollNumber, Span)>,
    failures: u32,
    next_attempt: Span,
}

#[derive(Debug)]
struct CurrentList {
    list: Rc<RevocationList>,
    etag: Option<HeaderValue>,
    digest: ListDigest,
    /// When the poll began that brought it.
    began: UnixTime,
    /// When the server last said that this is the list.
    confirmed_at: UnixTime,
}

/// The how-many-eth poll.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PollNumber(u64);

/// A poll to make: a `GET`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poll {
    /// Comes back with the outcome.
    pub number: PollNumber,
    pub address: CalloutAddress,
    /// The value of `If-None-Match`, if there is to be one.
    pub if_none_match: Option<HeaderValue>,
    /// How long it may take.
    pub timeout: Duration,
}

/// Why a poll brought no list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PollFault {
    Transport(TransportError),
    /// Another status than 200, or 304 where nothing is held.
    Status(u16),
    /// No list that could be applied.
    List(ListFault),
}

/// What a finished poll changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollResult {
    /// Another list is held, of so many entries.
    Replaced(usize),
    /// The list of another worker is held, of so many entries.
    TakenOver(usize),
    /// The one that is held is still the list.
    Unchanged,
    /// Nothing changed; the last good list stays in force.
    Failed {
        fault: PollFault,
        /// When it is tried again.
        retry_in: Duration,
    },
    /// A response that came too late; ignored.
    Late,
}

/// What the feed says of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListStatus {
    /// It is not on the list.
    NotListed,
    /// It is.
    Revoked,
    /// There is no list yet, and the first poll comes or is under way.
    Pending,
    /// There is no list yet, perhaps for this long.
    Unavailable(Duration),
}

/// What the end of a poll leads to.
#[derive(Debug)]
pub struct PollEnd {
    pub result: PollResult,
    /// What to share with the other workers.
    pub news: Option<ListNews>,
}

impl RevocationFeed {
    /// Nothing was read yet.
    pub fn new(source: RevocationSource, now: UnixTime) -> Self {
        let next_attempt = Span { from: now, until: now };
        let record_name = record_name(&source);
        Self {
            source,
            record_name,
            current: None,
            begun: PollNumber::default(),
            in_flight: None,
            failures: 0,
            next_attempt,
        }
    }

    /// The name under which workers share the list.
    pub fn record_name(&self) -> &str {
        &self.record_name
    }

    /// How long a request may wait for the first list.
    pub const fn longest_wait(&self) -> Duration {
        self.source.timeout
    }

    /// Whether there is a list.
    pub const fn has_list(&self) -> bool {
        self.current.is_some()
    }

    /// Whether the token, of this issuer, is on the list.
    pub fn status_of<'a>(
        &self,
        token: &ValidatedToken,
        mut issuers: impl Iterator<Item = &'a str>,
        now: UnixTime,
    ) -> ListStatus {
        match &self.current {
            None if self.in_flight.is_some() || !self.next_attempt.contains(now) => ListStatus::Pending,
            None => ListStatus::Unavailable(self.next_attempt.until.since(now)),
            Some(current) if issuers.any(|issuer| current.list.revokes(token, issuer)) => ListStatus::Revoked,
            Some(_) => ListStatus::NotListed,
        }
    }

    /// How long ago the server last said that what is held is the list; `None`: never.
    pub fn age(&self, now: UnixTime) -> Option<Duration> {
        self.current.as_ref().map(|current| now.since(current.confirmed_at))
    }

    /// How many entries are held.
    pub fn entries(&self) -> usize {
        self.current.as_ref().map_or(0, |current| current.list.len())
    }

    /// The poll that is due, if one is.
    pub fn begin_poll(&mut self, jitter: Jitter, now: UnixTime) -> Option<Poll> {
        if let Some((number, lasts)) = self.in_flight {
            if lasts.contains(now) {
                return None;
            }
            self.finish_poll(number, Err(TransportError::TimedOut), jitter, now);
        }
        if self.next_attempt.contains(now) {
            return None;
        }
        self.begun.0 += 1;
        let until = now.plus(self.source.timeout).plus(RESPONSE_GRACE);
        self.in_flight = Some((self.begun, Span { from: now, until }));
        Some(Poll {
            number: self.begun,
            address: self.source.address.clone(),
            if_none_match: self.current.as_ref().and_then(|current| current.etag.clone()),
            timeout: self.source.timeout,
        })
    }

    /// Takes the outcome of a poll.
    pub fn finish_poll(
        &mut self,
        number: PollNumber,
        outcome: CalloutResult,
        jitter: Jitter,
        now: UnixTime,
    ) -> PollEnd {
        let Some((_, lasts)) = self.in_flight.take_if(|(polling, _)| *polling == number) else {
            return PollEnd { result: PollResult::Late, news: None };
        };
        let (result, document) = match self.take(outcome, lasts.from, now) {
            Ok(done) => {
                self.failures = 0;
                self.wait(jitter.between_tenths(self.source.refresh, 9, 10), now);
                done
            }
            Err(fault) => {
                // Never later than without the failure.
                let longest = LONGEST_BACK_OFF.min(self.source.refresh.max(FIRST_BACK_OFF));
                let retry_in = jitter.back_off(FIRST_BACK_OFF, self.failures, longest);
                self.failures = self.failures.saturating_add(1);
                self.wait(retry_in, now);
                (PollResult::Failed { fault, retry_in }, None)
            }
        };
        // Also after a failure: it says that this list is still held.
        let news = self.current.as_ref().map(|current| ListNews { state: current.state(now), document });
        PollEnd { result, news }
    }

    /// Adopts the list that another worker holds, if there is none here.
    pub fn adopt(&mut self, state: ListState, document: &ListDocument, now: UnixTime) -> Option<PollResult> {
        let is_usable = self.current.is_none() && state.is_held(&self.source, now) && document.digest() == state.digest;
        let list = RevocationList::parse(&document.body).ok().filter(|_| is_usable)?;
        let entries = list.len();
        let ListState { digest, began, confirmed_at, .. } = state;
        self.current =
            Some(CurrentList { list: Rc::new(list), etag: read_etag(document), digest, began, confirmed_at });
        if self.in_flight.is_none() {
            self.wait(self.source.refresh.saturating_sub(now.since(confirmed_at)), now);
        }
        Some(PollResult::TakenOver(entries))
    }

    fn take(
        &mut self,
        outcome: CalloutResult,
        began: UnixTime,
        now: UnixTime,
    ) -> Result<(PollResult, Option<ListDocument>), PollFault> {
        let response = outcome.map_err(PollFault::Transport)?;
        match (response.status, &mut self.current) {
            (304, Some(current)) if current.etag.is_some() => {
                (current.began, current.confirmed_at) = (began, now);
                Ok((PollResult::Unchanged, None))
            }
            (200, current) => {
                let list = RevocationList::parse(&response.body).map_err(PollFault::List)?;
                let entries = list.len();
                let document = ListDocument { etag: response.header("etag").map(str::to_owned), body: response.body };
                let (etag, digest) = (read_etag(&document), document.digest());
                *current = Some(CurrentList { list: Rc::new(list), etag, digest, began, confirmed_at: now });
                Ok((PollResult::Replaced(entries), Some(document)))
            }
            (status, _) => Err(PollFault::Status(status)),
        }
    }

    fn wait(&mut self, wait: Duration, now: UnixTime) {
        self.next_attempt = Span { from: now, until: now.plus(wait) };
    }

    pub fn next_due(&self) -> UnixTime {
        self.in_flight.map_or(self.next_attempt.until, |(_, lasts)| lasts.until)
    }
}

impl CurrentList {
    const fn state(&self, now: UnixTime) -> ListState {
        ListState { digest: self.digest, began: self.began, confirmed_at: self.confirmed_at, held_at: now }
    }
}

fn read_etag(document: &ListDocument) -> Option<HeaderValue> {
    let etag = document.etag.as_deref().filter(|etag| etag.len() <= MAX_ETAG_BYTES)?;
    HeaderValue::parse(etag)
}

impl PollFault {
    /// The stable name of the fault, for logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transport(error) => error.name(),
            Self::Status(_) => "status",
            Self::List(fault) => fault.name(),
        }
    }
}

#[cfg(test)]
mod tests;
