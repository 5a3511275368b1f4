//! Envoy's JwtProvider -> a provider of ours, and what it does with tokens.

use std::fs;

use serde_json::{Map, Value, json};

use crate::import::Remarks;
use crate::import::draft::{Draft, Handling, Location, cel_text, claim_header, header_location, is_duration};
use crate::import::fields::Fields;
use crate::import::issuer::{IssuerOf, equal_audiences, set_issuer};

/// A provider, for the requirements that name it.
#[derive(Debug)]
pub struct Imported {
    /// Its name.
    pub name: String,
    /// Where it is written.
    pub place: String,
    /// Its issuer.
    pub issuer: String,
    /// Whom its tokens must be for; nobody in particular where there are none.
    pub audiences: Vec<String>,
    /// The same and those that single rules want instead.
    pub all_audiences: Vec<String>,
    /// What its tokens must meet besides, wherever they are wanted; one will do.
    pub demands: Vec<Value>,
    /// Whether a token stays in the request when it was verified, and can be verified again.
    pub forward: bool,
}

impl Imported {
    /// Its issuer and all audiences of its tokens.
    pub fn issuer(&self) -> IssuerOf<'_> {
        let Self { name, place, issuer, all_audiences, .. } = self;
        IssuerOf { place, provider: name, issuer, audiences: all_audiences }
    }

    /// Whether every token that the provider admits is good for whoever wants one of it.
    pub fn demands_nothing_more(&self) -> bool {
        self.demands.is_empty() && self.audiences == self.all_audiences
    }

    /// A rule wants other audiences instead, which the provider has to admit.
    pub fn also_for(&mut self, audiences: Vec<String>, draft: &mut Draft) {
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

/// Reads a provider into the draft.
pub fn import(name: &str, fields: &Fields<'_>, draft: &mut Draft, remarks: &mut Remarks) -> Option<Imported> {
    let place = &fields.place;
    let Some(issuer) = fields.text("issuer").filter(|issuer| !issuer.is_empty()) else {
        remarks.fatal(place, "a provider without an issuer accepts tokens of any issuer: write its issuer");
        return None;
    };
    let mut provider = Map::new();
    let audiences = equal_audiences(&fields.texts("audiences"), place, remarks);
    if audiences.is_empty() {
        provider.insert(String::from("insecure_any_audience"), json!(true));
    } else {
        provider.insert(String::from("audiences"), json!(audiences));
    }
    if let Some(seconds) = fields.whole("clock_skew_seconds") {
        if seconds > 300 {
            remarks.stricter(place, "clock_skew_seconds: at most 300 s");
        }
        provider.insert(String::from("clock_skew"), json!(format!("{}s", seconds.min(300))));
    }
    if let Some(longest) = fields.text("max_lifetime") {
        // There `exp - now` is limited. That is at most `exp - iat` only if `iat` is not in the future.
        provider.insert(String::from("max_token_lifetime"), json!(longest));
        provider.insert(String::from("clock_skew"), json!("0s"));
        remarks.stricter(
            place,
            "max_lifetime: limits exp - iat, a token without iat is rejected, and clock_skew is 0 s for it",
        );
    }
    keys(fields, &mut provider, remarks)?;
    set_issuer(issuer, &mut provider);
    let demands = subjects(fields, remarks)?;
    let handling = handling(fields, remarks);
    leftovers(fields, remarks);
    remarks.stricter(
        place,
        "tokens signed by another algorithm than RS256 are refused; name those that are used in `algorithms`",
    );
    draft.providers.insert(name.to_owned(), Value::Object(provider));
    let forward = handling.forward;
    draft.handling.push((place.clone(), handling));
    let (name, place, issuer) = (name.to_owned(), place.clone(), issuer.to_owned());
    Some(Imported { name, place, issuer, all_audiences: audiences.clone(), audiences, demands, forward })
}

/// What has no counterpart and demands nothing; what is not known could, and leaves no result.
fn leftovers(fields: &Fields<'_>, remarks: &mut Remarks) {
    let place = &fields.place;
    for (harmless, why) in [
        ("clear_route_cache", "the route is selected again whenever headers change"),
        ("jwt_cache_config", "verified tokens are cached by default, see cache"),
        ("pad_forward_payload_header", "the forwarded payload has no padding"),
    ] {
        if fields.get(harmless).is_some() {
            remarks.left(place, format!("{harmless}: {why}"));
        }
    }
    for metadata in
        ["payload_in_metadata", "header_in_metadata", "failed_status_in_metadata", "normalize_payload_in_metadata"]
    {
        if fields.get(metadata).is_some() {
            remarks.fatal(
                place,
                format!("{metadata}: other filters (RBAC, Lua) may deny requests by this metadata, and none is written here; remove the field if no filter reads it"),
            );
        }
    }
    let _always_so_here = fields.get("require_expiration");
    for name in fields.rest() {
        remarks.fatal(place, format!("{name} is unknown or has another type, and could be a requirement"));
    }
}

fn keys(fields: &Fields<'_>, provider: &mut Map<String, Value>, remarks: &mut Remarks) -> Option<()> {
    if fields.get("local_jwks").is_some() && fields.get("remote_jwks").is_some() {
        remarks.fatal(&fields.place, "both remote_jwks and local_jwks are set; keep one");
        return None;
    }
    if let Some(local) = fields.object("local_jwks") {
        let text = match (local.text("inline_string"), local.text("filename")) {
            (Some(text), _) => Some(text.to_owned()),
            (None, Some(file)) => fs::read_to_string(file).ok(),
            (None, None) => None,
        };
        let Some(keys) = text.and_then(|text| serde_json::from_str::<Value>(&text).ok()) else {
            remarks.fatal(&local.place, "the keys cannot be read: provide them as inline_string");
            return None;
        };
        provider.insert(String::from("jwks"), json!({ "inline": keys }));
        return Some(());
    }
    let Some(remote) = fields.object("remote_jwks") else {
        remarks.fatal(&fields.place, "neither remote_jwks nor local_jwks is set");
        return None;
    };
    let mut jwks = Map::new();
    let http = remote.object("http_uri");
    let Some(uri) = http.as_ref().and_then(|http| http.text("uri")) else {
        remarks.fatal(&remote.place, "http_uri.uri is missing: keys from another URL could be trusted instead");
        return None;
    };
    jwks.insert(String::from("uri"), json!(uri));
    if uri.starts_with("http://") {
        provider.insert(String::from("insecure_http"), json!(true));
    }
    if let Some(cluster) = http.as_ref().and_then(|http| http.text("cluster")) {
        provider.insert(String::from("upstream"), json!(cluster));
    }
    if let Some(timeout) = http.as_ref().and_then(|http| http.text("timeout")).filter(|text| is_duration(text)) {
        jwks.insert(String::from("timeout"), json!(timeout));
    }
    if let Some(refresh) = remote.text("cache_duration").filter(|text| is_duration(text)) {
        jwks.insert(String::from("refresh"), json!(refresh));
    }
    for name in ["async_fetch", "retry_policy"] {
        if remote.get(name).is_some() {
            remarks
                .left(&remote.place, format!("{name}: keys are fetched in the background, and again when that fails"));
        }
    }
    provider.insert(String::from("jwks"), Value::Object(jwks));
    Some(())
}

/// `subjects`: who the tokens must be of.
fn subjects(fields: &Fields<'_>, remarks: &mut Remarks) -> Option<Vec<Value>> {
    let Some(subjects) = fields.object("subjects") else { return Some(Vec::new()) };
    let demand = if let Some(exact) = subjects.text("exact") {
        Some(json!({ "claims": { "sub": exact } }))
    } else if let Some(prefix) = subjects.text("prefix") {
        Some(json!({ "condition": format!("token.subject.startsWith({})", cel_text(prefix)) }))
    } else if let Some(suffix) = subjects.text("suffix") {
        Some(json!({ "condition": format!("token.subject.endsWith({})", cel_text(suffix)) }))
    } else {
        let contained = subjects.text("contains");
        contained.map(|text| json!({ "condition": format!("token.subject.contains({})", cel_text(text)) }))
    };
    match demand {
        Some(demand) if subjects.rest().is_empty() => Some(vec![demand]),
        Some(_) | None => {
            remarks.fatal(&subjects.place, "only exact, prefix, suffix and contains can be converted");
            None
        }
    }
}

fn handling(fields: &Fields<'_>, remarks: &mut Remarks) -> Handling {
    let mut handling = Handling { forward: fields.is_true("forward"), ..Handling::default() };
    for (index, header) in fields.list("from_headers").iter().enumerate() {
        let header = Fields::of(header, format!("{}.from_headers[{index}]", fields.place));
        let (name, prefix) = (header.text("name"), header.text("value_prefix").unwrap_or_default());
        handling.locations.extend(header_location(name, prefix, &header, remarks));
    }
    handling.locations.extend(fields.texts("from_cookies").into_iter().map(Location::Cookie));
    handling.locations.extend(fields.texts("from_params").into_iter().map(Location::Param));
    handling = handling.or_default_locations();
    for (index, claim) in fields.list("claim_to_headers").iter().enumerate() {
        let claim = Fields::of(claim, format!("{}.claim_to_headers[{index}]", fields.place));
        let (header, name) = (claim.text("header_name"), claim.text("claim_name"));
        handling.claims.extend(claim_header(header, name, &claim, remarks));
    }
    if !handling.claims.is_empty() {
        remarks
            .left(&fields.place, "claim_to_headers: lists and objects are written as JSON, not as base64url of JSON; `%` and all but printable ASCII are percent-encoded");
    }
    handling.payload = fields.text("forward_payload_header").map(str::to_owned);
    handling
}
