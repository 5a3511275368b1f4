//! CORS preflights (Fetch, section 4.8): what a browser asks before it sends a request of a page of another origin.

use super::target_headers::changes_method;
use super::token_source::has_param;
use crate::http::RequestHead;

/// The query parameter by which frameworks take another method than the request's own.
const METHOD_PARAM: &[u8] = b"_method";

/// Whether a request is a preflight: it has all of what a browser sends with one, and nothing that would make a backend do
/// more than answer it. Many backends run the handler of the path for `OPTIONS` too.
pub(super) fn is_preflight(head: &RequestHead) -> bool {
    // Envoy joins a repeated `Origin` with a comma: what no origin and no method has in it is not one.
    let is_one = |value: &[u8]| !value.is_empty() && value.iter().all(|byte| byte.is_ascii_graphic() && *byte != b',');
    let has = |name| head.single(name).is_some_and(is_one);
    head.single(":method") == Some(b"OPTIONS")
        && has("origin")
        && has("access-control-request-method")
        && !head.may_have_body()
        && !overrides_method(head)
}

fn overrides_method(head: &RequestHead) -> bool {
    head.names().any(changes_method) || has_param(head, METHOD_PARAM)
}
