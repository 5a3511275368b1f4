//! Istio's RequestAuthentication and AuthorizationPolicy (security.istio.io), of one workload.
//!
//! There a request without a token passes unless a policy says otherwise, and all policies are asked: DENY first, then ALLOW,
//! of which one has to match when there are any. Here the first rule counts. So what DENY refuses stands first, and an
//! ALLOW that another one hides is refused where both would have to be asked.

mod policy;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::Remarks;
use super::draft::{Draft, Handling, is_duration};
use super::fields::Fields;

/// The document that they mean together.
pub fn import(documents: &[Value], remarks: &mut Remarks) -> Option<Value> {
    let mut draft = Draft::default();
    let mut policies = Vec::new();
    let mut scopes = BTreeSet::new();
    for (index, document) in documents.iter().enumerate() {
        let fields = Fields::of(document, format!("$[{index}]"));
        let kind = fields.text("kind").unwrap_or_default();
        let group = fields.text("apiVersion").unwrap_or_default();
        let is_ours = group.starts_with("security.istio.io/");
        let spec = document.get("spec").cloned().unwrap_or_default();
        match kind {
            "RequestAuthentication" if is_ours => {
                scopes.insert(scope(document));
                providers(&Fields::of(&spec, format!("{}.spec", fields.place)), &mut draft, remarks);
            }
            "AuthorizationPolicy" if is_ours => {
                scopes.insert(scope(document));
                policies.push((format!("{}.spec", fields.place), spec));
            }
            "PeerAuthentication" if is_ours => {
                remarks.left(&fields.place, "PeerAuthentication: mTLS is the listener's; see connection.mtls");
            }
            _ => remarks
                .left(&fields.place, format!("{kind:?} is neither RequestAuthentication nor AuthorizationPolicy")),
        }
    }
    if scopes.len() > 1 {
        remarks.fatal("$", "the documents are for different workloads; give those of one workload");
    }
    draft.rules = policy::rules(&policies, remarks);
    draft.default_rule = match policy::has_allow(&policies) {
        true => json!({ "access": "deny" }),
        // A bad token is refused there, and none is needed.
        false => json!({ "access": "optional" }),
    };
    draft.finish(remarks)
}

/// Where a document counts: its namespace and what it selects.
fn scope(document: &Value) -> String {
    let part = |pointer: &str| document.pointer(pointer).unwrap_or(&Value::Null).to_string();
    ["/metadata/namespace", "/spec/selector", "/spec/targetRef", "/spec/targetRefs"].map(part).join(" ")
}

fn providers(spec: &Fields<'_>, draft: &mut Draft, remarks: &mut Remarks) {
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
        if fields.get("spaceDelimitedClaims").is_some() {
            remarks.stricter(&place, "spaceDelimitedClaims: only scopes are taken apart at blanks");
        }
        for name in fields.rest() {
            remarks.fatal(&place, format!("{name} is not known here, or of another type, and could demand something"));
        }
        remarks.stricter(
            &place,
            "tokens signed by another algorithm than RS256 are refused; name those that are used in `algorithms`",
        );
        draft.providers.insert(name, Value::Object(provider));
    }
}

fn handling(fields: &Fields<'_>, remarks: &mut Remarks) -> Handling {
    let mut handling = Handling { forward: fields.is_true("forwardOriginalToken"), ..Handling::default() };
    for header in fields.list("fromHeaders") {
        let header = Fields::of(header, fields.place.clone());
        if let Some(name) = header.text("name") {
            let prefix = header.text("prefix").unwrap_or_default();
            handling.headers.extend(Handling::header(name, prefix, &header.place, remarks));
        }
    }
    let names = |name: &str| fields.texts(name).into_iter().map(|name| json!(name)).collect::<Vec<Value>>();
    handling.cookies = names("fromCookies");
    handling.params = names("fromParams");
    if fields.list("fromHeaders").is_empty() {
        handling = handling.or_bearer(&fields.place, remarks);
    }
    for claim in fields.list("outputClaimToHeaders") {
        let claim = Fields::of(claim, "");
        if let (Some(header), Some(name)) = (claim.text("header"), claim.text("claim")) {
            let path: Vec<&str> = name.split('.').collect();
            handling.claims.push(json!({ "header": header, "claim": path }));
        }
    }
    handling.payload = fields.text("outputPayloadToHeader").map(str::to_owned);
    handling
}
