//! Upper bounds of the heap memory of values. Memory that clients can cause must not exceed the counted amount.

use serde_json::{Map, Value};

/// The most that an allocator adds to an allocation: its header and rounding.
const OVERHEAD: usize = 31;
/// A B-tree node has at most eleven entries, and usually at least five.
const NODE_ENTRIES: usize = 11;
const MIN_ENTRIES: usize = 5;

/// The memory of an allocation of `bytes` bytes.
pub const fn allocation(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { bytes.saturating_add(OVERHEAD) & !15 }
}

/// The memory of a list of this capacity, without the memory of its items.
pub const fn list<T>(capacity: usize) -> usize {
    allocation(capacity.saturating_mul(size_of::<T>()))
}

/// The memory of a JSON object.
pub fn members(members: &Map<String, Value>) -> usize {
    let node = NODE_ENTRIES.saturating_mul(size_of::<(String, Value)>());
    // Plus the pointers of an inner node.
    let node = allocation(node.saturating_add(NODE_ENTRIES.saturating_add(3).saturating_mul(size_of::<usize>())));
    let nodes = match members.len() {
        0 => 0,
        1..=NODE_ENTRIES => 1,
        // The leaves and the inner nodes above them.
        more => more.div_ceil(MIN_ENTRIES).saturating_add(more.div_ceil(MIN_ENTRIES * MIN_ENTRIES)),
    };
    let held = members.iter().map(|(name, value)| allocation(name.capacity()).saturating_add(json(value)));
    held.fold(nodes.saturating_mul(node), usize::saturating_add)
}

/// The memory of a JSON value. The parser limits its depth.
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

    #[test]
    fn small_values_count_with_their_allocations() {
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
