//! The operator's rules, compiled and immutable: a [`Policy`] that exists cannot be wrong.
//!
//! Made by `config`, read by `engine`. Knows what a token means ([`admit`]), where it is looked for
//! ([`token_source`]) and what the backend is told of it ([`forward`]); knows neither JSON documents
//! nor hosts, keeps no state and reads no clock.

pub mod admit;
pub mod callout_address;
pub mod condition;
pub mod forward;
pub mod provider;
pub mod token_source;

use std::collections::HashMap;

use crate::http::{HeaderEdit, RequestHead};
use crate::jose::Algorithm;

pub use admit::{AdmittedToken, ClaimFault};
pub use callout_address::CalloutAddress;
pub use condition::{Condition, ConditionError, ConditionFault};
pub use forward::{ClaimFormat, ClaimSource, ForwardedClaim, Forwarding};
pub use provider::{Audiences, ClaimNames, Discovery, KeyAddress, KeyOrigin, Provider, RemoteKeys};
pub use token_source::{TokenSource, Unwritable};

/// The whole of what the operator wants.
#[derive(Debug)]
pub struct Policy {
    providers: Vec<Provider>,
    by_issuer: HashMap<String, ProviderId>,
    /// Where tokens are looked for.
    pub token_source: TokenSource,
    /// What the backend is told.
    pub forwarding: Forwarding,
    /// The `realm` of challenges (RFC 9110 section 11.5).
    pub realm: String,
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

/// One of the policy's providers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProviderId(usize);

impl Policy {
    /// Puts a policy together. Issuers are taken to be distinct; the loader has seen to that.
    pub fn new(
        providers: Vec<Provider>,
        token_source: TokenSource,
        forwarding: Forwarding,
        realm: String,
        readiness_path: Option<String>,
        cache: CacheLimits,
    ) -> Self {
        let by_issuer =
            providers.iter().enumerate().map(|(at, provider)| (provider.issuer.clone(), ProviderId(at))).collect();
        Self { providers, by_issuer, token_source, forwarding, realm, readiness_path, cache }
    }

    /// What is taken out of every request that goes on, whatever lets it: the headers that only we may
    /// write, and the credentials.
    ///
    /// # Errors
    /// When a credential cannot be taken out; then the request must not go on.
    pub fn strip(&self, head: &RequestHead) -> Result<Vec<HeaderEdit>, Unwritable> {
        let mut edits = self.forwarding.strip(head);
        edits.extend(self.token_source.strip(head)?);
        Ok(edits)
    }

    /// Whether a trailer of that name is taken out: a backend that merges trailers into headers would
    /// take it for an identity of ours, or for a credential that nobody has looked at.
    pub fn is_managed_trailer(&self, name: &str) -> bool {
        self.forwarding.is_managed(name) || self.token_source.is_carrier(name)
    }

    /// The provider whose issuer is exactly `issuer` (RFC 8725 section 3.8: no prefix, no folding).
    pub fn provider_of(&self, issuer: &str) -> Option<(ProviderId, &Provider)> {
        let id = *self.by_issuer.get(issuer)?;
        self.providers.get(id.0).map(|provider| (id, provider))
    }

    /// All providers, in the order of the configuration.
    pub fn providers(&self) -> impl Iterator<Item = (ProviderId, &Provider)> {
        self.providers.iter().enumerate().map(|(at, provider)| (ProviderId(at), provider))
    }

    /// Every algorithm that some provider's tokens may be signed with.
    pub fn algorithms(&self) -> Vec<Algorithm> {
        let is_allowed =
            |algorithm: &Algorithm| self.providers.iter().any(|known| known.algorithms.contains(algorithm));
        Algorithm::ALL.into_iter().filter(is_allowed).collect()
    }

    /// The provider of that id, if it is one of this policy's.
    pub fn provider(&self, id: ProviderId) -> Option<&Provider> {
        self.providers.get(id.0)
    }
}
