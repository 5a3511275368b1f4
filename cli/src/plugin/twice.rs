//! Finds workloads on which two resources of Istio run the filter.

use serde_json::{Map, Value};

use super::context::HostObject;
use super::diagnostic::{HostCode, HostDiagnostic};
use super::manifests;
use super::source::document_of;

/// The fault of a resource whose workloads have the filter by another resource too.
pub(super) fn second_run(file: &str, at: &str, resource: &Value, all: &[HostObject]) -> Option<HostDiagnostic> {
    if !matches!(kind(resource), "WasmPlugin" | "TrafficExtension") {
        return None;
    }
    let is_other = |other: &&HostObject| {
        let is_same_place = other.file == file && other.path == at && other.value == *resource;
        !is_same_place && !is_same_object(&other.value, resource) && runs_filter(&other.value)
    };
    let other = all.iter().filter(is_other).find(|other| may_select_the_same(&other.value, resource))?;
    let name = other.value.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    Some(HostDiagnostic::of_host(
        HostCode::FILTER_RUNS_TWICE,
        format!("{at}.spec"),
        format!(
            "the {} {name:?} ({}) runs the filter on the same workloads: each request is checked twice, the second time without its token",
            kind(&other.value),
            other.file
        ),
        "apply one of the two",
    ))
}

/// Whether a resource runs this filter.
fn runs_filter(resource: &Value) -> bool {
    let mut configs = manifests::hosted_configs(resource).into_iter();
    configs.any(|hosted| hosted.is_of_this_filter(&document_of(&hosted.text)))
}

fn kind(resource: &Value) -> &str {
    resource.get("kind").and_then(Value::as_str).unwrap_or_default()
}

/// Whether applying one resource replaces the other.
fn is_same_object(one: &Value, other: &Value) -> bool {
    let name = |resource: &Value| resource.pointer("/metadata/name").cloned();
    kind(one) == kind(other) && name(one).is_some() && name(one) == name(other) && namespace(one) == namespace(other)
}

fn namespace(resource: &Value) -> &str {
    resource.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or("default")
}

/// Whether both certainly apply to a common workload, if each applies to any.
fn may_select_the_same(one: &Value, other: &Value) -> bool {
    if namespace(one) != namespace(other) {
        return false;
    }
    let (other_labels, other_targets) = (labels(other), targets(other));
    let (labels, targets) = (labels(one), targets(one));
    if targets.is_empty() && other_targets.is_empty() {
        // Without labels, every workload of the namespace.
        let includes = |all: &Map<String, Value>, part: &Map<String, Value>| {
            part.iter().all(|(name, value)| all.get(name) == Some(value))
        };
        return includes(&labels, &other_labels) || includes(&other_labels, &labels);
    }
    targets.iter().any(|target| other_targets.contains(target))
}

fn labels(resource: &Value) -> Map<String, Value> {
    resource.pointer("/spec/selector/matchLabels").and_then(Value::as_object).cloned().unwrap_or_default()
}

/// Kind and name of each target.
fn targets(resource: &Value) -> Vec<(String, String)> {
    let all = resource.pointer("/spec/targetRefs").and_then(Value::as_array).into_iter().flatten();
    let all = all.chain(resource.pointer("/spec/targetRef"));
    let text = |target: &Value, name: &str| target.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    all.map(|target| (text(target, "kind"), text(target, "name"))).collect()
}
