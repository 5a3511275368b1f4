//! Evaluates each term of a rule's requirement separately: what is wanted, what the token has, and what would help.

use okta_proxy_wasm::cel::EvaluationError;
use okta_proxy_wasm::jose::Claim;
use okta_proxy_wasm::policy::requirement::{ClaimTest, ClaimValue, Expected, Indeterminate, Term, Verdict};
use okta_proxy_wasm::policy::{
    AuthorizationRequest, BindingKind, ConstraintModes, ProofKind, Requirement, RequirementContext, Rules,
    ValidatedToken,
};
use okta_proxy_wasm::unix_time::UnixTime;
use serde_json::Value;

use super::StepOutcome;
use crate::text::{all_of, duration, list, one_of, plain};

/// The terms with their outcomes. `written` is the operator's `require`.
pub fn details(
    requirement: &Requirement,
    rules: &Rules,
    request: &AuthorizationRequest<'_>,
    written: &Value,
    issuer: &Issuer,
) -> Vec<(StepOutcome, String)> {
    let mut details = Vec::new();
    rules.with_context(requirement, request, |context| {
        for term in requirement.terms() {
            add_details(term, context, issuer, written, 0, &mut details);
        }
    });
    details
}

/// What is known of the issuer of the token.
pub struct Issuer {
    pub is_okta: bool,
    /// The name of its groups claim.
    pub groups: String,
}

fn add_details(
    term: &Term,
    context: &RequirementContext<'_>,
    issuer: &Issuer,
    written: &Value,
    depth: usize,
    details: &mut Vec<(StepOutcome, String)>,
) {
    let verdict = Requirement::all(vec![term.clone()]).evaluate(context);
    let outcome = StepOutcome::of(verdict == Verdict::Holds);
    // A term that does not hold within `not` or `any_of` is not a failure by itself.
    let outcome = if depth > 0 && outcome == StepOutcome::Fail { StepOutcome::Info } else { outcome };
    let mut message = format!("{}{}", "  ".repeat(depth), describe(term, written));
    let found = match (term, verdict, context.token) {
        (Term::Condition(_), Verdict::Fails, _) => Some(String::from("it is false")),
        (Term::Condition(_), Verdict::Indeterminate(Indeterminate::Condition(error)), _) => {
            Some(format!("it has no value: {}", condition_error(error)))
        }
        (_, _, Some(token)) => found(term, token, issuer, context.now),
        (_, _, None) => None,
    };
    message.extend(found.map(|found| format!("; {found}")));
    if outcome == StepOutcome::Fail
        && let Some(help) = context.token.and_then(|token| help(term, token, issuer))
    {
        message.push_str(&format!(" ({help})"));
    }
    details.push((outcome, message));
    for requirement in term.inner() {
        for term in requirement.terms() {
            add_details(term, context, issuer, &Value::Null, depth + 1, details);
        }
    }
}

/// What is wanted.
fn describe(term: &Term, written: &Value) -> String {
    match (term, expected(term)) {
        (_, Some((name, values))) => format!("{name}: wanted {values}"),
        (Term::Condition(_), None) => match written.get("condition").and_then(Value::as_str) {
            Some(text) => format!("condition: {text}"),
            None => String::from("condition"),
        },
        (Term::AnyOf(alternatives), None) => format!("any_of: wanted one of {} alternatives", alternatives.len()),
        (_, None) => String::from("not"),
    }
}

