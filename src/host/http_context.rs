//! The callbacks of one request: they call the engine and apply its result.

use std::cell::Cell;
use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::engine::{AttributeValues, CalloutId, Event, RequestOutcome, StreamId};
use crate::host::apply_decision::{SERVED_BY_FILTER, reject, send_response};
use crate::host::host_error::HostError;
use crate::host::host_interface::ResponseBody;
use crate::host::root_state::RootState;
use crate::host::shared_streams::{ParkedStream, SharedStream};
use crate::host::stream_state::StreamState;
use crate::host::{clock, headers};

/// How often the engine may request attributes of one request.
const MAX_ATTRIBUTE_REQUESTS: usize = 2;

/// The filter's side of one HTTP stream.
pub(super) struct FilterStream {
    id: StreamId,
    shared: Rc<RootState>,
    stream: Rc<SharedStream>,
    /// Whether its last callout was an introspection call and got no response.
    callout_failed: Cell<bool>,
    /// Whether the response is withheld from the client.
    is_withheld: bool,
}

impl FilterStream {
    pub(super) fn new(context_id: u32, shared: Rc<RootState>) -> Self {
        Self {
            id: StreamId(context_id),
            shared,
            stream: Rc::new(SharedStream::new()),
            callout_failed: Cell::new(false),
            is_withheld: false,
        }
    }

    /// The result of every callback: continue only if the request is allowed.
    fn action(&self) -> Action {
        match self.stream.state() {
            StreamState::Allowed => Action::Continue,
            StreamState::Pending | StreamState::Rejected => Action::Pause,
        }
    }
}

/// The stream ended. The SDK drops its context in `proxy_on_delete`, the last callback of every stream on every host.
/// So no earlier callback is required: `proxy_on_done` and `proxy_on_log` are not exported (`link/exports.txt`). No
/// host call is possible here: the host has no current request, and the SDK holds a borrow of its contexts.
impl Drop for FilterStream {
    fn drop(&mut self) {
        if self.shared.streams.take(self.id).is_some() {
            self.shared.with_engine(|engine| engine.on_stream_closed(self.id));
        }
    }
}

/// The response to a callout of this stream: on hosts where the root cannot resume a request.
impl Context for FilterStream {
    fn on_http_call_response(&mut self, token_id: u32, num_headers: usize, body_size: usize, _num_trailers: usize) {
        let was_pending = self.stream.state() == StreamState::Pending;
        let sent = self.shared.callouts.sent();
        if let Some((callout, format)) = self.shared.callouts.take(token_id) {
            let result = self.shared.host.get().read_response(num_headers, body_size, format);
            // The others have no body.
            let is_post = matches!(callout, CalloutId::Introspection(..));
            self.callout_failed.set(is_post && result.is_err());
            self.shared.handle(Event::CalloutDone(callout, result));
            self.shared.carry_out_for(self.id);
        }
        if !was_pending {
            return;
        }
        self.apply_own_decision();
        if self.stream.state() == StreamState::Pending && self.shared.callouts.sent() == sent {
            self.wait_for_own_callout();
        }
        // The host forwards a request whose callback ends without a response or another callout.
        if self.stream.state() == StreamState::Allowed
            && let Err(error) = self.shared.host.get().resume_request()
        {
            self.stream.set(StreamState::Pending);
            self.reject(error);
        }
    }
}

impl HttpContext for FilterStream {
    fn on_http_request_headers(&mut self, num_headers: usize, end_of_stream: bool) -> Action {
        let host = self.shared.host.get();
        let head = match host.request_head(num_headers, end_of_stream) {
            Ok(head) => head,
            Err(error) => {
                self.reject(error);
                return self.action();
            }
        };
        let started_at = clock::since_epoch();
        let now = clock::to_unix_time(started_at);
        let mut outcome = self.shared.with_engine(|engine| engine.on_request(self.id, &head, now));
        let mut values = AttributeValues::default();
        for _ in 0..MAX_ATTRIBUTE_REQUESTS {
            let Some(RequestOutcome::NeedAttributes(attributes)) = &outcome else { break };
            host.read_attributes(attributes, &mut values);
            let values = values.clone();
            outcome = self.shared.with_engine(|engine| engine.on_request_with(self.id, &head, values, now));
        }
        match outcome {
            Some(RequestOutcome::Decision(decision)) => {
                self.stream.apply(&decision, host, &self.shared.metrics, ResponseBody::Kept);
                // The duration is zero if the clock was set back in the meantime.
                self.shared.metrics.time_decision(clock::since_epoch().saturating_sub(started_at));
            }
            Some(RequestOutcome::Pending) => {
                let stream = Rc::clone(&self.stream);
                self.shared.streams.insert(self.id, ParkedStream { stream, parked_at: now, decision: None });
                if host.resumes_from_root() {
                    self.shared.tick_soon();
                } else {
                    self.wait_for_own_callout();
                }
            }
            Some(RequestOutcome::LocalResponse(response)) => {
                self.stream.set(send_response(&response, SERVED_BY_FILTER, host))
            }
            Some(RequestOutcome::NeedAttributes(_)) => self.reject(HostError::AttributesRequestedAgain),
            None => self.reject(HostError::NoConfiguration),
        }
        self.action()
    }

