//! The structured target of introspection: any sequence of requests with opaque tokens and JWTs, ends of calls with any
//! status and body, responses of other VMs, postponements, polls for the revocation list, closed streams and ticks,
//! beside a model that holds the latest response for each token.
//!
//! Invariants: never allowed without an active response that is still valid (an opaque token, and a JWT where its rule
//! requires it) and without a valid signature (every JWT), and never while the token is on the revocation list or the list was
//! not read yet; each parked request is decided exactly once, and in the end every one is; pending requests are bounded.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use okta_proxy_wasm::callout::{CalloutResult, HttpResponse, TransportError};
use okta_proxy_wasm::engine::{
    CallResult, Callout, Decision, Jitter, LeaseOutcome, LimitReached, Message, ParkingLimits, PollResult, Sequence,
    SharedResponse, SharedSlot, StreamId, TokenDigest, Verdict,
};
use okta_proxy_wasm::introspection::call::TokenKind;
use okta_proxy_wasm::unix_time::UnixTime;
use serde_json::{Value, json};

use crate::engine_harness::{Effects, Harness, NOW, Setup, head};
use crate::signing::{AUDIENCE, ISSUER, SigningKey, key_set, payload, with};

const LIMITS: ParkingLimits = ParkingLimits { requests: 6, bytes: 64 * 1024 };
const MAX_STEPS: usize = 200;
const CACHE_TTL: Duration = Duration::from_secs(30);
const SKEW: Duration = Duration::from_secs(60);
const LIFETIME: u64 = 300;
/// Ticks in which everything that waits must come to its end once every call is answered.
const LAST_TICKS: usize = 20;

#[derive(Arbitrary, Clone, Debug)]
enum Step {
    Request { stream: u8, token: u8, is_asked: bool },
    Tick { jitter: u16 },
    End { which: u8, answer: ResponseInput },
    Share { which: u8, answer: ResponseInput, millis_ago: u16, lasted: u16, behind: u8 },
    Postpone { which: u8, spent_for: Option<u8> },
    Poll { answer: ListInput },
    Close { stream: u8 },
    Pass { millis: u16 },
    PassLong { seconds: u8 },
}

#[derive(Arbitrary, Clone, Debug)]
enum ResponseInput {
    Active,
    /// Of another audience and with another number than any token has.
    ActiveElsewhere,
    Inactive,
    Bytes(Vec<u8>),
    Status {
        status: u8,
        retry_after: Option<u16>,
    },
    Failed,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum ListInput {
    Empty,
    WithAlice,
    Unchanged,
    Garbage,
    Failed,
}

/// A token whose truth is known.
struct KnownToken {
    text: String,
    kind: TokenKind,
    /// Whether its signature holds and its claims are good.
    is_proved: bool,
}

fn tokens() -> &'static [KnownToken] {
    static TOKENS: OnceLock<Vec<KnownToken>> = OnceLock::new();
    TOKENS.get_or_init(|| {
        let claims = with(&payload(NOW), json!({ "exp": NOW + LIFETIME }));
        let jwt = |text, is_proved| KnownToken { text, kind: TokenKind::Jwt, is_proved };
        let opaque = |text: &str| KnownToken { text: text.to_owned(), kind: TokenKind::Opaque, is_proved: false };
        vec![
            opaque("first"),
            opaque("second"),
            opaque("third"),
            opaque("a.b.c.d.e"),
            jwt(SigningKey::a("k1").token(&claims), true),
            jwt(SigningKey::a("k1").token(&with(&claims, json!({ "scp": ["other"] }))), true),
            jwt(SigningKey::b("k1").token(&claims), false),
            jwt(SigningKey::a("k1").token(&with(&claims, json!({ "aud": "other" }))), false),
        ]
    })
}

fn body_of(answer: &ResponseInput) -> Option<Vec<u8>> {
    let active =
        json!({ "active": true, "iss": ISSUER, "aud": AUDIENCE, "sub": "alice@acme.com", "exp": NOW + LIFETIME });
    match answer {
        ResponseInput::Active => Some(active.to_string().into_bytes()),
        ResponseInput::ActiveElsewhere => {
            Some(with(&active, json!({ "aud": "api://other", "jti": "AT.other" })).to_string().into_bytes())
        }
        ResponseInput::Inactive => Some(b"{\"active\":false}".to_vec()),
        ResponseInput::Bytes(bytes) => Some(bytes.clone()),
        ResponseInput::Status { .. } | ResponseInput::Failed => None,
    }
}

