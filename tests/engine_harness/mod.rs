//! An engine with a clock: the one file where tests call the engine as a host does.
//!
//! A test sends requests, lets time pass, delivers the outcomes of fetches, introspection calls and polls, and reads the
//! decisions. The harness numbers the streams, gives the attributes that the engine requests, counts the signature
//! verifications, and checks what holds after every event: at most [`BATCH`] pending requests are decided at once, none twice,
//! and the next tick lies in the future.
//!
//! Shared by path between the test crates; also compiled to wasm.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::panic, reason = "a test that gets another outcome than it expects has failed")]

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use okta_proxy_wasm::callout::{CalloutResult, HttpResponse};
use okta_proxy_wasm::config;
use okta_proxy_wasm::engine::{
    Algorithm, Attribute, AttributeValues, BATCH, CallResult, Callout, CalloutId, Decision, Effect, Engine, Entropy,
    Event, FetchCause, FetchResult, HostServices, Jitter, LeaseOutcome, LeaseRequest, ListDocument, ListNews,
    ListState, NothingShared, ParkingLimits, PollResult, PortableVerifier, RecordNames, ReplayMemory, Report,
    RequestOutcome, SharedOutcome, SharedRecord, SharedResponse, SharedResponses, SignatureVerifier, StreamId,
    SuppressedRecords, Verdict, WorkerMemory,
};
use okta_proxy_wasm::http::{HeadEdits, HeaderName, LocalResponse, RequestHead};
use okta_proxy_wasm::jose::Key;
use okta_proxy_wasm::policy::{Policy, ProviderId};
use okta_proxy_wasm::unix_time::UnixTime;
use serde_json::Value;

/// When the tests begin: 2027-01-15, a Friday, at 08:00 UTC.
pub const NOW: u64 = 1_800_000_000;
/// Whether the engine is all that runs. The embedded host's harness runs the module beside it, which a flood takes too long for.
pub const IS_NATIVE: bool = true;
/// Delays are not shortened.
pub const NO_JITTER: Jitter = Jitter(u16::MAX);

/// What an engine is made with besides its configuration.
pub struct Setup<'a> {
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    /// How much may be pending.
    pub limits: ParkingLimits,
    pub verifier: Box<dyn SignatureVerifier>,
    pub start: UnixTime,
    /// Whether the host knows clients' addresses.
    pub knows_addresses: bool,
    /// Whether callouts need a lease, as where workers share data.
    pub shares: bool,
    /// What workers share to check proofs; `None`: nothing.
    pub proofs: Option<SharedProofs>,
}

/// What workers share to check proofs (DPoP): the used ones, and the secret for nonces.
#[derive(Clone)]
pub struct SharedProofs {
    pub memory: Rc<dyn ReplayMemory>,
    pub secret: Entropy,
}

impl SharedProofs {
    /// Of a new process.
    pub fn new(secret: u8) -> Self {
        Self { memory: Rc::new(WorkerMemory::default()), secret: Entropy([secret; 32]) }
    }
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Self {
            environment: &config::no_environment,
            limits: ParkingLimits::default(),
            verifier: Box::new(PortableVerifier),
            start: UnixTime::from_secs(NOW),
            knows_addresses: false,
            shares: false,
            proofs: None,
        }
    }
}

/// Verifies, and counts.
struct Counting {
    verifier: Box<dyn SignatureVerifier>,
    verified: Rc<Cell<usize>>,
}

impl SignatureVerifier for Counting {
    fn verifies(&self, algorithm: Algorithm, key: &Key, message: &[u8], signature: &[u8]) -> bool {
        self.verified.set(self.verified.get() + 1);
        self.verifier.verifies(algorithm, key, message, signature)
    }
}

/// What the engine has the host do after an event. Decisions on pending requests are in [`Harness::decided`].
#[derive(Debug, Default)]
pub struct Effects {
    /// The first callouts of key fetches, and why they are made.
    pub fetches: Vec<Callout>,
    pub fetch_causes: Vec<FetchCause>,
    /// Further callouts of the fetch that ended.
    pub follow_ups: Vec<Callout>,
    /// Introspection calls.
    pub calls: Vec<Callout>,
    pub poll: Option<Callout>,
    pub leases: Vec<(CalloutId, LeaseRequest)>,
    pub released: Vec<CalloutId>,
    /// News for other workers: a provider's keys, a token and the revocation list.
    pub shared_keys: Option<SharedOutcome>,
    pub shared_response: Option<(RecordNames, SharedResponse)>,
    pub shared_list: Option<ListNews>,
    /// How a fetch, a call or a poll ended, for the log; the first with the provider's name.
    pub fetch_result: Option<(String, FetchResult)>,
    pub call_result: Option<CallResult>,
    pub poll_result: Option<PollResult>,
    pub suppressed: Vec<SuppressedRecords>,
}

