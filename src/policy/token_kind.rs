//! Which kind of token the claims describe: access tokens are accepted, tokens that say that they are another kind are
//! not (RFC 9068 section 5, RFC 8725 section 3.11).
//!
//! Issuers name access tokens in many ways, so the rule lists the kinds that are *not* one. The same rule applies to
//! JWTs and to introspection responses: an endpoint also knows refresh and ID tokens (RFC 7662 section 2.1).

use serde_json::Value;

use crate::jose::{Claim, Claims};

/// The claims that name the kind of a token: `typ` (Keycloak), `token_type` (RFC 7662; Salesforce and Django write a kind
/// there), `token_use` (Cognito, Ory Hydra), `token_usage` (OpenIddict), `tokenName` (ForgeRock).
const KIND_CLAIMS: [&str; 5] = ["typ", "token_type", "token_use", "token_usage", "tokenName"];

/// Kinds other than access tokens, normalized. `n_a` is RFC 8693's name for "no access token"; `mac` and `pop` need a
/// proof that is not checked.
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

/// Kinds that only an access token has, normalized.
const ACCESS_KINDS: [&str; 4] = ["access", "at", "bearer", "dpop"];

/// Claims of ID tokens (OpenID Connect Core section 3.1.3.6 and 3.3.2.11) and of security event tokens (RFC 8417), which
/// logout tokens are too. No access token has them.
const OTHER_KINDS_MARKS: [&str; 3] = ["at_hash", "c_hash", "events"];

/// What a token is by its claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An access token, or nothing says otherwise.
    Access,
    /// An access token that its type binds to a sender.
    SenderConstrained,
    /// Another kind, or a claim that names a kind is of the wrong type.
    Other,
}

/// Where a `nonce` is no sign of an ID token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nonce {
    /// The JOSE header says `at+jwt`.
    Accepted,
    /// The provider has `accept_nonce`: a claim must name the token an access token.
    AcceptedInAccessTokens,
    /// Everywhere else.
    Rejected,
}

/// The kind of the token with these claims.
pub(super) fn kind(claims: &Claims, nonce: Nonce) -> Kind {
    let mut is_named_access = false;
    let mut is_sender_constrained = false;
    for name in KIND_CLAIMS {
        match claims.texts(name) {
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
    let has = |mark: &str| !matches!(claims.members().get(mark), None | Some(Value::Null));
    let has_accepted_nonce = match nonce {
        Nonce::Accepted => true,
        Nonce::AcceptedInAccessTokens => is_named_access,
        Nonce::Rejected => false,
    };
    // Okta numbers its ID tokens like this.
    let is_okta_id_token = matches!(claims.text("jti"), Claim::Valid(id) if id.starts_with("ID."));
    let is_marked = OTHER_KINDS_MARKS.iter().any(|mark| has(mark)) || (has("nonce") && !has_accepted_nonce);
    match (is_okta_id_token || is_marked, is_sender_constrained) {
        (true, _) => Kind::Other,
        (false, true) => Kind::SenderConstrained,
        (false, false) => Kind::Access,
    }
}

/// A kind without what issuers write around it: `ID`, `id_token`, `id-token`, `id_token+jwt` and
/// `urn:ietf:params:oauth:token-type:id_token` (RFC 8693 section 3) are one.
fn normalized(kind: &str) -> String {
    let kind = kind.to_ascii_lowercase();
    let kind = kind.strip_prefix("urn:ietf:params:oauth:token-type:").unwrap_or(&kind);
    let kind = kind.strip_prefix("application/").unwrap_or(kind);
    let kind = kind.strip_suffix("+jwt").unwrap_or(kind).replace(['-', '/', ' '], "_");
    ["_token", "token"].iter().find_map(|end| kind.strip_suffix(end)).unwrap_or(&kind).to_owned()
}
