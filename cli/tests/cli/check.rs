//! `check`: the examples, the faulty documents of `tests/data/faults`, and warnings about Envoy's own settings.

use std::fs;
use std::process::{Command, Stdio};

use crate::tool::{assert_golden, examples, root, run, run_with_input};
use okta_proxy_wasm::config;
use regex_lite::Regex;
use serde_json::Value;

#[test]
fn every_example_has_no_fault_as_plugin_json_and_in_its_envoy_yaml() {
    for name in examples() {
        for file in ["plugin.json", "envoy.yaml"] {
            let path = format!("examples/{name}/{file}");
            let found = run(&["check", "--assume-env", "--strict", &path]);
            assert_eq!(found.status, 0, "{path}: {}", found.transcript());
            assert!(found.stdout.contains("no fault"), "{path}: {}", found.transcript());
            assert!(!found.stdout.contains("warning:"), "{path}: {}", found.transcript());
        }
    }
}

/// What the golden faults stand beside, but those that want keys in the environment.
fn faulty_documents() -> Vec<String> {
    let files = fs::read_dir(root().join("tests/data/faults")).unwrap().map(|entry| entry.unwrap().path());
    let json = files.filter(|path| path.extension().is_some_and(|ending| ending == "json"));
    let mut names: Vec<String> = json.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    names.retain(|name| name != "introspection_keys");
    names.sort();
    assert!(names.len() > 20);
    names
}

/// Without positions in the document, as the tool has those in the file, and without the names in conditions, which only the
/// tool shows.
fn comparable(text: &str) -> String {
    let position = Regex::new(r" at line \d+, column \d+").unwrap();
    let name = Regex::new(r"(condition: unknown (?:variable|attribute|function)) `\w+`").unwrap();
    name.replace_all(&position.replace_all(text, ""), "$1").into_owned()
}

#[test]
fn every_faulty_document_is_rejected_with_the_faults_that_the_filter_logs() {
    let directory = tempfile::tempdir().unwrap();
    let variables = directory.path().join("secrets.env");
    fs::write(&variables, "# a comment\nSECRET=\"s3cret\"\nEMPTY=\" \"\nLINE_END=\"s3cret\\n\"\n").unwrap();
    for name in faulty_documents() {
        let path = format!("tests/data/faults/{name}.json");
        let found = run(&["check", "--format", "json", "--env-file", variables.to_str().unwrap(), &path]);
        if name == "json_not_utf8" {
            assert_eq!(found.status, 2, "{name}: {}", found.transcript());
            continue;
        }
        let json = found.json();
        let is_of_text = |warning: &&Value| warning["code"] == "not_strict_json";
        let warnings = json["configurations"][0]["warnings"].as_array().unwrap();
        // The tool reads some files that the filter does not read, and warns of it in the filter's words.
        let lenient: Vec<Value> = warnings.iter().filter(is_of_text).cloned().collect();
        let expected_lenient = ["json_bom", "json_comment", "json_trailing_comma"];
        assert_eq!(!lenient.is_empty(), expected_lenient.contains(&&*name), "{name}: {}", found.transcript());
        let faults =
            if lenient.is_empty() { json["configurations"][0]["faults"].as_array().unwrap() } else { &lenient };
        assert_eq!(found.status, i32::from(json["ok"] == false), "{name}: {}", found.transcript());
        assert!(json["ok"] == false || !lenient.is_empty(), "{name}: {}", found.transcript());
        // The first line: `check` shows conditions below it, with a caret in place of the position.
        let first = |fault: &serde_json::Value| fault["message"].as_str().unwrap().lines().next().unwrap().to_owned();
        let said: String =
            faults.iter().map(|fault| format!("{}: {}\n", fault["path"].as_str().unwrap(), first(fault))).collect();
        let wanted = fs::read_to_string(root().join(format!("tests/data/faults/{name}.txt"))).unwrap();
        assert_eq!(comparable(&said), comparable(&wanted), "{name}");
        // The tool shows conditions, which hold no secrets.
        let shows_conditions = name.starts_with("conditions") || name == "everything_at_once";
        assert!(shows_conditions || !found.stdout.contains("s3cret"), "{name} shows a secret");
    }
}

