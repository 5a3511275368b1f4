//! What the end of a call, here or in another VM, leads to: the part of [`ProviderIntrospection`] after it was made.

use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use crate::introspection::answer::{Failure, Reading, Sign};
use crate::introspection::answers::{Active, Against, Failed, Held, Refused, Source};
use crate::introspection::call::{
    CallNumber, CallOutcome, CallResult, Caller, RateLimitFields, Standing, Subject, TokenDigest, TokenKind,
};
use crate::introspection::endpoint::Found;
use crate::introspection::order::{Began, Now};
use crate::introspection::retry_after;
use crate::introspection::sharing::{MAX_SHARED_BYTES, SharedAnswer, SharedSlot};
use crate::introspection::{CallEnd, ProviderIntrospection, RETRY};
use crate::jitter::Jitter;
use crate::jose::{ActiveToken, Claim, IntrospectedToken};
use crate::policy::{ClaimFault, Provider, ValidatedToken, check_introspected_kind};
use crate::sequence::Sequence;
use crate::unix_time::{MonotonicTime, UnixTime};

/// An opaque token without `exp` has no end of its own: `Held` bounds its use, by a clock that is not set.
const NEVER: UnixTime = UnixTime::from_millis(u64::MAX);

/// Which answer it is, and when it was asked for and came.
#[derive(Clone, Copy, Debug)]
struct Asked {
    sequence: Sequence,
    began: Began,
    ended: MonotonicTime,
}

/// What became of the answers of other VMs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Learned {
    /// The newest is held now.
    Answer,
    /// The newest says that the token is not active, and is of use for nothing else.
    EndOfActive,
    /// None of them is news.
    Nothing,
}

impl ProviderIntrospection {
    /// Takes the outcome of a call. `provider` is whose tokens are asked about, `sequence` the number in the lease on the
    /// call; without a lease the answer is not shared.
    pub fn finish_call(
        &mut self,
        number: CallNumber,
        sequence: Option<Sequence>,
        outcome: CallOutcome,
        provider: &Provider,
        jitter: Jitter,
        now: UnixTime,
    ) -> CallEnd {
        let now = self.order.now(now);
        let Now { wall, at } = now;
        if let Some(end) = self.finish_metadata(number, &outcome, jitter, wall) {
            return end;
        }
        let said = match Reading::of(&outcome, wall) {
            Reading::Said(said) => said,
            Reading::Nothing(failure) => {
                let ceiling = match &outcome {
                    CallOutcome::Response { rate_limit, .. } => self.lower_limit(rate_limit, wall),
                    CallOutcome::Failed(_) => None,
                };
                return CallEnd { ceiling, ..self.fail(number, sequence, failure, jitter, now) };
            }
        };
        let (rate_limit, body) = match outcome {
            CallOutcome::Response { rate_limit, body, .. } => (rate_limit, body),
            CallOutcome::Failed(_) => (RateLimitFields::default(), Vec::new()),
        };
        let Some(mut call) = self.queue.finish(number) else { return CallEnd::late() };
        self.limits.succeed(call.subject.caller.standing);
        let token = call.subject.digest;
        let next = || self.answers.sequence(&token).unwrap_or_default().next();
        let asked = Asked { sequence: sequence.unwrap_or_else(next), began: call.began, ended: at };
        let slot = self.file(&call.subject, said, body.len(), asked, provider, now);
        let share = sequence.filter(|_| body.len() <= MAX_SHARED_BYTES).map(|sequence| SharedAnswer {
            token,
            sequence,
            began: self.order.wall(call.began.at),
            ended: wall,
            body,
            slot,
        });
        // Another VM that took the lease meanwhile may have a newer one.
        self.learn_from_others(&mut call.subject, provider, now);
        let mut recall = vec![token];
        let exhausted = retry_after::exhausted(&rate_limit, wall);
        if let Some(pause) = exhausted {
            self.limits.hold(pause, wall);
            for standing in [Standing::Known, Standing::Unknown] {
                recall.extend(self.dismiss_if_closed(standing, wall));
            }
        }
        let ceiling = self.lower_limit(&rate_limit, wall);
        CallEnd { result: CallResult::Answered, recall, share, block: exhausted.map(|pause| wall.plus(pause)), ceiling }
    }

