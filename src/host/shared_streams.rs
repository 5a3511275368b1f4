//! The streams that their contexts share with the root, which resumes those that are parked.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use crate::engine::{Decision, StreamId};
use crate::host::apply_decision::apply_decision;
use crate::host::host_interface::{Host, ResponseBody};
use crate::host::metrics::Metrics;
use crate::host::stream_state::StreamState;
use crate::http::{HeaderName, HeaderValue};
use crate::unix_time::UnixTime;

/// A stream, as its context and the root that resumes it share it.
#[derive(Debug)]
pub(super) struct SharedStream {
    state: Cell<StreamState>,
    /// Fields for the response of the backend.
    response_headers: RefCell<Vec<(HeaderName, HeaderValue)>>,
}

impl SharedStream {
    pub(super) const fn new() -> Self {
        Self { state: Cell::new(StreamState::Pending), response_headers: RefCell::new(Vec::new()) }
    }

    pub(super) const fn state(&self) -> StreamState {
        self.state.get()
    }

    pub(super) fn set(&self, state: StreamState) {
        self.state.set(state);
    }

    /// Applies a decision to the stream of the effective context.
    pub(super) fn apply(&self, decision: &Decision, host: &dyn Host, metrics: &Metrics, body: ResponseBody) {
        self.state.set(apply_decision(decision, host, metrics, body));
        if !decision.response_headers.is_empty() {
            self.response_headers.replace(decision.response_headers.clone());
        }
    }

    pub(super) fn take_response_headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        self.response_headers.take()
    }
}

/// The parked streams, shared between their contexts and the root that resumes them.
#[derive(Debug, Default)]
pub(super) struct ParkedStreams(RefCell<HashMap<StreamId, ParkedStream>>);

#[derive(Clone, Debug)]
pub(super) struct ParkedStream {
    /// Shared with the stream's context.
    pub(super) stream: Rc<SharedStream>,
    pub(super) parked_at: UnixTime,
    /// A decision that is applied in the stream's own callback.
    pub(super) decision: Option<Rc<Decision>>,
}

impl ParkedStreams {
    pub(super) fn insert(&self, stream: StreamId, parked: ParkedStream) {
        self.0.borrow_mut().insert(stream, parked);
    }

    /// Keeps the decision on a stream for its own callback.
    pub(super) fn keep(&self, stream: StreamId, decision: Box<Decision>) {
        if let Some(parked) = self.0.borrow_mut().get_mut(&stream) {
            parked.decision = Some(Rc::from(decision));
        }
    }

    /// Removes a stream that has a decision.
    pub(super) fn take_decided(&self, stream: StreamId) -> Option<(Rc<Decision>, UnixTime)> {
        let mut streams = self.0.borrow_mut();
        let decision = streams.get(&stream)?.decision.clone()?;
        Some((decision, streams.remove(&stream)?.parked_at))
    }

    /// Removes a stream that is decided or closed.
    pub(super) fn take(&self, stream: StreamId) -> Option<ParkedStream> {
        self.0.borrow_mut().remove(&stream)
    }
}
