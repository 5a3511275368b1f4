//! The schema finds what the loader finds, in the faulty documents of `tests/data/faults`: each fault at its path, or the
//! message is on a list of those that no schema can express.

use std::collections::BTreeSet;
use std::fs;

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind;
use okta_proxy_wasm::config::{self, reference};
use serde_json::Value;

/// Messages that no schema can express, or the part of one, by the reason.
const BEYOND_A_SCHEMA: [(&str, &[&str]); 8] = [
    ("it depends on the environment", &["the environment variable "]),
    (
        "it is written in another language, or in a normal form",
        &[
            "the condition is neither",
            "this name is taken",
            "more than two of exists",
            "wrong type: ",
            "unknown attribute",
            "unknown variable",
            "unknown function",
            "never true of",
            "compares different types",
            "unusable regular expression",
            "neither an IP address",
            "an address or a range without host bits",
            "unknown time zone",
            "header names are written",
            "not a CEL expression",
            "nested or chained",
            "not offered here",
            "paths are compared in normal form",
            "every request for this path is refused",
            "not a regular expression",
            "paths are compared percent-encoded",
            "the regular expression is too large",
            "a path begins with `/`",
            "the path in normal form",
            "the host in lower case",
            "expected a host such as",
        ],
    ),
    (
        "it compares parts of the document",
        &[
            "`sender_constraint.dpop` of a provider needs",
            "the scheme `DPoP` is accepted",
            "another provider ",
            "another entry ",
            "another rule has this name",
            "duplicate entry: ",
            "duplicate entry",
            "missing; several providers introspect",
            "missing; no provider has a URL",
            "`readiness_path` is where",
            "a header of `claim_to_headers`",
            "contradicts another test",
            "no token can meet this",
            "there is nowhere to send them",
            "no issuer contains `{tenant}`",
            "more than 256 issuers",
            "shorter than `refresh`",
            "the filter sets it for",
            "with this `access` no token is looked at",
            "who leaves the token out",
            "this header is used for something else",
            "has a parameter that the filter adds",
        ],
    ),
    (
        "a list of names in the code: it may grow",
        &["reserved: ", "not a header that is removed", "a secret is not written here", "like one of Okta's values"],
    ),
    ("the size of a duration, which is a string", &["at most \"300s\"", "between \"", "whole seconds"]),
    (
        "what the host name says about the issuer",
        &[
            "tokens of the Okta org authorization server",
            "no token of Okta has this",
            "no token of Microsoft Entra",
            "leave the port out",
            "this is the address of the admin console",
            "this is the address of the metadata",
            "contains a pattern or a placeholder",
        ],
    ),
    ("the content of keys", &["no key here can verify"]),
    ("sums over a tree", &["more than 256 requirements", "`any_of`, `all_of` and `not` are nested"]),
];

/// The JSON pointer of a path such as `$.rules[0].match`.
fn pointer(path: &str) -> String {
    let mut pointer = String::new();
    let mut rest = path.strip_prefix('$').unwrap();
    while !rest.is_empty() {
        let (name, behind) = if let Some(quoted) = rest.strip_prefix("[\"") {
            let (name, behind) = quoted.split_once("\"]").unwrap();
            (name, behind)
        } else if let Some(index) = rest.strip_prefix('[') {
            index.split_once(']').unwrap()
        } else {
            let name = rest.strip_prefix('.').unwrap();
            name.split_at(name.find(['.', '[']).unwrap_or(name.len()))
        };
        pointer.push('/');
        pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
        rest = behind;
    }
    pointer
}

/// The place of an error; of a choice those in its parts, but not that it is of another type than one of them.
fn places(error: &ValidationError<'_>, found: &mut BTreeSet<String>) {
    let at = error.instance_path().to_string();
    let ValidationErrorKind::AnyOf { context } = error.kind() else {
        found.insert(at);
        return;
    };
    let is_other_type = |error: &ValidationError<'_>| {
        matches!(error.kind(), ValidationErrorKind::Type { .. }) && error.instance_path().to_string() == at
    };
    let parts: Vec<_> = context.iter().filter(|part| !part.iter().any(is_other_type)).collect();
    if parts.is_empty() {
        found.insert(at.clone());
    }
    parts.into_iter().flatten().for_each(|error| places(error, found));
}

#[test]
fn schema_finds_what_the_loader_finds_wherever_a_schema_can() {
    let folder = super::root().join("tests/data/faults");
    let validator = jsonschema::validator_for(&reference::json_schema()).unwrap();
    let old = jsonschema::validator_for(&reference::json_schema_draft_04()).unwrap();
    let (mut missed, mut found, mut used) = (BTreeSet::new(), 0, BTreeSet::new());
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let Ok(document) = serde_json::from_slice::<Value>(&fs::read(&path).unwrap_or_default()) else { continue };
        let is_document = path.extension().is_some_and(|extension| extension == "json") && document.is_object();
        if !is_document {
            continue;
        }
        let text = fs::read(&path).unwrap();
        let Err(errors) = config::load(&text, &|_| None) else { continue };
        let mut by_schema = BTreeSet::new();
        validator.iter_errors(&document).for_each(|error| places(&error, &mut by_schema));
        assert_eq!(old.is_valid(&document), by_schema.is_empty(), "{path:?}: the drafts differ");
        for error in errors.iter().filter(|error| error.position().is_none()) {
            let at = pointer(&error.path);
            let parent = at.rsplit_once('/').map(|(parent, _)| parent.to_owned());
            let is_found = by_schema
                .iter()
                .any(|place| *place == at || Some(place) == parent.as_ref() || place.starts_with(&format!("{at}/")));
            let message = error.to_string();
            let message = message.strip_prefix(&format!("{}: ", error.path)).unwrap();
            let exception =
                BEYOND_A_SCHEMA.iter().flat_map(|(_, messages)| *messages).find(|part| message.starts_with(**part));
            match (is_found, exception) {
                (true, None) => found += 1,
                // A schema finds some of these.
                (true, Some(_)) => {}
                (false, Some(exception)) => {
                    used.insert(*exception);
                }
                (false, None) => {
                    let name = path.file_stem().unwrap().display();
                    missed.insert(format!("{name} {}: {message}", error.path));
                }
            }
        }
    }
    let all: Vec<&str> = BEYOND_A_SCHEMA.iter().flat_map(|(_, messages)| messages.iter().copied()).collect();
    let unused: Vec<&&str> = all.iter().filter(|message| !used.contains(**message)).collect();
    assert!(
        missed.is_empty(),
        "only the loader finds, of {found}:\n{}",
        missed.into_iter().collect::<Vec<_>>().join("\n")
    );
    assert!(unused.is_empty(), "the schema finds these: {unused:?}");
    assert!(found > 200, "{found}");
}
