//! The host's shared data: versioned bytes that all the VMs of a process read and compare-and-swap.
//!
//! Only on Envoy: other hosts trap where it is not set up.

use proxy_wasm::hostcalls;
use proxy_wasm::types::Status;

const PREFIX: &str = "okta-proxy-wasm";
/// "Only if there is no such entry": no entry of the host has this version.
const ABSENT: u32 = u32::MAX;
/// How often a compare-and-swap is tried again; each time somebody else has succeeded.
pub(super) const TRIES: usize = 64;

/// A record and its version, also where there is none.
pub(super) fn read(key: &str) -> (Option<Vec<u8>>, u32) {
    let (value, version) = hostcalls::get_shared_data(&prefixed(key)).unwrap_or_default();
    (value, version.unwrap_or(ABSENT))
}

/// Puts `value` in the place of what was read.
pub(super) fn write(key: &str, value: &[u8], version: u32) -> Result<(), Status> {
    hostcalls::set_shared_data(&prefixed(key), Some(value), Some(version))
}

/// A name as it stands in the host, which other plugins may share.
pub(super) fn prefixed(key: &str) -> String {
    format!("{PREFIX}/{key}")
}
