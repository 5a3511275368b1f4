//! The warnings of the analysis: a table of cases, the examples of `docs/policy-analysis.md`, and `allow_warnings`.

use std::fs;

use crate::pages::{blocks, root};
use okta_proxy_wasm::analysis::{Warning, WarningCode};
use okta_proxy_wasm::config;
use serde_json::{Value, json};

fn environment(_: &str) -> Option<String> {
    Some(String::from("long-enough-for-a-secret"))
}

fn load(document: &str) -> Vec<Warning> {
    let loaded = config::load(document.as_bytes(), &environment);
    loaded.unwrap_or_else(|faults| panic!("{faults:?}\n{document}")).warnings
}

fn okta() -> Value {
    json!({ "okta": { "domain": "acme.okta.com" }, "audiences": ["api://default"], "upstream": "okta" })
}

/// The code, path and causes of each warning.
fn warnings(members: Value) -> Vec<String> {
    let mut document = json!({ "providers": { "okta": okta() }, "default_rule": { "access": "deny" } });
    document.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    let shown = |warning: &Warning| {
        let causes: Vec<&str> = warning.caused_by.iter().map(|path| path.as_str()).collect();
        format!("{} {} <- {}", warning.code.name(), warning.path.as_str(), causes.join(" "))
    };
    load(&document.to_string()).iter().map(|warning| shown(warning).trim_end_matches(" <- ").to_owned()).collect()
}

fn rules(rules: Value) -> Vec<String> {
    warnings(json!({ "rules": rules }))
}

/// The warnings about the requirement of a single rule.
fn require(require: Value) -> Vec<String> {
    rules(json!([{ "match": { "path": "/a" }, "require": require }]))
}

/// A rule with this match, and a requirement that no other rule has.
fn on(conditions: Value) -> Value {
    let scope = conditions.to_string().bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31) + u32::from(byte));
    json!({ "match": conditions, "require": { "scopes": [format!("s{scope}")] } })
}