/// What was said of a token last.
#[derive(Clone, Copy, Debug)]
struct LastResponse {
    sequence: Sequence,
    began: UnixTime,
    is_active: bool,
}

/// When a call began, by the clock and among the calls of the process.
#[derive(Clone, Copy, Debug)]
struct CallStart {
    began: UnixTime,
    sequence: Sequence,
}

/// A request that waits.
#[derive(Clone, Copy, Debug)]
struct PendingRequest {
    token: usize,
    is_asked: bool,
    since: UnixTime,
}

struct Scene {
    engine: Harness,
    parked: BTreeMap<u32, PendingRequest>,
    /// The calls that the host was told to make, when it was told, their numbers, and about which token.
    in_flight: Vec<(Callout, CallStart, usize)>,
    /// The number of the last call in the process.
    last: u64,
    answered: BTreeMap<usize, LastResponse>,
    poll: Option<Callout>,
    /// Whether alice is on the list that was read last.
    alice_is_listed: Option<bool>,
}

/// Runs the sequence that the bytes describe.
pub(crate) fn introspection_sequence(input: &[u8]) {
    let mut source = Unstructured::new(input);
    let mut scene = Scene::new();
    for _ in 0..MAX_STEPS {
        if source.is_empty() {
            break;
        }
        let Ok(step) = Step::arbitrary(&mut source) else { break };
        let shown = format!("{step:?}");
        scene.take(step);
        assert_eq!(scene.engine.pending(), scene.parked.len(), "after {shown}");
        assert!(scene.parked.len() <= LIMITS.requests);
    }
    scene.end();
}

impl Scene {
    fn new() -> Self {
        let configuration = json!({
            "providers": { "one": { "issuer": ISSUER, "audiences": [AUDIENCE], "upstream": "u", "clock_skew": "60s",
                "jwks": { "inline": key_set(&[&SigningKey::a("k1")]) },
                "introspection": { "uri": "https://one.example/introspect", "client_id": "gateway",
                    "client_secret": { "env": "SECRET" }, "cache_ttl": "30s", "requests_per_minute": 20 } } },
            "rules": [{ "match": { "path": "/asked" }, "introspect": true }],
            "revocations": { "uri": "https://sec.example/revoked", "upstream": "sec" } });
        let secret = |name: &str| (name == "SECRET").then(|| "hunter2".to_owned());
        let setup = Setup { environment: &secret, limits: LIMITS, ..Setup::default() };
        let engine = Harness::with(&configuration, setup);
        Self {
            engine,
            parked: BTreeMap::new(),
            in_flight: Vec::new(),
            last: 0,
            answered: BTreeMap::new(),
            poll: None,
            alice_is_listed: None,
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Request { stream, token, is_asked } => {
                self.request(u32::from(stream), usize::from(token) % tokens().len(), is_asked);
            }
            Step::Tick { jitter } => {
                self.tick(jitter);
            }
            Step::End { which, answer } => {
                if let Some((call, asked, token)) = self.pick(which) {
                    self.end_call(&call, asked, token, &answer);
                }
            }
            Step::Share { which, answer, millis_ago, lasted, behind } => {
                self.share(which, &answer, (millis_ago, lasted), behind);
            }
            Step::Postpone { which, spent_for } => {
                if let Some((call, ..)) = self.pick(which) {
                    let why = match spent_for {
                        Some(seconds) => {
                            LeaseOutcome::LimitReached(LimitReached::Exhausted(Duration::from_secs(u64::from(seconds))))
                        }
                        None => LeaseOutcome::HeldByOther(Sequence::default()),
                    };
                    let effects = self.engine.lease_done(call.id, why);
                    self.carry_out(effects);
                }
            }
            Step::Poll { answer } => self.end_poll(answer),
            Step::Close { stream } => {
                self.engine.close(StreamId(u32::from(stream)));
                self.parked.remove(&u32::from(stream));
            }
            Step::Pass { millis } => self.engine.now = self.engine.now.plus(Duration::from_millis(u64::from(millis))),
            Step::PassLong { seconds } => {
                self.engine.now = self.engine.now.plus(Duration::from_secs(u64::from(seconds)))
            }
        }
    }

