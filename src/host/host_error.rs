//! Host calls that fail while a request is decided. Each rejects the request ([`super::carry_out::reject`]).
//!
//! The SDK (`proxy-wasm` 0.2.5) returns an error for few statuses and panics at all others; then the module traps, and the
//! host fails the request closed. Of the calls here it returns an error for these:
//!
//! * `get_property`: `SerializationFailure` and `InternalFailure` (`NotFound` is an absent property).
//! * `call_foreign_function`: `NotFound`, `BadArgument`, `SerializationFailure` and `InternalFailure`.
//!
//! All others, such as header edits, return a `Result` too, and are rejected alike should a later SDK return an error.
//! `tests/embedded-host/tests/scenes/faults.rs` has the result of every status of every host function.

use std::fmt;

use proxy_wasm::types::Status;

/// Why the host cannot do what a decision needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HostError {
    /// A host call failed.
    Call(&'static str, Status),
    /// Another plugin wrote to the filter state first, most likely this filter a second time in one chain.
    FilterStateTaken,
    /// The host sends requests to a configuration that was refused.
    NoConfiguration,
    /// The engine asked for attributes of the request after it was given all that it may ask for.
    AttributesRequestedAgain,
}

impl HostError {
    /// What makes an error of a status that an operation returned.
    pub(super) const fn of(operation: &'static str) -> impl Fn(Status) -> Self {
        move |status| Self::Call(operation, status)
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(operation, status) => write!(formatter, "{operation} failed ({status:?})"),
            Self::FilterStateTaken => formatter.write_str(
                "another plugin has written a decision to the filter state of this request: set `filter_state` in one plugin of the chain only",
            ),
            Self::NoConfiguration => formatter.write_str("no configuration was accepted"),
            Self::AttributesRequestedAgain => formatter.write_str("attributes of a request were requested again and again"),
        }
    }
}
