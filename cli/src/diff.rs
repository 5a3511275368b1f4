//! `diff`: the requests that two configurations decide differently, each kind with an example.

use std::collections::BTreeMap;

use okta_proxy_wasm::policy::Policy;
use serde_json::{Value, json};

use crate::arguments::{Diff, DiffFormat};
use crate::failure::{Failure, Outcome};
use crate::formats::diagnostic::{Diagnostic, Level, cut, file_name};
use crate::formats::{github, sarif};
use crate::gateway::Configuration;
use crate::matrix::{find, rule_name};
use crate::output;
use crate::permission::{self, Change};
use crate::plugin::{self, Plugin};
use crate::representatives::{OTHER_METHOD, Representatives};
use crate::secrets::Secrets;
use crate::style::Style;

/// An upper limit on the requests that are compared.
const MAX_REQUESTS: usize = 1_000_000;
/// The examples that are shown of each difference.
const MAX_EXAMPLES: usize = 3;
/// Longer values of settings are cut.
const MAX_VALUE: usize = 120;
/// Compared by requests.
const RULES: [&str; 3] = ["rules", "default_rule", "allow_warnings"];

/// Requests that are decided differently in the same way.
struct Difference {
    change: Change,
    old: Decision,
    new: Decision,
    /// Request lines with host.
    examples: Vec<String>,
    count: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Decision {
    rule: String,
    permission: String,
}

/// A setting other than rules.
struct Setting {
    path: String,
    old: Value,
    new: Value,
}

pub fn run(arguments: &Diff) -> Result<Outcome, Failure> {
    let load = |plugin: &Plugin| Configuration::new(plugin, Secrets::assumed()?, |_| Ok(Vec::new()));
    let new_plugin = plugin::read_one(&arguments.new)?;
    let (old, new) = (load(&plugin::read_one(&arguments.old)?)?, load(&new_plugin)?);
    let universe = Representatives::of(&[old.document(), new.document()]);
    let differences = differences(&old.policy()?, &new.policy()?, &universe)?;
    let mut settings = Vec::new();
    add_settings("$", old.document(), new.document(), &mut settings);
    let is_different = !differences.is_empty() || !settings.is_empty();
    match arguments.format {
        DiffFormat::Text => output::write(&text(&differences, &settings, &universe, Style::of_stdout())),
        DiffFormat::Json => output::line(&format!("{:#}", as_json(&differences, &settings, &universe))),
        DiffFormat::Sarif => {
            let shown = diagnostics(&differences, &settings, arguments, &new_plugin);
            output::line(&format!("{:#}", sarif::document("diff", &shown, is_different)));
        }
        DiffFormat::Github => {
            output::write(&github::annotations(&diagnostics(&differences, &settings, arguments, &new_plugin)));
        }
    }
    Ok(Outcome::negative_if(is_different))
}

fn differences(old: &Policy, new: &Policy, universe: &Representatives) -> Result<Vec<Difference>, Failure> {
    let count = universe.hosts.len().saturating_mul(universe.methods.len()).saturating_mul(universe.paths.len());
    if count > MAX_REQUESTS {
        return Err(Failure(format!("the rules need {count} requests to be compared, of at most {MAX_REQUESTS}")));
    }
    let mut found: BTreeMap<(Change, Decision, Decision), (Vec<String>, usize)> = BTreeMap::new();
    for host in &universe.hosts {
        for path in &universe.paths {
            for method in &universe.methods {
                let before = find(old, method, host, path)?;
                let after = find(new, method, host, path)?;
                let change = match (before, after) {
                    (Ok(before), Ok(after)) => permission::compare(old.rules.rule(before), new.rules.rule(after)),
                    (Err(_), Err(_)) => None,
                    (Err(_), Ok(_)) => Some(Change::Weaker),
                    (Ok(_), Err(_)) => Some(Change::Stricter),
                };
                let Some(change) = change else { continue };
                let decision = |policy: &Policy, id: Result<_, _>| match id {
                    Ok(id) => Decision { rule: rule_name(id), permission: permission::describe(policy.rules.rule(id)) },
                    Err(_) => Decision { rule: String::from("none"), permission: String::from("nobody (400)") },
                };
                let key = (change, decision(old, before), decision(new, after));
                let (examples, count) = found.entry(key).or_default();
                *count = count.saturating_add(1);
                if examples.len() < MAX_EXAMPLES {
                    let method = if method == OTHER_METHOD { "any other method," } else { method };
                    let host = if universe.hosts.len() > 1 { host } else { "" };
                    examples.push(format!("{method} {host}{path}"));
                }
            }
        }
    }
    let difference = |((change, old, new), (examples, count))| Difference { change, old, new, examples, count };
    Ok(found.into_iter().map(difference).collect())
}

/// The settings that differ, except rules. An object is compared member by member.
fn add_settings(path: &str, old: &Value, new: &Value, found: &mut Vec<Setting>) {
    match (old, new) {
        (Value::Object(before), Value::Object(after)) => {
            let names = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name)));
            for name in names.filter(|name| path != "$" || !RULES.contains(&name.as_str())) {
                let member = |object: &serde_json::Map<String, Value>| object.get(name).cloned().unwrap_or_default();
                add_settings(&format!("{path}.{name}"), &member(before), &member(after), found);
            }
        }
        (old, new) if old == new => {}
        (old, new) => found.push(Setting { path: path.to_owned(), old: old.clone(), new: new.clone() }),
    }
}

