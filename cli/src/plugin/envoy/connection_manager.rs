//! The HTTP connection managers of a file, and the settings that the filter's decisions depend on.

use serde_json::Value;

use super::fields::{field, is_one_of, is_true, is_type, list, string};
use super::rules::RuleSet;
use super::{client_certificate, filter_config, hosts, routes};
use crate::plugin::diagnostic::{HostCode, HostDiagnostic};
use crate::plugin::visit;

const MANAGER: &str = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

/// HTTP filters that respond themselves: before this filter they respond to unchecked requests.
const LOCAL_RESPONSE_FILTERS: [&str; 4] =
    [".filters.http.router.", ".filters.http.cache", ".filters.http.file_server.", ".filters.http.mcp_router."];
/// HTTP filters that change method and path: after this filter, the backend receives another target than the rules
/// evaluated.
const TARGET_REWRITE_FILTERS: [&str; 2] = [".filters.http.grpc_json_transcoder.", ".filters.http.connect_grpc_bridge."];

/// A connection manager and its path.
pub(in crate::plugin) struct ConnectionManager<'a> {
    location: String,
    written: &'a Value,
    /// The setting by which its listener accepts client certificates of anybody.
    certificates_of_anybody: Option<String>,
}

pub(in crate::plugin) fn connection_managers(document: &Value) -> Vec<ConnectionManager<'_>> {
    let chains = client_certificate::chains_for_anybody(document);
    let mut found = Vec::new();
    visit(document, "$", &mut |at, value| {
        if is_type(value, MANAGER) {
            let is_around = |chain: &str| at.strip_prefix(chain).is_some_and(|rest| rest.starts_with(".filters["));
            let certificates_of_anybody =
                chains.iter().find(|(chain, _)| is_around(chain)).map(|(_, setting)| setting.clone());
            found.push(ConnectionManager { location: at.to_owned(), written: value, certificates_of_anybody });
        }
    });
    found
}

