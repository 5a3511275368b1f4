//! One client that floods introspection, against a real Envoy with two workers: the calls that the issuer receives, and the
//! delay of others. Each test prints its results in a line that begins with `figure:`.

#![allow(clippy::disallowed_methods, reason = "requests are sent at a rate, and calls are counted")]

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::gateway::{self, Gateway};
use crate::introspection_gateway::{self, active, inactive, start_gateway};
use crate::signing::{SigningKey, payload, with};
use serde_json::{Value, json};
use testbed::attack::http2::{Field, Http2};
use testbed::authorization_server::now;
use testbed::client::connect_from;
use testbed::{Connection, Request, ScriptedResponse};

const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);
const VISITOR: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Half of the limit of Okta's smallest organisation.
const REQUESTS_PER_MINUTE: usize = 150;
/// What unknown tokens may use of it.
const UNKNOWN_HALF: usize = REQUESTS_PER_MINUTE / 2;

fn random_token(number: usize) -> String {
    let spread = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{spread:016x}{number:08}-nobodys-token-of-43-bytes")
}

/// Status of a request on a connection of its own, from that address.
fn status_from(address: Ipv4Addr, gateway: &Gateway, request: &Request) -> u16 {
    let stream = connect_from(address, gateway.port()).expect("the gateway listens");
    let mut connection = Connection::over(stream).expect("a connection");
    connection.send(request).expect("it reads");
    connection.read_response().expect("a response").status
}

#[test]
fn requests_reset_before_their_call_is_sent_cause_no_call() {
    const STREAMS: usize = 3000;
    // Envoy closes a connection on which 250 streams were reset within a second of their start.
    const PER_CONNECTION: usize = 200;
    let (gateway, server) = start_gateway(json!({ "requests_per_minute": REQUESTS_PER_MINUTE }), |_, _| inactive());
    assert_eq!(gateway.get("warm-up").status, 401);
    let before = server.count();
    for connection in 0..STREAMS / PER_CONNECTION {
        let mut client = Http2::open(gateway.port()).expect("the gateway listens");
        let fields = |number: usize| -> Vec<Field> {
            let token = random_token(connection * PER_CONNECTION + number);
            [
                (":method", "GET"),
                (":scheme", "http"),
                (":authority", "api.acme.com"),
                (":path", "/accounts"),
                ("authorization", &format!("Bearer {token}")),
            ]
            .map(|(name, value)| (name.into(), value.into()))
            .to_vec()
        };
        client.open_and_reset(PER_CONNECTION, fields).expect("it reads");
        client.wait_until_read().expect("the connection is still open");
    }
    // Whatever was queued would be sent by now.
    sleep(Duration::from_secs(1));
    let calls = server.count() - before;
    println!("figure: {STREAMS} streams reset: {calls} calls");
    // A stream whose RST_STREAM Envoy reads with a later chunk of bytes may have its call sent meanwhile.
    assert!(calls <= UNKNOWN_HALF / 5, "{calls} calls for {STREAMS} requests that nobody waits for");
    assert_eq!(gateway.get("a token of somebody else").status, 401, "there are calls left");
    gateway.assert_no_trap();
}

#[test]
fn random_tokens_from_one_address_delay_new_tokens_of_others_by_no_more_than_a_call() {
    const FOR: Duration = Duration::from_secs(20);
    const LONGEST: Duration = Duration::from_secs(2);
    let (gateway, server) = start_gateway(json!({ "requests_per_minute": REQUESTS_PER_MINUTE }), |token, _| {
        if token.starts_with("visitor") { active(json!({ "sub": token })) } else { inactive() }
    });
    let is_over = AtomicBool::new(false);
    let (sent, waits) = std::thread::scope(|scope| {
        let attack = scope.spawn(|| {
            let (began, mut sent) = (Instant::now(), 0);
            while !is_over.load(Ordering::Relaxed) {
                let request = Request::get("/accounts").bearer(&random_token(sent));
                let status = status_from(ATTACKER, &gateway, &request);
                assert!([401, 503].contains(&status), "a random token was answered {status}");
                sent += 1;
                // Forty a second.
                sleep((began + Duration::from_millis(25) * sent as u32).saturating_duration_since(Instant::now()));
            }
            sent
        });
        let began = Instant::now();
        // Until it has spent what it may.
        sleep(FOR / 4);
        let mut waits = Vec::new();
        while began.elapsed() < FOR {
            let request = Request::get("/accounts").bearer(&format!("visitor{}", waits.len()));
            let came = Instant::now();
            while status_from(VISITOR, &gateway, &request) != 200 && came.elapsed() < FOR {
                sleep(Duration::from_millis(100));
            }
            waits.push(came.elapsed());
            sleep(Duration::from_secs(1));
        }
        is_over.store(true, Ordering::Relaxed);
        (attack.join().expect("every random token is refused"), waits)
    });
    let calls =
        server.requests().iter().filter(|call| !introspection_gateway::token_in(call).starts_with("visitor")).count();
    let longest = waits.iter().max().copied().unwrap_or(FOR);
    println!("figure: 40/s random tokens ({sent}) made {calls} calls; {} new tokens waited {longest:.1?}", waits.len());
    assert!(longest < LONGEST, "a new token waited for {longest:?}: {waits:?}");
    assert!(calls <= UNKNOWN_HALF / 3 + 2, "one address made {calls} calls of {UNKNOWN_HALF}");
    gateway.assert_no_trap();
}