/// An engine, the time, and what was decided.
pub struct Harness {
    pub engine: Engine,
    pub now: UnixTime,
    /// The randomness that the engine gets with each event.
    pub jitter: Jitter,
    /// What the host knows of every connection; the engine gets what it asks for. `None`: it must not ask.
    pub attributes: Option<Vec<(Attribute, Vec<u8>)>>,
    /// The attributes that the engine asked for, for the last request.
    pub asked: Vec<Attribute>,
    /// Every decision on a request that was pending, and those at once of [`Self::send`], in order.
    pub decided: Vec<(StreamId, Decision)>,
    /// When the engine wants the next tick.
    pub next_tick: Option<UnixTime>,
    verified: Rc<Cell<usize>>,
    streams: u32,
}

impl Harness {
    /// An engine of this configuration.
    pub fn new(configuration: &Value) -> Self {
        Self::with(configuration, Setup::default())
    }

    pub fn with(configuration: &Value, setup: Setup<'_>) -> Self {
        Self::of_document(configuration.to_string().as_bytes(), setup)
    }

    pub fn of_document(document: &[u8], setup: Setup<'_>) -> Self {
        let loaded = config::load(document, setup.environment).unwrap_or_else(|faults| {
            let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
            panic!("{} in {}", faults.join("\n"), String::from_utf8_lossy(document))
        });
        Self::of_policy(loaded.policy, setup)
    }

    pub fn of_policy(policy: Policy, setup: Setup<'_>) -> Self {
        let verified = Rc::new(Cell::new(0));
        let verifier = Counting { verifier: setup.verifier, verified: Rc::clone(&verified) };
        let nothing: Rc<dyn SharedResponses> = Rc::new(NothingShared);
        let services = HostServices {
            shared_responses: setup.shares.then_some(nothing),
            replay_memory: setup.proofs.as_ref().map(|shared| Rc::clone(&shared.memory)),
            shared_secret: setup.proofs.map(|shared| shared.secret),
            has_client_addresses: setup.knows_addresses,
            ..HostServices::with_verifier(Box::new(verifier))
        };
        Self {
            engine: Engine::new(policy, services, setup.limits, &Entropy([0; 32]), setup.start),
            now: setup.start,
            jitter: NO_JITTER,
            attributes: None,
            asked: Vec::new(),
            decided: Vec::new(),
            next_tick: None,
            verified,
            streams: 0,
        }
    }

    /// Time passes.
    pub fn pass(&mut self, time: Duration) {
        self.now = self.now.plus(time);
    }

    /// How many signatures were verified so far.
    pub fn signatures_verified(&self) -> usize {
        self.verified.get()
    }

    // Requests

    /// A new stream.
    pub fn next_stream(&mut self) -> StreamId {
        self.streams += 1;
        StreamId(self.streams)
    }

    /// A request: its decision, or the stream under which it is pending.
    pub fn request(&mut self, head: &RequestHead) -> Result<Decision, StreamId> {
        let stream = self.next_stream();
        self.request_as(stream, head)
    }

    /// The same under this stream.
    pub fn request_as(&mut self, stream: StreamId, head: &RequestHead) -> Result<Decision, StreamId> {
        match self.arrive(stream, head) {
            RequestOutcome::Decision(decision) => Ok(*decision),
            RequestOutcome::Pending => Err(stream),
            other @ (RequestOutcome::LocalResponse(_) | RequestOutcome::NeedAttributes(_)) => {
                panic!("not decided: {other:?}")
            }
        }
    }

    /// A request whose decision is kept: its stream, and the reason if it was decided at once.
    pub fn send(&mut self, head: &RequestHead) -> (StreamId, Option<&'static str>) {
        let stream = self.next_stream();
        match self.request_as(stream, head) {
            Ok(decision) => {
                let reason = decision.audit.reason();
                self.decided.push((stream, decision));
                (stream, Some(reason))
            }
            Err(_) => (stream, None),
        }
    }

    /// A request that is decided at once.
    pub fn decide(&mut self, head: &RequestHead) -> Decision {
        self.request(head).unwrap_or_else(|_| panic!("pending: {head:?}"))
    }

