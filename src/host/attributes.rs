//! What the host knows of a request beside its head, for the conditions that ask: nothing is read that none asks for.

use proxy_wasm::hostcalls;

use crate::engine::{Attribute, AttributeValues};

/// Adds what the host says of the request in hand. An attribute that it does not have is empty, and a condition that
/// cannot do without refuses.
pub(super) fn read_attributes(attributes: &[Attribute], values: &mut AttributeValues) {
    for attribute in attributes {
        let property = hostcalls::get_property(attribute.path().to_vec()).ok().flatten();
        values.insert(*attribute, property.unwrap_or_default());
    }
}