fn text(differences: &[Difference], settings: &[Setting], universe: &Representatives, style: Style) -> String {
    let mut lines = Vec::new();
    for Difference { change, old, new, examples, count } in differences {
        let name = match change {
            Change::Weaker => style.failure(change.name()),
            Change::Different => style.warning(change.name()),
            Change::Stricter => style.success(change.name()),
        };
        let first = examples.first().map(String::as_str).unwrap_or_default();
        lines.push(format!("{name}: {first}: from {} to {}", old.permission, new.permission));
        lines.push(style.faint(&format!("  {} before, {} now", old.rule, new.rule)));
        lines.extend(examples.iter().skip(1).map(|example| format!("  also {example}")));
        let more = count.saturating_sub(examples.len());
        lines.extend((more > 0).then(|| format!("  and {more} more of the compared requests")));
    }
    for Setting { path, old, new } in settings {
        lines.push(format!("{}: {path}: from {} to {}", style.warning("setting"), shown_value(old), shown_value(new)));
    }
    if lines.is_empty() {
        lines.push(String::from("no difference"));
    }
    if universe.is_incomplete {
        lines.push(style.faint("Regular expressions are compared by examples of their paths only."));
    }
    lines.join("\n") + "\n"
}

/// At the place in the new configuration that decides. A difference is no fault: someone has to look at it.
fn diagnostics(differences: &[Difference], settings: &[Setting], arguments: &Diff, new: &Plugin) -> Vec<Diagnostic> {
    let file = new.included_file.clone().unwrap_or_else(|| arguments.new.display().to_string());
    let diagnostic = |level, code, path: String, message| {
        let (position, file) = (new.positions.find(&path), file_name(&file));
        Diagnostic { level, code, path: Some(path), message, fix: None, caused_by: Vec::new(), file, position }
    };
    let of_difference = |Difference { change, old, new, examples, count }: &Difference| {
        let (level, code) = match change {
            Change::Weaker => (Level::Warning, "decision_weaker"),
            Change::Different => (Level::Warning, "decision_different"),
            Change::Stricter => (Level::Note, "decision_stricter"),
        };
        let more = count.saturating_sub(examples.len());
        let more = if more > 0 { format!("; and {more} more of the compared requests") } else { String::new() };
        let (name, examples) = (change.name(), examples.join("; "));
        let change = format!("from {} ({}) to {} ({})", old.permission, old.rule, new.permission, new.rule);
        diagnostic(level, code, format!("$.{}", new.rule), format!("{name}: {change}: {examples}{more}"))
    };
    let of_setting = |Setting { path, old, new }: &Setting| {
        let message = format!("from {} to {}", shown_value(old), shown_value(new));
        diagnostic(Level::Warning, "setting_changed", path.clone(), message)
    };
    differences.iter().map(of_difference).chain(settings.iter().map(of_setting)).collect()
}

fn shown_value(value: &Value) -> String {
    if value.is_null() { String::from("unset") } else { cut(&value.to_string(), MAX_VALUE) }
}

fn as_json(differences: &[Difference], settings: &[Setting], universe: &Representatives) -> Value {
    let decision = |decision: &Decision| json!({ "rule": decision.rule, "permission": decision.permission });
    let difference = |found: &Difference| {
        json!({ "change": found.change.name(), "old": decision(&found.old), "new": decision(&found.new),
            "examples": found.examples, "count": found.count })
    };
    let setting = |setting: &Setting| json!({ "path": setting.path, "old": setting.old, "new": setting.new });
    json!({
        "ok": differences.is_empty() && settings.is_empty(),
        "requests": differences.iter().map(difference).collect::<Vec<_>>(),
        "settings": settings.iter().map(setting).collect::<Vec<_>>(),
        "complete": !universe.is_incomplete,
    })
}

