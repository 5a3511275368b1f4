//! The revocation list over time: polled with its ETag, kept when that fails, and never missing unnoticed.
//!
//! Until a first list was read nobody can say who is on it: that is undecidable ([`Judgement::Unread`]), as with keys
//! that were never fetched. Else a restart while the feed is down would let everybody in who was locked out. Afterwards
//! the last good list counts, however old; its age is there for metrics and readiness.

use std::rc::Rc;
use std::time::Duration;

use crate::http::HeaderValue;
use crate::introspection::call::{CallFault, Span};
use crate::introspection::revocation::{ListFault, MAX_LIST_BYTES, RevocationList};
use crate::jitter::Jitter;
use crate::policy::{AdmittedToken, CalloutAddress, RevocationSource};
use crate::unix_time::UnixTime;

/// The longest answer that is worth reading.
pub const MAX_ANSWER_BYTES: usize = MAX_LIST_BYTES;
const FIRST_BACK_OFF: Duration = Duration::from_secs(1);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(30);
/// A host that never answers a callout must not keep us from asking again.
const ANSWER_GRACE: Duration = Duration::from_secs(2);
/// No real ETag is longer.
const MAX_ETAG_BYTES: usize = 256;

/// One feed.
#[derive(Debug)]
pub struct RevocationFeed {
    source: RevocationSource,
    held: Option<Held>,
    begun: PollNumber,
    in_flight: Option<(PollNumber, Span)>,
    failures: u32,
    next_attempt: Span,
}

#[derive(Debug)]
struct Held {
    list: Rc<RevocationList>,
    etag: Option<HeaderValue>,
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
    /// Where to.
    pub address: CalloutAddress,
    /// The value of `If-None-Match`, if there is to be one.
    pub if_none_match: Option<HeaderValue>,
    /// How long it may take.
    pub timeout: Duration,
}

/// How a poll ended, as the host saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PollOutcome {
    /// An HTTP response arrived.
    Response {
        /// Its status.
        status: u16,
        /// Its `ETag`.
        etag: Option<String>,
        /// Its body.
        body: Vec<u8>,
    },
    /// None did.
    Failed(CallFault),
}

/// Why a poll brought no list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PollFault {
    /// No response.
    Call(CallFault),
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
    /// The one that is held is still the list.
    Unchanged,
    /// Nothing changed; the last good list stays in force.
    Failed {
        /// Why.
        fault: PollFault,
        /// When it is tried again.
        retry_in: Duration,
    },
    /// An answer that nobody waits for any more; ignored.
    Late,
}

/// What the feed says of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It is not on the list.
    NotListed,
    /// It is.
    Revoked,
    /// There never was a list: undecidable, perhaps for this long.
    Unread(Duration),
}

impl RevocationFeed {
    /// Nothing was read yet.
    pub fn new(source: RevocationSource, now: UnixTime) -> Self {
        let next_attempt = Span { from: now, until: now };
        Self { source, held: None, begun: PollNumber::default(), in_flight: None, failures: 0, next_attempt }
    }

    /// Whether the token, of this issuer, is on the list.
    pub fn judge(&self, token: &AdmittedToken, issuer: &str, now: UnixTime) -> Judgement {
        match &self.held {
            None => Judgement::Unread(self.next_attempt.until.since(now)),
            Some(held) if held.list.revokes(token, issuer) => Judgement::Revoked,
            Some(_) => Judgement::NotListed,
        }
    }

    /// How long ago the server last said that what is held is the list; `None`: never.
    pub fn age(&self, now: UnixTime) -> Option<Duration> {
        self.held.as_ref().map(|held| now.since(held.confirmed_at))
    }

    /// How many entries are held.
    pub fn entries(&self) -> usize {
        self.held.as_ref().map_or(0, |held| held.list.len())
    }

    /// The poll that is due, if one is.
    pub fn begin_poll(&mut self, jitter: Jitter, now: UnixTime) -> Option<Poll> {
        if let Some((number, lasts)) = self.in_flight {
            if lasts.contains(now) {
                return None;
            }
            self.finish_poll(number, PollOutcome::Failed(CallFault::TimedOut), jitter, now);
        }
        if self.next_attempt.contains(now) {
            return None;
        }
        self.begun.0 += 1;
        let until = now.plus(self.source.timeout).plus(ANSWER_GRACE);
        self.in_flight = Some((self.begun, Span { from: now, until }));
        Some(Poll {
            number: self.begun,
            address: self.source.address.clone(),
            if_none_match: self.held.as_ref().and_then(|held| held.etag.clone()),
            timeout: self.source.timeout,
        })
    }

