//! Detects the kind of the host.

use proxy_wasm::hostcalls;

use crate::host::envoy::Envoy;
use crate::host::host_interface::Host;
use crate::host::plain_host::PlainHost;

/// The host of this VM. No other host than Envoy has `xds` properties, and reading them is safe on all hosts. This node
/// property is short and always set: "envoy", unless the bootstrap changes it. Id and cluster may be unset, and the
/// whole node is 61 KB.
pub(super) fn detect() -> &'static dyn Host {
    let is_envoy = matches!(hostcalls::get_property(vec!["xds", "node", "user_agent_name"]), Ok(Some(_)));
    if is_envoy { &Envoy } else { &PlainHost }
}
