//! The short part of `make chaos`: a real Envoy with four workers under faults, rotations, revocations, reloads and floods,
//! for one minute with fixed seeds; and the memory that reloads cost.

#![allow(missing_docs, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

use std::collections::BTreeMap;
use std::time::Duration;

use testbed::chaos::{Delivery, Settings, measure_reloads, run};

fn nothing_is_violated(seed: u64) {
    let outcome = run(&Settings::new(seed, Duration::from_secs(20)));
    println!("seed {seed}\n{}", outcome.summary);
    assert_eq!(outcome.violations, BTreeMap::new(), "\n{}", outcome.examples);
    // Else nothing was tried.
    assert!(outcome.requests > 2000, "only {} requests", outcome.requests);
    assert!(outcome.healthy > 500, "only {} requests were served while all was healthy", outcome.healthy);
}

#[test]
fn no_invariant_is_violated_under_chaos() {
    // One after another: they are measured against time limits.
    for seed in [1, 2, 3] {
        nothing_is_violated(seed);
    }
}
