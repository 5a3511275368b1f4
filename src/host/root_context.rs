//! The root: loads the configuration, and reports ticks and responses to the engine. One for each configuration in each VM; an
//! old one goes on ticking for its own streams until the host has drained them.

use std::rc::Rc;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{BufferType, ContextType};

use crate::config;
use crate::engine::{Engine, Event, HostServices, ParkingLimits, SharedResponses};
use crate::host::http_context::FilterStream;
use crate::host::log::log_suppressed;
use crate::host::root_state::RootState;
use crate::host::shared_proofs::{shared_replay_memory, shared_secret};
use crate::host::shared_records::HostResponses;
use crate::host::{clock, host_kind, native_crypto};
use crate::telemetry;

/// The filter's side of one plugin configuration.
pub(super) struct FilterRoot {
    shared: Rc<RootState>,
}

impl FilterRoot {
    pub(super) fn new(context_id: u32) -> Self {
        Self { shared: Rc::new(RootState::new(context_id)) }
    }

    /// Nobody here waits for what is looked up any more: other workers may make these lookups.
    fn give_up_lookups(&self) {
        self.shared.callouts.forget();
        self.shared.take_deferred();
        self.shared.leases.release_all();
    }

    /// The engine ends: no denial that it counted is lost.
    fn end_log(&self) {
        let suppressed = self.shared.with_engine(|engine| engine.take_suppressed()).unwrap_or_default();
        suppressed.iter().for_each(log_suppressed);
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
                let host = self.shared.host.get();
                let unsupported = host.unsupported(&loaded);
                if !unsupported.is_empty() {
                    for reason in unsupported {
                        log::error!("the configuration is refused: {reason}");
                    }
                    return false;
                }
                for limitation in host.limitations(&loaded) {
                    log::warn!("{limitation}");
                }
                let names: Vec<&str> = loaded.policy.filter_state.names().collect();
                if let Err(status) = host.declare_filter_state(&names) {
                    log::error!(
                        "the configuration is refused: this Envoy does not declare `filter_state` ({status:?})"
                    );
                    return false;
                }
                let Ok(signer) = native_crypto::signer(host, &loaded) else {
                    log::error!(
                        "the configuration is refused: this Envoy does not sign with an RSA `private_key` (1.37 and later do); one of P-256 needs no host"
                    );
                    return false;
                };
                let (verifier, mut configuration) =
                    native_crypto::verifier(host, loaded.native_crypto, &loaded.policy.providers.algorithms());
                let (Some(seed), Some(reporter)) = (clock::entropy(), clock::entropy()) else {
                    log::error!("the configuration is refused: the host gives no random bytes (`random_get`)");
                    return false;
                };
                configuration.insecure_settings = loaded.insecure_settings;
                self.shared.reporter.begin(&reporter, configuration);
                let shared_responses: Option<Rc<dyn SharedResponses>> =
                    if host.shares_data() { Some(Rc::new(HostResponses)) } else { None };
                let (replay_memory, shared_secret) = match host.shares_data() {
                    true => (Some(shared_replay_memory()), shared_secret(&seed)),
                    false => (None, None),
                };
                let services = HostServices {
                    verifier,
                    signer,
                    shared_responses,
                    replay_memory,
                    shared_secret,
                    has_client_addresses: true,
                };
                let engine = Engine::new(loaded.policy, services, ParkingLimits::default(), &seed, clock::now());
                self.end_log();
                self.shared.engine.replace(Some(engine));
                self.give_up_lookups();
                // No callout from here: some hosts allow none while they configure.
                host.begin_ticks();
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
}

/// The host takes a configuration away that was replaced. What it is fetching ends with it, unanswered, while roots of the
/// same configuration on other workers live on for the requests that wait in them: they must be free to fetch.
impl Drop for FilterRoot {
    fn drop(&mut self) {
        self.end_log();
        self.give_up_lookups();
        self.shared.wake_ups.leave();
    }
}

impl Context for FilterRoot {
    fn on_http_call_response(&mut self, token_id: u32, num_headers: usize, body_size: usize, _num_trailers: usize) {
        if let Some((callout, format)) = self.shared.callouts.take(token_id) {
            let result = self.shared.host.get().read_response(num_headers, body_size, format);
            self.shared.handle(Event::CalloutDone(callout, result));
            self.shared.carry_out();
        }
    }
}

impl RootContext for FilterRoot {
    fn on_configure(&mut self, plugin_configuration_size: usize) -> bool {
        self.shared.host.set(host_kind::detect());
        self.shared.metrics.begin(self.shared.host.get().has_metrics());
        let is_accepted = self.configure(plugin_configuration_size);
        let outcome = if is_accepted { "accepted" } else { "refused" };
        self.shared.metrics.count(&telemetry::CONFIGURATIONS, &[outcome]);
        // Without an engine every request gets 503.
        is_accepted || self.shared.host.get().dies_of_rejected_configuration()
    }

    fn on_tick(&mut self) {
        self.shared.tick_came();
        if self.shared.host.get().shares_data() {
            self.shared.wake_ups.confirm();
            self.shared.adopt_shared();
        }
        self.shared.take_deferred().iter().for_each(|callout| self.shared.send(callout));
        self.shared.handle(Event::Tick);
        self.shared.carry_out();
        self.shared.reporter.report(&self.shared.metrics, |now| self.shared.with_engine(|engine| engine.stats(now)));
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
