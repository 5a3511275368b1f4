//! The root: loads the configuration, ticks, owns the fetches, and carries out decisions for parked
//! streams. One for each configuration in each VM; an old one goes on ticking for its own streams until
//! the host has drained them.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{BufferType, ContextType};

use crate::config;
use crate::engine::{Decision, Engine, FetchId, FetchOutcome, Outbox, PortableVerifier, Room, StreamId};
use crate::host::callouts::{Callouts, read_answer};
use crate::host::carry_out::{apply, log_fetch};
use crate::host::clock;
use crate::host::http_context::FilterStream;
use crate::host::streams::{ParkedStreams, Passage};
use crate::unix_time::UnixTime;

const SOONEST_TICK: Duration = Duration::from_millis(1);

/// The filter's side of one plugin configuration.
pub(super) struct FilterRoot {
    context_id: u32,
    shared: Rc<Shared>,
}

/// What the root and its streams share.
#[derive(Default)]
pub(super) struct Shared {
    engine: RefCell<Option<Engine>>,
    callouts: Callouts,
    /// The parked streams.
    pub(super) streams: ParkedStreams,
}

impl Shared {
    /// Borrows the engine for one call that makes no host call; `None` without a configuration.
    pub(super) fn with_engine<T>(&self, act: impl FnOnce(&mut Engine) -> T) -> Option<T> {
        self.engine.borrow_mut().as_mut().map(act)
    }

    /// Asks for a tick of the root: fetches must be begun there, and a request cannot wait for the
    /// next one that is planned.
    pub(super) fn tick_soon(&self) {
        set_tick_period(SOONEST_TICK);
    }
}

fn set_tick_period(period: Duration) {
    if let Err(status) = hostcalls::set_tick_period(period) {
        log::error!("the host refused a tick ({status:?}); keys cannot be fetched");
    }
}

impl FilterRoot {
    pub(super) fn new(context_id: u32) -> Self {
        Self { context_id, shared: Rc::new(Shared::default()) }
    }

    /// Carries out the engine's effects, and those of fetches that ended at once.
    fn carry_out(&self, outbox: Outbox) {
        let mut ended: Vec<(FetchId, FetchOutcome)> = self.carry_out_one(outbox);
        while let Some((fetch, outcome)) = ended.pop() {
            let next = self.shared.with_engine(|engine| engine.on_fetched(fetch, outcome, clock::now()));
            ended.extend(next.map(|outbox| self.carry_out_one(outbox)).unwrap_or_default());
        }
    }

    fn carry_out_one(&self, outbox: Outbox) -> Vec<(FetchId, FetchOutcome)> {
        if let Some(note) = &outbox.note {
            log_fetch(note);
        }
        let begin = |fetch: &_| self.shared.callouts.begin(fetch);
        let ended = outbox.fetches.iter().filter_map(|fetch| Some((fetch.id, begin(fetch)?))).collect();
        for (stream, decision) in &outbox.decided {
            self.release(*stream, decision);
        }
        self.plan_tick(outbox.next_tick);
        ended
    }

    /// Takes a parked stream to its end: edits and resume, or a reply, never both.
    fn release(&self, stream: StreamId, decision: &Decision) {
        let Some(passage) = self.shared.streams.take(stream) else { return };
        // The host knows the stream no more: its client left, and there is nobody to answer.
        if hostcalls::set_effective_context(stream.0).is_err() {
            return;
        }
        passage.set(apply(decision));
        if passage.get() == Passage::Admitted
            && let Err(status) = hostcalls::resume_http_request()
        {
            log::error!("the host did not resume a request ({status:?})");
        }
        if hostcalls::set_effective_context(self.context_id).is_err() {
            log::error!("the host does not know its own root context");
        }
    }

    fn plan_tick(&self, next: Option<UnixTime>) {
        if let Some(next) = next {
            set_tick_period(next.since(clock::now()).max(SOONEST_TICK));
        }
    }
}

impl Context for FilterRoot {
    fn on_http_call_response(&mut self, token_id: u32, num_headers: usize, body_size: usize, _num_trailers: usize) {
        let Some(fetch) = self.shared.callouts.take(token_id) else { return };
        let outcome = read_answer(num_headers, body_size);
        if let Some(outbox) = self.shared.with_engine(|engine| engine.on_fetched(fetch, outcome, clock::now())) {
            self.carry_out(outbox);
        }
    }
}

impl RootContext for FilterRoot {
    fn on_configure(&mut self, plugin_configuration_size: usize) -> bool {
        let document = match plugin_configuration_size {
            0 => Vec::new(),
            size => hostcalls::get_buffer(BufferType::PluginConfiguration, 0, size).ok().flatten().unwrap_or_default(),
        };
        match config::load(&document) {
            Ok(loaded) => {
                for warning in &loaded.warnings {
                    log::warn!("{warning}");
                }
                let engine = Engine::new(loaded.policy, Box::new(PortableVerifier), Room::default(), clock::now());
                self.shared.engine.replace(Some(engine));
                self.shared.callouts.forget();
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

    fn on_tick(&mut self) {
        let outbox = self.shared.with_engine(|engine| engine.on_tick(clock::now(), clock::jitter()));
        if let Some(outbox) = outbox {
            self.carry_out(outbox);
        }
    }

    fn create_http_context(&self, context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(FilterStream::new(context_id, Rc::clone(&self.shared))))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}
