//! The compiled, immutable policy of the operator. A [`Policy`] that exists is valid.
//!
//! `config` compiles it, and `engine` reads it. It validates claims ([`validate`]), locates credentials
//! ([`token_source`]), configures introspection ([`introspection`]), selects the rule of a request ([`route`], by its
//! [`request_target`]), evaluates the rule's [`requirement`], writes headers for the backend ([`forward`]) and filter
//! state for other filters ([`filter_state`]), selects the logged decisions ([`audit_trail`]), and describes the
//! resources ([`protected_resource`]). It knows neither JSON documents nor hosts, keeps no state and reads no clock.

pub mod audit_trail;
pub mod callout_address;
pub mod callout_headers;
pub mod client_certificate;
pub mod condition;
pub mod dpop;
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
pub mod sender_constraint;
pub mod target_headers;
mod token_kind;
pub mod token_source;
pub mod validate;

use std::rc::Rc;

use crate::http::{HeaderEdit, HeaderName, HeaderValue, RequestHead};
use crate::policy::client_certificate::CertificateHeaderMalformed;
use crate::policy::token_source::Credential;
use crate::thumbprint::Thumbprint;

pub use crate::cel::{Attribute, AttributeValues};
pub use audit_trail::{AuditTrail, Logged, SampleRate};
pub use callout_address::CalloutAddress;
pub use callout_headers::CalloutHeaders;
pub use client_certificate::{CertificateHeader, CertificateSource, ForwardedCertificate, Hops};
pub use dpop::{Dpop, NonceAge, NonceFault, NonceIssuer, NonceMode, ProofFault, PublicOrigin};
pub use filter_state::{DecisionPart, FilterState, StateEntry, StateItem, StateSource};
pub use forward::{ClaimFormat, ClaimSource, ForwardedClaim, Forwarding, Unforwardable};
pub use introspection::{ClientAuthentication, Introspection, OpaqueTokens, RevocationSource};
pub use issuer_metadata::{Discovery, DiscoveryFault, DiscoveryStep, EndpointAddress, MetadataFault};
pub use protected_resource::{ProtectedResource, ProtectedResources, ResourceAddress, ResourceFault};
pub use provider::{Audiences, ClaimNames, KeyOrigin, Provider, RemoteKeys};
pub use providers::{ProviderId, Providers, SelectedProvider};
pub use request_target::{AmbiguousPaths, NormalPath, RequestTarget, TargetFault};
pub use requirement::{Remedy, Requirement, RequirementContext, Unmet, UnmetReason};
pub use responses::{
    AllowedOrigins, BodyFormat, Cors, DebugCallers, Detail, Login, OriginPattern, ResponseClass, Responses,
};
pub use route::{
    AmbiguousHosts, Authority, CaseSensitivity, HostPattern, Method, PathPattern, PatternFault, Route, RouteFault,
    RouteIndex, RoutePart, Router, WorkLimit,
};
pub use rule::{Access, AnonymousAccess, AuthorizationRequest, Rule, RuleFault, RuleId, Rules};
pub use sender_constraint::{
    Binding, BindingKind, ConstraintFault, ConstraintMode, ConstraintModes, ProofKind, SenderConstraint,
};
pub use target_headers::{TargetHeader, TargetHeaders};
pub use token_source::{CredentialLocation, TokenSource, UnremovableCredential};
pub use validate::{ClaimFault, ValidatedToken, check_introspected_kind, is_named_dpop};

#[derive(Debug)]
pub struct Policy {
    pub providers: Providers,
    /// The list of revoked tokens.
    pub revocations: Option<RevocationSource>,
    /// Where credentials are located.
    pub token_source: TokenSource,
    pub rules: Rules,
    /// The proxies in front that describe the client's certificate in a header.
    pub client_certificate: Option<ForwardedCertificate>,
    /// The headers for the backend.
    pub forwarding: Forwarding,
    /// The headers that change the target and are kept.
    pub target_headers: TargetHeaders,
    /// The filter state for later filters and the access log.
    pub filter_state: FilterState,
    /// Whether the host selects the route again after the filter state is set.
    pub clear_route_cache: bool,
    /// The protected resource metadata, for clients without a token.
    pub resources: ProtectedResources,
    pub responses: Responses,
    /// Which decisions are logged.
    pub audit: AuditTrail,
    /// The path of the readiness endpoint, which reports whether keys are available.
    pub readiness_path: Option<String>,
    /// The limits of the token cache.
    pub cache: CacheLimits,
    /// How many used proofs the memory holds.
    pub max_proofs: u32,
}

impl Policy {
    /// The attributes of the host that a decision about the request needs: those of its rule, and the client's certificate
    /// where a provider's tokens may be bound to it.
    pub fn required_attributes(&self, rule: RuleId, credential: &Credential<'_>) -> Option<Rc<[Attribute]>> {
        let of_rule = self.rules.required_attributes(rule, credential);
        let reads_token = self.rules.rule(rule).access != Access::Public && matches!(credential, Credential::Token(..));
        if !reads_token || !self.providers.reads_certificates() {
            return of_rule;
        }
        let mut attributes: Vec<Attribute> = of_rule.as_deref().unwrap_or_default().to_vec();
        client_certificate::push_attributes(self.client_certificate.as_ref(), &mut attributes);
        Some(attributes.into())
    }

