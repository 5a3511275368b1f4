//! The keys over time against a naive model: random sequences of requests, fetch responses, ticks, closed streams and
//! steps of the clock, back and forward. The model has the published keys and their times, and a clock that is never set;
//! the engine, which has none, has to agree with it.
//!
//! Invariants: no request is allowed without a signature of a key in the provider's current set; each parked request is
//! decided once or closed; one fetch at a time; fetches for unknown key ids and failed signatures use a token bucket, whose
//! last token is never for a failed signature; a signature that fails with a cached key is never a 503, and waits only for a
//! set that is newer than its request and its `kid`'s last such failure; a key replaced under its `kid` works after one fetch;
//! a key id is rejected as unknown only by a fetch that began after the request came and a cooldown after the first token
//! that named it; a set older than `max_stale` decides nothing; pending requests are bounded; and in the end a new key is
//! found.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::engine_harness::{Effects, Harness, Setup, fetch_response, head, published};
use crate::forge::{self, Forge, base64url, signing_input};
use crate::random::Random;
use crate::signing::{AUDIENCE, ISSUER};
use okta_proxy_wasm::callout::TransportError;
use okta_proxy_wasm::engine::{Callout, Decision, FetchCause, Jitter, ParkingLimits, StreamId, Verdict};
use okta_proxy_wasm::http::RequestHead;
use okta_proxy_wasm::unix_time::UnixTime;
use p256::ecdsa::signature::Signer as _;
use serde_json::{Value, json};

const SEQUENCES: u64 = 2000;
const STEPS: usize = 60;
const ROOM: usize = 6;
const TIMEOUT: Duration = Duration::from_secs(5);
const GIVE_UP: u64 = 7000;
/// How far the clock may go back without anybody having set it.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(1);
const DEADLINE: Duration = Duration::from_secs(6);
const COOLDOWN: u64 = 4000;
const BURST: f64 = 3.0;
/// So long after a newer set a failed signature of the same key id causes no fetch.
const FINAL_FOR: u64 = 10_000;
/// An eighth of the places.
const FAILED_ROOM: usize = 1;
const MAX_STALE: u64 = 2 * 3_600_000;

/// Which of two key pairs: the one of the test data, or the one of the opposite point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pair {
    A,
    B,
}

impl Pair {
    fn signing_key(self) -> p256::ecdsa::SigningKey {
        let secret = Forge::P256.secret();
        match self {
            Self::A => p256::ecdsa::SigningKey::from_slice(&secret).unwrap(),
            Self::B => {
                let opposite = forge::order(Forge::P256) - num_bigint::BigUint::from_bytes_be(&secret);
                p256::ecdsa::SigningKey::from_slice(&forge::fixed(&opposite, 32)).unwrap()
            }
        }
    }

    fn jwk(self, kid: &str) -> Value {
        let mut jwk = Forge::P256.jwk(kid);
        if self == Self::B {
            let prime = b"ffffffff00000001000000000000000000000000ffffffffffffffffffffffff";
            let prime = num_bigint::BigUint::parse_bytes(prime, 16).unwrap();
            let y = num_bigint::BigUint::from_bytes_be(&forge::unbase64url(jwk["y"].as_str().unwrap()));
            jwk["y"] = json!(base64url(forge::fixed(&(prime - y), 32)));
        }
        jwk
    }
}

/// A token made once: the key it names, and the key that signed it.
struct Token {
    kid: &'static str,
    pair: Pair,
    head: RequestHead,
}

fn tokens() -> Vec<Token> {
    let mut tokens = Vec::new();
    for kid in ["k1", "k2", "k3", "k4"] {
        for pair in [Pair::A, Pair::B] {
            let claims = json!({ "iss": ISSUER, "aud": AUDIENCE, "exp": 253_402_300_799_u64, "sub": "alice" });
            let input = signing_input(&json!({ "alg": "ES256", "kid": kid }).to_string(), &claims.to_string());
            let signature: p256::ecdsa::Signature = pair.signing_key().sign(input.as_bytes());
            let bearer = format!("Bearer {input}.{}", base64url(signature.to_bytes()));
            tokens.push(Token { kid, pair, head: head(&[("authorization", bearer)]) });
        }
    }
    tokens
}

