//! `diff`: the requests that two configurations decide differently, each kind with an example.

use std::collections::BTreeMap;

use okta_proxy_wasm::policy::Policy;
use serde_json::{Value, json};

use crate::arguments::{Diff, Format};
use crate::failure::{Failure, Outcome};
use crate::gateway::Configuration;
use crate::matrix::{find, rule_name};
use crate::output;
use crate::permission::{self, Change};
use crate::plugin;
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
    let load = |path: &std::path::Path| {
        let plugin = plugin::read_one(path)?;
        Configuration::new(&plugin, Secrets::assumed()?, |_| Ok(Vec::new()))
    };
    let (old, new) = (load(&arguments.old)?, load(&arguments.new)?);
    let universe = Representatives::of(&[old.document(), new.document()]);
    let differences = differences(&old.policy()?, &new.policy()?, &universe)?;
    let mut settings = Vec::new();
    add_settings("$", old.document(), new.document(), &mut settings);
    let is_different = !differences.is_empty() || !settings.is_empty();
    match arguments.format {
        Format::Text => output::write(&text(&differences, &settings, &universe, Style::of_stdout())),
        Format::Json => output::line(&format!("{:#}", as_json(&differences, &settings, &universe))),
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
    let value = |value: &Value| match value {
        Value::Null => String::from("unset"),
        value => cut(&value.to_string()),
    };
    for Setting { path, old, new } in settings {
        lines.push(format!("{}: {path}: from {} to {}", style.warning("setting"), value(old), value(new)));
    }
    if lines.is_empty() {
        lines.push(String::from("no difference"));
    }
    if universe.is_incomplete {
        lines.push(style.faint("Regular expressions are compared by examples of their paths only."));
    }
    lines.join("\n") + "\n"
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_VALUE) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
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
