//! Three workers that share introspection responses by leases, users whose tokens are revoked, and a clock that is set
//! back and forward: random schedules with the protocol of the host, and the invariants of each.
//!
//! * A revoked token is allowed nowhere for longer than `cache_ttl` of real time after its revocation, and the sum of the
//!   steps back since then.
//! * Once any worker has published an inactive response, no worker starts to allow the token by a response to an earlier
//!   call, in whatever order the responses come.
//! * A call saves the other workers theirs, also after a step back: a token causes one call per `cache_ttl`, and one more for
//!   each step of the clock.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use okta_proxy_wasm::callout::HttpResponse;
use okta_proxy_wasm::config;
use okta_proxy_wasm::introspection::call::{Call, CallNumber, CallResult, Deferral, Purpose, TokenDigest, TokenKind};
use okta_proxy_wasm::introspection::sharing::{CallLease, RecordNames, SharedResponse, SharedResponses, SharedSlot};
use okta_proxy_wasm::introspection::{LookUp, ProviderIntrospection};
use okta_proxy_wasm::lookup::lease::Lease;
use okta_proxy_wasm::lookup::record::Record as _;
use okta_proxy_wasm::policy::{
    CacheLimits, CalloutAddress, ClientAuthentication, EndpointAddress, Introspection, OpaqueTokens, Policy,
};
use okta_proxy_wasm::randomness::Jitter;
use okta_proxy_wasm::redacted::Redacted;
use okta_proxy_wasm::unix_time::UnixTime;
use serde_json::json;

use crate::random::Random;

const START: u64 = 1_800_000_000_000;
const WORKERS: usize = 3;
const TOKENS: usize = 8;
const TTL: u64 = 5000;
const INACTIVE_TTL: u64 = 1000;
const STEP: u64 = 25;
const RUN: u64 = 60_000;
/// The longest that a call takes, and a worker to see an answer that it waits for.
const CALL: u64 = 1500;
/// A token whose call failed is not asked about again for so long, nor any while an endpoint that failed is left alone.
const RETRY: u64 = 2100;

/// The host's shared data.
#[derive(Debug, Default)]
struct Store(RefCell<BTreeMap<String, Vec<u8>>>);

impl Store {
    fn answer(&self, place: &str) -> Option<SharedResponse> {
        self.0.borrow().get(place).and_then(|bytes| SharedResponse::from_bytes(bytes))
    }

    fn lease(&self, place: &str) -> Option<CallLease> {
        self.0.borrow().get(place).and_then(|bytes| CallLease::from_bytes(bytes))
    }

    fn write_newer(&self, place: &str, answer: &SharedResponse) {
        if !self.answer(place).is_some_and(|held| held.supersedes(answer)) {
            self.0.borrow_mut().insert(place.to_owned(), answer.to_bytes());
        }
    }

    /// As `host/shared_calls.rs` does.
    fn publish(&self, places: &RecordNames, answer: &SharedResponse) {
        self.write_newer(places.of_slot(answer.slot), answer);
        let [active, refused] =
            [SharedSlot::Active, SharedSlot::Negative].map(|slot| self.answer(places.of_slot(slot)));
        if let (Some(active), Some(refused)) = (active, refused)
            && active.token == answer.token
            && refused.supersedes(&active)
        {
            self.write_newer(&places.active, &refused);
        }
    }
}

impl SharedResponses for Store {
    fn read(&self, places: &RecordNames) -> Vec<SharedResponse> {
        [SharedSlot::Active, SharedSlot::Negative]
            .into_iter()
            .filter_map(|slot| self.answer(places.of_slot(slot)))
            .collect()
    }
}

/// A call under way: its lease, when it ends, and whether its token is active as the endpoint reads the question.
struct Sent {
    token: usize,
    lease: CallLease,
    ends: u64,
    is_active: bool,
}

struct Worker {
    introspection: ProviderIntrospection,
    sent: BTreeMap<CallNumber, Sent>,
}

struct Process<'a> {
    policy: &'a Policy,
    store: Rc<Store>,
    workers: Vec<Worker>,
    random: Random,
    /// The time that passed, and how far the wall clock is from it.
    real: u64,
    offset: i64,
    /// When the clock was set back, and by how much.
    set_back: Vec<(u64, u64)>,
    set_forward: Option<u64>,
    steps: usize,
    /// When each token is revoked, if ever, and when a worker published that.
    revoked: [u64; TOKENS],
    published: [Option<u64>; TOKENS],
    /// The workers that do not let a token pass any more.
    ended: BTreeSet<(usize, usize)>,
    calls: [usize; TOKENS],
    passed: usize,
    refused: usize,
    taken_over: usize,
}

