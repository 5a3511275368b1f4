//! The formats of files: JSON with comments, YAML, byte-order marks, several documents and several files.

use std::fs;
use std::path::Path;

use crate::tool::{root, run, run_with_input};

const STRICT: &str = r#"{
  "providers": {
    "okta": { "okta": { "domain": "acme.okta.com" }, "audiences": ["a"], "upstream": "okta" }
  }
}
"#;
const COMMENTED: &str = r#"// The issuer.
{
  "providers": { /* only one */
    "okta": { "okta": { "domain": "acme.okta.com" }, "audiences": ["a",], "upstream": "okta", },
  },
}
"#;
const YAML: &str = "# The issuer.\nproviders:\n  okta: &okta\n    okta: {domain: acme.okta.com}\n    audiences: [a]\n    upstream: okta\n";

fn file(folder: &Path, name: &str, text: &str) -> String {
    fs::write(folder.join(name), text).unwrap();
    folder.join(name).display().to_string()
}

#[test]
fn configuration_with_extensions_of_json_is_read_with_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text, reason) in [
        ("a.json", STRICT.to_owned(), None),
        ("b.json", COMMENTED.to_owned(), Some("not valid JSON: a comment, which JSON does not have; remove it")),
        ("c.json", format!("\u{feff}{STRICT}"), Some("not valid JSON: a byte-order mark; save the file as UTF-8")),
        ("d.yaml", YAML.to_owned(), Some("this file is YAML")),
        ("e.yml", format!("\u{feff}{YAML}"), Some("this file is YAML")),
    ] {
        let path = file(folder.path(), name, &text);
        let found = run(&["check", &path]);
        assert_eq!(found.status, 0, "{}", found.transcript());
        let expected = reason.map(|reason| format!(": warning: [not_strict_json] $: {reason}"));
        assert_eq!(found.stdout.contains("not_strict_json"), reason.is_some(), "{}", found.transcript());
        assert!(expected.is_none_or(|text| found.stdout.contains(&text)), "{}", found.transcript());
        // All other commands read it too, and the effective configuration is strict JSON.
        let effective = run(&["check", "--effective", &path]);
        assert!(serde_json::from_str::<serde_json::Value>(&effective.stdout).is_ok(), "{}", effective.transcript());
        let strict = file(folder.path(), "strict.json", &effective.stdout);
        assert_eq!(run(&["check", "--strict", &strict]).status, 0);
        assert_eq!(run(&["explain", "--config", &path]).status, 1, "{path}");
        assert_eq!(run(&["matrix", &path]).status, 0, "{path}");
        assert_eq!(run(&["diff", &path, &path]).status, 0, "{path}");
        let tests = format!(
            "\u{feff}{{ // The configuration.\n\"config\": {path:?}, \"cases\": [{{\"name\": \"a\", \"request\": \"GET /\", \"expect\": {{\"status\": 401}}}},]}}"
        );
        let tests = file(folder.path(), "tests.json", &tests);
        let tested = run(&["test", &tests]);
        assert_eq!(tested.status, 0, "{}", tested.transcript());
    }
}

#[test]
fn faults_have_the_positions_of_the_written_file() {
    for (text, line, column) in [
        (COMMENTED.replace("audiences", "audience"), 4, 54),
        (YAML.replace("audiences", "audience"), 5, 5),
        // Of an alias, where it is written.
        (format!("{}  other: *okta\n", YAML.replace("audiences", "audience")), 5, 5),
    ] {
        let found = run_with_input(&["check", "-"], &text);
        assert_eq!(found.status, 1, "{}", found.transcript());
        let expected = format!("  -:{line}:{column}: $.providers.okta.audience: ");
        assert!(found.stdout.contains(&expected), "{expected}: {}", found.transcript());
    }
}

