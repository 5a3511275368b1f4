//! `action.yml` and `.pre-commit-hooks.yaml`, as far as they can run here: the steps of the action under bash, with what
//! GitHub sets in the environment, and the entries of the hooks.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use regex_lite::Regex;
use serde_json::Value;
use tempfile::TempDir;

use crate::tool::{Run, root, run};

const TOOL: &str = env!("CARGO_BIN_EXE_okta-proxy-wasm");

fn action() -> Value {
    yaml_serde::from_str(&fs::read_to_string(root().join("action.yml")).unwrap()).unwrap()
}

/// A repository with a configuration that has no fault, and its tests, as a pull request finds it.
struct Repository {
    folder: TempDir,
    /// What GitHub gives to steps.
    runner: TempDir,
}

impl Repository {
    fn new() -> Self {
        let repository = Self { folder: tempfile::tempdir().unwrap(), runner: tempfile::tempdir().unwrap() };
        repository
            .write("plugin.json", &fs::read_to_string(root().join("examples/microservices/plugin.json")).unwrap());
        let tests = fs::read_to_string(root().join("examples/microservices/policy-tests.yaml")).unwrap();
        repository.write("policy-tests.yaml", &tests);
        repository.git(&["init", "--quiet"]);
        repository.commit();
        repository
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn git(&self, arguments: &[&str]) -> String {
        let identity = ["-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "commit.gpgsign=false"];
        let output =
            Command::new("git").args(identity).args(arguments).current_dir(self.folder.path()).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// A commit of everything, and its digest.
    fn commit(&self) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", "a"]);
        self.git(&["rev-parse", "HEAD"])
    }

    fn of_runner(&self, name: &str) -> String {
        fs::read_to_string(self.runner.path().join(name)).unwrap_or_default()
    }

    /// Runs the steps as the runner does: `bash --noprofile --norc -eo pipefail FILE`, up to the first that fails.
    fn run_action(&self, inputs: &[(&str, &str)]) -> Run {
        let action = action();
        let mut values: BTreeMap<String, String> = BTreeMap::new();
        for (name, input) in action["inputs"].as_object().unwrap() {
            let default = input["default"].as_str().unwrap_or_default();
            values.insert(format!("inputs.{name}"), if default.contains("${{") { "" } else { default }.to_owned());
        }
        for (name, value) in inputs {
            let known = values.insert(format!("inputs.{name}"), (*value).to_owned());
            assert!(known.is_some(), "no input {name}");
        }
        values.insert(String::from("github.action_repository"), String::from("acme/okta-proxy-wasm"));
        let mut whole = Run { status: 0, stdout: String::new(), stderr: String::new() };
        for step in action["runs"]["steps"].as_array().unwrap() {
            assert_eq!(step["shell"], "bash");
            let outputs = self.runner.path().join("output");
            fs::write(&outputs, "").unwrap();
            let script = self.runner.path().join("script.sh");
            fs::write(&script, step["run"].as_str().unwrap()).unwrap();
            let mut command = Command::new("bash");
            command.args(["--noprofile", "--norc", "-eo", "pipefail"]).arg(&script).current_dir(self.folder.path());
            for (name, value) in step["env"].as_object().unwrap() {
                let expression = value.as_str().unwrap().trim_start_matches("${{").trim_end_matches("}}").trim();
                command.env(name, values.get(expression).unwrap_or_else(|| panic!("{expression}")));
            }
            let path = format!("{}:{}", self.runner.path().display(), std::env::var("PATH").unwrap());
            command.env("PATH", path).env("GITHUB_ACTION_PATH", root()).env("RUNNER_TEMP", self.runner.path());
            command.env("GITHUB_OUTPUT", &outputs).env("GITHUB_SERVER_URL", "https://github.example");
            command.env("GITHUB_STEP_SUMMARY", self.runner.path().join("summary"));
            let output = command.output().unwrap();
            whole.status = output.status.code().unwrap();
            whole.stdout += &String::from_utf8(output.stdout).unwrap();
            whole.stderr += &String::from_utf8(output.stderr).unwrap();
            for line in fs::read_to_string(&outputs).unwrap().lines() {
                let (name, value) = line.split_once('=').unwrap();
                values.insert(format!("steps.{}.outputs.{name}", step["id"].as_str().unwrap()), value.to_owned());
            }
            if whole.status != 0 {
                break;
            }
        }
        whole
    }

    fn policy(&self, more: &[(&str, &str)]) -> Run {
        let fixed = [("command", TOOL), ("files", "plugin.json"), ("tests", "policy-tests.yaml")];
        self.run_action(&[&fixed[..], more].concat())
    }
}

#[test]
fn no_expression_is_part_of_a_command_and_every_input_is_used() {
    let action = action();
    let text = fs::read_to_string(root().join("action.yml")).unwrap();
    assert_eq!(action["runs"]["using"], "composite");
    for step in action["runs"]["steps"].as_array().unwrap() {
        assert!(!step["run"].as_str().unwrap().contains("${{"), "{step}");
        assert_eq!(step.get("uses"), None, "an action of others has to be pinned by a commit");
    }
    for (name, input) in action["inputs"].as_object().unwrap() {
        assert!(text.contains(&format!("${{{{ inputs.{name} }}}}")), "{name} is not used");
        assert!(input["description"].is_string(), "{name}");
    }
    let page = fs::read_to_string(root().join("docs/continuous-integration.md")).unwrap();
    for (name, input) in action["inputs"].as_object().unwrap() {
        let default = match input["default"].as_str() {
            None | Some("") => "–",
            Some(text) if text.contains("${{") => "the base of the pull request",
            Some(text) => &format!("`{text}`"),
        };
        let row = page.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("{name} is not documented"));
        assert_eq!(row.split(" | ").nth(1), Some(default), "{row}");
    }
}

#[test]
fn good_change_passes_and_its_differences_are_annotations() {
    let repository = Repository::new();
    let base = repository.git(&["rev-parse", "HEAD"]);
    let equal = repository.policy(&[("base", &base)]);
    assert_eq!(equal.status, 0, "{}", equal.transcript());
    assert!(repository.of_runner("output").contains("differences=false\n"));
    assert!(!equal.stdout.contains("::warning") && !equal.stdout.contains("::error"), "{}", equal.transcript());
    let summary = repository.of_runner("summary");
    for expected in ["### Check\n\n    plugin.json: no fault\n", "### Policy tests\n", "    no difference\n"] {
        assert!(summary.contains(expected), "{expected}: {summary}");
    }
    let sarif: Value = serde_json::from_str(&repository.of_runner("okta-proxy-wasm.sarif")).unwrap();
    assert_eq!(sarif["version"], "2.1.0");

    let text = fs::read_to_string(repository.folder.path().join("plugin.json")).unwrap();
    repository.write(
        "plugin.json",
        &text.replacen("\"rules\": [", "\"rules\": [{\"match\": {\"path\": \"/new\"}, \"access\": \"public\"},", 1),
    );
    repository.commit();
    let weaker = repository.policy(&[("base", &base)]);
    assert_eq!(weaker.status, 0, "{}", weaker.transcript());
    assert!(weaker.stdout.contains("::warning file=plugin.json,line="), "{}", weaker.transcript());
    assert!(weaker.stdout.contains("weaker: "), "{}", weaker.transcript());
    assert!(repository.of_runner("output").contains("differences=true\n"));
    assert_eq!(repository.policy(&[("base", &base), ("fail-on-difference", "true")]).status, 1);
    assert_eq!(repository.policy(&[("base", "HEAD"), ("fail-on-difference", "true")]).status, 0);
    // No work tree is left over.
    assert_eq!(repository.git(&["worktree", "list"]).lines().count(), 1);
}

#[test]
fn fault_and_failed_test_fail_the_step_with_annotations() {
    let repository = Repository::new();
    let base = repository.git(&["rev-parse", "HEAD"]);
    let good = fs::read_to_string(repository.folder.path().join("plugin.json")).unwrap();
    repository.write("plugin.json", &good.replacen("\"audiences\"", "\"audience\"", 1));
    let found = repository.policy(&[("tests", ""), ("base", &base)]);
    assert_eq!(found.status, 1, "{}", found.transcript());
    assert!(found.stdout.contains("::error file=plugin.json,line="), "{}", found.transcript());
    assert!(found.stdout.contains("::warning title=okta-proxy-wasm::plugin.json cannot be compared"));

    repository.write("plugin.json", &good);
    let tests = fs::read_to_string(repository.folder.path().join("policy-tests.yaml")).unwrap();
    repository.write("policy-tests.yaml", &tests.replacen("status: 401", "status: 418", 1));
    let found = repository.policy(&[("base", &base)]);
    assert_eq!(found.status, 1, "{}", found.transcript());
    assert!(found.stdout.contains("::error file=policy-tests.yaml,line="), "{}", found.transcript());

    // A base that no tool can read is no reason to reject the change that repairs it.
    repository.write("policy-tests.yaml", &tests);
    repository.write("plugin.json", "{");
    let broken = repository.commit();
    repository.write("plugin.json", &good);
    assert_eq!(repository.policy(&[("base", &broken)]).status, 0);
    assert_eq!(repository.policy(&[("base", &broken), ("fail-on-difference", "true")]).status, 1);
    // A new file has no base.
    repository.write("new.json", &good);
    let found = repository.policy(&[("files", "plugin.json\n\n  new.json  \n"), ("base", &base)]);
    assert_eq!(found.status, 0, "{}", found.transcript());
    assert!(found.stdout.contains("::notice title=okta-proxy-wasm::new.json is new"), "{}", found.transcript());
}

#[test]
fn hostile_inputs_are_neither_executed_nor_options_nor_commands_of_the_runner() {
    let repository = Repository::new();
    let hostile = "$(touch pwned)`touch pwned`; touch pwned #\"'${{ x }} --effective\n--effective\n-x\n::add-mask::a";
    for input in ["files", "tests", "base", "strict", "fail-on-difference"] {
        let found = repository.policy(&[(input, hostile)]);
        assert_eq!(found.status, 2, "{input}: {}", found.transcript());
        assert!(!found.stdout.contains("\n::add-mask::"), "{input}: {}", found.transcript());
        assert!(!found.stderr.contains("::add-mask::"), "{input}: {}", found.transcript());
    }
    for input in ["command", "version", "sha256", "repository"] {
        let given = [("command", ""), ("version", "0.1.0"), ("sha256", &"0".repeat(64)), (input, hostile)];
        let found = repository.run_action(&[&[("files", "plugin.json")][..], &given].concat());
        assert_eq!(found.status, 2, "{input}: {}", found.transcript());
        assert!(!found.stdout.contains("\n::add-mask::"), "{input}: {}", found.transcript());
    }
    assert!(!repository.folder.path().join("pwned").exists() && !repository.runner.path().join("pwned").exists());
    assert_eq!(repository.policy(&[("files", " \n")]).status, 2);
}

/// A `curl` that takes the archive from a folder, and records its arguments.
fn stub_curl(repository: &Repository, archive: &Path) {
    let curl = repository.runner.path().join("curl");
    let text = format!(
        "#!/bin/bash\nprintf '%s\\n' \"$@\" >'{0}/curl-arguments'\nwhile [[ $1 != --output ]]; do shift; done\ncp '{1}' \"$2\"\n",
        repository.runner.path().display(),
        archive.display()
    );
    fs::write(&curl, text).unwrap();
    fs::set_permissions(&curl, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn release_is_downloaded_from_the_actions_repository_and_only_used_with_its_digest() {
    let repository = Repository::new();
    let made = tempfile::tempdir().unwrap();
    // The archive as `make package-cli` makes it, of a small program that runs the tool.
    let tool = made.path().join("tool");
    fs::write(&tool, format!("#!/bin/bash\nexec '{TOOL}' \"$@\"\n")).unwrap();
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    let package = |folder: &str| {
        let mut command = Command::new(root().join("packaging/cli-archive"));
        let output =
            command.arg(made.path().join(folder)).env("TOOL", &tool).env("SOURCE_DATE_EPOCH", "1").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        fs::read_to_string(made.path().join(folder).join("SHA256SUMS-CLI")).unwrap()
    };
    let sums = package("one");
    assert_eq!(sums, package("two"), "the archive depends on when it is made");
    let (digest, name) = sums.trim().split_once("  ").unwrap();
    assert_eq!(name, "okta-proxy-wasm-cli-0.1.0-x86_64-linux.tar.gz");
    stub_curl(&repository, &made.path().join("one").join(name));
    let inputs = [("files", "plugin.json"), ("version", "0.1.0")];
    let found = repository.run_action(&[&inputs[..], &[("sha256", digest)]].concat());
    assert_eq!(found.status, 0, "{}", found.transcript());
    assert!(found.stdout.starts_with("okta-proxy-wasm 0.1.0\n"), "{}", found.transcript());
    let arguments = repository.of_runner("curl-arguments");
    let url = "https://github.example/acme/okta-proxy-wasm/releases/download/v0.1.0/okta-proxy-wasm-cli-0.1.0-x86_64-linux.tar.gz";
    assert!(arguments.contains(url) && arguments.contains("=https"), "{arguments}");

    let other = repository.run_action(&[&inputs[..], &[("sha256", &"0".repeat(64))]].concat());
    assert_eq!(other.status, 2, "{}", other.transcript());
    assert!(other.stdout.contains("the archive has another digest"), "{}", other.transcript());
    assert_eq!(repository.run_action(&inputs).status, 2, "a release without a digest");
}

fn hooks() -> Vec<Value> {
    let text = fs::read_to_string(root().join(".pre-commit-hooks.yaml")).unwrap();
    let hooks: Value = yaml_serde::from_str(&text).unwrap();
    hooks.as_array().unwrap().clone()
}

#[test]
fn hooks_select_configurations_and_tests_and_run_the_installed_tool() {
    let matched = [
        ("plugin.json", [true, true]),
        ("gateway/plugin.yaml", [true, true]),
        ("deploy/okta-proxy-wasm.prod.json", [true, true]),
        ("policy-tests.yaml", [false, true]),
        ("gateway/policy-tests.yml", [false, true]),
        ("package.json", [false, false]),
        ("my-plugin.json", [false, false]),
        ("plugin.json.bak", [false, false]),
        ("okta-proxy-wasm/README.md", [false, false]),
        ("okta-proxy-wasm/values.yaml", [false, false]),
    ];
    let hooks = hooks();
    assert_eq!(hooks.len(), 2);
    for (index, hook) in hooks.iter().enumerate() {
        let files = Regex::new(hook["files"].as_str().unwrap()).unwrap();
        for (name, expected) in matched {
            assert_eq!(files.is_match(name), expected[index], "{}: {name}", hook["id"]);
        }
        assert_eq!(hook["language"], "system");
        let mut arguments: Vec<&str> = hook["entry"].as_str().unwrap().split(' ').skip(1).collect();
        arguments.extend(hook["args"].as_array().unwrap().iter().map(|argument| argument.as_str().unwrap()));
        let found = match hook["pass_filenames"].as_bool() {
            Some(false) => {
                let last = arguments.pop();
                assert_eq!(last, Some("policy-tests.yaml"));
                run(&[&arguments[..], &["examples/okta/policy-tests.yaml"]].concat())
            }
            _ => run(&[&arguments[..], &["examples/okta/plugin.json", "examples/microservices/plugin.json"]].concat()),
        };
        assert_eq!(found.status, 0, "{}", found.transcript());
    }
}
