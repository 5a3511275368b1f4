//! Envoy's filter state: what later filters and the access log are told. Two host calls that other hosts answer with a
//! trap, or with another meaning (`proxy_set_property` sets variables in nginx): so nothing here is called elsewhere.
//!
//! Each name is declared at start: as a string, or conditions in CEL never hold; for this one request, or the next one on
//! the connection would inherit the identity; and to be written once, so that no other module changes what was decided.

use proxy_wasm::hostcalls;
use proxy_wasm::types::Status;

use crate::engine::Told;

/// Why nothing was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Untold {
    /// Another plugin has told already, most likely this filter a second time in one chain.
    TakenAlready,
    /// The host does not answer as Envoy does.
    Host(Status),
}

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
pub(super) fn tell(told: &Told) -> Result<(), Untold> {
    for (at, entry) in told.iter().enumerate() {
        // `set_property` panics when the name was written before, so the first one, which is always written, is asked for.
        if at == 0 {
            match hostcalls::get_property(vec![&*entry.name]) {
                Ok(None) => {}
                Ok(Some(_)) => return Err(Untold::TakenAlready),
                Err(status) => return Err(Untold::Host(status)),
            }
        }
        let value = entry.value.as_str().as_bytes();
        hostcalls::set_property(vec![&*entry.name], Some(value)).map_err(Untold::Host)?;
    }
    Ok(())
}

/// Has the route of the request whose context is in effect chosen anew.
pub(super) fn clear_route_cache() -> Result<(), Status> {
    hostcalls::call_foreign_function("clear_route_cache", None).map(|_| ())
}

/// Envoy's `DeclarePropertyArguments`: 1 name, 2 readonly, 3 type (1: string), 5 span (0, and so left out: the filter
/// chain of this request). Names are shorter than 128 bytes.
fn declaration(name: &str) -> Vec<u8> {
    let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
    [&[0x0a, length], name.as_bytes(), &[0x10, 1, 0x18, 1]].concat()
}
