//! The operator's rules, compiled and immutable: a [`Policy`] that exists cannot be wrong.
//!
//! Made by `config`, read by `engine`. Knows what a token means ([`admit`]), where it is looked for
//! ([`token_source`]), how its issuer is asked about it ([`introspection`]), which rule a request comes under ([`route`],
//! by its [`request_target`]), what is demanded of the token there ([`requirement`]), what the backend ([`forward`]) and
//! other filters ([`filter_state`]) are told of it, what is logged ([`audit_trail`]), and how the resources describe themselves ([`protected_resource`]);
//! knows neither JSON documents nor hosts, keeps no state and reads no clock.

pub mod audit_trail;
pub mod callout_address;
pub mod callout_headers;
pub mod condition;
pub mod filter_state;
pub mod forward;
pub mod introspection;
pub mod issuer_metadata;
mod preflight;
pub mod protected_resource;
pub mod provider;
#[cfg(test)]
pub(crate) mod provider_fixture;
pub mod providers;
pub mod request_target;
pub mod requirement;
pub mod responses;
pub mod route;
pub mod rule;
pub mod target_headers;
mod token_kind;
pub mod token_source;
pub mod validate;

use crate::http::{HeaderEdit, HeaderName, HeaderValue, RequestHead};

pub use crate::cel::{Attribute, AttributeValues};
pub use audit_trail::{AuditTrail, Logged, SampleRate};
pub use callout_address::CalloutAddress;
pub use callout_headers::CalloutHeaders;
pub use filter_state::{DecisionPart, FilterState, StateEntry, StateItem, StateSource};
pub use forward::{ClaimFormat, ClaimSource, ForwardedClaim, Forwarding, Unforwardable};
pub use introspection::{ClientAuthentication, Introspection, IntrospectionAddress, OpaqueTokens, RevocationSource};
pub use issuer_metadata::{MetadataFault, address_in_metadata};
pub use protected_resource::{ProtectedResource, ProtectedResources, ResourceAddress, ResourceFault};
pub use provider::{Audiences, ClaimNames, Discovery, KeyAddress, KeyOrigin, Provider, RemoteKeys};
pub use providers::{ProviderId, Providers, SelectedProvider};
pub use request_target::{AmbiguousPaths, NormalPath, RequestTarget, TargetFault};
pub use requirement::{Remedy, Requirement, RequirementContext, Unmet, UnmetReason};
pub use responses::{
    AllowedOrigins, BodyFormat, Cors, DebugCallers, Detail, Login, OriginPattern, ResponseClass, Responses,
};
pub use route::{
    AmbiguousHosts, Authority, HostPattern, LetterCase, Method, PathPattern, PatternFault, Route, RouteFault,
    RouteIndex, Router,
};
pub use rule::{Access, AnonymousAccess, AuthorizationRequest, Rule, RuleFault, RuleId, Rules};
pub use target_headers::{TargetHeader, TargetHeaders};
pub use token_source::{CredentialLocation, TokenSource, UnremovableCredential};
pub use validate::{ClaimFault, ValidatedToken, check_confirming_kind};

/// The whole of what the operator wants.
#[derive(Debug)]
pub struct Policy {
    /// Whose tokens are accepted.
    pub providers: Providers,
    /// Where revoked tokens are listed.
    pub revocations: Option<RevocationSource>,
    /// Where tokens are looked for.
    pub token_source: TokenSource,
    /// Who may do what.
    pub rules: Rules,
    /// What the backend is told.
    pub forwarding: Forwarding,
    /// Which headers that change the target reach the backend.
    pub target_headers: TargetHeaders,
    /// What later filters and the access log are told.
    pub filter_state: FilterState,
    /// Whether the host is to choose the route anew when that was told.
    pub clear_route_cache: bool,
    /// What clients without a token are told of where to get one.
    pub resources: ProtectedResources,
    /// How clients are answered.
    pub responses: Responses,
    /// Which decisions are logged.
    pub audit: AuditTrail,
    /// The path that is answered with whether there are keys.
    pub readiness_path: Option<String>,
    /// How many verified tokens are remembered.
    pub cache: CacheLimits,
}

/// How much is remembered of verified tokens, in one VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// Tokens; none: every token is verified anew.
    pub tokens: usize,
    /// Bytes held by them, about.
    pub bytes: usize,
}

impl Default for CacheLimits {
    fn default() -> Self {
        Self { tokens: 4096, bytes: 16 * 1024 * 1024 }
    }
}

impl Policy {
    /// What is changed in the head of every request that is forwarded, whatever allows it: identity headers that the
    /// client sent, headers that change the target, credentials and the secret of `responses.debug` are removed, and
    /// `connection` names none of them.
    ///
    /// # Errors
    /// When a credential cannot be removed; then the request must not be forwarded.
    pub fn strip(&self, head: &RequestHead) -> Result<Vec<HeaderEdit>, UnremovableCredential> {
        let mut edits = Vec::new();
        let mut has_connection = false;
        for name in head.names() {
            if self.forwarding.is_managed(name) || self.target_headers.removes_header(name) {
                let edit = HeaderEdit::Remove(name.to_owned());
                if !edits.contains(&edit) {
                    edits.push(edit);
                }
            }
            has_connection |= name == HeaderName::CONNECTION.as_str();
        }
        edits.extend(self.token_source.strip(head)?);
        edits.extend(self.responses.debug.iter().flat_map(|callers| callers.strip(head)));
        if has_connection {
            edits.extend(connection_edit(head));
        }
        Ok(edits)
    }

    /// Whether a trailer of that name is removed: a backend that merges trailers into headers would take it for an
    /// identity of ours, a header of a proxy, or a credential that was not checked.
    pub fn is_managed_trailer(&self, name: &str) -> bool {
        let is_debug = self.responses.debug.as_ref().is_some_and(|callers| callers.folds_to(name));
        let is_target = target_headers::removes_trailer(&name.to_ascii_lowercase());
        self.forwarding.is_managed(name) || self.token_source.is_carrier(name) || is_target || is_debug
    }
}

/// Envoy removes the headers that `connection` names, and `connection` itself, but not from a request for an upgrade:
/// there `Connection: upgrade, x-user-id` reaches the backend, and Go and Apache remove our `x-user-id` (RFC 9110
/// section 7.6.1).
fn connection_edit(head: &RequestHead) -> Option<HeaderEdit> {
    let name = HeaderName::CONNECTION;
    let is_option =
        |known: &[&str], option: &[u8]| known.iter().any(|known| option.eq_ignore_ascii_case(known.as_bytes()));
    let options =
        || head.values(name.as_str()).flat_map(|value| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    if options().all(|option| is_option(&["upgrade", "keep-alive", "close", ""], option)) {
        return None;
    }
    if options().any(|option| is_option(&["upgrade"], option)) {
        return HeaderValue::parse("upgrade").map(|value| HeaderEdit::Set(name, value));
    }
    Some(HeaderEdit::Remove(name.as_str().to_owned()))
}
