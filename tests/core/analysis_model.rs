//! The analysis of matches against brute force: random documents, and every request of a small universe that has all
//! hosts, methods and paths that the matches of these documents can tell apart. The rule of each request is selected by
//! the filter itself.
//!
//! A rule without a regular expression is reported as shadowed exactly if no request of the universe comes under it. A
//! rule with a regular expression is reported only if that is so. The same holds for single entries of `hosts` and
//! `methods`.

use std::collections::{BTreeMap, BTreeSet};

use crate::random::Random;
use okta_proxy_wasm::analysis::WarningCode;
use okta_proxy_wasm::config::{self, Loaded};
use okta_proxy_wasm::http::RequestHead;
use okta_proxy_wasm::policy::RuleId;
use serde_json::{Value, json};

const DOCUMENTS: usize = 4000;

/// All hosts that the generator of rules names, hosts below them, and another one.
const HOSTS: [&str; 6] = ["a.example", "b.a.example", "x.a.example", "x.b.a.example", "c.example", "d.test"];
/// All methods that it names, and another one.
const METHODS: [&str; 5] = ["GET", "POST", "OPTIONS", "DELETE", "PROPFIND"];
/// All paths that it names, and some that its regular expressions match.
const PATHS: [&str; 13] =
    ["", "/a", "/a/b", "/a/b/1", "/ab", "/c", "/c/12", "/a/xyz", "/c/34", "/q/b", "/q/r/b", "/A/b", "/a/B"];

/// The path with its letters in every combination of cases.
fn spellings(path: &str) -> Vec<String> {
    path.chars().fold(vec![String::new()], |texts, character| {
        let forms = BTreeSet::from([character.to_ascii_lowercase(), character.to_ascii_uppercase()]);
        texts.iter().flat_map(|text| forms.iter().map(move |form| format!("{text}{form}"))).collect()
    })
}

/// Each path with and without a slash at its end, and one below it that no rule names.
fn paths() -> BTreeSet<String> {
    let all = PATHS.iter().flat_map(|path| spellings(path));
    all.flat_map(|path| [path.clone(), format!("{path}/"), format!("{path}/zz")])
        .filter(|path| !path.is_empty())
        .collect()
}

/// Whether a request has the host or method of an entry.
type MatchesEntry = fn(&str, &Request) -> bool;

struct Request {
    host: &'static str,
    method: &'static str,
    head: RequestHead,
}

fn universe() -> Vec<Request> {
    let mut requests = Vec::new();
    for path in paths() {
        for host in HOSTS {
            for method in METHODS {
                let fields = [(":method", method), (":authority", host), (":path", path.as_str())];
                let fields = fields.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
                requests.push(Request { host, method, head: RequestHead::new(fields.to_vec()) });
            }
        }
    }
    requests
}

fn load(rules: &[Value]) -> Loaded {
    let document = json!({
        "providers": { "p": { "issuer": "https://idp.example", "audiences": ["a"], "upstream": "p" } },
        "rules": rules,
    });
    config::load(document.to_string().as_bytes(), &config::no_environment)
        .unwrap_or_else(|faults| panic!("{faults:?} {document}"))
}

fn matches_host(pattern: &str, host: &str) -> bool {
    pattern.strip_prefix('*').map_or(host == pattern, |ending| host.ends_with(ending))
}

/// The paths of warnings with one of the codes.
fn reported(loaded: &Loaded, codes: &[WarningCode]) -> BTreeSet<String> {
    let found = loaded.warnings.iter().filter(|warning| codes.contains(&warning.code));
    found.map(|warning| warning.path.as_str().to_owned()).collect()
}

