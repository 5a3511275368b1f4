//! The labels of the filter's metrics, which Envoy finds in their names (docs/metrics.md).

use serde_json::Value;

use super::fields::{field, list, string};
use crate::plugin::diagnostic::{HostCode, HostDiagnostic};

const PREFIX: &str = "okta_proxy_wasm";
const LABELS: [&str; 8] = ["verdict", "reason", "constraint", "outcome", "result", "verifier", "rule", "provider"];

/// The warning for a bootstrap that does not define all labels.
pub(in crate::plugin) fn missing_labels(document: &Value) -> Option<HostDiagnostic> {
    let is_bootstrap = ["static_resources", "dynamic_resources"].iter().any(|name| field(document, name).is_some());
    let tags = field(document, "stats_config").map(|config| list(config, "stats_tags")).unwrap_or_default();
    let is_defined = |label: &str| {
        tags.iter().any(|tag| {
            string(tag, "tag_name") == Some(label) && string(tag, "regex").is_some_and(|regex| regex.contains(PREFIX))
        })
    };
    let missing: Vec<&str> = LABELS.into_iter().filter(|label| !is_defined(label)).collect();
    (is_bootstrap && !missing.is_empty()).then(|| {
        HostDiagnostic::of_host(
            HostCode::STATS_CONFIG,
            "$.stats_config",
            format!(
                "no `stats_tags` for the labels {} of the filter's metrics: they stay in the names, one metric for each value",
                missing.join(", ")
            ),
            "copy `stats_config` from envoy/envoy.yaml (docs/metrics.md)",
        )
    })
}
