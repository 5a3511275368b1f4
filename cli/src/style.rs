//! Colours for terminals, unless `NO_COLOR` is set (no-color.org).

use std::env;
use std::io::{self, IsTerminal as _};

#[derive(Clone, Copy, Debug)]
pub struct Style {
    is_coloured: bool,
}

impl Style {
    /// For standard output.
    pub fn of_stdout() -> Self {
        let unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { is_coloured: io::stdout().is_terminal() && !unwanted }
    }

    fn in_colour(self, code: &str, text: &str) -> String {
        if self.is_coloured { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// A success.
    pub fn success(self, text: &str) -> String {
        self.in_colour("32", text)
    }

    /// A failure.
    pub fn failure(self, text: &str) -> String {
        self.in_colour("31", text)
    }

    /// A warning.
    pub fn warning(self, text: &str) -> String {
        self.in_colour("33", text)
    }

    /// Secondary text.
    pub fn faint(self, text: &str) -> String {
        self.in_colour("2", text)
    }

    /// A heading.
    pub fn strong(self, text: &str) -> String {
        self.in_colour("1", text)
    }
}
