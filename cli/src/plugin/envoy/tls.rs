//! The TLS of a cluster: whether it verifies the certificate of the issuer, and for which name.

use std::net::IpAddr;

use serde_json::Value;

use super::fields::{field, is_one_of, is_true, is_type, list, string};
use crate::plugin::diagnostic::{HostCode, HostDiagnostic};
use crate::plugin::visit;

const TLS: &str = "UpstreamTlsContext";
/// Transport sockets that encrypt nothing, unless the socket inside of them does.
const PLAIN: [&str; 3] = ["RawBuffer", "ProxyProtocolUpstreamTransport", "Http11ProxyUpstreamTransport"];
/// Cluster types that use the endpoints and the TLS of other clusters.
const INDIRECT: [&str; 2] = ["envoy.clusters.aggregate", "envoy.clusters.composite"];

/// The faults of a cluster that the filter calls for a URL with https on this host.
pub(in crate::plugin) fn faults(cluster: &Value, at: &str, host: &str) -> Vec<HostDiagnostic> {
    if is_loopback(cluster) || is_indirect(cluster) {
        return Vec::new();
    }
    let Sockets { contexts, has_plain, has_unknown } = sockets(cluster, at);
    if contexts.is_empty() && has_plain && !has_unknown {
        return vec![HostDiagnostic::of_host(
            HostCode::CLUSTER_WITHOUT_TLS,
            at,
            format!(
                "the filter calls https://{host} by this cluster, which does not encrypt: anyone in between can give the filter keys"
            ),
            format!(
                "add a `transport_socket` with an UpstreamTlsContext: `sni: {host}`, and a `validation_context` with `trusted_ca` and `match_typed_subject_alt_names`"
            ),
        )];
    }
    let by_authority = AutomaticNames::of(cluster);
    contexts.iter().flat_map(|(at, context)| context_faults(context, at, host, &by_authority)).collect()
}

/// The path of the setting by which a listener with this TLS context accepts client certificates that it cannot verify.
pub(super) fn accepted_from_anybody(context: &Value, at: &str) -> Option<String> {
    field(context, "common_tls_context")?;
    let validation = Validation::of(context, at);
    let accepts_all = validation.accepts_all() && !validation.is_special();
    accepts_all.then(|| format!("{}.trust_chain_verification", validation.path))
}

/// Names that Envoy takes from the host of the call.
struct AutomaticNames {
    sni: bool,
    subject_alt_names: bool,
}

impl AutomaticNames {
    fn of(cluster: &Value) -> Self {
        let extensions = field(cluster, "typed_extension_protocol_options").and_then(Value::as_object);
        let typed = extensions.into_iter().flat_map(|all| all.values()).filter(|it| is_type(it, "HttpProtocolOptions"));
        let typed = typed.map(|options| options.get("value").unwrap_or(options));
        let all: Vec<&Value> =
            typed.chain([cluster]).filter_map(|options| field(options, "upstream_http_protocol_options")).collect();
        let has = |name: &str| all.iter().any(|options| is_true(options, name));
        Self { sni: has("auto_sni"), subject_alt_names: has("auto_san_validation") }
    }
}

fn is_indirect(cluster: &Value) -> bool {
    let kind = field(cluster, "cluster_type").and_then(|kind| string(kind, "name"));
    kind.is_some_and(|kind| INDIRECT.contains(&kind))
}

/// Whether all endpoints are on this machine.
fn is_loopback(cluster: &Value) -> bool {
    let groups = field(cluster, "load_assignment").map(|assignment| list(assignment, "endpoints")).unwrap_or_default();
    let mut endpoints = groups.iter().flat_map(|group| list(group, "lb_endpoints")).peekable();
    let is_local = |endpoint: &Value| {
        let address = field(endpoint, "endpoint").and_then(|endpoint| field(endpoint, "address"));
        address.is_some_and(|address| {
            let host =
                field(address, "socket_address").and_then(|socket| string(socket, "address")).unwrap_or_default();
            let is_local = host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
            // An internal listener of the same Envoy is not followed.
            let is_inside = ["pipe", "envoy_internal_address"].iter().any(|name| field(address, name).is_some());
            is_local || is_inside || host == "localhost"
        })
    };
    endpoints.peek().is_some() && endpoints.all(is_local)
}

