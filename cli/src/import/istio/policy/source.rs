//! Converts `from` and `when` to conditions on the request and tests of the token.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::operation::string_matches;
use super::{PolicyContext, SplitClaims};
use crate::import::draft::{any_of, cel_string, folded, regex_literal};
use crate::import::fields::Fields;

/// `require` of a rule.
pub type Require = Map<String, Value>;

/// A test of the token. A request without a token fails [`Is`](Self::Is) and passes [`IsNot`](Self::IsNot).
#[derive(Clone, Debug, PartialEq)]
pub enum TokenTest {
    /// The token meets one of these.
    Is(Vec<Require>),
    /// The token meets none of these.
    IsNot(Vec<Require>),
}

impl TokenTest {
    /// The requirements of which a token that passes the test meets one.
    pub fn required(&self) -> Vec<Require> {
        match self {
            Self::Is(alternatives) => alternatives.clone(),
            Self::IsNot(alternatives) => vec![none_of(alternatives)],
        }
    }

    /// The negated test.
    pub fn opposite(&self) -> Self {
        match self {
            Self::Is(alternatives) => Self::IsNot(alternatives.clone()),
            Self::IsNot(alternatives) => Self::Is(alternatives.clone()),
        }
    }
}

/// `not` takes one test.
fn none_of(alternatives: &[Require]) -> Require {
    object([("not", json!({ "any_of": alternatives }))])
}

/// The conditions of a rule besides the operation, all of which must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleSource {
    /// Conditions on the request alone.
    pub request: Vec<String>,
    /// Tests of the token.
    pub token: Vec<TokenTest>,
    /// Conditions that cannot be converted. Without them more requests match.
    pub unsupported: Vec<String>,
}

/// A principal is `ISSUER/SUBJECT`, so it requires a subject. Without a subject the condition is indeterminate, and the
/// request is denied.
pub const HAS_SUBJECT: &str = "token.subject != ''";

