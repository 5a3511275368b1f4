//! `man`: manual pages in roff, made of the same texts as `--help`.

use std::fs;
use std::io;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::arguments::ManPages;
use crate::exit_status;
use crate::failure::{Failure, Outcome};
use crate::output;

const NAME: &str = "okta-proxy-wasm";

pub fn run(arguments: &ManPages, tool: &Command) -> Result<Outcome, Failure> {
    let Some(directory) = &arguments.directory else {
        output::write(&page(tool, tool)?);
        return Ok(Outcome::Success);
    };
    let failed = |error: io::Error| Failure::of_file(directory, error);
    fs::create_dir_all(directory).map_err(failed)?;
    for command in pages(tool) {
        let text = page(tool, command)?;
        fs::write(directory.join(format!("{}.1", full_name(command))), text).map_err(failed)?;
    }
    Ok(Outcome::Success)
}

/// The commands with a page: the tool and its subcommands.
fn pages(tool: &Command) -> impl Iterator<Item = &Command> {
    [tool].into_iter().chain(tool.get_subcommands().filter(|command| command.get_name() != "help"))
}

fn full_name(command: &Command) -> String {
    let name = command.get_name();
    if name == NAME { name.to_owned() } else { format!("{NAME}-{name}") }
}

fn page(tool: &Command, command: &Command) -> Result<String, Failure> {
    render(tool, command).map_err(|error| Failure(format!("the manual page cannot be written: {error}")))
}

fn render(tool: &Command, command: &Command) -> io::Result<String> {
    let name = command.get_name();
    // The name in the synopsis has a space, that of the page a hyphen.
    let called = if name == NAME { name.to_owned() } else { format!("{NAME} {name}") };
    let shown = command.clone().display_name(full_name(command)).bin_name(called);
    let man = Man::new(shown).title(full_name(command)).source(format!("{NAME} {}", env!("CARGO_PKG_VERSION")));
    let man = man.manual("okta-proxy-wasm").section("1");
    let mut bytes = Vec::new();
    man.render_title(&mut bytes)?;
    man.render_name_section(&mut bytes)?;
    man.render_synopsis_section(&mut bytes)?;
    man.render_description_section(&mut bytes)?;
    man.render_options_section(&mut bytes)?;
    let mut more = Roff::new();
    if name == NAME {
        more.control("SH", ["COMMANDS"]);
        for subcommand in tool.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
            let about = subcommand.get_about().map(ToString::to_string).unwrap_or_default();
            more.control("TP", []);
            more.text([bold(format!("{}(1)", full_name(subcommand)))]);
            more.text([roman(about)]);
        }
    }
    for (heading, lines) in sections(command) {
        more.control("SH", [heading]);
        if heading == "EXAMPLES" {
            more.control("EX", []);
            for line in lines {
                more.text([roman(line.trim())]);
            }
            more.control("EE", []);
        } else {
            for line in lines {
                more.text([roman(line.trim())]);
            }
        }
    }
    more.control("SH", ["EXIT STATUS"]);
    for (status, meaning) in exit_status::of_command(name) {
        more.control("TP", []);
        more.text([bold(status.code().to_string())]);
        more.text([roman(format!("{meaning}."))]);
    }
    more.control("SH", ["ENVIRONMENT"]);
    more.control("TP", []);
    more.text([bold("NO_COLOR")]);
    more.text([roman("If it is set and not empty, the output has no colours.")]);
    more.control("SH", ["SEE ALSO"]);
    let others: Vec<String> =
        pages(tool).filter(|other| other.get_name() != name).map(|other| format!("{}(1)", full_name(other))).collect();
    more.text([roman(others.join(", "))]);
    more.to_writer(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The text after the options, without the exit statuses: `Examples:` and the lines below it, and the rest as notes.
fn sections(command: &Command) -> Vec<(&'static str, Vec<String>)> {
    let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let mut sections: Vec<(&'static str, Vec<String>)> = Vec::new();
    for block in text.split("\n\n").filter(|block| !block.is_empty()) {
        let mut lines = block.lines().map(str::to_owned);
        match block.split(':').next() {
            Some("Example" | "Examples") => sections.push(("EXAMPLES", lines.skip(1).collect())),
            Some("Exit status") => {}
            _ => match sections.iter_mut().find(|(heading, _)| *heading == "NOTES") {
                Some((_, notes)) => notes.extend(&mut lines),
                None => sections.push(("NOTES", lines.collect())),
            },
        }
    }
    sections
}
