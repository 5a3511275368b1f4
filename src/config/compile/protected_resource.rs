//! `protected_resources` -> [`ProtectedResources`]: the documents as they are sent.

use serde_json::{Map, Value, json};

use super::diagnostics::Diagnostics;
use super::requirement::{SCOPE_HINT, stands_in_a_challenge};
use super::warnings;
use crate::config::error::Path;
use crate::config::schema::forwarding::ProtectedResourceDocument;
use crate::http::{HeaderName, push_new};
use crate::jose::Algorithm;
use crate::policy::token_source::{AuthScheme, HeaderForm, ParamName};
use crate::policy::{
    CalloutAddress, ProtectedResource, ProtectedResources, Providers, Requirement, ResourceAddress, ResourceFault,
    Route, Rule, Rules, TokenSource,
};

/// What the documents are derived from; parts with errors are missing.
pub(super) struct ResourceContext<'a> {
    pub(super) providers: Option<&'a Providers>,
    pub(super) token_source: Option<&'a TokenSource>,
    /// The rules and, in the same order, the conditions of those that have any.
    pub(super) rules: Option<(&'a Rules, &'a [Route])>,
    pub(super) rules_at: Path,
    pub(super) readiness_path: Option<&'a str>,
}

impl<'a> ResourceContext<'a> {
    /// The issuers that are URLs: `authorization_servers` has no others (RFC 9728 section 2, RFC 8414 section 2).
    fn issuers(&self) -> impl Iterator<Item = &'a str> {
        let providers = self.providers.into_iter().flat_map(Providers::iter);
        let issuers = providers.flat_map(|(_, provider)| provider.issuers()).map(|issuer| &**issuer);
        issuers.filter(|issuer| CalloutAddress::parse(issuer, "").is_some())
    }

    /// Each rule with its match, except the default rule.
    fn rules(&self) -> impl Iterator<Item = (&'a Route, &'a Rule)> {
        self.rules.into_iter().flat_map(|(rules, routes)| routes.iter().zip(rules.rules()))
    }
}

/// Compiles `protected_resources`; `None` with an error.
pub(super) fn protected_resources(
    documents: Option<Vec<ProtectedResourceDocument>>,
    context: &ResourceContext<'_>,
    at: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<ProtectedResources> {
    let resources = diagnostics.each(
        documents.unwrap_or_default(),
        at,
        |diagnostics, document: ProtectedResourceDocument, at, resources: &[ProtectedResource]| {
            let address_at = at.member("resource");
            let text =
                diagnostics.required(document.resource.clone(), &address_at, "write the resource's `https` URL")?;
            let address = diagnostics.accept(ResourceAddress::parse(&text).map_err(hint), &address_at)?;
            let members = metadata(document, &address, context, at, diagnostics)?;
            let is_new = !resources.iter().any(|other| other.address.is_equivalent(&address));
            let hint = "another entry is for the same resource, but for a slash at its end perhaps";
            diagnostics.check(is_new, &address_at, hint);
            let is_free = context.readiness_path != Some(address.metadata_path());
            diagnostics.check(is_free, &address_at, "`readiness_path` is where the metadata of this resource stand");
            for (index, (route, _)) in context.rules().enumerate() {
                if address.is_only_target_of(&route.hosts, &route.path) {
                    diagnostics.warn(&warnings::METADATA_RULE, &context.rules_at.item(index));
                }
            }
            Some(ProtectedResource { address, document: Value::Object(members).to_string().into_bytes() })
        },
    );
    resources.map(ProtectedResources::new)
}

const fn hint(fault: ResourceFault) -> &'static str {
    match fault {
        ResourceFault::NotHttps => {
            "a resource is an https URL, such as \"https://api.acme.com/mcp\" (RFC 9728 section 1.2)"
        }
        ResourceFault::QueryOrFragment => "a resource has no query and no fragment; write host and path alone",
        ResourceFault::Host => {
            "the host in lower case, without user and without the port 443: clients compare the URL letter by letter"
        }
        ResourceFault::Path => {
            "the path in normal form: no empty or dot segments, no `;`, no escapes for characters that need none"
        }
        ResourceFault::TooLong => "longer than 1024 bytes",
    }
}