#[test]
fn faults_are_printed_with_line_and_column() {
    let found = run(&["check", "tests/data/faults/everything_at_once.json"]);
    assert_golden("check-everything-at-once", &found.transcript());
}

#[test]
fn line_and_column_in_an_envoy_yaml_are_those_of_the_file() {
    let yaml = fs::read_to_string(root().join("examples/okta/envoy.yaml")).unwrap();
    let broken = yaml.replacen("\"audiences\"", "\"audience\"", 1);
    let line = broken.lines().position(|line| line.contains("\"audience\"")).unwrap() + 1;
    let found = run_with_input(&["check", "-"], &broken);
    assert_eq!(found.status, 1);
    assert!(found.stdout.contains(&format!("-:{line}:")), "{line}: {}", found.transcript());
}

#[test]
fn envoy_settings_that_break_the_plugin_are_faults_and_warnings() {
    let yaml = fs::read_to_string(root().join("examples/okta/envoy.yaml")).unwrap();
    let secret = "\"upstream\": \"okta\", \"introspection\": { \"client_id\": \"a\", \"client_secret\": { \"env\": \"OKTA_SECRET\" } }";
    let weak = yaml
        .replace("FAIL_RELOAD", "FAIL_OPEN")
        .replace("\"upstream\": \"okta\"", secret)
        .replace("- name: okta\n    type", "- name: other\n    type");
    let found = run_with_input(&["check", "--assume-env", "-"], &weak);
    assert_eq!(found.status, 1, "{}", found.transcript());
    for said in ["fails open", "OKTA_SECRET is not in", "no cluster \"okta\""] {
        assert!(found.stdout.contains(said), "{said}: {}", found.transcript());
    }
    let line = |text: &str| 1 + weak.lines().position(|line| line.contains(text)).unwrap();
    for text in ["FAIL_OPEN", "\"upstream\""] {
        assert!(found.stdout.contains(&format!("  -:{}:", line(text))), "{text}: {}", found.transcript());
    }
    let unpassed = yaml.replace("\"upstream\": \"okta\"", secret);
    assert_eq!(run_with_input(&["check", "--assume-env", "-"], &unpassed).status, 0);
    assert_eq!(run_with_input(&["check", "--assume-env", "--strict", "-"], &unpassed).status, 1);
    assert_eq!(run_with_input(&["check", "-"], &unpassed).status, 1, "the secret is not there");
}

#[test]
fn every_file_that_ships_has_no_fault_but_the_digest_of_the_release() {
    for file in
        ["envoy/envoy.yaml", "envoy/dynamic/filter.yaml", "envoy/dynamic/listeners.yaml", "deploy/nginx/nginx.conf"]
    {
        let found = run(&["check", "--assume-env", "--strict", file]);
        let is_skipped = file.ends_with("listeners.yaml");
        assert_eq!(found.status, if is_skipped { 2 } else { 0 }, "{file}: {}", found.transcript());
    }
    let dynamic = ["envoy", "listeners", "clusters", "filter"].map(|name| format!("envoy/dynamic/{name}.yaml"));
    let files: Vec<&str> = ["check", "--strict"].into_iter().chain(dynamic.iter().map(String::as_str)).collect();
    let found = run(&files);
    assert_eq!(found.status, 0, "{}", found.transcript());
    for folder in ["deploy/istio", "deploy/envoy-gateway", "deploy/kong"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if !name.ends_with(".yaml") {
                continue;
            }
            let found = run(&["check", "--assume-env", "--format", "json", &format!("{folder}/{name}")]);
            if found.status == 2 {
                assert!(
                    found.stderr.contains("no okta-proxy-wasm plugin in this file"),
                    "{name}: {}",
                    found.transcript()
                );
                continue;
            }
            for fault in found.json()["configurations"][0]["faults"].as_array().unwrap() {
                assert_eq!(fault["code"], "placeholder_digest", "{name}: {fault}");
            }
        }
    }
}

#[test]
fn a_missing_configuration_has_the_position_of_its_object() {
    let istio = "kind: X\n---\nkind: WasmPlugin\nspec:\n  url: file:///okta_proxy_wasm.wasm\n  phase: AUTHN\n";
    let envoy = "static_resources: {}\nx:\n  \"@type\": envoy.extensions.filters.http.wasm.v3.Wasm\n  config:\n    name: okta_proxy_wasm\n    configuration:\n      \"@type\": type.googleapis.com/google.protobuf.Struct\n      value: {a: 1}\n";
    for (text, line) in [(istio, 4), (envoy, 8)] {
        let found = run_with_input(&["check", "-"], text);
        assert!(found.stdout.contains(&format!("  -:{line}:")), "{}", found.transcript());
    }
}

