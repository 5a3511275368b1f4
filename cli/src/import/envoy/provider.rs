//! Converts Envoy's JwtProvider to a provider and its token settings.

use std::fs;

use serde_json::{Map, Value, json};

use crate::import::Remarks;
use crate::import::draft::{Draft, Location, TokenHandling, cel_string, claim_header, header_location, is_duration};
use crate::import::fields::Fields;
use crate::import::issuer::{ProviderIssuer, equal_audiences, set_issuer};

/// A converted provider, for the requirements that name it.
#[derive(Debug)]
pub struct ImportedProvider {
    pub name: String,
    pub location: String,
    pub issuer: String,
    /// The accepted audiences; empty for any.
    pub audiences: Vec<String>,
    /// `audiences`, and those that single rules require instead.
    pub all_audiences: Vec<String>,
    /// Additional requirements on its tokens, of which one must be met.
    pub requirements: Vec<Value>,
    /// Whether a verified token stays in the request, where a second requirement can read it.
    pub forward: bool,
}

impl ImportedProvider {
    pub fn issuer(&self) -> ProviderIssuer<'_> {
        let Self { name, location, issuer, all_audiences, .. } = self;
        ProviderIssuer { location, provider: name, issuer, audiences: all_audiences }
    }

    /// Whether every token that the provider accepts meets a requirement that names it.
    pub fn has_no_requirements(&self) -> bool {
        self.requirements.is_empty() && self.audiences == self.all_audiences
    }

    /// Adds audiences that a rule requires instead of the provider's own.
    pub fn add_audiences(&mut self, audiences: Vec<String>, draft: &mut Draft) {
        if self.audiences.is_empty() {
            return;
        }
        for audience in audiences {
            if !self.all_audiences.contains(&audience) {
                self.all_audiences.push(audience);
            }
        }
        if let Some(provider) = draft.providers.get_mut(&self.name) {
            provider["audiences"] = json!(self.all_audiences);
        }
    }
}

/// Adds the provider to the draft.
pub fn import(name: &str, fields: &Fields<'_>, draft: &mut Draft, remarks: &mut Remarks) -> Option<ImportedProvider> {
    let location = &fields.location;
    let Some(issuer) = fields.string("issuer").filter(|issuer| !issuer.is_empty()) else {
        remarks.fatal(location, "a provider without an issuer accepts tokens of any issuer: write its issuer");
        return None;
    };
    let mut provider = Map::new();
    let audiences = equal_audiences(&fields.strings("audiences"), location, remarks);
    if audiences.is_empty() {
        provider.insert(String::from("insecure_any_audience"), json!(true));
    } else {
        provider.insert(String::from("audiences"), json!(audiences));
    }
    if let Some(seconds) = fields.integer("clock_skew_seconds") {
        if seconds > 300 {
            remarks.stricter(location, "clock_skew_seconds: at most 300 s");
        }
        provider.insert(String::from("clock_skew"), json!(format!("{}s", seconds.min(300))));
    }
    if let Some(longest) = fields.string("max_lifetime") {
        // Envoy limits `exp - now`, which is at most `exp - iat` only if `iat` is not in the future.
        provider.insert(String::from("max_token_lifetime"), json!(longest));
        provider.insert(String::from("clock_skew"), json!("0s"));
        remarks.stricter(
            location,
            "max_lifetime: limits exp - iat, a token without iat is rejected, and clock_skew is 0 s for it",
        );
    }
    keys(fields, &mut provider, remarks)?;
    set_issuer(issuer, &mut provider);
    let requirements = subjects(fields, remarks)?;
    let handling = handling(fields, remarks);
    check_unsupported_fields(fields, remarks);
    remarks.stricter(
        location,
        "tokens signed by another algorithm than RS256 are rejected; list the algorithms in use in `algorithms`",
    );
    draft.providers.insert(name.to_owned(), Value::Object(provider));
    let forward = handling.forward;
    draft.handling.push((location.clone(), handling));
    let (name, location, issuer) = (name.to_owned(), location.clone(), issuer.to_owned());
    Some(ImportedProvider {
        name,
        location,
        issuer,
        all_audiences: audiences.clone(),
        audiences,
        requirements,
        forward,
    })
}

/// Fields without a counterpart. An unknown field could be a requirement, so it fails the import.
fn check_unsupported_fields(fields: &Fields<'_>, remarks: &mut Remarks) {
    let location = &fields.location;
    for (harmless, why) in [
        ("clear_route_cache", "the route is selected again whenever headers change"),
        ("jwt_cache_config", "verified tokens are cached by default, see cache"),
        ("pad_forward_payload_header", "the forwarded payload has no padding"),
    ] {
        if fields.get(harmless).is_some() {
            remarks.not_carried_over(location, format!("{harmless}: {why}"));
        }
    }
    for metadata in
        ["payload_in_metadata", "header_in_metadata", "failed_status_in_metadata", "normalize_payload_in_metadata"]
    {
        if fields.get(metadata).is_some() {
            remarks.fatal(
                location,
                format!("{metadata}: other filters (RBAC, Lua) may deny requests by this metadata, and none is written here; remove the field if no filter reads it"),
            );
        }
    }
    let _always_so_here = fields.get("require_expiration");
    for name in fields.unread() {
        remarks.fatal(location, format!("{name} is unknown or has another type, and could be a requirement"));
    }
}

