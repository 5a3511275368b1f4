//! What the end of a call, here or in another VM, leads to: the part of [`ProviderIntrospection`] after it was made.

use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use crate::introspection::answer::{Failure, Reading, Sign};
use crate::introspection::answers::{Active, Against, Failed, Held, Refused, Times};
use crate::introspection::call::{
    CallNumber, CallOutcome, CallResult, Caller, RateLimitFields, Span, Standing, Subject, TokenKind,
};
use crate::introspection::endpoint::Found;
use crate::introspection::retry_after;
use crate::introspection::sharing::{MAX_SHARED_BYTES, SharedAnswer, SharedSlot};
use crate::introspection::{CallEnd, ProviderIntrospection, RETRY};
use crate::jitter::Jitter;
use crate::jose::{ActiveToken, Claim, IntrospectedToken};
use crate::policy::{AdmittedToken, ClaimFault, Provider, check_confirming_kind};
use crate::unix_time::UnixTime;

/// However short `cache_ttl`, an answer is good for those who waited for it.
const SHORTEST_USE: Duration = Duration::from_secs(1);

impl ProviderIntrospection {
    /// Takes the outcome of a call. `provider` is whose tokens are asked about.
    pub fn finish_call(
        &mut self,
        number: CallNumber,
        outcome: CallOutcome,
        provider: &Provider,
        jitter: Jitter,
        now: UnixTime,
    ) -> CallEnd {
        if let Some(end) = self.finish_metadata(number, &outcome, jitter, now) {
            return end;
        }
        let said = match Reading::of(&outcome, now) {
            Reading::Said(said) => said,
            Reading::Nothing(failure) => {
                let ceiling = match &outcome {
                    CallOutcome::Response { rate_limit, .. } => self.lower_limit(rate_limit, now),
                    CallOutcome::Failed(_) => None,
                };
                return CallEnd { ceiling, ..self.fail(number, failure, jitter, now) };
            }
        };
        let rate_limit = match &outcome {
            CallOutcome::Response { rate_limit, .. } => rate_limit.clone(),
            CallOutcome::Failed(_) => RateLimitFields::default(),
        };
        let Some(call) = self.queue.finish(number) else { return CallEnd::late() };
        self.limits.succeed(call.subject.caller.standing);
        let body = match outcome {
            CallOutcome::Response { body, .. } => body,
            CallOutcome::Failed(_) => Vec::new(),
        };
        let asked = (call.began, now);
        let slot = self.file(&call.subject, said, body.len(), asked, provider, now);
        let token = call.subject.digest;
        let share = (body.len() <= MAX_SHARED_BYTES).then_some(SharedAnswer {
            token,
            began: call.began,
            ended: now,
            body,
            slot,
        });
        let mut recall = vec![token];
        let exhausted = retry_after::exhausted(&rate_limit, now);
        if let Some(pause) = exhausted {
            self.limits.hold(pause, now);
            for standing in [Standing::Known, Standing::Unknown] {
                recall.extend(self.dismiss_if_closed(standing, now));
            }
        }
        let ceiling = self.lower_limit(&rate_limit, now);
        CallEnd { result: CallResult::Answered, recall, share, block: exhausted.map(|pause| now.plus(pause)), ceiling }
    }

    /// Takes what a response says of the server's limit; gives it when the other VMs are to be told.
    fn lower_limit(&mut self, fields: &RateLimitFields, now: UnixTime) -> Option<NonZeroU32> {
        retry_after::ceiling(fields, now).filter(|ceiling| self.limits.lower(*ceiling, now))
    }

    /// Takes an answer that another VM was given to the question of this call, when it is news here. Then the call need
    /// not be made.
    pub fn adopt(&mut self, number: CallNumber, answer: &SharedAnswer, provider: &Provider, now: UnixTime) -> CallEnd {
        let Some(call) = self.queue.in_flight(number).filter(|call| call.subject.digest == answer.token) else {
            return CallEnd::late();
        };
        let subject = call.subject.clone();
        let Some(said) = self.news(answer, Duration::ZERO, now) else { return CallEnd::late() };
        self.queue.finish(number);
        self.limits.withdraw(subject.caller, now);
        self.file(&subject, said, answer.body.len(), (answer.began, answer.ended), provider, now);
        self.taken_over = self.taken_over.saturating_add(1);
        CallEnd { result: CallResult::TakenOver, recall: vec![answer.token], share: None, block: None, ceiling: None }
    }

    /// Takes what other VMs were told of a token, up to what may serve when there is no call; whether that was anything.
    /// A token that was active for one of them is known to all.
    pub(super) fn learn_from_others(&mut self, subject: &mut Subject, provider: &Provider, now: UnixTime) -> bool {
        let places = self.places(&subject.digest);
        let mut has_learned = false;
        for answer in self.others.read(&places).iter().filter(|answer| answer.token == subject.digest) {
            if let Some(said) = self.news(answer, self.settings.stale_if_error, now) {
                self.file(subject, said, answer.body.len(), (answer.began, answer.ended), provider, now);
                self.taken_over = self.taken_over.saturating_add(1);
                has_learned = true;
            }
            if answer.slot == SharedSlot::Active {
                subject.caller.standing = Standing::Known;
            }
        }
        has_learned
    }

