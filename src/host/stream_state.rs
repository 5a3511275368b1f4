//! The state of each stream, for its body and trailer callbacks.
//!
//! With `allow_on_headers_stop_iteration` a host calls the body callback of a request that is paused at its headers. A
//! `Continue` there forwards the undecided request. So every callback of a stream pauses until the stream is allowed.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use crate::engine::StreamId;
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
}

impl ParkedStreams {
    pub(super) fn insert(&self, stream: StreamId, parked: ParkedStream) {
        self.0.borrow_mut().insert(stream, parked);
    }

    /// Removes a stream that is decided or closed.
    pub(super) fn take(&self, stream: StreamId) -> Option<ParkedStream> {
        self.0.borrow_mut().remove(&stream)
    }
}