const PLACEHOLDER: &str = "0000000000000000000000000000000000000000000000000000000000000000";
const DIGEST: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

#[test]
fn istio_and_envoy_gateway_objects_are_read_as_they_are_applied() {
    for (file, place) in [
        ("istio/wasm-plugin.yaml", "$.spec.pluginConfig"),
        ("istio/traffic-extension.yaml", "$.spec.wasm.pluginConfig"),
        ("istio/introspection.yaml", "$.spec.wasm.pluginConfig"),
        ("istio/canary.yaml", "$.spec.wasm.pluginConfig"),
        ("istio/waypoint.yaml", "$.spec.wasm.pluginConfig"),
        ("envoy-gateway/extension-policy.yaml", "$.spec.wasm[0].config"),
        ("envoy-gateway/introspection.yaml", "$.spec.wasm[0].config"),
    ] {
        let path = format!("deploy/{file}");
        // `make package` writes the digest of the release.
        let found = run(&["check", "--assume-env", "--format", "json", &path]);
        let found = &found.json()["configurations"][0];
        assert_eq!(found["faults"].as_array().unwrap().len(), 1, "{path}: {found}");
        assert_eq!(found["faults"][0]["code"], "placeholder_digest", "{path}: {found}");
        let yaml = fs::read_to_string(root().join(&path)).unwrap().replace(PLACEHOLDER, DIGEST);
        let found = run_with_input(&["check", "--assume-env", "--strict", "-"], &yaml);
        assert_eq!(found.status, 0, "{path}: {}", found.transcript());
        assert!(found.stdout.contains(place) && found.stdout.contains("no fault"), "{path}: {}", found.transcript());
        let misspelt = yaml.replacen("audiences:", "audience:", 1);
        let broken = run_with_input(&["check", "--assume-env", "-"], &misspelt);
        assert_eq!(broken.status, 1, "{path}: {}", broken.transcript());
        assert!(broken.stdout.contains("did you mean `audiences`?"), "{path}: {}", broken.transcript());
        let line = 1 + misspelt.lines().position(|line| line.contains("audience:")).unwrap();
        assert!(broken.stdout.contains(&format!("  -:{line}:")), "{path}: {}", broken.transcript());
        let weak = yaml
            .replace("FAIL_RELOAD", "FAIL_OPEN")
            .replace("failOpen: false", "failOpen: true")
            .replace("phase: AUTHN", "phase: STATS")
            .replace("name: OKTA_CLIENT_SECRET, v", "name: OTHER, v")
            .replace("hostKeys: [OKTA_CLIENT_SECRET]", "hostKeys: []")
            .replace("sha256:", "tag:");
        let found = run_with_input(&["check", "--assume-env", "-"], &weak);
        let mut all = vec!["no `sha256` pins"];
        all.extend(path.contains("istio/").then_some("phase: AUTHN"));
        all.extend(path.contains("introspection").then_some("OKTA_CLIENT_SECRET is not in"));
        assert_eq!(found.stdout.matches("warning:").count(), all.len(), "{path}: {}", found.transcript());
        assert!(found.stdout.contains("1 fault"), "{path}: {}", found.transcript());
        for said in all.into_iter().chain(["fails open"]) {
            assert!(found.stdout.contains(said), "{path}: {said}: {}", found.transcript());
        }
    }
}

#[test]
fn object_without_a_configuration_is_empty_and_unrelated_objects_are_ignored() {
    let ours = &"apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nspec: {phase: AUTHN, url: 'oci://ghcr.io/acme/okta-proxy-wasm@sha256:DIGEST'}".replace("DIGEST", DIGEST);
    let found = run_with_input(&["check", "-"], ours);
    assert_eq!(found.status, 1, "{}", found.transcript());
    assert!(found.stdout.contains("1 fault"), "{}", found.transcript());
    let anothers = ours.replace("okta-proxy-wasm", "basic-auth");
    assert_eq!(run_with_input(&["check", "-"], &anothers).status, 2);
}

