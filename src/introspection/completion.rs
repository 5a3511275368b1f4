//! What the end of a call leads to, here or in another worker: the part of [`ProviderIntrospection`] after it was made.

use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use crate::callout::{CalloutResult, HttpResponse};
use crate::introspection::cache::{Active, CachedActive, CachedNegative, Failed, NegativeReason, Source};
use crate::introspection::call::{CallFault, CallNumber, CallResult, Subject, TokenDigest, TokenKind};
use crate::introspection::endpoint::Found;
use crate::introspection::response::{Failure, read_response};
use crate::introspection::sharing::{MAX_SHARED_BYTES, SharedResponse, SharedSlot};
use crate::introspection::{CallEnd, ProviderIntrospection, RETRY};
use crate::jose::{ActiveToken, Claim, IntrospectedToken};
use crate::lookup::call_limits::FailureScope;
use crate::lookup::order::{Began, Now};
use crate::lookup::requester::{BudgetClass, Caller};
use crate::lookup::retry_after;
use crate::policy::{ClaimFault, Provider, ValidatedToken, check_introspected_kind};
use crate::randomness::Jitter;
use crate::sequence::Sequence;
use crate::unix_time::{MonotonicTime, UnixTime};

/// For an opaque token without `exp`: `CachedActive` bounds its use, by a clock that is not set.
const NEVER: UnixTime = UnixTime::from_millis(u64::MAX);

/// Which response it is, and when its call began and ended.
#[derive(Clone, Copy, Debug)]
struct CallTimes {
    sequence: Sequence,
    began: Began,
    ended: MonotonicTime,
}

/// What became of the responses of other workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Adopted {
    /// The newest is cached now.
    Response,
    /// The newest, which is too old to be cached, says that the token is not active.
    EndOfActive,
    /// None is newer.
    Nothing,
}

impl ProviderIntrospection {
    /// Takes the result of a call. `sequence` is the number in the lease on the call; without a lease the response is not
    /// shared.
    pub fn finish_call(
        &mut self,
        number: CallNumber,
        sequence: Option<Sequence>,
        outcome: CalloutResult,
        provider: &Provider,
        jitter: Jitter,
        now: UnixTime,
    ) -> CallEnd {
        let now = self.order.now(now);
        let Now { wall, at } = now;
        let outcome = outcome.map_err(CallFault::Transport);
        if let Some(end) = self.finish_metadata(number, &outcome, jitter, wall) {
            return end;
        }
        let mut response = match outcome {
            Ok(response) => response,
            Err(fault) => return self.fail(number, sequence, Failure::without_response(fault), jitter, now),
        };
        let said = match read_response(&response, wall) {
            Ok(said) => said,
            Err(failure) => {
                let ceiling = self.lower_limit(&response, wall);
                return CallEnd { ceiling, ..self.fail(number, sequence, failure, jitter, now) };
            }
        };
        let Some(mut call) = self.queue.finish(number) else { return CallEnd::of(CallResult::Late, Vec::new()) };
        self.limits.succeed(call.subject.caller.class);
        let token = call.subject.digest;
        let next = || self.cache.sequence(&token).unwrap_or_default().next();
        let times = CallTimes { sequence: sequence.unwrap_or_else(next), began: call.began, ended: at };
        let slot = self.store(&call.subject, said, response.body.len(), times, provider, now);
        let body = std::mem::take(&mut response.body);
        let share = sequence.filter(|_| body.len() <= MAX_SHARED_BYTES).map(|sequence| SharedResponse {
            token,
            sequence,
            began: self.order.wall(call.began.at),
            ended: wall,
            body,
            slot,
        });
        // Another worker that took the lease meanwhile may have a newer one.
        self.adopt_shared(&mut call.subject, provider, now);
        let mut resume = vec![token];
        let exhausted = retry_after::exhausted(&response, wall);
        if let Some(pause) = exhausted {
            self.limits.hold(pause, wall);
            for class in [BudgetClass::Established, BudgetClass::Unknown] {
                resume.extend(self.dismiss_if_paused(class, wall));
            }
        }
        let ceiling = self.lower_limit(&response, wall);
        CallEnd { result: CallResult::Answered, resume, share, block: exhausted.map(|pause| wall.plus(pause)), ceiling }
    }

    /// A call is not made because the host did not sign.
    pub fn fail_unsigned(&mut self, number: CallNumber, jitter: Jitter, now: UnixTime) -> CallEnd {
        let now = self.order.now(now);
        let fault = CallFault::NotSigned;
        let found = self.finish_metadata(number, &Err(fault), jitter, now.wall);
        found.unwrap_or_else(|| self.fail(number, None, Failure::without_response(fault), jitter, now))
    }

