//! Requests pending on keys in a real Envoy: none is forwarded undecided, each is decided once, and a
//! thousand of them neither overflow the host's stack nor strand one another.

use std::time::Duration;

use crate::gateway::{API, Gateway, Setup, configuration_with_jwks, minimal_configuration};
use serde_json::json;
use testbed::envoy::ListenerUpdate;
use testbed::polling::until;
use testbed::{Connection, ListenerOptions, Mode, Request, send_many};

const MANY: usize = 1000;

/// Requests wait as long as a busy machine needs to send a thousand of them.
fn patient() -> serde_json::Value {
    configuration_with_jwks(json!({ "timeout": "60s" }))
}

/// A gateway whose key server accepts connections and stays silent.
fn without_keys(listener: fn(ListenerOptions) -> ListenerOptions) -> Gateway {
    Setup { configuration: patient(), gate: Mode::Hold, listener, ..Setup::default() }.start()
}

/// Waits until so many requests are in the filter and none was answered.
fn wait_until_active(gateway: &Gateway, count: u64) {
    until(&format!("{count} requests in flight"), Duration::from_secs(20), || {
        (gateway.envoy.stat(&format!("http.{API}.downstream_rq_active")) >= count).then_some(())
    });
}

/// Sends `requests` at once while there are no keys, brings the keys when all are in flight, and gives the
/// statuses.
fn release_at_once(gateway: &Gateway, requests: &[Request]) -> Vec<u16> {
    std::thread::scope(|scope| {
        let answers = scope.spawn(|| send_many(gateway.port(), requests, requests.len()));
        wait_until_active(gateway, requests.len() as u64);
        assert_eq!(gateway.backend.count(), 0, "a request was forwarded undecided");
        gateway.gate.set(Mode::Pass);
        let answers = answers.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        answers.into_iter().map(|answer| answer.map(|response| response.status).unwrap_or(0)).collect()
    })
}

fn assert_serves_on(gateway: &Gateway) {
    gateway.assert_no_trap();
    for _ in 0..4 {
        assert_eq!(gateway.get(&gateway.alice()).status, 200);
    }
}

/// With `allow_on_headers_stop_iteration` a body callback that continues sends the undecided request on.
fn a_post_with_a_body_waits(listener: fn(ListenerOptions) -> ListenerOptions) {
    let gateway = without_keys(listener);
    let unpublished = testbed::SigningKey::Unpublished;
    let forged = gateway.idp.sign(&json!({}), &gateway.bent_payload(json!({})), unpublished);
    let good = gateway.alice();
    let post = |token: &str| Request::post("/accounts").bearer(token).body([b'x'; 4096]);
    let chunked =
        |token: &str| Request::post("/accounts").bearer(token).chunked(&[b"first", b"second"]).trailer("x-end", b"1");
    let requests = [post(&forged), chunked(&forged), post(&good), chunked(&good), Request::get("/").bearer(&good)];
    assert_eq!(release_at_once(&gateway, &requests), [401, 401, 200, 200, 200]);
    let bodies: Vec<usize> = gateway.backend.requests().iter().map(|request| request.body.len()).collect();
    assert_eq!(bodies.iter().sum::<usize>(), 4096 + "firstsecond".len(), "bodies arrive whole: {bodies:?}");
    assert_eq!(gateway.backend.count(), 3);
    assert_serves_on(&gateway);
}

#[test]
fn a_post_with_a_body_is_not_forwarded_undecided_by_default() {
    a_post_with_a_body_waits(|listener| listener);
}

#[test]
fn a_post_with_a_body_is_not_forwarded_undecided_with_allow_on_headers_stop_iteration() {
    a_post_with_a_body_waits(|listener| ListenerOptions { allow_on_headers_stop_iteration: Some(true), ..listener });
}

#[test]
fn a_post_with_a_body_is_not_forwarded_undecided_without_allow_on_headers_stop_iteration() {
    a_post_with_a_body_waits(|listener| ListenerOptions { allow_on_headers_stop_iteration: Some(false), ..listener });
}

const FORGED_TRAILERS: [(&str, &str); 4] =
    [("x-user-id", "mallory"), ("x_granted.scopes", "mallory"), ("authorization", "Bearer mallory"), ("x-sum", "7")];

