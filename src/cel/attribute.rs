//! The attributes that the host provides, under Envoy's names and in the encoding of its properties. Those of the request
//! head (`request.method`, `request.headers`, …) are read from the head.

use crate::memory;

/// An attribute that the host provides.
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

/// The type of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AttributeType {
    String,
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

    /// The path of the host's property.
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

    pub(super) const fn ty(self) -> AttributeType {
        match self {
            Self::SourcePort | Self::DestinationPort => AttributeType::Int,
            Self::Mtls => AttributeType::Bool,
            Self::SourceAddress | Self::DestinationAddress => AttributeType::Address,
            Self::RequestedServerName => AttributeType::ServerName,
            Self::RequestProtocol
            | Self::TlsVersion
            | Self::PeerSubject
            | Self::PeerUri
            | Self::PeerDns
            | Self::PeerDigest => AttributeType::String,
        }
    }
}

/// The attributes of one request.
#[derive(Clone, Default)]
pub struct AttributeValues {
    values: Vec<(Attribute, Vec<u8>)>,
}

impl AttributeValues {
    /// Sets one attribute as the host encodes it: a string as it is, an integer in eight bytes (little-endian), a boolean in
    /// one byte. An empty one is missing, as one that is not set.
    pub fn insert(&mut self, attribute: Attribute, property: Vec<u8>) {
        self.values.retain(|(other, _)| *other != attribute);
        self.values.push((attribute, property));
    }

    /// The bytes that they hold on the heap.
    pub fn held_bytes(&self) -> usize {
        let properties = self.values.iter().map(|(_, property)| memory::allocation(property.capacity()));
        properties.fold(memory::list::<(Attribute, Vec<u8>)>(self.values.capacity()), usize::saturating_add)
    }

    /// The encoded value, empty or not.
    pub fn get(&self, attribute: Attribute) -> Option<&[u8]> {
        self.values.iter().find(|(other, _)| *other == attribute).map(|(_, property)| property.as_slice())
    }
}

impl std::fmt::Debug for AttributeValues {
    /// Names only: the values identify the client.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(self.values.iter().map(|(attribute, _)| attribute)).finish()
    }
}
