//! Introspection over time against a naive model: random sequences of requests, responses, failures, postponed calls,
//! responses of other workers, ticks and steps of the clock, back and forward. The model holds only the endpoint's latest
//! response for each token, and when it came; the result of each request must follow from that. It has the real time, and
//! the order of the calls in the process by the numbers of their leases.
//!
//! Invariants: a token is active only by the newest response seen, within its lifetime; no response is used past `exp` or after
//! an inactive one; one call per token at a time; no more calls per minute than the budget, half of it reserved for cached
//! tokens; no call during a `retry-after` of the server; no request stays pending.
//!
//! How long a response is used when the clock is set: `cache_ttl` of real time from when its call began (`inactive_cache_ttl`
//! from when it ended), and in addition at most
//! * the time that the worker's monotonic clock missed since it cached the response: for each step back no more than the step,
//!   nor than the time between the two readings of the clock before and after it (10 s in an idle worker);
//! * for a response of another worker, the amount by which the clock was set back between the call and its import.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use okta_proxy_wasm::callout::{CalloutResult, HttpResponse, TransportError};
use okta_proxy_wasm::config;
use okta_proxy_wasm::introspection::call::{Call, CallNumber, CallResult, Deferral, Purpose, TokenDigest, TokenKind};
use okta_proxy_wasm::introspection::sharing::{RecordNames, SharedResponse, SharedResponses, SharedSlot};
use okta_proxy_wasm::introspection::{Arrived, CallEnd, Freshness, LookUp, ProviderIntrospection, Rejection};
use okta_proxy_wasm::lookup::rate_limiter::LimitReached;
use okta_proxy_wasm::lookup::record::Record as _;
use okta_proxy_wasm::lookup::requester::BudgetClass;
use okta_proxy_wasm::policy::{
    CacheLimits, CalloutAddress, ClaimFault, ClientAuthentication, EndpointAddress, Introspection, OpaqueTokens,
    Policy, Provider,
};
use okta_proxy_wasm::randomness::Jitter;
use okta_proxy_wasm::redacted::Redacted;
use okta_proxy_wasm::sequence::Sequence;
use okta_proxy_wasm::unix_time::UnixTime;
use serde_json::json;

use crate::random::Random;

const START: u64 = 1_800_000_000;
const SEQUENCES: u64 = 10_000;
const STEPS: usize = 120;
const TOKENS: usize = 6;
const BUDGET: usize = 12;
const TTL: Duration = Duration::from_secs(10);
const INACTIVE_TTL: Duration = Duration::from_secs(4);
const STALE: Duration = Duration::from_secs(15);
const TIMEOUT: Duration = Duration::from_secs(2);
const SKEW: Duration = Duration::from_secs(5);
/// Of a circuit, a `Retry-After` or a spent budget, in these sequences.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const MINUTE: Duration = Duration::from_secs(60);

/// The last response of the endpoint about a token, in real time.
#[derive(Clone, Debug)]
struct LastResponse {
    what: What,
    /// In the lease on its call.
    number: u64,
    began: u64,
    ended: u64,
    held: Option<CachedAt>,
}

/// When this worker took it, by its clock that is never set back.
#[derive(Clone, Copy, Debug)]
struct CachedAt {
    began: u64,
    ended: u64,
    /// The place of its call among this worker's; `None`: another worker made it.
    call: Option<u64>,
    /// What this clock had missed by then.
    missed: u64,
    /// How much younger it looked than it was.
    understated: u64,
}

/// A call under way.
#[derive(Clone, Copy, Debug)]
struct InFlight {
    token: usize,
    class: BudgetClass,
    began: u64,
    steady: u64,
    call: u64,
    missed: u64,
    /// Its number, once it has a lease.
    number: Option<u64>,
}

/// A request that waits.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    token: usize,
    arrived: Arrived,
    /// How many calls this worker had begun when it came.
    calls: u64,
}

#[derive(Clone, Debug, PartialEq)]
enum What {
    /// Active, in these words, until then.
    Active {
        subject: String,
        expiry: Option<UnixTime>,
    },
    Inactive,
    WrongAudience,
    /// No answer at all, and the end of the one before.
    Nonsense,
}