    fn tick(&mut self, jitter: u16) {
        self.engine.jitter = Jitter(jitter);
        let effects = self.engine.tick();
        self.carry_out(effects);
        self.engine.jitter = Jitter(0);
    }

    fn pick(&mut self, which: u8) -> Option<(Callout, CallStart, usize)> {
        let count = self.in_flight.len();
        (count > 0).then(|| self.in_flight.remove(usize::from(which) % count))
    }

    fn request(&mut self, stream: u32, token: usize, is_asked: bool) {
        // A stream that waits sends no second head; an id comes again only when its stream is gone.
        if self.parked.contains_key(&stream) {
            return;
        }
        let path = if is_asked { "/asked" } else { "/" };
        let bearer = format!("Bearer {}", tokens()[token].text);
        let head = head(&[(":method", "GET"), (":path", path), ("authorization", &bearer)]);
        let waiting = PendingRequest { token, is_asked, since: self.engine.now };
        match self.engine.request_as(StreamId(stream), &head) {
            Ok(decision) => self.check_decision(waiting, &decision),
            Err(_) => {
                let known = &tokens()[token];
                let waits_for_list = self.alice_is_listed.is_none();
                let is_due = known.kind == TokenKind::Opaque || (known.is_proved && (is_asked || waits_for_list));
                assert!(is_due, "nobody is to be asked");
                self.parked.insert(stream, waiting);
            }
        }
    }

    fn end_call(&mut self, call: &Callout, asked: CallStart, token: usize, answer: &ResponseInput) {
        let outcome = match (answer, body_of(answer)) {
            (_, Some(body)) => response(200, None, body),
            // A status that is not 200 says nothing, whatever its body.
            (ResponseInput::Status { status, retry_after }, None) => response(
                201 + u16::from(*status),
                retry_after.map(|seconds| seconds.to_string()),
                body_of(&ResponseInput::Active).unwrap_or_default(),
            ),
            (_, None) => Err(TransportError::ConnectionFailed),
        };
        self.engine.lease_done(call.id, LeaseOutcome::Acquired(asked.sequence));
        let effects = self.engine.done(call.id, outcome);
        self.learn(&effects, asked, token, answer);
        self.carry_out(effects);
    }

    fn share(&mut self, which: u8, answer: &ResponseInput, (millis_ago, lasted): (u16, u16), behind: u8) {
        let count = self.in_flight.len();
        let Some((call, _, token)) = self.in_flight.get(usize::from(which) % count.max(1)).cloned() else { return };
        let known = &tokens()[token];
        let digest = TokenDigest::of(known.kind, known.text.as_bytes());
        let began = UnixTime::from_millis(self.engine.now.as_millis().saturating_sub(u64::from(millis_ago)));
        let ended = began.plus(Duration::from_millis(u64::from(lasted)));
        let Some(body) = body_of(answer) else { return };
        // Now, or as long ago as other calls.
        let sequence = Sequence::new(self.last.wrapping_add(1).wrapping_sub(u64::from(behind)));
        self.last += u64::from(behind == 0);
        let shared = SharedResponse { token: digest, sequence, began, ended, body, slot: SharedSlot::Active };
        let effects = self.engine.responses_shared(call.id, &[shared]);
        if effects.call_result.is_some() {
            self.in_flight.retain(|(other, ..)| other.id != call.id);
        }
        if let Some(CallResult::TakenOver) = effects.call_result {
            let is_news = |held: &LastResponse| sequence.is_newer_than(held.sequence);
            assert!(self.answered.get(&token).is_none_or(is_news), "an older answer was taken over");
        }
        self.learn(&effects, CallStart { began, sequence }, token, answer);
        self.carry_out(effects);
    }

