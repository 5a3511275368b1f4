//! `issuer`, `okta` -> [`Issuer`]: the `iss` of a provider's tokens, and whether addresses can be derived from it.

use super::Findings;
use crate::config::fault::Path;
use crate::config::schema::{OktaDocument, ProviderDocument};
use crate::policy::CalloutAddress;
use crate::policy::callout_address::Scheme;

const MAX_ISSUER_BYTES: usize = 2048;

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
    pub(super) name: String,
    pub(super) server: Server,
    /// The field that determines it.
    pub(super) at: Path,
}

/// What the document says about the issuer.
pub(super) struct IssuerDocument {
    okta: Option<OktaDocument>,
    issuer: Option<String>,
    allow_http: bool,
    derived: Derived,
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
        Self { okta: document.okta.take(), issuer: document.issuer.take(), allow_http, derived }
    }

    /// Compiles the issuer; `None` when there is a fault.
    pub(super) fn compile(self, at: &Path, findings: &mut Findings<'_>) -> Option<Issuer> {
        let issuer_at = at.member("issuer");
        match (self.okta, self.issuer) {
            (Some(_), Some(_)) => {
                findings.unusable(&issuer_at, "the okta preset gives the issuer; write one of the two");
                None
            }
            (Some(okta), None) => okta_issuer(okta, &at.member("okta"), findings),
            (None, None) => findings.needed(
                None,
                &issuer_at,
                "write the exact `iss` of the tokens, or use the preset: \"okta\": {\"domain\": \"acme.okta.com\"}",
            ),
            (None, Some(name)) => match server_of(&name, self.derived, self.allow_http) {
                Ok(server) => Some(Issuer { name, server, at: issuer_at }),
                Err(hint) => {
                    findings.unusable(&issuer_at, hint);
                    None
                }
            },
        }
    }
}

/// The server of an issuer that is written out. `iss` is any string (RFC 7519 section 4.1.1); only an issuer from which
/// addresses are derived must be an `https` URL (RFC 8414 section 2).
fn server_of(issuer: &str, derived: Derived, allow_http: bool) -> Result<Server, &'static str> {
    check_text(issuer)?;
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
    if issuer.contains(['*', '{', '}', '<', '>']) {
        return Err(
            "contains a pattern or a placeholder; `iss` is compared exactly, so write it as the tokens have it",
        );
    }
    Ok(())
}

fn is_okta_org_server(issuer: &CalloutAddress) -> bool {
    const OKTA_DOMAINS: [&str; 5] = [".okta.com", ".oktapreview.com", ".okta-emea.com", ".okta-gov.com", ".okta.mil"];
    issuer.path == "/" && OKTA_DOMAINS.iter().any(|domain| issuer.authority.ends_with(domain))
}

fn okta_issuer(okta: OktaDocument, at: &Path, findings: &mut Findings<'_>) -> Option<Issuer> {
    let domain_at = at.member("domain");
    let domain = findings.needed(okta.domain, &domain_at, "write the organisation's domain, such as acme.okta.com");
    let domain = domain.filter(|domain| {
        let host = domain.split(':').next().unwrap_or_default().to_ascii_lowercase();
        let hint = if domain.contains(['{', '}', '<', '>']) || host.contains("youroktadomain") {
            "a placeholder was left in; write your organisation's domain, such as acme.okta.com"
        } else if host.split('.').next().is_some_and(|label| label.ends_with("-admin")) {
            "this is the address of the admin console; leave \"-admin\" out"
        } else if domain.contains('/') || CalloutAddress::parse(&format!("https://{domain}"), "").is_none() {
            "a domain only, such as acme.okta.com: no https://, no path"
        } else {
            return true;
        };
        findings.unusable(&domain_at, hint);
        false
    });
    let server_at = at.member("authorization_server");
    let server = okta.authorization_server.unwrap_or_else(|| String::from("default"));
    let is_id =
        !server.is_empty() && server.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if server == "org" {
        return Some(Issuer { name: format!("https://{}", domain?), server: Server::OktaOrg, at: server_at });
    }
    if !is_id {
        findings.unusable(
            &server_at,
            "the id of a custom authorization server, such as \"default\" or \"aus1a2b3c4\", or \"org\" for the organisation's own",
        );
        return None;
    }
    let name = format!("https://{}/oauth2/{server}", domain?);
    Some(Issuer { name, server: Server::OktaCustom, at: server_at })
}
