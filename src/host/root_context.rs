//! The root: loads the configuration, ticks, owns the fetches, and carries out decisions for parked
//! streams. One for each configuration in each VM; an old one goes on ticking for its own streams until
//! the host has drained them.

use std::rc::Rc;
use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{BufferType, ContextType};

use crate::config::{self, Loaded};
use crate::engine::{
    CALL_RESPONSE, Decision, Engine, Fetch, FetchCause, KEY_RESPONSE, Lease, NothingShared, Outbox, POLL_RESPONSE,
    ParkingLimits, SharedResponses, StreamId,
};
use crate::host::apply_decision::{apply_decision, log_fetch, log_suppressed, reject};
use crate::host::callouts::{CalloutPurpose, CalloutRequest, read_response};
use crate::host::filter_state::declare;
use crate::host::host_error::HostError;
use crate::host::host_kind::is_envoy;
use crate::host::http_context::FilterStream;
use crate::host::root_state::RootState;
use crate::host::shared_calls::HeldResponses;
use crate::host::shared_keys::SharedKeys;
use crate::host::stream_state::{ParkedStream, StreamState};
use crate::host::{clock, native_crypto};
use crate::telemetry::{self, gauges};
use crate::unix_time::UnixTime;

/// How often to look whether somebody else's fetch has ended, should its wake-up not reach us.
const POLL_OTHERS: Duration = Duration::from_millis(50);

/// The filter's side of one plugin configuration.
pub(super) struct FilterRoot {
    context_id: u32,
    shared: Rc<RootState>,
}

impl FilterRoot {
    pub(super) fn new(context_id: u32) -> Self {
        Self { context_id, shared: Rc::new(RootState::default()) }
    }

    /// Carries out the engine's effects, and those that follow from them.
    fn carry_out(&self, outbox: Outbox) {
        let mut outboxes = vec![outbox];
        let mut next_tick: Option<UnixTime> = None;
        while let Some(outbox) = outboxes.pop() {
            if let Some(note) = &outbox.note {
                log_fetch(note);
                self.shared.metrics.count_fetch(note);
            }
            if let (Some((provider, outcome)), Some(sharing)) = (&outbox.share, self.sharing()) {
                let records = self.shared.with_engine(|engine| engine.shared_records()).unwrap_or_default();
                for (_, record) in records.iter().filter(|(id, _)| id == provider) {
                    sharing.publish(record, outcome);
                }
                self.shared.wake_ups.wake_others();
            }
            self.give_back_unused_leases();
            if let Some(note) = &outbox.call_note {
                self.shared.log.log_call(note);
                self.shared.metrics.count_call(note);
            }
            if let Some(result) = outbox.poll_note {
                self.shared.log.log_poll(result);
                self.shared.metrics.count_poll(result);
            }
            log_suppressed(&outbox.suppressed);
            for (stream, decision) in &outbox.decided {
                self.release(*stream, decision);
            }
            for fetch in outbox.fetches {
                outboxes.extend(self.begin(fetch));
            }
            for fetch in &outbox.follow_ups {
                outboxes.extend(self.call_out(fetch));
            }
            for inquiry in &outbox.calls {
                outboxes.extend(self.shared.introspect(inquiry));
            }
            if let Some(poll) = &outbox.poll {
                outboxes.extend(self.shared.poll(poll));
            }
            // The last to be carried out knows best when the next tick is due; an earlier one may be sooner.
            next_tick = outbox.next_tick.into_iter().chain(next_tick).min();
        }
        self.plan_tick(next_tick);
    }

    fn sharing(&self) -> Option<Rc<SharedKeys>> {
        self.shared.shared_keys.borrow().clone()
    }

    /// Begins a fetch, unless another VM makes it for us.
    fn begin(&self, fetch: Fetch) -> Vec<Outbox> {
        let Some(sharing) = self.sharing() else { return self.begin_here(&fetch) };
        let records = self.shared.with_engine(|engine| engine.shared_records()).unwrap_or_default();
        let Some((provider, record)) = records.into_iter().find(|(provider, _)| fetch.id.is_of(*provider)) else {
            return self.begin_here(&fetch);
        };
        let mut effects = Vec::new();
        let lease = sharing.acquire(&record, &fetch, clock::now(), || {
            for outcome in sharing.outcomes(&record) {
                let (now, jitter) = (clock::now(), clock::jitter());
                effects.extend(self.shared.with_engine(|engine| engine.on_shared(provider, outcome, now, jitter)));
            }
            self.shared.with_engine(|engine| engine.is_fetching(fetch.id)).unwrap_or(false)
        });
        if let Some(lease) = lease {
            effects.extend(self.shared.with_engine(|engine| engine.on_lease(fetch.id, lease, clock::now())));
        }
        match lease {
            Some(Lease::Acquired(_)) => effects.extend(self.begin_here(&fetch)),
            Some(Lease::HeldByOther(_)) => sharing.wait_for_others(fetch),
            Some(Lease::Cooldown { .. }) | None => {}
        }
        effects
    }

