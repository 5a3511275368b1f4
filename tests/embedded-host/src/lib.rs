//! A small Proxy-Wasm host (ABI 0.2.1) for tests of the built module: no network, no threads, no time of its own.
//!
//! The test decides which callback comes next, what the clock says and how each callout ends; the host records what
//! the module did and what a client and a backend would see of it ([`Outcome`]). How a host may behave is a value
//! ([`HostBehavior`]): Envoy, or one that lacks or traps what other hosts lack or trap. The module runs in an interpreter.
//!
//! Stricter than Envoy on purpose: a stream that is answered *and* forwarded, or either of them twice, fails the test.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "test support: a host that cannot go on has failed"
)]

mod abi;
mod calls;
mod faults;
mod host_behavior;
mod shared;
mod signatures;
mod world;

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::Duration;

use wasmi::{Engine, Error, ExternType, Instance, Linker, Module, Store, Val};

pub use abi::{Action, Status};
pub use faults::{ANY_FUNCTION, Fault, FaultyCalls};
pub use host_behavior::{HostBehavior, OnTrap, Property, Support};
pub use shared::SharedStore;
pub use world::{Callout, CalloutResponse, HostCall, LocalResponse, Outcome, PassedResponse, REQUEST_LINE_HOST};
use world::{Stream, World, received_by_nginx};

/// Header or trailer fields.
pub type Fields = Vec<(String, Vec<u8>)>;

/// One instance of the module: what a worker thread has.
pub struct Vm {
    store: Store<World>,
    instance: Instance,
    next_context: u32,
}

/// A stream, by the context id that it has in its VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u32);

/// A root context: one plugin configuration in one VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RootId(pub u32);

/// The module, read and checked once in each test binary.
fn module() -> &'static Module {
    static MODULE: OnceLock<Module> = OnceLock::new();
    MODULE.get_or_init(|| read_module(&testbed::module::wasm_module()))
}

/// The same with every callback, for nginx.
fn module_for_nginx() -> &'static Module {
    static MODULE: OnceLock<Module> = OnceLock::new();
    MODULE.get_or_init(|| read_module(&testbed::module::wasm_module_for_nginx()))
}

fn read_module(path: &Path) -> Module {
    let bytes = std::fs::read(path).expect("the module can be read");
    Module::new(&Engine::default(), bytes).expect("the module is valid")
}

/// The names of the functions that the module imports.
pub fn imported() -> Vec<String> {
    module().imports().map(|import| import.name().to_owned()).collect()
}

impl Vm {
    /// Starts the module on a host of these behavior.
    pub fn start(behavior: HostBehavior) -> Self {
        Self::start_sharing(behavior, &SharedStore::default())
    }

    /// The same, in a process where other VMs have this store too.
    pub fn start_sharing(behavior: HostBehavior, shared: &SharedStore) -> Self {
        Self::try_start(behavior, shared).expect("the module starts")
    }

    /// The module has crashed, and the host starts a new one in its place. Items in the queues of the old one reach
    /// the new one, in the context of the same number.
    #[must_use]
    pub fn restart(mut self) -> Self {
        let old = self.world_mut();
        let (behavior, shared, vm, now) = (old.behavior.clone(), old.shared.clone(), old.vm, old.now);
        let mut reloaded = Self::start_sharing(behavior, &shared);
        (reloaded.world_mut().vm, reloaded.world_mut().now) = (vm, now);
        reloaded
    }

    /// The same; an error when the module does not link or traps.
    pub fn try_start(behavior: HostBehavior, shared: &SharedStore) -> Result<Self, String> {
        let module = if behavior.is_nginx { module_for_nginx() } else { module() };
        Self::instantiate(module, behavior, shared)
    }

    /// Starts another module than the filter, in binary format: for the tests of this host.
    pub fn start_other(wasm: &[u8], behavior: HostBehavior) -> Self {
        let module = Module::new(&Engine::default(), wasm).expect("the module is valid");
        Self::instantiate(&module, behavior, &SharedStore::default()).expect("the module starts")
    }

