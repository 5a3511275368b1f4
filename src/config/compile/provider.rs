//! `providers` -> [`Providers`]: key sources, validation settings, and one provider for each token.

use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;
use std::time::Duration;

use super::callout_headers::callout_headers;
use super::diagnostics::{Diagnostics, present};
use super::introspection::{ProviderContext, introspection, judge_opaque_tokens, share_out_opaque_tokens};
use super::issuer::{IssuerDocument, OKTA_ORG_HINT, Server, is_okta_issuer};
use super::sender_constraint::sender_constraint;
use super::warnings;
use crate::config::error::{ConfigErrorKind, Path};
use crate::config::schema::introspection::{ClientAuth, IntrospectionDocument};
use crate::config::schema::{JwksDocument, ProviderDocument};
use crate::jose::jwk::KeyFault;
use crate::jose::{Algorithm, KeySet};
use crate::policy::callout_address::Scheme;
use crate::policy::{
    Audiences, CalloutAddress, CalloutHeaders, ClaimNames, Discovery, EndpointAddress, KeyOrigin, Provider, Providers,
    RemoteKeys,
};

const DEFAULT_SKEW: Duration = Duration::from_secs(60);
/// As in Okta's own verifiers.
const OKTA_SKEW: Duration = Duration::from_secs(120);
const MAX_SKEW: Duration = Duration::from_secs(300);

