//! Which host this is: some calls that Envoy answers end in a trap elsewhere.

use proxy_wasm::hostcalls;

/// Whether the host is Envoy. No other host knows its `xds` properties; asking is safe on all of them. Of the
/// node's properties this one is short and always there: "envoy", unless the bootstrap says otherwise.
/// Id and cluster need not be set, and the whole node is 61 KB.
pub(super) fn is_envoy() -> bool {
    matches!(hostcalls::get_property(vec!["xds", "node", "user_agent_name"]), Ok(Some(_)))
}
