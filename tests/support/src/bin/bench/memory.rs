//! The memory of the filter: for each worker, and after a million distinct tokens.

use testbed::load::Load;
use testbed::process::resident_mebibytes;
use testbed::{Envoy, EnvoyBuilder};

use crate::progress::Progress;
use crate::signing::{Kind, SigningKey};
use crate::statistics::median;
use crate::subjects::{Subject, alone};
use crate::tokens::claims;
use crate::workloads::with;

const CONNECTIONS: usize = 4;
const REPEATS: usize = 3;
/// Enough connections that nearly every worker has some.
const CONNECTIONS_TO_ALL_WORKERS: usize = 96;
const REQUESTS_TO_ALL_WORKERS: usize = 9600;
/// One, as who tries it sees it. The cost of a further one is the difference of the others: compiling the module leaves
/// freed memory with the process, which the first few workers fill without making it grow.
pub const WORKERS: [u32; 3] = [1, 8, 16];

const STEPS: usize = 10;
const TOKENS_PER_STEP: usize = 100_000;

/// The resident memory of the Envoy process, in MiB.
pub struct MemoryFinding {
    /// Without a filter, with so many [`WORKERS`].
    pub no_filter: [f64; WORKERS.len()],
    /// With ours, with so many [`WORKERS`].
    pub ours: [f64; WORKERS.len()],
    /// With ours and one worker: after a first request, and after every further 100,000 requests, each with a token
    /// that never came before.
    pub over_distinct_tokens: Vec<f64>,
}

impl MemoryFinding {
    /// What one more worker takes more with ours than without a filter.
    pub fn per_worker(&self) -> f64 {
        let [_, few, many] = WORKERS;
        let per_worker = |[_, with_few, with_many]: [f64; 3]| (with_many - with_few) / f64::from(many - few);
        per_worker(self.ours) - per_worker(self.no_filter)
    }
}

/// How many distinct tokens were sent up to each place in [`MemoryFinding::over_distinct_tokens`].
pub fn tokens_sent(place: usize) -> usize {
    place * TOKENS_PER_STEP
}

/// Measures it.
///
/// # Panics
/// When a request is not answered with 200.
pub fn measure(keys: &[SigningKey], token: &str) -> MemoryFinding {
    let sizes = |subject| WORKERS.map(|workers| with_workers(subject, workers, keys, token));
    MemoryFinding {
        no_filter: sizes(Subject::NoFilter),
        ours: sizes(Subject::Ours),
        over_distinct_tokens: over_distinct_tokens(keys),
    }
}

fn with_workers(subject: Subject, workers: u32, keys: &[SigningKey], token: &str) -> f64 {
    let requests = vec![with(token); REQUESTS_TO_ALL_WORKERS];
    let once = |_| {
        let envoy = EnvoyBuilder::new().concurrency(workers).listener(alone(subject, keys)).start();
        load(&envoy, subject, CONNECTIONS_TO_ALL_WORKERS).send_all(&requests);
        resident_mebibytes(envoy.pid())
    };
    median(&(0..REPEATS).map(once).collect::<Vec<_>>())
}

fn over_distinct_tokens(keys: &[SigningKey]) -> Vec<f64> {
    let key = keys.iter().find(|key| key.kind() == Kind::Es256).expect("there is a key of every kind");
    let envoy = EnvoyBuilder::new().concurrency(1).listener(alone(Subject::Ours, keys)).start();
    let load = load(&envoy, Subject::Ours, CONNECTIONS);
    let progress = Progress::new("memory: distinct ES256 tokens", STEPS * TOKENS_PER_STEP);
    let progress = &progress;

    load.send_all(&[with(&key.token(&claims(STEPS * TOKENS_PER_STEP)))]);
    let mut sizes = vec![resident_mebibytes(envoy.pid())];
    for step in 0..STEPS {
        // A number is in the token, so that no two are equal even where the signature is not random.
        let numbers = |connection: usize| (tokens_sent(step) + connection..tokens_sent(step + 1)).step_by(CONNECTIONS);
        load.send_made(|connection| {
            numbers(connection).map(|number| progress.after(with(&key.token(&claims(number)))))
        });
        sizes.push(resident_mebibytes(envoy.pid()));
    }
    sizes
}

fn load(envoy: &Envoy, subject: Subject, connections: usize) -> Load {
    Load { port: envoy.port(subject.name()), connections, expected_status: 200 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worker_memory_is_compared_with_a_worker_without_a_filter() {
        let finding = MemoryFinding {
            no_filter: [30.0, 31.0, 33.0],
            ours: [60.0, 70.0, 104.0],
            over_distinct_tokens: Vec::new(),
        };
        assert_eq!(finding.per_worker(), 4.0);
    }
}