struct Sockets<'a> {
    /// The TLS contexts with their paths.
    contexts: Vec<(String, &'a Value)>,
    has_plain: bool,
    has_unknown: bool,
}

fn sockets<'a>(cluster: &'a Value, at: &str) -> Sockets<'a> {
    let mut found = Sockets { contexts: Vec::new(), has_plain: false, has_unknown: false };
    let matches = list(cluster, "transport_socket_matches").iter().enumerate();
    let matches =
        matches.map(|(index, item)| (format!("{at}.transport_socket_matches[{index}].transport_socket"), item));
    let mut all: Vec<(String, Option<&Value>)> =
        matches.map(|(path, item)| (path, field(item, "transport_socket"))).collect();
    let default = field(cluster, "transport_socket");
    if default.is_some() || all.is_empty() {
        all.push((format!("{at}.transport_socket"), default));
    }
    for (path, socket) in all {
        let Some(socket) = socket else {
            found.has_plain = true;
            continue;
        };
        let count = found.contexts.len();
        visit(socket, &path, &mut |at, value| {
            if is_type(value, TLS) {
                // A TypedStruct has its message in `value`.
                match field(value, "type_url").and(field(value, "value")) {
                    Some(message) => found.contexts.push((format!("{at}.value"), message)),
                    None => found.contexts.push((at.to_owned(), value)),
                }
            } else if let Some(inner) = field(value, "upstream_tls_context").filter(|inner| !is_type(inner, TLS)) {
                found.contexts.push((format!("{at}.upstream_tls_context"), inner));
            }
        });
        if found.contexts.len() == count {
            let kind = field(socket, "typed_config");
            let is_plain = kind.is_some_and(|kind| PLAIN.iter().any(|plain| is_type(kind, plain)))
                || string(socket, "name") == Some("envoy.transport_sockets.raw_buffer");
            found.has_plain |= is_plain;
            found.has_unknown |= !is_plain;
        }
    }
    found
}

/// How a TLS context verifies certificates.
struct Validation<'a> {
    /// The parts of it that are in the file, with the path of the last one.
    contexts: Vec<&'a Value>,
    path: String,
    /// Whether more is fetched from elsewhere.
    is_dynamic: bool,
}

impl<'a> Validation<'a> {
    fn of(context: &'a Value, at: &str) -> Self {
        let common = field(context, "common_tls_context").unwrap_or(&Value::Null);
        let mut found = Self { contexts: Vec::new(), path: at.to_owned(), is_dynamic: false };
        let at = format!("{at}.common_tls_context");
        if let Some(validation) = field(common, "validation_context") {
            found.contexts.push(validation);
            found.path = format!("{at}.validation_context");
        }
        if let Some(combined) = field(common, "combined_validation_context") {
            if let Some(validation) = field(combined, "default_validation_context") {
                found.contexts.push(validation);
                found.path = format!("{at}.combined_validation_context.default_validation_context");
            }
            found.is_dynamic |= field(combined, "validation_context_sds_secret_config").is_some();
        }
        found.is_dynamic |= field(common, "validation_context_sds_secret_config").is_some();
        found
    }

    fn has(&self, name: &str) -> bool {
        let is_set = |value: &Value| value.as_array().is_none_or(|items| !items.is_empty());
        self.contexts.iter().any(|context| field(context, name).is_some_and(is_set))
    }

    /// Whether certificates are compared with pinned ones, or by an extension.
    fn is_special(&self) -> bool {
        ["custom_validator_config", "verify_certificate_spki", "verify_certificate_hash"]
            .iter()
            .any(|name| self.has(name))
    }

    fn accepts_all(&self) -> bool {
        let accepts_all = |context: &&Value| is_one_of(context, "trust_chain_verification", &[("ACCEPT_UNTRUSTED", 1)]);
        self.contexts.iter().any(accepts_all)
    }

    fn verifies(&self) -> bool {
        let has_authority =
            ["trusted_ca", "ca_certificate_provider_instance", "system_root_certs"].iter().any(|name| self.has(name));
        self.is_special() || !self.accepts_all() && (has_authority || self.is_dynamic)
    }

