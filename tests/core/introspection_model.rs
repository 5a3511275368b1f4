//! Introspection over time against a naive model: random sequences of requests, answers, failures, postponed calls,
//! answers of other workers, ticks and steps of the clock, also backwards. The model remembers only what the endpoint said
//! last of each token, and when; what a request is told has to follow from that.
//!
//! What must hold whatever happens: nothing is active but by the last answer, within its time; nothing serves past `exp`
//! or after an answer that was not active; one call a token at a time; no more calls a minute than the budget, and half
//! of them kept for known tokens; nobody calls while the server wants to be left alone; nobody is left waiting.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use okta_proxy_wasm::config;
use okta_proxy_wasm::introspection::call::{
    Call, CallFault, CallNumber, CallOutcome, CallResult, Postponed, Purpose, RateLimitFields, Standing, TokenDigest,
    TokenKind,
};
use okta_proxy_wasm::introspection::sharing::{Places, SharedAnswer, SharedAnswers, SharedSlot};
use okta_proxy_wasm::introspection::{CallEnd, Freshness, LookUp, ProviderIntrospection, Refusal};
use okta_proxy_wasm::jitter::Jitter;
use okta_proxy_wasm::policy::{
    CacheLimits, CalloutAddress, ClaimFault, ClientAuthentication, Introspection, IntrospectionAddress, OpaqueTokens,
    Policy, Provider,
};
use okta_proxy_wasm::redacted::Redacted;
use okta_proxy_wasm::unix_time::UnixTime;
use serde_json::json;

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

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn pick(&mut self, from: usize) -> usize {
        usize::try_from(self.below(from as u64)).unwrap()
    }
}

/// What the endpoint said last of a token.
#[derive(Clone, Debug)]
struct Said {
    what: What,
    began: UnixTime,
    ended: UnixTime,
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
    records: RefCell<BTreeMap<(String, usize), (Said, SharedAnswer)>>,
    was_read: Cell<bool>,
}

impl Store {
    fn write(&self, places: &Places, said: &Said, answer: &SharedAnswer) {
        let place = (places.of_slot(answer.slot).to_owned(), token_of(answer.token));
        self.records.borrow_mut().insert(place, (said.clone(), answer.clone()));
    }

    /// The newest first.
    fn of(&self, places: &Places) -> Vec<(Said, SharedAnswer)> {
        let records = self.records.borrow();
        let stands_there = |((place, _), _): &(&(String, usize), &(Said, SharedAnswer))| {
            [SharedSlot::Active, SharedSlot::Refused].into_iter().any(|slot| places.of_slot(slot) == place)
        };
        let mut found: Vec<_> = records.iter().filter(stands_there).map(|(_, record)| record.clone()).collect();
        found.sort_by_key(|(said, _)| std::cmp::Reverse(said.began));
        found
    }
}

impl SharedAnswers for Store {
    fn read(&self, places: &Places) -> Vec<SharedAnswer> {
        self.was_read.set(true);
        self.of(places).into_iter().map(|(_, answer)| answer).collect()
    }
}

