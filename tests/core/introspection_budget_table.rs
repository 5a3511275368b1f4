//! The tables of `docs/introspection.md` against the state machine: every row is simulated with a clock of its own and must
//! give the documented numbers. The host's part is simulated too: responses and the budget are shared by the workers of a
//! process as `src/host/shared_calls.rs` shares them.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::num::NonZeroU32;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use okta_proxy_wasm::callout::HttpResponse;
use okta_proxy_wasm::config;
use okta_proxy_wasm::introspection::call::{Call, Deferral, Purpose, TokenDigest, TokenKind};
use okta_proxy_wasm::introspection::sharing::{RecordNames, SharedResponse, SharedResponses, SharedSlot};
use okta_proxy_wasm::introspection::{Cause, LookUp, ProviderIntrospection, Rejection, Unavailable};
use okta_proxy_wasm::lookup::rate_limiter::Acquire;
use okta_proxy_wasm::lookup::requester::Caller;
use okta_proxy_wasm::lookup::requester::{Requester, Sender};
use okta_proxy_wasm::policy::{
    CacheLimits, CalloutAddress, ClientAuthentication, EndpointAddress, Introspection, OpaqueTokens, Policy,
};
use okta_proxy_wasm::randomness::Jitter;
use okta_proxy_wasm::redacted::Redacted;
use okta_proxy_wasm::sequence::Sequence;
use okta_proxy_wasm::unix_time::UnixTime;
use serde_json::json;

const START: u64 = 1_800_000_000_000;
const MINUTE: u64 = 60_000;
/// As the document says that it is to be set for many tokens.
const LIMITS: CacheLimits = CacheLimits { tokens: 16_384, bytes: 64 * 1024 * 1024 };
const UNBOUNDED: u32 = 100_000;
const LIMITS_OF_PLANS: [u32; 3] = [300, 1200, 2000];

/// Who uses how many tokens, and how the gateway is set.
#[derive(Clone, Copy)]
struct Setting {
    tokens: u64,
    cache_ttl: Duration,
    workers: usize,
    requests_per_minute: u32,
    /// Over how long they come, one after the other; zero: all are there when the process starts.
    come_over: Duration,
}

/// What was seen of one process.
#[derive(Default)]
struct Seen {
    /// When calls were made, in milliseconds from the start.
    calls: Vec<u64>,
    /// When a request was answered 503, because the budget is spent.
    refused: Vec<u64>,
    /// When the last token was active for the first time.
    all_known: Option<u64>,
}

impl Seen {
    /// In no minute were there more calls.
    fn assert_within(&self, budget: u64) {
        for (at, call) in self.calls.iter().enumerate() {
            let minute = self.calls[at..].iter().take_while(|later| **later - call < MINUTE).count() as u64;
            assert!(minute <= budget, "{minute} calls in a minute, and {budget} are allowed");
        }
    }

    fn calls_between(&self, from: u64, until: u64) -> u64 {
        self.calls.iter().filter(|at| (from..until).contains(at)).count() as u64
    }
}

/// The active answers in the host's shared data, by their places.
#[derive(Debug, Default)]
struct Store(RefCell<HashMap<String, SharedResponse>>);

impl SharedResponses for Store {
    fn read(&self, places: &RecordNames) -> Vec<SharedResponse> {
        self.0.borrow().get(places.of_slot(SharedSlot::Active)).cloned().into_iter().collect()
    }
}

struct Process<'a> {
    policy: &'a Policy,
    /// Tokens that nobody issued.
    random: HashSet<TokenDigest>,
    workers: Vec<ProviderIntrospection>,
    answers: Rc<Store>,
    budget: Option<Vec<u8>>,
    /// The number of the last call.
    last: Sequence,
    seen: Seen,
}

impl<'a> Process<'a> {
    fn new(policy: &'a Policy, setting: Setting) -> Self {
        let settings = Introspection {
            address: EndpointAddress::Known(CalloutAddress::parse("https://idp.example/i", "idp").unwrap()),
            client: ClientAuthentication::SecretPost {
                client_id: "gateway".to_owned(),
                secret: Redacted::new(String::from("s")),
            },
            cache_ttl: setting.cache_ttl,
            inactive_cache_ttl: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            requests_per_minute: NonZeroU32::new(setting.requests_per_minute).unwrap(),
            stale_if_error: Duration::ZERO,
            opaque_tokens: OpaqueTokens::Accepted,
        };
        let answers = Rc::new(Store::default());
        let others: Rc<dyn SharedResponses> = Rc::<Store>::clone(&answers);
        let worker = |_| ProviderIntrospection::new(settings.clone(), LIMITS, Rc::clone(&others));
        let workers = (0..setting.workers).map(worker).collect();
        Self {
            policy,
            random: HashSet::new(),
            workers,
            answers,
            budget: None,
            last: Sequence::default(),
            seen: Seen::default(),
        }
    }

