//! The default rule beside stricter rules, preflights, and requirements that no rule enforces.

use crate::analysis::report::{Report, enforces};
use crate::analysis::warning::WarningCode;
use crate::policy::{Access, Route, Rule, RuleId};

pub(super) fn find(report: &mut Report<'_>) {
    find_weak_default(report);
    find_denied_preflights(report);
    find_unenforced_requirements(report);
}

fn find_weak_default(report: &mut Report<'_>) {
    let Some(default) = report.reachable_default().filter(|default| !enforces(default)) else { return };
    let is_stricter = |rule: &Rule| match default.access {
        Access::Public | Access::Optional => matches!(rule.access, Access::Token | Access::Deny),
        Access::Token => rule.access == Access::Token && enforces(rule),
        Access::Deny => false,
    };
    let stricter = report.reachable_rules().into_iter().find(|(_, rule, _)| is_stricter(rule));
    let Some((index, ..)) = stricter else { return };
    let (code, message, fix) = match default.access {
        Access::Public => (
            WarningCode::OpenDefault,
            "Every request that no rule matches is allowed without a token, and other rules are stricter: a path that no rule names is open.",
            "Set `access` of the default rule to \"deny\", and write public rules for what is open.",
        ),
        Access::Optional => (
            WarningCode::AnonymousDefault,
            "Every request that no rule matches is allowed without a token if it has no credential, and other rules are stricter.",
            "Set `access` of the default rule to \"deny\", and write rules with \"optional\" for what is open.",
        ),
        Access::Token | Access::Deny => (
            WarningCode::AnyTokenDefault,
            "Every request that no rule matches is allowed with any valid token, and other rules require more: another spelling or a new path needs no scope.",
            "Set `access` of the default rule to \"deny\", or give it a `require`.",
        ),
    };
    let caused_by = vec![report.member("rules").item(index)];
    report.add(code, report.path(RuleId::Default), caused_by, String::from(message), fix);
}

fn find_denied_preflights(report: &mut Report<'_>) {
    if report.policy.responses.cors.is_none() || report.policy.rules.bypasses_cors_preflight() {
        return;
    }
    let allows = |rule: &Rule| matches!(rule.access, Access::Public | Access::Optional);
    let has_options =
        |route: &Route| route.methods.is_empty() || route.methods.iter().any(|method| method.as_str() == "OPTIONS");
    let is_admitted = report.reachable_rules().iter().any(|(_, rule, route)| allows(rule) && has_options(route));
    if is_admitted || report.reachable_default().is_some_and(allows) {
        return;
    }
    let path = report.member("responses").member("cors");
    let message = "No rule allows preflights, which have no token: browsers send no request of another origin.";
    let fix = "Put Envoy's CORS filter in front, or set `bypass_cors_preflight`, or write a public rule for OPTIONS.";
    report.add(WarningCode::PreflightDenied, path, Vec::new(), String::from(message), fix);
}

fn find_unenforced_requirements(report: &mut Report<'_>) {
    let rules = report.policy.rules.rules();
    let all = || rules.iter().chain(report.reachable_default());
    if all().any(enforces) {
        return;
    }
    let first = all().position(|rule| rule.report_only && rule.requirement.is_some());
    let Some(first) = first else { return };
    let path = if first < rules.len() { report.member("rules").item(first) } else { report.path(RuleId::Default) };
    let message =
        "Every rule with `require` has `report_only`: no requirement is enforced, and any valid token is accepted.";
    let fix = "Remove `report_only` from the rules that are tested.";
    report.add(WarningCode::ReportOnlyEverywhere, path.member("report_only"), Vec::new(), String::from(message), fix);
}
