//! Converts `to` to a `match`, and the rest to conditions.

use serde_json::{Map, Value, json};

use super::path::{Bound, PathPattern};
use crate::import::draft::cel_string;
use crate::import::fields::Fields;

/// One path of one entry of `to`, with the other conditions of the entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// `methods` and `hosts` of a `match`.
    pub common: Map<String, Value>,
    /// The path.
    pub path: PathPattern,
    /// `notPaths`.
    pub excluded: Vec<PathPattern>,
    /// Additional conditions on the request, all of which must hold.
    pub conditions: Vec<String>,
}

impl Operation {
    /// Every request.
    pub fn any() -> Self {
        Self { common: Map::new(), path: PathPattern::Any, excluded: Vec::new(), conditions: Vec::new() }
    }

    /// `match` of a rule.
    pub fn matcher(&self, bound: Bound) -> Value {
        let mut members = self.common.clone();
        members.extend(self.path.regex(bound).map(|regex| (String::from("path_regex"), json!(regex))));
        Value::Object(members)
    }

    /// Whether a `match` expresses the operation.
    pub fn is_match_alone(&self) -> bool {
        self.excluded.is_empty() && self.conditions.is_empty()
    }

    /// The conditions that a `match` cannot express. With [`Bound::Certain`] they hold for no other request; with
    /// [`Bound::Possible`] they hold for all of these requests.
    pub fn conditions_beyond_match(&self, bound: Bound) -> Vec<String> {
        let is_excluded = |path: &PathPattern| match bound {
            Bound::Certain => format!("!{}", path.possibly_matches()),
            Bound::Possible => format!("!{}", path.certainly_matches()),
        };
        self.excluded.iter().map(is_excluded).chain(self.conditions.iter().cloned()).collect()
    }

    /// A condition that holds for no other requests, without the conditions that a `match` cannot express.
    pub fn certainly_matches(&self) -> String {
        let path = (self.path != PathPattern::Any).then(|| self.path.certainly_matches());
        let hosts = self.common.get("hosts").map(|hosts| any_of(strings(hosts).map(|host| host_is(RAW_HOST, host))));
        path.into_iter().chain(self.methods()).chain(hosts).collect::<Vec<_>>().join(" && ")
    }

    /// A condition that holds for none of these requests, and may not hold for some others.
    pub fn certainly_does_not_match(&self) -> String {
        let path = (self.path != PathPattern::Any).then(|| self.path.possibly_matches());
        let either = |host| [host_is("request.host", host), host_is(RAW_HOST, host)];
        let hosts = self.common.get("hosts").map(|hosts| any_of(strings(hosts).flat_map(either)));
        let parts =
            path.into_iter().chain(self.methods()).chain(hosts).chain(self.conditions_beyond_match(Bound::Possible));
        match parts.collect::<Vec<_>>().as_slice() {
            [] => String::from("false"),
            [only] if only.starts_with('(') => format!("!{only}"),
            parts => format!("!({})", parts.join(" && ")),
        }
    }

    fn methods(&self) -> Option<String> {
        let methods: Vec<String> = strings(self.common.get("methods")?).map(cel_string).collect();
        Some(format!("request.method in [{}]", methods.join(", ")))
    }

    /// Whether this operation contains all requests of the other.
    pub fn covers(&self, other: &Self) -> bool {
        let is_same = |(name, value): (&String, &Value)| other.common.get(name) == Some(value);
        self.is_match_alone()
            && self.common.iter().all(is_same)
            && self.path.intersection(&other.path).is_some_and(|path| path == other.path)
    }

    /// Whether the operations certainly have no request in common.
    pub fn is_disjoint(&self, other: &Self) -> bool {
        let methods = |operation: &Self| operation.common.get("methods").cloned();
        let have_no_method = match (methods(self), methods(other)) {
            (Some(one), Some(two)) => !strings(&one).any(|method| strings(&two).any(|other| other == method)),
            (_, _) => false,
        };
        have_no_method || self.path.is_disjoint(&other.path)
    }
}

