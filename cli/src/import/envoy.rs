//! Envoy's JwtAuthentication (envoy.extensions.filters.http.jwt_authn.v3).

mod provider;
mod requirement;
mod route;

use serde_json::{Value, json};

use super::Remarks;
use super::draft::{self, Draft, any_of};
use super::fields::Fields;
use crate::plugin::visit;
use provider::Imported;
use requirement::{Needs, Requirements};

const FILTER: &str = "jwt_authn.v3.JwtAuthentication";
const PER_ROUTE: &str = "jwt_authn.v3.PerRouteConfig";

/// The document that a JwtAuthentication means.
pub fn import(documents: &[Value], remarks: &mut Remarks) -> Option<Value> {
    let (place, filter) = find(documents, remarks)?;
    let fields = Fields::of(&filter, place);
    let mut draft = Draft::default();
    let providers = providers(&fields, &mut draft, remarks);
    let map = fields.get("requirement_map").cloned().unwrap_or_default();
    let requirements = Requirements { providers: &providers, map: &map };
    let rules = fields.list("rules").iter().enumerate().filter_map(|(index, rule)| {
        let rule = Fields::of(rule, format!("{}.rules[{index}]", fields.place));
        Some((index, self::rule(&rule, &requirements, remarks)?))
    });
    draft.rules = draft::named(rules);
    if fields.get("filter_state_rules").is_some() {
        remarks.fatal(&fields.place, "filter_state_rules: what other filters say decides, which is not known here");
    }
    if fields.is_true("bypass_cors_preflight") {
        draft.more.insert(String::from("bypass_cors_preflight"), json!(true));
    }
    if fields.is_true("strip_failure_response") {
        remarks.left(&fields.place, "strip_failure_response: refusals have a body, see `responses`");
    }
    for name in ["@type", "stat_prefix"] {
        let _of_no_use = fields.get(name);
    }
    for name in fields.rest() {
        remarks
            .fatal(&fields.place, format!("{name} is not known here, or of another type, and could demand something"));
    }
    remarks.left(
        &fields.place,
        "paths are compared in normal form: keep normalize_path and merge_slashes on, as envoy/envoy.yaml does",
    );
    remarks.stricter(
        &fields.place,
        "a token without `exp`, a second credential in one request, and a path that servers read differently are refused",
    );
    // As there: what comes under no rule is not looked at.
    draft.default_rule = json!({ "access": "public" });
    draft.finish(remarks)
}

/// The filter's configuration, the only one or several that are alike.
fn find(documents: &[Value], remarks: &mut Remarks) -> Option<(String, Value)> {
    let mut found: Vec<(String, Value)> = Vec::new();
    for document in documents {
        visit(document, "$", &mut |at, value| {
            let kind = value.get("@type").and_then(Value::as_str).unwrap_or_default();
            if kind.ends_with(FILTER) {
                found.push((at.to_owned(), value.clone()));
            } else if kind.ends_with(PER_ROUTE) {
                let disables = value.get("disabled") == Some(&Value::Bool(true));
                if disables {
                    remarks.stricter(at, "a route on which jwt_authn is disabled: the rules count there too");
                } else {
                    remarks.fatal(at, "a route with a requirement of its own: rules are by path here, not by route");
                }
            }
        });
        let is_bare = found.is_empty() && document.get("providers").is_some();
        if is_bare {
            found.push((String::from("$"), document.clone()));
        }
    }
    let Some(first) = found.first().cloned() else {
        remarks.fatal("$", "no JwtAuthentication is in it");
        return None;
    };
    if found.iter().any(|(_, other)| *other != first.1) {
        remarks.fatal(&first.0, "several JwtAuthentication that differ are in it; give one of them alone");
        return None;
    }
    Some(first)
}

fn providers(fields: &Fields<'_>, draft: &mut Draft, remarks: &mut Remarks) -> Vec<Imported> {
    let mut providers = Vec::new();
    let all = fields.get("providers").and_then(Value::as_object);
    for (name, value) in all.into_iter().flatten() {
        let fields = Fields::of(value, format!("{}.providers.{name}", fields.place));
        let Some(imported) = provider::import(name, &fields, draft, remarks) else { continue };
        providers.push(imported);
    }
    // What rules demand of the audience besides must be possible at all.
    for rule in fields.list("rules").iter().chain(fields.get("requirement_map")) {
        visit(rule, "", &mut |_, value| {
            let fields = Fields::of(value, "");
            let Some(with) = fields.object("provider_and_audiences") else { return };
            let provider = providers.iter_mut().find(|known| Some(known.name.as_str()) == with.text("provider_name"));
            if let Some(provider) = provider {
                provider.also_for(with.texts("audiences"), draft);
            }
        });
    }
    providers
}

/// A rule; nothing where it only opened what is left to the rules behind it.
fn rule(fields: &Fields<'_>, requirements: &Requirements<'_>, remarks: &mut Remarks) -> Option<Value> {
    let named = fields.text("requirement_name").map(str::to_owned);
    let needs = match (fields.get("requires"), named) {
        (None, None) => Needs::Nothing,
        (Some(value), None) => requirements.needs(value, &format!("{}.requires", fields.place), remarks),
        (None, Some(name)) => requirements.named(&name, &fields.place, remarks),
        (Some(_), Some(_)) => Needs::Impossible,
    };
    let found = fields
        .object("match")
        .map_or_else(|| route::Matched::unknown("it has no match"), |fields| route::import(&fields));
    let mut rest = fields.rest();
    let route::Matched { conditions, missing } = found;
    rest.extend(missing);
    let (conditions, access, require) = said(needs, conditions, &rest, &fields.place, remarks)?;
    Some(draft::rule(&conditions, access, require))
}

/// `match`, `access` and `require` of a rule; nothing where it is left to the rules behind it. `rest` is what of its match
/// is not understood.
fn said(
    needs: Needs,
    mut conditions: Value,
    rest: &[String],
    place: &str,
    remarks: &mut Remarks,
) -> Option<(Value, &'static str, Option<Value>)> {
    if !rest.is_empty() {
        let what = rest.join(", ");
        if needs == Needs::Nothing {
            remarks.stricter(place, format!("{what}: the rule is left out, the rules behind it count"));
            return None;
        }
        remarks.stricter(place, format!("{what}: nothing passes where this rule could count"));
        return Some((conditions, "deny", None));
    }
    let (access, require) = match needs {
        Needs::Nothing => ("public", None),
        Needs::TokenIfAny => ("optional", None),
        Needs::Token(alternatives) => ("token", any_of(alternatives)),
        Needs::Impossible => ("deny", None),
    };
    if let (Some(members), "public" | "optional") = (conditions.as_object_mut(), access)
        && members.remove("ignore_case").is_some()
    {
        remarks.stricter(place, "what needs no token is open in the letter case that is written only");
    }
    Some((conditions, access, require))
}