    /// Where the certificate of the request's client is, by the attributes of its connection.
    pub fn certificate_source(&self, attributes: &AttributeValues) -> CertificateSource {
        client_certificate::source(self.client_certificate.as_ref(), attributes)
    }

    /// The thumbprint of the client's certificate; `None` if it has shown none, or the host does not know it.
    ///
    /// # Errors
    /// If it is in a header that does not describe exactly one certificate.
    pub fn client_certificate(
        &self,
        head: &RequestHead,
        attributes: &AttributeValues,
    ) -> Result<Option<Thumbprint>, ConstraintFault> {
        let source = self.certificate_source(attributes);
        let shown = client_certificate::thumbprint(source, head, attributes);
        shown.map_err(|CertificateHeaderMalformed| ConstraintFault::CertificateHeaderMalformed)
    }

    /// Whether a field only says which certificate a client has shown to a proxy in front. It is removed in any case: whether
    /// it came from such a proxy is known only where a token is validated.
    fn describes_certificate(&self, name: &str) -> bool {
        self.client_certificate.as_ref().is_some_and(|forwarded| forwarded.removes(name))
    }

    /// The host's names for the upstreams of callouts, each once.
    pub fn upstreams(&self) -> Vec<&str> {
        let keys = self.providers.iter().filter_map(|(_, provider)| match &provider.keys {
            KeyOrigin::Remote(keys) => keys.address.upstream(),
            KeyOrigin::Inline(_) | KeyOrigin::IntrospectionOnly => None,
        });
        let introspections = self.providers.iter().filter_map(|(_, provider)| provider.introspection.as_ref());
        let introspections = introspections.filter_map(|settings| settings.address.upstream());
        let revocations = self.revocations.as_ref().map(|source| &*source.address.upstream);
        let mut upstreams = Vec::new();
        for upstream in keys.chain(introspections).chain(revocations) {
            if !upstreams.contains(&upstream) {
                upstreams.push(upstream);
            }
        }
        upstreams
    }
}

/// The limits of the token cache of one VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// The number of tokens. With 0 every token is verified again.
    pub tokens: usize,
    /// The approximate number of bytes.
    pub bytes: usize,
}

impl Default for CacheLimits {
    fn default() -> Self {
        Self { tokens: 4096, bytes: 16 * 1024 * 1024 }
    }
}

impl Policy {
    /// The edits for every request that is forwarded, whatever allows it. They remove identity headers of the client,
    /// headers that change the target, credentials and the secret of `responses.debug`, and remove their names from
    /// `connection`.
    ///
    /// # Errors
    /// If a credential cannot be removed. The request must not be forwarded then.
    pub fn strip(&self, head: &RequestHead) -> Result<Vec<HeaderEdit>, UnremovableCredential> {
        let mut has_connection = false;
        let mut edits = head.removals(|name| {
            has_connection |= name == HeaderName::CONNECTION.as_str();
            self.forwarding.is_managed(name)
                || self.target_headers.removes_header(name)
                || self.describes_certificate(name)
        });
        // Of no use to the backend, which the token is not forwarded to.
        if self.providers.accepts_proofs() {
            edits.extend(head.removals(|name| name == dpop::PROOF_HEADER.as_str()));
        }
        edits.extend(self.token_source.strip(head)?);
        edits.extend(self.responses.debug.iter().flat_map(|callers| callers.strip(head)));
        if has_connection {
            edits.extend(connection_edit(head));
        }
        Ok(edits)
    }

    /// Whether a trailer is removed. A backend that merges trailers into headers could read it as an identity header, a
    /// proxy's header, or an unverified credential.
    pub fn is_managed_trailer(&self, name: &str) -> bool {
        let is_debug = self.responses.debug.as_ref().is_some_and(|callers| callers.folds_to(name));
        let is_target = target_headers::removes_trailer(&name.to_ascii_lowercase());
        let is_proof = self.providers.accepts_proofs() && name.eq_ignore_ascii_case(dpop::PROOF_HEADER.as_str());
        self.forwarding.is_managed(name)
            || self.token_source.is_carrier(name)
            || self.describes_certificate(name)
            || is_target
            || is_debug
            || is_proof
    }
}

/// Envoy removes the headers that `connection` names, and `connection` itself, except in an upgrade request. There
/// `Connection: upgrade, x-user-id` reaches the backend, and Go and Apache remove our `x-user-id` (RFC 9110 section
/// 7.6.1).
fn connection_edit(head: &RequestHead) -> Option<HeaderEdit> {
    let name = HeaderName::CONNECTION;
    let is_option =
        |names: &[&str], option: &[u8]| names.iter().any(|name| option.eq_ignore_ascii_case(name.as_bytes()));
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
