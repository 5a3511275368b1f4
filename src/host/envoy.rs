//! Envoy, with what only it has: shared data, metrics, cryptography, and filter state. These calls trap on other hosts or
//! have another meaning there (`proxy_set_property` sets variables in nginx).
//!
//! Each name of the filter state is declared at start with these properties:
//!
//! * type string: otherwise CEL conditions on it never match;
//! * life span of one request: otherwise the next request on the connection inherits the identity;
//! * read-only: no other module can change the decision.

use proxy_wasm::hostcalls;
use proxy_wasm::types::Status;

use crate::callout::{CalloutResult, ResponseFormat, TransportError};
use crate::config::Loaded;
use crate::engine::FilterStateValues;
use crate::host::host_error::HostError;
use crate::host::host_interface::{Host, HostFunction};
use crate::host::{callouts, headers};
use crate::http::{HeaderName, HeaderValue};

pub(super) struct Envoy;

impl Host for Envoy {
    fn shares_data(&self) -> bool {
        true
    }

    fn has_metrics(&self) -> bool {
        true
    }

    fn verify_signature(&self) -> Option<HostFunction> {
        Some(|arguments| hostcalls::call_foreign_function("verify_signature", Some(arguments)).ok().flatten())
    }

    fn resumes_from_root(&self) -> bool {
        true
    }

    fn dies_of_rejected_configuration(&self) -> bool {
        false
    }

    fn unsupported(&self, _: &Loaded) -> Vec<&'static str> {
        Vec::new()
    }

    /// The first request or the engine asks for one.
    fn begin_ticks(&self) {}

    fn read_response(&self, fields: usize, body_size: usize, format: &ResponseFormat) -> CalloutResult {
        callouts::read_response(fields, body_size, format, |response| {
            // A response that Envoy makes in place of the upstream lacks the header that it adds to real ones.
            let is_synthetic = callouts::header("x-envoy-upstream-service-time").is_none();
            match response.status {
                504 if is_synthetic => Some(TransportError::TimedOut),
                503 if is_synthetic && says_closed(&response.body) => Some(TransportError::ConnectionClosed),
                503 if is_synthetic => Some(TransportError::ConnectionFailed),
                _ => None,
            }
        })
    }

    /// Envoy before 1.37 returns an error, because it lacks the function.
    fn sign(&self) -> Option<HostFunction> {
        Some(|arguments| hostcalls::call_foreign_function("sign", Some(arguments)).ok().flatten())
    }

    fn declare_filter_state(&self, names: &[&str]) -> Result<(), Status> {
        for name in names {
            match hostcalls::call_foreign_function("declare_property", Some(&declaration(name))) {
                // A root that is configured again has declared it before.
                Ok(_) | Err(Status::BadArgument) => {}
                Err(status) => return Err(status),
            }
        }
        Ok(())
    }

    /// Once for each request.
    fn set_filter_state(&self, values: &FilterStateValues) -> Result<(), HostError> {
        for (at, entry) in values.iter().enumerate() {
            // `set_property` panics if the name was written before. So the first name, which is always written, is read
            // first.
            if at == 0 {
                let written = hostcalls::get_property(vec![&*entry.name]);
                if written.map_err(HostError::of("reading the filter state"))?.is_some() {
                    return Err(HostError::FilterStateAlreadySet);
                }
            }
            let value = entry.value.as_str().as_bytes();
            let set = hostcalls::set_property(vec![&*entry.name], Some(value));
            set.map_err(HostError::of("writing the filter state"))?;
        }
        Ok(())
    }

    fn add_response_headers(&self, fields: &[(HeaderName, HeaderValue)]) -> Result<(), HostError> {
        headers::add_response_headers(fields)
    }

    fn clear_route_cache(&self) -> Result<(), HostError> {
        let cleared = hostcalls::call_foreign_function("clear_route_cache", None);
        cleared.map(|_| ()).map_err(HostError::of("clear_route_cache"))
    }
}

/// Envoy's `DeclarePropertyArguments`: 1 name, 2 readonly, 3 type (1: string), 5 span (omitted, as 0 is the filter
/// chain of this request). Names are shorter than 128 bytes.
fn declaration(name: &str) -> Vec<u8> {
    let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
    [&[0x0a, length], name.as_bytes(), &[0x10, 1, 0x18, 1]].concat()
}

/// Envoy's text for a connection that came about and was closed; for one that did not, whether TLS or the
/// address was the cause, it has another and always the same.
fn says_closed(body: &[u8]) -> bool {
    String::from_utf8_lossy(body).contains("connection termination")
}
