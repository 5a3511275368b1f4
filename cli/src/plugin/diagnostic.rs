//! Faults and warnings about the configuration of a host, each with a stable code. `docs/host-checks.md` describes them.

use std::borrow::Cow;

use crate::config_diagnostic::{FilePosition, Severity};

/// The kind of a diagnostic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostCode {
    pub name: &'static str,
    pub severity: Severity,
}

/// The documentation.
const PAGE: &str = include_str!("../../../docs/host-checks.md");

impl HostCode {
    /// The description of a code in the documentation, without its severity; `None` for other codes.
    pub fn description(code: &str) -> Option<&'static str> {
        let (_, section) = PAGE.split_once(&format!("\n### `{code}`\n\n"))?;
        let line = section.lines().next()?;
        line.strip_prefix("Fault. ").or_else(|| line.strip_prefix("Warning. "))
    }
}

macro_rules! codes {
    ($($constant:ident: $severity:ident $name:literal,)*) => {
        impl HostCode {
            $(pub const $constant: Self = Self { name: $name, severity: Severity::$severity };)*
            /// All codes.
            #[cfg(test)]
            pub const ALL: &[Self] = &[$(Self::$constant),*];
        }
    };
}

codes! {
    // All hosts.
    FAILS_OPEN: Fault "fails_open",
    PLACEHOLDER_DIGEST: Fault "placeholder_digest",
    FILTER_RUNS_TWICE: Fault "filter_runs_twice",
    MODULE_NOT_PINNED: Warning "module_not_pinned",
    VARIABLE_NOT_PASSED: Warning "variable_not_passed",
    NOT_STRICT_JSON: Warning "not_strict_json",
    YAML_BOOLEAN_WORD: Warning "yaml_boolean_word",
    // Connections to issuers.
    CLUSTER_MISSING: Fault "cluster_missing",
    CLUSTER_WITHOUT_TLS: Fault "cluster_without_tls",
    TLS_WITHOUT_VALIDATION: Fault "tls_without_validation",
    TLS_SNI: Fault "tls_sni",
    TLS_SUBJECT_ALT_NAMES: Fault "tls_subject_alt_names",
    CIRCUIT_BREAKERS_TOO_SMALL: Warning "circuit_breakers_too_small",
    // Envoy.
    FILTER_DISABLED: Fault "filter_disabled",
    FILTER_OPTIONAL: Warning "filter_optional",
    FILTER_NESTED: Warning "filter_nested",
    FILTER_NOT_IN_LIST: Warning "filter_not_in_http_filters",
    LISTENER_WITHOUT_FILTER: Warning "listener_without_filter",
    UPGRADE_WITHOUT_FILTER: Warning "upgrade_without_filter",
    ROUTE_DISABLES_FILTER: Warning "route_disables_filter",
    RESPONSE_BEFORE_FILTER: Warning "response_before_filter",
    TARGET_CHANGED_AFTER_FILTER: Warning "target_changed_after_filter",
    HEADERS_STOP_ITERATION: Warning "headers_stop_iteration",
    USE_REMOTE_ADDRESS: Warning "use_remote_address",
    HOP_NAME_NOT_VERIFIED: Fault "hop_name_not_verified",
    HOP_ADDRESS_FROM_HEADER: Fault "hop_address_from_header",
    FORWARDED_CERTIFICATE_NOT_KEPT: Warning "forwarded_certificate_not_kept",
    UNDERSCORES_IN_HEADERS: Warning "underscores_in_headers",
    NORMALIZE_PATH: Warning "normalize_path",
    MERGE_SLASHES: Warning "merge_slashes",
    ESCAPED_SLASHES: Warning "path_with_escaped_slashes",
    STRIP_HOST_PORT: Warning "strip_any_host_port",
    STRIP_HOST_DOT: Warning "strip_trailing_host_dot",
    STATS_CONFIG: Warning "stats_config",
    ROUTES_ELSEWHERE: Warning "routes_elsewhere",
    ROUTE_IGNORES_CASE: Warning "route_ignores_case",
    REWRITE_OF_PARTIAL_SEGMENT: Warning "rewrite_of_partial_segment",
    REWRITE_BY_EXPRESSION: Warning "rewrite_by_expression",
    TWO_PATHS_OF_A_RESOURCE: Warning "two_paths_of_a_resource",
    CLUSTER_CHOSEN_BY_CLIENT: Warning "cluster_chosen_by_client",
    HOST_CHOSEN_BY_CLIENT: Warning "host_chosen_by_client",
    HOST_WITHOUT_VIRTUAL_HOST: Warning "host_without_virtual_host",
    DOMAIN_WITHOUT_RULE: Warning "domain_without_rule",
    DOMAIN_WITH_PORT: Warning "domain_with_port",
    // Istio, Envoy Gateway, Kong.
    MATCH_EXCLUDES_REQUESTS: Warning "match_excludes_requests",
    PHASE_NOT_AUTHN: Warning "phase_not_authn",
    TARGET_IS_PART_OF_GATEWAY: Warning "target_is_part_of_gateway",
    KONG_NOT_RUN: Warning "kong_not_run",
    // nginx.
    NGINX_UNSUPPORTED: Fault "nginx_unsupported",
    NGINX_TLS_NOT_VERIFIED: Fault "nginx_tls_not_verified",
    NGINX_MODULE_OF_ENVOY: Fault "nginx_module_of_envoy",
    NGINX_ISOLATION: Fault "nginx_isolation",
    NGINX_TEXT_TOO_LONG: Fault "nginx_text_too_long",
    NGINX_RESOLVER: Warning "nginx_resolver",
    NGINX_UPSTREAM: Warning "nginx_upstream",
    NGINX_ATTRIBUTE: Warning "nginx_attribute",
    NGINX_ACCESS_PHASE: Warning "nginx_access_phase",
    NGINX_ACCESS_LOG: Warning "nginx_access_log",
    NGINX_SERVER_WITHOUT_FILTER: Warning "nginx_server_without_filter",
    NGINX_LOCATION_WITHOUT_FILTER: Warning "nginx_location_without_filter",
    NGINX_EARLY_RESPONSE: Warning "nginx_early_response",
    NGINX_REWRITE: Warning "nginx_rewrite",
    NGINX_SUBREQUEST: Warning "nginx_subrequest",
    NGINX_SECOND_RUN: Warning "nginx_second_run",
    NGINX_PATH_OF_BACKEND: Warning "nginx_path_of_backend",
}

