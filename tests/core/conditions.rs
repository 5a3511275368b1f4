//! Conditions of rules: the attributes they read, what is requested from the host, and that an indeterminate condition
//! denies. Runs natively and, as wasm, under Node.

mod normal_form;
mod types;

use std::time::Duration;

use crate::engine_harness::{Harness, NOW, get, published, response_of};
use crate::signing::{AUDIENCE, ISSUER, SigningKey, key_set, payload, with};
use crate::verdicts::reason;
use okta_proxy_wasm::config;
use okta_proxy_wasm::engine::{Attribute, Decision, StreamId};
use okta_proxy_wasm::http::{HeaderName, RequestHead};
use serde_json::{Value, json};

fn provider(jwks: Value) -> Value {
    json!({ "okta": { "issuer": ISSUER, "audiences": [AUDIENCE], "upstream": "okta", "jwks": jwks } })
}

fn configured(members: Value) -> Value {
    let keys = json!({ "inline": key_set(&[&SigningKey::a("k1")]) });
    with(&json!({ "providers": provider(keys) }), members)
}

fn engine(configuration: &Value) -> Harness {
    Harness::new(configuration)
}

/// One rule for everything, with this condition.
fn requiring(condition: &str) -> Harness {
    engine(&configured(json!({ "rules": [{ "name": "all", "require": { "condition": condition } }] })))
}

/// A request with a good token whose claims are changed so.
fn head(target: &str, claims: Value, more: &[(&str, &str)]) -> RequestHead {
    let mut members = payload(NOW).as_object().unwrap().clone();
    members.extend(claims.as_object().unwrap().clone());
    let token = SigningKey::a("k1").token(&Value::Object(members));
    get(target, &token, more)
}

fn known(values: &[(Attribute, &[u8])]) -> Option<Vec<(Attribute, Vec<u8>)>> {
    Some(values.iter().map(|(attribute, value)| (*attribute, value.to_vec())).collect())
}

fn decide(engine: &mut Harness, head: &RequestHead) -> Decision {
    engine.decide(head)
}

/// The decision on a request for which the host is asked for some attributes.
fn decide_by(engine: &mut Harness, head: &RequestHead, values: &[(Attribute, &[u8])]) -> Decision {
    engine.attributes = known(values);
    let decision = engine.decide(head);
    assert!(!engine.asked.is_empty(), "not asked");
    engine.attributes = None;
    decision
}

/// Why a request for `/orgs/acme` passes or not under a condition.
fn evaluate(condition: &str, claims: Value, more: &[(&str, &str)]) -> &'static str {
    reason(&decide(&mut requiring(condition), &head("/orgs/acme?page=2", claims, more)))
}

#[test]
fn condition_reads_request_claims_token_and_time() {
    let passes = |condition: &str, claims: Value, more: &[(&str, &str)]| {
        assert_eq!(evaluate(condition, claims, more), "authorized", "{condition}");
    };
    let fails = |condition: &str, claims: Value, more: &[(&str, &str)]| {
        assert_eq!(evaluate(condition, claims, more), "condition_unmet", "{condition}");
    };
    let tenant = "claims.tenant == path_segment(request.url_path, 2)";
    passes(tenant, json!({ "tenant": "acme" }), &[]);
    fails(tenant, json!({ "tenant": "other" }), &[]);
    let device = "request.headers['x-device-id'] == claims.device";
    passes(device, json!({ "device": "d-7" }), &[("x-device-id", "d-7")]);
    fails(device, json!({ "device": "d-7" }), &[("x-device-id", "d-8")]);
    passes("request.time.getHours() < 20 && request.time.getDayOfWeek() == 5", json!({}), &[]);
    fails("request.time.getHours() >= 20", json!({}), &[]);
    passes("request.time < timestamp(claims.valid_until)", json!({ "valid_until": "2027-01-15T08:00:01Z" }), &[]);
    fails("request.time < timestamp(claims.valid_until)", json!({ "valid_until": "2027-01-15T08:00:00Z" }), &[]);
    passes("request.method == 'GET' && request.host == 'api.acme.com'", json!({}), &[]);
    passes("request.raw_path == '/orgs/acme?page=2' && request.raw_query == 'page=2'", json!({}), &[]);
    passes("token.provider == 'okta' && token.subject == 'alice@acme.com'", json!({ "sub": "alice@acme.com" }), &[]);
    passes("'read:all' in token.scopes", json!({ "scp": ["read:all"] }), &[]);
    fails("'read:all' in token.scopes", json!({ "scp": ["read"] }), &[]);
    passes("claims.groups.exists(group, group.startsWith('team-'))", json!({ "groups": ["x", "team-a"] }), &[]);
}

