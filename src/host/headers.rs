//! Converts between host header maps and the core's HTTP types. Uses byte values only: the SDK's `String` getters panic
//! on a value that is not UTF-8, and one such request would stop the worker.

use proxy_wasm::hostcalls;
use proxy_wasm::types::MapType;

use crate::host::host_error::HostError;
use crate::http::{HeadEdits, HeaderEdit, HeaderName, HeaderValue, LocalResponse, RequestHead};

/// The head of the current request. `end_of_stream` is true if no body and no trailers follow.
pub(super) fn request_head(end_of_stream: bool) -> Result<RequestHead, HostError> {
    let fields = hostcalls::get_map_bytes(MapType::HttpRequestHeaders);
    let head = fields.map(RequestHead::new).map_err(HostError::of("reading the request headers"))?;
    Ok(if end_of_stream { head } else { head.with_body_or_trailers() })
}

pub(super) fn edit_request(edits: &HeadEdits) -> Result<(), HostError> {
    let edit = |edit: &HeaderEdit| match edit {
        HeaderEdit::Remove(name) => hostcalls::remove_map_value(MapType::HttpRequestHeaders, name),
        HeaderEdit::Set(name, value) => {
            let value = value.as_str().as_bytes();
            hostcalls::set_map_value_bytes(MapType::HttpRequestHeaders, name.as_str(), Some(value))
        }
        HeaderEdit::Rewrite(rest) => {
            hostcalls::set_map_value_bytes(MapType::HttpRequestHeaders, rest.field(), Some(rest.as_bytes()))
        }
    };
    edits.iter().try_for_each(edit).map_err(HostError::of("changing a request header"))
}

pub(super) fn add_response_headers(fields: &[(HeaderName, HeaderValue)]) -> Result<(), HostError> {
    let add = |(name, value): &(HeaderName, HeaderValue)| {
        let value = value.as_str().as_bytes();
        hostcalls::add_map_value_bytes(MapType::HttpResponseHeaders, name.as_str(), value)
    };
    fields.iter().try_for_each(add).map_err(HostError::of("adding a response header"))
}

pub(super) fn request_trailer_names() -> Result<Vec<String>, HostError> {
    let trailers = hostcalls::get_map_bytes(MapType::HttpRequestTrailers);
    let trailers = trailers.map_err(HostError::of("reading the request trailers"))?;
    Ok(trailers.into_iter().map(|(name, _)| name).collect())
}

pub(super) fn remove_request_trailer(name: &str) -> Result<(), HostError> {
    let removed = hostcalls::remove_map_value(MapType::HttpRequestTrailers, name);
    removed.map_err(HostError::of("removing a request trailer"))
}

/// `details` is for the host, which may show it to whom it wants.
pub(super) fn send_response(response: &LocalResponse, details: &str) {
    let headers: Vec<_> = response.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    raw_hostcalls::send_local_response(response.status, details, &headers, &response.body);
}
