//! Every configuration that a reader may copy is loaded: the JSON blocks of the documentation, the examples'
//! plugin.json, and the bootstrap under `envoy/`, which the real Envoy validates too.

#![allow(missing_docs, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::{Path, PathBuf};

use okta_proxy_wasm::config;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn assert_loads(name: &str, document: &str) {
    if let Err(faults) = config::load(document.as_bytes()) {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        panic!("{name}: {}\n{document}", faults.join("\n"));
    }
}

/// The fenced blocks of a language in a Markdown text.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim_start() == format!("```{language}") {
            let block: Vec<&str> = lines.by_ref().take_while(|line| line.trim_start() != "```").collect();
            found.push(block.join("\n"));
        }
    }
    found
}

/// `jsonc` is JSON with `//` comments; no string of ours holds two slashes behind a blank.
fn without_comments(text: &str) -> String {
    let strip = |line: &str| match line.find(" //") {
        Some(at) => line[..at].to_owned(),
        None if line.trim_start().starts_with("//") => String::new(),
        None => line.to_owned(),
    };
    text.lines().map(strip).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_json_block_of_the_readme_is_a_configuration_that_loads() {
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    let mut loaded = 0;
    for block in blocks(&text, "json") {
        assert_loads("README.md", &block);
        loaded += 1;
    }
    for block in blocks(&text, "jsonc") {
        assert_loads("README.md", &without_comments(&block));
        loaded += 1;
    }
    assert!(loaded >= 2, "only {loaded} configurations found");
}

/// The fields that a file's `document!`s have, by the names that the operator writes.
fn fields(schema: &str) -> Vec<String> {
    let field = |line: &str| {
        let (left, kind) = line.strip_prefix("        ")?.split_once(": ")?;
        let name = left.split_once(" as ").map_or(left, |(_, written)| written.trim_matches('"'));
        let is_name =
            !name.is_empty() && name.chars().all(|character| character.is_ascii_lowercase() || character == '_');
        (kind.ends_with(',') && is_name).then(|| name.to_owned())
    };
    let mut found = Vec::new();
    for document in schema.split("\ndocument! {\n").skip(1) {
        found.extend(document.lines().take_while(|line| *line != "}").filter_map(field));
    }
    found
}

#[test]
fn every_field_of_the_document_is_in_the_readme() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let mut files = vec![root().join("src/config/schema.rs")];
    files.extend(fs::read_dir(root().join("src/config/schema")).unwrap().map(|entry| entry.unwrap().path()));
    let mut checked = 0;
    for file in files {
        let names = fields(&fs::read_to_string(&file).unwrap());
        assert!(!names.is_empty(), "no fields found in {}", file.display());
        for name in names {
            let forms = [format!("`{name}`"), format!(".{name}`"), format!("\"{name}\"")];
            assert!(forms.iter().any(|form| readme.contains(form)), "README.md does not name `{name}`");
            checked += 1;
        }
    }
    assert!(checked >= 65, "only {checked} fields found");
}

#[test]
fn every_example_loads() {
    let mut loaded = 0;
    for entry in fs::read_dir(root().join("examples")).unwrap() {
        let plugin = entry.unwrap().path().join("plugin.json");
        assert_loads(&plugin.display().to_string(), &fs::read_to_string(&plugin).unwrap());
        loaded += 1;
    }
    assert!(loaded >= 1);
}

#[test]
fn the_bootstrap_to_copy_holds_a_configuration_that_loads_and_envoy_accepts_it() {
    let path = root().join("envoy/envoy.yaml");
    let text = fs::read_to_string(&path).unwrap();
    let marker = text.lines().position(|line| line.trim() == "value: |").unwrap();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let outer = indent(text.lines().nth(marker).unwrap());
    let document: Vec<&str> =
        text.lines().skip(marker + 1).take_while(|line| line.trim().is_empty() || indent(line) > outer).collect();
    assert_loads("envoy/envoy.yaml", &document.join("\n"));
    for promised in [
        "failure_policy: FAIL_RELOAD",
        "use_remote_address: true",
        "normalize_path: true",
        "merge_slashes: true",
        "path_with_escaped_slashes_action: REJECT_REQUEST",
        "match_typed_subject_alt_names",
        "trusted_ca",
        "circuit_breakers",
    ] {
        assert!(text.contains(promised), "envoy/envoy.yaml lacks {promised}");
    }
    testbed::envoy::validate(&path).unwrap();
}
