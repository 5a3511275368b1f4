//! The fetches under way: begun by the root (the SDK drops the answer to a request's own callout once
//! that request is gone), and what their answers mean.

use std::cell::RefCell;
use std::collections::HashMap;

use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType, Status};

use crate::engine::{Fetch, FetchFault, FetchId, FetchOutcome, MAX_ANSWER_BYTES};

/// Which callout serves which fetch.
#[derive(Debug, Default)]
pub(super) struct Callouts(RefCell<HashMap<u32, FetchId>>);

impl Callouts {
    /// Begins a fetch; with an outcome, it ended at once.
    pub(super) fn begin(&self, fetch: &Fetch) -> Option<FetchOutcome> {
        let address = &fetch.keys.address;
        let headers = vec![
            (":method", "GET"),
            (":scheme", address.scheme.as_str()),
            (":authority", address.authority.as_str()),
            (":path", address.path.as_str()),
            ("accept", "application/json"),
        ];
        match hostcalls::dispatch_http_call(&address.upstream, headers, None, Vec::new(), fetch.keys.timeout) {
            Ok(token) => {
                self.0.borrow_mut().insert(token, fetch.id);
                None
            }
            Err(Status::BadArgument) => Some(FetchOutcome::Failed(FetchFault::UpstreamUnknown)),
            Err(_) => Some(FetchOutcome::Failed(FetchFault::UpstreamUnavailable)),
        }
    }

    /// Forgets all that are under way: fetches of a configuration that was replaced. The next one numbers its
    /// providers and fetches anew, so an old answer would bring the keys of another issuer.
    pub(super) fn forget(&self) {
        self.0.borrow_mut().clear();
    }

    /// The fetch that a callout served; once.
    pub(super) fn take(&self, token: u32) -> Option<FetchId> {
        self.0.borrow_mut().remove(&token)
    }
}

/// Reads the answer in hand. Without headers there is none: then the host's maps and buffers are absent
/// and must not be asked for.
pub(super) fn read_answer(header_count: usize, body_size: usize) -> FetchOutcome {
    if header_count == 0 {
        return FetchOutcome::Failed(FetchFault::Incomplete);
    }
    if body_size > MAX_ANSWER_BYTES {
        return FetchOutcome::Failed(FetchFault::TooLarge);
    }
    let status = header(":status").and_then(|status| status.parse().ok()).unwrap_or(0);
    let body = match body_size {
        0 => Vec::new(),
        _ => hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, body_size).ok().flatten().unwrap_or_default(),
    };
    // What the host answers in the upstream's place lacks the header that it adds to real answers.
    let is_synthetic = header("x-envoy-upstream-service-time").is_none();
    match status {
        504 if is_synthetic => FetchOutcome::Failed(FetchFault::TimedOut),
        503 if is_synthetic && says_closed(&body) => FetchOutcome::Failed(FetchFault::ConnectionClosed),
        503 if is_synthetic => FetchOutcome::Failed(FetchFault::ConnectionFailed),
        _ => FetchOutcome::Response { status, cache_control: header("cache-control"), body },
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
