//! Random `require` documents and random tokens against a naive evaluation of the two JSON documents, with an optional
//! boolean as result.

use super::tests::compiled;
use crate::jose::signing_fixture::verified;
use crate::policy::provider_fixture::{NOW, NOW_SECS, SKEW_SECS, dpop, provider};
use crate::policy::requirement::{Remedy, RequirementContext, Verdict};
use crate::policy::{Audiences, ConstraintMode, ProofKind, Provider, SenderConstraint, ValidatedToken};
use serde_json::{Map, Value, json};

const DOCUMENTS: usize = 3000;
const TOKENS: usize = 60;
const TOKENS_PER_DOCUMENT: usize = 12;
const ACR: [&str; 5] = ["phrh", "phr", "urn:okta:loa:2fa:any", "urn:okta:loa:1fa:pwd", "u:gold"];
const THUMBPRINT: &str = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
/// The members of `cnf` that providers accept.
const ACCEPTED: [&[&str]; 4] = [&[], &["jkt"], &["x5t#S256"], &["jkt", "x5t#S256"]];
const SCOPES: [&str; 4] = ["read", "read:all", "write", "admin"];

/// Knuth's MMIX generator; its high bits.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())].clone()
    }

    /// One or two of these, each once.
    fn some(&mut self, items: &[&str]) -> Value {
        let first = self.pick(items);
        let second = self.pick(items);
        if first == second { json!([first]) } else { json!([first, second]) }
    }
}

fn claims(random: &mut Random, accepted: &[&str]) -> Value {
    let strange = [json!(null), json!(5), json!(true), json!({"a": 1}), json!([["x"]]), json!(["x", 5])];
    let mut claims = json!({"iss": "https://idp.example", "exp": NOW_SECS + 3600});
    let mut add = |random: &mut Random, name: &str, value: Value| {
        if random.chance(15) {
            return;
        }
        claims[name] = if random.chance(15) { random.pick(&strange) } else { value };
    };
    let groups = [json!([]), json!(["a"]), json!(["a", "b"]), json!("b"), json!("a b"), json!(["aa"])];
    let value = random.pick(&groups);
    add(random, "groups", value);
    let value = random.some(&["pwd", "hwk", "mfa"]);
    add(random, "amr", value);
    let value = json!(random.pick(&ACR));
    add(random, "acr", value);
    let value = json!(random.pick(&[
        NOW_SECS - 30,
        NOW_SECS - 90,
        NOW_SECS - 91,
        NOW_SECS - 600,
        NOW_SECS + 30,
        NOW_SECS + 31
    ]));
    add(random, "auth_time", value);
    let value = random.pick(&[json!("x"), json!("xy"), json!(["x", "y"]), json!(7), json!(false), json!([7, "y"])]);
    add(random, "role", value);
    let value = random.pick(&[json!({"id": "x"}), json!({"id": ["y", "x"]}), json!({}), json!({"id": null})]);
    add(random, "org.unit", value);
    // These are validated before, where malformed ones are rejected.
    if random.chance(85) {
        claims["scp"] = random.some(&SCOPES);
    }
    if random.chance(85) {
        claims["cid"] = json!(random.pick(&["c1", "c2", "c3"]));
    }
    if random.chance(85) {
        claims["aud"] = random.some(&["u", "v", "w"]);
    }
    for member in accepted {
        if random.chance(50) {
            claims["cnf"][member] = json!(THUMBPRINT);
        }
    }
    claims
}

fn validated(claims: &Value, accepted: &[&str]) -> ValidatedToken {
    let issuer = "https://idp.example".into();
    let mtls = if accepted.contains(&"x5t#S256") { ConstraintMode::IfBound } else { ConstraintMode::Off };
    let sender_constraint = SenderConstraint { mtls, dpop: accepted.contains(&"jkt").then(|| dpop(false)) };
    let provider = Provider { issuer, audiences: Audiences::InsecureAny, sender_constraint, ..provider() };
    ValidatedToken::validate(verified(claims, None), &provider, NOW).unwrap()
}

