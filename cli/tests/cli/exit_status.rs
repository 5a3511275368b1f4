//! Every exit status of every command: it occurs, and `--help`, the manual page and the documentation name it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::tool::{root, run};

const CONFIG: &str = "examples/okta/plugin.json";
const FAULTY: &str = "tests/data/faults/everything_at_once.json";
const MODULE: &str = "dist/okta_proxy_wasm.wasm";
const OTHER_DIGEST: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Command lines with their exit statuses. `FOLDER` is a new folder. No input makes `init` write a configuration that
/// fails its own tests: its status 1 is checked by none of these.
const RUNS: [(&[&str], i32); 36] = [
    (&["check", CONFIG], 0),
    (&["check", FAULTY], 1),
    (&["check", "--strict", "--assume-env", "deploy/kong/kong.yaml"], 1),
    (&["check", "no-such-file"], 2),
    (&["check"], 2),
    (&["init", "FOLDER", "--domain", "a.okta.com", "--audience", "api", "--host", "istio"], 0),
    (&["init", "FOLDER", "--domain", "a b", "--audience", "api", "--host", "istio"], 2),
    (&["explain", "--config", "examples/microservices/plugin.json", "--request", "GET /healthz"], 0),
    (&["explain", "--config", CONFIG, "--request", "GET /orders"], 1),
    (&["explain", "--config", "no-such-file"], 2),
    (&["matrix", CONFIG], 0),
    (&["matrix", "no-such-file"], 2),
    (&["diff", CONFIG, CONFIG], 0),
    (&["diff", CONFIG, "examples/microservices/plugin.json"], 1),
    (&["diff", CONFIG, FAULTY], 2),
    (&["test", "examples/okta/policy-tests.yaml"], 0),
    (&["test", "FOLDER/failing.yaml"], 1),
    (&["test", "no-such-file"], 2),
    (&["import", "--from", "istio", "cli/tests/data/import/istio.yaml"], 0),
    (&["import", "--from", "istio", "FOLDER/kong.yaml"], 1),
    (&["import", "--from", "istio", "no-such-file"], 2),
    (&["schema"], 0),
    (&["schema", "--draft", "03"], 2),
    (&["completions", "zsh"], 0),
    (&["completions", "csh"], 2),
    (&["man"], 0),
    (&["man", "FOLDER/man"], 0),
    (&["man", "Cargo.toml/man"], 2),
    (&["version"], 0),
    (&["version", "--module", MODULE], 0),
    (&["version", "--module", CONFIG], 1),
    (&["version", "--module", MODULE, "--sha256", OTHER_DIGEST], 1),
    (&["version", "--module", "no-such-file"], 2),
    (&["version", "--sha256", OTHER_DIGEST], 2),
    (&["--version"], 0),
    (&["no-such-command"], 2),
];

#[test]
fn each_command_ends_with_each_of_its_exit_statuses_and_no_other() {
    let mut occurred: BTreeMap<&str, BTreeSet<i32>> = BTreeMap::new();
    for (arguments, status) in RUNS {
        let folder = tempfile::tempdir().unwrap();
        let failing = format!(
            "config: {}\ncases: [{{ name: a, request: GET /, expect: {{ decision: allow }} }}]\n",
            root().join(CONFIG).display()
        );
        fs::write(folder.path().join("failing.yaml"), failing).unwrap();
        fs::write(folder.path().join("kong.yaml"), "kind: KongPlugin\nplugin: openid-connect\n").unwrap();
        let place = folder.path().to_str().unwrap();
        let arguments: Vec<String> = arguments.iter().map(|argument| argument.replace("FOLDER", place)).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let found = run(&arguments);
        assert_eq!(found.status, status, "{arguments:?}: {}", found.transcript());
        let command = RUNS.iter().map(|(arguments, _)| arguments[0]).find(|name| *name == arguments[0]).unwrap();
        occurred.entry(command).or_default().insert(status);
    }
    occurred.retain(|command, _| !command.starts_with('-') && *command != "no-such-command");
    for command in commands() {
        let mut documented: BTreeSet<i32> = listed(&run(&[&command, "--help"]).stdout).into_keys().collect();
        if command == "init" {
            assert!(documented.remove(&1));
        }
        assert_eq!(occurred.get(command.as_str()), Some(&documented), "{command}");
    }
}

/// The subcommands that `--help` lists.
fn commands() -> Vec<String> {
    let help = run(&["--help"]).stdout;
    let lines = help.split("Commands:\n").nth(1).unwrap().lines().take_while(|line| !line.is_empty());
    // The continuation of a long description is indented further.
    let lines = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = lines.map(|line| line.trim().split(' ').next().unwrap().to_owned());
    let names: Vec<String> = names.filter(|name| name != "help").collect();
    assert!(names.len() > 9, "{help}");
    names
}

/// The exit statuses at the end of a help text, with their meanings.
fn listed(help: &str) -> BTreeMap<i32, String> {
    let lines = help.split("Exit status:\n").nth(1).unwrap_or_else(|| panic!("no exit status: {help}")).lines();
    let read = |line: &str| {
        let (code, meaning) = line.trim().split_once(' ').unwrap();
        (code.parse().unwrap(), meaning.to_owned())
    };
    lines.map(read).collect()
}

#[test]
fn documentation_and_manual_pages_have_the_exit_statuses_of_the_help_texts() {
    let page = fs::read_to_string(root().join("docs/command-line.md")).unwrap();
    let section = page.split("\n## Exit status\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in section.lines().filter(|line| line.starts_with("| `")) {
        let mut cells = line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned());
        rows.insert(cells.next().unwrap().trim_matches('`').to_owned(), cells.collect());
    }
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run(&["man", folder.path().to_str().unwrap()]).status, 0);
    let commands = commands();
    assert_eq!(rows.keys().collect::<BTreeSet<_>>(), commands.iter().collect::<BTreeSet<_>>());
    for command in commands {
        let listed = listed(&run(&[&command, "--help"]).stdout);
        let expected: Vec<String> =
            (0..3).map(|code| listed.get(&code).cloned().unwrap_or_else(|| String::from("–"))).collect();
        assert_eq!(rows[&command], expected, "{command}");
        let manual = fs::read_to_string(folder.path().join(format!("okta-proxy-wasm-{command}.1"))).unwrap();
        for (code, meaning) in listed {
            let text = manual.replace('\\', "");
            assert!(text.contains(&format!("fB{code}fR\n{meaning}.")), "{command}: {manual}");
        }
    }
    let general = listed(&run(&["--help"]).stdout);
    for (code, meaning) in general {
        assert!(section.contains(&format!("* **{code}**: {meaning}")), "{code} {meaning}");
    }
}
