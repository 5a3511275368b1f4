//! Carries out the effects of the engine, in their order, and reports what follows from them.

use std::time::Duration;

use proxy_wasm::hostcalls;

use crate::engine::{Callout, Decision, Effect, Event, Report, StreamId};
use crate::host::apply_decision::reject;
use crate::host::host_interface::ResponseBody;
use crate::host::log::{log_fetch, log_suppressed};
use crate::host::root_state::RootState;
use crate::host::shared_streams::ParkedStream;
use crate::host::stream_state::StreamState;
use crate::host::{clock, shared_records};
use crate::telemetry::gauges;
use crate::unix_time::UnixTime;

impl RootState {
    /// Reports an event to the engine. Its effects are carried out after those that are due already.
    pub(super) fn handle(&self, event: Event) {
        let (now, entropy) = (clock::now(), clock::entropy());
        let effects = self.with_engine(|engine| engine.handle(event, now, entropy.as_ref()));
        self.effects.borrow_mut().extend(effects.into_iter().flatten());
    }

    /// Carries out all effects in a callback of the root, and those that follow from them.
    pub(super) fn carry_out(&self) {
        self.carry_out_in(None);
    }

    /// The same in a callback of a request, which sends no callout but the one that it waits for: a response to the request
    /// cancels its callouts, and nginx then uses freed memory if it is resolving the name of one.
    pub(super) fn carry_out_for(&self, stream: StreamId) {
        self.carry_out_in(Some(stream));
    }

    fn carry_out_in(&self, request: Option<StreamId>) {
        let (mut next_tick, mut is_news) = (None, false);
        while let Some(effect) = self.next_effect() {
            match effect {
                Effect::Share(record) => is_news |= self.host.get().shares_data() && shared_records::publish(&record),
                Effect::Report(report) => self.report(report),
                Effect::ReleaseLease(id) => self.leases.release(id),
                Effect::Decide(stream, decision) if self.host.get().resumes_from_root() => {
                    self.release_stream(stream, &decision);
                }
                Effect::Decide(stream, decision) => self.streams.keep(stream, decision),
                Effect::AcquireLease(id, request) => self.acquire_lease(id, &request),
                Effect::Callout(callout) if request.is_some_and(|stream| !self.is_pending_on(stream, &callout)) => {
                    self.defer(callout);
                }
                Effect::Callout(callout) => self.send(&callout),
                Effect::TickAt(at) => next_tick = Some(at),
            }
        }
        if is_news {
            self.wake_ups.wake_others();
        }
        next_tick.into_iter().for_each(|at| self.plan_tick(at));
    }

    /// Ends the borrow of the queue: an effect may add others.
    fn next_effect(&self) -> Option<Effect> {
        self.effects.borrow_mut().pop_front()
    }

    fn report(&self, report: Report) {
        match &report {
            Report::FetchStarted { .. } => {}
            Report::Fetch { provider, result } => log_fetch(provider, *result),
            Report::Call { provider, result } => self.log.log_call(provider, *result),
            Report::Poll(result) => self.log.log_poll(*result),
            Report::Suppressed(records) => log_suppressed(records),
        }
        self.metrics.count_report(&report);
    }

    pub(super) fn send(&self, callout: &Callout) {
        match self.host.get().dispatch(callout) {
            Ok(number) => self.callouts.insert(number, callout),
            Err(error) => self.handle(Event::CalloutDone(callout.id, Err(error))),
        }
    }

    /// Takes a parked stream to its end: edits and resume, or a response, never both.
    fn release_stream(&self, stream: StreamId, decision: &Decision) {
        let Some(ParkedStream { stream: parked, parked_at, .. }) = self.streams.take(stream) else { return };
        // A stream that ended is not parked any more (`proxy_on_delete`), so Envoy knows this one. Where a host does not,
        // there is no call that could end the request: it stays paused until the host's own timeout.
        if let Err(status) = hostcalls::set_effective_context(stream.0) {
            log::error!("set_effective_context failed ({status:?}); a pending request gets no response");
            return;
        }
        let host = self.host.get();
        parked.apply(decision, host, &self.metrics, ResponseBody::Kept);
        self.metrics.time_parked(clock::now().since(parked_at));
        if parked.state() == StreamState::Allowed
            && let Err(error) = host.resume_request()
        {
            parked.set(reject(error, host));
        }
        // What follows in this callback acts on the root whatever the context in effect is: the timer and the callouts.
        if let Err(status) = hostcalls::set_effective_context(self.context_id) {
            log::error!("set_effective_context failed ({status:?}) for the root context");
        }
    }

    fn plan_tick(&self, at: UnixTime) {
        let period = at.since(clock::now());
        let longest = if self.metrics.are_counted() { gauges::INTERVAL } else { Duration::MAX };
        self.tick_after(period.min(longest));
    }
}
