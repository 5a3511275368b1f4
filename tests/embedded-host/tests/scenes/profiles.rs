//! The module on every host that the filter supports, driven with what the native engine is driven with.

mod expectation;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::Duration;

use embedded_host::{
    Callout, CalloutResponse, Fields, HostBehavior, LocalResponse, Outcome, RootId, SharedStore, StreamId as HostStream, Vm,
};
use expectation::{Expected, Host, expected};
use okta_proxy_wasm::callout::{CalloutResult, TransportError};
use okta_proxy_wasm::engine::{Callout as NativeCallout, Decision, Message, StreamId};
use okta_proxy_wasm::http::RequestHead;
use okta_proxy_wasm::unix_time::UnixTime;
use serde_json::Value;

/// What the tables say of the environment.
const ENVIRONMENT: &[&str] = &["CLIENT_SECRET=hunter2"];

thread_local! {
    /// One VM of each host for all configurations of a test without callouts: their roots keep nothing but cached tokens, and
    /// a cache never changes a decision.
    static SHARED: RefCell<Vec<(Rc<RefCell<Vm>>, HashMap<String, RootId>)>> = RefCell::default();
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
}

impl Hosts {
    pub fn new(configuration: &Value) -> Self {
        let is_fetching = configuration.to_string().contains("\"upstream\"");
        let profiles = HostBehavior::profiles().into_iter().enumerate();
        let hosts = profiles.map(|(at, (name, behavior))| {
            let kind = if behavior.is_nginx { Host::nginx(configuration) } else { Host::Envoy };
            let behavior = HostBehavior { environment: ENVIRONMENT, ..behavior };
            let (vm, root) = if is_fetching {
                let vm = Rc::new(RefCell::new(Vm::start_sharing(behavior, &SharedStore::default())));
                let root = configure(&vm, &configuration.to_string());
                (vm, root)
            } else {
                shared(at, behavior, &configuration.to_string())
            };
            ProfileVm { name, kind, vm, root, streams: BTreeMap::new(), callouts: Vec::new() }
        });
        Self { hosts: hosts.collect() }
    }

    /// A request, and what it came to natively; `None`: it is pending.
    pub fn request(&mut self, now: UnixTime, stream: StreamId, head: &RequestHead, decision: Option<&Decision>) {
        let head: Fields = head.fields().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
        for host in &mut self.hosts {
            host.set_clock(now);
            host.vm.borrow_mut().take_log();
            let sent = host.kind.sent(&head);
            let id = host.vm.borrow_mut().request(host.root, sent.clone());
            host.streams.insert(stream, (id, sent));
            host.take_callouts();
            match decision {
                Some(decision) => {
                    host.check_reason(decision);
                    host.check(stream, decision);
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
                panic!("{}: no callout to {}: {:?}", host.name, callout.request.address, host.callouts)
            };
            let made = host.callouts.remove(found);
            host.vm.borrow_mut().answer(&made, host.kind.response(outcome));
            host.take_callouts();
        }
    }

    /// The requests that are pending natively still wait.
    pub fn check_waiting(&mut self) {
        for host in &mut self.hosts {
            if host.kind != Host::Envoy {
                host.forget_those_that_cannot_wait();
            }
            let vm = host.vm.borrow();
            for (id, _) in host.streams.values() {
                assert_eq!(vm.outcome(*id), Outcome::Waiting, "{}: {:?}", host.name, vm.log());
            }
        }
    }

    pub fn close(&mut self, stream: StreamId) {
        for host in &mut self.hosts {
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

fn is_same(made: &Callout, native: &NativeCallout) -> bool {
    let address = &native.request.address;
    let body = match &native.request.message {
        Message::Get { .. } => b"",
        Message::PostForm { body, .. } => body.reveal().as_bytes(),
    };
    made.upstream == address.upstream && made.header(":path") == Some(&*address.path) && made.body == body
}

impl ProfileVm {
    fn set_clock(&self, now: UnixTime) {
        // Hosts count nanoseconds in 64 bits.
        let since_epoch = Duration::from_millis(now.as_millis()).min(Duration::from_nanos(u64::MAX));
        self.vm.borrow_mut().set_clock(since_epoch);
    }

    fn take_callouts(&mut self) {
        while let Some(callout) = self.vm.borrow_mut().take_callout() {
            self.callouts.push(callout);
        }
    }

    fn check(&mut self, stream: StreamId, decision: &Decision) {
        let Some((id, sent)) = self.streams.remove(&stream) else { return };
        let mut vm = self.vm.borrow_mut();
        let outcome = vm.outcome(id);
        let expected = expected(&self.kind, &sent, decision);
        assert!(
            expected.is(&self.kind, &outcome),
            "{}: {outcome:?} instead of {expected:?} ({}); {:?}",
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
        vm.close(id);
        vm.take_trace();
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
            let cannot_wait = matches!(&outcome, Outcome::Responded(response) if response.status == 503 && has_retry_after(response));
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
                assert!(response.status == 503 && has_retry_after(response), "{response:?}");
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
