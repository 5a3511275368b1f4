//! Istio's RequestAuthentication and AuthorizationPolicy (security.istio.io), of one workload.
//!
//! There a request without a token passes unless a policy says otherwise, and all policies are asked: DENY first, then ALLOW,
//! of which one has to match when there are any. Here the first rule counts. So what DENY refuses stands first, and an
//! ALLOW that another one hides is refused where both would have to be asked.

mod policy;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::Remarks;
use super::draft::{Draft, Handling, Location, claim_header, folded, header_location, is_duration};
use super::fields::Fields;
use policy::Known;

/// The document that they mean together.
pub fn import(documents: &[Value], remarks: &mut Remarks) -> Option<Value> {
    let mut draft = Draft::default();
    let mut policies = Vec::new();
    let mut scopes = BTreeSet::new();
    let mut split_claims = vec![String::from("scope"), String::from("permission")];
    for (place, document) in resources(documents) {
        let fields = Fields::of(document, place.clone());
        let kind = fields.text("kind").unwrap_or_default();
        let group = fields.text("apiVersion").unwrap_or_default();
        let is_ours = group.starts_with("security.istio.io/");
        let spec_place = format!("{place}.spec");
        let spec = document.get("spec").unwrap_or(&Value::Null);
        match kind {
            "RequestAuthentication" if is_ours => {
                scopes.insert(scope(document));
                split_claims.extend(providers(&Fields::of(spec, spec_place), &mut draft, remarks));
            }
            "AuthorizationPolicy" if is_ours => match dry_run(document) {
                Some(false) => {
                    scopes.insert(scope(document));
                    policies.push((spec_place, spec.clone()));
                }
                Some(true) => remarks.left(&place, "istio.io/dry-run: Istio does not enforce this policy"),
                None => remarks.fatal(&place, "istio.io/dry-run is neither true nor false"),
            },
            "PeerAuthentication" if is_ours => {
                remarks.left(&place, "PeerAuthentication: mTLS is the listener's; see connection.mtls");
            }
            _ if group.contains("istio.io/") || ["RequestAuthentication", "AuthorizationPolicy"].contains(&kind) => {
                remarks.fatal(&place, format!("{kind:?} of {group:?} may restrict access and is not understood; give RequestAuthentication and AuthorizationPolicy of security.istio.io alone"));
            }
            _ => remarks.left(&place, format!("{kind:?} is neither RequestAuthentication nor AuthorizationPolicy")),
        }
    }
    if scopes.len() > 1 {
        remarks.fatal("$", "the documents are for different workloads; give those of one workload");
    }
    let managed = draft.handling.iter().flat_map(|(_, handling)| handling.header_names()).map(folded).collect();
    draft.scope_claim = policy::scope_claim(&policies);
    let known = Known { managed, split_claims, scope_claim: draft.scope_claim };
    let rules = policy::rules(&policies, &known, remarks);
    draft.rules = rules.rules;
    draft.default_rule = rules.default_rule;
    draft.finish(remarks)
}

/// The resources, with those of lists.
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

/// Whether Istio only reports what the policy would do; nothing where that is not certain.
fn dry_run(document: &Value) -> Option<bool> {
    match document.pointer("/metadata/annotations/istio.io~1dry-run") {
        None => Some(false),
        Some(value) => value.as_str().and_then(|text| text.parse().ok()),
    }
}

/// Where a document counts: its namespace and what it selects.
fn scope(document: &Value) -> String {
    let part = |pointer: &str| document.pointer(pointer).unwrap_or(&Value::Null).to_string();
    ["/metadata/namespace", "/spec/selector", "/spec/targetRef", "/spec/targetRefs"].map(part).join(" ")
}

/// Reads the providers, and gives the claims that are lists with blanks between their items.
fn providers(spec: &Fields<'_>, draft: &mut Draft, remarks: &mut Remarks) -> Vec<String> {
    let mut split_claims = Vec::new();
    for (index, rule) in spec.list("jwtRules").iter().enumerate() {
        let fields = Fields::of(rule, format!("{}.jwtRules[{index}]", spec.place));
        let place = fields.place.clone();
        let Some(issuer) = fields.text("issuer") else {
            remarks.fatal(&place, "a rule without an issuer");
            continue;
        };
        let name = format!("issuer-{}", draft.providers.len());
        let mut provider = Map::new();
        provider.insert(String::from("issuer"), json!(issuer));
        match fields.texts("audiences") {
            names if names.is_empty() => drop(provider.insert(String::from("insecure_any_audience"), json!(true))),
            names => drop(provider.insert(String::from("audiences"), json!(names))),
        }
        let mut jwks = Map::new();
        if let Some(text) = fields.text("jwks") {
            match serde_json::from_str::<Value>(text) {
                Ok(keys) => drop(jwks.insert(String::from("inline"), keys)),
                Err(_) => remarks.fatal(&place, "jwks is not JSON"),
            }
        } else {
            if let Some(uri) = fields.text("jwksUri").or_else(|| fields.text("jwks_uri")) {
                jwks.insert(String::from("uri"), json!(uri));
                if uri.starts_with("http://") {
                    provider.insert(String::from("insecure_http"), json!(true));
                }
            }
            if let Some(timeout) = fields.text("timeout").filter(|text| is_duration(text)) {
                jwks.insert(String::from("timeout"), json!(timeout));
            }
            provider.insert(String::from("upstream"), json!(name));
            remarks
                .left(&place, format!("keys are fetched through an Envoy cluster: make one named {name:?} for them"));
        }
        provider.insert(String::from("jwks"), Value::Object(jwks));
        draft.handling.push((place.clone(), handling(&fields, remarks)));
        let split = fields.texts("spaceDelimitedClaims");
        if !split.is_empty() {
            remarks.stricter(
                &place,
                "spaceDelimitedClaims: rules about these claims are not converted where that matters",
            );
        }
        split_claims.extend(split);
        for name in fields.rest() {
            remarks.fatal(&place, format!("{name} is not known here, or of another type, and could demand something"));
        }
        remarks.stricter(
            &place,
            "tokens signed by another algorithm than RS256 are refused; name those that are used in `algorithms`",
        );
        draft.providers.insert(name, Value::Object(provider));
    }
    let _are_in_the_scope = ["selector", "targetRef", "targetRefs"].map(|name| spec.get(name));
    for name in spec.rest() {
        remarks.fatal(&spec.place, format!("{name} is not known here, or of another type"));
    }
    split_claims
}

fn handling(fields: &Fields<'_>, remarks: &mut Remarks) -> Handling {
    let mut handling = Handling { forward: fields.is_true("forwardOriginalToken"), ..Handling::default() };
    for (index, header) in fields.list("fromHeaders").iter().enumerate() {
        let header = Fields::of(header, format!("{}.fromHeaders[{index}]", fields.place));
        let (name, prefix) = (header.text("name"), header.text("prefix").unwrap_or_default());
        handling.locations.extend(header_location(name, prefix, &header, remarks));
    }
    handling.locations.extend(fields.texts("fromCookies").into_iter().map(Location::Cookie));
    handling.locations.extend(fields.texts("fromParams").into_iter().map(Location::Param));
    handling = handling.or_default_locations();
    for (index, claim) in fields.list("outputClaimToHeaders").iter().enumerate() {
        let claim = Fields::of(claim, format!("{}.outputClaimToHeaders[{index}]", fields.place));
        let (header, name) = (claim.text("header"), claim.text("claim"));
        handling.claims.extend(claim_header(header, name, &claim, remarks));
    }
    handling.payload = fields.text("outputPayloadToHeader").map(str::to_owned);
    handling
}
