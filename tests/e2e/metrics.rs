//! The filter's metrics in a real Envoy: each number against the requests sent, parsed as Prometheus parses it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::gateway::{self, API, Gateway, Setup};
use crate::signing::{AUDIENCE, ISSUER, SigningKey, key_set, payload, with};
use serde_json::{Value, json};
use testbed::authorization_server::now;
use testbed::polling::until;
use testbed::prometheus_text::samples;
use testbed::{
    Cluster, Envoy, ListenerOptions, ListenerUpdate, Mode, Request, Script, ScriptedResponse, ScriptedServer,
};

/// Beside the workers, Envoy's main thread has a VM that reports.
const REPORTERS: u64 = 3;
/// Reports are five seconds apart; one that is missing counts for twenty.
const A_REPORT: Duration = Duration::from_secs(15);
const ALL_REPORTS_BUT_THOSE_OF_THE_DEAD: Duration = Duration::from_secs(60);
/// Whatever a provider is called, its name stays one label.
const HOSTILE: &str = "Acme Inc.\" } x{y=\"\\\n.rule.a.provider.b";
const HOSTILE_AS_WRITTEN: &str = "Acme%20Inc%2E%22%20%7D%20x%7By%3D%22%5C%0A%2Erule.a.provider.b";

/// The series of one metric, by their labels.
fn family(envoy: &Envoy, name: &str) -> BTreeMap<String, u64> {
    let name = format!("okta_proxy_wasm_{name}");
    let exposition = envoy.admin("GET", "/stats/prometheus").text();
    let of_family = samples(&exposition, &name).into_iter().filter(|sample| sample.name == name);
    let labels = |labels: &BTreeMap<String, String>| {
        labels.iter().map(|(label, value)| format!("{label}={value}")).collect::<Vec<_>>().join(" ")
    };
    // They are whole numbers.
    of_family.map(|sample| (labels(&sample.labels), sample.value as u64)).collect()
}

fn only(envoy: &Envoy, name: &str) -> Option<u64> {
    family(envoy, name).get("").copied()
}

fn expected(series: &[(&str, u64)]) -> BTreeMap<String, u64> {
    series.iter().map(|(labels, value)| ((*labels).to_owned(), *value)).collect()
}

fn expect(envoy: &Envoy, name: &str, series: &[(&str, u64)]) {
    let expected = expected(series);
    let mut last = BTreeMap::new();
    let came = testbed::polling::within(A_REPORT, || {
        last = family(envoy, name);
        (last == expected).then_some(())
    });
    assert!(came.is_some(), "{name}: {last:#?}\nis not {expected:#?}");
}

fn issuer_of(key: &SigningKey) -> Value {
    json!({ "issuer": ISSUER, "audiences": [AUDIENCE], "upstream": "nowhere", "jwks": { "inline": key_set(&[key]) } })
}

