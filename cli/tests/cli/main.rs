//! The command-line tool, run as people run it.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod check;
#[path = "../../../tests/engine_harness/mod.rs"]
mod engine_harness;
mod explain;
mod host_configurations;
mod import;
mod policy_tests;
#[path = "../../../tests/random/mod.rs"]
mod random;
#[path = "../../../tests/signing/mod.rs"]
mod signing;
mod tool;