/// Sends requests with forged trailers over HTTP/1.1 and HTTP/2 while there are no keys.
fn managed_trailers_of_a_pending_request_are_removed(listener: fn(ListenerOptions) -> ListenerOptions) {
    let gateway = without_keys(listener);
    let token = gateway.alice();
    let trailers: serde_json::Map<String, serde_json::Value> =
        FORGED_TRAILERS.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let http2 = json!([&["first", "second"][..], &[]].map(|chunks| json!({
        "port": gateway.port(), "method": "POST", "path": "/accounts", "chunks": chunks, "trailers": trailers,
        "headers": { "authorization": format!("Bearer {token}") } })));
    let http1 = FORGED_TRAILERS
        .iter()
        .fold(Request::post("/accounts").bearer(&token).chunked(&[b"first", b"second"]), |request, (name, value)| {
            request.trailer(name, value)
        });
    std::thread::scope(|scope| {
        let over_http2 = scope.spawn(|| testbed::programs::http2_requests(&http2));
        let over_http1 = scope.spawn(|| http1.send(gateway.port()));
        wait_until_active(&gateway, 3);
        // The bodies and trailers are in the filter too.
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(gateway.backend.count(), 0, "a request was forwarded undecided");
        gateway.gate.set(Mode::Pass);
        let over_http2 = over_http2.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        assert!(over_http2.iter().all(|response| response["status"] == 200), "{over_http2:?}");
        let over_http1 = over_http1.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        assert_eq!(over_http1.status, 200);
    });
    let forwarded = gateway.backend.requests();
    assert_eq!(forwarded.len(), 3);
    for request in forwarded {
        let names: Vec<&str> = request.trailers.0.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["x-sum"], "{request:?}");
    }
    assert_serves_on(&gateway);
}

#[test]
fn managed_trailers_of_a_pending_request_never_reach_the_backend_by_default() {
    managed_trailers_of_a_pending_request_are_removed(|listener| listener);
}

#[test]
fn managed_trailers_of_a_pending_request_never_reach_the_backend_with_allow_on_headers_stop_iteration() {
    managed_trailers_of_a_pending_request_are_removed(|listener| ListenerOptions {
        allow_on_headers_stop_iteration: Some(true),
        ..listener
    });
}

#[test]
fn a_thousand_pending_requests_are_allowed_once_each() {
    let gateway = without_keys(|listener| listener);
    let requests = vec![Request::get("/accounts").bearer(&gateway.alice()); MANY];
    let statuses = release_at_once(&gateway, &requests);
    assert_eq!(statuses, vec![200; MANY]);
    assert_eq!(gateway.backend.count(), MANY, "each is forwarded once");
    assert_serves_on(&gateway);
}

#[test]
fn a_thousand_pending_requests_are_rejected_once_each() {
    let gateway = without_keys(|listener| listener);
    let requests = vec![Request::get("/accounts").bearer(&gateway.bent(json!({ "aud": "api://other" }))); MANY];
    let statuses = release_at_once(&gateway, &requests);
    assert_eq!(statuses, vec![401; MANY]);
    gateway.expect_reasons("audience_unexpected", MANY);
    assert_eq!(gateway.backend.count(), 0);
    assert_serves_on(&gateway);
}

/// The form in which it overflows the host's stack: each resumed request turns into a local answer at once.
#[test]
fn a_thousand_pending_requests_are_resumed_to_a_cluster_without_endpoints() {
    let gateway = without_keys(|listener| ListenerOptions { backend: "nowhere".to_owned(), ..listener });
    let requests = vec![Request::get("/accounts").bearer(&gateway.alice()); MANY];
    let statuses = release_at_once(&gateway, &requests);
    assert_eq!(statuses, vec![503; MANY]);
    gateway.assert_no_trap();
    assert_eq!(Request::get("/").send(gateway.port()).status, 401, "the filter still decides");
}

