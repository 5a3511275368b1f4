//! The analysis of a policy: rules that no request matches, requirements that no token meets, and requests that fall to
//! a weaker rule. `docs/policy-analysis.md` documents each warning.
//!
//! It reads the compiled policy only, without a request. A warning is certain unless its code says `possibly`. The work
//! is bounded: a policy that is too large for it gets the warning `analysis_incomplete`.

mod defaults;
mod gaps;
mod report;
mod requirements;
mod shadowing;
mod unused;
mod warning;

use crate::json_path::Path;
use crate::policy::{Policy, Route};
use report::Report;

pub use warning::{Warning, WarningCode};

/// Analyzes a policy. `routes` are the matches of its rules in order, and `at` is the path of the document.
pub fn analyze(policy: &Policy, routes: &[Route], at: &Path) -> Vec<Warning> {
    let mut report = Report::new(policy, routes, at);
    shadowing::find(&mut report);
    gaps::find(&mut report);
    defaults::find(&mut report);
    requirements::find(&mut report);
    unused::find(&mut report);
    report.finish()
}

/// Removes the warnings with allowed codes. `at` is the path of the list of these codes.
pub fn without_allowed(mut warnings: Vec<Warning>, allowed: &[WarningCode], at: &Path) -> Vec<Warning> {
    let mut unused = Vec::new();
    for (index, code) in allowed.iter().enumerate() {
        if !warnings.iter().any(|warning| warning.code == *code) {
            unused.push(Warning {
                code: WarningCode::UnusedAllowedWarning,
                path: at.item(index),
                caused_by: Vec::new(),
                message: "This configuration has no warning with this code.".into(),
                fix: "Remove the code, so that a later warning is not hidden.",
            });
        }
    }
    warnings.retain(|warning| !allowed.contains(&warning.code));
    warnings.extend(unused);
    warnings
}
