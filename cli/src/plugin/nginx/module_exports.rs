//! Reads the names that a WebAssembly module exports.

const HEADER: &[u8] = b"\0asm\x01\0\0\0";
const EXPORT_SECTION: u8 = 7;

/// The names of all exports; `None` if this is no module.
pub(super) fn names(module: &[u8]) -> Option<Vec<String>> {
    let mut rest = module.strip_prefix(HEADER)?;
    while let [kind, after @ ..] = rest {
        let (length, after) = number(after)?;
        let (section, next) = after.split_at_checked(length)?;
        if *kind == EXPORT_SECTION {
            return exports(section);
        }
        rest = next;
    }
    Some(Vec::new())
}

fn exports(section: &[u8]) -> Option<Vec<String>> {
    let (count, mut rest) = number(section)?;
    let mut names = Vec::new();
    for _ in 0..count {
        let (length, after) = number(rest)?;
        let (name, after) = after.split_at_checked(length)?;
        // The kind, and the index.
        let (_, after) = after.split_first()?;
        (_, rest) = number(after)?;
        names.push(String::from_utf8_lossy(name).into_owned());
    }
    Some(names)
}

/// A number in LEB128 of at most 32 bits.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_usize;
    for (index, byte) in bytes.iter().take(5).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(index + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_export_section() {
        // A custom section of 130 bytes before it, for a length of two bytes.
        let custom = [&[0, 0x82, 0x01][..], &[0; 130]].concat();
        let module = [HEADER, &custom, &[7, 11, 2, 1, b'a', 0, 0x80, 0x01, 2, b'b', b'c', 0, 1]].concat();
        assert_eq!(names(&module), Some(vec![String::from("a"), String::from("bc")]));
        assert_eq!(names(HEADER), Some(Vec::new()));
        assert_eq!(names(b"(module)"), None);
        for length in HEADER.len() + 1..module.len() {
            assert!(names(&module[..length]).is_none_or(|found| found.is_empty()), "{length}");
        }
    }
}
