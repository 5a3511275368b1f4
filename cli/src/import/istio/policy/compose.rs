//! What policies deny and allow -> rules of which the first counts.

use serde_json::{Map, Value, json};

use super::demand::{HAS_SUBJECT, Require, all_of, object, one_of};
use super::operation::Operation;
use super::path::{Bound, PathPattern};
use crate::import::Remarks;
use crate::import::draft;

/// What one rule of an ALLOW policy lets pass.
pub struct Allow {
    /// Where it stands.
    pub place: String,
    /// The requests.
    pub operation: Operation,
    /// What the token must have; nothing: no token is needed.
    pub require: Option<Require>,
}

/// A DENY rule that depends on the token.
pub struct Need {
    /// Where it stands.
    pub place: String,
    /// The requests; perhaps more than it is about.
    pub operation: Operation,
    /// A token that meets one of these is not denied.
    pub required: Vec<Require>,
    /// Whether a request without a token is denied.
    pub denies_without_token: bool,
}

/// What DENY policies deny.
#[derive(Default)]
pub struct Denials {
    /// `match` of rules that deny, in front of all others.
    leading: Vec<Value>,
    /// These requests are denied too; a `match` cannot say which.
    guards: Vec<Operation>,
    /// Those that depend on the token.
    pub needs: Vec<Need>,
}

impl Denials {
    /// These requests are denied, whatever their token.
    pub fn regardless_of_token(&mut self, operation: Operation) {
        match operation.is_match_alone() {
            true => self.leading.push(operation.matcher(Bound::Possible)),
            false => self.guards.push(operation),
        }
    }

    /// What requests meet that are not denied, and are among these.
    fn guards_of(&self, operation: &Operation) -> Vec<String> {
        self.guards
            .iter()
            .filter(|guard| !guard.is_disjoint(operation))
            .map(Operation::certainly_does_not_match)
            .collect()
    }

    fn needs_of(&self, operation: &Operation) -> Vec<&Need> {
        self.needs.iter().filter(|need| !need.operation.is_disjoint(operation)).collect()
    }
}

/// The rules here, and what counts where none does.
pub struct Rules {
    /// In their order.
    pub rules: Vec<Value>,
    /// `default_rule`.
    pub default_rule: Value,
}

