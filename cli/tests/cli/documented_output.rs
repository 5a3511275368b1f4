//! The outputs in `docs/continuous-integration.md` are those of the tool.

use std::fs;

use crate::tool::{root, run};

/// The text with `…` for what another build has: commit, digests and sizes.
fn without_build(text: &str) -> String {
    let line = |line: &str| {
        let (name, after) = line.split_once(": ").unwrap_or((line, ""));
        match name.trim() {
            "commit" | "sha256" => format!("{name}: …"),
            "configuration schema" => format!("{name}: sha256 …"),
            "size" => format!("{name}: … {}", after.split(' ').next_back().unwrap()),
            _ => line.to_owned(),
        }
    };
    text.lines().map(|text| line(text) + "\n").collect()
}

#[test]
fn every_documented_output_is_the_output_of_its_command() {
    let page = fs::read_to_string(root().join("docs/continuous-integration.md")).unwrap();
    let mut checked = 0;
    for block in page.split("```sh\n$ okta-proxy-wasm ").skip(1) {
        let (command, output) = block.split("```").next().unwrap().split_once('\n').unwrap();
        let arguments: Vec<&str> = command.split(' ').collect();
        let found = run(&arguments);
        let is_version = arguments[0] == "version";
        let stdout = if is_version { without_build(&found.stdout) } else { found.stdout.clone() };
        assert_eq!(stdout, output, "{command}: {}", found.transcript());
        checked += 1;
    }
    assert!(checked >= 5, "only {checked} outputs found");
}
