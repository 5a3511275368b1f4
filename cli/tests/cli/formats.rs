//! The formats for other programs, each read by a parser or a schema that is not ours, also with hostile texts.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::tool::{Run, assert_golden, root, run, run_with_input};

/// What would end or begin something in one of the formats.
const HOSTILE: &str = "x\n::error file=y::z\r]]></failure>&<!--\"' # SKIP %0A \u{1b}[31m\u{9b}\u{fffe}\n  ...\nnot ok 9\nBail out!\u{2028}ä";

/// The schema that npm's `@microsoft/jest-sarif` brings along.
static SARIF: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
    let path = "tests/formats/node_modules/@microsoft/jest-sarif/lib/schemas/sarif-2.1.0-rtm.5.json";
    let text = fs::read_to_string(root().join(path)).expect("make setup installs tests/formats");
    // Two patterns have a `]` that only JavaScript allows. The logs have no such member.
    let schema: Value = serde_json::from_str(&text.replace("{2}]?$", "{2}?$")).unwrap();
    jsonschema::options().should_validate_formats(true).build(&schema).unwrap()
});

/// The run of a valid log with one run.
fn sarif_run(found: &Run) -> Value {
    let log = found.json();
    let faults: Vec<String> =
        SARIF.iter_errors(&log).map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
    assert!(faults.is_empty(), "{}\n{}", faults.join("\n"), found.transcript());
    let runs = log["runs"].as_array().unwrap();
    assert_eq!((runs.len(), log["version"].as_str()), (1, Some("2.1.0")));
    runs[0].clone()
}

/// An annotation: command, properties and message, as the runner of GitHub Actions reads a line.
fn annotations(output: &str) -> Vec<(String, Value, String)> {
    let unescaped = |text: &str| text.replace("%0A", "\n").replace("%0D", "\r").replace("%25", "%");
    let read = |line: &str| {
        let (head, message) = line.strip_prefix("::").unwrap_or_else(|| panic!("{line:?}")).split_once("::").unwrap();
        let (name, properties) = head.split_once(' ').unwrap();
        let mut read = json!({});
        for property in properties.split(',') {
            let (name, value) = property.split_once('=').unwrap();
            read[name] = json!(unescaped(&value.replace("%3A", ":").replace("%2C", ",")));
        }
        (name.to_owned(), read, unescaped(message))
    };
    output.lines().map(read).collect()
}

fn tap(output: &str) -> Value {
    let script = root().join("tests/formats/parse-tap.mjs");
    let mut node = Command::new("node").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    node.stdin.take().unwrap().write_all(output.as_bytes()).unwrap();
    let read = node.wait_with_output().unwrap();
    assert!(read.status.success());
    let read: Value = serde_json::from_slice(&read.stdout).unwrap();
    assert_eq!(read["faults"], json!([]), "{output}");
    read
}

fn xml(output: &str) -> roxmltree::Document<'_> {
    roxmltree::Document::parse(output).unwrap_or_else(|fault| panic!("{fault}: {output}"))
}

/// The runs of `check` that the formats are compared for: faults, warnings, both, none; of one file and of several.
const CHECKED: [&[&str]; 7] = [
    &["cli/tests/data/formats/plugin.json"],
    &["tests/data/faults/everything_at_once.json"],
    &["examples/okta/envoy.yaml", "examples/okta/plugin.json"],
    &["--strict", "examples/legacy-headers/envoy.yaml"],
    &["--assume-env", "deploy/nginx/nginx.conf"],
    &["--assume-env", "deploy/kong/kong.yaml", "tests/data/faults/everything_at_once.json"],
    &["--strict", "--assume-env", "deploy/kong/kong.yaml"],
];

/// The faults and warnings of `check --format json`, each with its kind and its configuration's location.
fn listed(found: &Run) -> Vec<(&'static str, Value)> {
    let mut listed = Vec::new();
    for configuration in found.json()["configurations"].as_array().unwrap() {
        for (kind, list) in [("error", "faults"), ("warning", "warnings")] {
            listed.extend(configuration[list].as_array().unwrap().iter().map(|one| (kind, one.clone())));
        }
    }
    listed
}

fn check_in(format: &str, arguments: &[&str]) -> Run {
    run(&[&["check", "--format", format], arguments].concat())
}

