//! The clusters a test's Envoy knows, as the JSON of its bootstrap.

use std::path::Path;

use serde_json::{Value, json};

use crate::tls::Certificate;

const PROTOCOL_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// An upstream of Envoy, or a callout target of the filter.
#[derive(Clone, Debug)]
pub struct Cluster(pub(super) Value);

impl Cluster {
    /// The backend on 127.0.0.1:`port`, with trailers and with circuit breakers that never open in a test.
    pub fn backend(name: &str, port: u16) -> Self {
        let mut cluster = on_loopback(name, port);
        let most = 10_000;
        cluster["circuit_breakers"] = json!({"thresholds": [{
            "max_connections": most, "max_pending_requests": most, "max_requests": most,
        }]});
        cluster["typed_extension_protocol_options"] =
            spoken(&json!({"http_protocol_options": {"enable_trailers": true}}));
        Self(cluster)
    }

    /// The same towards a backend that speaks HTTP/2 alone, as gRPC servers do.
    pub fn http2_backend(name: &str, port: u16) -> Self {
        Self::backend(name, port).http2()
    }

    /// A cluster that has no endpoint: every request to it fails inside Envoy.
    pub fn without_endpoints(name: &str) -> Self {
        let endpoints: [Value; 0] = [];
        Self(cluster(name, json!(endpoints)))
    }

    /// A cluster whose only endpoint is unhealthy, and no panic threshold: every request to it fails inside Envoy.
    pub fn unhealthy(name: &str, port: u16) -> Self {
        let Self(mut cluster) = Self::panicking(name, port);
        cluster["common_lb_config"] = json!({"healthy_panic_threshold": {"value": 0}});
        Self(cluster)
    }

    /// The same with Envoy's own panic threshold: Envoy sends requests to the endpoint all the same.
    pub fn panicking(name: &str, port: u16) -> Self {
        let mut cluster = on_loopback(name, port);
        cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["health_status"] = json!("UNHEALTHY");
        Self(cluster)
    }

    /// Plain HTTP on 127.0.0.1:`port`, with Envoy's own defaults.
    pub fn plain(name: &str, port: u16) -> Self {
        Self(on_loopback(name, port))
    }

    /// An identity provider on 127.0.0.1:`port`, known as `dns_name` in SNI and certificate, signed by the CA in `ca_pem`.
    pub fn identity_provider(name: &str, port: u16, dns_name: &str, ca_pem: &Path) -> Self {
        let mut cluster = on_loopback(name, port);
        cluster["circuit_breakers"] = json!({"thresholds": [{"max_requests": 64, "max_pending_requests": 64}]});
        cluster["transport_socket"] = tls(dns_name, ca_pem);
        Self(cluster)
    }

    /// Shows this certificate to the server, which is reached over TLS.
    pub fn with_certificate(mut self, own: &Certificate) -> Self {
        self.0["transport_socket"]["typed_config"]["common_tls_context"]["tls_certificates"] = json!([{
            "certificate_chain": {"filename": own.certificate}, "private_key": {"filename": own.private_key},
        }]);
        self
    }

    /// Speaks this version of TLS only, such as `TLSv1_2`.
    pub fn tls_version(mut self, version: &str) -> Self {
        self.0["transport_socket"]["typed_config"]["common_tls_context"]["tls_params"] =
            json!({"tls_minimum_protocol_version": version, "tls_maximum_protocol_version": version});
        self
    }

    /// Opens a connection for each request: some servers close theirs without a word, which is a 503 now and then.
    pub fn one_request_per_connection(mut self) -> Self {
        if self.0["typed_extension_protocol_options"].is_null() {
            self.0["typed_extension_protocol_options"] = spoken(&json!({"http_protocol_options": {}}));
        }
        self.0["typed_extension_protocol_options"][PROTOCOL_OPTIONS]["common_http_protocol_options"] =
            json!({"max_requests_per_connection": 1});
        self
    }

    /// Speaks HTTP/2.
    pub fn http2(mut self) -> Self {
        self.0["typed_extension_protocol_options"] = spoken(&json!({"http2_protocol_options": {}}));
        self
    }

    /// How long connecting, TLS included, may take instead of one second.
    pub fn connect_timeout(mut self, timeout: &str) -> Self {
        self.0["connect_timeout"] = json!(timeout);
        self
    }
}

fn tls(dns_name: &str, ca_pem: &Path) -> Value {
    json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": dns_name,
            "common_tls_context": {"validation_context": {
                "trusted_ca": {"filename": ca_pem},
                "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": dns_name}}],
            }},
        },
    })
}

/// What is spoken to the endpoints of a cluster.
fn spoken(explicit: &Value) -> Value {
    json!({ PROTOCOL_OPTIONS: {
        "@type": format!("type.googleapis.com/{PROTOCOL_OPTIONS}"), "explicit_http_config": explicit,
    } })
}

fn on_loopback(name: &str, port: u16) -> Value {
    let address = json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    cluster(name, json!([{"endpoint": {"address": address}}]))
}

fn cluster(name: &str, lb_endpoints: Value) -> Value {
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": lb_endpoints}]},
    })
}
