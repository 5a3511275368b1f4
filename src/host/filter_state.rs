//! Envoy's filter state, for later filters and the access log. These host calls trap on other hosts or have another
//! meaning (`proxy_set_property` sets variables in nginx), so they are made on Envoy only.
//!
//! Each name is declared at start with these properties:
//!
//! * type string: otherwise CEL conditions on it never match;
//! * life span of one request: otherwise the next request on the connection inherits the identity;
//! * read-only: no other module can change the decision.

use proxy_wasm::hostcalls;
use proxy_wasm::types::Status;

use crate::engine::FilterStateValues;
use crate::host::host_error::HostError;

pub(super) fn declare<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), Status> {
    for name in names {
        match hostcalls::call_foreign_function("declare_property", Some(&declaration(name))) {
            // A root that is configured again has declared it before.
            Ok(_) | Err(Status::BadArgument) => {}
            Err(status) => return Err(status),
        }
    }
    Ok(())
}

/// Writes the filter state of the request of the effective context, once.
pub(super) fn set_filter_state(values: &FilterStateValues) -> Result<(), HostError> {
    for (at, entry) in values.iter().enumerate() {
        // `set_property` panics if the name was written before. So the first name, which is always written, is read
        // first.
        if at == 0 {
            let written = hostcalls::get_property(vec![&*entry.name]);
            if written.map_err(HostError::of("reading the filter state"))?.is_some() {
                return Err(HostError::FilterStateAlreadySet);
            }
        }
        let value = entry.value.as_str().as_bytes();
        let set = hostcalls::set_property(vec![&*entry.name], Some(value));
        set.map_err(HostError::of("writing the filter state"))?;
    }
    Ok(())
}

/// Makes the host select the route of the current request again.
pub(super) fn clear_route_cache() -> Result<(), HostError> {
    let cleared = hostcalls::call_foreign_function("clear_route_cache", None);
    cleared.map(|_| ()).map_err(HostError::of("clear_route_cache"))
}

/// Envoy's `DeclarePropertyArguments`: 1 name, 2 readonly, 3 type (1: string), 5 span (omitted, as 0 is the filter
/// chain of this request). Names are shorter than 128 bytes.
fn declaration(name: &str) -> Vec<u8> {
    let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
    [&[0x0a, length], name.as_bytes(), &[0x10, 1, 0x18, 1]].concat()
}
