//! Envoy's JwtAuthentication (envoy.extensions.filters.http.jwt_authn.v3).

mod provider;
mod requirement;
mod route;

use serde_json::{Value, json};

use super::Remarks;
use super::draft::{self, Draft, any_of};
use super::fields::Fields;
use super::issuer::{check_common_issuers, equal_audiences};
use crate::plugin::visit;
use provider::ImportedProvider;
use requirement::{Need, Requirements};

const FILTER: &str = "jwt_authn.v3.JwtAuthentication";
const PER_ROUTE: &str = "jwt_authn.v3.PerRouteConfig";

/// Converts a JwtAuthentication.
pub fn import(documents: &[Value], remarks: &mut Remarks) -> Option<Value> {
    let (location, filter) = find_filter(documents, remarks)?;
    let fields = Fields::of(&filter, location);
    let mut draft = Draft::default();
    let providers = providers(&fields, &mut draft, remarks);
    let map = fields.get("requirement_map").cloned().unwrap_or_default();
    let requirements = Requirements { providers: &providers, map: &map };
    let rules = fields.list("rules");
    check_requirement_map(&map, rules, documents, &fields.location, remarks);
    for (index, rule) in rules.iter().enumerate() {
        let rule = Fields::of(rule, format!("{}.rules[{index}]", fields.location));
        draft.rules.extend(self::rule(index, &rule, &requirements, remarks));
    }
    if fields.get("filter_state_rules").is_some() {
        remarks.fatal(
            &fields.location,
            "filter_state_rules: filter state of other filters selects the requirement, which cannot be converted",
        );
    }
    if fields.is_true("bypass_cors_preflight") {
        draft.other_members.insert(String::from("bypass_cors_preflight"), json!(true));
    }
    if fields.is_true("strip_failure_response") {
        remarks.not_carried_over(&fields.location, "strip_failure_response: refusals have a body, see `responses`");
    }
    for name in ["@type", "stat_prefix"] {
        let _of_no_use = fields.get(name);
    }
    for name in fields.unread() {
        remarks.fatal(&fields.location, format!("{name} is unknown or has another type, and could be a requirement"));
    }
    remarks.stricter(
        &fields.location,
        "a path that matches one rule as written and another one in normal form is rejected",
    );
    remarks.stricter(
        &fields.location,
        "a token without `exp`, a second credential in one request, and a path that servers interpret differently are rejected",
    );
    // As in the original: a request that matches no rule is allowed.
    draft.default_rule = json!({ "access": "public" });
    draft.finish(remarks)
}

/// The filter's configuration: a single one, or several equal ones.
fn find_filter(documents: &[Value], remarks: &mut Remarks) -> Option<(String, Value)> {
    let mut found: Vec<(String, Value)> = Vec::new();
    for document in documents {
        visit(document, "$", &mut |at, value| {
            let kind_of = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
            let (kind, wrapped) = (kind_of("@type"), kind_of("type_url"));
            if kind.ends_with(FILTER) {
                found.push((at.to_owned(), value.clone()));
            } else if wrapped.ends_with(FILTER) || wrapped.ends_with(PER_ROUTE) {
                remarks.fatal(at, "a TypedStruct of jwt_authn: write it as typed_config of its own type");
            } else if kind.ends_with(PER_ROUTE) {
                let disables = value.get("disabled") == Some(&Value::Bool(true));
                if disables {
                    remarks.stricter(at, "a route on which jwt_authn is disabled: the rules apply there too");
                } else {
                    remarks.fatal(at, "a route with a requirement of its own: rules are by path here, not by route");
                }
            }
        });
        let is_bare = document.get("@type").is_none() && document.get("providers").is_some();
        if is_bare {
            found.push((String::from("$"), document.clone()));
        }
    }
    let Some(first) = found.first().cloned() else {
        if !remarks.has_fatal() {
            remarks.fatal("$", "no JwtAuthentication in this file");
        }
        return None;
    };
    if found.iter().any(|(_, other)| *other != first.1) {
        remarks.fatal(&first.0, "several different JwtAuthentication in this file; provide one of them");
        return None;
    }
    let chain = |at: &str| {
        let filters = [".http_filters[", ".httpFilters["];
        filters.iter().find_map(|filters| at.rsplit_once(filters)).map(|(chain, _)| chain.to_owned())
    };
    let mut chains: Vec<String> = found.iter().filter_map(|(at, _)| chain(at)).collect();
    chains.sort();
    if chains.windows(2).any(|pair| matches!(pair, [one, other] if one == other)) {
        remarks.fatal(&first.0, "one listener has jwt_authn twice: both must allow a request there");
        return None;
    }
    Some(first)
}

