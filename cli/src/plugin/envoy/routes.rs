//! Envoy's routes: overrides that disable the filter, and rewrites after the rules were evaluated.

use std::collections::BTreeMap;

use serde_json::Value;

use super::fields::{field, is_false, is_true, is_type, string};
use super::rules::RuleSet;
use crate::plugin::diagnostic::{HostCode, HostDiagnostic};
use crate::plugin::visit;
use crate::positions::member_path;

const FILTER_CONFIG: &str = "envoy.config.route.v3.FilterConfig";

/// `filter` is the name of this filter in `http_filters`.
pub(super) fn warnings(
    location: &str,
    manager: &Value,
    filter: Option<&str>,
    rules: &RuleSet<'_>,
) -> Vec<HostDiagnostic> {
    let mut warnings = Vec::new();
    let by_vhds = field(manager, "route_config").and_then(|routes| field(routes, "vhds")).map(|_| "route_config.vhds");
    let elsewhere = ["rds", "scoped_routes"].into_iter().filter(|name| field(manager, name).is_some());
    for name in elsewhere.chain(by_vhds) {
        warnings.push(HostDiagnostic::of_host(
            HostCode::ROUTES_ELSEWHERE,
            format!("{location}.{name}"),
            "the routes are not in this file: neither their hosts and rewrites are checked, nor whether one disables the \
             filter",
            "compare the routes with docs/rewrites.md",
        ));
    }
    let mut clusters: BTreeMap<&str, Names> = BTreeMap::new();
    visit(manager, location, &mut |at, value| {
        warnings.extend(filter.and_then(|filter| disabled(at, value, filter)));
        if rules.is_empty() {
            return;
        }
        let (Some(matched), Some(action)) = (field(value, "match"), field(value, "route")) else { return };
        let rewrite = rewrite(at, matched, action);
        warnings.extend(rewrite);
        warnings.extend(chosen_by_the_client(at, action, rules));
        if is_false(matched, "case_sensitive")
            && let Some(rule) = rules.case_sensitive()
        {
            warnings.push(HostDiagnostic::of_host(
                HostCode::ROUTE_IGNORES_CASE,
                format!("{at}.match.case_sensitive"),
                format!("the route ignores letter case and the rule at {rule} does not"),
                "write `\"ignore_case\": true` into the rule",
            ));
        }
        if let Some(cluster) = string(action, "cluster") {
            let names = clusters.entry(cluster).or_default();
            let is_rewritten = string(action, "prefix_rewrite").is_some() || field(action, "regex_rewrite").is_some();
            let names = if is_rewritten { &mut names.rewritten } else { &mut names.as_is };
            names.get_or_insert_with(|| at.to_owned());
        }
    });
    for (cluster, names) in clusters {
        if let Names { rewritten: Some(rewritten), as_is: Some(as_is) } = names {
            warnings.push(HostDiagnostic::of_host(
                HostCode::TWO_PATHS_OF_A_RESOURCE,
                format!("{rewritten}.route"),
                format!(
                    "the path is rewritten for the cluster {cluster:?}, and {as_is} forwards to it without a rewrite: one \
                     resource has two paths"
                ),
                "write the rules for both, or remove one of the routes",
            ));
        }
    }
    warnings
}

/// The first route to a cluster that rewrites the path, and the first that does not.
#[derive(Default)]
struct Names {
    rewritten: Option<String>,
    as_is: Option<String>,
}

/// A route, virtual host, weighted cluster or route configuration that disables the filter.
fn disabled(at: &str, value: &Value, filter: &str) -> Option<HostDiagnostic> {
    let (member, overrides) =
        ["typed_per_filter_config", "typedPerFilterConfig"].iter().find_map(|name| Some((name, value.get(*name)?)))?;
    let written = overrides.get(filter)?;
    // A TypedStruct contains its message in `value`.
    let message = written.get("value").filter(|_| is_type(written, "TypedStruct")).unwrap_or(written);
    let disables = is_type(written, FILTER_CONFIG) || message != written;
    (disables && is_true(message, "disabled")).then(|| {
        HostDiagnostic::of_host(
            HostCode::ROUTE_DISABLES_FILTER,
            member_path(&format!("{at}.{member}"), filter),
            "the filter is disabled here: these requests are forwarded without a check and with the identity headers that \
             the client sent",
            "remove it and write a rule with `\"access\": \"public\"`",
        )
    })
}

