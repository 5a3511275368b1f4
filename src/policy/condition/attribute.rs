//! The attributes that only the host knows, under Envoy's names and in the encoding of its properties.
//!
//! What a request's head says (`request.path`, `request.headers`, …) is no attribute: it is at hand already.

use crate::memory;

/// One value that the host is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attribute {
    /// `request.protocol`: `HTTP/1.1`, `HTTP/2`.
    RequestProtocol,
    /// `source.address`: `192.0.2.1:1234`.
    SourceAddress,
    /// `source.port`.
    SourcePort,
    /// `destination.address`.
    DestinationAddress,
    /// `destination.port`.
    DestinationPort,
    /// `connection.mtls`: whether the client showed a certificate; whether anybody verified it is up to the listener.
    Mtls,
    /// `connection.requested_server_name`: the SNI.
    RequestedServerName,
    /// `connection.tls_version`: `TLSv1.3`.
    TlsVersion,
    /// `connection.subject_peer_certificate`.
    PeerSubject,
    /// `connection.uri_san_peer_certificate`: the first URI.
    PeerUri,
    /// `connection.dns_san_peer_certificate`: the first DNS name.
    PeerDns,
    /// `connection.sha256_peer_certificate_digest`: lower-case hex.
    PeerDigest,
}

/// What kind of value an attribute has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AttributeKind {
    Text,
    /// An IP address with its port.
    Address,
    /// A host name without port.
    ServerName,
    Int,
    Bool,
}

impl Attribute {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::RequestProtocol,
        Self::SourceAddress,
        Self::SourcePort,
        Self::DestinationAddress,
        Self::DestinationPort,
        Self::Mtls,
        Self::RequestedServerName,
        Self::TlsVersion,
        Self::PeerSubject,
        Self::PeerUri,
        Self::PeerDns,
        Self::PeerDigest,
    ];

    /// The property's path, as the host is asked for it.
    pub const fn path(self) -> [&'static str; 2] {
        match self {
            Self::RequestProtocol => ["request", "protocol"],
            Self::SourceAddress => ["source", "address"],
            Self::SourcePort => ["source", "port"],
            Self::DestinationAddress => ["destination", "address"],
            Self::DestinationPort => ["destination", "port"],
            Self::Mtls => ["connection", "mtls"],
            Self::RequestedServerName => ["connection", "requested_server_name"],
            Self::TlsVersion => ["connection", "tls_version"],
            Self::PeerSubject => ["connection", "subject_peer_certificate"],
            Self::PeerUri => ["connection", "uri_san_peer_certificate"],
            Self::PeerDns => ["connection", "dns_san_peer_certificate"],
            Self::PeerDigest => ["connection", "sha256_peer_certificate_digest"],
        }
    }

    pub(super) const fn kind(self) -> AttributeKind {
        match self {
            Self::SourcePort | Self::DestinationPort => AttributeKind::Int,
            Self::Mtls => AttributeKind::Bool,
            Self::SourceAddress | Self::DestinationAddress => AttributeKind::Address,
            Self::RequestedServerName => AttributeKind::ServerName,
            Self::RequestProtocol
            | Self::TlsVersion
            | Self::PeerSubject
            | Self::PeerUri
            | Self::PeerDns
            | Self::PeerDigest => AttributeKind::Text,
        }
    }
}

/// What the host answered for one request.
#[derive(Clone, Default)]
pub struct AttributeValues {
    values: Vec<(Attribute, Vec<u8>)>,
}

impl AttributeValues {
    /// Takes one property as the host encodes it: a text as it is, a number in eight bytes with the least first,
    /// a flag in one byte. A property that the host does not have need not be given; an empty one is missing too.
    pub fn insert(&mut self, attribute: Attribute, property: Vec<u8>) {
        self.values.retain(|(other, _)| *other != attribute);
        self.values.push((attribute, property));
    }

    /// How many bytes they hold.
    pub fn held_bytes(&self) -> usize {
        let properties = self.values.iter().map(|(_, property)| memory::allocation(property.capacity()));
        properties.fold(memory::list::<(Attribute, Vec<u8>)>(self.values.capacity()), usize::saturating_add)
    }

    /// What was given, empty or not; `None`: nothing was.
    pub fn get(&self, attribute: Attribute) -> Option<&[u8]> {
        self.values.iter().find(|(other, _)| *other == attribute).map(|(_, property)| property.as_slice())
    }
}

impl std::fmt::Debug for AttributeValues {
    /// Names only: the values tell who the client is.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(self.values.iter().map(|(attribute, _)| attribute)).finish()
    }
}
