//! A short run of every fuzz target on the stable compiler: the corpus in `tests/data/fuzz` (seeds, and every find
//! that `make fuzz` brought) and some thousand fixed mutations of it. The long run is `make fuzz`.

use std::fs;
use std::panic::catch_unwind;
use std::path::PathBuf;

use crate::random::Random;
use fuzz_targets::{TARGETS, run};

/// Mutations per target: some seconds for all of them.
const MUTATIONS: usize = 4000;
/// What a mutation may put in: bytes that mean something somewhere.
const WORDS: [&[u8]; 16] = [
    b"\0", b"\n", b".", b",", b"\"", b"{", b"}", b"[", b"]", b"=", b"\xff", b"\\u0000", b"1e999", b"null", b"keys",
    b" ",
];

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/fuzz").join(target);
    let mut inputs: Vec<(String, Vec<u8>)> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.display().to_string(), fs::read(&path).unwrap()))
        .collect();
    inputs.sort();
    assert!(!inputs.is_empty(), "{target} has no corpus");
    inputs
}

impl Random {
    fn mutate(&mut self, input: &mut Vec<u8>, others: &[(String, Vec<u8>)]) {
        for _ in 0..=self.index(4) {
            let at = self.index(input.len());
            let end = (at + self.index(16)).min(input.len());
            match self.index(6) {
                0 if !input.is_empty() => input[at] ^= 1 << self.index(8),
                1 => drop(input.drain(at..end)),
                2 => drop(input.splice(at..at, WORDS[self.index(WORDS.len())].iter().copied())),
                3 => input.extend_from_within(at..end),
                4 => input.truncate(at),
                _ => {
                    let (_, other) = &others[self.index(others.len())];
                    let from = self.index(other.len());
                    let to = (from + self.index(64)).min(other.len());
                    drop(input.splice(at..at, other[from..to].iter().copied()));
                }
            }
        }
    }
}

/// Runs a target and says what to keep when it fails.
fn check(target: &str, origin: &str, input: &[u8]) {
    let ended = catch_unwind(|| run(target, input));
    let hex = || input.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert!(ended.is_ok(), "{target} fails on {origin}; keep this under tests/data/fuzz/{target}: {}", hex());
}

#[test]
fn every_fuzz_target_passes_on_its_corpus_and_on_mutations_of_it() {
    for (target, _) in TARGETS {
        let inputs = corpus(target);
        for (path, input) in &inputs {
            check(target, path, input);
        }
        let mut random = Random::new(0x9e37_79b9_7f4a_7c15);
        for number in 0..MUTATIONS {
            let (path, seed) = &inputs[number % inputs.len()];
            let mut input = seed.clone();
            random.mutate(&mut input, &inputs);
            check(target, &format!("mutation {number} of {path}"), &input);
        }
    }
}
