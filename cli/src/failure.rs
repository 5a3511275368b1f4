//! A command that cannot run: exit status 2 and one message.

use std::fmt;
use std::path::Path;

/// An error message.
#[derive(Debug)]
pub struct Failure(pub String);

impl Failure {
    pub fn of_file(path: &Path, why: impl fmt::Display) -> Self {
        Self(format!("{}: {why}", path.display()))
    }

    /// One message for several failures; `None` without any.
    pub fn of_all(mut failures: Vec<Self>) -> Option<Self> {
        if failures.len() < 2 {
            return failures.pop();
        }
        let lines: Vec<String> = failures.iter().map(|failure| format!("\n  {failure}")).collect();
        Some(Self(format!("{} files cannot be read:{}", failures.len(), lines.concat())))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The result of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Exit status 0.
    Success,
    /// Exit status 1: a fault, a denied request or a failed test.
    Negative,
}

impl Outcome {
    pub const fn negative_if(found: bool) -> Self {
        if found { Self::Negative } else { Self::Success }
    }
}
