//! The operator's rules, compiled and immutable: a [`Policy`] that exists cannot be wrong.
//!
//! Made by `config`, read by `engine`. Knows what a token means ([`admit`]), where it is looked for
//! ([`token_source`]), how its issuer is asked about it ([`introspection`]), which rule a request comes under ([`route`],
//! by its [`request_target`]), what is demanded of the token there ([`requirement`]), what the backend ([`forward`]) and
//! other filters ([`filter_state`]) are told of it, what is logged ([`audit_trail`]), and how the resources describe themselves ([`protected_resource`]);
//! knows neither JSON documents nor hosts, keeps no state and reads no clock.

pub mod admit;
pub mod answers;
pub mod audit_trail;
pub mod callout_address;
pub mod condition;
pub mod filter_state;
pub mod forward;
pub mod introspection;
pub mod issuer_metadata;
mod preflight;
pub mod protected_resource;
pub mod provider;
pub mod request_target;
pub mod requirement;
pub mod route;
pub mod rule;
pub mod token_source;

use crate::http::{HeaderEdit, RequestHead};

pub use admit::{AdmittedToken, ClaimFault};
pub use answers::{AllowedOrigins, AnswerClass, Answers, BodyFormat, Cors, DebugCallers, Detail, Login, OriginPattern};
pub use audit_trail::{AuditTrail, Extent, Share};
pub use callout_address::CalloutAddress;
pub use condition::{Attribute, AttributeValues, Condition, ConditionError, ConditionFault};
pub use filter_state::{DecisionPart, FilterState, StateEntry, StateItem, StateSource};
pub use forward::{ClaimFormat, ClaimSource, ForwardedClaim, Forwarding, ValueTooLong};
pub use introspection::{ClientAuthentication, Introspection, IntrospectionAddress, OpaqueTokens, RevocationSource};
pub use issuer_metadata::{MetadataFault, address_in_metadata};
pub use protected_resource::{ProtectedResource, ProtectedResources, ResourceAddress, ResourceFault};
pub use provider::{
    Audiences, ClaimNames, Discovery, KeyAddress, KeyOrigin, Provider, ProviderId, Providers, RemoteKeys,
};
pub use request_target::{AmbiguousPaths, NormalPath, RequestTarget, TargetFault};
pub use requirement::{Facts, Remedy, Requirement, Unmet, UnmetReason};
pub use route::{
    AmbiguousHosts, Authority, HostPattern, LetterCase, Method, PathPattern, PatternFault, Route, RouteFault,
    RouteIndex, Router,
};
pub use rule::{Access, Asked, NoTokenNeeded, Rule, RuleFault, RuleId, Rules};
pub use token_source::{Place, TokenSource, Unwritable};

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
    /// What later filters and the access log are told.
    pub filter_state: FilterState,
    /// Whether the host is to choose the route anew when that was told.
    pub clear_route_cache: bool,
    /// What clients without a token are told of where to get one.
    pub resources: ProtectedResources,
    /// How clients are answered.
    pub answers: Answers,
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
    /// What is taken out of every request that goes on, whatever lets it: the headers that only we may
    /// write, the credentials, and the secret of those that are told more.
    ///
    /// # Errors
    /// When a credential cannot be taken out; then the request must not go on.
    pub fn strip(&self, head: &RequestHead) -> Result<Vec<HeaderEdit>, Unwritable> {
        let mut edits = self.forwarding.strip(head);
        edits.extend(self.token_source.strip(head)?);
        edits.extend(self.answers.debug.iter().flat_map(|callers| callers.strip(head)));
        Ok(edits)
    }

    /// Whether a trailer of that name is taken out: a backend that merges trailers into headers would
    /// take it for an identity of ours, or for a credential that nobody has looked at.
    pub fn is_managed_trailer(&self, name: &str) -> bool {
        let is_debug = self.answers.debug.as_ref().is_some_and(|callers| callers.is_meant_by(name));
        self.forwarding.is_managed(name) || self.token_source.is_carrier(name) || is_debug
    }
}
