//! How long it takes from a changed configuration to the first answer.

use std::time::{Duration, Instant};

use testbed::{EnvoyBuilder, polling};

use crate::progress::Progress;
use crate::signing::SigningKey;
use crate::statistics::median;
use crate::subjects::{Subject, alone};
use crate::workloads::with;

const REPEATS: usize = 5;
const TIME_TO_BE_READY: Duration = Duration::from_secs(30);

/// Milliseconds from writing the file with the listener to the first 200, in an Envoy that runs without any.
pub struct StartFinding {
    /// How many Envoys were started for each.
    pub repeats: usize,
    /// A listener without a filter: reading the file, opening the port, answering.
    pub no_filter: f64,
    /// With ours, which is compiled and configured meanwhile.
    pub ours: f64,
}

/// Measures it.
///
/// # Panics
/// When an Envoy does not come up.
pub fn measure(keys: &[SigningKey], token: &str) -> StartFinding {
    let progress = Progress::new("start", 2 * REPEATS);
    let mut taken = [Vec::new(), Vec::new()];
    for _ in 0..REPEATS {
        for (subject, taken) in [Subject::NoFilter, Subject::Ours].into_iter().zip(&mut taken) {
            taken.push(progress.after(milliseconds_to_the_first_answer(subject, keys, token)));
        }
    }
    StartFinding { repeats: REPEATS, no_filter: median(&taken[0]), ours: median(&taken[1]) }
}

fn milliseconds_to_the_first_answer(subject: Subject, keys: &[SigningKey], token: &str) -> f64 {
    // One that never had the module: a second listener would find it compiled.
    let envoy = EnvoyBuilder::new().concurrency(1).start();
    let listener = alone(subject, keys);
    let request = with(token);
    let begin = Instant::now();
    let port = envoy.add_listener(listener);
    polling::closely("the first answer", TIME_TO_BE_READY, || {
        request.try_send(port).is_ok_and(|answer| answer.status == 200).then_some(())
    });
    begin.elapsed().as_secs_f64() * 1000.0
}
