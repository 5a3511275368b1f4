//! The structured target: any sequence of requests, fetch responses, ticks, closed streams and jumps of the clock,
//! beside a model that holds the valid tokens under the key sets that were accepted last.
//!
//! Invariants: never allowed without a token that is valid now; a valid token whose key is cached is allowed; each parked
//! request is decided exactly once, and in the end every one is; pending requests are bounded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use okta_proxy_wasm::callout::TransportError;
use okta_proxy_wasm::engine::{Callout, Decision, FetchResult, Jitter, ParkingLimits, StreamId, Verdict};
use okta_proxy_wasm::http::RequestHead;
use okta_proxy_wasm::unix_time::UnixTime;
use serde_json::json;

use crate::engine_harness::{Effects, Harness, NOW, Setup, bearer, fetch_response, status_of};
use crate::signing::{AUDIENCE, SigningKey, key_set, payload, with};

const LIMITS: ParkingLimits = ParkingLimits { requests: 6, bytes: 64 * 1024 };
const MAX_STEPS: usize = 200;
const MAX_STALE: Duration = Duration::from_secs(3600);
const SKEW: Duration = Duration::from_secs(60);
const LIFETIME: u64 = 7200;
/// Ticks in which everything that waits must come to its end once every fetch is answered.
const LAST_TICKS: usize = 20;

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Step {
    Request { stream: u8, token: u8 },
    Tick { jitter: u16 },
    Answer { which: u8, answer: ResponseInput },
    Close { stream: u8 },
    Pass { millis: u16 },
    PassLong { minutes: u8 },
    ClockBack { seconds: u16 },
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum ResponseInput {
    /// These keys, by bit.
    Keys(u8),
    Garbage,
    Status(u8),
    Failed,
}

/// A token whose truth is known.
struct KnownToken {
    head: RequestHead,
    /// The provider that it names, and the published key that signed it, when its claims are good.
    signed: Option<(usize, u8)>,
    expires: UnixTime,
}

/// Two issuers, each of which may publish either of two key pairs under ids of its own.
const ISSUERS: [&str; 2] = ["https://one.example/", "https://two.example/"];
/// The first issuer has a second provider, for this audience and with keys at another address.
const SECOND_AUDIENCE: &str = "api://second";
const PROVIDERS: [&str; 3] = ["one", "two", "second"];

fn keys(bits: u8) -> Vec<SigningKey> {
    let all = [(1, SigningKey::a("k1")), (2, SigningKey::b("k2"))];
    all.into_iter().filter(|(bit, _)| bits & bit != 0).map(|(_, key)| key).collect()
}

fn documents() -> &'static [Vec<u8>; 4] {
    static DOCUMENTS: OnceLock<[Vec<u8>; 4]> = OnceLock::new();
    DOCUMENTS.get_or_init(|| {
        [0, 1, 2, 3].map(|bits| key_set(&keys(bits).iter().collect::<Vec<_>>()).to_string().into_bytes())
    })
}

fn tokens() -> &'static [KnownToken] {
    static TOKENS: OnceLock<Vec<KnownToken>> = OnceLock::new();
    TOKENS.get_or_init(|| {
        let mut tokens = Vec::new();
        let mut add = |text: &str, signed: Option<(usize, u8)>, expires: u64| {
            tokens.push(KnownToken { head: bearer(text), signed, expires: UnixTime::from_secs(expires) });
        };
        for (provider, issuer) in ISSUERS.iter().enumerate() {
            let claims = with(&payload(NOW), json!({ "iss": issuer, "exp": NOW + LIFETIME }));
            let short = with(&claims, json!({ "exp": NOW + 300 }));
            add(&SigningKey::a("k1").token(&claims), Some((provider, 1)), NOW + LIFETIME);
            add(&SigningKey::b("k2").token(&claims), Some((provider, 2)), NOW + LIFETIME);
            add(&SigningKey::a("k1").token(&short), Some((provider, 1)), NOW + 300);
            // The right id and the wrong key, an id that nobody publishes, another audience.
            add(&SigningKey::b("k1").token(&claims), None, NOW + LIFETIME);
            add(&SigningKey::a("k9").token(&claims), None, NOW + LIFETIME);
            add(&SigningKey::a("k8").token(&claims), None, NOW + LIFETIME);
            add(&SigningKey::a("k1").token(&with(&claims, json!({ "aud": "other" }))), None, NOW + LIFETIME);
        }
        add(&SigningKey::a("k1").token(&with(&payload(NOW), json!({ "iss": "https://three.example/" }))), None, NOW);
        add("opaque", None, NOW);
        let second = with(&payload(NOW), json!({ "iss": ISSUERS[0], "aud": SECOND_AUDIENCE, "exp": NOW + LIFETIME }));
        add(&SigningKey::a("k1").token(&second), Some((2, 1)), NOW + LIFETIME);
        add(&SigningKey::b("k2").token(&second), Some((2, 2)), NOW + LIFETIME);
        add(&SigningKey::a("k9").token(&second), None, NOW + LIFETIME);
        let of_both = with(&second, json!({ "aud": [AUDIENCE, SECOND_AUDIENCE] }));
        add(&SigningKey::a("k1").token(&of_both), None, NOW + LIFETIME);
        tokens
    })
}

