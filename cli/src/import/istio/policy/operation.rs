//! `to` -> `match`, one for each path: ours have one each.

use serde_json::{Map, Value, json};

use crate::import::draft::regex_of;
use crate::import::fields::Fields;

/// The matches, and what of them could not be said; without it more is matched. A pattern that Istio and the filter may
/// read differently matches less where `allows`, and more where not.
pub fn operations(to: &[Value], allows: bool) -> (Vec<Value>, Vec<String>) {
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
            match pattern(&path, allows) {
                Some(regex) => drop(conditions.insert(String::from("path_regex"), json!(regex))),
                None => missing.push(format!("the path {path:?}")),
            }
            matches.push(Value::Object(conditions));
        }
    }
    if to.is_empty() {
        matches.push(json!({}));
    }
    (matches, missing)
}

/// `/a`, `/a*`, `*/a`, and templates with `{*}` for a segment and `{**}` for any number of them. A wildcard elsewhere is
/// read in more than one way.
fn pattern(path: &str, allows: bool) -> Option<String> {
    if path.contains(['{', '}']) {
        let (segment, segments) = if allows { (SEGMENT, SEGMENTS) } else { ("[^/]*", ".*") };
        let part = |part: &str| match part {
            "{*}" => Some(segment.to_owned()),
            "{**}" => Some(segments.to_owned()),
            literal => (!literal.contains(['{', '}', '*'])).then(|| regex_of(literal)),
        };
        let parts: Option<Vec<String>> = path.split('/').map(part).collect();
        return parts.map(|parts| parts.join("/"));
    }
    let (start, end) = (path.strip_suffix('*'), path.strip_prefix('*'));
    match (start, end) {
        (Some(prefix), None) if !prefix.contains('*') => Some(format!("{}.*", regex_of(prefix))),
        (None, Some(suffix)) if !suffix.contains('*') => Some(format!(".*{}", regex_of(suffix))),
        (None, None) if !path.contains('*') => Some(regex_of(path)),
        (None | Some(_), None | Some(_)) => None,
    }
}

/// What `{*}` and `{**}` certainly match in Envoy's URI templates: no other characters.
const SEGMENT: &str = "[a-zA-Z0-9._~%!$&'()+,;:@-]+";
const SEGMENTS: &str = "[a-zA-Z0-9._~%!$&'()+,;:@/-]*";