    /// A request with a token comes to a worker, whose calls that are due are made before and after; the endpoint answers
    /// at once. Whether the token is let pass now.
    fn request(&mut self, worker: usize, token: u64, at: u64) -> bool {
        self.request_from(Sender::Anonymous, worker, &format!("token-{token}"), at)
    }

    /// The same from an address.
    fn request_from(&mut self, sender: Sender, worker: usize, text: &str, at: u64) -> bool {
        let now = UnixTime::from_millis(START + at);
        if self.workers[worker].next_due(now).is_some_and(|due| due <= now) {
            self.begin_calls(worker, at, now);
        }
        let (_, provider) = self.policy.providers.iter().next().unwrap();
        let look = |introspection: &mut ProviderIntrospection| {
            let found =
                introspection.look_up_opaque_from(sender, text.as_bytes(), provider, introspection.arrived(), now);
            found.expect("the address is known")
        };
        let mut found = look(&mut self.workers[worker]);
        if matches!(found, LookUp::Pending(_)) {
            self.begin_calls(worker, at, now);
            found = look(&mut self.workers[worker]);
        }
        match found {
            LookUp::Active(..) => true,
            // For a call within the next two seconds.
            LookUp::Pending(_) => false,
            LookUp::Rejected(Rejection::Inactive) => false,
            LookUp::Unavailable(Unavailable { cause: Cause::RateLimited | Cause::QueueFull, .. }) => {
                self.seen.refused.push(at);
                false
            }
            other @ (LookUp::Rejected(_) | LookUp::Unavailable(_)) => panic!("{other:?}"),
        }
    }

    fn begin_calls(&mut self, worker: usize, at: u64, now: UnixTime) {
        for call in self.workers[worker].begin_calls(Jitter(0), now).calls {
            self.make(worker, &call, at, now);
        }
    }

    fn make(&mut self, worker: usize, call: &Call, at: u64, now: UnixTime) {
        let Purpose::Token { digest, class, requester } = call.purpose else { panic!("the address is known") };
        let (_, provider) = self.policy.providers.iter().next().unwrap();
        let asking = &mut self.workers[worker];
        let places = asking.record_names(&digest);
        match asking.rate_limiter().try_acquire(self.budget.as_deref(), Caller { class, requester }, now) {
            Acquire::Granted(record) => self.budget = Some(record),
            Acquire::Exhausted(reached) => {
                asking.defer(call.number, Deferral::LimitReached(reached), now);
                return;
            }
        }
        self.seen.calls.push(at);
        let body = match self.random.contains(&digest) {
            true => json!({ "active": false }),
            false => json!({ "active": true, "sub": "alice", "aud": "api" }),
        };
        let body = body.to_string().into_bytes();
        let outcome = Ok(HttpResponse::new(200, body));
        self.last = self.last.next();
        let end = asking.finish_call(call.number, Some(self.last), outcome, provider, Jitter(0), now);
        let answer = end.share.expect("short enough to be shared");
        self.answers.0.borrow_mut().insert(places.of_slot(answer.slot).to_owned(), answer);
    }
}

/// Each token is used every few seconds, each at its own moment, by whatever worker has the connection.
fn play(setting: Setting, minutes: u64) -> Seen {
    let configuration =
        json!({ "providers": { "a": { "issuer": "https://idp.example", "audiences": ["api"], "upstream": "idp" } } });
    let policy = config::load(configuration.to_string().as_bytes(), &config::no_environment).unwrap().policy;
    let mut process = Process::new(&policy, setting);
    let every = if setting.tokens > 1000 { 15_000 } else { 1000 };
    let come_over = setting.come_over.as_millis() as u64;
    let mut unknown: BTreeSet<u64> = (0..setting.tokens).collect();
    let mut chance: u64 = 0x9e37_79b9_7f4a_7c15;
    for round in 0..minutes * MINUTE / every {
        for token in 0..setting.tokens {
            let at = round * every + token * every / setting.tokens;
            if at < token * come_over / setting.tokens {
                continue;
            }
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let worker = usize::try_from(chance >> 33).unwrap() % setting.workers;
            if process.request(worker, token, at) && unknown.remove(&token) && unknown.is_empty() {
                process.seen.all_known = Some(at);
            }
        }
    }
    process.seen
}

