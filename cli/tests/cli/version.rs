//! `version`: what the tool was built from, and whether a file is the module of a release.

use std::fs;

use crate::tool::{root, run};
use serde_json::json;
use testbed::module::wasm_module;

/// What `make package` recorded of the module.
fn recorded(file: &str) -> String {
    let sums = fs::read_to_string(root().join("dist/SHA256SUMS")).expect("make package");
    let line = sums.lines().find(|line| line.ends_with(&format!("  {file}"))).unwrap();
    line.split(' ').next().unwrap().to_owned()
}

#[test]
fn version_names_the_commit_and_the_schema_of_the_release() {
    let found = run(&["version", "--format", "json"]);
    assert_eq!(found.status, 0, "{}", found.transcript());
    let json = found.json();
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(json["configuration_schema_sha256"], recorded("okta-proxy-wasm.schema.json"));
    assert_eq!(json["module"], json!(null));
    if let Some(commit) = json["commit"].as_str() {
        let digits = commit.strip_suffix("-dirty").unwrap_or(commit);
        assert!(digits.len() == 40 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()), "{commit}");
    }
    let commit = json["commit"].as_str().unwrap_or("unknown");
    let text = run(&["version"]).stdout;
    assert!(text.starts_with(&format!("okta-proxy-wasm {}\ncommit: {commit}\n", env!("CARGO_PKG_VERSION"))), "{text}");
    let short = run(&["--version"]).stdout;
    assert_eq!(short, format!("okta-proxy-wasm {} (commit {commit})\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn module_has_the_digest_that_the_release_records() {
    let nginx = root().join("dist/kong/okta_proxy_wasm.wasm");
    for (path, file, host) in
        [(wasm_module(), "okta_proxy_wasm.wasm", "envoy"), (nginx, "kong/okta_proxy_wasm.wasm", "nginx")]
    {
        let (path, digest) = (path.to_str().unwrap().to_owned(), recorded(file));
        let found = run(&["version", "--format", "json", "--module", &path, "--sha256", &digest]);
        assert_eq!(found.status, 0, "{}", found.transcript());
        let size = fs::metadata(&path).unwrap().len();
        let expected = json!({ "file": path, "size": size, "sha256": digest, "is_expected_digest": true,
            "is_filter": true, "version": env!("CARGO_PKG_VERSION"), "built_for": host });
        assert_eq!(found.json()["module"], expected);
    }
    let digests = fs::read_to_string(root().join("dist/DIGESTS")).unwrap();
    assert!(digests.contains(&recorded("okta_proxy_wasm.wasm")), "{digests}");
}

#[test]
fn other_digest_and_other_file_are_negative() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = fs::read(wasm_module()).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let changed = folder.path().join("changed.wasm");
    fs::write(&changed, bytes).unwrap();
    let changed = changed.to_str().unwrap();
    let found = run(&["version", "--module", changed, "--sha256", &recorded("okta_proxy_wasm.wasm")]);
    assert_eq!(found.status, 1, "{}", found.transcript());
    assert!(found.stdout.contains(", which is not the expected digest\n"), "{}", found.stdout);

    for (bytes, content) in
        [(&b"\0asm\x01\0\0\0"[..], "a WebAssembly module that no proxy loads"), (b"{}", "not a WebAssembly module")]
    {
        let path = folder.path().join("other");
        fs::write(&path, bytes).unwrap();
        let found = run(&["version", "--module", path.to_str().unwrap()]);
        assert_eq!(found.status, 1, "{}", found.transcript());
        assert!(found.stdout.contains(&format!("  content: {content}\n")), "{}", found.stdout);
    }
    for digest in ["", "abc", &"x".repeat(64), &"0".repeat(65)] {
        assert_eq!(run(&["version", "--module", "x", "--sha256", digest]).status, 2, "{digest:?}");
    }
}