#[test]
fn shadowed_rules_are_found_with_all_rules_that_cause_it() {
    let first = "shadowed_rule $.rules[1] <- $.rules[0]";
    let both = "shadowed_rule $.rules[2] <- $.rules[0] $.rules[1]";
    for (matches, expected) in [
        (vec![json!({}), json!({ "path": "/a" })], vec![first]),
        (vec![json!({ "path_prefix": "/" }), json!({})], vec![first]),
        (vec![json!({ "path_prefix": "/a" }), json!({ "path_prefix": "/a/b" })], vec![first]),
        (vec![json!({ "path_prefix": "/a/b" }), json!({ "path_prefix": "/a" })], vec![]),
        (vec![json!({ "path_prefix": "/a" }), json!({ "path": "/ab" })], vec![]),
        (vec![json!({ "path": "/a" }), json!({ "path": "/a/" })], vec![first]),
        (vec![json!({ "path": "/a" }), json!({ "path_prefix": "/a" })], vec![]),
        // Hosts.
        (vec![json!({ "hosts": ["*.acme.com"] }), json!({ "hosts": ["*.eu.acme.com", "API.acme.com"] })], vec![first]),
        (vec![json!({ "hosts": ["*.acme.com"] }), json!({ "hosts": ["acme.com"] })], vec![]),
        (vec![json!({ "hosts": ["a.acme.com"] }), json!({ "hosts": ["*.acme.com"] })], vec![]),
        // Two rules together.
        (
            vec![
                json!({ "hosts": ["a.acme.com"], "path_prefix": "/a" }),
                json!({ "hosts": ["b.acme.com"] }),
                json!({ "hosts": ["a.acme.com", "b.acme.com"], "path": "/a/1" }),
            ],
            vec![both],
        ),
        (
            vec![
                json!({ "methods": ["GET", "HEAD", "POST", "PUT", "PATCH"] }),
                json!({ "methods": ["DELETE"], "path_prefix": "/a" }),
                json!({ "methods": ["GET", "DELETE"], "path": "/a" }),
            ],
            vec![both],
        ),
        // Case.
        (vec![json!({ "path": "/a", "ignore_case": true }), json!({ "path": "/A" })], vec![first]),
        (vec![json!({ "path": "/a" }), json!({ "path": "/a", "ignore_case": true })], vec![]),
        (
            vec![json!({ "path": "/a" }), json!({ "path": "/A" }), json!({ "path": "/a", "ignore_case": true })],
            vec![both],
        ),
        (vec![json!({ "path_prefix": "/1" }), json!({ "path": "/1/abcdefghij", "ignore_case": true })], vec![first]),
        (
            vec![
                json!({ "path": "/abcdefghij" }),
                json!({ "path": "/ABCDEFGHIJ" }),
                json!({ "path": "/abcdefghij", "ignore_case": true }),
            ],
            vec![],
        ),
        (
            vec![
                json!({ "path_prefix": "/a" }),
                json!({ "path_prefix": "/A" }),
                json!({ "path": "/a/bcdefghijk", "ignore_case": true }),
            ],
            vec![both],
        ),
        // Regular expressions.
        (vec![json!({ "path_regex": "/a/[0-9]+" }), json!({ "path": "/a/12" })], vec![first]),
        (vec![json!({ "path_regex": "/a/[0-9]+" }), json!({ "path": "/a/x" })], vec![]),
        (vec![json!({ "path_regex": "/a/[0-9]+" }), json!({ "path_prefix": "/a/12" })], vec![]),
        (vec![json!({ "path_regex": "/a.*" }), json!({ "path_prefix": "/a/b" })], vec![first]),
        (vec![json!({ "path_regex": "/a/.*" }), json!({ "path_prefix": "/a" })], vec![]),
        (vec![json!({ "path_regex": "(/a)?/.*" }), json!({ "path_prefix": "/a" })], vec![]),
        (vec![json!({ "path_regex": "/.*" }), json!({})], vec![first]),
        (vec![json!({ "path_prefix": "/a" }), json!({ "path_regex": "/a/[0-9]+" })], vec![first]),
        (vec![json!({ "path_regex": "/a|/b" }), json!({ "path_regex": "/a|/b", "hosts": ["x.com"] })], vec![first]),
        (
            vec![json!({ "path_regex": "/a/[^/]+" }), json!({ "path_regex": "/a/[0-9]+" })],
            vec!["possibly_shadowed_rule $.rules[1] <- $.rules[0]"],
        ),
        (vec![json!({ "path_regex": "/a/[0-9]+" }), json!({ "path_regex": "/a/[^/]+" })], vec![]),
        (vec![json!({ "path": "/a/0" }), json!({ "path_regex": "/a/[0-9]+" })], vec![]),
        (
            vec![json!({ "path": "/a" }), json!({ "path": "/b" }), json!({ "path_regex": "/(a|b)" })],
            vec!["possibly_shadowed_rule $.rules[2] <- $.rules[0] $.rules[1]"],
        ),
    ] {
        assert_eq!(rules(matches.iter().cloned().map(on).collect()), expected, "{matches:?}");
    }
    // 64 of the 256 spellings of a path.
    let spelling = |bits: usize| -> String {
        let upper =
            |(place, letter): (usize, char)| if bits >> place & 1 == 1 { letter.to_ascii_uppercase() } else { letter };
        "abcdefgh".chars().enumerate().map(upper).collect()
    };
    let mut matches: Vec<Value> = (0..64).map(|bits| json!({ "path": format!("/{}", spelling(bits)) })).collect();
    matches.push(json!({ "path": "/abcdefgh", "ignore_case": true }));
    assert_eq!(rules(matches.into_iter().map(on).collect()), [""; 0]);
    // A rule with a condition still takes its requests: what does not meet it is denied.
    let condition = json!({ "condition": "request.time.getHours() < 20" });
    let found = rules(json!([{ "match": { "path_prefix": "/a" }, "require": condition }, on(json!({ "path": "/a" }))]));
    assert_eq!(found, [first]);
}

