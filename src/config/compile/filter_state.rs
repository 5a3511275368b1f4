//! `filter_state` -> [`FilterState`]: unique names.

use std::rc::Rc;

use super::diagnostics::Diagnostics;
use crate::config::error::Path;
use crate::config::schema::forwarding::{FilterStateDocument, STATE_ITEMS, StateClaimDocument, meaning};
use crate::policy::{ClaimFormat, ClaimSource, FilterState, StateItem, StateSource};

/// The prefix of all names: Envoy has one namespace for the filter state of all modules, and adds `wasm.`.
const PREFIX: &str = "auth_";

/// Compiles `filter_state`; `None` with an error.
pub(super) fn filter_state(
    documents: Option<Vec<FilterStateDocument>>,
    at: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<FilterState> {
    let documents = documents.unwrap_or_default();
    if documents.is_empty() {
        return Some(FilterState::default());
    }
    let items = diagnostics.each(documents, at, |diagnostics, document, at, items: &[StateItem]| {
        let item = match document {
            FilterStateDocument::Word(word, source) => item(word, source),
            FilterStateDocument::Claim(document) => claim(document, at, diagnostics)?,
        };
        let is_new = !items.iter().any(|other| other.name == item.name);
        diagnostics.check(is_new, at, "another entry has this name");
        Some(item)
    });
    let mut items = items?;
    // Readers of the rest require the decision, and a second filter in the chain detects the first by it.
    let [verdict, ..] = STATE_ITEMS;
    if let Some(source) = meaning(verdict).filter(|source| !items.iter().any(|item| item.source == *source)) {
        items.push(item(verdict, source));
    }
    Some(FilterState::new(items))
}

fn item(name: &str, source: StateSource) -> StateItem {
    StateItem { name: Rc::from(format!("{PREFIX}{name}")), source }
}

fn claim(document: StateClaimDocument, at: &Path, diagnostics: &mut Diagnostics<'_>) -> Option<StateItem> {
    let name_at = at.member("name");
    let name = diagnostics.required(document.name, &name_at, "write what it is to be called, such as \"tenant\"");
    let claim = diagnostics.required(document.claim, &at.member("claim"), "write the name of the claim");
    let name = name.filter(|name| {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let usable = (1..=64).contains(&name.len()) && name.bytes().all(is_plain);
        if !usable {
            diagnostics.invalid(&name_at, "1 to 64 lower-case letters, digits and `_`");
        } else if STATE_ITEMS.contains(&name.as_str()) {
            diagnostics.invalid(&name_at, "this name is used for something else; choose another");
        }
        usable
    });
    let source = StateSource::Claim(ClaimSource::Claim(claim?.0), document.format.unwrap_or(ClaimFormat::String));
    Some(item(&name?, source))
}
