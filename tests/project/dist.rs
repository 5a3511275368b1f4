//! The output of `make package` in `dist/`: its files belong together and describe the module correctly.

#![allow(clippy::wildcard_enum_match_arm, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use flate2::read::ZlibDecoder;
use jsonschema::Draft;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use testbed::module::{project_root, wasm_module};
use wasmparser::{Parser, Payload};

/// The folder, made of the module that is built now.
fn dist() -> PathBuf {
    let dist = project_root().join("dist");
    let module = fs::read(dist.join("okta_proxy_wasm.wasm")).unwrap_or_default();
    assert!(module == fs::read(wasm_module()).unwrap(), "dist is not of the module that is built: run `make package`");
    dist
}

fn digest(file: &Path) -> String {
    Sha256::digest(fs::read(file).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn files(folder: &Path, under: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, under, found);
        } else {
            found.insert(path.strip_prefix(under).unwrap().display().to_string());
        }
    }
}

/// A crate as name and version.
fn named(package: &Value) -> String {
    format!("{} {}", package["name"].as_str().unwrap(), package["version"].as_str().unwrap())
}

/// What the module says of itself, in the section that `cargo audit bin` and other scanners read.
fn crates_in_the_module() -> BTreeSet<String> {
    let module = fs::read(dist().join("okta_proxy_wasm.wasm")).unwrap();
    let section = Parser::new(0).parse_all(&module).find_map(|payload| match payload.unwrap() {
        Payload::CustomSection(section) if section.name() == ".dep-v0" => Some(section.data().to_vec()),
        _ => None,
    });
    let mut text = String::new();
    ZlibDecoder::new(&section.expect("no section .dep-v0")[..]).read_to_string(&mut text).unwrap();
    let list: Value = serde_json::from_str(&text).unwrap();
    list["packages"].as_array().unwrap().iter().map(named).collect()
}

fn bill_of_materials() -> Value {
    serde_json::from_slice(&fs::read(dist().join("okta_proxy_wasm.cdx.json")).unwrap()).unwrap()
}

#[test]
fn checksums_cover_every_file_and_are_correct() {
    let dist = dist();
    let sums = fs::read_to_string(dist.join("SHA256SUMS")).unwrap();
    let sums: BTreeMap<&str, &str> =
        sums.lines().map(|line| line.split_once("  ").unwrap()).map(|(sum, path)| (path, sum)).collect();
    for (path, sum) in &sums {
        assert_eq!(digest(&dist.join(path)), *sum, "{path}");
    }
    let mut there = BTreeSet::new();
    files(&dist, &dist, &mut there);
    assert!(there.remove("SHA256SUMS"));
    assert_eq!(there.iter().map(String::as_str).collect::<Vec<_>>(), sums.keys().copied().collect::<Vec<_>>());
    let digests = fs::read_to_string(dist.join("DIGESTS")).unwrap();
    let file = digests.lines().find(|line| line.contains("https:// URL")).unwrap();
    assert!(file.ends_with(sums["okta_proxy_wasm.wasm"]), "{file}");
}

/// The section lists more than the bill: `cargo auditable` adds what only the features of our tests ask for.
#[test]
fn every_crate_of_the_bill_of_materials_is_listed_in_the_module() {
    let (bill, module) = (bill_of_materials(), crates_in_the_module());
    let mut listed: BTreeSet<String> = bill["components"].as_array().unwrap().iter().map(named).collect();
    listed.insert(named(&bill["metadata"]["component"]));
    let unknown: Vec<&String> = listed.difference(&module).collect();
    assert!(unknown.is_empty(), "in the bill and not in the module: {unknown:?}");
    assert!(listed.len() > 50, "only {listed:?}");
    let of_the_tests =
        listed.iter().find(|name| ["jwt-simple", "superboring", "cel"].contains(&name.split(' ').next().unwrap()));
    assert_eq!(of_the_tests, None);
    assert_eq!(bill["metadata"]["component"]["hashes"][0]["content"], digest(&dist().join("okta_proxy_wasm.wasm")));
}