type Published = Vec<(&'static str, Pair)>;

struct Waiting {
    token: usize,
    deadline: UnixTime,
    came: Moment,
}

/// A moment: how many events came before it, and the milliseconds of a clock that is never set.
#[derive(Clone, Copy)]
struct Moment {
    event: u64,
    millis: u64,
}

struct Model<'a> {
    tokens: &'a [Token],
    /// With the wall clock.
    engine: Harness,
    random: Random,
    /// What a clock says that is never set.
    millis: u64,
    events: u64,
    streams: u32,
    /// The set held, when its fetch began and when it ended.
    held: Option<(Published, Moment, u64)>,
    in_flight: Option<(Callout, Moment)>,
    late: Vec<Callout>,
    /// The fetches that are left to unknown key ids, and as of when.
    bucket: (f64, u64),
    first_named: BTreeMap<&'static str, u64>,
    called_unknown: BTreeMap<&'static str, u64>,
    /// By key id the first request whose signature fails and that waits, and until when such a failure is final.
    failed: BTreeMap<&'static str, (Option<u64>, u64)>,
    /// The same of those that would wait and have no place: the fetch that others wait for decides for them, too.
    rejected: BTreeMap<&'static str, (Option<u64>, u64)>,
    /// Whether the last fetch failed, and whether the clock was set back.
    is_failing: bool,
    was_set_back: bool,
    /// Whether one fetch is left because of that, of either cause.
    is_one_left: bool,
    waiting: BTreeMap<StreamId, Waiting>,
    done: BTreeSet<StreamId>,
    counts: BTreeMap<&'static str, usize>,
}

