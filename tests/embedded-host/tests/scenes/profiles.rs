//! The module on every host that the filter supports, driven with what the native engine is driven with.

mod expectation;
mod hostile;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::Duration;

use embedded_host::{
    Callout, CalloutResponse, Fields, HostBehavior, HostCall, LocalResponse, Outcome, RootId, SharedStore,
    StreamId as HostStream, Vm,
};
use expectation::{Expected, Host, expected};
use hostile::{Script, Step, test_every_fault};
use okta_proxy_wasm::callout::{CalloutResult, TransportError};
use okta_proxy_wasm::engine::{Callout as NativeCallout, Decision, Message, StreamId, Verdict};
use okta_proxy_wasm::http::RequestHead;
use okta_proxy_wasm::unix_time::UnixTime;
use serde_json::Value;

/// What the tables say of the environment.
const ENVIRONMENT: &[&str] = &["CLIENT_SECRET=hunter2", "OKTA_CLIENT_SECRET=hunter2"];

/// A VM, and its roots by their configurations.
type SharedVm = (Rc<RefCell<Vm>>, HashMap<String, RootId>);

thread_local! {
    /// One VM of each host for all configurations of a test without callouts: their roots keep nothing but cached tokens, and
    /// a cache never changes a decision.
    static SHARED: RefCell<Vec<SharedVm>> = RefCell::default();
}

/// The VMs of one configuration.
pub struct Hosts {
    hosts: Vec<ProfileVm>,
}

struct ProfileVm {
    name: &'static str,
    kind: Host,
    vm: Rc<RefCell<Vm>>,
    root: RootId,
    streams: BTreeMap<StreamId, (HostStream, Fields)>,
    callouts: Vec<Callout>,
    behavior: HostBehavior,
    document: String,
    /// Whether the VM is for this configuration alone.
    is_fetching: bool,
    /// What happens, for the host where a call fails. Without callouts: the last request.
    script: Script,
    trace: Vec<HostCall>,
}

/// A longer script is that of a flood, and repeats itself.
const LONGEST_SCRIPT: usize = 24;

/// The requests that wait for callouts, again on a hostile host.
impl Drop for Hosts {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        for host in self.hosts.iter().filter(|host| host.is_fetching && host.script.steps.len() <= LONGEST_SCRIPT) {
            host.test_every_fault();
        }
    }
}

impl Hosts {
    pub fn new(configuration: &Value) -> Self {
        let is_fetching = configuration.to_string().contains("\"upstream\"");
        let profiles = HostBehavior::profiles().into_iter().enumerate();
        let hosts = profiles.map(|(at, (name, behavior))| {
            let kind = if behavior.is_nginx { Host::nginx(configuration) } else { Host::Envoy };
            let behavior = HostBehavior { environment: ENVIRONMENT, ..behavior };
            let document = configuration.to_string();
            let (vm, root) = if is_fetching {
                let vm = Rc::new(RefCell::new(Vm::start_sharing(behavior.clone(), &SharedStore::default())));
                let root = configure(&vm, &document);
                (vm, root)
            } else {
                shared(at, behavior.clone(), &document)
            };
            let (streams, callouts, script) = (BTreeMap::new(), Vec::new(), Script::default());
            ProfileVm {
                name,
                kind,
                vm,
                root,
                streams,
                callouts,
                behavior,
                document,
                is_fetching,
                script,
                trace: Vec::new(),
            }
        });
        Self { hosts: hosts.collect() }
    }

    /// A request, and what it came to natively, and by what nginx shows of it; `None`: it is pending.
    pub fn request(
        &mut self,
        now: UnixTime,
        stream: StreamId,
        head: &RequestHead,
        decision: Option<&Decision>,
        on_nginx: Option<&Decision>,
    ) {
        let is_whole = !head.may_have_body();
        let head: Fields = head.fields().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
        let has_no_target = decision.is_some_and(|decision| decision.audit.reason() == "path_malformed")
            && head.iter().all(|(name, _)| name != ":path");
        for host in &mut self.hosts {
            if has_no_target && host.kind != Host::Envoy {
                // nginx receives no such request.
                continue;
            }
            host.set_clock(now);
            host.vm.borrow_mut().take_log();
            let sent = host.kind.sent(&head);
            if !host.is_fetching {
                (host.script, host.trace) = (Script::default(), Vec::new());
                host.vm.borrow_mut().take_trace();
                host.clock(now);
            }
            host.note(Step::Request { name: stream.0, head: sent.clone(), is_whole });
            let id = if is_whole {
                host.vm.borrow_mut().whole_request(host.root, sent.clone())
            } else {
                host.vm.borrow_mut().request(host.root, sent.clone())
            };
            host.streams.insert(stream, (id, sent));
            host.take_callouts();
            match if host.kind == Host::Envoy { decision } else { on_nginx } {
                Some(decision) => {
                    host.check_reason(decision);
                    host.check(stream, decision);
                    if !host.is_fetching {
                        host.test_every_fault();
                    }
                }
                None => host.check_pending(stream),
            }
        }
    }