#[test]
fn duplicates_and_entries_without_effect_are_found() {
    let same = json!({ "match": { "hosts": ["a.com", "b.com"], "methods": ["GET", "POST"] } });
    let turned = json!({ "match": { "methods": ["POST", "GET"], "hosts": ["b.com", "a.com"] }, "name": "x" });
    assert_eq!(rules(json!([same, turned])), ["duplicate_rule $.rules[1] <- $.rules[0]"]);
    let public = json!({ "match": { "hosts": ["a.com", "b.com"], "methods": ["GET", "POST"] }, "access": "public" });
    assert_eq!(rules(json!([same, public])), ["shadowed_rule $.rules[1] <- $.rules[0]"]);
    let entries = json!({ "hosts": ["a.com", "b.com"], "methods": ["PUT", "POST"], "path": "/a" });
    let host = json!({ "hosts": ["b.com"] });
    let found = rules(json!([on(host.clone()), on(entries.clone())]));
    assert_eq!(found, ["partly_shadowed_rule $.rules[1].match.hosts[1] <- $.rules[0]"]);
    let method = json!({ "methods": ["POST"], "path_prefix": "/a" });
    let found = rules(json!([on(method.clone()), on(entries.clone())]));
    assert_eq!(found, ["partly_shadowed_rule $.rules[1].match.methods[1] <- $.rules[0]"]);
    let method = json!({ "methods": ["POST"], "path_prefix": "/a", "hosts": ["a.com"] });
    assert_eq!(rules(json!([on(method), on(entries)])), [""; 0], "one combination is an exception and no mistake");
}

#[test]
fn a_broader_and_weaker_rule_before_a_rule_for_all_methods_is_found() {
    let found = "partly_shadowed_rule $.rules[1] <- $.rules[0]";
    let admin =
        json!({ "match": { "path_prefix": "/admin", "ignore_case": true }, "require": { "groups": ["admins"] } });
    let read = |access: Value| {
        let mut rule = json!({ "match": { "methods": ["GET", "HEAD"] } });
        rule.as_object_mut().unwrap().extend(access.as_object().unwrap().clone());
        json!([rule, admin])
    };
    assert_eq!(rules(read(json!({ "access": "public" }))), [found]);
    assert_eq!(rules(read(json!({ "access": "token" }))), [found]);
    // Two requirements are not compared.
    assert_eq!(rules(read(json!({ "require": { "scopes": ["read"] } }))), [""; 0]);
    assert_eq!(rules(read(json!({ "access": "deny" }))), [""; 0]);
    // The usual way to tell reading from writing.
    let read =
        json!({ "match": { "path_prefix": "/a", "methods": ["GET", "HEAD"] }, "require": { "scopes": ["read"] } });
    let write = json!({ "match": { "path_prefix": "/a" }, "require": { "scopes": ["write"] } });
    assert_eq!(rules(json!([read, write])), [""; 0]);
}

