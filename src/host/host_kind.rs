//! Detects the kind of the host.

use proxy_wasm::hostcalls;
use proxy_wasm::types::Status;

use crate::host::envoy::Envoy;
use crate::host::host_interface::Host;
use crate::host::plain_host::PlainHost;

/// The host of this VM. No other host than Envoy has `xds` properties, and reading them is safe on all hosts. This node
/// property is short and always set: "envoy", unless the bootstrap changes it. Id and cluster may be unset, and the
/// whole node is 61 KB.
pub(super) fn detect() -> &'static dyn Host {
    match hostcalls::get_property(vec!["xds", "node", "user_agent_name"]) {
        Ok(Some(_)) => &Envoy,
        // nginx with ngx_wasm_module has no properties outside a request.
        Err(Status::InternalFailure) => &PlainHost { is_nginx: true },
        // Also Envoy with `--mode validate`, which must reject a faulty configuration.
        Ok(None) | Err(_) => &PlainHost { is_nginx: false },
    }
}
