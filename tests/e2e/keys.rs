//! The issuer's keys over time in a real Envoy: rotation, outage at start and later, and tokens that name keys
//! which do not exist.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::gateway::{self, Setup, configuration_with_jwks};
use serde_json::json;
use testbed::polling::until;
use testbed::{Mode, Request, SigningKey};

#[test]
fn no_good_token_is_refused_while_the_issuer_rotates_its_keys() {
    let configuration = configuration_with_jwks(json!({ "unknown_kid_cooldown": "1s" }));
    let gateway = Setup { configuration, ..Setup::default() }.start();
    let done = AtomicBool::new(false);
    let statuses = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut statuses = Vec::new();
                    while !done.load(Ordering::Relaxed) {
                        // A token is asked for and used at once: its key is published by then.
                        statuses.push(gateway.get(&gateway.alice()).status);
                    }
                    statuses
                })
            })
            .collect();
        for _ in 0..3 {
            let key = gateway.idp.kid(SigningKey::Active);
            let before = gateway.backend.count();
            until("requests under this key", Duration::from_secs(20), || {
                (gateway.backend.count() > before + 40).then_some(())
            });
            gateway.idp.rotate();
            assert_ne!(gateway.idp.kid(SigningKey::Active), key);
        }
        let before = gateway.backend.count();
        until("requests under the last key", Duration::from_secs(20), || {
            (gateway.backend.count() > before + 40).then_some(())
        });
        done.store(true, Ordering::Relaxed);
        clients.into_iter().flat_map(|client| client.join().unwrap_or_default()).collect::<Vec<u16>>()
    });
    let refused = statuses.iter().filter(|status| **status != 200).count();
    assert_eq!(refused, 0, "{refused} of {} good tokens were refused: {:?}", statuses.len(), gateway.reasons());
    assert!(statuses.len() > 150, "{}", statuses.len());
    gateway.assert_no_trap();
}

#[test]
fn a_key_server_that_is_down_at_start_costs_503_and_nothing_once_it_is_back() {
    let gateway = Setup { gate: Mode::Refuse, ..Setup::default() }.start();
    let token = gateway.alice();
    let response = gateway.get(&token);
    assert_eq!(response.status, 503);
    assert!(response.header("retry-after").is_some());
    assert_eq!(response.header("www-authenticate"), None, "another token would not help");
    assert_eq!(gateway.backend.count(), 0);
    assert!(gateway.reasons().contains(&"keys_unavailable".to_owned()));
    assert!(gateway.envoy.log().contains("fetching keys failed (connection_failed)"));
    gateway.gate.set(Mode::Pass);
    until("the keys", Duration::from_secs(20), || (gateway.get(&token).status == 200).then_some(()));
    gateway.assert_no_trap();
}

#[test]
fn readiness_says_whether_there_are_keys_and_needs_no_token() {
    let mut configuration = gateway::minimal_configuration();
    configuration["readiness_path"] = json!("/ready");
    let gateway = Setup { configuration, gate: Mode::Refuse, ..Setup::default() }.start();
    let ready = || Request::get("/ready").send(gateway.port());
    let response = ready();
    assert_eq!((response.status, response.text()), (503, r#"{"ready":false}"#.to_owned()));
    assert_eq!(Request::get("/readyx").send(gateway.port()).status, 401);
    gateway.gate.set(Mode::Pass);
    until("readiness", Duration::from_secs(20), || (ready().status == 200).then_some(()));
    assert_eq!(gateway.backend.count(), 0, "the filter answers itself");
}

#[test]
fn the_last_good_keys_survive_a_key_server_that_dies() {
    let configuration = configuration_with_jwks(json!({ "refresh": "1s", "max_stale": "1h" }));
    let gateway = Setup { configuration, ..Setup::default() }.start();
    let token = gateway.alice();
    gateway.wait_until_keys_are_held();
    gateway.gate.set(Mode::Refuse);
    gateway.envoy.wait_for_log("fetching keys failed");
    for _ in 0..20 {
        assert_eq!(gateway.get(&token).status, 200);
    }
    // A key that nobody can ask for now: that is our trouble and not the token's fault.
    let unknown = gateway.idp.sign(&json!({}), &gateway.bent_payload(json!({})), SigningKey::Unpublished);
    let response = gateway.get(&unknown);
    assert_eq!(response.status, 503);
    gateway.assert_no_trap();
}

#[test]
fn a_key_that_is_withdrawn_stops_verifying_with_the_next_fetch() {
    let configuration = configuration_with_jwks(json!({ "refresh": "1s" }));
    let gateway = Setup { configuration, ..Setup::default() }.start();
    let token = gateway.alice();
    assert_eq!(gateway.get(&token).status, 200);
    let withdrawn = gateway.idp.kid(SigningKey::Active);
    gateway.idp.rotate();
    gateway.idp.retire(&withdrawn);
    until("the refusal", Duration::from_secs(10), || (gateway.get(&token).status == 401).then_some(()));
    assert!(gateway.reasons().contains(&"key_unknown".to_owned()));
}
