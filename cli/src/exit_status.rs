//! The exit statuses of all commands, in one table: for the process, `--help`, the manual pages and the documentation.

use crate::failure::{Failure, Outcome};

/// An exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    Success,
    Negative,
    Unusable,
}

use ExitStatus::{Negative, Success, Unusable};

impl ExitStatus {
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Negative => 1,
            Self::Unusable => 2,
        }
    }

    pub const fn of(result: &Result<Outcome, Failure>) -> Self {
        match result {
            Ok(Outcome::Success) => Self::Success,
            Ok(Outcome::Negative) => Self::Negative,
            Err(_) => Self::Unusable,
        }
    }
}

/// What each status means in general.
pub const GENERAL: [(ExitStatus, &str); 3] = [
    (Success, "success"),
    (Negative, "a negative result: a fault, a denied request, a difference, a failed test"),
    (Unusable, "the command line or a file cannot be used"),
];

/// What each status means for a command. A command has no other one.
pub const COMMANDS: [(&str, &[(ExitStatus, &str)]); 11] = [
    (
        "check",
        &[
            (Success, "no fault"),
            (Negative, "faults, or warnings with --strict"),
            (Unusable, "the command line or a file cannot be used"),
        ],
    ),
    (
        "init",
        &[
            (Success, "the files are written and pass their tests"),
            (Negative, "the result does not pass its own tests"),
            (Unusable, "the command line or the input cannot be used, or a file exists"),
        ],
    ),
    (
        "explain",
        &[
            (Success, "the request is allowed"),
            (Negative, "the request is denied"),
            (Unusable, "the command line or a file cannot be used, or the input does not suffice for a decision"),
        ],
    ),
    ("matrix", &[(Success, "success"), (Unusable, "the command line or a file cannot be used")]),
    (
        "diff",
        &[
            (Success, "no difference"),
            (Negative, "differences"),
            (Unusable, "the command line or a file cannot be used"),
        ],
    ),
    (
        "test",
        &[
            (Success, "every case passes"),
            (Negative, "a case fails"),
            (Unusable, "the command line or a file cannot be used"),
        ],
    ),
    (
        "import",
        &[
            (Success, "a result"),
            (Negative, "no result, because the original cannot be converted"),
            (Unusable, "the command line or a file cannot be used"),
        ],
    ),
    ("schema", &[(Success, "success"), (Unusable, "the command line cannot be used")]),
    ("completions", &[(Success, "success"), (Unusable, "the command line cannot be used")]),
    ("man", &[(Success, "success"), (Unusable, "the command line or the folder cannot be used")]),
    (
        "version",
        &[
            (Success, "success"),
            (Negative, "the file is not this filter, or its digest is not the expected one"),
            (Unusable, "the command line or the file cannot be used"),
        ],
    ),
];

/// The statuses of a command; the general ones for the tool itself.
pub fn of_command(name: &str) -> &'static [(ExitStatus, &'static str)] {
    COMMANDS.iter().find(|(command, _)| *command == name).map_or(&GENERAL, |(_, statuses)| statuses)
}
