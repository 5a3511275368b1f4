//! Requirements that no token meets, conditions with a constant value, and `max_age` below the clock skew.

use std::time::Duration;

use crate::analysis::report::Report;
use crate::analysis::warning::WarningCode;
use crate::cel::{Outcome, Program, ProviderFacts};
use crate::policy::requirement::{ClaimTest, ClaimValue, Expected, Term, acr};
use crate::policy::{Access, Audiences, ProofKind, Provider, Requirement, Rule, RuleId};

/// Claims with one value: registered (RFC 7519, OpenID Connect) or of the client.
const SINGLE_CLAIMS: [&str; 5] = ["iss", "sub", "jti", "azp", "client_id"];

/// Why no token meets a requirement, and what to change.
type Obstacle = (&'static str, &'static str);

pub(super) fn find(report: &mut Report<'_>) {
    let rules = report.reachable_rules().into_iter().map(|(index, rule, _)| {
        let path = report.member("rules").item(index);
        (path, rule)
    });
    let default = report.reachable_default().map(|default| (report.path(RuleId::Default), default));
    for (path, rule) in rules.chain(default).collect::<Vec<_>>() {
        let Some(requirement) = &rule.requirement else { continue };
        let path = path.member("require");
        if let Some((message, fix)) = obstacle_of_all(report, rule, requirement) {
            report.add(WarningCode::UnsatisfiableRequirement, path, Vec::new(), String::from(message), fix);
            continue;
        }
        if has_constant_condition(report, rule, requirement) {
            let message = "A `condition` has the same value for every request: it decides nothing, or its part of the requirement never holds.";
            let fix = "Correct the condition, or remove it.";
            report.add(WarningCode::ConstantCondition, path.clone(), Vec::new(), String::from(message), fix);
        }
        let skews = report.policy.providers.iter().map(|(_, provider)| provider.clock_skew);
        if skews.min().is_some_and(|skew| has_max_age_below(requirement, skew)) {
            let message = "`max_age` is shorter than `clock_skew`, which is added to it: the sign-in may be older than twice this time.";
            let fix = "Set a shorter `clock_skew` of the provider, or a longer `max_age`.";
            report.add(WarningCode::ShortMaxAge, path, Vec::new(), String::from(message), fix);
        }
    }
}

/// Whether the rule may accept a token of the provider. A requirement that no token meets is reported itself, and counts
/// as one that would accept it.
pub(super) fn accepts(report: &Report<'_>, rule: &Rule, provider: &Provider) -> bool {
    let is_accepted = |requirement: &Requirement| {
        obstacle(requirement, Some(provider)).is_none() || obstacle_of_all(report, rule, requirement).is_some()
    };
    matches!(rule.access, Access::Optional | Access::Token)
        && rule.requirement.as_ref().is_none_or(|requirement| is_accepted(requirement))
}

/// The obstacle if there is one for the tokens of each provider. A rule without a token has none of a provider.
fn obstacle_of_all(report: &Report<'_>, rule: &Rule, requirement: &Requirement) -> Option<Obstacle> {
    if matches!(rule.access, Access::Public | Access::Optional) {
        return obstacle(requirement, None);
    }
    let mut first = None;
    for (_, provider) in report.policy.providers.iter() {
        let found = obstacle(requirement, Some(provider))?;
        first = first.or(Some(found));
    }
    first
}

/// Why no token of the provider meets the requirement.
fn obstacle(requirement: &Requirement, provider: Option<&Provider>) -> Option<Obstacle> {
    let terms = requirement.terms();
    terms.iter().find_map(|term| term_obstacle(term, provider)).or_else(|| contradiction(terms))
}

