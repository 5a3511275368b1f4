//! Each request again, on hosts where one call fails: for each call that it leads to, with each status that a real host
//! returns. Calls of the same kind are tested once for each host: those of a request that is decided at once by their place
//! among its calls, the others by their callback and what they are about. `EVERY_FAULT=1` tests them all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use embedded_host::{
    Action, Callout, CalloutResponse, Fields, HostBehavior, HostCall, Outcome, RootId, SharedStore, StreamId, Vm,
};

/// No request waits longer.
const LONGEST_WAIT: u32 = 25;

/// One thing that a client, a server or the time does.
#[derive(Clone, Debug)]
pub enum Step {
    Clock(Duration),
    Request {
        name: u32,
        head: Fields,
        is_whole: bool,
    },
    Tick,
    /// The callout to this upstream and path with this body ends so.
    Done {
        upstream: String,
        path: String,
        body: Vec<u8>,
        response: CalloutResponse,
    },
    Close(u32),
}

/// Steps, and what came of each request.
#[derive(Debug, Default)]
pub struct Script {
    pub steps: Vec<Step>,
    pub outcomes: BTreeMap<u32, Outcome>,
    /// The requests that the native engine allowed.
    pub allowed: BTreeSet<u32>,
}

impl Script {
    /// Whether it has more than one request without callouts. In such a script a fault moves what comes later, and a token of
    /// keys that come and go may be judged by others.
    fn is_long(&self) -> bool {
        self.steps.len() > 2
    }

    /// Whether the native engine allows some request with the token of this one.
    fn allows_token_of(&self, name: u32) -> bool {
        let token_of = |wanted: u32| {
            self.steps.iter().find_map(|step| match step {
                Step::Request { name, head, .. } if *name == wanted => {
                    head.iter().find(|(field, _)| field == "authorization").map(|(_, value)| value)
                }
                _ => None,
            })
        };
        self.is_long() && self.allowed.iter().any(|allowed| token_of(*allowed) == token_of(name))
    }
}

/// What was measured that a real host returns of a function that fails.
fn statuses(function: &str) -> &'static [i32] {
    match function {
        "proxy_get_property" => &[1, 3, 10],
        "proxy_call_foreign_function" => &[1, 2, 3, 10],
        "proxy_http_call" => &[2, 10],
        "proxy_get_shared_data" | "proxy_enqueue_shared_queue" => &[1],
        "proxy_set_shared_data" => &[8],
        "proxy_dequeue_shared_queue" => &[1, 7],
        "proxy_get_header_map_value" | "proxy_get_buffer_bytes" | "proxy_increment_metric" | "proxy_record_metric" => {
            &[1, 2]
        }
        // WASI's number for what is not implemented.
        "random_get" => &[52],
        _ => &[2],
    }
}

/// The kinds of calls that were seen, and those that failed, each with its host.
static SEEN: Mutex<BTreeSet<(String, String)>> = Mutex::new(BTreeSet::new());
static TESTED: Mutex<BTreeSet<(String, String)>> = Mutex::new(BTreeSet::new());

/// Which of the calls of a script are of a kind that is new to this host.
fn of_new_kinds(
    known: &Mutex<BTreeSet<(String, String)>>,
    host: &str,
    script: &Script,
    trace: &[HostCall],
) -> Vec<usize> {
    let is_denied = script.outcomes.values().any(|outcome| !matches!(outcome, Outcome::Forwarded(_)));
    // A call that repeats the one before it counts once more, and not again.
    let mut runs: Vec<(&str, usize)> = Vec::new();
    let mut positions = Vec::new();
    for call in trace {
        match runs.last_mut() {
            Some((function, count)) if *function == call.function => *count = (*count + 1).min(2),
            _ => runs.push((&call.function, 1)),
        }
        positions.push((runs.len(), runs[runs.len() - 1].1));
    }
    let functions: Vec<&str> = runs.iter().map(|(function, _)| *function).collect();
    let kind = |at: usize| {
        let call = &trace[at];
        if script.is_long() {
            format!("{} {} {} {is_denied}", call.callback, call.function, call.subject)
        } else {
            format!("{functions:?} {:?} {is_denied}", positions[at])
        }
    };
    if std::env::var_os("EVERY_FAULT").is_some() {
        return (0..trace.len()).collect();
    }
    let mut known = known.lock().unwrap();
    (0..trace.len()).filter(|at| known.insert((host.to_owned(), kind(*at)))).collect()
}

/// Plays the script again with a fault in each call of a kind that is not tested yet. `trace` has the calls that it led to.
pub fn test_every_fault(host: &str, behavior: &HostBehavior, document: &str, script: &Script, trace: &[HostCall]) {
    if of_new_kinds(&SEEN, host, script, trace).is_empty() {
        return;
    }
    let behavior = behavior.clone().hostile();
    let unharmed = Play::of(&behavior, document, script, None);
    for (name, expected) in &script.outcomes {
        assert_eq!(kind(&unharmed.outcome(*name)), kind(expected), "{host}: the script plays otherwise");
    }
    for at in of_new_kinds(&TESTED, host, script, &unharmed.trace) {
        let call = &unharmed.trace[at];
        for status in statuses(&call.function) {
            let faulty = Play::of(&behavior, document, script, Some((at + 1, *status)));
            faulty.check(host, call, *status, &unharmed, script);
        }
    }
}

