//! Converts issuers of Envoy and Istio to `providers`: the Okta preset, audiences, and the cluster for the keys.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::Remarks;

const OKTA_DOMAINS: [&str; 5] = [".okta.com", ".oktapreview.com", ".okta-emea.com", ".okta-gov.com", ".okta.mil"];
/// The default of `jwt_authn`. The default of the Okta preset is larger.
const DEFAULT_SKEW: &str = "60s";

/// Sets `issuer`, or the Okta preset if it is equivalent. The preset implies the URL of the keys, which is then
/// removed.
pub fn set_issuer(issuer: &str, provider: &mut Map<String, Value>) {
    let uri = provider.get("jwks").and_then(|jwks| jwks.get("uri")).and_then(Value::as_str).map(str::to_owned);
    let has_keys = provider.get("jwks").is_some_and(|jwks| jwks.get("inline").is_some());
    let is_derived = uri.is_none() && !has_keys;
    let is_its_own = uri.is_none_or(|uri| uri == format!("{issuer}/v1/keys"));
    let Some(preset) = okta_preset(issuer).filter(|_| is_its_own && !has_keys) else {
        provider.insert(String::from("issuer"), json!(issuer));
        if is_derived && issuer.starts_with("http://") {
            provider.insert(String::from("insecure_http"), json!(true));
        }
        return;
    };
    provider.insert(String::from("okta"), preset);
    provider.entry("clock_skew").or_insert_with(|| json!(DEFAULT_SKEW));
    if let Some(jwks) = provider.get_mut("jwks").and_then(Value::as_object_mut) {
        jwks.remove("uri");
    }
    provider.retain(|name, value| name != "jwks" || *value != json!({}));
}

/// The preset for a custom authorization server on an Okta domain.
fn okta_preset(issuer: &str) -> Option<Value> {
    let (domain, id) = issuer.strip_prefix("https://")?.split_once("/oauth2/")?;
    let organisation = OKTA_DOMAINS.iter().find_map(|ending| domain.strip_suffix(ending))?;
    let is_label =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    let is_custom = is_label(organisation) && !organisation.ends_with("-admin") && is_label(id) && id != "org";
    is_custom.then(|| json!({ "domain": domain, "authorization_server": id }))
}

/// All audiences that `jwt_authn` treats as equal to these. It ignores `http://`, `https://` and a trailing slash.
pub fn equal_audiences(names: &[String], location: &str, remarks: &mut Remarks) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut compared_whole = Vec::new();
    for name in names {
        let bare = bare_audience(name);
        let is_address = name.starts_with("http") || (bare.contains('.') && !bare.contains(':'));
        let spellings: Vec<String> = match is_address && !bare.is_empty() {
            true => ["", "http://", "https://"]
                .iter()
                .flat_map(|scheme| ["", "/"].map(|end| format!("{scheme}{bare}{end}")))
                .filter(|spelling| bare_audience(spelling) == bare)
                .collect(),
            false => Vec::new(),
        };
        if spellings.is_empty() {
            compared_whole.push(name.as_str());
        }
        for spelling in std::iter::once(name.clone()).chain(spellings) {
            if !all.contains(&spelling) {
                all.push(spelling);
            }
        }
    }
    if !compared_whole.is_empty() {
        remarks.stricter(
            location,
            format!(
                "audiences {compared_whole:?}: compared exactly; `jwt_authn` ignores a leading `https://` and a trailing slash"
            ),
        );
    }
    all
}

/// The issuer and the audiences of a provider in the original.
pub struct ProviderIssuer<'a> {
    /// The location of the provider.
    pub location: &'a str,
    pub provider: &'a str,
    pub issuer: &'a str,
    /// The accepted audiences; empty for any.
    pub audiences: &'a [String],
}

/// Checks providers with the same issuer. The original tries each of them; the filter selects one by the audience.
pub fn check_common_issuers(providers: &[ProviderIssuer<'_>], remarks: &mut Remarks) {
    for (index, later) in providers.iter().enumerate() {
        for earlier in providers.iter().take(index).filter(|earlier| earlier.issuer == later.issuer) {
            let (one, other) = (earlier.provider, later.provider);
            let common = later.audiences.iter().find(|name| earlier.audiences.contains(name));
            if earlier.audiences.is_empty() || later.audiences.is_empty() {
                remarks.fatal(
                    later.location,
                    format!("{one} and {other} have one issuer, and one of them has no audiences: here the audience of a token selects its provider; give each provider audiences of its own"),
                );
            } else if let Some(common) = common {
                remarks.fatal(
                    later.location,
                    format!("{one} and {other} have one issuer and both have the audience {common:?}: here the audience of a token selects its provider; give each audience to one provider, or merge the providers"),
                );
            } else {
                remarks.stricter(
                    later.location,
                    format!("{one} and {other} have one issuer: a token with audiences of both is rejected"),
                );
            }
        }
    }
}

/// Whether an issuer occurs twice.
pub fn have_common_issuers<'a>(issuers: impl Iterator<Item = &'a str>) -> bool {
    let mut seen = BTreeSet::new();
    issuers.into_iter().any(|issuer| !seen.insert(issuer))
}

/// The part of an audience that `jwt_authn` compares.
fn bare_audience(name: &str) -> &str {
    let rest = name.strip_prefix("https://").or_else(|| name.strip_prefix("http://")).unwrap_or(name);
    rest.strip_suffix('/').unwrap_or(rest)
}

/// Istio's cluster name for the host of a URL, as `istioctl proxy-config clusters` lists it.
pub fn istio_cluster(url: &str, namespace: Option<&str>) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next().filter(|authority| !authority.is_empty())?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => (host, port),
        Some(_) => return None,
        None => (authority, if scheme == "http" { "80" } else { "443" }),
    };
    let host = match (host.contains('.'), namespace) {
        (false, Some(namespace)) => format!("{host}.{namespace}.svc.cluster.local"),
        (true, _) if host.ends_with(".svc") => format!("{host}.cluster.local"),
        (true | false, _) => host.to_owned(),
    };
    Some(format!("outbound|{port}||{host}"))
}