    /// Makes the first callout of a fetch.
    fn begin_here(&self, fetch: &Fetch) -> Vec<Outbox> {
        let metric = match fetch.keys.cause {
            FetchCause::Due => None,
            FetchCause::UnknownKeyId => Some(&telemetry::UNKNOWN_KEY_FETCHES),
            FetchCause::SignatureInvalid => Some(&telemetry::SIGNATURE_INVALID_FETCHES),
        };
        if let Some(metric) = metric
            && let Some(name) = self.shared.with_engine(|engine| engine.provider_name(fetch.id.provider())).flatten()
        {
            self.shared.metrics.count(metric, &[&name]);
        }
        self.call_out(fetch)
    }

    /// Makes a callout of a fetch; with an effect when it ended at once.
    fn call_out(&self, fetch: &Fetch) -> Vec<Outbox> {
        let (address, timeout) = (&fetch.keys.address, fetch.keys.timeout);
        let request = CalloutRequest { address, timeout, method: "GET", headers: &[], body: None };
        let error = self.shared.callouts.send(request, || CalloutPurpose::Keys(fetch.id)).err();
        let end = |error| self.shared.with_engine(|engine| engine.on_fetched(fetch.id, Err(error), clock::now()));
        error.and_then(end).into_iter().collect()
    }

    /// Before another fetch is begun: it would wait for itself.
    fn give_back_unused_leases(&self) {
        if let Some(sharing) = self.sharing() {
            let is_fetching = |fetch| self.shared.with_engine(|engine| engine.is_fetching(fetch)).unwrap_or(false);
            sharing.give_back_unused(is_fetching);
        }
    }

    /// Nobody here waits for what is being fetched any more: whoever does elsewhere may fetch it.
    fn give_up_fetches(&self) {
        self.shared.callouts.forget();
        if let Some(sharing) = self.sharing() {
            sharing.give_up();
        }
    }

    /// The engine ends: no refusal that it counted is lost.
    fn end_log(&self) {
        log_suppressed(&self.shared.with_engine(|engine| engine.take_suppressed()).unwrap_or_default());
    }

    /// Takes over what other VMs fetched since.
    fn learn_from_others(&self) {
        let Some(sharing) = self.sharing() else { return };
        let records = self.shared.with_engine(|engine| engine.shared_records()).unwrap_or_default();
        for (provider, record) in records {
            for outcome in sharing.outcomes(&record) {
                let (now, jitter) = (clock::now(), clock::jitter());
                let effect = self.shared.with_engine(|engine| engine.on_shared(provider, outcome, now, jitter));
                effect.into_iter().for_each(|outbox| self.carry_out(outbox));
            }
        }
        if let Some(outbox) = self.shared.learn_list() {
            self.carry_out(outbox);
        }
        for fetch in sharing.take_awaiting() {
            self.begin(fetch).into_iter().for_each(|outbox| self.carry_out(outbox));
        }
    }

    /// Takes a parked stream to its end: edits and resume, or a reply, never both.
    fn release(&self, stream: StreamId, decision: &Decision) {
        let Some(ParkedStream { state: passage, parked_at: since }) = self.shared.streams.take(stream) else { return };
        // A stream that ended is not parked any more (`proxy_on_delete`), so Envoy knows this one. Where a host does not,
        // there is no call that could end the request: it stays paused until the host's own time-out.
        if let Err(status) = hostcalls::set_effective_context(stream.0) {
            log::error!("set_effective_context failed ({status:?}); a pending request gets no response");
            return;
        }
        passage.set(apply_decision(decision, &self.shared.metrics));
        self.shared.metrics.time_parked(clock::now().since(since));
        if passage.get() == StreamState::Allowed
            && let Err(status) = hostcalls::resume_http_request()
        {
            passage.set(reject(HostError::of("resuming a request")(status)));
        }
        // What follows in this callback acts on the root whatever the context in effect is: the timer and the callouts.
        if let Err(status) = hostcalls::set_effective_context(self.context_id) {
            log::error!("set_effective_context failed ({status:?}) for the root context");
        }
    }

