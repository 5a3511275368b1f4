//! Every configuration that a reader may copy is loaded: the JSON blocks of the documentation, the contents of its YAML blocks,
//! the examples' plugin.json, and the bootstrap under `envoy/`. The real Envoy validates that and every bootstrap in the
//! documentation (`tests/e2e/examples.rs` runs the others).

use std::fs;
use std::iter;
use std::path::PathBuf;

use crate::pages::{Block, blocks, pages_of_the_book, root};
use okta_proxy_wasm::analysis::WarningCode;
use okta_proxy_wasm::config::{self, reference};
use serde::Deserialize as _;
use serde_json::Value;
use testbed::TempDir;

/// Pages that describe a setting which always warns.
const WITH_WARNINGS: [(&str, WarningCode); 2] = [
    ("docs/answers.md", WarningCode::DebugResponses),
    ("docs/guides/issuers/cognito.md", WarningCode::InsecureSetting),
];

fn assert_loads(name: &str, document: &str) {
    let environment = |name: &str| {
        let key = include_str!("../data/keys/rsa-2048-a.pem");
        Some(if name.ends_with("_PRIVATE_KEY") { key.to_owned() } else { String::from("set-and-long-enough") })
    };
    match config::load(document.as_bytes(), &environment) {
        Ok(loaded) => {
            let is_about = |code: WarningCode| WITH_WARNINGS.contains(&(name, code));
            let warnings: Vec<String> =
                loaded.warnings.iter().filter(|warning| !is_about(warning.code)).map(ToString::to_string).collect();
            // Its bad examples: `tests/core/analysis.rs` compares each with its code.
            let is_expected = warnings.is_empty() || name == "docs/policy-analysis.md";
            assert!(is_expected, "{name}: {}\n{document}", warnings.join("\n"));
        }
        Err(faults) => {
            let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
            panic!("{name}: {}\n{document}", faults.join("\n"));
        }
    }
    let value = serde_json::from_str(document).unwrap();
    for schema in [reference::json_schema(), reference::json_schema_draft_04()] {
        if let Err(fault) = jsonschema::validate(&schema, &value) {
            panic!("{name} is not by the schema: {fault} at {}\n{document}", fault.instance_path());
        }
    }
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

/// The blocks of `README.md` and of the book, each with the page that it is on.
fn documented() -> Vec<(String, Block)> {
    let pages = iter::once(root().join("README.md")).chain(pages_of_the_book());
    let of_page = |page: PathBuf| {
        let name = page.strip_prefix(root()).unwrap().display().to_string();
        blocks(&fs::read_to_string(&page).unwrap()).into_iter().map(move |block| (name.clone(), block))
    };
    pages.flat_map(of_page).collect()
}

#[test]
fn every_json_block_of_the_documentation_is_a_configuration_that_loads() {
    let mut loaded = 0;
    for (page, block) in documented() {
        let text = match block.language.as_str() {
            "json" => block.text,
            "jsonc" => without_comments(&block.text),
            // A block of another name would be loaded by nobody. `theirs` is what readers come with.
            "" | "sh" | "yaml" | "yaml theirs" => continue,
            // Tokens, which `tests/project/issuer_guides.rs` signs and sends.
            token if token.starts_with("json token ") || token.starts_with("json rejected ") => continue,
            other => panic!("{page}: a block of {other:?}"),
        };
        assert_loads(&page, &text);
        loaded += 1;
    }
    assert!(loaded >= 20, "only {loaded} configurations found");
}

/// The plugin configurations in a YAML document: Istio's and Envoy Gateway's under their names, Envoy's as a text.
fn plugins_in(document: &Value, found: &mut Vec<String>) {
    let is_string_value = |members: &serde_json::Map<String, Value>| {
        members.get("@type").is_some_and(|kind| kind == "type.googleapis.com/google.protobuf.StringValue")
    };
    match document {
        Value::Object(members) => {
            if is_string_value(members) {
                found.push(members["value"].as_str().unwrap().to_owned());
            }
            for (name, member) in members {
                if name == "pluginConfig" {
                    found.push(member.to_string());
                } else {
                    plugins_in(member, found);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| plugins_in(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_yaml_block_of_the_documentation_parses_loads_and_envoy_accepts_its_bootstraps() {
    let (mut loaded, mut validated) = (0, 0);
    for (page, block) in documented() {
        if !block.language.starts_with("yaml") {
            continue;
        }
        for document in yaml_serde::Deserializer::from_str(&block.text) {
            let document = Value::deserialize(document).unwrap_or_else(|fault| panic!("{page}: {fault}"));
            let mut plugins = Vec::new();
            plugins_in(&document, &mut plugins);
            assert!(block.language == "yaml" || plugins.is_empty(), "{page}: ours is marked as theirs");
            plugins.iter().for_each(|plugin| assert_loads(&page, plugin));
            loaded += plugins.len();
            if document.get("static_resources").is_none() {
                continue;
            }
            if block.language == "yaml" {
                assert_keeps_promises(&page, &block.text);
            }
            let folder = TempDir::new().unwrap();
            let file = folder.path().join("envoy.yaml");
            fs::write(&file, &block.text).unwrap();
            testbed::envoy::validate(&file).unwrap_or_else(|fault| panic!("{page}: {fault}"));
            validated += 1;
        }
    }
    assert!(loaded >= 2 && validated >= 2, "{loaded} loaded, {validated} validated");
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
fn every_example_loads_and_its_envoy_yaml_embeds_its_plugin_json_verbatim() {
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

/// What the promises of the filter rest on, wherever it is configured.
fn assert_keeps_promises(name: &str, bootstrap: &str) {
    for promised in [
        "failure_policy: FAIL_RELOAD",
        "use_remote_address: true",
        "normalize_path: true",
        "merge_slashes: true",
        "path_with_escaped_slashes_action: REJECT_REQUEST",
        "headers_with_underscores_action: DROP_HEADER",
        "strip_any_host_port: true",
        "strip_trailing_host_dot: true",
        "match_typed_subject_alt_names",
        "trusted_ca",
        "circuit_breakers",
    ] {
        assert!(bootstrap.contains(promised), "{name} lacks {promised}");
    }
}

#[test]
fn every_documented_bootstrap_has_the_settings_that_the_filter_relies_on() {
    for (path, text, _) in bootstraps() {
        let name = path.display().to_string();
        assert_keeps_promises(&name, &text);
        // `tests/e2e/examples.rs` has it print requests with both.
        let cuts = text.matches(r#", "^([^?#]*)", "\\1"))%"#).count();
        assert!(cuts > 0 && cuts == text.matches("access_log:").count(), "{name} logs queries or fragments");
        for prints_both in ["%REQ(:PATH", "%REQ(X-ENVOY-ORIGINAL-PATH", "%REQ_WITHOUT_QUERY(", "%PATH(", "REFERER"] {
            assert!(!text.contains(prints_both), "{name} logs queries or fragments");
        }
    }
}

#[test]
fn documented_bootstrap_has_a_loadable_configuration_and_envoy_accepts_it() {
    let (path, _, plugins) = bootstraps().remove(0);
    let [plugin] = plugins.as_slice() else { panic!("envoy/envoy.yaml holds {} configurations", plugins.len()) };
    assert_loads("envoy/envoy.yaml", plugin);
    testbed::envoy::validate(&path).unwrap();
}
