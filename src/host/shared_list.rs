//! The list of revoked tokens in the host's shared data. What the records mean is `introspection::revocation_sharing`'s
//! business; here bytes are moved.

use crate::engine::{ListChange, ListDocument, ListNews, ListState};
use crate::host::clock;
use crate::host::shared_data::{TRIES, read, write};

/// The list that other workers hold.
pub(super) fn held(record: &str) -> Option<(ListState, ListDocument)> {
    let state = ListState::from_bytes(&read(&state_key(record)).0?)?;
    let document = ListDocument::from_bytes(&read(&document_key(record)).0?)?;
    Some((state, document))
}

/// Tells others what is held here; whether they have a new document now.
pub(super) fn publish(record: &str, news: &ListNews) -> bool {
    for _ in 0..TRIES {
        let (bytes, version) = read(&state_key(record));
        let shared = bytes.and_then(|bytes| ListState::from_bytes(&bytes));
        let (state, is_new) = match news.change(shared, clock::now()) {
            ListChange::Nothing => return false,
            ListChange::State(state) => (state, false),
            ListChange::Both(state) => (state, true),
        };
        if is_new && let Some(document) = &news.document {
            let key = document_key(record);
            let (_, version) = read(&key);
            // When this fails another worker writes at this moment, and then the state as well.
            let _ = write(&key, &document.to_bytes(), version);
        }
        if write(&state_key(record), &state.to_bytes(), version).is_ok() {
            return is_new;
        }
    }
    false
}

fn state_key(record: &str) -> String {
    format!("{record}/list-state")
}

fn document_key(record: &str) -> String {
    format!("{record}/list")
}