#[test]
fn every_decision_is_counted_once_under_its_rule_and_once_under_its_provider() {
    let key = SigningKey::a("k1");
    let configuration = json!({
        "providers": { HOSTILE: issuer_of(&key) },
        "rules": [
            { "name": "health", "match": { "path": "/healthz" }, "access": "public" },
            { "name": "v1.read-only", "match": { "path_prefix": "/v1" }, "require": { "scopes": ["read:accounts"] } },
            { "name": "trial", "match": { "path_prefix": "/beta" }, "require": { "groups": ["x"] }, "report_only": true },
            { "match": { "path_prefix": "/internal" }, "access": "deny" },
            { "name": "write", "match": { "path_prefix": "/write" }, "require": { "scopes": ["nobody:has"] } },
        ],
    });
    let gateway = Setup { configuration, ..Setup::default() }.start();
    let claims = payload(now());
    let good = key.token(&claims);
    let expired = key.token(&with(&claims, json!({ "iat": now() - 7200, "exp": now() - 3600 })));
    let forged = SigningKey::b("k1").token(&claims);
    let foreign = key.token(&with(&claims, json!({ "iss": "https://evil.example" })));
    let send = |times: usize, path: &str, token: Option<&str>, status: u16| {
        for _ in 0..times {
            let request = token.into_iter().fold(Request::get(path), Request::bearer);
            assert_eq!(request.send(gateway.port()).status, status, "{path}");
        }
    };
    send(3, "/healthz", None, 200);
    send(7, "/v1/accounts", Some(&good), 200);
    send(2, "/v1/accounts", None, 401);
    send(1, "/v1/accounts", Some(&expired), 401);
    send(4, "/v1/accounts", Some(&forged), 401);
    send(2, "/v1/accounts", Some(&foreign), 401);
    send(5, "/beta/x", Some(&good), 200);
    send(1, "/internal/x", Some(&good), 403);
    send(2, "/write/x", Some(&good), 403);
    send(6, "/elsewhere", Some(&good), 200);
    send(1, "/elsewhere", Some("not-a-jwt"), 401);

    let envoy = &gateway.envoy;
    let decisions = [
        ("reason=no_token_required rule=health verdict=allow", 3),
        ("reason=authorized rule=v1.read-only verdict=allow", 7),
        ("reason=token_missing rule=v1.read-only verdict=deny", 2),
        ("reason=token_expired rule=v1.read-only verdict=deny", 1),
        ("reason=signature_invalid rule=v1.read-only verdict=deny", 4),
        ("reason=issuer_unknown rule=v1.read-only verdict=deny", 2),
        ("reason=authorized rule=trial verdict=allow", 5),
        ("reason=access_denied rule=%28unnamed%29 verdict=deny", 1),
        ("reason=scope_missing rule=write verdict=deny", 2),
        ("reason=authorized rule=%28unnamed%29 verdict=allow", 6),
        ("reason=token_opaque rule=%28unnamed%29 verdict=deny", 1),
    ];
    expect(envoy, "decisions_total", &decisions);
    let of_provider = |reason: &str, verdict: &str, count: u64| {
        (format!("provider={HOSTILE_AS_WRITTEN} reason={reason} verdict={verdict}"), count)
    };
    let of_provider = [
        of_provider("authorized", "allow", 18),
        of_provider("token_expired", "deny", 1),
        of_provider("signature_invalid", "deny", 4),
        of_provider("scope_missing", "deny", 2),
    ];
    let borrowed: Vec<_> = of_provider.iter().map(|(labels, count)| (labels.as_str(), *count)).collect();
    expect(envoy, "provider_decisions_total", &borrowed);
    expect(envoy, "would_deny_total", &[("reason=group_missing rule=trial", 5)]);

    // Every request was decided at once, and each decision timed.
    let all: u64 = decisions.iter().map(|(_, count)| count).sum();
    until("the histogram", A_REPORT, || (only(envoy, "decision_microseconds_count") == Some(all)).then_some(()));
    let sum = only(envoy, "decision_microseconds_sum").expect("a sum");
    assert!((all..all * 100_000).contains(&sum), "{sum} microseconds for {all} decisions");
    assert_eq!(only(envoy, "parked_milliseconds_count").unwrap_or(0), 0);

    expect(envoy, "workers", &[("", REPORTERS)]);
    expect(envoy, "keys", &[(&format!("provider={HOSTILE_AS_WRITTEN}"), 1)]);
    expect(envoy, "workers_without_keys", &[(&format!("provider={HOSTILE_AS_WRITTEN}"), 0)]);
    expect(envoy, "algorithms", &[("verifier=host", 1), ("verifier=module", 0), ("verifier=module_in_doubt", 0)]);
    expect(envoy, "insecure_settings", &[("", 0)]);
    // Two workers, each of which sees the good token first once, and four forged tokens.
    let look_ups = until("the cache's counts", A_REPORT, || {
        let look_ups = family(envoy, "token_cache_look_ups_total");
        let all: u64 = look_ups.values().sum();
        // Neither public nor closed, and with a JWT of a configured issuer that does not say itself that it has expired.
        (all == 34 - 10).then_some(look_ups)
    });
    let misses = look_ups["result=miss"];
    assert!((5..=6).contains(&misses), "{look_ups:?}");
    let held = only(envoy, "token_cache_tokens").expect("a size");
    assert!((1..=2).contains(&held), "{held}");
    gateway.assert_no_trap();
}

