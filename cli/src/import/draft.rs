//! The document under construction. Providers keep their own token settings here; `Draft::finish` reduces them to the
//! settings that all providers share.

use serde_json::{Map, Value, json};

use super::Remarks;
use super::fields::Fields;

/// A location that a provider's tokens are read from.
#[derive(Clone, Debug, PartialEq)]
pub enum Location {
    /// A header name, and the prefix of the token in its value.
    Header(String, String),
    /// A header name, and a scheme before the token. Envoy skips the separator, which may be empty.
    HeaderScheme(String, String),
    Cookie(String),
    Param(String),
}

/// A provider's token locations, and the headers that the backend receives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TokenHandling {
    pub locations: Vec<Location>,
    /// Whether the token is forwarded.
    pub forward: bool,
    /// `claim_to_headers`: a header and the path of a claim.
    pub claims: Vec<(String, Vec<String>)>,
    /// `forward_payload_header`.
    pub payload: Option<String>,
}

impl TokenHandling {
    /// Sets the default locations of Envoy and Istio if there are none.
    pub fn or_default_locations(mut self) -> Self {
        if self.locations.is_empty() {
            self.locations = vec![
                Location::Header(String::from("authorization"), String::from("Bearer ")),
                Location::Param(String::from("access_token")),
            ];
        }
        self
    }

    /// The headers that the original manages: those it writes and those it reads a token from.
    pub fn header_names(&self) -> impl Iterator<Item = &str> {
        let read = self.locations.iter().filter_map(|location| match location {
            Location::Header(name, _) | Location::HeaderScheme(name, _) => Some(name.as_str()),
            Location::Cookie(_) | Location::Param(_) => None,
        });
        read.chain(self.claims.iter().map(|(header, _)| header.as_str())).chain(self.payload.as_deref())
    }
}

pub fn header_location(
    name: Option<&str>,
    prefix: &str,
    fields: &Fields<'_>,
    remarks: &mut Remarks,
) -> Option<Location> {
    if let (Some(name), []) = (name, fields.unread().as_slice()) {
        let (name, prefix_text) = (name.to_ascii_lowercase(), prefix.to_owned());
        if prefix.ends_with(|last: char| last.is_ascii_alphanumeric() || "-_.".contains(last)) {
            remarks.stricter(
                &fields.location,
                format!("the prefix {prefix:?} is read with one space after it, and a value with another form of it is rejected"),
            );
            return Some(Location::HeaderScheme(name, prefix_text));
        }
        return Some(Location::Header(name, prefix_text));
    }
    remarks.fatal(&fields.location, "a header that is not understood: tokens in it would not be validated");
    None
}

pub fn claim_header(
    header: Option<&str>,
    claim: Option<&str>,
    fields: &Fields<'_>,
    remarks: &mut Remarks,
) -> Option<(String, Vec<String>)> {
    if let (Some(header), Some(claim), []) = (header, claim, fields.unread().as_slice()) {
        return Some((header.to_ascii_lowercase(), claim.split('.').map(str::to_owned).collect()));
    }
    remarks.fatal(&fields.location, "a claim header that is not understood: clients could write it");
    None
}

#[derive(Debug, Default)]
pub struct Draft {
    /// `providers`.
    pub providers: Map<String, Value>,
    /// The location and the token settings of each provider.
    pub handling: Vec<(String, TokenHandling)>,
    pub rules: Vec<Value>,
    /// `default_rule`.
    pub default_rule: Value,
    /// Other top-level members.
    pub other_members: Map<String, Value>,
    /// The claim that scopes are read from.
    pub scope_claim: Option<&'static str>,
}

