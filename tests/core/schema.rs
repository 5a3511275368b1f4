//! The JSON Schema and the reference are generated from the types: they are up to date, no stricter than the loader, and find
//! what it finds wherever a schema can (`schema/coverage.rs`).

mod coverage;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

use jsonschema::{Draft, Validator};
use okta_proxy_wasm::config;
use okta_proxy_wasm::config::reference;
use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn validators() -> [Validator; 2] {
    [reference::json_schema(), reference::json_schema_draft_04()]
        .map(|schema| jsonschema::validator_for(&schema).unwrap())
}

#[test]
fn generated_files_match_the_types() {
    let pretty = |schema: &Value| serde_json::to_string_pretty(schema).unwrap() + "\n";
    for (file, expected) in [
        ("docs/okta-proxy-wasm.schema.json", pretty(&reference::json_schema())),
        ("docs/configuration.md", reference::markdown()),
    ] {
        let path = root().join(file);
        if env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&path, &expected).unwrap();
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == expected,
            "{file} is out of date: UPDATE_GOLDEN=1 cargo test --workspace --test core schema:: writes it"
        );
    }
}

#[test]
fn both_schemas_are_valid_in_their_draft() {
    for (schema, draft) in
        [(reference::json_schema(), Draft::Draft202012), (reference::json_schema_draft_04(), Draft::Draft4)]
    {
        assert_eq!(Draft::default().detect(&schema), draft);
        jsonschema::meta::validate(&schema).unwrap();
    }
    // What the older draft has not, or has otherwise.
    let old = reference::json_schema_draft_04().to_string();
    for word in ["$defs", "\"const\"", "\"if\"", "propertyNames", "\"$id\"", "exclusiveMinimum"] {
        assert!(!old.contains(word), "{word}");
    }
}

/// A document with one of each structure, each with all of its needed fields.
fn complete() -> Value {
    json!({
        "$schema": "okta-proxy-wasm.schema.json",
        "providers": { "okta": {
            "okta": { "domain": "acme.okta.com" }, "audiences": ["a"], "upstream": "okta",
            "introspection": { "client_id": "c", "client_secret": { "env": "SECRET" } },
        } },
        "revocations": { "uri": "https://sec.acme.com/revoked.json", "upstream": "sec" },
        "token": { "from_headers": [{ "name": "x-token" }] },
        "claim_to_headers": [{ "header": "x-user-id", "claim": "sub" }],
        "filter_state": ["subject", { "name": "tenant", "claim": ["org", "tenant"] }],
        "protected_resources": [{ "resource": "https://api.acme.com/" }],
        "audit": { "allowed": "sampled", "sample": 0.5 },
        "responses": { "debug": { "secret": { "env": "DEBUG" } }, "cors": { "allow_origins": ["https://app.acme.com"] }, "login": { "url": "https://app.acme.com/login" } },
        "rules": [{
            "match": { "path": "/" }, "redirect_browsers": true,
            "require": { "acr": "phr", "claims": { "level": 3, "team": { "one_of": ["a"] } }, "not": { "groups": ["g"] } },
        }],
    })
}

fn faults(document: &Value) -> Vec<String> {
    match config::load(document.to_string().as_bytes(), &|_| Some(String::from("set-for-these-tests"))) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.iter().map(ToString::to_string).collect(),
    }
}