#[test]
fn a_file_that_is_no_json_is_reported_by_the_filter() {
    for text in [STRICT.replace("}\n}", "\n"), STRICT.replace("\"okta\": {", "'okta': {"), String::from("{a: b}")] {
        let folder = tempfile::tempdir().unwrap();
        let found = run(&["check", &file(folder.path(), "plugin.json", &text)]);
        assert_eq!(found.status, 1, "{}", found.transcript());
        assert!(
            found.stdout.contains("1 fault") && !found.stdout.contains("not_strict_json"),
            "{}",
            found.transcript()
        );
    }
    // In a text of a host, the line is that of the file.
    let yaml = fs::read_to_string(root().join("examples/okta/envoy.yaml"))
        .unwrap()
        .replace("\"audiences\": [", "'audiences': [");
    let line = 1 + yaml.lines().position(|line| line.contains("'audiences'")).unwrap();
    let column = 1 + yaml.lines().nth(line - 1).unwrap().find("'audiences'").unwrap();
    let found = run_with_input(&["check", "-"], &yaml);
    assert!(found.stdout.contains(&format!("  -:{line}:{column}: $: not valid JSON")), "{}", found.transcript());
    // A duplicate member in a file with comments, too.
    let found =
        run_with_input(&["check", "-"], &COMMENTED.replace("\"audiences\"", "\"upstream\": \"x\", \"audiences\""));
    assert_eq!(found.status, 1, "{}", found.transcript());
    assert!(found.stdout.contains("1 fault"), "{}", found.transcript());
}

#[test]
fn text_that_the_filter_receives_as_it_is_must_be_strict_json() {
    let yaml = fs::read_to_string(root().join("examples/okta/envoy.yaml")).unwrap();
    let commented = yaml.replace("\"audiences\": [", "/* x */ \"audiences\": [");
    assert_ne!(yaml, commented);
    let istio = "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nspec:\n  url: file:///okta_proxy_wasm.wasm\n  phase: AUTHN\n  pluginConfig: |\n    ";
    let istio = |text: &str| format!("{istio}{}\n", text.trim_end().replace('\n', "\n    "));
    for (text, status) in [(yaml, 0), (commented, 1), (istio(COMMENTED), 1), (istio(STRICT), 0)] {
        let found = run_with_input(&["check", "-"], &text);
        assert_eq!(found.status, status, "{text}: {}", found.transcript());
    }
}

#[test]
fn positions_in_texts_are_those_of_the_file() {
    let plugin =
        r#"{"providers": {"okta": {"okta": {"domain": "acme.okta.com"}, "audience": ["it's"], "upstream": "okta"}}}"#;
    let head = "kind: X\n---\napiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nspec:\n  url: file:///okta_proxy_wasm.wasm\n  phase: AUTHN\n";
    let yaml = "providers:\n        okta:\n          okta: {domain: acme.okta.com}\n          audience: [a]\n          upstream: okta";
    for written in [
        format!("pluginConfig: '{}'", plugin.replace('\'', "''")),
        format!("pluginConfig: {plugin:?}"),
        format!("pluginConfig: {plugin}"),
        format!(
            "pluginConfig: |-\n\n      {}",
            plugin.replace("{\"okta\": {\"domain", "\n\n       {\"okta\": {\"domain")
        ),
        format!("pluginConfig:\n      {yaml}"),
    ] {
        let text = format!("{head}  {written}\n");
        let found = run_with_input(&["check", "-"], &text);
        assert_eq!(found.status, 1, "{text}: {}", found.transcript());
        let (line, column) = text
            .lines()
            .enumerate()
            .find_map(|(index, line)| {
                let at = line.find("audience")?;
                let quote = if line[..at].ends_with("\\\"") { 2 } else { usize::from(line[..at].ends_with('"')) };
                Some((index + 1, at + 1 - quote))
            })
            .unwrap();
        let expected = format!("  -:{line}:{column}: $.providers.okta.audience: ");
        assert!(found.stdout.contains(&expected), "{expected}: {}\n{text}", found.transcript());
    }
    // Equal configurations in two documents have their own lines.
    let one = format!("{}  pluginConfig:\n      {yaml}\n", head.split_once("---\n").unwrap().1);
    let found = run_with_input(&["check", "-"], &format!("{one}---\n{one}"));
    let lines = one.lines().count();
    let first = 1 + one.lines().position(|line| line.contains("audience")).unwrap();
    for line in [first, first + lines + 1] {
        assert!(
            found.stdout.contains(&format!("  -:{line}:11: $.providers.okta.audience: ")),
            "{}",
            found.transcript()
        );
    }
}

