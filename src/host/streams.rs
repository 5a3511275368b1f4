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
pub(super) enum Passage {
    /// Nothing is decided: every callback pauses.
    Undecided,
    /// An allowing decision was made.
    Admitted,
    /// It was answered: every callback pauses until the host ends it.
    Refused,
}

/// The parked streams' passages, shared between their own contexts and the root that opens them.
#[derive(Debug, Default)]
pub(super) struct ParkedStreams(RefCell<HashMap<StreamId, Waiting>>);

/// A stream that waits.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    /// Whether it may pass.
    pub(super) passage: Rc<Cell<Passage>>,
    /// When it came.
    pub(super) since: UnixTime,
}

impl ParkedStreams {
    /// Remembers a stream that waits.
    pub(super) fn insert(&self, stream: StreamId, waiting: Waiting) {
        self.0.borrow_mut().insert(stream, waiting);
    }

    /// Forgets a stream: it is decided, or gone.
    pub(super) fn take(&self, stream: StreamId) -> Option<Waiting> {
        self.0.borrow_mut().remove(&stream)
    }
}