/// What all workers wrote, as a host holds it: one record a place. Here each token has places of its own.
#[derive(Debug, Default)]
struct Store {
    records: RefCell<BTreeMap<(String, usize), (LastResponse, SharedResponse)>>,
    was_read: Cell<bool>,
}

impl Store {
    fn write(&self, places: &RecordNames, response: &LastResponse, answer: &SharedResponse) {
        let place = (places.of_slot(answer.slot).to_owned(), token_of(answer.token));
        self.records.borrow_mut().insert(place, (response.clone(), answer.clone()));
    }

    fn of(&self, places: &RecordNames) -> Vec<(LastResponse, SharedResponse)> {
        let records = self.records.borrow();
        let stands_there = |((place, _), _): &(&(String, usize), &(LastResponse, SharedResponse))| {
            [SharedSlot::Active, SharedSlot::Negative].into_iter().any(|slot| places.of_slot(slot) == place)
        };
        records.iter().filter(stands_there).map(|(_, record)| record.clone()).collect()
    }

    /// Another token's record takes the place of one.
    fn wash(&self, random: &mut Random) {
        let mut records = self.records.borrow_mut();
        let at = random.index(records.len().max(1));
        if let Some(key) = records.keys().nth(at).cloned() {
            records.remove(&key);
        }
    }
}

impl SharedResponses for Store {
    fn read(&self, places: &RecordNames) -> Vec<SharedResponse> {
        self.was_read.set(true);
        self.of(places).into_iter().map(|(_, answer)| answer).collect()
    }
}

struct Model<'a> {
    store: Rc<Store>,
    provider: &'a Provider,
    introspection: ProviderIntrospection,
    random: Random,
    /// The time that passed, and what the wall clock says.
    real: u64,
    now: UnixTime,
    /// When the wall clock was set, and by how much.
    steps: Vec<(u64, i64)>,
    /// The clock of the worker that is never set back, when it was read last, and what it missed.
    steady: u64,
    looked: (u64, UnixTime),
    missed: u64,
    serial: u64,
    responses: BTreeMap<usize, LastResponse>,
    /// The number of the newest answer that was seen.
    newest: BTreeMap<usize, u64>,
    /// Whether anything stood in the way of a call for a token since it was answered.
    trouble: BTreeSet<usize>,
    last_trouble: Option<u64>,
    last_step: Option<u64>,
    in_flight: BTreeMap<CallNumber, InFlight>,
    calls: u64,
    late: Vec<CallNumber>,
    made: Vec<(u64, BudgetClass)>,
    blocked_until: UnixTime,
    waiting: Vec<Waiting>,
    shared: Vec<(usize, LastResponse, SharedResponse)>,
    stale: Duration,
    counts: BTreeMap<&'static str, usize>,
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap()
}

fn digest(token: usize) -> TokenDigest {
    TokenDigest::of(TokenKind::Opaque, text(token).as_bytes())
}

fn text(token: usize) -> String {
    format!("token-{token}")
}

fn token_of(found: TokenDigest) -> usize {
    (0..TOKENS).find(|token| digest(*token) == found).expect("a token nobody has brought")
}

impl<'a> Model<'a> {
    fn new(policy: &'a Policy, seed: u64) -> Self {
        let (_, provider) = policy.providers.iter().next().unwrap();
        let client_id = "gateway".to_owned();
        let stale = if seed % 4 < 2 { STALE } else { Duration::ZERO };
        let settings = Introspection {
            address: EndpointAddress::Known(CalloutAddress::parse("https://idp.example/i", "idp").unwrap()),
            client: ClientAuthentication::SecretPost { client_id, secret: Redacted::new(String::from("s")) },
            cache_ttl: TTL,
            inactive_cache_ttl: INACTIVE_TTL,
            timeout: TIMEOUT,
            requests_per_minute: NonZeroU32::new(u32::try_from(BUDGET).unwrap()).unwrap(),
            stale_if_error: stale,
            opaque_tokens: OpaqueTokens::Accepted,
        };
        let now = UnixTime::from_secs(START);
        let store = Rc::new(Store::default());
        let others: Rc<dyn SharedResponses> = Rc::clone(&store) as Rc<dyn SharedResponses>;
        let real = 100_000;
        Self {
            store,
            provider,
            introspection: ProviderIntrospection::new(settings, CacheLimits::default(), others),
            random: Random::new(seed),
            real,
            now,
            steps: Vec::new(),
            steady: real,
            looked: (real, now),
            missed: 0,
            serial: 0,
            responses: BTreeMap::new(),
            newest: BTreeMap::new(),
            trouble: BTreeSet::new(),
            last_trouble: None,
            last_step: None,
            in_flight: BTreeMap::new(),
            calls: 0,
            late: Vec::new(),
            made: Vec::new(),
            blocked_until: UnixTime::from_millis(0),
            waiting: Vec::new(),
            shared: Vec::new(),
            stale,
            counts: BTreeMap::new(),
        }
    }