    /// The model takes the engine's word for which answers were late, and for nothing else.
    fn learn(&mut self, effects: &Effects, asked: CallStart, token: usize, answer: &ResponseInput) {
        let Some(result) = &effects.call_result else { return };
        match result {
            CallResult::Answered | CallResult::TakenOver => {
                let body = body_of(answer).expect("something was said");
                let read: Value = serde_json::from_slice(&body).expect("JSON");
                let is_active = read["active"] == json!(true);
                assert!(is_active || read["active"] == json!(false), "neither yes nor no was an answer");
                // Of an opaque token the answer is all there is.
                let is_ours = match tokens()[token].kind {
                    TokenKind::Opaque => read["aud"] == json!(AUDIENCE),
                    TokenKind::Jwt => !matches!(answer, ResponseInput::ActiveElsewhere),
                };
                let CallStart { began, sequence } = asked;
                self.answered.insert(token, LastResponse { sequence, began, is_active: is_active && is_ours });
            }
            CallResult::Failed { .. } => {
                let is_good =
                    matches!(answer, ResponseInput::Active | ResponseInput::ActiveElsewhere | ResponseInput::Inactive);
                assert!(!is_good, "a good answer was none");
            }
            CallResult::Discovered | CallResult::Continues | CallResult::Late => panic!("no news was told"),
        }
    }

    fn end_poll(&mut self, answer: ListInput) {
        let Some(poll) = self.poll.take() else { return };
        let listed = |entries: Value| json!({ "revoked": entries }).to_string().into_bytes();
        let (status, body, is_listed) = match answer {
            ListInput::Empty => (200, listed(json!([])), Some(false)),
            ListInput::WithAlice => (200, listed(json!([{ "sub": "alice@acme.com" }])), Some(true)),
            ListInput::Unchanged => (304, Vec::new(), None),
            ListInput::Garbage => (200, b"{\"revoked\":[{}]}".to_vec(), None),
            ListInput::Failed => (500, listed(json!([])), None),
        };
        let outcome = Ok(HttpResponse::new(status, body));
        let effects = self.engine.done(poll.id, outcome);
        if matches!(effects.poll_result, Some(PollResult::Replaced(_))) {
            self.alice_is_listed = Some(is_listed.expect("what is no list was applied"));
        }
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Effects) {
        for (stream, decision) in &self.engine.take_decided() {
            let waited = self.parked.remove(&stream.0);
            let waited = waited.unwrap_or_else(|| panic!("{stream:?} was decided and does not wait"));
            self.check_decision(waited, decision);
        }
        for call in effects.calls {
            let Message::PostForm { body, .. } = &call.request.message else { panic!("the endpoint is known") };
            let is_it = |token: &KnownToken| body.reveal().starts_with(&format!("token={}&", token.text));
            let token = tokens().iter().position(is_it).expect("nobody sent it");
            assert!(tokens()[token].kind == TokenKind::Opaque || tokens()[token].is_proved, "a forged JWT cost a call");
            self.last += 1;
            self.in_flight.push((
                call,
                CallStart { began: self.engine.now, sequence: Sequence::new(self.last) },
                token,
            ));
        }
        self.poll = effects.poll.or(self.poll.take());
    }

    /// Whether an active answer counts for this request: it has not aged, or was asked for since the request came.
    fn is_active(&self, asked: PendingRequest) -> bool {
        self.answered.get(&asked.token).is_some_and(|answered| {
            let counts = self.engine.now < answered.began.plus(CACHE_TTL) || answered.began >= asked.since;
            answered.is_active && counts
        })
    }

    fn check_decision(&self, asked: PendingRequest, decision: &Decision) {
        let token = &tokens()[asked.token];
        let Verdict::Allow(_) = &decision.verdict else {
            let Verdict::Deny(reply) = &decision.verdict else { return };
            assert!([401, 503].contains(&reply.status), "{}", reply.status);
            return;
        };
        assert_eq!(self.alice_is_listed, Some(false), "she is on the list, or nobody knows");
        assert!(self.engine.now < UnixTime::from_secs(NOW + LIFETIME).plus(SKEW), "it has expired");
        let needs_answer = token.kind == TokenKind::Opaque || asked.is_asked;
        assert!(token.kind == TokenKind::Opaque || token.is_proved, "a JWT passed unproved");
        assert!(
            !needs_answer || self.is_active(asked),
            "{asked:?} passed at {:?}: {:?}",
            self.engine.now,
            self.answered
        );
    }

