//! Which host this is: some calls that Envoy answers end in a trap elsewhere.

use proxy_wasm::hostcalls;

/// Whether the host is Envoy. No other host knows its `xds` properties; asking is safe on all of them.
pub(super) fn is_envoy() -> bool {
    matches!(hostcalls::get_property(vec!["xds", "node", "user_agent_name"]), Ok(Some(name)) if name == b"envoy")
}
