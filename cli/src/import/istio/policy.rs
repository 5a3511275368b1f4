//! AuthorizationPolicy -> rules.
//!
//! Istio evaluates every DENY rule and then every ALLOW rule; the filter evaluates the first rule that matches. A DENY rule
//! about a `match` and no token comes first. Any other DENY rule becomes a condition of each rule that allows requests.

mod compose;
mod demand;
mod operation;
mod path;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::import::Remarks;
use crate::import::fields::Fields;
use crate::import::issuer::IssuerOf;
use compose::{Allow, Denials, Need};
pub use compose::{Rules, rules_of};
use demand::{Demand, TokenTest, all_of, claim_path, demands, one_of};
use operation::operations;

/// What a policy does with what it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Allow,
    Deny,
}

fn action(spec: &Value) -> Option<Action> {
    match spec.get("action").map(Value::as_str) {
        None | Some(Some("ALLOW")) => Some(Action::Allow),
        Some(Some("DENY")) => Some(Action::Deny),
        Some(_) => None,
    }
}

/// The claims that Istio splits at spaces besides `scope` and `permission`, in tokens of one provider.
#[derive(Debug)]
pub struct SplitClaims {
    /// Where the provider is written.
    pub place: String,
    /// Its name here.
    pub provider: String,
    /// Its issuer.
    pub issuer: String,
    /// The audiences of its tokens; none: any.
    pub audiences: Vec<String>,
    /// The claims.
    pub names: Vec<String>,
}

impl SplitClaims {
    /// The issuer of the provider, and the audiences of its tokens.
    pub fn issuer(&self) -> IssuerOf<'_> {
        let Self { place, provider, issuer, audiences, .. } = self;
        IssuerOf { place, provider, issuer, audiences }
    }
}

/// What policies may refer to.
pub struct Known {
    /// The headers, folded, whose content jwt_authn decides before policies read it. Conditions here see them as the
    /// client sent them.
    pub managed: BTreeSet<String>,
    /// What each rule of RequestAuthentication says of claims.
    pub split_claims: Vec<SplitClaims>,
    /// The claim that the filter reads scopes from.
    pub scope_claim: Option<&'static str>,
}

impl Known {
    /// Whether Istio splits a claim at spaces; nothing where that depends on the issuer.
    fn is_split(&self, name: &str) -> Option<bool> {
        let is_split = |split: &SplitClaims| split.names.iter().any(|other| other == name);
        match () {
            () if ["scope", "permission"].contains(&name) || self.split_claims.iter().all(is_split) => Some(true),
            () if !self.split_claims.iter().any(is_split) => Some(false),
            () => None,
        }
    }
}

/// The claim of scopes that policies are about: `scope` before `scp`, which Istio does not split.
pub fn scope_claim(policies: &[(String, Value)]) -> Option<&'static str> {
    let is_used = |name: &str| {
        let is_key = |condition: &Value| {
            let key = condition.get("key").and_then(Value::as_str).and_then(claim_path);
            key.is_some_and(|path| matches!(path.as_slice(), [only] if only == name))
        };
        let rules = policies.iter().filter_map(|(_, spec)| spec.get("rules")?.as_array()).flatten();
        rules.filter_map(|rule| rule.get("when")?.as_array()).flatten().any(is_key)
    };
    ["scope", "scp"].into_iter().find(|name| is_used(name))
}

/// The fields of a policy; `rules` is an array if it is there.
fn is_understood(place: &str, spec: &Value, remarks: &mut Remarks) {
    let fields = Fields::of(spec, place);
    let _rules = fields.list("rules");
    let _known = ["action", "selector", "targetRef", "targetRefs"].map(|name| fields.get(name));
    match spec.get("action").and_then(Value::as_str) {
        Some("AUDIT") => remarks.left(place, "AUDIT: every denied request is logged"),
        Some("CUSTOM") => {
            let _named = fields.get("provider");
            remarks.fatal(place, "CUSTOM: an external authorizer decides, and the filter does not call it; leave the policy to Istio and import the others");
        }
        _ if action(spec).is_none() => remarks.fatal(place, "action is not ALLOW, DENY, AUDIT or CUSTOM"),
        _ => {}
    }
    for name in fields.rest() {
        remarks.fatal(place, format!("{name} is unknown or has another type, and could deny requests"));
    }
}

