//! Runs the tool as a process and returns its status and output.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use std::env;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The result of a run.
pub struct Run {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

/// The project's root: paths are written from there.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

pub fn run(arguments: &[&str]) -> Run {
    run_with_input(arguments, "")
}

pub fn run_with_input(arguments: &[&str], input: &str) -> Run {
    run_command(command(arguments), input)
}

/// Runs with these certificates as the only trusted ones.
pub fn run_trusting(arguments: &[&str], authorities: &Path) -> Run {
    let mut command = command(arguments);
    command.env("SSL_CERT_FILE", authorities).env_remove("SSL_CERT_DIR");
    run_command(command, "")
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_okta-proxy-wasm"));
    command.args(arguments).current_dir(root()).env_remove("SECRET");
    command
}

fn run_command(mut command: Command, input: &str) -> Run {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A process that reads no input may have ended.
    let _written = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Run {
        status: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Run {
    /// The exit status and the output, in the format of the golden files.
    pub fn transcript(&self) -> String {
        let Self { status, stdout, stderr } = self;
        format!("status {status}\n--- stdout\n{stdout}--- stderr\n{stderr}")
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.transcript()))
    }
}

/// Compares with `cli/tests/data/golden/NAME.txt`; `UPDATE_GOLDEN=1` writes it: read what changed, and commit it.
pub fn assert_golden(name: &str, found: &str) {
    let path = root().join("cli/tests/data/golden").join(format!("{name}.txt"));
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, found).unwrap();
        return;
    }
    let wanted = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == wanted, "{name}: is\n{found}\nand not\n{wanted}");
}

/// The examples' folders, by name.
pub fn examples() -> Vec<String> {
    let folders = fs::read_dir(root().join("examples")).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<String> = folders
        .filter(|path| path.is_dir())
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert!(names.len() >= 18, "the examples were not found");
    names
}
