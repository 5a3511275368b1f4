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
mod explain;
mod import;
mod policy_tests;
#[path = "../../../tests/signing/mod.rs"]
mod signing;
mod surroundings;
mod tool;
