//! The host's names of metrics: `okta_proxy_wasm.decisions_total.verdict.deny.reason.token_expired.rule.read`.

use sha2::{Digest as _, Sha256};

use super::{ALL, Metric};
use crate::encoding::{hex, percent_encode};

const PREFIX: &str = "okta_proxy_wasm.";
/// Longer label values end in a digest of the whole value.
const MAX_VALUE_BYTES: usize = 64;
const DIGEST_BYTES: usize = 8;

impl Metric {
    /// The name with these label values.
    pub fn name_with(&self, values: &[&str]) -> String {
        let mut name = format!("{PREFIX}{}", self.name);
        for (label, value) in self.labels.iter().zip(values) {
            name.push('.');
            name.push_str(label);
            name.push('.');
            push_value(&mut name, value);
        }
        name
    }

    /// The metric that a name belongs to.
    pub(super) fn of_name(name: &str) -> Option<&'static Self> {
        let family = name.strip_prefix(PREFIX)?.split('.').next()?;
        ALL.iter().find(|metric| metric.name == family)
    }
}

/// Appends a label value so that no two values are encoded alike, and no host or scraper finds a separator in it. Plain
/// values, also with dots inside, stay as they are; everything else is percent-encoded.
fn push_value(name: &mut String, value: &str) {
    let whole = value.len() <= MAX_VALUE_BYTES;
    let kept = value.get(..value.floor_char_boundary(MAX_VALUE_BYTES)).unwrap_or_default();
    let bytes = kept.as_bytes();
    let is_plain = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(byte));
    name.push_str(&percent_encode(bytes, |at, byte| {
        let before = at.checked_sub(1).and_then(|before| bytes.get(before));
        // A host may drop a dot at the end, and two in a row.
        let dot_within = byte == b'.' && is_plain(before) && is_plain(bytes.get(at.saturating_add(1)));
        is_plain(Some(&byte)) || dot_within
    }));
    if !whole {
        // Not the standard library's hasher: dashboards and alerts keep these names when Rust changes it.
        name.push('~');
        name.push_str(&hex(Sha256::digest(value.as_bytes()).get(..DIGEST_BYTES).unwrap_or_default()));
    } else if value.is_empty() {
        name.push('%');
    }
}

#[cfg(test)]
mod tests {
    use super::super::{DECISIONS, KEYS, REPORTS};
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_name_has_its_labels_in_order_and_plain_values_unchanged() {
        let name = DECISIONS.name_with(&["deny", "token_expired", "accounts.read-v1"]);
        assert_eq!(name, "okta_proxy_wasm.decisions_total.verdict.deny.reason.token_expired.rule.accounts.read-v1");
        assert_eq!(REPORTS.name_with(&[]), "okta_proxy_wasm.reports_total");
        assert_eq!(Metric::of_name(&name), Some(&DECISIONS));
        assert_eq!(Metric::of_name("okta_proxy_wasm.unheard_of.rule.x"), None);
        assert_eq!(Metric::of_name("keys.provider.okta"), None);
    }

    #[test]
    fn a_long_value_ends_in_a_digest_that_never_changes() {
        let name = KEYS.name_with(&[&"a".repeat(65)]);
        assert_eq!(name, format!("okta_proxy_wasm.keys.provider.{}~635361c48bb9eab1", "a".repeat(64)));
    }

    #[test]
    fn no_two_values_are_encoded_alike_and_none_contains_a_separator() {
        let long = |last: char| format!("{}{last}", "a".repeat(5000));
        let words = [
            "",
            "%",
            ".",
            "..",
            "a.",
            ".a",
            "a..b",
            "a.b",
            "a_b",
            "a b",
            "a%20b",
            "a%2Eb",
            "ä",
            "a\nb",
            "a\"b",
            "a\\b",
            "a{b}",
            "a~b",
            "(unnamed)",
            "\0",
            "a.rule.b",
            "🙂",
            &long('b'),
            &long('c'),
            &"a".repeat(64),
            &"a".repeat(65),
            &"ä".repeat(32),
            &"ä".repeat(33),
        ];
        let names: HashSet<String> = words.iter().map(|word| KEYS.name_with(&[word])).collect();
        assert_eq!(names.len(), words.len(), "{names:?}");
        for name in names {
            let word = name.strip_prefix("okta_proxy_wasm.keys.provider.").unwrap();
            assert!(!word.is_empty() && word.len() <= 3 * MAX_VALUE_BYTES + 17, "{name}");
            assert!(word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.%~".contains(&byte)), "{name}");
            assert!(!word.starts_with('.') && !word.ends_with('.') && !word.contains(".."), "{name}");
        }
    }

    #[test]
    fn every_metric_has_a_unique_name_that_prometheus_accepts() {
        let names: HashSet<&str> = ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), ALL.len());
        for metric in ALL {
            assert!(metric.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{}", metric.name);
            assert_eq!(metric.name.ends_with("_total"), metric.kind == super::super::Kind::Counter, "{}", metric.name);
            let of_operator = |label: &&str| ["rule", "provider"].contains(label);
            let operators = metric.labels.iter().filter(|label| of_operator(label)).count();
            let is_last = metric.labels.last().is_some_and(of_operator);
            assert!(operators == 0 || (operators == 1 && is_last), "{}", metric.name);
        }
    }
}