#[test]
fn kong_filter_chain_holds_a_string_or_an_object() {
    let keys = r#"{"providers": {"acme": {"issuer": "https://idp.acme.com", "audiences": ["api"], "algorithms": ["ES256"], "upstream": "idp"}}}"#;
    for (written, is_right) in [(keys.to_owned(), true), (format!("'{keys}'"), true), (String::from("'{}'"), false)] {
        let chain = format!(
            "_format_version: '3.0'\nservices:\n- name: api\n  url: http://127.0.0.1:8080\n  filter_chains:\n  - filters:\n    - name: okta_proxy_wasm\n      config: {written}\n"
        );
        let found = run_with_input(&["check", "-"], &chain);
        assert_eq!(found.status, i32::from(!is_right), "{written}: {}", found.transcript());
        assert!(found.stdout.contains("$.services[0].filter_chains[0].filters[0].config"), "{}", found.transcript());
        assert!(found.stdout.contains(".config: the module was not run in Kong"), "{}", found.transcript());
    }
}

/// The debug output of a policy, without the order of hash tables.
fn parts(document: &[u8]) -> Vec<String> {
    let environment = |_: &str| Some(String::from("the-value-of-a-variable"));
    let loaded = config::load(document, &environment).unwrap();
    let text = format!("{:?} {:?} {:?}", loaded.policy, loaded.warnings, loaded.native_crypto);
    let mut parts: Vec<String> = text.split([',', '{', '}']).map(|part| part.trim().to_owned()).collect();
    parts.sort();
    parts
}

#[test]
fn effective_configuration_is_equivalent_and_is_its_own_effective_configuration() {
    let whole = root().join("cli/tests/data/whole.json").display().to_string();
    let examples = examples().into_iter().map(|name| format!("examples/{name}/plugin.json"));
    for path in examples.chain([whole]) {
        let written = fs::read(root().join(&path)).unwrap();
        let found = run(&["check", "--assume-env", "--effective", &path]);
        assert_eq!(found.status, 0, "{path}: {}", found.transcript());
        assert_eq!(parts(&written), parts(found.stdout.as_bytes()), "{path}");
        let again = run_with_input(&["check", "--assume-env", "--effective", "-"], &found.stdout);
        assert_eq!(again.stdout, found.stdout, "{path}");
    }
}

#[test]
fn effective_configuration_names_secrets_and_shows_no_value() {
    let directory = tempfile::tempdir().unwrap();
    let variables = directory.path().join("secrets.env");
    fs::write(&variables, "OKTA_CLIENT_SECRET=hunter2\nAUTH_DEBUG_KEY=hunter2-hunter2-hunter2\n").unwrap();
    let variables = variables.to_str().unwrap();
    let found = run(&["check", "--effective", "--env-file", variables, "cli/tests/data/whole.json"]);
    assert_golden("check-effective", &found.transcript());
    assert!(!found.transcript().contains("hunter2"));
}

#[test]
fn unusable_file_has_another_exit_status_than_a_fault() {
    for arguments in [
        &["check", "no-such-file.json"][..],
        &["check"],
        &["check", "examples/README.yaml"],
        &["check", "--env-file", "no-such-file", "examples/okta/plugin.json"],
        &["chek", "x"],
    ] {
        let found = run(arguments);
        assert_eq!(found.status, 2, "{arguments:?}: {}", found.transcript());
        assert!(!found.stderr.is_empty() && found.stdout.is_empty(), "{arguments:?}: {}", found.transcript());
    }
    let elsewhere = run_with_input(&["check", "-"], "static_resources: {listeners: []}");
    assert_eq!(elsewhere.status, 2, "{}", elsewhere.transcript());
}

#[test]
fn invalid_json_has_one_position_and_its_cause() {
    for (text, expected) in [
        (
            "{\n  \"rules\": [1,]\n}",
            "  -:2:14: warning: [not_strict_json] $: not valid JSON: a trailing comma; remove it\n",
        ),
        (
            "\n\n{\n  // note\n}",
            "  -:4:3: warning: [not_strict_json] $: not valid JSON: a comment, which JSON does not have; remove it\n",
        ),
        ("{\n  'rules': []\n}", "  -:2:3: $: not valid JSON: "),
        (
            "{\"audit\": {},\n \"audit\": {}}",
            "  -:2:2: $.audit: duplicate member: remove one of the two; the first one is at line 1, column 2\n",
        ),
    ] {
        let found = run_with_input(&["check", "-"], text);
        assert!(found.status == 1 && found.stdout.contains(expected), "{}", found.transcript());
    }
}

