//! The CPU time that Envoy spends on a request, subject by subject in interleaved rounds.

use std::fs;

use testbed::Request;
use testbed::load::Load;

use crate::order::rotated;
use crate::progress::Progress;
use crate::statistics::{Quartiles, differences, median, quartiles};
use crate::subjects::{Stand, Subject};
use crate::workloads::{Prepared, Workload};

const CONNECTIONS: usize = 4;

/// What one workload costs with each subject, in microseconds of CPU time per request.
pub struct CpuFinding {
    /// What was sent.
    pub workload: Workload,
    /// One for each subject, in their order.
    pub costs: Vec<Cost>,
}

/// What one workload costs with one subject.
pub struct Cost {
    /// Who was measured.
    pub subject: Subject,
    /// All that Envoy does for a request: the median.
    pub total: f64,
    /// What of it is more than without a filter, compared round by round.
    pub added: Quartiles,
}

impl CpuFinding {
    /// What a subject adds, as a multiple of what `reference` adds; nothing where that cannot be told from zero.
    pub fn ratio(&self, subject: Subject, reference: Subject) -> Option<f64> {
        let added = |wanted| self.costs.iter().find(|cost| cost.subject == wanted).map(|cost| cost.added);
        let (added, reference) = (added(subject)?, added(reference)?);
        (reference.low > 0.0).then(|| added.median / reference.median)
    }

    fn of(workload: Workload, spent: &[Vec<f64>]) -> Self {
        let cost = |(subject, spent_with): (Subject, &Vec<f64>)| Cost {
            subject,
            total: median(spent_with),
            added: quartiles(&differences(spent_with, &spent[0])),
        };
        Self { workload, costs: Subject::ALL.into_iter().zip(spent).map(cost).collect() }
    }
}

/// Measures one workload.
///
/// # Panics
/// When a subject does not answer as it must.
pub fn measure(stand: &Stand, workload: Workload, prepared: &Prepared, rounds: usize) -> CpuFinding {
    let lane =
        |subject: Subject| Lane { port: stand.port(subject), expected_status: workload.expected_status(subject) };
    let (lanes, warm_up) = (Subject::ALL.map(lane), workload.warm_up_rounds());
    let spent = interleaved(stand.pid(), &lanes, &workload.title(), warm_up, rounds, |round, _| prepared.round(round));
    CpuFinding::of(workload, &spent)
}

/// One of those that are compared.
pub struct Lane {
    /// Where it listens.
    pub port: u16,
    /// How it must answer.
    pub expected_status: u16,
}

/// What Envoy spends on a request in each lane, in microseconds, a figure for each round after the first ones. They
/// are sent what `requests` says for a round and a lane, one after the other, each time in another order.
///
/// # Panics
/// When a lane does not answer as it must.
pub fn interleaved(
    envoy: u32,
    lanes: &[Lane],
    title: &str,
    warm_up: usize,
    rounds: usize,
    requests: impl Fn(usize, usize) -> Vec<Request>,
) -> Vec<Vec<f64>> {
    let mut spent = vec![Vec::with_capacity(rounds); lanes.len()];
    let progress = Progress::new(title, warm_up + rounds);
    for round in 0..warm_up + rounds {
        for place in rotated(lanes.len(), round) {
            let requests = requests(round, place);
            let Lane { port, expected_status } = lanes[place];
            let load = Load { port, connections: CONNECTIONS, expected_status };
            let before = cpu_nanoseconds(envoy);
            load.send_all(&requests);
            let nanoseconds = cpu_nanoseconds(envoy) - before;
            if round >= warm_up {
                spent[place].push(nanoseconds as f64 / 1000.0 / requests.len() as f64);
            }
        }
        progress.after(());
    }
    spent
}

/// What all threads of a process have spent: the first field of each `schedstat`.
fn cpu_nanoseconds(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("Envoy runs, on Linux");
    let spent = tasks.flatten().map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0)
    });
    spent.sum()
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Without a filter 10 µs; each further subject adds a fixed number of them.
    pub fn finding(workload: Workload, added: [f64; 5]) -> CpuFinding {
        let spent: Vec<_> = [0.0].into_iter().chain(added).map(|added| vec![10.0 + added; 3]).collect();
        CpuFinding::of(workload, &spent)
    }

    #[test]
    fn added_cost_is_compared_round_by_round() {
        // The second round was slow for everybody: that is no cost of the filter.
        let spent = [vec![10.0, 50.0, 10.0], vec![12.0, 52.0, 12.0]].map(|spent| spent.to_vec());
        let finding = CpuFinding::of(Workload::NEW, &spent);
        assert_eq!(finding.costs[1].added, Quartiles { low: 2.0, median: 2.0, high: 2.0 });
        assert_eq!(finding.costs[1].total, 12.0);
    }

    #[test]
    fn ratio_compares_added_cost() {
        let finding = finding(Workload::NEW, [5.0, 40.0, 20.0, 30.0, 100.0]);
        assert_eq!(finding.ratio(Subject::Ours, Subject::JwtAuthn), Some(0.75));
        assert_eq!(finding.ratio(Subject::Ours, Subject::JwtAuthnCached), Some(1.5));
        assert_eq!(finding.ratio(Subject::Ours, Subject::NoFilter), None);
    }
}
