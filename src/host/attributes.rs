//! Reads request attributes from the host. It reads only those that a condition uses.

use proxy_wasm::hostcalls;

use crate::engine::{Attribute, AttributeValues};

/// Adds the host's values for the current request. A missing attribute is empty, and a condition that requires it
/// fails.
pub(super) fn read_attributes(attributes: &[Attribute], values: &mut AttributeValues) {
    for attribute in attributes {
        let property = hostcalls::get_property(attribute.path().to_vec()).ok().flatten();
        values.insert(*attribute, property.unwrap_or_default());
    }
}