#[test]
fn a_decision_is_counted_whether_or_not_its_record_is_written() {
    let key = SigningKey::a("k1");
    let configuration = json!({
        "providers": { "acme": issuer_of(&key) },
        "rules": [{ "name": "trial", "match": { "path": "/beta" }, "require": { "groups": ["x"] }, "report_only": true }],
        "audit": { "allowed": "sampled", "sample": 1e-9, "denied": "none" },
    });
    let gateway = Setup { configuration, ..Setup::default() }.start();
    let good = key.token(&payload(now()));
    for (times, path, token, status) in [(6, "/", &*good, 200), (5, "/beta", &good, 200), (4, "/", "x", 401)] {
        for _ in 0..times {
            assert_eq!(Request::get(path).bearer(token).send(gateway.port()).status, status, "{path}");
        }
    }
    let envoy = &gateway.envoy;
    let decisions = [
        ("reason=authorized rule=%28unnamed%29 verdict=allow", 6),
        ("reason=authorized rule=trial verdict=allow", 5),
        ("reason=token_opaque rule=%28unnamed%29 verdict=deny", 4),
    ];
    expect(envoy, "decisions_total", &decisions);
    expect(envoy, "provider_decisions_total", &[("provider=acme reason=authorized verdict=allow", 11)]);
    expect(envoy, "would_deny_total", &[("reason=group_missing rule=trial", 5)]);
    // By the time of a report Envoy has written its log.
    expect(envoy, "workers", &[("", REPORTERS)]);
    assert_eq!(envoy.audit_records(), Vec::<Value>::new());
    gateway.assert_no_trap();
}

#[test]
fn key_age_rotation_and_fetch_failures_are_counted() {
    let jwks = json!({ "refresh": "60s", "unknown_kid_cooldown": "1s", "timeout": "1s" });
    let configuration = gateway::configuration_with_jwks(jwks);
    let gateway =
        Setup { configuration, gate: Mode::Hold, shares_authorization_server: false, ..Setup::default() }.start();
    let envoy = &gateway.envoy;
    let token = gateway.alice();
    assert_eq!(gateway.get(&token).status, 503);
    until("the failures", A_REPORT, || {
        (family(envoy, "key_fetches_total").get("outcome=timed_out provider=okta").copied() >= Some(1)).then_some(())
    });
    expect(envoy, "workers_without_keys", &[("provider=okta", REPORTERS)]);
    expect(envoy, "keys", &[("provider=okta", 0)]);
    gateway.gate.set(Mode::Pass);
    until("keys", A_REPORT, || (gateway.get(&token).status == 200).then_some(()));
    expect(envoy, "workers_without_keys", &[("provider=okta", 0)]);
    let held = gateway.idp.jwks()["keys"].as_array().map_or(0, Vec::len) as u64;
    expect(envoy, "keys", &[("provider=okta", held)]);
    until("the age", A_REPORT, || (family(envoy, "keys_age_seconds").get("provider=okta") > Some(&2)).then_some(()));
    let fetches = family(envoy, "key_fetches_total");
    assert_eq!(fetches["outcome=fetched provider=okta"], 1, "{fetches:?}");
    assert_eq!(fetches["outcome=taken_over provider=okta"], REPORTERS - 1, "{fetches:?}");
    let parked = only(envoy, "parked_milliseconds_count").unwrap_or(0);
    assert!(parked >= 1, "the first requests waited");

    gateway.idp.rotate();
    until("the new key", A_REPORT, || (gateway.get(&gateway.alice()).status == 200).then_some(()));
    expect(envoy, "unknown_key_fetches_total", &[("provider=okta", 1)]);
    expect(envoy, "key_changes_total", &[("provider=okta", 1)]);
    let (signed, _) = token.rsplit_once('.').expect("a JWT");
    let forged = format!("{signed}.{}", "A".repeat(342));
    assert_eq!(gateway.get(&forged).status, 401);
    expect(envoy, "signature_invalid_fetches_total", &[("provider=okta", 1)]);
    gateway.assert_no_trap();
}

fn introspecting(members: Value) -> Value {
    let mut introspection = json!({ "client_id": "0oaGateway", "client_secret": { "env": "OKTA_CLIENT_SECRET" } });
    for (name, value) in members.as_object().into_iter().flatten() {
        introspection[name] = value.clone();
    }
    json!({
        "providers": { "okta": {
            "okta": { "domain": "acme.okta.com" }, "audiences": [AUDIENCE], "upstream": "scripted",
            "jwks": { "inline": key_set(&[&SigningKey::a("k1")]) }, "introspection": introspection } },
        "revocations": { "uri": "https://sec.acme.com/revoked.json", "upstream": "scripted", "refresh": "1s" },
    })
}

/// Answers for the list of revoked tokens, and as the script says of tokens.
fn issuer(script: impl Fn(&str) -> Script + Send + Sync + 'static) -> ScriptedServer {
    ScriptedServer::start(move |received, _| {
        let body = String::from_utf8_lossy(&received.body).into_owned();
        match body.split('&').find_map(|parameter| parameter.strip_prefix("token=")) {
            Some(token) => script(token),
            None => ScriptedResponse::json(200, &json!({ "revoked": [{ "sub": "mallory" }, { "sub": "eve" }] })).into(),
        }
    })
}

