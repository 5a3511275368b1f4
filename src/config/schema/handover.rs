//! What is handed over beside claim headers, as the operator writes it: `filter_state` to other filters and the access log,
//! `protected_resources` to clients that have no token yet.

use serde_json::Value;

use super::ClaimPath;
use crate::config::fault::{ConfigFault, ConfigProblem, Path};
use crate::config::reading::{Read, document};
use crate::policy::{ClaimFormat, ClaimSource, DecisionPart, StateSource};

document! {
    /// A claim in filter state.
    StateClaimDocument {
        /// What it is called: with `auth_` before it, `tenant` becomes `wasm.auth_tenant`.
        name: String,
        /// The claim: a name, or a list of names that leads to a nested one. Names are literal.
        claim: ClaimPath,
        /// `string`, `space`, `comma` or `json`, as in `claim_to_headers`. Left out: `string`.
        format: ClaimFormat,
    }
}

document! {
    /// A protected resource and its metadata (RFC 9728 section 2). What is left out of the lists is derived.
    ProtectedResourceDocument {
        /// The resource's identifier: the `https` URL that clients use, in one spelling, without query.
        resource: String,
        /// The issuers whose tokens are accepted. Left out: those of all providers.
        authorization_servers: Vec<String>,
        /// The scopes that clients may ask for. Left out: those that are asked for by the rules that requests for this
        /// resource may come under.
        scopes_supported: Vec<String>,
        /// A name for people.
        resource_name: String,
        /// The address of a page for developers.
        resource_documentation: String,
        /// The address of a page about what clients may do with the data.
        resource_policy_uri: String,
        /// The address of the terms of service.
        resource_tos_uri: String,
    }
}

/// One entry of `filter_state`: one of the words below, or a claim under a name of the operator's.
#[derive(Debug)]
pub enum FilterStateDocument {
    /// A word and what it stands for.
    Word(&'static str, StateSource),
    /// A claim.
    Claim(StateClaimDocument),
}

/// The words, the verdict's first.
pub const WORDS: [&str; 15] = [
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
    "source",
    "proof",
    "introspection",
];

/// What a word stands for.
pub fn meaning(word: &str) -> Option<StateSource> {
    let decision = |part| Some(StateSource::Decision(part));
    let identity = |source, format| Some(StateSource::Claim(source, format));
    let claim = |name: &str| identity(ClaimSource::Claim(vec![name.to_owned()]), ClaimFormat::String);
    match word {
        "decision" => decision(DecisionPart::Verdict),
        "reason" => decision(DecisionPart::Reason),
        "rule" => decision(DecisionPart::Rule),
        "would_deny" => decision(DecisionPart::WouldDeny),
        "provider" => decision(DecisionPart::Provider),
        "issuer" => decision(DecisionPart::Issuer),
        "required_scopes" => decision(DecisionPart::RequiredScopes),
        "source" => decision(DecisionPart::Source),
        "proof" => decision(DecisionPart::Proof),
        "introspection" => decision(DecisionPart::Introspection),
        "subject" => identity(ClaimSource::Subject, ClaimFormat::String),
        "client" => identity(ClaimSource::Client, ClaimFormat::String),
        "scopes" => identity(ClaimSource::Scopes, ClaimFormat::Space),
        "token_id" => claim("jti"),
        "acr" => claim("acr"),
        _ => None,
    }
}

impl Read for FilterStateDocument {
    fn read(value: &Value, at: &Path, faults: &mut Vec<ConfigFault>) -> Option<Self> {
        if let Value::Object(_) = value {
            return StateClaimDocument::read(value, at, faults).map(Self::Claim);
        }
        let word = WORDS.into_iter().find(|word| value.as_str() == Some(word));
        let found = word.and_then(|word| Some(Self::Word(word, meaning(word)?)));
        if found.is_none() {
            faults.push(at.fault(ConfigProblem::Unusable(
                "one of \"decision\", \"reason\", \"rule\", \"would_deny\", \"provider\", \"issuer\", \"subject\", \"client\", \"token_id\", \"scopes\", \"required_scopes\", \"acr\", \"source\", \"proof\", \"introspection\", or an object with `name` and `claim`",
            )));
        }
        found
    }
}