impl ConnectionManager<'_> {
    /// Whether the path `at` is inside it.
    pub(in crate::plugin) fn contains(&self, at: &str) -> bool {
        at.strip_prefix(&self.location).is_some_and(|rest| rest.starts_with(['.', '[']))
    }

    /// The warning for a connection manager without this filter, unless it only redirects or responds itself.
    pub(in crate::plugin) fn unprotected(&self) -> Option<HostDiagnostic> {
        let mut forwards = ["rds", "scoped_routes"].iter().any(|name| field(self.written, name).is_some());
        visit(self.written, "$", &mut |_, value| {
            forwards |= field(value, "match").is_some_and(Value::is_object) && field(value, "route").is_some();
        });
        forwards.then(|| {
            HostDiagnostic::of_host(
                HostCode::LISTENER_WITHOUT_FILTER,
                format!("{}.http_filters", self.location),
                "okta-proxy-wasm is not in this list, and every request that arrives here is forwarded without a check",
                "add the filter, or remove the routes",
            )
        })
    }

    /// Diagnostics for the plugin with its configuration at `at`.
    pub(in crate::plugin) fn diagnostics(&self, at: &str, document: &Value) -> Vec<HostDiagnostic> {
        let rules = RuleSet::of(document);
        let mut warnings = self.options(&rules);
        let is_of_upgrade = ["upgrade_configs", "upgradeConfigs"]
            .iter()
            .any(|name| at.starts_with(&format!("{}.{name}[", self.location)));
        if !is_of_upgrade {
            warnings.extend(self.filters(at, &rules));
        }
        warnings.extend(self.upgrades());
        let anybody = self.certificates_of_anybody.as_deref();
        warnings.extend(client_certificate::diagnostics(self.written, &self.location, anybody, document));
        warnings.extend(hosts::warnings(&self.location, self.written, &rules));
        let name = self.filter_at(at).and_then(|(_, filter)| string(filter, "name"));
        warnings.extend(routes::warnings(&self.location, self.written, name, &rules));
        warnings
    }

    /// Settings whose defaults let the filter and the backend interpret one request differently.
    fn options(&self, rules: &RuleSet<'_>) -> Vec<HostDiagnostic> {
        let mut warnings = Vec::new();
        let mut warn = |code: HostCode, name: &str, reason: &str, write: &str| {
            let path = format!("{}.{name}", self.location);
            warnings.push(HostDiagnostic::of_host(code, path, reason, format!("write `{write}`")));
        };
        if !is_true(self.written, "use_remote_address") {
            let reason = "not `true`, so a client chooses its own address (`source.address`) and request id";
            warn(HostCode::USE_REMOTE_ADDRESS, "use_remote_address", reason, "use_remote_address: true");
        }
        let common = field(self.written, "common_http_protocol_options");
        let safe = [("REJECT_REQUEST", 1), ("DROP_HEADER", 2)];
        if !common.is_some_and(|common| is_one_of(common, "headers_with_underscores_action", &safe)) {
            warn(
                HostCode::UNDERSCORES_IN_HEADERS,
                "common_http_protocol_options.headers_with_underscores_action",
                "headers such as `x_user_id` are forwarded, which CGI, WSGI and PHP backends read as `x-user-id`",
                "headers_with_underscores_action: DROP_HEADER",
            );
        }
        if !rules.is_empty() {
            let codes = [(HostCode::NORMALIZE_PATH, "normalize_path"), (HostCode::MERGE_SLASHES, "merge_slashes")];
            for (code, name) in codes {
                if !is_true(self.written, name) {
                    let reason = "not `true`, so the backend receives another path than the rules evaluate";
                    warn(code, name, reason, &format!("{name}: true"));
                }
            }
            let safe = [("REJECT_REQUEST", 2), ("UNESCAPE_AND_REDIRECT", 3), ("UNESCAPE_AND_FORWARD", 4)];
            if !is_one_of(self.written, "path_with_escaped_slashes_action", &safe) {
                warn(
                    HostCode::ESCAPED_SLASHES,
                    "path_with_escaped_slashes_action",
                    "`%2f` and `%5c` stay in the path, which some backends read as slashes",
                    "path_with_escaped_slashes_action: REJECT_REQUEST",
                );
            }
        }
        warnings
    }

    /// An upgrade with its own list of filters does not run those of `http_filters`.
    fn upgrades(&self) -> Vec<HostDiagnostic> {
        let lacks_ours = |(index, upgrade): (usize, &Value)| {
            let filters = list(upgrade, "filters");
            let is_wasm = |filter: &Value| field(filter, "typed_config").and_then(filter_config).is_some();
            (!filters.is_empty() && !filters.iter().any(is_wasm)).then(|| {
                HostDiagnostic::of_host(
                    HostCode::UPGRADE_WITHOUT_FILTER,
                    format!("{}.upgrade_configs[{index}].filters", self.location),
                    "requests that ask for this upgrade run these filters in place of `http_filters`, and are forwarded \
                     without a check",
                    "remove the list, or add the filter to it",
                )
            })
        };
        list(self.written, "upgrade_configs").iter().enumerate().filter_map(lacks_ours).collect()
    }

    /// The HTTP filter that contains the path, and its index.
    fn filter_at(&self, at: &str) -> Option<(usize, &Value)> {
        let location = format!("{}.http_filters[", self.location);
        let camel = format!("{}.httpFilters[", self.location);
        let (number, _) = at.strip_prefix(&location).or_else(|| at.strip_prefix(&camel))?.split_once(']')?;
        let number = number.parse().ok()?;
        Some((number, list(self.written, "http_filters").get(number)?))
    }

    /// Diagnostics about the filter's entry and about filters before and after it.
    fn filters(&self, at: &str, rules: &RuleSet<'_>) -> Vec<HostDiagnostic> {
        let mut found = Vec::new();
        let Some((number, ours)) = self.filter_at(at) else {
            return vec![HostDiagnostic::of_host(
                HostCode::FILTER_NOT_IN_LIST,
                at,
                "the filter is not in the `http_filters` of its connection manager and runs only where another setting \
                 enables it",
                format!("add it to {}.http_filters", self.location),
            )];
        };
        let location = |number: usize| format!("{}.http_filters[{number}]", self.location);
        if is_true(ours, "disabled") {
            found.push(HostDiagnostic::of_host(
                HostCode::FILTER_DISABLED,
                format!("{}.disabled", location(number)),
                "a route that does not enable the filter forwards requests without a check",
                "remove it",
            ));
        }
        if is_true(ours, "is_optional") {
            found.push(HostDiagnostic::of_host(
                HostCode::FILTER_OPTIONAL,
                format!("{}.is_optional", location(number)),
                "an Envoy without WebAssembly ignores the filter and forwards every request",
                "remove it",
            ));
        }
        let is_nested =
            !["typed_config", "typedConfig"].iter().any(|name| at == format!("{}.{name}", location(number)));
        if is_nested && field(ours, "config_discovery").is_none() {
            found.push(HostDiagnostic::of_host(
                HostCode::FILTER_NESTED,
                at,
                "the filter is nested in another filter, which decides whether it runs",
                format!("give it an entry of its own in {}.http_filters", self.location),
            ));
        }
        for (other, filter) in list(self.written, "http_filters").iter().enumerate() {
            let kind = field(filter, "typed_config").map(kind_of).unwrap_or_default();
            let is_kind = |kinds: &[&str]| kinds.iter().any(|wanted| kind.contains(wanted));
            if other < number && is_kind(&LOCAL_RESPONSE_FILTERS) {
                found.push(HostDiagnostic::of_host(
                    HostCode::RESPONSE_BEFORE_FILTER,
                    location(other),
                    "this filter responds to requests before they are checked",
                    format!("move it after {}", location(number)),
                ));
            }
            if other > number && !rules.is_empty() && is_kind(&TARGET_REWRITE_FILTERS) {
                found.push(HostDiagnostic::of_host(
                    HostCode::TARGET_CHANGED_AFTER_FILTER,
                    location(other),
                    "this filter changes method and path after the rules, so each gRPC method has two names",
                    format!("move it before {} and write the rules for `/package.Service/Method`", location(number)),
                ));
            }
        }
        found
    }
}

fn kind_of(configuration: &Value) -> String {
    ["@type", "type_url"].iter().filter_map(|name| string(configuration, name)).collect()
}
