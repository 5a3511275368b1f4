//! Determines the kind of a token from its claims. Access tokens are accepted, other declared kinds are not (RFC 9068
//! section 5, RFC 8725 section 3.11).
//!
//! Issuers name access tokens in many ways, so the rule lists the kinds that are *not* access tokens. It applies to
//! JWTs and to introspection responses, because an endpoint also introspects refresh and ID tokens (RFC 7662 section
//! 2.1).

use serde_json::Value;

use crate::jose::{Claim, Claims};

/// The claims that declare the kind of a token: `typ` (Keycloak), `token_type` (RFC 7662; Salesforce and Django declare
/// a kind there), `token_use` (Cognito, Ory Hydra), `token_usage` (OpenIddict), `tokenName` (ForgeRock).
const KIND_CLAIMS: [&str; 5] = ["typ", "token_type", "token_use", "token_usage", "tokenName"];

/// Normalized kinds other than access tokens. `n_a` is RFC 8693's name for "no access token". `mac` and `pop` require a
/// proof of possession that is not supported.
const OTHER_KINDS: [&str; 22] = [
    "authorization_code",
    "client_authentication",
    "device_code",
    "id",
    "initial_access",
    "initialaccess",
    "kb",
    "logout",
    "mac",
    "n_a",
    "oauth_authz_req",
    "offline",
    "pop",
    "refresh",
    "registration_access",
    "registrationaccess",
    "request",
    "saml1",
    "saml2",
    "secevent",
    "serialized_id",
    "token_introspection",
];

/// Normalized kinds of access tokens only.
const ACCESS_KINDS: [&str; 4] = ["access", "at", "bearer", "dpop"];

/// Claims of ID tokens (OpenID Connect Core sections 3.1.3.6 and 3.3.2.11) and of security event tokens (RFC 8417),
/// which include logout tokens. No access token has them.
const OTHER_KIND_CLAIMS: [&str; 3] = ["at_hash", "c_hash", "events"];

/// The kind of a token according to its claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An access token, or no claim says otherwise.
    Access,
    /// A sender-constrained access token.
    SenderConstrained,
    /// Another kind, or a claim that declares the kind has the wrong type.
    Other,
}

/// Whether a `nonce` marks an ID token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nonce {
    /// It does not: the JOSE header has `typ` `at+jwt`.
    Accepted,
    /// It does not if a claim declares an access token: the provider has `accept_nonce`.
    AcceptedInAccessTokens,
    /// It does.
    Rejected,
}

/// The kind of a token with these claims.
pub(super) fn kind(claims: &Claims, nonce: Nonce) -> Kind {
    let mut is_named_access = false;
    let mut is_sender_constrained = false;
    for name in KIND_CLAIMS {
        match claims.strings(name) {
            Claim::Absent => {}
            Claim::Malformed => return Kind::Other,
            Claim::Valid(kinds) => {
                for kind in kinds.into_iter().map(normalized) {
                    if OTHER_KINDS.contains(&kind.as_str()) {
                        return Kind::Other;
                    }
                    is_sender_constrained |= kind == "dpop";
                    is_named_access |= ACCESS_KINDS.contains(&kind.as_str());
                }
            }
        }
    }
    let has = |claim: &str| !matches!(claims.members().get(claim), None | Some(Value::Null));
    let has_accepted_nonce = match nonce {
        Nonce::Accepted => true,
        Nonce::AcceptedInAccessTokens => is_named_access,
        Nonce::Rejected => false,
    };
    // Okta's ID tokens have such a `jti`.
    let is_okta_id_token = matches!(claims.string("jti"), Claim::Valid(id) if id.starts_with("ID."));
    let has_other_kind_claim =
        OTHER_KIND_CLAIMS.iter().any(|claim| has(claim)) || (has("nonce") && !has_accepted_nonce);
    match (is_okta_id_token || has_other_kind_claim, is_sender_constrained) {
        (true, _) => Kind::Other,
        (false, true) => Kind::SenderConstrained,
        (false, false) => Kind::Access,
    }
}

/// Removes the variations of a kind: `ID`, `id_token`, `id-token`, `id_token+jwt` and
/// `urn:ietf:params:oauth:token-type:id_token` (RFC 8693 section 3) are equal.
fn normalized(kind: &str) -> String {
    let kind = kind.to_ascii_lowercase();
    let kind = kind.strip_prefix("urn:ietf:params:oauth:token-type:").unwrap_or(&kind);
    let kind = kind.strip_prefix("application/").unwrap_or(kind);
    let kind = kind.strip_suffix("+jwt").unwrap_or(kind).replace(['-', '/', ' '], "_");
    ["_token", "token"].iter().find_map(|end| kind.strip_suffix(end)).unwrap_or(&kind).to_owned()
}
