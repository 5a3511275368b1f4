//! `docs/metrics.md`, the dashboard and the alerts against the metrics in the code: each metric has its row, each row its
//! metric, and no query names a missing one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use okta_proxy_wasm::telemetry::{self, Kind, Metric};
use serde_json::Value;

fn text(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect(path)
}

const fn kind(metric: &Metric) -> &'static str {
    match metric.kind {
        Kind::Counter => "counter",
        Kind::Sum => "sum",
        Kind::Max => "most",
        Kind::Histogram => "histogram",
    }
}

/// The words in backticks.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn metrics_table_matches_the_metrics_in_the_code() {
    let page = text("docs/metrics.md");
    let mut documented = BTreeMap::new();
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, what, when] = cells.as_slice() else { panic!("five cells: {row}") };
        assert!(what.len() > 2 && when.len() > 2, "{row}");
        let name = quoted(name).remove(0);
        assert_eq!(documented.insert(name, ((*kind).to_owned(), quoted(labels))), None, "twice: {row}");
    }
    let told = telemetry::ALL.iter().map(|metric| {
        let labels = metric.labels.iter().map(|label| (*label).to_owned()).collect();
        (metric.name.to_owned(), (kind(metric).to_owned(), labels))
    });
    assert_eq!(documented, told.collect::<BTreeMap<_, _>>());
}

/// The names that begin as ours do, without what Prometheus adds to those of histograms.
fn metrics_in(queries: &str) -> BTreeSet<String> {
    let is_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let names = queries.split("okta_proxy_wasm_").skip(1);
    let names = names.map(|rest| rest.split(|character| !is_name(character)).next().unwrap_or_default());
    names.map(|name| name.trim_end_matches("_bucket").to_owned()).collect()
}

#[test]
fn dashboard_shows_every_metric_and_alerts_use_only_existing_ones() {
    let told: BTreeSet<String> = telemetry::ALL.iter().map(|metric| metric.name.to_owned()).collect();
    let dashboard: Value = serde_json::from_str(&text("monitoring/dashboard.json")).expect("JSON");
    assert_eq!(metrics_in(&dashboard["panels"].to_string()), told);
    let alerts = metrics_in(&text("monitoring/alerts.yaml"));
    assert!(alerts.is_subset(&told), "{:?}", alerts.difference(&told));
    assert_eq!(metrics_in(&text("monitoring/alerts_test.yaml")).difference(&told).next(), None);
}

#[test]
fn every_alert_has_a_test_that_fires_and_one_that_does_not() {
    let (alerts, tests) = (text("monitoring/alerts.yaml"), text("monitoring/alerts_test.yaml"));
    let names = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    for name in names {
        let cases: Vec<&str> =
            tests.split("\n- name: ").filter(|case| case.contains(&format!("alertname=\"{name}\""))).collect();
        let quiet = cases.iter().filter(|case| case.contains("exp_samples: []")).count();
        assert!(quiet >= 1 && quiet < cases.len(), "{name}: {} cases, {quiet} of them quiet", cases.len());
    }
}

#[test]
fn every_label_has_its_tag_in_the_documented_bootstrap() {
    let bootstrap = text("envoy/envoy.yaml");
    let tags: BTreeSet<&str> =
        bootstrap.split("tag_name: ").skip(1).filter_map(|rest| rest.split(',').next()).collect();
    let labels: BTreeSet<&str> = telemetry::ALL.iter().flat_map(|metric| metric.labels).copied().collect();
    assert_eq!(tags, labels);
}