#[test]
fn indeterminate_condition_denies_and_the_reason_names_the_cause() {
    let rows = [
        ("claims.tenant == 'acme'", json!({}), "condition_value_missing"),
        ("claims.level > 3", json!({ "level": "4" }), "condition_wrong_type"),
        ("10 / claims.level == 10", json!({ "level": 0 }), "condition_division_by_zero"),
        ("int(claims.level) > 3", json!({ "level": "four" }), "condition_out_of_range"),
        ("ip_in(claims.address, ['10.0.0.0/8'])", json!({ "address": "nowhere" }), "condition_not_an_address"),
        ("claims.flag", json!({ "flag": "true" }), "condition_not_boolean"),
        ("request.headers['x-none'] == 'x'", json!({}), "condition_value_missing"),
        (
            "claims.many.all(one, claims.many.all(other, one != '' && other != ''))",
            json!({ "many": vec!["x"; 1000] }),
            "condition_too_costly",
        ),
    ];
    for (condition, claims, expected) in rows {
        assert_eq!(evaluate(condition, claims.clone(), &[]), expected, "{condition}");
        // Nor does its opposite pass.
        let mut negated =
            engine(&configured(json!({ "rules": [{ "require": { "not": { "condition": condition } } }] })));
        assert_eq!(reason(&decide(&mut negated, &head("/", claims, &[]))), expected, "not: {condition}");
    }
    let bytes = RequestHead::new(
        head("/", json!({}), &[])
            .names()
            .map(|name| (name.to_owned(), head("/", json!({}), &[]).values(name).next().unwrap().to_vec()))
            .chain([("x-device".to_owned(), b"\xff".to_vec())])
            .collect(),
    );
    assert_eq!(reason(&decide(&mut requiring("request.headers['x-device'] != 'a'"), &bytes)), "condition_not_text");
}

#[test]
fn denial_by_condition_is_a_403_without_challenge_or_details() {
    let decision = decide(&mut requiring("claims.tenant == 'acme'"), &head("/", json!({ "tenant": "other" }), &[]));
    let reply = response_of(&decision);
    assert_eq!((reply.status, reply.header(&HeaderName::WWW_AUTHENTICATE)), (403, None));
    let audit: Value = serde_json::from_str(&decision.audit.to_json()).unwrap();
    assert_eq!((&audit["reason"], &audit["rule"]), (&json!("condition_unmet"), &json!("all")));
    assert!(!String::from_utf8_lossy(&reply.body).contains("condition"));
}

#[test]
fn conditions_combine_with_other_requirements() {
    let require = json!({ "scopes": ["read"], "any_of": [
        { "groups": ["admins"] }, { "condition": "claims.tenant == path_segment(request.url_path, 2)" } ],
        "not": { "condition": "'x-debug' in request.headers" } });
    let mut engine = engine(&configured(json!({ "default_rule": { "require": require } })));
    let mut decision_reason = |claims: Value, more: &[(&str, &str)]| {
        reason(&decide(&mut engine, &head("/orgs/acme", with(&json!({ "scp": ["read"] }), claims), more)))
    };
    assert_eq!(decision_reason(json!({ "groups": ["admins"] }), &[]), "authorized");
    assert_eq!(decision_reason(json!({ "tenant": "acme" }), &[]), "authorized");
    assert_eq!(decision_reason(json!({ "tenant": "other" }), &[]), "no_alternative_met");
    assert_eq!(decision_reason(json!({ "tenant": "acme" }), &[("x-debug", "1")]), "not_condition_matched");
    // A scope would help, so it is what the client is told; it would not where the condition stands in the way too.
    assert_eq!(decision_reason(json!({ "tenant": "acme", "scp": ["write"] }), &[]), "scope_missing");
    assert_eq!(
        decision_reason(json!({ "tenant": "acme", "scp": ["write"] }), &[("x-debug", "1")]),
        "not_condition_matched"
    );
}

