//! Combines DENY and ALLOW rules into rules of which the first match decides.

use serde_json::{Map, Value, json};

use super::operation::Operation;
use super::path::{Bound, PathPattern};
use super::source::{HAS_SUBJECT, Require, all_of, object, one_of};
use crate::import::Remarks;
use crate::import::draft;

/// One rule of an ALLOW policy.
pub struct AllowRule {
    pub location: String,
    pub operation: Operation,
    /// The requirement on the token; `None` if no token is required.
    pub require: Option<Require>,
}

/// A DENY rule that depends on the token.
pub struct TokenDenial {
    pub location: String,
    /// The requests, possibly more than the original matches.
    pub operation: Operation,
    /// A token that meets one of these requirements is not denied.
    pub required: Vec<Require>,
    pub denies_without_token: bool,
}

/// The DENY rules.
#[derive(Default)]
pub struct Denials {
    /// `match` of the leading rules with `access: deny`.
    leading: Vec<Value>,
    /// Denied requests that a `match` cannot express.
    guards: Vec<Operation>,
    /// DENY rules that depend on the token.
    pub by_token: Vec<TokenDenial>,
}

impl Denials {
    /// Denies these requests regardless of the token.
    pub fn regardless_of_token(&mut self, operation: Operation) {
        match operation.is_match_alone() {
            true => self.leading.push(operation.matcher(Bound::Possible)),
            false => self.guards.push(operation),
        }
    }

    /// The conditions that exclude denied requests from this operation.
    fn guards_for(&self, operation: &Operation) -> Vec<String> {
        self.guards
            .iter()
            .filter(|guard| !guard.is_disjoint(operation))
            .map(Operation::certainly_does_not_match)
            .collect()
    }

    fn by_token_for(&self, operation: &Operation) -> Vec<&TokenDenial> {
        self.by_token.iter().filter(|denial| !denial.operation.is_disjoint(operation)).collect()
    }
}

/// The rules and the default rule.
pub struct Rules {
    /// `rules`.
    pub rules: Vec<Value>,
    /// `default_rule`.
    pub default_rule: Value,
}

