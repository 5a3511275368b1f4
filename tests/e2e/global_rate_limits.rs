//! A fleet that shares its limits, as `examples/global-rate-limits` has them: two Envoys and one rate-limit service, its
//! requests, and the behaviour while it is down. The folder itself is run by `tests/e2e/examples.rs`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use testbed::example::{Example, Row, RunningExample};
use testbed::polling::until;
use testbed::{Mode, RateLimitService};

const NAME: &str = "global-rate-limits";
const HOST: &str = "ratelimit.acme.internal";
/// How long it may take until Envoy has a connection again.
const TIME_TO_COME_BACK: Duration = Duration::from_secs(10);

fn service(example: &Example) -> Arc<RateLimitService> {
    Arc::new(RateLimitService::start(HOST, example.limits.as_ref().expect("ratelimit.yaml")))
}

/// `GET /search` with a token of this client and user.
fn search(client: &str, user: &str) -> Row {
    row(&json!({ "what": "", "request": "GET /search", "token": { "cid": client, "sub": user } }))
}

fn row(written: &Value) -> Row {
    serde_json::from_value(written.clone()).expect("a row")
}

fn status(gateway: &RunningExample, row: &Row) -> String {
    gateway.play(row).status()
}

/// A request of the folder, one after the other through each gateway.
fn plays_the_folder(example: &Example, service: &RateLimitService, fleet: &[RunningExample; 2]) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    for (turn, row) in example.rows.iter().enumerate() {
        let before = service.calls().len();
        let faults = fleet[turn % 2].play(row).faults(row);
        assert!(faults.is_empty(), "{}: {faults:?}", row.what);
        let calls = service.calls().split_off(before);
        // What is refused for its token is not asked about, and everything else once.
        let expected = if row.reason.is_some() { 0 } else { row.times };
        assert_eq!(calls.len(), expected, "{}", row.what);
        for call in &calls {
            let descriptors = call["descriptors"].as_array().expect("a list");
            let entries: Vec<&Value> = descriptors.iter().map(|descriptor| &descriptor["entries"]).collect();
            assert_eq!(json!(entries), descriptors_of(row), "{}", row.what);
            // Only users of a client with a limit of its own have none.
            for descriptor in descriptors {
                match descriptor["limit"].as_str() {
                    Some(limit) => drop(reached.insert(limit.to_owned())),
                    None => assert_eq!(descriptor["entries"][0][1], "0oaBatch", "{}: {descriptor}", row.what),
                }
            }
        }
    }
    reached
}

#[test]
fn two_gateways_share_every_limit_keyed_by_verified_identity() {
    let example = Example::read(NAME);
    let service = service(&example);
    let fleet = [(); 2].map(|()| RunningExample::start_beside(&example, Some(Arc::clone(&service))));

    let reached = plays_the_folder(&example, &service, &fleet);
    let mut written = BTreeSet::new();
    let limits = example.limits.as_ref().expect("ratelimit.yaml");
    written_limits(&limits["descriptors"], "", &mut written);
    assert_eq!(reached, written, "limits that nothing comes to, or the other way round");

    // Four for a user, six for a client: by one gateway alone they would be eight and twelve.
    let through_both =
        |row: &Row, times: usize| -> Vec<String> { (0..times).map(|turn| status(&fleet[turn % 2], row)).collect() };
    assert_eq!(through_both(&search("0oaF", "alice@acme.com"), 6), ["200", "200", "200", "200", "429", "429"]);
    assert_eq!(through_both(&search("0oaG", "alice@acme.com"), 3), ["200", "200", "200"]);
    assert_eq!(through_both(&search("0oaG", "bob@acme.com"), 4), ["200", "200", "200", "429"]);
    let anonymous = row(&json!({ "what": "", "request": "GET /search", "from": "127.0.0.3" }));
    assert_eq!(through_both(&anonymous, 4), ["200", "200", "429", "429"]);
    let spoofed =
        row(&json!({ "what": "", "request": "GET /search", "token": { "cid": "0oaG", "sub": "bob@acme.com" },
        "headers": { "X-Client-ID": "0oaH", "X-User-ID": "carol@acme.com" } }));
    assert_eq!(through_both(&spoofed, 2), ["429", "429"]);
    assert!(fleet.iter().all(|gateway| !gateway.has_trapped()));
}

/// The limits of a configuration of envoyproxy/ratelimit, as the tests' service names them.
fn written_limits(level: &Value, above: &str, found: &mut BTreeSet<String>) {
    for entry in level.as_array().into_iter().flatten() {
        let key = entry["key"].as_str().expect("a key");
        let name = entry["value"].as_str().map_or_else(|| key.to_owned(), |value| format!("{key}={value}"));
        let path = if above.is_empty() { name } else { format!("{above}/{name}") };
        if entry["rate_limit"].is_object() {
            found.insert(path.clone());
        }
        written_limits(&entry["descriptors"], &path, found);
    }
}

/// What the token proves, whatever the headers say.
fn descriptors_of(row: &Row) -> Value {
    let Some(claims) = &row.token else {
        return json!([[
            ["header_match", "anonymous"],
            ["remote_address", row.from.as_deref().unwrap_or("127.0.0.1")]
        ]]);
    };
    let user = claims.get("sub").cloned().unwrap_or_else(|| json!("alice@acme.com"));
    json!([[["client", claims["cid"]]], [["client", claims["cid"]], ["user", user]]])
}

#[test]
fn while_the_rate_limit_service_is_down_requests_are_denied_and_rejections_are_unchanged() {
    let example = Example::read(NAME);
    let service = service(&example);
    let gateway = RunningExample::start_beside(&example, Some(Arc::clone(&service)));
    let alice = search("0oaA", "alice@acme.com");
    let without = row(&json!({ "what": "", "request": "GET /accounts", "status": 401 }));
    assert_eq!(status(&gateway, &alice), "200");
    // It is silent, and then its machine is gone.
    for mode in [Mode::Hold, Mode::Refuse] {
        service.gate.set(mode);
        let outcome = gateway.play(&alice);
        assert_eq!(outcome.status(), "503", "{mode:?}");
        assert!(!outcome.was_forwarded(), "{mode:?}");
        assert_eq!(status(&gateway, &without), "401", "{mode:?}");
    }
    service.gate.set(Mode::Pass);
    until("requests to be counted again", TIME_TO_COME_BACK, || (status(&gateway, &alice) == "200").then_some(()));
}

#[test]
fn with_failure_mode_deny_off_requests_are_allowed_uncounted_but_still_need_their_token() {
    let mut example = Example::read(NAME);
    let written = example.bootstrap.to_string();
    let changed = written.replacen(r#""failure_mode_deny":true"#, r#""failure_mode_deny":false"#, 1);
    assert_ne!(changed, written);
    example.bootstrap = serde_json::from_str(&changed).expect("JSON");
    let service = service(&example);
    let gateway = RunningExample::start_beside(&example, Some(Arc::clone(&service)));
    service.gate.set(Mode::Refuse);
    let alice = search("0oaA", "alice@acme.com");
    assert_eq!([(); 6].map(|()| status(&gateway, &alice)), ["200"; 6]);
    let without = row(&json!({ "what": "", "request": "GET /accounts" }));
    assert_eq!(status(&gateway, &without), "401");
    assert_eq!(service.calls(), Vec::<Value>::new());
}
