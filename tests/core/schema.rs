//! The JSON Schema and the reference are generated from the types: they are up to date, and no stricter than the loader.

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
