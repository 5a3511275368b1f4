//! The command-line tool: shows what the filter does with a configuration and a request, without a proxy.
//!
//! The tool makes no decisions of its own. `check` is the filter's loader. `explain` and `test` run the filter's engine
//! with a given clock, keys and issuer responses. `import` writes a document that the loader must accept.

mod arguments;
mod check;
mod clock;
mod diff;
mod document;
mod effective;
mod explain;
mod failure;
mod fetch;
mod finding;
mod gateway;
mod import;
mod init;
mod input;
mod matrix;
mod output;
mod permission;
mod plugin;
mod policy_tests;
mod positions;
#[cfg(test)]
#[path = "../../tests/random/mod.rs"]
mod random;
mod representatives;
mod request;
mod secrets;
mod signing;
mod steps;
mod style;
mod text;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use okta_proxy_wasm::config::reference;

use arguments::{Command, CommandLine, Draft};
use failure::{Failure, Outcome};

fn main() -> ExitCode {
    match run(&CommandLine::parse().command) {
        Ok(Outcome::Success) => ExitCode::SUCCESS,
        Ok(Outcome::Negative) => ExitCode::from(1),
        Err(failure) => {
            eprintln!("okta-proxy-wasm: {failure}");
            ExitCode::from(2)
        }
    }
}

fn run(command: &Command) -> Result<Outcome, Failure> {
    match command {
        Command::Check(arguments) => check::run(arguments),
        Command::Init(arguments) => init::run(arguments),
        Command::Explain(arguments) => explain::run(arguments),
        Command::Matrix(arguments) => matrix::run(arguments),
        Command::Diff(arguments) => diff::run(arguments),
        Command::Test(arguments) => policy_tests::run(arguments),
        Command::Schema { draft } => {
            let schema = match draft {
                Draft::Draft202012 => reference::json_schema(),
                Draft::Draft04 => reference::json_schema_draft_04(),
            };
            output::write(&format!("{schema:#}\n"));
            Ok(Outcome::Success)
        }
        Command::Completions { shell } => {
            let mut command = CommandLine::command();
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut command, "okta-proxy-wasm", &mut script);
            output::write(&String::from_utf8_lossy(&script));
            Ok(Outcome::Success)
        }
        Command::Import(arguments) => import::run(arguments),
    }
}