/// The name of what a term compares, and the values that satisfy it.
pub fn expected(term: &Term) -> Option<(String, String)> {
    let (name, values) = match term {
        Term::Audiences(names) => ("audiences", one_of(names.iter().map(String::as_str))),
        Term::Clients(names) => ("client_ids", one_of(names.iter().map(String::as_str))),
        Term::Groups(names) => ("groups", one_of(names.iter().map(String::as_str))),
        Term::Claim(test) => return Some(claim(test)),
        Term::Methods(names) => ("amr", all_of(names.iter().map(String::as_str))),
        Term::Proof(kind) => ("proof", kind.name().to_owned()),
        Term::Authentication(values) => ("acr", one_of(values.iter().map(String::as_str))),
        Term::MaxAge(age) => ("max_age", duration(*age)),
        Term::Scopes(scopes) => ("scopes", all_of(scopes.iter().map(String::as_str))),
        Term::AnyScope(scopes) => ("any_scope", one_of(scopes.iter().map(String::as_str))),
        Term::Condition(_) | Term::Not(_) | Term::AnyOf(_) => return None,
    };
    Some((name.to_owned(), values))
}

fn claim(ClaimTest { path, expected }: &ClaimTest) -> (String, String) {
    let texts = |values: &[ClaimValue]| values.iter().map(value_text).collect::<Vec<_>>();
    let values = match expected {
        Expected::OneOf(values) => one_of(texts(values).iter().map(String::as_str)),
        Expected::AllOf(values) => all_of(texts(values).iter().map(String::as_str)),
        Expected::Presence => String::from("any value"),
        Expected::Absence => String::from("no such claim"),
    };
    (format!("claim {}", claim_name(path)), values)
}

fn claim_name(path: &[String]) -> String {
    path.iter().map(|name| plain(name)).collect::<Vec<_>>().join(" > ")
}

fn value_text(value: &ClaimValue) -> String {
    match value {
        ClaimValue::Text(text) => text.clone(),
        ClaimValue::Number(number) => number.to_string(),
        ClaimValue::Bool(value) => value.to_string(),
    }
}

/// What the token has.
fn found(term: &Term, token: &ValidatedToken, issuer: &Issuer, now: UnixTime) -> Option<String> {
    let claims = token.claims();
    Some(match term {
        Term::Audiences(_) => names("aud", claims.strings("aud")),
        Term::Clients(_) => match token.client() {
            Some(client) => format!("the token was issued to {}", plain(client)),
            None => String::from("the token names no client"),
        },
        Term::Groups(_) => names(&issuer.groups, token.groups()),
        Term::Claim(test) => match claims.find(&test.path) {
            Claim::Valid(value) => format!("the token has {value}"),
            Claim::Absent => absent(&claim_name(&test.path)),
            Claim::Malformed => String::from("the path leads through a value that is not an object"),
        },
        Term::Methods(_) => names("amr", claims.strings("amr")),
        Term::Proof(_) => match token.binding().kind() {
            None => String::from("the token is not bound to the client"),
            Some(BindingKind::Dpop) => String::from("the token is bound to a DPoP key"),
            Some(BindingKind::Mtls) => String::from("the token is bound to a client certificate"),
            Some(BindingKind::DpopMtls) => String::from("the token is bound to a client certificate and a DPoP key"),
        },
        Term::Authentication(_) => match claims.string("acr") {
            Claim::Valid(acr) => format!("the token has {}", plain(acr)),
            Claim::Absent => absent("acr"),
            Claim::Malformed => malformed("acr", "a string"),
        },
        Term::MaxAge(_) => match claims.time("auth_time") {
            Claim::Valid(time) if time > now => format!("signed in {} in the future", duration(time.since(now))),
            Claim::Valid(time) => format!("signed in {} ago", duration(now.since(time))),
            Claim::Absent => absent("auth_time"),
            Claim::Malformed => malformed("auth_time", "a time"),
        },
        Term::Scopes(_) | Term::AnyScope(_) if token.scopes().is_empty() => String::from("the token has no scopes"),
        Term::Scopes(_) | Term::AnyScope(_) => {
            format!("the token has {}", list(token.scopes().iter().map(String::as_str)))
        }
        Term::Condition(_) | Term::Not(_) | Term::AnyOf(_) => return None,
    })
}

