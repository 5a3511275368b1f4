//! A gateway for end-to-end tests whose only issuer has a scripted introspection endpoint.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test")]

use serde_json::{Value, json};
use testbed::authorization_server::now;
use testbed::http1::Received;
use testbed::{Cluster, ListenerOptions, Script, ScriptedResponse, ScriptedServer};

use crate::gateway::{Gateway, Setup};
use crate::signing::{AUDIENCE, ISSUER, SigningKey, key_set};

/// The client's secret at the endpoint.
pub const SECRET: &str = "hunter2";

/// A gateway of two workers, and its issuer's endpoint: `script` gets the token that is asked about and how many
/// calls there were before.
pub fn start_gateway(
    members: Value,
    script: impl Fn(&str, usize) -> Script + Send + Sync + 'static,
) -> (Gateway, ScriptedServer) {
    start_gateway_with_workers(2, members, script)
}

/// The same with so many workers.
pub fn start_gateway_with_workers(
    workers: u32,
    members: Value,
    script: impl Fn(&str, usize) -> Script + Send + Sync + 'static,
) -> (Gateway, ScriptedServer) {
    let setup =
        Setup { configuration: introspecting(members), listener: with_environment, workers, ..Setup::default() };
    start_gateway_with(setup, script)
}

/// The same with a configuration of [`introspecting`] and a listener of [`with_environment`], both changed by the test.
pub fn start_gateway_with(
    setup: Setup,
    script: impl Fn(&str, usize) -> Script + Send + Sync + 'static,
) -> (Gateway, ScriptedServer) {
    let server = ScriptedServer::start(move |received, nth| script(&token_in(received), nth));
    let gateway = Setup {
        more_clusters: vec![Cluster::plain("scripted", server.port())],
        environment: vec![
            ("OKTA_CLIENT_SECRET", SECRET.to_owned()),
            ("OKTA_PRIVATE_KEY", include_str!("../data/keys/rsa-2048-a.pem").to_owned()),
        ],
        ..setup
    }
    .start();
    (gateway, server)
}

/// The configuration: `members` are those of `introspection`.
pub fn introspecting(members: Value) -> Value {
    let mut introspection = json!({ "client_id": "0oaGateway", "client_secret": { "env": "OKTA_CLIENT_SECRET" } });
    for (name, value) in members.as_object().into_iter().flatten() {
        introspection[name] = value.clone();
    }
    if introspection["client_auth"] == "private_key_jwt" {
        introspection.as_object_mut().expect("an object").remove("client_secret");
    }
    json!({ "providers": { "okta": {
        "okta": { "domain": "acme.okta.com" }, "audiences": [AUDIENCE], "upstream": "scripted",
        "jwks": { "inline": key_set(&[&SigningKey::a("k1")]) }, "introspection": introspection } } })
}

/// The filter sees the secrets of the environment.
pub fn with_environment(listener: ListenerOptions) -> ListenerOptions {
    ListenerOptions {
        host_env_keys: ["OKTA_CLIENT_SECRET", "OKTA_PRIVATE_KEY"].map(str::to_owned).to_vec(),
        ..listener
    }
}

/// The token that is asked about.
pub fn token_in(received: &Received) -> String {
    let body = String::from_utf8_lossy(&received.body).into_owned();
    let token = body.split('&').find_map(|parameter| parameter.strip_prefix("token="));
    token.unwrap_or_else(|| panic!("no token in the body of a {}", received.method)).to_owned()
}

pub fn active(changes: Value) -> Script {
    active_response(changes).into()
}

/// A good answer, some of its members changed.
pub fn active_response(changes: Value) -> ScriptedResponse {
    let mut members = json!({
        "active": true, "token_type": "Bearer", "scope": "read:accounts", "client_id": "0oa1client",
        "sub": "alice@acme.com", "iss": ISSUER, "aud": AUDIENCE, "iat": now(), "exp": now() + 3600,
    });
    for (name, value) in changes.as_object().into_iter().flatten() {
        members[name] = value.clone();
    }
    ScriptedResponse::json(200, &members)
}

pub fn inactive() -> Script {
    ScriptedResponse::json(200, &json!({ "active": false })).into()
}

/// Says what a scenario cost: a line of the table that the documentation shows.
pub fn print_calls(scenario: &str, requests: usize, calls: usize) {
    println!("calls: {scenario}: {requests} requests, {calls} calls");
}
