//! The results for people: as tables on the terminal during the run, and as a page of Markdown.

use std::iter;

use crate::cpu::CpuFinding;
use crate::findings::Findings;
use crate::introspection::{IntrospectionCost, IntrospectionFinding, IntrospectionWorkload, REMEMBERED};
use crate::latency::{Latency, LatencyFinding, PIECES, RATE};
use crate::machine::Machine;
use crate::memory::{MemoryFinding, WORKERS, tokens_sent};
use crate::proofs::{ProofCost, ProofWorkload, ProofsFinding};
use crate::rules::{RuleSet, RuleTraffic, RulesFinding};
use crate::start::StartFinding;
use crate::statistics::Quartiles;
use crate::subjects::Subject;
use crate::table::{table, with_thousands};
use crate::workloads::REQUESTS_PER_ROUND;

/// The whole page. `chart` is where the picture is, seen from it.
pub fn page(findings: &Findings, chart: &str) -> String {
    let mut sections = vec![
        "# Performance\n\nWritten by `make bench PUBLISH=1`, not by hand. Figures of other machines differ: compare the \
         columns of one run.\n"
            .to_owned(),
        machine(&findings.machine),
    ];
    if !findings.cpu.is_empty() {
        sections.push(cpu_section(findings, chart));
    }
    sections.extend(
        findings
            .rules
            .as_ref()
            .map(|rules| format!("## Rules\n\n{}\n{}", rules_explanation(findings.rounds), rules_table(rules))),
    );
    sections.extend(findings.introspection.as_ref().map(|introspection| {
        let explanation = introspection_explanation(findings.rounds);
        format!("## Introspection\n\n{explanation}\n{}", introspection_text(introspection))
    }));
    sections.extend(findings.proofs.as_ref().map(|proofs| {
        format!("## Sender-constrained tokens\n\n{}\n{}", proofs_explanation(findings.rounds), proofs_table(proofs))
    }));
    if !findings.latency.is_empty() {
        let tables = findings.latency.iter().map(|finding| format!("{}\n", latency_table(finding)));
        sections.push(format!("## Latency\n\n{}\n{}", latency_explanation(), tables.collect::<String>().trim_end()));
        sections.push(String::new());
    }
    sections.extend(findings.start.as_ref().map(|start| format!("## Start\n\n{}", start_text(start))));
    sections.extend(findings.memory.as_ref().map(|memory| format!("## Memory\n\n{}", memory_text(memory))));
    if !findings.cpu.is_empty() {
        let tables = findings.cpu.iter().map(|finding| format!("\n{}", cpu_table(finding)));
        sections.push(format!("## Every figure of the CPU time\n{}", tables.collect::<String>()));
    }
    let sections = sections.into_iter().filter(|section| !section.is_empty());
    sections.map(|section| format!("{}\n", section.trim_end())).collect::<Vec<_>>().join("\n")
}

/// On what was measured.
pub fn machine(machine: &Machine) -> String {
    let [bytes, compressed] = machine.module_bytes.map(with_thousands);
    let rows = [
        ("machine", format!("{}, {} cores", machine.processor, machine.cores)),
        ("Linux", machine.kernel.clone()),
        ("Envoy", format!("{}, one worker", machine.envoy)),
        ("compiler", machine.rustc.clone()),
        ("module", format!("{bytes} bytes, {compressed} with gzip -9")),
        ("commit", format!("{}, {}", machine.commit, machine.date)),
    ];
    rows.map(|(name, value)| format!("* {name}: {value}\n")).concat()
}

/// Microseconds that were added, as short as their size allows.
pub fn microseconds(added: f64) -> String {
    if added.abs() < 9.95 { format!("{added:+.1}") } else { format!("{added:+.0}") }
}

/// One workload's CPU time in full.
pub fn cpu_table(finding: &CpuFinding) -> String {
    let title = finding.workload.title();
    let header = [&title, "total µs", "added µs", "quartiles", "of jwt_authn", "of cached"];
    let rows = finding.costs.iter().map(|cost| {
        let subject = cost.subject;
        let added = [
            microseconds(cost.added.median),
            format!("{:.1} .. {:.1}", cost.added.low, cost.added.high),
            ratio(finding.ratio(subject, Subject::JwtAuthn)),
            ratio(finding.ratio(subject, Subject::JwtAuthnCached)),
        ];
        let added = if subject == Subject::NoFilter { [const { String::new() }; 4] } else { added };
        [subject.title().to_owned(), format!("{:.1}", cost.total)].into_iter().chain(added).collect()
    });
    table(&header, &rows.collect::<Vec<_>>())
}