    /// Takes the configuration in, or says why not.
    fn configure(&self, plugin_configuration_size: usize) -> bool {
        let document = match plugin_configuration_size {
            0 => Vec::new(),
            size => hostcalls::get_buffer(BufferType::PluginConfiguration, 0, size).ok().flatten().unwrap_or_default(),
        };
        match config::load(&document, &|name| std::env::var(name).ok()) {
            Ok(loaded) => {
                for warning in &loaded.warnings {
                    log::warn!("{warning}");
                }
                if !prepare_handover(&loaded) {
                    return false;
                }
                let Ok(signer) = native_crypto::signer(&loaded) else {
                    log::error!(
                        "the configuration is refused: this host does not sign with an RSA `private_key` (Envoy does since 1.37); one of P-256 needs no host"
                    );
                    return false;
                };
                self.shared.signer.replace(signer);
                let (verifier, mut configuration) =
                    native_crypto::verifier(loaded.native_crypto, &loaded.policy.providers.algorithms());
                let (Some(seed), Some(reporter)) = (clock::entropy(), clock::entropy()) else {
                    log::error!("the configuration is refused: the host gives no random bytes (`random_get`)");
                    return false;
                };
                configuration.insecure_settings = loaded.insecure_settings;
                self.shared.reporter.begin(&reporter, configuration);
                let others: Rc<dyn SharedResponses> = match is_envoy() {
                    true => Rc::new(HeldResponses),
                    false => Rc::new(NothingShared),
                };
                let engine = Engine::with_sharing(
                    &others,
                    loaded.policy,
                    verifier,
                    ParkingLimits::default(),
                    &seed,
                    clock::now(),
                );
                self.end_log();
                let engine = engine.with_client_addresses();
                self.shared.engine.replace(Some(engine));
                self.give_up_fetches();
                self.shared.shared_keys.replace(is_envoy().then(Rc::default));
                // Not from here: some hosts allow no callout while they configure.
                self.shared.tick_soon();
                true
            }
            Err(faults) => {
                log::error!("the configuration is refused, {} fault(s):", faults.len());
                for fault in &faults {
                    log::error!("  {fault}");
                }
                false
            }
        }
    }

    fn plan_tick(&self, next: Option<UnixTime>) {
        let Some(next) = next else { return };
        let period = next.since(clock::now());
        let is_awaiting = self.sharing().is_some_and(|sharing| sharing.is_awaiting());
        let period = if is_awaiting { period.min(POLL_OTHERS) } else { period };
        self.shared.tick_after(if self.shared.metrics.are_counted() { period.min(gauges::INTERVAL) } else { period });
    }
}

/// The host takes a configuration away that was replaced. What it is fetching ends with it, unanswered, while roots of the
/// same configuration on other workers live on for the requests that wait in them: they must be free to fetch.
impl Drop for FilterRoot {
    fn drop(&mut self) {
        self.end_log();
        self.give_up_fetches();
        self.shared.wake_ups.leave();
    }
}

/// Prepares the host for what is handed over by its own means; `false` when it has none. Without them a rule of another
/// filter that wants an identity would miss it, and one that keeps somebody out would not know him.
fn prepare_handover(loaded: &Loaded) -> bool {
    let names: Vec<&str> = loaded.policy.filter_state.names().collect();
    if names.is_empty() && !loaded.policy.clear_route_cache {
        return true;
    }
    if !is_envoy() {
        log::error!("the configuration is refused: `filter_state` and `clear_route_cache` are for Envoy only");
        return false;
    }
    let declared = declare(names.into_iter());
    if let Err(status) = declared {
        log::error!("the configuration is refused: this Envoy does not declare `filter_state` ({status:?})");
    }
    declared.is_ok()
}

impl Context for FilterRoot {
    fn on_http_call_response(&mut self, token_id: u32, num_headers: usize, body_size: usize, _num_trailers: usize) {
        let read = |format| read_response(num_headers, body_size, format);
        let outbox = match self.shared.callouts.take(token_id) {
            None => None,
            Some(CalloutPurpose::Keys(fetch)) => {
                let outcome = read(&KEY_RESPONSE);
                self.shared.with_engine(|engine| engine.on_fetched(fetch, outcome, clock::now()))
            }
            Some(CalloutPurpose::Introspection(call, lease)) => self.shared.end_call(call, lease, read(&CALL_RESPONSE)),
            Some(CalloutPurpose::Revocations(poll)) => self.shared.end_poll(poll, read(&POLL_RESPONSE)),
        };
        if let Some(outbox) = outbox {
            self.carry_out(outbox);
        }
    }
}

impl RootContext for FilterRoot {
    fn on_configure(&mut self, plugin_configuration_size: usize) -> bool {
        self.shared.metrics.begin(is_envoy());
        let is_accepted = self.configure(plugin_configuration_size);
        let outcome = if is_accepted { "accepted" } else { "refused" };
        self.shared.metrics.count(&telemetry::CONFIGURATIONS, &[outcome]);
        is_accepted
    }

    fn on_tick(&mut self) {
        self.shared.tick_came();
        if self.sharing().is_some() {
            self.shared.wake_ups.confirm();
        }
        self.learn_from_others();
        let outbox = self.shared.with_engine(|engine| engine.on_tick(clock::now(), clock::jitter()));
        if let Some(outbox) = outbox {
            self.carry_out(outbox);
        }
        self.shared.report();
    }

    fn on_queue_ready(&mut self, queue_id: u32) {
        if self.shared.wake_ups.drain(queue_id) {
            self.on_tick();
        }
    }

    fn create_http_context(&self, context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(FilterStream::new(context_id, Rc::clone(&self.shared))))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}