    /// The reason of a request that is decided at once.
    pub fn reason(&mut self, head: &RequestHead) -> &'static str {
        self.decide(head).audit.reason()
    }

    /// The filter's own response to a request that is for itself.
    pub fn local_response(&mut self, head: &RequestHead) -> Option<LocalResponse> {
        let stream = self.next_stream();
        match self.arrive(stream, head) {
            RequestOutcome::LocalResponse(reply) => Some(reply),
            RequestOutcome::Decision(_) | RequestOutcome::Pending | RequestOutcome::NeedAttributes(_) => None,
        }
    }

    fn arrive(&mut self, stream: StreamId, head: &RequestHead) -> RequestOutcome {
        self.asked.clear();
        let mut values = AttributeValues::default();
        let mut arrival = self.engine.on_request(stream, head, self.now);
        while let RequestOutcome::NeedAttributes(attributes) = &arrival {
            let Some(all_known) = &self.attributes else { panic!("asked for {attributes:?}") };
            for attribute in attributes.iter() {
                let known = all_known.iter().find(|(known, _)| known == attribute);
                known.iter().for_each(|(_, value)| values.insert(*attribute, value.clone()));
                self.asked.push(*attribute);
            }
            assert!(self.asked.len() <= 10, "asked again and again: {:?}", self.asked);
            arrival = self.engine.on_request_with(stream, head, values.clone(), self.now);
        }
        arrival
    }

    /// The client has gone.
    pub fn close(&mut self, stream: StreamId) {
        self.engine.on_stream_closed(stream);
    }

    /// How many requests are pending.
    pub fn pending(&self) -> usize {
        self.engine.parked()
    }

    // Events

    pub fn tick(&mut self) -> Effects {
        self.handle(Event::Tick)
    }

    /// The one fetch that the next tick begins.
    pub fn tick_begins_a_fetch(&mut self) -> Callout {
        single(self.tick().fetches)
    }

    /// The one introspection call that the next tick begins.
    pub fn tick_begins_a_call(&mut self) -> Callout {
        single(self.tick().calls)
    }

    /// A callout has ended.
    pub fn done(&mut self, callout: CalloutId, outcome: CalloutResult) -> Effects {
        self.handle(Event::CalloutDone(callout, outcome))
    }

    /// The fetch that is due brings this.
    pub fn fetch(&mut self, outcome: CalloutResult) -> Effects {
        let fetch = self.tick_begins_a_fetch();
        self.done(fetch.id, outcome)
    }

    /// Ticks until nothing is pending.
    pub fn drain(&mut self) {
        while self.pending() > 0 {
            self.tick();
        }
    }

    /// Another worker has learned this of a provider's keys.
    pub fn keys_shared(&mut self, provider: ProviderId, outcome: SharedOutcome) -> Effects {
        self.handle(Event::KeysShared(provider, outcome))
    }

    /// The request for the lease of a callout has ended.
    pub fn lease_done(&mut self, callout: CalloutId, outcome: LeaseOutcome) -> Effects {
        self.handle(Event::LeaseDone(callout, outcome))
    }

    /// Other workers have these introspection responses.
    pub fn responses_shared(&mut self, call: CalloutId, responses: &[SharedResponse]) -> Effects {
        self.handle(Event::ResponsesShared(call, responses.to_vec()))
    }

    /// Another worker holds this revocation list.
    pub fn list_shared(&mut self, state: ListState, document: &ListDocument) -> Effects {
        self.handle(Event::ListShared(state, document.clone()))
    }

    fn handle(&mut self, event: Event) -> Effects {
        let [low, high] = self.jitter.0.to_le_bytes();
        let mut entropy = [7; 32];
        (entropy[0], entropy[1]) = (low, high);
        let is_follow_up = matches!(event, Event::CalloutDone(..));
        let listed = self.engine.handle(event, self.now, Some(&Entropy(entropy)));
        let order: Vec<u8> = listed.iter().map(rank).collect();
        assert!(order.is_sorted(), "effects out of order: {listed:?}");
        let (mut effects, decided) = (Effects::default(), self.decided.len());
        for effect in listed {
            match effect {
                Effect::Share(SharedRecord::Keys { outcome, .. }) => effects.shared_keys = Some(outcome),
                Effect::Share(SharedRecord::Response { names, response }) => {
                    effects.shared_response = Some((names, response));
                }
                Effect::Share(SharedRecord::List { news, .. }) => effects.shared_list = Some(news),
                Effect::Share(SharedRecord::Block(..) | SharedRecord::Ceiling(..)) => {}
                Effect::Report(Report::FetchStarted { cause, .. }) => effects.fetch_causes.push(cause),
                Effect::Report(Report::Fetch { provider, result }) => {
                    effects.fetch_result = Some((provider.to_string(), result));
                }
                Effect::Report(Report::Call { result, .. }) => effects.call_result = Some(result),
                Effect::Report(Report::Poll(result)) => effects.poll_result = Some(result),
                Effect::Report(Report::Suppressed(records)) => effects.suppressed.push(records),
                Effect::ReleaseLease(callout) => effects.released.push(callout),
                Effect::Decide(stream, decision) => self.decided.push((stream, *decision)),
                Effect::AcquireLease(callout, lease) => effects.leases.push((callout, lease)),
                Effect::Callout(callout) => match callout.id {
                    CalloutId::Keys(..) if is_follow_up => effects.follow_ups.push(callout),
                    CalloutId::Keys(..) => effects.fetches.push(callout),
                    CalloutId::Introspection(..) => effects.calls.push(callout),
                    CalloutId::Revocations(_) => effects.poll = Some(callout),
                },
                Effect::TickAt(at) => self.next_tick = Some(at),
            }
        }
        let released = self.decided.len() - decided;
        assert!(released <= BATCH, "{released} streams released at once");
        let soonest = self.now.plus(Duration::from_millis(1));
        assert!(
            self.next_tick.is_some_and(|next| next >= soonest),
            "a tick that is due at once and for ever: {:?}",
            self.next_tick
        );
        effects
    }

    // Decisions

    /// The decision on a pending request, if there is one.
    pub fn decision_of(&self, stream: StreamId) -> Option<&Decision> {
        let mut decisions = self.decided.iter().filter(|(id, _)| *id == stream).map(|(_, decision)| decision);
        let decision = decisions.next();
        assert_eq!(decisions.count(), 0, "decided twice");
        decision
    }

    pub fn reason_of(&self, stream: StreamId) -> Option<&'static str> {
        self.decision_of(stream).map(|decision| decision.audit.reason())
    }

    /// The decisions since the last look, for a test that follows each of them.
    pub fn take_decided(&mut self) -> Vec<(StreamId, Decision)> {
        std::mem::take(&mut self.decided)
    }
}

