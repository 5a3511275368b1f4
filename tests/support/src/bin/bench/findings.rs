//! All results, and their JSON.

use serde_json::{Map, Value, json};

use crate::cpu::{Cost, CpuFinding};
use crate::introspection::{IntrospectionCost, IntrospectionFinding, REMEMBERED};
use crate::latency::{Latency, LatencyFinding};
use crate::machine::Machine;
use crate::memory::{MemoryFinding, WORKERS, tokens_sent};
use crate::proofs::{ProofCost, ProofsFinding};
use crate::rules::{RuleCost, RulesFinding};
use crate::start::StartFinding;
use crate::statistics::Quartiles;
use crate::subjects::Subject;

/// The results of one run. What was not asked for is not there.
pub struct Findings {
    /// On what and with what.
    pub machine: Machine,
    /// How many rounds of each workload counted.
    pub rounds: usize,
    /// CPU time, a workload each.
    pub cpu: Vec<CpuFinding>,
    /// CPU time with rules.
    pub rules: Option<RulesFinding>,
    /// Where the issuer is asked about tokens.
    pub introspection: Option<IntrospectionFinding>,
    /// With tokens that are bound to a key or a certificate.
    pub proofs: Option<ProofsFinding>,
    /// Latency, a workload each.
    pub latency: Vec<LatencyFinding>,
    /// From configuration to the first answer.
    pub start: Option<StartFinding>,
    /// Resident memory.
    pub memory: Option<MemoryFinding>,
}

impl Findings {
    /// The whole, with units in the names.
    pub fn to_json(&self) -> Value {
        let machine = &self.machine;
        let [module_bytes, module_bytes_gzipped] = machine.module_bytes;
        json!({
            "machine": {
                "processor": machine.processor,
                "cores": machine.cores,
                "kernel": machine.kernel,
                "envoy": machine.envoy,
                "rustc": machine.rustc,
                "date": machine.date,
                "commit": machine.commit,
            },
            "module": {"bytes": module_bytes, "bytes_gzipped": module_bytes_gzipped},
            "rounds": self.rounds,
            "cpu_us_per_request": by_name(self.cpu.iter().map(|finding| (finding.workload.name(), cpu(finding)))),
            "cpu_us_per_request_by_rules": self.rules.as_ref().map(rules),
            "introspection": self.introspection.as_ref().map(introspection),
            "cpu_us_per_request_by_sender_constraint": self.proofs.as_ref().map(proofs),
            "latency_us": by_name(self.latency.iter().map(|finding| (finding.workload.name(), latency(finding)))),
            "ready_ms": self.start.as_ref().map(|start| {
                json!({"none": start.no_filter, "ours": start.ours, "ours_again": start.ours_again})
            }),
            "resident_mib": self.memory.as_ref().map(memory),
        })
    }
}

fn by_name(entries: impl Iterator<Item = (String, Value)>) -> Value {
    Value::Object(entries.collect::<Map<_, _>>())
}

fn cpu(finding: &CpuFinding) -> Value {
    let of_subject = |cost: &Cost| {
        let Quartiles { low, median, high } = cost.added;
        let subject = json!({
            "total": cost.total,
            "added": {"lower_quartile": low, "median": median, "upper_quartile": high},
            "ratio_to_jwt_authn": finding.ratio(cost.subject, Subject::JwtAuthn),
            "ratio_to_jwt_authn_cached": finding.ratio(cost.subject, Subject::JwtAuthnCached),
        });
        (cost.subject.name().to_owned(), subject)
    };
    by_name(finding.costs.iter().map(of_subject))
}

fn rules(finding: &RulesFinding) -> Value {
    let of_cost = |cost: &RuleCost| {
        let found = json!({
            "total": cost.total,
            "added": of_quartiles(cost.added),
            "added_to_no_rules": of_quartiles(cost.added_to_no_rules),
        });
        (cost.rules.name(), found)
    };
    by_name(
        finding.costs.iter().map(|(traffic, costs)| (traffic.name().to_owned(), by_name(costs.iter().map(of_cost)))),
    )
}

fn proofs(finding: &ProofsFinding) -> Value {
    let of_cost = |cost: &ProofCost| {
        let mut found = json!({"total": cost.total, "added": of_quartiles(cost.added)});
        if let Some((added, ratio)) = cost.added_to_bearer {
            found["added_to_bearer"] = of_quartiles(added);
            found["ratio_to_bearer"] = json!(ratio);
        }
        (cost.workload.name().to_owned(), found)
    };
    by_name(finding.costs.iter().map(of_cost))
}

