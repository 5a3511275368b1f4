//! A token issuer and the requirements for its tokens.

use std::rc::Rc;
use std::time::Duration;

use super::dpop::NonceMode;
use super::introspection::Introspection;
use super::issuer_metadata::EndpointAddress;
use super::sender_constraint::SenderConstraint;
use crate::jose::{Algorithm, Claim, Claims, KeySet};
use crate::unix_time::UnixTime;

#[derive(Debug)]
pub struct Provider {
    /// The operator's name for it, for logs.
    pub name: Rc<str>,
    /// The exact `iss` of its tokens. If there are several, the first.
    pub issuer: Rc<str>,
    /// The other accepted values of `iss`.
    pub additional_issuers: Vec<Rc<str>>,
    /// Whether it is an authorization server of Okta.
    pub is_okta: bool,
    pub audiences: Audiences,
    pub algorithms: Vec<Algorithm>,
    /// The tolerated difference between its clock and ours.
    pub clock_skew: Duration,
    /// The accepted clients. `None` accepts all.
    pub client_ids: Option<Vec<String>>,
    /// The greatest accepted `exp - iat`.
    pub max_token_lifetime: Option<Duration>,
    /// Whether its access tokens may have a `nonce`.
    pub accept_nonce: bool,
    /// Whether its tokens may, or must, be bound to the client's certificate or key.
    pub sender_constraint: SenderConstraint,
    /// The names of the subject, client and scope claims.
    pub claim_names: ClaimNames,
    /// The source of its keys.
    pub keys: KeyOrigin,
    /// The introspection settings, if configured.
    pub introspection: Option<Introspection>,
}

impl Provider {
    /// All accepted values of `iss`.
    pub fn issuers(&self) -> impl Iterator<Item = &Rc<str>> {
        std::iter::once(&self.issuer).chain(&self.additional_issuers)
    }

    /// The issuer that equals `name` exactly.
    pub fn find_issuer(&self, name: &str) -> Option<&Rc<str>> {
        self.issuers().find(|issuer| ***issuer == *name)
    }

    /// The issuer of a validated token of this provider. An introspection response may omit it (RFC 7662 section 2.2).
    /// It is then unknown if the provider has several issuers.
    pub fn issuer_of(&self, claims: &Claims) -> Option<&Rc<str>> {
        match claims.string("iss") {
            Claim::Absent => self.single_issuer(),
            Claim::Valid(name) => self.find_issuer(name),
            Claim::Malformed => None,
        }
    }

    /// Whether proofs for its tokens may have this algorithm.
    pub fn accepts_proof_algorithm(&self, algorithm: Algorithm) -> bool {
        self.sender_constraint.dpop.as_ref().is_some_and(|dpop| dpop.algorithms.contains(&algorithm))
    }

    /// Whether its proofs must have nonces that are made with a key of the process.
    pub fn makes_nonces_of_process(&self) -> bool {
        self.sender_constraint.dpop.as_ref().is_some_and(|dpop| matches!(dpop.nonce, NonceMode::OfProcess))
    }

    /// The issuer, if there is exactly one.
    pub fn single_issuer(&self) -> Option<&Rc<str>> {
        self.additional_issuers.is_empty().then_some(&self.issuer)
    }

    /// Whether a token with this `exp` is expired, with the clock skew in its favour.
    pub fn is_expired(&self, expiry: UnixTime, now: UnixTime) -> bool {
        now >= expiry.plus(self.clock_skew)
    }
}

/// The accepted values of `aud`.
#[derive(Debug, PartialEq, Eq)]
pub enum Audiences {
    /// At least one of these.
    AnyOf(Vec<String>),
    /// Any audience. The name of the setting contains `insecure`.
    InsecureAny,
}

/// The names of the claims of a provider's tokens. If a claim has several names, the first one present is used.
#[derive(Debug, PartialEq, Eq)]
pub struct ClaimNames {
    pub subject: String,
    pub client: Vec<String>,
    pub scope: Vec<String>,
    /// The path of literal names to the groups. Every validated token shares it.
    pub groups: Rc<[String]>,
}

impl Default for ClaimNames {
    fn default() -> Self {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            subject: String::from("sub"),
            client: owned(&Self::USUAL_CLIENT),
            scope: owned(&Self::USUAL_SCOPE),
            groups: Rc::from([Self::USUAL_GROUPS.to_owned()]),
        }
    }
}

impl ClaimNames {
    /// The client claim of Okta, RFC 9068 and OpenID Connect.
    pub const USUAL_CLIENT: [&str; 3] = ["cid", "client_id", "azp"];
    /// The scope claim of Okta and RFC 9068.
    pub const USUAL_SCOPE: [&str; 2] = ["scp", "scope"];
    /// The group claim that Okta suggests.
    pub const USUAL_GROUPS: &str = "groups";
}

/// The source of a provider's keys.
#[derive(Debug)]
pub enum KeyOrigin {
    /// The configuration contains them.
    Inline(KeySet),
    /// They are fetched.
    Remote(RemoteKeys),
    /// There are none. All tokens are introspected, whatever their format.
    IntrospectionOnly,
}

/// How keys are fetched and how long they are used.
#[derive(Clone, Debug)]
pub struct RemoteKeys {
    /// The key set document.
    pub address: EndpointAddress,
    /// The longest interval between fetches. `Cache-Control` may shorten it.
    pub refresh: Duration,
    /// How long after its fetch the last set is used while fetches fail.
    pub max_stale: Duration,
    /// The timeout of one fetch, and so how long a request waits for it.
    pub timeout: Duration,
    /// Unknown key ids cause one fetch per this interval, and a few more at once.
    pub unknown_kid_cooldown: Duration,
}
