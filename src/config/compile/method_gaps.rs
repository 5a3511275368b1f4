//! Methods that a backend executes as another one, and that a rule leaves to a weaker rule.

use super::diagnostics::Diagnostics;
use crate::config::error::Path;
use crate::policy::{Access, Route, Rule, Rules};

/// A method that a backend may execute as one of others.
struct Gap {
    executed: &'static [&'static str],
    sent: &'static str,
    /// Why, and what to write.
    hint: &'static str,
}

const GAPS: [Gap; 2] = [
    Gap { executed: &["GET"], sent: "HEAD", hint: "servers execute HEAD as GET; add \"HEAD\" to `methods`" },
    Gap {
        executed: &["PUT", "PATCH", "DELETE"],
        sent: "POST",
        hint: "frameworks with a method override execute a POST with `_method=DELETE` as DELETE; turn the override off, or require the same of POST",
    },
];

/// The most warnings that are written one by one.
const MOST_WARNINGS: usize = 8;

/// The most pairs of rules that are compared: what some thousand rules need, in less than a tenth of a second.
const MOST_COMPARISONS: usize = 1_000_000;

/// Warns of each rule for a method whose twin comes under a weaker rule.
pub(super) fn warn_of_method_gaps(rules: &Rules, routes: &[Route], at: &Path, diagnostics: &mut Diagnostics<'_>) {
    let all: Vec<(usize, &Rule, &Route)> =
        rules.rules().iter().zip(routes).enumerate().map(|(index, (rule, route))| (index, rule, route)).collect();
    let takes = |route: &Route, method: &str| route.methods.iter().any(|own| own.as_str() == method);
    let (mut gaps, mut left) = (Vec::new(), MOST_COMPARISONS);
    for gap in &GAPS {
        let open: Vec<_> =
            all.iter().filter(|(_, _, route)| route.methods.is_empty() || takes(route, gap.sent)).collect();
        for (index, rule, route) in &all {
            if takes(route, gap.sent) || !gap.executed.iter().any(|method| takes(route, method)) {
                continue;
            }
            let place = open.iter().take(left).position(|(_, _, other)| other.covers(route, gap.sent));
            left = left.saturating_sub(place.unwrap_or(open.len()).saturating_add(1));
            let (weaker, weaker_at) = match place.and_then(|place| open.get(place)) {
                Some((other, rule, _)) => (*rule, at.member("rules").item(*other)),
                None => (rules.default_rule(), at.member("default_rule")),
            };
            if left > 0 && strictness(weaker) < strictness(rule) {
                gaps.push((at.member("rules").item(*index), gap, weaker_at));
            }
        }
    }
    for (rule_at, gap, weaker_at) in gaps.iter().take(MOST_WARNINGS) {
        diagnostics.warnings.push(format!(
            "{}: {} to the same hosts and path comes under {}, which requires less: {}",
            rule_at.as_str(),
            gap.sent,
            weaker_at.as_str(),
            gap.hint
        ));
    }
    if let Some(more) = gaps.len().checked_sub(MOST_WARNINGS).filter(|more| *more > 0) {
        diagnostics.warnings.push(format!("{more} more rules leave HEAD or POST to a rule that requires less"));
    }
    if left == 0 {
        diagnostics
            .warnings
            .push(String::from("too many rules: not all were checked for HEAD and POST under a weaker rule"));
    }
}

/// Orders rules by what they require: a requirement of its own is more than none, and two requirements are not compared.
fn strictness(rule: &Rule) -> (u8, bool) {
    let access = match rule.access {
        Access::Public => 0,
        Access::Optional => 1,
        Access::Token => 2,
        Access::Deny => 3,
    };
    (access, rule.requirement.is_some() && !rule.report_only)
}
