//! Every configuration that a reader may copy is loaded: the JSON blocks of the documentation, the examples'
//! plugin.json, and the bootstrap under `envoy/`, which the real Envoy validates too (`tests/e2e_examples.rs` runs the
//! others).

#![allow(missing_docs, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::iter;
use std::path::{Path, PathBuf};

use okta_proxy_wasm::config::{self, manual};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn assert_loads(name: &str, document: &str) {
    let environment = |name: &str| {
        let key = include_str!("data/keys/rsa-2048-a.pem");
        Some(if name.ends_with("_PRIVATE_KEY") { key.to_owned() } else { String::from("set") })
    };
    if let Err(faults) = config::load(document.as_bytes(), &environment) {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        panic!("{name}: {}\n{document}", faults.join("\n"));
    }
    let value = serde_json::from_str(document).unwrap();
    for schema in [manual::json_schema(), manual::json_schema_draft_04()] {
        if let Err(fault) = jsonschema::validate(&schema, &value) {
            panic!("{name} is not by the schema: {fault} at {}\n{document}", fault.instance_path());
        }
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

/// `README.md` and the pages of `docs`.
fn pages() -> Vec<PathBuf> {
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    iter::once(root().join("README.md")).chain(pages).collect()
}

#[test]
fn every_json_block_of_the_readme_and_of_docs_is_a_configuration_that_loads() {
    let mut loaded = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let plain = blocks(&text, "json").into_iter();
        for block in plain.chain(blocks(&text, "jsonc").iter().map(|block| without_comments(block))) {
            assert_loads(&page.display().to_string(), &block);
            loaded += 1;
        }
    }
    assert!(loaded >= 8, "only {loaded} configurations found");
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

/// The bootstraps that a reader may copy, each with the plugin configuration that stands in it, and how often.
fn bootstraps() -> Vec<(PathBuf, String, Vec<String>)> {
    let folders = fs::read_dir(root().join("examples")).unwrap().map(|entry| entry.unwrap().path());
    let examples = folders.filter(|path| path.is_dir()).map(|folder| folder.join("envoy.yaml"));
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let plugins = plugin_configurations(&text);
        (path, text, plugins)
    };
    iter::once(root().join("envoy/envoy.yaml")).chain(examples).map(read).collect()
}

/// The blocks under `value: |`, without their indentation.
fn plugin_configurations(bootstrap: &str) -> Vec<String> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut found = Vec::new();
    let mut lines = bootstrap.lines().peekable();
    while let Some(line) = lines.next() {
        if line.trim() != "value: |" {
            continue;
        }
        let mut block = String::new();
        let inner = lines.peek().map_or(0, |first| indent(first));
        assert!(inner > indent(line), "the block under {line:?} is empty");
        while let Some(line) = lines.next_if(|line| line.trim().is_empty() || indent(line) >= inner) {
            block.push_str(line.get(inner..).unwrap_or_default());
            block.push('\n');
        }
        found.push(block);
    }
    found
}

#[test]
fn every_example_loads_and_its_envoy_yaml_holds_its_plugin_json_letter_by_letter() {
    let mut loaded = 0;
    for (path, _, plugins) in bootstraps().into_iter().skip(1) {
        let file = path.with_file_name("plugin.json");
        let plugin = fs::read_to_string(&file).unwrap();
        assert_loads(&file.display().to_string(), &plugin);
        assert!(!plugins.is_empty(), "{}: no `value: |`", path.display());
        for held in plugins {
            assert!(held == plugin, "{} is not what {} holds:\n{held}", file.display(), path.display());
        }
        loaded += 1;
    }
    assert!(loaded >= 2, "only {loaded} examples found");
}

#[test]
fn every_bootstrap_to_copy_keeps_what_the_promises_of_the_filter_rest_on() {
    for (path, text, _) in bootstraps() {
        for promised in [
            "failure_policy: FAIL_RELOAD",
            "use_remote_address: true",
            "normalize_path: true",
            "merge_slashes: true",
            "path_with_escaped_slashes_action: REJECT_REQUEST",
            "headers_with_underscores_action: DROP_HEADER",
            "match_typed_subject_alt_names",
            "trusted_ca",
            "circuit_breakers",
            "%REQ_WITHOUT_QUERY(",
        ] {
            assert!(text.contains(promised), "{} lacks {promised}", path.display());
        }
    }
}

#[test]
fn the_bootstrap_to_copy_holds_a_configuration_that_loads_and_envoy_accepts_it() {
    let (path, _, plugins) = bootstraps().remove(0);
    let [plugin] = plugins.as_slice() else { panic!("envoy/envoy.yaml holds {} configurations", plugins.len()) };
    assert_loads("envoy/envoy.yaml", plugin);
    testbed::envoy::validate(&path).unwrap();
}
