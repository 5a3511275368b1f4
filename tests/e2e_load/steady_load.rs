//! Steady load while configurations change, and the check of its responses: each must be correct under a configuration that
//! may have decided it.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "a test judges answers by when they were given")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testbed::authorization_server::DNS_NAME;
use testbed::polling::until;
use testbed::{Connection, Request};

/// Each is a client that keeps its connection until it is told to close it.
pub const CLIENTS: usize = 16;
const PAUSE: Duration = Duration::from_millis(10);

/// A configuration, told from the others by what it lets pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation {
    /// No two have the same, so that none finds its keys with another worker at once: requests have to wait for them.
    pub number: usize,
    pub audience: &'static str,
    pub flip_is_open: bool,
}

impl Generation {
    pub fn provider(self) -> String {
        format!("okta-{}", self.number)
    }

    pub fn configuration(self) -> Value {
        let keys = format!("https://{DNS_NAME}/oauth2/default/v1/keys?{}", self.number);
        json!({
            "providers": { self.provider(): {
                "issuer": format!("https://{DNS_NAME}/oauth2/default"), "audiences": [self.audience],
                "upstream": "okta", "jwks": { "uri": keys, "timeout": "60s" } } },
            "rules": [{ "name": "flip", "match": { "path": "/flip" },
                "access": if self.flip_is_open { "token" } else { "deny" } }],
        })
    }

    fn answers(self, question: &ExpectedRequest) -> u16 {
        match question.audience {
            None => 401,
            Some(_) if question.is_flip && !self.flip_is_open => 403,
            Some(audience) if audience == self.audience => 200,
            Some(_) => 401,
        }
    }
}

/// A request, and what its answer depends on.
pub struct ExpectedRequest {
    pub request: Request,
    /// Of its token; `None` without a good one.
    pub audience: Option<&'static str>,
    pub is_flip: bool,
}

/// When a configuration was in force.
#[derive(Clone, Copy, Debug)]
pub struct ActivePeriod {
    pub generation: Generation,
    /// Envoy was told.
    pub begun: Instant,
    /// Nobody who connects later meets the one before.
    pub accepted: Instant,
    /// Nobody who asks later meets the one before.
    pub everywhere: Instant,
}

/// One answer, and when things happened.
#[derive(Clone, Copy, Debug)]
struct Exchange {
    question: usize,
    connected: Instant,
    sent: Instant,
    answered: Instant,
    status: u16,
}

impl Exchange {
    /// The configurations that may have decided it.
    fn deciders(&self, turns: &[ActivePeriod]) -> impl Iterator<Item = Generation> {
        let is_over = |next: Option<&ActivePeriod>| {
            next.is_some_and(|next| self.connected > next.accepted || self.sent > next.everywhere)
        };
        let may_have = move |place: &usize| turns[*place].begun <= self.answered && !is_over(turns.get(place + 1));
        (0..turns.len()).filter(may_have).map(|place| turns[place].generation)
    }
}

/// The load, while it runs.
pub struct Load<'q> {
    port: u16,
    questions: &'q [ExpectedRequest],
    answered: AtomicUsize,
    /// When each client connected last.
    connected: Mutex<[Instant; CLIENTS]>,
    is_over: AtomicBool,
}

impl<'q> Load<'q> {
    /// Asks all the while that `meanwhile` runs, and then judges the answers by the turns that it gives back; gives what
    /// was answered how often.
    pub fn during(
        port: u16,
        questions: &'q [ExpectedRequest],
        meanwhile: impl FnOnce(&Self) -> Vec<ActivePeriod>,
    ) -> Vec<(u16, usize)> {
        let load = Self {
            port,
            questions,
            answered: AtomicUsize::new(0),
            connected: Mutex::new([Instant::now(); CLIENTS]),
            is_over: AtomicBool::new(false),
        };
        let (turns, answers) = thread::scope(|scope| {
            let load = &load;
            let clients: Vec<_> = (0..CLIENTS).map(|client| scope.spawn(move || load.ask(client))).collect();
            let turns = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| meanwhile(load)));
            load.is_over.store(true, Ordering::Relaxed);
            let answers: Vec<Exchange> =
                clients.into_iter().flat_map(|client| client.join().expect("every request is answered")).collect();
            (turns.unwrap_or_else(|panic| std::panic::resume_unwind(panic)), answers)
        });
        load.check_answers(&turns, &answers)
    }

    /// Waits until so many more were answered.
    pub fn goes_on_for(&self, answers: usize) {
        let enough = self.answered.load(Ordering::Relaxed) + answers;
        until("more answers", Duration::from_secs(60), || {
            (self.answered.load(Ordering::Relaxed) >= enough).then_some(())
        });
    }

    /// Waits until no client has a connection that it opened before.
    pub fn wait_until_all_connect_after(&self, moment: Instant) {
        until("all clients to connect again", Duration::from_secs(60), || {
            self.connected.lock().expect("no panic").iter().all(|connected| *connected > moment).then_some(())
        });
    }

    fn ask(&self, client: usize) -> Vec<Exchange> {
        let connect = || {
            let now = Instant::now();
            let connection = Connection::open(self.port).expect("the gateway listens");
            self.connected.lock().expect("no panic")[client] = now;
            (now, connection)
        };
        let (mut connected, mut connection) = connect();
        let mut answers = Vec::new();
        let mut place = client;
        while !self.is_over.load(Ordering::Relaxed) {
            let question = place % self.questions.len();
            place += 1;
            let sent = Instant::now();
            connection.send(&self.questions[question].request).expect("sent");
            let response = connection.read_response().unwrap_or_else(|fault| panic!("a request got lost: {fault}"));
            answers.push(Exchange { question, connected, sent, answered: Instant::now(), status: response.status });
            self.answered.fetch_add(1, Ordering::Relaxed);
            if response.header("connection").is_some_and(|value| value == "close") {
                (connected, connection) = connect();
            }
            thread::sleep(PAUSE);
        }
        answers
    }

    fn check_answers(&self, turns: &[ActivePeriod], answers: &[Exchange]) -> Vec<(u16, usize)> {
        let start = turns[0].begun;
        for answer in answers {
            let question = &self.questions[answer.question];
            let right: Vec<u16> = answer.deciders(turns).map(|generation| generation.answers(question)).collect();
            let times = [answer.connected, answer.sent, answer.answered].map(|time| time - start);
            assert!(
                right.contains(&answer.status),
                "{} instead of one of {right:?} for {} with {:?}, times {times:?}; {turns:?}",
                answer.status,
                if question.is_flip { "/flip" } else { "/accounts" },
                question.audience
            );
        }
        self.assert_every_turn_got_every_request(turns, answers);
        let count = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
        [200, 401, 403].map(|status| (status, count(status))).to_vec()
    }

    /// Else the judgement says nothing: there was a time at which each configuration alone answered.
    fn assert_every_turn_got_every_request(&self, turns: &[ActivePeriod], answers: &[Exchange]) {
        for (place, turn) in turns.iter().enumerate() {
            let alone = |answer: &&Exchange| answer.deciders(turns).eq([turn.generation]);
            let mut asked: Vec<usize> = answers.iter().filter(alone).map(|answer| answer.question).collect();
            asked.sort_unstable();
            asked.dedup();
            assert!(
                asked.len() == self.questions.len() || turn.everywhere == turns[(place + 1) % turns.len()].everywhere,
                "turn {place} was only asked {asked:?}"
            );
        }
    }
}
