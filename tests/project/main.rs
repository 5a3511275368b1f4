//! The project itself: its layers, documents, manifests and packages.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod deploy_manifests;
mod dist;
mod documentation;
mod documented_configs;
mod documented_metrics;
#[path = "../engine_harness/mod.rs"]
mod engine_harness;
mod envoy_versions;
mod file_imports;
mod issuer_guides;
mod layering;
mod module_interface;
mod names;
#[path = "../pages/mod.rs"]
mod pages;
#[path = "../signing/mod.rs"]
mod signing;
mod workflows;
