//! The configuration changes under load while the keys, the revocation list or the introspection endpoint are slow, fail or
//! do not respond: good tokens are allowed as before, and a revoked one is not.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use testbed::polling::until;
use testbed::scripted_server::{Script, ScriptedResponse, ScriptedServer};
use testbed::{Backend, Cluster, Envoy, EnvoyBuilder, ListenerOptions, ListenerUpdate, Request};

use crate::signing::{AUDIENCE, ISSUER, SigningKey, key_set, payload};

const API: &str = "api";
const KEYS: &str = "/keys";
const LIST: &str = "/revoked.json";
const INTROSPECTION: &str = "/introspect";
const DEPENDENCIES: [&str; 3] = [KEYS, LIST, INTROSPECTION];
const FAULTS: [Fault; 4] = [Fault::Slow, Fault::Status, Fault::Silent, Fault::Reset];
const CLIENTS: usize = 4;
const A_WHILE: Duration = Duration::from_secs(30);

/// What is wrong with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Slow,
    Status,
    Silent,
    Reset,
}

impl Fault {
    fn script(self, answer: ScriptedResponse) -> Script {
        match self {
            Self::Slow => Script::Slow { delay: Duration::from_secs(1), answer },
            Self::Status => ScriptedResponse::new(500, "").into(),
            Self::Silent => Script::Silent,
            Self::Reset => Script::Reset,
        }
    }
}

/// Keys, list and introspection, one of which may have a fault.
struct Dependencies {
    server: ScriptedServer,
    fault: Arc<Mutex<Option<(&'static str, Fault)>>>,
}

impl Dependencies {
    fn start() -> Self {
        let fault = Arc::new(Mutex::new(None));
        let current = Arc::clone(&fault);
        let server = ScriptedServer::start(move |received, _| {
            let answer = match received.path.as_str() {
                KEYS => key_set(&[&SigningKey::a("k1")]),
                LIST => json!({ "revoked": [{ "sub": "mallory" }] }),
                _ => json!({ "active": true, "iss": "https://asked.acme.com", "aud": AUDIENCE, "sub": "opaque-user" }),
            };
            let answer = ScriptedResponse::json(200, &answer);
            let fault: Option<(&str, Fault)> = *current.lock().expect("no panic");
            match fault.filter(|(path, _)| *path == received.path) {
                Some((_, fault)) => fault.script(answer),
                None => answer.into(),
            }
        });
        Self { server, fault }
    }

    fn set(&self, fault: Option<(&'static str, Fault)>) {
        *self.fault.lock().expect("no panic") = fault;
    }
}

/// A configuration that differs from the others in the name of its rule.
fn configuration(number: usize) -> Value {
    let uri = |path: &str| format!("https://sec.acme.com{path}");
    json!({
        "providers": {
            "okta": { "issuer": ISSUER, "audiences": [AUDIENCE], "upstream": "sec", "jwks": { "uri": uri(KEYS), "timeout": "3s" } },
            "asked": {
                "issuer": "https://asked.acme.com", "audiences": [AUDIENCE], "upstream": "sec", "jwks": null,
                "introspection": { "uri": uri(INTROSPECTION), "client_id": "gateway", "client_secret": { "env": "OKTA_CLIENT_SECRET" }, "cache_ttl": "10m", "opaque_tokens": true },
            },
        },
        "revocations": { "uri": uri(LIST), "upstream": "sec", "refresh": "1s", "timeout": "3s" },
        "rules": [{ "name": format!("rule-{number}") }],
    })
}

/// The answers of one client: how often each status came for each token.
type StatusCounts = BTreeMap<(&'static str, u16), usize>;

/// Sends each token again and again, each time on a new connection, until `is_over`.
fn ask(port: u16, tokens: &[(&'static str, String)], is_over: &AtomicBool) -> StatusCounts {
    let mut answers = StatusCounts::new();
    while !is_over.load(Ordering::SeqCst) {
        for (name, token) in tokens {
            // A connection that the listener closes as it is replaced has no answer.
            if let Ok(response) = Request::get("/").bearer(token).try_send(port) {
                *answers.entry((*name, response.status)).or_default() += 1;
            }
        }
    }
    answers
}

fn listener(number: usize) -> ListenerOptions {
    let filtered = ListenerOptions::filtered(API, &configuration(number));
    ListenerOptions { host_env_keys: vec!["OKTA_CLIENT_SECRET".to_owned()], ..filtered }
}

fn replace(envoy: &Envoy, number: usize) {
    let update = envoy.replace_listener(listener(number));
    assert_eq!(update, ListenerUpdate::Accepted, "{}", envoy.log());
}

/// Each token with the answer that is due.
fn tokens() -> Vec<(&'static str, u16, String)> {
    let key = SigningKey::a("k1");
    let now = testbed::authorization_server::now();
    let mut revoked = payload(now);
    revoked["sub"] = json!("mallory");
    vec![
        ("good", 200, key.token(&payload(now))),
        ("opaque", 200, "known-opaque-token".to_owned()),
        ("revoked", 401, key.token(&revoked)),
    ]
}

#[test]
fn configuration_change_while_a_dependency_is_slow_or_down_loses_no_request() {
    let dependencies = Dependencies::start();
    let backend = Backend::start();
    let envoy = EnvoyBuilder::new()
        .concurrency(2)
        .env("OKTA_CLIENT_SECRET", "hunter2")
        .listener(listener(0))
        .cluster(Cluster::backend("backend", backend.port()))
        .cluster(Cluster::plain("sec", dependencies.server.port()))
        .start();
    let port = envoy.port(API);
    let tokens = tokens();
    let are_right = || tokens.iter().all(|(_, due, token)| Request::get("/").bearer(token).send(port).status == *due);
    let asked: Vec<_> = tokens.iter().map(|(name, _, token)| (*name, token.clone())).collect();
    let mut wrong = Vec::new();
    let mut number = 0;
    for dependency in DEPENDENCIES {
        for fault in FAULTS {
            // New connections go to each worker in turn: so often, every worker is right.
            until("every worker to be right", A_WHILE, || (0..8).all(|_| are_right()).then_some(()));
            dependencies.set(Some((dependency, fault)));
            let is_over = AtomicBool::new(false);
            let answers: Vec<StatusCounts> = thread::scope(|scope| {
                let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| ask(port, &asked, &is_over))).collect();
                for _ in 0..2 {
                    number += 1;
                    replace(&envoy, number);
                    // Nothing to poll for: the time in which a fault would show.
                    thread::sleep(Duration::from_millis(700));
                }
                is_over.store(true, Ordering::SeqCst);
                clients.into_iter().map(|client| client.join().expect("no panic")).collect()
            });
            dependencies.set(None);
            let mut all = StatusCounts::new();
            answers.into_iter().flatten().for_each(|(answer, count)| *all.entry(answer).or_default() += count);
            eprintln!("{dependency} {fault:?}: {all:?}");
            let due = |name: &str, status: u16| tokens.iter().any(|(other, due, _)| *other == name && *due == status);
            assert!(
                tokens.iter().all(|(name, due, _)| all.get(&(*name, *due)).is_some_and(|count| *count > 20)),
                "{all:?}"
            );
            wrong.extend(
                all.into_iter()
                    .filter(|((name, status), _)| !due(name, *status))
                    .map(|wrong| (dependency, fault, wrong)),
            );
        }
    }
    assert_eq!(wrong, [], "{}", envoy.log());
}
