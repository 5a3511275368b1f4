//! Converts AuthorizationPolicy to rules.
//!
//! Istio evaluates every DENY rule and then every ALLOW rule; the filter evaluates the first rule that matches. A DENY
//! rule without a condition on the token becomes a leading rule. Any other DENY rule becomes a condition of each rule
//! that allows requests.

mod compose;
mod operation;
mod path;
mod source;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::import::Remarks;
use crate::import::fields::Fields;
use crate::import::issuer::ProviderIssuer;
use compose::{AllowRule, Denials, TokenDenial};
pub use compose::{Rules, rules_of};
use operation::operations;
use source::{RuleSource, TokenTest, all_of, claim_path, one_of, rule_sources};

/// The action of a policy.
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

/// The claims, besides `scope` and `permission`, that Istio splits at spaces in tokens of one provider.
#[derive(Debug)]
pub struct SplitClaims {
    /// The location of the provider.
    pub location: String,
    /// The provider's name in the result.
    pub provider: String,
    pub issuer: String,
    /// The accepted audiences; empty for any.
    pub audiences: Vec<String>,
    /// The names of the claims.
    pub names: Vec<String>,
}

impl SplitClaims {
    pub fn issuer(&self) -> ProviderIssuer<'_> {
        let Self { location, provider, issuer, audiences, .. } = self;
        ProviderIssuer { location, provider, issuer, audiences }
    }
}

/// The settings that the conversion of policies depends on.
pub struct PolicyContext {
    /// The folded names of headers that jwt_authn sets or removes before policies read them. The filter's conditions
    /// see them as the client sent them.
    pub managed: BTreeSet<String>,
    /// The split claims of each provider.
    pub split_claims: Vec<SplitClaims>,
    pub scope_claim: Option<&'static str>,
}

impl PolicyContext {
    /// Whether Istio splits a claim at spaces; `None` if that depends on the issuer.
    fn is_split(&self, name: &str) -> Option<bool> {
        let is_split = |split: &SplitClaims| split.names.iter().any(|other| other == name);
        match () {
            () if ["scope", "permission"].contains(&name) || self.split_claims.iter().all(is_split) => Some(true),
            () if !self.split_claims.iter().any(is_split) => Some(false),
            () => None,
        }
    }
}

/// The scope claim that policies use. `scope` comes before `scp`, which Istio does not split.
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

/// Checks the fields of a policy.
fn check_fields(location: &str, spec: &Value, remarks: &mut Remarks) {
    let fields = Fields::of(spec, location);
    let _rules = fields.list("rules");
    let _known = ["action", "selector", "targetRef", "targetRefs"].map(|name| fields.get(name));
    match spec.get("action").and_then(Value::as_str) {
        Some("AUDIT") => remarks.not_carried_over(location, "AUDIT: every denied request is logged"),
        Some("CUSTOM") => {
            let _named = fields.get("provider");
            remarks.fatal(location, "CUSTOM: an external authorizer decides, and the filter does not call it; leave the policy to Istio and import the others");
        }
        _ if action(spec).is_none() => remarks.fatal(location, "action is not ALLOW, DENY, AUDIT or CUSTOM"),
        _ => {}
    }
    for name in fields.unread() {
        remarks.fatal(location, format!("{name} is unknown or has another type, and could deny requests"));
    }
}

/// Whether a request must match an ALLOW rule.
fn has_allow(policies: &[(String, Value)]) -> bool {
    policies.iter().any(|(_, spec)| action(spec) == Some(Action::Allow))
}

/// Converts all policies to the rules in their order, and `default_rule`.
pub fn rules(policies: &[(String, Value)], context: &PolicyContext, remarks: &mut Remarks) -> Rules {
    for (location, spec) in policies {
        check_fields(location, spec, remarks);
    }
    let mut denials = Denials::default();
    for (location, written) in rules_with_action(policies, Action::Deny) {
        deny(&written, &location, context, &mut denials, remarks);
    }
    let mut allowed = Vec::new();
    for (location, written) in rules_with_action(policies, Action::Allow) {
        allow(&written, &location, context, &mut allowed, remarks);
    }
    let allowed = has_allow(policies).then_some(allowed);
    rules_of(allowed, &denials, remarks)
}

/// The rules of policies with this action. A policy without rules matches nothing; an empty rule matches everything.
fn rules_with_action(policies: &[(String, Value)], required: Action) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (location, spec) in policies.iter().filter(|(_, spec)| action(spec) == Some(required)) {
        let rules = spec.get("rules").and_then(Value::as_array);
        for (index, rule) in rules.into_iter().flatten().enumerate() {
            found.push((format!("{location}.rules[{index}]"), rule.clone()));
        }
    }
    found
}

/// Converts a DENY rule. A condition that cannot be converted is omitted, so the rule denies more.
fn deny(written: &Value, location: &str, context: &PolicyContext, denials: &mut Denials, remarks: &mut Remarks) {
    let fields = Fields::of(written, location);
    let (operations, mut unsupported) = operations(fields.list("to"));
    let sources = rule_sources(&fields, context);
    unsupported.extend(fields.unread());
    unsupported.extend(sources.iter().flat_map(|source| source.unsupported.clone()));
    unsupported.dedup();
    if !unsupported.is_empty() {
        let what = unsupported.join(", ");
        remarks.stricter(location, format!("{what} cannot be converted: the rule denies requests regardless of it"));
    }
    for operation in operations {
        for RuleSource { request, token, .. } in &sources {
            let mut operation = operation.clone();
            operation.conditions.extend(request.iter().cloned());
            if token.is_empty() {
                denials.regardless_of_token(operation);
                continue;
            }
            let required = token.iter().flat_map(|test| test.opposite().required()).collect();
            let denies_without_token = token.iter().all(|test| matches!(test, TokenTest::IsNot(_)));
            denials.by_token.push(TokenDenial {
                location: location.to_owned(),
                operation,
                required,
                denies_without_token,
            });
        }
    }
}

/// Converts an ALLOW rule. A condition that cannot be converted omits the rule.
fn allow(
    written: &Value,
    location: &str,
    context: &PolicyContext,
    allowed: &mut Vec<AllowRule>,
    remarks: &mut Remarks,
) {
    let fields = Fields::of(written, location);
    let (operations, mut unsupported) = operations(fields.list("to"));
    let sources = rule_sources(&fields, context);
    unsupported.extend(fields.unread());
    let is_incomplete = !unsupported.is_empty();
    let mut usable = Vec::new();
    for source in sources {
        match source.unsupported.is_empty() {
            true => usable.push(source),
            false => unsupported.extend(source.unsupported),
        }
    }
    if !unsupported.is_empty() {
        let what = unsupported.join(", ");
        remarks.stricter(location, format!("{what} cannot be converted: requests that depend on it are not allowed"));
    }
    if is_incomplete {
        return;
    }
    for operation in operations {
        for RuleSource { request, token, .. } in &usable {
            let mut operation = operation.clone();
            operation.conditions.extend(request.iter().cloned());
            if !token.is_empty() && token.iter().all(|test| matches!(test, TokenTest::IsNot(_))) {
                remarks.stricter(location, "the requests that it allows also require a valid token");
            }
            let tests = token.iter().map(|test| one_of(test.required())).collect();
            let require = (!token.is_empty()).then(|| all_of(tests));
            allowed.push(AllowRule { location: location.to_owned(), operation, require });
        }
    }
}