fn claim_value(random: &mut Random) -> Value {
    random.pick(&[json!("x"), json!("y"), json!(7), json!(7.0), json!(false)])
}

fn claim_test(random: &mut Random) -> Value {
    let mut test = match random.below(5) {
        0 => json!({"equals": claim_value(random)}),
        1 => json!({"contains": claim_value(random)}),
        2 => json!({"one_of": [claim_value(random), claim_value(random)]}),
        3 => json!({"contains_all": [claim_value(random), claim_value(random)]}),
        _ => json!({"exists": random.chance(50)}),
    };
    test["claim"] = random.pick(&[json!("role"), json!(["role"]), json!(["org.unit", "id"]), json!(["role", "id"])]);
    test
}

fn require(random: &mut Random, depth: usize, is_negated: bool) -> Value {
    let mut members = Map::new();
    let wanted = if is_negated { 1 } else { 1 + random.below(3) };
    while members.len() < wanted {
        let kind = random.below(if depth == 0 { 10 } else { 13 });
        let (name, value) = match kind {
            0 => ("scopes", random.some(&SCOPES)),
            1 => ("any_scope", random.some(&SCOPES)),
            2 => ("groups", random.some(&["a", "b", "c"])),
            3 => ("client_ids", random.some(&["c1", "c2"])),
            4 => ("audiences", random.some(&["u", "v"])),
            5 => ("amr", random.some(&["pwd", "hwk"])),
            6 => ("claims", json!([claim_test(random)])),
            7 => ("acr", if random.chance(50) { json!(random.pick(&ACR)) } else { random.some(&ACR) }),
            8 => ("max_age", json!(random.pick(&["60s", "1m", "5m"]))),
            9 => ("proof", json!(random.pick(&["dpop", "mtls", "any"]))),
            10 => ("any_of", json!([require(random, depth - 1, false), require(random, depth - 1, false)])),
            11 => ("all_of", json!([require(random, depth - 1, false), require(random, depth - 1, false)])),
            _ => ("not", require(random, depth - 1, true)),
        };
        members.insert(name.to_owned(), value);
    }
    members.into()
}

fn all(truths: &[Option<bool>]) -> Option<bool> {
    if truths.contains(&Some(false)) { Some(false) } else { (!truths.contains(&None)).then_some(true) }
}

fn any(truths: &[Option<bool>]) -> Option<bool> {
    if truths.contains(&Some(true)) { Some(true) } else { (!truths.contains(&None)).then_some(false) }
}