impl Draft {
    /// Builds the document; `None` if the providers share no token location.
    pub fn finish(self, remarks: &mut Remarks) -> Option<Value> {
        let Self { mut providers, handling, mut rules, mut default_rule, other_members, scope_claim } = self;
        let Some((first_location, first)) = handling.first() else {
            remarks.fatal("$", "there is no provider");
            return None;
        };
        let mut common = first.clone();
        for (location, other) in &handling {
            common.locations.retain(|location| other.locations.contains(location));
            common.claims.retain(|claim| other.claims.contains(claim));
            if other.forward != common.forward {
                remarks.stricter(location, "the token is not forwarded: not all providers forward it");
                common.forward = false;
            }
            if other.payload != common.payload {
                common.payload = None;
            }
        }
        if common.locations.is_empty() {
            remarks.fatal(first_location, "the providers have no token location in common");
            return None;
        }
        literal_claims(&mut common, (&mut providers, scope_claim), first_location, remarks);
        let guard = unread_location_condition(&handling, &common, remarks);
        if let Some(guard) = &guard {
            rules.iter_mut().chain([&mut default_rule]).for_each(|rule| require_condition(rule, guard));
        }
        let removed = removed_headers(&handling, &common, remarks);
        let mut document = other_members;
        document.insert(String::from("providers"), Value::Object(providers));
        document.insert(String::from("token"), token(&common));
        let claim = |(header, path): &(String, Vec<String>)| json!({ "header": header, "claim": path });
        document.insert(String::from("claim_to_headers"), common.claims.iter().map(claim).collect());
        if let Some(name) = common.payload {
            document.insert(String::from("forward_payload_header"), json!(name));
        }
        if !removed.is_empty() {
            document.insert(String::from("request_headers_to_remove"), json!(removed));
        }
        if !rules.is_empty() {
            // The filter matches normalized paths; the original matches the path as received.
            document.insert(String::from("strict_path_spelling"), json!(true));
        }
        document.insert(String::from("rules"), Value::Array(rules));
        document.insert(String::from("default_rule"), default_rule);
        Some(Value::Object(document))
    }
}

fn token(common: &TokenHandling) -> Value {
    let (mut headers, mut cookies, mut params) = (Vec::new(), Vec::new(), Vec::new());
    for location in &common.locations {
        match location {
            Location::Header(name, prefix) if prefix.is_empty() => headers.push(json!({ "name": name })),
            Location::Header(name, prefix) => headers.push(json!({ "name": name, "value_prefix": prefix })),
            Location::HeaderScheme(name, word) => {
                headers.push(json!({ "name": name, "value_prefix": format!("{word} ") }))
            }
            Location::Cookie(name) => cookies.push(name),
            Location::Param(name) => params.push(name),
        }
    }
    json!({ "from_headers": headers, "from_cookies": cookies, "from_params": params, "forward": common.forward })
}

