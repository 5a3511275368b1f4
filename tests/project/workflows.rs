//! The GitHub workflows under `.github/`: third-party actions are pinned, no expression is interpolated into a command, and
//! no job has more permissions than it needs.

use std::fs;

use serde_json::Value;
use testbed::module::project_root;

/// The workflows, each with its name, text and jobs.
fn workflows() -> Vec<(String, String, Value)> {
    let folder = fs::read_dir(project_root().join(".github/workflows")).unwrap();
    let read = |path: std::path::PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let jobs = yaml_serde::from_str::<Value>(&text).unwrap();
        (path.file_name().unwrap().to_string_lossy().into_owned(), text, jobs)
    };
    let found: Vec<_> = folder.map(|entry| read(entry.unwrap().path())).collect();
    assert_eq!(found.len(), 2, "ci.yaml and release.yaml");
    found
}

/// A tag can be moved to other code, by whoever takes over the account that owns it.
#[test]
fn every_third_party_action_is_pinned_to_a_commit_with_its_version() {
    let mut checked = 0;
    for (name, text, _) in workflows() {
        for line in text.lines().filter(|line| line.contains("uses: ") && !line.contains("uses: ./")) {
            let (_, pinned) = line.split_once('@').unwrap_or_else(|| panic!("{name}: {line}"));
            let (commit, version) = pinned.split_once(" # v").unwrap_or_else(|| panic!("{name}: {line}"));
            assert!(commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}: {line}");
            assert!(version.starts_with(|first: char| first.is_ascii_digit()), "{name}: {line}");
            checked += 1;
        }
    }
    assert!(checked >= 5, "only {checked} actions found");
}

/// The name of a branch is a text that whoever proposes a change chooses; `${{ … }}` would make it part of a command.
#[test]
fn no_workflow_expression_is_interpolated_into_a_command() {
    for (name, _, workflow) in workflows() {
        for (job, steps) in workflow["jobs"].as_object().unwrap() {
            for step in steps["steps"].as_array().into_iter().flatten() {
                let command = step["run"].as_str().unwrap_or_default();
                assert!(!command.contains("${{"), "{name}, {job}: {command}");
            }
        }
    }
}

#[test]
fn only_publishing_jobs_have_write_permission() {
    for (name, _, workflow) in workflows() {
        let base = workflow["permissions"].as_object().unwrap_or_else(|| panic!("{name}: no permissions"));
        assert!(base.values().all(|right| right == "read"), "{name}: {base:?}");
        for (job, description) in workflow["jobs"].as_object().unwrap() {
            let rights = description["permissions"].as_object().cloned().unwrap_or_default();
            let writes: Vec<&String> =
                rights.iter().filter(|(_, right)| *right != "read").map(|(right, _)| right).collect();
            let wanted: &[&str] = if job == "publish" { &["contents", "id-token", "packages"] } else { &[] };
            assert_eq!(writes, wanted, "{name}, {job}");
        }
    }
}
