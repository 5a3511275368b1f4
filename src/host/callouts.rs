//! The callouts under way, and their responses. The root begins them: the SDK drops the response to a request's own callout
//! once that request is gone.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType, Status};

use crate::callout::{CalloutResult, HttpResponse, ResponseFormat, TransportError};
use crate::engine::{CallId, CalloutAddress, FetchId, PollNumber};
use crate::host::shared_calls::HeldLease;

/// What a callout is made for.
#[derive(Debug)]
pub(super) enum CalloutPurpose {
    /// A provider's keys.
    Keys(FetchId),
    /// Introspection of a token, or the metadata with its endpoint; with our lease, where workers share responses.
    Introspection(CallId, Option<HeldLease>),
    /// The list of revoked tokens.
    Revocations(PollNumber),
}

/// A request to send. Never shown: tokens and secrets are in it.
#[derive(Clone, Copy)]
pub(super) struct CalloutRequest<'a> {
    pub(super) address: &'a CalloutAddress,
    pub(super) timeout: Duration,
    pub(super) method: &'static str,
    /// Beside those that every request has.
    pub(super) headers: &'a [(&'static str, &'a str)],
    pub(super) body: Option<&'a [u8]>,
}

/// The callouts under way.
#[derive(Debug, Default)]
pub(super) struct Callouts(RefCell<HashMap<u32, CalloutPurpose>>);

impl Callouts {
    /// Sends a request.
    pub(super) fn send(
        &self,
        request: CalloutRequest<'_>,
        purpose: impl FnOnce() -> CalloutPurpose,
    ) -> Result<(), TransportError> {
        let CalloutRequest { address, timeout, method, headers, body } = request;
        let mut fields = vec![
            (":method", method),
            (":scheme", address.scheme.as_str()),
            (":authority", address.authority.as_str()),
            (":path", address.path.as_str()),
            ("accept", "application/json"),
        ];
        fields.extend(address.headers.fields());
        fields.extend(headers);
        match hostcalls::dispatch_http_call(&address.upstream, fields, body, Vec::new(), timeout) {
            Ok(token) => {
                self.0.borrow_mut().insert(token, purpose());
                Ok(())
            }
            Err(Status::BadArgument) => Err(TransportError::UpstreamUnknown),
            Err(_) => Err(TransportError::UpstreamUnavailable),
        }
    }

    /// Drops all that are under way: those of a configuration that was replaced or removed. The next one numbers its
    /// providers, fetches and calls from the start, so an old response would bring the keys of another issuer. Leases are
    /// given back, so that other workers may call.
    pub(super) fn forget(&self) {
        for purpose in self.0.take().into_values() {
            if let CalloutPurpose::Introspection(_, Some(lease)) = purpose {
                lease.give_back();
            }
        }
    }

    /// The purpose of a callout that has ended; once.
    pub(super) fn take(&self, token: u32) -> Option<CalloutPurpose> {
        self.0.borrow_mut().remove(&token)
    }
}

/// Reads the response in hand, as far as `format` says. Without headers there is none: then the host's maps and buffers
/// are absent and must not be read.
pub(super) fn read_response(header_count: usize, body_size: usize, format: &ResponseFormat) -> CalloutResult {
    if header_count == 0 {
        return Err(TransportError::Incomplete);
    }
    let status = header(":status").and_then(|status| status.parse().ok()).unwrap_or(0);
    let body = match body_size.min(format.max_bytes.saturating_add(1)) {
        0 => Vec::new(),
        size => hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, size).ok().flatten().unwrap_or_default(),
    };
    // A response that the host makes in place of the upstream lacks the header that it adds to real ones.
    let is_synthetic = header("x-envoy-upstream-service-time").is_none();
    match status {
        504 if is_synthetic => Err(TransportError::TimedOut),
        503 if is_synthetic && says_closed(&body) => Err(TransportError::ConnectionClosed),
        503 if is_synthetic => Err(TransportError::ConnectionFailed),
        _ => {
            let response = HttpResponse::new(status, body);
            Ok(format.headers.iter().fold(response, |response, name| response.with_header(name, header(name))))
        }
    }
}

fn header(name: &str) -> Option<String> {
    let value = hostcalls::get_map_value_bytes(MapType::HttpCallResponseHeaders, name).ok().flatten()?;
    String::from_utf8(value).ok()
}

/// Envoy's text for a connection that came about and was closed; for one that did not, whether TLS or the
/// address was the trouble, it has another and always the same.
fn says_closed(body: &[u8]) -> bool {
    String::from_utf8_lossy(body).contains("connection termination")
}
