//! Warnings about methods that a rule leaves to a weaker rule although backends execute them alike.

use okta_proxy_wasm::config;
use serde_json::{Value, json};

use super::okta_with;

fn warnings(members: Value) -> Vec<String> {
    let mut document = okta_with(json!({}));
    document.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    config::load(document.to_string().as_bytes(), &config::no_environment).unwrap().warnings
}

#[test]
fn a_rule_that_leaves_head_or_post_to_a_weaker_rule_is_warned_of() {
    let scope = json!({ "scopes": ["write"] });
    let on = |conditions: Value| json!({ "match": conditions, "require": scope });
    let deny = json!({ "access": "deny" });
    for (rules, default, expected) in [
        (vec![on(json!({ "path": "/a", "methods": ["GET"] }))], json!({}), vec!["$.rules[0]: HEAD … $.default_rule"]),
        (vec![on(json!({ "path": "/a", "methods": ["GET"] }))], deny.clone(), vec![]),
        (vec![on(json!({ "path": "/a", "methods": ["GET", "HEAD"] }))], json!({}), vec![]),
        (vec![on(json!({ "path": "/a" }))], json!({}), vec![]),
        (vec![on(json!({ "methods": ["DELETE"] }))], json!({}), vec!["$.rules[0]: POST … $.default_rule"]),
        (vec![on(json!({ "methods": ["PATCH", "POST"] }))], json!({}), vec![]),
        (
            vec![
                on(json!({ "path_prefix": "/a", "methods": ["PUT"] })),
                json!({ "match": { "path_prefix": "/" }, "access": "public" }),
            ],
            deny.clone(),
            vec!["$.rules[0]: POST … $.rules[1]"],
        ),
        // The rule behind covers the same requests and requires as much; an earlier one does too.
        (
            vec![on(json!({ "path_prefix": "/a", "methods": ["GET"] })), on(json!({ "path_prefix": "/a" }))],
            json!({}),
            vec![],
        ),
        (vec![on(json!({ "methods": ["HEAD"] })), on(json!({ "path": "/a", "methods": ["GET"] }))], json!({}), vec![]),
        // A rule for other hosts or for a part of the paths does not cover it.
        (
            vec![
                on(json!({ "hosts": ["a.acme.com"], "path_regex": "/a/[0-9]+", "methods": ["GET"] })),
                on(json!({ "hosts": ["b.acme.com"] })),
                on(json!({ "path": "/a/1" })),
            ],
            json!({}),
            vec!["$.rules[0]: HEAD … $.default_rule"],
        ),
        (
            vec![
                on(
                    json!({ "hosts": ["x.a.acme.com", "*.b.a.acme.com"], "path_regex": "/a/[0-9]+", "methods": ["GET"] }),
                ),
                on(json!({ "hosts": ["*.a.acme.com"], "path_prefix": "/a" })),
            ],
            json!({}),
            vec![],
        ),
        // What is only reported requires nothing.
        (vec![json!({ "match": { "methods": ["GET"] }, "require": scope, "report_only": true })], json!({}), vec![]),
    ] {
        let found = warnings(json!({ "rules": rules, "default_rule": default }));
        let shortened: Vec<String> = found
            .iter()
            .map(|line| line.replace(" to the same hosts and path comes under ", " … "))
            .map(|line| line.split(", which requires less: ").next().unwrap().to_owned())
            .collect();
        assert_eq!(shortened, expected, "{rules:?} {found:?}");
    }
    let many: Vec<Value> =
        (0..5000).map(|number| on(json!({ "path": format!("/{number}"), "methods": ["GET"] }))).collect();
    let found = warnings(json!({ "rules": many }));
    assert_eq!(
        (found.len(), found[8].as_str()),
        (9, "4992 more rules leave HEAD or POST to a rule that requires less")
    );
}
