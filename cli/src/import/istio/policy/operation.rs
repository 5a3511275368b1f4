//! `to` -> `match`, one for each path: ours have one each.

use serde_json::{Map, Value, json};

use crate::import::draft::regex_of;
use crate::import::fields::Fields;

/// The matches, and what of them could not be said; without it more is matched.
pub fn operations(to: &[Value]) -> (Vec<Value>, Vec<String>) {
    let (mut matches, mut missing) = (Vec::new(), Vec::new());
    for item in to {
        let item = Fields::of(item, "");
        let Some(operation) = item.object("operation") else {
            missing.push(String::from("`to` without an operation"));
            matches.push(json!({}));
            continue;
        };
        let mut common = Map::new();
        let methods = operation.texts("methods");
        if !methods.is_empty() && !methods.iter().any(|method| method == "*") {
            if methods.iter().all(|method| method.bytes().all(|byte| byte.is_ascii_uppercase())) {
                common.insert(String::from("methods"), json!(methods));
            } else {
                missing.push(String::from("methods with a wildcard"));
            }
        }
        let hosts = operation.texts("hosts");
        if !hosts.is_empty() && !hosts.iter().any(|host| host == "*") {
            let plain = |host: &String| {
                let name = host.strip_prefix("*.").unwrap_or(host);
                !name.contains('*') && !name.contains(':')
            };
            if hosts.iter().all(plain) {
                common.insert(String::from("hosts"), json!(hosts));
            } else {
                missing.push(String::from("hosts with a port, or with a wildcard that is no whole label"));
            }
        }
        let paths = operation.texts("paths");
        missing.extend(operation.rest());
        missing.extend(item.rest());
        if paths.is_empty() || paths.iter().any(|path| path == "*") {
            matches.push(Value::Object(common));
            continue;
        }
        for path in paths {
            let mut conditions = common.clone();
            conditions.insert(String::from("path_regex"), json!(pattern(&path)));
            matches.push(Value::Object(conditions));
        }
    }
    if to.is_empty() {
        matches.push(json!({}));
    }
    (matches, missing)
}

/// `/a`, `/a*`, `*/a`, and templates with `{*}` for a segment and `{**}` for any number of them.
fn pattern(path: &str) -> String {
    if path.contains("{*}") || path.contains("{**}") {
        let parts: Vec<String> =
            path.split("{**}").map(|part| part.split("{*}").map(regex_of).collect::<Vec<_>>().join("[^/]+")).collect();
        return parts.join(".*");
    }
    if let Some(prefix) = path.strip_suffix('*') {
        format!("{}.*", regex_of(prefix))
    } else if let Some(suffix) = path.strip_prefix('*') {
        format!(".*{}", regex_of(suffix))
    } else {
        regex_of(path)
    }
}