    /// Applies the server's limit that a response states; gives it when it is to be shared.
    fn lower_limit(&mut self, response: &HttpResponse, now: UnixTime) -> Option<NonZeroU32> {
        retry_after::ceiling(response, now).filter(|ceiling| self.limits.lower(*ceiling, now))
    }

    /// Adopts the newest response of other workers about the token of this call, when it is news here. Then the call need not
    /// be made.
    pub fn adopt(
        &mut self,
        number: CallNumber,
        responses: &[SharedResponse],
        provider: &Provider,
        now: UnixTime,
    ) -> CallEnd {
        let now = self.order.now(now);
        let Some(subject) = self.queue.in_flight(number).map(|call| call.subject.clone()) else {
            return CallEnd::of(CallResult::Late, Vec::new());
        };
        if self.adopt_newest(responses, &subject, Duration::ZERO, provider, now) != Adopted::Response {
            return CallEnd::of(CallResult::Late, Vec::new());
        }
        self.queue.finish(number);
        self.limits.release(subject.caller, now.wall);
        CallEnd::of(CallResult::TakenOver, vec![subject.digest])
    }

    /// Whether this call is about the token, or brings the address of the endpoint.
    pub fn serves(&self, number: CallNumber, token: &TokenDigest) -> bool {
        self.endpoint.document(number).is_some()
            || self.queue.in_flight(number).is_some_and(|call| call.subject.digest == *token)
    }

    /// The newest number that this worker knows of a response about the token of this call; `None`: the call has ended.
    pub fn newest_sequence(&self, number: CallNumber) -> Option<Sequence> {
        let call = self.queue.in_flight(number)?;
        Some(self.cache.sequence(&call.subject.digest).unwrap_or_default())
    }

    /// Adopts what other workers share of a token, also a response that may serve stale; whether there was any. A token that
    /// was active for one worker is established for all.
    pub(super) fn adopt_shared(&mut self, subject: &mut Subject, provider: &Provider, now: Now) -> bool {
        let responses = self.others.read(&self.record_names(&subject.digest));
        let is_active = |shared: &SharedResponse| shared.token == subject.digest && shared.slot == SharedSlot::Active;
        if responses.iter().any(is_active) {
            subject.caller.class = BudgetClass::Established;
        }
        self.adopt_newest(&responses, subject, self.settings.stale_if_error, provider, now) != Adopted::Nothing
    }

    /// Adopts the newest of these responses about the token of `subject`, when it is newer than what is cached and not too old:
    /// an active one serves for `grace` past its `cache_ttl`. Older ones never count, even when the newest is of no use.
    fn adopt_newest(
        &mut self,
        responses: &[SharedResponse],
        subject: &Subject,
        grace: Duration,
        provider: &Provider,
        now: Now,
    ) -> Adopted {
        let Some(newest) = newest(responses, &subject.digest) else { return Adopted::Nothing };
        if self.cache.sequence(&newest.token).is_some_and(|cached| !newest.sequence.is_newer_than(cached)) {
            return Adopted::Nothing;
        }
        let Ok(said) = IntrospectedToken::read(&newest.body) else { return Adopted::Nothing };
        // The age of one from the future is not known: the clock was set back since.
        let times = now.past(newest.began).zip(now.past(newest.ended)).filter(|(began, ended)| began <= ended);
        let lasts = |(began, ended): (MonotonicTime, MonotonicTime)| match said {
            IntrospectedToken::Active(_) => began.plus(self.settings.cache_ttl.saturating_add(grace)),
            IntrospectedToken::Inactive => ended.plus(self.settings.inactive_cache_ttl),
        };
        match (times.filter(|times| now.at < lasts(*times)), &said) {
            (Some((began, ended)), _) => {
                let times = CallTimes { sequence: newest.sequence, began: Began::elsewhere(began), ended };
                self.store(subject, said, newest.body.len(), times, provider, now);
                self.taken_over = self.taken_over.saturating_add(1);
                Adopted::Response
            }
            // No older response counts any more; whether the token is active now needs a call.
            (None, IntrospectedToken::Inactive) => {
                let (sequence, began) = (Some(newest.sequence), Began::elsewhere(now.at));
                self.cache.insert_negative(
                    newest.token,
                    CachedNegative { reason: NegativeReason::Inactive, sequence, began, until: now.at },
                );
                Adopted::EndOfActive
            }
            (None, IntrospectedToken::Active(_)) => Adopted::Nothing,
        }
    }

