//! One call for all the VMs of a process about each token, and one budget: leases, answers and the ledger in the
//! host's shared data.
//!
//! What a record means is `introspection::sharing`'s and `introspection::budget`'s business; here bytes are moved. A
//! host that does not swap ends in no call, never in one too many.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::engine::{
    Budget, CallLease, CallTurn, Caller, Places, Postponed, Sequence, SharedAnswers, SharedSlot, SharedTokenAnswer,
    Take, TokenDigest,
};
use crate::host::clock;
use crate::host::shared_data::{TRIES, read, write};
use crate::unix_time::UnixTime;

/// A lease of ours, and where it stands.
#[derive(Debug)]
pub(super) struct HeldLease {
    key: String,
    lease: CallLease,
}

/// Whose turn it is to ask about a token.
#[derive(Debug)]
pub(super) enum Asking {
    /// Ours, and the lease is written.
    Ours(HeldLease),
    /// Somebody asks already, or more of them contend for it than can be outrun.
    Theirs,
    /// Nobody's: somebody has the answer.
    Nobodys,
}

impl HeldLease {
    /// The number of the call.
    pub(super) const fn sequence(&self) -> Sequence {
        self.lease.sequence()
    }

    /// Lets others ask. Where it has run out and somebody else has put his in its place, that one stays.
    pub(super) fn give_back(self) {
        let (held, version) = read(&self.key);
        if held.and_then(|bytes| CallLease::from_bytes(&bytes)) == Some(self.lease) {
            // When this fails somebody took it just now.
            let _ = write(&self.key, &self.lease.given_back().to_bytes(), version);
        }
    }
}

/// Takes the lease on a token, if it is free. `newest` takes over shared answers after the lease was read, because an
/// answer that is written later changes the lease as well. It returns the newest number of an answer, or `None` when the
/// call is not needed.
pub(super) fn take_lease(
    places: &Places,
    token: TokenDigest,
    timeout: Duration,
    mut newest: impl FnMut() -> Option<Sequence>,
) -> Asking {
    for _ in 0..TRIES {
        let (held, version) = read(&places.lease);
        let Some(newest) = newest() else { return Asking::Nobodys };
        let held = held.and_then(|bytes| CallLease::from_bytes(&bytes));
        match CallTurn::of(token, timeout, held, newest, clock::now()) {
            CallTurn::Theirs => return Asking::Theirs,
            CallTurn::Ours(lease) if write(&places.lease, &lease.to_bytes(), version).is_ok() => {
                return Asking::Ours(HeldLease { key: places.lease.clone(), lease });
            }
            CallTurn::Ours(_) => {}
        }
    }
    Asking::Theirs
}

/// What the host holds of the answers of all its VMs.
#[derive(Debug)]
pub(super) struct HeldAnswers;

impl SharedAnswers for HeldAnswers {
    fn read(&self, places: &Places) -> Vec<SharedTokenAnswer> {
        [SharedSlot::Active, SharedSlot::Refused]
            .into_iter()
            .filter_map(|slot| held_at(places.of_slot(slot)).0)
            .collect()
    }
}

fn held_at(key: &str) -> (Option<SharedTokenAnswer>, u32) {
    let (bytes, version) = read(key);
    (bytes.and_then(|bytes| SharedTokenAnswer::from_bytes(&bytes)), version)
}

/// Tells the others what was answered. An answer that refuses takes the place of an older active one as well: its own
/// place is soon another token's. Each VM writes before it reads, so that one of two sees what the other one wrote.
pub(super) fn publish(places: &Places, answer: &SharedTokenAnswer) {
    write_newer(places.of_slot(answer.slot), answer);
    let [active, refused] = [SharedSlot::Active, SharedSlot::Refused].map(|slot| held_at(places.of_slot(slot)).0);
    if let (Some(active), Some(refused)) = (active, refused)
        && active.token == answer.token
        && refused.supersedes(&active)
    {
        write_newer(&places.active, &refused);
    }
}

/// Writes an answer, unless there is a newer one about the same token. What is not written costs a call.
fn write_newer(key: &str, answer: &SharedTokenAnswer) {
    for _ in 0..TRIES {
        let (held, version) = held_at(key);
        if held.is_some_and(|held| held.supersedes(answer)) || write(key, &answer.to_bytes(), version).is_ok() {
            return;
        }
    }
}

/// Takes a call out of the budget of all.
pub(super) fn take_from_budget(record: &str, budget: Budget, caller: Caller) -> Result<(), Postponed> {
    for _ in 0..TRIES {
        let (held, version) = read(record);
        match budget.take(held.as_deref(), caller, clock::now()) {
            Take::Denied(denied) => return Err(denied.into()),
            Take::Taken(ledger) if write(record, &ledger, version).is_ok() => return Ok(()),
            Take::Taken(_) => {}
        }
    }
    Err(Postponed::AskedElsewhere)
}

/// Nobody calls until then.
pub(super) fn block_budget(record: &str, budget: Budget, until: UnixTime) {
    change_budget(record, |held| budget.block(held, until, clock::now()));
}

/// The server states its own limit.
pub(super) fn lower_budget(record: &str, budget: Budget, ceiling: NonZeroU32) {
    change_budget(record, |held| budget.lower(held, ceiling, clock::now()));
}

fn change_budget(record: &str, change: impl Fn(Option<&[u8]>) -> Vec<u8>) {
    for _ in 0..TRIES {
        let (held, version) = read(record);
        if write(record, &change(held.as_deref()), version).is_ok() {
            return;
        }
    }
    log::warn!("writing what an introspection endpoint says of its rate limit to shared data failed");
}