impl<'a> Model<'a> {
    fn new(tokens: &'a [Token], seed: u64) -> Self {
        let configuration = json!({ "providers": { "a": { "issuer": ISSUER, "audiences": [AUDIENCE], "upstream": "a",
            "algorithms": ["ES256"], "jwks": { "uri": "https://a.example/keys", "refresh": "1h", "max_stale": "2h",
            "timeout": "5s", "unknown_kid_cooldown": "4s" } } } });
        // Half of the places is for tokens that wait for a key.
        let limits = ParkingLimits { requests: 2 * ROOM, bytes: usize::MAX };
        Self {
            tokens,
            engine: Harness::with(&configuration, Setup { limits, ..Setup::default() }),
            random: Random::new(seed),
            millis: 0,
            events: 0,
            streams: 0,
            held: None,
            in_flight: None,
            late: Vec::new(),
            bucket: (BURST, 0),
            first_named: BTreeMap::new(),
            called_unknown: BTreeMap::new(),
            failed: BTreeMap::new(),
            rejected: BTreeMap::new(),
            is_failing: false,
            was_set_back: false,
            is_one_left: false,
            waiting: BTreeMap::new(),
            done: BTreeSet::new(),
            counts: BTreeMap::new(),
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// What a set in use says of a token: `None` when it has no key of that id, or there is no set.
    fn verdict(&self, token: usize) -> Option<&'static str> {
        let (published, _, at) = self.held.as_ref()?;
        if self.millis - at >= MAX_STALE {
            return None;
        }
        let token = &self.tokens[token];
        let mut named = published.iter().filter(|(kid, _)| *kid == token.kid).peekable();
        named.peek()?;
        Some(if named.any(|(_, pair)| *pair == token.pair) { "authorized" } else { "signature_invalid" })
    }

    fn is_in_use(&self) -> bool {
        self.held.as_ref().is_some_and(|(_, _, at)| self.millis - at < MAX_STALE)
    }

    /// How many of those that wait have a signature that fails with the set held.
    fn failed_waiting(&self) -> usize {
        self.waiting.values().filter(|waiting| self.verdict(waiting.token).is_some()).count()
    }

    /// How many fetches are left in the bucket, at most.
    fn left(&self) -> f64 {
        let (left, at) = self.bucket;
        BURST.min(left + (self.millis - at) as f64 / COOLDOWN as f64)
    }

    /// A signature fails: whether a fetch is to be made for it, as far as the model can tell.
    fn must_wait(&self, token: usize) -> bool {
        let kid = self.tokens[token].kid;
        let is_final = [&self.failed, &self.rejected]
            .into_iter()
            .any(|failed| failed.get(kid).is_some_and(|(_, final_until)| self.millis < *final_until));
        !is_final && self.left() > 2.001 && !self.is_failing && !self.was_set_back && !self.is_full()
    }

    /// Whether no other request may wait whose signature fails.
    fn is_full(&self) -> bool {
        self.failed_waiting() >= FAILED_ROOM || self.waiting.len() >= ROOM
    }

    fn moment(&mut self) -> Moment {
        self.events += 1;
        Moment { event: self.events, millis: self.millis }
    }

    /// Whether the issuer has had its time to publish the key, and was asked since this request came.
    fn may_be_called_unknown(&self, token: usize, came: Moment) -> bool {
        let kid = self.tokens[token].kid;
        let is_remembered = self.called_unknown.get(kid).is_some_and(|at| self.millis - at < COOLDOWN);
        let is_judged_by = |began: &Moment| {
            began.event > came.event && self.first_named.get(kid).is_some_and(|at| began.millis >= at + COOLDOWN)
        };
        self.is_in_use() && (is_remembered || self.held.as_ref().is_some_and(|(_, began, _)| is_judged_by(began)))
    }

    /// Whether a wait with this deadline is over: it has come, or the clock was set back before the wait began.
    fn is_over(&self, deadline: UnixTime) -> bool {
        self.engine.now >= deadline || self.engine.now.plus(DEADLINE).plus(CLOCK_TOLERANCE) < deadline
    }

    /// A decision must be what the model says at this moment.
    fn check_decision(&mut self, token: usize, came: Moment, deadline: Option<UnixTime>, decision: &Decision) {
        let reason = decision.audit.reason();
        assert_eq!(matches!(decision.verdict, Verdict::Allow(_)), reason == "authorized");
        match self.verdict(token) {
            Some(expected) => {
                assert_eq!(reason, expected, "a key of that id is held");
                let must_wait = deadline.is_none() && expected == "signature_invalid" && self.must_wait(token);
                assert!(!must_wait, "rejected though the key may have been replaced");
                if deadline.is_none() && expected == "signature_invalid" && self.is_full() {
                    let (first, _) = self.rejected.entry(self.tokens[token].kid).or_default();
                    *first = Some(first.unwrap_or(came.event));
                }
            }
            None => match reason {
                "key_unknown" => {
                    assert!(self.may_be_called_unknown(token, came), "called unknown too early");
                    let kid = self.tokens[token].kid;
                    let is_remembered = self.called_unknown.get(kid).is_some_and(|at| self.millis - at < COOLDOWN);
                    if !is_remembered {
                        self.called_unknown.insert(kid, self.millis);
                    }
                }
                "keys_unavailable" => {}
                "too_many_pending" => assert!(deadline.is_none() && self.waiting.len() == ROOM),
                "pending_timed_out" => assert!(deadline.is_some_and(|deadline| self.is_over(deadline))),
                other => panic!("{other} without a key"),
            },
        }
        self.count(reason);
    }

    fn request(&mut self) {
        let token = usize::try_from(self.random.below(self.tokens.len() as u64)).unwrap();
        self.request_with(token);
    }

    /// What is decided at once, if it is.
    fn request_with(&mut self, token: usize) -> Option<&'static str> {
        let came = self.moment();
        self.first_named.entry(self.tokens[token].kid).or_insert(self.millis);
        self.streams += 1;
        let stream = StreamId(self.streams);
        match self.engine.request_as(stream, &self.tokens[token].head) {
            Ok(decision) => {
                self.check_decision(token, came, None, &decision);
                self.done.insert(stream);
                Some(decision.audit.reason())
            }
            Err(_) => {
                if let Some(verdict) = self.verdict(token) {
                    assert_eq!(verdict, "signature_invalid", "parked though it could be decided");
                    assert!(self.failed_waiting() < FAILED_ROOM, "too many wait whose signature fails");
                    let (first, final_until) = self.failed.entry(self.tokens[token].kid).or_default();
                    assert!(self.millis >= *final_until, "parked though a newer set has decided");
                    *first = Some(first.unwrap_or(came.event));
                    self.count("parked with a failed signature");
                }
                self.count("parked");
                self.waiting.insert(stream, Waiting { token, deadline: self.engine.now.plus(DEADLINE), came });
                None
            }
        }
    }

