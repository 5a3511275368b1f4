//! The built module imports what every supported host offers, and nothing else: one import more and a host
//! refuses to load it (`std::fs` alone adds one that Envoy 1.37 lacks).

#![allow(missing_docs, reason = "a test")]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;

use wasmparser::{Parser, Payload};

#[test]
fn the_module_imports_only_what_is_on_the_list() {
    let module = std::fs::read(testbed::module::wasm_module()).unwrap();
    let allowed: BTreeSet<&str> = include_str!("data/allowed_imports.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let mut imported = BTreeSet::new();
    for payload in Parser::new(0).parse_all(&module) {
        if let Payload::ImportSection(section) = payload.unwrap() {
            for import in section.into_imports() {
                let import = import.unwrap();
                imported.insert(format!("{}.{}", import.module, import.name));
            }
        }
    }
    let extra: Vec<&String> = imported.iter().filter(|name| !allowed.contains(name.as_str())).collect();
    assert!(extra.is_empty(), "imports that are not on tests/data/allowed_imports.txt: {extra:?}");
    assert!(imported.contains("env.proxy_log"), "no imports were found: {imported:?}");
    let unused: Vec<&&str> = allowed.iter().filter(|name| !imported.contains(**name)).collect();
    assert!(unused.is_empty(), "on the list and not imported; shorten the list: {unused:?}");
}
