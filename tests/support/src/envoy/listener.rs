//! A listener of a test's Envoy: an HTTP connection manager with the filter in it, or without.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::module::wasm_module;
use crate::tls::Certificate;

const VM_ID: &str = "okta";
const TYPE: &str = "type.googleapis.com";

/// TLS towards clients, with HTTP/2 where a client offers it.
#[derive(Clone, Debug)]
pub struct DownstreamTls {
    /// What the listener shows.
    pub certificate: Certificate,
    /// What is asked of clients.
    pub clients: ClientCertificates,
    /// Envoy's TLS inspector reads the name that the client asks for.
    pub tls_inspector: bool,
}

/// Whether a listener asks for client certificates, and what becomes of them.
#[derive(Clone, Debug)]
pub enum ClientCertificates {
    /// They are not asked for.
    NotAsked,
    /// Who shows one must have it from this CA; who shows none comes in too.
    FromCa(PathBuf),
    /// Any one will do, also one that nobody can vouch for (`trust_chain_verification: ACCEPT_UNTRUSTED`).
    FromAnybody(PathBuf),
}

/// How a listener is set up. Take one of the constructors and change what the test is about:
/// `ListenerOptions { failure_policy: "FAIL_CLOSED", ..ListenerOptions::filtered("api", &plugin) }`.
#[derive(Clone, Debug)]
pub struct ListenerOptions {
    /// Its name, also its `stat_prefix`.
    pub name: String,
    /// The plugin configuration, normally JSON; `None` leaves the filter out.
    pub plugin_configuration: Option<String>,
    /// Another module than the filter.
    pub module: Option<PathBuf>,
    /// The plugin's `allow_on_headers_stop_iteration`; `None` leaves it unset.
    pub allow_on_headers_stop_iteration: Option<bool>,
    /// What Envoy does after the filter trapped.
    pub failure_policy: &'static str,
    /// Environment variables of Envoy that the filter sees.
    pub host_env_keys: Vec<String>,
    /// The cluster all requests are routed to.
    pub backend: String,
    /// Envoy answers 200 itself in place of the backend, once every filter has let the request pass.
    pub direct_response: bool,
    /// A line of the access log for each request.
    pub access_log: bool,
    /// What else each of these lines tells, in the access log's own language: `subject=%FILTER_STATE(wasm.s:PLAIN)%`.
    pub access_log_fields: String,
    /// Routes that are tried before the one to the backend.
    pub routes_before: Vec<Value>,
    /// `normalize_path`, `merge_slashes`, and the refusal of escaped slashes.
    pub path_normalization: bool,
    /// `use_remote_address`.
    pub use_remote_address: bool,
    /// Without it, plain text.
    pub tls: Option<DownstreamTls>,
    /// HTTP filters in front of ours.
    pub filters_before: Vec<Value>,
    /// HTTP filters between ours and the router.
    pub filters_after: Vec<Value>,
    /// What the virtual host says to filters, by their names.
    pub typed_per_filter_config: Value,
    /// Fields of the HTTP connection manager that replace those that follow from the rest.
    pub connection_manager_fields: Value,
}

impl ListenerOptions {
    /// A listener with the built filter, in front of the cluster `backend`, set up as the documentation says.
    pub fn filtered(name: &str, plugin_configuration: &Value) -> Self {
        Self { plugin_configuration: Some(plugin_configuration.to_string()), ..Self::unfiltered(name) }
    }

