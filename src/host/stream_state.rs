//! The state of each stream, for its body and trailer callbacks.
//!
//! With `allow_on_headers_stop_iteration` a host calls the body callback of a request that is paused at its headers. A
//! `Continue` there forwards the undecided request. So every callback of a stream pauses until the stream is allowed.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamState {
    /// Not decided yet: every callback pauses.
    Pending,
    Allowed,
    /// A local response was sent: every callback pauses until the host ends the stream.
    Rejected,
}
