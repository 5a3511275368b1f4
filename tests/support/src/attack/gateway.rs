//! The Envoy under attack: a listener for each policy and each way of setting Envoy up, which routes to every backend.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::time::Duration;

use super::backend::RunningBackend;
use super::client::BACKEND;
use super::credential::{Credential, Issuer};
use super::policy::{CLOSED, HOSTS, POLICIES, Policy};
use crate::envoy::{Cluster, Envoy, EnvoyBuilder, ListenerOptions};
use crate::scripted_server::{Script, ScriptedResponse, ScriptedServer};

const INTROSPECTION: &str = "introspection";
const SECRET: &str = "ATTACK_CLIENT_SECRET";
/// Long enough that trailers arrive while the request waits.
const TIME_TO_INTROSPECT: Duration = Duration::from_millis(15);

/// How Envoy is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variant {
    /// As `envoy/envoy.yaml` is shipped.
    Shipped,
    /// With Envoy's defaults: nothing is normalised, headers may have underscores. Methods may be of the client's making.
    Plain,
    /// As shipped, with `allow_on_headers_stop_iteration`; each token is introspected, so that each request waits.
    Waiting,
}

/// All variants.
pub const VARIANTS: [Variant; 3] = [Variant::Shipped, Variant::Plain, Variant::Waiting];

/// Envoy with everything in front of the backends.
pub struct AttackedGateway {
    envoy: Envoy,
    issuer: Issuer,
    _introspection: ScriptedServer,
}

impl AttackedGateway {
    /// Starts it in front of these backends.
    pub fn start(backends: &[RunningBackend]) -> Self {
        let issuer = Issuer::new();
        let introspection = ScriptedServer::start(|received, _| Script::Slow {
            delay: TIME_TO_INTROSPECT,
            answer: ScriptedResponse::json(200, &introspected(&received.body)),
        });
        let listeners = POLICIES.iter().flat_map(|policy| {
            let variants = VARIANTS.iter().filter(|&&variant| is_served(policy, variant));
            variants.map(|&variant| listener(policy, variant, &issuer.jwks(), introspection.port()))
        });
        let quiet = EnvoyBuilder::new().component_log_level("wasm:error");
        let builder = listeners.fold(quiet, EnvoyBuilder::listener).env(SECRET, "secret");
        let clusters = backends
            .iter()
            .map(|backend| Cluster::backend(backend.kind.name, backend.port).one_request_per_connection());
        let builder = clusters.fold(builder, EnvoyBuilder::cluster);
        let envoy = builder.cluster(Cluster::plain(INTROSPECTION, introspection.port())).start();
        Self { envoy, issuer, _introspection: introspection }
    }

    /// Where the listener of a policy listens.
    pub fn port(&self, policy: &Policy, variant: Variant) -> u16 {
        self.envoy.port(&name(policy, variant))
    }

    /// A new token; no two are the same text.
    pub fn token(&self, credential: Credential) -> Option<String> {
        self.issuer.token(credential)
    }

    /// Whether the filter's VM trapped.
    pub fn has_trapped(&self) -> bool {
        let log = self.envoy.log();
        ["panicked", "wasm_fail_stream", "Uncaught", "RangeError", "VM failed"].iter().any(|sign| log.contains(sign))
    }
}

/// Whether there is a listener for both.
pub fn is_served(policy: &Policy, variant: Variant) -> bool {
    variant != Variant::Waiting || policy.name == CLOSED.name
}

fn name(policy: &Policy, variant: Variant) -> String {
    format!("{}-{variant:?}", policy.name)
}

fn listener(policy: &Policy, variant: Variant, jwks: &Value, introspection_port: u16) -> ListenerOptions {
    let mut configuration = policy.configuration(jwks);
    if variant == Variant::Waiting {
        let provider = &mut configuration["providers"]["attack"];
        provider["insecure_http"] = json!(true);
        provider["introspection"] = json!({
            "uri": format!("http://127.0.0.1:{introspection_port}/introspect"),
            "client_id": "gateway", "client_secret": {"env": SECRET}, "requests_per_minute": 100_000,
        });
        provider["upstream"] = json!(INTROSPECTION);
        for rule in configuration["rules"].as_array_mut().expect("rules") {
            if rule["access"] != "public" {
                rule["introspect"] = json!(true);
            }
        }
    }
    let is_plain = variant == Variant::Plain;
    let underscores = if is_plain { "ALLOW" } else { "DROP_HEADER" };
    ListenerOptions {
        path_normalization: !is_plain,
        allow_on_headers_stop_iteration: (variant == Variant::Waiting).then_some(true),
        host_env_keys: if variant == Variant::Waiting { vec![SECRET.to_owned()] } else { Vec::new() },
        access_log: false,
        connection_manager_fields: json!({
            "common_http_protocol_options": {"headers_with_underscores_action": underscores},
            "http_protocol_options": {"enable_trailers": true, "allow_custom_methods": is_plain},
            "http2_protocol_options": {
                "allow_connect": is_plain, "override_stream_error_on_invalid_http_message": true,
            },
            "delayed_close_timeout": "0.02s",
            "route_config": {"name": "attack", "virtual_hosts": virtual_hosts()},
        }),
        ..ListenerOptions::filtered(&name(policy, variant), &configuration)
    }
}

/// A virtual host for each host that a rule names, and one for all others; the backend sees which one served.
fn virtual_hosts() -> Vec<Value> {
    let named = HOSTS.rules.iter().flat_map(|rule| rule.hosts.iter().copied());
    let virtual_host = |(number, domain): (usize, &str)| {
        json!({
            "name": format!("host-{number}"),
            "domains": [domain],
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster_header": BACKEND, "timeout": "8s"}}],
            "request_headers_to_add": [{
                "header": {"key": "x-virtual-host", "value": domain}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }],
        })
    };
    named.chain(["*"]).enumerate().map(virtual_host).collect()
}

/// What the issuer says of a token that is introspected: its own claims.
fn introspected(form: &[u8]) -> Value {
    let form = String::from_utf8_lossy(form);
    // A JWT has no character that a form escapes.
    let token = form.split('&').find_map(|pair| pair.strip_prefix("token=")).unwrap_or_default();
    let payload = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok()).unwrap_or_default();
    let mut claims: Value = serde_json::from_slice(&payload).unwrap_or_else(|_| json!({}));
    claims["active"] = json!(claims["sub"].is_string());
    claims
}
