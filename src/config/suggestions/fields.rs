//! The field that an unknown name is likely to mean, in any structure of the document.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::spelling::edit_distance;

/// How many places are suggested.
const MAX_SUGGESTIONS: usize = 3;

/// Fields of other products (Envoy's `jwt_authn`, Istio's `RequestAuthentication`, Envoy Gateway's `SecurityPolicy`, Kong's
/// plugins, NGINX) and common words, with the field here. A name is compared without letter case, `_` and `-`.
const OTHER_NAMES: [(&str, &str); 76] = [
    ("alg", "algorithms"),
    ("algs", "algorithms"),
    ("allowmissing", "access"),
    ("allowmissingorfailed", "access"),
    ("allowedaudiences", "audiences"),
    ("anonymous", "access"),
    ("aud", "audiences"),
    ("audiencerequired", "audiences"),
    ("authserver", "authorization_server"),
    ("claimheaders", "claim_to_headers"),
    ("claimmappings", "claim_to_headers"),
    ("claimname", "claim"),
    ("claimstoheaders", "claim_to_headers"),
    ("claimstoverify", "claims"),
    ("client", "client_id"),
    ("clockskewseconds", "clock_skew"),
    ("cluster", "upstream"),
    ("consumergroups", "groups"),
    ("cookienames", "from_cookies"),
    ("cookies", "from_cookies"),
    ("discovery", "issuer"),
    ("enablecookies", "from_cookies"),
    ("expression", "condition"),
    ("extractfrom", "token"),
    ("forwardjwt", "forward"),
    ("forwardoriginaltoken", "forward"),
    ("groupsrequired", "groups"),
    ("headername", "header"),
    ("headernames", "from_headers"),
    ("headers", "from_headers"),
    ("introspectionendpoint", "introspection.uri"),
    ("introspectionurl", "introspection.uri"),
    ("iss", "issuer"),
    ("issuers", "additional_issuers"),
    ("issuersallowed", "additional_issuers"),
    ("issuerurl", "issuer"),
    ("jwkendpoint", "jwks.uri"),
    ("jwksendpoint", "jwks.uri"),
    ("jwksuri", "jwks.uri"),
    ("jwksurl", "jwks.uri"),
    ("jwtrules", "providers"),
    ("keys", "jwks.inline"),
    ("leeway", "clock_skew"),
    ("localjwks", "jwks.inline"),
    ("logindomain", "domain"),
    ("maximumexpiration", "max_token_lifetime"),
    ("maxlifetime", "max_token_lifetime"),
    ("oktadomain", "okta.domain"),
    ("optional", "access"),
    ("org", "okta.domain"),
    ("outputclaimtoheaders", "claim_to_headers"),
    ("outputpayloadtoheader", "forward_payload_header"),
    ("paramnames", "from_params"),
    ("payloadinmetadata", "filter_state"),
    ("permissions", "scopes"),
    ("prefixmatch", "path_prefix"),
    ("providersmap", "providers"),
    ("recomputeroute", "clear_route_cache"),
    ("redirecturl", "login.url"),
    ("remotejwks", "jwks.uri"),
    ("requestprincipals", "claims"),
    ("requiredscopes", "scopes"),
    ("requirements", "require"),
    ("requires", "require"),
    ("requiresall", "all_of"),
    ("requiresany", "any_of"),
    ("roles", "groups"),
    ("saferegex", "path_regex"),
    ("scopesrequired", "scopes"),
    ("scp", "scopes"),
    ("signingalgorithms", "algorithms"),
    ("tokenheader", "from_headers"),
    ("ttl", "cache_ttl"),
    ("uriparamnames", "from_params"),
    ("verb", "methods"),
    ("verbs", "methods"),
];

/// A field of the document.
struct Field<'a> {
    name: &'a str,
    /// Its path, such as `providers.NAME.jwks.uri`.
    path: String,
}

/// All fields of the document, each requirement once.
pub(super) struct Fields<'a>(Vec<Field<'a>>);

impl<'a> Fields<'a> {
    pub(super) fn of(schema: &'a Value) -> Self {
        let mut fields = Vec::new();
        collect(schema, schema, "", &mut Vec::new(), &mut fields);
        Self(fields)
    }

