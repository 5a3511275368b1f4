//! SARIF 2.1.0 (OASIS), with the properties that GitHub code scanning requires.

use std::collections::BTreeMap;

use okta_proxy_wasm::analysis::WarningCode;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::diagnostic::{Diagnostic, Level};
use crate::build_info::BuildInfo;
use crate::plugin::diagnostic::HostCode;

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
/// Stable over changes of lines, and of other tools' fingerprints.
const FINGERPRINT: &str = "oktaProxyWasm/v1";

/// The log of one run. `has_failed` says whether the exit status is 1.
pub fn document(command: &str, diagnostics: &[Diagnostic], has_failed: bool) -> Value {
    let mut codes: Vec<&'static str> = Vec::new();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut results = Vec::new();
    for diagnostic in diagnostics {
        let index = codes.iter().position(|code| *code == diagnostic.code).unwrap_or_else(|| {
            codes.push(diagnostic.code);
            codes.len().saturating_sub(1)
        });
        let repetition = seen.entry(identity(diagnostic)).or_default();
        results.push(result(diagnostic, index, *repetition));
        *repetition = repetition.saturating_add(1);
    }
    let invocation = json!({ "executionSuccessful": true, "exitCode": i32::from(has_failed) });
    log(command, &codes, &results, &invocation)
}

/// The log of a command that could not run.
pub fn failed(command: &str, message: &str) -> Value {
    let invocation = json!({
        "executionSuccessful": false,
        "exitCode": 2,
        "toolExecutionNotifications": [{ "level": "error", "message": { "text": message } }],
    });
    log(command, &[], &[], &invocation)
}

fn log(command: &str, codes: &[&str], results: &[Value], invocation: &Value) -> Value {
    let build = BuildInfo::of_this_tool();
    let mut driver = json!({
        "name": "okta-proxy-wasm",
        "version": build.version,
        "semanticVersion": build.version,
        "rules": codes.iter().map(|code| rule(code, build.source_url)).collect::<Vec<_>>(),
    });
    if let (Some(url), Some(members)) = (build.source_url, driver.as_object_mut()) {
        members.insert(String::from("informationUri"), json!(url));
    }
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": driver },
            // GitHub replaces the results of a run of the same category.
            "automationDetails": { "id": format!("okta-proxy-wasm/{command}/") },
            "columnKind": "unicodeCodePoints",
            "invocations": [invocation],
            "results": results,
        }],
    })
}

fn rule(code: &str, source_url: Option<&str>) -> Value {
    let (page, anchor) = page(code);
    let mut rule = json!({
        "id": code,
        "name": camel_case(code),
        "shortDescription": { "text": description(code) },
        "help": { "text": format!("{} {page}#{anchor} describes it.", description(code)) },
    });
    if let (Some(url), Some(members)) = (source_url, rule.as_object_mut()) {
        let version = env!("CARGO_PKG_VERSION");
        members.insert(String::from("helpUri"), json!(format!("{url}/blob/v{version}/{page}#{anchor}")));
    }
    rule
}

/// The page of the documentation that describes a code, and the anchor.
fn page(code: &str) -> (&'static str, &str) {
    if WarningCode::parse(code).is_some() {
        return ("docs/policy-analysis.md", code);
    }
    match code {
        "decision_weaker" | "decision_different" | "decision_stricter" | "setting_changed" => {
            ("docs/continuous-integration.md", "differences")
        }
        host if HostCode::description(host).is_some() => ("docs/host-checks.md", code),
        _ => ("docs/configuration.md", "configuration-reference"),
    }
}

fn description(code: &str) -> String {
    if let Some(warning) = WarningCode::parse(code) {
        return warning.description().to_owned();
    }
    if let Some(text) = HostCode::description(code) {
        return text.replace('`', "");
    }
    let text = match code {
        "no_configuration" => "There is no configuration.",
        "not_a_string_value" => "The configuration does not arrive as text.",
        "invalid_json" => "The configuration is not valid JSON.",
        "unknown_field" => "A field is unknown.",
        "unknown_warning" => "A warning code is unknown.",
        "wrong_type" => "A value has another type than its field.",
        "missing_field" => "A required field is missing.",
        "invalid_value" => "A value is not allowed.",
        "invalid_keys" => "A key set cannot be used.",
        "unset_variable" => "An environment variable is not set.",
        "invalid_condition" => "A condition is not a valid CEL expression.",
        "decision_weaker" => "A change allows more requests.",
        "decision_different" => "A change allows other requests.",
        "decision_stricter" => "A change allows fewer requests.",
        "setting_changed" => "A setting is changed.",
        other => return format!("{}.", other.replace('_', " ")),
    };
    text.to_owned()
}

/// `MethodGap`
fn camel_case(code: &str) -> String {
    let word = |word: &str| {
        let mut characters = word.chars();
        characters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(characters).collect::<String>()
    };
    code.split('_').map(word).collect()
}

fn result(diagnostic: &Diagnostic, rule_index: usize, repetition: usize) -> Value {
    let level = match diagnostic.level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Note => "note",
    };
    let mut result = json!({
        "ruleId": diagnostic.code,
        "ruleIndex": rule_index,
        "level": level,
        "message": { "text": diagnostic.text() },
        "locations": [location(diagnostic)],
        "partialFingerprints": { FINGERPRINT: fingerprint(diagnostic, repetition) },
    });
    if let (false, Some(members)) = (diagnostic.caused_by.is_empty(), result.as_object_mut()) {
        let related = |(id, path): (usize, &String)| json!({ "id": id, "message": { "text": format!("caused by {path}") }, "logicalLocations": [logical(path)] });
        let related: Vec<Value> = diagnostic.caused_by.iter().enumerate().map(related).collect();
        members.insert(String::from("relatedLocations"), json!(related));
    }
    result
}

