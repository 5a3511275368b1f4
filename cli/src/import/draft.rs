//! Our document in the making. What others say of each provider is said once here, and so what is true of all of them.

use serde_json::{Map, Value, json};

use super::Remarks;

/// Where a provider's tokens are looked for, and what becomes of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Handling {
    /// `from_headers`, `from_cookies`, `from_params`.
    pub headers: Vec<Value>,
    /// Cookies.
    pub cookies: Vec<Value>,
    /// Query parameters.
    pub params: Vec<Value>,
    /// Whether the backend sees the token.
    pub forward: bool,
    /// `claim_to_headers`.
    pub claims: Vec<Value>,
    /// `forward_payload_header`.
    pub payload: Option<String>,
}

impl Handling {
    /// The header in which tokens come unless somebody says otherwise.
    pub fn bearer() -> Value {
        json!({ "name": "authorization", "scheme": "Bearer" })
    }

    /// What was said of where tokens come; nothing is the usual header.
    pub fn or_bearer(mut self, place: &str, remarks: &mut Remarks) -> Self {
        if self.headers.is_empty() && self.cookies.is_empty() && self.params.is_empty() {
            self.headers.push(Self::bearer());
            remarks.stricter(
                place,
                "a token in the query parameter access_token is not taken; write token.from_params to have it so",
            );
        }
        self
    }

    /// A header's value that begins with a scheme and a blank, or is the whole token.
    pub fn header(name: &str, prefix: &str, place: &str, remarks: &mut Remarks) -> Option<Value> {
        let name = name.to_ascii_lowercase();
        match prefix.strip_suffix(' ') {
            _ if prefix.is_empty() => Some(json!({ "name": name })),
            Some(scheme) if !scheme.is_empty() && !scheme.contains(' ') => {
                Some(json!({ "name": name, "scheme": scheme }))
            }
            Some(_) | None => {
                remarks.stricter(place, format!("a token behind {prefix:?} in the header {name} is not found"));
                None
            }
        }
    }
}

/// A document in the making.
#[derive(Debug, Default)]
pub struct Draft {
    /// The providers with what is theirs alone.
    pub providers: Map<String, Value>,
    /// What each of them does with tokens, and the place where it says so.
    pub handling: Vec<(String, Handling)>,
    /// The rules.
    pub rules: Vec<Value>,
    /// What counts where none does.
    pub default_rule: Value,
    /// Further members.
    pub more: Map<String, Value>,
}

impl Draft {
    /// The document; nothing where there would be no place for a token.
    pub fn finish(self, remarks: &mut Remarks) -> Option<Value> {
        let Self { providers, handling, rules, default_rule, more } = self;
        let Some((first_place, first)) = handling.first() else {
            remarks.fatal("$", "there is no provider");
            return None;
        };
        let mut common = first.clone();
        for (place, other) in &handling {
            let mut kept = |mine: &mut Vec<Value>, theirs: &[Value], what: &str| {
                let before = mine.len();
                mine.retain(|item| theirs.contains(item));
                if mine.len() < before || mine.len() < theirs.len() {
                    remarks.stricter(place, format!("{what}: only what all providers have in common is carried over"));
                }
            };
            kept(&mut common.headers, &other.headers, "headers with a token");
            kept(&mut common.cookies, &other.cookies, "cookies with a token");
            kept(&mut common.params, &other.params, "query parameters with a token");
            kept(&mut common.claims, &other.claims, "claims in headers");
            if other.forward != common.forward {
                remarks.stricter(place, "the token is not forwarded: not all providers have it so");
                common.forward = false;
            }
            if other.payload != common.payload {
                remarks.stricter(place, "the payload is not forwarded: not all providers have it so");
                common.payload = None;
            }
        }
        if common.headers.is_empty() && common.cookies.is_empty() && common.params.is_empty() {
            remarks.fatal(first_place, "the providers have no place for a token in common");
            return None;
        }
        let mut document = more;
        document.insert(String::from("providers"), Value::Object(providers));
        document.insert(
            String::from("token"),
            json!({
                "from_headers": common.headers, "from_cookies": common.cookies, "from_params": common.params,
                "forward": common.forward,
            }),
        );
        document.insert(String::from("claim_to_headers"), Value::Array(common.claims));
        if let Some(name) = common.payload {
            document.insert(String::from("forward_payload_header"), json!(name));
        }
        document.insert(String::from("rules"), Value::Array(rules));
        document.insert(String::from("default_rule"), default_rule);
        Some(Value::Object(document))
    }
}