    fn tick(&mut self) {
        self.engine.jitter = Jitter(u16::try_from(self.random.below(65_536)).unwrap());
        let effects = self.engine.tick();
        assert!(effects.fetches.len() <= 1 && effects.fetch_result.is_none());
        // One that the host never answered is given up, whether or not the next one is due yet.
        if let Some((older, _)) = self.in_flight.take_if(|(_, began)| self.millis >= began.millis + GIVE_UP) {
            self.late.push(older);
            self.is_failing = true;
        }
        for (fetch, cause) in effects.fetches.clone().into_iter().zip(effects.fetch_causes.clone()) {
            assert!(self.in_flight.is_none(), "two fetches at a time");
            let limited = match cause {
                FetchCause::Due => None,
                FetchCause::UnknownKeyId => Some((0.999, "fetch for an unknown id")),
                FetchCause::SignatureInvalid if self.is_one_left => Some((0.999, "fetch for a failed signature")),
                FetchCause::SignatureInvalid => Some((1.999, "fetch for a failed signature")),
            };
            if let Some((least, what)) = limited {
                let left = self.left();
                assert!(left > least, "{what} with {left} left");
                self.bucket = (left - 1.0, self.millis);
                self.is_one_left = false;
                self.count(what);
            }
            self.count("fetch");
            let began = self.moment();
            self.in_flight = Some((fetch, began));
        }
        self.take(&effects);
    }

    fn take(&mut self, effects: &Effects) {
        assert!(effects.follow_ups.is_empty());
        for (stream, decision) in self.engine.take_decided() {
            let waiting = self.waiting.remove(&stream).expect("decided and did not wait: twice, or after its end");
            assert!(self.done.insert(stream), "decided twice");
            self.check_decision(waiting.token, waiting.came, Some(waiting.deadline), &decision);
        }
    }

