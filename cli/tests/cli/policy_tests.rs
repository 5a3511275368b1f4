//! `test`: the test files beside the examples, the output of a failing case, and rejected files.

use std::fs;

use crate::tool::{Run, assert_golden, examples, root, run};
use serde_json::json;

#[test]
fn policy_tests_of_the_examples_pass() {
    let with_tests: Vec<String> = examples()
        .into_iter()
        .map(|name| format!("examples/{name}/policy-tests.yaml"))
        .filter(|path| root().join(path).exists())
        .collect();
    assert!(with_tests.len() >= 2);
    for path in with_tests {
        let found = run(&["test", &path]);
        assert_eq!(found.status, 0, "{}", found.transcript());
        let noted = found.stdout.contains("no case matches");
        assert!(!noted, "{path}: {}", found.transcript());
    }
}

/// A file of cases for the configuration of an example.
fn run_cases(cases: &str, more: &[&str]) -> Run {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cases.yaml");
    fs::write(&path, cases).unwrap();
    let config = root().join("examples/microservices/plugin.json");
    let fixed = ["test", "--config", config.to_str().unwrap(), path.to_str().unwrap()];
    let mut found = run(&[&fixed[..], more].concat());
    let folder = directory.path().to_str().unwrap();
    (found.stdout, found.stderr) = (found.stdout.replace(folder, "DIR"), found.stderr.replace(folder, "DIR"));
    found
}

const FAILING: &str = r#"
config: elsewhere.json
cases:
- name: as expected
  request: GET /healthz
  expect: { decision: allow }
- name: "<wrong> in & every way # at once"
  request: POST /orders/1/refund
  token: { scp: [orders:write], groups: [support] }
  expect: { decision: allow, status: 403, reason: authorized, rule: orders-write, challenge: null, would_deny: group_missing,
            headers: { x-user-id: alice }, response: { cache-control: null } }
- name: not refused
  request: GET /catalog/1
  token: { sub: bob }
  expect: { decision: deny, status: 401, headers: { x-user-id: null, authorization: Bearer } }
"#;

#[test]
fn unexpected_case_is_reported_with_every_difference_in_every_format() {
    for format in ["text", "json", "tap", "junit"] {
        let found = run_cases(FAILING, &["--format", format]);
        let lines: Vec<String> = found
            .transcript()
            .lines()
            .map(|line| match line.split_once(" time=\"") {
                Some((before, after)) => format!("{before} time=\"…\"{}", after.split_once('"').unwrap().1),
                None => line.to_owned(),
            })
            .collect();
        assert_golden(&format!("test-{format}"), &(lines.join("\n") + "\n"));
    }
}

#[test]
fn times_are_relative_to_the_now_of_the_case_and_claims_override_the_defaults() {
    let cases = r#"
config: elsewhere.json
defaults: { at: 2027-01-15T08:00:00Z, token: { scp: [orders:read], sub: carol } }
cases:
- { name: now, request: GET /orders, token: { auth_time: -10m }, expect: { decision: allow, headers: { x-user-id: carol } } }
- { name: earlier, request: GET /orders, token: { nbf: +10m }, expect: { status: 401, reason: token_not_yet_valid } }
- { name: at another time, at: "1900000000", request: GET /orders, token: { exp: 2030-03-17T17:00:00Z }, expect: { status: 401, reason: token_expired } }
- { name: taken away, request: GET /orders, token: { scp: null }, expect: { status: 403, reason: scope_missing } }
- { name: of somebody else, request: GET /orders, token: { iss: "https://evil.example" }, expect: { status: 401, reason: issuer_unknown } }
"#;
    let found = run_cases(cases, &[]);
    assert_eq!(found.status, 0, "{}", found.transcript());
}

#[test]
fn opaque_tokens_revocations_and_every_algorithm_are_evaluated() {
    let directory = tempfile::tempdir().unwrap();
    for algorithm in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"] {
        let config = json!({
            "providers": { "acme": {
                "issuer": "https://idp.acme.com", "audiences": ["api"], "upstream": "idp", "algorithms": [algorithm],
                "introspection": { "client_id": "gw", "client_auth": "private_key_jwt", "private_key": { "env": "KEY" } } } },
            "revocations": { "uri": "https://lists.acme.com/revoked", "upstream": "lists" },
            "rules": [ { "name": "asked", "match": { "path": "/asked" }, "introspect": true } ],
        });
        fs::write(directory.path().join("plugin.json"), config.to_string()).unwrap();
        let cases = r#"
config: plugin.json
cases:
- { name: signed, request: GET /, token: { sub: a }, expect: { decision: allow } }
- { name: opaque, request: GET /, introspection: { active: true, aud: api, sub: a, exp: +5m }, expect: { decision: allow, headers: { x-user-id: a } } }
- { name: inactive, request: GET /, introspection: { active: false }, expect: { status: 401, reason: token_inactive } }
- { name: too late, request: GET /, introspection: { active: true, aud: api, exp: -5m }, expect: { status: 401, reason: token_expired } }
- { name: asked about, request: GET /asked, token: { sub: a }, introspection: { active: false }, expect: { status: 401, reason: token_inactive } }
- { name: revoked, request: GET /, token: { sub: a }, revoked: [ { sub: a } ], expect: { status: 401, reason: token_revoked } }
"#;
        let path = directory.path().join("policy-tests.yaml");
        fs::write(&path, cases).unwrap();
        let found = run(&["test", path.to_str().unwrap()]);
        assert_eq!(found.status, 0, "{algorithm}: {}", found.transcript());
    }
}

