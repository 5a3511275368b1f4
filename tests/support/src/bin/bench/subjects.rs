//! The subjects of the measurement: one Envoy with a listener for each. All have the same keys, given inline, and write the
//! same two claims into headers; Envoy responds by itself after the filters, so nothing else is measured.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use testbed::authorization_server::{DEFAULT_AUDIENCE, ISSUER};
use testbed::{Envoy, EnvoyBuilder, ListenerOptions};

use crate::signing::SigningKey;

/// As many tokens as our own cache holds at most.
const JWT_AUTHN_CACHE_SIZE: usize = 4096;
const MODULE_OF_THE_FLOOR: &str = include_str!("floor.wat");

/// What stands in the listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Nothing.
    NoFilter,
    /// The smallest module that Envoy takes, which looks at nothing.
    Floor,
    /// Envoy's own filter.
    JwtAuthn,
    /// The same with its token cache.
    JwtAuthnCached,
    /// Ours; the host verifies signatures.
    Ours,
    /// Ours; the module verifies signatures.
    OursPortable,
}

impl Subject {
    /// In the order of the tables.
    pub const ALL: [Self; 6] =
        [Self::NoFilter, Self::Floor, Self::JwtAuthn, Self::JwtAuthnCached, Self::Ours, Self::OursPortable];

    /// Its listener, and its name in the results.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoFilter => "none",
            Self::Floor => "floor",
            Self::JwtAuthn => "jwt_authn",
            Self::JwtAuthnCached => "jwt_authn_cached",
            Self::Ours => "ours",
            Self::OursPortable => "ours_portable",
        }
    }

    /// What the tables call it.
    pub fn title(self) -> &'static str {
        match self {
            Self::NoFilter => "no filter",
            Self::Floor => "empty Wasm module",
            Self::JwtAuthn => "jwt_authn",
            Self::JwtAuthnCached => "jwt_authn, cached",
            Self::Ours => "okta-proxy-wasm",
            Self::OursPortable => "okta-proxy-wasm, portable",
        }
    }

    /// Whether it judges tokens at all.
    pub fn validates_tokens(self) -> bool {
        !matches!(self, Self::NoFilter | Self::Floor)
    }
}

/// The Envoy in which all subjects are, with one worker.
pub struct Stand {
    envoy: Envoy,
    // Envoy reads the module of the floor from here when it starts.
    _directory: tempfile::TempDir,
}

impl Stand {
    /// Starts it with these keys.
    pub fn start(keys: &[SigningKey]) -> Self {
        let directory = tempfile::TempDir::with_prefix("bench-").expect("a temporary directory");
        let floor = assemble_the_floor(directory.path());
        let key_set = key_set(keys);
        let builder = Subject::ALL.iter().fold(EnvoyBuilder::new().concurrency(1), |builder, subject| {
            builder.listener(listener(*subject, &key_set, &floor))
        });
        Self { envoy: builder.start(), _directory: directory }
    }

    /// Where the subject listens.
    pub fn port(&self, subject: Subject) -> u16 {
        self.envoy.port(subject.name())
    }

    /// The process id of Envoy.
    pub fn pid(&self) -> u32 {
        self.envoy.pid()
    }
}

/// Ours as it is by default, or no filter at all: for an Envoy in which it is alone.
pub fn alone(subject: Subject, keys: &[SigningKey]) -> ListenerOptions {
    assert_ne!(subject, Subject::Floor, "its module lives with the stand");
    listener(subject, &key_set(keys), Path::new(""))
}

fn listener(subject: Subject, key_set: &Value, floor: &Path) -> ListenerOptions {
    let bare = bare(subject.name());
    let filtered =
        |document: Value| ListenerOptions { plugin_configuration: Some(document.to_string()), ..bare.clone() };
    let jwt_authn = |cache| ListenerOptions { filters_before: vec![jwt_authn(key_set, cache)], ..bare.clone() };
    match subject {
        Subject::NoFilter => bare,
        Subject::Floor => ListenerOptions { module: Some(floor.to_owned()), ..filtered(json!({})) },
        Subject::JwtAuthn => jwt_authn(None),
        Subject::JwtAuthnCached => jwt_authn(Some(JWT_AUTHN_CACHE_SIZE)),
        Subject::Ours => filtered(document(key_set)),
        Subject::OursPortable => {
            let mut document = document(key_set);
            document["native_crypto"] = json!("off");
            filtered(document)
        }
    }
}

/// A listener in which Envoy answers by itself, without a line in the log and without a filter.
pub fn bare(name: &str) -> ListenerOptions {
    ListenerOptions { direct_response: true, access_log: false, ..ListenerOptions::unfiltered(name) }
}

/// Our configuration with these keys in it.
pub fn document_with_keys(keys: &[SigningKey]) -> Value {
    document(&key_set(keys))
}

fn key_set(keys: &[SigningKey]) -> Value {
    json!({"keys": keys.iter().map(SigningKey::jwk).collect::<Vec<_>>()})
}

fn document(key_set: &Value) -> Value {
    json!({
        "providers": {"okta": {
            "issuer": ISSUER,
            "audiences": [DEFAULT_AUDIENCE],
            "algorithms": ["RS256", "ES256", "PS256"],
            "jwks": {"inline": key_set},
        }},
        "claim_to_headers": [
            {"header": "x-user-id", "claim": "sub"},
            {"header": "x-client-id", "claim": "cid"},
        ],
    })
}

fn jwt_authn(key_set: &Value, cache_size: Option<usize>) -> Value {
    let mut provider = json!({
        "issuer": ISSUER,
        "audiences": [DEFAULT_AUDIENCE],
        "local_jwks": {"inline_string": key_set.to_string()},
        "claim_to_headers": [
            {"header_name": "x-user-id", "claim_name": "sub"},
            {"header_name": "x-client-id", "claim_name": "cid"},
        ],
    });
    if let Some(size) = cache_size {
        provider["jwt_cache_config"] = json!({"jwt_cache_size": size});
    }
    json!({
        "name": "envoy.filters.http.jwt_authn",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": {"okta": provider},
            "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "okta"}}],
        },
    })
}

fn assemble_the_floor(directory: &Path) -> PathBuf {
    let path = directory.join("floor.wasm");
    let module = wat::parse_str(MODULE_OF_THE_FLOOR).unwrap_or_else(|fault| panic!("floor.wat: {fault}"));
    fs::write(&path, module).expect("the module is written");
    path
}
