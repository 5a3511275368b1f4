//! Why a command cannot be carried out at all: exit status 2, and one sentence.

use std::fmt;
use std::path::Path;

/// What cannot be used, and why.
#[derive(Debug)]
pub struct Failure(pub String);

impl Failure {
    /// A file that cannot be used.
    pub fn of_file(path: &Path, why: impl fmt::Display) -> Self {
        Self(format!("{}: {why}", path.display()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All is well.
    Fine,
    /// What was asked for was done, and something was found.
    Found,
}

impl Outcome {
    /// Fine, unless something was found.
    pub const fn unless(found: bool) -> Self {
        if found { Self::Found } else { Self::Fine }
    }
}
