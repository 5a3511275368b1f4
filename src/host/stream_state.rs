//! Whether each stream may pass: what its body and trailer callbacks ask.
//!
//! With `allow_on_headers_stop_iteration` a host runs the body callback of a request that is paused at
//! its headers, and a `Continue` there sends the request on undecided. So a stream that is not admitted
//! pauses in every callback.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use crate::engine::StreamId;
use crate::unix_time::UnixTime;

/// Whether a stream may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamState {
    /// Nothing is decided: every callback pauses.
    Pending,
    /// An allowing decision was made.
    Allowed,
    /// It was answered: every callback pauses until the host ends it.
    Rejected,
}

/// The parked streams' passages, shared between their own contexts and the root that opens them.
#[derive(Debug, Default)]
pub(super) struct ParkedStreams(RefCell<HashMap<StreamId, ParkedStream>>);

/// A stream that waits.
#[derive(Clone, Debug)]
pub(super) struct ParkedStream {
    /// Whether it may pass.
    pub(super) state: Rc<Cell<StreamState>>,
    /// When it came.
    pub(super) parked_at: UnixTime,
}

impl ParkedStreams {
    /// Remembers a stream that waits.
    pub(super) fn insert(&self, stream: StreamId, waiting: ParkedStream) {
        self.0.borrow_mut().insert(stream, waiting);
    }

    /// Forgets a stream: it is decided, or gone.
    pub(super) fn take(&self, stream: StreamId) -> Option<ParkedStream> {
        self.0.borrow_mut().remove(&stream)
    }
}