/// `match`, `access` and `require` of a rule.
type Said = (Value, &'static str, Option<Value>);

/// Rules for what is allowed; nothing: every request is allowed that is not denied.
pub fn rules_of(allowed: Option<Vec<Allow>>, denials: &Denials, remarks: &mut Remarks) -> Rules {
    for need in denials.needs.iter().filter(|need| !need.denies_without_token) {
        remarks.stricter(&need.place, "a request without a token is denied as well, where the rule could deny one");
    }
    let mut said: Vec<Said> = denials.leading.iter().map(|conditions| (conditions.clone(), "deny", None)).collect();
    let mut default_rule = json!({ "access": "deny" });
    match allowed {
        Some(allowed) => {
            for group in grouped(allowed, remarks) {
                said.extend(group.rules(denials));
            }
        }
        None => {
            let open = Group { operation: Operation::any(), without_token: Some(Vec::new()), alternatives: Vec::new() };
            said.extend(open.rules(denials));
            if let Some((_, access, require)) = said.pop_if(|(conditions, _, _)| *conditions == json!({})) {
                let mut members = object([("access", json!(access))]);
                members.extend(require.map(|require| (String::from("require"), require)));
                default_rule = Value::Object(members);
            }
        }
    }
    let numbered = said.into_iter().enumerate();
    let rules = numbered.flat_map(|(index, (conditions, access, require))| {
        draft::rules(&format!("rule-{index}"), &conditions, access, require)
    });
    Rules { rules: rules.collect(), default_rule }
}

/// All that is allowed of the same requests.
struct Group {
    /// What a `match` says of them.
    operation: Operation,
    /// Requests without a token pass that meet one of these conditions; with no condition, all.
    without_token: Option<Vec<String>>,
    /// A token passes that meets one of these.
    alternatives: Vec<Require>,
}

/// One group for each `match`. What needs no token comes first: an earlier rule would ask for one.
fn grouped(allowed: Vec<Allow>, remarks: &mut Remarks) -> Vec<Group> {
    let (mut open, mut groups): (Vec<Group>, Vec<Group>) = (Vec::new(), Vec::new());
    for Allow { place, operation, require } in allowed {
        let beside = operation.beside_match(Bound::Certain);
        let operation = Operation { excluded: Vec::new(), conditions: Vec::new(), ..operation };
        let known = |group: &&mut Group, is_open: bool| {
            group.operation == operation && group.without_token.is_some() == is_open
        };
        match require {
            None if beside.is_empty() => {
                if !open.iter().any(|group| group.operation == operation) {
                    open.push(Group { operation, without_token: Some(Vec::new()), alternatives: Vec::new() });
                }
                continue;
            }
            None => {
                let condition = beside.join(" && ");
                match groups.iter_mut().find(|group| known(group, true)) {
                    Some(group) => group.without_token.get_or_insert_default().push(condition),
                    None => {
                        let without_token = Some(vec![condition]);
                        remark_on_hiding(&groups, &operation, &place, remarks);
                        groups.push(Group { operation, without_token, alternatives: Vec::new() });
                    }
                }
            }
            Some(require) => {
                let mut parts: Vec<Require> =
                    beside.into_iter().map(|condition| object([("condition", json!(condition))])).collect();
                parts.push(require);
                let alternative = all_of(parts);
                match groups.iter_mut().find(|group| known(group, false)) {
                    Some(group) => group.alternatives.push(alternative),
                    None => {
                        remark_on_hiding(&groups, &operation, &place, remarks);
                        groups.push(Group { operation, without_token: None, alternatives: vec![alternative] });
                    }
                }
            }
        }
    }
    groups.retain(|group| !open.iter().any(|open| open.operation == group.operation));
    open.into_iter().chain(groups).collect()
}

fn remark_on_hiding(groups: &[Group], operation: &Operation, place: &str, remarks: &mut Remarks) {
    if groups.iter().any(|group| !group.operation.is_disjoint(operation)) {
        remarks.stricter(place, "a request that an earlier rule is about comes under that one alone");
    }
}

impl Group {
    fn rules(&self, denials: &Denials) -> Vec<Said> {
        match &self.without_token {
            None => vec![self.with_token(&self.operation, &self.alternatives, denials)],
            Some(conditions) => self.open(any_condition(conditions), denials),
        }
    }

    /// A rule that needs a token.
    fn with_token(&self, operation: &Operation, alternatives: &[Require], denials: &Denials) -> Said {
        let mut parts = vec![one_of(alternatives.to_vec())];
        for need in denials.needs_of(operation) {
            let is_subject = |require: &Require| *require == object([("condition", json!(HAS_SUBJECT))]);
            if matches!(need.required.as_slice(), [only] if is_subject(only))
                && !alternatives.is_empty()
                && alternatives.iter().all(demands_subject)
            {
                continue;
            }
            let mut required = need.required.clone();
            if !need.operation.covers(operation) {
                required.insert(0, object([("condition", json!(need.operation.certainly_does_not_match()))]));
            }
            parts.push(one_of(required));
        }
        parts.extend(denials.guards_of(operation).into_iter().map(|guard| object([("condition", json!(guard))])));
        let require = all_of(parts);
        let bound = if self.operation.path == PathPattern::Any { Bound::Possible } else { Bound::Certain };
        (operation.matcher(bound), "token", (!require.is_empty()).then_some(Value::Object(require)))
    }

    /// Rules for requests that pass without a token, but where a DENY rule wants one.
    fn open(&self, condition: Option<String>, denials: &Denials) -> Vec<Said> {
        let needs = denials.needs_of(&self.operation);
        let conditions: Vec<String> = condition.into_iter().chain(denials.guards_of(&self.operation)).collect();
        let optional = |operation: &Operation, more: Vec<String>| {
            let all: Vec<String> = conditions.iter().cloned().chain(more).collect();
            let require = (!all.is_empty()).then(|| json!({ "condition": all.join(" && ") }));
            (operation.matcher(Bound::Certain), "optional", require)
        };
        let mut said: Vec<Said> = Vec::new();
        for need in &needs {
            for path in need.operation.excluded.iter().filter_map(|path| self.operation.path.intersection(path)) {
                let exempt = Operation { path, ..self.operation.clone() };
                let others = needs.iter().filter(|other| !std::ptr::eq(**other, *need));
                let others = others.filter(|other| !other.operation.is_disjoint(&exempt));
                let others = others.map(|other| other.operation.certainly_does_not_match()).collect();
                let rule = optional(&exempt, others);
                if !said.iter().any(|(conditions, _, _)| *conditions == rule.0) {
                    said.push(rule);
                }
                if exempt.path == self.operation.path {
                    return said;
                }
            }
        }
        let tokens: Vec<Require> = any_condition(self.without_token.as_deref().unwrap_or_default())
            .map(|condition| object([("condition", json!(condition))]))
            .into_iter()
            .collect();
        for need in &needs {
            let closed = Operation {
                common: narrowed(&self.operation.common, &need.operation.common),
                path: self.operation.path.intersection(&need.operation.path).unwrap_or(self.operation.path.clone()),
                ..self.operation.clone()
            };
            let is_all = closed == self.operation;
            said.push(self.with_token(&closed, &tokens, denials));
            if is_all {
                return said;
            }
        }
        said.push(optional(&self.operation, Vec::new()));
        said
    }
}

/// `match` of what both are about, or of more than that of the second.
fn narrowed(one: &Map<String, Value>, two: &Map<String, Value>) -> Map<String, Value> {
    let mut members = two.clone();
    members.extend(one.clone());
    members
}

/// One of the conditions; nothing where there is none to meet.
fn any_condition(conditions: &[String]) -> Option<String> {
    match conditions {
        [] => None,
        [only] => Some(format!("({only})")),
        several => Some(format!("({})", several.join(" || "))),
    }
}

fn demands_subject(require: &Require) -> bool {
    let parts = require.get("all_of").and_then(Value::as_array).into_iter().flatten();
    require.get("condition").is_some_and(|condition| *condition == json!(HAS_SUBJECT))
        || require.get("claims").is_some_and(|claims| claims.get("sub").is_some())
        || parts.filter_map(Value::as_object).any(demands_subject)
}