    /// Takes the outcome of a poll.
    pub fn finish_poll(
        &mut self,
        number: PollNumber,
        outcome: PollOutcome,
        jitter: Jitter,
        now: UnixTime,
    ) -> PollResult {
        if self.in_flight.take_if(|(asking, _)| *asking == number).is_none() {
            return PollResult::Late;
        }
        match self.take(outcome, now) {
            Ok(result) => {
                self.failures = 0;
                self.wait(jitter.between_tenths(self.source.refresh, 9, 10), now);
                result
            }
            Err(fault) => {
                let doubled = FIRST_BACK_OFF * (1 << self.failures.min(6));
                self.failures = self.failures.saturating_add(1);
                // Never later than without the failure.
                let longest = LONGEST_BACK_OFF.min(self.source.refresh.max(FIRST_BACK_OFF));
                let retry_in = jitter.between_tenths(doubled.min(longest), 7, 10);
                self.wait(retry_in, now);
                PollResult::Failed { fault, retry_in }
            }
        }
    }

    fn take(&mut self, outcome: PollOutcome, now: UnixTime) -> Result<PollResult, PollFault> {
        match (outcome, &mut self.held) {
            (PollOutcome::Failed(fault), _) => Err(PollFault::Call(fault)),
            (PollOutcome::Response { status: 304, .. }, Some(held)) if held.etag.is_some() => {
                held.confirmed_at = now;
                Ok(PollResult::Unchanged)
            }
            (PollOutcome::Response { status: 200, etag, body }, held) => {
                let list = RevocationList::parse(&body).map_err(PollFault::List)?;
                let entries = list.len();
                let etag = etag.filter(|etag| etag.len() <= MAX_ETAG_BYTES).and_then(|etag| HeaderValue::parse(&etag));
                *held = Some(Held { list: Rc::new(list), etag, confirmed_at: now });
                Ok(PollResult::Replaced(entries))
            }
            (PollOutcome::Response { status, .. }, _) => Err(PollFault::Status(status)),
        }
    }

    fn wait(&mut self, wait: Duration, now: UnixTime) {
        self.next_attempt = Span { from: now, until: now.plus(wait) };
    }

    /// When something is to be done without being asked.
    pub fn next_due(&self) -> UnixTime {
        self.in_flight.map_or(self.next_attempt.until, |(_, lasts)| lasts.until)
    }
}