/// What each set of rules costs.
pub fn rules_table(finding: &RulesFinding) -> String {
    let mut header = vec!["request"];
    let titles: Vec<String> = RuleSet::ALL.iter().map(|rules| rules.title()).collect();
    header.extend(titles.iter().map(String::as_str));
    let mut rows = Vec::new();
    for (traffic, costs) in &finding.costs {
        let is_meant = |rules: RuleSet| !(rules == RuleSet::Condition && *traffic == RuleTraffic::None);
        let mut row = |title: String, cell: &dyn Fn(usize) -> String| {
            let cells = costs.iter().enumerate();
            let cells = cells.map(|(place, cost)| if is_meant(cost.rules) { cell(place) } else { String::new() });
            rows.push([title].into_iter().chain(cells).collect::<Vec<_>>());
        };
        row(format!("{}, µs", traffic.title()), &|place| match place {
            0 => format!("{:.1}", costs[place].total),
            _ => microseconds(costs[place].added.median),
        });
        row(String::from("quartiles"), &|place| match place {
            0 => String::new(),
            _ => format!("{:.1} .. {:.1}", costs[place].added.low, costs[place].added.high),
        });
        row(String::from("more than no rules"), &|place| match place {
            0 | 1 => String::new(),
            _ => microseconds(costs[place].added_to_no_rules.median),
        });
    }
    table(&header, &rows)
}

/// What it costs to have the issuer asked.
pub fn introspection_text(finding: &IntrospectionFinding) -> String {
    let row = |cost: &IntrospectionCost| {
        let added = match cost.workload {
            IntrospectionWorkload::NoFilter => [const { String::new() }; 2],
            _ => [microseconds(cost.added.median), format!("{:.1} .. {:.1}", cost.added.low, cost.added.high)],
        };
        let begin = [cost.workload.title().to_owned(), format!("{:.1}", cost.total)];
        let latency = [cost.p50, cost.p99].map(|latency| latency.as_micros().to_string());
        begin.into_iter().chain(added).chain(latency).collect::<Vec<_>>()
    };
    let header = ["", "total µs", "added µs", "quartiles", "p50 µs", "p99 µs"];
    let [with_one, with_all] = finding.memory.map(mebibytes);
    format!(
        "{}\nResident memory of an Envoy with one worker: {with_one} MiB with one answer remembered, {with_all} MiB with {}.\n",
        table(&header, &finding.costs.iter().map(row).collect::<Vec<_>>()),
        with_thousands(REMEMBERED)
    )
}

fn introspection_explanation(rounds: usize) -> String {
    format!(
        "CPU time as above (medians over {rounds} rounds) and latency as below, in an Envoy of its own. The endpoint is a server \
         on the same machine that answers at once, over plain HTTP on connections that stay open: what a call costs Envoy, and not \
         how long yours takes to answer. `ext_authz` asks the same server about each request and takes its 200 for a yes, \
         without reading what it says.\n"
    )
}

/// What tokens cost that are bound to a key or a certificate.
pub fn proofs_table(finding: &ProofsFinding) -> String {
    let spread = |quartiles: Quartiles| format!("{:.1} .. {:.1}", quartiles.low, quartiles.high);
    let row = |cost: &ProofCost| {
        let added = match cost.workload {
            ProofWorkload::NoFilter | ProofWorkload::NoFilterTls => [const { String::new() }; 2],
            _ => [microseconds(cost.added.median), spread(cost.added)],
        };
        let to_bearer = cost.added_to_bearer.map_or([const { String::new() }; 3], |(added, of_bearer)| {
            [microseconds(added.median), spread(added), ratio(of_bearer)]
        });
        let begin = [cost.workload.title().to_owned(), format!("{:.1}", cost.total)];
        begin.into_iter().chain(added).chain(to_bearer).collect::<Vec<_>>()
    };
    let header = ["", "total µs", "added µs", "quartiles", "more than Bearer", "quartiles", "of Bearer"];
    table(&header, &finding.costs.iter().map(row).collect::<Vec<_>>())
}

