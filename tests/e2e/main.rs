//! End to end: a real Envoy with the module, a real authorization server, clients and backends.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod certificate_bound_tokens;
mod client_certificate;
mod clients;
mod conditions;
mod dpop;
#[cfg(target_arch = "x86_64")]
mod dpop_browser;
mod dynamic_files;
mod examples;
mod forwarding;
mod gateway;
mod global_rate_limits;
mod host_interaction;
mod identity;
mod introspection;
mod introspection_calls;
mod introspection_gateway;
mod introspection_server;
mod keys;
mod metrics;
mod monitoring;
mod native;
mod native_vectors;
#[path = "../pages/mod.rs"]
mod pages;
mod pending_requests;
mod protected_resource;
mod registry;
mod responses;
mod rules;
#[path = "../signing/mod.rs"]
mod signing;
mod tls_clients;
mod token_cache;
mod token_sources;
