//! The list of revoked tokens in the host's shared data.

use crate::engine::{ListChange, ListDocument, ListNews, ListState};
use crate::host::clock;
use crate::host::shared_data::{Change, read_record, replace_once, update};
use crate::lookup::record::Record as _;

/// The list that other workers hold.
pub(super) fn held(record: &str) -> Option<(ListState, ListDocument)> {
    Some((read_record(&state_key(record))?, read_record(&document_key(record))?))
}

/// Shares the list that this worker holds; whether others have a new document now.
pub(super) fn publish(record: &str, news: &ListNews) -> bool {
    let changed = update(&state_key(record), |shared| {
        match news.change(shared.and_then(ListState::from_bytes), clock::now()) {
            ListChange::Nothing => Change::Keep(false),
            ListChange::State(state) => Change::Write(state.to_bytes(), false),
            ListChange::Document(state) => {
                if let Some(document) = &news.document {
                    // When this fails another worker writes at this moment, and then the state as well.
                    replace_once(&document_key(record), document);
                }
                Change::Write(state.to_bytes(), true)
            }
        }
    });
    changed.unwrap_or(false)
}

fn state_key(record: &str) -> String {
    format!("{record}/list-state")
}

fn document_key(record: &str) -> String {
    format!("{record}/list")
}
