//! Acquires the leases on lookups in the host's shared data.
//!
//! What other workers share is taken over after a lease was read: what they write later changes the lease as well.

use std::time::Duration;

use crate::engine::{
    Caller, CalloutId, Event, KeyFetch, Lease, LeaseOutcome, LeaseRequest, ProviderId, RecordNames, Sequence,
    SharedLimit, SharedResponses as _, TokenDigest,
};
use crate::host::clock;
use crate::host::leases::LeaseOf;
use crate::host::root_state::RootState;
use crate::host::shared_data::{HeldLease, acquire};
use crate::host::shared_records::{self, HostResponses};

impl RootState {
    /// Acquires a lease, unless the lookup is not needed any more.
    pub(super) fn acquire_lease(&self, id: CalloutId, request: &LeaseRequest) {
        let outcome = match request {
            LeaseRequest::Keys { provider, record, fetch } => self.lease_fetch(id, *provider, record, fetch),
            LeaseRequest::Introspection { names, token, timeout, limit, caller } => {
                self.lease_call(id, names, *token, *timeout, limit, *caller)
            }
        };
        outcome.into_iter().for_each(|outcome| self.handle(Event::LeaseDone(id, outcome)));
    }

    fn lease_fetch(&self, id: CalloutId, provider: ProviderId, record: &str, fetch: &KeyFetch) -> Option<LeaseOutcome> {
        let key = shared_records::key_lease(record);
        let lease = acquire(&key, fetch.sequence, |held| {
            self.adopt_keys(provider, record);
            let is_needed = self.with_engine(|engine| engine.is_under_way(id)).unwrap_or(false);
            is_needed.then(|| Lease::for_fetch(fetch, held, clock::now()))
        })?;
        if let Lease::Acquired(lease) = lease {
            self.leases.hold(id, LeaseOf::Keys(HeldLease::new(key, lease)));
        }
        Some(lease.into())
    }

    /// The lease, when this worker may make the call within the rate limit of all.
    fn lease_call(
        &self,
        id: CalloutId,
        names: &RecordNames,
        token: TokenDigest,
        timeout: Duration,
        limit: &SharedLimit,
        caller: Caller,
    ) -> Option<LeaseOutcome> {
        let lease = acquire(&names.lease, Sequence::default(), |held| {
            let responses = HostResponses.read(names);
            let sequences: Vec<Sequence> = responses.iter().map(|response| response.sequence).collect();
            if !responses.is_empty() {
                self.handle(Event::ResponsesShared(id, responses));
            }
            let known = self.with_engine(|engine| engine.newest_sequence(id)).flatten()?;
            let newest = sequences.into_iter().fold(known, Sequence::newer);
            Some(Lease::for_call(token, timeout, held, newest, clock::now()))
        })?;
        let Lease::Acquired(record) = lease else { return Some(lease.into()) };
        let held = HeldLease::new(names.lease.clone(), record);
        match shared_records::count_call(limit, caller) {
            Ok(()) => {
                self.leases.hold(id, LeaseOf::Introspection(held));
                Some(lease.into())
            }
            Err(denied) => {
                held.give_back();
                Some(denied)
            }
        }
    }
}