/// How a request ends, as far as a fault may not change it for the better.
fn kind(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Forwarded(_) => String::from("forwarded "),
        Outcome::Responded(response) => format!("{} ", response.status),
        Outcome::Waiting => String::from("waiting "),
    }
}

struct Play {
    vm: Vm,
    root: RootId,
    streams: BTreeMap<u32, StreamId>,
    closed: BTreeSet<u32>,
    callouts: Vec<Callout>,
    /// The calls of the steps.
    trace: Vec<HostCall>,
}

impl Play {
    fn of(behavior: &HostBehavior, document: &str, script: &Script, fault: Option<(usize, i32)>) -> Self {
        let mut vm = Vm::try_start(behavior.clone(), &SharedStore::default()).unwrap();
        let (root, _) = vm.configure(document.as_bytes());
        vm.take_trace();
        if let Some((nth, status)) = fault {
            vm.fail_call(nth, status);
        }
        let (streams, closed) = (BTreeMap::new(), BTreeSet::new());
        let mut play = Self { vm, root, streams, closed, callouts: Vec::new(), trace: Vec::new() };
        script.steps.iter().for_each(|step| play.step(step));
        play.trace = play.vm.take_trace();
        play.settle();
        play
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Clock(now) => self.vm.set_clock(*now),
            Step::Request { name, head, is_whole: true } => {
                self.streams.insert(*name, self.vm.whole_request(self.root, head.clone()));
            }
            Step::Request { name, head, is_whole: false } => {
                self.streams.insert(*name, self.vm.request(self.root, head.clone()));
            }
            Step::Tick => {
                self.vm.tick(self.root);
                self.vm.deliver_queues();
            }
            Step::Done { upstream, path, body, response } => {
                let is_meant = |callout: &Callout| {
                    callout.upstream == *upstream && callout.header(":path") == Some(path) && callout.body == *body
                };
                if let Some(at) = self.callouts.iter().position(is_meant) {
                    let callout = self.callouts.remove(at);
                    self.vm.answer(&callout, response.clone());
                }
            }
            Step::Close(name) => {
                if let Some(stream) = self.streams.get(name).filter(|_| self.closed.insert(*name)) {
                    self.vm.close(*stream);
                }
            }
        }
        while let Some(callout) = self.vm.take_callout() {
            self.callouts.push(callout);
        }
    }

    /// All callouts end without a response, and the time passes that a request may wait.
    fn settle(&mut self) {
        for _ in 0..LONGEST_WAIT {
            if self.vm.trap().is_some() || self.open().all(|stream| self.vm.outcome(stream) != Outcome::Waiting) {
                return;
            }
            for callout in std::mem::take(&mut self.callouts) {
                self.vm.answer(&callout, CalloutResponse::none());
            }
            self.vm.pass(Duration::from_secs(1));
            self.step(&Step::Tick);
        }
    }

    fn open(&self) -> impl Iterator<Item = StreamId> {
        self.streams.iter().filter(|(name, _)| !self.closed.contains(name)).map(|(_, stream)| *stream)
    }

    fn outcome(&self, name: u32) -> Outcome {
        self.vm.outcome(self.streams[&name])
    }

    /// A fault denies, and allows nothing that is denied without it; what it allows is forwarded as without it.
    fn check(mut self, host: &str, call: &HostCall, status: i32, unharmed: &Self, script: &Script) {
        let context = format!("{host}: status {status} of {call:?}, trap: {:?}", self.vm.trap());
        // A response that cannot be sent, and a stream that cannot be reached, stay paused.
        let may_wait = self.vm.trap().is_some()
            || ["proxy_send_local_response", "proxy_set_effective_context"].contains(&&*call.function);
        for (name, stream) in self.streams.clone() {
            let (outcome, expected) = (self.outcome(name), unharmed.outcome(name));
            match (&outcome, &expected) {
                (Outcome::Forwarded(head), Outcome::Forwarded(expected)) => {
                    assert_eq!(head, expected, "{context}: request {name} is forwarded otherwise");
                    let host_has =
                        |play: &Self, stream| (play.vm.filter_state(stream), play.vm.is_route_cleared(stream));
                    let expected = host_has(unharmed, unharmed.streams[&name]);
                    assert_eq!(host_has(&self, stream), expected, "{context}: request {name} has other filter state");
                }
                // Without that fetch the keys of another one decide, or this request is the one that makes it.
                (Outcome::Forwarded(_), Outcome::Responded(_)) if script.allows_token_of(name) => {}
                (Outcome::Forwarded(_), _) => panic!("{context}: request {name} is forwarded instead of {expected:?}"),
                (Outcome::Waiting, _) => {
                    let is_open = !self.closed.contains(&name);
                    assert!(may_wait || !is_open, "{context}: request {name} has no end; {:?}", self.vm.log());
                }
                (Outcome::Responded(response), Outcome::Forwarded(_)) => assert!(
                    [400, 403, 500, 503].contains(&response.status) || script.is_long() && response.status == 401,
                    "{context}: request {name} gets {} instead of being forwarded; {:?}",
                    response.status,
                    self.vm.log()
                ),
                (Outcome::Responded(_), _) => {}
            }
            if !self.closed.contains(&name) {
                let body = self.vm.body(stream, 10, false);
                let is_forwarded = matches!(outcome, Outcome::Forwarded(_));
                assert!(body == Action::Pause || is_forwarded, "{context}: the body of request {name} continues");
            }
        }
    }
}
