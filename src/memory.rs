//! What values hold on the heap, counted from above: what a stranger sends must not hold more than is counted.

use serde_json::{Map, Value};

/// What an allocator adds to an allocation at most: its own header, and rounding up.
const OVERHEAD: usize = 31;
/// A node of a B-tree has eleven entries, and as a rule five at least.
const NODE_ENTRIES: usize = 11;
const LEAST_ENTRIES: usize = 5;

/// What an allocation of so many bytes takes.
pub const fn allocation(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { bytes.saturating_add(OVERHEAD) & !15 }
}

/// What a list of that capacity takes, without what its items hold.
pub const fn list<T>(capacity: usize) -> usize {
    allocation(capacity.saturating_mul(size_of::<T>()))
}

/// What a JSON object holds.
pub fn members(members: &Map<String, Value>) -> usize {
    let node = NODE_ENTRIES.saturating_mul(size_of::<(String, Value)>());
    // Its pointers to others, be it an inner one.
    let node = allocation(node.saturating_add(NODE_ENTRIES.saturating_add(3).saturating_mul(size_of::<usize>())));
    let nodes = match members.len() {
        0 => 0,
        1..=NODE_ENTRIES => 1,
        // The leaves, and the inner nodes above them.
        more => more.div_ceil(LEAST_ENTRIES).saturating_add(more.div_ceil(LEAST_ENTRIES * LEAST_ENTRIES)),
    };
    let held = members.iter().map(|(name, value)| allocation(name.capacity()).saturating_add(json(value)));
    held.fold(nodes.saturating_mul(node), usize::saturating_add)
}

/// What a JSON value holds. Its depth is bounded where it is read.
pub fn json(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => allocation(text.capacity()),
        Value::Array(items) => items.iter().map(json).fold(list::<Value>(items.capacity()), usize::saturating_add),
        Value::Object(object) => members(object),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test(unsupported = test)]
    fn small_values_count_for_what_they_take_and_not_for_their_text() {
        assert_eq!(allocation(0), 0);
        assert!(allocation(1) >= 16 + 8);
        assert_eq!(allocation(usize::MAX) & 15, 0, "no overflow");
        let object = json(&json!({ "a": 0 }));
        assert!(object > NODE_ENTRIES * size_of::<Value>(), "a node whatever it holds: {object}");
        let many: Map<String, Value> = (0..1000).map(|number| (number.to_string(), Value::Null)).collect();
        assert!(members(&many) > 1000 * size_of::<(String, Value)>());
        assert!(json(&json!([1, 2, 3, 4, 5])) >= 5 * size_of::<Value>());
    }
}