    /// The suggestion for an unknown member of the object at `place` with these fields.
    pub(super) fn meant(&self, name: &str, properties: &'a Value, place: &str) -> Option<String> {
        if name.len() > 64 {
            return None;
        }
        let own: Vec<&str> = properties.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        let plain = plain(name);
        let own_names = |holds: &dyn Fn(&str) -> bool| -> Option<String> {
            own.iter().find(|own| holds(own)).map(|own| question(&[(*own).to_owned()]))
        };
        let other = OTHER_NAMES.iter().find(|(other, _)| *other == plain).map(|(_, meaning)| *meaning);
        own_names(&|own| self::plain(own) == plain)
            // A plural, or a field in short.
            .or_else(|| own_names(&|own| is_plural(&plain, &self::plain(own))))
            .or_else(|| other.and_then(|other| own_names(&|own| own == other)))
            .or_else(|| self.elsewhere(|field| self::plain(field.name) == plain, place, true))
            .or_else(|| other.and_then(|other| self.elsewhere(|field| field.ends_with(other), place, true)))
            .or_else(|| own_names(&|own| own.split('_').any(|word| word == name) && name.len() > 3))
            .or_else(|| own_names(&|own| is_near(name, own)))
            .or_else(|| self.elsewhere(|field| self::plain(field.name) == plain, place, false))
            .or_else(|| other.and_then(|other| self.elsewhere(|field| field.ends_with(other), place, false)))
            .or_else(|| self.elsewhere(|field| is_plural(&plain, &self::plain(field.name)), place, false))
            .or_else(|| self.elsewhere(|field| name.len() > 5 && is_near(name, field.name), place, false))
    }

    /// The closest fields that meet a condition: below the object only, or anywhere.
    fn elsewhere(&self, meets: impl Fn(&Field<'_>) -> bool, place: &str, below: bool) -> Option<String> {
        let relative = |field: &Field<'_>| -> Option<String> {
            if !below {
                return Some(field.path.clone());
            }
            let path = field.path.strip_prefix(place)?;
            let path = if place.is_empty() { path } else { path.strip_prefix('.')? };
            Some(path.to_owned())
        };
        let found: Vec<String> = self.0.iter().filter(|field| meets(field)).filter_map(relative).collect();
        let depth = |path: &String| path.replace(".NAME", "").matches('.').count();
        let least = found.iter().map(depth).min()?;
        let found: BTreeSet<String> = found.into_iter().filter(|path| depth(path) == least).collect();
        let found: Vec<String> = found.into_iter().collect();
        (found.len() <= MAX_SUGGESTIONS || below).then(|| question(found.get(..MAX_SUGGESTIONS).unwrap_or(&found)))
    }
}

impl Field<'_> {
    fn ends_with(&self, other: &str) -> bool {
        self.path.strip_suffix(other).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    }
}

pub(super) fn join(place: &str, name: &str) -> String {
    if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") }
}

fn question(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    format!("did you mean {}?", names.join(" or "))
}

/// Adds the fields of all structures below `schema`; a structure that contains itself once.
fn collect<'a>(root: &'a Value, schema: &'a Value, place: &str, seen: &mut Vec<&'a str>, fields: &mut Vec<Field<'a>>) {
    let reference = schema.get("$ref").and_then(Value::as_str);
    if let Some(reference) = reference {
        if seen.contains(&reference) {
            return;
        }
        seen.push(reference);
    }
    for choice in choices(root, schema) {
        for (name, value) in choice.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let path = join(place, name);
            collect(root, value, &path, seen, fields);
            if !name.starts_with('$') {
                fields.push(Field { name, path });
            }
        }
        if let Some(value) = choice.get("additionalProperties").filter(|value| value.is_object()) {
            collect(root, value, &join(place, "NAME"), seen, fields);
        }
        if let Some(value) = choice.get("items") {
            collect(root, value, &format!("{place}[]"), seen, fields);
        }
    }
    if reference.is_some() {
        seen.pop();
    }
}

/// Without letter case and separators: `jwksUri`, `jwks-uri` and `jwks_uri` are one name.
fn plain(name: &str) -> String {
    name.chars()
        .filter(|character| !"_-. ".contains(*character))
        .map(|character| character.to_ascii_lowercase())
        .collect()
}

fn is_plural(one: &str, other: &str) -> bool {
    let (short, long) = if one.len() < other.len() { (one, other) } else { (other, one) };
    short.len() > 2 && long.strip_suffix('s').is_some_and(|singular| singular == short)
}

fn is_near(name: &str, known: &str) -> bool {
    let limit = if name.len() <= 4 { 1 } else { 2 };
    edit_distance(name, known) <= limit
}

/// The schemas of which a value meets one.
pub(super) fn choices<'a>(root: &'a Value, schema: &'a Value) -> Vec<&'a Value> {
    if let Some(name) = schema.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix('#')) {
        return root.pointer(name).map(|schema| choices(root, schema)).unwrap_or_default();
    }
    match schema.get("anyOf").and_then(Value::as_array) {
        Some(all) => all.iter().flat_map(|schema| choices(root, schema)).collect(),
        None => vec![schema],
    }
}
