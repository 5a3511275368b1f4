//! How the workers of one process share the revocation list, as records in the host's shared data.
//!
//! Two records: the document as the server sent it, and its state, which is written with every poll. A root that has no
//! list yet takes the document and reads it with the code that reads its own. Bytes of another form, or a
//! document that its state does not describe, are no record.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::lookup::record::{self, Record, RecordReader, RecordWriter};
use crate::policy::RevocationSource;
use crate::revocation::list::MAX_LIST_BYTES;
use crate::unix_time::UnixTime;

const DIGEST_BYTES: usize = 16;
/// How much longer than two polls a list is taken over that no root confirms: roots that are busy poll late.
const HOLDER_GRACE: Duration = Duration::from_secs(60);

/// Which document it is.
pub type ListDigest = [u8; DIGEST_BYTES];

#[derive(Clone, PartialEq, Eq)]
pub struct ListDocument {
    /// The `ETag` that came with it.
    pub etag: Option<String>,
    /// The list as the server sent it.
    pub body: Vec<u8>,
}

/// What is known of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListState {
    /// Which document.
    pub digest: ListDigest,
    /// When the poll began that brought it.
    pub began: UnixTime,
    /// When the server last said that this is the list.
    pub confirmed_at: UnixTime,
    /// When a root last said that it goes by this list.
    pub held_at: UnixTime,
}

/// What a root shares after a poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListNews {
    /// The state of the list that it holds.
    pub state: ListState,
    /// The document, where the poll brought one.
    pub document: Option<ListDocument>,
}

/// What becomes of the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListChange {
    /// Only the state is written.
    State(ListState),
    /// The document is written, then the state.
    Document(ListState),
    /// They stay as they are.
    Nothing,
}

impl ListNews {
    /// What becomes of the records, the state of which is `shared`.
    pub fn change(&self, shared: Option<ListState>, now: UnixTime) -> ListChange {
        match (shared, &self.document) {
            (Some(shared), _) if shared.digest == self.state.digest => ListChange::State(ListState {
                began: shared.began.max(self.state.began),
                confirmed_at: later(shared.confirmed_at, self.state.confirmed_at, now),
                ..self.state
            }),
            // A root whose poll began later has shared its document already.
            (Some(shared), _) if shared.began > self.state.began && shared.began <= now => ListChange::Nothing,
            (_, Some(_)) => ListChange::Document(self.state),
            (_, None) => ListChange::Nothing,
        }
    }
}

/// The later one of two times; one in the future is from before the clock was set back.
fn later(shared: UnixTime, own: UnixTime, now: UnixTime) -> UnixTime {
    if shared > now { own } else { shared.max(own) }
}

impl ListDocument {
    pub fn digest(&self) -> ListDigest {
        let digest = Sha256::digest(self.to_bytes());
        digest.first_chunk().copied().unwrap_or_default()
    }
}

impl Record for ListDocument {
    fn write(&self, to: &mut RecordWriter) {
        to.text(self.etag.as_deref());
        to.bytes(&self.body);
    }

    fn read(from: &mut RecordReader<'_>) -> Option<Self> {
        let (etag, body) = (from.text()?, from.rest());
        (body.len() <= MAX_LIST_BYTES).then(|| Self { etag, body: body.to_vec() })
    }
}

impl ListState {
    /// Whether a root went by this list until now. A list that no root holds any more is out of date: since then tokens may
    /// have been revoked.
    pub fn is_held(&self, source: &RevocationSource, now: UnixTime) -> bool {
        let polls = source.refresh.saturating_add(source.timeout).saturating_mul(2);
        let longest = polls.saturating_add(HOLDER_GRACE);
        self.held_at <= now && now.since(self.held_at) <= longest
    }
}

impl Record for ListState {
    fn write(&self, to: &mut RecordWriter) {
        to.bytes(&self.digest);
        to.time(self.began);
        to.time(self.confirmed_at);
        to.time(self.held_at);
    }

    fn read(from: &mut RecordReader<'_>) -> Option<Self> {
        let (digest, began) = (from.array()?, from.time()?);
        Some(Self { digest, began, confirmed_at: from.time()?, held_at: from.time()? })
    }
}