#[test]
fn only_attributes_used_by_the_matched_rule_are_read_from_the_host() {
    let rules = json!([
        { "name": "plain", "match": { "path_prefix": "/plain" } },
        { "name": "closed", "match": { "path_prefix": "/closed" }, "access": "deny" },
        { "name": "office", "match": { "path_prefix": "/office" },
          "require": { "any_of": [{ "groups": ["root"] },
                                  { "condition": "ip_in(source.address, ['10.0.0.0/8', 'fd00::/8'])" }],
                       "not": { "condition": "connection.tls_version == 'TLSv1.2'" } } },
    ]);
    let mut engine = engine(&configured(json!({ "rules": rules })));
    for path in ["/plain", "/closed", "/elsewhere"] {
        decide(&mut engine, &head(path, json!({}), &[]));
    }
    // Nobody is asked for a request that is refused without it.
    assert_eq!(reason(&decide(&mut engine, &get("/office", "", &[]))), "token_missing");
    let office = head("/office", json!({}), &[]);
    for _ in 0..2 {
        // The second time its token is known.
        let mut decision_reason = |values: &[(Attribute, &[u8])]| {
            let decision = decide_by(&mut engine, &office, values);
            assert_eq!(engine.asked, [Attribute::SourceAddress, Attribute::TlsVersion]);
            reason(&decision)
        };
        let tls: (Attribute, &[u8]) = (Attribute::TlsVersion, b"TLSv1.3");
        assert_eq!(decision_reason(&[(Attribute::SourceAddress, b"10.1.2.3:4567"), tls]), "authorized");
        assert_eq!(decision_reason(&[(Attribute::SourceAddress, b"[fd00::7]:4567"), tls]), "authorized");
        assert_eq!(decision_reason(&[(Attribute::SourceAddress, b"192.0.2.1:4567"), tls]), "no_alternative_met");
        assert_eq!(
            decision_reason(&[(Attribute::SourceAddress, b"10.1.2.3:4567"), (Attribute::TlsVersion, b"TLSv1.2")]),
            "not_condition_matched"
        );
        // A host that does not know them lets nobody in.
        assert_eq!(decision_reason(&[tls]), "no_alternative_met");
        assert_eq!(decision_reason(&[(Attribute::SourceAddress, b"10.1.2.3:4567")]), "condition_value_missing");
        assert_eq!(decision_reason(&[]), "condition_value_missing");
    }
}

#[test]
fn cached_token_is_checked_against_the_condition_of_each_request() {
    let mut engine = requiring("claims.tenant == path_segment(request.url_path, 2)");
    let claims = json!({ "tenant": "acme" });
    for _ in 0..2 {
        assert_eq!(reason(&decide(&mut engine, &head("/orgs/acme", claims.clone(), &[]))), "authorized");
        assert_eq!(reason(&decide(&mut engine, &head("/orgs/other", claims.clone(), &[]))), "condition_unmet");
    }
}

