//! OAuth 2.0 Protected Resource Metadata (RFC 9728): the resource of a request, and the address of the document that
//! names its authorization servers. MCP clients use it for discovery.
//!
//! All content comes from the operator. No part of a request becomes part of an address, otherwise a client's `Host`
//! header could direct it to a foreign authorization server (RFC 9728 section 7.3).

use super::request_target::{AmbiguousPaths, NormalPath, RequestTarget};
use super::route::{Authority, HostPattern, PathPattern};
use crate::http::RequestHead;

const SCHEME: &str = "https://";
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";
const MAX_ADDRESS_BYTES: usize = 1024;

/// A resource identifier, an `https` URL, and the address of its metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceAddress {
    text: String,
    authority: Authority,
    path: NormalPath<'static>,
    metadata_path: String,
    metadata_address: String,
}

/// Why a string is not a resource identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResourceFault {
    /// It is not an `https` URL.
    NotHttps,
    /// It has a query or a fragment.
    QueryOrFragment,
    /// The host is invalid, has capitals, or has the default port.
    Host,
    /// The path is not normalized.
    Path,
    /// It is longer than a header should be.
    TooLong,
}

/// A resource and its metadata document.
#[derive(Debug)]
pub struct ProtectedResource {
    pub address: ResourceAddress,
    /// The JSON document as it is sent.
    pub document: Vec<u8>,
}

/// All resources with metadata.
#[derive(Debug, Default)]
pub struct ProtectedResources(Vec<ProtectedResource>);

impl ResourceAddress {
    /// Parses an identifier. Clients compare it byte for byte (RFC 9728 section 3.3), so only one spelling is accepted.
    ///
    /// # Errors
    /// If it is not an `https` URL with a normalized host and path.
    pub fn parse(text: &str) -> Result<Self, ResourceFault> {
        let rest = text.strip_prefix(SCHEME).ok_or(ResourceFault::NotHttps)?;
        if text.len() > MAX_ADDRESS_BYTES {
            return Err(ResourceFault::TooLong);
        }
        if text.contains(['?', '#']) {
            return Err(ResourceFault::QueryOrFragment);
        }
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let authority = Authority::read(host.as_bytes()).filter(|authority| authority.is_written_as(host));
        let authority = authority.filter(|authority| authority.port() != Some(443)).ok_or(ResourceFault::Host)?;
        let written = if path.is_empty() { "/" } else { path };
        let target = RequestTarget::read(written.as_bytes(), AmbiguousPaths::Reject);
        let normal =
            target.ok().filter(|target| target.other_readings().is_empty() && target.path().as_str() == written);
        let path = normal.ok_or(ResourceFault::Path)?.path().clone().into_owned();
        // RFC 9728 section 3.1: a slash right after the host is removed before the well-known name is inserted.
        let suffix = if path.as_str() == "/" { "" } else { path.as_str() };
        let metadata_path = format!("{WELL_KNOWN}{suffix}");
        let metadata_address = format!("{SCHEME}{host}{metadata_path}");
        Ok(Self { text: text.to_owned(), authority, path, metadata_path, metadata_address })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn metadata_path(&self) -> &str {
        &self.metadata_path
    }

    /// The URL of its metadata: printable ASCII without `"` and `\`.
    pub fn metadata_address(&self) -> &str {
        &self.metadata_address
    }

    /// Whether both are equal except for a trailing slash.
    pub fn is_equivalent(&self, other: &Self) -> bool {
        self.authority == other.authority && self.path.segments().eq(other.path.segments())
    }

    /// Whether a request for this resource may match a rule with these conditions. No hosts means every host.
    pub fn may_match(&self, hosts: &[HostPattern], path: &PathPattern) -> bool {
        let by_host = hosts.is_empty() || hosts.iter().any(|host| self.authority.matches(host));
        by_host && path.may_match_below(&self.path)
    }

    /// Whether a rule with these conditions matches only the metadata of this resource.
    pub fn is_only_target_of(&self, hosts: &[HostPattern], path: &PathPattern) -> bool {
        let by_host = hosts.is_empty() || hosts.iter().any(|host| self.authority.matches(host));
        by_host && path.is_exactly(&self.metadata_path)
    }

    /// How well a request's host matches. `None` if it is another host.
    fn fit(&self, request: &Authority) -> Option<Fit> {
        let same_port = self.authority.port() == request.port().filter(|port| *port != 443);
        match (self.authority.is_same_host(request), same_port, self.authority.port()) {
            (false, _, _) => None,
            (true, true, _) => Some(Fit::Port),
            // A proxy in front of the host may listen on other ports than clients use.
            (true, false, None) => Some(Fit::Host),
            (true, false, Some(_)) => None,
        }
    }
}

/// How well a request's host matches the resource's host. The greater value is the better match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    /// The host matches, and the resource names no port.
    Host,
    /// Host and port match.
    Port,
}

impl ProtectedResources {
    /// The resources. Each has its own metadata address.
    pub const fn new(resources: Vec<ProtectedResource>) -> Self {
        Self(resources)
    }

    /// The resource whose metadata a request addresses, with any method and query.
    pub fn find_by_metadata_path(&self, head: &RequestHead) -> Option<&ProtectedResource> {
        if self.0.is_empty() {
            return None;
        }
        let target = head.single(":path")?.split(|byte| *byte == b'?').next()?;
        // Most requests return here.
        if !target.starts_with(WELL_KNOWN.as_bytes()) {
            return None;
        }
        let authority = Authority::read(head.single(":authority")?)?;
        let is_requested = |resource: &&ProtectedResource| resource.address.metadata_path.as_bytes() == target;
        let fitting = self.0.iter().filter(is_requested);
        let fitting = fitting.filter_map(|resource| Some((resource.address.fit(&authority)?, resource)));
        fitting.max_by_key(|(fit, _)| *fit).map(|(_, resource)| resource)
    }

    /// The resource of a request: its host matches, and its path is the longest prefix of the request's path.
    pub fn find(&self, head: &RequestHead) -> Option<&ProtectedResource> {
        if self.0.is_empty() {
            return None;
        }
        let authority = Authority::read(head.single(":authority")?)?;
        let target = RequestTarget::of(head, AmbiguousPaths::Reject).ok()?;
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