    fn matchers(&self) -> Vec<&'a Value> {
        let names = ["match_typed_subject_alt_names", "match_subject_alt_names"];
        names.iter().flat_map(|name| self.contexts.iter().flat_map(|context| list(context, name))).collect()
    }
}

fn context_faults(context: &Value, at: &str, host: &str, automatic: &AutomaticNames) -> Vec<HostDiagnostic> {
    let mut faults = Vec::new();
    let is_address = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    let has_automatic_sni = automatic.sni || is_true(context, "auto_host_sni");
    match string(context, "sni").filter(|sni| !sni.is_empty()) {
        _ if has_automatic_sni || is_address => {}
        Some(sni) if sni.eq_ignore_ascii_case(host) => {}
        Some(sni) => faults.push(HostDiagnostic::of_host(
            HostCode::TLS_SNI,
            format!("{at}.sni"),
            format!("the filter calls https://{host} by this cluster, and its TLS asks for {sni:?}"),
            format!("write `sni: {host}`"),
        )),
        None => faults.push(HostDiagnostic::of_host(
            HostCode::TLS_SNI,
            format!("{at}.sni"),
            format!("the filter calls https://{host} by this cluster, and its TLS names no host: a server for many hosts presents the certificate of another one"),
            format!("write `sni: {host}`"),
        )),
    }
    let validation = Validation::of(context, at);
    if !validation.verifies() {
        faults.push(HostDiagnostic::of_host(
            HostCode::TLS_WITHOUT_VALIDATION,
            format!("{at}.common_tls_context.validation_context"),
            format!("the TLS of this cluster accepts every certificate: anyone between Envoy and {host} can give the filter keys"),
            "add `validation_context` with `trusted_ca: {filename: /etc/ssl/certs/ca-certificates.crt}` and `match_typed_subject_alt_names`",
        ));
        return faults;
    }
    let is_automatic = automatic.subject_alt_names || is_true(context, "auto_sni_san_validation");
    if is_automatic || validation.is_special() {
        return faults;
    }
    let matchers = validation.matchers();
    let path = format!("{}.match_typed_subject_alt_names", validation.path);
    let fix = format!(
        "write `match_typed_subject_alt_names: [{{san_type: {}, matcher: {{exact: {host}}}}}]`",
        if is_address { "IP_ADDRESS" } else { "DNS" }
    );
    if matchers.is_empty() {
        if !validation.is_dynamic {
            faults.push(HostDiagnostic::of_host(
                HostCode::TLS_SUBJECT_ALT_NAMES,
                path,
                format!("the TLS of this cluster compares no name: every certificate of its authorities is accepted for {host}"),
                fix,
            ));
        }
    } else if !matchers.iter().any(|matcher| may_match(matcher, host)) && !validation.is_dynamic {
        faults.push(HostDiagnostic::of_host(
            HostCode::TLS_SUBJECT_ALT_NAMES,
            path,
            format!("no name in this list is that of https://{host}, which the filter calls by this cluster: every call fails"),
            fix,
        ));
    }
    faults
}

/// Whether a matcher can match a name in a certificate of the host: its name, or the wildcard for it. Other kinds of names
/// than DNS and IP addresses, and regular expressions, are not compared.
fn may_match(matcher: &Value, host: &str) -> bool {
    let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
    // Without a type, the deprecated `match_subject_alt_names`.
    let is_compared = field(matcher, "san_type").is_none()
        || is_one_of(matcher, "san_type", &[("SAN_TYPE_UNSPECIFIED", 0), ("DNS", 2), ("IP_ADDRESS", 4)]);
    if !is_compared {
        return true;
    }
    let text = field(matcher, "matcher").unwrap_or(matcher);
    let wildcard = host.split_once('.').map(|(_, parent)| format!("*.{parent}"));
    let names: Vec<String> = [Some(host), wildcard].into_iter().flatten().collect();
    let compared = [
        ("exact", str::eq as fn(&str, &str) -> bool),
        ("prefix", |name, part| name.starts_with(part)),
        ("suffix", |name, part| name.ends_with(part)),
        ("contains", |name, part| name.contains(part)),
    ];
    let pattern = compared.iter().find_map(|(name, compare)| Some((string(text, name)?.to_ascii_lowercase(), compare)));
    pattern.is_none_or(|(pattern, compare)| names.iter().any(|name| compare(name, &pattern)))
}