    /// The worker is about to read the clock.
    fn read_clock(&mut self) {
        let (real, wall) = self.looked;
        let passed = millis(self.now.since(wall));
        self.steady += passed;
        self.missed += (self.real - real).saturating_sub(passed);
        self.looked = (self.real, self.now);
    }

    /// The wall clock at another time, had it always been set as it is now.
    fn wall(&self, real: u64) -> UnixTime {
        UnixTime::from_millis(self.now.as_millis() - (self.real - real))
    }

    /// The number of a call that has its lease at that time: later ones have newer ones.
    fn number(&mut self, real: u64) -> u64 {
        self.serial += 1;
        real * 100_000 + self.serial
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// A request with this token comes.
    fn request(&mut self, token: usize) {
        self.look(Waiting { token, arrived: self.introspection.arrived(), calls: self.calls });
    }

    /// Whether an answer was asked for after the request came.
    fn is_usable_for(response: &LastResponse, request: &Waiting) -> bool {
        response.held.and_then(|held| held.call).is_some_and(|call| call > request.calls)
    }

    /// Whether an active answer has not aged, by this worker's clock.
    fn is_within(&self, response: &LastResponse, after: Duration) -> bool {
        let What::Active { expiry, .. } = &response.what else { return false };
        let held = response.held.expect("held");
        self.steady < held.began + millis(after) && expiry.is_none_or(|expiry| self.now < expiry)
    }

    /// In real time too, but for what steps of the clock explain.
    fn assert_in_time(&self, response: &LastResponse, since: u64, after: Duration) {
        let held = response.held.expect("held");
        let excess = held.understated + self.missed - held.missed;
        assert!(self.real - since < millis(after) + excess, "{} ms old: {response:?}", self.real - since);
    }

    /// Looks a token up and holds the result against the model.
    fn look(&mut self, request: Waiting) {
        let (token, now) = (request.token, self.now);
        self.read_clock();
        self.store.was_read.set(false);
        let found = self.introspection.look_up_opaque(text(token).as_bytes(), self.provider, request.arrived, now);
        if self.store.was_read.get() {
            self.learn(token, self.stale);
        }
        let response = self.responses.get(&token).cloned();
        let what = match found {
            LookUp::Active(found, freshness) => {
                let Some(response) = &response else { panic!("active, and the endpoint said nothing") };
                let What::Active { subject, expiry } = &response.what else {
                    panic!("active, and the last response is {response:?}")
                };
                assert_eq!(found.subject(), Some(subject.as_str()), "not the last answer");
                assert!(expiry.is_none_or(|expiry| now < expiry.plus(SKEW)), "past exp");
                match freshness {
                    Freshness::Fresh if Self::is_usable_for(response, &request) => "fresh",
                    Freshness::Fresh => {
                        assert!(self.is_within(response, TTL), "fresh: {response:?}");
                        self.assert_in_time(response, response.began, TTL);
                        "fresh"
                    }
                    Freshness::Stale => {
                        assert!(self.is_within(response, TTL + self.stale), "stale: {response:?}");
                        self.assert_in_time(response, response.began, TTL + self.stale);
                        assert!(self.is_hindered(token), "stale, and nothing was in the way");
                        "stale"
                    }
                }
            }
            LookUp::Rejected(refusal) => {
                let response = response.as_ref().expect("refused, and the endpoint said nothing");
                let expected = match response.what {
                    What::Inactive => Rejection::Inactive,
                    What::WrongAudience => Rejection::Claim(ClaimFault::AudienceUnexpected),
                    What::Active { .. } => Rejection::Claim(ClaimFault::Expired),
                    What::Nonsense => panic!("refused, and that was no answer"),
                };
                assert_eq!(refusal, expected);
                let is_expired = refusal == Rejection::Claim(ClaimFault::Expired);
                if !is_expired && !Self::is_usable_for(response, &request) {
                    let held = response.held.expect("held");
                    assert!(self.steady < held.ended + millis(INACTIVE_TTL), "refused for too long");
                    self.assert_in_time(response, response.ended, INACTIVE_TTL);
                }
                "refused"
            }
            LookUp::Pending(found) => {
                assert_eq!(found, digest(token));
                self.waiting.push(request);
                "wait"
            }
            LookUp::Unavailable(_) => "unavailable",
        };
        // What is known and in time is used, whatever the clock did, and nobody waits for it.
        if response.as_ref().is_some_and(|response| self.is_within(response, TTL)) {
            assert_eq!(what, "fresh", "{response:?}");
        }
        // And where the operator wants that, what is old is better than nothing.
        if response.as_ref().is_some_and(|response| self.is_within(response, TTL + self.stale)) {
            assert_ne!(what, "unavailable", "{response:?}");
        }
        self.count(what);
    }

    /// What other workers wrote of a token was read. Whether the newest is held now.
    fn learn(&mut self, token: usize, grace: Duration) -> bool {
        let found = self.store.of(&self.introspection.record_names(&digest(token)));
        self.take_over(token, &found, grace)
    }

    /// Of these the newest counts, if it is newer than what was seen.
    fn take_over(&mut self, token: usize, found: &[(LastResponse, SharedResponse)], grace: Duration) -> bool {
        let Some((response, record)) = found.iter().max_by_key(|(response, _)| response.number) else { return false };
        if self.newest.get(&token).is_some_and(|newest| response.number <= *newest) || response.what == What::Nonsense {
            return false;
        }
        let is_in_order = record.began <= record.ended && record.ended <= self.now;
        let now = self.now;
        let age = |time| millis(now.since(time));
        let lasts = match response.what {
            What::Inactive => age(record.ended) < millis(INACTIVE_TTL),
            What::Active { .. } | What::WrongAudience | What::Nonsense => age(record.began) < millis(TTL + grace),
        };
        if !is_in_order || !lasts {
            // Of no use, but that what was active is not any more.
            if response.what == What::Inactive {
                let was_active =
                    self.responses.remove(&token).is_some_and(|response| matches!(response.what, What::Active { .. }));
                self.newest.insert(token, response.number);
                self.count(if was_active { "ended" } else { "refused long ago" });
            }
            return false;
        }
        let held = CachedAt {
            began: self.steady - age(record.began),
            ended: self.steady - age(record.ended),
            call: None,
            missed: self.missed,
            understated: (self.real - response.began).saturating_sub(age(record.began)),
        };
        let since = self.steps.iter().filter(|(at, _)| *at >= response.began);
        let steps: u64 = since.filter(|(_, by)| *by < 0).map(|(_, by)| by.unsigned_abs()).sum();
        assert!(held.understated <= steps, "{} ms, and the clock was set back by {steps}", held.understated);
        self.count(if steps > 0 { "learned after a step back" } else { "learned" });
        if age(record.began) < millis(TTL) {
            self.trouble.remove(&token);
        }
        self.newest.insert(token, response.number);
        self.responses.insert(token, LastResponse { held: Some(held), ..response.clone() });
        true
    }

    /// Whether something may prevent a call: a failure since the token was answered, a circuit that opened a
    /// short while ago, or a budget that is spent.
    fn is_hindered(&self, token: usize) -> bool {
        let within = |at: u64, time: Duration| self.real - at < millis(time);
        let made = self.made.iter().filter(|(at, _)| within(*at, MINUTE + Duration::from_secs(5))).count();
        let closed = self.last_trouble.is_some_and(|at| within(at, LONGEST_PAUSE));
        // The clock of the budget is not this one.
        let is_set = self.last_step.is_some_and(|at| within(at, MINUTE + Duration::from_secs(5)));
        self.trouble.contains(&token) || closed || is_set || made >= BUDGET
    }

    fn trouble_for_all(&mut self) {
        self.trouble.extend(0..TOKENS);
        self.last_trouble = Some(self.real);
    }

    fn recall(&mut self, tokens: &[TokenDigest]) {
        let tokens: BTreeSet<usize> = tokens.iter().map(|found| token_of(*found)).collect();
        let (again, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|request| tokens.contains(&request.token));
        self.waiting = rest;
        for request in again {
            self.look(request);
        }
    }

    fn jitter(&mut self) -> Jitter {
        Jitter(u16::try_from(self.random.below(65_536)).unwrap())
    }

    fn tick(&mut self) {
        let jitter = self.jitter();
        self.read_clock();
        let begun = self.introspection.begin_calls(jitter, self.now);
        let gone: Vec<CallNumber> =
            self.in_flight.keys().copied().filter(|number| !self.introspection.is_calling(*number)).collect();
        for number in gone {
            let InFlight { token, began, .. } = self.in_flight.remove(&number).unwrap();
            let is_set_forward = self.steps.iter().any(|(at, by)| *at >= began && *by > 0);
            assert!(is_set_forward || self.real - began >= millis(TIMEOUT), "given up before its time");
            self.trouble.insert(token);
            self.last_trouble = Some(self.real);
            self.late.push(number);
            self.count("given up");
        }
        for Call { number, purpose, timeout } in begun.calls {
            let Purpose::Token { digest, class, .. } = purpose else { panic!("the address is known") };
            let token = token_of(digest);
            assert_eq!(timeout, TIMEOUT);
            assert!(self.in_flight.values().all(|call| call.token != token), "two calls at a time");
            assert!(self.now >= self.blocked_until, "called though the server wants to be left alone");
            self.calls += 1;
            let (began, steady, call, missed) = (self.real, self.steady, self.calls, self.missed);
            let call = InFlight { token, class, began, steady, call, missed, number: None };
            self.in_flight.insert(number, call);
            self.made.push((self.real, class));
            self.count("call");
        }
        let minute = |made: &&(u64, BudgetClass)| self.real - made.0 < millis(MINUTE);
        let unknown = self.made.iter().filter(minute).filter(|(_, class)| *class == BudgetClass::Unknown).count();
        assert!(self.made.iter().filter(minute).count() <= BUDGET, "over the budget");
        assert!(unknown <= BUDGET / 2, "unknown tokens have more than their share");
        self.recall(&begun.resume);
        let asked = self.introspection.stats(self.now).asked;
        assert_eq!(
            self.introspection.next_due(self.now).is_some(),
            asked > 0,
            "a tick for nothing, or none for what waits"
        );
    }

    /// A call under way.
    fn some_call(&mut self) -> Option<(CallNumber, InFlight)> {
        let at = self.random.index(self.in_flight.len().max(1));
        self.in_flight.iter().nth(at).map(|(number, call)| (*number, *call))
    }

    /// One that was sent; one that was not is sent instead.
    fn sent_call(&mut self) -> Option<(CallNumber, InFlight, u64)> {
        let (id, call) = self.some_call()?;
        if let Some(number) = call.number {
            return Some((id, call, number));
        }
        let number = self.number(self.real);
        self.in_flight.get_mut(&id).unwrap().number = Some(number);
        None
    }

    fn answer(&mut self) {
        let Some((id, call, number)) = self.sent_call() else { return };
        let token = call.token;
        self.serial += 1;
        let subject = format!("answer-{}", self.serial);
        let lives = [None, Some(0), Some(3), Some(12), Some(600)][self.random.index(5)];
        let expiry = lives.map(|seconds| UnixTime::from_secs(self.now.as_secs() + seconds));
        let (what, body) = match self.random.below(8) {
            0 | 1 => (What::Inactive, json!({"active": false, "sub": subject})),
            2 => (What::WrongAudience, json!({"active": true, "sub": subject, "aud": "other"})),
            _ => {
                let mut body = json!({"active": true, "sub": subject, "aud": "api"});
                if let Some(expiry) = expiry {
                    body["exp"] = json!(expiry.as_secs());
                }
                (What::Active { subject, expiry }, body)
            }
        };
        let end = self.finish(id, number, 200, body.to_string().into_bytes());
        assert_eq!(end.result, CallResult::Answered);
        self.in_flight.remove(&id);
        self.trouble.remove(&token);
        let held = CachedAt {
            began: call.steady,
            ended: self.steady,
            call: Some(call.call),
            missed: call.missed,
            understated: 0,
        };
        let response = LastResponse { what, number, began: call.began, ended: self.real, held: Some(held) };
        self.responses.insert(token, response.clone());
        self.newest.insert(token, number);
        // Another worker may have asked since.
        let is_ours = !self.learn(token, self.stale) && self.newest[&token] == number;
        let share = end.share.clone().unwrap();
        assert_eq!(share.ended, self.now);
        assert!(share.began <= share.ended, "the other workers do not know how old it is");
        self.store.write(&self.introspection.record_names(&digest(token)), &response, &share);
        self.shared.push((token, response, share));
        self.count("answer");
        assert!(end.resume.contains(&digest(token)));
        self.recall(&end.resume);
        let is_answered = |request: &Waiting| request.token == token && request.calls < call.call;
        assert!(!is_ours || !self.waiting.iter().any(is_answered), "left waiting though it is answered");
    }

    fn finish(&mut self, id: CallNumber, number: u64, status: u16, body: Vec<u8>) -> CallEnd {
        let retry_after = Some("7".to_owned());
        let outcome = Ok(HttpResponse::new(status, body).with_header("retry-after", retry_after));
        self.end(id, number, outcome)
    }

    fn end(&mut self, id: CallNumber, number: u64, outcome: CalloutResult) -> CallEnd {
        let jitter = self.jitter();
        self.read_clock();
        self.introspection.finish_call(id, Some(Sequence::new(number)), outcome, self.provider, jitter, self.now)
    }

    fn fail(&mut self) {
        let Some((id, InFlight { token, class, began, .. }, number)) = self.sent_call() else { return };
        let kind = self.random.below(7);
        let end = match kind {
            0 => self.finish(id, number, 429, Vec::new()),
            1 => self.finish(id, number, 400, Vec::new()),
            2 => self.finish(id, number, 200, b"<html>".to_vec()),
            3 => self.finish(id, number, 200, br#"{"active":"true"}"#.to_vec()),
            4 => self.finish(id, number, 503, br#"{"active":true,"aud":"api"}"#.to_vec()),
            5 => self.finish(id, number, 200, br#"{"active":true,"aud":"api","active":true}"#.to_vec()),
            _ => self.end(id, number, Err(TransportError::ConnectionFailed)),
        };
        assert!(matches!(end.result, CallResult::Failed { .. }));
        assert_eq!(
            end.share.is_some(),
            kind == 3 && class == BudgetClass::Established,
            "only the end of what was active"
        );
        if let Some(share) = &end.share {
            let response = LastResponse { what: What::Nonsense, number, began, ended: self.real, held: None };
            self.store.write(&self.introspection.record_names(&digest(token)), &response, share);
        }
        self.in_flight.remove(&id);
        // The circuit may have opened for all of them.
        self.trouble_for_all();
        let was_active = matches!(self.responses.get(&token), Some(LastResponse { what: What::Active { .. }, .. }));
        // Of a JSON object that is no answer nothing active survives; of any other failure it does.
        if kind == 3 || !was_active {
            self.responses.remove(&token);
        }
        if kind == 3 {
            self.newest.insert(token, number);
        }
        match (kind, end.block) {
            (0, Some(until)) => {
                assert_eq!(until, self.now.plus(Duration::from_secs(7)));
                self.blocked_until = self.blocked_until.max(until);
                self.count("429");
            }
            (0, None) | (_, Some(_)) => panic!("{:?} for {kind}", end.block),
            (_, None) => self.count("failure"),
        }
        self.recall(&end.resume);
    }

    fn postpone(&mut self) {
        let Some((number, _)) = self.some_call().filter(|(_, call)| call.number.is_none()) else { return };
        let why = match self.random.below(3) {
            0 => Deferral::LimitReached(LimitReached::Exhausted(Duration::from_secs(1))),
            1 => Deferral::LimitReached(LimitReached::Exhausted(Duration::from_secs(20))),
            _ => Deferral::HeldByOther,
        };
        self.withdraw(number);
        self.read_clock();
        let recall = self.introspection.defer(number, why, self.now);
        self.trouble_for_all();
        self.count("postponed");
        self.recall(&recall);
    }

    /// A call is not made.
    fn withdraw(&mut self, number: CallNumber) {
        let InFlight { began, class, .. } = self.in_flight.remove(&number).unwrap();
        // Those from before the clock was set are forgotten.
        if let Some(made) = self.made.iter().rposition(|made| *made == (began, class)) {
            self.made.remove(made);
        }
    }

    /// An answer that another worker was given, now or long ago, with the times of its clock when it wrote it.
    fn given_elsewhere(&mut self, token: usize) -> (LastResponse, SharedResponse) {
        let began = self.real - self.random.below(15_000);
        let ended = (began + self.random.below(2000)).min(self.real);
        let number = self.number(began);
        let subject = format!("answer-{}", self.serial);
        let steps: i64 = self.steps.iter().filter(|(at, _)| *at >= ended).map(|(_, by)| by).sum();
        let wall = |time: UnixTime| UnixTime::from_millis(time.as_millis().checked_add_signed(-steps).unwrap());
        let (wall_began, wall_ended) = (wall(self.wall(began)), wall(self.wall(ended)));
        let (what, body, slot) = if self.random.below(3) == 0 {
            (What::Inactive, json!({"active": false}), SharedSlot::Negative)
        } else {
            let body = json!({"active": true, "sub": subject, "aud": "api"});
            (What::Active { subject, expiry: None }, body, SharedSlot::Active)
        };
        let (body, token) = (body.to_string().into_bytes(), digest(token));
        let sequence = Sequence::new(number);
        let record = SharedResponse { token, sequence, began: wall_began, ended: wall_ended, body, slot };
        (LastResponse { what, number, began, ended, held: None }, record)
    }

    /// The response about the token of a call, here or elsewhere, is found in the shared data.
    fn adopt(&mut self) {
        let Some((id, InFlight { token, number: None, .. })) = self.some_call() else { return };
        let mut found = Vec::new();
        for _ in 0..=self.random.below(2) {
            let ours = self.shared.iter().rev().find(|(other, ..)| *other == token).cloned();
            found.push(match ours {
                Some((_, response, shared)) if self.random.below(3) == 0 => (response, shared),
                Some(_) | None => self.given_elsewhere(token),
            });
        }
        let records: Vec<SharedResponse> =
            found.iter().map(|(_, record)| SharedResponse::from_bytes(&record.to_bytes()).unwrap()).collect();
        self.read_clock();
        let end = self.introspection.adopt(id, &records, self.provider, self.now);
        let is_of_use = self.take_over(token, &found, Duration::ZERO);
        assert_eq!(end.result == CallResult::TakenOver, is_of_use, "{found:?}");
        let newest = self.introspection.newest_sequence(id);
        if !is_of_use {
            assert_eq!(newest.map(Sequence::number), Some(self.newest.get(&token).copied().unwrap_or_default()));
            self.count("shared and of no use");
            return;
        }
        assert_eq!(newest, None, "still to be made");
        self.withdraw(id);
        self.count("adopted");
        self.recall(&end.resume);
    }

    /// Another worker writes what it was told.
    fn tell(&mut self) {
        let token = self.random.index(TOKENS);
        let (response, answer) = self.given_elsewhere(token);
        self.store.write(&self.introspection.record_names(&digest(token)), &response, &answer);
    }

    fn respond_late(&mut self) {
        let Some(id) = self.late.pop() else { return };
        let number = self.number(self.real);
        let end = self.finish(id, number, 200, br#"{"active":true,"aud":"api","sub":"late"}"#.to_vec());
        assert_eq!(end.result, CallResult::Late);
        self.count("late answer");
    }

    fn step(&mut self) {
        match self.random.below(21) {
            0..=5 => {
                let token = self.random.index(TOKENS);
                self.request(token);
            }
            6..=8 => self.tick(),
            9..=11 => self.answer(),
            12 => self.fail(),
            13 => self.postpone(),
            14 => self.adopt(),
            15 => self.respond_late(),
            16 => self.tell(),
            17 if self.random.below(4) == 0 => self.set_clock(),
            18 if self.random.below(4) == 0 => self.store.wash(&mut self.random),
            _ => {
                let step = [1, 20, 100, 700, 1000, 2500, 4000, 9000, 16_000, 70_000][self.random.index(10)];
                self.pass(step);
            }
        }
    }

    fn pass(&mut self, step: u64) {
        self.real += step;
        self.now = self.now.plus(Duration::from_millis(step));
    }

    fn set_clock(&mut self) {
        let by = [300, 1500, 5000, 20_000, 200_000, 3_600_000][self.random.index(6)];
        let (by, what) = if self.random.below(3) == 0 { (by, "clock forward") } else { (-by, "clock back") };
        self.now = UnixTime::from_millis(self.now.as_millis().checked_add_signed(by).unwrap());
        self.steps.push((self.real, by));
        self.count(what);
        // The budget, pauses and what the server states of its limit go by the clock that was set.
        self.made.clear();
        self.blocked_until = UnixTime::from_millis(0);
        self.last_step = Some(self.real);
        self.trouble_for_all();
    }

    /// Time passes to where something is due, and nothing else: nobody is left waiting.
    fn drain(&mut self) {
        for _ in 0..200 {
            let due = self.introspection.next_due(self.now).unwrap_or(self.now);
            self.pass(millis(due.since(self.now)).max(1));
            self.read_clock();
            let begun = self.introspection.begin_calls(Jitter(0), self.now);
            let mut recalled: BTreeSet<TokenDigest> = begun.resume.into_iter().collect();
            // Half of the endpoint's answers never come.
            for call in begun.calls {
                if self.random.below(2) == 0 {
                    let number = self.number(self.real);
                    let end = self.finish(call.number, number, 200, br#"{"active":false}"#.to_vec());
                    recalled.extend(end.resume);
                }
            }
            self.waiting.retain(|Waiting { token, arrived, .. }| {
                !recalled.contains(&digest(*token))
                    || matches!(
                        self.introspection.look_up_opaque(text(*token).as_bytes(), self.provider, *arrived, self.now),
                        LookUp::Pending(_)
                    )
            });
            if self.waiting.is_empty() && self.introspection.stats(self.now).asked == 0 {
                return;
            }
        }
        panic!("left waiting: {:?}, {:?}", self.waiting, self.introspection.stats(self.now));
    }
}

fn policy() -> Policy {
    let configuration = json!({ "providers": { "a": { "issuer": "https://idp.example", "audiences": ["api"],
        "clock_skew": "5s", "upstream": "idp" } } });
    config::load(configuration.to_string().as_bytes(), &config::no_environment).unwrap().policy
}

#[test]
fn in_any_order_of_events_decisions_match_the_latest_valid_introspection_response() {
    let policy = policy();
    let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
    for number in 0..SEQUENCES {
        let seed = Random::nth_seed(number);
        let run = || {
            let mut model = Model::new(&policy, seed);
            for _ in 0..STEPS {
                model.step();
            }
            model.drain();
            model.counts
        };
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
        let Ok(found) = found else { panic!("sequence {number}, seed {seed:#x}: see above") };
        for (what, times) in found {
            *counts.entry(what).or_default() += times;
        }
    }
    println!("{counts:?}");
    for what in [
        "fresh",
        "stale",
        "refused",
        "wait",
        "unavailable",
        "call",
        "answer",
        "failure",
        "429",
        "postponed",
        "adopted",
        "learned",
        "learned after a step back",
        "ended",
        "shared and of no use",
        "given up",
        "late answer",
        "clock back",
        "clock forward",
    ] {
        assert!(counts.get(what).is_some_and(|times| *times >= 100), "{what}: {:?}", counts.get(what));
    }
}