/// Rejects requirements that only routes name. Routes from RDS may name any requirement.
fn check_requirement_map(map: &Value, rules: &[Value], documents: &[Value], location: &str, remarks: &mut Remarks) {
    let mut routes_are_elsewhere = false;
    for document in documents {
        visit(document, "$", &mut |_, value| {
            let sources = ["rds", "vhds", "scoped_routes", "scopedRoutes"];
            routes_are_elsewhere |= sources.iter().any(|source| value.get(source).is_some());
        });
    }
    for name in map.as_object().into_iter().flat_map(|map| map.keys()) {
        let is_this = |rule: &Value| Fields::of(rule, "").string("requirement_name") == Some(name);
        if !rules.iter().any(is_this) {
            remarks.fatal(
                location,
                format!("requirement_map.{name}: no rule names it, and the routes that do are not imported"),
            );
        } else if routes_are_elsewhere {
            remarks.fatal(
                location,
                format!("requirement_map.{name}: routes that are not in this file (RDS) may name it; write it into the rules as `requires`"),
            );
        }
    }
}

fn providers(fields: &Fields<'_>, draft: &mut Draft, remarks: &mut Remarks) -> Vec<ImportedProvider> {
    let mut providers = Vec::new();
    let all = fields.get("providers").and_then(Value::as_object);
    for (name, value) in all.into_iter().flatten() {
        let fields = Fields::of(value, format!("{}.providers.{name}", fields.location));
        let Some(imported) = provider::import(name, &fields, draft, remarks) else { continue };
        providers.push(imported);
    }
    // The provider must accept the audiences that single rules require.
    for rule in fields.list("rules").iter().chain(fields.get("requirement_map")) {
        visit(rule, "", &mut |_, value| {
            let fields = Fields::of(value, "");
            let Some(with) = fields.object("provider_and_audiences") else { return };
            let provider =
                providers.iter_mut().find(|provider| Some(provider.name.as_str()) == with.string("provider_name"));
            if let Some(provider) = provider {
                // The conversion of the rule adds the remarks.
                provider.add_audiences(equal_audiences(&with.strings("audiences"), "", &mut Remarks::default()), draft);
            }
        });
    }
    check_common_issuers(&providers.iter().map(ImportedProvider::issuer).collect::<Vec<_>>(), remarks);
    providers
}

/// Converts one rule. The result is empty if the rule only allowed requests that later rules decide.
fn rule(index: usize, fields: &Fields<'_>, requirements: &Requirements<'_>, remarks: &mut Remarks) -> Vec<Value> {
    let named = fields.string("requirement_name").map(str::to_owned);
    let needs = match (fields.get("requires"), named) {
        (None, None) => Need::Nothing,
        (Some(value), None) => requirements.needs(value, &format!("{}.requires", fields.location), remarks),
        (None, Some(name)) => requirements.named(&name, &fields.location, remarks),
        (Some(_), Some(_)) => Need::Impossible,
    };
    let found = fields
        .object("match")
        .map_or_else(|| route::RouteConditions::any("it has no match"), |fields| route::import(&fields));
    let mut rest = fields.unread();
    let route::RouteConditions { conditions, unsupported } = found;
    rest.extend(unsupported);
    let name = format!("rule-{index}");
    if !rest.is_empty() {
        let what = rest.join(", ");
        if needs == Need::Nothing {
            remarks.stricter(&fields.location, format!("{what}: the rule is omitted, and the rules after it apply"));
            return Vec::new();
        }
        remarks.stricter(&fields.location, format!("{what}: every request that this rule could match is denied"));
        return draft::rules(&name, &conditions, "deny", None);
    }
    let (access, require) = match needs {
        Need::Nothing => ("public", None),
        Need::TokenIfAny => ("optional", None),
        Need::Token(alternatives) => ("token", any_of(alternatives)),
        Need::Impossible => ("deny", None),
    };
    if conditions.get("ignore_case").is_some() && matches!(access, "public" | "optional") {
        remarks.stricter(&fields.location, "a request without a token is allowed only in the letter case of the rule");
    }
    draft::rules(&name, &conditions, access, require)
}
