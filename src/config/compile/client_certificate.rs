//! `client_certificate` -> [`ForwardedCertificate`].

use super::diagnostics::Diagnostics;
use super::warnings;
use crate::cel::Network;
use crate::config::error::Path;
use crate::config::schema::{ClientCertificateDocument, HopsDocument};
use crate::policy::{ForwardedCertificate, Hops};
use crate::thumbprint::Thumbprint;

const NO_HOP: &str = "name the certificates of the hops in `certificate_hashes`, `uri_sans` or `dns_sans`";

/// Compiles the setting; `None` with an error. `reads_certificates`: whether a provider has bound tokens.
pub(super) fn forwarded_certificate(
    document: ClientCertificateDocument,
    reads_certificates: bool,
    at: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<ForwardedCertificate> {
    let unused = "no certificate is read: set `sender_constraint.mtls` of a provider, or remove it";
    let is_used = diagnostics.check(reads_certificates, at, unused);
    let header = diagnostics.required(
        document.header,
        &at.member("header"),
        "\"x-forwarded-client-cert\" or \"client-cert\", whichever the proxy in front writes",
    );
    let hops_at = at.member("hops");
    let hops = diagnostics.required(document.hops, &hops_at, NO_HOP);
    let hops = hops.and_then(|document| hops_of(document, &hops_at, diagnostics));
    let forwarded = ForwardedCertificate { header: header?, hops: hops? };
    is_used.then_some(forwarded)
}

fn hops_of(document: HopsDocument, at: &Path, diagnostics: &mut Diagnostics<'_>) -> Option<Hops> {
    let HopsDocument { certificate_hashes, uri_sans, dns_sans, insecure_addresses } = document;
    // A list with an error is missing here.
    let has_list =
        certificate_hashes.is_some() || uri_sans.is_some() || dns_sans.is_some() || insecure_addresses.is_some();
    if !has_list && !at.is_reported(diagnostics.errors) {
        diagnostics.invalid(at, NO_HOP);
        return None;
    }
    let hashes = list(
        certificate_hashes,
        &at.member("certificate_hashes"),
        "64 hexadecimal digits without colons, as `openssl x509 -outform der | sha256sum` prints them",
        |text| Thumbprint::of_hex(text.as_bytes()),
        diagnostics,
    );
    let uri_sans = list(
        uri_sans,
        &at.member("uri_sans"),
        "a URI as the certificate has it, such as \"spiffe://acme/edge\"",
        |text| (is_printable(&text) && text.contains(':')).then_some(text),
        diagnostics,
    );
    let dns_sans = list(
        dns_sans,
        &at.member("dns_sans"),
        "a DNS name in lower case as the certificate has it, such as \"edge.acme.com\"; no pattern",
        |text| is_dns_name(&text).then_some(text),
        diagnostics,
    );
    let addresses_at = at.member("insecure_addresses");
    let addresses = list(
        insecure_addresses,
        &addresses_at,
        "an address or a range without host bits, such as \"10.0.0.7\" or \"10.0.0.0/8\"",
        |text| Network::parse(&text),
        diagnostics,
    );
    if addresses.as_ref().is_some_and(|addresses| !addresses.is_empty()) {
        diagnostics.insecure(&warnings::INSECURE_HOP_ADDRESSES, &addresses_at);
    }
    Some(Hops { certificates: hashes?, uri_sans: uri_sans?, dns_sans: dns_sans?, addresses: addresses? })
}

fn list<T: PartialEq>(
    texts: Option<Vec<String>>,
    at: &Path,
    hint: &'static str,
    parse: impl Fn(String) -> Option<T>,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Vec<T>> {
    let Some(texts) = texts else { return Some(Vec::new()) };
    let texts = diagnostics.not_empty(Some(texts), at)?;
    diagnostics.each(texts, at, |diagnostics, text, at, earlier| {
        let item = diagnostics.parsed(parse(text), at, hint)?;
        diagnostics.check(!earlier.contains(&item), at, "duplicate entry").then_some(item)
    })
}

fn is_printable(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_dns_name(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte))
    };
    text.split('.').all(is_label)
}
