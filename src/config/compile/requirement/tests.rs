use super::*;
use crate::config::decode::Decode;
use crate::policy::requirement::ClaimValue;
use serde_json::{Value, json};

/// Compiles a `require`: the requirement if there is no error, the errors, the warnings.
pub(super) fn compiled(document: &Value) -> (Option<Requirement>, Vec<String>, Vec<String>) {
    let at = Path::root().member("require");
    let mut errors = Vec::new();
    let document = RequireDocument::decode(document, &at, &mut errors);
    let mut diagnostics = Diagnostics {
        errors: &mut errors,
        warnings: Vec::new(),
        insecure_settings: 0,
        environment: &crate::config::no_environment,
    };
    let requirement = document.and_then(|document| requirement(document, &at, &mut diagnostics));
    let warnings = diagnostics.warnings.iter().map(ToString::to_string).collect();
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert!(requirement.is_some() || !errors.is_empty(), "refused without a word");
    (requirement.filter(|_| errors.is_empty()), errors, warnings)
}

fn terms(document: &Value) -> Vec<Term> {
    let (requirement, errors, _) = compiled(document);
    requirement.unwrap_or_else(|| panic!("{document}: {errors:?}")).terms().to_vec()
}

fn errors(document: &Value) -> Vec<String> {
    compiled(document).1
}