    fn instantiate(module: &Module, behavior: HostBehavior, shared: &SharedStore) -> Result<Self, String> {
        let mut store = Store::new(module.engine(), World::new(behavior, shared.clone()));
        let mut linker = Linker::<World>::new(module.engine());
        for import in module.imports() {
            let ExternType::Func(signature) = import.ty() else { return Err(format!("imports {}", import.name())) };
            let (from, name): (Rc<str>, Rc<str>) = (import.module().into(), import.name().into());
            if !calls::is_known(&from, &name) || store.data().behavior.missing.contains(&&*name) {
                continue;
            }
            let (own_from, own_name) = (from.to_string(), name.to_string());
            linker
                .func_new(&from, &name, signature.clone(), move |caller, arguments, results| {
                    calls::call(&own_from, &own_name, caller, arguments, results)
                })
                .map_err(|error| error.to_string())?;
        }
        let instance = linker.instantiate_and_start(&mut store, module).map_err(|error| error.to_string())?;
        let mut vm = Self { store, instance, next_context: 1 };
        vm.call("_initialize", &[])?;
        Ok(vm)
    }

    /// Makes a root and configures it; also whether it accepted.
    pub fn configure(&mut self, configuration: &[u8]) -> (RootId, bool) {
        let root = self.new_context(0);
        let accepted =
            self.expect("proxy_on_vm_start", &[root, 0]) != 0 && self.reconfigure(RootId(root), configuration);
        (RootId(root), accepted)
    }

    /// Configures a root that is there.
    pub fn reconfigure(&mut self, root: RootId, configuration: &[u8]) -> bool {
        self.world_mut().configuration = configuration.to_vec();
        let size = u32::try_from(configuration.len()).expect("a size");
        let is_accepted = self.expect("proxy_on_configure", &[root.0, size]) != 0;
        if !is_accepted && self.world_mut().behavior.is_nginx {
            // The worker exits, nobody starts another one, and the port stays open: requests hang.
            self.world_mut().trap.get_or_insert_with(|| String::from("the worker ends: a configuration is rejected"));
        }
        is_accepted
    }

    /// A request head arrives on a new stream of that root.
    pub fn request(&mut self, root: RootId, fields: Fields) -> StreamId {
        let stream = StreamId(self.new_context(root.0));
        self.request_on(stream, root, fields, false)
    }

    /// The same of a request without a body. nginx does not say that nothing follows.
    pub fn whole_request(&mut self, root: RootId, fields: Fields) -> StreamId {
        let stream = StreamId(self.new_context(root.0));
        let ends = !self.world_mut().behavior.is_nginx;
        self.request_on(stream, root, fields, ends)
    }

    /// The same on a stream of that id, which is made now: hosts may use an id again that they have deleted.
    pub fn request_again(&mut self, stream: StreamId, root: RootId, fields: Fields) -> StreamId {
        self.world_mut().contexts.insert(stream.0);
        self.expect("proxy_on_context_create", &[stream.0, root.0]);
        self.request_on(stream, root, fields, false)
    }

    fn request_on(&mut self, stream: StreamId, root: RootId, fields: Fields, ends: bool) -> StreamId {
        let fields = if self.world_mut().behavior.is_nginx { received_by_nginx(fields) } else { fields };
        let count = u32::try_from(fields.len()).expect("a count");
        self.world_mut().streams.insert(stream.0, Stream::new(root.0, fields));
        let action = self.expect("proxy_on_request_headers", &[stream.0, count, u32::from(ends)]);
        self.after(stream, action);
        stream
    }

