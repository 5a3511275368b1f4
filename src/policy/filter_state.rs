//! The names and values in the host's filter state, for later filters and the access log.
//!
//! Operators use filter state in access logs, in rules of other filters (RBAC) and as rate limit keys, because no
//! client can write it. Values of a *token* are built once per token, like its headers. Values of a *decision* are
//! built per request. Values are as safe to write as header values, because a text access log prints line breaks. The
//! engine decides what is set: nothing from an unverified token.

use std::borrow::Cow;
use std::rc::Rc;

use super::forward::{ClaimFormat, ClaimSource, Unforwardable};
use super::validate::ValidatedToken;
use crate::http::HeaderValue;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateEntry {
    /// The name, which is unique.
    pub name: Rc<str>,
    pub value: HeaderValue,
}

impl StateEntry {
    /// The approximate memory of the entry.
    pub fn held_bytes(&self) -> usize {
        self.value.as_str().len().saturating_add(size_of::<Self>())
    }
}

/// The configured filter state. It is empty if the feature is off.
#[derive(Clone, Debug, Default)]
pub struct FilterState {
    decision: Vec<(Rc<str>, DecisionPart)>,
    identity: Vec<(Rc<str>, ClaimSource, ClaimFormat)>,
}

/// One configured name and its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateItem {
    pub name: Rc<str>,
    /// The source of its value.
    pub source: StateSource,
}

/// The source of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateSource {
    Decision(DecisionPart),
    /// A claim of a validated token.
    Claim(ClaimSource, ClaimFormat),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecisionPart {
    Verdict,
    Reason,
    /// The name of the rule, if it has one.
    Rule,
    /// The provider's name, if the token's issuer is configured.
    Provider,
    Issuer,
    /// Why a report-only rule would have denied the allowed request.
    WouldDeny,
    /// The scopes that the rule requires.
    RequiredScopes,
    /// What the authenticated token is bound to.
    SenderConstraint,
    /// The location of the token.
    Source,
    /// How the token was verified.
    Proof,
    /// The source of the introspection response, if the token was introspected.
    Introspection,
}

impl FilterState {
    /// The loader has checked that names are unique. If there are any names, the verdict is among them and first: its
    /// presence shows the host that the filter state is already set.
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

    /// All names, the verdict first. Empty if the feature is off.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let identity = self.identity.iter().map(|(name, _, _)| name);
        self.decision.iter().map(|(name, _)| name).chain(identity).map(AsRef::as_ref)
    }

    /// The values of a token.
    ///
    /// # Errors
    /// If a value cannot be written completely and exactly.
    pub fn of_token(&self, token: &ValidatedToken) -> Result<Vec<StateEntry>, Unforwardable> {
        let mut entries = Vec::with_capacity(self.identity.len());
        for (name, source, format) in &self.identity {
            let value = source.header_value(*format, token)?;
            entries.extend(value.map(|value| StateEntry { name: Rc::clone(name), value }));
        }
        Ok(entries)
    }

    /// The values of a decision, the verdict first. `value_of` returns the parts that exist.
    pub fn of_decision<'a>(&self, value_of: impl Fn(DecisionPart) -> Option<Cow<'a, str>>) -> Vec<StateEntry> {
        let entry = |(name, part): &(Rc<str>, DecisionPart)| {
            let value = HeaderValue::encode(&value_of(*part)?, None);
            Some(StateEntry { name: Rc::clone(name), value })
        };
        self.decision.iter().filter_map(entry).collect()
    }
}