fn proofs_explanation(rounds: usize) -> String {
    format!(
        "CPU time as above (medians over {rounds} rounds), in an Envoy of its own; `make bench WORKLOADS=proofs` measures \
         this part alone. Tokens are signed with RS256, and proofs with ES256 (DPoP, RFC 9449). No proof is sent twice, and each is \
         checked, verified and recorded. `max_age` is 300 s and `max_proofs` 1,048,576. A token and key that come once are \
         in no cache. Portable: `native_crypto` is `off`. With mutual TLS a second Envoy sends the requests over connections that stay \
         open, so no handshake is in the times; \"added\" compares with no filter on the same kind of connection. \"More than \
         Bearer\" is the cost of the constraint: the difference, in the same round, to tokens without one. \
         `make microbench ITEMS=\"proof: replay\"` measures the parts in the module's own code: parsing and checking a proof, its \
         signature with a known and with a new key, and recording it in an empty and in a full bucket of the memory.\n"
    )
}

fn rules_explanation(rounds: usize) -> String {
    format!(
        "CPU time as above, with one token that is known, in an Envoy of its own: all of it for \"no filter\", and what is \
         more than that for the others, medians over {rounds} rounds. The rules are prefixes, whole paths, regular \
         expressions, methods and hosts in equal parts; one of fifty is a regular expression that begins with no text of \
         its own and so is tried for each request. The last rule is a prefix with a scope; the condition in it is \
         `claims.tenant == path_segment(request.url_path, 2) && ip_in(source.address, [two ranges])`.\n"
    )
}

/// One workload's latencies.
pub fn latency_table(finding: &LatencyFinding) -> String {
    let title = finding.workload.title();
    let row = |latency: &Latency| {
        vec![
            latency.subject.title().to_owned(),
            latency.p50.as_micros().to_string(),
            latency.p99.as_micros().to_string(),
        ]
    };
    table(&[&title, "p50 µs", "p99 µs"], &finding.latencies.iter().map(row).collect::<Vec<_>>())
}

/// What was done for the start, and what came of it.
pub fn start_text(start: &StartFinding) -> String {
    format!(
        "From writing the listener's file to the first answer, in an Envoy that runs and never had the module (median of \
         {}): {:.0} ms without a filter, {:.0} ms with ours, whose module is compiled and configured meanwhile, {:.0} ms with \
         another configuration of ours, whose module is there.\n",
        start.repeats, start.no_filter, start.ours, start.ours_again
    )
}

/// What was done for the memory, and what came of it.
pub fn memory_text(memory: &MemoryFinding) -> String {
    let by_workers = |title: &str, sizes: [f64; WORKERS.len()]| -> Vec<String> {
        [title.to_owned()].into_iter().chain(sizes.map(mebibytes)).collect()
    };
    let rows =
        [by_workers(Subject::NoFilter.title(), memory.no_filter), by_workers(Subject::Ours.title(), memory.ours)];
    let counts = WORKERS.map(|workers| if workers == 1 { "1 worker".to_owned() } else { format!("{workers} workers") });
    let header: Vec<&str> = iter::once("MiB").chain(counts.iter().map(String::as_str)).collect();
    let over_tokens = memory.over_distinct_tokens.iter().enumerate();
    let over_tokens = over_tokens.map(|(place, size)| vec![with_thousands(tokens_sent(place)), mebibytes(*size)]);
    let last = with_thousands(tokens_sent(memory.over_distinct_tokens.len().saturating_sub(1)));
    format!(
        "Resident memory of the Envoy process (`VmRSS`). A further worker takes {:.1} MiB more with ours than without a \
         filter, before it has seen many tokens: the difference between {} and {} workers, for the first few live on \
         what compiling the module left behind.\n\n{}\n\
         And with one worker over {last} tokens, no two alike, valid and signed with ES256 while they are sent: measured \
         before them, and after each step.\n\n{}",
        memory.per_worker(),
        WORKERS[1],
        WORKERS[2],
        table(&header, &rows),
        table(&["distinct tokens", "MiB"], &over_tokens.collect::<Vec<_>>())
    )
}

fn latency_explanation() -> String {
    format!(
        "{} requests a second, {PIECES} seconds with each subject in interleaved pieces of a second. The clock starts when a \
         request is due and not when it could be sent, so a stall counts for all that it delays. The load comes from the \
         same machine and its cost is in every line: compare with \"no filter\".\n",
        with_thousands(RATE)
    )
}