/// The metadata (RFC 9728 section 2).
fn metadata(
    document: ProtectedResourceDocument,
    address: &ResourceAddress,
    context: &ResourceContext<'_>,
    at: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Map<String, Value>> {
    let servers = authorization_servers(
        document.authorization_servers,
        context,
        &at.member("authorization_servers"),
        diagnostics,
    );
    let scopes = scopes(document.scopes_supported, address, context, &at.member("scopes_supported"), diagnostics);
    let mut members = Map::new();
    members.insert(String::from("resource"), json!(address.as_str()));
    members.insert(String::from("authorization_servers"), json!(servers));
    members.insert(String::from("bearer_methods_supported"), json!(bearer_methods(context.token_source)));
    if context.providers.is_some_and(Providers::reads_certificates) {
        members.insert(String::from("tls_client_certificate_bound_access_tokens"), json!(true));
    }
    if let Some(providers) = context.providers.filter(|providers| providers.accepts_proofs()) {
        let algorithms = Algorithm::ALL.into_iter().filter(|algorithm| providers.accept_proof_algorithm(*algorithm));
        let names: Vec<&str> = algorithms.map(Algorithm::name).collect();
        members.insert(String::from("dpop_signing_alg_values_supported"), json!(names));
        if providers.require_proofs() {
            members.insert(String::from("dpop_bound_access_tokens_required"), json!(true));
        }
    }
    if !scopes.is_empty() {
        members.insert(String::from("scopes_supported"), json!(scopes));
    }
    let name_at = at.member("resource_name");
    if let Some(name) = document.resource_name {
        let is_name = (1..=256).contains(&name.len()) && !name.chars().any(char::is_control);
        diagnostics.check(is_name, &name_at, "a name of at most 256 bytes, without control characters");
        members.insert(String::from("resource_name"), json!(name));
    }
    for (field, written) in [
        ("resource_documentation", document.resource_documentation),
        ("resource_policy_uri", document.resource_policy_uri),
        ("resource_tos_uri", document.resource_tos_uri),
    ] {
        if let Some(page) = written {
            diagnostics.check(is_https(&page), &at.member(field), "the https URL of a page");
            members.insert(field.to_owned(), json!(page));
        }
    }
    (!at.is_reported(diagnostics.errors)).then_some(members)
}

fn authorization_servers(
    written: Option<Vec<String>>,
    context: &ResourceContext<'_>,
    at: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Vec<String> {
    let Some(servers) = diagnostics.not_empty(written, at) else {
        let servers = unique(context.issuers());
        if servers.is_empty() && context.providers.is_some() {
            diagnostics.required(
                None::<()>,
                at,
                "no provider has a URL as its issuer; write the https URLs of the authorization servers",
            );
        }
        return servers;
    };
    for (index, server) in servers.iter().enumerate() {
        if context.issuers().any(|issuer| issuer == server) {
            continue;
        }
        if is_https(server) {
            // There are issuers whose tokens name another `iss` than their metadata do (Microsoft Entra ID, version 1).
            diagnostics.warn(&warnings::UNKNOWN_AUTHORIZATION_SERVER, &at.item(index));
        } else {
            diagnostics.invalid(&at.item(index), "the https URL of an issuer, as its own metadata have it");
        }
    }
    servers
}

/// Excludes rules that concern other resources only: a client that has no scope yet requests all of these.
fn scopes(
    written: Option<Vec<String>>,
    address: &ResourceAddress,
    context: &ResourceContext<'_>,
    at: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Vec<String> {
    if let Some(scopes) = diagnostics.not_empty(written, at) {
        for (index, scope) in scopes.iter().enumerate() {
            diagnostics.check(stands_in_a_challenge(scope), &at.item(index), SCOPE_HINT);
        }
        return scopes;
    }
    let reaching =
        context.rules().filter(|(route, _)| address.may_match(&route.hosts, &route.path)).map(|(_, rule)| rule);
    let default_rule = context.rules.map(|(rules, _)| rules.default_rule());
    let enforced = reaching.chain(default_rule).filter(|rule| !rule.report_only);
    unique(enforced.filter_map(|rule| rule.requirement.as_deref()).flat_map(Requirement::all_scopes))
}

/// Each string once, in order.
fn unique<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut unique = Vec::new();
    texts.for_each(|text| push_new(&mut unique, text.to_owned()));
    unique
}

/// The ways of RFC 6750 by which a token may come; other headers, cookies and parameters have no name there.
fn bearer_methods(source: Option<&TokenSource>) -> Vec<&'static str> {
    let Some(source) = source else { return Vec::new() };
    let is_bearer = |form: &HeaderForm| match form {
        HeaderForm::Schemes(schemes) => AuthScheme::parse("Bearer").is_some_and(|bearer| schemes.contains(&bearer)),
        HeaderForm::Prefixes(prefixes) => prefixes.iter().any(|prefix| prefix.as_str() == "Bearer "),
        HeaderForm::Whole => false,
    };
    let takes_bearer =
        source.headers.iter().any(|header| header.name == HeaderName::AUTHORIZATION && is_bearer(&header.form));
    let takes_parameter = ParamName::parse("access_token").is_some_and(|name| source.params.contains(&name));
    let methods = [("header", takes_bearer), ("query", takes_parameter)];
    methods.into_iter().filter(|(_, is_taken)| *is_taken).map(|(method, _)| method).collect()
}

fn is_https(text: &str) -> bool {
    let rest = text.strip_prefix("https://").unwrap_or_default();
    let has_host = rest.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'[');
    has_host && text.len() <= 2048 && rest.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
}