/// The name of a list's records: where it is, and through which upstream.
pub(super) fn record_name(source: &RevocationSource) -> String {
    record::record_name("revocation list", source.address.identity())
}

impl std::fmt::Debug for ListDocument {
    /// Without the body: it names people.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "ListDocument({} bytes)", self.body.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::CalloutAddress;

    const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

    fn source(url: &str, upstream: &str) -> RevocationSource {
        RevocationSource {
            address: CalloutAddress::parse(url, upstream).unwrap(),
            refresh: Duration::from_secs(10),
            timeout: Duration::from_secs(2),
        }
    }

    fn document(body: &str) -> ListDocument {
        ListDocument { etag: Some("\"a\"".to_owned()), body: body.as_bytes().to_vec() }
    }

    fn state(body: &str, began: u64, held_at: u64) -> ListState {
        let at = |seconds| NOW.plus(Duration::from_secs(seconds));
        ListState { digest: document(body).digest(), began: at(began), confirmed_at: at(began), held_at: at(held_at) }
    }

    #[test]
    fn records_round_trip_and_other_bytes_are_no_record() {
        for document in [document("{}"), ListDocument { etag: None, body: Vec::new() }] {
            assert_eq!(ListDocument::from_bytes(&document.to_bytes()), Some(document));
        }
        let bytes = state("{}", 1, 2).to_bytes();
        assert_eq!(ListState::from_bytes(&bytes), Some(state("{}", 1, 2)));
        for end in 0..bytes.len() {
            assert_eq!(ListState::from_bytes(&bytes[..end]), None, "{end}");
        }
        let too_long = document(&"x".repeat(MAX_LIST_BYTES + 1)).to_bytes();
        for alien in [&b""[..], b"\0", &[0xff; 60], &[record::VERSION; 60], b"{\"revoked\":[]}", &too_long] {
            assert_eq!(ListDocument::from_bytes(alien), None);
            assert_eq!(ListState::from_bytes(alien), None);
        }
        assert_ne!(document("a").digest(), document("b").digest());
    }

    #[test]
    fn list_is_adopted_only_from_roots_that_held_it_lately() {
        let source = source("https://ops.example/revoked", "ops");
        let is_held = |held_at, now| state("a", 0, held_at).is_held(&source, NOW.plus(Duration::from_secs(now)));
        assert!(is_held(0, 0) && is_held(0, 84) && is_held(1000, 1084));
        assert!(!is_held(0, 85), "nobody polls any more");
        assert!(!is_held(10, 9), "the clock was set back: nobody can tell");
    }

    #[test]
    fn older_document_does_not_replace_a_newer_one() {
        let news = |body, began| ListNews { state: state(body, began, began), document: Some(document(body)) };
        let change = |news: &ListNews, shared| news.change(shared, NOW.plus(Duration::from_secs(100)));
        assert_eq!(change(&news("b", 5), None), ListChange::Document(state("b", 5, 5)));
        assert_eq!(change(&news("b", 5), Some(state("a", 4, 4))), ListChange::Document(state("b", 5, 5)));
        assert_eq!(change(&news("a", 4), Some(state("b", 5, 5))), ListChange::Nothing);
        let from_the_future = Some(state("b", 500, 500));
        assert_eq!(
            change(&news("a", 4), from_the_future),
            ListChange::Document(state("a", 4, 4)),
            "the clock was set back"
        );
        let confirmed = ListNews { document: None, ..news("b", 9) };
        assert_eq!(change(&confirmed, Some(state("b", 5, 5))), ListChange::State(state("b", 9, 9)));
        assert_eq!(change(&confirmed, Some(state("a", 5, 5))), ListChange::Nothing);
        assert_eq!(change(&confirmed, None), ListChange::Nothing);
    }

    #[test]
    fn configurations_share_exactly_when_the_list_is_the_same() {
        let name = record_name(&source("https://a/l", "u"));
        assert_eq!(
            name,
            record_name(&RevocationSource { timeout: Duration::from_secs(9), ..source("https://a/l", "u") })
        );
        for other in [source("https://a/m", "u"), source("https://a/l", "v")] {
            assert_ne!(name, record_name(&other));
        }
    }
}
