//! `issuer`, `okta` -> [`Issuer`]: the `iss` of a provider's tokens, and whether addresses can be derived from it.

use super::diagnostics::Diagnostics;
use super::warnings;
use crate::config::error::Path;
use crate::config::schema::{OktaDocument, ProviderDocument};
use crate::policy::CalloutAddress;
use crate::policy::callout_address::Scheme;

const MAX_ISSUER_BYTES: usize = 2048;
/// The maximum number of issuers of a provider.
const MAX_ISSUERS: usize = 256;
const TOO_MANY: &str = "more than 256 issuers of one provider";
/// The placeholder of a tenant.
const TENANT: &str = "{tenant}";
pub(super) const OKTA_ORG_HINT: &str = "tokens of the Okta org authorization server can be verified by Okta alone; use a custom one (https://{domain}/oauth2/default), or ask Okta about each of them: write `introspection`";
const OKTA_DOMAINS: [&str; 5] = [".okta.com", ".oktapreview.com", ".okta-emea.com", ".okta-gov.com", ".okta.mil"];
const PLACEHOLDER: &str = "a placeholder was left in; write your organisation's domain, such as acme.okta.com";
const ADMIN_CONSOLE: &str = "this is the address of the admin console; leave \"-admin\" out";

/// What kind of server an issuer is: it determines where the endpoints are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Server {
    /// A custom authorization server of Okta.
    OktaCustom,
    /// The org authorization server of an Okta organisation.
    OktaOrg,
    Other,
}

/// The issuer of a provider.
pub(super) struct Issuer {
    /// The first one; addresses are derived from it.
    pub(super) name: String,
    pub(super) additional: Vec<String>,
    pub(super) server: Server,
    /// The field that determines it.
    pub(super) at: Path,
}

/// The fields about the issuer.
pub(super) struct IssuerDocument {
    okta: Option<OktaDocument>,
    issuer: Option<String>,
    additional: Option<Vec<String>>,
    tenants: Option<Vec<String>>,
    allow_http: bool,
    derived: Derived,
    /// Whether the document sets all that the Okta preset sets: key address and clock skew.
    needs_no_preset: bool,
}

/// Which addresses are derived from the issuer or found in its metadata.
#[derive(Clone, Copy)]
struct Derived {
    keys: bool,
    introspection: bool,
}

impl IssuerDocument {
    /// Takes the fields out of the document of a provider.
    pub(super) fn of(document: &mut ProviderDocument, allow_http: bool) -> Self {
        let has_keys = document.jwks.as_ref().is_some_and(|jwks| jwks.uri.is_some() || jwks.inline.is_some());
        let needs_endpoint = document.introspection.as_ref().is_some_and(|settings| settings.uri.is_none());
        let derived = Derived { keys: !has_keys, introspection: needs_endpoint };
        let has_inline = document.jwks.as_ref().is_some_and(|jwks| jwks.inline.is_some());
        let needs_no_preset = has_inline || (has_keys && document.clock_skew.is_some());
        Self {
            okta: document.okta.take(),
            issuer: document.issuer.take(),
            additional: document.additional_issuers.take(),
            tenants: document.tenants.take(),
            allow_http,
            derived,
            needs_no_preset,
        }
    }

