//! The certificate of the client: that of the connection or, behind a proxy where the client's TLS ends (a hop), the one in
//! a header of that proxy. The hop's own certificate is never the client's, and a header of anybody else is ignored.

use core::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::cel::{Attribute, AttributeValues, Network};
use crate::http::{RequestHead, folds_equal, push_new, without_gateway_prefix};
use crate::thumbprint::Thumbprint;

/// The fields of RFC 9440. They are removed from every request where a hop is configured.
const STANDARD_FIELDS: [&str; 2] = ["client-cert", "client-cert-chain"];
/// With certificates in it, a value may be long. Envoy accepts heads of 60 KiB.
const MAX_VALUE_BYTES: usize = 32 * 1024;

/// The headers that hops write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateHeader {
    /// `x-forwarded-client-cert` of Envoy.
    ForwardedClientCert,
    /// `Client-Cert` (RFC 9440).
    ClientCert,
}

/// Where the certificate of a request's client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateSource {
    /// The client connected itself.
    Connection,
    /// A hop connected, and describes the client's certificate in this header.
    Header(CertificateHeader),
}

/// The header of a hop does not describe exactly one certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateHeaderMalformed;

/// How hops are recognized. One property is enough.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hops {
    /// SHA-256 of the hop's own certificate.
    pub certificates: Vec<Thumbprint>,
    /// The first URI of its certificate.
    pub uri_sans: Vec<String>,
    /// The first DNS name of its certificate.
    pub dns_sans: Vec<String>,
    /// Its address, as the host reports it.
    pub addresses: Vec<Network>,
}

/// The proxies in front and the header in which they describe the client's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardedCertificate {
    pub header: CertificateHeader,
    pub hops: Hops,
}

impl CertificateHeader {
    /// Its name, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ForwardedClientCert => "x-forwarded-client-cert",
            Self::ClientCert => "client-cert",
        }
    }

    fn parse(self, value: &[u8]) -> Option<Thumbprint> {
        if value.len() > MAX_VALUE_BYTES {
            return None;
        }
        match self {
            Self::ForwardedClientCert => forwarded_hash(value),
            Self::ClientCert => certificate_digest(value),
        }
    }
}

impl Hops {
    /// The attributes that recognize a hop.
    fn attributes(&self) -> impl Iterator<Item = Attribute> {
        let has_names = !self.uri_sans.is_empty() || !self.dns_sans.is_empty();
        [
            (has_names, Attribute::Mtls),
            (!self.uri_sans.is_empty(), Attribute::PeerUri),
            (!self.dns_sans.is_empty(), Attribute::PeerDns),
            (!self.addresses.is_empty(), Attribute::SourceAddress),
        ]
        .into_iter()
        .filter_map(|(is_read, attribute)| is_read.then_some(attribute))
    }

    fn contain(&self, attributes: &AttributeValues) -> bool {
        let has_name = |attribute, names: &[String]| {
            attributes.get(attribute).is_some_and(|shown| names.iter().any(|name| name.as_bytes() == shown))
        };
        let is_mtls = attributes.get(Attribute::Mtls).is_some_and(|flag| flag == [1]);
        connection_certificate(attributes).is_some_and(|shown| self.certificates.contains(&shown))
            || is_mtls && (has_name(Attribute::PeerUri, &self.uri_sans) || has_name(Attribute::PeerDns, &self.dns_sans))
            || self.has_address(attributes)
    }

    fn has_address(&self, attributes: &AttributeValues) -> bool {
        let text = attributes.get(Attribute::SourceAddress).and_then(|address| std::str::from_utf8(address).ok());
        let Some(Ok(address)) = text.map(str::parse::<SocketAddr>) else { return false };
        // Envoy 1.40 gives an address that it took from a header the port 0.
        address.port() != 0 && self.addresses.iter().any(|network| network.contains(address.ip()))
    }
}

impl ForwardedCertificate {
    /// Whether the backend must not see a field of this name, from whomever it comes.
    pub(super) fn removes(&self, name: &str) -> bool {
        let bare = without_gateway_prefix(name);
        STANDARD_FIELDS.iter().chain([&self.header.name()]).any(|field| folds_equal(bare, field))
    }
}

/// The attributes that tell the client's certificate.
pub(super) fn push_attributes(forwarded: Option<&ForwardedCertificate>, attributes: &mut Vec<Attribute>) {
    push_new(attributes, Attribute::PeerDigest);
    for attribute in forwarded.into_iter().flat_map(|forwarded| forwarded.hops.attributes()) {
        push_new(attributes, attribute);
    }
}

