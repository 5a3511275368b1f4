//! The members of a decision that the rows of a test compare. Shared by the integration tests of the core.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::panic, reason = "a test that reads another verdict than it expects has failed")]

use okta_proxy_wasm::engine::{Decision, Verdict};
use okta_proxy_wasm::http::HeaderEdit;

/// Why a request is refused or may pass.
pub fn reason(decision: &Decision) -> &'static str {
    decision.audit.reason()
}

/// What is changed in a request that passes: `-name` taken out, `name=value` written, `name~rest` rewritten.
pub fn edits(decision: &Decision) -> Vec<String> {
    match &decision.verdict {
        Verdict::Deny(_) => panic!("denied: {}", reason(decision)),
        Verdict::Allow(edits) => edits
            .iter()
            .map(|edit| match edit {
                HeaderEdit::Remove(name) => format!("-{name}"),
                HeaderEdit::Set(name, value) => format!("{}={}", name.as_str(), value.as_str()),
                HeaderEdit::Rewrite(rest) => format!("{}~{}", rest.field(), String::from_utf8_lossy(rest.as_bytes())),
            })
            .collect(),
    }
}