/// Rewrites that do not replace whole segments: the backend receives a path that no rule evaluated.
fn rewrite(at: &str, matched: &Value, action: &Value) -> Option<HostDiagnostic> {
    let prefix = string(matched, "prefix");
    let to = string(action, "prefix_rewrite").filter(|to| !to.is_empty());
    let by_expression = field(action, "regex_rewrite").is_some();
    let kind = if to.is_some() { "prefix_rewrite" } else { "regex_rewrite" };
    let partial = |below: &str, message: String, fix: String| {
        HostDiagnostic::of_host(HostCode::REWRITE_OF_PARTIAL_SEGMENT, format!("{at}.{below}"), message, fix)
    };
    match prefix {
        Some(prefix) if !prefix.ends_with('/') && (to.is_some() || by_expression) => {
            let from = format!("{prefix}admin");
            let becomes = to.map(|to| format!(" as {:?}", format!("{to}admin"))).unwrap_or_default();
            let message = format!(
                "a prefix ignores segment boundaries, so {from:?} is forwarded{becomes} (`{kind}`), and the rules for \
                 {prefix:?} do not match it"
            );
            let fix = format!("write `path_separated_prefix: {prefix}`{}", by_segments(prefix, to));
            Some(partial("match.prefix", message, fix))
        }
        Some(prefix) => {
            let to = to.filter(|to| !to.ends_with('/'))?;
            let (from, becomes) = (format!("{prefix}admin"), format!("{to}admin"));
            let message = format!("{from:?} is forwarded as {becomes:?}, which joins two segments");
            Some(partial("route.prefix_rewrite", message, format!("write `prefix_rewrite: {to}/`")))
        }
        None if to.is_some_and(|to| to.ends_with('/')) && string(matched, "path_separated_prefix").is_some() => {
            let prefix = string(matched, "path_separated_prefix")?;
            let (from, becomes) = (format!("{prefix}/admin"), format!("{}/admin", to?));
            let message = format!("{from:?} is forwarded as {becomes:?}, with two slashes");
            let fix = format!("keep `path_separated_prefix: {prefix}`{}", by_segments(prefix, to));
            Some(partial("route.prefix_rewrite", message, fix))
        }
        None if by_expression && field(matched, "safe_regex").is_some() => Some(HostDiagnostic::of_host(
            HostCode::REWRITE_BY_EXPRESSION,
            format!("{at}.route.regex_rewrite"),
            "the rules do not see the path that this expression makes",
            "match by `path_separated_prefix`, and write the rules for every path that can be rewritten to a protected one",
        )),
        None => None,
    }
}

/// The rewrite for `path_separated_prefix`. Envoy keeps the slash after the prefix, so the target must not end with
/// one.
fn by_segments(prefix: &str, to: Option<&str>) -> String {
    match to.map(|to| to.trim_end_matches('/')) {
        Some("") => {
            let escaped = prefix.replace('.', "\\.");
            format!(" with `regex_rewrite: {{pattern: {{regex: ^{escaped}/*}}, substitution: /}}`")
        }
        Some(to) => format!(" with `prefix_rewrite: {to}`"),
        None => String::new(),
    }
}

/// Actions that take the destination from a header of the request.
fn chosen_by_the_client(at: &str, action: &Value, rules: &RuleSet<'_>) -> Vec<HostDiagnostic> {
    let mut found = Vec::new();
    if let Some(header) = string(action, "cluster_header") {
        found.push(HostDiagnostic::of_host(
            HostCode::CLUSTER_CHOSEN_BY_CLIENT,
            format!("{at}.route.cluster_header"),
            format!("the header {header:?} chooses the cluster, which no rule compares"),
            "remove it from clients' requests, or write `cluster`",
        ));
    }
    for name in ["host_rewrite_header", "host_rewrite_path_regex"] {
        if field(action, name).is_some() && rules.compare_hosts() {
            found.push(HostDiagnostic::of_host(
                HostCode::HOST_CHOSEN_BY_CLIENT,
                format!("{at}.route.{name}"),
                "the request chooses the host that the backend sees, and rules compare the one it came with",
                "write `host_rewrite_literal`",
            ));
        }
    }
    found
}