#[test]
fn invalid_test_files_are_rejected_with_exit_status_2() {
    let case = |text: &str| format!("config: x.json\ncases:\n- {{ name: a, request: GET /, {text} }}\n");
    for (cases, said) in [
        (case("expect: { decison: allow }"), "decison"),
        (case("expect: { reason: authorized }"), "neither a `decision` nor a `status`"),
        (case("expect: { decision: maybe }"), "maybe"),
        (case("tokn: {}, expect: { decision: allow }"), "tokn"),
        (case("token: { exp: soon }, expect: { decision: allow }"), "soon"),
        (case("token: {}, signed_by: nobody, expect: { decision: allow }"), "nobody"),
        (case("token: {}, token_text: x, expect: { decision: allow }"), "token_text"),
        (case("attributes: { source.colour: red }, expect: { decision: allow }"), "source.colour"),
        (String::from("config: x.json\ncases: []\n"), "no cases"),
        (case("expect: { status: 200 }") + "- { name: a, request: GET /, expect: { status: 200 } }\n", "earlier case"),
    ] {
        let found = run_cases(&cases, &[]);
        assert!(found.status == 2 && found.stderr.contains(said), "{said}: {}", found.transcript());
    }
}

/// Such an expectation would fail for ever, or hold for ever if it is negative.
#[test]
fn unknown_reasons_and_rules_are_reported_all_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let config = json!({
        "providers": { "acme": { "issuer": "https://idp.acme.com", "audiences": ["api"], "upstream": "idp" } },
        "rules": [{ "name": "orders", "match": { "path": "/orders" }, "require": { "scopes": ["orders"] } }],
    });
    fs::write(directory.path().join("plugin.json"), config.to_string()).unwrap();
    let cases = r#"
config: plugin.json
cases:
- { name: one, request: GET /orders, expect: { status: 401, reason: tokn_missing, rule: order } }
- { name: two, request: GET /orders, token: {}, expect: { decision: allow, would_deny: nonsense } }
- { name: three, request: GET /orders, expect: { status: 401, reason: token_missing, rule: orders } }
- { name: four, request: GET /orders }
"#;
    let path = directory.path().join("policy-tests.yaml");
    let test = |cases: &str| {
        fs::write(&path, cases).unwrap();
        run(&["test", path.to_str().unwrap()])
    };
    let found = test(cases);
    assert!(found.status == 2 && found.stderr.contains("expect"), "{}", found.transcript());
    let found = test(cases.split("- { name: four").next().unwrap());
    assert_eq!(found.status, 2, "{}", found.transcript());
    for line in [
        "\n  \"one\" expects the unknown reason \"tokn_missing\"; did you mean token_missing?\n",
        "\n  \"one\" expects the unknown rule \"order\"; did you mean orders?\n",
        "\n  \"two\" expects the unknown would_deny \"nonsense\"\n",
    ] {
        assert!(found.stderr.contains(line), "{line}: {}", found.stderr);
    }
    assert!(!found.stderr.contains("three"), "{}", found.stderr);
    // Names of the file itself.
    for (wrong, near) in [("expct: {}", "expect"), ("tokn: {}", "token"), ("expect: { statsu: 401 }", "status")] {
        let found = test(&format!("config: plugin.json\ncases:\n- {{ name: one, request: GET /orders, {wrong} }}\n"));
        let suggestion = format!("did you mean `{near}`?");
        assert!(found.status == 2 && found.stderr.contains(&suggestion), "{wrong}: {}", found.transcript());
    }
}

#[test]
fn token_signed_with_keys_of_another_provider_of_its_issuer_is_rejected() {
    let directory = tempfile::tempdir().unwrap();
    let provider =
        |audience: &str| json!({ "issuer": "https://idp.acme.com", "audiences": [audience], "upstream": "idp" });
    let mut partner = provider("partner");
    partner["jwks"] = json!({ "uri": "https://partner.example/keys" });
    let config =
        json!({ "providers": { "orders": provider("orders"), "payments": provider("payments"), "partner": partner } });
    fs::write(directory.path().join("plugin.json"), config.to_string()).unwrap();
    let cases = r#"
config: plugin.json
cases:
- { name: orders, request: GET /, signed_by: orders, token: { sub: a }, expect: { decision: allow } }
- { name: partner, request: GET /, signed_by: partner, token: { sub: a }, expect: { decision: allow } }
- { name: same keys, request: GET /, signed_by: payments, token: { aud: orders }, expect: { decision: allow } }
- { name: other keys, request: GET /, signed_by: partner, token: { aud: orders }, expect: { status: 401, reason: key_unknown } }
- { name: both, request: GET /, signed_by: orders, token: { aud: [orders, partner] }, expect: { status: 401, reason: audience_ambiguous } }
"#;
    let path = directory.path().join("policy-tests.yaml");
    fs::write(&path, cases).unwrap();
    let found = run(&["test", path.to_str().unwrap()]);
    assert_eq!(found.status, 0, "{}", found.transcript());
}
