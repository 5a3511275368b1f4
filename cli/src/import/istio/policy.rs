//! AuthorizationPolicy -> rules: DENY first, each ALLOW rule behind.

mod demand;
mod operation;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::import::Remarks;
use crate::import::draft::{self, any_of};
use crate::import::fields::Fields;
use demand::{Demand, HAS_SUBJECT, demand};
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

/// What policies may refer to.
pub struct Known {
    /// The headers, folded, whose content jwt_authn decides before policies read it. Conditions here see them as the
    /// client sent them.
    pub managed: BTreeSet<String>,
    /// The claims that Istio splits at blanks.
    pub split_claims: Vec<String>,
}

/// The fields of a policy; `rules` is an array if it is there.
fn is_understood(place: &str, spec: &Value, remarks: &mut Remarks) {
    let fields = Fields::of(spec, place);
    let _rules = fields.list("rules");
    let _known = ["action", "selector", "targetRef", "targetRefs"].map(|name| fields.get(name));
    for name in fields.rest() {
        remarks.fatal(place, format!("{name} is not known here, or of another type, and could deny something"));
    }
}

/// Whether only what a policy allows passes.
pub fn has_allow(policies: &[(String, Value)]) -> bool {
    policies.iter().any(|(_, spec)| action(spec) == Some(Action::Allow))
}

/// All rules, in the order in which they count here.
pub fn rules(policies: &[(String, Value)], known: &Known, remarks: &mut Remarks) -> Vec<Value> {
    for (place, spec) in policies {
        is_understood(place, spec, remarks);
        if action(spec).is_none() {
            match spec.get("action").and_then(Value::as_str) {
                Some("AUDIT") => remarks.left(place, "AUDIT: every refusal is in the log"),
                _ => remarks.fatal(place, "CUSTOM: somebody else decides, who is not asked here"),
            }
        }
    }
    let (mut refusing, mut demanding, mut allowing) = (Vec::new(), Vec::new(), Vec::new());
    let mut needs_token = false;
    for (place, written) in of(policies, Action::Deny) {
        let read = Read::of(&written, &place, (Action::Deny, known), remarks);
        match read.demand {
            Demand::Nothing => refusing.extend(read.matches.into_iter().map(|conditions| (conditions, "deny", None))),
            Demand::NoPrincipal if has_allow(policies) => {
                needs_token = true;
                remarks.stricter(&place, "whatever a policy allows needs a token, not only what this rule is about");
            }
            Demand::NoPrincipal => {
                let has_subject = || Some(json!({ "condition": HAS_SUBJECT }));
                demanding.extend(read.matches.into_iter().map(|conditions| (conditions, "token", has_subject())));
            }
            Demand::Token(_) | Demand::Unknown => {
                remarks.stricter(&place, "what it depends on cannot be said: all is refused that it could be about");
                refusing.extend(read.matches.into_iter().map(|conditions| (conditions, "deny", None)));
            }
        }
    }
    for (place, written) in of(policies, Action::Allow) {
        let read = Read::of(&written, &place, (Action::Allow, known), remarks);
        let demands = match read.demand {
            Demand::Nothing => None,
            Demand::Token(alternatives) => {
                if !written.to_string().contains("request.auth.") && written.get("from").is_none() {
                    remarks.stricter(&place, "what it allows needs a good token as well");
                }
                Some(alternatives)
            }
            Demand::NoPrincipal | Demand::Unknown => {
                remarks.stricter(&place, "what it allows depends on what cannot be said: it is left out");
                continue;
            }
        };
        for conditions in read.matches {
            allowing.push(Allowed { place: place.clone(), conditions, demands: demands.clone() });
        }
    }
    let allowing = merged(allowing, needs_token, remarks);
    let all = refusing.into_iter().chain(demanding).chain(allowing).enumerate();
    all.flat_map(|(index, (conditions, access, require))| {
        draft::rules(&format!("rule-{index}"), &conditions, access, require)
    })
    .collect()
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

/// `match`, `access` and `require` of a rule here.
type Said = (Value, &'static str, Option<Value>);

/// What one rule says.
struct Read {
    /// Any of these.
    matches: Vec<Value>,
    demand: Demand,
}

impl Read {
    fn of(rule: &Value, place: &str, (action, known): (Action, &Known), remarks: &mut Remarks) -> Self {
        let fields = Fields::of(rule, place);
        let (matches, missing) = operations(fields.list("to"), action == Action::Allow);
        let mut demand = demand(&fields, known);
        for what in missing {
            match action {
                // It refuses more without.
                Action::Deny => remarks.stricter(place, format!("{what} cannot be said: it refuses regardless")),
                Action::Allow => {
                    remarks.stricter(place, format!("{what} cannot be said"));
                    demand = Demand::Unknown;
                }
            }
        }
        if !fields.rest().is_empty() {
            demand = Demand::Unknown;
        }
        Self { matches, demand }
    }
}

/// What one rule of an ALLOW policy lets pass.
struct Allowed {
    place: String,
    conditions: Value,
    /// Any of these; nothing: no token is needed.
    demands: Option<Vec<Map<String, Value>>>,
}

/// What is about the same requests is one rule here, for the first one counts.
fn merged(allowing: Vec<Allowed>, needs_token: bool, remarks: &mut Remarks) -> Vec<Said> {
    let mut rules: Vec<Allowed> = Vec::new();
    for allowed in allowing {
        let Some(known) = rules.iter_mut().find(|known| known.conditions == allowed.conditions) else {
            if rules.iter().any(|known| known.demands != allowed.demands && known.place != allowed.place) {
                remarks.stricter(&allowed.place, "a request that an earlier rule is about comes under that one alone");
            }
            rules.push(allowed);
            continue;
        };
        known.demands = match (known.demands.take(), allowed.demands) {
            (Some(mine), Some(others)) => Some(mine.into_iter().chain(others).collect()),
            (None, _) | (_, None) => None,
        };
    }
    let has_subject = || json!(HAS_SUBJECT);
    let ours = |Allowed { conditions, demands, .. }: Allowed| match demands {
        None if needs_token => (conditions, "token", Some(json!({ "condition": has_subject() }))),
        None => (conditions, "optional", None),
        Some(mut alternatives) => {
            for alternative in alternatives.iter_mut().filter(|_| needs_token) {
                alternative.entry("condition").or_insert_with(has_subject);
            }
            (conditions, "token", any_of(alternatives))
        }
    };
    rules.into_iter().map(ours).collect()
}