/// The rows of the document's table whose heading begins so, as numbers; texts (`over`) are none.
fn rows(heading: &str) -> Vec<Vec<Option<f64>>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/introspection.md");
    let text = fs::read_to_string(path).unwrap();
    let mut lines = text.lines().skip_while(|line| !line.starts_with(heading));
    assert!(lines.next().is_some(), "there is no table {heading:?}");
    let number = |cell: &str| cell.trim().trim_end_matches(['s', '%', ' ', 'm', 'i', 'n']).parse().ok();
    let row = |line: &str| line.trim_matches('|').split('|').map(number).collect();
    let rows: Vec<_> = lines.skip(1).take_while(|line| line.starts_with('|')).map(row).collect();
    assert!(rows.len() >= 3, "{} rows under {heading:?}", rows.len());
    rows
}

fn whole(cell: Option<f64>) -> u64 {
    let number = cell.expect("a number");
    assert!(number.fract() == 0.0 && number > 0.0, "{number}");
    number as u64
}

/// Calls a minute of a process that was never short of them, once all tokens came.
fn calls_a_minute(tokens: u64, ttl: u64, workers: usize) -> f64 {
    let setting = Setting {
        tokens,
        cache_ttl: Duration::from_secs(ttl),
        workers,
        requests_per_minute: UNBOUNDED,
        come_over: Duration::from_secs(ttl),
    };
    let (begin, minutes) = (ttl.div_ceil(60), 15);
    let seen = play(setting, begin + minutes);
    seen.calls_between(begin * MINUTE, (begin + minutes) * MINUTE) as f64 / minutes as f64
}

#[test]
fn each_row_of_the_call_table_matches_the_state_machine() {
    for row in rows("| tokens in use | `cache_ttl` | gateways |") {
        let [tokens, ttl, gateways, calls, .., budget, revoked] = row.as_slice() else { panic!("{row:?}") };
        let [tokens, ttl, gateways] = [tokens, ttl, gateways].map(|cell| whole(*cell));
        let made = (calls_a_minute(tokens, ttl, 1) * gateways as f64).round();
        assert_eq!(*calls, Some(made), "calls a minute: {row:?}");
        let formula = (tokens * gateways * 60) as f64 / ttl as f64;
        assert!((made - formula).abs() <= 0.5, "{made} is not what the formula says: {formula}");
        for (limit, share) in LIMITS_OF_PLANS.iter().zip(&row[4..7]) {
            let percent = (made * 100.0 / f64::from(*limit)).round();
            assert_eq!(*share, (percent <= 100.0).then_some(percent), "of {limit}: {row:?}");
        }
        let needed = (tokens * 60 * 5).div_ceil(ttl * 4);
        assert_eq!(*budget, Some(needed as f64), "a quarter more: {row:?}");
        assert_eq!(whole(*revoked), ttl, "the longest that a revoked token goes on: {row:?}");
    }
}

#[test]
fn budget_of_each_row_suffices_after_warm_up_and_is_never_exceeded() {
    for row in rows("| tokens in use | `cache_ttl` | gateways |") {
        let [tokens, ttl, budget] = [row[0], row[1], row[7]].map(whole);
        // As slowly as one new token for four old ones that are asked about again.
        let come_over = Duration::from_secs(4 * ttl);
        let setting = Setting {
            tokens,
            cache_ttl: Duration::from_secs(ttl),
            workers: 1,
            requests_per_minute: u32::try_from(budget).unwrap(),
            come_over,
        };
        let seen = play(setting, (6 * ttl).div_ceil(60));
        assert_eq!(seen.refused.len(), 0, "{row:?}");
        assert!(seen.all_known.is_some(), "{row:?}");
        seen.assert_within(budget);
    }
}

#[test]
fn each_row_of_the_worker_table_matches_shared_responses() {
    for row in rows("| tokens in use | 1 worker |") {
        let tokens = whole(row[0]);
        for (cell, workers) in row[1..].iter().zip([1, 2, 4, 8]) {
            assert_eq!(*cell, Some(calls_a_minute(tokens, 60, workers).round()), "{workers} workers: {row:?}");
        }
    }
}

