//! Parking requests that wait for keys, a list or what their issuer says, and deciding them afterwards, so many at a time.

use std::time::Duration;

use super::request::{IdentifiedToken, Progress};
use super::token_status::PendingOn;
use super::{DenyReason, Engine, Outbox, ProviderKeys, RequestOutcome, StreamId, TokenStatus, keys_of};
use crate::jose::TokenFault;
use crate::unix_time::UnixTime;

/// How many parked requests are decided in one go. More than some 270 at once overflow the host's stack
/// (`reference/envoy.md`, trap 2), and each may cost a signature check that others wait behind.
pub const BATCH: usize = 32;
/// The host ends a fetch in time; this is how much longer a request waits in case it does not.
const WAIT_GRACE: Duration = Duration::from_secs(1);

impl Engine {
    pub(super) fn park(
        &mut self,
        stream: StreamId,
        token: IdentifiedToken<'_>,
        awaited: PendingOn,
        now: UnixTime,
    ) -> RequestOutcome {
        let provider = token.provider();
        let for_keys = keys_of(&self.keys, provider).map_or(Duration::ZERO, ProviderKeys::longest_wait);
        let for_answer = self.status.longest_wait(provider);
        let for_list = self.status.longest_wait_for_list();
        // With what comes first it is only known whether there is more to wait for.
        let wait = match awaited {
            PendingOn::Introspection { .. } => for_answer.saturating_add(for_list),
            PendingOn::Revocations if token.introspects(&self.policy) => for_list.saturating_add(for_answer),
            PendingOn::Revocations => for_list,
            PendingOn::Keys(_) | PendingOn::NewerKeys(_) => {
                let for_answer = if token.introspects(&self.policy) { for_answer } else { Duration::ZERO };
                for_keys.saturating_add(for_list).saturating_add(for_answer)
            }
        };
        if self.parked.has_room_for(&token, awaited) {
            let patience = self.parked.deadline(wait.saturating_add(WAIT_GRACE), now);
            self.parked.insert(stream, token.into_owned(), awaited, patience);
            RequestOutcome::Pending
        } else {
            if let PendingOn::Introspection { of, about, .. } = awaited
                && !self.parked.is_pending_on_token(of, about)
            {
                self.status.abandon(of, &about);
            }
            RequestOutcome::Decision(Box::new(token.refuse(&self.policy, without(awaited, DenyReason::TooManyPending))))
        }
    }

    /// Decides those that need not wait on.
    pub(super) fn decide_a_batch(&mut self, now: UnixTime, outbox: &mut Outbox) {
        let at = self.parked.now(now);
        self.parked.resume_overdue(at);
        for _ in 0..BATCH {
            let Some((stream, token, patience)) = self.parked.next_resumable() else { break };
            let mut decision = match self.decide_again(token, now) {
                Progress::Done(decision) => decision,
                // It does not ask: what sent it was settled when it was parked. If it did, it must not be lost.
                Progress::NeedAddress(token) => token.refuse(&self.policy, DenyReason::TooManyPending),
                Progress::Pending(token, awaited) if patience.has_passed(at) => {
                    token.refuse(&self.policy, without(awaited, DenyReason::WaitTimedOut))
                }
                // It waited for something else, and the share of such tokens is full.
                Progress::Pending(token, PendingOn::NewerKeys(of))
                    if !self.parked.has_room_for(&token, PendingOn::NewerKeys(of)) =>
                {
                    token.refuse(&self.policy, TokenFault::SignatureInvalid.into())
                }
                Progress::Pending(token, awaited) => {
                    self.parked.insert(stream, token, awaited, patience);
                    continue;
                }
            };
            decision.audit.set_waited(patience.waited(at));
            decision.audit.set_sampling(self.sampler.sample(&decision.audit, now));
            outbox.decided.push((stream, decision));
        }
    }

    /// Decides a request that waited: another one may have brought the same token.
    fn decide_again<'a>(&mut self, mut token: IdentifiedToken<'a>, now: UnixTime) -> Progress<'a> {
        let Self { policy, keys, token_cache: known, status: inquiries, .. } = self;
        let grant = match token.is_cacheable() {
            true => known.find(token.text(), now, |id| keys_of(keys, id)?.generation_in_use(now)),
            false => None,
        };
        let Some(grant) = grant else {
            if token.is_cacheable() {
                known.count_miss();
            }
            return self.decide(token, now);
        };
        let question = token.question(policy, inquiries.arrived(grant.provider), now);
        match inquiries.jwt_status(grant, policy, &question) {
            TokenStatus::Valid(introspection) => Progress::Done(token.decide_by(policy, grant, introspection, now)),
            TokenStatus::Denied(reason) => Progress::Done(token.refuse(policy, reason)),
            TokenStatus::Pending(awaited) => Progress::Pending(token, awaited),
        }
    }
}

/// Why a request is rejected that does not wait any more, or cannot: `reason`, where it is not known what to make of its token.
fn without(awaited: PendingOn, reason: DenyReason) -> DenyReason {
    match awaited {
        // The keys held are good, and its signature fails with them.
        PendingOn::NewerKeys(_) => DenyReason::Token(TokenFault::SignatureInvalid),
        PendingOn::Keys(_) | PendingOn::Introspection { .. } | PendingOn::Revocations => reason,
    }
}
