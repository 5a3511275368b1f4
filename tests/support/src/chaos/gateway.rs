//! The Envoy of a run, with two listeners, and the servers that it calls.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::plan::{Endpoint, Fault, Via};
use super::tokens::{AUDIENCE, JWT_ISSUER, OPAQUE_ISSUER, SigningKey};
use super::world::{Generation, World};
use crate::envoy::{Cluster, Envoy, EnvoyBuilder, ListenerOptions, ListenerUpdate};
use crate::http1::Received;
use crate::polling;
use crate::scripted_server::{Script, ScriptedResponse, ScriptedServer};

/// `introspection.cache_ttl`.
pub const CACHE_TTL_MILLIS: u64 = 5000;
/// `introspection.requests_per_minute`.
pub const CALLS_PER_MINUTE: usize = 600;
/// Long enough that no request which waits is cut off when its listener is replaced.
pub const DRAIN: Duration = Duration::from_secs(8);
/// Of all callouts; the keys' timeout is the longest.
pub const LONGEST_TIMEOUT: Duration = Duration::from_secs(2);
const SECRET: &str = "CHAOS_CLIENT_SECRET";
const SLOW: Duration = Duration::from_millis(600);
const TIME_TO_RELOAD: Duration = Duration::from_secs(30);
/// More than the filter reads of any response.
const TOO_LARGE: usize = 3 << 20;

/// Everything around the filter.
pub struct Gateway {
    pub envoy: Envoy,
    pub backend: ScriptedServer,
    servers: Vec<ScriptedServer>,
    extension: ExtensionFile,
    opaque_keys: Value,
}

/// The file by which Envoy is given another filter (ECDS).
pub(super) struct ExtensionFile(TempDir);

pub(super) const EXTENSION: &str = "okta";

pub(super) const fn listener_name(via: Via) -> &'static str {
    match via {
        Via::Listener => "by-listener",
        Via::Extension => "by-extension",
    }
}

impl ExtensionFile {
    pub fn new() -> Self {
        Self(TempDir::with_prefix("extension-").expect("a temporary directory"))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("okta.json")
    }

    /// Envoy looks when a file is moved there.
    pub fn write(&self, options: &ListenerOptions) {
        let resource = json!({
            "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
            "name": EXTENSION, "typed_config": options.filter()["typed_config"],
        });
        let unfinished = self.0.path().join("unfinished");
        fs::write(&unfinished, json!({ "resources": [resource] }).to_string()).expect("written");
        fs::rename(unfinished, self.path()).expect("moved");
    }

    /// What stands in the listener in place of the filter.
    pub fn reference(&self) -> Value {
        json!({ "name": EXTENSION, "config_discovery": {
            "config_source": { "resource_api_version": "V3", "path_config_source": { "path": self.path() } },
            "type_urls": ["type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm"] } })
    }

    /// Writes it and waits until Envoy has accepted it.
    pub fn replace(&self, envoy: &Envoy, options: &ListenerOptions) {
        let count =
            |what: &str| envoy.stat(&format!("extension_config_discovery.http_filter.{EXTENSION}.update_{what}"));
        let before = count("success");
        self.write(options);
        polling::closely("Envoy to accept the filter", TIME_TO_RELOAD, || (count("success") > before).then_some(()));
    }
}

impl Gateway {
    pub fn start(world: &Arc<World>, workers: u32) -> Self {
        let backend = backend(world);
        let servers: Vec<_> =
            [Endpoint::Keys, Endpoint::Introspection, Endpoint::List].map(|endpoint| server(world, endpoint)).into();
        let opaque_keys = json!({ "keys": [SigningKey::new("unused").jwk()] });
        let extension = ExtensionFile::new();
        let first = |via| options(via, &configuration(0, &opaque_keys));
        extension.write(&first(Via::Extension));
        let by_extension = ListenerOptions {
            plugin_configuration: None,
            filters_after: vec![extension.reference()],
            ..first(Via::Extension)
        };
        for via in [Via::Listener, Via::Extension] {
            let first = Generation { flip_is_open: flip_is_open(0), begun: Duration::ZERO, accepted: Duration::ZERO };
            world.generations(via).lock().expect("no panic").push(first);
        }
        let seconds = u32::try_from(DRAIN.as_secs()).expect("a few seconds");
        let envoy = EnvoyBuilder::new()
            .concurrency(workers)
            .drain_time_s(seconds)
            .env(SECRET, "hunter2")
            .listener(first(Via::Listener))
            .listener(by_extension)
            .cluster(Cluster::backend("backend", backend.port()))
            .cluster(Cluster::backend("keys", servers[0].port()))
            .cluster(Cluster::backend("introspection", servers[1].port()))
            .cluster(Cluster::backend("list", servers[2].port()))
            .start();
        Self { envoy, backend, servers, extension, opaque_keys }
    }

    pub fn port(&self, via: Via) -> u16 {
        self.envoy.port(listener_name(via))
    }

    /// Gives Envoy the configuration of that number.
    pub fn reload(&self, via: Via, number: usize) {
        let options = options(via, &configuration(number, &self.opaque_keys));
        match via {
            Via::Listener => {
                let update = self.envoy.replace_listener(options);
                assert_eq!(update, ListenerUpdate::Accepted);
            }
            Via::Extension => self.extension.replace(&self.envoy, &options),
        }
    }