    /// Compiles the issuers; `None` with an error.
    pub(super) fn compile(self, at: &Path, diagnostics: &mut Diagnostics<'_>) -> Option<Issuer> {
        let Self { okta, issuer, additional, tenants, allow_http, derived, needs_no_preset } = self;
        let (issuer_at, tenants_at) = (at.member("issuer"), at.member("tenants"));
        let has_tenants = tenants.is_some();
        let tenants = checked_tenants(tenants, &tenants_at, diagnostics);
        let are_tenants_faulty = tenants_at.is_reported(diagnostics.errors);
        let mut list = IssuerList { tenants, are_tenants_faulty, ..IssuerList::default() };
        let first = match (okta, issuer) {
            (Some(_), Some(_)) => {
                diagnostics.invalid(&issuer_at, "the okta preset gives the issuer; write one of the two");
                None
            }
            (Some(okta), None) => okta_issuer(okta, &at.member("okta"), diagnostics),
            (None, None) => diagnostics.required(
                None,
                &issuer_at,
                "write the exact `iss` of the tokens, or use the preset: \"okta\": {\"domain\": \"acme.okta.com\"}",
            ),
            (None, Some(name)) => {
                let server = list.expand(&name, true).and_then(|()| server_of(&name, derived, allow_http));
                diagnostics.accept(server, &issuer_at).map(|server| {
                    warn_of_issuer(&name, server, needs_no_preset, &issuer_at, diagnostics);
                    (name, server, issuer_at.clone())
                })
            }
        };
        if list.issuers.is_empty()
            && let Some((name, ..)) = &first
        {
            list.issuers.push(name.clone());
        }
        let is_org = first.as_ref().is_none_or(|(_, server, _)| *server == Server::OktaOrg);
        let additional_at = at.member("additional_issuers");
        for (index, issuer) in diagnostics.not_empty(additional, &additional_at).into_iter().flatten().enumerate() {
            diagnostics.accept(list.expand(&issuer, is_org), &additional_at.item(index));
        }
        let are_used = !has_tenants || list.uses_tenants || are_tenants_faulty;
        diagnostics.check(are_used, &tenants_at, "no issuer contains `{tenant}`, which a tenant would replace");
        diagnostics.check(!list.is_too_long, if list.uses_tenants { &tenants_at } else { &additional_at }, TOO_MANY);
        if tenants_at.is_reported(diagnostics.errors) || additional_at.is_reported(diagnostics.errors) {
            return None;
        }
        let (_, server, at) = first?;
        let mut issuers = list.issuers.into_iter();
        Some(Issuer { name: issuers.next()?, additional: issuers.collect(), server, at })
    }
}

/// The issuers of a provider, as far as they are compiled.
#[derive(Default)]
struct IssuerList {
    tenants: Vec<String>,
    are_tenants_faulty: bool,
    uses_tenants: bool,
    is_too_long: bool,
    issuers: Vec<String>,
}

impl IssuerList {
    /// Adds the written issuer, or one for each tenant where it contains `{tenant}`. Org authorization servers of Okta
    /// have no keys: they are no further issuers of a provider that has.
    fn expand(&mut self, written: &str, may_be_org: bool) -> Result<(), &'static str> {
        let Some((before, after)) = written.split_once(TENANT) else {
            return self.add(written.to_owned(), may_be_org);
        };
        let may_be_org = may_be_org && !self.issuers.is_empty();
        self.uses_tenants = true;
        if after.contains(TENANT) {
            return Err("contains `{tenant}` twice; a tenant replaces one of them");
        }
        if self.tenants.is_empty() && !self.are_tenants_faulty {
            return Err("contains `{tenant}`; list the tenants in `tenants`");
        }
        for tenant in self.tenants.clone() {
            self.add(format!("{before}{tenant}{after}"), may_be_org)?;
        }
        Ok(())
    }

    fn add(&mut self, issuer: String, may_be_org: bool) -> Result<(), &'static str> {
        if self.issuers.len() >= MAX_ISSUERS {
            self.is_too_long = true;
            return Ok(());
        }
        check_text(&issuer)?;
        check_okta(&issuer)?;
        check_entra(&issuer)?;
        if !may_be_org && CalloutAddress::parse(&issuer, "").is_some_and(|url| is_okta_org_server(&url)) {
            return Err(OKTA_ORG_HINT);
        }
        if self.issuers.contains(&issuer) {
            return Err("duplicate entry: the provider has this issuer already");
        }
        self.issuers.push(issuer);
        Ok(())
    }
}