struct Model<'a> {
    store: Rc<Store>,
    provider: &'a Provider,
    introspection: ProviderIntrospection,
    random: Random,
    now: UnixTime,
    serial: u64,
    said: BTreeMap<usize, Said>,
    /// Whether anything stood in the way of a call for a token since it was answered.
    trouble: BTreeSet<usize>,
    last_trouble: Option<UnixTime>,
    in_flight: BTreeMap<CallNumber, (usize, UnixTime, Standing)>,
    late: Vec<CallNumber>,
    made: Vec<(UnixTime, Standing)>,
    blocked_until: UnixTime,
    waiting: Vec<(usize, UnixTime)>,
    shared: Vec<(usize, Said, SharedAnswer)>,
    /// Since when the clock was not set back.
    steady_since: UnixTime,
    stale: Duration,
    counts: BTreeMap<&'static str, usize>,
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
            address: IntrospectionAddress::Known(CalloutAddress::parse("https://idp.example/i", "idp").unwrap()),
            client: ClientAuthentication::SecretPost { client_id, secret: Redacted::new(String::from("s")) },
            cache_ttl: TTL,
            inactive_cache_ttl: INACTIVE_TTL,
            timeout: TIMEOUT,
            requests_per_minute: NonZeroU32::new(u32::try_from(BUDGET).unwrap()).unwrap(),
            stale_if_error: stale,
            opaque_tokens: OpaqueTokens::Taken,
        };
        let now = UnixTime::from_secs(START);
        let store = Rc::new(Store::default());
        let others: Rc<dyn SharedAnswers> = Rc::clone(&store) as Rc<dyn SharedAnswers>;
        Self {
            store,
            provider,
            introspection: ProviderIntrospection::new(settings, CacheLimits::default(), others),
            random: Random(seed),
            now,
            serial: 0,
            said: BTreeMap::new(),
            trouble: BTreeSet::new(),
            last_trouble: None,
            in_flight: BTreeMap::new(),
            late: Vec::new(),
            made: Vec::new(),
            blocked_until: UnixTime::from_millis(0),
            waiting: Vec::new(),
            shared: Vec::new(),
            steady_since: now,
            stale,
            counts: BTreeMap::new(),
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn is_steady_since(&self, time: UnixTime) -> bool {
        time >= self.steady_since
    }

    /// Looks a token up and holds the result against the model.
    fn look(&mut self, token: usize, asked_at: UnixTime) {
        let now = self.now;
        self.store.was_read.set(false);
        let found = self.introspection.look_up_opaque(text(token).as_bytes(), self.provider, asked_at, now);
        if self.store.was_read.get() {
            self.learn(token);
        }
        let said = self.said.get(&token).cloned();
        let answers_it = |said: &Said| said.began >= asked_at && said.began <= now;
        let what = match found {
            LookUp::Active(found, freshness) => {
                let Some(Said { what: What::Active { subject, expiry }, began, .. }) = &said else {
                    panic!("active, and the endpoint said last: {said:?}")
                };
                assert_eq!(found.subject(), Some(subject.as_str()), "not the last answer");
                assert!(expiry.is_none_or(|expiry| now < expiry.plus(SKEW)), "past exp");
                let until = |after| expiry.map_or(began.plus(after), |expiry| expiry.min(began.plus(after)));
                match freshness {
                    Freshness::Fresh => {
                        let is_in_time = now < until(TTL) || answers_it(said.as_ref().unwrap());
                        assert!(is_in_time, "fresh {:?} after it was asked for", now.since(*began));
                        "fresh"
                    }
                    Freshness::Stale => {
                        assert!(now < until(TTL + self.stale), "stale {:?} after it was asked for", now.since(*began));
                        assert!(self.is_hindered(token), "stale, and nothing was in the way");
                        "stale"
                    }
                }
            }
            LookUp::Refused(refusal) => {
                let said = said.as_ref().expect("refused, and the endpoint said nothing");
                let expected = match said.what {
                    What::Inactive => Refusal::Inactive,
                    What::WrongAudience => Refusal::Claim(ClaimFault::AudienceUnexpected),
                    What::Active { .. } => Refusal::Claim(ClaimFault::Expired),
                    What::Nonsense => panic!("refused, and that was no answer"),
                };
                assert_eq!(refusal, expected);
                let lasts = now < said.ended.plus(INACTIVE_TTL) || answers_it(said);
                assert!(lasts || refusal == Refusal::Claim(ClaimFault::Expired), "refused for too long");
                "refused"
            }
            LookUp::Wait(found) => {
                assert_eq!(found, digest(token));
                self.waiting.push((token, asked_at));
                "wait"
            }
            LookUp::Unavailable(_) => "unavailable",
        };
        // What is known and in time is used, and nobody waits for it.
        if let Some(Said { what: What::Active { expiry, .. }, began, ended }) = &said
            && self.is_steady_since(*ended)
            && now < expiry.map_or(began.plus(TTL), |expiry| expiry.min(began.plus(TTL)))
        {
            assert_eq!(what, "fresh", "{:?} after it was asked for", now.since(*began));
        }
        // And where the operator wants that, what is old is better than nothing.
        if let Some(Said { what: What::Active { expiry, .. }, began, ended }) = &said
            && self.is_steady_since(*ended)
            && now < expiry.map_or(began.plus(TTL + self.stale), |expiry| expiry.min(began.plus(TTL + self.stale)))
        {
            assert_ne!(what, "unavailable", "{:?} after it was asked for", now.since(*began));
        }
        self.count(what);
    }

    /// What other workers wrote of a token was read: the newest that is in order and newer than what is known counts.
    fn learn(&mut self, token: usize) {
        for (said, _) in self.store.of(&self.introspection.places(&digest(token))) {
            let is_news = self.said.get(&token).is_none_or(|known| said.began > known.began);
            if is_news && said.ended <= self.now && self.now < self.lasts(&said, self.stale) {
                self.count("learned");
                if self.now < self.lasts(&said, Duration::ZERO) {
                    self.trouble.remove(&token);
                }
                self.said.insert(token, said);
            }
        }
    }

    /// Until when what another worker was told counts, so long past its time if it is active.
    fn lasts(&self, said: &Said, grace: Duration) -> UnixTime {
        match said.what {
            What::Inactive => said.ended.plus(INACTIVE_TTL),
            What::Active { .. } | What::WrongAudience => said.began.plus(TTL + grace),
            What::Nonsense => UnixTime::from_millis(0),
        }
    }

    /// Whether something may stand in the way of a call: a failure since the token was answered, a door that closed a
    /// short while ago, or a budget that is spent.
    fn is_hindered(&self, token: usize) -> bool {
        let made = self.made.iter().filter(|(at, _)| self.now.since(*at) < MINUTE + Duration::from_secs(5)).count();
        let closed = self.last_trouble.is_some_and(|at| self.now.since(at) < LONGEST_PAUSE);
        self.trouble.contains(&token) || closed || made >= BUDGET
    }

    fn trouble_for_all(&mut self) {
        self.trouble.extend(0..TOKENS);
        self.last_trouble = Some(self.now);
    }

    fn recall(&mut self, tokens: &[TokenDigest]) {
        let tokens: BTreeSet<usize> = tokens.iter().map(|found| token_of(*found)).collect();
        let (again, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|(token, _)| tokens.contains(token));
        self.waiting = rest;
        for (token, asked_at) in again {
            self.look(token, asked_at);
        }
    }

    fn jitter(&mut self) -> Jitter {
        Jitter(u16::try_from(self.random.below(65_536)).unwrap())
    }

    fn tick(&mut self) {
        let jitter = self.jitter();
        let begun = self.introspection.begin_calls(jitter, self.now);
        let gone: Vec<CallNumber> =
            self.in_flight.keys().copied().filter(|number| !self.introspection.is_calling(*number)).collect();
        for number in gone {
            let (token, ..) = self.in_flight.remove(&number).unwrap();
            self.trouble.insert(token);
            self.last_trouble = Some(self.now);
            self.late.push(number);
            self.count("given up");
        }
        for Call { number, purpose, timeout } in begun.calls {
            let Purpose::Token { digest, standing, .. } = purpose else { panic!("the address is known") };
            let token = token_of(digest);
            assert_eq!(timeout, TIMEOUT);
            assert!(self.in_flight.values().all(|(other, ..)| *other != token), "two calls at a time");
            assert!(self.now >= self.blocked_until, "called though the server wants to be left alone");
            self.in_flight.insert(number, (token, self.now, standing));
            self.made.push((self.now, standing));
            self.count("call");
        }
        let minute = |made: &&(UnixTime, Standing)| self.now.since(made.0) < MINUTE && made.0 >= self.steady_since;
        let unknown = self.made.iter().filter(minute).filter(|(_, standing)| *standing == Standing::Unknown).count();
        assert!(self.made.iter().filter(minute).count() <= BUDGET, "over the budget");
        assert!(unknown <= BUDGET / 2, "unknown tokens have more than their share");
        self.recall(&begun.recall);
        let asked = self.introspection.figures(self.now).asked;
        assert_eq!(
            self.introspection.next_due(self.now).is_some(),
            asked > 0,
            "a tick for nothing, or none for what waits"
        );
    }

    /// A call under way.
    fn some_call(&mut self) -> Option<(CallNumber, usize, UnixTime)> {
        let at = self.random.pick(self.in_flight.len().max(1));
        self.in_flight.iter().nth(at).map(|(number, (token, began, _))| (*number, *token, *began))
    }

    fn answer(&mut self) {
        let Some((number, token, began)) = self.some_call() else { return };
        self.serial += 1;
        let subject = format!("answer-{}", self.serial);
        let lives = [None, Some(0), Some(3), Some(12), Some(600)][self.random.pick(5)];
        let expiry = lives.map(|seconds| UnixTime::from_secs(self.now.as_secs() + seconds));
        let (what, body) = match self.random.below(8) {
            0 => (What::Inactive, json!({"active": false, "sub": subject})),
            1 => (What::WrongAudience, json!({"active": true, "sub": subject, "aud": "other"})),
            _ => {
                let mut body = json!({"active": true, "sub": subject, "aud": "api"});
                if let Some(expiry) = expiry {
                    body["exp"] = json!(expiry.as_secs());
                }
                (What::Active { subject, expiry }, body)
            }
        };
        let said = Said { what, began, ended: self.now };
        let end = self.finish(number, 200, body.to_string().into_bytes());
        assert_eq!(end.result, CallResult::Answered);
        self.in_flight.remove(&number);
        self.trouble.remove(&token);
        self.said.insert(token, said.clone());
        let share = end.share.clone().unwrap();
        self.store.write(&self.introspection.places(&digest(token)), &said, &share);
        self.shared.push((token, said, share));
        self.count("answer");
        assert!(end.recall.contains(&digest(token)));
        self.recall(&end.recall);
        let is_answered = |(other, asked_at): &(usize, UnixTime)| *other == token && *asked_at <= began;
        assert!(!self.waiting.iter().any(is_answered), "left waiting though it is answered");
    }

    fn finish(&mut self, number: CallNumber, status: u16, body: Vec<u8>) -> CallEnd {
        let retry_after = Some("7".to_owned());
        let outcome = CallOutcome::Response { status, retry_after, rate_limit: RateLimitFields::default(), body };
        let jitter = self.jitter();
        self.introspection.finish_call(number, outcome, self.provider, jitter, self.now)
    }

    fn fail(&mut self) {
        let Some((number, token, began)) = self.some_call() else { return };
        let (.., standing) = self.in_flight[&number];
        let kind = self.random.below(7);
        let end = match kind {
            0 => self.finish(number, 429, Vec::new()),
            1 => self.finish(number, 400, Vec::new()),
            2 => self.finish(number, 200, b"<html>".to_vec()),
            3 => self.finish(number, 200, br#"{"active":"true"}"#.to_vec()),
            4 => self.finish(number, 503, br#"{"active":true,"aud":"api"}"#.to_vec()),
            5 => self.finish(number, 200, br#"{"active":true,"aud":"api","active":true}"#.to_vec()),
            _ => {
                let jitter = self.jitter();
                let outcome = CallOutcome::Failed(CallFault::ConnectionFailed);
                self.introspection.finish_call(number, outcome, self.provider, jitter, self.now)
            }
        };
        assert!(matches!(end.result, CallResult::Failed { .. }));
        assert_eq!(end.share.is_some(), kind == 3 && standing == Standing::Known, "only the end of what was active");
        if let Some(share) = &end.share {
            let said = Said { what: What::Nonsense, began, ended: self.now };
            self.store.write(&self.introspection.places(&digest(token)), &said, share);
        }
        self.in_flight.remove(&number);
        // A door may have closed for all of them.
        self.trouble_for_all();
        let was_active = matches!(self.said.get(&token), Some(Said { what: What::Active { .. }, .. }));
        // Of a JSON object that is no answer nothing active survives; of any other failure it does.
        if kind == 3 || !was_active {
            self.said.remove(&token);
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
        self.recall(&end.recall);
    }

    fn postpone(&mut self) {
        let Some((number, ..)) = self.some_call() else { return };
        let why = match self.random.below(3) {
            0 => Postponed::BudgetSpent(Duration::from_secs(1)),
            1 => Postponed::BudgetSpent(Duration::from_secs(20)),
            _ => Postponed::AskedElsewhere,
        };
        let (_, began, standing) = self.in_flight.remove(&number).unwrap();
        let made = self.made.iter().rposition(|made| *made == (began, standing)).unwrap();
        self.made.remove(made);
        let recall = self.introspection.postpone(number, why, self.now);
        self.trouble_for_all();
        self.count("postponed");
        self.recall(&recall);
    }

    /// An answer that another worker was given, now or long ago.
    fn given_elsewhere(&mut self, token: usize) -> (Said, SharedAnswer) {
        self.serial += 1;
        let subject = format!("answer-{}", self.serial);
        let began = self.now.as_millis() - self.random.below(15_000);
        let ended = UnixTime::from_millis(began + self.random.below(2000));
        let began = UnixTime::from_millis(began);
        let (what, body, slot) = if self.random.below(3) == 0 {
            (What::Inactive, json!({"active": false}), SharedSlot::Refused)
        } else {
            let body = json!({"active": true, "sub": subject, "aud": "api"});
            (What::Active { subject, expiry: None }, body, SharedSlot::Active)
        };
        let body = body.to_string().into_bytes();
        (Said { what, began, ended }, SharedAnswer { token: digest(token), began, ended, body, slot })
    }

    /// What was said of the token of a call, here or elsewhere, is found in the shared data.
    fn adopt(&mut self) {
        let Some((number, token, _)) = self.some_call() else { return };
        let ours = self.shared.iter().rev().find(|(other, ..)| *other == token).cloned();
        let (said, shared) = match ours {
            Some((_, said, shared)) if self.random.below(3) == 0 => (said, shared),
            Some(_) | None => self.given_elsewhere(token),
        };
        let record = SharedAnswer::from_bytes(&shared.to_bytes()).unwrap();
        let is_news = self.said.get(&token).is_none_or(|known| said.began > known.began);
        let is_of_use = is_news && said.ended <= self.now && self.now < self.lasts(&said, Duration::ZERO);
        let end = self.introspection.adopt(number, &record, self.provider, self.now);
        assert_eq!(end.result == CallResult::TakenOver, is_of_use, "{said:?}");
        if !is_of_use {
            self.count("shared and of no use");
            return;
        }
        let (_, began, standing) = self.in_flight.remove(&number).unwrap();
        let made = self.made.iter().rposition(|made| *made == (began, standing)).unwrap();
        self.made.remove(made);
        self.said.insert(token, said);
        self.trouble.remove(&token);
        self.count("adopted");
        self.recall(&end.recall);
    }

    /// Another worker writes what it was told.
    fn tell(&mut self) {
        let token = self.random.pick(TOKENS);
        let (said, answer) = self.given_elsewhere(token);
        self.store.write(&self.introspection.places(&digest(token)), &said, &answer);
    }

    fn answer_late(&mut self) {
        let Some(number) = self.late.pop() else { return };
        let end = self.finish(number, 200, br#"{"active":true,"aud":"api","sub":"late"}"#.to_vec());
        assert_eq!(end.result, CallResult::Late);
        self.count("late answer");
    }

    fn step(&mut self) {
        match self.random.below(21) {
            0..=5 => {
                let token = self.random.pick(TOKENS);
                self.look(token, self.now);
            }
            6..=8 => self.tick(),
            9..=11 => self.answer(),
            12 => self.fail(),
            13 => self.postpone(),
            14 => self.adopt(),
            15 => self.answer_late(),
            16 => self.tell(),
            17 if self.random.below(8) == 0 => {
                let back = self.random.below(200_000);
                self.now = UnixTime::from_millis(self.now.as_millis() - back);
                // Nothing that is timed by the clock that was can be counted on; the budget is started anew.
                self.steady_since = self.now;
                self.made.clear();
                self.blocked_until = UnixTime::from_millis(0);
                self.trouble_for_all();
                self.said.retain(|_, said| said.ended <= self.now);
                self.shared.retain(|(_, said, _)| said.ended <= self.now);
                self.restart();
                self.count("clock back");
            }
            _ => {
                let step = [1, 20, 100, 700, 1000, 2500, 4000, 9000, 16_000, 70_000][self.random.pick(10)];
                self.now = self.now.plus(Duration::from_millis(step));
            }
        }
    }

    /// After the clock was set back what was answered "later" is no guide: only that nothing of it serves for ever, and
    /// that nobody waits for ever, is looked at; then the sequence begins anew with what is in order.
    fn restart(&mut self) {
        self.drain();
        let seed = self.random.below(u64::MAX) | 1;
        let fresh = Self::new_with(self.provider, seed, self.now);
        let Self { counts, .. } = std::mem::replace(self, fresh);
        self.counts = counts;
    }

    fn new_with(provider: &'a Provider, seed: u64, now: UnixTime) -> Self {
        let policy = policy();
        let Model { store, introspection, random, stale, .. } = Model::new(&policy, seed);
        Self {
            store,
            provider,
            introspection,
            random,
            now,
            serial: 0,
            said: BTreeMap::new(),
            trouble: BTreeSet::new(),
            last_trouble: None,
            in_flight: BTreeMap::new(),
            late: Vec::new(),
            made: Vec::new(),
            blocked_until: UnixTime::from_millis(0),
            waiting: Vec::new(),
            shared: Vec::new(),
            steady_since: now,
            stale,
            counts: BTreeMap::new(),
        }
    }

    /// Time passes to where there is said to be something to do, and nothing else: nobody is left waiting.
    fn drain(&mut self) {
        for _ in 0..200 {
            let due = self.introspection.next_due(self.now).unwrap_or(self.now);
            self.now = due.max(self.now.plus(Duration::from_millis(1)));
            let begun = self.introspection.begin_calls(Jitter(0), self.now);
            let mut recalled: BTreeSet<TokenDigest> = begun.recall.into_iter().collect();
            // Half of the endpoint's answers never come.
            for call in begun.calls {
                if self.random.below(2) == 0 {
                    let end = self.finish(call.number, 200, br#"{"active":false}"#.to_vec());
                    recalled.extend(end.recall);
                }
            }
            self.waiting.retain(|(token, asked_at)| {
                !recalled.contains(&digest(*token))
                    || matches!(
                        self.introspection.look_up_opaque(text(*token).as_bytes(), self.provider, *asked_at, self.now),
                        LookUp::Wait(_)
                    )
            });
            if self.waiting.is_empty() && self.introspection.figures(self.now).asked == 0 {
                return;
            }
        }
        panic!("left waiting: {:?}, {:?}", self.waiting, self.introspection.figures(self.now));
    }
}

fn policy() -> Policy {
    let configuration = json!({ "providers": { "a": { "issuer": "https://idp.example", "audiences": ["api"],
        "clock_skew": "5s", "upstream": "idp" } } });
    config::load(configuration.to_string().as_bytes(), &config::no_environment).unwrap().policy
}

#[test]
fn in_any_order_of_events_what_requests_are_told_is_what_was_said_last_and_in_time() {
    let policy = policy();
    let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
    for number in 0..SEQUENCES {
        let seed = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(number + 1) | 1;
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
        "shared and of no use",
        "given up",
        "late answer",
        "clock back",
    ] {
        assert!(counts.get(what).is_some_and(|times| *times >= 100), "{what}: {:?}", counts.get(what));
    }
}
