//! Providers and introspection settings that no rule uses.

use crate::analysis::report::Report;
use crate::analysis::requirements::accepts;
use crate::analysis::warning::WarningCode;
use crate::policy::{KeyOrigin, OpaqueTokens};

pub(super) fn find(report: &mut Report<'_>) {
    let mut rules: Vec<_> = report.reachable_rules().into_iter().map(|(_, rule, _)| rule).collect();
    rules.extend(report.reachable_default());
    for (_, provider) in report.policy.providers.iter() {
        if !rules.iter().any(|rule| accepts(report, rule, provider)) {
            let message = "No rule accepts tokens of this provider.";
            let fix = "Write a rule for its tokens, or remove the provider.";
            let path = report.provider_path(&provider.name);
            report.add(WarningCode::UnusedProvider, path, Vec::new(), String::from(message), fix);
        }
        let Some(introspection) = &provider.introspection else { continue };
        let is_used = introspection.opaque_tokens == OpaqueTokens::Accepted
            || matches!(provider.keys, KeyOrigin::IntrospectionOnly)
            || rules.iter().any(|rule| rule.introspects);
        if !is_used {
            let message = "No token of this provider is introspected: no rule has `introspect`, and opaque tokens are not accepted.";
            let fix = "Set `introspect` in a rule or `opaque_tokens`, or remove `introspection`.";
            let path = report.provider_path(&provider.name).member("introspection");
            report.add(WarningCode::UnusedIntrospection, path, Vec::new(), String::from(message), fix);
        }
    }
}
