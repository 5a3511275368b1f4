//! `make attack`: every spelling at every backend, and the operations that the policy does not allow.

use std::process::ExitCode;
use std::time::Duration;

use testbed::attack::backend::{KINDS, Kind};
use testbed::attack::campaign;
use testbed::attack::other_path::markdown;
use testbed::attack::random::Random;
use testbed::attack::spelling;

const RANDOM_PATHS: usize = 2000;

fn main() -> ExitCode {
    let mut seed = 1;
    let mut seconds = 0;
    let mut family = String::new();
    let mut kinds: Vec<&'static Kind> = Vec::new();
    for argument in std::env::args().skip(1) {
        if let Some(text) = argument.strip_prefix("--seed=") {
            seed = text.parse().expect("a seed is a number");
        } else if let Some(text) = argument.strip_prefix("--seconds=") {
            seconds = text.parse().expect("a number of seconds");
        } else if let Some(text) = argument.strip_prefix("--family=") {
            family = text.to_owned();
        } else {
            let Some(kind) = Kind::named(&argument) else {
                let names: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
                eprintln!("no backend is called {argument}; there are: {}", names.join(" "));
                return ExitCode::FAILURE;
            };
            kinds.push(kind);
        }
    }
    if kinds.is_empty() {
        kinds = KINDS.iter().collect();
    }
    let mut random = Random::new(seed);
    let mut spellings = spelling::all(&mut random, RANDOM_PATHS);
    spellings.retain(|spelling| family.is_empty() || spelling.family == family);
    // In a random order: what is cut off when the time is over is a random part of everything.
    let count = spellings.len();
    let spellings = random.sample(spellings, count);
    println!("{} spellings, {} backends, seed {seed}", spellings.len(), kinds.len());
    let outcome = campaign::run(&kinds, &spellings, (seconds > 0).then(|| Duration::from_secs(seconds)));
    for absence in &outcome.absent {
        println!("left out: {absence}");
    }
    if !outcome.unfinished.is_empty() {
        println!("not every request was sent to: {}", outcome.unfinished.join(" "));
    }
    println!("{} requests, {} executions", outcome.sent, outcome.executed);
    println!("\nOther paths to a rule, the same path to a backend:\n\n{}", markdown(&outcome.other_paths));
    let failures = outcome.failures();
    if failures.is_empty() {
        println!("no violation");
        return ExitCode::SUCCESS;
    }
    println!("{failures}\n{} kinds of violation", outcome.findings.len());
    ExitCode::FAILURE
}
