//! The callouts under way, and their responses. The root begins them: the SDK drops the response to a request's own callout
//! once that request is gone.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType, Status};

use crate::callout::{CalloutResult, HttpResponse, ResponseFormat, TransportError};
use crate::engine::{Callout, CalloutId, HttpRequest, Message};

/// A callout under way, and what is read of its response.
type UnderWay = (CalloutId, &'static ResponseFormat);

/// The callouts under way, by the host's numbers.
#[derive(Debug, Default)]
pub(super) struct Callouts {
    under_way: RefCell<HashMap<u32, UnderWay>>,
    sent: Cell<u64>,
}

impl Callouts {
    pub(super) fn insert(&self, number: u32, callout: &Callout) {
        self.sent.set(self.sent.get().wrapping_add(1));
        self.under_way.borrow_mut().insert(number, (callout.id, callout.format));
    }

    /// How many were sent.
    pub(super) fn sent(&self) -> u64 {
        self.sent.get()
    }

    /// Drops all that are under way: those of a configuration that was replaced or removed. The next one numbers its
    /// providers, fetches and calls from the start, so an old response would bring the keys of another issuer.
    pub(super) fn forget(&self) {
        self.under_way.take();
    }

    /// A callout that has ended; once.
    pub(super) fn take(&self, number: u32) -> Option<UnderWay> {
        self.under_way.borrow_mut().remove(&number)
    }
}

/// Sends the request of a callout; gives the host's number of it.
pub(super) fn dispatch(callout: &Callout) -> Result<u32, TransportError> {
    let HttpRequest { address, message } = &callout.request;
    let (method, body) = match message {
        Message::Get { .. } => ("GET", None),
        Message::PostForm { body, .. } => ("POST", Some(body.reveal().as_bytes())),
    };
    let mut fields = vec![
        (":method", method),
        (":scheme", address.scheme.as_str()),
        (":authority", address.authority.as_str()),
        (":path", address.path.as_str()),
        ("accept", "application/json"),
    ];
    fields.extend(address.headers.fields());
    match message {
        Message::Get { if_none_match } => {
            fields.extend(if_none_match.as_ref().map(|etag| ("if-none-match", etag.as_str())));
        }
        Message::PostForm { authorization, .. } => {
            fields.push(("content-type", "application/x-www-form-urlencoded"));
            fields.extend(authorization.as_ref().map(|value| ("authorization", value.reveal().as_str())));
        }
    }
    match hostcalls::dispatch_http_call(&address.upstream, fields, body, Vec::new(), callout.timeout) {
        Ok(number) => Ok(number),
        Err(Status::BadArgument) => Err(TransportError::UpstreamUnknown),
        Err(_) => Err(TransportError::UpstreamUnavailable),
    }
}

/// Reads the response in hand, as far as `format` says. Without headers there is none: then the host's maps and buffers
/// are absent and must not be read. `failure` recognizes by status and body a response that the host made itself.
pub(super) fn read_response(
    header_count: usize,
    body_size: usize,
    format: &ResponseFormat,
    failure: impl Fn(&HttpResponse) -> Option<TransportError>,
) -> CalloutResult {
    if header_count == 0 {
        return Err(TransportError::Incomplete);
    }
    let status = header(":status").and_then(|status| status.parse().ok()).unwrap_or(0);
    let body = match body_size.min(format.max_bytes.saturating_add(1)) {
        0 => Vec::new(),
        size => hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, size).ok().flatten().unwrap_or_default(),
    };
    let response = HttpResponse::new(status, body);
    match failure(&response) {
        Some(error) => Err(error),
        None => Ok(format.headers.iter().fold(response, |response, name| response.with_header(name, header(name)))),
    }
}

/// A field of the response in hand.
pub(super) fn header(name: &str) -> Option<String> {
    let value = hostcalls::get_map_value_bytes(MapType::HttpCallResponseHeaders, name).ok().flatten()?;
    String::from_utf8(value).ok()
}