fn text(token: usize) -> String {
    format!("token-{token}")
}

impl<'a> Process<'a> {
    fn new(policy: &'a Policy, seed: u64) -> Self {
        let store = Rc::new(Store::default());
        let others: Rc<dyn SharedResponses> = Rc::<Store>::clone(&store);
        let settings = Introspection {
            address: EndpointAddress::Known(CalloutAddress::parse("https://idp.example/i", "idp").unwrap()),
            client: ClientAuthentication::SecretPost {
                client_id: "gateway".to_owned(),
                secret: Redacted::new(String::from("s")),
            },
            cache_ttl: Duration::from_millis(TTL),
            inactive_cache_ttl: Duration::from_millis(INACTIVE_TTL),
            timeout: Duration::from_secs(2),
            requests_per_minute: NonZeroU32::new(100_000).unwrap(),
            stale_if_error: Duration::ZERO,
            opaque_tokens: OpaqueTokens::Accepted,
        };
        let worker = |_| {
            let others = Rc::clone(&others);
            let introspection = ProviderIntrospection::new(settings.clone(), CacheLimits::default(), others);
            Worker { introspection, sent: BTreeMap::new() }
        };
        let mut random = Random::new(seed);
        let workers = (0..WORKERS).map(worker).collect();
        let revoked = [(); TOKENS].map(|()| 10_000 + random.below(RUN));
        Self {
            policy,
            store,
            workers,
            random,
            real: 0,
            offset: 0,
            set_back: Vec::new(),
            set_forward: None,
            steps: 0,
            revoked,
            published: [None; TOKENS],
            ended: BTreeSet::new(),
            calls: [0; TOKENS],
            passed: 0,
            refused: 0,
            taken_over: 0,
        }
    }

    fn now(&self) -> UnixTime {
        UnixTime::from_millis((START + self.real).checked_add_signed(self.offset).unwrap())
    }

    fn request(&mut self, at: usize, token: usize) {
        let now = self.now();
        let (_, provider) = self.policy.providers.iter().next().unwrap();
        let introspection = &mut self.workers[at].introspection;
        let arrived = introspection.arrived();
        let found = introspection.look_up_opaque(text(token).as_bytes(), provider, arrived, now);
        if self.published[token].is_some() && !matches!(found, LookUp::Active(..)) {
            self.ended.insert((at, token));
        }
        match found {
            LookUp::Active(..) => {
                self.passed += 1;
                let back: u64 = self.set_back.iter().map(|(_, by)| by).sum();
                let late = self.real.saturating_sub(self.revoked[token]);
                assert!(late <= TTL + CALL + back, "revoked {late} ms ago, and the clock was set back by {back}");
                assert!(!self.ended.contains(&(at, token)), "an older answer counts again");
                // By then each worker that asks sees that it is not active any more.
                let late = self.published[token].map_or(0, |published| self.real - published);
                assert!(late <= TTL, "{late} ms after a newer answer was published");
            }
            LookUp::Rejected(_) => {
                self.refused += 1;
                assert!(self.real >= self.revoked[token], "refused, and it is active");
            }
            LookUp::Pending(_) => {}
            // A step forward ends the calls that are under way.
            LookUp::Unavailable(unavailable) => {
                let since = self.set_forward.map(|at| self.real - at);
                assert!(since.is_some_and(|since| since < RETRY), "{unavailable:?}, {since:?} ms after a step");
            }
        }
    }

    /// The calls that are due, as the host makes them.
    fn tick(&mut self, at: usize) {
        let now = self.now();
        let (_, provider) = self.policy.providers.iter().next().unwrap();
        let ended: Vec<CallNumber> =
            self.workers[at].sent.iter().filter(|(_, sent)| sent.ends <= self.real).map(|(id, _)| *id).collect();
        for id in ended {
            let Sent { token, lease, is_active, .. } = self.workers[at].sent.remove(&id).unwrap();
            let body = if is_active { json!({"active": true, "aud": "api"}) } else { json!({"active": false}) };
            let outcome = Ok(HttpResponse::new(200, body.to_string().into_bytes()));
            let introspection = &mut self.workers[at].introspection;
            let end = introspection.finish_call(id, Some(lease.sequence), outcome, provider, Jitter(0), now);
            if let Some(answer) = end.share {
                let places = introspection.record_names(&answer.token);
                self.store.publish(&places, &answer);
                if !is_active {
                    self.published[token].get_or_insert(self.real);
                }
            }
            let places = self.workers[at].introspection.record_names(&digest(token));
            if self.store.lease(&places.lease) == Some(lease) {
                self.store.0.borrow_mut().insert(places.lease, lease.given_back().to_bytes());
            }
        }
        for call in self.workers[at].introspection.begin_calls(Jitter(0), now).calls {
            self.make(at, &call, now);
        }
    }