/// A fault or a warning about the configuration of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostDiagnostic {
    pub code: HostCode,
    /// The path in the host's document, or the directive.
    pub path: Option<String>,
    pub message: String,
    pub fix: Cow<'static, str>,
    /// Whether the path is one in the plugin's configuration.
    pub is_of_plugin: bool,
    pub position: Option<FilePosition>,
}

impl HostDiagnostic {
    /// About the host's document.
    pub fn of_host(
        code: HostCode,
        path: impl Into<String>,
        message: impl Into<String>,
        fix: impl Into<Cow<'static, str>>,
    ) -> Self {
        let (path, message, fix) = (Some(path.into()), message.into(), fix.into());
        Self { code, path, message, fix, is_of_plugin: false, position: None }
    }

    /// About the plugin's configuration in its host.
    pub fn of_plugin(
        code: HostCode,
        path: impl Into<String>,
        message: impl Into<String>,
        fix: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { is_of_plugin: true, ..Self::of_host(code, path, message, fix) }
    }

    #[must_use]
    pub fn with_position(self, position: Option<FilePosition>) -> Self {
        Self { position, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_a_section_of_the_documentation() {
        let sections: Vec<&str> =
            PAGE.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`')).collect();
        let codes: Vec<&str> = HostCode::ALL.iter().map(|code| code.name).collect();
        for code in &codes {
            let named = sections.iter().filter(|section| *section == code).count();
            assert_eq!(named, 1, "docs/host-checks.md has {named} sections for {code}");
            assert!(HostCode::description(code).is_some_and(|text| text.len() > 20), "{code}");
        }
        assert_eq!(sections.len(), codes.len(), "docs/host-checks.md has a section without a code");
        assert!(codes.iter().all(|code| code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')));
    }
}