/// `require` of these alternatives, any of which will do; nothing where one demands nothing.
pub fn any_of(mut alternatives: Vec<Map<String, Value>>) -> Option<Value> {
    alternatives.dedup();
    if alternatives.iter().any(Map::is_empty) {
        return None;
    }
    match (alternatives.pop(), alternatives.is_empty()) {
        (None, _) => None,
        (Some(only), true) => Some(Value::Object(only)),
        (Some(last), false) => {
            alternatives.push(last);
            Some(json!({ "any_of": alternatives }))
        }
    }
}

/// A rule for these requests. For us a path with a slash at its end is one with that without, and a host one with that with
/// a port; for others they are not. What only they tell apart is refused, for the rules behind this one might ask for more.
pub fn rule(conditions: &Value, access: &str, require: Option<Value>) -> Value {
    let mut require = require;
    if access != "deny" {
        let written = require.as_ref().and_then(|require| require.get("condition")?.as_str().map(str::to_owned));
        let mut parts: Vec<String> = written.into_iter().collect();
        parts.extend(exact_path(conditions));
        parts.extend(exact_host(conditions));
        if !parts.is_empty() {
            let condition = match parts.as_slice() {
                [only] => only.clone(),
                parts => parts.iter().map(|part| format!("({part})")).collect::<Vec<_>>().join(" && "),
            };
            let members = require.get_or_insert_with(|| json!({}));
            members["condition"] = json!(condition);
        }
    }
    let mut rule = Map::new();
    rule.insert(String::from("match"), conditions.clone());
    rule.insert(String::from("access"), json!(access));
    rule.extend(require.map(|require| (String::from("require"), require)));
    Value::Object(rule)
}

fn exact_path(conditions: &Value) -> Option<String> {
    let regex = conditions.get("path_regex")?.as_str()?;
    let case = if conditions.get("ignore_case").is_some() { "(?i)" } else { "" };
    let exactly = format!("request.url_path.matches({})", cel_text(&format!("{case}^(?:{regex})$")));
    // These are met by either.
    (!regex.ends_with(".*") && !regex.ends_with('/')).then_some(exactly)
}

fn exact_host(conditions: &Value) -> Option<String> {
    let hosts = conditions.get("hosts")?.as_array()?.iter().filter_map(Value::as_str).map(str::to_ascii_lowercase);
    let is_one = |host: String| match host.strip_prefix('*') {
        Some(ending) => format!("request.host.endsWith({})", cel_text(ending)),
        None => format!("request.host == {}", cel_text(&host)),
    };
    Some(hosts.map(is_one).collect::<Vec<_>>().join(" || "))
}

/// The rules with names, by their places.
pub fn named(rules: impl IntoIterator<Item = (usize, Value)>) -> Vec<Value> {
    let name = |(index, mut rule): (usize, Value)| {
        if let Some(members) = rule.as_object_mut() {
            members.insert(String::from("name"), json!(format!("rule-{index}")));
        }
        rule
    };
    rules.into_iter().map(name).collect()
}

/// A text in CEL.
pub fn cel_text(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n"))
}

/// A text as a regular expression.
pub fn regex_of(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if "\\.+*?()|[]{}^$#&-~".contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// Whole seconds and more as our document has them.
pub fn is_duration(text: &str) -> bool {
    text.ends_with('s') && text.trim_end_matches('s').parse::<f64>().is_ok_and(|seconds| seconds >= 0.0)
}
