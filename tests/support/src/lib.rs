//! The machinery of the end-to-end tests, the demo and the benchmarks: everything around the filter is real.
//!
//! A test starts an [`AuthorizationServer`] (Node, `oidc-provider` in Okta's shape), a [`Backend`], puts a
//! [`Gate`] between Envoy and the key endpoint where the network is to fail, starts an [`Envoy`] with the
//! built module, and sends it a [`Request`]. All of it lives on 127.0.0.1, on free ports, in
//! temporary directories, and ends when the values are dropped. There is no async runtime: plain threads and
//! sockets, so that a test controls every byte. Code waits by [`polling`], never by sleeping.
//!
//! The crate panics freely: a panic is how a test reports a failure.

pub mod faults;
pub mod http1;
mod open_files;
pub mod polling;
pub mod process;
pub mod tls;

pub mod backend;
pub mod client;
pub mod dpop;
pub mod flood;
pub mod gate;
pub mod load;
pub mod scripted_server;

pub mod attack;
pub mod authorization_server;
pub mod chaos;
pub mod envoy;
pub mod module;
pub mod programs;
pub mod prometheus;
pub mod prometheus_text;
pub mod rate_limit_service;

pub mod example;
pub mod presentation;

pub use authorization_server::{AuthorizationServer, ClientTokenRequest, SigningKey, UserTokenRequest};
pub use backend::Backend;
pub use client::{Connection, Request, send_many};
pub use dpop::ProofKey;
pub use envoy::{ClientCertificates, Cluster, DownstreamTls, Envoy, EnvoyBuilder, ListenerOptions, ListenerUpdate};
pub use gate::{Gate, Mode};
pub use http1::{Headers, Received, Response};
pub use rate_limit_service::RateLimitService;
pub use scripted_server::{Script, ScriptedResponse, ScriptedServer};
pub use tempfile::TempDir;
pub use tls::{Certificate, CertificateAuthority};
