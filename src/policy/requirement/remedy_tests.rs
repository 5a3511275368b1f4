use super::tests::{NOW_SECS, bound_to, list, one, set, token, token_of};
use super::*;
use crate::cel::EvaluationError;
use crate::policy::provider_fixture::dpop;
use crate::policy::sender_constraint::{ConstraintMode, SenderConstraint};
use serde_json::{Value, json};

const TWO_FACTORS: &str = "urn:okta:loa:2fa:any";
const ONE_FACTOR: &str = "urn:okta:loa:1fa:any";

fn unmet<'a>(requirement: &'a Requirement, claims: &Value) -> (UnmetReason, Remedy<'a>) {
    unmet_by(requirement, &token(claims))
}

fn unmet_by<'a>(requirement: &'a Requirement, token: &ValidatedToken) -> (UnmetReason, Remedy<'a>) {
    let unmet = requirement
        .check(&RequirementContext { token: Some(token), now: UnixTime::from_secs(NOW_SECS), request: None })
        .unwrap_err();
    (unmet.reason, unmet.remedy)
}

fn scopes(names: &[&str]) -> Term {
    Term::Scopes(list(names))
}

fn acr(values: &[&str]) -> Term {
    Term::Authentication(list(values))
}

const fn max_age(seconds: u64) -> Term {
    Term::MaxAge(Duration::from_secs(seconds))
}

fn groups(names: &[&str]) -> Term {
    Term::Groups(set(names))
}