#[test]
fn each_row_of_the_start_table_matches_the_time_to_introspect_all_tokens() {
    for row in rows("| tokens in use | `requests_per_minute` |") {
        let [tokens, budget] = [row[0], row[1]].map(whole);
        let setting = Setting {
            tokens,
            cache_ttl: Duration::from_secs(300),
            workers: 1,
            requests_per_minute: u32::try_from(budget).unwrap(),
            come_over: Duration::ZERO,
        };
        let seen = play(setting, 15);
        seen.assert_within(budget);
        let all_known = seen.all_known.expect("all are known at last");
        let minutes = (all_known as f64 / MINUTE as f64 * 10.0).ceil() / 10.0;
        assert_eq!(row[2], Some(minutes), "{row:?}");
    }
}

/// What a flood of random tokens leads to, of which so many come a second, from so many addresses.
struct Flooded {
    /// Calls for random tokens, in the minute with most of them.
    calls: u64,
    /// The new tokens of others that were answered within a second.
    at_once: u64,
    /// The longest that one of them waited, in seconds.
    longest: u64,
}

fn flood(per_second: u64, addresses: u64, requests_per_minute: u32) -> Flooded {
    const SECONDS: u64 = 300;
    let configuration =
        json!({ "providers": { "a": { "issuer": "https://idp.example", "audiences": ["api"], "upstream": "idp" } } });
    let policy = config::load(configuration.to_string().as_bytes(), &config::no_environment).unwrap().policy;
    let cache_ttl = Duration::from_secs(300);
    let setting = Setting { tokens: 0, cache_ttl, workers: 2, requests_per_minute, come_over: Duration::ZERO };
    let mut process = Process::new(&policy, setting);
    let address = |network: u64, number: u64| {
        let address = format!("10.{network}.{}.{}:1", number / 256, number % 256);
        Sender::Known(Requester::at_address(address.as_bytes()).unwrap())
    };
    let (mut random_calls, mut waiting, mut waits) = (Vec::new(), Vec::new(), Vec::new());
    let mut sent = 0;
    for second in 0..SECONDS {
        for number in 0..per_second {
            let at = second * 1000 + number * 1000 / per_second;
            let text = format!("random-{sent}");
            process.random.insert(TokenDigest::of(TokenKind::Opaque, text.as_bytes()));
            let before = process.seen.calls.len();
            process.request_from(address(1, sent % addresses), usize::from(sent % 2 == 1), &text, at);
            random_calls.extend(process.seen.calls[before..].iter().copied());
            sent += 1;
        }
        // A visitor every five seconds, once the flood has had a minute, who tries again every second.
        if second % 5 == 0 && (60..240).contains(&second) {
            waiting.push(second);
        }
        let now = second * 1000 + 999;
        waiting.retain(|came| {
            let is_active = process.request_from(address(2, *came), 0, &format!("visitor-{came}"), now);
            if is_active {
                waits.push(second - came);
            }
            !is_active
        });
    }
    process.seen.assert_within(u64::from(requests_per_minute));
    assert_eq!(waits.len() + waiting.len(), 36);
    waits.extend(waiting.iter().map(|came| SECONDS - came));
    let in_minute = |from: &u64| random_calls.iter().filter(|at| (*from..from + MINUTE).contains(*at)).count() as u64;
    Flooded {
        calls: random_calls.iter().map(in_minute).max().unwrap_or(0),
        at_once: waits.iter().filter(|wait| **wait == 0).count() as u64 * 100 / 36,
        longest: waits.into_iter().max().unwrap_or(0),
    }
}

#[test]
fn each_row_of_the_flood_table_matches_random_tokens() {
    let mut wrong = Vec::new();
    for row in rows("| random tokens a second |") {
        let [per_second, addresses, budget] = [row[0], row[1], row[2]].map(whole);
        let flooded = flood(per_second, addresses, u32::try_from(budget).unwrap());
        let Flooded { calls, at_once, longest } = flooded;
        let line = format!("| {per_second} | {addresses} | {budget} | {calls} | {at_once} % | {longest}s |");
        println!("{line}");
        if row[3..] != [calls, at_once, longest].map(|number| Some(number as f64)) {
            wrong.push(line);
        }
    }
    assert!(wrong.is_empty(), "played otherwise: {wrong:#?}");
}