fn term_obstacle(term: &Term, provider: Option<&Provider>) -> Option<Obstacle> {
    let okta = provider.filter(|provider| provider.is_okta);
    match term {
        Term::Methods(_) => okta.map(|_| {
            ("No token meets `amr`: Okta has this claim in ID tokens only.", "Use `acr` and `max_age` instead.")
        }),
        Term::Clients(names) => {
            let accepted = provider?.client_ids.as_ref()?;
            let is_outside = !accepted.iter().any(|client| names.contains(client));
            is_outside.then_some((
                "No token meets `client_ids`: none of these clients is in `client_ids` of the provider.",
                "Add the clients to `client_ids` of the provider, or correct them here.",
            ))
        }
        Term::Audiences(names) => {
            let Audiences::AnyOf(accepted) = &okta?.audiences else { return None };
            let is_outside = !accepted.iter().any(|audience| names.contains(audience));
            is_outside.then_some((
                "No token meets `audiences`: tokens of Okta have one audience, and none of these is in `audiences` of the provider.",
                "Write audiences of the provider, or remove `audiences` here.",
            ))
        }
        Term::Authentication(values) => {
            let is_unknown = !values.iter().any(|value| acr::OKTA_VALUES.contains(&value.as_str()));
            okta.filter(|_| is_unknown).map(|_| {
                (
                    "No token meets `acr`: Okta does not issue any of these values.",
                    "Write a value of Okta, such as \"phr\".",
                )
            })
        }
        Term::Claim(test) => {
            let is_issuer = test.path == ["iss"];
            let provider = provider.filter(|_| is_issuer)?;
            let is_own =
                |value: &ClaimValue| matches!(value, ClaimValue::Text(text) if provider.find_issuer(text).is_some());
            let (Expected::OneOf(values) | Expected::AllOf(values)) = &test.expected else { return None };
            (!values.iter().any(is_own)).then_some((
                "No token meets the test of `iss`: it names no issuer of a provider.",
                "Write the issuer of a provider.",
            ))
        }
        Term::Condition(program) => {
            let outcome = outcome(program, provider);
            if outcome.can_be_true {
                None
            } else if outcome.can_be_false {
                Some((
                    "The `condition` is always false, or an error.",
                    "Correct the condition, or set `access` to \"deny\".",
                ))
            } else {
                Some((
                    "The `condition` is always an error, which denies the request.",
                    "Segments of a path are counted from 1; use `'x' in claims.groups` for lists.",
                ))
            }
        }
        Term::Not(inner) => (!can_fail(inner, provider))
            .then_some(("No token meets `not`: its requirement never fails.", "Correct or remove it.")),
        Term::AnyOf(alternatives) => {
            let mut first = None;
            for alternative in alternatives {
                let found = obstacle(alternative, provider)?;
                first = first.or(Some(found));
            }
            first
        }
        Term::Proof(kind) => {
            let modes = provider?.sender_constraint.modes();
            (!modes.accept(*kind)).then_some(match kind {
                ProofKind::Dpop => (
                    "No token meets `proof`: tokens that are bound to a key are rejected.",
                    "Set `sender_constraint.dpop` of the provider to \"if_bound\" or \"required\".",
                ),
                ProofKind::Mtls => (
                    "No token meets `proof`: tokens that are bound to a client certificate are rejected.",
                    "Set `sender_constraint.mtls` of the provider to \"if_bound\" or \"required\".",
                ),
                ProofKind::Any => (
                    "No token meets `proof`: bound tokens are rejected.",
                    "Set `sender_constraint.dpop` or `sender_constraint.mtls` of the provider to \"if_bound\" or \"required\".",
                ),
            })
        }
        Term::Groups(_) | Term::MaxAge(_) | Term::Scopes(_) | Term::AnyScope(_) => None,
    }
}

/// Whether some token certainly does not meet the requirement.
fn can_fail(requirement: &Requirement, provider: Option<&Provider>) -> bool {
    requirement.terms().iter().any(|term| match term {
        Term::Condition(program) => outcome(program, provider).can_be_false,
        Term::Not(inner) => obstacle(inner, provider).is_none(),
        Term::AnyOf(alternatives) => alternatives.iter().all(|alternative| can_fail(alternative, provider)),
        Term::Proof(kind) => provider.is_none_or(|provider| !provider.sender_constraint.modes().require(*kind)),
        Term::Audiences(_)
        | Term::Clients(_)
        | Term::Groups(_)
        | Term::Claim(_)
        | Term::Methods(_)
        | Term::Authentication(_)
        | Term::MaxAge(_)
        | Term::Scopes(_)
        | Term::AnyScope(_) => true,
    })
}