#[test]
fn every_crate_in_the_module_has_its_licence_in_the_notices() {
    let notices = fs::read_to_string(dist().join("THIRD-PARTY-LICENSES")).unwrap();
    let bill = bill_of_materials();
    let required = bill["components"].as_array().unwrap().iter().filter(|component| component["scope"] == "required");
    let mut checked = 0;
    for component in required {
        let name = named(component);
        let texts = notices.lines().filter(|line| line.split(", ").any(|owner| owner == name)).count();
        assert!(texts >= 1, "{name} has no licence text");
        checked += 1;
    }
    assert!(checked > 40, "only {checked} crates");
}

/// ngx_wasm_module calls every callback of the ABI without looking whether it is there.
#[test]
fn the_module_for_kong_has_every_callback_and_a_schema_that_kong_can_read() {
    let kong = dist().join("kong");
    let module = fs::read(kong.join("okta_proxy_wasm.wasm")).unwrap();
    let mut exported = BTreeSet::new();
    for payload in Parser::new(0).parse_all(&module) {
        if let Payload::ExportSection(section) = payload.unwrap() {
            exported.extend(section.into_iter().map(|export| export.unwrap().name.to_owned()));
        }
    }
    for callback in [
        "proxy_on_request_headers",
        "proxy_on_response_headers",
        "proxy_on_response_body",
        "proxy_on_log",
        "proxy_on_done",
    ] {
        assert!(exported.contains(callback), "{callback}");
    }
    let meta: Value = serde_json::from_slice(&fs::read(kong.join("okta_proxy_wasm.meta.json")).unwrap()).unwrap();
    assert_eq!(Draft::default().detect(&meta["config_schema"]), Draft::Draft4);
    let validator = jsonschema::validator_for(&meta["config_schema"]).unwrap();
    let plugin = fs::read_to_string("examples/okta/plugin.json").unwrap();
    assert!(validator.is_valid(&serde_json::from_str(&plugin).unwrap()));
    assert!(!validator.is_valid(&serde_json::json!({ "providers": { "okta": { "audience": "one" } } })));
}

/// What an operator applies as it is: nothing but the registry's name is to be put in.
#[test]
fn release_manifests_pin_the_image_and_include_the_nginx_and_kong_files() {
    let digests = fs::read_to_string(dist().join("DIGESTS")).unwrap();
    let image = digests.lines().find(|line| line.contains("oci:// URL")).unwrap().rsplit(' ').next().unwrap();
    for file in [
        "istio/wasm-plugin.yaml",
        "istio/traffic-extension.yaml",
        "istio/introspection.yaml",
        "istio/canary.yaml",
        "istio/sidecar.yaml",
        "istio/waypoint.yaml",
        "envoy-gateway/extension-policy.yaml",
        "envoy-gateway/introspection.yaml",
    ] {
        let text = fs::read_to_string(dist().join("deploy").join(file)).unwrap();
        assert!(text.contains(&format!("sha256: \"{image}\"")), "{file}");
    }
    for file in ["nginx/nginx.conf", "kong/kong.conf", "kong/kong.yaml"] {
        let path = Path::new("deploy").join(file);
        assert_eq!(fs::read(dist().join(&path)).unwrap(), fs::read(project_root().join(&path)).unwrap(), "{file}");
    }
}

/// A path of the machine that built it in the module: it would be other bytes elsewhere, and tell of that machine.
#[test]
fn the_module_names_no_folder_of_the_machine_that_built_it() {
    let module = fs::read(dist().join("okta_proxy_wasm.wasm")).unwrap();
    let home = std::env::var("CARGO_HOME").or_else(|_| std::env::var("HOME")).unwrap();
    for folder in [home, project_root().display().to_string()] {
        let found = module.windows(folder.len()).any(|window| window == folder.as_bytes());
        assert!(!found, "the module names {folder}");
    }
    assert!(module.windows(8).any(|window| window == b"/crates/"), "no source of a crate was found");
}
