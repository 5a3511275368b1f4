//! Three workers that share their fetches by a lease, an issuer that rotates its keys, a flood of unknown key ids, forged
//! tokens with cached ones, and a clock that is set back and forward: random schedules, and the invariants of each.
//!
//! * A token whose key is published 2 s after its first use is never rejected.
//! * A rotated key works in every worker soon after its publication.
//! * Fetches for unknown key ids and failed signatures use one bucket, the last token never for a failed signature; one fetch
//!   is made at a time.
//! * A key replaced under the same `kid` works in every worker soon after its publication, and a signature that fails with the
//!   cached keys is never a 503.
//! * A key id that is never published is rejected as unknown in the end.
//! * A worker that gives up a fetch releases its lease.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine_harness::{Effects, Harness, Setup, bearer, fetch_response};
use crate::random::Random;
use crate::signing::{self, AUDIENCE, ISSUER, SigningKey, key_set, payload, with};
use okta_proxy_wasm::engine::{
    CalloutId, FetchCause, Jitter, KeyLease, Lease, LeaseRequest, Record as _, SharedOutcome, StreamId,
};
use okta_proxy_wasm::unix_time::UnixTime;
use serde_json::json;

const START: u64 = 1_800_000_000_000;
const WORKERS: usize = 3;
const STEP: u64 = 50;
const RUN: u64 = 30_000;
/// The new key's first token, and its publication.
const FIRST_USE: u64 = 12_000;
const COOLDOWN: f64 = 4000.0;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Genuine,
    NeverPublished,
    Random,
    /// With a known `kid`.
    Forged,
    /// By the key that replaces another one under its `kid`.
    Replacing,
}

struct Worker {
    engine: Harness,
    streams: BTreeMap<StreamId, Kind>,
    /// A fetch, when it ends, and what it brings.
    in_flight: Option<(CalloutId, u64, bool)>,
    held: Option<(CalloutId, KeyLease)>,
}

struct Process {
    workers: Vec<Worker>,
    random: Random,
    /// A clock that is never set, and how far the wall clock is from it.
    millis: u64,
    offset: i64,
    is_clock_set: bool,
    lag: u64,
    lease: Option<KeyLease>,
    good: Option<SharedOutcome>,
    failed: Option<SharedOutcome>,
    bucket: (f64, u64),
    streams: u32,
    fetches: usize,
    for_signatures: usize,
    /// Requests that waited and passed by a key that replaced the one held.
    replaced: usize,
    /// Whether a key set is there.
    is_held: bool,
    /// Whether one fetch is left because the clock was set back, of either cause.
    is_one_left: bool,
    admitted_in: [BTreeSet<usize>; 2],
    works_after: [Option<u64>; 2],
    unknown: usize,
    given_up: usize,
}

struct Tokens {
    genuine: String,
    never: String,
    forged: Vec<String>,
    replacing: String,
    sets: [Vec<u8>; 2],
}

fn tokens() -> Tokens {
    let (old, new) = (SigningKey::a("old"), SigningKey::b("new"));
    let (replaced, replacing) = (SigningKey::a("same"), SigningKey::b("same"));
    let claims = with(&payload(START / 1000), json!({ "exp": START / 1000 + 1_000_000, "iat": 1, "nbf": null }));
    let genuine = new.token(&claims);
    let (_, rest) = genuine.split_once('.').unwrap();
    let (payload, _) = rest.split_once('.').unwrap();
    let forged = |number: usize| {
        let kid = ["old", "same"][number % 2];
        named(kid, &format!("{payload}.{}", signing::encode(&format!("{number:0>256}"))))
    };
    Tokens {
        never: named("never", rest),
        forged: (0..40).map(forged).collect(),
        replacing: replacing.token(&claims),
        sets: [
            key_set(&[&old, &replaced]).to_string().into_bytes(),
            key_set(&[&old, &replacing, &new]).to_string().into_bytes(),
        ],
        genuine,
    }
}