/// Compiles all providers; `None` with an error.
pub(super) fn providers(
    documents: Option<BTreeMap<String, ProviderDocument>>,
    at: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Providers> {
    const HINT: &str = "name at least one token issuer: {\"okta\": {\"okta\": {\"domain\": \"acme.okta.com\"}, \"audiences\": [\"api://default\"], \"upstream\": \"okta\"}}";
    let documents = diagnostics.required(documents, at, HINT)?;
    if documents.is_empty() {
        diagnostics.required(None::<()>, at, HINT);
        return None;
    }
    let (mut providers, mut opaque) = (Vec::new(), Vec::new());
    let wanted = documents.len();
    for (name, document) in documents {
        let provider_at = at.member(&name);
        if let Some(introspection) = &document.introspection {
            opaque.push((provider_at.member("introspection"), introspection.opaque_tokens));
        }
        let Some(provider) = provider(name, document, &provider_at, diagnostics) else { continue };
        check_common_issuers(&provider, &providers, at, diagnostics);
        providers.push(provider);
    }
    judge_opaque_tokens(&opaque, diagnostics);
    if providers.len() < wanted {
        return None;
    }
    share_out_opaque_tokens(&opaque, &mut providers, diagnostics);
    Some(Providers::new(providers))
}

/// Checks that `aud` selects one provider where several have an issuer: each has `audiences`, and no audience is in two.
fn check_common_issuers(provider: &Provider, others: &[Provider], at: &Path, diagnostics: &mut Diagnostics<'_>) {
    const ANY: &str = "another provider has the same issuer, and only `audiences` can select the provider of a token; write `audiences` for each";
    let issuers: HashSet<&Rc<str>> = provider.issuers().collect();
    let own_at = at.member(&provider.name);
    let mut taken: HashSet<&str> = HashSet::new();
    for other in others.iter().filter(|other| other.issuers().any(|issuer| issuers.contains(issuer))) {
        let other_at = at.member(&other.name);
        for (at, audiences) in [(&other_at, &other.audiences), (&own_at, &provider.audiences)] {
            let any_at = at.member("insecure_any_audience");
            if *audiences == Audiences::InsecureAny && !any_at.is_reported(diagnostics.errors) {
                diagnostics.invalid(&any_at, ANY);
            }
        }
        if let Audiences::AnyOf(names) = &other.audiences {
            taken.extend(names.iter().map(String::as_str));
        }
    }
    let Audiences::AnyOf(names) = &provider.audiences else { return };
    for (index, _) in names.iter().enumerate().filter(|(_, name)| taken.contains(name.as_str())) {
        diagnostics.invalid(
            &own_at.member("audiences").item(index),
            "another provider has the same issuer and this audience; a token must belong to exactly one: remove the audience here or there, or merge the providers",
        );
    }
}

fn provider(
    name: String,
    mut document: ProviderDocument,
    at: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Provider> {
    let allow_http = document.insecure_http.unwrap_or(false);
    if allow_http {
        diagnostics.insecure(&warnings::INSECURE_HTTP, &at.member("insecure_http"));
    }
    let headers = headers(&mut document, at, diagnostics);
    let issuer = IssuerDocument::of(&mut document, allow_http).compile(at, diagnostics);
    let server = issuer.as_ref().map_or(Server::Other, |issuer| issuer.server);
    let (judges_alone, can_be_asked) = (server == Server::OktaOrg, document.introspection.is_some());
    if let Some(issuer) = issuer.as_ref().filter(|_| judges_alone && !can_be_asked) {
        diagnostics.invalid(&issuer.at, OKTA_ORG_HINT);
    }
    let audiences = audiences(document.audiences, document.insecure_any_audience.unwrap_or(false), at, diagnostics);
    let algorithms = algorithms(document.algorithms, &at.member("algorithms"), diagnostics);
    let clock_skew = clock_skew(document.clock_skew, server, &at.member("clock_skew"), diagnostics);
    let no_headers = CalloutHeaders::default();
    let context = ProviderContext {
        issuer: issuer.as_ref().map(|issuer| issuer.name.as_str()),
        upstream: document.upstream.as_deref(),
        headers: headers.as_ref().unwrap_or(&no_headers),
        allow_http,
        server,
        needs_upstream: judges_alone || document.jwks.as_ref().is_some_and(|jwks| jwks.inline.is_some()),
        provider_at: at,
    };
    let introspection = document
        .introspection
        .map(|document| introspection(document, &context, &at.member("introspection"), diagnostics));
    let keys = if judges_alone {
        if document.jwks.is_some() {
            diagnostics.invalid(
                &at.member("jwks"),
                "no published key verifies tokens of the Okta org authorization server; leave the field out",
            );
        }
        can_be_asked.then_some(KeyOrigin::IntrospectionOnly)
    } else {
        key_origin(document.jwks.unwrap_or_default(), &context, at, diagnostics)
    };
    let client_ids = diagnostics.not_empty(document.client_ids, &at.member("client_ids"));
    let usual = ClaimNames::default();
    let claim_names = ClaimNames {
        subject: document.subject_claim.unwrap_or(usual.subject),
        client: document.client_claim.map_or(usual.client, |name| vec![name]),
        scope: document.scope_claim.map_or(usual.scope, |name| vec![name]),
        groups: document.groups_claim.map_or(usual.groups, |path| path.0.into()),
    };
    let sender_constraint = sender_constraint(
        document.sender_constraint.unwrap_or_default(),
        allow_http,
        &at.member("sender_constraint"),
        diagnostics,
    );
    let introspection = present(introspection)?;
    headers?;
    let issuer = issuer?;
    let is_okta = server != Server::Other || is_okta_issuer(&issuer.name);
    Some(Provider {
        name: name.into(),
        issuer: issuer.name.into(),
        additional_issuers: issuer.additional.into_iter().map(Rc::from).collect(),
        is_okta,
        audiences: audiences?,
        algorithms: algorithms?,
        clock_skew: clock_skew?,
        client_ids,
        max_token_lifetime: document.max_token_lifetime,
        accept_nonce: document.accept_nonce.unwrap_or(false),
        sender_constraint: sender_constraint?,
        claim_names,
        keys: keys?,
        introspection,
    })
}

/// The headers of callouts to the issuer.
fn headers(document: &mut ProviderDocument, at: &Path, diagnostics: &mut Diagnostics<'_>) -> Option<CalloutHeaders> {
    let at = at.member("callout_headers");
    let has_inline_keys = document.jwks.as_ref().is_some_and(|jwks| jwks.inline.is_some());
    if document.callout_headers.is_some() && has_inline_keys && document.introspection.is_none() {
        diagnostics
            .invalid(&at, "no callout is made: the keys are `inline`, and there is no `introspection`; remove it");
    }
    let authenticates =
        |document: &IntrospectionDocument| document.client_auth.unwrap_or_default() == ClientAuth::SecretBasic;
    let sets_authorization = document.introspection.as_ref().is_some_and(authenticates);
    callout_headers(document.callout_headers.take(), sets_authorization, &at, diagnostics)
}

fn audiences(
    audiences: Option<Vec<String>>,
    any: bool,
    at: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Audiences> {
    let field = at.member("audiences");
    match (audiences, any) {
        (Some(_), true) => {
            diagnostics.invalid(&at.member("insecure_any_audience"), "contradicts `audiences`; write one of the two");
            None
        }
        (None, true) => {
            diagnostics.insecure(&warnings::INSECURE_ANY_AUDIENCE, &at.member("insecure_any_audience"));
            Some(Audiences::InsecureAny)
        }
        (None, false) => {
            diagnostics.required(None, &field, "name who the tokens must be meant for, such as [\"api://default\"]")
        }
        (Some(audiences), false) if audiences.is_empty() || audiences.iter().any(String::is_empty) => {
            if !field.is_reported(diagnostics.errors) {
                diagnostics.invalid(&field, "at least one audience, none of them empty");
            }
            None
        }
        (Some(audiences), false) => Some(Audiences::AnyOf(audiences)),
    }
}

fn algorithms(
    algorithms: Option<Vec<Algorithm>>,
    at: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Vec<Algorithm>> {
    let mut algorithms = algorithms.unwrap_or_else(|| vec![Algorithm::Rs256]);
    // One algorithm has two names.
    let mut seen = HashSet::new();
    algorithms.retain(|algorithm| seen.insert(*algorithm));
    diagnostics.not_empty(Some(algorithms), at)
}

fn clock_skew(
    skew: Option<Duration>,
    server: Server,
    at: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Duration> {
    let skew = skew.unwrap_or(match server {
        Server::OktaCustom | Server::OktaOrg => OKTA_SKEW,
        Server::Other => DEFAULT_SKEW,
    });
    diagnostics.bounded(
        skew,
        &(Duration::ZERO..=MAX_SKEW),
        at,
        "at most \"300s\": expired tokens are accepted for that long",
    )
}

fn key_origin(
    jwks: JwksDocument,
    context: &ProviderContext<'_>,
    at: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<KeyOrigin> {
    let at_jwks = at.member("jwks");
    if let Some(inline) = jwks.inline {
        if jwks.uri.is_some() {
            diagnostics.invalid(&at_jwks.member("uri"), "contradicts `inline`; write one of the two");
            return None;
        }
        return match KeySet::from_members(&inline) {
            Ok(keys) if keys.skipped().contains(&KeyFault::OverLimit) => {
                diagnostics.invalid(&at_jwks.member("inline").member("keys"), "at most 512 keys");
                None
            }
            Ok(keys) => Some(KeyOrigin::Inline(keys)),
            Err(problem) => {
                diagnostics.errors.push(at_jwks.member("inline").error(ConfigErrorKind::Keys(problem)));
                None
            }
        };
    }
    let upstream = diagnostics.required(
        context.upstream,
        &at.member("upstream"),
        "write the host's name for the connection to the issuer: on Envoy the name of a cluster",
    );
    let times = key_times(&jwks, &at_jwks, diagnostics);
    let address = diagnostics.accept(key_address(jwks.uri, context), &at_jwks.member("uri")).flatten();
    let address = address.map(|address| address.with_headers(context.headers));
    if let Some(EndpointAddress::Known(known)) = &address
        && known.scheme == Scheme::Http
        && !context.allow_http
    {
        diagnostics
            .invalid(&at_jwks.member("uri"), "keys are fetched over https; for a test, set \"insecure_http\": true");
        return None;
    }
    if !diagnostics.check(!upstream?.is_empty(), &at.member("upstream"), "an empty name") {
        return None;
    }
    let [refresh, max_stale, timeout, unknown_kid_cooldown] = times?;
    Some(KeyOrigin::Remote(RemoteKeys { address: address?, refresh, max_stale, timeout, unknown_kid_cooldown }))
}

/// From the document, derived for Okta, or discovered in the issuer's metadata; `None` also when the issuer has an error.
fn key_address(uri: Option<String>, context: &ProviderContext<'_>) -> Result<Option<EndpointAddress>, &'static str> {
    let upstream = context.upstream.unwrap_or_default();
    let known = match (uri, context.issuer) {
        (Some(uri), _) => uri,
        (None, Some(issuer)) if context.server == Server::OktaCustom => format!("{issuer}/v1/keys"),
        (None, issuer) => {
            return Ok(issuer.and_then(|issuer| Discovery::of(issuer, upstream)).map(EndpointAddress::Discovered));
        }
    };
    CalloutAddress::parse(&known, upstream).map(EndpointAddress::Known).map(Some).ok_or("not an absolute https URL")
}

/// Refresh, staleness, timeout and cooldown, each within its bounds.
fn key_times(jwks: &JwksDocument, at: &Path, diagnostics: &mut Diagnostics<'_>) -> Option<[Duration; 4]> {
    let mut time = |value: Option<Duration>, default, name, bounds, hint| {
        diagnostics.bounded(value.unwrap_or(Duration::from_secs(default)), &bounds, &at.member(name), hint)
    };
    let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3600));
    let refresh = time(jwks.refresh, 3600, "refresh", second..=24 * hour, "between \"1s\" and \"24h\"");
    let max_stale = time(jwks.max_stale, 86_400, "max_stale", second..=30 * 24 * hour, "between \"1s\" and \"720h\"");
    let timeout = time(jwks.timeout, 5, "timeout", second / 10..=60 * second, "between \"0.1s\" and \"60s\"");
    let hint = "between \"1s\" and \"1h\"";
    let cooldown = time(jwks.unknown_kid_cooldown, 4, "unknown_kid_cooldown", second..=hour, hint);
    let times = [refresh?, max_stale?, timeout?, cooldown?];
    let [refresh, max_stale, ..] = times;
    if max_stale < refresh {
        diagnostics.invalid(
            &at.member("max_stale"),
            "shorter than `refresh`: keys would be dropped before they are fetched again",
        );
        return None;
    }
    Some(times)
}
