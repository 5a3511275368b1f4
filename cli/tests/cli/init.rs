//! `init`: what it writes, and what it refuses.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::tool::{Run, run, run_with_input};
use serde_json::Value;
use testbed::module::project_root;

fn init(directory: &Path, more: &[&str]) -> Run {
    let fixed = ["init", directory.to_str().unwrap(), "--domain", "dev-42.okta.com", "--audience", "api://orders"];
    run(&[&fixed[..], more].concat())
}

fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

fn yaml(text: &str) -> Value {
    yaml_serde::from_str(text).unwrap()
}

#[test]
fn files_of_each_host_name_the_answers_and_pass_their_policy_tests() {
    for (host, files) in [
        ("envoy", &["envoy.yaml"][..]),
        ("istio", &["wasm-plugin.yaml", "identity-provider.yaml"]),
        ("envoy-gateway", &["extension-policy.yaml", "proxy.yaml"]),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let made = init(directory.path(), &["--host", host, "--backend", "10.1.2.3:81"]);
        assert_eq!(made.status, 0, "{}", made.transcript());
        assert!(made.stdout.contains("6 passed, 0 failed"), "{}", made.transcript());
        let expected = files.iter().chain(&["plugin.json", "policy-tests.yaml"]).map(|name| (*name).to_owned());
        assert_eq!(names(directory.path()), expected.collect(), "{host}");
        for file in files {
            let text = fs::read_to_string(directory.path().join(file)).unwrap();
            assert!(text.contains("dev-42.okta.com"), "{text}");
            for placeholder in ["acme.okta.com", "api://default", "127.0.0.1:9000", "target/"] {
                assert!(!text.contains(placeholder), "{host} {file}: {placeholder}");
            }
        }
        // The digest of the release is to be written by hand.
        let checked = run(&["check", directory.path().join(files[0]).to_str().unwrap()]);
        assert_eq!(checked.status, i32::from(host != "envoy"), "{}", checked.transcript());
        let expected = if host == "envoy" { "no fault" } else { "1 fault" };
        assert!(checked.stdout.contains(expected), "{}", checked.transcript());
        assert_eq!(checked.stdout.contains("is not the SHA-256 digest"), host != "envoy", "{}", checked.transcript());
    }
}

/// Beside the answers it is the bootstrap that every other test runs.
#[test]
fn bootstrap_is_the_documented_one() {
    let directory = tempfile::tempdir().unwrap();
    let domain = ["--domain", "acme2.okta.com", "--audience", "api://default", "--host", "envoy"];
    let folder = directory.path().to_str().unwrap();
    let made = run(&[&["init", folder, "--backend", "127.0.0.1:9000"][..], &domain].concat());
    assert_eq!(made.status, 0, "{}", made.transcript());
    let filter =
        "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters/0/typed_config/config";
    let comparable = |text: &str| {
        let mut document = yaml(&text.replace("acme2.okta.com", "acme.okta.com"));
        let plugin = document.pointer_mut(filter).unwrap();
        plugin["configuration"]["value"] = Value::Null;
        plugin["vm_config"]["code"] = Value::Null;
        document
    };
    let written = fs::read_to_string(directory.path().join("envoy.yaml")).unwrap();
    let documented = fs::read_to_string(project_root().join("envoy/envoy.yaml")).unwrap();
    assert_eq!(comparable(&written), comparable(&documented));
    let alone: Value = serde_json::from_slice(&fs::read(directory.path().join("plugin.json")).unwrap()).unwrap();
    let within = yaml(&written).pointer(filter).unwrap()["configuration"]["value"].as_str().unwrap().to_owned();
    assert_eq!(serde_json::from_str::<Value>(&within).unwrap(), alone);
}

#[test]
fn missing_answers_are_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().to_str().unwrap();
    let made = run_with_input(&["init", folder], "\nacme2.okta.com\n\nistio\n");
    assert_eq!(made.status, 0, "{}", made.transcript());
    assert!(made.stderr.contains("The audience of your API [api://default]: "), "{}", made.stderr);
    let plugin: Value = serde_json::from_slice(&fs::read(directory.path().join("plugin.json")).unwrap()).unwrap();
    assert_eq!(plugin["providers"]["okta"]["upstream"], "outbound|443||acme2.okta.com");
    assert_eq!(plugin["providers"]["okta"]["audiences"][0], "api://default");
}

#[test]
fn unusable_answers_and_existing_files_change_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path();
    let without_input = |arguments: &[&str]| run_with_input(arguments, "");
    let in_folder = folder.to_str().unwrap();
    for (made, said) in [
        (init(folder, &["--host", "envoy", "--backend", "localhost"]), "--backend"),
        (
            init(folder, &["--host", "istio", "--authorization-server", "x\"y"]),
            "$.providers.okta.okta.authorization_server",
        ),
        (without_input(&["init", in_folder]), "--domain is missing"),
        (
            run(&["init", in_folder, "--domain", "a b", "--audience", "x", "--host", "istio"]),
            "$.providers.okta.okta.domain",
        ),
        (run_with_input(&["init", in_folder, "--domain", "a.okta.com", "--audience", "x"], "nginx\n"), "none of envoy"),
    ] {
        assert_eq!(made.status, 2, "{}", made.transcript());
        assert!(made.stderr.contains(said), "{}", made.transcript());
        assert_eq!(names(folder), BTreeSet::new(), "{said}");
    }
    fs::write(folder.join("plugin.json"), "mine").unwrap();
    let made = init(folder, &["--host", "istio"]);
    assert!(made.status == 2 && made.stderr.contains("nothing is written"), "{}", made.transcript());
    assert_eq!(names(folder), BTreeSet::from([String::from("plugin.json")]));
    assert_eq!(fs::read_to_string(folder.join("plugin.json")).unwrap(), "mine");
}
