//! The output formats for other programs. Each file knows one format; what they have in common is a [`Diagnostic`].

pub mod diagnostic;
pub mod github;
pub mod junit;
pub mod sarif;
pub mod tap;

use serde_json::json;

use diagnostic::Level;

/// A format that a program reads from standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MachineFormat {
    Json,
    Sarif,
    Github,
    Junit,
    Tap,
}

/// The output of a command that cannot run, so that a program that reads the format learns of it, too.
pub fn of_failure(format: MachineFormat, command: &str, message: &str) -> String {
    match format {
        MachineFormat::Json => format!("{:#}\n", json!({ "ok": false, "error": message })),
        MachineFormat::Sarif => format!("{:#}\n", sarif::failed(command, message)),
        MachineFormat::Github => github::annotation(Level::Error, None, "okta-proxy-wasm", message) + "\n",
        MachineFormat::Junit => junit::failed(command, message),
        MachineFormat::Tap => tap::failed(message),
    }
}
