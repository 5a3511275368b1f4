use super::*;
use crate::jose::signing_fixture::verified;
use crate::policy::provider::{Audiences, Provider};
pub(super) use crate::policy::provider_fixture::NOW_SECS;
use crate::policy::provider_fixture::{ISSUER, NOW, SKEW_SECS, dpop, provider};
use crate::policy::sender_constraint::{ConstraintMode, SenderConstraint};
use serde_json::{Value, json};

/// A token with these claims in addition to the usual ones. `null` removes a claim.
pub(super) fn token(changes: &Value) -> ValidatedToken {
    let both = SenderConstraint { mtls: ConstraintMode::IfBound, dpop: Some(dpop(false)) };
    token_of(both, changes)
}

/// The same, of a provider with this setting.
pub(super) fn token_of(sender_constraint: SenderConstraint, changes: &Value) -> ValidatedToken {
    let provider = Provider { audiences: Audiences::InsecureAny, sender_constraint, ..provider() };
    let mut claims = json!({"iss": ISSUER, "exp": NOW_SECS + 3600, "sub": "alice", "cid": "0oa1", "aud": "api://a"});
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    for name in ["cid", "aud"] {
        if claims[name].is_null() {
            claims.as_object_mut().unwrap().remove(name);
        }
    }
    ValidatedToken::validate(verified(&claims, None), &provider, NOW).unwrap()
}

pub(super) fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