#[test]
fn a_thousand_pending_requests_get_503_when_the_key_server_is_dead() {
    let gateway = without_keys(|listener| listener);
    let requests = vec![Request::get("/accounts").bearer(&gateway.alice()); MANY];
    let statuses = std::thread::scope(|scope| {
        let answers = scope.spawn(|| send_many(gateway.port(), &requests, MANY));
        wait_until_active(&gateway, MANY as u64);
        gateway.gate.set(Mode::Refuse);
        answers.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    for answer in statuses {
        let Ok(response) = answer else { panic!("no answer") };
        assert_eq!(response.status, 503);
        assert!(response.header("retry-after").is_some() && response.header("www-authenticate").is_none());
    }
    assert_eq!(gateway.backend.count(), 0);
    gateway.gate.set(Mode::Pass);
    until("keys after all", Duration::from_secs(20), || (gateway.get(&gateway.alice()).status == 200).then_some(()));
    gateway.assert_no_trap();
}

#[test]
fn closed_pending_streams_strand_no_other_request() {
    let gateway = without_keys(|listener| listener);
    let token = gateway.alice();
    let leaving: Vec<Connection> = (0..50)
        .map(|_| {
            let mut connection = gateway.connect();
            connection.send(&Request::get("/gone").bearer(&token)).expect("sent");
            connection
        })
        .collect();
    wait_until_active(&gateway, 50);
    let mut staying = gateway.connect();
    staying.send(&Request::get("/stays").bearer(&token)).expect("sent");
    wait_until_active(&gateway, 51);
    // The fetch that the first of them asked for goes on without them.
    drop(leaving);
    until("the clients gone", Duration::from_secs(10), || {
        (gateway.envoy.stat(&format!("http.{API}.downstream_rq_active")) == 1).then_some(())
    });
    gateway.gate.set(Mode::Pass);
    assert_eq!(staying.read_response().expect("an answer").status, 200);
    let paths: Vec<String> = gateway.backend.requests().iter().map(|request| request.path.clone()).collect();
    assert_eq!(paths, ["/stays"]);
    assert_serves_on(&gateway);
}

/// A worker lets 4,096 requests wait; those whose clients left must not count.
#[test]
fn closed_pending_streams_free_their_capacity() {
    let gateway = Setup { configuration: patient(), gate: Mode::Hold, workers: 1, ..Setup::default() }.start();
    let request = Request::get("/gone").bearer(&gateway.alice());
    for _ in 0..42 {
        let leaving: Vec<Connection> = (0..100)
            .map(|_| {
                let mut connection = gateway.connect();
                connection.send(&request).expect("sent");
                connection
            })
            .collect();
        wait_until_active(&gateway, 100);
        drop(leaving);
        until("the clients gone", Duration::from_secs(10), || {
            (gateway.envoy.stat(&format!("http.{API}.downstream_rq_active")) == 0).then_some(())
        });
    }
    let mut staying = gateway.connect();
    staying.send(&Request::get("/stays").bearer(&gateway.alice())).expect("sent");
    wait_until_active(&gateway, 1);
    gateway.gate.set(Mode::Pass);
    assert_eq!(staying.read_response().expect("an answer").status, 200);
    assert!(!gateway.reasons().contains(&"too_many_pending".to_owned()));
}

/// The fetch that a request for an unknown key asked for serves others when that request is gone.
#[test]
fn fetch_whose_requester_left_still_caches_the_keys() {
    let gateway = Setup { configuration: patient(), shares_authorization_server: false, ..Setup::default() }.start();
    assert_eq!(gateway.get(&gateway.alice()).status, 200);
    gateway.wait_until_keys_are_held();
    gateway.gate.set(Mode::Hold);
    gateway.idp.rotate();
    let token = gateway.alice();
    let mut leaving = gateway.connect();
    leaving.send(&Request::get("/gone").bearer(&token)).expect("sent");
    wait_until_active(&gateway, 1);
    let mut staying = gateway.connect();
    staying.send(&Request::get("/stays").bearer(&token)).expect("sent");
    wait_until_active(&gateway, 2);
    drop(leaving);
    until("the client gone", Duration::from_secs(10), || {
        (gateway.envoy.stat(&format!("http.{API}.downstream_rq_active")) == 1).then_some(())
    });
    gateway.gate.set(Mode::Pass);
    assert_eq!(staying.read_response().expect("an answer").status, 200);
    assert_serves_on(&gateway);
}

#[test]
fn requests_pending_at_a_second_configuration_are_decided_under_their_own() {
    let gateway = without_keys(|listener| listener);
    let token = gateway.alice();
    let waiting: Vec<Connection> = (0..20)
        .map(|_| {
            let mut connection = gateway.connect();
            connection.send(&Request::post("/accounts").bearer(&token).body(b"body")).expect("sent");
            connection
        })
        .collect();
    wait_until_active(&gateway, 20);
    let mut second = minimal_configuration();
    second["providers"]["okta"]["audiences"] = json!(["api://other"]);
    let update = gateway.envoy.replace_listener(ListenerOptions::filtered(API, &second));
    assert!(matches!(update, ListenerUpdate::Accepted), "{update:?}");
    gateway.gate.set(Mode::Pass);
    for mut connection in waiting {
        assert_eq!(
            connection.read_response().expect("an answer").status,
            200,
            "the configuration it came under lets it pass"
        );
    }
    until("the second configuration's keys", Duration::from_secs(20), || {
        (gateway.get(&token).status == 401).then_some(())
    });
    gateway.expect_reasons("audience_unexpected", 1);
    gateway.assert_no_trap();
}

#[test]
fn request_is_pending_no_longer_than_the_fetch_timeout() {
    let mut configuration = minimal_configuration();
    configuration["providers"]["okta"]["jwks"] = json!({ "timeout": "0.5s" });
    let gateway = Setup { configuration, gate: Mode::Hold, ..Setup::default() }.start();
    let response = gateway.get(&gateway.alice());
    assert_eq!(response.status, 503);
    assert!(response.header("retry-after").is_some());
    assert_eq!(gateway.backend.count(), 0);
}
