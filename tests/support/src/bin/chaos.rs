//! `make chaos`: faults, rotations, revocations, reloads and floods while clients send requests; violations are reported.

use std::process::ExitCode;
use std::time::Duration;

use testbed::chaos::{Delivery, Settings, measure_reloads, run};

/// Of the memory that Envoy has allocated: resident memory also changes with the allocator's pages.
const MOST_KIBIBYTES_PER_RELOAD: f64 = 16.0;

fn main() -> ExitCode {
    let mut seed = 1;
    let mut seconds = 60;
    let mut reloads = 1000;
    for argument in std::env::args().skip(1) {
        let Some((name, value)) = argument.split_once('=') else { panic!("{argument}: write --name=value") };
        let number: u64 = value.parse().unwrap_or_else(|_| panic!("{argument}: not a number"));
        match name {
            "--seed" => seed = number,
            "--seconds" => seconds = number,
            "--reloads" => reloads = usize::try_from(number).expect("a small number"),
            _ => panic!("no option is called {name}"),
        }
    }
    println!("seed {seed}, {seconds} seconds");
    let outcome = run(&Settings::new(seed, Duration::from_secs(seconds)));
    println!("{}", outcome.summary);
    let mut has_failed = !outcome.violations.is_empty();
    if has_failed {
        println!("{}\n{} kinds of violation:", outcome.examples, outcome.violations.len());
        for (kind, count) in &outcome.violations {
            println!("  {count:>6} {kind}");
        }
    } else {
        println!("no violation in {} requests", outcome.requests);
    }
    for delivery in [Delivery::Extension, Delivery::Listener] {
        if reloads == 0 {
            break;
        }
        let memory = measure_reloads(4, reloads / 10, reloads, delivery);
        let grown = memory.allocated_kibibytes_per_reload();
        println!(
            "{reloads} reloads ({delivery:?}) in {:.1?}: {:.1} KiB of resident memory and {grown:.1} KiB of Envoy's own per reload, statistics {:?}",
            memory.lasted,
            memory.resident_kibibytes_per_reload(),
            memory.statistics,
        );
        has_failed |= grown > MOST_KIBIBYTES_PER_RELOAD;
    }
    if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
