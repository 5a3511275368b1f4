//! Serves protected resource metadata (RFC 9728). Challenges point to it.

use crate::http::{HeaderName, HeaderValue, LocalResponse, RequestHead};
use crate::policy::ProtectedResources;

const METHODS: &str = "GET, HEAD, OPTIONS";

/// The response to a request for metadata, without a token and before all rules. It is public, so pages of any origin may
/// read it: MCP clients also run in browsers.
pub(super) fn metadata_response(resources: &ProtectedResources, head: &RequestHead) -> Option<LocalResponse> {
    let resource = resources.find_by_metadata_path(head)?;
    let reply = match head.single(":method") {
        Some(b"GET" | b"HEAD") => reply(
            200,
            vec![
                field(HeaderName::CONTENT_TYPE, "application/json"),
                field(HeaderName::CACHE_CONTROL, "public, max-age=3600"),
            ],
            resource.document.clone(),
        ),
        // Browsers send a preflight for header fields like `mcp-protocol-version`.
        Some(b"OPTIONS") => reply(
            204,
            vec![
                field(HeaderName::ALLOW, METHODS),
                field(HeaderName::ALLOW_METHODS, METHODS),
                field(HeaderName::ALLOW_HEADERS, "*"),
                field(HeaderName::MAX_AGE, "3600"),
            ],
            Vec::new(),
        ),
        _ => reply(405, vec![field(HeaderName::ALLOW, METHODS)], Vec::new()),
    };
    Some(reply)
}

fn reply(status: u16, headers: Vec<(HeaderName, HeaderValue)>, body: Vec<u8>) -> LocalResponse {
    let mut headers = headers;
    headers.push(field(HeaderName::ALLOW_ORIGIN, "*"));
    LocalResponse { status, headers, body }
}

fn field(name: HeaderName, value: &str) -> (HeaderName, HeaderValue) {
    (name, HeaderValue::encode(value, None))
}