    fn published(&mut self) -> Published {
        let sets: [&[(&'static str, Pair)]; 7] = [
            &[("k1", Pair::A)],
            &[("k1", Pair::B)],
            &[("k1", Pair::A), ("k2", Pair::B)],
            &[("k2", Pair::B)],
            &[("k1", Pair::A), ("k1", Pair::B)],
            &[("k2", Pair::A), ("k3", Pair::A)],
            &[("k3", Pair::B), ("k1", Pair::A), ("k2", Pair::A)],
        ];
        sets[usize::try_from(self.random.below(7)).unwrap()].to_vec()
    }

    fn answer(&mut self, good: bool) {
        let published = self.published();
        self.answer_with(good, published);
    }

    fn answer_with(&mut self, good: bool, published: Published) {
        let Some((fetch, began)) = self.in_flight.take() else { return };
        let document = |published: &Published| {
            let keys: Vec<Value> = published.iter().map(|(kid, pair)| pair.jwk(kid)).collect();
            json!({ "keys": keys }).to_string().into_bytes()
        };
        let body = document(&published);
        let outcome = if good {
            let cache_control = [None, Some("max-age=0"), Some("max-age=600"), Some("no-store")]
                [usize::try_from(self.random.below(4)).unwrap()];
            fetch_response(200, cache_control, body)
        } else {
            match self.random.below(6) {
                0 => Err(TransportError::TimedOut),
                1 => Err(TransportError::ConnectionFailed),
                2 => fetch_response(500, None, body),
                3 => fetch_response(302, None, body),
                4 => fetch_response(200, None, &body[..body.len() - 2]),
                _ => fetch_response(200, None, *b"{\"keys\":[]}"),
            }
        };
        self.is_failing = !good;
        if good {
            for failed in [&mut self.failed, &mut self.rejected] {
                failed.retain(|kid, _| published.iter().any(|(published, _)| published == kid));
                for (first, final_until) in failed.values_mut() {
                    if first.take_if(|first| began.event > *first).is_some() {
                        *final_until = self.millis + FINAL_FOR;
                    }
                }
            }
            self.held = Some((published, began, self.millis));
        }
        let effects = self.engine.done(fetch.id, outcome);
        assert!(effects.fetch_result.is_some() && effects.fetches.is_empty());
        self.take(&effects);
        self.count(if good { "good answer" } else { "bad answer" });
        for waiting in self.waiting.values() {
            match self.verdict(waiting.token) {
                None => {}
                Some("signature_invalid") => {
                    assert!(good && waiting.came.event > began.event, "left waiting though a newer set has decided");
                }
                Some(_) => panic!("left waiting though its key has come"),
            }
        }
        // The same answer once more, or one to a fetch that was given up, changes nothing.
        if self.random.below(4) == 0 {
            self.late.push(fetch);
        }
    }

    fn respond_late(&mut self) {
        let Some(fetch) = self.late.pop() else { return };
        let keys = [Pair::A.jwk("k4"), Pair::B.jwk("k4")];
        let effects = self.engine.done(fetch.id, published(&json!({ "keys": keys })));
        assert_eq!(effects.fetch_result, None, "a late answer is taken");
        self.take(&effects);
        self.count("late answer");
    }

    fn close(&mut self) {
        let stream = StreamId(1 + u32::try_from(self.random.below(u64::from(self.streams.max(1)))).unwrap());
        self.engine.close(stream);
        if self.waiting.remove(&stream).is_some() {
            self.done.insert(stream);
            self.count("closed");
        }
    }

    fn pass(&mut self) {
        let step = [1, 20, 500, 1000, 3000, 7000, 31_000, 60_000, 700_000, 3_600_000, 7_200_000]
            [usize::try_from(self.random.below(11)).unwrap()];
        self.engine.now = self.engine.now.plus(Duration::from_millis(step));
        self.millis += step;
    }

    /// Somebody sets the clock back. The host ticks every few seconds.
    fn set_back(&mut self) {
        self.tick();
        let back = self.random.below(3) * self.random.below(5_000_000);
        self.engine.now = UnixTime::from_millis(self.engine.now.as_millis() - back);
        // One fetch more than else: nobody knows any more when the last ones were.
        let (left, at) = self.bucket;
        self.bucket = (left.max(1.0), at);
        (self.was_set_back, self.is_one_left) = (true, true);
        self.tick();
        self.count("clock back");
    }

    /// Somebody sets it forward: nobody can tell from time that passed.
    fn set_forward(&mut self) {
        let step = self.random.below(10_000_000);
        self.engine.now = self.engine.now.plus(Duration::from_millis(step));
        self.millis += step;
        self.tick();
        self.count("clock forward");
    }

    fn step(&mut self) {
        match self.random.below(20) {
            0..=7 => self.request(),
            8..=10 => self.tick(),
            11 | 12 => self.answer(true),
            13 => self.answer(false),
            14 => self.respond_late(),
            15 => self.close(),
            16 => match self.random.below(3) {
                0 => self.set_forward(),
                _ => self.set_back(),
            },
            _ => self.pass(),
        }
        assert_eq!(self.engine.pending(), self.waiting.len(), "who waits");
        assert!(self.engine.pending() <= ROOM, "more wait than there is limits for");
        assert!(self.failed_waiting() <= FAILED_ROOM, "too many wait whose signature fails");
    }

    /// The issuer is well again and publishes a new key: in seconds its tokens pass, whatever was before; with no keys
    /// in use it takes as long as a back-off.
    fn recover(&mut self) {
        let new = self.tokens.iter().position(|token| token.kid == "k4" && token.pair == Pair::A).unwrap();
        let seconds = if self.is_in_use() { 20 } else { 70 };
        for _ in 0..seconds * 2 {
            self.tick();
            self.answer_with(true, vec![("k4", Pair::A)]);
            if self.request_with(new) == Some("authorized") {
                return self.count("recovered");
            }
            self.engine.now = self.engine.now.plus(Duration::from_millis(500));
            self.millis += 500;
        }
        panic!("no new key in {seconds} s");
    }

    /// The issuer replaces that key and keeps its `kid`: its first token passes, after one fetch.
    fn replace(&mut self) {
        let token = |pair| self.tokens.iter().position(|token| token.kid == "k4" && token.pair == pair).unwrap();
        let (old, new) = (token(Pair::A), token(Pair::B));
        let pass = |model: &mut Self, seconds: u64| {
            for _ in 0..seconds * 2 {
                model.engine.now = model.engine.now.plus(Duration::from_millis(500));
                model.millis += 500;
                model.tick();
                model.answer_with(true, vec![("k4", Pair::A)]);
            }
        };
        // Until there is a fetch to spare, whatever was before.
        pass(self, 30);
        let mut waits = self.request_with(new).is_none();
        if !waits && self.was_set_back {
            // By the clock that was set back the bucket is empty just now.
            pass(self, 12);
            waits = self.request_with(new).is_none();
        }
        assert!(waits, "no fetch for it");
        self.tick();
        assert!(self.in_flight.is_some(), "no fetch");
        self.answer_with(true, vec![("k4", Pair::B)]);
        assert!(self.waiting.is_empty(), "that fetch brought the key");
        assert_eq!(self.request_with(new), Some("authorized"));
        assert_eq!(self.request_with(old), Some("signature_invalid"), "the old key verifies nothing any more");
        self.count("replaced");
    }

    /// Time passes and nothing else: nobody is left waiting.
    fn end(&mut self) {
        // As far forward as the clock may have gone back.
        let last_deadline = self.waiting.values().map(|waiting| waiting.deadline).max();
        let now = last_deadline.map_or(self.engine.now, |deadline| deadline.max(self.engine.now)).plus(TIMEOUT);
        self.millis += u64::try_from(now.since(self.engine.now).as_millis()).unwrap();
        self.engine.now = now;
        self.tick();
        assert_eq!((self.engine.pending(), self.waiting.len()), (0, 0), "left waiting for ever");
        assert_eq!(self.done.len(), usize::try_from(self.streams).unwrap(), "not each decided or closed");
    }
}

#[test]
fn in_any_order_of_events_the_keys_match_a_naive_model() {
    let tokens = tokens();
    let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
    for number in 0..SEQUENCES {
        let seed = Random::nth_seed(number);
        let run = || {
            let mut model = Model::new(&tokens, seed);
            for _ in 0..STEPS {
                model.step();
            }
            model.recover();
            model.replace();
            model.end();
            model.counts
        };
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
        let Ok(found) = found else { panic!("sequence {number}, seed {seed:#x}: see above") };
        for (what, times) in found {
            *counts.entry(what).or_default() += times;
        }
    }
    println!("{counts:?}");
    // Each of these happened often enough to mean something.
    for what in [
        "authorized",
        "signature_invalid",
        "key_unknown",
        "keys_unavailable",
        "too_many_pending",
        "pending_timed_out",
        "parked",
        "fetch",
        "fetch for an unknown id",
        "fetch for a failed signature",
        "parked with a failed signature",
        "replaced",
        "good answer",
        "bad answer",
        "late answer",
        "closed",
        "clock back",
        "clock forward",
        "recovered",
    ] {
        assert!(counts.get(what).is_some_and(|times| *times >= 100), "{what}: {:?}", counts.get(what));
    }
}