#[test]
fn one_client_with_many_jwts_does_not_use_the_whole_limit() {
    const TOKENS: usize = 900;
    let members = json!({ "requests_per_minute": REQUESTS_PER_MINUTE });
    let mut configuration = introspection_gateway::introspecting(members);
    configuration["rules"] = json!([{ "match": { "path_prefix": "/pay" }, "introspect": true }]);
    let setup = gateway::Setup {
        configuration,
        listener: introspection_gateway::with_environment,
        workers: 2,
        ..gateway::Setup::default()
    };
    let (gateway, server) = introspection_gateway::start_gateway_with(setup, |token, _| {
        // Says what the token says.
        let part = token.split('.').nth(1).unwrap_or_default().to_owned();
        active(claims_in(&part))
    });
    let key = SigningKey::a("k1");
    let token = |client: &str, number: usize| {
        let changes =
            json!({ "cid": client, "sub": format!("{client}-{number}"), "jti": format!("AT.{client}{number}") });
        Request::get("/pay").bearer(&key.token(&with(&payload(now()), changes)))
    };
    let requests: Vec<Request> = (0..TOKENS).map(|number| token("greedy", number)).collect();
    let answers = testbed::send_many(gateway.port(), &requests, 20);
    let passed = answers.iter().filter(|answer| answer.as_ref().is_ok_and(|one| one.status == 200)).count();
    let calls = server.count();
    println!("figure: one client with {TOKENS} JWTs made {calls} of {REQUESTS_PER_MINUTE} calls, {passed} passed");
    for number in 0..10 {
        let status = status_from(VISITOR, &gateway, &token("modest", number));
        assert_eq!(status, 200, "{:?}", gateway.reasons().last());
    }
    assert!(calls <= REQUESTS_PER_MINUTE * 5 / 6 + 2, "one client made {calls} calls");
    assert!(calls >= REQUESTS_PER_MINUTE / 2, "what nobody else wants is there for it: {calls} calls");
    gateway.assert_no_trap();
}

#[test]
fn all_workers_keep_to_the_rate_limit_stated_by_the_server() {
    const STATED: usize = 20;
    let (gateway, server) =
        introspection_gateway::start_gateway_with_workers(4, json!({ "requests_per_minute": 600 }), |_, _| {
            let answer = ScriptedResponse::json(200, &json!({ "active": false }));
            let answer = answer.header("x-rate-limit-limit", STATED.to_string()).header("x-rate-limit-remaining", "9");
            answer.header("x-rate-limit-reset", (now() + 30).to_string()).into()
        });
    // A connection each, so that every worker is asked, from many addresses.
    for number in 0..200_u8 {
        let request = Request::get("/accounts").bearer(&random_token(number.into()));
        let status = status_from(Ipv4Addr::new(127, 0, 1, number), &gateway, &request);
        assert!([401, 503].contains(&status), "{status}");
    }
    println!("figure: 200 tokens at a server that states {STATED} a minute: {} calls", server.count());
    assert!(server.count() <= STATED / 2, "{} calls for unknown tokens, whose half is {}", server.count(), STATED / 2);
    gateway.assert_no_trap();
}

#[test]
fn a_429_counts_as_an_endpoint_failure_in_every_worker() {
    let (gateway, server) = introspection_gateway::start_gateway_with_workers(4, json!({}), |_, _| {
        ScriptedResponse::json(429, &json!({})).header("retry-after", "60").into()
    });
    for number in 0..100_u8 {
        let request = Request::get("/accounts").bearer(&random_token(number.into()));
        assert_eq!(status_from(Ipv4Addr::new(127, 0, 1, number), &gateway, &request), 503);
    }
    assert_eq!(server.count(), 1);
    gateway.expect_reasons("introspection_unavailable", 100);
}

/// The claims that an introspection response repeats.
fn claims_in(part: &str) -> Value {
    use base64::Engine as _;
    let decoded = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).expect("base64url");
    let claims: Value = serde_json::from_slice(&decoded).expect("JSON");
    json!({ "sub": claims["sub"], "client_id": claims["cid"], "jti": claims["jti"] })
}
