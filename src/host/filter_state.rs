//! Envoy's filter state: what later filters and the access log are told. Two host calls that other hosts answer with a
//! trap, or with another meaning (`proxy_set_property` sets variables in nginx): so nothing here is called elsewhere.
//!
//! Each name is declared at start: as a string, or conditions in CEL never hold; for this one request, or the next one on
//! the connection would inherit the identity; and to be written once, so that no other module changes what was decided.

use proxy_wasm::hostcalls;
use proxy_wasm::types::Status;

use crate::engine::FilterStateValues;
use crate::host::host_error::HostError;

/// Declares the names.
pub(super) fn declare<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), Status> {
    for name in names {
        match hostcalls::call_foreign_function("declare_property", Some(&declaration(name))) {
            // Declared already, when a root is configured again.
            Ok(_) | Err(Status::BadArgument) => {}
            Err(status) => return Err(status),
        }
    }
    Ok(())
}

/// Tells of the request whose context is in effect, once.
pub(super) fn set_filter_state(told: &FilterStateValues) -> Result<(), HostError> {
    for (at, entry) in told.iter().enumerate() {
        // `set_property` panics when the name was written before, so the first one, which is always written, is asked for.
        if at == 0 {
            let written = hostcalls::get_property(vec![&*entry.name]);
            if written.map_err(HostError::of("reading the filter state"))?.is_some() {
                return Err(HostError::FilterStateTaken);
            }
        }
        let value = entry.value.as_str().as_bytes();
        let set = hostcalls::set_property(vec![&*entry.name], Some(value));
        set.map_err(HostError::of("writing the filter state"))?;
    }
    Ok(())
}

/// Has the host choose the route again, of the request whose context is in effect.
pub(super) fn clear_route_cache() -> Result<(), HostError> {
    let cleared = hostcalls::call_foreign_function("clear_route_cache", None);
    cleared.map(|_| ()).map_err(HostError::of("clear_route_cache"))
}

/// Envoy's `DeclarePropertyArguments`: 1 name, 2 readonly, 3 type (1: string), 5 span (0, and so left out: the filter
/// chain of this request). Names are shorter than 128 bytes.
fn declaration(name: &str) -> Vec<u8> {
    let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
    [&[0x0a, length], name.as_bytes(), &[0x10, 1, 0x18, 1]].concat()
}
