//! Parking requests that are pending, and resuming them in batches.

use std::time::Duration;

use super::effects::{Effect, Effects};
use super::pipeline::outcome::{PendingOn, Suspension};
use super::pipeline::{self, Progress, Request};
use super::{DenyReason, Engine, ProviderKeys, RequestOutcome, StreamId, keys_of};
use crate::jose::TokenFault;
use crate::unix_time::UnixTime;

/// How many parked requests are resumed in one callback. More than some 270 overflow the stack of Envoy, and each may cost a
/// signature verification that other requests wait for.
pub const BATCH: usize = 32;
/// How much longer than its callouts a request may wait, in case the host does not end one in time.
const WAIT_GRACE: Duration = Duration::from_secs(1);

impl Engine {
    pub(super) fn park(
        &mut self,
        stream: StreamId,
        request: Request<'_>,
        pending_on: PendingOn,
        now: UnixTime,
    ) -> RequestOutcome {
        if self.parked.has_capacity_for(&request, pending_on) {
            let wait = self.longest_wait(&request, pending_on);
            let deadline = self.parked.deadline(wait.saturating_add(WAIT_GRACE), now);
            self.parked.insert(stream, request.into_owned(), pending_on, deadline);
            return RequestOutcome::Pending;
        }
        if let PendingOn::Introspection { of, about, .. } = pending_on
            && !self.parked.is_pending_on_token(of, about)
        {
            self.status.abandon(of, &about);
        }
        let reason = reason_instead_of(pending_on, DenyReason::TooManyPending);
        RequestOutcome::Decision(Box::new(pipeline::deny(request, reason, &mut self.resources(now))))
    }

    /// Denies a parked request, whose client is to try again.
    pub(super) fn give_up(&mut self, stream: StreamId, now: UnixTime, effects: &mut Effects) {
        let at = self.parked.now(now);
        let Some((request, pending_on, deadline)) = self.parked.take_pending(stream) else { return };
        if let PendingOn::Introspection { of, about, .. } = pending_on
            && !self.parked.is_pending_on_token(of, about)
        {
            self.status.abandon(of, &about);
        }
        // Also where its signature fails with the keys held: the fetch under way may bring the key that replaced one of them.
        let mut decision = pipeline::deny(request, DenyReason::TooManyPending, &mut self.resources(now));
        decision.audit.set_waited(deadline.waited(at));
        effects.push(Effect::Decide(stream, Box::new(decision)));
    }

    /// Includes what the request may wait for afterwards.
    fn longest_wait(&self, request: &Request<'_>, pending_on: PendingOn) -> Duration {
        let provider = request.provider();
        let of_keys =
            provider.and_then(|id| keys_of(&self.keys, id)).map_or(Duration::ZERO, ProviderKeys::longest_wait);
        let of_introspection = provider.map_or(Duration::ZERO, |id| self.status.longest_wait(id));
        let of_revocations = self.status.longest_wait_for_list();
        let introspects = request.introspects(&self.policy);
        let wait = match pending_on {
            PendingOn::Introspection { .. } => of_introspection,
            PendingOn::Revocations => {
                if introspects {
                    of_introspection
                } else {
                    Duration::ZERO
                }
            }
            PendingOn::Keys(_) | PendingOn::NewerKeys(_) if introspects => of_keys.saturating_add(of_introspection),
            PendingOn::Keys(_) | PendingOn::NewerKeys(_) => of_keys,
        };
        wait.saturating_add(of_revocations)
    }

    /// Decides a batch of the parked requests that may be resumed.
    pub(super) fn resume_batch(&mut self, now: UnixTime, effects: &mut Effects) {
        let at = self.parked.now(now);
        self.parked.resume_overdue(at);
        for _ in 0..BATCH {
            let Some((stream, request, deadline)) = self.parked.next_resumable() else { break };
            let mut decision = match pipeline::run(request, &mut self.resources(now)) {
                Progress::Decided(decision) => decision,
                // Its sender was settled when it was parked, so it should not ask. It must not be lost if it does.
                Progress::Suspended(request, Suspension::NeedAttributes(_)) => {
                    pipeline::deny(request, DenyReason::TooManyPending, &mut self.resources(now))
                }
                Progress::Suspended(request, Suspension::Pending(pending_on)) if deadline.has_passed(at) => {
                    let reason = reason_instead_of(pending_on, DenyReason::WaitTimedOut);
                    pipeline::deny(request, reason, &mut self.resources(now))
                }
                // It was pending on something else, and the share of such tokens is full.
                Progress::Suspended(request, Suspension::Pending(pending_on @ PendingOn::NewerKeys(_)))
                    if !self.parked.has_capacity_for(&request, pending_on) =>
                {
                    pipeline::deny(request, TokenFault::SignatureInvalid.into(), &mut self.resources(now))
                }
                Progress::Suspended(request, Suspension::Pending(pending_on)) => {
                    self.parked.insert(stream, request, pending_on, deadline);
                    continue;
                }
            };
            decision.audit.set_waited(deadline.waited(at));
            effects.push(Effect::Decide(stream, Box::new(decision)));
        }
    }
}

/// The reason to deny a request that may not be pending any longer: `reason`, unless its token is known to be invalid.
fn reason_instead_of(pending_on: PendingOn, reason: DenyReason) -> DenyReason {
    match pending_on {
        // The keys held are good, and its signature fails with them.
        PendingOn::NewerKeys(_) => DenyReason::Token(TokenFault::SignatureInvalid),
        PendingOn::Keys(_) | PendingOn::Introspection { .. } | PendingOn::Revocations => reason,
    }
}
