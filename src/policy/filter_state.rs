//! What later filters and the access log are told of a request: names and values in the host's filter state.
//!
//! Hosts that have filter state let the operator use it where no client can write: in access logs, in rules of other
//! filters (RBAC), as keys of rate limits. What is told of a *token* is made once for each token, as its headers are;
//! what is told of a *decision* with each. Values are as safe to write as those of headers: an access log in text form
//! would print a line break as one. Who may be told what is decided in the engine: of a token that was not proved nothing.

use std::borrow::Cow;
use std::rc::Rc;

use super::forward::{ClaimFormat, ClaimSource, Unforwardable};
use super::validate::ValidatedToken;
use crate::http::HeaderValue;

/// One value under one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateEntry {
    /// The name, each once.
    pub name: Rc<str>,
    /// The value.
    pub value: HeaderValue,
}

impl StateEntry {
    /// About how many bytes it holds on to.
    pub fn held_bytes(&self) -> usize {
        self.value.as_str().len().saturating_add(size_of::<Self>())
    }
}

/// Everything that is told, if anything is.
#[derive(Clone, Debug, Default)]
pub struct FilterState {
    decision: Vec<(Rc<str>, DecisionPart)>,
    identity: Vec<(Rc<str>, ClaimSource, ClaimFormat)>,
}

/// One name and what stands under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateItem {
    /// The name.
    pub name: Rc<str>,
    /// What it stands for.
    pub source: StateSource,
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateSource {
    /// Something of the decision.
    Decision(DecisionPart),
    /// Something of a token that was proved.
    Claim(ClaimSource, ClaimFormat),
}

/// What is told of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecisionPart {
    /// `allow` or `deny`.
    Verdict,
    /// Why.
    Reason,
    /// The rule's name, if it has one.
    Rule,
    /// The issuer's name, if the token names one of ours.
    Provider,
    /// That issuer.
    Issuer,
    /// Why a rule on trial would have refused what passed.
    WouldDeny,
    /// The scopes that the rule asks for.
    RequiredScopes,
    /// Where the token stood.
    Source,
    /// How it was proved.
    Proof,
    /// How good its issuer's answer was, where it was asked.
    Introspection,
}

impl FilterState {
    /// Names are distinct; the loader has seen to that. The verdict is among them whenever there are any, and the first:
    /// by it a host sees that somebody has told already.
    pub fn new(items: Vec<StateItem>) -> Self {
        let mut state = Self::default();
        for StateItem { name, source } in items {
            match source {
                StateSource::Decision(DecisionPart::Verdict) => {
                    state.decision.insert(0, (name, DecisionPart::Verdict));
                }
                StateSource::Decision(part) => state.decision.push((name, part)),
                StateSource::Claim(source, format) => state.identity.push((name, source, format)),
            }
        }
        state
    }

    /// All names, the verdict's first; none where nothing is told.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let identity = self.identity.iter().map(|(name, _, _)| name);
        self.decision.iter().map(|(name, _)| name).chain(identity).map(AsRef::as_ref)
    }

    /// What is told of a token.
    ///
    /// # Errors
    /// When a value cannot be written whole and exactly.
    pub fn of_token(&self, token: &ValidatedToken) -> Result<Vec<StateEntry>, Unforwardable> {
        let mut entries = Vec::with_capacity(self.identity.len());
        for (name, source, format) in &self.identity {
            let value = source.written(*format, token)?;
            entries.extend(value.map(|value| StateEntry { name: Rc::clone(name), value }));
        }
        Ok(entries)
    }

    /// What is told of a decision, the verdict first; `tell` knows the parts, those that there are.
    pub fn of_decision<'a>(&self, tell: impl Fn(DecisionPart) -> Option<Cow<'a, str>>) -> Vec<StateEntry> {
        let entry = |(name, part): &(Rc<str>, DecisionPart)| {
            let value = HeaderValue::encode(&tell(*part)?, None);
            Some(StateEntry { name: Rc::clone(name), value })
        };
        self.decision.iter().filter_map(entry).collect()
    }
}