    /// What stands in a stream's filter state.
    pub fn filter_state(&self, stream: StreamId) -> Vec<String> {
        self.store.data().stream(stream.0).state.iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    /// Whether the host is to choose the route of a stream again.
    pub fn is_route_cleared(&self, stream: StreamId) -> bool {
        self.store.data().stream(stream.0).is_route_cleared
    }

    /// What the roots have declared, as text.
    pub fn declared(&self) -> Vec<String> {
        self.store.data().declared.iter().map(|(_, argument)| argument.escape_ascii().to_string()).collect()
    }

    /// Another plugin in the chain writes into the filter state of the next request.
    pub fn write_state_first(&mut self, root: RootId, fields: Fields, name: &str) -> StreamId {
        let stream = StreamId(self.new_context(root.0));
        let mut incoming = Stream::new(root.0, fields);
        incoming.state.insert(name.to_owned(), String::from("of another plugin"));
        self.world_mut().streams.insert(stream.0, incoming);
        let action = self.expect("proxy_on_request_headers", &[stream.0, 0, 0]);
        self.after(stream, action);
        stream
    }

    /// A piece of the body arrives.
    pub fn body(&mut self, stream: StreamId, size: usize, last: bool) -> Action {
        let size = u32::try_from(size).expect("a size");
        let action = self.expect_if_exported("proxy_on_request_body", &[stream.0, size, u32::from(last)]);
        self.after(stream, action)
    }

    /// The trailers arrive.
    pub fn trailers(&mut self, stream: StreamId, fields: Fields) -> Action {
        let count = u32::try_from(fields.len()).expect("a count");
        self.world_mut().stream_mut(stream.0).trailers = fields;
        let action = self.expect_if_exported("proxy_on_request_trailers", &[stream.0, count]);
        self.after(stream, action)
    }

    /// The backend's answer, or the filter's own, passes the filter: a head and a body in one piece.
    pub fn response(&mut self, stream: StreamId) {
        self.expect_if_exported("proxy_on_response_headers", &[stream.0, 1, 0]);
        self.expect_if_exported("proxy_on_response_body", &[stream.0, 1, 1]);
    }

    /// A response passes the filter, a head and a body in one piece: what the client gets of it.
    pub fn response_of(&mut self, stream: StreamId, headers: Fields, body: &[u8]) -> PassedResponse {
        let count = u32::try_from(headers.len()).expect("a count");
        let size = u32::try_from(body.len()).expect("a size");
        self.world_mut().response = PassedResponse { headers, body: body.to_vec() };
        let paused = self.expect_if_exported("proxy_on_response_headers", &[stream.0, count, 0]);
        assert_eq!(paused, 0, "the response stays paused");
        self.expect_if_exported("proxy_on_response_body", &[stream.0, size, 1]);
        std::mem::take(&mut self.world_mut().response)
    }

    /// The stream ends: the client left, or the exchange is over.
    pub fn close(&mut self, stream: StreamId) {
        self.expect_if_exported("proxy_on_log", &[stream.0]);
        self.expect_if_exported("proxy_on_done", &[stream.0]);
        self.expect("proxy_on_delete", &[stream.0]);
        self.world_mut().contexts.remove(&stream.0);
        self.world_mut().closed.insert(stream.0);
    }

    /// A configuration is taken away: it was replaced, and nobody in this VM is served by it any more.
    pub fn remove_root(&mut self, root: RootId) {
        self.expect_if_exported("proxy_on_done", &[root.0]);
        self.expect("proxy_on_delete", &[root.0]);
        self.world_mut().contexts.remove(&root.0);
    }

    /// A root's timer fires.
    pub fn tick(&mut self, root: RootId) {
        self.expect("proxy_on_tick", &[root.0]);
    }

    /// The oldest callout that was not answered yet.
    pub fn take_callout(&mut self) -> Option<Callout> {
        let world = self.world_mut();
        (!world.callouts.is_empty()).then(|| world.callouts.remove(0))
    }

    /// A callout ends.
    pub fn answer(&mut self, callout: &Callout, answer: CalloutResponse) {
        let headers = u32::try_from(answer.headers.len()).expect("a count");
        let body = u32::try_from(answer.body.len()).expect("a size");
        // A request that is gone takes its callouts along.
        if !self.world_mut().contexts.contains(&callout.owner) {
            return;
        }
        if let Some(stream) = self.world_mut().streams.get_mut(&callout.owner) {
            stream.has_begun_callout = false;
            stream.open_callouts.remove(&callout.token);
            let has_response = answer.headers.iter().any(|(name, _)| name == ":status");
            stream.has_lost_post = !has_response && !callout.body.is_empty();
        }
        self.world_mut().answer = Some(answer);
        self.expect("proxy_on_http_call_response", &[callout.owner, callout.token, headers, body, 0]);
        self.world_mut().answer = None;
        if let Some(stream) = self.world_mut().streams.get_mut(&callout.owner) {
            stream.has_lost_post = false;
        }
        // nginx lets a request go on whose callback ends without a response or another callout.
        let lets_go_on = self.world_mut().behavior.is_nginx && self.trap().is_none();
        if let Some(stream) = self.world_mut().streams.get_mut(&callout.owner)
            && lets_go_on
            && !stream.is_decided()
            && !stream.has_begun_callout
        {
            stream.forward();
        }
    }

    /// Wakes the module for everything that was put into the queues of this VM, as long as their roots are there.
    pub fn deliver_queues(&mut self) -> usize {
        let mut delivered = 0;
        while let Some((root, queue)) = self.world_mut().next_wake_up() {
            if self.world_mut().contexts.contains(&root) {
                self.expect("proxy_on_queue_ready", &[root, queue]);
                delivered += 1;
            }
        }
        delivered
    }

    /// Moves the clock forward.
    pub fn pass(&mut self, time: Duration) {
        self.world_mut().now += time;
    }

    /// Sets the clock, also back.
    pub fn set_clock(&mut self, since_epoch: Duration) {
        self.world_mut().now = since_epoch;
    }

    /// What a client and a backend see of a stream.
    pub fn outcome(&self, stream: StreamId) -> Outcome {
        self.store.data().stream(stream.0).outcome(stream.0)
    }

    /// The trailers as they would go on.
    pub fn trailers_of(&self, stream: StreamId) -> Fields {
        self.store.data().stream(stream.0).trailers.clone()
    }

    /// The trailers that the backend got.
    pub fn forwarded_trailers(&self, stream: StreamId) -> Fields {
        self.store.data().stream(stream.0).forwarded_trailers.clone()
    }

    /// The tick period that a root asked for last.
    pub fn tick_period(&self, root: RootId) -> Option<Duration> {
        self.store.data().tick_periods.get(&root.0).map(|millis| Duration::from_millis(u64::from(*millis)))
    }

    /// The lines logged so far.
    pub fn log(&self) -> &[String] {
        &self.store.data().log
    }

    /// The reasons of the decisions logged so far, debug level included.
    pub fn reasons(&self) -> Vec<String> {
        let records = self.log().iter().filter_map(|line| line.split_once("\"reason\":\""));
        records.filter_map(|(_, rest)| rest.split_once('"')).map(|(reason, _)| reason.to_owned()).collect()
    }

    /// Why the module trapped, on a host that takes that [closed](OnTrap::FailClosed).
    pub fn trap(&self) -> Option<&str> {
        self.store.data().trap.as_deref()
    }

    /// How often each host function was called so far.
    pub fn calls(&self) -> &BTreeMap<String, usize> {
        &self.store.data().calls
    }

    /// The calls of host functions so far, in order.
    pub fn trace(&self) -> &[HostCall] {
        &self.store.data().trace
    }

    /// The calls of host functions since the last look.
    pub fn take_trace(&mut self) -> Vec<HostCall> {
        std::mem::take(&mut self.world_mut().trace)
    }

    /// The lines logged since the last look.
    pub fn take_log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.world_mut().log)
    }

    /// The properties that the host was asked for so far, each by its path with dots.
    pub fn properties_read(&self) -> &[String] {
        &self.store.data().properties_asked
    }

    /// How often the host was told something of the metric of that name.
    pub fn metric_value(&self, name: &str) -> usize {
        self.store.data().metrics.iter().filter(|(metric, _)| metric == name).map(|(_, told)| told).sum()
    }

    /// How often the module was entered by each of its exports so far.
    pub fn entries(&self) -> &BTreeMap<String, usize> {
        &self.store.data().entries
    }

    /// The bytes of memory that the module has now; it never gives any back.
    pub fn memory(&self) -> usize {
        self.instance.get_memory(&self.store, "memory").expect("a memory").data_size(&self.store)
    }

    /// Makes a context of an id that may be in use already; an error when the module traps.
    pub fn create_context(&mut self, id: u32, root: RootId) -> Result<(), String> {
        self.call("proxy_on_context_create", &[id, root.0]).map(|_| ())
    }

    fn new_context(&mut self, parent: u32) -> u32 {
        let id = self.next_context;
        self.next_context += 1;
        self.world_mut().contexts.insert(id);
        self.expect("proxy_on_context_create", &[id, parent]);
        id
    }

    fn after(&mut self, stream: StreamId, action: u32) -> Action {
        let action = if action == 0 && self.trap().is_none() { Action::Continue } else { Action::Pause };
        if action == Action::Continue {
            let is_nginx = self.world_mut().behavior.is_nginx;
            let continued = self.world_mut().stream_mut(stream.0);
            assert!(!(is_nginx && continued.has_begun_callout), "the worker ends: a request with a callout continues");
            continued.forward();
        }
        action
    }

    /// Calls a host function in the context of the last callback, for a module that exports what it imports; an error when the
    /// call traps.
    pub fn call_host(&mut self, function: &str, arguments: &[u32]) -> Result<u32, String> {
        self.invoke(function, arguments)
    }

    /// From now on, the `nth` call of a host function returns this status, counted from 1.
    pub fn fail_call(&mut self, nth: usize, status: i32) {
        let world = self.world_mut();
        let calls = FaultyCalls::Only(world.calls_of_all + nth);
        world.behavior.fault = Some(Fault { function: ANY_FUNCTION, status, calls });
    }

    /// The bytes at an address of the module's memory.
    pub fn read_memory(&self, address: u32, size: usize) -> Vec<u8> {
        let memory = self.instance.get_memory(&self.store, "memory").expect("a memory");
        memory.data(&self.store)[address as usize..][..size].to_vec()
    }

    /// Puts bytes at an address of the module's memory.
    pub fn write_memory(&mut self, address: u32, bytes: &[u8]) {
        let memory = self.instance.get_memory(&self.store, "memory").expect("a memory");
        memory.write(&mut self.store, address as usize, bytes).expect("an address of the module");
    }

    /// Calls a callback. One that traps returns 0, and later ones are not called, where the host [fails
    /// closed](OnTrap::FailClosed).
    fn expect(&mut self, callback: &str, arguments: &[u32]) -> u32 {
        if self.trap().is_some() {
            return 0;
        }
        self.call(callback, arguments).unwrap_or_else(|trap| {
            assert!(self.store.data().behavior.on_trap == OnTrap::FailClosed, "{callback} trapped: {trap}");
            self.world_mut().trap = Some(format!("{callback}: {trap}"));
            0
        })
    }

    /// The same, of a callback that a host does without: 0, which is "go on", where the module has none.
    fn expect_if_exported(&mut self, callback: &str, arguments: &[u32]) -> u32 {
        let is_exported = self.instance.get_func(&self.store, callback).is_some();
        if is_exported { self.expect(callback, arguments) } else { 0 }
    }

    fn call(&mut self, callback: &str, arguments: &[u32]) -> Result<u32, String> {
        if let Some(context) = arguments.first() {
            (self.world_mut().active, self.world_mut().effective) = (*context, *context);
        }
        self.world_mut().count_entry(callback);
        callback.clone_into(&mut self.world_mut().callback);
        self.invoke(callback, arguments)
    }

    fn invoke(&mut self, export: &str, arguments: &[u32]) -> Result<u32, String> {
        let Some(function) = self.instance.get_func(&self.store, export) else {
            return Err(format!("the module has no {export}"));
        };
        let arguments: Vec<Val> = arguments.iter().map(|value| Val::I32(value.cast_signed())).collect();
        let mut results = vec![Val::I32(0); function.ty(&self.store).results().len()];
        let ended: Result<(), Error> = function.call(&mut self.store, &arguments, &mut results);
        ended.map_err(|error| format!("{error}; its log:\n{}", self.log().join("\n")))?;
        Ok(results.first().and_then(Val::i32).unwrap_or_default().cast_unsigned())
    }

    fn world_mut(&mut self) -> &mut World {
        self.store.data_mut()
    }
}