fn strings(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn any_of(conditions: impl Iterator<Item = String>) -> String {
    format!("({})", conditions.collect::<Vec<_>>().join(" || "))
}

/// A condition: the host equals this one or is a subdomain of it.
fn host_is(attribute: &str, host: &str) -> String {
    let host = host.to_ascii_lowercase();
    match host.strip_prefix('*') {
        Some(end) => call(attribute, "endsWith", end),
        None => is_equal(attribute, &host),
    }
}

const RAW_HOST: &str = "request.raw_host.lowerAscii()";

fn is_equal(attribute: &str, text: &str) -> String {
    format!("{attribute} == {}", cel_string(text))
}

fn call(attribute: &str, function: &str, text: &str) -> String {
    format!("{attribute}.{function}({})", cel_string(text))
}

/// A condition that holds if Istio's pattern matches a string attribute. `None` for a pattern with more than one
/// meaning. `*` matches any non-empty value.
pub fn string_matches(attribute: &str, pattern: &str) -> Option<String> {
    match PathPattern::parse(pattern)? {
        PathPattern::Any => Some(format!("{attribute} != ''")),
        PathPattern::Exact(text) => Some(is_equal(attribute, &text)),
        PathPattern::Prefix(prefix) => Some(call(attribute, "startsWith", &prefix)),
        PathPattern::Suffix(suffix) => Some(call(attribute, "endsWith", &suffix)),
        PathPattern::Template(_) => None,
    }
}

/// Returns the operations and the parts that cannot be converted. Without these parts, the operations match more
/// requests.
pub fn operations(to: &[Value]) -> (Vec<Operation>, Vec<String>) {
    let (mut found, mut unsupported) = (Vec::new(), Vec::new());
    for item in to {
        let item = Fields::of(item, "");
        let Some(operation) = item.object("operation") else {
            unsupported.push(String::from("`to` without an operation"));
            found.push(Operation::any());
            continue;
        };
        let mut common = Operation::any();
        methods(&operation, &mut common, &mut unsupported);
        hosts(&operation, &mut common, &mut unsupported);
        ports(&operation, &mut common, &mut unsupported);
        for path in operation.strings("notPaths") {
            match PathPattern::parse(&path) {
                Some(pattern) => common.excluded.push(pattern),
                None => unsupported.push(format!("the path {path:?} of notPaths")),
            }
        }
        let paths = operation.strings("paths");
        unsupported.extend(operation.unread());
        unsupported.extend(item.unread());
        if paths.is_empty() || paths.iter().any(|path| path == "*") {
            found.push(common);
            continue;
        }
        for path in paths {
            let pattern = PathPattern::parse(&path);
            if pattern.is_none() {
                unsupported.push(format!("the path {path:?}"));
            }
            found.push(Operation { path: pattern.unwrap_or(PathPattern::Any), ..common.clone() });
        }
    }
    if to.is_empty() {
        found.push(Operation::any());
    }
    (found, unsupported)
}

/// A condition for any of these patterns; `None` if one cannot be converted.
fn any_pattern(attribute: &str, patterns: &[String]) -> Option<String> {
    let all: Option<Vec<String>> = patterns.iter().map(|pattern| string_matches(attribute, pattern)).collect();
    all.map(|all| format!("({})", all.join(" || ")))
}

fn methods(fields: &Fields<'_>, target: &mut Operation, unsupported: &mut Vec<String>) {
    // The filter rejects methods with a lower-case letter, so conditions cannot match them.
    let has_lower_case = |methods: &[String]| methods.iter().any(|name| name.bytes().any(|b| b.is_ascii_lowercase()));
    let methods = fields.strings("methods");
    if !methods.is_empty() && !methods.iter().any(|method| method == "*") {
        if methods.iter().all(|method| method.bytes().all(|byte| byte.is_ascii_uppercase())) {
            target.common.insert(String::from("methods"), json!(methods));
        } else {
            let condition = any_pattern("request.method", &methods).filter(|_| !has_lower_case(&methods));
            match condition {
                Some(condition) => target.conditions.push(condition),
                None => unsupported.push(format!("methods {methods:?}")),
            }
        }
    }
    let excluded: Vec<String> = fields
        .strings("notMethods")
        .into_iter()
        .filter(|method| !has_lower_case(std::slice::from_ref(method)))
        .collect();
    if !excluded.is_empty() {
        match any_pattern("request.method", &excluded) {
            Some(condition) => target.conditions.push(format!("!{condition}")),
            None => unsupported.push(format!("notMethods {excluded:?}")),
        }
    }
}

fn hosts(fields: &Fields<'_>, target: &mut Operation, unsupported: &mut Vec<String>) {
    let lower = |hosts: Vec<String>| hosts.iter().map(|host| host.to_ascii_lowercase()).collect::<Vec<_>>();
    let hosts = fields.strings("hosts");
    if !hosts.is_empty() && !hosts.iter().any(|host| host == "*") {
        let plain = |host: &String| {
            let name = host.strip_prefix("*.").unwrap_or(host);
            !name.contains('*') && !name.contains(':')
        };
        if hosts.iter().all(plain) {
            target.common.insert(String::from("hosts"), json!(hosts));
        } else {
            match any_pattern(RAW_HOST, &lower(hosts)) {
                Some(condition) => target.conditions.push(condition),
                None => unsupported.push(String::from("hosts with a wildcard within")),
            }
        }
    }
    let excluded = lower(fields.strings("notHosts"));
    if !excluded.is_empty() {
        match any_pattern(RAW_HOST, &excluded) {
            Some(condition) => target.conditions.push(format!("!{condition}")),
            None => unsupported.push(String::from("notHosts with a wildcard within")),
        }
    }
}

fn ports(fields: &Fields<'_>, target: &mut Operation, unsupported: &mut Vec<String>) {
    for (name, sign) in [("ports", ""), ("notPorts", "!")] {
        let ports = fields.strings(name);
        if ports.is_empty() {
            continue;
        }
        match ports.iter().map(|port| port.parse::<u16>().ok().map(|port| port.to_string())).collect::<Option<Vec<_>>>()
        {
            Some(ports) => target.conditions.push(format!("{sign}(destination.port in [{}])", ports.join(", "))),
            None => unsupported.push(format!("{name} {ports:?}")),
        }
    }
}