/// The places of all members of a document, as JSON pointers.
fn paths(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let at = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
                found.push(at.clone());
                paths(member, &at, found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                paths(item, &format!("{at}/{index}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn parent(place: &str) -> (&str, &str) {
    place.rsplit_once('/').unwrap()
}

#[test]
fn members_required_by_the_schema_are_required_by_the_loader() {
    let complete = complete();
    assert_eq!(faults(&complete), Vec::<String>::new());
    let validators = validators();
    assert!(validators.iter().all(|validator| validator.is_valid(&complete)));
    let mut all = Vec::new();
    paths(&complete, "", &mut all);
    let mut needed = BTreeSet::new();
    for place in &all {
        let mut document = complete.clone();
        let (holder, name) = parent(place);
        document.pointer_mut(holder).unwrap().as_object_mut().unwrap().remove(name);
        let refuse = validators.each_ref().map(|validator| !validator.is_valid(&document));
        assert_eq!(refuse[0], refuse[1], "the drafts differ without {place}");
        if refuse[0] {
            assert!(!faults(&document).is_empty(), "the loader does without {place}");
            needed.insert(name.to_owned());
        }
    }
    let expected =
        ["providers", "domain", "name", "header", "claim", "client_id", "env", "uri", "upstream", "resource"];
    for name in expected.into_iter().chain(["allow_origins", "url"]) {
        assert!(needed.contains(name), "{name}: {needed:?}");
    }
}

#[test]
fn wrong_types_and_unknown_members_are_rejected_by_schema_and_loader() {
    let complete = complete();
    let validators = validators();
    let mut all = Vec::new();
    paths(&complete, "", &mut all);
    let mut refused = 0;
    for place in all.iter().filter(|place| !place.starts_with("/$schema")) {
        let mut unknown = complete.clone();
        let value = unknown.pointer_mut(place).unwrap();
        // Names are free there.
        let is_map = ["/providers", "/rules/0/require/claims"].contains(&place.as_str());
        if let (Some(members), false) = (value.as_object_mut(), is_map) {
            members.insert("unheard_of".to_owned(), json!(1));
            assert!(!faults(&unknown).is_empty(), "{place}");
            assert!(validators.iter().all(|validator| !validator.is_valid(&unknown)), "{place}");
            refused += 1;
        }
        for other in [json!([[]]), json!({ "a": {} }), json!(-1), json!("\u{0}"), json!(true)] {
            let mut changed = complete.clone();
            *changed.pointer_mut(place).unwrap() = other.clone();
            let refuse = validators.each_ref().map(|validator| !validator.is_valid(&changed));
            assert_eq!(refuse[0], refuse[1], "the drafts differ about {other} at {place}");
            if refuse[0] {
                assert!(!faults(&changed).is_empty(), "the loader takes {other} at {place}");
                refused += 1;
            }
        }
    }
    assert!(refused > 150, "{refused}");
}

/// The schema behind references and in choices, and the objects that it has in the document.
fn objects<'a>(
    root: &'a Value,
    schema: &'a Value,
    value: &'a Value,
    at: &str,
    visit: &mut dyn FnMut(&'a Value, &'a Value, &str),
) {
    if let Some(name) = schema["$ref"].as_str() {
        return objects(root, root.pointer(name.trim_start_matches('#')).unwrap(), value, at, visit);
    }
    for choice in schema["anyOf"].as_array().into_iter().flatten() {
        objects(root, choice, value, at, visit);
    }
    match value {
        Value::Object(members) => {
            if schema["properties"].is_object() {
                visit(schema, value, at);
            }
            for (name, member) in members {
                let of_member = schema["properties"].get(name).or(schema.get("additionalProperties"));
                if let Some(schema) = of_member.filter(|schema| schema.is_object()) {
                    objects(root, schema, member, &format!("{at}/{name}"), visit);
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate().filter(|_| schema["items"].is_object()) {
                objects(root, &schema["items"], item, &format!("{at}/{index}"), visit);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// `complete()` and further structures that have defaults.
fn with_every_structure() -> Value {
    let mut document = complete();
    let provider = &mut document["providers"]["okta"];
    provider["jwks"] = json!({});
    document["cache"] = json!({});
    document["audit"] = json!({});
    document["default_rule"] = json!({});
    document["responses"]["custom"] = json!({ "forbidden": { "body": "no" } });
    document["filter_state"][1]["name"] = json!("tenant");
    document
}

#[test]
fn defaults_are_those_that_the_loader_applies() {
    let schema = reference::json_schema();
    let document = with_every_structure();
    let policy = |document: &Value| {
        let loaded = config::load(document.to_string().as_bytes(), &|_| Some(String::from("set-for-these-tests")));
        let loaded = loaded.unwrap_or_else(|errors| panic!("{errors:?}\n{document}"));
        format!("{:?} {:?} {}", loaded.policy, loaded.native_crypto, loaded.insecure_settings)
    };
    let (mut compared, mut wrong) = (BTreeSet::new(), Vec::new());
    objects(&schema, &schema, &document, "", &mut |schema, _, at| {
        for (name, field) in schema["properties"].as_object().unwrap() {
            let Some(default) = field.get("default") else { continue };
            let mut without = document.clone();
            without.pointer_mut(at).unwrap().as_object_mut().unwrap().remove(name);
            // Nothing is sampled where no extent says so.
            if name == "sample" {
                assert_eq!(default, 0.01);
                without.pointer_mut(at).unwrap()["allowed"] = json!("sampled");
            }
            let mut with = without.clone();
            with.pointer_mut(at).unwrap()[name] = default.clone();
            if policy(&with) != policy(&without) {
                wrong.push(format!("{at}/{name}: {default}"));
            }
            compared.insert(format!("{at}/{name}"));
        }
    });
    assert!(wrong.is_empty(), "not the default: {wrong:#?}");
    assert!(compared.len() >= 45, "{}: {compared:#?}", compared.len());
}

#[test]
fn examples_meet_their_own_schema() {
    fn examples(value: &Value, found: &mut Vec<(Value, Value)>) {
        match value {
            Value::Object(members) => {
                for example in members.get("examples").and_then(Value::as_array).into_iter().flatten() {
                    found.push((value.clone(), example.clone()));
                }
                members.values().for_each(|value| examples(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| examples(value, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let schema = reference::json_schema();
    let mut found = Vec::new();
    examples(&schema, &mut found);
    assert!(found.len() >= 25, "{}", found.len());
    for (mut of_field, example) in found {
        of_field["$defs"] = schema["$defs"].clone();
        jsonschema::validate(&of_field, &example).unwrap_or_else(|fault| panic!("{example}: {fault}"));
    }
}

#[test]
fn null_is_a_value_only_where_the_default_is_none() {
    let validators = validators();
    let complete = with_every_structure();
    assert!(validators.iter().all(|validator| validator.is_valid(&complete)));
    let mut all = Vec::new();
    paths(&complete, "", &mut all);
    let (mut accepted, mut rejected) = (0, 0);
    for place in all {
        let mut document = complete.clone();
        *document.pointer_mut(&place).unwrap() = Value::Null;
        let is_valid = validators.each_ref().map(|validator| validator.is_valid(&document));
        assert_eq!(is_valid[0], is_valid[1], "the drafts differ about {place}");
        if is_valid[0] {
            // It counts as missing.
            let mut without = document.clone();
            let (holder, name) = parent(&place);
            without.pointer_mut(holder).unwrap().as_object_mut().unwrap().remove(name);
            assert_eq!(faults(&document), faults(&without), "{place}");
            accepted += 1;
        } else {
            rejected += 1;
        }
    }
    assert!(accepted > 3 && rejected > 30, "{accepted} {rejected}");
}
