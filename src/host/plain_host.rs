//! A host with the calls of Proxy-Wasm and nothing of Envoy's own, such as nginx with `ngx_wasm_module`. Each worker is
//! alone, and the module verifies the signatures. The configuration is refused where it requires more.

use proxy_wasm::types::Status;

use crate::engine::FilterStateValues;
use crate::host::host_error::HostError;
use crate::host::host_interface::{Host, HostFunction};

/// A host other than Envoy.
pub(super) struct PlainHost;

impl Host for PlainHost {
    fn shares_data(&self) -> bool {
        false
    }

    fn has_metrics(&self) -> bool {
        false
    }

    fn verify_signature(&self) -> Option<HostFunction> {
        None
    }

    fn sign(&self) -> Option<HostFunction> {
        None
    }

    fn declare_filter_state(&self, _: &[&str]) -> Result<(), Option<Status>> {
        Err(None)
    }

    fn set_filter_state(&self, values: &FilterStateValues) -> Result<(), HostError> {
        if values.iter().next().is_none() { Ok(()) } else { Err(HostError::NotSupported("filter state")) }
    }

    fn clear_route_cache(&self) -> Result<(), HostError> {
        Err(HostError::NotSupported("clear_route_cache"))
    }
}