fn of_quartiles(Quartiles { low, median, high }: Quartiles) -> Value {
    json!({"lower_quartile": low, "median": median, "upper_quartile": high})
}

fn introspection(finding: &IntrospectionFinding) -> Value {
    let of_cost = |cost: &IntrospectionCost| {
        let Quartiles { low, median, high } = cost.added;
        let found = json!({
            "cpu_us": {"total": cost.total, "added": {"lower_quartile": low, "median": median, "upper_quartile": high}},
            "latency_us": {"p50": cost.p50.as_micros(), "p99": cost.p99.as_micros()},
        });
        (cost.workload.name().to_owned(), found)
    };
    let [with_one, with_all] = finding.memory;
    json!({
        "by_kind": by_name(finding.costs.iter().map(of_cost)),
        "resident_mib_by_answers": {"1": with_one, REMEMBERED.to_string(): with_all},
    })
}

fn latency(finding: &LatencyFinding) -> Value {
    let of_subject = |latency: &Latency| {
        let subject = json!({"p50": latency.p50.as_micros(), "p99": latency.p99.as_micros()});
        (latency.subject.name().to_owned(), subject)
    };
    by_name(finding.latencies.iter().map(of_subject))
}

fn memory(finding: &MemoryFinding) -> Value {
    let by_workers = |sizes: [f64; WORKERS.len()]| {
        by_name(WORKERS.into_iter().zip(sizes).map(|(workers, size)| (workers.to_string(), json!(size))))
    };
    let over_tokens = finding.over_distinct_tokens.iter().enumerate();
    json!({
        "by_workers": {"none": by_workers(finding.no_filter), "ours": by_workers(finding.ours)},
        "per_worker": finding.per_worker(),
        "ours_by_distinct_tokens": by_name(over_tokens.map(|(place, size)| (tokens_sent(place).to_string(), json!(size)))),
    })
}

#[cfg(test)]
pub mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cpu::tests::finding;
    use crate::machine::tests::machine;
    use crate::workloads::Workload;

    /// A whole run, for the tests of what is written. No two figures are equal.
    pub fn findings() -> Findings {
        let latency = |subject: Subject| {
            let place = Subject::ALL.iter().position(|other| *other == subject).unwrap() as u64;
            Latency { subject, p50: Duration::from_micros(210 + place), p99: Duration::from_micros(920 + place) }
        };
        Findings {
            machine: machine(),
            rounds: 16,
            cpu: vec![finding(Workload::NEW, [5.0, 40.0, 50.0, 30.0, 160.0])],
            rules: Some(crate::rules::tests::finding()),
            introspection: Some(crate::introspection::tests::finding()),
            proofs: Some(crate::proofs::tests::finding()),
            latency: vec![LatencyFinding { workload: Workload::NEW, latencies: Subject::ALL.map(latency).into() }],
            start: Some(StartFinding { repeats: 5, no_filter: 6.5, ours: 77.5, ours_again: 9.5 }),
            memory: Some(MemoryFinding {
                no_filter: [30.0, 31.0, 33.0],
                ours: [60.0, 70.0, 104.0],
                over_distinct_tokens: vec![62.0, 68.0],
            }),
        }
    }

    #[test]
    fn every_result_is_in_the_json_output() {
        let json = findings().to_json();
        let found = [
            "/module/bytes_gzipped",
            "/cpu_us_per_request/rs256-new/ours/added/median",
            "/cpu_us_per_request/rs256-new/ours/ratio_to_jwt_authn",
            "/cpu_us_per_request_by_rules/last/rules_1000/added/median",
            "/introspection/by_kind/opaque_new/cpu_us/added/median",
            "/introspection/by_kind/ext_authz/latency_us/p99",
            "/introspection/resident_mib_by_answers/4096",
            "/cpu_us_per_request_by_sender_constraint/dpop_known_key/added/median",
            "/cpu_us_per_request_by_sender_constraint/dpop_known_key/added_to_bearer/median",
            "/cpu_us_per_request_by_sender_constraint/certificate/ratio_to_bearer",
            "/latency_us/rs256-new/jwt_authn/p99",
            "/ready_ms/ours",
            "/resident_mib/by_workers/ours/16",
            "/resident_mib/per_worker",
            "/resident_mib/ours_by_distinct_tokens/100000",
        ]
        .map(|pointer| json.pointer(pointer).and_then(Value::as_f64));
        let expected =
            [285_000.0, 30.0, 0.75, 12.0, 90.0, 760.0, 66.5, 128.0, 120.0, 12.0 / 9.0, 922.0, 77.5, 104.0, 4.0, 68.0];
        assert_eq!(found, expected.map(Some));
    }
}