#[test]
fn yaml_that_two_readers_read_differently_is_a_fault_or_a_warning() {
    let yaml = fs::read_to_string(root().join("envoy/envoy.yaml")).unwrap();
    let duplicate = yaml.replace(
        "          use_remote_address: true\n",
        "          use_remote_address: true\n          use_remote_address: false\n",
    );
    let found = run_with_input(&["check", "-"], &duplicate);
    assert_eq!(found.status, 2, "{}", found.transcript());
    let line = 1 + duplicate.lines().position(|line| line.contains("use_remote_address: false")).unwrap();
    let expected = format!("-:{line}:11: not valid YAML: duplicate member \"use_remote_address\"");
    assert!(found.stderr.contains(&expected), "{expected}: {}", found.transcript());
    let word = run_with_input(&["check", "-"], &yaml.replace("normalize_path: true", "normalize_path: yes"));
    assert!(word.stdout.contains("[yaml_boolean_word]"), "{}", word.transcript());
    let quoted = run_with_input(&["check", "-"], &yaml.replace("stat_prefix: api", "stat_prefix: 'yes'"));
    assert!(!quoted.stdout.contains("warning:"), "{}", quoted.transcript());
}

#[test]
fn aliases_and_depth_are_bounded() {
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        let before = level - 1;
        laughs.push_str(&format!("a{level}: &a{level} [{}]\n", vec![format!("*a{before}"); 10].join(", ")));
    }
    for text in [laughs, "[".repeat(5000), format!("a: {}", "[".repeat(5000)), String::from("a: &a [*a]\n")] {
        let found = run_with_input(&["check", "-"], &text);
        assert!([1, 2].contains(&found.status), "{}", found.transcript());
    }
}

#[test]
fn all_files_are_reported_and_those_without_a_plugin_are_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let good = file(folder.path(), "good.json", STRICT);
    let bad = file(folder.path(), "bad.json", &STRICT.replace("audiences", "audience"));
    let service = file(folder.path(), "service.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: x}\n");
    let broken = file(folder.path(), "broken.yaml", "a: [1\nb: 2\n");
    let missing = folder.path().join("missing.yaml").display().to_string();
    let found = run(&["check", &service, &broken, &missing, &good, &bad]);
    assert_eq!(found.status, 2, "{}", found.transcript());
    for said in [format!("{good}: no fault"), format!("{bad}: 2 faults")] {
        assert!(found.stdout.contains(&said), "{said}: {}", found.transcript());
    }
    for said in [
        format!("{service}: skipped: no okta-proxy-wasm plugin in this file"),
        String::from("2 files cannot be read:"),
        format!("{broken}:2:"),
        missing,
    ] {
        assert!(found.stderr.contains(&said), "{said}: {}", found.transcript());
    }
    let found = run(&["check", &service, &good]);
    assert_eq!(found.status, 0, "{}", found.transcript());
    let found = run(&["check", &service]);
    assert_eq!(found.status, 2, "{}", found.transcript());
    assert!(found.stderr.contains("no okta-proxy-wasm plugin in this file"), "{}", found.transcript());
    // GitHub executes commands on standard error too.
    let noted = run(&["check", "--format", "github", &service, &good]);
    assert!(noted.stderr.is_empty(), "{}", noted.transcript());
    let note =
        format!("::notice file={service},title=okta-proxy-wasm%3A skipped::no okta-proxy-wasm plugin in this file\n");
    assert!(noted.stdout.contains(&note), "{}", noted.transcript());
}

#[test]
fn policy_tests_name_the_line_of_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    let tests = "config: x.json\ncases:\n- name: a\n  request: GET /\n  expect: {stauts: 401}\n";
    let path = file(folder.path(), "tests.yaml", tests);
    let found = run(&["test", &path]);
    assert_eq!(found.status, 2, "{}", found.transcript());
    let expected = format!("{path}:5:12: $.cases[0].expect.stauts: unknown field `stauts`");
    assert!(found.stderr.contains(&expected), "{expected}: {}", found.transcript());
}