/// The place of an effect in the order that [`okta_proxy_wasm::engine::Effects`] documents.
fn rank(effect: &Effect) -> u8 {
    match effect {
        Effect::Share(_) | Effect::Report(_) => 0,
        Effect::ReleaseLease(_) => 1,
        Effect::Decide(..) => 2,
        Effect::AcquireLease(..) | Effect::Callout(_) => 3,
        Effect::TickAt(_) => 4,
    }
}

fn single<T: std::fmt::Debug>(items: Vec<T>) -> T {
    let [item] = <[T; 1]>::try_from(items).unwrap_or_else(|items| panic!("not one: {items:?}"));
    item
}

/// A request head of these fields and no others.
pub fn head<V: AsRef<[u8]>>(fields: &[(&str, V)]) -> RequestHead {
    RequestHead::new(fields.iter().map(|(name, value)| ((*name).to_owned(), value.as_ref().to_vec())).collect())
}

/// A request head with this bearer token alone.
pub fn bearer(token: impl AsRef<[u8]>) -> RequestHead {
    head(&[("authorization", [b"Bearer ", token.as_ref()].concat())])
}

/// `GET` of this path of `api.acme.com` with more fields; without a token where it is empty.
pub fn get(path: &str, token: &str, more: &[(&str, &str)]) -> RequestHead {
    let bearer = format!("Bearer {token}");
    let mut fields = vec![(":method", "GET"), (":authority", "api.acme.com"), (":path", path)];
    fields.extend((!token.is_empty()).then_some(("authorization", &*bearer)));
    fields.extend(more);
    head(&fields)
}

/// A response of a key server.
pub fn fetch_response(status: u16, cache_control: Option<&str>, body: impl Into<Vec<u8>>) -> CalloutResult {
    Ok(HttpResponse::new(status, body.into()).with_header("cache-control", cache_control))
}

/// A key set as its server publishes it.
pub fn published(key_set: &Value) -> CalloutResult {
    fetch_response(200, None, key_set.to_string())
}

/// A response of an introspection endpoint.
pub fn call_response(status: u16, body: impl Into<Vec<u8>>) -> CalloutResult {
    Ok(HttpResponse::new(status, body.into()))
}

/// A response of the server of the revocation list.
pub fn list_response(status: u16, body: &Value) -> CalloutResult {
    Ok(HttpResponse::new(status, body.to_string().into_bytes()))
}

/// What the backend gets of a request that is allowed.
pub fn edits_of(decision: &Decision) -> &HeadEdits {
    match &decision.verdict {
        Verdict::Allow(edits) => edits,
        Verdict::Deny(reply) => panic!("denied with {}: {}", reply.status, decision.audit.reason()),
    }
}

/// What the client gets that is denied.
pub fn response_of(decision: &Decision) -> &LocalResponse {
    match &decision.verdict {
        Verdict::Deny(reply) => reply,
        Verdict::Allow(_) => panic!("allowed"),
    }
}

/// The status that the client gets; 200 for what is forwarded.
pub fn status_of(decision: &Decision) -> u16 {
    match &decision.verdict {
        Verdict::Allow(_) => 200,
        Verdict::Deny(reply) => reply.status,
    }
}

/// `Retry-After` of a denial.
pub fn retry_after_of(decision: &Decision) -> Option<&str> {
    match &decision.verdict {
        Verdict::Deny(reply) => reply.header(&HeaderName::RETRY_AFTER),
        Verdict::Allow(_) => None,
    }
}