/// The filter reads client and scopes from the first of several claims; the original reads one claim.
fn literal_claims(
    common: &mut TokenHandling,
    (providers, scope_claim): (&mut Map<String, Value>, Option<&'static str>),
    location: &str,
    remarks: &mut Remarks,
) {
    for (names, setting, required) in
        [(&["cid", "client_id", "azp"][..], "client_claim", None), (&["scp", "scope"][..], "scope_claim", scope_claim)]
    {
        let usual = |path: &[String]| matches!(path, [name] if names.contains(&name.as_str()));
        let written = || common.claims.iter().find(|(_, path)| usual(path)).map(|(_, path)| path.concat());
        let Some(read) = required.map(str::to_owned).or_else(written) else { continue };
        common.claims.retain(|(header, path)| {
            let kept = !usual(path) || path.concat() == read;
            if !kept {
                remarks.stricter(
                    location,
                    format!("the header {header} is removed and not written: only one of {} can be", names.join(", ")),
                );
            }
            kept
        });
        for provider in providers.values_mut() {
            provider[setting] = json!(read);
        }
    }
}

/// Headers that a provider writes and the result does not. They are removed, so that clients cannot set them.
fn removed_headers(handling: &[(String, TokenHandling)], common: &TokenHandling, remarks: &mut Remarks) -> Vec<String> {
    let mut written: Vec<String> = common.claims.iter().map(|(header, _)| folded(header)).collect();
    written.extend(common.payload.iter().map(|header| folded(header)));
    let mut removed = Vec::new();
    for (location, other) in handling {
        for header in other.claims.iter().map(|(header, _)| header).chain(&other.payload) {
            if !written.contains(&folded(header)) {
                written.push(folded(header));
                removed.push(header.to_ascii_lowercase());
                remarks.stricter(
                    location,
                    format!("the header {header} is removed from requests and not written: not all providers write the same into it"),
                );
            }
        }
    }
    removed
}

/// A condition that excludes requests with a credential in a location or form that the result does not read. The
/// original rejects such a credential if it is invalid, and accepts it only for some providers.
fn unread_location_condition(
    handling: &[(String, TokenHandling)],
    common: &TokenHandling,
    remarks: &mut Remarks,
) -> Option<String> {
    let mut unread: Vec<&Location> = Vec::new();
    for (provider, other) in handling {
        for location in &other.locations {
            if !common.locations.contains(location) && !unread.contains(&location) {
                unread.push(location);
                let what = match location {
                    Location::Header(name, prefix) if prefix.is_empty() => format!("the header {name}"),
                    Location::Header(name, prefix) | Location::HeaderScheme(name, prefix) => {
                        format!("the header {name} with {prefix:?} in it")
                    }
                    Location::Cookie(name) => format!("the cookie {name}"),
                    Location::Param(name) => format!("the query parameter {name}"),
                };
                remarks.stricter(
                    provider,
                    format!("a request with {what} is rejected by every rule that evaluates tokens: not all providers read it"),
                );
            }
        }
    }
    let absent = |location: &Location| match location {
        Location::Header(name, prefix) | Location::HeaderScheme(name, prefix) => {
            let name = cel_string(name);
            match prefix.is_empty() {
                true => format!("!({name} in request.headers)"),
                false => {
                    let prefix = cel_string(prefix);
                    format!("(!({name} in request.headers) || !request.headers[{name}].contains({prefix}))")
                }
            }
        }
        Location::Cookie(name) => {
            let start = cel_string(&format!("{name}="));
            format!("(!('cookie' in request.headers) || !request.headers['cookie'].contains({start}))")
        }
        Location::Param(name) => {
            let name: String = name.chars().map(plain_or_escaped).collect();
            format!("!request.raw_query.matches({})", cel_string(&format!("(?:^|&){name}(?:=|&|$)")))
        }
    };
    let in_one_form = |location: &Location| match location {
        Location::HeaderScheme(name, word) => {
            let (name, start) = (cel_string(name), cel_string(&format!("{word} ")));
            Some(format!("({} || request.headers[{name}].startsWith({start}))", absent(location)))
        }
        Location::Header(..) | Location::Cookie(_) | Location::Param(_) => None,
    };
    let parts: Vec<String> =
        unread.into_iter().map(absent).chain(common.locations.iter().filter_map(in_one_form)).collect();
    (!parts.is_empty()).then(|| parts.join(" && "))
}

/// A regular expression for one character of a query parameter's name, plain or percent-encoded.
fn plain_or_escaped(character: char) -> String {
    let hex = format!("{:02X}", u32::from(character));
    let digit = |digit: char| match digit.is_ascii_digit() {
        true => digit.to_string(),
        false => format!("[{digit}{}]", digit.to_ascii_lowercase()),
    };
    let escaped: String = hex.chars().map(digit).collect();
    format!("(?:{}|%{escaped})", regex_literal(&character.to_string()))
}

/// Folds a header name as CGI backends do.
pub fn folded(name: &str) -> String {
    name.chars()
        .map(|character| if character.is_ascii_alphanumeric() { character.to_ascii_lowercase() } else { '-' })
        .collect()
}

/// Adds a condition to a rule that evaluates tokens.
fn require_condition(rule: &mut Value, condition: &str) {
    let looks_at_tokens = matches!(rule.get("access").and_then(Value::as_str), Some("optional" | "token"));
    let Some(members) = rule.as_object_mut().filter(|_| looks_at_tokens) else { return };
    let require = members.entry("require").or_insert_with(|| json!({}));
    let both = match require.get("condition").and_then(Value::as_str) {
        Some(written) => format!("({written}) && {condition}"),
        None => condition.to_owned(),
    };
    require["condition"] = json!(both);
}

/// A `require` with these alternatives; `None` if one of them requires nothing.
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

/// The rules for these requests. The filter also matches a path with an additional trailing slash, and a host with a
/// port; the original does not. A rule of its own denies the first. A condition excludes the second, because later
/// rules may require more.
pub fn rules(name: &str, conditions: &Value, access: &str, require: Option<Value>) -> Vec<Value> {
    let rule = |name: String, conditions: &Value, access: &str, require: Option<Value>| {
        let mut rule = Map::new();
        rule.insert(String::from("name"), json!(name));
        rule.insert(String::from("match"), conditions.clone());
        rule.insert(String::from("access"), json!(access));
        rule.extend(require.map(|require| (String::from("require"), require)));
        Value::Object(rule)
    };
    if access == "deny" {
        return vec![rule(name.to_owned(), conditions, access, None)];
    }
    let mut rules = Vec::new();
    let regex = conditions.get("path_regex").and_then(Value::as_str);
    if let Some(regex) = regex.filter(|regex| !allows_slash_at_end(regex)) {
        let with_slash = with_member(conditions, "path_regex", json!(format!("(?:{regex})/")));
        rules.push(rule(format!("{name}-slash"), &with_slash, "deny", None));
    }
    let mut conditions = conditions.clone();
    let ignores_case = conditions.get("ignore_case").is_some();
    let mut require = require;
    if let Some(host) = host_condition(&conditions) {
        let require = require.get_or_insert_with(|| json!({}));
        let both = match require.get("condition").and_then(Value::as_str) {
            Some(written) => format!("({written}) && ({host})"),
            None => host,
        };
        require["condition"] = json!(both);
    }
    if let (Some(members), "public" | "optional") = (conditions.as_object_mut(), access) {
        members.remove("ignore_case");
    }
    rules.push(rule(name.to_owned(), &conditions, access, require));
    if ignores_case && access == "optional" {
        let in_any_case = with_member(&conditions, "ignore_case", json!(true));
        rules.push(rule(format!("{name}-case"), &in_any_case, "deny", None));
    }
    rules
}

/// A copy of the object with this member set.
fn with_member(object: &Value, name: &str, member: Value) -> Value {
    let mut members = object.as_object().cloned().unwrap_or_default();
    members.insert(name.to_owned(), member);
    Value::Object(members)
}

/// Whether a trailing slash never changes the match. Unknown with alternatives, which gives `false`.
fn allows_slash_at_end(regex: &str) -> bool {
    let ends_in_anything = regex.strip_suffix(".*").is_some_and(|start| {
        let backslashes = start.bytes().rev().take_while(|byte| *byte == b'\\').count();
        backslashes.is_multiple_of(2)
    });
    !regex.contains('|') && (ends_in_anything || regex.ends_with("(?:/.*)?"))
}

fn host_condition(conditions: &Value) -> Option<String> {
    let hosts = conditions.get("hosts")?.as_array()?.iter().filter_map(Value::as_str).map(str::to_ascii_lowercase);
    let is_one = |host: String| match host.strip_prefix('*') {
        Some(ending) => format!("request.host.endsWith({})", cel_string(ending)),
        None => format!("request.host == {}", cel_string(&host)),
    };
    Some(hosts.map(is_one).collect::<Vec<_>>().join(" || "))
}

/// A CEL string literal.
pub fn cel_string(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n"))
}

/// Escapes a string for a regular expression.
pub fn regex_literal(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if "\\.+*?()|[]{}^$#&-~".contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// Whether the string is a duration in seconds that the filter accepts.
pub fn is_duration(text: &str) -> bool {
    text.ends_with('s') && text.trim_end_matches('s').parse::<f64>().is_ok_and(|seconds| seconds >= 0.0)
}