#[test]
fn a_rule_that_leaves_a_method_to_a_weaker_rule_is_found() {
    let scope = json!({ "scopes": ["write"] });
    let on = |conditions: Value| json!({ "match": conditions, "require": scope });
    let default = |rules: Value| warnings(json!({ "rules": rules, "default_rule": {} }));
    let gap = "method_gap $.rules[0] <- $.default_rule";
    for (rules, expected) in [
        (vec![on(json!({ "path": "/a", "methods": ["GET"] }))], vec![gap]),
        (vec![on(json!({ "path": "/a", "methods": ["GET", "HEAD"] }))], vec![gap]),
        (vec![on(json!({ "path": "/a", "methods": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] }))], vec![]),
        (vec![on(json!({ "path": "/a" }))], vec![]),
        (vec![on(json!({ "methods": ["DELETE"] }))], vec![gap]),
        (vec![on(json!({ "methods": ["PATCH", "POST"] }))], vec![]),
        (vec![on(json!({ "path": "/a", "methods": ["POST"] }))], vec![]),
        (
            vec![
                on(json!({ "path_prefix": "/a", "methods": ["PUT"], "ignore_case": true })),
                json!({ "match": { "path_prefix": "/" }, "access": "public" }),
            ],
            vec!["method_gap $.rules[0] <- $.rules[1]"],
        ),
        // The rule behind matches the other methods and requires as much; an earlier one does too.
        (vec![on(json!({ "path_prefix": "/a", "methods": ["GET"] })), on(json!({ "path_prefix": "/" }))], vec![]),
        (
            vec![
                on(json!({ "path_prefix": "/a", "methods": ["HEAD", "POST", "PUT", "PATCH", "DELETE"] })),
                on(json!({ "path": "/a", "methods": ["GET"] })),
            ],
            vec![],
        ),
        // An expression that matches the same paths, though that is not known.
        (
            vec![
                on(json!({ "path_regex": "/a/[0-9]+", "methods": ["GET"] })),
                on(json!({ "path_regex": "/a/[a-z0-9]+" })),
            ],
            vec![],
        ),
        // A rule for other hosts or for a part of the paths does not.
        (
            vec![
                on(json!({ "hosts": ["a.acme.com"], "path_regex": "/a/[0-9]+", "methods": ["GET"] })),
                on(json!({ "hosts": ["b.acme.com"] })),
                on(json!({ "path": "/a/1" })),
            ],
            vec![gap],
        ),
        // What is only reported requires nothing.
        (
            vec![
                json!({ "match": { "path": "/a", "methods": ["GET"] }, "require": scope, "report_only": true }),
                on(json!({ "path": "/b" })),
            ],
            vec![],
        ),
    ] {
        let mut found = default(json!(rules));
        found.retain(|warning| !warning.starts_with("any_token_default "));
        assert_eq!(found, expected, "{rules:?}");
        let found = warnings(json!({ "rules": rules }));
        assert!(!found.contains(&gap.to_owned()), "{rules:?}");
    }
    // Where an earlier rule takes the requests of a rule, the rule has no gap.
    let hosts = |hosts: Value| json!({ "hosts": hosts, "path": "/a", "methods": ["GET"] });
    let found = warnings(json!({ "rules": [
        { "match": hosts(json!(["a.com"])), "access": "public" },
        on(hosts(json!(["a.com", "b.com"]))),
        on(json!({ "hosts": ["b.com"], "path": "/a" })),
    ], "default_rule": {} }));
    let entry = "partly_shadowed_rule $.rules[1].match.hosts[0] <- $.rules[0]";
    assert_eq!(found, [entry, "any_token_default $.default_rule <- $.rules[1]"]);
    let document =
        json!({ "providers": { "okta": okta() }, "rules": [on(json!({ "path": "/a", "methods": ["GET"] }))] });
    let gap = load(&document.to_string()).into_iter().find(|warning| warning.code == WarningCode::MethodGap).unwrap();
    assert!(gap.message.starts_with("HEAD, POST, PUT, PATCH and DELETE requests "), "{gap}");
}

#[test]
fn a_protected_path_that_is_open_in_other_letter_case_is_found() {
    let open = json!({ "match": { "path_prefix": "/" }, "access": "public" });
    let gap = |rule: Value| rules(json!([rule, { "match": { "path": "/0" } }, open]));
    let found = "path_gap $.rules[0] <- $.rules[2]";
    assert_eq!(gap(json!({ "match": { "path": "/admin" } })), [found]);
    assert_eq!(gap(json!({ "match": { "path_prefix": "/admin" }, "access": "deny" })), [found]);
    assert_eq!(gap(json!({ "match": { "path_regex": "/admin/[0-9]+" } })), [found]);
    assert_eq!(gap(json!({ "match": { "path": "/admin", "hosts": ["a.acme.com"], "methods": ["POST"] } })), [found]);
    for closed in [
        json!({ "match": { "path": "/admin", "ignore_case": true } }),
        json!({ "match": { "path": "/1" } }),
        json!({ "match": { "path_regex": "/[a-zA-Z]+" } }),
        json!({ "match": { "path": "/a" }, "access": "optional" }),
    ] {
        assert_eq!(gap(closed.clone()), [""; 0], "{closed}");
    }
}