/// A token with this key id and the rest of another one.
fn named(kid: &str, rest: &str) -> String {
    format!("{}.{rest}", signing::encode(&json!({ "alg": "RS256", "kid": kid }).to_string()))
}

impl Process {
    fn new(seed: u64) -> Self {
        let configuration = json!({ "providers": { "a": { "issuer": ISSUER, "audiences": [AUDIENCE], "upstream": "a",
            "jwks": { "uri": "https://a.example/keys" } } } });
        let worker = |_| {
            let start = UnixTime::from_millis(START);
            let engine = Harness::with(&configuration, Setup { start, shares: true, ..Setup::default() });
            Worker { engine, streams: BTreeMap::new(), in_flight: None, held: None }
        };
        let mut random = Random::new(seed);
        let lag = random.below(2001);
        Self {
            workers: (0..WORKERS).map(worker).collect(),
            random,
            millis: 0,
            offset: 0,
            is_clock_set: false,
            lag,
            lease: None,
            good: None,
            failed: None,
            bucket: (3.0, 0),
            streams: 0,
            fetches: 0,
            for_signatures: 0,
            replaced: 0,
            is_held: false,
            is_one_left: false,
            admitted_in: Default::default(),
            works_after: [None; 2],
            unknown: 0,
            given_up: 0,
        }
    }

    fn now(&self) -> UnixTime {
        UnixTime::from_millis((START + self.millis).checked_add_signed(self.offset).unwrap())
    }

    /// A worker's engine, at this time.
    fn worker(&mut self, at: usize) -> &mut Harness {
        let now = self.now();
        let engine = &mut self.workers[at].engine;
        engine.now = now;
        engine
    }

    fn take(&mut self, at: usize, effects: Effects) {
        for (stream, decision) in self.workers[at].engine.take_decided() {
            let kind = self.workers[at].streams.remove(&stream).expect("a stream that waits");
            self.replaced += usize::from(kind == Kind::Replacing && decision.audit.reason() == "authorized");
            self.check_decision(at, kind, decision.audit.reason());
        }
        if let Some(outcome) = effects.shared_keys {
            let record = if outcome.response.is_some() { &mut self.good } else { &mut self.failed };
            let is_older = record.as_ref().is_some_and(|held| held.sequence.is_newer_than(outcome.sequence));
            if !is_older {
                *record = SharedOutcome::from_bytes(&outcome.to_bytes());
            }
        } else {
            self.given_up += effects.released.len();
        }
        for released in effects.released {
            let held = self.workers[at].held.map(|(fetch, _)| fetch);
            assert_eq!(held, Some(released), "a lease is given back that is not held");
            self.give_back(at);
        }
        for (fetch, lease) in effects.leases {
            self.turn(at, fetch, &lease);
        }
    }

    fn give_back(&mut self, at: usize) {
        let held = self.workers[at].held.take().map(|(_, lease)| lease);
        if self.lease == held {
            self.lease = held.map(KeyLease::given_back);
        }
    }

    /// A lease runs only on a fetch that its holder makes.
    fn check_lease(&self) {
        let Some(lease) = self.lease.filter(|lease| self.now() < lease.span.until) else { return };
        let is_made = |worker: &Worker| {
            worker.held.is_some_and(|(fetch, held)| held == lease && worker.engine.engine.is_under_way(fetch))
        };
        assert!(self.workers.iter().any(is_made), "nobody makes the fetch that the lease is on");
    }

    fn check_decision(&mut self, at: usize, kind: Kind, reason: &str) {
        match (kind, reason) {
            (Kind::Genuine | Kind::Replacing, "authorized") => {
                let which = usize::from(kind == Kind::Replacing);
                self.admitted_in[which].insert(at);
                if self.admitted_in[which].len() == WORKERS && self.works_after[which].is_none() {
                    self.works_after[which] = Some(self.millis - FIRST_USE - self.lag);
                }
            }
            (Kind::Forged | Kind::Replacing, "signature_invalid") => {}
            (Kind::Forged | Kind::Replacing, _) if self.is_held => panic!("{reason} for a failed signature"),
            (Kind::Genuine, "key_unknown") => panic!("a good token is called bad"),
            (_, "key_unknown") => self.unknown += 1,
            (_, "keys_unavailable" | "pending_timed_out" | "too_many_pending") => {}
            (_, other) => panic!("{other}"),
        }
    }

