//! Requests that stand for all others: for each host, method and path that some rule names, and for those that none does.
//!
//! Hosts, methods, paths and prefixes divide the requests into finitely many parts, and each part has a representative.
//! A regular expression has examples of its paths only.

use std::collections::BTreeSet;

use okta_proxy_wasm::policy::{AmbiguousPaths, CaseSensitivity, PathPattern};
use serde_json::Value;

/// Names that no configuration is likely to have.
const OTHER_HOST: &str = "another-host.invalid";
const BELOW_HOST: &str = "any-name";
const BELOW_PATH: &str = "/_any_";
pub const OTHER_METHOD: &str = "OTHER";
const USUAL_METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// The hosts, methods and paths of representatives: every combination is one.
#[derive(Debug, Default)]
pub struct Representatives {
    pub hosts: BTreeSet<String>,
    pub methods: Vec<String>,
    pub paths: BTreeSet<String>,
    /// Whether a path pattern has only examples.
    pub is_incomplete: bool,
}

impl Representatives {
    /// For the rules of these configurations.
    pub fn of(documents: &[&Value]) -> Self {
        let mut found = Self::default();
        found.hosts.insert(OTHER_HOST.to_owned());
        found.paths.extend([String::from("/"), BELOW_PATH.to_owned()]);
        let rules = documents.iter().filter_map(|document| document.get("rules")?.as_array()).flatten();
        let mut methods: BTreeSet<String> = BTreeSet::new();
        let mut any_case: Vec<String> = Vec::new();
        for matched in rules.filter_map(|rule| rule.get("match")) {
            found.hosts.extend(hosts(matched));
            methods.extend(strings(matched, "methods"));
            let (paths, is_complete) = paths(matched);
            if ignores_case(matched) {
                any_case.extend(paths.iter().cloned());
            }
            found.paths.extend(paths);
            found.is_incomplete |= !is_complete;
        }
        found.add_spellings(&any_case);
        let usual = USUAL_METHODS.iter().map(|method| (*method).to_owned());
        let named = methods.into_iter().filter(|method| !USUAL_METHODS.contains(&method.as_str()));
        found.methods = usual.chain(named).chain([OTHER_METHOD.to_owned()]).collect();
        found
    }

    /// Adds the paths that ignore case as they begin in other patterns: one rule may be for `/Api`, and another for
    /// `/api/orders` in any case.
    fn add_spellings(&mut self, any_case: &[String]) {
        let mut spellings = Vec::new();
        for start in &self.paths {
            for path in any_case {
                if let Some((other, rest)) = path.split_at_checked(start.len())
                    && other != start
                    && other.eq_ignore_ascii_case(start)
                {
                    spellings.push(format!("{start}{rest}"));
                }
            }
        }
        self.paths.extend(spellings);
    }
}

/// Representatives of the hosts of a match.
pub fn hosts(matched: &Value) -> Vec<String> {
    let below = |host: String| match host.strip_prefix("*.") {
        Some(parent) => format!("{BELOW_HOST}.{parent}"),
        None => host,
    };
    strings(matched, "hosts").into_iter().map(below).collect()
}

/// Representatives of the path pattern of a match, the most general first, and whether they stand for all of its paths.
pub fn paths(matched: &Value) -> (Vec<String>, bool) {
    let text = |name: &str| matched.get(name).and_then(Value::as_str);
    let ignores_case = ignores_case(matched);
    let (mut found, is_complete) = if let Some(path) = text("path") {
        (vec![path.to_owned()], true)
    } else if let Some(prefix) = text("path_prefix") {
        let prefix = prefix.trim_end_matches('/');
        (vec![format!("{prefix}{BELOW_PATH}"), if prefix.is_empty() { "/" } else { prefix }.to_owned()], true)
    } else if let Some(expression) = text("path_regex") {
        let case = if ignores_case { CaseSensitivity::Insensitive } else { CaseSensitivity::Sensitive };
        let pattern = PathPattern::regex(expression, case, AmbiguousPaths::Reject);
        (pattern.map(|pattern| pattern.samples()).unwrap_or_default(), false)
    } else {
        (vec![BELOW_PATH.to_owned()], true)
    };
    if ignores_case {
        let upper: Vec<String> = found.iter().map(|path| path.to_ascii_uppercase()).collect();
        found.extend(upper);
    }
    (found, is_complete)
}

fn ignores_case(matched: &Value) -> bool {
    matched.get("ignore_case").and_then(Value::as_bool).unwrap_or_default()
}

fn strings(matched: &Value, name: &str) -> Vec<String> {
    let values = matched.get(name).and_then(Value::as_array);
    values.into_iter().flatten().filter_map(|value| value.as_str().map(str::to_owned)).collect()
}