fn owned<T: FromIterator<String>>(names: &[&str]) -> T {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn claim(path: &[&str], expected: Expected) -> Term {
    Term::Claim(ClaimTest { path: owned(path), expected })
}

fn text(value: &str) -> ClaimValue {
    ClaimValue::Text(value.to_owned())
}

#[test]
fn every_member_becomes_its_term_in_the_order_of_reasons() {
    let document = json!({
        "scopes": ["b", "a"], "any_scope": ["x", "y"], "acr": "phr", "max_age": "15m", "amr": ["hwk"], "proof": "mtls",
        "claims": { "department": "finance" }, "groups": ["g", "h"], "client_ids": ["0oa"], "audiences": ["api://a"],
        "not": { "client_ids": ["0ob"] }, "any_of": [{ "scopes": ["c"] }, { "groups": ["i"] }],
        "all_of": [{ "scopes": ["d"] }, { "claims": { "level": 5 } }]
    });
    let any_of =
        vec![Requirement::all(vec![Term::Scopes(owned(&["c"]))]), Requirement::all(vec![Term::Groups(owned(&["i"]))])];
    let expected = [
        Term::Audiences(owned(&["api://a"])),
        Term::Clients(owned(&["0oa"])),
        Term::Groups(owned(&["g", "h"])),
        claim(&["department"], Expected::OneOf(vec![text("finance")])),
        claim(&["level"], Expected::OneOf(vec![ClaimValue::Number(5.0)])),
        Term::Methods(owned(&["hwk"])),
        Term::Not(Requirement::all(vec![Term::Clients(owned(&["0ob"]))])),
        Term::Proof(ProofKind::Mtls),
        Term::Authentication(owned(&["phr"])),
        Term::MaxAge(Duration::from_secs(900)),
        Term::Scopes(owned(&["b", "a"])),
        Term::Scopes(owned(&["d"])),
        Term::AnyScope(owned(&["x", "y"])),
        Term::AnyOf(any_of),
    ];
    assert_eq!(terms(&document), expected);
}

#[test]
fn claims_are_written_by_name_or_as_a_list_with_paths() {
    let by_name = json!({"claims": {
        "a": "text", "b": true, "c": 1.5, "d.e": {"equals": "x"}, "https://acme.com/x": {"contains": "y"},
        "g": {"one_of": ["p", 7]}, "h": {"contains_all": ["q", "r"]}, "i": {"exists": true}, "j": {"exists": false}
    }});
    let one = |value| Expected::OneOf(vec![value]);
    let expected = [
        claim(&["a"], one(text("text"))),
        claim(&["b"], one(ClaimValue::Bool(true))),
        claim(&["c"], one(ClaimValue::Number(1.5))),
        claim(&["d.e"], one(text("x"))),
        claim(&["g"], Expected::OneOf(vec![text("p"), ClaimValue::Number(7.0)])),
        claim(&["h"], Expected::AllOf(vec![text("q"), text("r")])),
        claim(&["https://acme.com/x"], one(text("y"))),
        claim(&["i"], Expected::Presence),
        claim(&["j"], Expected::Absence),
    ];
    assert_eq!(terms(&by_name), expected);
    let list = json!({"claims": [
        {"claim": ["realm_access", "roles"], "contains": "admin"},
        {"claim": ["realm_access", "roles"], "contains": "auditor"},
        {"claim": "tenant.id", "exists": false}
    ]});
    let expected = [
        claim(&["realm_access", "roles"], one(text("admin"))),
        claim(&["realm_access", "roles"], one(text("auditor"))),
        claim(&["tenant.id"], Expected::Absence),
    ];
    assert_eq!(terms(&list), expected);
}

#[test]
fn acr_is_a_value_of_oktas_or_another_issuers_one_or_several() {
    let acr = |value: Value| terms(&json!({ "acr": value }));
    for value in
        acr::OKTA_VALUES.into_iter().chain(["https://idp.example/gold", "urn:mace:incommon:iap:silver", "myACR", "2"])
    {
        assert_eq!(acr(json!(value)), [Term::Authentication(owned(&[value]))]);
    }
    assert_eq!(acr(json!(["phrh", "a:b"])), [Term::Authentication(owned(&["phrh", "a:b"]))]);
}

#[test]
fn a_value_that_requires_less_than_its_name_says_is_a_warning() {
    let (requirement, _, warnings) = compiled(&json!({"any_of": [{"acr": "urn:okta:loa:2fa:any:ifpossible"}]}));
    assert!(requirement.is_some());
    assert_eq!(
        warnings,
        [
            "[weak_acr] $.require.any_of[0].acr: `urn:okta:loa:2fa:any:ifpossible` requires no second factor: tokens with one factor are accepted. Write `urn:okta:loa:2fa:any` to require two factors."
        ]
    );
    assert_eq!(compiled(&json!({"acr": "urn:okta:loa:2fa:any"})).2, [""; 0]);
}

#[test]
fn every_error_is_reported_once_at_its_path() {
    let acr_hint = "like one of Okta's values and none of them";
    let many = |count: usize| (0..count).map(|number| format!("n{number}")).collect::<Vec<_>>();
    let within_not = "not within `not`";
    let rows = [
        (json!("read"), "", "expected an object"),
        (json!({}), "", "requires nothing"),
        (json!({"scope": ["a"]}), ".scope", "did you mean `scopes`?"),
        (json!({"condition": "maybe"}), ".condition", "unknown variable"),
        (json!({"scopes": "a"}), ".scopes", "expected a list"),
        (json!({"proof": "tls"}), ".proof", "one of \"dpop\", \"mtls\", \"any\""),
        (json!({"proof": true}), ".proof", "one of \"dpop\", \"mtls\", \"any\""),
        (json!({"proof": "dpop", "not": {"proof": "any"}}), "", "no token can meet this"),
        (json!({"not": {"proof": "dpop", "groups": ["a"]}}), ".not", "several members"),
        (json!({"scopes": []}), ".scopes", "an empty list"),
        (json!({"scopes": {}}), ".scopes", "an empty list"),
        (json!({"scopes": ["a", 5]}), ".scopes[1]", "expected a string"),
        (json!({"scopes": ["a", "b c"]}), ".scopes[1]", "one scope"),
        (json!({"scopes": [""]}), ".scopes[0]", "one scope"),
        (json!({"scopes": ["a\"b"]}), ".scopes[0]", "one scope"),
        (json!({"scopes": ["a\\b"]}), ".scopes[0]", "one scope"),
        (json!({"scopes": ["a\r\n"]}), ".scopes[0]", "one scope"),
        (json!({"scopes": ["schön"]}), ".scopes[0]", "one scope"),
        (json!({"any_scope": ["a", "b", "a"]}), ".any_scope[2]", "named twice"),
        (json!({ "scopes": many(65) }), ".scopes", "more than 64"),
        (json!({"groups": ["a", ""]}), ".groups[1]", "empty, or with a space"),
        (json!({"groups": [" a"]}), ".groups[0]", "empty, or with a space"),
        (json!({ "groups": many(1025) }), ".groups", "more than 1024"),
        (json!({"client_ids": []}), ".client_ids", "an empty list"),
        (json!({"audiences": [""]}), ".audiences[0]", "empty, or with a space"),
        (json!({"amr": "mfa"}), ".amr", "expected a list"),
        (json!({"amr": ["mfa", "mfa"]}), ".amr[1]", "named twice"),
        (json!({"max_age": 900}), ".max_age", "expected a duration"),
        (json!({"max_age": "900"}), ".max_age", "expected a duration"),
        (json!({"max_age": "0s"}), ".max_age", "whole seconds, at least"),
        (json!({"max_age": "1.5s"}), ".max_age", "whole seconds, at least"),
        (json!({"acr": "PHR"}), ".acr[0]", acr_hint),
        (json!({"acr": "urn:okta:loa:2fa:all"}), ".acr[0]", acr_hint),
        (json!({"acr": "URN:OKTA:loa:2fa:any"}), ".acr[0]", acr_hint),
        (json!({"acr": ["phr", "phrh phr"]}), ".acr[1]", acr_hint),
        (json!({"acr": ["https://idp.example/a b"]}), ".acr[0]", acr_hint),
        (json!({"acr": "a\"b"}), ".acr[0]", acr_hint),
        (json!({"acr": []}), ".acr", "an empty list"),
        (json!({"acr": ["phr", "phr"]}), ".acr[1]", "named twice"),
        (json!({"acr": 2}), ".acr", "expected an `acr` value"),
        (json!({"acr": many(65).iter().map(|name| format!("u:{name}")).collect::<Vec<_>>()}), ".acr", "more than 64"),
        (json!({"claims": "a"}), ".claims", "expected an object of claim names"),
        (json!({"claims": {}}), ".claims", "no claim is named"),
        (json!({"claims": []}), ".claims", "no claim is named"),
        (json!({"claims": {"a": ["x", "y"]}}), ".claims.a", "say which is meant"),
        (json!({"claims": {"a": null}}), ".claims.a", "write {\"exists\": false}"),
        (json!({"claims": {"a": ""}}), ".claims.a", "an empty string"),
        (json!({"claims": {"": "x"}}), ".claims[\"\"]", "is not empty"),
        (json!({"claims": {"a": 9_007_199_254_740_992_u64}}), ".claims.a", "beyond 2^53"),
        (json!({"claims": {"a": -9_007_199_254_740_992_i64}}), ".claims.a", "beyond 2^53"),
        (json!({"claims": {"a": {}}}), ".claims.a", "exactly one test"),
        (json!({"claims": {"a": {"equals": "x", "exists": true}}}), ".claims.a", "exactly one test"),
        (json!({"claims": {"a": {"equal": "x"}}}), ".claims.a.equal", "did you mean `equals`?"),
        (json!({"claims": {"a": {"equals": ["x"]}}}), ".claims.a.equals", "expected a string, a number or a boolean"),
        (json!({"claims": {"a": {"one_of": []}}}), ".claims.a.one_of", "an empty list"),
        (json!({"claims": {"a": {"one_of": ["x", null]}}}), ".claims.a.one_of[1]", "expected a string"),
        (json!({"claims": {"a": {"contains_all": "x"}}}), ".claims.a.contains_all", "expected a list"),
        (json!({"claims": {"a": {"exists": "yes"}}}), ".claims.a.exists", "expected a boolean"),
        (json!({"claims": {"a": { "one_of": many(1025) }}}), ".claims.a.one_of", "more than 1024"),
        (json!({"claims": {"a": {"claim": "b", "equals": "x"}}}), ".claims.a.claim", "the name before it"),
        (json!({"claims": {"scope": "a"}}), ".claims.scope", "scopes have fields of their own"),
        (json!({"claims": [{"claim": ["scp"], "contains": "a"}]}), ".claims[0]", "scopes have fields of their own"),
        (json!({"claims": [{"equals": "x"}]}), ".claims[0].claim", "missing; write the name"),
        (json!({"claims": [{"claim": [], "equals": "x"}]}), ".claims[0].claim", "expected a claim name"),
        (json!({"claims": ["a"]}), ".claims[0]", "expected an object"),
        (
            json!({"claims": [{"claim": "a", "equals": "x"}, {"claim": ["a"], "exists": false}]}),
            ".claims[1]",
            "contradicts",
        ),
        (json!({"any_of": []}), ".any_of", "an empty list"),
        (json!({"any_of": [{"scopes": ["a"]}, {}]}), ".any_of[1]", "requires nothing"),
        (json!({"all_of": [{}]}), ".all_of[0]", "requires nothing"),
        (json!({"any_of": {"scopes": ["a"]}}), ".any_of", "expected a list"),
        (json!({"not": {}}), ".not", "requires nothing"),
        (json!({"not": [{"groups": ["a"]}]}), ".not", "expected an object"),
        (json!({"not": {"groups": ["a"], "amr": ["b"]}}), ".not", "several members"),
        (json!({"not": {"claims": {"a": 1, "b": 2}}}), ".not", "several members"),
        (json!({"not": {"acr": "phr"}}), ".not.acr", within_not),
        (json!({"not": {"max_age": "5m"}}), ".not.max_age", within_not),
        (json!({"not": {"any_of": [{"acr": "phr"}, {"groups": ["a"]}]}}), ".not.any_of[0].acr", within_not),
        (json!({"not": {"not": {"max_age": "5m"}}}), ".not.not.max_age", within_not),
        (json!({"groups": ["a"], "not": {"groups": ["a", "b"]}}), "", "no token can meet this"),
        (json!({"scopes": ["a", "b"], "not": {"any_scope": ["b", "c"]}}), "", "no token can meet this"),
        (json!({"scopes": ["a", "b"], "not": {"scopes": ["a"]}}), "", "no token can meet this"),
        (json!({"claims": {"a": 1}, "not": {"claims": {"a": 1}}}), "", "no token can meet this"),
        (
            json!({"any_of": [{"client_ids": ["a"], "all_of": [{"not": {"client_ids": ["a"]}}]}]}),
            ".any_of[0]",
            "no token can meet this",
        ),
        (json!({"any_of": vec![json!({"groups": ["a"]}); 256]}), "", "more than 256"),
    ];
    for (document, path, hint) in rows {
        let found = errors(&document);
        assert_eq!(found.len(), 1, "{document}: {found:?}");
        let (at, said) = found[0].split_once(": ").unwrap();
        assert_eq!(at, format!("$.require{path}"), "{document}: {said}");
        assert!(said.contains(hint), "{document}: {said}");
    }
}

#[test]
fn what_only_looks_contradictory_is_let_through() {
    for document in [
        json!({"groups": ["a", "b"], "not": {"groups": ["a"]}}),
        json!({"any_scope": ["a", "b"], "not": {"any_scope": ["a"]}}),
        json!({"scopes": ["a"], "not": {"scopes": ["a", "b"]}}),
        json!({"claims": {"a": {"one_of": [1, 2]}}, "not": {"claims": {"a": 1}}}),
        json!({"claims": [{"claim": "a", "contains": "x"}, {"claim": "a", "contains": "y"}]}),
        json!({"claims": [{"claim": "a", "exists": true}, {"claim": "a", "equals": "y"}]}),
        json!({"claims": [{"claim": "a", "exists": false}, {"claim": ["b", "a"], "equals": "y"}]}),
        json!({"not": {"all_of": [{"groups": ["a"]}, {"amr": ["b"]}]}}),
        json!({"any_of": vec![json!({"groups": ["a"]}); 255]}),
    ] {
        assert_eq!(errors(&document), [""; 0], "{document}");
    }
}

#[test]
fn all_faults_are_said_at_once() {
    let document = json!({
        "scopes": ["a b", "c", "c"], "acr": "phr2", "max_age": 5, "groups": [], "roles": ["x"],
        "claims": {"a": ["x"], "b": {"exists": 1}},
        "any_of": [{"scopes": ["ok"]}, {"client_ids": []}, {"any_of": [{}]}], "not": {"acr": "phr"}
    });
    let mut found = errors(&document);
    found.sort();
    let paths: Vec<&str> = found.iter().map(|fault| fault.split_once(": ").unwrap().0).collect();
    let expected = [
        "$.require.acr[0]",
        "$.require.any_of[1].client_ids",
        "$.require.any_of[2].any_of[0]",
        "$.require.claims.a",
        "$.require.claims.b.exists",
        "$.require.groups",
        "$.require.max_age",
        "$.require.not.acr",
        "$.require.roles",
        "$.require.scopes[0]",
        "$.require.scopes[2]",
    ];
    assert_eq!(paths, expected, "{found:?}");
}

#[test]
fn it_nests_six_deep_and_no_deeper() {
    let nested = |depth: usize| {
        (0..depth).fold(json!({"groups": ["a"]}), |inner, level| match level % 3 {
            0 => json!({ "any_of": [inner] }),
            1 => json!({ "all_of": [inner] }),
            _ => json!({ "not": inner }),
        })
    };
    assert_eq!(errors(&nested(6)), [""; 0]);
    let found = errors(&nested(7));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].ends_with("are nested more than 6 deep"), "{found:?}");
}

#[test]
fn no_value_of_the_document_is_in_a_fault() {
    let secret = "s3cr3t value";
    for document in [
        json!({ "scopes": [secret] }),
        json!({ "acr": secret }),
        json!({ "max_age": secret }),
        json!({ "claims": { "a": [secret] } }),
        json!({ "claims": secret }),
        json!({ "groups": [secret, secret] }),
    ] {
        let found = errors(&document);
        assert!(!found.is_empty() && found.iter().all(|fault| !fault.contains("s3cr3t")), "{found:?}");
    }
}
