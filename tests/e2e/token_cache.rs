//! Cached tokens in a real Envoy: each expires in time, and a new configuration does not use the cache of the old one.
//! (`keys.rs` has the test of a withdrawn key.)

use std::time::Duration;

use crate::gateway::{API, Setup, minimal_configuration};
use serde_json::json;
use testbed::ListenerOptions;
use testbed::authorization_server::now;
use testbed::envoy::ListenerUpdate;
use testbed::polling::until;

#[test]
fn cached_token_is_rejected_from_the_moment_it_expires() {
    let mut configuration = minimal_configuration();
    configuration["providers"]["okta"]["clock_skew"] = json!("0s");
    let gateway = Setup { configuration, workers: 1, ..Setup::default() }.start();
    let expiry = now() + 4;
    let token = gateway.bent(json!({ "exp": expiry }));
    assert_eq!(gateway.get(&token).status, 200);
    let (mut admitted, mut last_admitted) = (0, 0);
    until("the refusal", Duration::from_secs(10), || {
        let asked_at = now();
        let status = gateway.get(&token).status;
        if status == 200 {
            (admitted, last_admitted) = (admitted + 1, asked_at);
        }
        (status == 401).then_some(())
    });
    assert!(admitted > 0 && last_admitted < expiry, "let in at {last_admitted}, expired at {expiry}");
    assert!(gateway.reasons().contains(&"token_expired".to_owned()), "{:?}", gateway.reasons());
    gateway.assert_no_trap();
}

#[test]
fn token_allowed_by_one_configuration_is_checked_again_by_the_next() {
    let gateway = Setup { workers: 1, ..Setup::default() }.start();
    let token = gateway.alice();
    for _ in 0..3 {
        assert_eq!(gateway.get(&token).status, 200);
    }
    let mut stricter = minimal_configuration();
    stricter["providers"]["okta"]["audiences"] = json!(["api://another"]);
    let update = gateway.envoy.replace_listener(ListenerOptions::filtered(API, &stricter));
    assert!(matches!(update, ListenerUpdate::Accepted), "{update:?}");
    until("the new configuration", Duration::from_secs(10), || (gateway.get(&token).status == 401).then_some(()));
    for _ in 0..3 {
        assert_eq!(gateway.get(&token).status, 401);
    }
    assert!(gateway.reasons().contains(&"audience_unexpected".to_owned()), "{:?}", gateway.reasons());
    let update = gateway.envoy.replace_listener(ListenerOptions::filtered(API, &minimal_configuration()));
    assert!(matches!(update, ListenerUpdate::Accepted), "{update:?}");
    until("the first configuration again", Duration::from_secs(10), || {
        (gateway.get(&token).status == 200).then_some(())
    });
    gateway.assert_no_trap();
}
