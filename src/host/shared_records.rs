//! What the workers of a process share, in the host's shared data: outcomes of key fetches, introspection responses, the
//! ledger of calls, and the revocation list.

use crate::engine::{
    Acquire, Caller, Event, LeaseOutcome, ListChange, ListNews, ListState, ProviderId, Record as _, RecordNames,
    Sequence, SharedLimit, SharedOutcome, SharedRecord, SharedResponse, SharedResponses, SharedSlot,
};
use crate::host::clock;
use crate::host::root_state::RootState;
use crate::host::shared_data::{Change, read_record, replace_once, update, write_unless};

/// The introspection responses that the host holds of all its workers.
#[derive(Debug)]
pub(super) struct HostResponses;

impl SharedResponses for HostResponses {
    fn read(&self, names: &RecordNames) -> Vec<SharedResponse> {
        [SharedSlot::Active, SharedSlot::Negative]
            .into_iter()
            .filter_map(|slot| read_record(names.of_slot(slot)))
            .collect()
    }
}

impl RootState {
    /// Takes over what other workers shared since: keys, and the revocation list where there is none here.
    pub(super) fn adopt_shared(&self) {
        for (provider, record) in self.with_engine(|engine| engine.shared_records()).unwrap_or_default() {
            self.adopt_keys(provider, &record);
        }
        let missing_list = self.with_engine(|engine| if engine.lacks_list() { engine.list_record() } else { None });
        if let Some(record) = missing_list.flatten()
            && let (Some(state), Some(document)) = (read_record(&list_state(&record)), read_record(&list(&record)))
        {
            self.handle(Event::ListShared(state, document));
        }
    }

    pub(super) fn adopt_keys(&self, provider: ProviderId, record: &str) {
        for kind in ["good", "failed"] {
            let outcome = read_record(&of_record(record, kind));
            outcome.into_iter().for_each(|outcome| self.handle(Event::KeysShared(provider, outcome)));
        }
    }
}

/// Tells the other workers; whether they are to look at once.
pub(super) fn publish(record: &SharedRecord) -> bool {
    match record {
        SharedRecord::Keys { record, outcome } => {
            publish_keys(record, outcome);
            true
        }
        SharedRecord::Response { names, response } => {
            publish_response(names, response);
            false
        }
        SharedRecord::Block(limit, until) => {
            change_ledger(limit, |held| limit.limiter.block(held, *until, clock::now()));
            false
        }
        SharedRecord::Ceiling(limit, ceiling) => {
            change_ledger(limit, |held| limit.limiter.lower(held, *ceiling, clock::now()));
            false
        }
        SharedRecord::List { record, news } => publish_list(record, news),
    }
}

/// Counts a call within the rate limit of all workers.
pub(super) fn count_call(limit: &SharedLimit, caller: Caller) -> Result<(), LeaseOutcome> {
    let counted = update(&limit.record, |held| match limit.limiter.try_acquire(held, caller, clock::now()) {
        Acquire::Exhausted(reached) => Change::Keep(Err(LeaseOutcome::LimitReached(reached))),
        Acquire::Granted(ledger) => Change::Write(ledger, Ok(())),
    });
    counted.unwrap_or(Err(LeaseOutcome::HeldByOther(Sequence::default())))
}

fn publish_keys(record: &str, outcome: &SharedOutcome) {
    let kind = if outcome.response.is_some() { "good" } else { "failed" };
    // That of a later fetch stays: the lease of this worker may have run out.
    let is_newer = |held: &SharedOutcome| held.sequence.is_newer_than(outcome.sequence);
    if write_unless(&of_record(record, kind), outcome, is_newer).is_none() {
        log::warn!("the outcome of a fetch of keys was not shared: other workers wrote theirs each time");
    }
}

/// Shares a response. A negative one replaces an older active one as well: its own slot soon holds another token's. Each
/// worker writes before it reads, so that one of two sees what the other one wrote.
fn publish_response(names: &RecordNames, response: &SharedResponse) {
    write_newer(names.of_slot(response.slot), response);
    let [active, negative] =
        [SharedSlot::Active, SharedSlot::Negative].map(|slot| read_record::<SharedResponse>(names.of_slot(slot)));
    if let (Some(active), Some(negative)) = (active, negative)
        && active.token == response.token
        && negative.supersedes(&active)
    {
        write_newer(&names.active, &negative);
    }
}

/// Writes a response, unless there is a newer one about the same token. What is not written costs a call.
fn write_newer(key: &str, response: &SharedResponse) {
    write_unless(key, response, |held| held.supersedes(response));
}

fn change_ledger(limit: &SharedLimit, change: impl Fn(Option<&[u8]>) -> Vec<u8>) {
    if update(&limit.record, |held| Change::Write(change(held), ())).is_none() {
        log::warn!("writing what an introspection endpoint says of its rate limit to shared data failed");
    }
}

/// Shares the list that this worker holds; whether others have a new document now.
fn publish_list(record: &str, news: &ListNews) -> bool {
    let changed = update(&list_state(record), |shared| {
        match news.change(shared.and_then(ListState::from_bytes), clock::now()) {
            ListChange::Nothing => Change::Keep(false),
            ListChange::State(state) => Change::Write(state.to_bytes(), false),
            ListChange::Document(state) => {
                if let Some(document) = &news.document {
                    // When this fails another worker writes at this moment, and then the state as well.
                    replace_once(&list(record), document);
                }
                Change::Write(state.to_bytes(), true)
            }
        }
    });
    changed.unwrap_or(false)
}

/// The key of the lease on a provider's keys.
pub(super) fn key_lease(record: &str) -> String {
    of_record(record, "lease")
}

fn list_state(record: &str) -> String {
    of_record(record, "list-state")
}

fn list(record: &str) -> String {
    of_record(record, "list")
}

/// The key of a kind of record.
fn of_record(record: &str, kind: &str) -> String {
    format!("{record}/{kind}")
}