    /// The same without the filter.
    pub fn unfiltered(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            plugin_configuration: None,
            module: None,
            allow_on_headers_stop_iteration: None,
            failure_policy: "FAIL_RELOAD",
            host_env_keys: Vec::new(),
            backend: "backend".to_owned(),
            direct_response: false,
            access_log: true,
            access_log_fields: String::new(),
            routes_before: Vec::new(),
            path_normalization: true,
            use_remote_address: true,
            tls: None,
            filters_before: Vec::new(),
            filters_after: Vec::new(),
            typed_per_filter_config: json!({}),
            connection_manager_fields: json!({}),
        }
    }

    /// The filter as it stands in this listener, to stand in another one too.
    ///
    /// # Panics
    /// When it is left out.
    pub fn filter(&self) -> Value {
        let configuration = self.plugin_configuration.as_ref();
        self.wasm_filter(configuration.unwrap_or_else(|| panic!("{} has no filter", self.name)))
    }

    fn http_filters(&self) -> Vec<Value> {
        let ours = self.plugin_configuration.as_ref().map(|configuration| self.wasm_filter(configuration));
        let router = json!({
            "name": "envoy.filters.http.router",
            "typed_config": {"@type": format!("{TYPE}/envoy.extensions.filters.http.router.v3.Router")},
        });
        let before = self.filters_before.iter().cloned();
        before.chain(ours).chain(self.filters_after.iter().cloned()).chain([router]).collect()
    }

    fn wasm_filter(&self, configuration: &str) -> Value {
        let mut plugin = json!({
            "name": self.name,
            "root_id": self.name,
            "failure_policy": self.failure_policy,
            "vm_config": {
                "vm_id": VM_ID,
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": self.module.clone().unwrap_or_else(wasm_module)}},
            },
            "configuration": {"@type": format!("{TYPE}/google.protobuf.StringValue"), "value": configuration},
        });
        if let Some(allow) = self.allow_on_headers_stop_iteration {
            plugin["allow_on_headers_stop_iteration"] = json!(allow);
        }
        if !self.host_env_keys.is_empty() {
            plugin["vm_config"]["environment_variables"] = json!({"host_env_keys": self.host_env_keys});
        }
        json!({
            "name": "envoy.filters.http.wasm",
            "typed_config": {
                "@type": format!("{TYPE}/envoy.extensions.filters.http.wasm.v3.Wasm"),
                "config": plugin,
            },
        })
    }

    /// One line per request, without the query: a token may be in it.
    fn line_of_access_log(&self) -> Value {
        let format = format!(
            "access listener={} request=%REQ(X-REQUEST-ID)% %REQ(:METHOD)% %REQ_WITHOUT_QUERY(:PATH)% \
             code=%RESPONSE_CODE% details=%RESPONSE_CODE_DETAILS% flags=%RESPONSE_FLAGS%",
            self.name
        );
        let format = [format.as_str(), &self.access_log_fields].join(" ").trim_end().to_owned() + "\n";
        json!({
            "name": "envoy.access_loggers.stdout",
            "typed_config": {
                "@type": format!("{TYPE}/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"),
                "log_format": {
                    "text_format_source": {"inline_string": format},
                    "formatters": [{
                        "name": "envoy.formatter.req_without_query",
                        "typed_config": {
                            "@type": format!("{TYPE}/envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery"),
                        },
                    }],
                },
            },
        })
    }

    fn connection_manager(&self) -> Value {
        let mut route = json!({"match": {"prefix": "/"}});
        if self.direct_response {
            route["direct_response"] = json!({"status": 200});
        } else {
            route["route"] = json!({"cluster": self.backend, "timeout": "30s"});
        }
        let routes: Vec<_> = self.routes_before.iter().cloned().chain([route]).collect();
        let access_log: Vec<_> = self.access_log.then(|| self.line_of_access_log()).into_iter().collect();
        let escaped_slashes = if self.path_normalization { "REJECT_REQUEST" } else { "KEEP_UNCHANGED" };
        let mut manager = json!({
            "@type": format!("{TYPE}/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
            "stat_prefix": self.name,
            "use_remote_address": self.use_remote_address,
            "always_set_request_id_in_response": true,
            "normalize_path": self.path_normalization,
            "merge_slashes": self.path_normalization,
            "path_with_escaped_slashes_action": escaped_slashes,
            "http_protocol_options": {"enable_trailers": true},
            "access_log": access_log,
            "http_filters": self.http_filters(),
            "route_config": {
                "name": self.name,
                "virtual_hosts": [{
                    "name": "all",
                    "domains": ["*"],
                    "routes": routes,
                    "typed_per_filter_config": self.typed_per_filter_config,
                }],
            },
        });
        for (field, value) in self.connection_manager_fields.as_object().into_iter().flatten() {
            manager[field] = value.clone();
        }
        manager
    }
}

/// A listener and the port that was chosen for it.
#[derive(Clone, Debug)]
pub(super) struct BoundListener {
    pub(super) options: ListenerOptions,
    pub(super) port: u16,
}

impl BoundListener {
    /// The `envoy.config.listener.v3.Listener`.
    pub(super) fn to_json(&self) -> Value {
        let mut chain = json!({"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": self.options.connection_manager(),
        }]});
        if let Some(tls) = &self.options.tls {
            chain["transport_socket"] = tls.transport_socket();
        }
        let mut listener = json!({
            "name": self.options.name,
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": self.port}},
            "filter_chains": [chain],
        });
        if self.options.tls.as_ref().is_some_and(|tls| tls.tls_inspector) {
            listener["listener_filters"] = json!([{
                "name": "envoy.filters.listener.tls_inspector",
                "typed_config": {
                    "@type": format!("{TYPE}/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"),
                },
            }]);
        }
        listener
    }
}

impl DownstreamTls {
    fn transport_socket(&self) -> Value {
        let mut common = json!({
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_certificates": [{
                "certificate_chain": {"filename": self.certificate.certificate},
                "private_key": {"filename": self.certificate.private_key},
            }],
        });
        let validation =
            |ca_pem: &Path, trust: &str| json!({"trusted_ca": {"filename": ca_pem}, "trust_chain_verification": trust});
        match &self.clients {
            ClientCertificates::NotAsked => {}
            ClientCertificates::FromCa(ca_pem) => {
                common["validation_context"] = validation(ca_pem, "VERIFY_TRUST_CHAIN")
            }
            ClientCertificates::FromAnybody(ca_pem) => {
                common["validation_context"] = validation(ca_pem, "ACCEPT_UNTRUSTED")
            }
        }
        json!({
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": format!("{TYPE}/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"),
                "common_tls_context": common,
            },
        })
    }
}
