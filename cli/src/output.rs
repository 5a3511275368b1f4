//! Standard output. Write errors are ignored: a reader may close the pipe early.

use std::io::{self, Write as _};

pub fn line(text: &str) {
    write(&format!("{text}\n"));
}

pub fn write(text: &str) {
    let mut out = io::stdout().lock();
    let _read_by_somebody = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