#[test]
fn sarif_of_check_is_valid_and_has_each_fault_and_warning() {
    for arguments in CHECKED {
        let (listed, found) = (listed(&check_in("json", arguments)), check_in("sarif", arguments));
        let sarif = sarif_run(&found);
        assert_eq!(sarif["columnKind"], "unicodeCodePoints");
        assert_eq!(sarif["invocations"], json!([{ "executionSuccessful": true, "exitCode": found.status }]));
        assert_eq!(sarif["automationDetails"]["id"], "okta-proxy-wasm/check/");
        let rules = sarif["tool"]["driver"]["rules"].as_array().unwrap();
        let results = sarif["results"].as_array().unwrap();
        assert_eq!(results.len(), listed.len());
        let mut fingerprints = Vec::new();
        for ((level, one), result) in listed.iter().zip(results) {
            assert_eq!((&result["level"], &result["ruleId"]), (&json!(level), &one["code"]));
            let rule = &rules[usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
            assert_eq!(rule["id"], one["code"]);
            assert!(rule["shortDescription"]["text"].as_str().unwrap().ends_with('.'), "{rule}");
            assert!(result["message"]["text"].as_str().unwrap().contains(one["message"].as_str().unwrap()));
            let location = &result["locations"][0];
            if !one["path"].is_null() {
                assert_eq!(location["logicalLocations"][0]["fullyQualifiedName"], one["path"]);
            }
            let physical = &location["physicalLocation"];
            let uri = physical["artifactLocation"]["uri"].as_str().unwrap();
            assert!(root().join(uri).is_file(), "{uri}");
            let line = if one["line"].is_null() { json!(1) } else { one["line"].clone() };
            assert_eq!(
                (&physical["region"]["startLine"], &physical["region"].get("startColumn")),
                (&line, &Some(&one["column"]).filter(|column| !column.is_null()))
            );
            fingerprints.push(result["partialFingerprints"].to_string());
        }
        fingerprints.sort();
        fingerprints.dedup();
        assert_eq!(fingerprints.len(), listed.len(), "{arguments:?}");
    }
}

#[test]
fn annotations_of_check_have_the_place_and_text_of_each_fault_and_warning() {
    for arguments in CHECKED {
        let (listed, found) = (listed(&check_in("json", arguments)), check_in("github", arguments));
        let read = annotations(&found.stdout);
        assert_eq!(read.len(), listed.len(), "{}", found.transcript());
        for ((kind, one), (name, properties, message)) in listed.iter().zip(&read) {
            assert_eq!(name, kind);
            assert!(message.contains(one["message"].as_str().unwrap()), "{message}");
            assert!(one["fix"].as_str().is_none_or(|fix| message.contains(fix)), "{message}");
            assert_eq!(properties["title"], format!("okta-proxy-wasm: {}", one["code"].as_str().unwrap()));
            let number = |value: &Value| value.as_u64().map(|number| json!(number.to_string())).unwrap_or_default();
            assert_eq!((&properties["line"], &properties["col"]), (&number(&one["line"]), &number(&one["column"])));
            assert!(root().join(properties["file"].as_str().unwrap()).is_file(), "{properties}");
        }
    }
}

#[test]
fn junit_of_check_has_a_failure_for_what_makes_the_exit_status_1() {
    for arguments in CHECKED {
        let (listed, found) = (listed(&check_in("json", arguments)), check_in("junit", arguments));
        let is_strict = arguments.contains(&"--strict");
        let expected = listed.iter().filter(|(kind, _)| *kind == "error" || is_strict).count();
        let read = xml(&found.stdout);
        let count = |tag: &str| read.descendants().filter(|node| node.has_tag_name(tag)).count();
        assert_eq!(count("failure"), expected, "{}", found.transcript());
        assert_eq!(read.root_element().attribute("failures"), Some(expected.to_string().as_str()));
        assert_eq!(count("system-out"), listed.len() - expected);
        assert_eq!(found.status, i32::from(expected > 0), "{arguments:?}");
        assert!(count("testcase") >= 1);
    }
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// An unknown field is part of the path, and the name of the file is of the user, too.
#[test]
fn hostile_names_in_a_configuration_do_not_break_a_format_of_check() {
    let folder = tempfile::tempdir().unwrap();
    let document = json!({ "providers": { HOSTILE: { HOSTILE: 1, "issuer": "x" } }, HOSTILE.repeat(200): 1 });
    let path = write(folder.path(), "a\n::error::b,c%]]>&.json", &document.to_string());
    let expected = listed(&check_in("json", &[&path]));
    assert!(expected.len() >= 3, "{expected:?}");
    assert_eq!(sarif_run(&check_in("sarif", &[&path]))["results"].as_array().unwrap().len(), expected.len());
    let read = annotations(&check_in("github", &[&path]).stdout);
    assert_eq!(read.len(), expected.len());
    assert!(read.iter().all(|(name, _, message)| name == "error" && message.len() < 20_000));
    let junit = check_in("junit", &[&path]);
    let failures = xml(&junit.stdout).descendants().filter(|node| node.has_tag_name("failure")).count();
    assert_eq!(failures, expected.len());
}

#[test]
fn hostile_names_do_not_break_a_format_of_test() {
    let folder = tempfile::tempdir().unwrap();
    let config = root().join("examples/microservices/plugin.json");
    let suite = json!({ "config": config, "cases": [
        { "name": HOSTILE, "request": "GET /healthz", "expect": { "decision": "deny", "challenge": HOSTILE } },
        { "name": format!("{HOSTILE} passes"), "request": "GET /healthz", "expect": { "decision": "allow" } },
        { "name": "x".repeat(100_000), "request": "GET /healthz", "expect": { "status": 401 } },
    ] });
    // YAML allows these characters as escapes only.
    let escaped = |character: char| match character {
        '\u{7f}'..='\u{ffff}' => format!("\\u{:04x}", u32::from(character)),
        other => other.to_string(),
    };
    let suite: String = suite.to_string().chars().map(escaped).collect();
    let path = write(folder.path(), "a # SKIP\n::b::]]>&.yaml", &suite);
    let test_in = |format: &str| run(&["test", "--format", format, &path]);
    let listed = test_in("json");
    assert_eq!(listed.status, 1, "{}", listed.transcript());
    let differences = listed.json()["suites"][0]["cases"][0]["differences"].clone();
    assert!(differences.to_string().contains("SKIP"), "{differences}");

    let read = tap(&test_in("tap").stdout);
    let points = read["points"].as_array().unwrap();
    let of = |name: &str| points.iter().map(|point| point[name].clone()).collect::<Vec<_>>();
    assert_eq!(of("ok"), [json!(false), json!(true), json!(false)]);
    assert_eq!((of("skip"), of("todo")), (vec![json!(false); 3], vec![json!(false); 3]));
    assert_eq!((&read["version"], &read["plan"], &read["bailout"]), (&json!(14), &json!([1, 3]), &Value::Null));
    assert_eq!(points[0]["diag"]["differences"], differences);
    assert_eq!(points[0]["diag"]["at"]["line"], 1);

    let junit = test_in("junit");
    let read = xml(&junit.stdout);
    let cases: Vec<_> = read.descendants().filter(|node| node.has_tag_name("testcase")).collect();
    assert_eq!(cases.len(), 3);
    assert!(cases[0].attribute("name").unwrap().contains("x\n::error file=y::z\r]]></failure>&<!--\"'"));
    assert_eq!(cases.iter().filter(|case| case.has_children()).count(), 2);

    let read = annotations(&test_in("github").stdout);
    let errors: Vec<_> = read.iter().filter(|(name, ..)| name == "error").collect();
    assert_eq!((errors.len(), read.len()), (2, 3));
    assert!(errors.iter().all(|(_, properties, message)| properties["line"] == "1" && message.len() < 20_000));
    assert_eq!(read[2].0, "notice");

    // On a terminal, and in the log of a build server, each case has its own lines.
    let text = test_in("text").stdout;
    assert!(!text.contains(['\u{1b}', '\r']) && !text.lines().any(|line| line.starts_with("::error")), "{text:?}");
}

/// Two configurations that differ in rules and settings.
fn changed(folder: &Path) -> (String, String) {
    let old = fs::read_to_string(root().join("examples/microservices/plugin.json")).unwrap();
    let new = old.replacen("\"orders:write\"", "\"orders:all\"", 1).replacen("\"api://default\"", "\"api://other\"", 1);
    assert_ne!(old, new);
    (write(folder, "old.json", &old), write(folder, "new.json", &new))
}

#[test]
fn differences_are_annotations_and_sarif_results_at_the_new_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = changed(folder.path());
    let diff_in = |format: &str| run(&["diff", "--format", format, &old, &new]);
    let listed = diff_in("json").json();
    let expected = listed["requests"].as_array().unwrap().len() + listed["settings"].as_array().unwrap().len();
    assert!(expected >= 2, "{listed:#}");

    let found = diff_in("sarif");
    let sarif = sarif_run(&found);
    let results = sarif["results"].as_array().unwrap();
    assert_eq!((found.status, results.len()), (1, expected));
    let text = fs::read_to_string(&new).unwrap();
    for result in results {
        let place = &result["locations"][0];
        assert_eq!(place["physicalLocation"]["artifactLocation"]["uri"], format!("file://{new}"));
        let line = usize::try_from(place["physicalLocation"]["region"]["startLine"].as_u64().unwrap()).unwrap();
        assert!(line > 1 && line <= text.lines().count(), "{result:#}");
    }

    let read = annotations(&diff_in("github").stdout);
    assert_eq!(read.len(), expected);
    assert!(read.iter().all(|(name, properties, _)| name != "error" && properties["file"] == new));

    // Without a difference, there is a log without results, and no annotation.
    assert_eq!(sarif_run(&run(&["diff", "--format", "sarif", &old, &old]))["results"], json!([]));
    let equal = run(&["diff", "--format", "github", &old, &old]);
    assert_eq!((equal.status, equal.stdout.as_str()), (0, ""));
}

#[test]
fn command_that_cannot_run_says_so_in_the_requested_format() {
    for (command, formats) in [
        (&["check", "no-such\n::error::file.json"][..], &["json", "sarif", "github", "junit"][..]),
        (&["test", "no-such\n::error::file.json"], &["json", "tap", "github", "junit"]),
        (&["diff", "no-such\n::error::file.json", "no-such.json"], &["json", "sarif", "github"]),
    ] {
        for format in formats {
            let found = run(&[command, &["--format", format]].concat());
            assert_eq!(found.status, 2, "{}", found.transcript());
            match *format {
                "json" => {
                    let json = found.json();
                    assert_eq!(json["ok"], false);
                    assert!(json["error"].as_str().unwrap().contains("No such file"), "{json}");
                }
                "sarif" => {
                    let invocation = &sarif_run(&found)["invocations"][0];
                    assert_eq!(
                        (&invocation["executionSuccessful"], &invocation["exitCode"]),
                        (&json!(false), &json!(2))
                    );
                    let text = invocation["toolExecutionNotifications"][0]["message"]["text"].as_str().unwrap();
                    assert!(text.contains("No such file"), "{text}");
                }
                "junit" => {
                    assert_eq!(xml(&found.stdout).root_element().attribute("errors"), Some("1"));
                }
                "tap" => assert!(tap(&found.stdout)["bailout"].as_str().unwrap().contains("No such file")),
                _ => {
                    let read = annotations(&found.stdout);
                    assert_eq!((read.len(), read[0].0.as_str()), (1, "error"));
                    assert_eq!(found.stderr, "", "the runner of GitHub Actions executes commands there, too");
                }
            }
        }
    }
}

#[test]
fn effective_configuration_has_no_format_of_build_servers() {
    let found = run(&["check", "--effective", "--format", "sarif", "examples/okta/plugin.json"]);
    assert_eq!(found.status, 2, "{}", found.transcript());
}

#[test]
fn standard_input_has_no_file_in_a_format() {
    let plugin = json!({ "providers": {}, "unknown": 1 }).to_string();
    // One with a fault of a cluster.
    let bootstrap = fs::read_to_string(root().join("envoy/envoy.yaml")).unwrap();
    let bootstrap = bootstrap.replace("sni: acme.okta.com", "sni: other.okta.com");
    for document in [plugin, bootstrap] {
        let sarif = sarif_run(&run_with_input(&["check", "--format", "sarif", "-"], &document));
        let results = sarif["results"].as_array().unwrap();
        assert!(!results.is_empty(), "{sarif}");
        assert!(results.iter().all(|one| one["locations"][0].get("physicalLocation").is_none()), "{results:?}");
        let read = annotations(&run_with_input(&["check", "--format", "github", "-"], &document).stdout);
        assert!(!read.is_empty() && read.iter().all(|(_, properties, _)| properties.get("file").is_none()), "{read:?}");
    }
}

/// The version is in the SARIF log only.
#[test]
fn formats_of_the_documented_example_are_the_documented_ones() {
    for format in ["sarif", "github", "junit"] {
        let found = check_in(format, &["--strict", "cli/tests/data/formats/plugin.json"]);
        assert_golden(&format!("check-{format}"), &found.transcript());
    }
}