    fn turn(&mut self, at: usize, id: CalloutId, request: &LeaseRequest) {
        let LeaseRequest::Keys { fetch, .. } = request else { panic!("a fetch of keys") };
        let now = self.now();
        if !self.workers[at].engine.engine.is_under_way(id) {
            return;
        }
        let lease = self.lease.and_then(|lease| KeyLease::from_bytes(&lease.to_bytes()));
        let turn = Lease::for_fetch(fetch, lease, now);
        let effects = self.worker(at).lease_done(id, turn.into());
        assert_eq!(effects.fetches.len(), usize::from(matches!(turn, Lease::Acquired(_))), "with a lease alone");
        self.take(at, effects);
        match turn {
            Lease::Acquired(lease) => {
                // A lease ends with a clock that is set forward.
                let is_alone = self.workers.iter().all(|worker| worker.in_flight.is_none());
                assert!(is_alone || self.is_clock_set, "two fetches at a time");
                if fetch.cause != FetchCause::Due {
                    let (left, as_of) = self.bucket;
                    let left = f64::min(3.0, left + (self.millis - as_of) as f64 / COOLDOWN);
                    let is_spare = fetch.cause == FetchCause::SignatureInvalid && !self.is_one_left;
                    let least = if is_spare { 1.999 } else { 0.999 };
                    self.is_one_left = false;
                    assert!(left > least, "a fetch with {left} left");
                    self.for_signatures += usize::from(fetch.cause == FetchCause::SignatureInvalid);
                    self.bucket = (left - 1.0, self.millis);
                    self.fetches += 1;
                }
                (self.lease, self.workers[at].held) = (Some(lease), Some((id, lease)));
                let ends = self.millis + self.random.below(300);
                let asked = self.millis + self.random.below(ends - self.millis + 1);
                self.workers[at].in_flight = Some((id, ends, asked >= FIRST_USE + self.lag));
            }
            Lease::HeldByOther(_) | Lease::Cooldown { .. } => {}
        }
    }

    fn request(&mut self, at: usize, kind: Kind, tokens: &Tokens) {
        let token = match kind {
            Kind::Genuine => tokens.genuine.clone(),
            Kind::NeverPublished => tokens.never.clone(),
            Kind::Forged => tokens.forged[usize::try_from(self.streams).unwrap() % tokens.forged.len()].clone(),
            Kind::Replacing => tokens.replacing.clone(),
            Kind::Random => named(&self.streams.to_string(), tokens.never.split_once('.').unwrap().1),
        };
        self.streams += 1;
        let stream = StreamId(self.streams);
        match self.worker(at).request_as(stream, &bearer(token)) {
            Ok(decision) => self.check_decision(at, kind, decision.audit.reason()),
            Err(_) => {
                self.workers[at].streams.insert(stream, kind);
            }
        }
    }

    fn step(&mut self, at: usize, tokens: &Tokens, others: &[Kind]) {
        self.workers[at].engine.jitter = Jitter(u16::try_from(self.random.below(65_536)).unwrap());
        if let Some((fetch, _, has_new)) = self.workers[at].in_flight.take_if(|(_, ends, _)| *ends <= self.millis) {
            let body = tokens.sets[usize::from(has_new)].clone();
            let effects = self.worker(at).done(fetch, fetch_response(200, None, body));
            self.take(at, effects);
            self.is_held = true;
        }
        for outcome in [self.good.clone(), self.failed.clone()].into_iter().flatten() {
            let provider = self.workers[at].engine.engine.shared_records()[0].0;
            let effects = self.worker(at).keys_shared(provider, outcome);
            self.take(at, effects);
        }
        let effects = self.worker(at).tick();
        self.take(at, effects);
        for kind in others {
            if *kind != Kind::NeverPublished || self.millis.is_multiple_of(200) {
                self.request(at, *kind, tokens);
            }
        }
        if self.millis >= FIRST_USE {
            self.request(at, Kind::Genuine, tokens);
            self.request(at, Kind::Replacing, tokens);
        }
    }