fn active() -> ScriptedResponse {
    ScriptedResponse::json(
        200,
        &json!({
            "active": true, "token_type": "Bearer", "scope": "read:accounts", "client_id": "0oa1client",
            "sub": "alice@acme.com", "iss": ISSUER, "aud": AUDIENCE, "iat": now(), "exp": now() + 3600,
        }),
    )
}

fn start_gateway(members: Value, server: &ScriptedServer) -> Gateway {
    Setup {
        configuration: introspecting(members),
        listener: |listener| ListenerOptions { host_env_keys: vec!["OKTA_CLIENT_SECRET".to_owned()], ..listener },
        more_clusters: vec![Cluster::plain("scripted", server.port())],
        environment: vec![("OKTA_CLIENT_SECRET", "hunter2".to_owned())],
        ..Setup::default()
    }
    .start()
}

#[test]
fn introspection_calls_and_responses_are_counted() {
    let server = issuer(|token| match token {
        "good" => active().into(),
        "fails" => ScriptedResponse::new(500, "").into(),
        _ => ScriptedResponse::json(200, &json!({ "active": false })).into(),
    });
    let gateway = start_gateway(json!({ "cache_ttl": "600s" }), &server);
    let envoy = &gateway.envoy;
    until("the list", A_REPORT, || (gateway.get("good").status == 200).then_some(()));
    for _ in 0..9 {
        assert_eq!(gateway.get("good").status, 200);
    }
    assert_eq!(gateway.get("bad").status, 401);
    assert_eq!(gateway.get("fails").status, 503);
    let about_tokens = server.requests().iter().filter(|received| received.method == "POST").count() as u64;
    let calls = until("all calls", A_REPORT, || {
        let calls = family(envoy, "introspection_calls_total");
        (calls.values().sum::<u64>() == about_tokens).then_some(calls)
    });
    assert_eq!(calls["outcome=answered provider=okta"], 2, "{calls:?}");
    assert_eq!(calls["outcome=status provider=okta"], about_tokens - 2, "{calls:?}");
    let look_ups = until("the look-ups", A_REPORT, || {
        let look_ups = family(envoy, "introspection_look_ups_total");
        (look_ups.get("provider=okta result=active") >= Some(&10)).then_some(look_ups)
    });
    assert!(look_ups["provider=okta result=refused"] >= 1, "{look_ups:?}");
    assert!(look_ups["provider=okta result=wait"] >= 3, "{look_ups:?}");
    assert!(look_ups["provider=okta result=endpoint_failing"] >= 1, "{look_ups:?}");
    assert_eq!(look_ups["provider=okta result=stale"], 0, "{look_ups:?}");
    expect(envoy, "introspection_budget_per_minute", &[("provider=okta", 150)]);
    let held = family(envoy, "introspection_answers")["provider=okta"];
    assert!((1..=2).contains(&held), "{held}: by the workers that were asked");
    assert!(family(envoy, "introspection_answer_bytes")["provider=okta"] > 500);
    expect(envoy, "introspection_asked_tokens", &[("provider=okta", 0)]);

    expect(envoy, "revocation_list_entries", &[("", 2)]);
    expect(envoy, "workers_without_revocation_list", &[("", 0)]);
    assert!(family(envoy, "revocation_polls_total")["outcome=replaced"] >= REPORTERS);
    drop(server);
    until("the list to age", A_REPORT * 2, || (only(envoy, "revocation_list_age_seconds") > Some(3)).then_some(()));
    until("failing polls", A_REPORT, || {
        (family(envoy, "revocation_polls_total").get("outcome=connection_failed") >= Some(&1)).then_some(())
    });
    gateway.assert_no_trap();
}

#[test]
fn stale_responses_exhausted_budget_and_open_circuit_breaker_are_counted() {
    let server = issuer(|token| match token {
        "good" => active().into(),
        _ => ScriptedResponse::json(200, &json!({ "active": false })).into(),
    });
    let members = json!({ "cache_ttl": "1s", "stale_if_error": "600s", "requests_per_minute": 4 });
    let gateway = start_gateway(members, &server);
    let envoy = &gateway.envoy;
    until("the list", A_REPORT, || (gateway.get("good").status == 200).then_some(()));
    // Half of the budget is for tokens that nobody knows; then they are refused.
    for number in 0..10 {
        gateway.get(&format!("bad-{number}"));
    }
    until("a stale answer and a refusal", A_REPORT * 2, || {
        gateway.get("good");
        let look_ups = family(envoy, "introspection_look_ups_total");
        let stale = look_ups.get("provider=okta result=stale") >= Some(&1);
        let spent = look_ups.get("provider=okta result=budget_spent") >= Some(&1);
        (stale && spent).then_some(())
    });
    let refused = family(envoy, "decisions_total");
    assert!(refused["reason=introspection_rate_limited rule=%28unnamed%29 verdict=deny"] >= 5, "{refused:?}");
    drop(server);
    gateway.assert_no_trap();
}

