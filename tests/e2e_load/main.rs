//! End to end under load: floods, shares of clients, key fetches of several workers, reloads. They measure durations, so they
//! run alone.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

#[path = "../e2e/gateway.rs"]
mod gateway;
mod introspection_fairness;
mod introspection_flood;
#[path = "../e2e/introspection_gateway.rs"]
mod introspection_gateway;
mod key_sharing;
mod reload;
#[path = "../signing/mod.rs"]
mod signing;
mod steady_load;
