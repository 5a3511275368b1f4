//! Standard output. Who reads no further is not told more: that is no failure of ours.

use std::io::{self, Write as _};

/// Writes a line.
pub fn line(text: &str) {
    write(&format!("{text}\n"));
}

/// Writes text as it is.
pub fn write(text: &str) {
    let mut out = io::stdout().lock();
    let _read_by_somebody = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
