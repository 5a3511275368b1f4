//! What the listener must do for `client_certificate`: verify the names of hops, not take addresses from headers, and leave
//! the header of a hop to the filter.

use serde_json::Value;

use super::fields::{field, is_one_of, is_true, list};
use super::tls;
use crate::plugin::diagnostic::{HostCode, HostDiagnostic};
use crate::plugin::visit;

/// The paths of the filter chains whose listener accepts client certificates of anybody.
pub(super) fn chains_for_anybody(document: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    visit(document, "$", &mut |at, value| {
        let Some(socket) = field(value, "transport_socket").filter(|_| field(value, "filters").is_some()) else {
            return;
        };
        visit(socket, &format!("{at}.transport_socket"), &mut |context_at, context| {
            found.extend(tls::accepted_from_anybody(context, context_at).map(|path| (at.to_owned(), path)));
        });
    });
    found
}

/// Diagnostics for a plugin in this connection manager. `anybody`: the setting by which its listener accepts any certificate.
pub(super) fn diagnostics(manager: &Value, at: &str, anybody: Option<&str>, plugin: &Value) -> Vec<HostDiagnostic> {
    let Some(client_certificate) = plugin.get("client_certificate").filter(|written| written.is_object()) else {
        return Vec::new();
    };
    let has = |name: &str| {
        let hops = client_certificate.get("hops").and_then(|hops| hops.get(name)).and_then(Value::as_array);
        hops.is_some_and(|hops| !hops.is_empty())
    };
    let mut found = Vec::new();
    if let Some(path) = anybody.filter(|_| has("uri_sans") || has("dns_sans")) {
        found.push(HostDiagnostic::of_host(
            HostCode::HOP_NAME_NOT_VERIFIED,
            path,
            "the listener accepts client certificates that it cannot verify: anyone can have the name of a hop, and claim any client certificate",
            "write `trust_chain_verification: VERIFY_TRUST_CHAIN`, or name hops in `client_certificate.hops.certificate_hashes` only",
        ));
    }
    if has("insecure_addresses") {
        found.extend(address_from_header(manager, at));
    }
    let is_envoys = client_certificate.get("header").and_then(Value::as_str) == Some("x-forwarded-client-cert");
    let keeps = [("FORWARD_ONLY", 1), ("ALWAYS_FORWARD_ONLY", 4)];
    if is_envoys && !is_one_of(manager, "forward_client_cert_details", &keeps) {
        found.push(HostDiagnostic::of_host(
            HostCode::FORWARDED_CERTIFICATE_NOT_KEPT,
            format!("{at}.forward_client_cert_details"),
            "Envoy removes or changes `x-forwarded-client-cert` before the filter reads it: tokens that are bound to the certificate of a client behind a hop are rejected",
            "write `forward_client_cert_details: FORWARD_ONLY`, or `ALWAYS_FORWARD_ONLY` for hops that connect without TLS",
        ));
    }
    found
}

fn address_from_header(manager: &Value, at: &str) -> Option<HostDiagnostic> {
    let trusted = field(manager, "xff_num_trusted_hops");
    let trusts_header = trusted.is_some_and(|number| number.as_u64() != Some(0) && number.as_str() != Some("0"));
    let name = if !list(manager, "original_ip_detection_extensions").is_empty() {
        "original_ip_detection_extensions"
    } else if trusts_header {
        "xff_num_trusted_hops"
    } else if !is_true(manager, "use_remote_address") {
        "use_remote_address"
    } else {
        return None;
    };
    Some(HostDiagnostic::of_host(
        HostCode::HOP_ADDRESS_FROM_HEADER,
        format!("{at}.{name}"),
        "Envoy takes `source.address` from a header, by which `client_certificate.hops.insecure_addresses` recognizes hops: no hop is recognized, or a client claims to be one",
        "write `use_remote_address: true` without `xff_num_trusted_hops` and `original_ip_detection_extensions`, or recognize hops by their certificates",
    ))
}
