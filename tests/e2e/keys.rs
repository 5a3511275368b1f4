//! The issuer's keys over time in a real Envoy: rotation, outage at start and later, keys replaced under their `kid`, and
//! tokens that name keys which do not exist.

#![allow(clippy::disallowed_methods, reason = "a test measures how long things take")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::gateway::{self, API, Setup, configuration_with_jwks};
use crate::signing;
use serde_json::{Value, json};
use testbed::authorization_server::now;
use testbed::envoy::Envoy;
use testbed::flood::Flood;
use testbed::polling::until;
use testbed::{
    Backend, Cluster, EnvoyBuilder, ListenerOptions, Mode, Request, ScriptedResponse, ScriptedServer, SigningKey,
};

#[test]
fn no_good_token_is_rejected_while_the_issuer_rotates_its_keys() {
    let configuration = configuration_with_jwks(json!({ "unknown_kid_cooldown": "1s" }));
    let gateway = Setup { configuration, shares_authorization_server: false, ..Setup::default() }.start();
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
fn key_server_down_at_start_causes_503_only_until_it_is_back() {
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
fn readiness_reports_whether_keys_are_cached_and_needs_no_token() {
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
fn withdrawn_key_stops_verifying_with_the_next_fetch() {
    let configuration = configuration_with_jwks(json!({ "refresh": "1s" }));
    let gateway = Setup { configuration, shares_authorization_server: false, ..Setup::default() }.start();
    let token = gateway.alice();
    assert_eq!(gateway.get(&token).status, 200);
    let withdrawn = gateway.idp.kid(SigningKey::Active);
    gateway.idp.rotate();
    gateway.idp.retire(&withdrawn);
    until("the refusal", Duration::from_secs(10), || (gateway.get(&token).status == 401).then_some(()));
    assert!(gateway.reasons().contains(&"key_unknown".to_owned()));
}

/// A gateway with four workers, and an issuer whose keys are what the test says.
struct Issuer {
    published: Arc<Mutex<Value>>,
    server: ScriptedServer,
    backend: Backend,
    envoy: Envoy,
}

impl Issuer {
    fn publishing(keys: &[&signing::SigningKey]) -> Self {
        let [first, ..] = keys else { panic!("no key") };
        Self::start(signing::key_set(keys), &first.token(&signing::payload(now())))
    }

    /// `token` is by a key of the set.
    fn start(set: Value, token: &str) -> Self {
        let published = Arc::new(Mutex::new(set));
        let script = Arc::clone(&published);
        let server =
            ScriptedServer::start(move |_, _| ScriptedResponse::json(200, &script.lock().expect("no panic")).into());
        let configuration = json!({ "providers": { "scripted": { "issuer": signing::ISSUER,
            "audiences": [signing::AUDIENCE], "upstream": "keys", "insecure_http": true,
            "jwks": { "uri": format!("http://127.0.0.1:{}/keys", server.port()) } } } });
        let backend = Backend::start();
        let envoy = EnvoyBuilder::new()
            .concurrency(4)
            .listener(ListenerOptions::filtered(API, &configuration))
            .cluster(Cluster::backend("backend", backend.port()))
            .cluster(Cluster::plain("keys", server.port()))
            .start();
        let issuer = Self { published, server, backend, envoy };
        // Whichever worker is asked.
        for _ in 0..40 {
            assert_eq!(issuer.get(token), 200);
        }
        issuer
    }

    fn publish(&self, keys: &[&signing::SigningKey]) {
        *self.published.lock().expect("no panic") = signing::key_set(keys);
    }

    fn get(&self, token: &str) -> u16 {
        Request::get("/").bearer(token).send(self.envoy.port(API)).status
    }
}

/// A token with this `kid` and a false signature of the right length; each number makes another token.
fn forged(kid: &str, number: usize) -> String {
    let header = json!({ "alg": "RS256", "kid": kid }).to_string();
    let (payload, signature) = (signing::payload(now()).to_string(), format!("{number:0>256}"));
    format!("{}.{}.{}", signing::encode(&header), signing::encode(&payload), signing::encode(&signature))
}

#[test]
fn a_key_replaced_under_the_same_kid_works_with_its_first_token() {
    let (old, new) = (signing::SigningKey::a("k1"), signing::SigningKey::b("k1"));
    let (of_old, of_new) = (old.token(&signing::payload(now())), new.token(&signing::payload(now())));
    let issuer = Issuer::publishing(&[&old]);
    assert_eq!(issuer.server.count(), 1);
    issuer.publish(&[&new]);
    for _ in 0..40 {
        assert_eq!(issuer.get(&of_new), 200);
    }
    assert_eq!(issuer.server.count(), 2, "one fetch for all workers");
    for _ in 0..40 {
        assert_eq!(issuer.get(&of_old), 401, "the old key verifies nothing any more");
    }
    // Each worker makes sure once, unless it learns of another one's fetch.
    assert!((2..=6).contains(&issuer.server.count()), "{} fetches", issuer.server.count());
    assert!(!issuer.envoy.log().contains("panicked"));
}

/// Forged tokens with known key ids: rejected at once but for the first ones, few fetches, and no rotated key is delayed.
#[test]
fn in_a_flood_of_forged_tokens_with_cached_kids_fetches_are_few_and_a_rotated_key_works_soon() {
    let keys: Vec<_> = (0..16).map(|number| signing::SigningKey::a(&format!("k{number}"))).collect();
    let held: Vec<&signing::SigningKey> = keys.iter().collect();
    let issuer = Issuer::publishing(&held);
    let known = keys[0].token(&signing::payload(now()));
    let (before, began) = (issuer.server.count(), Instant::now());
    let statuses: [AtomicUsize; 2] = Default::default();
    let done = AtomicBool::new(false);
    let (flooded, delays) = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..4)
            .map(|sender| {
                let (issuer, statuses, done) = (&issuer, &statuses, &done);
                // Some 1,000 a second in all.
                scope.spawn(move || {
                    let mut flooded = 0;
                    while !done.load(Ordering::Relaxed) {
                        let flood = Flood {
                            port: issuer.envoy.port(API),
                            connections: 4,
                            requests: 100,
                            at_most: Duration::from_secs(60),
                        };
                        let number = |nth: usize| (sender * 1_000_000) + flooded + nth;
                        let begun = Instant::now();
                        flooded += flood
                            .send(
                                |nth| Request::get("/").bearer(&forged(&format!("k{}", nth % 16), number(nth))),
                                |response| {
                                    statuses[usize::from(response.status != 401)].fetch_add(1, Ordering::Relaxed);
                                },
                            )
                            .answered;
                        std::thread::sleep(Duration::from_millis(400).saturating_sub(begun.elapsed()));
                    }
                    flooded
                })
            })
            .collect();
        std::thread::sleep(Duration::from_secs(5));
        let delays: Vec<Duration> = (0..3)
            .map(|round| {
                let new = signing::SigningKey::b(&format!("new{round}"));
                let token = new.token(&signing::payload(now()));
                issuer.publish(&held.iter().copied().chain([&new]).collect::<Vec<_>>());
                let rotated = Instant::now();
                until("the rotated key to work in all workers", Duration::from_secs(60), || {
                    let requests = vec![Request::get("/").bearer(&token); 12];
                    let answers = testbed::send_many(issuer.envoy.port(API), &requests, 12);
                    let answers: Vec<u16> =
                        answers.into_iter().filter_map(Result::ok).map(|answer| answer.status).collect();
                    assert!(answers.iter().all(|status| [200, 503].contains(status)), "{answers:?}");
                    (answers.len() == 12 && answers.iter().all(|status| *status == 200)).then_some(())
                });
                assert_eq!(issuer.get(&known), 200);
                let delay = rotated.elapsed();
                std::thread::sleep(Duration::from_secs(5));
                delay
            })
            .collect();
        done.store(true, Ordering::Relaxed);
        (senders.into_iter().map(|sender| sender.join().expect("no panic")).sum::<usize>(), delays)
    });
    let (fetches, took) = (issuer.server.count() - before, began.elapsed());
    println!("{flooded} forged tokens in {took:?}: {fetches} fetches; rotated keys worked after {delays:?}");
    assert_eq!(statuses[1].load(Ordering::Relaxed), 0, "other answers than 401");
    // What a rotated key may take in a flood of unknown key ids, too, and one for a test machine with other work.
    assert!(delays.iter().all(|delay| *delay <= Duration::from_secs(6)), "{delays:?}");
    assert!(fetches as u64 <= 3 + took.as_secs() / 4, "{fetches} fetches in {took:?}");
    assert!(flooded > 2000, "no flood: {flooded}");
    // Nothing but the fetch for the first one is waited for.
    let mut times: Vec<Duration> = (0..200)
        .map(|number| {
            let (token, begun) = (forged("k0", 10_000_000 + number), Instant::now());
            assert_eq!(issuer.get(&token), 401);
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    println!("a forged token: {:?} in the middle, {:?} at most", times[100], times[199]);
    assert!(times[190] < Duration::from_millis(100), "{times:?}");
    assert!(issuer.backend.count() > 0);
    assert!(!issuer.envoy.log().contains("panicked"));
}

#[test]
fn key_set_with_more_than_512_keys_is_truncated_and_the_log_counts_the_ignored_keys() {
    let first = signing::SigningKey::a("first");
    let token_of = |key: &signing::SigningKey| key.token(&signing::payload(now()));
    let numbered: Vec<_> = (0..513).map(|number| signing::SigningKey::a(&format!("k{number}"))).collect();
    let mut keys = vec![first.jwk(), json!({ "kty": "oct", "kid": "secret", "k": "AAAA" })];
    keys.extend(numbered.iter().map(signing::SigningKey::jwk));
    let issuer = Issuer::start(json!({ "keys": keys }), &token_of(&first));
    assert_eq!(issuer.get(&token_of(&numbered[509])), 200, "the 512th");
    let line = r#"provider "scripted": 511 keys fetched, 1 skipped as unusable, 3 not read: a set may have 512 keys; tokens of the others are rejected"#;
    assert!(issuer.envoy.log().contains(line), "{}", issuer.envoy.log());
}