    /// A request that was pending is decided.
    pub fn decided(&mut self, now: UnixTime, stream: StreamId, decision: &Decision) {
        for host in &mut self.hosts {
            host.set_clock(now);
            host.check(stream, decision);
        }
    }

    pub fn tick(&mut self, now: UnixTime) {
        for host in &mut self.hosts {
            host.set_clock(now);
            host.note(Step::Tick);
            host.vm.borrow_mut().tick(host.root);
            host.vm.borrow_mut().deliver_queues();
            host.take_callouts();
        }
    }

    pub fn done(&mut self, now: UnixTime, callout: &NativeCallout, outcome: &CalloutResult) {
        for host in &mut self.hosts {
            host.set_clock(now);
            let found = host.callouts.iter().position(|one| is_same(one, callout));
            let Some(found) = found else {
                // Nobody waits for it there.
                assert!(host.kind != Host::Envoy, "{}: no callout to {}", host.name, callout.request.address);
                continue;
            };
            let (made, response) = (host.callouts.remove(found), host.kind.response(outcome));
            let path = made.header(":path").unwrap_or_default().to_owned();
            let (upstream, body) = (made.upstream.clone(), made.body.clone());
            host.note(Step::Done { upstream, path, body, response: response.clone() });
            host.vm.borrow_mut().answer(&made, response);
            host.take_callouts();
        }
    }

    /// What could be decided natively is decided.
    pub fn end_event(&mut self) {
        let of_nginx = self.hosts.iter_mut().filter(|host| host.kind != Host::Envoy);
        of_nginx.for_each(ProfileVm::forget_those_that_cannot_wait);
    }

    pub fn close(&mut self, stream: StreamId) {
        for host in &mut self.hosts {
            host.note(Step::Close(stream.0));
            if let Some((id, _)) = host.streams.remove(&stream) {
                host.vm.borrow_mut().close(id);
            }
        }
    }
}

fn configure(vm: &Rc<RefCell<Vm>>, document: &str) -> RootId {
    let (root, is_accepted) = vm.borrow_mut().configure(document.as_bytes());
    assert!(is_accepted, "{:?}", vm.borrow().log());
    root
}

fn shared(at: usize, behavior: HostBehavior, document: &str) -> (Rc<RefCell<Vm>>, RootId) {
    SHARED.with_borrow_mut(|vms| {
        if vms.len() == at {
            vms.push((Rc::new(RefCell::new(Vm::start(behavior))), HashMap::new()));
        }
        let (vm, roots) = &mut vms[at];
        let root = *roots.entry(document.to_owned()).or_insert_with(|| configure(vm, document));
        (Rc::clone(vm), root)
    })
}

fn has_retry_after(response: &LocalResponse) -> bool {
    response.headers.iter().any(|(name, _)| name == "retry-after")
}

fn clock_of(step: &Step) -> Option<Duration> {
    if let Step::Clock(now) = step { Some(*now) } else { None }
}

/// Hosts count nanoseconds in 64 bits.
fn since_epoch(now: UnixTime) -> Duration {
    Duration::from_millis(now.as_millis()).min(Duration::from_nanos(u64::MAX))
}

fn is_same(made: &Callout, native: &NativeCallout) -> bool {
    let address = &native.request.address;
    let body = match &native.request.message {
        Message::Get { .. } => b"",
        Message::PostForm { body, .. } => body.reveal().as_bytes(),
    };
    made.upstream == address.upstream && made.header(":path") == Some(&*address.path) && made.body == body
}

