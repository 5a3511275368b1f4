//! The Proxy-Wasm adapter: the only module that names `proxy_wasm`; it decides nothing.
//!
//! [`root_context`] loads the configuration, ticks and fetches, and carries out decisions for parked
//! streams; [`http_context`] takes a request to the engine and does what it says. Every borrow of the
//! engine ends before a host call begins.

mod acquire_lease;
mod apply_decision;
mod attributes;
mod callouts;
mod clock;
mod effects;
mod envoy;
mod gauges;
mod headers;
mod host_error;
mod host_interface;
mod host_kind;
mod http_context;
mod leases;
mod log;
mod metrics;
mod native_crypto;
mod plain_host;
mod root_context;
mod root_state;
mod shared_data;
mod shared_proofs;
mod shared_records;
mod shared_streams;
mod stream_state;
mod wake_ups;

use proxy_wasm::types::LogLevel;

use root_context::FilterRoot;

// The linker reads it (`link/wasm-ld`); named here, cargo links anew when it changes.
const _: &str = include_str!("../../link/exports.txt");

proxy_wasm::main! {{
    // Sets the panic hook too: without it a trap would leave no word in the host's log.
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|context_id| Box::new(FilterRoot::new(context_id)));
}}