/// Whether the client or a hop connected.
pub(super) fn source(forwarded: Option<&ForwardedCertificate>, attributes: &AttributeValues) -> CertificateSource {
    forwarded
        .filter(|forwarded| forwarded.hops.contain(attributes))
        .map_or(CertificateSource::Connection, |forwarded| CertificateSource::Header(forwarded.header))
}

/// The thumbprint of the client's certificate; `None` if it has shown none.
///
/// # Errors
/// If a hop connected and its header does not describe exactly one certificate, or describes the hop's own one: Envoy
/// writes that when this listener sets the header itself (`SANITIZE_SET`).
pub(super) fn thumbprint(
    source: CertificateSource,
    head: &RequestHead,
    attributes: &AttributeValues,
) -> Result<Option<Thumbprint>, CertificateHeaderMalformed> {
    let own = connection_certificate(attributes);
    let header = match source {
        CertificateSource::Connection => return Ok(own),
        CertificateSource::Header(header) => header,
    };
    let mut values = head.values(header.name());
    let Some(value) = values.next() else { return Ok(None) };
    let shown = header.parse(value).filter(|shown| values.next().is_none() && own != Some(*shown));
    shown.map(Some).ok_or(CertificateHeaderMalformed)
}

fn connection_certificate(attributes: &AttributeValues) -> Option<Thumbprint> {
    attributes.get(Attribute::PeerDigest).and_then(Thumbprint::of_hex)
}

/// `Hash` of the only element of `x-forwarded-client-cert`. `hash=` must not occur elsewhere, not even in a quoted string:
/// the client chooses its subject and names, and a hop that does not escape them would let it add a second hash.
fn forwarded_hash(value: &[u8]) -> Option<Thumbprint> {
    const MEMBER: &[u8] = b"hash=";
    let hashes = value.windows(MEMBER.len()).filter(|window| window.eq_ignore_ascii_case(MEMBER));
    if hashes.count() != 1 {
        return None;
    }
    let mut found = None;
    let mut rest = value;
    loop {
        let (name, after) = split_at_equals_sign(rest)?;
        if name.is_empty() || !name.iter().all(u8::is_ascii_alphabetic) {
            return None;
        }
        let (member, after) = match after.strip_prefix(b"\"") {
            Some(quoted) => (None, after_quoted_string(quoted)?),
            None => {
                let end = after.iter().position(|byte| b",;".contains(byte)).unwrap_or(after.len());
                let (text, after) = after.split_at_checked(end)?;
                if !text.iter().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(byte)) {
                    return None;
                }
                (Some(text), after)
            }
        };
        if name.eq_ignore_ascii_case(b"hash") {
            found = Some(Thumbprint::of_hex(member?)?);
        }
        match after.split_first() {
            None => return found,
            Some((b';', after)) => rest = after,
            // A second element, or text behind a quoted string.
            Some(_) => return None,
        }
    }
}

/// What follows the closing quote. A backslash escapes the next byte.
fn after_quoted_string(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text;
    loop {
        match rest {
            [b'"', after @ ..] => return Some(after),
            [b'\\', _, after @ ..] => rest = after,
            [byte, after @ ..] if !byte.is_ascii_control() => rest = after,
            _ => return None,
        }
    }
}

fn split_at_equals_sign(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, rest) = text.split_at_checked(text.iter().position(|byte| *byte == b'=')?)?;
    rest.split_first().map(|(_, value)| (name, value))
}

/// The digest of the certificate in `Client-Cert`: one byte sequence (RFC 8941 section 3.3.5) without parameters.
fn certificate_digest(value: &[u8]) -> Option<Thumbprint> {
    let text = value.strip_prefix(b":")?.strip_suffix(b":")?;
    let certificate = STANDARD.decode(text).ok()?;
    is_der_sequence(&certificate).then(|| Thumbprint::new(Sha256::digest(&certificate).into()))
}

/// Whether the bytes are one DER SEQUENCE and nothing behind it, as a certificate is.
fn is_der_sequence(bytes: &[u8]) -> bool {
    let rest = match bytes {
        [0x30, rest @ ..] => rest,
        _ => return false,
    };
    let (length, content) = match rest {
        [0x81, length, content @ ..] => (usize::from(*length), content),
        [0x82, high, low, content @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), content),
        [length, content @ ..] if *length < 0x80 => (usize::from(*length), content),
        _ => return false,
    };
    length > 0 && content.len() == length
}

#[cfg(test)]
#[path = "client_certificate/tests.rs"]
mod tests;