impl PollFault {
    /// The stable name of the fault, for logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Call(fault) => fault.name(),
            Self::Status(_) => "status",
            Self::List(fault) => fault.name(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::introspection::fixture::{ISSUER, NOW, active, provider};
    use serde_json::json;
    use wasm_bindgen_test::wasm_bindgen_test;

    const FULL: Jitter = Jitter(u16::MAX);
    const ALICE: &[u8] = br#"{"revoked":[{"sub":"alice"}]}"#;

    fn feed() -> RevocationFeed {
        let source = RevocationSource {
            address: CalloutAddress::parse("https://ops.example/revoked", "ops").unwrap(),
            refresh: Duration::from_secs(10),
            timeout: Duration::from_secs(2),
        };
        RevocationFeed::new(source, NOW)
    }

    fn at(seconds: u64) -> UnixTime {
        NOW.plus(Duration::from_secs(seconds))
    }

    fn response(status: u16, etag: Option<&str>, body: &[u8]) -> PollOutcome {
        PollOutcome::Response { status, etag: etag.map(str::to_owned), body: body.to_vec() }
    }

    fn judge(feed: &RevocationFeed, subject: &str) -> Judgement {
        let claims = json!({"sub": subject, "aud": "api://default", "iat": 5});
        let token = AdmittedToken::admit_active(active(&claims), &provider(), NOW, NOW).unwrap();
        feed.judge(&token, ISSUER, NOW)
    }

    fn poll(feed: &mut RevocationFeed, seconds: u64, outcome: PollOutcome) -> PollResult {
        let number = feed.begin_poll(FULL, at(seconds)).expect("due").number;
        assert_eq!(feed.begin_poll(FULL, at(seconds)), None, "one at a time");
        feed.finish_poll(number, outcome, FULL, at(seconds))
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_list_is_polled_and_confirmed_by_its_etag() {
        let mut feed = feed();
        let first = feed.begin_poll(FULL, at(0)).unwrap();
        assert_eq!((first.if_none_match, first.address.to_string()), (None, "https://ops.example/revoked".to_owned()));
        let result = feed.finish_poll(first.number, response(200, Some("W/\"a\""), ALICE), FULL, at(0));
        assert_eq!(result, PollResult::Replaced(1));
        assert_eq!((judge(&feed, "alice"), judge(&feed, "bob")), (Judgement::Revoked, Judgement::NotListed));
        assert_eq!(feed.begin_poll(FULL, at(9)), None);
        let second = feed.begin_poll(FULL, at(10)).unwrap();
        assert_eq!(second.if_none_match.unwrap().as_str(), "W/\"a\"");
        assert_eq!(feed.finish_poll(second.number, response(304, None, b""), FULL, at(10)), PollResult::Unchanged);
        assert_eq!((judge(&feed, "alice"), feed.age(at(12))), (Judgement::Revoked, Some(Duration::from_secs(2))));
        assert_eq!(feed.finish_poll(second.number, response(200, None, ALICE), FULL, at(10)), PollResult::Late);
        assert_eq!(poll(&mut feed, 20, response(200, None, br#"{"revoked":[]}"#)), PollResult::Replaced(0));
        assert_eq!(judge(&feed, "alice"), Judgement::NotListed);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn every_kind_of_failure_keeps_the_last_list_and_shows() {
        let mut feed = feed();
        assert!(matches!(judge(&feed, "alice"), Judgement::Unread(_)));
        poll(&mut feed, 0, response(200, Some("\"a\""), ALICE));
        let mut now = 20;
        for (outcome, name) in [
            (PollOutcome::Failed(CallFault::TimedOut), "timed_out"),
            (response(500, None, ALICE), "status"),
            (response(302, None, ALICE), "status"),
            (response(200, None, b"<html>"), "not_a_revocation_list"),
            (response(200, None, br#"{"revoked":[{"sub":"bob"},{}]}"#), "entry_malformed"),
            (response(200, None, &vec![b' '; MAX_LIST_BYTES + 1]), "too_large"),
        ] {
            let PollResult::Failed { fault, retry_in } = poll(&mut feed, now, outcome) else { panic!("{name}") };
            assert_eq!(fault.name(), name);
            assert!(retry_in <= Duration::from_secs(10) && retry_in > Duration::ZERO, "{retry_in:?}");
            assert_eq!((judge(&feed, "alice"), judge(&feed, "bob")), (Judgement::Revoked, Judgement::NotListed));
            now += 20;
        }
        assert_eq!(feed.age(at(now)), Some(Duration::from_secs(now)));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn without_a_first_list_nothing_is_said_of_anybody() {
        let mut feed = feed();
        let failed = poll(&mut feed, 0, response(304, None, b""));
        assert!(matches!(failed, PollResult::Failed { fault: PollFault::Status(304), .. }), "{failed:?}");
        assert!(matches!(judge(&feed, "bob"), Judgement::Unread(_)));
        assert_eq!(feed.age(at(0)), None);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_poll_that_is_never_answered_and_a_clock_that_goes_back_do_not_end_the_polling() {
        let mut feed = feed();
        let lost = feed.begin_poll(FULL, at(0)).unwrap();
        assert_eq!(feed.begin_poll(FULL, at(3)), None);
        assert_eq!(feed.begin_poll(FULL, at(4)), None, "given up, and not due yet");
        let next = feed.begin_poll(FULL, at(5)).unwrap();
        assert_eq!(feed.finish_poll(lost.number, response(200, None, ALICE), FULL, at(5)), PollResult::Late);
        feed.finish_poll(next.number, response(200, None, ALICE), FULL, at(5));
        let hour_before = UnixTime::from_millis(NOW.as_millis() - 3_600_000);
        assert!(feed.begin_poll(FULL, hour_before).is_some());
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn an_etag_that_cannot_be_written_is_none() {
        let mut feed = feed();
        poll(&mut feed, 0, response(200, Some("\"a\"\r\nx: y"), ALICE));
        assert_eq!(feed.begin_poll(FULL, at(10)).unwrap().if_none_match, None);
    }
}
