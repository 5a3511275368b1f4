//! Proxy-Wasm 0.2.1 on the wire: status numbers, actions, serialised header maps.

use crate::Fields;

/// What a host function answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names of the ABI")]
pub enum Status {
    Ok = 0,
    NotFound = 1,
    BadArgument = 2,
    Empty = 7,
    CasMismatch = 8,
    InternalFailure = 10,
}

/// What a callback answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The stream goes on.
    Continue,
    /// It waits.
    Pause,
}

/// A header map as it is handed to the module.
pub(crate) fn serialize(fields: &Fields) -> Vec<u8> {
    let size = |bytes: &[u8]| u32::try_from(bytes.len()).expect("a size").to_le_bytes();
    let mut map = u32::try_from(fields.len()).expect("a count").to_le_bytes().to_vec();
    for (name, value) in fields {
        map.extend(size(name.as_bytes()));
        map.extend(size(value));
    }
    for (name, value) in fields {
        map.extend_from_slice(name.as_bytes());
        map.push(0);
        map.extend_from_slice(value);
        map.push(0);
    }
    map
}

/// A header map as the module hands it over.
pub(crate) fn deserialize(map: &[u8]) -> Fields {
    let number = |at: usize| u32::from_le_bytes(map[at..at + 4].try_into().expect("four bytes")) as usize;
    if map.is_empty() {
        return Vec::new();
    }
    let count = number(0);
    let mut at = 4 + count * 8;
    let mut take = |size: usize| {
        let bytes = map[at..at + size].to_vec();
        at += size + 1;
        bytes
    };
    (0..count)
        .map(|field| {
            let name = String::from_utf8(take(number(4 + field * 8))).expect("a header name");
            (name, take(number(8 + field * 8)))
        })
        .collect()
}
