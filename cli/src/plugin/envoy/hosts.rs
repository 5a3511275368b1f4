//! Compares the rules' hosts with the domains of Envoy's virtual hosts.
//!
//! The filter compares a host without its port and its last dot; Envoy compares it as it is written, unless its options
//! remove both. A request can then match the rule of one host and be served by the virtual host of another.

use okta_proxy_wasm::authority::split_port;
use serde_json::Value;

use super::fields::{field, is_true, list, string};
use super::rules::RuleSet;
use crate::plugin::diagnostic::{HostCode, HostDiagnostic};
use crate::plugin::visit;

pub(super) fn warnings(location: &str, manager: &Value, rules: &RuleSet<'_>) -> Vec<HostDiagnostic> {
    let mut warnings = Vec::new();
    if rules.compare_hosts() {
        warnings.extend(spellings(location, manager));
    }
    let hosts = rules.hosts();
    if hosts.is_empty() {
        return warnings;
    }
    let domains = domains(location, manager);
    for (at, domain) in &domains {
        if split_port(domain).1.is_some() {
            warnings.push(HostDiagnostic::of_host(
                HostCode::DOMAIN_WITH_PORT,
                at,
                format!(
                    "rules compare hosts without ports, so {domain:?} and the same name without the port are one host for \
                     them and two for Envoy"
                ),
                "write the domain without the port",
            ));
        }
    }
    if domains.is_empty() {
        return warnings;
    }
    for (at, host) in &hosts {
        if !domains.iter().any(|(_, domain)| overlap(host, domain)) {
            warnings.push(HostDiagnostic::of_plugin(
                HostCode::HOST_WITHOUT_VIRTUAL_HOST,
                at,
                format!("no virtual host in {location} serves {host:?}, so this host never matches"),
                "correct the name or add the virtual host",
            ));
        }
    }
    // The default rule denies unnamed hosts, so no warning is necessary.
    if rules.deny_by_default() {
        return warnings;
    }
    for (at, domain) in &domains {
        let is_named = hosts.iter().any(|(_, host)| covers(host, domain));
        // A single virtual host for all domains does not distinguish hosts.
        let is_only_one = domain == &"*" && domains.len() == 1;
        if !is_named && !is_only_one {
            warnings.push(HostDiagnostic::of_host(
                HostCode::DOMAIN_WITHOUT_RULE,
                at,
                format!(
                    "no rule names all of {domain:?} in its `hosts`, so rules without `hosts` and `default_rule` decide here"
                ),
                "write a rule for this host, or `\"default_rule\": {\"access\": \"deny\"}`",
            ));
        }
    }
    warnings
}

/// Warnings if Envoy compares hosts differently from the rules.
fn spellings(location: &str, manager: &Value) -> Vec<HostDiagnostic> {
    let mut ignores_port = is_true(manager, "strip_any_host_port");
    ignores_port |=
        field(manager, "route_config").is_some_and(|routes| is_true(routes, "ignore_port_in_host_matching"));
    let mut warnings = Vec::new();
    if !ignores_port {
        let only = if is_true(manager, "strip_matching_host_port") {
            "`strip_matching_host_port` removes the port of the listener only, so "
        } else {
            ""
        };
        warnings.push(HostDiagnostic::of_host(
            HostCode::STRIP_HOST_PORT,
            format!("{location}.strip_any_host_port"),
            format!("{only}`acme.com:81` has the rules of `acme.com` and another virtual host"),
            "write `strip_any_host_port: true`",
        ));
    }
    if !is_true(manager, "strip_trailing_host_dot") {
        warnings.push(HostDiagnostic::of_host(
            HostCode::STRIP_HOST_DOT,
            format!("{location}.strip_trailing_host_dot"),
            "`acme.com.` has the rules of `acme.com` and another virtual host",
            "write `strip_trailing_host_dot: true`",
        ));
    }
    warnings
}

/// The domains of all virtual hosts with their paths.
fn domains<'a>(location: &str, manager: &'a Value) -> Vec<(String, &'a str)> {
    let mut found = Vec::new();
    visit(manager, location, &mut |at, value| {
        if string(value, "name").is_some() {
            let domains = list(value, "domains").iter().enumerate();
            found.extend(domains.filter_map(|(index, name)| Some((format!("{at}.domains[{index}]"), name.as_str()?))));
        }
    });
    found
}

/// Whether a rule's host (`a.com`, `*.a.com`) and Envoy's domain (`a.com`, `*.a.com`, `*-a.com`, `a.*`, `*`) can match
/// the same name.
fn overlap(host: &str, domain: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let host = host.strip_suffix('.').unwrap_or(&host);
    let domain = split_port(domain).0.to_ascii_lowercase();
    let below = host.strip_prefix('*');
    if let Some(ending) = domain.strip_prefix('*') {
        return match below {
            // Both are suffixes.
            Some(below) => below.ends_with(ending) || ending.ends_with(below),
            None => host.len() > ending.len() && host.ends_with(ending),
        };
    }
    match (domain.strip_suffix('*'), below) {
        (Some(beginning), None) => host.len() > beginning.len() && host.starts_with(beginning),
        // One is a prefix and the other a suffix.
        (Some(_), Some(_)) => true,
        (None, Some(below)) => domain.len() > below.len() && domain.ends_with(below),
        (None, None) => host == domain,
    }
}

/// Whether a rule's host matches every name that Envoy's domain matches.
fn covers(host: &str, domain: &str) -> bool {
    let domain = split_port(domain).0.to_ascii_lowercase();
    let host = host.to_ascii_lowercase();
    match (host.strip_prefix('*'), domain.strip_prefix('*')) {
        (Some(below), Some(ending)) => ending.ends_with(below),
        (None, Some(_)) => false,
        (_, None) => !domain.ends_with('*') && overlap(&host, &domain),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_domains_overlap_where_one_name_is_in_both() {
        for (host, domain, expected) in [
            ("a.com", "a.com", true),
            ("A.com.", "a.COM", true),
            ("a.com", "a.com:443", true),
            ("a.com", "b.com", false),
            ("a.com", "*", true),
            ("a.com", "*.a.com", false),
            ("x.a.com", "*.a.com", true),
            ("x.a.com", "*-a.com", false),
            ("x.a.com", "x.*", true),
            ("x.a.com", "y.*", false),
            ("*.a.com", "x.a.com", true),
            ("*.a.com", "a.com", false),
            ("*.a.com", "*.a.com", true),
            ("*.a.com", "*.x.a.com", true),
            ("*.x.a.com", "*.a.com", true),
            ("*.a.com", "*.b.com", false),
            ("*.a.com", "x.*", true),
            ("[::1]", "[::1]", true),
            ("[::1]", "[::1]:80", true),
        ] {
            assert_eq!(overlap(host, domain), expected, "{host} {domain}");
        }
    }

    #[test]
    fn a_host_covers_a_domain_that_has_no_other_names() {
        for (host, domain, expected) in [
            ("a.com", "A.com:443", true),
            ("*.a.com", "x.a.com", true),
            ("*.a.com", "*.a.com", true),
            ("*.a.com", "*.x.a.com", true),
            ("*.x.a.com", "*.a.com", false),
            ("x.a.com", "*.a.com", false),
            ("x.a.com", "x.*", false),
            ("*.a.com", "*", false),
        ] {
            assert_eq!(covers(host, domain), expected, "{host} {domain}");
        }
    }
}