    /// Has the servers forget what is judged already.
    pub fn clear(&self) {
        self.backend.clear();
        self.servers.iter().for_each(ScriptedServer::clear);
    }

    /// Connections that Envoy keeps to the servers.
    pub fn upstream_connections(&self) -> usize {
        self.backend.open_connections() + self.servers.iter().map(ScriptedServer::open_connections).sum::<usize>()
    }
}

pub const fn flip_is_open(number: usize) -> bool {
    number.is_multiple_of(2)
}

fn options(via: Via, configuration: &Value) -> ListenerOptions {
    ListenerOptions {
        host_env_keys: vec![SECRET.to_owned()],
        access_log: false,
        allow_on_headers_stop_iteration: Some(true),
        connection_manager_fields: json!({
            "preserve_external_request_id": true,
            "always_set_request_id_in_response": true,
        }),
        ..ListenerOptions::filtered(listener_name(via), configuration)
    }
}

/// The plugin configuration; those of different numbers differ.
pub(super) fn configuration(number: usize, opaque_keys: &Value) -> Value {
    json!({
        "providers": {
            "jwt": {
                "issuer": JWT_ISSUER, "audiences": [AUDIENCE], "upstream": "keys", "algorithms": ["ES256"],
                "clock_skew": "1s", "jwks": { "uri": format!("{JWT_ISSUER}/keys"), "timeout": "2s" },
            },
            "opaque": {
                "issuer": OPAQUE_ISSUER, "audiences": [AUDIENCE], "upstream": "introspection", "algorithms": ["ES256"],
                "jwks": { "inline": opaque_keys },
                "introspection": {
                    "uri": format!("{OPAQUE_ISSUER}/introspect"), "client_id": "gateway",
                    "client_secret": { "env": SECRET }, "cache_ttl": format!("{}s", CACHE_TTL_MILLIS / 1000),
                    "inactive_cache_ttl": "2s", "timeout": "1s", "requests_per_minute": CALLS_PER_MINUTE,
                },
            },
        },
        "rules": [
            { "name": "public", "match": { "path_prefix": "/public" }, "access": "public" },
            { "name": "flip", "match": { "path": "/flip" }, "access": if flip_is_open(number) { "token" } else { "deny" } },
            { "name": "read", "match": { "path_prefix": "/api", "methods": ["GET", "HEAD"] },
              "require": { "scopes": ["read"] } },
            { "name": "write", "match": { "path_prefix": "/api" }, "require": { "scopes": ["write"] } },
        ],
        "default_rule": { "access": "deny" },
        "revocations": { "uri": "https://list.test/revoked", "upstream": "list", "refresh": "1s", "timeout": "1s" },
        "responses": { "detail": "reason", "realm": format!("chaos-{number}") },
        "readiness_path": "/ready",
    })
}

fn backend(world: &Arc<World>) -> ScriptedServer {
    let (judging, world) = (Arc::clone(world), Arc::clone(world));
    ScriptedServer::start_observing_heads(
        move |head| judging.check_head(head),
        move |received, _| {
            world.check_trailers(received);
            let id = received.headers.text("x-request-id").unwrap_or_default();
            let answer = ScriptedResponse::new(200, id);
            match *world.endpoint(Endpoint::Backend).fault.lock().expect("no panic") {
                None => answer.into(),
                Some(Fault::Slow) => Script::Slow { delay: SLOW, answer },
                Some(Fault::Reset) => Script::Reset,
                Some(_) => ScriptedResponse::new(500, "the backend fails").into(),
            }
        },
    )
}

/// The server of an endpoint: it answers truly, or has the fault of the moment.
fn server(world: &Arc<World>, endpoint: Endpoint) -> ScriptedServer {
    let world = Arc::clone(world);
    ScriptedServer::start(move |received, _| {
        let state = world.endpoint(endpoint);
        let fault = *state.fault.lock().expect("no panic");
        state.calls.lock().expect("no panic").push(world.now());
        let body = match endpoint {
            Endpoint::Keys => world.key_set(),
            Endpoint::Introspection => world.introspect(&token_in(received)),
            Endpoint::List => world.revocation_list(),
            Endpoint::Backend => Value::Null,
        };
        let answer = ScriptedResponse::json(200, &body).header("cache-control", "max-age=60");
        match fault {
            None => answer.into(),
            Some(Fault::Slow) => Script::Slow { delay: SLOW, answer },
            Some(Fault::Hang) => Script::Silent,
            Some(Fault::ServerError) => ScriptedResponse::new(500, "it fails").into(),
            Some(Fault::TooManyRequests) => ScriptedResponse::new(429, "too many").header("retry-after", "1").into(),
            Some(Fault::CutBody) => {
                Script::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n{\"keys\": [".to_vec())
            }
            Some(Fault::JunkBody) => ScriptedResponse::new(200, "<html>Welcome to the Wi-Fi</html>").into(),
            Some(Fault::EmptySet) => ScriptedResponse::json(200, &json!({ "keys": [] })).into(),
            Some(Fault::TooLarge) => ScriptedResponse::new(200, vec![b' '; TOO_LARGE]).into(),
            Some(Fault::Reset) => Script::Reset,
        }
    })
}

fn token_in(received: &Received) -> String {
    let body = String::from_utf8_lossy(&received.body).into_owned();
    body.split('&').find_map(|parameter| parameter.strip_prefix("token=")).unwrap_or_default().to_owned()
}
