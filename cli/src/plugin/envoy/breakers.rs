//! The circuit breakers of a cluster: how many calls of the filter it lets through at a time.

use serde_json::Value;

use super::fields::{field, is_one_of, list};
use crate::plugin::diagnostic::{HostCode, HostDiagnostic};

/// Envoy's default of each threshold.
const DEFAULT: u64 = 1024;

/// The warning for a cluster that lets fewer than `calls` through.
pub(in crate::plugin) fn warning(cluster: &Value, at: &str, calls: u64) -> Option<HostDiagnostic> {
    let breakers = field(cluster, "circuit_breakers")?;
    // The filter's calls have the default priority.
    let thresholds = list(breakers, "thresholds");
    let is_default = |threshold: &&Value| {
        field(threshold, "priority").is_none() || is_one_of(threshold, "priority", &[("DEFAULT", 0)])
    };
    let thresholds = thresholds.iter().find(is_default)?;
    let limit = |name: &str| {
        let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
        field(thresholds, name).and_then(number).unwrap_or(DEFAULT)
    };
    // With HTTP/1.1 each call takes a connection, or is pending.
    let calls_by_connections = limit("max_connections").saturating_add(limit("max_pending_requests"));
    let allowed = limit("max_requests").min(calls_by_connections);
    (allowed < calls).then(|| {
        HostDiagnostic::of_host(
            HostCode::CIRCUIT_BREAKERS_TOO_SMALL,
            format!("{at}.circuit_breakers"),
            format!("the cluster lets {allowed} calls through at a time, and one worker of the filter makes up to {calls}: the others fail as `upstream_unavailable`"),
            format!("set `max_requests`, and `max_connections` plus `max_pending_requests`, to {calls} for each worker"),
        )
    })
}