    /// Takes what a response says of the server's limit; gives it when the other VMs are to be told.
    fn lower_limit(&mut self, fields: &RateLimitFields, now: UnixTime) -> Option<NonZeroU32> {
        retry_after::ceiling(fields, now).filter(|ceiling| self.limits.lower(*ceiling, now))
    }

    /// Takes the newest of the answers that other VMs were given to the question of this call, when it is news here. Then
    /// the call need not be made.
    pub fn adopt(
        &mut self,
        number: CallNumber,
        answers: &[SharedAnswer],
        provider: &Provider,
        now: UnixTime,
    ) -> CallEnd {
        let now = self.order.now(now);
        let Some(subject) = self.queue.in_flight(number).map(|call| call.subject.clone()) else {
            return CallEnd::late();
        };
        if self.take_over(answers, &subject, Duration::ZERO, provider, now) != Learned::Answer {
            return CallEnd::late();
        }
        self.queue.finish(number);
        self.limits.withdraw(subject.caller, now.wall);
        let recall = vec![subject.digest];
        CallEnd { result: CallResult::TakenOver, recall, share: None, block: None, ceiling: None }
    }

    /// The newest number that this VM knows of an answer to the question of this call; `None`: the call has ended.
    pub fn newest_sequence(&self, number: CallNumber) -> Option<Sequence> {
        let call = self.queue.in_flight(number)?;
        Some(self.answers.sequence(&call.subject.digest).unwrap_or_default())
    }

    /// Takes what other VMs were told of a token, up to what may serve when there is no call; whether that was anything.
    /// A token that was active for one of them is known to all.
    pub(super) fn learn_from_others(&mut self, subject: &mut Subject, provider: &Provider, now: Now) -> bool {
        let places = self.places(&subject.digest);
        let answers = self.others.read(&places);
        let is_active = |answer: &SharedAnswer| answer.token == subject.digest && answer.slot == SharedSlot::Active;
        if answers.iter().any(is_active) {
            subject.caller.standing = Standing::Known;
        }
        self.take_over(&answers, subject, self.settings.stale_if_error, provider, now) != Learned::Nothing
    }

    /// Takes the newest of these answers about the token of `subject`, when it is newer than what is held and still
    /// good; an active answer for so long past its `cache_ttl`. Older ones never count, even when the newest is of no use.
    fn take_over(
        &mut self,
        answers: &[SharedAnswer],
        subject: &Subject,
        grace: Duration,
        provider: &Provider,
        now: Now,
    ) -> Learned {
        let Some(answer) = newest(answers, &subject.digest) else { return Learned::Nothing };
        if self.answers.sequence(&answer.token).is_some_and(|held| !answer.sequence.is_newer_than(held)) {
            return Learned::Nothing;
        }
        let Ok(said) = IntrospectedToken::read(&answer.body) else { return Learned::Nothing };
        // The age of one from the future is not known: the clock was set back since.
        let asked = now.past(answer.began).zip(now.past(answer.ended)).filter(|(began, ended)| began <= ended);
        let lasts = |(began, ended): (MonotonicTime, MonotonicTime)| match said {
            IntrospectedToken::Active(_) => began.plus(self.settings.cache_ttl.saturating_add(grace)),
            IntrospectedToken::Inactive => ended.plus(self.settings.inactive_cache_ttl),
        };
        match (asked.filter(|asked| now.at < lasts(*asked)), &said) {
            (Some((began, ended)), _) => {
                let asked = Asked { sequence: answer.sequence, began: Began::elsewhere(began), ended };
                self.file(subject, said, answer.body.len(), asked, provider, now);
                self.taken_over = self.taken_over.saturating_add(1);
                Learned::Answer
            }
            // No older answer counts any more; whether the token is active now has to be asked.
            (None, IntrospectedToken::Inactive) => {
                let (sequence, began) = (Some(answer.sequence), Began::elsewhere(now.at));
                self.answers
                    .refuse(answer.token, Refused { against: Against::Inactive, sequence, began, until: now.at });
                Learned::EndOfActive
            }
            (None, IntrospectedToken::Active(_)) => Learned::Nothing,
        }
    }

