//! `introspection` -> [`Introspection`], `revocations` -> [`RevocationSource`]: endpoints, client
//! authentication, and bounds on calls and caches.

use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use super::callout_headers::callout_headers;
use super::diagnostics::Diagnostics;
use super::issuer::Server;
use super::secret::look_up;
use super::warnings;
use crate::config::error::Path;
use crate::config::schema::introspection::{ClientAuth, IntrospectionDocument, RevocationsDocument};
use crate::jose::{PrivateKey, PrivateKeyFault};
use crate::policy::callout_address::Scheme;
use crate::policy::{
    Audiences, CalloutAddress, CalloutHeaders, ClientAuthentication, Discovery, EndpointAddress, Introspection,
    OpaqueTokens, Provider, RevocationSource,
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// Half of the 300 that the smallest Okta organisation has for all custom authorization servers: the other half is for its
/// other applications, and for a second gateway while one is replaced.
const DEFAULT_REQUESTS_PER_MINUTE: u32 = 150;

/// What a provider's endpoint is derived from.
pub(super) struct ProviderContext<'a> {
    pub(super) issuer: Option<&'a str>,
    pub(super) upstream: Option<&'a str>,
    pub(super) headers: &'a CalloutHeaders,
    pub(super) allow_http: bool,
    pub(super) server: Server,
    /// Whether nothing else of the provider requires an upstream, and adds the error when it is missing.
    pub(super) needs_upstream: bool,
    pub(super) provider_at: &'a Path,
}

