//! What a host does for the engine: the one list. Each kind of host implements it (`envoy`, `plain_host`), and `host_kind`
//! chooses one. The operations that all Proxy-Wasm hosts do alike are provided; those that some hosts lack are required.

use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::types::Status;

use crate::callout::{CalloutResult, ResponseFormat, TransportError};
use crate::config::Loaded;
use crate::engine::{Attribute, AttributeValues, Callout, FilterStateValues};
use crate::host::host_error::HostError;
use crate::host::{attributes, callouts, headers};
use crate::http::{HeadEdits, HeaderName, HeaderValue, LocalResponse, RequestHead};

/// A function of the host that takes and returns bytes; `None`: it failed.
pub(super) type HostFunction = fn(&[u8]) -> Option<Vec<u8>>;

/// Whether a local response has its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResponseBody {
    Kept,
    Dropped,
}

/// A kind of host.
pub(super) trait Host {
    /// Whether workers share data, and wake each other by queues.
    fn shares_data(&self) -> bool;

    /// Whether the host counts metrics.
    fn has_metrics(&self) -> bool;

    /// The host's function that verifies a signature.
    fn verify_signature(&self) -> Option<HostFunction>;

    /// The host's function that signs with an RSA key.
    fn sign(&self) -> Option<HostFunction>;

    /// Declares the names that [`Host::set_filter_state`] writes.
    ///
    /// # Errors
    /// If the host has no filter state, or does not declare it.
    fn declare_filter_state(&self, names: &[&str]) -> Result<(), Status>;

    /// Writes the filter state of the current request.
    fn set_filter_state(&self, values: &FilterStateValues) -> Result<(), HostError>;

    /// Makes the host select the route of the current request again.
    fn clear_route_cache(&self) -> Result<(), HostError>;

    /// Whether the root can resume a parked request. Otherwise a request waits for a callout of its own, and is decided in
    /// the callback of that callout. Envoy can do both; there, of 2,000 requests at once with one uncached opaque token, the
    /// root allows all and own callouts allow one.
    fn resumes_from_root(&self) -> bool;

    /// Whether the response in hand to a request that was not allowed is the filter's own. Only some hosts may serve a
    /// rejected request.
    fn is_own_response(&self) -> bool {
        true
    }

    /// Adds fields to the response in hand. A host that cannot leaves them out.
    fn add_response_headers(&self, _headers: &[(HeaderName, HeaderValue)]) -> Result<(), HostError> {
        Ok(())
    }

    /// Makes the head of the response in hand a 500 without anything of the response.
    fn withhold_response(&self) -> Result<(), HostError> {
        Err(HostError::NotSupported("change of responses"))
    }

    /// Removes the part of the body in hand, of this size.
    fn withhold_body(&self, _size: usize) -> Result<(), HostError> {
        Err(HostError::NotSupported("change of responses"))
    }

    /// Whether a rejected configuration ends the worker, with the port still open. Then the filter accepts it and rejects
    /// every request.
    fn dies_of_rejected_configuration(&self) -> bool;

    /// What a local response has in the callback of a callout that got no response.
    fn body_after_failed_callout(&self) -> ResponseBody {
        ResponseBody::Kept
    }

    /// Why a configuration cannot work on this host; one message for each reason.
    fn unsupported(&self, loaded: &Loaded) -> Vec<&'static str>;

    /// What of a configuration works on this host otherwise than it says; one warning for each.
    fn limitations(&self, _loaded: &Loaded) -> Vec<String> {
        Vec::new()
    }

    /// Prepares the ticks of a configured root.
    fn begin_ticks(&self);

    /// The head of the current request, with this number of fields. `end_of_stream` is true if no body and no trailers
    /// follow.
    fn request_head(&self, _fields: usize, end_of_stream: bool) -> Result<RequestHead, HostError> {
        headers::request_head(end_of_stream)
    }

    /// Adds the attributes of the current request.
    fn read_attributes(&self, attributes: &[Attribute], values: &mut AttributeValues) {
        attributes::read_attributes(attributes, values);
    }

    /// Edits the head of the current request.
    fn edit_request(&self, edits: &HeadEdits) -> Result<(), HostError> {
        headers::edit_request(edits)
    }

    /// Ends the current request with a response. The reason is for the access log, never for the client.
    fn send_response(&self, response: &LocalResponse, reason: &str) {
        headers::send_response(response, &format!("okta_proxy_wasm{{{reason}}}"));
    }

    /// Forwards the current request, which was paused.
    fn resume_request(&self) -> Result<(), HostError> {
        hostcalls::resume_http_request().map_err(HostError::of("resuming a request"))
    }

    /// Sends the request of a callout; gives the host's number of it.
    fn dispatch(&self, callout: &Callout) -> Result<u32, TransportError> {
        callouts::dispatch(callout)
    }

    /// Reads the response to a callout, in its callback.
    fn read_response(&self, fields: usize, body_size: usize, format: &ResponseFormat) -> CalloutResult;

    /// Calls the root after `period`, and again after each further one; whether the host does.
    fn set_tick_period(&self, period: Duration) -> bool {
        hostcalls::set_tick_period(period).is_ok()
    }
}