#[test]
fn proofs_that_no_provider_accepts_and_exclusions_of_those_that_each_requires_are_found() {
    let constraint = |dpop: &str, mtls: &str| {
        let mut provider = okta();
        provider["sender_constraint"] = json!({ "dpop": dpop, "mtls": mtls });
        if dpop != "off" {
            provider["sender_constraint"]["proofs"] = json!({ "origins": ["https://api.acme.com"] });
        }
        provider
    };
    let second = |mut provider: Value| {
        provider["okta"]["domain"] = json!("other.okta.com");
        provider
    };
    let found = |providers: Value, require: Value| {
        let rules = json!([{ "match": { "path": "/a" }, "require": require }]);
        let all = warnings(json!({ "providers": providers, "rules": rules }));
        all.iter().any(|warning| warning == "unsatisfiable_requirement $.rules[0].require")
    };
    for (dpop, mtls, accepted, required) in [
        ("off", "off", &[][..], &[][..]),
        ("if_bound", "off", &["dpop", "any"], &[]),
        ("off", "if_bound", &["mtls", "any"], &[]),
        ("required", "off", &["dpop", "any"], &["dpop", "any"]),
        ("off", "required", &["mtls", "any"], &["mtls", "any"]),
        ("if_bound", "required", &["dpop", "mtls", "any"], &["mtls", "any"]),
    ] {
        for kind in ["dpop", "mtls", "any"] {
            let one = json!({ "a": constraint(dpop, mtls) });
            assert_eq!(found(one.clone(), json!({ "proof": kind })), !accepted.contains(&kind), "{dpop} {mtls} {kind}");
            let not = json!({ "not": { "proof": kind } });
            assert_eq!(found(one, not.clone()), required.contains(&kind), "not: {dpop} {mtls} {kind}");
            // One provider is enough.
            let two = json!({ "a": constraint(dpop, mtls), "b": second(constraint("if_bound", "if_bound")) });
            assert!(!found(two.clone(), json!({ "proof": kind })) && !found(two, not), "{dpop} {mtls} {kind}");
        }
    }
    let document = json!({ "providers": { "okta": okta() }, "default_rule": { "require": { "proof": "dpop" } } });
    let shown: Vec<String> = load(&document.to_string()).iter().map(ToString::to_string).collect();
    let expected = "[unsatisfiable_requirement] $.default_rule.require: No token meets `proof`: tokens that are bound to a key are rejected. Set `sender_constraint.dpop` of the provider to \"if_bound\" or \"required\".";
    assert!(shown.iter().any(|warning| warning == expected), "{shown:?}");
}

