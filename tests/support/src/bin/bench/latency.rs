//! How long a request takes at a fixed rate, counted from the moment it was due.

use std::time::Duration;

use testbed::Request;
use testbed::load::Load;

use crate::cpu::Lane;
use crate::order::rotated;
use crate::progress::Progress;
use crate::statistics::percentile;
use crate::subjects::{Stand, Subject};
use crate::workloads::{Prepared, REQUESTS_PER_ROUND, Workload};

const CONNECTIONS: usize = 8;
/// Requests a second, so that a round of them is a piece of one second.
pub const RATE: usize = REQUESTS_PER_ROUND;
const INTERVAL: Duration = Duration::from_nanos(1_000_000_000 / RATE as u64);
/// Pieces of each subject. They are interleaved, and a percentile is that of all of them together.
pub const PIECES: usize = 10;
/// Where they begin among the rounds of a workload: with tokens that the measurement of CPU time did not use.
const FIRST_PIECE: usize = 60;

/// What requests of one workload took with each subject.
pub struct LatencyFinding {
    /// What was sent.
    pub workload: Workload,
    /// One for each subject, in their order.
    pub latencies: Vec<Latency>,
}

/// What requests took with one subject.
pub struct Latency {
    /// Who was measured.
    pub subject: Subject,
    /// Half took no longer.
    pub p50: Duration,
    /// One in a hundred took longer.
    pub p99: Duration,
}

/// Measures one workload.
///
/// # Panics
/// When a subject does not answer as it must.
pub fn measure(stand: &Stand, workload: Workload, prepared: &Prepared) -> LatencyFinding {
    let lane =
        |subject: Subject| Lane { port: stand.port(subject), expected_status: workload.expected_status(subject) };
    let title = format!("latency, {}", workload.title());
    let taken = paced(&Subject::ALL.map(lane), &title, |piece, _| prepared.round(FIRST_PIECE + piece));
    let latency = |(subject, [p50, p99]): (Subject, [Duration; 2])| Latency { subject, p50, p99 };
    LatencyFinding { workload, latencies: Subject::ALL.into_iter().zip(taken).map(latency).collect() }
}

/// Median and 99th percentile of each lane, which is sent what `requests` says for a piece and a lane.
///
/// # Panics
/// When a lane does not answer as it must.
pub fn paced(lanes: &[Lane], title: &str, requests: impl Fn(usize, usize) -> Vec<Request>) -> Vec<[Duration; 2]> {
    let mut taken = vec![Vec::new(); lanes.len()];
    let progress = Progress::new(title, PIECES);
    for piece in 0..PIECES {
        for place in rotated(lanes.len(), piece) {
            let Lane { port, expected_status } = lanes[place];
            let load = Load { port, connections: CONNECTIONS, expected_status };
            taken[place].extend(load.send_paced(&requests(piece, place), INTERVAL));
        }
        progress.after(());
    }
    taken.iter().map(|taken| [50, 99].map(|percent| percentile(taken, percent))).collect()
}
