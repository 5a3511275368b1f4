//! Values of different types: a comparison that is an error, and denies.

use super::*;

/// `claims.role != 'guest'` allowed a token with `"role": ["guest"]`: values of different types were different.
#[test]
fn claim_of_another_type_than_its_constant_denies_with_every_operator() {
    let text = "guest";
    let conditions = [
        "claims.role != 'guest'",
        "claims.role == 'guest'",
        "!(claims.role == 'guest')",
        "claims.role in ['guest', 'visitor']",
        "!(claims.role in ['guest', 'visitor'])",
        "!(claims.role in {'guest': 1})",
        "!('guest' in [claims.role])",
        "[claims.role] != ['guest']",
        "{'role': claims.role} != {'role': 'guest'}",
        "!['guest', 'visitor'].exists(role, role == claims.role)",
        "['guest', 'visitor'].all(role, role != claims.role)",
        "['guest'].filter(role, role == claims.role) == []",
        "claims.role != token.provider",
        "claims.role != request.method",
        "claims.role != claims.text",
        "claims.role == 'guest' ? false : true",
        "(claims.role != 'guest') == true",
    ];
    for condition in conditions {
        for role in [json!(null), json!(0), json!(1.5), json!(true), json!([text]), json!([]), json!({ text: text })] {
            let claims = json!({ "role": role, "text": text });
            assert_eq!(evaluate(condition, claims, &[]), "condition_wrong_type", "{condition} for {role}");
        }
        let missing = evaluate(condition, json!({ "text": text }), &[]);
        assert_eq!(missing, "condition_value_missing", "{condition} without the claim");
    }
    for (condition, claims) in [
        ("claims.suspended != true", json!({ "suspended": "true" })),
        ("!(claims.suspended == true)", json!({ "suspended": 1 })),
        ("claims.level != 3", json!({ "level": "3" })),
        ("!(claims.level in [1, 2])", json!({ "level": "1" })),
        ("claims.groups != ['guest']", json!({ "groups": "guest" })),
        ("claims.groups != ['guest']", json!({ "groups": [7] })),
        ("claims.groups != ['guest', 'a']", json!({ "groups": [7, "b"] })),
        ("!('guest' in claims.groups)", json!({ "groups": ["a", 7] })),
        ("'a' in claims.groups", json!({ "groups": ["a", null] })),
        ("!('guest' in claims.groups)", json!({ "groups": [["guest"]] })),
        ("!('guest' in claims.groups)", json!({ "groups": "guest" })),
        ("!('guest' in claims.groups)", json!({ "groups": null })),
        ("!claims.groups.exists(group, group == 'guest')", json!({ "groups": ["a", 7] })),
        ("claims.address != {'city': 'x'}", json!({ "address": { "city": 7 } })),
        ("claims.expires != request.time", json!({ "expires": 1_800_000_000 })),
        ("claims.expires != timestamp('2027-01-15T08:00:00Z')", json!({ "expires": "2027-01-15T08:00:00Z" })),
    ] {
        assert_eq!(evaluate(condition, claims, &[]), "condition_wrong_type", "{condition}");
    }
}

#[test]
fn numbers_compare_numerically_and_null_compares_with_every_type() {
    for (condition, claims) in [
        ("claims.level == 3 && claims.level != 4", json!({ "level": 3.0 })),
        ("claims.level == 3.0 && claims.level in [1, 3.0]", json!({ "level": 3 })),
        ("claims.level == claims.other", json!({ "level": 3, "other": 3.0 })),
        ("claims.role == null", json!({ "role": null })),
        ("claims.role != null && !(claims.role == null)", json!({ "role": "a" })),
        ("claims.role in [null, 'a'] && !(claims.role in [null, 'b'])", json!({ "role": "a" })),
        ("claims.role in [null, 'a']", json!({ "role": null })),
        // A list of several types takes all of these.
        ("claims.level in ['all', 3] && !(claims.level in ['all', 4])", json!({ "level": 3 })),
        ("!(claims.level in ['none', 3])", json!({ "level": "all" })),
        ("!(claims.level in []) && !('a' in claims.groups)", json!({ "level": 3, "groups": [] })),
        ("claims.groups != ['a'] && claims.groups != []", json!({ "groups": ["a", 7] })),
        // What settles the matter does so whatever the rest is.
        ("claims.role == 'guest' || request.method == 'GET'", json!({ "role": 7 })),
    ] {
        assert_eq!(evaluate(condition, claims, &[]), "authorized", "{condition}");
    }
    // Of whole numbers beyond 64 bits several are one double.
    let beyond: Value = serde_json::from_str(r#"{ "a": 99999999999999999999, "b": 99999999999999999998 }"#).unwrap();
    assert_eq!(evaluate("claims.a == claims.b", beyond, &[]), "condition_out_of_range");
}
