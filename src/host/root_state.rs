//! What a root and its streams share: the engine, and the state of the host around it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::Duration;

use crate::engine::{Callout, Effect, Engine, StreamId};
use crate::host::callouts::Callouts;
use crate::host::gauges::Reporter;
use crate::host::host_interface::Host;
use crate::host::leases::Leases;
use crate::host::log::CalloutLog;
use crate::host::metrics::Metrics;
use crate::host::plain_host::PlainHost;
use crate::host::shared_streams::ParkedStreams;
use crate::host::wake_ups::WakeUps;

const SOONEST_TICK: Duration = Duration::from_millis(1);

/// What one root and its streams share.
pub(super) struct RootState {
    pub(super) context_id: u32,
    /// The kind of host, which is detected with the first configuration.
    pub(super) host: Cell<&'static dyn Host>,
    /// Set once the configuration was accepted.
    pub(super) engine: RefCell<Option<Engine>>,
    pub(super) callouts: Callouts,
    /// The leases that this worker holds.
    pub(super) leases: Leases,
    /// Callouts that began in the callback of a request which does not wait for them: the root sends them.
    deferred: RefCell<Vec<Callout>>,
    /// The effects to carry out.
    pub(super) effects: RefCell<VecDeque<Effect>>,
    /// How this root is woken by others and by itself.
    pub(super) wake_ups: WakeUps,
    pub(super) streams: ParkedStreams,
    /// Whether the soonest possible tick was asked for and did not come yet.
    tick_is_soon: Cell<bool>,
    /// What is counted.
    pub(super) metrics: Metrics,
    /// What is told of it every few seconds.
    pub(super) reporter: Reporter,
    /// What was logged lately.
    pub(super) log: CalloutLog,
}

impl RootState {
    pub(super) fn new(context_id: u32) -> Self {
        Self {
            context_id,
            host: Cell::new(&PlainHost { is_nginx: false }),
            engine: RefCell::default(),
            callouts: Callouts::default(),
            leases: Leases::default(),
            deferred: RefCell::default(),
            effects: RefCell::default(),
            wake_ups: WakeUps::default(),
            streams: ParkedStreams::default(),
            tick_is_soon: Cell::default(),
            metrics: Metrics::default(),
            reporter: Reporter::default(),
            log: CalloutLog::default(),
        }
    }

    /// Borrows the engine for one call that makes no host call; `None` without a configuration.
    pub(super) fn with_engine<T>(&self, act: impl FnOnce(&mut Engine) -> T) -> Option<T> {
        self.engine.borrow_mut().as_mut().map(act)
    }

    /// Leaves a callout to the next tick of the root.
    pub(super) fn defer(&self, callout: Callout) {
        self.deferred.borrow_mut().push(callout);
    }

    /// The callouts that were left to the root.
    pub(super) fn take_deferred(&self) -> Vec<Callout> {
        self.deferred.take()
    }

    /// The callout that was left to the root and that a request waits for.
    pub(super) fn take_deferred_for(&self, stream: StreamId) -> Option<Callout> {
        let mut deferred = self.deferred.borrow_mut();
        let is_awaited = |callout: &Callout| self.is_pending_on(stream, callout);
        let place = deferred.iter().position(is_awaited)?;
        Some(deferred.remove(place))
    }

    pub(super) fn is_pending_on(&self, stream: StreamId, callout: &Callout) -> bool {
        self.with_engine(|engine| engine.is_pending_on(stream, callout.id)).unwrap_or_default()
    }

    /// Asks for a tick of the root: fetches must be begun there, and a request cannot wait for the
    /// next one that is planned.
    pub(super) fn tick_soon(&self) {
        // Envoy begins to count anew each time it is asked: requests that come faster than the tick would put it off, for
        // as long as they come.
        if !self.tick_is_soon.get() {
            self.tick_after(SOONEST_TICK);
            self.wake_ups.wake_self();
        }
    }

    /// Asks for ticks of the root, the next one after `period`.
    pub(super) fn tick_after(&self, period: Duration) {
        let is_set = self.host.get().set_tick_period(period.max(SOONEST_TICK));
        self.tick_is_soon.set(is_set && period <= SOONEST_TICK);
    }

    /// The tick has come.
    pub(super) fn tick_came(&self) {
        self.tick_is_soon.set(false);
    }
}