/// The same module under another digest: Envoy runs it in VMs of its own, and ends the old ones.
fn another_module(directory: &testbed::TempDir) -> std::path::PathBuf {
    let mut bytes = std::fs::read(testbed::module::wasm_module()).expect("the module");
    // A custom section of no content, called "x".
    bytes.extend_from_slice(&[0, 2, 1, b'x']);
    let path = directory.path().join("another.wasm");
    std::fs::write(&path, bytes).expect("it is written");
    path
}

#[test]
fn new_configuration_keeps_all_counts_and_reload_leaves_no_stale_worker() {
    let key = SigningKey::a("k1");
    let configuration = |provider: &str| json!({ "providers": { provider: issuer_of(&key) } });
    let gateway = Setup { configuration: configuration("old"), ..Setup::default() }.start();
    let envoy = &gateway.envoy;
    let token = key.token(&payload(now()));
    let send = |times: usize| (0..times).for_each(|_| assert_eq!(gateway.get(&token).status, 200));
    let admitted = "reason=authorized rule=%28unnamed%29 verdict=allow";
    send(5);
    expect(envoy, "keys", &[("provider=old", 1)]);

    let replaced = envoy.replace_listener(ListenerOptions::filtered(API, &configuration("new")));
    assert_eq!(replaced, ListenerUpdate::Accepted);
    send(5);
    expect(envoy, "decisions_total", &[(admitted, 10)]);
    until("the old provider to be over", ALL_REPORTS_BUT_THOSE_OF_THE_DEAD, || {
        (family(envoy, "keys") == expected(&[("provider=old", 0), ("provider=new", 1)])).then_some(())
    });
    expect(envoy, "workers", &[("", REPORTERS)]);

    let directory = testbed::TempDir::with_prefix("module-").expect("a directory");
    let other = |configuration: &Value| ListenerOptions {
        module: Some(another_module(&directory)),
        ..ListenerOptions::filtered(API, configuration)
    };
    assert_eq!(envoy.replace_listener(other(&configuration("new"))), ListenerUpdate::Accepted);
    send(5);
    // Envoy forgets a number with the last VM that has defined it, be it before the new ones do or after.
    until("the count", A_REPORT, || {
        [Some(5), Some(15)].contains(&family(envoy, "decisions_total").get(admitted).copied()).then_some(())
    });
    until("the old VMs to be over", ALL_REPORTS_BUT_THOSE_OF_THE_DEAD, || {
        (only(envoy, "workers") == Some(REPORTERS)).then_some(())
    });

    gateway.assert_no_trap();
    let mut faulty = configuration("new");
    faulty["providers"]["new"]["audiences"] = json!(5);
    let refused = envoy.replace_listener(other(&faulty));
    assert!(matches!(refused, ListenerUpdate::Rejected(_)), "{refused:?}");
    send(1);
    let loads = family(envoy, "configurations_total");
    assert!(loads.get("outcome=refused") >= Some(&1) && loads["outcome=accepted"] >= REPORTERS, "{loads:?}");
    assert!(!envoy.log().contains("panicked"));
}

#[test]
fn insecure_settings_and_algorithms_of_the_module_are_counted() {
    let key = SigningKey::a("k1");
    let mut configuration = json!({ "providers": { "okta": issuer_of(&key) }, "native_crypto": "off" });
    let provider = &mut configuration["providers"]["okta"];
    provider.as_object_mut().expect("an object").remove("audiences");
    provider["insecure_any_audience"] = json!(true);
    provider["insecure_http"] = json!(true);
    configuration["insecure_ambiguous_paths"] = json!(true);
    let gateway = Setup { configuration, ..Setup::default() }.start();
    expect(&gateway.envoy, "insecure_settings", &[("", 3)]);
    expect(
        &gateway.envoy,
        "algorithms",
        &[("verifier=host", 0), ("verifier=module", 1), ("verifier=module_in_doubt", 0)],
    );
}