/// The strings of a claim, `None` when it is missing or malformed.
fn texts(claim: &Value) -> Option<Vec<&str>> {
    match claim {
        Value::String(text) => Some(vec![text]),
        Value::Array(items) => items.iter().map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

fn naive(require: &Value, claims: &Value) -> Option<bool> {
    let truths: Vec<Option<bool>> =
        require.as_object().unwrap().iter().map(|(name, value)| naive_member(name, value, claims)).collect();
    all(&truths)
}

fn naive_member(name: &str, wanted: &Value, claims: &Value) -> Option<bool> {
    let names = texts(wanted).unwrap_or_default();
    let one_of = |claim: &str| texts(&claims[claim]).map(|found| names.iter().any(|name| found.contains(name)));
    let granted = texts(&claims["scp"]).unwrap_or_default();
    let each = |wanted: &Value, judge: fn(&Value, &Value) -> Option<bool>| {
        wanted.as_array().unwrap().iter().map(|inner| judge(inner, claims)).collect::<Vec<_>>()
    };
    match name {
        "scopes" => Some(names.iter().all(|name| granted.contains(name))),
        "any_scope" => Some(names.iter().any(|name| granted.contains(name))),
        "groups" => one_of("groups"),
        "client_ids" => one_of("cid"),
        "audiences" => one_of("aud"),
        "amr" => texts(&claims["amr"]).map(|found| names.iter().all(|name| found.contains(name))),
        "acr" => {
            let found = claims["acr"].as_str()?;
            let stronger_or_same = |wanted: &&str| {
                let place = |value: &str| ACR[..4].iter().position(|other| *other == value);
                match (place(found), place(wanted)) {
                    (Some(found), Some(wanted)) => found <= wanted,
                    _ => found == *wanted,
                }
            };
            Some(names.iter().any(stronger_or_same))
        }
        "max_age" => {
            let auth_time = claims["auth_time"].as_u64().filter(|time| *time <= NOW_SECS + SKEW_SECS)?;
            let seconds = if *wanted == json!("5m") { 300 } else { 60 };
            Some(auth_time + seconds + SKEW_SECS >= NOW_SECS)
        }
        "proof" => {
            let is_bound = |member: &str| !claims["cnf"][member].is_null();
            Some(match wanted.as_str().unwrap() {
                "dpop" => is_bound("jkt"),
                "mtls" => is_bound("x5t#S256"),
                _ => is_bound("jkt") || is_bound("x5t#S256"),
            })
        }
        "claims" => all(&each(wanted, naive_claim)),
        "all_of" => all(&each(wanted, naive)),
        "any_of" => any(&each(wanted, naive)),
        "not" => naive(wanted, claims).map(|truth| !truth),
        _ => panic!("{name}"),
    }
}

fn naive_claim(test: &Value, claims: &Value) -> Option<bool> {
    let path = texts(&test["claim"]).unwrap();
    let mut found = Some(claims);
    for name in path {
        found = match found {
            None => None,
            Some(object) if object.is_object() => object.get(name),
            Some(_) => return None,
        };
    }
    if found == Some(&Value::Null) {
        return None;
    }
    if let Some(wanted) = test["exists"].as_bool() {
        return Some(found.is_some() == wanted);
    }
    let Some(found) = found else { return Some(false) };
    let wanted: Vec<&Value> = ["equals", "contains", "one_of", "contains_all"]
        .into_iter()
        .map(|name| &test[name])
        .flat_map(|value| value.as_array().map_or_else(|| vec![value], |items| items.iter().collect()))
        .filter(|value| !value.is_null())
        .collect();
    let found: Vec<&Value> = found.as_array().map_or_else(|| vec![found], |items| items.iter().collect());
    let same_type = |one: &Value, other: &Value| {
        (one.is_string() && other.is_string())
            || (one.is_number() && other.is_number())
            || (one.is_boolean() && other.is_boolean())
    };
    if !found.iter().all(|item| wanted.iter().any(|value| same_type(item, value))) {
        return None;
    }
    let is_found = |value: &&Value| {
        found.iter().any(|item| item == value || (item.is_number() && item.as_f64() == value.as_f64()))
    };
    Some(if test["contains_all"].is_null() { wanted.iter().any(is_found) } else { wanted.iter().all(is_found) })
}

fn mentions(require: &Value, name: &str) -> bool {
    require.to_string().contains(&format!("\"{name}\""))
}

/// The token of a client that requests exactly what the challenge names, and has what it can be bound to.
fn remedied(claims: &Value, remedy: &Remedy<'_>, accepted: &[&str]) -> Option<Value> {
    let mut claims = claims.clone();
    match remedy {
        Remedy::None => return None,
        Remedy::BoundToken(kind) => {
            let member = match kind {
                ProofKind::Dpop => "jkt",
                ProofKind::Mtls => "x5t#S256",
                ProofKind::Any => accepted[0],
            };
            assert!(accepted.contains(&member), "the provider rejects such tokens");
            claims["cnf"][member] = json!(THUMBPRINT);
        }
        Remedy::Scopes(scopes) => claims["scp"] = json!(scopes),
        Remedy::Authentication { acr_values, max_age, scopes } => {
            if let Some(value) = acr_values.first() {
                claims["acr"] = json!(value);
            }
            if max_age.is_some() {
                claims["auth_time"] = json!(NOW_SECS);
            }
            if !scopes.is_empty() {
                claims["scp"] = json!(scopes);
            }
        }
    }
    Some(claims)
}

#[test]
fn the_naive_evaluation_agrees_and_what_is_told_helps() {
    let mut random = Random(42);
    let tokens: Vec<(Value, &[&str], ValidatedToken)> = (0..TOKENS)
        .map(|_| {
            let accepted = random.pick(&ACCEPTED);
            let claims = claims(&mut random, accepted);
            let token = validated(&claims, accepted);
            (claims, accepted, token)
        })
        .collect();
    let now = NOW;
    let (mut held, mut failed, mut unknown, mut helped, mut bound, mut hopeless) = (0, 0, 0, 0, 0, 0);
    for _ in 0..DOCUMENTS {
        let document = require(&mut random, 3, false);
        // Some are invalid: `acr` in `not`, contradictions.
        let Some(requirement) = compiled(&document).0 else { continue };
        for _ in 0..TOKENS_PER_DOCUMENT {
            let (claims, accepted, token) = &tokens[random.below(TOKENS)];
            let facts = RequirementContext { token: Some(token), now, request: None };
            let verdict = requirement.evaluate(&facts);
            let truth = match verdict {
                Verdict::Holds => Some(true),
                Verdict::Fails => Some(false),
                Verdict::Indeterminate(_) => None,
            };
            assert_eq!(truth, naive(&document, claims), "{document}\n{claims}");
            match truth {
                Some(true) => held += 1,
                Some(false) => failed += 1,
                None => unknown += 1,
            }
            let Err(unmet) = requirement.check(&facts) else {
                assert_eq!(truth, Some(true), "{document}\n{claims}");
                continue;
            };
            assert_ne!(truth, Some(true), "{document}\n{claims}");
            // More scopes, or other values of `acr`, may be what a `not` or a claim test excludes.
            if mentions(&document, "not") || !random.chance(10) {
                continue;
            }
            let Some(mut better) = remedied(claims, &unmet.remedy, accepted) else {
                hopeless += 1;
                assert_hopeless(&document, claims, accepted);
                continue;
            };
            helped += 1;
            // With a bound token the client learns what else it needs, such as the other binding.
            let mut remedy = unmet.remedy.clone();
            while matches!(remedy, Remedy::BoundToken(_)) {
                bound += 1;
                let token = validated(&better, accepted);
                let context = RequirementContext { token: Some(&token), now, request: None };
                let Err(next) = requirement.check(&context) else { break };
                assert_ne!(next.remedy, remedy, "{document}\n{claims}");
                remedy = next.remedy;
                better = remedied(&better, &remedy, accepted)
                    .unwrap_or_else(|| panic!("no remedy after {unmet:?}: {document}\n{claims}"));
            }
            let token = validated(&better, accepted);
            let context = RequirementContext { token: Some(&token), now, request: None };
            assert!(requirement.check(&context).is_ok(), "{document}\n{claims}\n{unmet:?}");
        }
    }
    for (what, count) in [("held", held), ("failed", failed), ("unknown", unknown), ("told a remedy", helped)] {
        assert!(count > 200, "{what}: only {count}");
    }
    assert!(hopeless > 200, "told none: only {hopeless}");
    assert!(bound > 40, "told to request a bound token: only {bound}");
}

/// Without a remedy, no scopes, sign-in or binding would have helped; malformed claims stay as they are.
fn assert_hopeless(document: &Value, claims: &Value, accepted: &[&str]) {
    for acr in ACR {
        let mut best = claims.clone();
        best["scp"] = json!(SCOPES);
        for member in accepted {
            best["cnf"][member] = json!(THUMBPRINT);
        }
        if claims.get("acr").is_none_or(Value::is_string) {
            best["acr"] = json!(acr);
        }
        if claims.get("auth_time").is_none_or(|time| time.as_u64().is_some_and(|time| time <= NOW_SECS + SKEW_SECS)) {
            best["auth_time"] = json!(NOW_SECS);
        }
        assert_ne!(naive(document, &best), Some(true), "{document}\n{claims}\n{acr}");
    }
}
