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
        remarks.stricter(
            &need.place,
            "a request without a token is also denied where the rule could deny one with a token",
        );
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
            let open = Group {
                place: String::from("$"),
                operation: Operation::any(),
                without_token: Some(Vec::new()),
                alternatives: Vec::new(),
            };
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
#[derive(Clone)]
struct Group {
    /// Where the first rule about them is.
    place: String,
    /// What a `match` says of them.
    operation: Operation,
    /// Requests without a token pass that meet one of these conditions; with no condition, all.
    without_token: Option<Vec<String>>,
    /// A token passes that meets one of these.
    alternatives: Vec<Require>,
}

/// One group for each `match`. What needs no token comes first: an earlier rule would require one. Then comes what needs a
/// token, and last what needs none under a condition, which hides what is behind it.
fn grouped(allowed: Vec<Allow>, remarks: &mut Remarks) -> Vec<Group> {
    let (mut open, mut closed, mut conditional): (Vec<Group>, Vec<Group>, Vec<Group>) = Default::default();
    for Allow { place, operation, require } in allowed {
        let beside = operation.beside_match(Bound::Certain);
        let operation = Operation { excluded: Vec::new(), conditions: Vec::new(), ..operation };
        let groups = match (&require, beside.is_empty()) {
            (None, true) => &mut open,
            (None, false) => &mut conditional,
            (Some(_), _) => &mut closed,
        };
        let at = groups.iter().position(|group| group.operation == operation).unwrap_or(groups.len());
        if at == groups.len() {
            let without_token = require.is_none().then(Vec::new);
            groups.push(Group { place, operation, without_token, alternatives: Vec::new() });
        }
        let Some(group) = groups.get_mut(at) else { continue };
        match (&mut group.without_token, require) {
            (Some(_), _) if beside.is_empty() => {}
            (Some(conditions), _) => conditions.push(beside.join(" && ")),
            (None, require) => {
                let conditions = beside.into_iter().map(|condition| object([("condition", json!(condition))]));
                group.alternatives.push(all_of(conditions.chain(require).collect()));
            }
        }
    }
    let is_hidden = |group: &Group| !closed.iter().all(|other| other.operation.is_disjoint(&group.operation));
    for group in conditional.iter().filter(|group| is_hidden(group)) {
        remarks.stricter(
            &group.place,
            "a request without a token is denied where another rule allows some requests with one",
        );
    }
    let mut groups: Vec<Group> = closed.into_iter().chain(conditional).collect();
    groups.retain(|group| !open.iter().any(|open| open.operation.covers(&group.operation)));
    for at in 0..groups.len() {
        let (_, behind) = groups.split_at(at.saturating_add(1));
        let allowed_behind: Vec<Group> = behind.to_vec();
        if let Some(group) = groups.get_mut(at) {
            allowed_behind.iter().for_each(|other| group.take_in(other));
        }
    }
    open.into_iter().chain(groups).collect()
}

impl Group {
    /// A request that is also among those of a group behind comes under this rule alone, and passes here by either.
    fn take_in(&mut self, other: &Self) {
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
