//! All providers, and the selection of the one that validates a token.
//!
//! The issuer selects it. If several providers have the issuer, the audience selects one: their `audiences` are
//! disjoint, and a token with audiences of two of them is rejected. A token cannot choose its validation settings.

use std::collections::HashMap;
use std::rc::Rc;

use super::introspection::{Introspection, OpaqueTokens};
use super::provider::{Audiences, Provider};
use super::sender_constraint::ConstraintMode;
use super::validate::ClaimFault;
use crate::jose::{Algorithm, Claim, UnverifiedToken};

#[derive(Debug)]
pub struct Providers {
    providers: Vec<Provider>,
    by_issuer: HashMap<Rc<str>, IssuerProviders>,
    reads_certificates: bool,
    accepts_proofs: bool,
}

/// The id of one of the policy's providers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProviderId(usize);

impl ProviderId {
    /// Its number among the providers.
    pub fn index(self) -> u64 {
        u64::try_from(self.0).unwrap_or(u64::MAX)
    }
}

#[derive(Debug)]
enum IssuerProviders {
    One(ProviderId),
    /// Several: the audience of a token selects one of them.
    Several(Rc<ByAudience>),
}

type ByAudience = HashMap<String, Option<ProviderId>>;

/// The provider whose settings validate a token.
#[derive(Clone, Copy, Debug)]
pub struct SelectedProvider<'a> {
    pub id: ProviderId,
    pub provider: &'a Provider,
    /// The one of its issuers that the token names.
    pub issuer: &'a Rc<str>,
}

impl Providers {
    /// The loader has checked that providers with a common issuer have disjoint `audiences`. If they were not disjoint,
    /// tokens for the common ones would be rejected.
    pub fn new(providers: Vec<Provider>) -> Self {
        let ids = || providers.iter().enumerate().map(|(at, provider)| (ProviderId(at), provider));
        let mut issuers: HashMap<Rc<str>, Vec<ProviderId>> = HashMap::new();
        for (id, provider) in ids() {
            for issuer in provider.issuers() {
                issuers.entry(Rc::clone(issuer)).or_default().push(id);
            }
        }
        // Issuers that the same providers share have one map.
        let mut maps: HashMap<Vec<ProviderId>, Rc<ByAudience>> = HashMap::new();
        let of_issuer = |(issuer, shared_by): (Rc<str>, Vec<ProviderId>)| {
            let providers = match shared_by.as_slice() {
                [only] => IssuerProviders::One(*only),
                _ => {
                    let sharing = ids().filter(|(id, _)| shared_by.contains(id)).collect::<Vec<_>>();
                    let map = maps.entry(shared_by).or_insert_with(|| Rc::new(by_audience(&sharing)));
                    IssuerProviders::Several(Rc::clone(map))
                }
            };
            (issuer, providers)
        };
        let by_issuer = issuers.into_iter().map(of_issuer).collect();
        let constraints = || providers.iter().map(|provider| &provider.sender_constraint);
        let reads_certificates = constraints().any(|constraint| constraint.mtls != ConstraintMode::Off);
        let accepts_proofs = constraints().any(|constraint| constraint.dpop.is_some());
        Self { providers, by_issuer, reads_certificates, accepts_proofs }
    }

    /// Whether tokens of a provider may be bound to the client's certificate.
    pub const fn reads_certificates(&self) -> bool {
        self.reads_certificates
    }

    /// Whether tokens of a provider may be bound to a key, so that clients send proofs (DPoP).
    pub const fn accepts_proofs(&self) -> bool {
        self.accepts_proofs
    }

    /// Whether a provider accepts proofs of this algorithm.
    pub fn accept_proof_algorithm(&self, algorithm: Algorithm) -> bool {
        self.providers.iter().any(|provider| provider.accepts_proof_algorithm(algorithm))
    }

    /// Whether every token must be bound to a key.
    pub fn require_proofs(&self) -> bool {
        self.providers.iter().all(|provider| provider.sender_constraint.dpop_mode() == ConstraintMode::Required)
    }

