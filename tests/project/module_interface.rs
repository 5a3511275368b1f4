//! The exact imports and exports of the built module. One import more and a host rejects it (`std::fs` alone adds one that
//! Envoy 1.37 lacks); one export more and every request pays for an empty callback; one less and a request is forwarded
//! undecided.

#![allow(clippy::wildcard_enum_match_arm, reason = "a test")]

use std::collections::BTreeSet;

use wasmparser::{Parser, Payload};

const IMPORTS: &str = include_str!("../data/allowed_imports.txt");
const EXPORTS: &str = include_str!("../../link/exports.txt");

/// The entries of a list, without its comments.
fn entries(list: &str) -> BTreeSet<String> {
    let before_comment = list.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    before_comment.filter(|entry| !entry.is_empty()).map(str::to_owned).collect()
}

/// What the module imports, as `module.name`, and what it exports.
fn interface() -> (BTreeSet<String>, BTreeSet<String>) {
    let module = std::fs::read(testbed::module::wasm_module()).unwrap();
    let (mut imports, mut exports) = (BTreeSet::new(), BTreeSet::new());
    for payload in Parser::new(0).parse_all(&module) {
        match payload.unwrap() {
            Payload::ImportSection(section) => {
                let section = section.into_imports().map(Result::unwrap);
                imports.extend(section.map(|import| format!("{}.{}", import.module, import.name)));
            }
            Payload::ExportSection(section) => {
                exports.extend(section.into_iter().map(|export| export.unwrap().name.to_owned()));
            }
            _ => {}
        }
    }
    (imports, exports)
}

#[test]
fn module_imports_only_listed_functions() {
    let (imported, allowed) = (interface().0, entries(IMPORTS));
    let extra: Vec<&String> = imported.difference(&allowed).collect();
    assert!(extra.is_empty(), "imports that are not on tests/data/allowed_imports.txt: {extra:?}");
    assert!(imported.contains("env.proxy_log"), "no imports were found: {imported:?}");
    let unused: Vec<&String> = allowed.difference(&imported).collect();
    assert!(unused.is_empty(), "on the list and not imported; shorten the list: {unused:?}");
}

#[test]
fn module_exports_exactly_the_listed_functions() {
    let (exported, wanted) = (interface().1, entries(EXPORTS));
    let extra: Vec<&String> = exported.difference(&wanted).collect();
    assert!(extra.is_empty(), "not linked by link/wasm-ld, which .cargo/config.toml names? Exported too: {extra:?}");
    let missing: Vec<&String> = wanted.difference(&exported).collect();
    assert!(missing.is_empty(), "on the list and not exported: {missing:?}");
}

#[test]
fn every_export_has_its_reason() {
    for line in EXPORTS.lines().filter(|line| !line.trim().is_empty()) {
        let (_, reason) = line.split_once('#').unwrap_or_default();
        assert!(reason.trim().len() > 10, "link/exports.txt gives no reason: {line}");
    }
}

/// A host goes on where a callback is missing. With `allow_on_headers_stop_iteration` a missing body or trailer callback
/// lets a request pass that is not decided; without the last one, those that left are remembered for ever.
#[test]
fn every_callback_that_can_pause_or_end_a_request_is_exported() {
    let exported = interface().1;
    for callback in [
        "proxy_on_context_create",
        "proxy_on_request_headers",
        "proxy_on_request_body",
        "proxy_on_request_trailers",
        "proxy_on_delete",
    ] {
        assert!(exported.contains(callback), "{callback} is not exported");
    }
}