/// A `require` of these members.
pub fn object<const N: usize>(members: [(&str, Value); N]) -> Require {
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A `require` with all of these.
pub fn all_of(parts: Vec<Require>) -> Require {
    let mut flat: Vec<Require> = Vec::new();
    for part in parts.into_iter().filter(|part| !part.is_empty()) {
        let inner = part.get("all_of").filter(|_| part.len() == 1).and_then(Value::as_array);
        match inner {
            Some(inner) => flat.extend(inner.iter().filter_map(Value::as_object).cloned()),
            None => flat.push(part),
        }
    }
    flat.dedup();
    match flat.len() {
        0 => Map::new(),
        1 => flat.remove(0),
        _ => object([("all_of", json!(flat))]),
    }
}

/// A `require` with one of these alternatives.
pub fn one_of(alternatives: Vec<Require>) -> Require {
    match any_of(alternatives) {
        Some(Value::Object(require)) => require,
        _ => Map::new(),
    }
}

/// Converts `from` and `when` of a rule to alternatives.
pub fn rule_sources(rule: &Fields<'_>, context: &PolicyContext) -> Vec<RuleSource> {
    let mut common = RuleSource::default();
    for condition in rule.list("when") {
        let fields = Fields::of(condition, "");
        if condition_of(&fields, context, &mut common).is_none() {
            common.unsupported.push(format!("when {:?}", fields.string("key").unwrap_or_default()));
        }
    }
    let from = rule.list("from");
    if from.is_empty() {
        return vec![common];
    }
    let with_source = |source: &Value| {
        let mut rule_source = RuleSource::default();
        self::source(source, &mut rule_source);
        rule_source.request.extend(common.request.clone());
        rule_source.token.extend(common.token.clone());
        rule_source.unsupported.extend(common.unsupported.clone());
        rule_source
    };
    from.iter().map(with_source).collect()
}

fn source(item: &Value, rule_source: &mut RuleSource) {
    let outer = Fields::of(item, "");
    let Some(source) = outer.object("source") else {
        rule_source.unsupported.push(String::from("`from` without a source"));
        return;
    };
    for (name, negated) in [("requestPrincipals", false), ("notRequestPrincipals", true)] {
        let names = source.strings(name);
        if !names.is_empty() {
            match principals(&names) {
                Some(found) if negated => rule_source.token.push(TokenTest::IsNot(found)),
                Some(found) => rule_source.token.push(TokenTest::Is(found)),
                None => rule_source.unsupported.push(format!("{name} with a wildcard")),
            }
        }
    }
    // `ipBlocks` compares the address of the peer, which differs behind a proxy.
    for (name, sign) in [("remoteIpBlocks", ""), ("notRemoteIpBlocks", "!")] {
        let ranges = source.strings(name);
        if !ranges.is_empty() {
            rule_source.request.push(format!("{sign}{}", in_ranges("source.address", &ranges)));
        }
    }
    rule_source.unsupported.extend(source.unread());
    rule_source.unsupported.extend(outer.unread());
}

fn in_ranges(address: &str, ranges: &[String]) -> String {
    let ranges: Vec<String> = ranges.iter().map(|range| cel_string(range)).collect();
    format!("ip_in({address}, [{}])", ranges.join(", "))
}

fn principals(names: &[String]) -> Option<Vec<Require>> {
    names.iter().map(|name| principal(name)).collect()
}

/// Splits `ISSUER/SUBJECT` at the last slash, as Istio does: a subject with a slash is ambiguous.
fn principal(name: &str) -> Option<Require> {
    let has_subject = || ("condition", json!(HAS_SUBJECT));
    if name == "*" {
        return Some(object([has_subject()]));
    }
    let (issuer, subject) = name.rsplit_once('/')?;
    let is_plain = |text: &str| !text.is_empty() && !text.contains('*');
    match (is_plain(issuer), subject) {
        (true, "*") => Some(object([has_subject(), ("claims", json!({ "iss": issuer }))])),
        (true, subject) if is_plain(subject) => Some(object([("claims", json!({ "iss": issuer, "sub": subject }))])),
        (true | false, _) => None,
    }
}

/// Converts one entry of `when`; `None` if it cannot be converted.
fn condition_of(fields: &Fields<'_>, context: &PolicyContext, rule_source: &mut RuleSource) -> Option<()> {
    let key = fields.string("key")?;
    let values = |name: &str| fields.strings(name).into_iter().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>();
    let sides = [(values("values"), false), (values("notValues"), true)];
    if !fields.unread().is_empty() || sides.iter().all(|(values, _)| values.is_empty()) {
        return None;
    }
    let (mut request, mut token) = (Vec::new(), Vec::new());
    for (values, negated) in sides {
        if values.is_empty() {
            continue;
        }
        if let Some(found) = request_condition(key, &values, context) {
            request.push(if negated { format!("!({})", found?) } else { found? });
            continue;
        }
        let found = token_alternatives(key, &values, context)?;
        token.push(if negated { TokenTest::IsNot(found) } else { TokenTest::Is(found) });
    }
    rule_source.request.extend(request);
    rule_source.token.extend(token);
    Some(())
}

/// A condition on the request alone. `Some(None)` is an unsupported condition; `None` is a key that is not about the
/// request.
fn request_condition(key: &str, values: &[String], context: &PolicyContext) -> Option<Option<String>> {
    let any = |attribute: &str| {
        let all: Option<Vec<String>> = values.iter().map(|value| string_matches(attribute, value)).collect();
        all.map(|all| all.join(" || "))
    };
    match key {
        // `source.ip` is the address of the peer, which differs behind a proxy.
        "remote.ip" => return Some(Some(in_ranges("source.address", values))),
        "destination.ip" => return Some(Some(in_ranges("destination.address", values))),
        "destination.port" => {
            let ports: Option<Vec<String>> =
                values.iter().map(|port| port.parse::<u16>().ok().map(|port| port.to_string())).collect();
            return Some(ports.map(|ports| format!("destination.port in [{}]", ports.join(", "))));
        }
        _ => {}
    }
    let name = key.strip_prefix("request.headers[")?.strip_suffix(']')?.to_ascii_lowercase();
    // A client controls the value of a header that is set or removed only after conditions are evaluated.
    let is_unsure = context.managed.contains(&folded(&name)) || values.iter().any(String::is_empty);
    if is_unsure || name.starts_with(':') {
        return Some(None);
    }
    let name = cel_string(&name);
    if values.iter().any(|value| value == "*") {
        return Some(Some(format!("{name} in request.headers")));
    }
    let is = any(&format!("request.headers[{name}]"));
    Some(is.map(|is| format!("{name} in request.headers && ({is})")))
}

/// The requirements of which a token with one of these values meets one.
fn token_alternatives(key: &str, values: &[String], context: &PolicyContext) -> Option<Vec<Require>> {
    if key == "request.auth.principal" {
        return principals(values);
    }
    if values.iter().any(|value| value.contains('*')) {
        // Istio's `*` matches any non-empty string; the filter's `exists` also accepts an empty string or list.
        return None;
    }
    if let Some(path) = claim_path(key) {
        return claim(&path, values, context);
    }
    match key {
        "request.auth.audiences" => Some(vec![object([("audiences", json!(values))])]),
        "request.auth.presenter" => Some(vec![object([("claims", json!({ "azp": { "one_of": values } }))])]),
        _ => None,
    }
}

fn claim(path: &[String], values: &[String], context: &PolicyContext) -> Option<Vec<Require>> {
    let [name] = path else { return Some(vec![one_of_claim(path, values)]) };
    let is_split = context.is_split(name);
    let is_scopes = ["scope", "scp"].contains(&name.as_str());
    if is_split == Some(false) && !is_scopes {
        return Some(vec![one_of_claim(path, values)]);
    }
    if values.iter().any(|value| value.is_empty() || value.contains(' ')) {
        return None;
    }
    let Some(is_split) = is_split else {
        let of_provider = |split: &SplitClaims| {
            let condition = has_value(name, values, split.names.contains(name));
            let of_issuer = |other: &&SplitClaims| other.issuer == split.issuer;
            if context.split_claims.iter().filter(of_issuer).nth(1).is_some() {
                let provider = cel_string(&split.provider);
                return object([("condition", json!(format!("token.provider == {provider} && {condition}")))]);
            }
            object([("claims", json!({ "iss": split.issuer })), ("condition", json!(condition))])
        };
        return Some(context.split_claims.iter().map(of_provider).collect());
    };
    let has_scope = ("any_scope", json!(values));
    let condition = ("condition", json!(has_value(name, values, is_split)));
    Some(vec![match context.scope_claim == Some(name.as_str()) {
        true if is_split => object([has_scope]),
        // The filter splits scopes, and Istio does not split this claim: for Istio, a string with several scopes equals
        // none of them.
        true => object([has_scope, condition]),
        false => object([condition]),
    }])
}

/// A condition that holds if a claim is one of the values, or a list with one of them. A string is a list if Istio
/// splits it at spaces.
fn has_value(name: &str, values: &[String], is_split: bool) -> String {
    let claim = format!("claims[{}]", cel_string(name));
    let is = |value: &String| {
        let is_text = match is_split {
            true => format!("{claim}.matches({})", cel_string(&format!("(?:^| ){}(?: |$)", regex_literal(value)))),
            false => format!("{claim} == {}", cel_string(value)),
        };
        format!("{is_text} || {} in {claim}", cel_string(value))
    };
    format!("{} in claims && ({})", cel_string(name), values.iter().map(is).collect::<Vec<_>>().join(" || "))
}

fn one_of_claim(path: &[String], values: &[String]) -> Require {
    object([("claims", json!([{ "claim": path, "one_of": values }]))])
}

/// `request.auth.claims[a][b]`
pub fn claim_path(key: &str) -> Option<Vec<String>> {
    let path = key.strip_prefix("request.auth.claims[")?.strip_suffix(']')?;
    Some(path.split("][").map(str::to_owned).collect())
}
