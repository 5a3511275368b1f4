//! A progress line for long steps. On a terminal it is overwritten; elsewhere nothing is printed.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

/// How often it is written anew.
const STEPS: usize = 50;

/// Counts towards a known number, from any thread.
pub struct Progress {
    what: String,
    all: usize,
    done: AtomicUsize,
    shown: bool,
}

impl Progress {
    /// Nothing is done yet.
    pub fn new(what: &str, all: usize) -> Self {
        Self { what: what.to_owned(), all, done: AtomicUsize::new(0), shown: io::stderr().is_terminal() }
    }

    /// One more is done: what was given comes back.
    pub fn after<T>(&self, result: T) -> T {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        if self.shown && done.is_multiple_of((self.all / STEPS).max(1)) {
            let _ = write!(io::stderr(), "\r\x1b[2K  {}: {done} of {}", self.what, self.all);
        }
        result
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(io::stderr(), "\r\x1b[2K");
        }
    }
}