#[test]
fn requirements_that_no_token_meets_are_found() {
    let bad = ["unsatisfiable_requirement $.rules[0].require"];
    for unmet in [
        json!({ "amr": ["hwk"] }),
        json!({ "acr": "gold" }),
        json!({ "audiences": ["https://billing"] }),
        json!({ "claims": { "iss": "https://other.okta.com/oauth2/default" } }),
        json!({ "any_of": [{ "amr": ["hwk"] }, { "acr": "gold" }] }),
        json!({ "proof": "dpop" }),
        json!({ "proof": "mtls" }),
        json!({ "any_of": [{ "proof": "any" }, { "acr": "gold" }] }),
        json!({ "all_of": [{ "client_ids": ["a"] }, { "client_ids": ["b"] }] }),
        json!({ "claims": { "level": "a" }, "all_of": [{ "claims": { "level": 3 } }] }),
        json!({ "claims": { "sub": "a" }, "all_of": [{ "claims": { "sub": "b" } }] }),
        json!({ "claims": { "a": "x" }, "all_of": [{ "claims": { "a": { "exists": false } } }] }),
        json!({ "claims": { "a": "x" }, "not": { "claims": { "a": { "exists": true } } } }),
        json!({ "condition": "false" }),
        json!({ "condition": "1 > 2 && claims.a" }),
        json!({ "condition": "path_segment(request.url_path, 0) == 'a'" }),
        json!({ "condition": "claims.groups.contains('admins')" }),
        json!({ "condition": "claims.scp.startsWith('a') && claims.b" }),
        json!({ "condition": "has(claims.groups) ? claims.groups.matches('a') : false" }),
        json!({ "condition": "token.provider == 'other'" }),
        json!({ "not": { "condition": "true || claims.a" } }),
        json!({ "not": { "condition": "path_segment(request.url_path, -1) == claims.a" } }),
    ] {
        assert_eq!(require(unmet.clone()), bad, "{unmet}");
    }
    for met in [
        json!({ "any_of": [{ "amr": ["hwk"] }, { "groups": ["a"] }] }),
        json!({ "not": { "amr": ["hwk"] } }),
        json!({ "not": { "proof": "dpop" } }),
        json!({ "any_of": [{ "proof": "any" }, { "groups": ["a"] }] }),
        json!({ "acr": ["gold", "phr"] }),
        json!({ "audiences": ["api://default", "https://billing"] }),
        json!({ "claims": { "role": "a" }, "all_of": [{ "claims": { "role": "b" } }] }),
        json!({ "condition": "claims.team.contains('a')" }),
        json!({ "condition": "'a' in claims.groups" }),
        json!({ "condition": "path_segment(request.url_path, 1) == 'a'" }),
        json!({ "condition": "claims.groups.contains('a') || request.method == 'GET'" }),
        json!({ "condition": "claims.groups.all(group, group.contains('a'))" }),
        json!({ "condition": "[1, 2].exists(x, x == claims.level)" }),
    ] {
        assert_eq!(require(met.clone()), [""; 0], "{met}");
    }
    for constant in [
        json!({ "condition": "true" }),
        json!({ "condition": "1 + 1 == 2 || claims.a" }),
        json!({ "condition": "token.provider == 'okta'" }),
        json!({ "condition": "[1, 2].exists(x, x == 2)" }),
        json!({ "any_of": [{ "condition": "false" }, { "groups": ["a"] }] }),
    ] {
        assert_eq!(require(constant.clone()), ["constant_condition $.rules[0].require"], "{constant}");
    }
    assert_eq!(require(json!({ "max_age": "119s" })), ["short_max_age $.rules[0].require"]);
    assert_eq!(require(json!({ "max_age": "120s" })), [""; 0]);
}

#[test]
fn a_requirement_is_judged_for_the_tokens_of_each_provider() {
    let of = |require: Value, default: Value| {
        let mut okta = okta();
        okta["client_ids"] = json!(["a"]);
        let other =
            json!({ "issuer": "https://idp.example", "audiences": ["api"], "upstream": "idp", "client_ids": ["b"] });
        warnings(json!({ "providers": { "okta": okta, "other": other },
            "rules": [{ "match": { "path": "/a" }, "require": require }], "default_rule": default }))
    };
    let (deny, token) = (json!({ "access": "deny" }), json!({ "require": { "scopes": ["x"] } }));
    let unsatisfiable = "unsatisfiable_requirement $.rules[0].require";
    let unused = |name: &str| format!("unused_provider $.providers.{name}");
    assert_eq!(of(json!({ "client_ids": ["c"] }), token.clone()), [unsatisfiable]);
    assert_eq!(of(json!({ "client_ids": ["c"] }), deny.clone()), [unsatisfiable]);
    assert_eq!(of(json!({ "client_ids": ["b", "c"] }), deny.clone()), [unused("okta")]);
    assert_eq!(of(json!({ "amr": ["hwk"] }), deny.clone()), [unused("okta")]);
    assert_eq!(of(json!({ "condition": "token.provider == 'okta'" }), deny.clone()), [unused("other")]);
    assert_eq!(of(json!({ "condition": "token.provider == 'okta'" }), token), [""; 0]);
    assert_eq!(of(json!({ "scopes": ["a"] }), deny), [""; 0]);
    // A rule that no request reaches accepts no token.
    let rules = json!([{ "match": { "path_prefix": "/" }, "access": "public" }, { "match": { "path": "/a" } }]);
    assert_eq!(
        warnings(json!({ "rules": rules })),
        ["shadowed_rule $.rules[1] <- $.rules[0]".to_owned(), unused("okta")]
    );
}

