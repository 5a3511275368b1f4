//! Detects the host: some calls that Envoy supports trap on other hosts.

use proxy_wasm::hostcalls;

/// Whether the host is Envoy. No other host has `xds` properties, and reading them is safe on all hosts. This node
/// property is short and always set: "envoy", unless the bootstrap changes it. Id and cluster may be unset, and the
/// whole node is 61 KB.
pub(super) fn is_envoy() -> bool {
    matches!(hostcalls::get_property(vec!["xds", "node", "user_agent_name"]), Ok(Some(_)))
}
