//! Evaluates each term of a rule's requirement separately.

use okta_proxy_wasm::policy::requirement::{ClaimTest, Expected, Term, Verdict};
use okta_proxy_wasm::policy::{AuthorizationRequest, Requirement, RequirementContext, Rules};
use serde_json::Value;

use super::StepOutcome;

/// The terms with their outcomes. `written` is the operator's `require`.
pub fn details(
    requirement: &Requirement,
    rules: &Rules,
    request: &AuthorizationRequest<'_>,
    written: &Value,
) -> Vec<(StepOutcome, String)> {
    let mut details = Vec::new();
    rules.with_context(requirement, request, |context| {
        for term in requirement.terms() {
            add_details(term, context, written, 0, &mut details);
        }
    });
    details
}

fn add_details(
    term: &Term,
    context: &RequirementContext<'_>,
    written: &Value,
    depth: usize,
    details: &mut Vec<(StepOutcome, String)>,
) {
    let verdict = Requirement::all(vec![term.clone()]).evaluate(context);
    let (outcome, note) = match verdict {
        Verdict::Holds => (StepOutcome::Pass, String::new()),
        Verdict::Fails => (StepOutcome::Fail, String::new()),
        Verdict::Indeterminate(cause) => (StepOutcome::Fail, format!(" (indeterminate: {cause:?})")),
    };
    // A term that does not hold within `not` or `any_of` is not a failure by itself.
    let outcome = if depth > 0 && outcome == StepOutcome::Fail { StepOutcome::Info } else { outcome };
    details.push((outcome, format!("{}{}{note}", "  ".repeat(depth), describe(term, written))));
    for requirement in term.inner() {
        for term in requirement.terms() {
            add_details(term, context, &Value::Null, depth + 1, details);
        }
    }
}

fn describe(term: &Term, written: &Value) -> String {
    match term {
        Term::Audiences(names) => format!("audiences: one of {names:?}"),
        Term::Clients(names) => format!("client_ids: one of {names:?}"),
        Term::Groups(names) => format!("groups: one of {names:?}"),
        Term::Claim(test) => claim(test),
        Term::Condition(_) => match written.get("condition").and_then(Value::as_str) {
            Some(text) => format!("condition: {text}"),
            None => String::from("condition"),
        },
        Term::Methods(names) => format!("amr: all of {names:?}"),
        Term::Not(_) => String::from("not"),
        Term::Authentication(values) => format!("acr: at least one of {values:?}"),
        Term::MaxAge(age) => format!("max_age: {} s", age.as_secs()),
        Term::Scopes(scopes) => format!("scopes: all of {scopes:?}"),
        Term::AnyScope(scopes) => format!("any_scope: one of {scopes:?}"),
        Term::AnyOf(alternatives) => format!("any_of: {} alternatives", alternatives.len()),
    }
}

fn claim(ClaimTest { path, expected }: &ClaimTest) -> String {
    let path = path.join(" > ");
    match expected {
        Expected::OneOf(values) => format!("claim {path}: one of {values:?}"),
        Expected::AllOf(values) => format!("claim {path}: all of {values:?}"),
        Expected::Presence => format!("claim {path}: present"),
        Expected::Absence => format!("claim {path}: absent"),
    }
}
