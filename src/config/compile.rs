//! Compiles the document to a [`Policy`]: checks required and conflicting fields, and rejects what cannot work or is not
//! safe.

mod audit;
mod callout_headers;
mod claim_to_headers;
mod client_certificate;
mod debug;
mod diagnostics;
mod filter_state;
mod introspection;
mod issuer;
mod protected_resource;
mod provider;
mod requirement;
mod reserved_headers;
mod responses;
mod rules;
mod secret;
mod sender_constraint;
mod target_headers;
mod token_source;
mod warnings;

use super::error::{ConfigError, Path};
use super::schema::{CacheDocument, Document};
use super::{Environment, Loaded};
use crate::analysis::{self, WarningCode};
use crate::policy::{CacheLimits, Forwarding, Policy, Providers};
use diagnostics::Diagnostics;
use protected_resource::{ResourceContext, protected_resources};

/// Compiles the whole document; `None` with an error.
pub(super) fn document(
    document: Document,
    at: &Path,
    environment: &Environment<'_>,
    errors: &mut Vec<ConfigError>,
) -> Option<Loaded> {
    let mut diagnostics = Diagnostics::new(errors, environment);
    let providers = provider::providers(document.providers, &at.member("providers"), &mut diagnostics);
    let client_certificate = document.client_certificate.map(|document| {
        let reads_certificates = providers.as_ref().is_none_or(Providers::reads_certificates);
        let at = at.member("client_certificate");
        client_certificate::forwarded_certificate(document, reads_certificates, &at, &mut diagnostics)
    });
    let revocations = introspection::revocations(document.revocations, &at.member("revocations"), &mut diagnostics);
    let claims =
        claim_to_headers::forwarded_claims(document.claim_to_headers, &at.member("claim_to_headers"), &mut diagnostics);
    let payload = claim_to_headers::payload_header(
        document.forward_payload_header,
        claims.as_deref().unwrap_or_default(),
        &at.member("forward_payload_header"),
        &mut diagnostics,
    );
    let removed = claim_to_headers::removed_headers(
        document.request_headers_to_remove,
        claims.as_deref().unwrap_or_default(),
        payload.as_ref(),
        &at.member("request_headers_to_remove"),
        &mut diagnostics,
    );
    let forwarding =
        claims.zip(removed).map(|(claims, removed)| Forwarding::new(claims, payload).also_removing(removed));
    let token = document.token.unwrap_or_default();
    let accepts_proofs = providers.as_ref().map(Providers::accepts_proofs);
    let identity = forwarding.as_ref();
    let token_source =
        token_source::token_source(token, identity, accepts_proofs, &at.member("token"), &mut diagnostics);
    let filter_state = filter_state::filter_state(document.filter_state, &at.member("filter_state"), &mut diagnostics);
    let target_headers = target_headers::target_headers(
        document.insecure_keep_target_headers,
        &at.member("insecure_keep_target_headers"),
        &mut diagnostics,
    );
    let audit = audit::audit(document.audit.unwrap_or_default(), &at.member("audit"), &mut diagnostics);
    let readiness_path = readiness_path(document.readiness_path, &at.member("readiness_path"), &mut diagnostics);
    let native_crypto = document.native_crypto.unwrap_or_default();
    let responses = document.responses.unwrap_or_default();
    let about_rules = rules::RulesDocument {
        login: responses.login.is_some(),
        introspecting: rules::Introspecting::of(providers.as_ref()),
        rules: document.rules,
        default_rule: document.default_rule,
        bypass_cors_preflight: document.bypass_cors_preflight.unwrap_or(false),
        insecure_ambiguous_paths: document.insecure_ambiguous_paths.unwrap_or(false),
        strict_path_spelling: document.strict_path_spelling.unwrap_or(false),
        insecure_ambiguous_hosts: document.insecure_ambiguous_hosts.unwrap_or(false),
    };
    if let Some(token_source) = &token_source {
        about_rules.warn_of_redirects(token_source, at, &mut diagnostics);
    }
    let rules = rules::rules(about_rules, at, &mut diagnostics);
    let written = responses::Written {
        token_source: token_source.as_ref(),
        forwarding: forwarding.as_ref(),
        accepts_proofs: accepts_proofs.unwrap_or(false),
    };
    let responses = responses::responses(responses, &written, &at.member("responses"), &mut diagnostics);
    let context = ResourceContext {
        providers: providers.as_ref(),
        token_source: token_source.as_ref(),
        rules: rules.as_ref().map(|(rules, routes)| (rules, routes.as_slice())),
        rules_at: at.member("rules"),
        readiness_path: readiness_path.as_deref(),
    };
    let resources_at = at.member("protected_resources");
    let resources = protected_resources(document.protected_resources, &context, &resources_at, &mut diagnostics);
    let allowed = allowed_warnings(document.allow_warnings, &at.member("allow_warnings"), &mut diagnostics);
    let replay_detection = document.replay_detection.unwrap_or_default();
    let max_proofs = sender_constraint::max_proofs(replay_detection, &at.member("replay_detection"), &mut diagnostics);
    let (rules, routes) = rules?;
    let policy = Policy {
        providers: providers?,
        revocations: revocations?,
        token_source: token_source?,
        client_certificate: diagnostics::present(client_certificate)?,
        rules,
        forwarding: forwarding?,
        target_headers: target_headers?,
        filter_state: filter_state?,
        clear_route_cache: document.clear_route_cache.unwrap_or(false),
        resources: resources?,
        responses: responses?,
        audit: audit?,
        readiness_path,
        cache: cache_limits(document.cache.unwrap_or_default()),
        max_proofs: max_proofs?,
    };
    let mut warnings = diagnostics.warnings;
    warnings.extend(analysis::analyze(&policy, &routes, at));
    Some(Loaded {
        policy,
        warnings: analysis::without_allowed(warnings, &allowed, &at.member("allow_warnings")),
        insecure_settings: diagnostics.insecure_settings,
        native_crypto,
    })
}

/// The codes of the warnings that are not reported.
fn allowed_warnings(codes: Option<Vec<WarningCode>>, at: &Path, diagnostics: &mut Diagnostics<'_>) -> Vec<WarningCode> {
    let codes = codes.unwrap_or_default();
    for (index, code) in codes.iter().enumerate() {
        let at = at.item(index);
        let hint = "this warning cannot be allowed: remove its cause";
        diagnostics.check(code.may_be_allowed(), &at, hint);
        let is_first = codes.iter().position(|other| other == code) == Some(index);
        diagnostics.check(is_first, &at, "duplicate entry");
    }
    codes
}

fn cache_limits(document: CacheDocument) -> CacheLimits {
    let or = |written: Option<u32>, default: usize| {
        written.map_or(default, |number| usize::try_from(number).unwrap_or(usize::MAX))
    };
    let default = CacheLimits::default();
    CacheLimits { tokens: or(document.max_tokens, default.tokens), bytes: or(document.max_bytes, default.bytes) }
}

fn readiness_path(path: Option<String>, at: &Path, diagnostics: &mut Diagnostics<'_>) -> Option<String> {
    path.filter(|path| {
        let is_path =
            path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\\%".contains(&byte));
        diagnostics.check(is_path, at, "a path such as \"/ready\", as requests have it after normalisation")
    })
}
