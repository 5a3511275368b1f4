//! Parking requests that wait for keys, a list or what their issuer says, and deciding them afterwards, so many at a time.

use std::time::Duration;

use super::inquiries::Awaited;
use super::request::{NamedToken, Progress};
use super::{Arrival, DenyReason, Engine, Outbox, ProviderKeys, Said, StreamId, keys_of};
use crate::jose::TokenFault;
use crate::unix_time::UnixTime;

/// How many parked requests are decided in one go. More than some 270 at once overflow the host's stack, because
/// Envoy responds within the callback that releases them (`tests/e2e/waiting.rs`), and each may cost a signature
/// check that others wait behind.
pub const BATCH: usize = 32;
/// The host ends a fetch in time; this is how much longer a request waits in case it does not.
const WAIT_GRACE: Duration = Duration::from_secs(1);

impl Engine {
    pub(super) fn park(&mut self, stream: StreamId, token: NamedToken<'_>, awaited: Awaited, now: UnixTime) -> Arrival {
        let provider = token.provider();
        let for_keys = keys_of(&self.keys, provider).map_or(Duration::ZERO, ProviderKeys::longest_wait);
        let for_answer = self.inquiries.longest_wait(provider);
        let for_list = self.inquiries.longest_wait_for_list();
        // With what comes first it is only known whether there is more to wait for.
        let wait = match awaited {
            Awaited::Answer { .. } => for_answer.saturating_add(for_list),
            Awaited::Revocations if token.introspects(&self.policy) => for_list.saturating_add(for_answer),
            Awaited::Revocations => for_list,
            Awaited::Keys(_) | Awaited::NewerKeys(_) => {
                let for_answer = if token.introspects(&self.policy) { for_answer } else { Duration::ZERO };
                for_keys.saturating_add(for_list).saturating_add(for_answer)
            }
        };
        if self.parked.has_room_for(&token, awaited) {
            let patience = self.parked.patience(wait.saturating_add(WAIT_GRACE), now);
            self.parked.insert(stream, token.into_owned(), awaited, patience);
            Arrival::Parked
        } else {
            if let Awaited::Answer { of, about, .. } = awaited
                && !self.parked.is_awaited(of, about)
            {
                self.inquiries.abandon(of, &about);
            }
            Arrival::Decided(Box::new(token.refuse(&self.policy, without(awaited, DenyReason::TooManyWaiting))))
        }
    }

    /// Decides those that need not wait on.
    pub(super) fn decide_a_batch(&mut self, now: UnixTime, outbox: &mut Outbox) {
        let at = self.parked.now(now);
        self.parked.recall_overdue(at);
        for _ in 0..BATCH {
            let Some((stream, token, patience)) = self.parked.next_recalled() else { break };
            let mut decision = match self.decide_again(token, now) {
                Progress::Decided(decision) => decision,
                // It does not ask: what sent it was settled when it was parked. If it did, it must not be lost.
                Progress::AddressNeeded(token) => token.refuse(&self.policy, DenyReason::TooManyWaiting),
                Progress::Waiting(token, awaited) if patience.is_over(at) => {
                    token.refuse(&self.policy, without(awaited, DenyReason::WaitTimedOut))
                }
                // It waited for something else, and the share of such tokens is full.
                Progress::Waiting(token, Awaited::NewerKeys(of))
                    if !self.parked.has_room_for(&token, Awaited::NewerKeys(of)) =>
                {
                    token.refuse(&self.policy, TokenFault::SignatureInvalid.into())
                }
                Progress::Waiting(token, awaited) => {
                    self.parked.insert(stream, token, awaited, patience);
                    continue;
                }
            };
            decision.audit.wait(patience.waited(at));
            decision.audit.enter(self.sampling.entry(&decision.audit, now));
            outbox.decided.push((stream, decision));
        }
    }

    /// Decides a request that waited: another one may have brought the same token.
    fn decide_again<'a>(&mut self, mut token: NamedToken<'a>, now: UnixTime) -> Progress<'a> {
        let Self { policy, keys, known, inquiries, .. } = self;
        let grant = match token.may_be_remembered() {
            true => known.find(token.text(), now, |id| keys_of(keys, id)?.generation_in_use(now)),
            false => None,
        };
        let Some(grant) = grant else {
            if token.may_be_remembered() {
                known.count_miss();
            }
            return self.decide(token, now);
        };
        let question = token.question(policy, inquiries.arrived(grant.provider), now);
        match inquiries.about_jwt(grant, policy, &question) {
            Said::Good(introspection) => Progress::Decided(token.decide_by(policy, grant, introspection, now)),
            Said::Refused(reason) => Progress::Decided(token.refuse(policy, reason)),
            Said::Wait(awaited) => Progress::Waiting(token, awaited),
        }
    }
}

/// Why a request is rejected that does not wait any more, or cannot: `reason`, where it is not known what to make of its token.
fn without(awaited: Awaited, reason: DenyReason) -> DenyReason {
    match awaited {
        // The keys held are good, and its signature fails with them.
        Awaited::NewerKeys(_) => DenyReason::Token(TokenFault::SignatureInvalid),
        Awaited::Keys(_) | Awaited::Answer { .. } | Awaited::Revocations => reason,
    }
}
