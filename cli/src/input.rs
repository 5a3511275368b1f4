//! Files and standard input, bounded.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use crate::failure::Failure;

/// Nothing that is read here is longer for a good reason.
const LONGEST: u64 = 16 * 1024 * 1024;

/// The bytes of a file, or of standard input for `-`.
pub fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let is_standard_input = path.as_os_str() == "-";
    let mut bytes = Vec::new();
    let read = if is_standard_input {
        io::stdin().lock().take(LONGEST + 1).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes))
    };
    read.map_err(|error| Failure::of_file(path, error))?;
    if bytes.len() as u64 > LONGEST {
        return Err(Failure::of_file(path, "longer than 16 MiB"));
    }
    Ok(bytes)
}

/// The same, as text.
pub fn read_text(path: &Path) -> Result<String, Failure> {
    String::from_utf8(read(path)?).map_err(|_| Failure::of_file(path, "not UTF-8"))
}