#[cfg(test)]
mod tests {
    use okta_proxy_wasm::config;
    use okta_proxy_wasm::policy::RuleId;

    use super::*;
    use crate::random::Random;

    const HOSTS: [&str; 5] = ["a.example", "b.a.example", "*.a.example", "*.b.a.example", "c.example"];
    const PATHS: [&str; 6] = ["/", "/a", "/a/b", "/A/b", "/a/b/c", "/d"];
    const METHODS: [&str; 4] = ["GET", "POST", "DELETE", "LOCK"];

    fn some<'a>(random: &mut Random, all: &[&'a str]) -> Vec<&'a str> {
        let first = *random.pick(all);
        let more: Vec<&str> = all.iter().copied().filter(|one| *one != first && random.one_in(4)).collect();
        [first].into_iter().chain(more).collect()
    }

    fn rule(random: &mut Random) -> Value {
        let mut matched = json!({});
        if random.one_in(3) {
            matched["hosts"] = json!(some(random, &HOSTS));
        }
        if random.one_in(2) {
            matched["methods"] = json!(some(random, &METHODS));
        }
        let path = *random.pick(&PATHS);
        if !random.one_in(4) {
            matched[if random.one_in(2) { "path" } else { "path_prefix" }] = json!(path);
        }
        let kind = random.index(5);
        // A public rule may not ignore case.
        if kind != 0 && (!matched["path"].is_null() || !matched["path_prefix"].is_null()) && random.one_in(4) {
            matched["ignore_case"] = json!(true);
        }
        match kind {
            0 => json!({ "match": matched, "access": "public" }),
            1 => json!({ "match": matched, "access": "deny" }),
            2 => json!({ "match": matched }),
            _ => json!({ "match": matched, "require": { "scopes": some(random, &["read", "write"]) } }),
        }
    }

    fn document(rules: &[Value]) -> Value {
        json!({
            "providers": { "okta": { "issuer": "https://idp.example", "audiences": ["api"], "upstream": "idp",
                "jwks": { "uri": "https://idp.example/keys" } } },
            "rules": rules,
        })
    }

    fn policy(document: &Value) -> Policy {
        let loaded = config::load(document.to_string().as_bytes(), &|_: &str| None);
        loaded.unwrap_or_else(|faults| panic!("{document}: {faults:?}")).policy
    }

    /// Other requests than the representatives: names that no rule has, deeper paths, other case.
    fn requests() -> Vec<(String, String, String)> {
        let hosts =
            ["a.example", "x.a.example", "b.a.example", "y.b.a.example", "c.example", "x.c.example", "z.example"];
        let segments = ["a", "A", "b", "B", "c", "d", "q"];
        let mut paths = vec![String::from("/")];
        for one in segments {
            paths.push(format!("/{one}"));
            for two in segments {
                paths.push(format!("/{one}/{two}"));
                paths.extend(["c", "C", "q"].map(|three| format!("/{one}/{two}/{three}")));
            }
        }
        let mut all = Vec::new();
        for host in hosts {
            for method in ["GET", "POST", "DELETE", "LOCK", "PATCH"] {
                all.extend(paths.iter().map(|path| (method.to_owned(), host.to_owned(), path.clone())));
            }
        }
        all
    }

    fn change(
        old: &Policy,
        new: &Policy,
        (method, host, path): &(String, String, String),
    ) -> Option<(Change, String, String)> {
        let find = |policy: &Policy| find(policy, method, host, path).unwrap().ok();
        let name = |id: Option<RuleId>| id.map_or_else(|| String::from("none"), rule_name);
        let (before, after) = (find(old), find(new));
        let change = match (before, after) {
            (Some(before), Some(after)) => permission::compare(old.rules.rule(before), new.rules.rule(after))?,
            (None, None) => return None,
            (None, Some(_)) => Change::Weaker,
            (Some(_), None) => Change::Stricter,
        };
        Some((change, name(before), name(after)))
    }

    /// Whatever differs for some request is reported, and whatever is reported differs for its examples.
    #[test]
    fn differences_are_those_of_all_requests() {
        let requests = requests();
        let mut reported = 0;
        for seed in 1..=200 {
            let mut random = Random::nth(seed);
            let old: Vec<Value> = (0..random.index(5) + 1).map(|_| rule(&mut random)).collect();
            let mut new = old.clone();
            for _ in 0..=random.index(2) {
                let place = random.index(new.len());
                match random.index(3) {
                    0 => new[place] = rule(&mut random),
                    1 => new.insert(place, rule(&mut random)),
                    _ => new.rotate_left(1),
                }
            }
            let documents = [document(&old), document(&new)];
            let universe = Representatives::of(&[&documents[0], &documents[1]]);
            let [old, new] = documents.each_ref().map(policy);
            let found = differences(&old, &new, &universe).unwrap();
            reported += found.len();
            let kinds: Vec<_> =
                found.iter().map(|found| (found.change, found.old.rule.clone(), found.new.rule.clone())).collect();
            for request in &requests {
                if let Some(kind) = change(&old, &new, request) {
                    assert!(kinds.contains(&kind), "seed {seed}: {request:?} {kind:?} of {kinds:?}\n{documents:?}");
                }
            }
            for difference in &found {
                for example in &difference.examples {
                    let example = example.replace("any other method,", OTHER_METHOD);
                    let (method, target) = example.split_once(' ').unwrap();
                    let (host, path) = target.split_at(target.find('/').unwrap());
                    let host = if host.is_empty() { "another-host.invalid" } else { host };
                    let request = (method.to_owned(), host.to_owned(), path.to_owned());
                    let kind = (difference.change, difference.old.rule.clone(), difference.new.rule.clone());
                    assert_eq!(change(&old, &new, &request), Some(kind), "seed {seed}: {example}\n{documents:?}");
                }
            }
        }
        assert!(reported > 300, "only {reported} differences: the policies are too much alike");
    }

    #[test]
    fn direction_of_a_change_follows_from_the_requirements() {
        let compare = |old: Value, new: Value| {
            let [old, new] = [old, new].map(|rule| policy(&document(&[rule])));
            let first = |policy: &Policy| find(policy, "GET", "h", "/").unwrap().unwrap();
            permission::compare(old.rules.rule(first(&old)), new.rules.rule(first(&new)))
        };
        let require = |require: Value| json!({ "require": require });
        let scopes = |scopes: &[&str]| require(json!({ "scopes": scopes }));
        assert_eq!(compare(scopes(&["a", "b"]), scopes(&["b", "a"])), None);
        assert_eq!(compare(scopes(&["a", "b"]), scopes(&["a"])), Some(Change::Weaker));
        assert_eq!(compare(scopes(&["a"]), scopes(&["a", "b"])), Some(Change::Stricter));
        assert_eq!(compare(scopes(&["a"]), scopes(&["b"])), Some(Change::Different));
        assert_eq!(compare(scopes(&["a"]), require(json!({ "any_scope": ["a", "b"] }))), Some(Change::Weaker));
        assert_eq!(compare(scopes(&["a"]), json!({})), Some(Change::Weaker));
        assert_eq!(compare(json!({}), json!({ "access": "public" })), Some(Change::Weaker));
        assert_eq!(compare(json!({ "access": "deny" }), scopes(&["a"])), Some(Change::Weaker));
        assert_eq!(compare(scopes(&["a"]), json!({ "access": "deny" })), Some(Change::Stricter));
        let groups = |groups: &[&str]| require(json!({ "groups": groups }));
        assert_eq!(compare(groups(&["a"]), groups(&["a", "b"])), Some(Change::Weaker));
        let proof = |kind: &str| require(json!({ "proof": kind }));
        assert_eq!(compare(proof("dpop"), proof("any")), Some(Change::Weaker));
        assert_eq!(compare(proof("any"), proof("mtls")), Some(Change::Stricter));
        assert_eq!(compare(proof("mtls"), proof("dpop")), Some(Change::Different));
        assert_eq!(compare(proof("any"), json!({})), Some(Change::Weaker));
        let age = |age: &str| require(json!({ "max_age": age }));
        assert_eq!(compare(age("15m"), age("5m")), Some(Change::Stricter));
        let reported = json!({ "require": { "scopes": ["a"] }, "report_only": true });
        assert_eq!(compare(reported.clone(), json!({})), None);
        assert_eq!(compare(scopes(&["a"]), reported), Some(Change::Weaker));
    }
}
