//! One introspection call for all workers of a process about each token, and one rate limit: leases, responses and the
//! ledger of calls in the host's shared data.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::engine::{
    Acquire, Caller, Deferral, Lease, RateLimiter, RecordNames, Sequence, SharedResponse, SharedResponses, SharedSlot,
    TokenDigest,
};
use crate::host::clock;
use crate::host::shared_data::{self, Change, read_record, update, write_unless};
use crate::unix_time::UnixTime;

/// The lease on a call that this worker makes.
pub(super) type HeldLease = shared_data::HeldLease<TokenDigest>;

/// Acquires the lease on a token. `newest` takes over shared responses after the lease was read, because one that is written
/// later changes the lease as well. It returns the newest number of a response, or `None` when the call is not needed.
pub(super) fn acquire_lease(
    names: &RecordNames,
    token: TokenDigest,
    timeout: Duration,
    mut newest: impl FnMut() -> Option<Sequence>,
) -> Option<Lease<TokenDigest>> {
    shared_data::acquire(&names.lease, Sequence::default(), |held| {
        newest().map(|newest| Lease::for_call(token, timeout, held, newest, clock::now()))
    })
}

/// The responses that the host holds of all its workers.
#[derive(Debug)]
pub(super) struct HeldResponses;

impl SharedResponses for HeldResponses {
    fn read(&self, names: &RecordNames) -> Vec<SharedResponse> {
        [SharedSlot::Active, SharedSlot::Negative]
            .into_iter()
            .filter_map(|slot| read_record(names.of_slot(slot)))
            .collect()
    }
}

/// Shares a response. A negative one replaces an older active one as well: its own slot soon holds another token's. Each
/// worker writes before it reads, so that one of two sees what the other one wrote.
pub(super) fn publish(names: &RecordNames, response: &SharedResponse) {
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

/// Counts a call within the rate limit of all workers.
pub(super) fn try_acquire(record: &str, limiter: RateLimiter, caller: Caller) -> Result<(), Deferral> {
    let taken = update(record, |held| match limiter.try_acquire(held, caller, clock::now()) {
        Acquire::Exhausted(reached) => Change::Keep(Err(Deferral::LimitReached(reached))),
        Acquire::Granted(ledger) => Change::Write(ledger, Ok(())),
    });
    taken.unwrap_or(Err(Deferral::HeldByOther))
}

/// No worker calls until then.
pub(super) fn block(record: &str, limiter: RateLimiter, until: UnixTime) {
    change_ledger(record, |held| limiter.block(held, until, clock::now()));
}

/// The server states its own limit.
pub(super) fn lower(record: &str, limiter: RateLimiter, ceiling: NonZeroU32) {
    change_ledger(record, |held| limiter.lower(held, ceiling, clock::now()));
}

fn change_ledger(record: &str, change: impl Fn(Option<&[u8]>) -> Vec<u8>) {
    if update(record, |held| Change::Write(change(held), ())).is_none() {
        log::warn!("writing what an introspection endpoint says of its rate limit to shared data failed");
    }
}
