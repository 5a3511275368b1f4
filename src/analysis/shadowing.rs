//! Rules that no request matches, or of which a part has no effect.
//!
//! Each combination of a host pattern, a method and the path of a rule is looked up in the index of the rules before it.
//! That is exact for hosts, methods, exact paths and prefixes, and sound for regular expressions.

use crate::analysis::report::{Report, insert, joined, strictness};
use crate::analysis::warning::WarningCode;
use crate::policy::{PathPattern, Route, RouteIndex, RoutePart, RuleId};

/// The methods that are looked up for rules without `methods`.
const MAX_METHODS: usize = 16;

pub(super) fn find(report: &mut Report<'_>) {
    let methods = named_methods(report.routes);
    for (index, route) in report.routes.iter().enumerate() {
        let is_shadowed = find_shadowed(report, index, route);
        report.unreachable.push(is_shadowed);
        if !is_shadowed && !find_dead_entries(report, index, route) && route.methods.is_empty() {
            find_taken_methods(report, index, route, &methods);
        }
    }
    let all = RoutePart { host: None, path: &PathPattern::ANY, method: None };
    report.has_reachable_default = covers_of(report, &all, usize::MAX).is_none();
}

fn covers_of(report: &mut Report<'_>, part: &RoutePart<'_>, index: usize) -> Option<Vec<RouteIndex>> {
    report.policy.rules.router().covers_of(part, index, &mut report.limit)
}

/// The rules before this one that together match all of these parts.
fn common_covers<'r>(
    report: &mut Report<'_>,
    parts: impl Iterator<Item = RoutePart<'r>>,
    index: usize,
) -> Option<Vec<RouteIndex>> {
    let mut causes = Vec::new();
    for part in parts {
        covers_of(report, &part, index)?.into_iter().for_each(|cause| insert(&mut causes, cause));
    }
    Some(causes)
}

/// Whether no request matches the rule. Probably shadowed rules count as reachable.
fn find_shadowed(report: &mut Report<'_>, index: usize, route: &Route) -> bool {
    let Some(path) = report.policy.rules.rules().get(index).map(|_| rule_path(report, index)) else { return false };
    if let Some(causes) = common_covers(report, route.parts(), index) {
        let is_duplicate = matches!(causes.as_slice(), [cause] if is_duplicate(report, index, *cause));
        let caused_by = causes.iter().map(|cause| report.path(RuleId::Index(*cause))).collect();
        let earlier = report.list(&causes);
        if is_duplicate {
            let message = format!("{earlier} has the same `match` and requires the same.");
            report.add(WarningCode::DuplicateRule, path, caused_by, message, "Remove one of the two rules.");
        } else {
            let message =
                format!("No request comes under this rule, because earlier rules match all of them: {earlier}.");
            let fix = "Move it before these rules, or remove it.";
            report.add(WarningCode::ShadowedRule, path, caused_by, message, fix);
        }
        return true;
    }
    if !route.path.is_regex() {
        return false;
    }
    let samples = route.path.samples();
    let mut causes = Vec::new();
    for part in route.parts() {
        for sample in &samples {
            match report.policy.rules.router().cover_at(&part, sample, index, &mut report.limit) {
                Some(cause) => insert(&mut causes, cause),
                None => return false,
            }
        }
    }
    if !causes.is_empty() {
        let caused_by = causes.iter().map(|cause| report.path(RuleId::Index(*cause))).collect();
        let message = format!(
            "This rule may have no effect: earlier rules match all {} paths that were tried for its regular expression: {}.",
            samples.len(),
            report.list(&causes)
        );
        let fix = "Move it before these rules, or write a policy test that shows a request for it.";
        report.add(WarningCode::PossiblyShadowedRule, path, caused_by, message, fix);
    }
    false
}

fn rule_path(report: &Report<'_>, index: usize) -> crate::json_path::Path {
    report.member("rules").item(index)
}

/// Whether a rule has the same match and requires the same as an earlier one. The name is not compared.
fn is_duplicate(report: &Report<'_>, index: usize, earlier: RouteIndex) -> bool {
    let (rules, routes) = (report.policy.rules.rules(), report.routes);
    let (Some(one), Some(other)) = (rules.get(index), rules.get(earlier.index())) else { return false };
    let (Some(route), Some(earlier)) = (routes.get(index), routes.get(earlier.index())) else { return false };
    let is_same_match = route.covers_target_of(earlier)
        && earlier.covers_target_of(route)
        && route.methods.len() == earlier.methods.len()
        && route.methods.iter().all(|method| earlier.methods.contains(method));
    is_same_match
        && one.access == other.access
        && one.requirement == other.requirement
        && one.report_only == other.report_only
        && one.redirect_browsers == other.redirect_browsers
        && one.introspects == other.introspects
}

