//! CORS preflights (Fetch, section 4.8): the request that a browser sends before a cross-origin request.

use super::target_headers::changes_method;
use super::token_source::has_param;
use crate::http::RequestHead;

/// The query parameter with which frameworks override the method.
const METHOD_PARAM: &[u8] = b"_method";

/// Whether a request is a preflight: it has everything a browser sends, and nothing that makes a backend do more than
/// respond to it. Many backends run the handler of the path for `OPTIONS` too.
pub(super) fn is_preflight(head: &RequestHead) -> bool {
    // Envoy joins a repeated `Origin` with a comma. No origin and no method contains one.
    let is_valid =
        |value: &[u8]| !value.is_empty() && value.iter().all(|byte| byte.is_ascii_graphic() && *byte != b',');
    let has = |name| head.single(name).is_some_and(is_valid);
    head.single(":method") == Some(b"OPTIONS")
        && has("origin")
        && has("access-control-request-method")
        && !head.may_have_body()
        && !overrides_method(head)
}

fn overrides_method(head: &RequestHead) -> bool {
    head.names().any(changes_method) || has_param(head, METHOD_PARAM)
}