    /// Every call and poll fails, time passes: nothing waits in the end.
    fn end(&mut self) {
        for _ in 0..LAST_TICKS {
            while let Some((call, asked, token)) = self.pick(0) {
                self.end_call(&call, asked, token, &ResponseInput::Failed);
            }
            self.end_poll(ListInput::Failed);
            self.engine.now = self.engine.now.plus(Duration::from_secs(1));
            self.tick(0);
        }
        assert_eq!(self.parked.len(), 0, "requests wait for ever");
    }
}

fn response(status: u16, retry_after: Option<String>, body: Vec<u8>) -> CalloutResult {
    Ok(HttpResponse::new(status, body).with_header("retry-after", retry_after))
}

/// Sequences to begin with: the bytes of an `arbitrary` enum are a choice of 32 bits and then the fields.
pub(crate) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    // Choice `n` is picked by the upper bits, so the n-th part of the range.
    let choice = |n: u32, of: u32| (u32::MAX / of * n + u32::MAX / of / 2).to_le_bytes();
    let request = |stream: u8, token: u8, is_asked: u8| [&choice(0, 9)[..], &[stream, token, is_asked]].concat();
    let tick = || [&choice(1, 9)[..], &[0, 0]].concat();
    let end = |answer: u32| [&choice(2, 9)[..], &[0], &choice(answer, 6)].concat();
    let share_behind = |answer: u32, ago: u16, behind: u8| {
        [&choice(3, 9)[..], &[0], &choice(answer, 6), &ago.to_le_bytes(), &50_u16.to_le_bytes(), &[behind]].concat()
    };
    let share = |answer: u32, ago: u16| share_behind(answer, ago, 0);
    let postpone = || [&choice(4, 9)[..], &[0, 0]].concat();
    let spent = |seconds: u8| [&choice(4, 9)[..], &[0, 1, seconds]].concat();
    let poll = |list: u32| [&choice(5, 9)[..], &choice(list, 5)].concat();
    let close = |stream: u8| [&choice(6, 9)[..], &[stream]].concat();
    let pass = |millis: u16| [&choice(7, 9)[..], &millis.to_le_bytes()].concat();
    let long = |seconds: u8| [&choice(8, 9)[..], &[seconds]].concat();
    let ready = || [tick(), poll(0)].concat();
    vec![
        ("active", [ready(), request(1, 0, 0), tick(), end(0), request(2, 0, 0), long(31), request(3, 0, 0)].concat()),
        ("revoked", [ready(), request(1, 4, 1), tick(), end(0), long(31), request(2, 4, 1), tick(), end(2)].concat()),
        ("elsewhere", [ready(), request(1, 0, 0), request(2, 4, 1), tick(), end(1), end(1), request(3, 0, 1)].concat()),
        ("shared", [ready(), request(1, 1, 0), tick(), share(0, 100), request(2, 1, 0), share(2, 10)].concat()),
        (
            "shared_older",
            [
                ready(),
                request(1, 1, 0),
                tick(),
                share(2, 100),
                long(6),
                request(2, 1, 0),
                tick(),
                share_behind(0, 100, 2),
            ]
            .concat(),
        ),
        (
            "postponed",
            [ready(), request(1, 2, 0), tick(), postpone(), pass(30), tick(), spent(40), request(2, 4, 1), close(1)]
                .concat(),
        ),
        ("forged", [ready(), request(1, 6, 1), request(2, 7, 1), request(3, 6, 0), tick()].concat()),
        ("failing", [ready(), request(1, 3, 0), tick(), end(5), pass(900), request(2, 3, 0), tick(), end(2)].concat()),
        (
            "listed",
            [ready(), request(1, 0, 0), tick(), end(0), long(11), tick(), poll(1), request(2, 0, 0), request(3, 4, 0)]
                .concat(),
        ),
        (
            "unread",
            [request(1, 4, 0), request(2, 0, 0), tick(), end(0), request(3, 0, 0), poll(3), request(4, 4, 1)].concat(),
        ),
    ]
}
