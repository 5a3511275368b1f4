//! The commit that the tool is built from, for `okta-proxy-wasm version`: from `OKTA_PROXY_WASM_COMMIT`, or from git.
//! No time and no path of the build: the same sources give the same bytes.

use std::env;
use std::process::Command;

/// What is compiled into the tool.
const SOURCES: [&str; 6] = ["src", "cli/src", "cli/Cargo.toml", "cli/build.rs", "Cargo.toml", "Cargo.lock"];

fn main() {
    println!("cargo::rerun-if-env-changed=OKTA_PROXY_WASM_COMMIT");
    println!("cargo::rerun-if-env-changed=OKTA_PROXY_WASM_SOURCE_URL");
    let given = env::var("OKTA_PROXY_WASM_COMMIT").ok().filter(|commit| !commit.is_empty());
    let commit = given.or_else(commit_of_git).unwrap_or_else(|| String::from("unknown"));
    let is_commit = commit.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if !is_commit {
        println!("cargo::error=OKTA_PROXY_WASM_COMMIT is not a commit");
    }
    println!("cargo::rustc-env=OKTA_PROXY_WASM_COMMIT={commit}");
}

fn commit_of_git() -> Option<String> {
    // Without its own repository, the project may be in a folder of another one.
    if !git(&["rev-parse", "--show-prefix"])?.is_empty() {
        return None;
    }
    // A new commit changes the log of HEAD; a change of sources can make them differ from it.
    for path in ["HEAD", "logs/HEAD"] {
        println!("cargo::rerun-if-changed={}", git(&["rev-parse", "--path-format=absolute", "--git-path", path])?);
    }
    for path in SOURCES {
        println!("cargo::rerun-if-changed=../{path}");
    }
    let commit = git(&["rev-parse", "HEAD"])?;
    let is_changed = git(&[&["status", "--porcelain", "--"], &SOURCES[..]].concat())?;
    Some(if is_changed.is_empty() { commit } else { commit + "-dirty" })
}

/// The output of git in the project's folder.
fn git(arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    // Reading must not write the index: another git may run.
    let output = command.current_dir("..").env("GIT_OPTIONAL_LOCKS", "0").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