/// The tenants, if each can be part of an issuer.
fn checked_tenants(tenants: Option<Vec<String>>, at: &Path, diagnostics: &mut Diagnostics<'_>) -> Vec<String> {
    let tenants = diagnostics.not_empty(tenants, at).unwrap_or_default();
    if !diagnostics.check(tenants.len() <= MAX_ISSUERS, at, TOO_MANY) {
        return Vec::new();
    }
    let mut good = Vec::new();
    for (index, tenant) in tenants.into_iter().enumerate() {
        let at = at.item(index);
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte);
        let is_tenant = !tenant.is_empty() && tenant.bytes().all(is_part);
        if diagnostics.check(is_tenant, &at, "a tenant as it is in `iss`: letters, digits and `-._~%`")
            && diagnostics.check(!good.contains(&tenant), &at, "duplicate entry")
        {
            good.push(tenant);
        }
    }
    good
}

/// The server of an issuer that is written out. `iss` is any string (RFC 7519 section 4.1.1); only an issuer from which
/// addresses are derived must be an `https` URL (RFC 8414 section 2).
fn server_of(issuer: &str, derived: Derived, allow_http: bool) -> Result<Server, &'static str> {
    let url = CalloutAddress::parse(issuer, "");
    if url.as_ref().is_some_and(is_okta_org_server) {
        return Ok(Server::OktaOrg);
    }
    let is_usable = url.is_some_and(|url| (url.scheme == Scheme::Https || allow_http) && !url.path.contains('?'));
    if derived.keys && !is_usable {
        return Err(
            "the keys cannot be found by this issuer: not an absolute https URL without a query (RFC 8414); write `jwks.uri` or `jwks.inline`, or for a test with http \"insecure_http\": true",
        );
    }
    if derived.introspection && !is_usable {
        return Err(
            "the introspection endpoint cannot be found by this issuer: not an absolute https URL without a query (RFC 8414); write `introspection.uri`, or for a test with http \"insecure_http\": true",
        );
    }
    Ok(Server::Other)
}

fn check_text(issuer: &str) -> Result<(), &'static str> {
    if issuer.is_empty() {
        return Err("an empty string; write the exact `iss` of the tokens");
    }
    if issuer.len() > MAX_ISSUER_BYTES {
        return Err("longer than 2048 bytes");
    }
    if issuer.chars().any(char::is_control) || issuer.trim() != issuer {
        return Err("contains a control character, or a space at its start or end");
    }
    if issuer.contains("/.well-known/") {
        return Err(
            "this is the address of the metadata; write the `issuer` that it contains: without `/.well-known/openid-configuration` or `/.well-known/oauth-authorization-server`",
        );
    }
    if issuer.contains(['*', '{', '}', '<', '>']) {
        return Err(
            "contains a pattern or a placeholder; `iss` is compared exactly, so write it as the tokens have it; for several tenants write `{tenant}` and list them in `tenants`",
        );
    }
    Ok(())
}

/// Rejects what looks like an issuer of Okta and is not in any token of Okta.
fn check_okta(issuer: &str) -> Result<(), &'static str> {
    let (scheme, rest) = issuer.split_once("://").unwrap_or(("", issuer));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.split(':').next().unwrap_or_default().to_ascii_lowercase();
    if authority.contains('@') || !is_okta_domain(&host) {
        return Ok(());
    }
    if host.contains("youroktadomain") {
        return Err(PLACEHOLDER);
    }
    if is_admin_console(&host) {
        return Err(ADMIN_CONSOLE);
    }
    if scheme != "https" || authority != host || issuer.ends_with('/') {
        return Err(
            "no token of Okta has this `iss`: it begins with https://, has the domain in lower case and no port, and does not end with `/`, as https://acme.okta.com/oauth2/default; use the preset, which writes it that way",
        );
    }
    Ok(())
}