#[test]
fn shadowed_rules_and_entries_are_exactly_those_that_no_request_reaches() {
    let universe = universe();
    assert!(universe.len() > 2000);
    let mut random = Random::new(0x1234_5678_9abc_def1);
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..DOCUMENTS {
        let rules: Vec<Value> = (0..=random.index(9)).map(|place| random.rule(place)).collect();
        let loaded = load(&rules);
        let mut reached: Vec<Vec<&Request>> = rules.iter().map(|_| Vec::new()).collect();
        let mut reaches_default = false;
        for request in &universe {
            match loaded.policy.rules.find(&request.head).unwrap() {
                RuleId::Index(index) => reached[index.index()].push(request),
                RuleId::Default => reaches_default = true,
            }
        }
        // Some rule that a request reaches requires more than the default rule, and is no rule with `report_only`.
        let is_stricter = |(rule, reached): (&Value, &Vec<&Request>)| {
            !rule["require"].is_null() && rule["report_only"] != true && !reached.is_empty()
        };
        let is_weak = reaches_default && rules.iter().zip(&reached).any(is_stricter);
        let any_token = reported(&loaded, &[WarningCode::AnyTokenDefault]);
        // A rule with a regular expression may be shadowed unknown.
        let has_regex = rules.iter().any(|rule| !rule["match"]["path_regex"].is_null());
        assert!(any_token.is_empty() || reaches_default, "{rules:#?}");
        assert!(has_regex || any_token.len() == usize::from(is_weak), "{rules:#?}");
        let shadowed = reported(&loaded, &[WarningCode::ShadowedRule, WarningCode::DuplicateRule]);
        let dead = reported(&loaded, &[WarningCode::PartlyShadowedRule]);
        for (index, rule) in rules.iter().enumerate() {
            let conditions = &rule["match"];
            let is_regex = !conditions["path_regex"].is_null();
            let has = |path: &str, reported: &BTreeSet<String>| reported.contains(path);
            let check = |path: String, reported: &BTreeSet<String>, is_unreached: bool| {
                let found = has(&path, reported);
                let is_right = if is_regex { !found || is_unreached } else { found == is_unreached };
                assert!(is_right, "{path}: {found} and not {is_unreached}\n{rules:#?}\n{:#?}", loaded.warnings);
                found
            };
            let is_shadowed = check(format!("$.rules[{index}]"), &shadowed, reached[index].is_empty());
            let kind = if is_regex { "regex" } else { "exact" };
            let key = match (kind, is_shadowed) {
                ("regex", true) => "shadowed regular expression",
                ("regex", false) => "reachable regular expression",
                (_, true) => "shadowed rule",
                (_, false) => "reachable rule",
            };
            *seen.entry(key).or_default() += 1;
            if is_shadowed {
                continue;
            }
            let lists: [(&str, MatchesEntry); 2] = [
                ("hosts", |pattern, request| matches_host(pattern, request.host)),
                ("methods", |method, request| request.method == method),
            ];
            for (member, matches) in lists {
                let entries = conditions[member].as_array().filter(|entries| entries.len() > 1);
                for (place, entry) in entries.into_iter().flatten().enumerate() {
                    let is_unreached = !reached[index].iter().any(|request| matches(entry.as_str().unwrap(), request));
                    let path = format!("$.rules[{index}].match.{member}[{place}]");
                    if check(path, &dead, is_unreached) {
                        *seen.entry("entry without effect").or_default() += 1;
                    }
                }
            }
        }
    }
    println!("{seen:?}");
    for (key, least) in [
        ("shadowed rule", 500),
        ("reachable rule", 500),
        ("shadowed regular expression", 50),
        ("reachable regular expression", 500),
        ("entry without effect", 100),
    ] {
        assert!(seen.get(key).is_some_and(|count| *count >= least), "{key}: {seen:?}");
    }
}

/// What `method_gap` and `path_gap` say of a rule is true of some request.
#[test]
fn a_gap_has_a_request_that_falls_to_the_weaker_rule() {
    let universe = universe();
    let mut random = Random::new(0xfeed_5678_9abc_def1);
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..DOCUMENTS {
        let rules: Vec<Value> = (0..=random.index(7)).map(|place| random.rule(place)).collect();
        let loaded = load(&rules);
        let gaps = [WarningCode::MethodGap, WarningCode::PathGap];
        for warning in loaded.warnings.iter().filter(|warning| gaps.contains(&warning.code)) {
            let weaker = warning.caused_by[0].as_str();
            let weaker = weaker.strip_prefix("$.rules[").map(|rest| rest.trim_end_matches(']').parse().unwrap());
            let is_under_weaker = |request: &&Request| {
                let found = loaded.policy.rules.find(&request.head).unwrap();
                let found = if let RuleId::Index(index) = found { Some(index.index()) } else { None };
                found == weaker
            };
            assert!(universe.iter().any(|request| is_under_weaker(&request)), "{warning} {rules:#?}");
            *seen.entry(warning.code.name()).or_default() += 1;
        }
    }
    println!("{seen:?}");
    assert!(seen.len() == 2 && seen.values().all(|count| *count > 50), "{seen:?}");
}
