//! The state of each stream, for its body and trailer callbacks.
//!
//! With `allow_on_headers_stop_iteration` a host calls the body callback of a request that is paused at its headers. A
//! `Continue` there forwards the undecided request. So every callback of a stream pauses until the stream is allowed.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use crate::engine::{Decision, StreamId};
use crate::unix_time::UnixTime;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamState {
    /// Not decided yet: every callback pauses.
    Pending,
    Allowed,
    /// A local response was sent: every callback pauses until the host ends the stream.
    Rejected,
}

/// The parked streams, shared between their contexts and the root that resumes them.
#[derive(Debug, Default)]
pub(super) struct ParkedStreams(RefCell<HashMap<StreamId, ParkedStream>>);

#[derive(Clone, Debug)]
pub(super) struct ParkedStream {
    /// The state shared with the stream's context.
    pub(super) state: Rc<Cell<StreamState>>,
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
