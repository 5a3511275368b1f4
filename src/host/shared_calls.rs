//! One call for all the VMs of a process about each token, and one budget: leases, answers and the ledger in the
//! host's shared data.
//!
//! What a record means is `introspection::sharing`'s and `introspection::budget`'s business; here bytes are moved. A
//! host that does not swap ends in no call, never in one too many.

use std::cmp::Reverse;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::engine::{
    Budget, CallLease, CallTurn, Caller, Places, Postponed, SharedAnswers, SharedSlot, SharedTokenAnswer, Take,
    TokenDigest,
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
    /// Lets others ask. Where it has run out and somebody else has put his in its place, that one stays.
    pub(super) fn give_back(self) {
        let (held, version) = read(&self.key);
        if held.and_then(|bytes| CallLease::from_bytes(&bytes)) == Some(self.lease) {
            // When this fails somebody took it just now.
            let _ = write(&self.key, &self.lease.given_back().to_bytes(), version);
        }
    }
}

/// Takes the lease on a token, if it is to be had. `is_still_needed` learns what others wrote, after the lease was read:
/// what is written later changes the lease as well.
pub(super) fn take_lease(
    places: &Places,
    token: TokenDigest,
    timeout: Duration,
    mut is_still_needed: impl FnMut() -> bool,
) -> Asking {
    for _ in 0..TRIES {
        let (held, version) = read(&places.lease);
        if !is_still_needed() {
            return Asking::Nobodys;
        }
        match CallTurn::of(token, timeout, held.and_then(|bytes| CallLease::from_bytes(&bytes)), clock::now()) {
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
        let read = |slot| read(places.of_slot(slot)).0.and_then(|bytes| SharedTokenAnswer::from_bytes(&bytes));
        let mut answers: Vec<_> = [SharedSlot::Active, SharedSlot::Refused].into_iter().filter_map(read).collect();
        answers.sort_by_key(|answer| Reverse(answer.began));
        answers
    }
}

/// Tells the others what was answered.
pub(super) fn publish(places: &Places, answer: &SharedTokenAnswer) {
    let key = places.of_slot(answer.slot);
    let (_, version) = read(key);
    // When this fails somebody told something else of this moment; what is not told costs a call.
    let _ = write(key, &answer.to_bytes(), version);
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
