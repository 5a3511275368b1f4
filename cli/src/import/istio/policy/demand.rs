//! `from` and `when` -> what is demanded of the token and the request.

use serde_json::{Map, Value, json};

use super::Known;
use crate::import::draft::{cel_text, folded};
use crate::import::fields::Fields;

/// What a rule depends on besides the operation.
#[derive(Clone, Debug, PartialEq)]
pub enum Demand {
    /// Nothing.
    Nothing,
    /// A token that meets one of these.
    Token(Vec<Map<String, Value>>),
    /// That there is no token: `notRequestPrincipals: ["*"]`.
    NoPrincipal,
    /// Something that cannot be said.
    Unknown,
}

/// What a principal is there only with: `ISSUER/SUBJECT`. Where there is no subject this cannot be judged, and refuses.
pub const HAS_SUBJECT: &str = "token.subject != ''";

/// Reads `from` and `when` of a rule.
pub fn demand(rule: &Fields<'_>, known: &Known) -> Demand {
    let (from, when) = (rule.list("from"), rule.list("when"));
    if when.is_empty()
        && let [source] = from
        && is_without_principal(source)
    {
        return Demand::NoPrincipal;
    }
    let mut alternatives: Vec<Map<String, Value>> = Vec::new();
    for source in from {
        let Some(found) = principals(source) else { return Demand::Unknown };
        alternatives.extend(found);
    }
    let mut conditions = Vec::new();
    for condition in when {
        let Some(found) = self::condition(&Fields::of(condition, ""), known) else { return Demand::Unknown };
        conditions.push(found);
    }
    if from.is_empty() && conditions.is_empty() {
        return Demand::Nothing;
    }
    if from.is_empty() {
        alternatives.push(Map::new());
    }
    if !conditions.is_empty() {
        for alternative in &mut alternatives {
            alternative.insert(String::from("all_of"), json!(conditions));
        }
    }
    Demand::Token(alternatives)
}

fn is_without_principal(source: &Value) -> bool {
    let outer = Fields::of(source, "");
    let Some(source) = outer.object("source") else { return false };
    let is_any = source.texts("notRequestPrincipals") == ["*"];
    is_any && source.rest().is_empty() && outer.rest().is_empty()
}

/// Any of these will do; only what is about the token can be said.
fn principals(source: &Value) -> Option<Vec<Map<String, Value>>> {
    let outer = Fields::of(source, "");
    let source = outer.object("source")?;
    let names = source.texts("requestPrincipals");
    if names.is_empty() || !source.rest().is_empty() || !outer.rest().is_empty() {
        return None;
    }
    names.iter().map(|name| principal(name)).collect()
}

/// `ISSUER/SUBJECT`: where a subject has a slash nobody can tell, and then the last one counts as there.
fn principal(name: &str) -> Option<Map<String, Value>> {
    let mut demand = Map::new();
    if name == "*" {
        demand.insert(String::from("condition"), json!(HAS_SUBJECT));
        return Some(demand);
    }
    let (issuer, subject) = name.rsplit_once('/')?;
    let is_plain = |text: &str| !text.is_empty() && !text.contains('*');
    let claims = match (is_plain(issuer), subject) {
        (true, "*") => {
            demand.insert(String::from("condition"), json!(HAS_SUBJECT));
            json!({ "iss": issuer })
        }
        (true, subject) if is_plain(subject) => json!({ "iss": issuer, "sub": subject }),
        (true | false, _) => return None,
    };
    demand.insert(String::from("claims"), claims);
    Some(demand)
}

/// One entry of `when`.
fn condition(fields: &Fields<'_>, known: &Known) -> Option<Value> {
    let key = fields.text("key")?;
    let (values, not_values) = (fields.texts("values"), fields.texts("notValues"));
    let has_wildcard = |values: &[String]| values.iter().any(|value| value.contains('*'));
    if !fields.rest().is_empty() || has_wildcard(&not_values) {
        return None;
    }
    if let Some(path) = claim_path(key) {
        let test = |values: &[String]| json!({ "claims": [{ "claim": path, "one_of": values }] });
        // `a b` is two values there, and one here.
        let is_split = matches!(path.as_slice(), [name] if known.split_claims.contains(name));
        let is_whole = |values: &[String]| !values.iter().any(|value| value.is_empty() || value.contains(' '));
        return match (values.as_slice(), not_values.as_slice()) {
            // `*` is a text that is not empty there; here a claim also exists with an empty text or list.
            (values, []) if !values.is_empty() && !has_wildcard(values) && (!is_split || is_whole(values)) => {
                Some(test(values))
            }
            ([], values) if !values.is_empty() && !is_split => Some(json!({ "not": test(values) })),
            _ => None,
        };
    }
    if values.is_empty() || !not_values.is_empty() || has_wildcard(&values) {
        return None;
    }
    match key {
        "request.auth.audiences" => Some(json!({ "audiences": values })),
        "request.auth.presenter" => Some(json!({ "claims": { "azp": { "one_of": values } } })),
        // `source.ip` is the peer's, which is another one behind a proxy.
        "remote.ip" => {
            let ranges: Vec<String> = values.iter().map(|value| cel_text(value)).collect();
            Some(json!({ "condition": format!("ip_in(source.address, [{}])", ranges.join(", ")) }))
        }
        _ => {
            let name = key.strip_prefix("request.headers[")?.strip_suffix(']')?.to_ascii_lowercase();
            // A client may send what it likes in a header that is only written or removed after conditions are evaluated.
            if known.managed.contains(&folded(&name)) || values.iter().any(String::is_empty) {
                return None;
            }
            let name = cel_text(&name);
            let is = |value: &String| format!("request.headers[{name}] == {}", cel_text(value));
            Some(json!({ "condition": values.iter().map(is).collect::<Vec<_>>().join(" || ") }))
        }
    }
}

/// `request.auth.claims[a][b]`
fn claim_path(key: &str) -> Option<Vec<String>> {
    let path = key.strip_prefix("request.auth.claims[")?.strip_suffix(']')?;
    Some(path.split("][").map(str::to_owned).collect())
}
