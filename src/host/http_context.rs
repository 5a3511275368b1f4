//! One request's callbacks: to the engine, and what it says done.

use std::cell::Cell;
use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::engine::{AttributeValues, RequestOutcome, StreamId};
use crate::host::apply_decision::{apply_decision, reject, send_response};
use crate::host::attributes::read_attributes;
use crate::host::host_error::HostError;
use crate::host::root_state::RootState;
use crate::host::stream_state::{ParkedStream, StreamState};
use crate::host::{clock, headers};

/// How often the engine may ask for attributes of one request.
const MAX_ASKED: usize = 2;

/// The filter's side of one HTTP stream.
pub(super) struct FilterStream {
    id: StreamId,
    shared: Rc<RootState>,
    state: Rc<Cell<StreamState>>,
}

impl FilterStream {
    pub(super) fn new(context_id: u32, shared: Rc<RootState>) -> Self {
        Self { id: StreamId(context_id), shared, state: Rc::new(Cell::new(StreamState::Pending)) }
    }

    /// What every callback answers: on only when admitted.
    fn action(&self) -> Action {
        match self.state.get() {
            StreamState::Allowed => Action::Continue,
            StreamState::Pending | StreamState::Rejected => Action::Pause,
        }
    }
}

/// The stream ended. The SDK drops its context in `proxy_on_delete`, the last callback of every stream on every
/// host, so none before it is needed: `proxy_on_done` and `proxy_on_log` are not exported (`link/exports.txt`).
/// No host call from here: the host holds no request any more, and the SDK a borrow of its contexts.
impl Drop for FilterStream {
    fn drop(&mut self) {
        if self.shared.streams.take(self.id).is_some() {
            self.shared.with_engine(|engine| engine.on_stream_closed(self.id));
        }
    }
}

impl Context for FilterStream {}

impl HttpContext for FilterStream {
    fn on_http_request_headers(&mut self, _num_headers: usize, end_of_stream: bool) -> Action {
        let head = match headers::request_head(end_of_stream) {
            Ok(head) => head,
            Err(error) => {
                self.reject(error);
                return self.action();
            }
        };
        let began = clock::since_epoch();
        let now = clock::at(began);
        let mut arrival = self.shared.with_engine(|engine| engine.on_request(self.id, &head, now));
        let mut values = AttributeValues::default();
        for _ in 0..MAX_ASKED {
            let Some(RequestOutcome::NeedAttributes(attributes)) = &arrival else { break };
            read_attributes(attributes, &mut values);
            let values = values.clone();
            arrival = self.shared.with_engine(|engine| engine.on_request_with(self.id, &head, values, now));
        }
        match arrival {
            Some(RequestOutcome::Decision(decision)) => {
                self.state.set(apply_decision(&decision, &self.shared.metrics));
                // With a clock that was set back meanwhile it took no time.
                self.shared.metrics.time_decision(clock::since_epoch().saturating_sub(began));
            }
            Some(RequestOutcome::Pending) => {
                self.shared.streams.insert(self.id, ParkedStream { state: Rc::clone(&self.state), parked_at: now });
                self.shared.tick_soon();
            }
            Some(RequestOutcome::LocalResponse(reply)) => self.state.set(send_response(&reply)),
            Some(RequestOutcome::NeedAttributes(_)) => self.reject(HostError::AttributesRequestedAgain),
            None => self.reject(HostError::NoConfiguration),
        }
        self.action()
    }

    fn on_http_request_body(&mut self, _body_size: usize, _end_of_stream: bool) -> Action {
        self.action()
    }

    fn on_http_request_trailers(&mut self, _num_trailers: usize) -> Action {
        // In every state: with `allow_on_headers_stop_iteration` Envoy calls this while the request is pending, and not
        // again after it is resumed.
        if let Err(error) = self.remove_managed_trailers() {
            self.reject(error);
        }
        self.action()
    }
}

impl FilterStream {
    /// Removes the trailers that a backend which merges trailers into headers would take for ours or for a credential.
    fn remove_managed_trailers(&self) -> Result<(), HostError> {
        for name in headers::request_trailer_names()? {
            let managed = self.shared.with_engine(|engine| engine.is_managed_trailer(&name)).unwrap_or(true);
            if managed {
                headers::remove_request_trailer(&name)?;
            }
        }
        Ok(())
    }

    /// Rejects the request, also when it is pending or admitted, unless it was rejected before.
    fn reject(&self, error: HostError) {
        if self.shared.streams.take(self.id).is_some() {
            self.shared.with_engine(|engine| engine.on_stream_closed(self.id));
        }
        if self.state.get() != StreamState::Rejected {
            self.state.set(reject(error));
        }
    }
}
