//! Converts Istio's RequestAuthentication and AuthorizationPolicy (security.istio.io) of one workload.
//!
//! Istio allows a request without a token unless a policy denies it. It evaluates all policies: DENY first, then ALLOW,
//! of which one must match if there are any. The filter applies the first matching rule. So the rules for DENY come
//! first. If two ALLOW rules would both have to be evaluated, requests of the second are denied.

mod policy;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::Remarks;
use super::draft::{Draft, Location, TokenHandling, claim_header, folded, header_location, is_duration};
use super::fields::Fields;
use super::issuer::{check_common_issuers, equal_audiences, istio_cluster, set_issuer};
use policy::{PolicyContext, SplitClaims};

/// Converts the resources to one document.
pub fn import(documents: &[Value], remarks: &mut Remarks) -> Option<Value> {
    let mut draft = Draft::default();
    let mut policies = Vec::new();
    let mut workloads = Workloads::default();
    let mut split_claims = Vec::new();
    for (location, document) in resources(documents) {
        let fields = Fields::of(document, location.clone());
        let kind = fields.string("kind").unwrap_or_default();
        let group = fields.string("apiVersion").unwrap_or_default();
        let is_security = group.starts_with("security.istio.io/");
        let spec_location = format!("{location}.spec");
        let spec = document.get("spec").unwrap_or(&Value::Null);
        match kind {
            "RequestAuthentication" if is_security => {
                workloads.add(document);
                let namespace = document.pointer("/metadata/namespace").and_then(Value::as_str);
                split_claims.extend(providers(&Fields::of(spec, spec_location), namespace, &mut draft, remarks));
            }
            "AuthorizationPolicy" if is_security => match dry_run(document) {
                Some(false) => {
                    workloads.add(document);
                    policies.push((spec_location, spec.clone()));
                }
                Some(true) => {
                    remarks.not_carried_over(&location, "istio.io/dry-run: Istio does not enforce this policy")
                }
                None => remarks.fatal(&location, "istio.io/dry-run is neither true nor false"),
            },
            "PeerAuthentication" if is_security => {
                remarks.not_carried_over(&location, "PeerAuthentication: mTLS is the listener's; see connection.mtls");
            }
            _ if group.starts_with("networking.istio.io/") && ROUTING.contains(&kind) => {
                routing(&location, kind, document, remarks);
            }
            _ if group.contains("istio.io/") || ["RequestAuthentication", "AuthorizationPolicy"].contains(&kind) => {
                remarks.fatal(&location, format!("{kind:?} of {group:?} may restrict access and is not understood; provide only RequestAuthentication and AuthorizationPolicy of security.istio.io"));
            }
            _ => remarks.not_carried_over(
                &location,
                format!("{kind:?} is neither RequestAuthentication nor AuthorizationPolicy"),
            ),
        }
    }
    workloads.check(remarks);
    if draft.handling.is_empty() {
        remarks.fatal("$", "there is no jwtRules: add the RequestAuthentication whose tokens the policies are about");
        return None;
    }
    let managed = draft.handling.iter().flat_map(|(_, handling)| handling.header_names()).map(folded).collect();
    draft.scope_claim = policy::scope_claim(&policies);
    check_common_issuers(&split_claims.iter().map(SplitClaims::issuer).collect::<Vec<_>>(), remarks);
    let context = PolicyContext { managed, split_claims, scope_claim: draft.scope_claim };
    let rules = policy::rules(&policies, &context, remarks);
    draft.rules = rules.rules;
    draft.default_rule = rules.default_rule;
    draft.finish(remarks)
}

/// The resources, including the items of lists.
fn resources(documents: &[Value]) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    for (index, document) in documents.iter().enumerate() {
        match document.get("items").and_then(Value::as_array) {
            Some(items) if document.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List")) => {
                found.extend(items.iter().enumerate().map(|(at, item)| (format!("$[{index}].items[{at}]"), item)));
            }
            Some(_) | None => found.push((format!("$[{index}]"), document)),
        }
    }
    found
}

/// Whether Istio only reports the policy's decisions; `None` if the annotation is invalid.
fn dry_run(document: &Value) -> Option<bool> {
    match document.pointer("/metadata/annotations/istio.io~1dry-run") {
        None => Some(false),
        Some(value) => value.as_str().and_then(|text| text.parse().ok()),
    }
}

/// Kinds that route requests and restrict none.
const ROUTING: [&str; 6] =
    ["DestinationRule", "Gateway", "ServiceEntry", "VirtualService", "WorkloadEntry", "WorkloadGroup"];

fn routing(location: &str, kind: &str, document: &Value, remarks: &mut Remarks) {
    // Routes by claims match nothing without RequestAuthentication.
    if document.to_string().contains("@request.auth") {
        remarks.fatal(location, format!("{kind} with routes by `@request.auth`: routes are chosen by claims there, which the filter does not write; match a header of outputClaimToHeaders instead"));
    } else {
        remarks.not_carried_over(location, format!("{kind} routes requests and is not changed"));
    }
}

/// The workloads of the documents: namespaces and selectors. A document without a selector applies to all workloads of
/// its namespace.
#[derive(Default)]
struct Workloads {
    namespaces: BTreeSet<String>,
    selected: BTreeSet<String>,
    has_unselected: bool,
}

impl Workloads {
    fn add(&mut self, document: &Value) {
        let part = |pointer: &str| document.pointer(pointer).unwrap_or(&Value::Null);
        self.namespaces.insert(part("/metadata/namespace").to_string());
        let parts = ["/spec/selector", "/spec/targetRef", "/spec/targetRefs"].map(part);
        match parts.iter().all(|part| part.is_null()) {
            true => self.has_unselected = true,
            false => drop(self.selected.insert(json!(parts).to_string())),
        }
    }

