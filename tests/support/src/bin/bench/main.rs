//! `make bench`: the cost of the filter in Envoy, beside Envoy's own `jwt_authn`, an empty Wasm module and no filter.
//!
//! Everything is measured in real Envoys on this machine: CPU time per request, latency at a fixed rate, the time to
//! start and the memory. Every response is checked. The results go to `target/bench`, and with `--publish` to `docs`.

mod baseline;
mod chart;
mod cpu;
mod findings;
mod introspection;
mod latency;
mod machine;
mod memory;
mod options;
mod order;
mod progress;
mod proof_clients;
mod proofs;
mod report;
mod rules;
mod signing;
mod start;
mod statistics;
mod subjects;
mod svg;
mod table;
mod tokens;
mod workloads;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;
use std::{env, fs, io};

use testbed::module::{project_root, target_directory};

use findings::Findings;
use machine::Machine;
use options::{Options, Part};
use signing::{Kind, SigningKey};
use subjects::Stand;
use tokens::TokenStore;
use workloads::Workload;

const MISUSED: u8 = 2;

fn main() -> ExitCode {
    let options = match Options::read(env::args().skip(1)) {
        Ok(options) => options,
        Err(fault) => {
            eprintln!("{fault}\n\nusage: make bench [ROUNDS=16] [WORKLOADS=name,…] [BASELINE=module.wasm | PUBLISH=1]");
            return ExitCode::from(MISUSED);
        }
    };
    let begin = Instant::now();
    if let Some(module) = &options.baseline {
        compare(module, &options).expect("the results are written");
        return ExitCode::SUCCESS;
    }
    let findings = measure(&options);
    println!("Measured in {} seconds.\n", begin.elapsed().as_secs());
    write(&findings, options.publish).expect("the results are written");
    ExitCode::SUCCESS
}

fn compare(module: &Path, options: &Options) -> io::Result<()> {
    println!("{}", report::machine(&Machine::here()));
    let directory = target_directory().join("bench");
    fs::create_dir_all(&directory)?;
    let keys = Kind::ALL.map(SigningKey::of);
    let comparisons = baseline::measure(module, options, &keys, &mut TokenStore::new(&directory));
    println!("{}", baseline::comparison_table(&comparisons));
    let path = directory.join("comparison.json");
    fs::write(&path, format!("{:#}\n", baseline::to_json(&comparisons)))?;
    println!("{}", path.display());
    Ok(())
}

fn measure(options: &Options) -> Findings {
    let machine = Machine::here();
    println!("{}", report::machine(&machine));
    let keys = Kind::ALL.map(SigningKey::of);
    let directory = target_directory().join("bench");
    fs::create_dir_all(&directory).expect("a directory for the tokens and the results");
    let mut bench = Bench {
        store: TokenStore::new(&directory),
        stand: None,
        findings: Findings {
            machine,
            rounds: options.rounds,
            cpu: Vec::new(),
            latency: Vec::new(),
            start: None,
            memory: None,
            rules: None,
            introspection: None,
            proofs: None,
        },
        keys,
    };
    options.workloads.iter().for_each(|workload| bench.measure_cpu(*workload));
    options.parts.iter().for_each(|part| bench.measure_part(*part));
    bench.findings
}

/// What is needed on the way, and what was found so far.
struct Bench {
    keys: [SigningKey; Kind::ALL.len()],
    store: TokenStore,
    stand: Option<Stand>,
    findings: Findings,
}

impl Bench {
    fn measure_cpu(&mut self, workload: Workload) {
        let prepared = workload.prepare(&self.keys, &mut self.store);
        let stand = self.stand.get_or_insert_with(|| Stand::start(&self.keys));
        let finding = cpu::measure(stand, workload, &prepared, self.findings.rounds);
        println!("{}", report::cpu_table(&finding));
        self.findings.cpu.push(finding);
    }

    fn measure_part(&mut self, part: Part) {
        match part {
            Part::Latency(workload) => {
                let prepared = workload.prepare(&self.keys, &mut self.store);
                let stand = self.stand.get_or_insert_with(|| Stand::start(&self.keys));
                let finding = latency::measure(stand, workload, &prepared);
                println!("Latency at a fixed rate\n{}", report::latency_table(&finding));
                self.findings.latency.push(finding);
            }
            Part::Rules => {
                let finding = rules::measure(&self.keys, self.findings.rounds);
                println!("Rules\n{}", report::rules_table(&finding));
                self.findings.rules = Some(finding);
            }
            Part::Introspection => {
                let finding = introspection::measure(&self.keys, self.findings.rounds);
                println!("Introspection\n{}", report::introspection_text(&finding));
                self.findings.introspection = Some(finding);
            }
            Part::Proofs => {
                let finding = proofs::measure(&self.keys, self.findings.rounds);
                println!("Sender-constrained tokens\n{}", report::proofs_table(&finding));
                self.findings.proofs = Some(finding);
            }
            Part::Start => {
                let finding = start::measure(&self.keys, &self.any_token());
                println!("{}", report::start_text(&finding));
                self.findings.start = Some(finding);
            }
            Part::Memory => {
                let finding = memory::measure(&self.keys, &self.any_token());
                println!("{}", report::memory_text(&finding));
                self.findings.memory = Some(finding);
            }
        }
    }

    fn any_token(&self) -> String {
        self.keys[0].token(&tokens::claims(0))
    }
}

/// Writes the results, and says where they are.
fn write(findings: &Findings, publish: bool) -> io::Result<()> {
    let directory = target_directory().join("bench");
    let chart = chart::draw(findings);
    let mut files = vec![
        (directory.join("results.json"), format!("{:#}\n", findings.to_json())),
        (directory.join("results.md"), report::page(findings, "cpu.svg")),
        (directory.join("cpu.svg"), chart.clone()),
    ];
    if publish {
        let directory = project_root().join("docs");
        fs::create_dir_all(&directory)?;
        files.push((directory.join("performance.md"), report::page(findings, "performance.svg")));
        files.push((directory.join("performance.svg"), chart));
    }
    for (path, text) in files {
        fs::write(&path, text)?;
        println!("{}", path.display());
    }
    Ok(())
}
