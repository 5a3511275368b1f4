//! OAuth 2.0 Protected Resource Metadata (RFC 9728): which resource a request is for, and where the document stands
//! that tells a client without a token who would give it one. MCP clients find their way by it.
//!
//! Everything that a client is told here is the operator's: nothing of a request becomes part of an address, or a client
//! could be sent to an authorization server of somebody else's by its own `Host` (RFC 9728 section 7.3).

use super::request_target::{AmbiguousPaths, NormalPath, RequestTarget};
use super::route::{Authority, HostPattern, PathPattern};
use crate::http::RequestHead;

const SCHEME: &str = "https://";
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";
const LONGEST_ADDRESS: usize = 1024;

/// A resource's identifier, an `https` URL; and where its metadata stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceAddress {
    text: String,
    authority: Authority,
    path: NormalPath<'static>,
    metadata_path: String,
    metadata_address: String,
}

/// Why a text is no resource's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResourceFault {
    /// Not an `https` URL.
    NotHttps,
    /// With a query or a fragment.
    QueryOrFragment,
    /// A host that is not plainly one, in capitals, or with the port that goes without saying.
    Host,
    /// A path that is not in normal form.
    Path,
    /// Longer than a header should be.
    TooLong,
}

/// A resource and the document that describes it.
#[derive(Debug)]
pub struct ProtectedResource {
    /// Where it is.
    pub address: ResourceAddress,
    /// The metadata as they are sent: JSON.
    pub document: Vec<u8>,
}

/// All that are described.
#[derive(Debug, Default)]
pub struct ProtectedResources(Vec<ProtectedResource>);

impl ResourceAddress {
    /// Reads an identifier. It is compared with what clients were given letter by letter (RFC 9728 section 3.3), so it
    /// has one spelling.
    ///
    /// # Errors
    /// When it is not an `https` URL of host and path in normal form.
    pub fn parse(text: &str) -> Result<Self, ResourceFault> {
        let rest = text.strip_prefix(SCHEME).ok_or(ResourceFault::NotHttps)?;
        if text.len() > LONGEST_ADDRESS {
            return Err(ResourceFault::TooLong);
        }
        if text.contains(['?', '#']) {
            return Err(ResourceFault::QueryOrFragment);
        }
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let authority = Authority::read(host.as_bytes()).filter(|authority| authority.is_written_as(host));
        let authority = authority.filter(|authority| authority.port() != Some(443)).ok_or(ResourceFault::Host)?;
        let written = if path.is_empty() { "/" } else { path };
        let target = RequestTarget::read(written.as_bytes(), AmbiguousPaths::Refuse);
        let normal =
            target.ok().filter(|target| target.other_readings().is_empty() && target.path().as_str() == written);
        let path = normal.ok_or(ResourceFault::Path)?.path().clone().into_owned();
        // RFC 9728 section 3.1: a slash that ends the host goes before the well-known name is put in.
        let behind = if path.as_str() == "/" { "" } else { path.as_str() };
        let metadata_path = format!("{WELL_KNOWN}{behind}");
        let metadata_address = format!("{SCHEME}{host}{metadata_path}");
        Ok(Self { text: text.to_owned(), authority, path, metadata_path, metadata_address })
    }

    /// The identifier as the operator writes it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The path at which its metadata stand.
    pub fn metadata_path(&self) -> &str {
        &self.metadata_path
    }

    /// The address at which its metadata stand: printable ASCII without `"` and `\`.
    pub fn metadata_address(&self) -> &str {
        &self.metadata_address
    }

    /// Whether both are one to whoever compares them without regard to a slash at the end.
    pub fn is_alike(&self, other: &Self) -> bool {
        self.authority == other.authority && self.path.segments().eq(other.path.segments())
    }

    /// Whether some request for it could come under a rule with such conditions; no hosts: every host.
    pub fn may_meet(&self, hosts: &[HostPattern], path: &PathPattern) -> bool {
        let by_host = hosts.is_empty() || hosts.iter().any(|host| self.authority.meets(host));
        by_host && path.may_meet_below(&self.path)
    }

    /// Whether its metadata are what a rule with such conditions is for, and for nothing else.
    pub fn answers_instead_of(&self, hosts: &[HostPattern], path: &PathPattern) -> bool {
        let by_host = hosts.is_empty() || hosts.iter().any(|host| self.authority.meets(host));
        by_host && path.is_exactly(&self.metadata_path)
    }

    /// How well a request's host fits, the better the more; not at all where it is another one.
    fn fit(&self, request: &Authority) -> Option<Fit> {
        let same_port = self.authority.port() == request.port().filter(|port| *port != 443);
        match (self.authority.is_same_host(request), same_port, self.authority.port()) {
            (false, _, _) => None,
            (true, true, _) => Some(Fit::Port),
            // In front of the host somebody may listen on other ports than the clients know.
            (true, false, None) => Some(Fit::Host),
            (true, false, Some(_)) => None,
        }
    }
}

/// How well a request's host fits a resource's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    /// The same host; the resource names no port.
    Host,
    /// The same host and port.
    Port,
}

impl ProtectedResources {
    /// Puts them together; no two have one metadata address.
    pub const fn new(resources: Vec<ProtectedResource>) -> Self {
        Self(resources)
    }

    /// The resource whose metadata a request asks for, whatever its method and query.
    pub fn described_at(&self, head: &RequestHead) -> Option<&ProtectedResource> {
        if self.0.is_empty() {
            return None;
        }
        let target = head.single(":path")?.split(|byte| *byte == b'?').next()?;
        // Most requests end here.
        if !target.starts_with(WELL_KNOWN.as_bytes()) {
            return None;
        }
        let authority = Authority::read(head.single(":authority")?)?;
        let is_asked_for = |resource: &&ProtectedResource| resource.address.metadata_path.as_bytes() == target;
        let fitting = self.0.iter().filter(is_asked_for);
        let fitting = fitting.filter_map(|resource| Some((resource.address.fit(&authority)?, resource)));
        fitting.max_by_key(|(fit, _)| *fit).map(|(_, resource)| resource)
    }

    /// The resource that a request is for: of its host, with the longest path of which the request's has all segments.
    pub fn of(&self, head: &RequestHead) -> Option<&ProtectedResource> {
        if self.0.is_empty() {
            return None;
        }
        let authority = Authority::read(head.single(":authority")?)?;
        let target = RequestTarget::of(head, AmbiguousPaths::Refuse).ok()?;
        let path: Vec<&str> = target.path().segments().collect();
        let fitting = self.0.iter().filter_map(|resource| {
            let segments: Vec<&str> = resource.address.path.segments().collect();
            let fit = resource.address.fit(&authority)?;
            path.starts_with(&segments).then_some(((fit, segments.len()), resource))
        });
        fitting.max_by_key(|(fit, _)| *fit).map(|(_, resource)| resource)
    }
}

#[cfg(test)]
#[path = "protected_resource/tests.rs"]
mod tests;
