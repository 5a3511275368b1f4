//! Reads files and standard input up to a size limit.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use crate::failure::Failure;

/// An upper limit on any valid input.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// Reads a file, or standard input for `-`.
pub fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let is_standard_input = path.as_os_str() == "-";
    let mut bytes = Vec::new();
    let read = if is_standard_input {
        io::stdin().lock().take(MAX_BYTES + 1).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
    };
    read.map_err(|error| Failure::of_file(path, error))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Failure::of_file(path, "longer than 16 MiB"));
    }
    Ok(bytes)
}

/// Reads a UTF-8 file.
pub fn read_text(path: &Path) -> Result<String, Failure> {
    String::from_utf8(read(path)?).map_err(|_| Failure::of_file(path, "not UTF-8"))
}