    /// Selects the provider of a token by its unverified claims: `iss`, which equals one of the provider's issuers
    /// exactly (RFC 8725 section 3.8: no prefix, no folding), and `aud` if several providers have that issuer. This
    /// verifies nothing. The provider's own checks follow, including issuer and audience.
    ///
    /// # Errors
    /// If no provider has the issuer, or if not exactly one of those that share it has an audience of the token.
    pub fn select(&self, token: &UnverifiedToken) -> Result<SelectedProvider<'_>, ClaimFault> {
        let issuer = match token.claimed_issuer() {
            Claim::Valid(issuer) => issuer,
            Claim::Absent | Claim::Malformed => return Err(ClaimFault::IssuerMalformed),
        };
        let (issuer, providers) = self.by_issuer.get_key_value(issuer).ok_or(ClaimFault::IssuerUnknown)?;
        let id = match providers {
            IssuerProviders::One(id) => *id,
            IssuerProviders::Several(map) => match token.claimed_audiences() {
                Claim::Valid(audiences) => select_by_audience(map, &audiences)?,
                Claim::Absent => return Err(ClaimFault::AudienceMissing),
                Claim::Malformed => return Err(ClaimFault::AudienceMalformed),
            },
        };
        let provider = self.get(id).ok_or(ClaimFault::IssuerUnknown)?;
        Ok(SelectedProvider { id, provider, issuer })
    }

    /// The providers with exactly this issuer, in the order of the configuration.
    pub fn of_issuer(&self, issuer: &str) -> impl Iterator<Item = (ProviderId, &Provider)> {
        self.iter().filter(move |(_, provider)| provider.find_issuer(issuer).is_some())
    }

    /// The provider with this id.
    pub fn get(&self, id: ProviderId) -> Option<&Provider> {
        self.providers.get(id.0)
    }

    /// The provider of tokens without an issuer.
    pub fn opaque_token_provider(&self) -> Option<(ProviderId, &Provider)> {
        let accepts = |settings: &Introspection| settings.opaque_tokens == OpaqueTokens::Accepted;
        self.iter().find(|(_, provider)| provider.introspection.as_ref().is_some_and(accepts))
    }

    /// All providers, in the order of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = (ProviderId, &Provider)> {
        self.providers.iter().enumerate().map(|(at, provider)| (ProviderId(at), provider))
    }

    /// Every algorithm that some provider accepts for tokens or proofs.
    pub fn algorithms(&self) -> Vec<Algorithm> {
        let is_allowed = |algorithm: &Algorithm| {
            self.providers
                .iter()
                .any(|provider| provider.accepts_proof_algorithm(*algorithm) || provider.algorithms.contains(algorithm))
        };
        Algorithm::ALL.into_iter().filter(is_allowed).collect()
    }
}

/// The provider of each audience, or `None` for an audience of several providers.
fn by_audience(sharing: &[(ProviderId, &Provider)]) -> ByAudience {
    let mut found = ByAudience::new();
    for (id, provider) in sharing {
        let audiences = match &provider.audiences {
            Audiences::AnyOf(names) => names.as_slice(),
            Audiences::InsecureAny => &[],
        };
        for name in audiences {
            let owner = found.entry(name.clone()).or_insert(Some(*id));
            *owner = owner.filter(|owner| owner == id);
        }
    }
    found
}

/// The single provider with an audience of the token. Audiences without a provider are ignored.
fn select_by_audience(by_audience: &ByAudience, audiences: &[&str]) -> Result<ProviderId, ClaimFault> {
    let mut owners = audiences.iter().filter_map(|name| by_audience.get(*name).copied());
    match owners.next() {
        None => Err(ClaimFault::AudienceUnexpected),
        Some(Some(first)) if owners.all(|other| other == Some(first)) => Ok(first),
        Some(_) => Err(ClaimFault::AudienceAmbiguous),
    }
}