fn keys(fields: &Fields<'_>, provider: &mut Map<String, Value>, remarks: &mut Remarks) -> Option<()> {
    if fields.get("local_jwks").is_some() && fields.get("remote_jwks").is_some() {
        remarks.fatal(&fields.location, "both remote_jwks and local_jwks are set; keep one");
        return None;
    }
    if let Some(local) = fields.object("local_jwks") {
        let text = match (local.string("inline_string"), local.string("filename")) {
            (Some(text), _) => Some(text.to_owned()),
            (None, Some(file)) => fs::read_to_string(file).ok(),
            (None, None) => None,
        };
        let Some(keys) = text.and_then(|text| serde_json::from_str::<Value>(&text).ok()) else {
            remarks.fatal(&local.location, "the keys cannot be read: provide them as inline_string");
            return None;
        };
        provider.insert(String::from("jwks"), json!({ "inline": keys }));
        return Some(());
    }
    let Some(remote) = fields.object("remote_jwks") else {
        remarks.fatal(&fields.location, "neither remote_jwks nor local_jwks is set");
        return None;
    };
    let mut jwks = Map::new();
    let http = remote.object("http_uri");
    let Some(uri) = http.as_ref().and_then(|http| http.string("uri")) else {
        remarks.fatal(&remote.location, "http_uri.uri is missing: keys from another URL could be trusted instead");
        return None;
    };
    jwks.insert(String::from("uri"), json!(uri));
    if uri.starts_with("http://") {
        provider.insert(String::from("insecure_http"), json!(true));
    }
    if let Some(cluster) = http.as_ref().and_then(|http| http.string("cluster")) {
        provider.insert(String::from("upstream"), json!(cluster));
    }
    if let Some(timeout) = http.as_ref().and_then(|http| http.string("timeout")).filter(|text| is_duration(text)) {
        jwks.insert(String::from("timeout"), json!(timeout));
    }
    if let Some(refresh) = remote.string("cache_duration").filter(|text| is_duration(text)) {
        jwks.insert(String::from("refresh"), json!(refresh));
    }
    for name in ["async_fetch", "retry_policy"] {
        if remote.get(name).is_some() {
            remarks.not_carried_over(
                &remote.location,
                format!("{name}: keys are fetched in the background, and again when that fails"),
            );
        }
    }
    provider.insert(String::from("jwks"), Value::Object(jwks));
    Some(())
}

/// `subjects`: the accepted subjects.
fn subjects(fields: &Fields<'_>, remarks: &mut Remarks) -> Option<Vec<Value>> {
    let Some(subjects) = fields.object("subjects") else { return Some(Vec::new()) };
    let requirement = if let Some(exact) = subjects.string("exact") {
        Some(json!({ "claims": { "sub": exact } }))
    } else if let Some(prefix) = subjects.string("prefix") {
        Some(json!({ "condition": format!("token.subject.startsWith({})", cel_string(prefix)) }))
    } else if let Some(suffix) = subjects.string("suffix") {
        Some(json!({ "condition": format!("token.subject.endsWith({})", cel_string(suffix)) }))
    } else {
        let contained = subjects.string("contains");
        contained.map(|text| json!({ "condition": format!("token.subject.contains({})", cel_string(text)) }))
    };
    match requirement {
        Some(requirement) if subjects.unread().is_empty() => Some(vec![requirement]),
        Some(_) | None => {
            remarks.fatal(&subjects.location, "only exact, prefix, suffix and contains can be converted");
            None
        }
    }
}

fn handling(fields: &Fields<'_>, remarks: &mut Remarks) -> TokenHandling {
    let mut handling = TokenHandling { forward: fields.is_true("forward"), ..TokenHandling::default() };
    for (index, header) in fields.list("from_headers").iter().enumerate() {
        let header = Fields::of(header, format!("{}.from_headers[{index}]", fields.location));
        let (name, prefix) = (header.string("name"), header.string("value_prefix").unwrap_or_default());
        handling.locations.extend(header_location(name, prefix, &header, remarks));
    }
    handling.locations.extend(fields.strings("from_cookies").into_iter().map(Location::Cookie));
    handling.locations.extend(fields.strings("from_params").into_iter().map(Location::Param));
    handling = handling.or_default_locations();
    for (index, claim) in fields.list("claim_to_headers").iter().enumerate() {
        let claim = Fields::of(claim, format!("{}.claim_to_headers[{index}]", fields.location));
        let (header, name) = (claim.string("header_name"), claim.string("claim_name"));
        handling.claims.extend(claim_header(header, name, &claim, remarks));
    }
    if !handling.claims.is_empty() {
        remarks
            .not_carried_over(&fields.location, "claim_to_headers: lists and objects are written as JSON, not as base64url of JSON; `%` and all but printable ASCII are percent-encoded");
    }
    handling.payload = fields.string("forward_payload_header").map(str::to_owned);
    handling
}
