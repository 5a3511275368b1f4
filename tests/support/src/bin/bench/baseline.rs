//! The filter beside another build of it, such as the one before a change: the same requests through both in one Envoy,
//! round by round.

use std::path::{Path, PathBuf};

use serde_json::json;
use testbed::{Envoy, ListenerOptions, Request};

use crate::cpu::{Lane, interleaved};
use crate::introspection::{self, IntrospectionWorkload};
use crate::options::{Options, Part};
use crate::rules::{self, RuleSet, RuleTraffic};
use crate::signing::SigningKey;
use crate::statistics::{Quartiles, differences, median, quartiles};
use crate::subjects::{Subject, alone};
use crate::table::table;
use crate::tokens::{TokenStore, claims};
use crate::workloads::REQUESTS_PER_ROUND;

const WARM_UP_ROUNDS: usize = 2;
/// Both builds count their calls together, and one address gets a sixth of the limit in a minute.
const MAX_ROUNDS_OF_CALLS: usize = 5;
const RULES: [RuleSet; 3] = [RuleSet::Rules(1), RuleSet::Rules(100), RuleSet::Condition];
const INTROSPECTION: [IntrospectionWorkload; 3] =
    [IntrospectionWorkload::JwtRemembered, IntrospectionWorkload::OpaqueRemembered, IntrospectionWorkload::OpaqueNew];

/// What one workload costs with both builds, in microseconds of Envoy's CPU time per request.
pub struct Comparison {
    /// What was sent.
    pub title: String,
    /// The median with the other build.
    pub baseline: f64,
    /// The median with this one.
    pub ours: f64,
    /// How much more this one costs, compared round by round.
    pub difference: Quartiles,
}

impl Comparison {
    fn of(title: String, spent: &[Vec<f64>]) -> Self {
        Self {
            title,
            baseline: median(&spent[0]),
            ours: median(&spent[1]),
            difference: quartiles(&differences(&spent[1], &spent[0])),
        }
    }
}

/// Measures the chosen workloads, and rules and introspection if they are chosen.
///
/// # Panics
/// When a request is not answered as it must be.
pub fn measure(baseline: &Path, options: &Options, keys: &[SigningKey], store: &mut TokenStore) -> Vec<Comparison> {
    let stand = Stand::start(baseline, keys);
    let mut compared = Vec::new();
    for workload in &options.workloads {
        let prepared = workload.prepare(keys, store);
        let status = workload.expected_status(Subject::Ours);
        let round = |round: usize, _| prepared.round(round);
        let warm_up = workload.warm_up_rounds();
        compared.push(stand.compare(Subject::Ours.name(), workload.title(), status, warm_up, options.rounds, round));
    }
    if options.parts.contains(&Part::Rules) {
        let request = RuleTraffic::Last.request(&rules::token(&keys[0]));
        for rules in RULES {
            let round = |_, _| vec![request.clone(); REQUESTS_PER_ROUND];
            compared.push(stand.compare(&rules.name(), rules.title(), 200, WARM_UP_ROUNDS, options.rounds, round));
        }
    }
    if options.parts.contains(&Part::Introspection) {
        let jwt = keys[0].token(&claims(0));
        for workload in INTROSPECTION {
            let rounds = match workload {
                IntrospectionWorkload::OpaqueNew => options.rounds.min(MAX_ROUNDS_OF_CALLS),
                _ => options.rounds,
            };
            // What one build has cached, the other may read: each gets tokens of its own.
            let round = |round: usize, place: usize| workload.requests(2 * round + place, &jwt);
            compared.push(stand.compare(
                workload.name(),
                workload.title().to_owned(),
                200,
                WARM_UP_ROUNDS,
                rounds,
                round,
            ));
        }
    }
    compared
}

/// All comparisons.
pub fn comparison_table(comparisons: &[Comparison]) -> String {
    let row = |comparison: &Comparison| {
        let Comparison { title, baseline, ours, difference } = comparison;
        let quartiles = format!("{:+.2} .. {:+.2}", difference.low, difference.high);
        let median = format!("{:+.2}", difference.median);
        vec![title.clone(), format!("{baseline:.1}"), format!("{ours:.1}"), median, quartiles]
    };
    let header = ["CPU time per request", "baseline µs", "this µs", "difference µs", "quartiles"];
    table(&header, &comparisons.iter().map(row).collect::<Vec<_>>())
}

/// One Envoy with one worker, in which each listener exists once for each build.
struct Stand {
    envoy: Envoy,
    _endpoint: testbed::ScriptedServer,
}

impl Stand {
    fn start(baseline: &Path, keys: &[SigningKey]) -> Self {
        let endpoint = introspection::endpoint();
        let rules = RULES.map(|rules| rules.listener(keys));
        let introspection = INTROSPECTION.map(|workload| workload.listener(keys));
        let listeners = [alone(Subject::Ours, keys)].into_iter().chain(rules).chain(introspection);
        let module = |listener: &ListenerOptions| ListenerOptions {
            name: named(&listener.name, 0),
            module: Some(PathBuf::from(baseline)),
            ..listener.clone()
        };
        let both = listeners.flat_map(|ours| [module(&ours), ListenerOptions { name: named(&ours.name, 1), ..ours }]);
        let builder = introspection::builder(&endpoint);
        Self { envoy: both.fold(builder, testbed::EnvoyBuilder::listener).start(), _endpoint: endpoint }
    }

    fn compare(
        &self,
        listener: &str,
        title: String,
        expected_status: u16,
        warm_up: usize,
        rounds: usize,
        requests: impl Fn(usize, usize) -> Vec<Request>,
    ) -> Comparison {
        let lanes = [0, 1].map(|place| Lane { port: self.envoy.port(&named(listener, place)), expected_status });
        let spent = interleaved(self.envoy.pid(), &lanes, &title, warm_up, rounds, requests);
        Comparison::of(title, &spent)
    }
}

fn named(listener: &str, place: usize) -> String {
    format!("{listener}_{}", ["baseline", "this"][place])
}

/// The results for programs.
pub fn to_json(comparisons: &[Comparison]) -> serde_json::Value {
    let row = |Comparison { title, baseline, ours, difference }: &Comparison| {
        json!({ "workload": title, "baseline": baseline, "this": ours,
            "difference": { "low": difference.low, "median": difference.median, "high": difference.high } })
    };
    comparisons.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_are_compared_round_by_round() {
        // The second round was slow for both.
        let spent = [vec![20.0, 60.0, 20.0], vec![22.0, 62.0, 22.0]];
        let comparison = Comparison::of("a workload".to_owned(), &spent);
        assert_eq!(comparison.difference, Quartiles { low: 2.0, median: 2.0, high: 2.0 });
        assert_eq!((comparison.baseline, comparison.ours), (20.0, 22.0));
        let table = comparison_table(&[comparison]);
        assert!(table.contains("+2.00 .. +2.00"), "{table}");
    }
}
