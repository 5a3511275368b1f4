//! The schema of what is forwarded besides claim headers: `filter_state` to other filters and the access log, and
//! `protected_resources` to clients without a token.

use serde_json::Value;

use super::claim_path::ClaimPath;
use crate::config::decode::{Decode, document};
use crate::config::error::{ConfigError, ConfigErrorKind, Path};
use crate::policy::{ClaimFormat, ClaimSource, DecisionPart, StateSource};

document! {
    /// A claim in filter state.
    StateClaimDocument {
        /// The name: `tenant` becomes the key `wasm.auth_tenant`.
        name: String,
        /// The claim: a name, or the list of names of the path to a nested claim. Names are literal.
        claim: ClaimPath,
        /// `string`, `space`, `comma` or `json`, as in `claim_to_headers`. Default: `string`.
        format: ClaimFormat,
    }
}

document! {
    /// A protected resource and its metadata (RFC 9728 section 2). Missing lists are derived.
    ProtectedResourceDocument {
        /// The resource identifier: the `https` URL that clients use, in normal form, without query.
        resource: String,
        /// The issuers whose tokens are accepted. Default: the issuers of all providers.
        authorization_servers: Vec<String>,
        /// The scopes that clients may request. Default: the scopes of the rules that may match requests for this resource.
        scopes_supported: Vec<String>,
        /// A display name.
        resource_name: String,
        /// The URL of a page for developers.
        resource_documentation: String,
        /// The URL of a page about the use of the data.
        resource_policy_uri: String,
        /// The URL of the terms of service.
        resource_tos_uri: String,
    }
}

/// One entry of `filter_state`: one of [`STATE_ITEMS`], or a claim under a name of the operator's.
#[derive(Debug)]
pub enum FilterStateDocument {
    /// An item of the filter.
    Word(&'static str, StateSource),
    /// A claim.
    Claim(StateClaimDocument),
}

/// The names of the filter's own items, that of the decision first.
pub const STATE_ITEMS: [&str; 18] = [
    "decision",
    "reason",
    "rule",
    "would_deny",
    "provider",
    "issuer",
    "subject",
    "client",
    "token_id",
    "scopes",
    "required_scopes",
    "acr",
    "sender_constraint",
    "jkt",
    "x5t_s256",
    "source",
    "proof",
    "introspection",
];

/// The source of a named item.
pub fn meaning(word: &str) -> Option<StateSource> {
    let decision = |part| Some(StateSource::Decision(part));
    let identity = |source, format| Some(StateSource::Claim(source, format));
    let nested = |path: &[&str]| {
        let path = path.iter().map(|name| (*name).to_owned()).collect();
        identity(ClaimSource::Claim(path), ClaimFormat::String)
    };
    let claim = |name: &str| nested(&[name]);
    match word {
        "decision" => decision(DecisionPart::Verdict),
        "reason" => decision(DecisionPart::Reason),
        "rule" => decision(DecisionPart::Rule),
        "would_deny" => decision(DecisionPart::WouldDeny),
        "provider" => decision(DecisionPart::Provider),
        "issuer" => decision(DecisionPart::Issuer),
        "required_scopes" => decision(DecisionPart::RequiredScopes),
        "sender_constraint" => decision(DecisionPart::SenderConstraint),
        "source" => decision(DecisionPart::Source),
        "proof" => decision(DecisionPart::Proof),
        "introspection" => decision(DecisionPart::Introspection),
        "subject" => identity(ClaimSource::Subject, ClaimFormat::String),
        "client" => identity(ClaimSource::Client, ClaimFormat::String),
        "scopes" => identity(ClaimSource::Scopes, ClaimFormat::Space),
        "token_id" => claim("jti"),
        "acr" => claim("acr"),
        // Tokens in which these are not thumbprints are rejected.
        "jkt" => nested(&["cnf", "jkt"]),
        "x5t_s256" => nested(&["cnf", "x5t#S256"]),
        _ => None,
    }
}

impl Decode for FilterStateDocument {
    fn decode(value: &Value, at: &Path, errors: &mut Vec<ConfigError>) -> Option<Self> {
        if let Value::Object(_) = value {
            return StateClaimDocument::decode(value, at, errors).map(Self::Claim);
        }
        let word = STATE_ITEMS.into_iter().find(|word| value.as_str() == Some(word));
        let found = word.and_then(|word| Some(Self::Word(word, meaning(word)?)));
        if found.is_none() {
            errors.push(at.error(ConfigErrorKind::Invalid(
                "one of \"decision\", \"reason\", \"rule\", \"would_deny\", \"provider\", \"issuer\", \"subject\", \"client\", \"token_id\", \"scopes\", \"required_scopes\", \"acr\", \"sender_constraint\", \"jkt\", \"x5t_s256\", \"source\", \"proof\", \"introspection\", or an object with `name` and `claim`",
            )));
        }
        found
    }
}
