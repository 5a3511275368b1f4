//! The command-line tool, run as a process.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod check;
mod documented_output;
#[path = "../../../tests/engine_harness/mod.rs"]
mod engine_harness;
mod envoy_settings;
mod exit_status;
mod explain;
mod formats;
mod github_action;
mod import;
mod init;
mod inputs;
mod issuer_clusters;
mod man;
mod matrix;
mod nginx;
mod policy_tests;
#[path = "../../../tests/random/mod.rs"]
mod random;
#[path = "../../../tests/signing/mod.rs"]
mod signing;
mod tool;
mod version;