#[test]
fn allowed_warnings_are_removed_and_unknown_codes_are_errors() {
    let document = |codes: Value| {
        json!({ "providers": { "okta": okta() }, "rules": [{ "match": { "path": "/a" }, "require": { "scopes": ["a"] } }],
            "allow_warnings": codes })
        .to_string()
    };
    assert_eq!(load(&document(json!([]))).len(), 1);
    assert_eq!(load(&document(json!(["any_token_default"]))), []);
    let found = load(&document(json!(["any_token_default", "path_gap"])));
    assert!(matches!(&*found, [one] if one.code == WarningCode::UnusedAllowedWarning), "{found:?}");
    assert_eq!(found[0].path.as_str(), "$.allow_warnings[1]");
    let errors = |codes: Value| -> Vec<String> {
        let errors = config::load(document(codes).as_bytes(), &environment).unwrap_err();
        errors.iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        errors(json!(["any_token_defaults", "nonsense", 5])),
        [
            "$.allow_warnings[0]: unknown warning code; did you mean `any_token_default`?",
            "$.allow_warnings[1]: unknown warning code; docs/policy-analysis.md lists them",
            "$.allow_warnings[2]: expected the code of a warning, such as \"method_gap\"",
        ]
    );
    assert_eq!(errors(json!(["path_gap", "path_gap"])), ["$.allow_warnings[1]: duplicate entry"]);
    for code in WarningCode::ALL.into_iter().filter(|code| !code.may_be_allowed()) {
        let expected = "$.allow_warnings[0]: this warning cannot be allowed: remove its cause";
        assert_eq!(errors(json!([code.name()])), [expected]);
    }
}

#[test]
fn warnings_of_one_code_are_bounded_and_counted() {
    let rule = |number: usize| on(json!({ "path": format!("/{number}"), "methods": ["GET"] }));
    let many: Vec<Value> = (0..5000).map(rule).collect();
    let document = json!({ "providers": { "okta": okta() }, "rules": many, "allow_warnings": ["any_token_default"] });
    let found = load(&document.to_string());
    assert_eq!((found.len(), found[10].message.as_ref()), (11, "4990 more warnings have this code."));
    assert!(found.iter().all(|warning| warning.code == WarningCode::MethodGap));
}

#[test]
fn a_policy_that_is_too_large_for_the_analysis_is_reported_and_takes_little_time() {
    let rule = |number: usize| on(json!({ "path_regex": format!("/(a|b)/{number}/[0-9]+/(x|y)") }));
    let document = json!({ "providers": { "okta": okta() }, "rules": (0..3000).map(rule).collect::<Vec<_>>(),
        "default_rule": { "access": "deny" } });
    let codes: Vec<&str> = load(&document.to_string()).iter().map(|warning| warning.code.name()).collect();
    assert_eq!(codes, ["analysis_incomplete"]);
}

/// Each code has a section with a bad example, which has this warning and no other, and a good one without a warning.
#[test]
fn every_code_is_documented_with_a_bad_and_a_good_example() {
    let page = fs::read_to_string(root().join("docs/policy-analysis.md")).unwrap();
    let sections: Vec<(&str, &str)> =
        page.split("\n### `").skip(1).map(|section| section.split_once('`').unwrap()).collect();
    let names: Vec<&str> = sections.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, WarningCode::NAMES);
    for (code, section) in WarningCode::ALL.into_iter().zip(sections.iter().map(|(_, section)| section)) {
        let section = section.split("\n## ").next().unwrap();
        let examples: Vec<String> = blocks(section).into_iter().map(|block| block.text).collect();
        // An example of the last one would fill the page.
        let [bad, good] = examples.as_slice() else {
            assert!(code == WarningCode::AnalysisIncomplete && examples.is_empty(), "{}", code.name());
            continue;
        };
        let found: Vec<&str> = load(bad).iter().map(|warning| warning.code.name()).collect();
        let also = if code == WarningCode::AnyOpaqueToken { vec!["insecure_setting"] } else { vec![] };
        let mut expected = [vec![code.name()], also].concat();
        expected.sort_unstable();
        let mut sorted = found.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, expected, "the bad example of {}", code.name());
        assert_eq!(load(good), [], "the good example of {}", code.name());
    }
}