    /// Caches a response; gives the slot in which it is shared.
    fn store(
        &mut self,
        subject: &Subject,
        said: IntrospectedToken,
        length: usize,
        CallTimes { sequence, began, ended }: CallTimes,
        provider: &Provider,
        now: Now,
    ) -> SharedSlot {
        let active = match said {
            IntrospectedToken::Inactive => Err(NegativeReason::Inactive),
            IntrospectedToken::Active(token) => {
                let expiry = match token.claims().time("exp") {
                    Claim::Valid(expiry) => Some(expiry),
                    Claim::Absent | Claim::Malformed => None,
                };
                validate(token, subject.kind, provider, now.wall)
                    .map(|active| (active, expiry))
                    .map_err(NegativeReason::Claim)
            }
        };
        match active {
            Ok((active, expiry)) => {
                let cached = CachedActive::new(active, Source { sequence, began, expiry }, length, &self.settings);
                self.cache.insert_active(subject.digest, cached);
                SharedSlot::Active
            }
            Err(reason) => {
                let until = ended.plus(self.settings.inactive_cache_ttl);
                self.cache
                    .insert_negative(subject.digest, CachedNegative { reason, sequence: Some(sequence), began, until });
                SharedSlot::Negative
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
        let Some(call) = self.queue.finish(number) else { return CallEnd::of(CallResult::Late, Vec::new()) };
        let Subject { digest, caller: Caller { class, .. }, .. } = call.subject;
        self.limits.fail(class, failure.scope, jitter, wall);
        if failure.may_have_moved() {
            self.endpoint.rediscover();
        }
        let ends_active = failure.ends_active();
        // Nothing older counts again.
        let newest = self.cache.sequence(&digest);
        let newest = if ends_active { sequence.or(newest) } else { newest };
        if ends_active {
            self.cache.remove(&digest);
        }
        let (began, until) = (call.began, at.plus(jitter.between_tenths(RETRY, 7, 10)));
        match self.cache.active(&digest) {
            Some(cached) => cached.fail(Failed { began, until }),
            None => {
                self.cache.insert_negative(
                    digest,
                    CachedNegative { reason: NegativeReason::Unknown, sequence: newest, began, until },
                );
            }
        }
        let mut resume = vec![digest];
        for class in [BudgetClass::Established, BudgetClass::Unknown] {
            resume.extend(self.dismiss_if_paused(class, wall));
        }
        let block = match failure.scope {
            FailureScope::RateLimited(pause) => Some(wall.plus(pause)),
            FailureScope::Token | FailureScope::Transient | FailureScope::Endpoint => None,
        };
        let pause = self.limits.pause(class, wall);
        // Replaces the active response that is shared, and reads as nothing: else that would be adopted again. Not for any
        // token: others share their responses in the same slot.
        let share =
            sequence.filter(|_| ends_active && class == BudgetClass::Established).map(|sequence| SharedResponse {
                token: digest,
                sequence,
                began: self.order.wall(began.at),
                ended: wall,
                body: Vec::new(),
                slot: SharedSlot::Active,
            });
        CallEnd { result: CallResult::Failed { fault: failure.fault, pause }, resume, share, block, ceiling: None }
    }

    pub(super) fn finish_metadata(
        &mut self,
        number: CallNumber,
        outcome: &Result<HttpResponse, CallFault>,
        jitter: Jitter,
        now: UnixTime,
    ) -> Option<CallEnd> {
        let found = self.endpoint.finish(number, outcome, jitter, now)?;
        let (result, resume) = match found {
            Found::Endpoint => (CallResult::Discovered, Vec::new()),
            Found::NextDocument => (CallResult::Continues, Vec::new()),
            Found::Nothing(fault) => {
                let mut resume = self.queue.dismiss(BudgetClass::Established);
                resume.extend(self.queue.dismiss(BudgetClass::Unknown));
                (CallResult::Failed { fault, pause: self.endpoint.pause(now) }, resume)
            }
        };
        Some(CallEnd::of(result, resume))
    }
}

/// The newest response about a token.
fn newest<'a>(responses: &'a [SharedResponse], token: &TokenDigest) -> Option<&'a SharedResponse> {
    let of_token = responses.iter().filter(|response| response.token == *token);
    of_token.reduce(|found, other| if other.supersedes(found) { other } else { found })
}

fn validate(token: ActiveToken, kind: TokenKind, provider: &Provider, now: UnixTime) -> Result<Active, ClaimFault> {
    match kind {
        TokenKind::Jwt if token.claims().time("exp") == Claim::Malformed => Err(ClaimFault::TimeMalformed),
        TokenKind::Jwt => {
            check_introspected_kind(&token, provider)?;
            Ok(Active::Jwt(Rc::new(token)))
        }
        TokenKind::Opaque => Ok(Active::Opaque(Rc::new(ValidatedToken::validate_active(token, provider, NEVER, now)?))),
    }
}
