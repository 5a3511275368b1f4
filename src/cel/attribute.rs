//! The attributes that the host provides, under Envoy's names and in the encoding of its properties. Those of the request
//! head (`request.method`, `request.headers`, …) are read from the head.

use crate::memory;

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

/// Declares the attributes: name, type and the path of the host's property.
macro_rules! attributes {
    ($($(#[$doc:meta])* $name:ident: $type:ident $object:literal $member:literal;)*) => {
        /// An attribute that the host provides.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Attribute {
            $($(#[$doc])* $name,)*
        }

        impl Attribute {
            /// All of them.
            pub const ALL: [Self; { [$(stringify!($name)),*].len() }] = [$(Self::$name),*];

            /// The path of the host's property.
            pub const fn path(self) -> [&'static str; 2] {
                match self {
                    $(Self::$name => [$object, $member],)*
                }
            }

            pub(super) const fn ty(self) -> AttributeType {
                match self {
                    $(Self::$name => AttributeType::$type,)*
                }
            }
        }
    };
}

attributes! {
    /// `request.protocol`: `HTTP/1.1`, `HTTP/2`.
    RequestProtocol: String "request" "protocol";
    /// `source.address`: `192.0.2.1:1234`.
    SourceAddress: Address "source" "address";
    /// `source.port`.
    SourcePort: Int "source" "port";
    /// `destination.address`.
    DestinationAddress: Address "destination" "address";
    /// `destination.port`.
    DestinationPort: Int "destination" "port";
    /// `connection.mtls`: whether the client showed a certificate; the listener decides whether it is verified.
    Mtls: Bool "connection" "mtls";
    /// `connection.requested_server_name`: the SNI.
    RequestedServerName: ServerName "connection" "requested_server_name";
    /// `connection.tls_version`: `TLSv1.3`.
    TlsVersion: String "connection" "tls_version";
    /// `connection.subject_peer_certificate`.
    PeerSubject: String "connection" "subject_peer_certificate";
    /// `connection.uri_san_peer_certificate`: the first URI.
    PeerUri: String "connection" "uri_san_peer_certificate";
    /// `connection.dns_san_peer_certificate`: the first DNS name.
    PeerDns: String "connection" "dns_san_peer_certificate";
    /// `connection.sha256_peer_certificate_digest`: lower-case hex.
    PeerDigest: String "connection" "sha256_peer_certificate_digest";
}

impl Attribute {
    /// Whether only Envoy provides it: nginx with ngx_wasm_module has no such property, or a string in place of a number.
    pub const fn is_of_envoy_only(self) -> bool {
        !matches!(self, Self::RequestProtocol | Self::SourceAddress)
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