    /// Remembers what was said of a token.
    fn file(
        &mut self,
        subject: &Subject,
        said: IntrospectedToken,
        length: usize,
        Asked { sequence, began, ended }: Asked,
        provider: &Provider,
        now: Now,
    ) -> SharedSlot {
        let active = match said {
            IntrospectedToken::Inactive => Err(Against::Inactive),
            IntrospectedToken::Active(token) => {
                let expiry = match token.claims().time("exp") {
                    Claim::Valid(expiry) => Some(expiry),
                    Claim::Absent | Claim::Malformed => None,
                };
                take(token, subject.kind, provider, now.wall).map(|active| (active, expiry)).map_err(Against::Claim)
            }
        };
        match active {
            Ok((active, expiry)) => {
                let held = Held::new(active, Source { sequence, began, expiry }, length, &self.settings);
                self.answers.accept(subject.digest, held);
                SharedSlot::Active
            }
            Err(against) => {
                let until = ended.plus(self.settings.inactive_cache_ttl);
                self.answers.refuse(subject.digest, Refused { against, sequence: Some(sequence), began, until });
                SharedSlot::Refused
            }
        }
    }

    pub(super) fn fail(
        &mut self,
        number: CallNumber,
        sequence: Option<Sequence>,
        failure: Failure,
        jitter: Jitter,
        now: Now,
    ) -> CallEnd {
        let Now { wall, at } = now;
        let Some(call) = self.queue.finish(number) else { return CallEnd::late() };
        let Subject { digest, caller: Caller { standing, .. }, .. } = call.subject;
        self.limits.fail(standing, failure.sign, jitter, wall);
        if failure.doubts_the_address() {
            self.endpoint.lose();
        }
        let ends_what_was_active = failure.ends_what_was_active();
        // Nothing older counts again.
        let newest = self.answers.sequence(&digest);
        let newest = if ends_what_was_active { sequence.or(newest) } else { newest };
        if ends_what_was_active {
            self.answers.forget(&digest);
        }
        let (began, until) = (call.began, at.plus(jitter.between_tenths(RETRY, 7, 10)));
        match self.answers.active(&digest) {
            Some(held) => held.fail(Failed { began, until }),
            None => {
                self.answers.refuse(digest, Refused { against: Against::Unknown, sequence: newest, began, until });
            }
        }
        let mut recall = vec![digest];
        for standing in [Standing::Known, Standing::Unknown] {
            recall.extend(self.dismiss_if_closed(standing, wall));
        }
        let block = match failure.sign {
            Sign::ToWait(pause) => Some(wall.plus(pause)),
            Sign::OfTheToken | Sign::OfTrouble | Sign::OfFailure => None,
        };
        let pause = self.limits.pause(standing, wall);
        // Takes the place of what was active, and reads as nothing: else that would be learned again, from ourselves. Not
        // for any token: others have their answers in the same places.
        let share =
            sequence.filter(|_| ends_what_was_active && standing == Standing::Known).map(|sequence| SharedAnswer {
                token: digest,
                sequence,
                began: self.order.wall(began.at),
                ended: wall,
                body: Vec::new(),
                slot: SharedSlot::Active,
            });
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

/// The newest answer about a token.
fn newest<'a>(answers: &'a [SharedAnswer], token: &TokenDigest) -> Option<&'a SharedAnswer> {
    let is_newer = |answer: &SharedAnswer, other: &SharedAnswer| answer.sequence.is_newer_than(other.sequence);
    answers
        .iter()
        .filter(|answer| answer.token == *token)
        .reduce(|found, answer| if is_newer(answer, found) { answer } else { found })
}

fn take(token: ActiveToken, kind: TokenKind, provider: &Provider, now: UnixTime) -> Result<Active, ClaimFault> {
    match kind {
        TokenKind::Jwt if token.claims().time("exp") == Claim::Malformed => Err(ClaimFault::TimeMalformed),
        TokenKind::Jwt => {
            check_introspected_kind(&token)?;
            Ok(Active::Jwt(Rc::new(token)))
        }
        TokenKind::Opaque => Ok(Active::Opaque(Rc::new(ValidatedToken::validate_active(token, provider, NEVER, now)?))),
    }
}