/// Finds hosts and methods of a rule that have no effect, because earlier rules match all requests with them.
fn find_dead_entries(report: &mut Report<'_>, index: usize, route: &Route) -> bool {
    let mut found = false;
    for (place, host) in route.hosts.iter().enumerate().filter(|_| route.hosts.len() > 1) {
        let parts = route.parts().filter(|part| part.host == Some(host));
        if let Some(causes) = common_covers(report, parts, index) {
            add_dead_entry(report, index, ("hosts", place), &causes);
            found = true;
        }
    }
    for (place, method) in route.methods.iter().enumerate().filter(|_| route.methods.len() > 1) {
        let parts = route.parts().filter(|part| part.method == Some(method.as_str()));
        if let Some(causes) = common_covers(report, parts, index) {
            add_dead_entry(report, index, ("methods", place), &causes);
            found = true;
        }
    }
    found
}

fn add_dead_entry(report: &mut Report<'_>, index: usize, (member, place): (&str, usize), causes: &[RouteIndex]) {
    let path = rule_path(report, index).member("match").member(member).item(place);
    let caused_by = causes.iter().map(|cause| report.path(RuleId::Index(*cause))).collect();
    let message =
        format!("This entry has no effect, because earlier rules match all requests with it: {}.", report.list(causes));
    let fix = "Move the rule before these rules, or remove the entry.";
    report.add(WarningCode::PartlyShadowedRule, path, caused_by, message, fix);
}

/// Finds methods of a rule without `methods` that an earlier rule matches, which is for more hosts or paths and weaker: the earlier rule was probably not written for the hosts and paths of this one.
fn find_taken_methods(report: &mut Report<'_>, index: usize, route: &Route, methods: &[&str]) {
    let mut taken: Vec<&str> = Vec::new();
    let mut causes: Vec<RouteIndex> = Vec::new();
    for host in route.parts().map(|part| part.host) {
        for method in methods {
            let part = RoutePart { host, path: &route.path, method: Some(method) };
            let Some(covers) = covers_of(report, &part, index) else { continue };
            let covers: Vec<RouteIndex> =
                covers.into_iter().filter(|cover| is_broader_and_weaker(report, *cover, index)).collect();
            if !covers.is_empty() {
                insert(&mut taken, *method);
                covers.into_iter().for_each(|cause| insert(&mut causes, cause));
            }
        }
    }
    if taken.is_empty() {
        return;
    }
    let caused_by = causes.iter().map(|cause| report.path(RuleId::Index(*cause))).collect();
    // Only methods with a usual name are shown.
    let shown: Vec<&str> = taken.iter().copied().filter(|method| USUAL_METHODS.contains(method)).collect();
    let methods = if shown.is_empty() { String::from("Some methods") } else { joined(&shown) };
    let message = format!(
        "{methods} requests to these hosts and paths come under an earlier rule that is for more hosts or paths and requires less: {}.",
        report.list(&causes)
    );
    let fix = "Move this rule before that one, or require the same there.";
    report.add(WarningCode::PartlyShadowedRule, rule_path(report, index), caused_by, message, fix);
}

const USUAL_METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

fn is_broader_and_weaker(report: &Report<'_>, earlier: RouteIndex, index: usize) -> bool {
    let (rules, routes) = (report.policy.rules.rules(), report.routes);
    let (Some(rule), Some(route)) = (rules.get(index), routes.get(index)) else { return false };
    let (Some(other), Some(other_route)) = (rules.get(earlier.index()), routes.get(earlier.index())) else {
        return false;
    };
    let is_broader = other_route.covers_target_of(route) && !route.covers_target_of(other_route);
    is_broader && strictness(other) < strictness(rule)
}

fn named_methods(routes: &[Route]) -> Vec<&str> {
    let mut methods = Vec::new();
    for method in routes.iter().flat_map(|route| &route.methods) {
        if methods.len() < MAX_METHODS {
            insert(&mut methods, method.as_str());
        }
    }
    methods
}
