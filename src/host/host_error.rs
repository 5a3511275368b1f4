//! Host calls that fail while a request is decided. Each failure rejects the request
//! ([`super::apply_decision::reject`]).
//!
//! The SDK (`proxy-wasm` 0.2.5) returns an error for few statuses and panics for all others. Then the module traps, and
//! the host fails the request closed. These calls return errors:
//!
//! * `get_property`: `SerializationFailure` and `InternalFailure` (`NotFound` is an absent property).
//! * `call_foreign_function`: `NotFound`, `BadArgument`, `SerializationFailure` and `InternalFailure`.
//!
//! All other calls, such as header edits, return a `Result` too. If a later SDK returns an error, the request is
//! rejected. `tests/embedded-host/tests/scenes/faults.rs` lists the result of every status of every host function.

use std::fmt;

use proxy_wasm::types::Status;

/// Why the host cannot apply a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HostError {
    Call(&'static str, Status),
    /// Another plugin wrote the filter state first. Usually this filter occurs twice in one chain.
    FilterStateAlreadySet,
    /// The host sends requests to a rejected configuration.
    NoConfiguration,
    /// The host has no such operation.
    NotSupported(&'static str),
    /// The head has more fields than the host shows.
    TooManyFields,
    /// The target of the request is not known, or the backend may read another one.
    TargetAmbiguous,
    /// A field that the filter changes comes twice, and the host changes one copy.
    FieldRepeated,
    /// The host served a request that was rejected.
    ServedThoughRejected,
    /// A request is pending, and no callout of its own can resume it.
    NoOwnCallout,
    /// The engine requests attributes again after it was given all that it may request.
    AttributesRequestedAgain,
}

impl HostError {
    /// The status of the response to the client.
    pub(super) const fn status(self) -> u16 {
        match self {
            Self::TooManyFields => 431,
            Self::ServedThoughRejected => 500,
            Self::TargetAmbiguous | Self::FieldRepeated => 400,
            Self::Call(..)
            | Self::FilterStateAlreadySet
            | Self::NoConfiguration
            | Self::NotSupported(_)
            | Self::NoOwnCallout
            | Self::AttributesRequestedAgain => 503,
        }
    }

    /// Maps the status of a failed operation to an error.
    pub(super) const fn of(operation: &'static str) -> impl Fn(Status) -> Self {
        move |status| Self::Call(operation, status)
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(operation, status) => write!(formatter, "{operation} failed ({status:?})"),
            Self::FilterStateAlreadySet => formatter.write_str(
                "another plugin has written a decision to the filter state of this request: set `filter_state` in one plugin of the chain only",
            ),
            Self::TooManyFields => formatter.write_str("the request has more header fields than this host shows"),
            Self::TargetAmbiguous => formatter.write_str("the path of the request has dot segments, or its host is not that of the field `Host`"),
            Self::FieldRepeated => formatter.write_str("a header field that the filter changes occurs twice in the request"),
            Self::ServedThoughRejected => {
                formatter.write_str("the host served a request that was rejected: look for `rewrite` without `break` in its location")
            }
            Self::NoOwnCallout => formatter.write_str("the request is pending without a callout of its own"),
            Self::NotSupported(operation) => write!(formatter, "this host has no {operation}"),
            Self::NoConfiguration => formatter.write_str("no configuration was accepted"),
            Self::AttributesRequestedAgain => formatter.write_str("the engine requested the attributes of a request too often"),
        }
    }
}
