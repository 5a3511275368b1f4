//! A gateway for end-to-end tests: real Envoy with the filter, the real authorization server behind a gate,
//! and a backend that reports what it received.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test")]

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use testbed::authorization_server::{DNS_NAME, ISSUER, now};
use testbed::{
    AuthorizationServer, Backend, Cluster, Connection, Envoy, EnvoyBuilder, Gate, ListenerOptions, Mode, Request,
    Response, SigningKey, UserTokenRequest,
};

/// The listener's name.
pub const API: &str = "api";

/// Everything that one test needs, running.
pub struct Gateway {
    pub envoy: Envoy,
    pub backend: Backend,
    pub gate: Gate,
    pub idp: Arc<AuthorizationServer>,
    workers: u32,
}

/// The plugin configuration that the documentation calls complete.
pub fn minimal_configuration() -> Value {
    json!({ "providers": { "okta": {
        "okta": { "domain": DNS_NAME }, "audiences": ["api://default"], "upstream": "okta" } } })
}

/// The same with other settings for the keys.
pub fn configuration_with_jwks(jwks: Value) -> Value {
    let mut configuration = minimal_configuration();
    configuration["providers"]["okta"]["jwks"] = jwks;
    configuration
}

/// How a gateway differs from the plain one.
pub struct Setup {
    pub configuration: Value,
    pub listener: fn(ListenerOptions) -> ListenerOptions,
    /// Beside the first one.
    pub more_listeners: Vec<ListenerOptions>,
    /// Beside the backend's, the issuer's and the empty one.
    pub more_clusters: Vec<Cluster>,
    /// Of Envoy; the listener says which the filter sees.
    pub environment: Vec<(&'static str, String)>,
    pub gate: Mode,
    pub workers: u32,
    /// Other tests use the authorization server too: nobody rotates its keys or counts its requests.
    pub shares_authorization_server: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            configuration: minimal_configuration(),
            listener: |listener| listener,
            more_listeners: Vec::new(),
            more_clusters: Vec::new(),
            environment: Vec::new(),
            gate: Mode::Pass,
            workers: 2,
            shares_authorization_server: true,
        }
    }
}

impl Setup {
    /// Starts it all.
    pub fn start(self) -> Gateway {
        let idp = if self.shares_authorization_server {
            AuthorizationServer::shared(ISSUER)
        } else {
            Arc::new(AuthorizationServer::start())
        };
        let gate = Gate::in_front_of(idp.port());
        gate.set(self.gate);
        let backend = Backend::start();
        let first = (self.listener)(ListenerOptions::filtered(API, &self.configuration));
        let builder = EnvoyBuilder::new().concurrency(self.workers).listener(first);
        let builder = self.more_listeners.into_iter().fold(builder, EnvoyBuilder::listener);
        let builder = self.environment.iter().fold(builder, |builder, (name, value)| builder.env(name, value));
        let envoy = self
            .more_clusters
            .into_iter()
            .fold(builder, EnvoyBuilder::cluster)
            .cluster(Cluster::backend("backend", backend.port()))
            .cluster(Cluster::without_endpoints("nowhere"))
            // Envoy counts the TLS handshake as connecting: a key server that is held must not fail there.
            .cluster(
                Cluster::identity_provider("okta", gate.port(), DNS_NAME, &idp.ca_pem_path()).connect_timeout("60s"),
            )
            .start();
        Gateway { envoy, backend, gate, idp, workers: self.workers }
    }
}

impl Gateway {
    /// The plain gateway.
    pub fn start() -> Self {
        Setup::default().start()
    }

    pub fn port(&self) -> u16 {
        self.envoy.port(API)
    }

    /// A token of alice, fresh from the token endpoint.
    pub fn alice(&self) -> String {
        self.idp.user_token(&UserTokenRequest::default())
    }

    /// A token that the server signed with its current key, its payload changed by the test; `null` removes
    /// a claim.
    pub fn bent(&self, changes: Value) -> String {
        self.idp.sign(&json!({}), &self.bent_payload(changes), SigningKey::Active)
    }

    pub fn bent_payload(&self, changes: Value) -> Value {
        let mut payload = self.idp.base_claims(now());
        let Some(members) = payload.as_object_mut() else { panic!("claims are an object") };
        for (name, value) in changes.as_object().into_iter().flatten() {
            if value.is_null() {
                members.remove(name);
            } else {
                members.insert(name.clone(), value.clone());
            }
        }
        payload
    }

    /// A connection of a client that takes its time, or leaves.
    pub fn connect(&self) -> Connection {
        Connection::open(self.port()).expect("the gateway listens")
    }

    /// Waits for the next records to be logged, and gives the last.
    pub fn record_number(&self, count: usize) -> Value {
        testbed::polling::until("the record", Duration::from_secs(10), || {
            self.envoy.audit_records().get(count - 1).cloned()
        })
    }

    /// Sends a request with this token.
    pub fn get(&self, token: &str) -> Response {
        Request::get("/accounts").bearer(token).send(self.port())
    }

    /// Waits until every worker holds keys: from then on no request waits for the first ones. Envoy's main
    /// thread has a VM of its own, which serves no request and fetches all the same.
    pub fn wait_until_keys_are_held(&self) {
        testbed::polling::until("every VM's keys", Duration::from_secs(10), || {
            let log = self.envoy.log();
            let threads: HashSet<&str> = log
                .lines()
                .filter(|line| line.contains("keys fetched") || line.contains("keys taken over"))
                .filter_map(|line| line.split('[').nth(2))
                .collect();
            (threads.len() > self.workers as usize).then_some(())
        });
    }

    /// The reasons of the decisions logged so far.
    pub fn reasons(&self) -> Vec<String> {
        let records = self.envoy.audit_records();
        let reasons = records.iter().filter_map(|record| {
            let reason = record["reason"].as_str()?;
            let decisions = record["suppressed"].as_u64().unwrap_or(1);
            Some(std::iter::repeat_n(reason.to_owned(), usize::try_from(decisions).ok()?))
        });
        reasons.flatten().collect()
    }

    /// Waits until the log tells of so many decisions for this reason, and fails on more.
    pub fn expect_reasons(&self, reason: &str, count: usize) {
        testbed::polling::until(&format!("{count} decisions for {reason}"), Duration::from_secs(10), || {
            (self.reasons().iter().filter(|found| *found == reason).count() >= count).then_some(())
        });
        assert_eq!(self.reasons().iter().filter(|found| *found == reason).count(), count, "{reason}");
    }

    /// Whether the filter's VM trapped, or Envoy failed a stream for it.
    pub fn assert_no_trap(&self) {
        let log = self.envoy.log();
        for sign in ["panicked", "wasm_fail_stream", "Uncaught", "RangeError", "VM failed"] {
            assert!(!log.contains(sign), "the log says {sign}");
        }
    }
}
