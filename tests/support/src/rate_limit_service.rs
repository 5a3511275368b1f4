//! The rate-limit service of Envoy: a gRPC service over TLS that counts for all gateways that call it
//! (`tests/clients/rate-limit-server.mjs`), by a configuration as envoyproxy/ratelimit loads it. Behind a gate, so that a
//! test can make it silent, stop it and start it again.

use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::gate::Gate;
use crate::programs::NodeServer;
use crate::tls::CertificateAuthority;

/// A running one. Dropping it ends it.
pub struct RateLimitService {
    /// In front of it.
    pub gate: Gate,
    server: NodeServer,
    host: String,
    authority: CertificateAuthority,
    _directory: TempDir,
}

impl RateLimitService {
    /// Starts it on a free port, as `host`, with these limits.
    ///
    /// # Panics
    /// When Node or the packages are missing, or it does not come up.
    pub fn start(host: &str, limits: &Value) -> Self {
        let directory = TempDir::with_prefix("rate-limits-").expect("a temporary directory");
        let authority = CertificateAuthority::create(directory.path());
        let files = authority.issue(host);
        let settings = json!({ "limits": limits, "certificate": files.certificate, "private_key": files.private_key });
        let server = NodeServer::start("rate-limit-server.mjs", &[settings.to_string()]);
        let gate = Gate::in_front_of(server.port);
        Self { gate, server, host: host.to_owned(), authority, _directory: directory }
    }

    /// Whom its certificate names.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Who signed that.
    pub fn ca_pem_path(&self) -> PathBuf {
        self.authority.ca_pem_path()
    }

    /// What it was asked, as `tests/clients/rate-limit-server.mjs` writes it down.
    pub fn calls(&self) -> Vec<Value> {
        self.server.said()
    }
}
