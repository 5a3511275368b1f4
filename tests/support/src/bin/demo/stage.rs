//! The servers of the demo: the authorization server and the backend, and gateways (an Envoy each) in front of them.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use testbed::authorization_server::DNS_NAME;
use testbed::{AuthorizationServer, Backend, Cluster, Envoy, EnvoyBuilder, Gate, ListenerOptions, Mode};

/// The whole configuration of the filter.
pub const PLUGIN_CONFIGURATION: &str = r#"{
  "providers": {
    "okta": {
      "okta": { "domain": "acme.okta.com", "authorization_server": "default" },
      "audiences": ["api://default"],
      "upstream": "okta"
    }
  }
}"#;

const WORKERS: u32 = 2;
const LISTENER: &str = "api";
/// As long as the filter's fetch: a key server that accepts and stays silent shall be that and not a failed connection.
const CONNECT_TIMEOUT: &str = "5s";

/// What outlives a gateway.
pub struct Stage {
    /// Plays Okta.
    pub authorization_server: AuthorizationServer,
    /// Tells what it received.
    pub backend: Backend,
    requests: AtomicUsize,
}

/// An Envoy with the filter, and the network between it and the key server.
pub struct Gateway {
    /// The Envoy.
    pub envoy: Envoy,
    /// The way to the key server.
    pub key_server: Gate,
}

impl Stage {
    /// The servers are running.
    pub fn new(authorization_server: AuthorizationServer, backend: Backend) -> Self {
        Self { authorization_server, backend, requests: AtomicUsize::new(0) }
    }

    /// A path that no other request has: by it a request is found in the log.
    pub fn new_path(&self) -> String {
        format!("/accounts/{}", self.requests.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Starts an Envoy whose way to the key server is in this mode.
    pub fn gateway(&self, way_to_the_key_server: Mode) -> Gateway {
        let key_server = Gate::in_front_of(self.authorization_server.port());
        key_server.set(way_to_the_key_server);
        let ca = self.authorization_server.ca_pem_path();
        let okta =
            Cluster::identity_provider("okta", key_server.port(), DNS_NAME, &ca).connect_timeout(CONNECT_TIMEOUT);
        let listener = ListenerOptions {
            plugin_configuration: Some(PLUGIN_CONFIGURATION.to_owned()),
            ..ListenerOptions::filtered(LISTENER, &Value::Null)
        };
        let envoy = EnvoyBuilder::new()
            .concurrency(WORKERS)
            .cluster(okta)
            .cluster(Cluster::backend("backend", self.backend.port()))
            .listener(listener)
            .start();
        Gateway { envoy, key_server }
    }
}

impl Gateway {
    /// Where clients send their requests.
    pub fn port(&self) -> u16 {
        self.envoy.port(LISTENER)
    }
}