#[test]
fn condition_sees_the_path_that_rules_are_matched_by() {
    let tenant = "path_segment(request.url_path, 2) == claims.tenant && request.url_path.startsWith('/orgs/acme')";
    let claims = json!({ "tenant": "acme" });
    let decision_reason = |members: Value, target: &str| {
        reason(&decide(&mut engine(&configured(members)), &head(target, claims.clone(), &[])))
    };
    let ruled = json!({ "rules": [{ "require": { "condition": tenant } }] });
    // Without rules no path is looked at but by the condition.
    let alone = json!({ "default_rule": { "require": { "condition": tenant } } });
    for members in [&ruled, &alone] {
        for target in ["/orgs/acme", "/orgs/./acme/x?y", "/orgs/%61cme", "//orgs/acme", "/x/../orgs/acme"] {
            let is_ambiguous = target.starts_with("//") || target.contains("/.");
            let expected = if is_ambiguous { "condition_path_ambiguous" } else { "authorized" };
            assert_eq!(decision_reason(members.clone(), target), expected, "{target}");
        }
        for target in ["/orgs/other", "/orgs/Acme"] {
            assert_eq!(decision_reason(members.clone(), target), "condition_unmet", "{target}");
        }
        // `/orgs/acme` to some servers, `/orgs/acme;x` to others.
        assert_eq!(decision_reason(members.clone(), "/orgs/acme;x/y"), "condition_path_ambiguous");
    }
    assert_eq!(decision_reason(alone, "/orgs/acme/..%2fother"), "condition_path_ambiguous");
    assert_eq!(decision_reason(ruled, "/orgs/acme/..%2fother"), "path_escaped_slash");
    let other = json!({ "default_rule": { "require": { "condition": "claims.tenant == 'acme'" } } });
    assert_eq!(decision_reason(other, "/orgs/acme;x"), "authorized", "who does not ask for the path is not concerned");
}

#[test]
fn condition_of_a_pending_request_sees_the_attributes_at_arrival() {
    let rules = json!([{ "require": { "condition":
        "ip_in(source.address, ['10.0.0.0/8']) && request.headers['x-device'] == 'd-7' && request.time.getHours() == 8" } }]);
    let fetched = json!({ "uri": "https://acme.okta.com/oauth2/default/v1/keys" });
    let mut engine = engine(&json!({ "providers": provider(fetched), "rules": rules }));
    let fetch = engine.tick_begins_a_fetch();
    let requests = [
        ("d-7", "10.0.0.1:1", "authorized"),
        ("d-8", "10.0.0.1:1", "condition_unmet"),
        ("d-7", "192.0.2.1:1", "condition_unmet"),
    ];
    for (stream, (device, address, _)) in (1..).zip(requests) {
        let head = head("/", json!({}), &[("x-device", device)]);
        engine.attributes = known(&[(Attribute::SourceAddress, address.as_bytes())]);
        assert!(engine.request_as(StreamId(stream), &head).is_err(), "it is pending");
        assert_eq!(engine.asked, [Attribute::SourceAddress]);
    }
    engine.pass(Duration::from_secs(3));
    engine.done(fetch.id, published(&key_set(&[&SigningKey::a("k1")])));
    let decided: Vec<_> = engine.decided.iter().map(|(stream, decision)| (stream.0, reason(decision))).collect();
    let expected: Vec<_> = (1..).zip(requests.map(|(_, _, reason)| reason)).collect();
    assert_eq!(decided, expected);
}

#[test]
fn condition_in_report_only_mode_is_reported() {
    let rules =
        json!([{ "name": "trial", "require": { "condition": "claims.tenant == 'acme'" }, "report_only": true }]);
    let decision = decide(&mut engine(&configured(json!({ "rules": rules }))), &head("/", json!({}), &[]));
    let audit: Value = serde_json::from_str(&decision.audit.to_json()).unwrap();
    assert_eq!((&audit["decision"], &audit["would_deny"]), (&json!("allow"), &json!("condition_value_missing")));
}

fn anonymous(target: &str, more: &[(&str, &str)]) -> RequestHead {
    get(target, "", more)
}

