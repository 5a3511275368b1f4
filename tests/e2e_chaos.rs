//! The short part of `make chaos`: a real Envoy with four workers under faults, rotations, revocations, reloads and floods,
//! for one minute with fixed seeds; and the memory that reloads use.

#![allow(missing_docs, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

use std::collections::BTreeMap;
use std::time::Duration;

use testbed::chaos::{Delivery, Settings, measure_reloads, run};

fn nothing_is_violated(seed: u64) {
    let outcome = run(&Settings::new(seed, Duration::from_secs(20)));
    println!("seed {seed}\n{}", outcome.summary);
    assert_eq!(outcome.violations, BTreeMap::new(), "\n{}", outcome.examples);
    // Else nothing was tried.
    assert!(outcome.requests > 1000, "only {} requests", outcome.requests);
    assert!(outcome.healthy > 100, "only {} requests were served while all was healthy", outcome.healthy);
}

#[test]
fn no_invariant_is_violated_under_chaos() {
    // One after another: they are measured against time limits.
    for seed in [1, 2, 3] {
        nothing_is_violated(seed);
    }
}

/// A host keeps what a module defines in it. Reloads are measured after the first ones, which fill caches.
#[test]
fn reloads_do_not_leak_memory() {
    let memory = measure_reloads(4, 50, 200, Delivery::Extension);
    let [resident, allocated] = [memory.resident_kibibytes_per_reload(), memory.allocated_kibibytes_per_reload()];
    eprintln!(
        "{resident:.1} KiB of resident memory and {allocated:.1} KiB of Envoy's own per reload in {:.1?}",
        memory.lasted
    );
    assert!(allocated < 16.0, "{allocated:.1} KiB of Envoy's own memory per reload");
}