    /// What another VM was told, when it is newer than what is held and still good; an active answer for so long past
    /// its `cache_ttl`.
    fn news(&self, answer: &SharedAnswer, grace: Duration, now: UnixTime) -> Option<IntrospectedToken> {
        let is_news = self.answers.began(&answer.token).is_none_or(|began| answer.began > began);
        // A record from the future is one from before the clock went back.
        let is_in_order = answer.began <= answer.ended && answer.ended <= now;
        let said = IntrospectedToken::read(&answer.body).ok()?;
        let lasts = match said {
            IntrospectedToken::Active(_) => answer.began.plus(self.settings.cache_ttl.saturating_add(grace)),
            IntrospectedToken::Inactive => answer.ended.plus(self.settings.inactive_cache_ttl),
        };
        (is_news && is_in_order && now < lasts).then_some(said)
    }

    /// Remembers what was said of a token, asked and answered at these times.
    fn file(
        &mut self,
        subject: &Subject,
        said: IntrospectedToken,
        length: usize,
        (began, ended): (UnixTime, UnixTime),
        provider: &Provider,
        now: UnixTime,
    ) -> SharedSlot {
        let active = match said {
            IntrospectedToken::Inactive => Err(Against::Inactive),
            IntrospectedToken::Active(token) => {
                let expiry = match token.claims().time("exp") {
                    Claim::Valid(expiry) => Some(expiry),
                    Claim::Absent | Claim::Malformed => None,
                };
                self.take(token, subject.kind, provider, now).map(|active| (active, expiry)).map_err(Against::Claim)
            }
        };
        match active {
            Ok((active, expiry)) => {
                let held = Held::new(active, Times { began, ended, expiry }, length, &self.settings);
                self.answers.accept(subject.digest, held);
                SharedSlot::Active
            }
            Err(against) => {
                let lasts = Span { from: ended, until: ended.plus(self.settings.inactive_cache_ttl) };
                self.answers.refuse(subject.digest, Refused { against, began, lasts });
                SharedSlot::Refused
            }
        }
    }

    fn take(
        &self,
        token: ActiveToken,
        kind: TokenKind,
        provider: &Provider,
        now: UnixTime,
    ) -> Result<Active, ClaimFault> {
        match kind {
            TokenKind::Jwt if token.claims().time("exp") == Claim::Malformed => Err(ClaimFault::TimeMalformed),
            TokenKind::Jwt => {
                check_confirming_kind(&token)?;
                Ok(Active::Jwt(Rc::new(token)))
            }
            TokenKind::Opaque => {
                let longest = self.settings.cache_ttl.max(SHORTEST_USE).saturating_add(self.settings.stale_if_error);
                let token = AdmittedToken::admit_active(token, provider, now.plus(longest), now)?;
                Ok(Active::Opaque(Rc::new(token)))
            }
        }
    }

    pub(super) fn fail(&mut self, number: CallNumber, failure: Failure, jitter: Jitter, now: UnixTime) -> CallEnd {
        let Some(call) = self.queue.finish(number) else { return CallEnd::late() };
        let Subject { digest, caller: Caller { standing, .. }, .. } = call.subject;
        self.limits.fail(standing, failure.sign, jitter, now);
        if failure.doubts_the_address() {
            self.endpoint.lose();
        }
        let ends_what_was_active = failure.ends_what_was_active();
        if ends_what_was_active {
            self.answers.forget(&digest);
        }
        let lasts = Span { from: now, until: now.plus(jitter.between_tenths(RETRY, 7, 10)) };
        match self.answers.active(&digest) {
            Some(held) => held.fail(Failed { began: call.began, lasts }),
            None => self.answers.refuse(digest, Refused { against: Against::Unknown, began: call.began, lasts }),
        }
        let mut recall = vec![digest];
        for standing in [Standing::Known, Standing::Unknown] {
            recall.extend(self.dismiss_if_closed(standing, now));
        }
        let block = match failure.sign {
            Sign::ToWait(pause) => Some(now.plus(pause)),
            Sign::OfTheToken | Sign::OfTrouble | Sign::OfFailure => None,
        };
        let pause = self.limits.pause(standing, now);
        // Takes the place of what was active, and reads as nothing: else that would be learned again, from ourselves. Not
        // for any token: others have their answers in the same places.
        let nothing = || SharedAnswer {
            token: digest,
            began: call.began,
            ended: now,
            body: Vec::new(),
            slot: SharedSlot::Active,
        };
        let share = (ends_what_was_active && standing == Standing::Known).then(nothing);
        CallEnd { result: CallResult::Failed { fault: failure.fault, pause }, recall, share, block, ceiling: None }
    }

    pub(super) fn finish_metadata(
        &mut self,
        number: CallNumber,
        outcome: &CallOutcome,
        jitter: Jitter,
        now: UnixTime,
    ) -> Option<CallEnd> {
        let found = self.endpoint.finish(number, outcome, jitter, now)?;
        let (result, recall) = match found {
            Found::Endpoint => (CallResult::Discovered, Vec::new()),
            Found::NextDocument => (CallResult::Continues, Vec::new()),
            Found::Nothing(fault) => {
                let mut recall = self.queue.dismiss(Standing::Known);
                recall.extend(self.queue.dismiss(Standing::Unknown));
                (CallResult::Failed { fault, pause: self.endpoint.pause(now) }, recall)
            }
        };
        Some(CallEnd { result, recall, share: None, block: None, ceiling: None })
    }
}
