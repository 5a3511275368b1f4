//! Deciding the requests that waited, so many at a time: each was parked for keys or for what its issuer says of its token.

use super::request::{NamedToken, Progress};
use super::{DenyReason, Engine, Outbox, Said, keys_of};
use crate::unix_time::UnixTime;

/// How many parked requests are decided in one go. More than some 270 at once overflow the host's stack
/// (`reference/envoy.md`, trap 2), and each may cost a signature check that others wait behind.
pub const BATCH: usize = 32;

impl Engine {
    /// Decides those that need not wait on.
    pub(super) fn decide_a_batch(&mut self, now: UnixTime, outbox: &mut Outbox) {
        self.parked.recall_overdue(now);
        for _ in 0..BATCH {
            let Some((stream, token, patience)) = self.parked.next_recalled() else { break };
            let mut decision = match self.decide_again(token, now) {
                Progress::Decided(decision) => decision,
                // The host is asked while a request's callback runs, and one that waits does not ask.
                Progress::AddressNeeded => continue,
                Progress::Waiting(token, _) if patience.is_over(now) => {
                    token.refuse(&self.policy, DenyReason::WaitTimedOut)
                }
                Progress::Waiting(token, awaited) => {
                    self.parked.insert(stream, token, awaited, patience);
                    continue;
                }
            };
            decision.audit.wait(now.since(patience.since));
            decision.audit.enter(self.sampling.entry(&decision.audit, now));
            outbox.decided.push((stream, decision));
        }
    }

    /// Decides a request that waited: another one may have brought the same token.
    fn decide_again<'a>(&mut self, token: NamedToken<'a>, now: UnixTime) -> Progress<'a> {
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
        match inquiries.about_jwt(grant, policy, &token.question(policy, now)) {
            Said::Good(introspection) => Progress::Decided(token.decide_by(policy, grant, introspection, now)),
            Said::Refused(reason) => Progress::Decided(token.refuse(policy, reason)),
            Said::Wait(awaited) => Progress::Waiting(token, awaited),
        }
    }
}