fn step_up<'a>(acr_values: &[&'a str], seconds: Option<u64>, scopes: &[&'a str]) -> Remedy<'a> {
    Remedy::Authentication {
        acr_values: acr_values.to_vec(),
        max_age: seconds.map(Duration::from_secs),
        scopes: scopes.to_vec(),
    }
}

#[test]
fn reasons_have_unique_names() {
    let of_conditions = EvaluationError::ALL.map(UnmetReason::ConditionFailed);
    let all: Vec<UnmetReason> = UnmetReason::ALL.into_iter().chain(of_conditions).collect();
    let names: BTreeSet<&str> = all.iter().map(|reason| reason.name()).collect();
    assert_eq!(names.len(), all.len());
    assert!(names.iter().all(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')));
}

#[test]
fn missing_scope_yields_all_required_scopes() {
    let requirement = Requirement::all(vec![Term::AnyScope(list(&["x", "y"])), scopes(&["a", "b", "y"])]);
    let lacks = |claims: Value| unmet(&requirement, &claims);
    let expected = |names: &[&'static str]| (UnmetReason::ScopeMissing, Remedy::Scopes(names.to_vec()));
    assert_eq!(lacks(json!({"scp": ["a", "y"]})), expected(&["a", "b", "y"]));
    assert_eq!(lacks(json!({"scp": ["a", "b", "x"]})), expected(&["a", "b", "y", "x"]));
    assert_eq!(lacks(json!({})), expected(&["a", "b", "y", "x"]));
}

#[test]
fn any_scope_yields_the_granted_or_the_first_scope() {
    let requirement = Requirement::all(vec![Term::AnyScope(list(&["read", "admin"])), scopes(&["openid"])]);
    let expected = |names: &[&'static str]| (UnmetReason::ScopeMissing, Remedy::Scopes(names.to_vec()));
    assert_eq!(unmet(&requirement, &json!({"scp": ["openid"]})), expected(&["openid", "read"]));
    assert_eq!(unmet(&requirement, &json!({"scp": ["admin"]})), expected(&["openid", "admin"]));
}

#[test]
fn weak_or_old_authentication_yields_acr_values_and_max_age() {
    let requirement = Requirement::all(vec![scopes(&["pay"]), max_age(900), acr(&[TWO_FACTORS])]);
    let recent = NOW_SECS - 10;
    let rows = [
        (json!({"scp": ["pay"], "auth_time": recent, "acr": ONE_FACTOR}), UnmetReason::AuthenticationTooWeak),
        (json!({"scp": ["pay"], "auth_time": recent}), UnmetReason::AuthenticationTooWeak),
        (json!({"scp": ["pay"], "auth_time": 5, "acr": TWO_FACTORS}), UnmetReason::AuthenticationTooOld),
        (json!({"scp": ["pay"], "acr": "phr"}), UnmetReason::AuthenticationTooOld),
        (json!({"scp": ["pay"], "auth_time": 5, "acr": ONE_FACTOR}), UnmetReason::AuthenticationTooWeak),
    ];
    for (claims, reason) in rows {
        assert_eq!(unmet(&requirement, &claims), (reason, step_up(&[TWO_FACTORS], Some(900), &[])), "{claims}");
    }
    let age_alone = one(max_age(60));
    assert_eq!(unmet(&age_alone, &json!({})), (UnmetReason::AuthenticationTooOld, step_up(&[], Some(60), &[])));
    let strength_alone = one(acr(&["phrh", "phr"]));
    let expected = (UnmetReason::AuthenticationTooWeak, step_up(&["phrh", "phr"], None, &[]));
    assert_eq!(unmet(&strength_alone, &json!({})), expected);
}

#[test]
fn missing_authentication_and_scopes_yield_one_challenge() {
    let requirement = Requirement::all(vec![scopes(&["pay", "see"]), acr(&[TWO_FACTORS])]);
    let expected = (UnmetReason::AuthenticationTooWeak, step_up(&[TWO_FACTORS], None, &["pay", "see"]));
    assert_eq!(unmet(&requirement, &json!({"scp": ["see"]})), expected);
    let expected = (UnmetReason::ScopeMissing, Remedy::Scopes(vec!["pay", "see"]));
    assert_eq!(unmet(&requirement, &json!({"scp": ["see"], "acr": "phr"})), expected);
}

#[test]
fn final_reason_yields_no_remedy() {
    let final_terms = [
        (Term::Audiences(set(&["api://z"])), UnmetReason::AudienceNotAllowed),
        (Term::Clients(set(&["0oaZ"])), UnmetReason::ClientNotAllowed),
        (groups(&["g"]), UnmetReason::GroupMissing),
        (Term::Claim(ClaimTest { path: list(&["x"]), expected: Expected::Presence }), UnmetReason::ClaimUnmet),
        (Term::Methods(set(&["hwk"])), UnmetReason::MethodMissing),
        (Term::Not(one(Term::Clients(set(&["0oa1"])))), UnmetReason::NotConditionMatched),
        (Term::Not(one(groups(&["suspended"]))), UnmetReason::ClaimMissing),
        (Term::AnyOf(vec![one(groups(&["g"])), one(groups(&["h"]))]), UnmetReason::NoAlternative),
    ];
    for (term, reason) in &final_terms {
        let requirement = Requirement::all(vec![scopes(&["a"]), acr(&["phr"]), max_age(9), term.clone()]);
        assert_eq!(unmet(&requirement, &json!({})), (*reason, Remedy::None), "{term:?}");
    }
    // The first in the order of the terms, not in the order of the configuration.
    let of_kinds = final_terms.iter().filter(|(_, reason)| *reason != UnmetReason::ClaimMissing);
    for start in 0..final_terms.len() - 1 {
        let rest: Vec<_> = of_kinds.clone().skip(start).collect();
        let terms = rest.iter().rev().map(|(term, _)| term.clone()).collect();
        assert_eq!(unmet(&Requirement::all(terms), &json!({})), (rest[0].1, Remedy::None));
    }
}

#[test]
fn malformed_claim_yields_its_reason_and_no_remedy() {
    let rows = [
        (one(groups(&["g"])), json!({"groups": 5})),
        (one(Term::Not(one(groups(&["g"])))), json!({"groups": 5})),
        (one(acr(&["phr"])), json!({"acr": 5})),
        (one(max_age(60)), json!({"auth_time": "now"})),
        (one(max_age(60)), json!({"auth_time": NOW_SECS + 3600})),
        (Requirement::all(vec![scopes(&["a"]), acr(&["phr"]), max_age(60)]), json!({"auth_time": null})),
        (one(Term::Methods(set(&["hwk"]))), json!({"amr": 5})),
    ];
    for (requirement, claims) in rows {
        assert_eq!(unmet(&requirement, &claims), (UnmetReason::ClaimMalformed, Remedy::None), "{requirement:?}");
    }
}

#[test]
fn met_alternative_is_preferred_then_the_first_that_a_token_could_meet() {
    let alternatives = Term::AnyOf(vec![
        Requirement::all(vec![groups(&["g"]), scopes(&["a"])]),
        one(acr(&[TWO_FACTORS])),
        one(scopes(&["c"])),
    ]);
    let requirement = Requirement::all(vec![alternatives, scopes(&["d"])]);
    let missing = UnmetReason::ScopeMissing;
    // In the group: the first alternative, which requires the scope.
    assert_eq!(unmet(&requirement, &json!({"groups": ["g"]})), (missing, Remedy::Scopes(vec!["d", "a"])));
    // Not in the group: a step-up for the second, and the scope for the rest.
    let expected = (UnmetReason::AuthenticationTooWeak, step_up(&[TWO_FACTORS], None, &["d"]));
    assert_eq!(unmet(&requirement, &json!({"groups": []})), expected);
    // The third is met, so its requirements are part of the remedy.
    assert_eq!(unmet(&requirement, &json!({"groups": ["g"], "scp": ["c"]})), (missing, Remedy::Scopes(vec!["d", "c"])));
    // The second is met. It requires no scope.
    assert_eq!(unmet(&requirement, &json!({"acr": "phr"})), (missing, Remedy::Scopes(vec!["d"])));
}

#[test]
fn two_acr_terms_yield_the_values_that_satisfy_both() {
    let both = |one: &[&str], other: &[&str]| {
        let inner = Term::AnyOf(vec![Requirement::all(vec![acr(one), max_age(600)])]);
        Requirement::all(vec![inner, acr(other), max_age(60)])
    };
    let rows: [(&[&str], &[&str], &[&str]); 4] = [
        (&["phr"], &[TWO_FACTORS], &["phr"]),
        (&[ONE_FACTOR], &["phrh", TWO_FACTORS], &["phrh", TWO_FACTORS]),
        (&["u:gold", "phr"], &["u:silver", "u:gold"], &["u:gold"]),
        (&[TWO_FACTORS], &[TWO_FACTORS], &[TWO_FACTORS]),
    ];
    for (one, other, expected) in rows {
        let requirement = both(one, other);
        assert_eq!(
            unmet(&requirement, &json!({})),
            (UnmetReason::AuthenticationTooWeak, step_up(expected, Some(60), &[]))
        );
    }
    let never = both(&["u:gold"], &["u:silver"]);
    assert_eq!(unmet(&never, &json!({})), (UnmetReason::NoAlternative, Remedy::None));
    let never = Requirement::all(vec![acr(&["u:gold"]), acr(&["u:silver"])]);
    assert_eq!(unmet(&never, &json!({})), (UnmetReason::AuthenticationTooWeak, Remedy::None));
}

#[test]
fn alternative_that_contradicts_the_rest_is_skipped_even_if_met() {
    let inner = Term::AnyOf(vec![one(acr(&["phr"])), one(scopes(&["b"]))]);
    let outer = Term::AnyOf(vec![Requirement::all(vec![scopes(&["a"]), inner]), one(scopes(&["c"]))]);
    let requirement = Requirement::all(vec![acr(&["u:gold"]), outer]);
    let expected = (UnmetReason::AuthenticationTooWeak, step_up(&["u:gold"], None, &["a", "b"]));
    assert_eq!(unmet(&requirement, &json!({"acr": "phr"})), expected);
}

#[test]
fn missing_proof_yields_a_bound_token_before_scopes_and_authentication() {
    let expected = |kind| (UnmetReason::ProofRequired, Remedy::BoundToken(kind));
    for kind in [ProofKind::Dpop, ProofKind::Mtls, ProofKind::Any] {
        assert_eq!(unmet(&one(Term::Proof(kind)), &json!({})), expected(kind));
        let with_others = Requirement::all(vec![scopes(&["a"]), acr(&["phr"]), max_age(9), Term::Proof(kind)]);
        assert_eq!(unmet(&with_others, &json!({})), expected(kind));
        // A reason that no other token removes counts.
        let in_a_group = Requirement::all(vec![Term::Proof(kind), groups(&["g"])]);
        assert_eq!(unmet(&in_a_group, &json!({})), (UnmetReason::GroupMissing, Remedy::None));
    }
    let scope = Requirement::all(vec![Term::Proof(ProofKind::Dpop), scopes(&["a"])]);
    let missing_scope = (UnmetReason::ScopeMissing, Remedy::Scopes(vec!["a"]));
    assert_eq!(unmet(&scope, &bound_to(&["jkt"])), missing_scope);
    let excluded = one(Term::Not(one(Term::Proof(ProofKind::Dpop))));
    assert_eq!(unmet(&excluded, &bound_to(&["jkt"])), (UnmetReason::NotConditionMatched, Remedy::None));
}

#[test]
fn of_two_missing_proofs_the_key_is_named_and_then_the_certificate() {
    let both = Requirement::all(vec![Term::Proof(ProofKind::Mtls), Term::Proof(ProofKind::Dpop)]);
    let expected = |kind| (UnmetReason::ProofRequired, Remedy::BoundToken(kind));
    assert_eq!(unmet(&both, &json!({})), expected(ProofKind::Dpop));
    assert_eq!(unmet(&both, &bound_to(&["x5t#S256"])), expected(ProofKind::Dpop));
    assert_eq!(unmet(&both, &bound_to(&["jkt"])), expected(ProofKind::Mtls));
}

#[test]
fn proof_that_the_provider_rejects_has_no_remedy_and_its_alternative_is_skipped() {
    let off = SenderConstraint::default;
    let mtls = || SenderConstraint { mtls: ConstraintMode::IfBound, dpop: None };
    let key = || SenderConstraint { mtls: ConstraintMode::Off, dpop: Some(dpop(false)) };
    let (never, bound) = (Remedy::None, Remedy::BoundToken);
    for (constraint, kind, remedy) in [
        (off(), ProofKind::Dpop, never.clone()),
        (off(), ProofKind::Mtls, never.clone()),
        (off(), ProofKind::Any, never.clone()),
        (mtls(), ProofKind::Dpop, never.clone()),
        (mtls(), ProofKind::Mtls, bound(ProofKind::Mtls)),
        (mtls(), ProofKind::Any, bound(ProofKind::Any)),
        (key(), ProofKind::Dpop, bound(ProofKind::Dpop)),
        (key(), ProofKind::Mtls, never.clone()),
        (key(), ProofKind::Any, bound(ProofKind::Any)),
    ] {
        let unbound = token_of(constraint, &json!({}));
        assert_eq!(
            unmet_by(&one(Term::Proof(kind)), &unbound),
            (UnmetReason::ProofRequired, remedy.clone()),
            "{kind:?}"
        );
        let or_strong = one(Term::AnyOf(vec![one(Term::Proof(kind)), one(acr(&["phr"]))]));
        let expected = if remedy == Remedy::None {
            (UnmetReason::AuthenticationTooWeak, step_up(&["phr"], None, &[]))
        } else {
            (UnmetReason::ProofRequired, remedy)
        };
        assert_eq!(unmet_by(&or_strong, &unbound), expected, "{kind:?}");
    }
}