#[test]
fn rule_without_a_token_may_have_a_condition_on_the_request() {
    let inside = "ip_in(source.address, ['10.0.0.0/8'])";
    let rules = json!([
        { "name": "metrics", "match": { "path": "/metrics" }, "access": "public", "require": { "condition": inside } },
        { "name": "news", "match": { "path": "/news" }, "access": "optional",
          "require": { "not": { "condition": "'x-robot' in request.headers" } } },
        { "name": "trial", "match": { "path": "/trial" }, "access": "public",
          "require": { "any_of": [{ "condition": "request.method == 'POST'" }, { "condition": "request.raw_query == 'a'" }] },
          "report_only": true },
    ]);
    let mut engine = engine(&configured(json!({ "rules": rules, "bypass_cors_preflight": true })));
    let mut from = |head: &RequestHead, address: &[u8]| {
        let decision = decide_by(&mut engine, head, &[(Attribute::SourceAddress, address)]);
        assert_eq!(engine.asked, [Attribute::SourceAddress]);
        decision
    };
    let good = head("/metrics", json!({}), &[]);
    for head in [&anonymous("/metrics", &[]), &good, &anonymous("/metrics", &[("authorization", "Bearer x.y.z")])] {
        assert_eq!(reason(&from(head, b"10.0.0.1:1")), "no_token_required");
        let refused = from(head, b"192.0.2.1:1");
        let reply = response_of(&refused);
        // No token would help: nobody is asked for one.
        assert_eq!((reply.status, reply.header(&HeaderName::WWW_AUTHENTICATE)), (403, None));
        assert_eq!(reason(&refused), "condition_unmet");
    }
    let mut decision_reason = |head: &RequestHead| reason(&decide(&mut engine, head));
    assert_eq!(decision_reason(&anonymous("/news", &[])), "no_token_required");
    assert_eq!(decision_reason(&anonymous("/news", &[("x-robot", "1")])), "not_condition_matched");
    assert_eq!(decision_reason(&head("/news", json!({}), &[])), "authorized");
    assert_eq!(decision_reason(&head("/news", json!({}), &[("x-robot", "1")])), "not_condition_matched");
    assert_eq!(decision_reason(&anonymous("/news", &[("authorization", "Bearer x.y.z")])), "token_encoding");
    let on_trial = decide(&mut engine, &anonymous("/trial", &[]));
    let audit: Value = serde_json::from_str(&on_trial.audit.to_json()).unwrap();
    assert_eq!(
        (&audit["decision"], &audit["reason"], &audit["would_deny"]),
        (&json!("allow"), &json!("no_token_required"), &json!("no_alternative_met"))
    );
    assert_eq!(on_trial.audit.would_deny(), Some("no_alternative_met"));
}

#[test]
fn rule_without_a_token_rejects_a_condition_on_the_token() {
    for access in ["public", "optional"] {
        for require in [
            json!({ "condition": "claims.tenant == 'acme'" }),
            json!({ "condition": "request.method == 'GET' || token.client_id == 'x'" }),
            json!({ "condition": "has(claims.tenant)" }),
            json!({ "not": { "condition": "'a' in token.scopes" } }),
            json!({ "condition": "request.method == 'GET'", "scopes": ["a"] }),
            json!({ "any_of": [{ "condition": "request.method == 'GET'" }, { "groups": ["a"] }] }),
        ] {
            let document = configured(json!({ "rules": [{ "access": access, "require": require }] }));
            let faults = config::load(document.to_string().as_bytes(), &config::no_environment).unwrap_err();
            assert_eq!(faults.len(), 1, "{access} {require}");
            assert_eq!(faults[0].path, "$.rules[0].require");
        }
    }
}

#[test]
fn faulty_condition_is_a_configuration_fault_with_its_path() {
    let conditions =
        ["claims.tenant = 'acme'", "claim.tenant == 'acme'", "1 + 1", "ip_in(source.address, ['10.0.0.1/8'])"];
    let any_of: Vec<Value> = conditions.iter().map(|condition| json!({ "condition": condition })).collect();
    let document = configured(json!({ "rules": [{ "require": { "any_of": any_of, "condition": 7 } }] }));
    let faults: Vec<String> = config::load(document.to_string().as_bytes(), &config::no_environment)
        .unwrap_err()
        .iter()
        .map(ToString::to_string)
        .collect();
    let expected = [
        "$.rules[0].require.condition: expected a string",
        "$.rules[0].require.any_of[0].condition: not a CEL expression: expected",
        "$.rules[0].require.any_of[1].condition: unknown variable; did you mean claims? at line 1, column 1",
        "$.rules[0].require.any_of[2].condition: the condition is neither true nor false at line 1, column 1",
        "$.rules[0].require.any_of[3].condition: neither an IP address nor a range such as 10.0.0.0/8 without host bits at line 1",
    ];
    assert_eq!(faults.len(), expected.len(), "{faults:#?}");
    for expected in expected {
        assert!(faults.iter().any(|fault| fault.starts_with(expected)), "{expected}\n{faults:#?}");
    }
}