/// Compiles one provider's `introspection`; `None` with an error.
pub(super) fn introspection(
    mut document: IntrospectionDocument,
    context: &ProviderContext<'_>,
    at: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Introspection> {
    let address = address(document.uri.take(), context, &at.member("uri"), diagnostics);
    let (cache_ttl, inactive_cache_ttl) = (document.cache_ttl, document.inactive_cache_ttl);
    let (timeout, stale_if_error) = (document.timeout, document.stale_if_error);
    let requests_per_minute = document.requests_per_minute.unwrap_or(DEFAULT_REQUESTS_PER_MINUTE);
    let client = client(document, at, diagnostics);
    let mut time = |value: Option<Duration>, default, name, bounds, hint| {
        diagnostics.bounded(value.unwrap_or(default), &bounds, &at.member(name), hint)
    };
    let (up_to_a_minute, up_to_an_hour) = (Duration::ZERO..=MINUTE, Duration::ZERO..=HOUR);
    let hint = "at most \"1h\": a revoked token may go on for that long";
    let cache_ttl = time(cache_ttl, 30 * SECOND, "cache_ttl", up_to_an_hour.clone(), hint);
    let hint = "at most \"1m\": a token that becomes good stays refused for that long";
    let inactive_cache_ttl = time(inactive_cache_ttl, 5 * SECOND, "inactive_cache_ttl", up_to_a_minute, hint);
    let hint = "between \"0.1s\" and \"10s\": requests wait for that long";
    let timeout = time(timeout, 2 * SECOND, "timeout", SECOND / 10..=10 * SECOND, hint);
    let hint = "at most \"1h\": while the endpoint fails, a revoked token may go on for that much longer";
    let stale_if_error = time(stale_if_error, Duration::ZERO, "stale_if_error", up_to_an_hour, hint);
    let requests_per_minute = diagnostics.parsed(
        NonZeroU32::new(requests_per_minute).filter(|limit| limit.get() <= 100_000),
        &at.member("requests_per_minute"),
        "between 1 and 100000: the share of the issuer's rate limit that this gateway may use",
    );
    if stale_if_error.is_some_and(|time| !time.is_zero()) {
        diagnostics.warn(&warnings::STALE_IF_ERROR, &at.member("stale_if_error"));
    }
    Some(Introspection {
        address: address?,
        client: client?,
        cache_ttl: cache_ttl?,
        inactive_cache_ttl: inactive_cache_ttl?,
        timeout: timeout?,
        requests_per_minute: requests_per_minute?,
        stale_if_error: stale_if_error?,
        // Assigned when all providers are known.
        opaque_tokens: OpaqueTokens::Rejected,
    })
}

/// Checks that at most one provider takes opaque tokens: nothing in such a token names its issuer. `written` are the paths
/// of `introspection` with the values of `opaque_tokens`.
pub(super) fn judge_opaque_tokens(written: &[(Path, Option<bool>)], diagnostics: &mut Diagnostics<'_>) {
    let takers = written.iter().filter(|(_, takes)| *takes == Some(true)).count();
    for (at, takes) in written {
        match takes {
            Some(true) if takers > 1 => diagnostics.invalid(
                &at.member("opaque_tokens"),
                "another provider takes opaque tokens too; nothing in such a token says whose it is",
            ),
            None if written.len() > 1 => {
                diagnostics.required(
                    None::<()>,
                    &at.member("opaque_tokens"),
                    "several providers introspect; write true for the one whose tokens are opaque, false for the others",
                );
            }
            Some(_) | None => {}
        }
    }
}

/// Assigns opaque tokens to the provider that takes them, if one does.
pub(super) fn share_out_opaque_tokens(
    written: &[(Path, Option<bool>)],
    providers: &mut [Provider],
    diagnostics: &mut Diagnostics<'_>,
) {
    let asking = providers.iter_mut().filter(|provider| provider.introspection.is_some());
    // As many as in the document: this is called with complete providers only.
    for (provider, (at, takes)) in asking.zip(written) {
        if !takes.unwrap_or(written.len() == 1) {
            continue;
        }
        if provider.audiences == Audiences::InsecureAny {
            diagnostics.warn(&warnings::ANY_OPAQUE_TOKEN, at);
        }
        if let Some(settings) = &mut provider.introspection {
            settings.opaque_tokens = OpaqueTokens::Accepted;
        }
    }
}

/// From the document, derived for Okta, or discovered in the issuer's metadata; `None` also when the issuer has an error.
fn address(
    uri: Option<String>,
    context: &ProviderContext<'_>,
    at: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<EndpointAddress> {
    if context.needs_upstream {
        let at = context.provider_at.member("upstream");
        diagnostics.required(
            context.upstream,
            &at,
            "write the host's name for the connection to the issuer, which is asked about tokens: on Envoy the name of a cluster",
        );
        diagnostics.check(context.upstream != Some(""), &at, "an empty name");
    }
    let upstream = context.upstream.filter(|name| !name.is_empty());
    let known = match (uri, context.issuer, context.server) {
        (Some(uri), ..) => uri,
        (None, Some(issuer), Server::OktaCustom) => format!("{issuer}/v1/introspect"),
        (None, Some(issuer), Server::OktaOrg) => format!("{issuer}/oauth2/v1/introspect"),
        (None, issuer, _) => {
            let discovery = Discovery::of(issuer?, upstream?)?;
            return Some(EndpointAddress::Discovered(discovery.with_headers(context.headers)));
        }
    };
    let address = CalloutAddress::parse(&known, upstream.unwrap_or_default());
    match &address {
        None => diagnostics.invalid(at, "not an absolute https URL"),
        Some(address) if address.scheme == Scheme::Http && !context.allow_http => {
            diagnostics.invalid(at, "tokens are sent over https only; for a test, set \"insecure_http\": true");
            return None;
        }
        Some(_) => {}
    }
    upstream?;
    address.map(|address| EndpointAddress::Known(address.with_headers(context.headers)))
}

fn client(
    document: IntrospectionDocument,
    at: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<ClientAuthentication> {
    let IntrospectionDocument { client_id, client_auth, client_secret: secret, private_key, key_id, .. } = document;
    let (secret_at, key_at) = (at.member("client_secret"), at.member("private_key"));
    let id_at = at.member("client_id");
    let client_id =
        diagnostics.required(client_id, &id_at, "write the id of the client that may introspect: \"0oa...\"");
    let client_id = client_id.filter(|id| {
        let is_id = !id.is_empty() && id.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        diagnostics.check(is_id, &id_at, "a client's id: printable ASCII, not empty")
    });
    if at.member("client_auth").is_reported(diagnostics.errors) {
        return None;
    }
    let method = client_auth.unwrap_or_default();
    if method == ClientAuth::PrivateKeyJwt {
        let hint = "not with \"private_key_jwt\", which shows the endpoint no secret";
        diagnostics.check(secret.is_none(), &secret_at, hint);
        let key = diagnostics.required(
            private_key,
            &key_at,
            "\"private_key_jwt\" signs with it; write where it is found: {\"env\": \"OKTA_PRIVATE_KEY\"}",
        );
        let text = key.and_then(|key| look_up(key, &key_at, diagnostics));
        let key = text.and_then(|text| diagnostics.accept(PrivateKey::parse(text.reveal()).map_err(key_hint), &key_at));
        let key_id = key_id
            .filter(|id| diagnostics.check(!id.is_empty(), &at.member("key_id"), "an empty id; leave the field out"));
        let key = match (key?, key_id) {
            (key, Some(id)) => key.with_id(id),
            (key, None) => key,
        };
        return Some(ClientAuthentication::PrivateKeyJwt { client_id: client_id?, key: Rc::new(key) });
    }
    for (is_missing, field) in [(private_key.is_none(), &key_at), (key_id.is_none(), &at.member("key_id"))] {
        diagnostics.check(is_missing, field, "only with \"client_auth\": \"private_key_jwt\"");
    }
    let secret = diagnostics.required(
        secret,
        &secret_at,
        "the endpoint answers clients only; write where the secret is found: {\"env\": \"OKTA_CLIENT_SECRET\"}",
    );
    let secret = secret.and_then(|secret| look_up(secret, &secret_at, diagnostics));
    let (client_id, secret) = (client_id?, secret?);
    Some(match method {
        ClientAuth::SecretPost => ClientAuthentication::SecretPost { client_id, secret },
        ClientAuth::SecretBasic | ClientAuth::PrivateKeyJwt => ClientAuthentication::SecretBasic { client_id, secret },
    })
}

const fn key_hint(fault: PrivateKeyFault) -> &'static str {
    match fault {
        PrivateKeyFault::Malformed => "the variable holds no private key: PKCS#8 in PEM, with its line ends, or a JWK",
        PrivateKeyFault::NotPkcs8 => {
            "the variable holds PEM of another form; `openssl pkcs8 -topk8 -nocrypt` converts it"
        }
        PrivateKeyFault::Encrypted => "the variable holds a key with a password, which nobody here could type",
        PrivateKeyFault::Unsupported => {
            "the variable holds a key of another kind; there are RSA (RS256) and P-256 (ES256)"
        }
        PrivateKeyFault::Weak => "the variable holds an RSA key below 2048 bits, or otherwise unfit",
        PrivateKeyFault::Inconsistent => {
            "the variable holds a key whose halves do not belong together, or not for signing"
        }
        PrivateKeyFault::NotPrivate => "the variable holds a public key; the private key is required",
    }
}

/// Compiles `revocations`; the outer `None` with an error.
#[allow(clippy::option_option, reason = "whether there is one, unless there is a fault")]
pub(super) fn revocations(
    document: Option<RevocationsDocument>,
    at: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Option<RevocationSource>> {
    let Some(document) = document else { return (!at.is_reported(diagnostics.errors)).then_some(None) };
    let RevocationsDocument { uri, upstream, callout_headers: headers, refresh, timeout } = document;
    let headers = callout_headers(headers, false, &at.member("callout_headers"), diagnostics);
    let uri_at = at.member("uri");
    let uri = diagnostics.required(uri, &uri_at, "write the address of the list of revoked tokens");
    let upstream_at = at.member("upstream");
    let upstream = diagnostics.required(
        upstream,
        &upstream_at,
        "write the host's name for the connection to the list: on Envoy the name of a cluster",
    );
    let upstream = upstream.filter(|name| diagnostics.check(!name.is_empty(), &upstream_at, "an empty name"));
    let address = uri.and_then(|uri| {
        let address = CalloutAddress::parse(&uri, upstream.as_deref().unwrap_or_default());
        let address = address.filter(|address| address.scheme == Scheme::Https);
        let hint = "not an absolute https URL; an attacker who withholds the list would undo its revocations";
        diagnostics.parsed(address, &uri_at, hint)
    });
    let hint = "between \"1s\" and \"1h\": a revoked token may go on for that long";
    let refresh = diagnostics.bounded(refresh.unwrap_or(10 * SECOND), &(SECOND..=HOUR), &at.member("refresh"), hint);
    let (timeout, bounds) = (timeout.unwrap_or(2 * SECOND), SECOND / 10..=10 * SECOND);
    let timeout = diagnostics.bounded(timeout, &bounds, &at.member("timeout"), "between \"0.1s\" and \"10s\"");
    upstream?;
    let address = address?.with_headers(&headers?);
    Some(Some(RevocationSource { address, refresh: refresh?, timeout: timeout? }))
}
