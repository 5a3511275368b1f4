//! Faulty configurations in `tests/data/faults`, each `NAME.json` beside `NAME.txt`: every fault in its order, as the
//! operator sees it. One document is about one part of the configuration, `everything_at_once` about all of them.
//!
//! After a change of the loader write the files again, read what changed, and commit it:
//!
//! ```sh
//! UPDATE_GOLDEN=1 cargo test --workspace --test core golden_faults:: && git diff tests/data/faults
//! ```
//!
//! A document may be anything that an operator could pass, also no JSON.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use okta_proxy_wasm::config;
use serde_json::Value;

/// A value that each document has somewhere, and that nothing else says.
const SECRET: &str = "s3cret";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn folder() -> PathBuf {
    root().join("tests/data/faults")
}

/// The names of the files with this ending.
fn names(ending: &str) -> BTreeSet<String> {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let wanted = files.filter(|path| path.extension().is_some_and(|found| found == ending));
    wanted.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect()
}

fn document(name: &str) -> Vec<u8> {
    fs::read(folder().join(format!("{name}.json"))).unwrap()
}

fn golden(name: &str) -> String {
    fs::read_to_string(folder().join(format!("{name}.txt"))).unwrap_or_default()
}

/// What stands in the variables that the documents name.
fn environment(name: &str) -> Option<String> {
    let pem = |label: &str, der: &str| format!("-----BEGIN {label}-----\n{der}\n-----END {label}-----\n");
    let of_pair = |d: &str| {
        format!(
            r#"{{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"{d}}}"#
        )
    };
    match name {
        "SECRET" => Some(SECRET.to_owned()),
        "EMPTY" => Some(String::from(" \n")),
        "LINE_END" => Some(format!("{SECRET}\n")),
        "KEY_ENCRYPTED" => Some(pem("ENCRYPTED PRIVATE KEY", "MAMCAQA=")),
        "KEY_SEC1" => Some(pem("EC PRIVATE KEY", "MAMCAQA=")),
        "KEY_OKP" => Some(String::from(r#"{"kty":"OKP","crv":"X25519","x":"AAAA","d":"AAAA"}"#)),
        "KEY_WEAK" => Some(String::from(r#"{"kty":"RSA","n":"wQ","e":"AQAB","d":"AQAB"}"#)),
        "KEY_OF_TWO" => Some(of_pair(r#","d":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE""#)),
        "KEY_PUBLIC" => Some(of_pair("")),
        _ => None,
    }
}

/// The faults, a line each.
fn faults(document: &[u8]) -> String {
    match config::load(document, &environment) {
        Ok(_) => String::new(),
        Err(faults) => faults.iter().map(|fault| format!("{fault}\n")).collect(),
    }
}

#[test]
fn every_faulty_document_is_rejected_with_exactly_its_golden_faults() {
    let is_to_be_written = env::var_os("UPDATE_GOLDEN").is_some();
    let documents = names("json");
    assert!(documents.len() >= 20, "the documents were not found");
    let mut wrong = Vec::new();
    for name in &documents {
        let found = faults(&document(name));
        assert!(!found.is_empty(), "{name}.json has no fault");
        if is_to_be_written {
            fs::write(folder().join(format!("{name}.txt")), &found).unwrap();
        } else if found != golden(name) {
            wrong.push(format!("{name}: is\n{found}\nand not\n{}", golden(name)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let alone: Vec<_> = names("txt").symmetric_difference(&documents).cloned().collect();
    assert!(alone.is_empty(), "a document without its faults, or faults without a document: {alone:?}");
}

/// The document with this behind, or before, each text that is a value.
fn marked(value: &Value, mark: &dyn Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(mark(text)),
        Value::Array(items) => items.iter().map(|item| marked(item, mark)).collect(),
        Value::Object(members) => members.iter().map(|(name, member)| (name.clone(), marked(member, mark))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

#[test]
fn no_value_of_the_document_is_ever_in_a_fault() {
    const MARK: &str = "hunter2";
    let marks: [&dyn Fn(&str) -> String; 5] = [
        &|text| format!("{text}{MARK}"),
        &|text| format!("{MARK}{text}"),
        &|text| format!("{text} {MARK}("),
        &|text| format!("{text}\n{MARK}"),
        &|_| MARK.to_owned(),
    ];
    let mut said = 0;
    for name in names("json") {
        let text = document(&name);
        assert!(name == "text_empty" || String::from_utf8_lossy(&text).contains(SECRET), "{name} keeps no secret");
        assert!(!golden(&name).contains(SECRET), "{name}.txt shows a value");
        let Ok(value) = serde_json::from_slice::<Value>(&text) else { continue };
        for mark in marks {
            let found = faults(marked(&value, mark).to_string().as_bytes());
            assert!(!found.contains(MARK), "{name}: {found}");
            said += found.lines().count();
        }
    }
    assert!(said > 1000, "{said}");
}

/// The texts in a source file, without its comments and tests.
fn texts_in(source: &str) -> Vec<String> {
    let code = source.split("#[cfg(test)]").next().unwrap();
    let code: String = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .fold(String::new(), |code, line| code + line + "\n");
    let mut texts = Vec::new();
    let mut characters = code.chars().peekable();
    while let Some(character) = characters.next() {
        // A character such as '"' begins no text.
        if character == '\'' {
            let next = characters.next();
            if next == Some('\\') || characters.peek() == Some(&'\'') {
                characters.by_ref().find(|character| *character == '\'');
            }
            continue;
        }
        if character != '"' {
            continue;
        }
        let mut text = String::new();
        loop {
            match characters.next().expect("a text ends") {
                '"' => break,
                '\\' => match characters.next().expect("an escape") {
                    '\n' => while characters.next_if(|character| character.is_whitespace()).is_some() {},
                    'n' => text.push('\n'),
                    other => text.push(other),
                },
                other => text.push(other),
            }
        }
        texts.push(text);
    }
    texts
}

#[test]
fn every_fault_message_of_the_loader_occurs_in_some_document() {
    // Sentences that are none of a fault, or that no document can bring about.
    const OTHERS: [&str; 6] = [
        "whether there is one, unless there is a fault",
        "text/plain; charset=utf-8", // What is written unless the operator writes something.
        "www-authenticate, retry-after",
        "the key set is too large", // Of an answer; a document of that size is refused as a whole.
        "expected a JSON object",   // What begins with `{` is none or broken.
        "write the name of the claim, or the names on the way to it",
    ];
    let files = [
        "src/config/error.rs",
        "src/config/json_error.rs",
        "src/config/decode.rs",
        "src/config/schema.rs",
        "src/config/schema/audit.rs",
        "src/config/schema/forwarding.rs",
        "src/config/schema/introspection.rs",
        "src/config/schema/responses.rs",
        "src/config/schema/rules.rs",
        "src/config/schema/require.rs",
        "src/config/compile.rs",
        "src/config/compile/audit.rs",
        "src/config/compile/claim_to_headers.rs",
        "src/config/compile/client_certificate.rs",
        "src/config/compile/debug.rs",
        "src/config/compile/filter_state.rs",
        "src/config/compile/protected_resource.rs",
        "src/config/compile/introspection.rs",
        "src/config/compile/issuer.rs",
        "src/config/compile/provider.rs",
        "src/config/compile/requirement.rs",
        "src/config/compile/responses.rs",
        "src/config/compile/rules.rs",
        "src/config/compile/sender_constraint.rs",
        "src/config/compile/token_source.rs",
        "src/policy/responses/cors.rs",
        "src/policy/route.rs",
        "src/cel/error.rs",
    ];
    let said: String = names("json").iter().map(|name| golden(name)).collect();
    let (mut missing, mut found) = (Vec::new(), 0);
    for file in files {
        for text in texts_in(&fs::read_to_string(root().join(file)).unwrap()) {
            let is_sentence = text.trim().contains(' ') && text.chars().any(char::is_alphabetic);
            if !is_sentence || OTHERS.iter().any(|other| text.contains(other)) {
                continue;
            }
            // `{}` and `{name}` stand for what differs; other braces are doubled in a format, and plain in a hint.
            let is_format = [
                "{}",
                "{call}",
                "{suggestion}",
                "{line}",
                "{near}",
                "{wanted}",
                "{hint}",
                "{fault}",
                "{expected}",
                "{name}",
            ];
            let mut pieces = vec![text.as_str()];
            for placeholder in is_format {
                pieces = pieces.iter().flat_map(|piece| piece.split(placeholder)).collect();
            }
            found += 1;
            if !pieces.iter().all(|piece| said.contains(piece.split("{column}").next().unwrap())) {
                missing.push(format!("{file}: {text}"));
            }
        }
    }
    assert!(found > 60, "the sentences were not found: {found}");
    assert!(missing.is_empty(), "no document brings these about:\n{}", missing.join("\n"));
}
