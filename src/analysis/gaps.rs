//! Requests that a backend may serve as those of a rule, and that fall to a weaker rule: other methods, and other letter
//! case of a path.

use crate::analysis::report::{Report, enforces, joined, strictness};
use crate::analysis::warning::WarningCode;
use crate::policy::{Access, CaseSensitivity, Route, RoutePart, Rule, RuleId};

/// A path segment for a request below a prefix.
const SEGMENT: &str = "/_any_";

/// The methods that are compared with those of a rule.
const SENT: [&str; 5] = ["HEAD", "POST", "PUT", "PATCH", "DELETE"];

/// The methods that a method override turns a `POST` into.
const OVERRIDDEN: [&str; 3] = ["PUT", "PATCH", "DELETE"];

pub(super) fn find(report: &mut Report<'_>) {
    for (index, rule, route) in report.reachable_rules() {
        find_method_gap(report, index, rule, route);
        find_path_gap(report, index, rule, route);
    }
}

/// Whether a request for this path comes under the rule.
fn is_rule_at(report: &mut Report<'_>, index: usize, part: &RoutePart<'_>, path: &str) -> bool {
    matches!(report.rule_at(part, path), Some(RuleId::Index(found)) if found.index() == index)
}

/// A path of a rule: below a prefix one that no other rule names.
fn witness(route: &Route) -> Option<String> {
    let path = route.path.samples().into_iter().next()?;
    Some(if route.path.is_prefix_or_any() { format!("{}{SEGMENT}", path.trim_end_matches('/')) } else { path })
}

/// A rule for reading that requires more than the rules for writing to the same path, a rule for `GET` that leaves `HEAD`
/// to a weaker rule, and a rule for a method that a backend with a method override also executes for a `POST`.
fn find_method_gap(report: &mut Report<'_>, index: usize, rule: &Rule, route: &Route) {
    let has = |method: &str| route.methods.iter().any(|own| own.as_str() == method);
    let reads = has("GET");
    let is_open = |method: &&str| {
        !has(method) && (reads || (*method == "POST" && OVERRIDDEN.iter().any(|overridden| has(overridden))))
    };
    let sent: Vec<&str> = SENT.iter().copied().filter(is_open).collect();
    if sent.is_empty() || strictness(rule) <= (0, false) {
        return;
    }
    let Some(path) = witness(route) else { return };
    let own = route
        .methods
        .iter()
        .map(|method| method.as_str())
        .find(|method| *method == "GET" || OVERRIDDEN.contains(method));
    let mut gaps: Vec<(RuleId, Vec<&str>)> = Vec::new();
    let hosts: Vec<_> = if route.hosts.is_empty() { vec![None] } else { route.hosts.iter().map(Some).collect() };
    for host in hosts {
        let part = |method| RoutePart { host, path: &route.path, method };
        if !is_rule_at(report, index, &part(own), &path) {
            continue;
        }
        for method in &sent {
            let Some(found) = report.rule_at(&part(Some(method)), &path) else { return };
            if strictness(report.rule(found)) >= strictness(rule) {
                continue;
            }
            match gaps.iter_mut().find(|(other, _)| *other == found) {
                Some((_, methods)) if methods.contains(method) => {}
                Some((_, methods)) => methods.push(method),
                None => gaps.push((found, vec![method])),
            }
        }
    }
    for (weaker, methods) in gaps {
        let weaker_at = report.path(weaker);
        let fix = if reads && methods == ["HEAD"] {
            "Add \"HEAD\" to `methods`: servers execute HEAD as GET."
        } else if reads {
            "Remove `methods`, or add a rule for the other methods. Servers execute HEAD as GET: add \"HEAD\" to `methods` too."
        } else {
            "Require the same of POST, or turn off the method override of the backend, which executes a POST with `_method=DELETE` as DELETE."
        };
        let message = format!(
            "{} requests to the same hosts and path come under {}, which requires less.",
            joined(&methods),
            weaker_at.as_str()
        );
        let path = report.member("rules").item(index);
        report.add(WarningCode::MethodGap, path, vec![weaker_at], message, fix);
    }
}

/// A protected path that is open in other letter case.
fn find_path_gap(report: &mut Report<'_>, index: usize, rule: &Rule, route: &Route) {
    let is_protected = matches!(rule.access, Access::Token | Access::Deny);
    if !is_protected || route.path.case() == CaseSensitivity::Insensitive {
        return;
    }
    let Some(path) = route.path.samples().into_iter().next() else { return };
    let other_case: String = path.chars().map(swapped).collect();
    if other_case == path {
        return;
    }
    for part in route.parts() {
        let Some(found) = report.rule_at(&part, &other_case) else { return };
        let other = report.rule(found);
        let is_open = matches!(other.access, Access::Public | Access::Optional) && !enforces(other);
        if !is_open || !is_rule_at(report, index, &part, &path) {
            continue;
        }
        let open_at = report.path(found);
        let message = format!(
            "The same path in other letter case comes under {}, which requires no token. Some backends serve both spellings.",
            open_at.as_str()
        );
        let fix = "Set `ignore_case` in this rule, or let the default rule deny.";
        let path = report.member("rules").item(index);
        report.add(WarningCode::PathGap, path, vec![open_at], message, fix);
        return;
    }
}

const fn swapped(character: char) -> char {
    if character.is_ascii_lowercase() { character.to_ascii_uppercase() } else { character.to_ascii_lowercase() }
}