pub(super) fn list(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

pub(super) fn one(term: Term) -> Requirement {
    Requirement::all(vec![term])
}

pub(super) fn evaluate_at(requirement: &Requirement, token: &ValidatedToken, now: UnixTime) -> Verdict {
    let context = RequirementContext { token: Some(token), now, request: None };
    let verdict = requirement.evaluate(&context);
    assert_eq!(requirement.check(&context).is_ok(), verdict == Verdict::Holds, "{requirement:?}");
    verdict
}

fn evaluate(term: &Term, claims: &Value) -> Verdict {
    evaluate_at(&one(term.clone()), &token(claims), NOW)
}

/// SHA-256 of nothing.
const THUMBPRINT: &str = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
const HOLDS: Verdict = Verdict::Holds;
const FAILS: Verdict = Verdict::Fails;
const MISSING: Verdict = Verdict::Indeterminate(Indeterminate::Missing);
const MALFORMED: Verdict = Verdict::Indeterminate(Indeterminate::Malformed);

/// Evaluates each row as it is and inside `not`. Indeterminate rows remain indeterminate.
fn assert_rows(term: &Term, rows: &[(Value, Verdict)]) {
    for (claims, expected) in rows {
        assert_eq!(evaluate(term, claims), *expected, "{term:?} with {claims}");
        let negated = match expected {
            Verdict::Holds => FAILS,
            Verdict::Fails => HOLDS,
            Verdict::Indeterminate(_) => *expected,
        };
        assert_eq!(evaluate(&Term::Not(one(term.clone())), claims), negated, "not {term:?} with {claims}");
    }
}

#[test]
fn all_scopes_are_required_and_compared_exactly() {
    let term = Term::Scopes(list(&["read:all", "write"]));
    assert_rows(
        &term,
        &[
            (json!({"scp": ["write", "x", "read:all"]}), HOLDS),
            (json!({"scope": "x write read:all"}), HOLDS),
            (json!({"scp": ["read", "write"]}), FAILS),
            (json!({"scp": ["read:all"]}), FAILS),
            (json!({"scp": ["read:allx", "write"]}), FAILS),
            (json!({"scp": ["READ:ALL", "write"]}), FAILS),
            (json!({"scope": "read :all write"}), FAILS),
            (json!({"scope": "read:all,write"}), FAILS),
            (json!({"scope": "write-read:all"}), FAILS),
            (json!({"scp": []}), FAILS),
            (json!({}), FAILS),
        ],
    );
    assert_rows(
        &Term::Scopes(list(&["read"])),
        &[(json!({"scp": ["read:all"]}), FAILS), (json!({"scope": "read:all all:read"}), FAILS)],
    );
}

#[test]
fn any_scope_requires_one_of_the_scopes() {
    assert_rows(
        &Term::AnyScope(list(&["read", "write"])),
        &[
            (json!({"scp": ["write"]}), HOLDS),
            (json!({"scope": "x read"}), HOLDS),
            (json!({"scp": ["read:all"]}), FAILS),
            (json!({"scope": "readwrite"}), FAILS),
            (json!({}), FAILS),
        ],
    );
}

/// The members of `cnf` of a bound token.
pub(super) fn bound_to(members: &[&str]) -> Value {
    let cnf: serde_json::Map<_, _> = members.iter().map(|name| ((*name).to_owned(), json!(THUMBPRINT))).collect();
    if cnf.is_empty() { json!({}) } else { json!({ "cnf": cnf }) }
}

#[test]
fn proof_requires_the_binding_of_its_kind() {
    let (key, certificate, both) = (bound_to(&["jkt"]), bound_to(&["x5t#S256"]), bound_to(&["jkt", "x5t#S256"]));
    for (kind, expected) in [
        (ProofKind::Dpop, [HOLDS, FAILS, HOLDS, FAILS]),
        (ProofKind::Mtls, [FAILS, HOLDS, HOLDS, FAILS]),
        (ProofKind::Any, [HOLDS, HOLDS, HOLDS, FAILS]),
    ] {
        let claims = [&key, &certificate, &both, &json!({})];
        let rows: Vec<(Value, Verdict)> = claims.into_iter().cloned().zip(expected).collect();
        assert_rows(&Term::Proof(kind), &rows);
        let without = RequirementContext { token: None, now: NOW, request: None };
        assert_eq!(one(Term::Proof(kind)).evaluate(&without), MISSING, "{kind:?}");
        assert_eq!(one(Term::Not(one(Term::Proof(kind)))).evaluate(&without), MISSING, "{kind:?}");
    }
}

#[test]
fn groups_require_one_match_and_absent_groups_are_indeterminate() {
    assert_rows(
        &Term::Groups(set(&["admin", "finance manager"])),
        &[
            (json!({"groups": ["x", "admin"]}), HOLDS),
            (json!({"groups": "finance manager"}), HOLDS),
            (json!({"groups": ["Admin", "administrator", "finance", "admin "]}), FAILS),
            (json!({"groups": "admin x"}), FAILS),
            (json!({"groups": []}), FAILS),
            (json!({}), MISSING),
            (json!({"groups": null}), MALFORMED),
            (json!({"groups": ["admin", 5]}), MALFORMED),
            (json!({"groups": [["admin"]]}), MALFORMED),
            (json!({"groups": {"admin": true}}), MALFORMED),
            (json!({"groups": true}), MALFORMED),
        ],
    );
}

#[test]
fn client_must_be_listed_and_unknown_client_is_indeterminate() {
    assert_rows(
        &Term::Clients(set(&["0oa1", "0oa2"])),
        &[
            (json!({}), HOLDS),
            (json!({"cid": null, "client_id": "0oa2"}), HOLDS),
            (json!({"cid": "0oa"}), FAILS),
            (json!({"cid": "0oa3", "client_id": "0oa1"}), FAILS),
            (json!({"cid": null}), MISSING),
        ],
    );
}

#[test]
fn audience_must_be_listed() {
    assert_rows(
        &Term::Audiences(set(&["api://a", "api://b"])),
        &[
            (json!({}), HOLDS),
            (json!({"aud": ["api://x", "api://b"]}), HOLDS),
            (json!({"aud": "api://"}), FAILS),
            (json!({"aud": ["api://x", "api://a/"]}), FAILS),
            (json!({"aud": null}), MISSING),
        ],
    );
}

#[test]
fn all_methods_are_required_and_absent_methods_are_indeterminate() {
    assert_rows(
        &Term::Methods(set(&["hwk", "pin"])),
        &[
            (json!({"amr": ["pin", "mfa", "hwk"]}), HOLDS),
            (json!({"amr": ["pin"]}), FAILS),
            (json!({"amr": "hwk"}), FAILS),
            (json!({"amr": "hwk pin"}), FAILS),
            (json!({}), MISSING),
            (json!({"amr": []}), MISSING),
            (json!({"amr": ["hwk", "pin", 1]}), MALFORMED),
            (json!({"amr": null}), MISSING),
        ],
    );
}

#[test]
fn stronger_acr_is_accepted_and_absent_acr_is_indeterminate() {
    assert_rows(
        &Term::Authentication(list(&["urn:okta:loa:2fa:any"])),
        &[
            (json!({"acr": "urn:okta:loa:2fa:any"}), HOLDS),
            (json!({"acr": "phr"}), HOLDS),
            (json!({"acr": "urn:okta:loa:1fa:any"}), FAILS),
            (json!({"acr": "urn:okta:loa:2fa:any:ifpossible"}), FAILS),
            (json!({"acr": "https://idp.example/gold"}), FAILS),
            (json!({"acr": ""}), FAILS),
            (json!({}), MISSING),
            (json!({"acr": null}), MISSING),
            (json!({"acr": ["urn:okta:loa:2fa:any"]}), MALFORMED),
            (json!({"acr": 2}), MALFORMED),
        ],
    );
    assert_rows(
        &Term::Authentication(list(&["https://idp.example/gold", "phr"])),
        &[
            (json!({"acr": "https://idp.example/gold"}), HOLDS),
            (json!({"acr": "phrh"}), HOLDS),
            (json!({"acr": "https://idp.example/platinum"}), FAILS),
        ],
    );
}

#[test]
fn max_age_is_exact_to_the_millisecond_plus_the_skew() {
    let requirement = one(Term::MaxAge(Duration::from_secs(900)));
    let at = |auth_time: Value, millis: u64| {
        evaluate_at(&requirement, &token(&json!({ "auth_time": auth_time })), UnixTime::from_millis(millis))
    };
    let authenticated_at = NOW_SECS - 100;
    let last_moment = (authenticated_at + 900 + SKEW_SECS) * 1000;
    assert_eq!(at(json!(authenticated_at), last_moment - 1), HOLDS);
    assert_eq!(at(json!(authenticated_at), last_moment), HOLDS);
    assert_eq!(at(json!(authenticated_at), last_moment + 1), FAILS);
    let first_moment = (authenticated_at - SKEW_SECS) * 1000;
    assert_eq!(at(json!(authenticated_at), first_moment), HOLDS);
    assert_eq!(at(json!(authenticated_at), first_moment - 1), MALFORMED, "an authentication in the future");
    assert_eq!(at(json!(authenticated_at as f64 + 0.9), last_moment), HOLDS);
    assert_eq!(at(json!(authenticated_at as f64 + 0.9), last_moment + 1), FAILS, "rounded down");
    assert_eq!(at(json!(0), last_moment), FAILS);
    assert_eq!(at(json!(authenticated_at), u64::MAX), FAILS);
    assert_eq!(at(json!(253_402_300_799_u64), last_moment), MALFORMED);
    for malformed in [
        json!(authenticated_at.to_string()),
        json!(null),
        json!(true),
        json!([authenticated_at]),
        json!(-1),
        json!(1e308),
    ] {
        assert_eq!(at(malformed.clone(), last_moment), MALFORMED, "{malformed}");
    }
    assert_rows(&Term::MaxAge(Duration::from_secs(1)), &[(json!({}), MISSING)]);
}

fn claim(path: &[&str], expected: Expected) -> Term {
    Term::Claim(ClaimTest { path: list(path), expected })
}

fn texts(values: &[&str]) -> Vec<ClaimValue> {
    values.iter().map(|value| ClaimValue::Text((*value).to_owned())).collect()
}

#[test]
fn string_matches_alone_or_in_a_list_but_not_as_a_substring() {
    assert_rows(
        &claim(&["role"], Expected::OneOf(texts(&["admin", "owner"]))),
        &[
            (json!({"role": "admin"}), HOLDS),
            (json!({"role": ["x", "owner"]}), HOLDS),
            (json!({"role": "administrator"}), FAILS),
            (json!({"role": "admin owner"}), FAILS),
            (json!({"role": "Admin"}), FAILS),
            (json!({"role": ["adm", "in"]}), FAILS),
            (json!({"role": ""}), FAILS),
            (json!({"role": []}), FAILS),
            (json!({}), FAILS),
            (json!({"ROLE": "admin"}), FAILS),
            (json!({"role": null}), MALFORMED),
            (json!({"role": 1}), MALFORMED),
            (json!({"role": true}), MALFORMED),
            (json!({"role": ["admin", 1]}), MALFORMED),
            (json!({"role": [null, "admin"]}), MALFORMED),
            (json!({"role": [["admin"]]}), MALFORMED),
            (json!({"role": {"admin": true}}), MALFORMED),
        ],
    );
    assert_rows(
        &claim(&["role"], Expected::AllOf(texts(&["a", "b"]))),
        &[
            (json!({"role": ["b", "x", "a"]}), HOLDS),
            (json!({"role": ["a", "a"]}), FAILS),
            (json!({"role": "a"}), FAILS),
            (json!({"role": "a b"}), FAILS),
            (json!({}), FAILS),
            (json!({"role": ["a", "b", {}]}), MALFORMED),
        ],
    );
}

#[test]
fn numbers_and_booleans_are_compared_by_value_and_type() {
    assert_rows(
        &claim(&["level"], Expected::OneOf(vec![ClaimValue::Number(5.0)])),
        &[
            (json!({"level": 5}), HOLDS),
            (json!({"level": 5.0}), HOLDS),
            (json!({"level": [1, 5]}), HOLDS),
            (json!({"level": 5.000_001}), FAILS),
            (json!({"level": -5}), FAILS),
            (json!({"level": u64::MAX}), FAILS),
            (json!({"level": "5"}), MALFORMED),
            (json!({"level": true}), MALFORMED),
        ],
    );
    // The greatest integer that the loader accepts, and its neighbours, which are the same double.
    let greatest = claim(&["n"], Expected::OneOf(vec![ClaimValue::Number(9_007_199_254_740_991.0)]));
    assert_eq!(evaluate(&greatest, &json!({"n": 9_007_199_254_740_991_u64})), HOLDS);
    for other in [9_007_199_254_740_990_u64, 9_007_199_254_740_992, 9_007_199_254_740_993] {
        assert_eq!(evaluate(&greatest, &json!({ "n": other })), FAILS, "{other}");
    }
    assert_rows(
        &claim(&["verified"], Expected::OneOf(vec![ClaimValue::Bool(true)])),
        &[
            (json!({"verified": true}), HOLDS),
            (json!({"verified": false}), FAILS),
            (json!({"verified": "true"}), MALFORMED),
            (json!({"verified": 1}), MALFORMED),
        ],
    );
    let either = vec![ClaimValue::Number(5.0), ClaimValue::Text("5".to_owned())];
    assert_rows(
        &claim(&["level"], Expected::OneOf(either)),
        &[
            (json!({"level": "5"}), HOLDS),
            (json!({"level": ["x", 5]}), HOLDS),
            (json!({"level": ["x", 6]}), FAILS),
            (json!({"level": [true, 5]}), MALFORMED),
        ],
    );
}

#[test]
fn presence_and_absence_are_indeterminate_for_null() {
    let rows = |there, not_there| {
        [
            (json!({"x": "a"}), there),
            (json!({"x": ""}), there),
            (json!({"x": false}), there),
            (json!({"x": []}), there),
            (json!({"x": {}}), there),
            (json!({"X": 1}), not_there),
            (json!({"x": null}), MALFORMED),
        ]
    };
    assert_rows(&claim(&["x"], Expected::Presence), &rows(HOLDS, FAILS));
    assert_rows(&claim(&["x"], Expected::Absence), &rows(FAILS, HOLDS));
}

#[test]
fn path_is_literal_and_a_non_object_on_it_is_indeterminate() {
    let nested = claim(&["https://acme.com/claims", "tenant.id"], Expected::OneOf(texts(&["t1"])));
    assert_rows(
        &nested,
        &[
            (json!({"https://acme.com/claims": {"tenant.id": "t1"}}), HOLDS),
            (json!({"https://acme.com/claims": {"tenant.id": ["t0", "t1"]}}), HOLDS),
            (json!({"https://acme.com/claims": {"tenant": {"id": "t1"}}}), FAILS),
            (json!({"https://acme.com/claims": {}}), FAILS),
            (json!({"https://acme.com/claims.tenant.id": "t1"}), FAILS),
            (json!({"https://acme": {"com/claims": {"tenant.id": "t1"}}}), FAILS),
            (json!({"https://acme.com/claims": [{"tenant.id": "t1"}]}), MALFORMED),
            (json!({"https://acme.com/claims": "t1"}), MALFORMED),
            (json!({"https://acme.com/claims": null}), MALFORMED),
        ],
    );
    assert_rows(
        &claim(&["a.b"], Expected::OneOf(texts(&["t1"]))),
        &[(json!({"a.b": "t1"}), HOLDS), (json!({"a": {"b": "t1"}}), FAILS)],
    );
    let absent = claim(&["a", "b"], Expected::Absence);
    assert_rows(&absent, &[(json!({"a": {}}), HOLDS), (json!({}), HOLDS), (json!({"a": "text"}), MALFORMED)]);
}

#[test]
fn combinations_follow_three_valued_logic() {
    // One term per verdict, all for the same token.
    let token = token(&json!({"scp": ["held"], "groups": 5}));
    let holds = || Term::Scopes(list(&["held"]));
    let fails = || Term::Scopes(list(&["other"]));
    let unknown = || Term::Groups(set(&["g"]));
    let not = |term| Term::Not(one(term));
    let any = |terms: Vec<Term>| Term::AnyOf(terms.into_iter().map(one).collect());
    let rows = [
        (vec![], HOLDS),
        (vec![holds(), holds()], HOLDS),
        (vec![holds(), fails()], FAILS),
        (vec![holds(), unknown()], MALFORMED),
        (vec![unknown(), fails()], FAILS),
        (vec![any(vec![fails(), holds()])], HOLDS),
        (vec![any(vec![unknown(), holds()])], HOLDS),
        (vec![any(vec![unknown(), fails()])], MALFORMED),
        (vec![any(vec![fails(), fails()])], FAILS),
        (vec![not(holds())], FAILS),
        (vec![not(fails())], HOLDS),
        (vec![not(unknown())], MALFORMED),
        (vec![not(not(unknown()))], MALFORMED),
        (vec![not(not(holds()))], HOLDS),
        (vec![not(any(vec![unknown(), fails()]))], MALFORMED),
        (vec![not(any(vec![unknown(), holds()]))], FAILS),
        (vec![Term::Not(Requirement::all(vec![unknown(), fails()]))], HOLDS),
        (vec![Term::Not(Requirement::all(vec![unknown(), holds()]))], MALFORMED),
        (vec![any(vec![not(unknown()), not(fails())])], HOLDS),
        (vec![holds(), any(vec![not(unknown()), unknown()])], MALFORMED),
    ];
    for (terms, expected) in rows {
        let requirement = Requirement::all(terms);
        assert_eq!(evaluate_at(&requirement, &token, NOW), expected, "{requirement:?}");
    }
}