fn cpu_section(findings: &Findings, chart: &str) -> String {
    let mut header = vec!["", "no filter"];
    header.extend(Subject::ALL.iter().skip(1).map(|subject| subject.title()));
    header.extend(["ours of jwt_authn", "ours of cached"]);
    let row = |finding: &CpuFinding| {
        let added = finding.costs.iter().skip(1).map(|cost| microseconds(cost.added.median));
        let ratios = [Subject::JwtAuthn, Subject::JwtAuthnCached];
        let ratios = ratios.map(|reference| ratio(finding.ratio(Subject::Ours, reference)));
        let begin = [finding.workload.title(), format!("{:.0}", finding.costs[0].total)];
        begin.into_iter().chain(added).chain(ratios).collect::<Vec<_>>()
    };
    format!(
        "## CPU time per request\n\n![CPU time that each filter adds]({chart})\n\n{}\n{}",
        cpu_explanation(findings.rounds),
        table(&header, &findings.cpu.iter().map(row).collect::<Vec<_>>())
    )
}

fn cpu_explanation(rounds: usize) -> String {
    format!(
        "CPU time of the Envoy process in microseconds: all of it for \"no filter\", and what is more than that for the \
         others. Every subject is a listener of the same process, verifies the same tokens with the same keys, given \
         inline, and writes two claims into headers; Envoy answers by itself after the filters. A round is {} requests \
         to each subject in rotating order; an added time is the median over {rounds} rounds of the difference to \"no \
         filter\" in the same round. Token caches hold 4,096 tokens. Differences within the quartiles mean nothing. \
         A refusal is compared with an answer of 200 without a filter, and ours writes a line to Envoy's log for each. \
         Envoy's library has no PS256 for modules: there ours verifies by itself in both columns. A ratio is left out \
         where the reference cannot be told from nothing.\n",
        with_thousands(REQUESTS_PER_ROUND)
    )
}

fn ratio(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}x"))
}

fn mebibytes(size: f64) -> String {
    format!("{size:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::findings::tests::findings;

    #[test]
    fn small_costs_have_a_decimal_and_large_costs_are_integers() {
        let written = [0.04, -3.26, 9.94, 9.96, 43.5001, 780.4].map(microseconds);
        assert_eq!(written, ["+0.0", "-3.3", "+9.9", "+10", "+44", "+780"]);
    }

    #[test]
    fn the_page_has_the_chart_the_machine_and_every_part() {
        let page = page(&findings(), "performance.svg");
        let expected = [
            "* machine: Abacus 3000, 2 cores\n",
            "* module: 811,390 bytes, 285,000 with gzip -9\n",
            "](performance.svg)\n",
            "|        10 |              +5.0 |       +40 |               +50 |             +30 |",
            "|             0.75x |          0.60x |\n",
            "| okta-proxy-wasm                   |     40.0 |      +30 |   30.0 .. 30.0 |        0.75x |     0.60x |\n",
            "| under the last rule, µs |      10.0 |       +8.0 |       +9.0 |          +10 |          +12 |                     +16 |\n",
            "| okta-proxy-wasm                   |    214 |    924 |\n",
            "| a new opaque token each time: a call each        |    100.0 |      +90 | 90.0 .. 90.0 |    390 |    790 |\n",
            "61.0 MiB with one answer remembered, 66.5 MiB with 4,096.",
            "| DPoP, one token, a new proof each time          |    138.0 |     +128 | 128.0 .. 128.0 |             +120 | 120.0 .. 120.0 |    16.00x |\n",
            "| mutual TLS: Bearer, one token                   |     29.0 |     +9.0 |     9.0 .. 9.0 |                  |                |           |\n",
            "(median of 5): 6 ms without a filter, 78 ms with ours",
            "4.0 MiB more",
            "| okta-proxy-wasm |     60.0 |      70.0 |      104.0 |\n",
            "| 100,000         | 68.0 |\n",
        ];
        for text in expected {
            assert!(page.contains(text), "{text:?} is not in\n{page}");
        }
    }

    #[test]
    fn unmeasured_parts_are_omitted() {
        let nothing = Findings {
            cpu: Vec::new(),
            rules: None,
            introspection: None,
            proofs: None,
            latency: Vec::new(),
            start: None,
            memory: None,
            ..findings()
        };
        let page = page(&nothing, "performance.svg");
        assert_eq!(page.matches('#').count(), 1, "{page}");
        assert!(!page.contains("performance.svg"), "{page}");
    }
}