    fn check(&self, remarks: &mut Remarks) {
        let is_selector = |selected: &String| selected.ends_with(",null,null]");
        // A document without a selector does not apply to waypoints.
        let is_one = !self.has_unselected || self.selected.iter().all(is_selector);
        match self.selected.first() {
            _ if self.namespaces.len() > 1 || self.selected.len() > 1 || !is_one => {
                remarks.fatal("$", "the documents are for different workloads; provide those of one workload");
            }
            Some(selected) if self.has_unselected => remarks.not_carried_over("$", format!("documents without a selector are for all workloads; the result is for {}: give the plugin this selector", selected.trim_start_matches('[').trim_end_matches(",null,null]"))),
            Some(_) | None => {}
        }
    }
}

/// Adds the providers, and returns for each the claims that are space-separated lists.
fn providers(spec: &Fields<'_>, namespace: Option<&str>, draft: &mut Draft, remarks: &mut Remarks) -> Vec<SplitClaims> {
    let mut split_claims = Vec::new();
    for (index, rule) in spec.list("jwtRules").iter().enumerate() {
        let fields = Fields::of(rule, format!("{}.jwtRules[{index}]", spec.location));
        let location = fields.location.clone();
        let Some(issuer) = fields.string("issuer") else {
            remarks.fatal(&location, "a rule without an issuer, which accepts tokens of any issuer: write its issuer");
            continue;
        };
        let name = format!("issuer-{}", draft.providers.len());
        let mut provider = Map::new();
        let audiences = match fields.strings("audiences") {
            names if names.is_empty() => names,
            names => equal_audiences(&names, &location, remarks),
        };
        match audiences.is_empty() {
            true => provider.insert(String::from("insecure_any_audience"), json!(true)),
            false => provider.insert(String::from("audiences"), json!(audiences)),
        };
        keys(&fields, (issuer, namespace), &mut provider, remarks);
        set_issuer(issuer, &mut provider);
        draft.handling.push((location.clone(), handling(&fields, remarks)));
        split_claims.push(SplitClaims {
            location: location.clone(),
            provider: name.clone(),
            issuer: issuer.to_owned(),
            audiences,
            names: fields.strings("spaceDelimitedClaims"),
        });
        for name in fields.unread() {
            remarks.fatal(&location, format!("{name} is unknown or has another type, and could be a requirement"));
        }
        remarks.stricter(
            &location,
            "tokens signed by another algorithm than RS256 are rejected; list the algorithms in use in `algorithms`",
        );
        draft.providers.insert(name, Value::Object(provider));
    }
    let _are_in_the_scope = ["selector", "targetRef", "targetRefs"].map(|name| spec.get(name));
    for name in spec.unread() {
        remarks.fatal(&spec.location, format!("{name} is unknown or has another type"));
    }
    split_claims
}

fn keys(
    fields: &Fields<'_>,
    (issuer, namespace): (&str, Option<&str>),
    provider: &mut Map<String, Value>,
    remarks: &mut Remarks,
) {
    let mut jwks = Map::new();
    if let Some(text) = fields.string("jwks") {
        match serde_json::from_str::<Value>(text) {
            Ok(keys) => drop(jwks.insert(String::from("inline"), keys)),
            Err(_) => remarks.fatal(&fields.location, "jwks is not JSON"),
        }
    } else {
        let uri = fields.string("jwksUri").or_else(|| fields.string("jwks_uri"));
        if let Some(uri) = uri {
            jwks.insert(String::from("uri"), json!(uri));
            if uri.starts_with("http://") {
                provider.insert(String::from("insecure_http"), json!(true));
            }
        }
        if let Some(timeout) = fields.string("timeout").filter(|text| is_duration(text)) {
            jwks.insert(String::from("timeout"), json!(timeout));
        }
        if let Some(cluster) = istio_cluster(uri.unwrap_or(issuer), namespace) {
            provider.insert(String::from("upstream"), json!(cluster));
            remarks.not_carried_over(&fields.location, format!("the gateway fetches keys through {cluster}, which `istioctl proxy-config clusters` must list: a host outside the mesh needs a ServiceEntry"));
        }
    }
    provider.insert(String::from("jwks"), Value::Object(jwks));
}

fn handling(fields: &Fields<'_>, remarks: &mut Remarks) -> TokenHandling {
    let mut handling = TokenHandling { forward: fields.is_true("forwardOriginalToken"), ..TokenHandling::default() };
    for (index, header) in fields.list("fromHeaders").iter().enumerate() {
        let header = Fields::of(header, format!("{}.fromHeaders[{index}]", fields.location));
        let (name, prefix) = (header.string("name"), header.string("prefix").unwrap_or_default());
        handling.locations.extend(header_location(name, prefix, &header, remarks));
    }
    handling.locations.extend(fields.strings("fromCookies").into_iter().map(Location::Cookie));
    handling.locations.extend(fields.strings("fromParams").into_iter().map(Location::Param));
    handling = handling.or_default_locations();
    for (index, claim) in fields.list("outputClaimToHeaders").iter().enumerate() {
        let claim = Fields::of(claim, format!("{}.outputClaimToHeaders[{index}]", fields.location));
        let (header, name) = (claim.string("header"), claim.string("claim"));
        handling.claims.extend(claim_header(header, name, &claim, remarks));
    }
    handling.payload = fields.string("outputPayloadToHeader").map(str::to_owned);
    handling
}
