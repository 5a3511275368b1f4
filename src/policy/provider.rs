//! One token issuer and what the operator expects of its tokens.

use std::rc::Rc;
use std::time::Duration;

use super::callout_address::CalloutAddress;
use super::callout_headers::CalloutHeaders;
use super::introspection::Introspection;
use crate::jose::{Algorithm, Claim, Claims, KeySet};
use crate::unix_time::UnixTime;

/// A token issuer.
#[derive(Debug)]
pub struct Provider {
    /// The operator's name for it, in logs.
    pub name: Rc<str>,
    /// The exact `iss` of its tokens; of several the first.
    pub issuer: Rc<str>,
    /// The other values of `iss` that its tokens may have.
    pub additional_issuers: Vec<Rc<str>>,
    /// Who the tokens must be meant for.
    pub audiences: Audiences,
    /// The algorithms its tokens may be signed with.
    pub algorithms: Vec<Algorithm>,
    /// How far its clock and ours may differ.
    pub clock_skew: Duration,
    /// When given, the only clients whose tokens are accepted.
    pub client_ids: Option<Vec<String>>,
    /// The longest `exp - iat` that is accepted.
    pub max_token_lifetime: Option<Duration>,
    /// Whether its access tokens may have a `nonce`.
    pub accept_nonce: bool,
    /// Where subject, client and scopes stand.
    pub claim_names: ClaimNames,
    /// Where its keys come from.
    pub keys: KeyOrigin,
    /// How it is asked about tokens, if it is.
    pub introspection: Option<Introspection>,
}

impl Provider {
    /// All values of `iss` that its tokens may have.
    pub fn issuers(&self) -> impl Iterator<Item = &Rc<str>> {
        std::iter::once(&self.issuer).chain(&self.additional_issuers)
    }

    /// The issuer that is exactly `name`.
    pub fn issuer_named(&self, name: &str) -> Option<&Rc<str>> {
        self.issuers().find(|issuer| ***issuer == *name)
    }

    /// The issuer of an admitted token of this provider. Introspection responses may leave it out (RFC 7662 section 2.2);
    /// where the provider has several it is then not known.
    pub fn issuer_of(&self, claims: &Claims) -> Option<&Rc<str>> {
        match claims.text("iss") {
            Claim::Absent => self.only_issuer(),
            Claim::Valid(name) => self.issuer_named(name),
            Claim::Malformed => None,
        }
    }

    /// The issuer, when there is only one.
    pub fn only_issuer(&self) -> Option<&Rc<str>> {
        self.additional_issuers.is_empty().then_some(&self.issuer)
    }

    /// Whether a token with this `exp` has expired, the skew in its favour.
    pub fn takes_as_expired(&self, expiry: UnixTime, now: UnixTime) -> bool {
        now >= expiry.plus(self.clock_skew)
    }
}

/// Who a token must be meant for (`aud`).
#[derive(Debug, PartialEq, Eq)]
pub enum Audiences {
    /// At least one of these.
    AnyOf(Vec<String>),
    /// Anybody: the operator asked for it by a name with `insecure` in it.
    InsecureAny,
}

/// The names under which a provider's tokens carry what every token carries; of several the first
/// that is present counts.
#[derive(Debug, PartialEq, Eq)]
pub struct ClaimNames {
    /// Whom the token speaks for.
    pub subject: String,
    /// The OAuth client it was issued to.
    pub client: Vec<String>,
    /// What it grants.
    pub scope: Vec<String>,
    /// The path of literal names to the groups; shared with every token that is admitted.
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
    /// Okta's name, RFC 9068's and OpenID Connect's for the client.
    pub const USUAL_CLIENT: [&str; 3] = ["cid", "client_id", "azp"];
    /// Okta's name and RFC 9068's for the scopes.
    pub const USUAL_SCOPE: [&str; 2] = ["scp", "scope"];
    /// The name that Okta suggests for the groups.
    pub const USUAL_GROUPS: &str = "groups";
}

/// Where a provider's keys come from.
#[derive(Debug)]
pub enum KeyOrigin {
    /// The configuration holds them.
    Inline(KeySet),
    /// They are fetched.
    Remote(RemoteKeys),
    /// There are none that anybody else could use: what its tokens are is known by introspection alone, whatever they
    /// look like.
    IntrospectionOnly,
}

/// How keys are fetched and how long they are good for.
#[derive(Clone, Debug)]
pub struct RemoteKeys {
    /// The key set document.
    pub address: KeyAddress,
    /// A fetched set is fetched again after this long at most; `Cache-Control` may shorten it.
    pub refresh: Duration,
    /// When fetching fails, the last good set stays in use this long after it was fetched.
    pub max_stale: Duration,
    /// How long one fetch may take, and so how long a request waits for it.
    pub timeout: Duration,
    /// Tokens with unknown key ids cause one fetch in this time, and a few more at once.
    pub unknown_kid_cooldown: Duration,
}

/// Where the key set document is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyAddress {
    /// The operator says where, or the Okta preset knows.
    Known(CalloutAddress),
    /// The issuer's metadata says.
    Discovered(Discovery),
}

impl KeyAddress {
    /// The same, with these headers for every callout.
    #[must_use]
    pub fn with_headers(self, headers: &CalloutHeaders) -> Self {
        match self {
            Self::Known(address) => Self::Known(address.with_headers(headers)),
            Self::Discovered(discovery) => Self::Discovered(discovery.with_headers(headers)),
        }
    }
}

/// How to find an issuer's keys by its metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// The issuer that the metadata must name.
    pub issuer: String,
    /// Where its metadata may be, in the order in which they are tried.
    pub documents: Vec<CalloutAddress>,
}

impl Discovery {
    /// The metadata addresses of `issuer`: OpenID Connect appends the well-known name to the issuer
    /// (Discovery 1.0 section 4), RFC 8414 section 3.1 puts its own between host and path.
    pub fn of(issuer: &str, upstream: &str) -> Option<Self> {
        let home = CalloutAddress::parse(issuer, upstream)?;
        let path = home.path.trim_end_matches('/');
        let paths = [
            format!("{path}/.well-known/openid-configuration"),
            format!("/.well-known/oauth-authorization-server{path}"),
        ];
        let documents = paths.map(|path| CalloutAddress { path, ..home.clone() }).to_vec();
        Some(Self { issuer: issuer.to_owned(), documents })
    }

    /// The same, with these headers for every callout.
    #[must_use]
    pub fn with_headers(self, headers: &CalloutHeaders) -> Self {
        let documents = self.documents.into_iter().map(|document| document.with_headers(headers)).collect();
        Self { documents, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test(unsupported = test)]
    fn metadata_is_looked_for_where_the_two_standards_put_it() {
        let paths = |issuer| {
            Discovery::of(issuer, "idp").unwrap().documents.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            paths("https://idp.example/realms/a"),
            [
                "https://idp.example/realms/a/.well-known/openid-configuration",
                "https://idp.example/.well-known/oauth-authorization-server/realms/a"
            ]
        );
        let at_the_root = [
            "https://idp.example/.well-known/openid-configuration",
            "https://idp.example/.well-known/oauth-authorization-server",
        ];
        assert_eq!(paths("https://idp.example"), at_the_root);
        assert_eq!(paths("https://idp.example/"), at_the_root);
    }
}