/// Rejects the issuers of Microsoft Entra that name no tenant: they are in its metadata, and in no token.
fn check_entra(issuer: &str) -> Result<(), &'static str> {
    let rest = ["https://login.microsoftonline.com/", "https://sts.windows.net/"]
        .iter()
        .find_map(|host| issuer.strip_prefix(host));
    let tenant = rest.and_then(|rest| rest.split('/').next()).unwrap_or_default();
    if ["common", "organizations", "consumers"].contains(&tenant) {
        return Err(
            "no token of Microsoft Entra has this `iss`: it names the id of the tenant; write `{tenant}` there and list the ids in `tenants`",
        );
    }
    Ok(())
}

/// Warns of an issuer that works but is probably not what the operator wants.
fn warn_of_issuer(issuer: &str, server: Server, needs_no_preset: bool, at: &Path, diagnostics: &mut Diagnostics<'_>) {
    let Some(url) = CalloutAddress::parse(issuer, "") else { return };
    let is_custom_server = server == Server::Other && is_okta_domain(&url.authority);
    if is_custom_server && !needs_no_preset {
        diagnostics.warn(&warnings::ISSUER_WITHOUT_PRESET, at);
    }
    // An address in normal form has no default port; the issuer as written may have one.
    let rest = issuer.split_once("://").map_or("", |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    if url.scheme == Scheme::Https && authority.ends_with(":443") {
        diagnostics.warn(&warnings::ISSUER_PORT, at);
    }
}

/// Whether the host of this issuer is one of Okta's.
pub(super) fn is_okta_issuer(issuer: &str) -> bool {
    CalloutAddress::parse(issuer, "").is_some_and(|url| is_okta_domain(&url.authority))
}

fn is_okta_org_server(issuer: &CalloutAddress) -> bool {
    issuer.path == "/" && is_okta_domain(&issuer.authority)
}

fn is_okta_domain(host: &str) -> bool {
    OKTA_DOMAINS.iter().any(|domain| host.ends_with(domain))
}

fn is_admin_console(host: &str) -> bool {
    host.split('.').next().is_some_and(|label| label.ends_with("-admin"))
}

fn okta_issuer(okta: OktaDocument, at: &Path, diagnostics: &mut Diagnostics<'_>) -> Option<(String, Server, Path)> {
    let domain_at = at.member("domain");
    let domain =
        diagnostics.required(okta.domain, &domain_at, "write the organisation's domain, such as acme.okta.com");
    let domain = domain.filter(|domain| {
        let host = domain.split(':').next().unwrap_or_default().to_ascii_lowercase();
        let hint = if domain.contains(['{', '}', '<', '>']) || host.contains("youroktadomain") {
            PLACEHOLDER
        } else if is_admin_console(&host) {
            ADMIN_CONSOLE
        } else if domain.contains('/')
            || host.ends_with('.')
            || CalloutAddress::parse(&format!("https://{domain}"), "").is_none()
        {
            "a domain only, such as acme.okta.com: no https://, no path"
        } else if domain.ends_with(":443") || (domain.contains(':') && is_okta_domain(&host)) {
            "leave the port out: no token of Okta has it in its `iss`"
        } else {
            return true;
        };
        diagnostics.invalid(&domain_at, hint);
        false
    });
    // Host names are case-insensitive; `iss` is compared exactly, and Okta writes its domain in lower case.
    let domain = domain.map(|domain| domain.to_ascii_lowercase());
    let server_at = at.member("authorization_server");
    let server = okta.authorization_server.unwrap_or_else(|| String::from("default"));
    let is_id =
        !server.is_empty() && server.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if server == "org" {
        return Some((format!("https://{}", domain?), Server::OktaOrg, server_at));
    }
    if !diagnostics.check(
        is_id,
        &server_at,
        "the id of a custom authorization server, such as \"default\" or \"aus1a2b3c4\", or \"org\" for the organisation's own",
    ) {
        return None;
    }
    let name = format!("https://{}/oauth2/{server}", domain?);
    Some((name, Server::OktaCustom, server_at))
}
