//! The command-line tool: shows what the filter does with a configuration and a request, without a proxy.
//!
//! The tool makes no decisions of its own. `check` is the filter's loader. `explain` and `test` run the filter's engine
//! with a given clock, keys and issuer responses. `import` writes a document that the loader must accept.

mod arguments;
mod build_info;
mod check;
mod clock;
mod config_diagnostic;
mod diff;
mod document;
mod dpop_key;
mod effective;
mod exit_status;
mod explain;
mod failure;
mod fetch;
mod filter_module;
mod formats;
mod gateway;
mod import;
mod init;
mod input;
mod man;
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
mod version;

use std::process::ExitCode;

use clap::FromArgMatches as _;
use okta_proxy_wasm::config::reference;

use arguments::{Command, CommandLine, Draft};
use exit_status::ExitStatus;
use failure::{Failure, Outcome};
use formats::MachineFormat;

fn main() -> ExitCode {
    let command_line = CommandLine::from_arg_matches(&CommandLine::definition().get_matches());
    let command = command_line.unwrap_or_else(|error| error.exit()).command;
    let result = run(&command);
    if let Err(failure) = &result {
        write_failure(&command, failure);
    }
    ExitCode::from(ExitStatus::of(&result).code())
}

/// On standard error for people, and on standard output for a program that reads it.
fn write_failure(command: &Command, failure: &Failure) {
    let machine_format = command.machine_format();
    if let Some((name, format)) = machine_format {
        output::write(&formats::of_failure(format, name, &failure.to_string()));
    }
    // GitHub executes commands on standard error, too, and a message may contain one.
    if !matches!(machine_format, Some((_, MachineFormat::Github))) {
        eprintln!("okta-proxy-wasm: {failure}");
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
            let mut command = CommandLine::definition();
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut command, "okta-proxy-wasm", &mut script);
            // clap_complete 4.6.11 writes the hyphens of this name in two ways, so that bash would complete no subcommand.
            let script =
                String::from_utf8_lossy(&script).replace("okta__subcmd__proxy__subcmd__wasm", "okta__proxy__wasm");
            output::write(&script);
            Ok(Outcome::Success)
        }
        Command::Import(arguments) => import::run(arguments),
        Command::Man(arguments) => man::run(arguments, &CommandLine::definition()),
        Command::Version(arguments) => version::run(arguments),
    }
}