/// Two terms that no token meets together.
fn contradiction(terms: &[Term]) -> Option<Obstacle> {
    let tests: Vec<(&ClaimTest, bool)> = terms.iter().filter_map(claim_test).collect();
    let contradict = tests.iter().enumerate().any(|(place, one)| {
        tests.iter().skip(place.saturating_add(1)).any(|other| one.0.path == other.0.path && exclude(*one, *other))
    });
    if contradict {
        return Some((
            "Two tests of `claims` contradict each other.",
            "Remove one of them, or write them in `any_of`.",
        ));
    }
    let clients: Vec<_> =
        terms.iter().filter_map(|term| if let Term::Clients(names) = term { Some(names) } else { None }).collect();
    let are_apart = clients
        .iter()
        .enumerate()
        .any(|(place, one)| clients.iter().skip(place.saturating_add(1)).any(|other| one.is_disjoint(other)));
    are_apart.then_some(("Two lists of `client_ids` have no client in common.", "Merge the lists."))
}

/// The test of a claim, and whether it is negated.
fn claim_test(term: &Term) -> Option<(&ClaimTest, bool)> {
    if let Term::Claim(test) = term {
        return Some((test, false));
    }
    let Term::Not(inner) = term else { return None };
    if let [Term::Claim(test)] = inner.terms() { Some((test, true)) } else { None }
}

/// Whether no claim meets both tests.
fn exclude(one: (&ClaimTest, bool), other: (&ClaimTest, bool)) -> bool {
    // A test that is certainly met only by a claim, or only without one.
    let needs = |(test, is_negated): (&ClaimTest, bool)| match (&test.expected, is_negated) {
        (Expected::Absence, false) | (Expected::Presence, true) => Some(false),
        (Expected::Absence, true) | (_, false) => Some(true),
        (Expected::OneOf(_) | Expected::AllOf(_), true) => None,
    };
    if let (Some(one), Some(other)) = (needs(one), needs(other))
        && one != other
    {
        return true;
    }
    let values = |(test, is_negated): (&'_ ClaimTest, bool)| match (&test.expected, is_negated) {
        (Expected::OneOf(values) | Expected::AllOf(values), false) => values.clone(),
        _ => Vec::new(),
    };
    let is_single = matches!(one.0.path.as_slice(), [name] if SINGLE_CLAIMS.contains(&name.as_str()));
    let (one, other) = (values(one), values(other));
    if one.is_empty() || other.is_empty() {
        return false;
    }
    // Every item of a claim must have a type of the values of each test.
    let are_types_apart = !one.iter().any(|value| other.iter().any(|other| value.is_of_type(other)));
    are_types_apart || (is_single && !one.iter().any(|value| other.contains(value)))
}

fn outcome(program: &Program, provider: Option<&Provider>) -> Outcome {
    let facts = provider.map(|provider| ProviderFacts {
        name: &provider.name,
        groups: &provider.claim_names.groups,
        has_scope_list: provider.is_okta,
    });
    program.outcome(facts.as_ref())
}

/// Whether a condition is the same for all requests and the tokens of all providers.
fn has_constant_condition(report: &Report<'_>, rule: &Rule, requirement: &Requirement) -> bool {
    let providers: Vec<Option<&Provider>> = if matches!(rule.access, Access::Public | Access::Optional) {
        vec![None]
    } else {
        report.policy.providers.iter().map(|(_, provider)| Some(provider)).collect()
    };
    let is_constant = |program: &Program| {
        let mut outcomes = providers.iter().map(|provider| outcome(program, *provider));
        let first = outcomes.next();
        first.is_some_and(|first| first.is_constant() && outcomes.all(|other| other == first))
    };
    any_term(requirement, &|term| matches!(term, Term::Condition(program) if is_constant(program)))
}

fn has_max_age_below(requirement: &Requirement, skew: Duration) -> bool {
    any_term(requirement, &|term| matches!(term, Term::MaxAge(age) if *age < skew))
}

/// Whether the test is true of a term, nested ones included.
fn any_term(requirement: &Requirement, test: &dyn Fn(&Term) -> bool) -> bool {
    requirement.terms().iter().any(|term| test(term) || term.inner().iter().any(|inner| any_term(inner, test)))
}
