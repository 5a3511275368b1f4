//! `matrix` and `diff`: who may pass, and what a change decides differently.

use std::fs;
use std::path::Path;

use crate::tool::{assert_golden, examples, root, run};
use serde_json::{Value, json};

const CONFIG: &str = "examples/microservices/plugin.json";

#[test]
fn matrix_shows_who_may_pass_and_which_rule_decides() {
    let paths = ["--path", "/orders/7", "--path", "https://admin.acme.com/admin"];
    for format in ["text", "markdown", "json", "html"] {
        let found = run(&[&["matrix", CONFIG, "--format", format][..], &paths].concat());
        assert_eq!(found.status, 0, "{}", found.transcript());
        assert_golden(&format!("matrix-{format}"), &found.transcript());
    }
}

#[test]
fn matrix_of_every_example_has_a_line_for_each_rule() {
    for name in examples() {
        let config = format!("examples/{name}/plugin.json");
        let found = run(&["matrix", &config, "--format", "json"]);
        assert_eq!(found.status, 0, "{name}: {}", found.transcript());
        let document: Value = serde_json::from_slice(&fs::read(root().join(&config)).unwrap()).unwrap();
        let rules = document["rules"].as_array().map_or(0, Vec::len);
        let table = found.json();
        let rows = table["rows"].as_array().unwrap();
        for index in 0..rules {
            let start = format!("rules[{index}]");
            let is_own = |row: &&Value| {
                row["requests"].as_str().unwrap().starts_with(&start)
                    && row["methods"].as_array().unwrap().iter().any(|cell| cell["rule"] == start.as_str())
            };
            assert!(rows.iter().any(|row| is_own(&row)), "{name}: {start} decides nothing\n{}", found.transcript());
        }
    }
}

fn changed(directory: &Path, change: impl FnOnce(&mut Value)) -> String {
    let mut document: Value = serde_json::from_slice(&fs::read(root().join(CONFIG)).unwrap()).unwrap();
    change(&mut document);
    let path = directory.join("new.json");
    fs::write(&path, document.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn diff_names_an_example_for_each_change_and_sets_the_exit_status() {
    let directory = tempfile::tempdir().unwrap();
    let same = run(&["diff", CONFIG, &changed(directory.path(), |_| {})]);
    assert!(same.status == 0 && same.stdout.starts_with("no difference\n"), "{}", same.transcript());
    let new = changed(directory.path(), |document| {
        document["rules"][3]["require"].as_object_mut().unwrap().remove("scopes");
        document["rules"].as_array_mut().unwrap().remove(1);
        document["providers"]["okta"]["audiences"] = json!(["api://default", "api://other"]);
        document["responses"]["realm"] = json!("acme");
    });
    let found = run(&["diff", CONFIG, &new]);
    assert_eq!(found.status, 1, "{}", found.transcript());
    assert_golden("diff", &found.transcript());
    let found = run(&["diff", CONFIG, &new, "--format", "json"]);
    assert_eq!((found.status, &found.json()["ok"]), (1, &json!(false)), "{}", found.transcript());
    assert_eq!(found.json()["requests"][0]["change"], "weaker");
    let renamed = changed(directory.path(), |document| document["rules"][0]["name"] = json!("another-name"));
    assert_eq!(run(&["diff", CONFIG, &renamed]).status, 0, "a name decides nothing");
}

#[test]
fn diff_and_matrix_reject_a_faulty_configuration_with_exit_status_2() {
    for arguments in [&["diff", CONFIG, "tests/data/faults/rules_paths.json"][..], &["matrix", "no-such-file"]] {
        let found = run(arguments);
        assert_eq!(found.status, 2, "{}", found.transcript());
    }
}
