//! Prometheus's text format, parsed strictly: a scraper that finds one wrong line rejects the whole response.

use std::collections::{BTreeMap, BTreeSet};

/// One line of an exposition: a name, its labels and a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The series' name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

/// All samples of an exposition whose names begin with `prefix`.
///
/// # Panics
/// When any line is not of the format, or two samples are of one series.
pub fn samples(exposition: &str, prefix: &str) -> Vec<Sample> {
    let mut kinds: BTreeMap<&str, &str> = BTreeMap::new();
    let mut series = BTreeSet::new();
    let mut found = Vec::new();
    for line in exposition.lines().filter(|line| !line.is_empty()) {
        if let Some(comment) = line.strip_prefix("# TYPE ") {
            let (name, kind) = comment.split_once(' ').unwrap_or_else(|| panic!("no type: {line}"));
            assert!(["counter", "gauge", "histogram", "summary"].contains(&kind), "{line}");
            assert_eq!(kinds.insert(name, kind), None, "a second time: {line}");
            continue;
        }
        assert!(!line.starts_with('#') || line.starts_with("# HELP "), "{line}");
        let sample = sample(line);
        let parts = ["_bucket", "_sum", "_count"].iter().filter_map(|part| sample.name.strip_suffix(part));
        let family = parts.chain([sample.name.as_str()]).find(|family| kinds.contains_key(family));
        assert!(family.is_some(), "no TYPE before: {line}");
        assert!(series.insert((sample.name.clone(), sample.labels.clone())), "a second time: {line}");
        if sample.name.starts_with(prefix) {
            found.push(sample);
        }
    }
    found
}

fn sample(line: &str) -> Sample {
    let end = line.find(['{', ' ']).unwrap_or_else(|| panic!("no value: {line}"));
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while let Some((label, value)) = rest.split_once("=\"").filter(|_| !rest.starts_with('}')) {
            let (text, after) = quoted(value).unwrap_or_else(|| panic!("an open quote: {line}"));
            assert!(is_name(label) && !label.contains(':'), "{line}");
            assert_eq!(labels.insert(label.to_owned(), text), None, "{label} twice: {line}");
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = rest.strip_prefix('}').unwrap_or_else(|| panic!("not closed: {line}"));
    }
    let value = rest.strip_prefix(' ').and_then(|value| value.parse().ok());
    Sample { name: name.to_owned(), labels, value: value.unwrap_or_else(|| panic!("no number: {line}")) }
}

fn is_name(text: &str) -> bool {
    let is_first = |character: char| character.is_ascii_alphabetic() || character == '_' || character == ':';
    text.starts_with(is_first) && text.chars().all(|character| is_first(character) || character.is_ascii_digit())
}

/// The text up to the closing quote, and what follows that.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut read = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((read, text.get(at + 1..)?)),
            '\\' => read.push(match characters.next()?.1 {
                'n' => '\n',
                escaped @ ('\\' | '"') => escaped,
                _ => return None,
            }),
            other => read.push(other),
        }
    }
    None
}
