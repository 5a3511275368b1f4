//! What the host knows of a request beside its head, for the conditions that ask: nothing is read that none asks for.

use proxy_wasm::hostcalls;

use crate::engine::{Attribute, AttributeValues};

/// What the host says of the request in hand. An attribute that it does not have, or has empty, is left out, and a
/// condition that cannot do without refuses.
pub(super) fn request_attributes(attributes: &[Attribute]) -> AttributeValues {
    let mut values = AttributeValues::default();
    for attribute in attributes {
        if let Ok(Some(property)) = hostcalls::get_property(attribute.path().to_vec()) {
            values.insert(*attribute, property);
        }
    }
    values
}
