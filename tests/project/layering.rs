//! The shape of the code, tested: imports point one way, `proxy_wasm` stays in `host/`, no file of the core
//! reads a clock, files stay small, and every path in `ARCHITECTURE.md` exists.

use std::fs;
use std::path::{Path, PathBuf};

/// Which modules each module may name. The base files may be named by all.
const MAY_NAME: [(&str, &[&str]); 13] = [
    ("jose", &[]),
    ("cel", &[]),
    ("policy", &["cel", "jose"]),
    ("analysis", &["policy", "cel"]),
    ("config", &["analysis", "policy", "cel", "jose"]),
    ("lookup", &["policy"]),
    ("keys", &["lookup", "policy", "jose", "telemetry"]),
    ("introspection", &["lookup", "policy", "jose", "telemetry"]),
    ("revocation", &["lookup", "policy", "jose"]),
    ("replay", &["lookup"]),
    ("engine", &["keys", "introspection", "replay", "revocation", "lookup", "policy", "jose", "telemetry"]),
    ("telemetry", &[]),
    ("host", &["engine", "lookup", "config", "telemetry"]),
];
const BASE: [&str; 15] = [
    "authority",
    "callout",
    "civil_date",
    "encoding",
    "http",
    "http_uri",
    "json_path",
    "randomness",
    "memory",
    "redacted",
    "sequence",
    "spelling",
    "thumbprint",
    "unix_time",
    "wake_slots",
];
const LONGEST_FILE: usize = 450;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root().join("src")).unwrap().to_owned(), text));
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join("src"), &mut found);
    assert!(found.len() > 20, "the sources were not found");
    found
}

/// The code without comments, so that a doc link is no import.
fn code(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

fn module_of(path: &Path) -> String {
    path.iter().next().unwrap().to_string_lossy().trim_end_matches(".rs").to_owned()
}

/// The modules that a text names: `crate::module`, also inside `use crate::{…}`.
fn modules_named(text: &str) -> Vec<String> {
    let code = code(text);
    assert!(!code.contains("use crate::{"), "write one `use crate::module` a line: this test reads them");
    let is_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
    code.split("crate::")
        .skip(1)
        .map(|rest| rest.chars().take_while(|character| is_name(*character)).collect())
        .collect()
}

#[test]
fn imports_point_down_only() {
    for (path, text) in sources() {
        let module = module_of(&path);
        let Some((_, allowed)) = MAY_NAME.iter().find(|(name, _)| *name == module) else {
            assert!(
                BASE.contains(&module.as_str()) || module == "lib",
                "{}: a module this test does not know",
                path.display()
            );
            continue;
        };
        for named in modules_named(&text) {
            let down = named == module || allowed.contains(&named.as_str()) || BASE.contains(&named.as_str());
            assert!(down, "{}: `{module}` may not name `{named}`", path.display());
        }
    }
}

#[test]
fn base_files_import_no_module() {
    for (path, text) in sources() {
        if BASE.contains(&module_of(&path).as_str()) {
            let modules: Vec<_> =
                modules_named(&text).into_iter().filter(|named| !BASE.contains(&named.as_str())).collect();
            assert_eq!(modules, Vec::<String>::new(), "{}", path.display());
        }
    }
}

#[test]
fn the_host_interface_and_clocks_stay_out_of_the_core() {
    for (path, text) in sources() {
        if module_of(&path) == "host" {
            continue;
        }
        for foreign in
            ["proxy_wasm", "SystemTime", "Instant::", "RandomState", "std::env", "std::fs", "std::net", "thread::"]
        {
            let code = code(&text).replace("okta_proxy_wasm", "us");
            assert!(!code.contains(foreign), "{}: names {foreign}", path.display());
        }
    }
}

#[test]
fn no_file_is_longer_than_the_limit() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= LONGEST_FILE, "{}: {lines} lines", path.display());
    }
}

#[test]
fn every_file_begins_with_its_responsibility() {
    for (path, text) in sources() {
        let is_test = path.to_string_lossy().ends_with("tests.rs");
        assert!(is_test || text.starts_with("//! "), "{}: no module documentation", path.display());
    }
}

#[test]
fn architecture_names_only_existing_paths() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    assert!(text.lines().count() <= 120, "ARCHITECTURE.md is longer than 120 lines");
    let mut checked = 0;
    for quoted in text.split('`').skip(1).step_by(2) {
        let folder = quoted.split('/').next().unwrap_or_default();
        if [
            "src",
            "tests",
            "cli",
            "envoy",
            "examples",
            "benches",
            "link",
            "packaging",
            "deploy",
            "docs",
            ".ci",
            ".cargo",
        ]
        .contains(&folder)
            && !quoted.contains(['*', ' '])
        {
            assert!(root().join(quoted).exists(), "ARCHITECTURE.md names {quoted}");
            checked += 1;
        }
    }
    assert!(checked > 10, "only {checked} paths found");
}

#[test]
fn every_glob_of_the_mutation_tests_matches_a_file() {
    let text = fs::read_to_string(root().join(".cargo/mutants.toml")).unwrap();
    let globs = text.lines().find_map(|line| line.strip_prefix("examine_globs = ")).expect("examine_globs");
    let globs: Vec<&str> = globs.split('"').skip(1).step_by(2).collect();
    assert!(globs.len() > 10, "{globs:?}");
    for glob in globs {
        let fixed = glob.split('*').next().unwrap();
        assert!(root().join(fixed).exists(), ".cargo/mutants.toml names {glob}");
    }
}

#[test]
fn every_test_in_the_list_of_failures_exists() {
    let page = fs::read_to_string(root().join("docs/failures-of-other-gateways.md")).unwrap();
    let mut tests = String::new();
    for folder in ["tests", "src"] {
        collect(&root().join(folder), &mut tests);
    }
    let mut checked = 0;
    for row in page.lines().filter(|line| line.starts_with("| ")) {
        for name in row.split('`').skip(1).step_by(2).filter(|name| name.matches('_').count() >= 4) {
            assert!(tests.contains(&format!("fn {name}(")), "docs/failures-of-other-gateways.md: no test {name}");
            checked += 1;
        }
    }
    assert!(checked >= 30, "only {checked} tests found");
}

fn collect(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "node_modules") {
            collect(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}