fn names(name: &str, found: Claim<Vec<&str>>) -> String {
    match found {
        Claim::Valid(found) if found.is_empty() => format!("the claim {} of the token is empty", plain(name)),
        Claim::Valid(found) => format!("the token has {}", list(found)),
        Claim::Absent => absent(name),
        Claim::Malformed => malformed(name, "a list of strings"),
    }
}

fn absent(name: &str) -> String {
    format!("the token has no claim {name:?}")
}

fn malformed(name: &str, wanted: &str) -> String {
    format!("the claim {} of the token is not {wanted}", plain(name))
}

/// What the operator or the client can do about a term that does not hold.
fn help(term: &Term, token: &ValidatedToken, issuer: &Issuer) -> Option<String> {
    let claims = token.claims();
    let add =
        if issuer.is_okta { "Okta: add it to the access token" } else { "let the issuer add it to the access token" };
    match term {
        Term::Groups(_) => matches!(token.groups(), Claim::Absent).then(|| add.to_owned()),
        Term::Methods(_) if issuer.is_okta => Some(String::from("Okta has `amr` in ID tokens only: require `acr`")),
        Term::Methods(_) => matches!(claims.strings("amr"), Claim::Absent).then(|| add.to_owned()),
        Term::Claim(ClaimTest { path, expected: Expected::OneOf(_) | Expected::AllOf(_) | Expected::Presence }) => {
            matches!(claims.find(path), Claim::Absent).then(|| add.to_owned())
        }
        Term::Proof(kind) => Some(proof_help(*kind, token.constraint_modes())),
        Term::Authentication(values) => {
            let first = values.first()?;
            Some(format!("the client can ask for a sign-in with acr_values={}", plain(first)))
        }
        Term::MaxAge(age) => Some(format!("the client can ask for a sign-in with max_age={}", age.as_secs())),
        Term::Scopes(wanted) => {
            let missing: Vec<&str> = wanted
                .iter()
                .map(String::as_str)
                .filter(|scope| !token.scopes().iter().any(|has| has == scope))
                .collect();
            Some(format!("the client can request a token with {}", list(missing)))
        }
        Term::AnyScope(wanted) => {
            let wanted = one_of(wanted.iter().map(String::as_str));
            Some(format!("the client can request a token with {wanted}"))
        }
        Term::Audiences(_) | Term::Clients(_) | Term::Claim(_) | Term::Condition(_) | Term::Not(_) | Term::AnyOf(_) => {
            None
        }
    }
}

fn proof_help(kind: ProofKind, modes: ConstraintModes) -> String {
    let is_help = |one: ProofKind| modes.accept(one) && [one, ProofKind::Any].contains(&kind);
    let binding = match (is_help(ProofKind::Mtls), is_help(ProofKind::Dpop)) {
        (true, true) => "its certificate or its DPoP key",
        (true, false) => "its certificate",
        (false, true) => "its DPoP key",
        (false, false) => return String::from("the provider's `sender_constraint` accepts no such tokens"),
    };
    format!("the client can request a token that is bound to {binding}")
}

const fn condition_error(error: EvaluationError) -> &'static str {
    match error {
        EvaluationError::Missing => "an attribute, header, claim or field is missing, or an index is out of range",
        EvaluationError::NoToken => "the request has no token",
        EvaluationError::WrongType => "a value is of another type than the expression needs",
        EvaluationError::NotText => "a value of the request is not UTF-8, or has control characters or separators",
        EvaluationError::PathAmbiguous => "servers may read the path in different ways",
        EvaluationError::HostMalformed => "the host is not a host name",
        EvaluationError::HostAmbiguous => "servers may read the host in different ways",
        EvaluationError::HeaderAmbiguous => "a header is repeated, or has a second spelling",
        EvaluationError::OutOfRange => "a number or time is out of range, or a string is not a number",
        EvaluationError::DivisionByZero => "division by zero",
        EvaluationError::NotAnAddress => "a string is not an IP address or range",
        EvaluationError::NotBoolean => "the result is not a boolean",
        EvaluationError::CostLimitExceeded => "the evaluation exceeds the cost limit",
    }
}
