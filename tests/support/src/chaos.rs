//! A chaos test (`make chaos`, `tests/e2e_chaos.rs`): a real Envoy with the filter, under faults.
//!
//! A plan, made from a seed, injects faults into the key set, the introspection endpoint, the revocation list and the
//! backend, rotates keys, revokes tokens, reloads the configuration and floods the gateway ([`plan`]). Meanwhile clients
//! send requests over pipelined HTTP/1.1 and HTTP/2 ([`traffic`], [`http1_client`], [`http2_client`]). A model of what was
//! valid at which time ([`world`]) checks each response and each request head that the backend receives ([`judge`]).
//!
//! The same seed gives the same plan and the same requests, not the same interleaving: threads, sockets and Envoy's
//! workers are not controlled.

mod clock;
mod environment;
mod floods;
mod gateway;
mod http1_client;
mod http2_client;
mod judge;
mod memory;
mod plan;
mod report;
mod run;
mod timeline;
mod tokens;
mod traffic;
mod world;

pub use memory::{Delivery, ReloadMemory, measure_reloads};
pub use run::{Outcome, Settings, run};