    fn make(&mut self, at: usize, call: &Call, now: UnixTime) {
        let Purpose::Token { digest: asked, .. } = call.purpose else { panic!("the address is known") };
        let token = (0..TOKENS).find(|token| digest(*token) == asked).unwrap();
        let (_, provider) = self.policy.providers.iter().next().unwrap();
        let introspection = &mut self.workers[at].introspection;
        let places = introspection.record_names(&asked);
        let answers = self.store.read(&places);
        let end = introspection.adopt(call.number, &answers, provider, now);
        self.taken_over += usize::from(end.result == CallResult::TakenOver);
        let Some(known) = introspection.newest_sequence(call.number) else { return };
        let newest = answers.iter().fold(known, |newest, answer| newest.newer(answer.sequence));
        let lease = match Lease::for_call(asked, call.timeout, self.store.lease(&places.lease), newest, now) {
            Lease::HeldByOther(_) | Lease::Cooldown { .. } => {
                introspection.defer(call.number, Deferral::HeldByOther, now);
                return;
            }
            Lease::Acquired(lease) => lease,
        };
        self.store.0.borrow_mut().insert(places.lease, lease.to_bytes());
        let ends = self.real + self.random.below(CALL);
        let is_active = self.real < self.revoked[token];
        self.workers[at].sent.insert(call.number, Sent { token, lease, ends, is_active });
        self.calls[token] += 1;
    }

    fn set_clock(&mut self) {
        let by = [-3_600_000, -60_000, -4000, -700, 700, 4000, 60_000, 3_600_000][self.random.index(8)];
        self.offset += by;
        self.steps += 1;
        if by < 0 {
            self.set_back.push((self.real, by.unsigned_abs()));
        } else {
            self.set_forward = Some(self.real);
        }
    }
}

fn digest(token: usize) -> TokenDigest {
    TokenDigest::of(TokenKind::Opaque, text(token).as_bytes())
}

/// What one schedule led to: calls about one token at most, steps of the clock, and what was taken over.
fn run(policy: &Policy, seed: u64, sets_clock: bool) -> (usize, usize, usize) {
    let mut process = Process::new(policy, seed);
    let mut next_step = process.random.below(10_000);
    while process.real < RUN {
        if sets_clock && process.real >= next_step {
            process.set_clock();
            next_step += 1000 + process.random.below(4000);
        }
        let first = process.random.index(WORKERS);
        for nth in 0..WORKERS {
            let at = (first + nth) % WORKERS;
            process.tick(at);
            let token = process.random.index(TOKENS);
            process.request(at, token);
        }
        process.real += STEP;
    }
    assert!(process.passed > 1000 && process.refused > 0, "{} passed, {}", process.passed, process.refused);
    let active = |token: &usize| process.revoked[*token] >= RUN;
    let most = (0..TOKENS).filter(active).map(|token| process.calls[token]).max().unwrap_or_default();
    (most, process.steps, process.taken_over)
}

#[test]
fn workers_that_share_responses_agree_with_the_issuer_under_clock_steps() {
    let configuration = json!({ "providers": { "a": { "issuer": "https://idp.example", "audiences": ["api"],
        "clock_skew": "5s", "upstream": "idp" } } });
    let policy = config::load(configuration.to_string().as_bytes(), &config::no_environment).unwrap().policy;
    for sets_clock in [false, true] {
        let (mut worst, mut taken_over) = (0, 0);
        for number in 0..600_u64 {
            let seed = Random::nth_seed(number);
            let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&policy, seed, sets_clock)));
            let Ok((calls, steps, spared)) = found else {
                panic!("seed {seed:#x}, clock steps {sets_clock}: see above")
            };
            let expected = usize::try_from(RUN / TTL).unwrap() + 1 + steps;
            assert!(calls <= expected, "seed {seed:#x}: {calls} calls about one token, and {steps} steps of the clock");
            worst = worst.max(calls.saturating_sub(steps));
            taken_over += spared;
        }
        println!("clock steps {sets_clock}: {worst} calls about one token beside one a step; {taken_over} taken over");
        assert!(taken_over > 1000, "{taken_over}");
    }
}
