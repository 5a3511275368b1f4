//! TLS clients of the gateway: an Envoy with one listener for each client.

use serde_json::json;
use testbed::{Cluster, Envoy, EnvoyBuilder, ListenerOptions};

/// Plain listeners, each of which shows one certificate, or none, to one TLS listener.
pub struct TlsClients(Envoy);

impl TlsClients {
    pub fn start(clients: Vec<(&str, Cluster)>) -> Self {
        let builder = clients.into_iter().fold(EnvoyBuilder::new(), |builder, (name, cluster)| {
            let listener = ListenerOptions {
                backend: name.to_owned(),
                path_normalization: false,
                // A client may send what it likes: by default Envoy would remove `x-forwarded-client-cert`.
                connection_manager_fields: json!({ "forward_client_cert_details": "ALWAYS_FORWARD_ONLY" }),
                ..ListenerOptions::unfiltered(name)
            };
            builder.listener(listener).cluster(cluster)
        });
        Self(builder.start())
    }

    pub fn port(&self, name: &str) -> u16 {
        self.0.port(name)
    }
}