impl ProfileVm {
    fn set_clock(&mut self, now: UnixTime) {
        self.clock(now);
        self.vm.borrow_mut().set_clock(since_epoch(now));
    }

    fn clock(&mut self, now: UnixTime) {
        let now = since_epoch(now);
        if self.script.steps.iter().rev().find_map(clock_of).is_none_or(|last| last != now) {
            self.note(Step::Clock(now));
        }
    }

    fn note(&mut self, step: Step) {
        if self.script.steps.len() <= LONGEST_SCRIPT {
            self.script.steps.push(step);
        }
    }

    fn test_every_fault(&self) {
        test_every_fault(self.name, &self.behavior, &self.document, &self.script, &self.trace);
    }

    fn take_callouts(&mut self) {
        while let Some(callout) = self.vm.borrow_mut().take_callout() {
            self.callouts.push(callout);
        }
    }

    fn check(&mut self, stream: StreamId, decision: &Decision) {
        if matches!(decision.verdict, Verdict::Allow(_)) {
            self.script.allowed.insert(stream.0);
        }
        let Some((id, sent)) = self.streams.remove(&stream) else { return };
        let is_waiting = self.vm.borrow().outcome(id) == Outcome::Waiting;
        let own = self.callouts.iter().position(|callout| is_waiting && callout.owner == id.0);
        let has_timed_out = own.is_some();
        if let Some(own) = own {
            // Its time is over, or another callout has decided it. Here the end of its own does.
            let (callout, response) = (self.callouts.remove(own), self.kind.failure(TransportError::TimedOut));
            let path = callout.header(":path").unwrap_or_default().to_owned();
            let (upstream, body) = (callout.upstream.clone(), callout.body.clone());
            self.note(Step::Done { upstream, path, body, response: response.clone() });
            self.vm.borrow_mut().answer(&callout, response);
        }
        let mut vm = self.vm.borrow_mut();
        let outcome = vm.outcome(id);
        let mut expected = expected(&self.kind, &sent, decision);
        // Without a body where the introspection call of this request has just failed.
        if let (Host::Nginx { .. }, Expected::Response(response, _), Outcome::Responded(found)) =
            (&self.kind, &mut expected, &outcome)
            && found.body.is_empty()
            && decision.audit.reason().starts_with("introspection_")
        {
            response.body.clear();
        }
        let is_late = has_timed_out
            && matches!(&outcome, Outcome::Responded(response) if response.status == 503 && has_retry_after(response));
        assert!(
            is_late || expected.is(&self.kind, &outcome),
            "{}: {sent:?} {outcome:?} instead of {expected:?} ({}); {:?}",
            self.name,
            decision.audit.reason(),
            vm.log().last()
        );
        if self.kind == Host::Envoy {
            let values: Vec<String> =
                decision.filter_state.iter().map(|entry| format!("{}={}", entry.name, entry.value.as_str())).collect();
            let mut values = values;
            values.sort();
            assert_eq!(vm.filter_state(id), values, "{}", self.name);
        }
        self.script.outcomes.insert(stream.0, outcome);
        self.trace.extend(vm.take_trace());
        vm.close(id);
    }

    /// The reason as it is logged. A root that is used again leaves out denials of a kind that it has logged often.
    fn check_reason(&self, decision: &Decision) {
        let logged = self.vm.borrow().reasons();
        let is_own = logged.iter().all(|reason| *reason == decision.audit.reason() || *reason == "undelivered");
        assert!(is_own, "{}: {logged:?} instead of {}", self.name, decision.audit.reason());
    }

    /// In nginx a request whose callout leaves it pending cannot wait for another one: it is to be sent again.
    fn forget_those_that_cannot_wait(&mut self) {
        let vm = &self.vm;
        self.streams.retain(|_, (id, _)| {
            let outcome = vm.borrow().outcome(*id);
            let cannot_wait =
                matches!(&outcome, Outcome::Responded(response) if response.status == 503 && has_retry_after(response));
            if cannot_wait {
                vm.borrow_mut().close(*id);
            }
            !cannot_wait
        });
    }

