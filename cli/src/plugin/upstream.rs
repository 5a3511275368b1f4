//! The clusters by which the filter calls issuers: whether they exist, verify certificates and let enough calls through.

use std::collections::BTreeMap;
use std::rc::Rc;

use okta_proxy_wasm::authority::split_port;
use okta_proxy_wasm::config::Loaded;
use okta_proxy_wasm::policy::callout_address::Scheme;
use okta_proxy_wasm::policy::{CalloutAddress, EndpointAddress, KeyOrigin, Policy};
use serde_json::Value;

use super::context::{HostContext, HostObject, Scope};
use super::destinations;
use super::diagnostic::{HostCode, HostDiagnostic};
use super::envoy::{breakers, tls};
use crate::positions::member_path;

/// The calls that each worker makes at a time for introspection by one provider.
const INTROSPECTION_CALLS: u64 = 64;

/// A URL that the filter calls.
struct Callee {
    upstream: String,
    /// The host of a URL with https.
    tls_host: Option<String>,
    /// The path of `upstream` in the plugin's configuration.
    path: String,
    /// How many calls are made at a time.
    calls: u64,
}

impl Callee {
    fn of(address: &CalloutAddress, path: &str, calls: u64) -> Self {
        let host = split_port(&address.authority).0.to_owned();
        let tls_host = (address.scheme == Scheme::Https).then_some(host);
        Self { upstream: address.upstream.clone(), tls_host, path: format!("{path}.upstream"), calls }
    }
}

/// `loaded` is `None` for a configuration that does not load; then only the names of clusters are checked.
pub(super) fn check(
    context: &HostContext,
    scope: &Scope,
    document: &Value,
    loaded: Option<&Loaded>,
) -> Vec<HostDiagnostic> {
    let callees = loaded.map_or_else(|| written_callees(document), |loaded| callees(&loaded.policy));
    let mut diagnostics: Vec<HostDiagnostic> = Vec::new();
    let mut add = |diagnostic: HostDiagnostic| {
        if !diagnostics.contains(&diagnostic) {
            diagnostics.push(diagnostic);
        }
    };
    let mut calls: BTreeMap<(String, String), (Rc<HostObject>, u64)> = BTreeMap::new();
    for callee in &callees {
        let clusters = context.clusters(&callee.upstream, scope);
        if clusters.is_empty() && scope.is_complete {
            add(HostDiagnostic::of_plugin(
                HostCode::CLUSTER_MISSING,
                &callee.path,
                format!("there is no cluster {:?}: every call to the issuer fails", callee.upstream),
                format!("add a cluster with `name: {}` to `static_resources.clusters`", callee.upstream),
            ));
        }
        for cluster in clusters {
            let counted = calls.entry((cluster.file.clone(), cluster.path.clone()));
            counted.or_insert_with(|| (Rc::clone(&cluster), 0)).1 += callee.calls;
            for fault in callee.tls_host.iter().flat_map(|host| tls::faults(&cluster.value, &cluster.path, host)) {
                add(located(fault, &cluster));
            }
        }
        if let (Some(host), Some(rest)) = (&callee.tls_host, callee.upstream.strip_prefix("outbound|")) {
            let parts: Vec<&str> = rest.split('|').collect();
            let [port, _, service] = parts.as_slice() else { continue };
            let rules = context.destination_rules(service);
            let rules: Vec<(&HostObject, Vec<HostDiagnostic>)> =
                rules.map(|rule| (rule, destinations::faults(&rule.value, &rule.path, port, host))).collect();
            let has_no_tls =
                |faults: &[HostDiagnostic]| faults.iter().any(|fault| fault.code == HostCode::CLUSTER_WITHOUT_TLS);
            // Only one of several rules has to add TLS.
            let has_tls = rules.iter().any(|(_, faults)| !has_no_tls(faults));
            for (rule, faults) in rules.into_iter().filter(|(_, faults)| !has_tls || !has_no_tls(faults)) {
                faults.into_iter().for_each(|fault| add(located(fault, rule)));
            }
        }
    }
    for (cluster, calls) in calls.into_values() {
        if let Some(warning) = breakers::warning(&cluster.value, &cluster.path, calls) {
            add(located(warning, &cluster));
        }
    }
    diagnostics
}

fn located(diagnostic: HostDiagnostic, object: &HostObject) -> HostDiagnostic {
    let position = object.position(diagnostic.path.as_deref().unwrap_or_default());
    diagnostic.with_position(position)
}

fn callees(policy: &Policy) -> Vec<Callee> {
    let mut found = Vec::new();
    let known = |address: &EndpointAddress| match address {
        EndpointAddress::Known(address) => Some(address.clone()),
        EndpointAddress::Discovered(discovery) => discovery.documents.first().cloned(),
    };
    for (_, provider) in policy.providers.iter() {
        let path = member_path("$.providers", &provider.name);
        if let KeyOrigin::Remote(keys) = &provider.keys {
            found.extend(known(&keys.address).map(|address| Callee::of(&address, &path, 1)));
        }
        if let Some(introspection) = &provider.introspection {
            let address = known(&introspection.address);
            found.extend(address.map(|address| Callee::of(&address, &path, INTROSPECTION_CALLS)));
        }
    }
    found.extend(policy.revocations.iter().map(|source| Callee::of(&source.address, "$.revocations", 1)));
    found
}

fn written_callees(document: &Value) -> Vec<Callee> {
    let providers = document.get("providers").and_then(Value::as_object).into_iter().flatten();
    let providers = providers.map(|(name, provider)| (member_path("$.providers", name), provider));
    let revocations = document.get("revocations").map(|source| (String::from("$.revocations"), source));
    let callee = |(path, source): (String, &Value)| {
        let upstream = source.get("upstream")?.as_str()?.to_owned();
        Some(Callee { upstream, tls_host: None, path: format!("{path}.upstream"), calls: 0 })
    };
    providers.chain(revocations).filter_map(callee).collect()
}