/// Whether only what a policy allows passes.
fn has_allow(policies: &[(String, Value)]) -> bool {
    policies.iter().any(|(_, spec)| action(spec) == Some(Action::Allow))
}

/// All rules, in the order in which they count here, and what counts where none does.
pub fn rules(policies: &[(String, Value)], known: &Known, remarks: &mut Remarks) -> Rules {
    for (place, spec) in policies {
        is_understood(place, spec, remarks);
    }
    let mut denials = Denials::default();
    for (place, written) in of(policies, Action::Deny) {
        deny(&written, &place, known, &mut denials, remarks);
    }
    let mut allowed = Vec::new();
    for (place, written) in of(policies, Action::Allow) {
        allow(&written, &place, known, &mut allowed, remarks);
    }
    let allowed = has_allow(policies).then_some(allowed);
    rules_of(allowed, &denials, remarks)
}

/// The rules of policies with that action. A policy without rules matches nothing; with an empty one, everything.
fn of(policies: &[(String, Value)], wanted: Action) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (place, spec) in policies.iter().filter(|(_, spec)| action(spec) == Some(wanted)) {
        let rules = spec.get("rules").and_then(Value::as_array);
        for (index, rule) in rules.into_iter().flatten().enumerate() {
            found.push((format!("{place}.rules[{index}]"), rule.clone()));
        }
    }
    found
}

/// A DENY rule: what cannot be said of it is left out, and it denies more.
fn deny(written: &Value, place: &str, known: &Known, denials: &mut Denials, remarks: &mut Remarks) {
    let fields = Fields::of(written, place);
    let (operations, mut missing) = operations(fields.list("to"));
    let demands = demands(&fields, known);
    missing.extend(fields.rest());
    missing.extend(demands.iter().flat_map(|demand| demand.missing.clone()));
    missing.dedup();
    if !missing.is_empty() {
        let what = missing.join(", ");
        remarks.stricter(place, format!("{what} cannot be converted: the rule denies requests regardless of it"));
    }
    for operation in operations {
        for Demand { request, token, .. } in &demands {
            let mut operation = operation.clone();
            operation.conditions.extend(request.iter().cloned());
            if token.is_empty() {
                denials.regardless_of_token(operation);
                continue;
            }
            let required = token.iter().flat_map(|test| test.opposite().required()).collect();
            let denies_without_token = token.iter().all(|test| matches!(test, TokenTest::IsNot(_)));
            denials.needs.push(Need { place: place.to_owned(), operation, required, denies_without_token });
        }
    }
}

/// An ALLOW rule: what cannot be said of it leaves it out.
fn allow(written: &Value, place: &str, known: &Known, allowed: &mut Vec<Allow>, remarks: &mut Remarks) {
    let fields = Fields::of(written, place);
    let (operations, mut missing) = operations(fields.list("to"));
    let demands = demands(&fields, known);
    missing.extend(fields.rest());
    let is_unsure = !missing.is_empty();
    let mut usable = Vec::new();
    for demand in demands {
        match demand.missing.is_empty() {
            true => usable.push(demand),
            false => missing.extend(demand.missing),
        }
    }
    if !missing.is_empty() {
        let what = missing.join(", ");
        remarks.stricter(place, format!("{what} cannot be converted: requests that depend on it are not allowed"));
    }
    if is_unsure {
        return;
    }
    for operation in operations {
        for Demand { request, token, .. } in &usable {
            let mut operation = operation.clone();
            operation.conditions.extend(request.iter().cloned());
            if !token.is_empty() && token.iter().all(|test| matches!(test, TokenTest::IsNot(_))) {
                remarks.stricter(place, "the requests that it allows also require a valid token");
            }
            let tests = token.iter().map(|test| one_of(test.required())).collect();
            let require = (!token.is_empty()).then(|| all_of(tests));
            allowed.push(Allow { place: place.to_owned(), operation, require });
        }
    }
}