#[test]
fn every_error_of_a_condition_is_shown_with_a_caret() {
    let document = r#"{
  "providers": {"okta": {"okta": {"domain": "acme.okta.com"}, "audiences": ["a"], "upstream": "okta"}},
  "rules": [{"require": {"condition": "claim.tenant == 'acme' && request.methd == 'GET'"}}]
}"#;
    let found = run_with_input(&["check", "-"], document);
    let expected = "  -:3:26: $.rules[0].require.condition: unknown variable `claim`; did you mean claims?
    claim.tenant == 'acme' && request.methd == 'GET'
    ^^^^^
  -:3:26: $.rules[0].require.condition: unknown attribute `methd`; did you mean request.method?
    claim.tenant == 'acme' && request.methd == 'GET'
                                      ^^^^^
";
    assert!(found.status == 1 && found.stdout.contains(expected), "{}", found.transcript());
}

#[test]
fn completion_script_of_every_shell_names_the_subcommands() {
    for shell in ["bash", "zsh", "fish"] {
        let found = run(&["completions", shell]);
        assert!(found.status == 0 && found.stdout.contains("explain"), "{shell}");
    }
}

#[test]
fn closed_output_pipe_is_not_a_failure() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_okta-proxy-wasm"))
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn schema_equals_the_documented_one_and_kongs_schema_is_of_its_draft() {
    let published = fs::read_to_string(root().join("docs/okta-proxy-wasm.schema.json")).unwrap();
    assert_eq!(run(&["schema"]).stdout, published);
    let old = run(&["schema", "--draft", "04"]).json();
    assert_eq!(old["$schema"], "http://json-schema.org/draft-04/schema#");
    assert_eq!(run(&["schema", "--draft", "07"]).status, 2);
}

#[test]
fn okta_org_server_is_kept_in_the_effective_configuration() {
    let document = r#"{"providers": {"okta": {
        "okta": {"domain": "login.acme.com", "authorization_server": "org"}, "audiences": ["a"], "upstream": "okta",
        "introspection": {"client_id": "c", "client_secret": {"env": "SECRET"}}
    }}}"#;
    let arguments = ["check", "--assume-env", "--effective", "-"];
    let effective = run_with_input(&arguments, document);
    assert_eq!(effective.status, 0, "{}", effective.transcript());
    assert!(effective.stdout.contains("https://login.acme.com/oauth2/v1/introspect"), "{}", effective.stdout);
    assert_eq!(run_with_input(&arguments, &effective.stdout).stdout, effective.stdout);
}

#[test]
fn effective_configuration_keeps_every_issuer() {
    let document = r#"{"providers": {
        "entra": {"issuer": "https://login.example/{tenant}/v2.0", "tenants": ["t1", "t2"], "audiences": ["a"],
            "jwks": {"uri": "https://login.example/keys"}, "upstream": "idp"},
        "okta": {"okta": {"domain": "ACME.okta.com"}, "issuer": null, "additional_issuers": ["https://login.acme.com/oauth2/default"],
            "audiences": ["a"], "upstream": "okta"}
    }}"#;
    let arguments = ["check", "--effective", "-"];
    let effective = run_with_input(&arguments, document);
    assert_eq!(effective.status, 0, "{}", effective.transcript());
    let shown: serde_json::Value = serde_json::from_str(&effective.stdout).unwrap();
    for (place, expected) in [
        ("/providers/entra/issuer", "https://login.example/{tenant}/v2.0"),
        ("/providers/entra/tenants/1", "t2"),
        ("/providers/okta/issuer", "https://acme.okta.com/oauth2/default"),
        ("/providers/okta/additional_issuers/0", "https://login.acme.com/oauth2/default"),
    ] {
        assert_eq!(shown.pointer(place).and_then(serde_json::Value::as_str), Some(expected), "{place}");
    }
    assert_eq!(run_with_input(&arguments, &effective.stdout).stdout, effective.stdout);
}