/// `match`, `access` and `require` of a rule.
type RuleParts = (Value, &'static str, Option<Value>);

/// Builds the rules. With `allowed` unset, every request that is not denied is allowed.
pub fn rules_of(allowed: Option<Vec<AllowRule>>, denials: &Denials, remarks: &mut Remarks) -> Rules {
    for denial in denials.by_token.iter().filter(|denial| !denial.denies_without_token) {
        remarks.stricter(
            &denial.location,
            "a request without a token is also denied where the rule could deny one with a token",
        );
    }
    let mut rules: Vec<RuleParts> =
        denials.leading.iter().map(|conditions| (conditions.clone(), "deny", None)).collect();
    let mut default_rule = json!({ "access": "deny" });
    match allowed {
        Some(allowed) => {
            for group in group_rules(allowed, remarks) {
                rules.extend(group.rules(denials));
            }
        }
        None => {
            let open = Group {
                location: String::from("$"),
                operation: Operation::any(),
                without_token: Some(Vec::new()),
                alternatives: Vec::new(),
            };
            rules.extend(open.rules(denials));
            if let Some((_, access, require)) = rules.pop_if(|(conditions, _, _)| *conditions == json!({})) {
                let mut members = object([("access", json!(access))]);
                members.extend(require.map(|require| (String::from("require"), require)));
                default_rule = Value::Object(members);
            }
        }
    }
    let numbered = rules.into_iter().enumerate();
    let rules = numbered.flat_map(|(index, (conditions, access, require))| {
        draft::rules(&format!("rule-{index}"), &conditions, access, require)
    });
    Rules { rules: rules.collect(), default_rule }
}

/// The ALLOW rules with the same `match`.
#[derive(Clone)]
struct Group {
    /// The location of the first rule.
    location: String,
    /// The `match`.
    operation: Operation,
    /// A request without a token is allowed if it meets one of these conditions, or if the list is empty.
    without_token: Option<Vec<String>>,
    /// A token is accepted if it meets one of these requirements.
    alternatives: Vec<Require>,
}

/// Builds one group for each `match`. Groups without a token requirement come first, because an earlier rule would
/// require a token. Groups that require a token follow. Groups that allow requests without a token under a condition
/// come last, because they hide later rules.
fn group_rules(allowed: Vec<AllowRule>, remarks: &mut Remarks) -> Vec<Group> {
    let (mut open, mut closed, mut conditional): (Vec<Group>, Vec<Group>, Vec<Group>) = Default::default();
    for AllowRule { location, operation, require } in allowed {
        let extra = operation.conditions_beyond_match(Bound::Certain);
        let operation = Operation { excluded: Vec::new(), conditions: Vec::new(), ..operation };
        let groups = match (&require, extra.is_empty()) {
            (None, true) => &mut open,
            (None, false) => &mut conditional,
            (Some(_), _) => &mut closed,
        };
        let at = groups.iter().position(|group| group.operation == operation).unwrap_or(groups.len());
        if at == groups.len() {
            let without_token = require.is_none().then(Vec::new);
            groups.push(Group { location, operation, without_token, alternatives: Vec::new() });
        }
        let Some(group) = groups.get_mut(at) else { continue };
        match (&mut group.without_token, require) {
            (Some(_), _) if extra.is_empty() => {}
            (Some(conditions), _) => conditions.push(extra.join(" && ")),
            (None, require) => {
                let conditions = extra.into_iter().map(|condition| object([("condition", json!(condition))]));
                group.alternatives.push(all_of(conditions.chain(require).collect()));
            }
        }
    }
    let is_hidden = |group: &Group| !closed.iter().all(|other| other.operation.is_disjoint(&group.operation));
    for group in conditional.iter().filter(|group| is_hidden(group)) {
        remarks.stricter(
            &group.location,
            "a request without a token is denied where another rule allows some requests with one",
        );
    }
    let mut groups: Vec<Group> = closed.into_iter().chain(conditional).collect();
    groups.retain(|group| !open.iter().any(|open| open.operation.covers(&group.operation)));
    for at in 0..groups.len() {
        let (_, later) = groups.split_at(at.saturating_add(1));
        let later_groups: Vec<Group> = later.to_vec();
        if let Some(group) = groups.get_mut(at) {
            later_groups.iter().for_each(|other| group.merge(other));
        }
    }
    open.into_iter().chain(groups).collect()
}

impl Group {
    /// Adds the alternatives of a later group with common requests: this rule alone decides them, and either group
    /// allows them.
    fn merge(&mut self, other: &Self) {
        if other.operation.is_disjoint(&self.operation) {
            return;
        }
        let mut parts = Vec::new();
        if !other.operation.covers(&self.operation) {
            parts.push(other.operation.certainly_matches());
        }
        parts.extend(any_condition(other.without_token.as_deref().unwrap_or_default()));
        let condition = parts.join(" && ");
        match &mut self.without_token {
            Some(conditions) if other.without_token.is_some() => conditions.push(condition),
            Some(_) => {}
            None => {
                let condition =
                    if condition.is_empty() { Require::new() } else { object([("condition", json!(condition))]) };
                match other.without_token {
                    Some(_) => self.alternatives.push(condition),
                    None => {
                        let with = |require: &Require| all_of(vec![condition.clone(), require.clone()]);
                        self.alternatives.extend(other.alternatives.iter().map(with));
                    }
                }
            }
        }
    }

    fn rules(&self, denials: &Denials) -> Vec<RuleParts> {
        match &self.without_token {
            None => vec![self.with_token(&self.operation, &self.alternatives, denials)],
            Some(conditions) => self.rules_without_token(any_condition(conditions), denials),
        }
    }

    /// A rule that requires a token.
    fn with_token(&self, operation: &Operation, alternatives: &[Require], denials: &Denials) -> RuleParts {
        let mut parts = vec![one_of(alternatives.to_vec())];
        for denial in denials.by_token_for(operation) {
            let is_subject = |require: &Require| *require == object([("condition", json!(HAS_SUBJECT))]);
            if matches!(denial.required.as_slice(), [only] if is_subject(only))
                && !alternatives.is_empty()
                && alternatives.iter().all(requires_subject)
            {
                continue;
            }
            let mut required = denial.required.clone();
            if !denial.operation.covers(operation) {
                required.insert(0, object([("condition", json!(denial.operation.certainly_does_not_match()))]));
            }
            parts.push(one_of(required));
        }
        parts.extend(denials.guards_for(operation).into_iter().map(|guard| object([("condition", json!(guard))])));
        let require = all_of(parts);
        let bound = if self.operation.path == PathPattern::Any { Bound::Possible } else { Bound::Certain };
        (operation.matcher(bound), "token", (!require.is_empty()).then_some(Value::Object(require)))
    }

    /// Rules for requests that are allowed without a token, except where a DENY rule requires one.
    fn rules_without_token(&self, condition: Option<String>, denials: &Denials) -> Vec<RuleParts> {
        let token_denials = denials.by_token_for(&self.operation);
        let conditions: Vec<String> = condition.into_iter().chain(denials.guards_for(&self.operation)).collect();
        let optional = |operation: &Operation, more: Vec<String>| {
            let all: Vec<String> = conditions.iter().cloned().chain(more).collect();
            let require = (!all.is_empty()).then(|| json!({ "condition": all.join(" && ") }));
            (operation.matcher(Bound::Certain), "optional", require)
        };
        let mut rules: Vec<RuleParts> = Vec::new();
        for denial in &token_denials {
            for path in denial.operation.excluded.iter().filter_map(|path| self.operation.path.intersection(path)) {
                let exempt = Operation { path, ..self.operation.clone() };
                let others = token_denials.iter().filter(|other| !std::ptr::eq(**other, *denial));
                let others = others.filter(|other| !other.operation.is_disjoint(&exempt));
                let others = others.map(|other| other.operation.certainly_does_not_match()).collect();
                let rule = optional(&exempt, others);
                if !rules.iter().any(|(conditions, _, _)| *conditions == rule.0) {
                    rules.push(rule);
                }
                if exempt.path == self.operation.path {
                    return rules;
                }
            }
        }
        let tokens: Vec<Require> = any_condition(self.without_token.as_deref().unwrap_or_default())
            .map(|condition| object([("condition", json!(condition))]))
            .into_iter()
            .collect();
        for denial in &token_denials {
            let closed = Operation {
                common: narrowed(&self.operation.common, &denial.operation.common),
                path: self.operation.path.intersection(&denial.operation.path).unwrap_or(self.operation.path.clone()),
                ..self.operation.clone()
            };
            let is_all = closed == self.operation;
            rules.push(self.with_token(&closed, &tokens, denials));
            if is_all {
                return rules;
            }
        }
        rules.push(optional(&self.operation, Vec::new()));
        rules
    }
}

/// A `match` for the requests of both, or for more requests than the second matches.
fn narrowed(one: &Map<String, Value>, two: &Map<String, Value>) -> Map<String, Value> {
    let mut members = two.clone();
    members.extend(one.clone());
    members
}

/// The disjunction of the conditions; `None` if there are none.
fn any_condition(conditions: &[String]) -> Option<String> {
    match conditions {
        [] => None,
        [only] => Some(format!("({only})")),
        several => Some(format!("({})", several.join(" || "))),
    }
}

fn requires_subject(require: &Require) -> bool {
    let parts = require.get("all_of").and_then(Value::as_array).into_iter().flatten();
    require.get("condition").is_some_and(|condition| *condition == json!(HAS_SUBJECT))
        || require.get("claims").is_some_and(|claims| claims.get("sub").is_some())
        || parts.filter_map(Value::as_object).any(requires_subject)
}
