//! The core, without a host: decisions, models of pending and shared state, configuration errors, attack cases. Those
//! that need no other program run as wasm under Node too.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

#[cfg(not(target_family = "wasm"))]
mod analysis;
#[cfg(not(target_family = "wasm"))]
mod analysis_model;
#[cfg(not(target_family = "wasm"))]
mod attack_cases;
#[cfg(not(target_family = "wasm"))]
mod audit_record;
mod client_certificate;
mod conditions;
#[cfg(not(target_family = "wasm"))]
mod config_faults;
mod debug_responses;
mod decisions;
#[cfg(not(target_family = "wasm"))]
mod differential;
mod dpop;
#[cfg(not(target_family = "wasm"))]
mod dpop_differential;
#[path = "../engine_harness/mod.rs"]
mod engine_harness;
#[cfg(not(target_family = "wasm"))]
mod forge;
mod forwarding;
#[cfg(not(target_family = "wasm"))]
mod fuzz_short;
#[cfg(not(target_family = "wasm"))]
mod golden_faults;
mod introspection;
#[cfg(not(target_family = "wasm"))]
mod introspection_budget_table;
#[cfg(not(target_family = "wasm"))]
mod introspection_model;
#[cfg(not(target_family = "wasm"))]
mod introspection_sharing_model;
#[cfg(not(target_family = "wasm"))]
mod key_cache_model;
#[cfg(not(target_family = "wasm"))]
mod key_sharing_model;
#[cfg(not(target_family = "wasm"))]
#[path = "../pages/mod.rs"]
mod pages;
mod pending_requests;
mod proof_requirement;
#[path = "../signing/proof.rs"]
mod proof_signer;
#[path = "../random/mod.rs"]
mod random;
mod responses;
mod rules;
#[cfg(not(target_family = "wasm"))]
mod rules_model;
#[cfg(not(target_family = "wasm"))]
mod schema;
mod sender_constraint;
#[path = "../signing/mod.rs"]
mod signing;
mod token_cache;
#[cfg(not(target_family = "wasm"))]
mod token_vectors;
#[cfg(feature = "trace")]
mod trace;
mod verdicts;
