//! Istio's DestinationRules: whether the proxy verifies the certificate of an issuer.

use serde_json::Value;

use super::diagnostic::{HostCode, HostDiagnostic};
use super::envoy::fields::is_true;

/// The faults of Istio's DestinationRule for a host that the filter calls by https.
pub(super) fn faults(rule: &Value, at: &str, port: &str, host: &str) -> Vec<HostDiagnostic> {
    let policy = rule.pointer("/spec/trafficPolicy").unwrap_or(&Value::Null);
    let ports = policy.get("portLevelSettings").and_then(Value::as_array).into_iter().flatten().enumerate();
    let of_port = ports.filter(|(_, settings)| {
        settings.pointer("/port/number").and_then(Value::as_u64).is_some_and(|number| port.parse() == Ok(number))
    });
    let of_port =
        of_port.map(|(index, settings)| (format!("{at}.spec.trafficPolicy.portLevelSettings[{index}]"), settings));
    let (at, policy) = of_port.last().unwrap_or_else(|| (format!("{at}.spec.trafficPolicy"), policy));
    let tls = policy.get("tls").unwrap_or(&Value::Null);
    let text = |name: &str| tls.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let mut faults = Vec::new();
    match text("mode") {
        None | Some("DISABLE") => {
            return vec![HostDiagnostic::of_host(
                HostCode::CLUSTER_WITHOUT_TLS,
                format!("{at}.tls"),
                format!(
                    "the filter calls https://{host} by this host, and the proxy does not encrypt: anyone in between can give the filter keys"
                ),
                format!(
                    "write `tls: {{mode: SIMPLE, sni: {host}, subjectAltNames: [{host}], caCertificates: /etc/ssl/certs/ca-certificates.crt}}`"
                ),
            )];
        }
        Some("ISTIO_MUTUAL") => return faults,
        Some(_) => {}
    }
    if is_true(tls, "insecureSkipVerify") {
        faults.push(HostDiagnostic::of_host(
            HostCode::TLS_WITHOUT_VALIDATION,
            format!("{at}.tls.insecureSkipVerify"),
            format!("the proxy accepts every certificate: anyone between it and {host} can give the filter keys"),
            "remove it, and write `caCertificates`",
        ));
    }
    if let Some(sni) = text("sni").filter(|sni| !sni.eq_ignore_ascii_case(host)) {
        faults.push(HostDiagnostic::of_host(
            HostCode::TLS_SNI,
            format!("{at}.tls.sni"),
            format!("the filter calls https://{host} by this host, and its TLS asks for {sni:?}"),
            format!("write `sni: {host}`"),
        ));
    }
    let names: Vec<&str> =
        tls.get("subjectAltNames").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let wildcard = host.split_once('.').map(|(_, parent)| format!("*.{parent}")).unwrap_or_default();
    let is_of_host =
        |name: &&str| name.contains("://") || name.eq_ignore_ascii_case(host) || name.eq_ignore_ascii_case(&wildcard);
    if !names.is_empty() && !names.iter().any(is_of_host) {
        faults.push(HostDiagnostic::of_host(
            HostCode::TLS_SUBJECT_ALT_NAMES,
            format!("{at}.tls.subjectAltNames"),
            format!(
                "no name in this list is that of https://{host}, which the filter calls by this host: every call fails"
            ),
            format!("write `subjectAltNames: [{host}]`"),
        ));
    }
    faults
}