    /// Natively it is pending. In nginx it waits for a callout of its own; where another one makes that, it is to be sent again.
    fn check_pending(&mut self, stream: StreamId) {
        let (id, _) = self.streams[&stream];
        let (outcome, is_own) = (self.vm.borrow().outcome(id), |callout: &Callout| callout.owner == id.0);
        match (self.kind, &outcome) {
            (Host::Nginx { is_refused: true }, Outcome::Responded(response)) if response.status == 503 => {}
            (Host::Nginx { is_refused: false }, Outcome::Responded(response)) => {
                assert!(
                    response.status == 503 && has_retry_after(response),
                    "{stream:?}: {}; {:?}",
                    response.status,
                    self.vm.borrow().log()
                );
                assert!(!self.callouts.iter().any(is_own));
            }
            (Host::Nginx { is_refused: false }, Outcome::Waiting) => {
                assert!(self.callouts.iter().any(is_own), "it waits for nothing: {:?}", self.vm.borrow().log());
                return;
            }
            (Host::Envoy, Outcome::Waiting) => return,
            (_, outcome) => panic!("{}: {outcome:?}: {:?}", self.name, self.vm.borrow().log()),
        }
        self.streams.remove(&stream);
        self.vm.borrow_mut().close(id);
    }
}

impl Host {
    fn response(&self, outcome: &CalloutResult) -> CalloutResponse {
        match outcome {
            Ok(response) => {
                let mut served = CalloutResponse::new(response.status, &response.body);
                for name in ["cache-control", "etag", "retry-after", "date"] {
                    let value = response.header(name).map(|value| value.as_bytes().to_vec());
                    served.headers.extend(value.map(|value| (name.to_owned(), value)));
                }
                served
            }
            Err(error) => self.failure(*error),
        }
    }

    /// How the host reports a callout without a response.
    fn failure(&self, error: TransportError) -> CalloutResponse {
        let fields = |fields: &[(&str, &str)], body: &str| CalloutResponse {
            headers: fields.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect(),
            body: body.as_bytes().to_vec(),
        };
        match (self, error) {
            (Self::Envoy, TransportError::Incomplete) => CalloutResponse::none(),
            (Self::Envoy, TransportError::TimedOut) => fields(&[(":status", "504")], "upstream request timeout"),
            (Self::Envoy, TransportError::ConnectionClosed) => fields(
                &[(":status", "503")],
                "upstream connect error or disconnect/reset before headers. reset reason: connection termination",
            ),
            (Self::Envoy, _) => fields(
                &[(":status", "503")],
                "upstream connect error or disconnect/reset before headers. reset reason: connection failure",
            ),
            (Self::Nginx { .. }, TransportError::Incomplete) => fields(&[(":dispatch_status", "reader failure")], ""),
            (Self::Nginx { .. }, TransportError::TimedOut) => fields(&[(":dispatch_status", "timeout")], ""),
            (Self::Nginx { .. }, _) => fields(&[(":dispatch_status", "broken connection")], ""),
        }
    }
}

/// The comparison itself: a host that decides by other keys, or forwards other headers, fails the table.
#[test]
fn a_host_that_decides_otherwise_fails_the_table() {
    use crate::engine_harness::{self, Setup};
    use crate::signing::{SigningKey, key_set, one_issuer, payload};
    let head = engine_harness::bearer(SigningKey::a("k1").token(&payload(engine_harness::NOW)));
    let (native, mut other_keys, mut other_headers) = (one_issuer(), one_issuer(), one_issuer());
    other_keys["providers"]["okta"]["jwks"] = serde_json::json!({ "inline": key_set(&[&SigningKey::b("k1")]) });
    other_headers["claim_to_headers"] = serde_json::json!([{ "header": "x-subject", "claim": "sub" }]);
    for (configuration, is_same) in [(&native, true), (&other_keys, false), (&other_headers, false)] {
        for at in 0..HostBehavior::profiles().len() {
            let mut engine =
                engine_harness::Harness::with(&native, Setup { knows_addresses: true, ..Setup::default() });
            let decision = engine.decide(&head);
            let mut hosts = Hosts::new(configuration);
            let host = hosts.hosts.remove(at);
            hosts.hosts = vec![host];
            let name = hosts.hosts[0].name;
            let compare = || hosts.request(engine.now, StreamId(1), &head, Some(&decision), Some(&decision));
            let compared = std::panic::catch_unwind(std::panic::AssertUnwindSafe(compare));
            assert_eq!(compared.is_ok(), is_same, "{name}: {configuration}");
        }
    }
}