    fn on_http_request_body(&mut self, _body_size: usize, _end_of_stream: bool) -> Action {
        self.action()
    }

    /// The host may have served a request that was not allowed. The backend has received it by then.
    fn on_http_response_headers(&mut self, _num_headers: usize, _end_of_stream: bool) -> Action {
        let host = self.shared.host.get();
        if self.stream.state() == StreamState::Allowed {
            let headers = self.stream.take_response_headers();
            if let Err(error) = host.add_response_headers(&headers) {
                // The client gets its nonce with a later response.
                log::warn!("{error}");
            }
            return Action::Continue;
        }
        if host.is_own_response() {
            return Action::Continue;
        }
        log::error!("{}", HostError::ServedThoughRejected);
        self.is_withheld = true;
        match host.withhold_response() {
            Ok(()) => Action::Continue,
            Err(error) => {
                log::error!("{error}; the response stays paused");
                Action::Pause
            }
        }
    }

    fn on_http_response_body(&mut self, body_size: usize, _end_of_stream: bool) -> Action {
        if self.is_withheld && self.shared.host.get().withhold_body(body_size).is_err() {
            return Action::Pause;
        }
        Action::Continue
    }

    fn on_http_request_trailers(&mut self, _num_trailers: usize) -> Action {
        // In every state: with `allow_on_headers_stop_iteration` Envoy calls this while the request is pending, and
        // does not call it again after the request is resumed.
        if let Err(error) = self.remove_managed_trailers() {
            self.reject(error);
        }
        self.action()
    }
}

impl FilterStream {
    /// Removes trailers that a backend, if it merges trailers into headers, would read as identity headers or
    /// credentials.
    fn remove_managed_trailers(&self) -> Result<(), HostError> {
        for name in headers::request_trailer_names()? {
            let is_managed = self.shared.with_engine(|engine| engine.is_managed_trailer(&name)).unwrap_or(true);
            if is_managed {
                headers::remove_request_trailer(&name)?;
            }
        }
        Ok(())
    }

    /// Begins the callout that this request is pending on. Where another request makes it already, this one is denied: nothing
    /// could resume it.
    fn wait_for_own_callout(&self) {
        let sent = self.shared.callouts.sent();
        self.shared.handle(Event::Tick);
        self.shared.carry_out_for(self.id);
        if let Some(callout) = self.shared.take_deferred_for(self.id) {
            self.shared.send(&callout);
            self.shared.carry_out_for(self.id);
        }
        self.apply_own_decision();
        if self.stream.state() == StreamState::Pending && self.shared.callouts.sent() == sent {
            self.shared.handle(Event::GiveUp(self.id));
            self.shared.carry_out_for(self.id);
            self.apply_own_decision();
            if self.stream.state() == StreamState::Pending {
                self.reject(HostError::NoOwnCallout);
            }
        }
    }

    fn apply_own_decision(&self) {
        if let Some((decision, parked_at)) = self.shared.streams.take_decided(self.id) {
            let host = self.shared.host.get();
            let body = if self.callout_failed.get() { host.body_after_failed_callout() } else { ResponseBody::Kept };
            self.stream.apply(&decision, host, &self.shared.metrics, body);
            self.shared.metrics.time_parked(clock::now().since(parked_at));
        }
    }

    /// Rejects the request unless it is rejected already. The request may be pending or allowed.
    fn reject(&self, error: HostError) {
        if self.shared.streams.take(self.id).is_some() {
            self.shared.with_engine(|engine| engine.on_stream_closed(self.id));
        }
        if self.stream.state() != StreamState::Rejected {
            self.stream.set(reject(error, self.shared.host.get()));
        }
    }
}
