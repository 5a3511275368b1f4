//! The time from a changed configuration to the first response.

use std::time::{Duration, Instant};

use testbed::{Envoy, EnvoyBuilder, ListenerOptions, polling};

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
    /// With ours in an Envoy that has the module already: another listener with a configuration of its own.
    pub ours_again: f64,
}

/// Measures it.
///
/// # Panics
/// When an Envoy does not come up.
pub fn measure(keys: &[SigningKey], token: &str) -> StartFinding {
    let progress = Progress::new("start", REPEATS);
    let mut taken = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..REPEATS {
        // One that never had the module: the second listener with it finds it compiled.
        let envoy = EnvoyBuilder::new().concurrency(1).start();
        let first_answer = |subject| milliseconds_to_the_first_response(&envoy, alone(subject, keys), token);
        taken[0].push(first_answer(Subject::NoFilter));
        taken[1].push(first_answer(Subject::Ours));
        taken[2].push(first_answer(Subject::OursPortable));
        progress.after(());
    }
    let [no_filter, ours, ours_again] = taken.map(|milliseconds| median(&milliseconds));
    StartFinding { repeats: REPEATS, no_filter, ours, ours_again }
}

fn milliseconds_to_the_first_response(envoy: &Envoy, listener: ListenerOptions, token: &str) -> f64 {
    let request = with(token);
    let begin = Instant::now();
    let port = envoy.add_listener(listener);
    polling::closely("the first answer", TIME_TO_BE_READY, || {
        request.try_send(port).is_ok_and(|answer| answer.status == 200).then_some(())
    });
    begin.elapsed().as_secs_f64() * 1000.0
}