fn location(diagnostic: &Diagnostic) -> Value {
    let mut members = Map::new();
    if let Some(file) = &diagnostic.file {
        // GitHub requires a line.
        let region = match diagnostic.position {
            Some(position) => json!({ "startLine": position.line, "startColumn": position.column }),
            None => json!({ "startLine": 1 }),
        };
        let physical = json!({ "artifactLocation": artifact(file), "region": region });
        members.insert(String::from("physicalLocation"), physical);
    }
    if let Some(path) = &diagnostic.path {
        members.insert(String::from("logicalLocations"), json!([logical(path)]));
    }
    Value::Object(members)
}

fn logical(path: &str) -> Value {
    json!({ "fullyQualifiedName": path })
}

/// A URI: relative to the working directory, or with the scheme `file`.
fn artifact(file: &str) -> Value {
    let is_absolute = file.starts_with('/');
    let encoded = percent_encoded(file);
    if is_absolute { json!({ "uri": format!("file://{encoded}") }) } else { json!({ "uri": encoded }) }
}

/// A path as part of a URI. A colon in the first segment would be the end of a scheme (RFC 3986, section 4.2).
fn percent_encoded(path: &str) -> String {
    let is_kept = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/!$&'()*+,;=@".contains(&byte);
    path.bytes().map(|byte| if is_kept(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// What is the same while only lines change.
fn identity(diagnostic: &Diagnostic) -> String {
    let Diagnostic { code, path, message, file, .. } = diagnostic;
    json!([code, file, path, message]).to_string()
}

fn fingerprint(diagnostic: &Diagnostic, repetition: usize) -> String {
    let digest = Sha256::digest(format!("{}{repetition}", identity(diagnostic)));
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::positions::Position;

    fn diagnostic(file: &str, message: &str) -> Diagnostic {
        Diagnostic {
            level: Level::Error,
            code: "unknown_field",
            path: Some(String::from("$.x")),
            message: message.to_owned(),
            fix: None,
            caused_by: vec![String::from("$.rules[0]")],
            file: Some(file.to_owned()),
            position: Some(Position { line: 2, column: 5 }),
        }
    }

    #[test]
    fn file_names_are_uri_references() {
        for (file, uri) in [
            ("gateway/plugin.json", "gateway/plugin.json"),
            ("a b%20#?.json", "a%20b%2520%23%3F.json"),
            ("http://x/y", "http%3A//x/y"),
            ("ä\n.json", "%C3%A4%0A.json"),
            ("../up.json", "../up.json"),
            ("/tmp/x.json", "file:///tmp/x.json"),
        ] {
            let log = document("check", &[diagnostic(file, "m")], true);
            let location = &log["runs"][0]["results"][0]["locations"][0]["physicalLocation"];
            assert_eq!(location["artifactLocation"]["uri"], uri);
            assert_eq!(location["region"], json!({ "startLine": 2, "startColumn": 5 }));
        }
    }

    #[test]
    fn fingerprints_differ_for_repeated_results_and_do_not_depend_on_lines() {
        let one = diagnostic("a", "m");
        let moved = Diagnostic { position: Some(Position { line: 90, column: 1 }), ..one.clone() };
        let of = |diagnostics: &[Diagnostic]| -> Vec<Value> {
            let log = document("check", diagnostics, true);
            let results = log["runs"][0]["results"].as_array().unwrap().clone();
            results.into_iter().map(|result| result["partialFingerprints"][FINGERPRINT].clone()).collect()
        };
        let both = of(&[one.clone(), one.clone()]);
        assert_ne!(both[0], both[1]);
        assert_eq!(of(&[moved.clone(), moved]), both);
        assert_ne!(of(&[diagnostic("b", "m")])[0], both[0]);
        assert_ne!(of(&[diagnostic("a", "n")])[0], both[0]);
    }

    #[test]
    fn each_code_is_one_rule_with_a_description_and_an_address() {
        let host = Diagnostic { code: "normalize_path", file: None, position: None, ..diagnostic("a", "m") };
        let log = document("check", &[diagnostic("a", "m"), host, diagnostic("b", "n")], true);
        let run = &log["runs"][0];
        let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
        assert_eq!(rules.len(), 2);
        for result in run["results"].as_array().unwrap() {
            let rule = &rules[usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
            assert_eq!(rule["id"], result["ruleId"]);
        }
        // From standard input, there is no file to name.
        assert_eq!(run["results"][1]["locations"][0].get("physicalLocation"), None);
        let addressed = rule("method_gap", Some("https://code.example/okta-proxy-wasm"));
        let version = env!("CARGO_PKG_VERSION");
        let expected =
            format!("https://code.example/okta-proxy-wasm/blob/v{version}/docs/policy-analysis.md#method_gap");
        assert_eq!(addressed["helpUri"], expected);
        assert_eq!(addressed["name"], "MethodGap");
        assert_eq!(rule("method_gap", None).get("helpUri"), None);
        assert_eq!(description("a_new_code"), "a new code.");
    }
}