    fn set_clock(&mut self) {
        let seconds = [-3600, -120, -5, -1, 1, 5, 120, 3600][usize::try_from(self.random.below(8)).unwrap()];
        self.offset += seconds * 1000;
        (self.is_clock_set, self.is_one_left) = (true, true);
        let (left, as_of) = self.bucket;
        // Whoever sets it forward fills the bucket; back, one fetch is allowed at once.
        self.bucket = (if seconds > 0 { 3.0 } else { left.max(1.0) }, as_of);
    }
}

struct Found {
    fetches: usize,
    for_signatures: usize,
    replaced: usize,
    works_after: u64,
    unknown: usize,
    given_up: usize,
}

fn run(seed: u64, tokens: &Tokens, others: &[Kind], sets_clock: bool) -> Found {
    let mut process = Process::new(seed);
    let mut next_step = process.random.below(10_000);
    while process.millis < RUN {
        if sets_clock && process.millis >= next_step {
            process.set_clock();
            next_step += 8000 + process.random.below(4000);
        }
        let first = usize::try_from(process.random.below(WORKERS as u64)).unwrap();
        for nth in 0..WORKERS {
            process.step((first + nth) % WORKERS, tokens, others);
            process.check_lease();
        }
        process.millis += STEP;
    }
    let works_after = process.works_after.map(|after| after.expect("the new key never works"));
    Found {
        fetches: process.fetches,
        for_signatures: process.for_signatures,
        replaced: process.replaced,
        works_after: works_after.into_iter().max().unwrap(),
        unknown: process.unknown,
        given_up: process.given_up,
    }
}

#[test]
fn workers_that_share_fetches_agree_with_the_issuer_under_clock_steps() {
    let tokens = tokens();
    for sets_clock in [false, true] {
        let (mut longest, mut most, mut unknown, mut for_signatures, mut replaced, mut given_up) = (0, 0, 0, 0, 0, 0);
        for number in 0..50_u64 {
            let seed = Random::nth_seed(number);
            let others: &[Kind] = match number % 5 {
                0 => &[Kind::Random, Kind::Forged, Kind::NeverPublished],
                1 => &[Kind::Random, Kind::NeverPublished],
                2 => &[Kind::Forged],
                3 => &[Kind::Forged, Kind::NeverPublished],
                _ => &[Kind::NeverPublished],
            };
            let found = std::panic::catch_unwind(|| run(seed, &tokens, others, sets_clock));
            let Ok(found) = found else { panic!("seed {seed:#x}, clock steps {sets_clock}: see above") };
            longest = longest.max(found.works_after);
            most = most.max(found.fetches);
            unknown += found.unknown;
            for_signatures += found.for_signatures;
            replaced += found.replaced;
            given_up += found.given_up;
        }
        println!(
            "clock steps {sets_clock}: a new key works after {longest} ms at most, {most} fetches in 30 s, {given_up} given up"
        );
        assert!(longest <= 5000, "{longest} ms");
        assert!(sets_clock || most <= 3 + 30 / 4, "{most} fetches");
        assert!(!sets_clock || given_up > 0, "no step ended a fetch");
        assert!(unknown > 100, "no key id is ever called unknown: {unknown}");
        assert!(for_signatures > 20, "no fetch is ever made for a failed signature: {for_signatures}");
        assert!(replaced > 0, "no request waits for the key that replaces one");
    }
}