struct Scene {
    engine: Harness,
    /// How much time has passed, whatever the clock says.
    passed: Duration,
    /// What waits, by stream: which token.
    parked: BTreeMap<u32, usize>,
    in_flight: Vec<Callout>,
    /// The keys that were accepted last, and when, per provider.
    held: [Option<(u8, Duration)>; 3],
    closed: BTreeSet<u32>,
}

/// Runs the sequence that the bytes describe.
pub(crate) fn sequence(input: &[u8]) {
    let mut source = Unstructured::new(input);
    let mut scene = Scene::new();
    for _ in 0..MAX_STEPS {
        if source.is_empty() {
            break;
        }
        let Ok(step) = Step::arbitrary(&mut source) else { break };
        scene.take(step);
        assert_eq!(scene.engine.pending(), scene.parked.len(), "after {step:?}");
        assert!(scene.parked.len() <= LIMITS.requests);
    }
    scene.end();
}

impl Scene {
    fn new() -> Self {
        let provider = |issuer: &str, audience: &str, host: &str| {
            json!({ "issuer": issuer, "audiences": [audience], "upstream": "u", "clock_skew": "60s",
                "jwks": { "uri": format!("https://{host}.example/keys"), "refresh": "5m", "max_stale": "1h",
                    "timeout": "5s" } })
        };
        let configuration = json!({ "providers": {
            "one": provider(ISSUERS[0], AUDIENCE, "one"),
            "second": provider(ISSUERS[0], SECOND_AUDIENCE, "second"),
            "two": provider(ISSUERS[1], AUDIENCE, "two") } });
        let engine = Harness::with(&configuration, Setup { limits: LIMITS, ..Setup::default() });
        Self {
            engine,
            passed: Duration::ZERO,
            parked: BTreeMap::new(),
            in_flight: Vec::new(),
            held: [None; 3],
            closed: BTreeSet::new(),
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Request { stream, token } => self.request(u32::from(stream), usize::from(token) % tokens().len()),
            Step::Tick { jitter } => self.tick(jitter),
            Step::Answer { which, answer } => {
                if !self.in_flight.is_empty() {
                    let fetch = self.in_flight.remove(usize::from(which) % self.in_flight.len());
                    self.answer(&fetch, answer);
                }
            }
            Step::Close { stream } => {
                self.engine.close(StreamId(u32::from(stream)));
                self.parked.remove(&u32::from(stream));
                self.closed.insert(u32::from(stream));
            }
            Step::Pass { millis } => self.pass(Duration::from_millis(u64::from(millis))),
            Step::PassLong { minutes } => self.pass(Duration::from_secs(60 * u64::from(minutes))),
            Step::ClockBack { seconds } => {
                // The host ticks every few seconds: that the clock was set is noticed.
                self.tick(0);
                self.engine.now =
                    UnixTime::from_millis(self.engine.now.as_millis().saturating_sub(u64::from(seconds) * 1000));
                self.tick(0);
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        self.engine.now = self.engine.now.plus(time);
        self.passed += time;
    }

    fn request(&mut self, stream: u32, token: usize) {
        // A stream that waits sends no second head; an id comes again only when its stream is gone.
        if self.parked.contains_key(&stream) {
            return;
        }
        match self.engine.request_as(StreamId(stream), &tokens()[token].head) {
            Ok(decision) => self.check_decision(token, &decision),
            Err(_) => {
                assert!(!self.is_good_now(token), "a good token waits though its key is held");
                self.parked.insert(stream, token);
            }
        }
    }

    fn tick(&mut self, jitter: u16) {
        self.engine.jitter = Jitter(jitter);
        let effects = self.engine.tick();
        self.carry_out(effects);
    }

    fn answer(&mut self, fetch: &Callout, answer: ResponseInput) {
        let response = |status: u16, body: &[u8]| fetch_response(status, None, body);
        let (outcome, accepted) = match answer {
            ResponseInput::Keys(bits) => {
                let bits = bits & 3;
                (response(200, &documents()[usize::from(bits)]), (bits != 0).then_some(bits))
            }
            ResponseInput::Garbage => (response(200, b"{\"keys\":[5"), None),
            ResponseInput::Status(status) => (response(300 + u16::from(status), &documents()[3]), None),
            ResponseInput::Failed => (Err(TransportError::ConnectionFailed), None),
        };
        let is_asked = |name: &&str| fetch.request.address.authority.starts_with(*name);
        let provider = PROVIDERS.iter().position(is_asked).expect("an address of the configuration");
        let effects = self.engine.done(fetch.id, outcome);
        // The model takes the engine's word for which answers were late, and for nothing else.
        if let Some((name, result)) = &effects.fetch_result {
            assert_eq!(*name, *PROVIDERS[provider], "an answer for another provider");
            match result {
                FetchResult::Replaced { .. } => {
                    let bits = accepted.expect("an answer without keys replaced the set");
                    self.held[provider] = Some((bits, self.passed));
                }
                FetchResult::Failed { .. } => assert_eq!(accepted, None, "a good set was refused"),
                FetchResult::Late | FetchResult::Continues => {}
            }
        }
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Effects) {
        for (stream, decision) in &self.engine.take_decided() {
            let token = self.parked.remove(&stream.0);
            let token = token.unwrap_or_else(|| panic!("{stream:?} was decided and does not wait"));
            self.check_decision(token, decision);
        }
        self.in_flight.extend(effects.fetches);
    }

    /// Whether the key of this token is in the set in use and its time is good.
    fn is_good_now(&self, token: usize) -> bool {
        let token = &tokens()[token];
        let Some((provider, key)) = token.signed else { return false };
        let Some((bits, fetched)) = self.held[provider] else { return false };
        let issued = UnixTime::from_secs(NOW);
        bits & key != 0
            && self.passed - fetched < MAX_STALE
            && self.engine.now < token.expires.plus(SKEW)
            && issued <= self.engine.now.plus(SKEW)
    }

    fn check_decision(&self, token: usize, decision: &Decision) {
        let allowed = status_of(decision) == 200;
        let good = self.is_good_now(token);
        assert_eq!(allowed, good, "token {token} at {:?}: {}", self.engine.now, decision.audit.reason());
        if let Verdict::Deny(reply) = &decision.verdict {
            assert!([400, 401, 503].contains(&reply.status));
        }
    }

    /// Every fetch is answered, time passes: nothing waits in the end.
    fn end(&mut self) {
        for _ in 0..LAST_TICKS {
            while let Some(fetch) = self.in_flight.pop() {
                self.answer(&fetch, ResponseInput::Failed);
            }
            self.pass(Duration::from_secs(1));
            self.tick(0);
        }
        assert_eq!(self.parked.len(), 0, "requests wait for ever");
    }
}

/// Sequences to begin with: the bytes of an `arbitrary` enum are a choice of 32 bits and then the fields.
pub(crate) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    // Seven kinds of step: choice `n` is picked by the upper bits, so the n-th seventh of the range.
    let choice = |n: u32, of: u32| (u32::MAX / of * n + u32::MAX / of / 2).to_le_bytes();
    let request = |stream: u8, token: u8| [&choice(0, 7)[..], &[stream, token]].concat();
    let tick = || [&choice(1, 7)[..], &[0, 0]].concat();
    let keys = |which: u8, bits: u8| [&choice(2, 7)[..], &[which], &choice(0, 4), &[bits]].concat();
    let failed = |which: u8| [&choice(2, 7)[..], &[which], &choice(3, 4)].concat();
    let close = |stream: u8| [&choice(3, 7)[..], &[stream]].concat();
    let pass = |millis: u16| [&choice(4, 7)[..], &millis.to_le_bytes()].concat();
    let long = |minutes: u8| [&choice(5, 7)[..], &[minutes]].concat();
    let back = |seconds: u16| [&choice(6, 7)[..], &seconds.to_le_bytes()].concat();
    let mut crowd = Vec::new();
    for stream in 0..12 {
        crowd.push(request(stream, stream));
    }
    crowd.extend([tick(), keys(0, 3), keys(0, 1), tick(), tick()]);
    vec![
        (
            "cold_start",
            [request(1, 0), request(2, 3), tick(), keys(0, 1), keys(0, 2), request(3, 8), request(4, 7)].concat(),
        ),
        (
            "rotation",
            [tick(), keys(0, 1), keys(0, 1), request(1, 1), tick(), keys(0, 2), request(2, 0), request(3, 1)].concat(),
        ),
        (
            "outage",
            [tick(), failed(0), failed(0), request(1, 0), pass(2000), tick(), request(2, 0), keys(0, 3), close(2)]
                .concat(),
        ),
        (
            "stale",
            [tick(), keys(0, 1), long(59), request(1, 0), long(2), request(2, 0), tick(), failed(0), tick()].concat(),
        ),
        ("clock", [tick(), back(5000), request(1, 0), keys(0, 1), back(60), request(2, 0), long(200), tick()].concat()),
        (
            "unknown_ids",
            [tick(), keys(0, 1), request(1, 4), request(2, 5), tick(), pass(10), keys(0, 1), request(3, 4), tick()]
                .concat(),
        ),
        ("crowd", crowd.concat()),
    ]
}
