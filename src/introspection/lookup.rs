//! What is known of a token, and which calls are due: the part of [`ProviderIntrospection`] before a call is made.

use std::rc::Rc;
use std::time::Duration;

use crate::callout::TransportError;
use crate::introspection::cache::{Active, NegativeReason};
use crate::introspection::call::{
    Call, CallFault, CallNumber, Deferral, Purpose, Subject, TokenDigest, TokenKind, requester_of,
};
use crate::introspection::consistency::{OtherToken, check_consistency};
use crate::introspection::request::{self, Entropy, HttpRequest, Message, Stamp, request_about};
use crate::introspection::response::Failure;
use crate::introspection::{
    AddressNeeded, Begun, Cause, Freshness, LookUp, NoRequest, ProviderIntrospection, RETRY, Refusal, Unavailable,
};
use crate::jitter::Jitter;
use crate::jose::{ActiveToken, RsaSigner};
use crate::lookup::call_limits::CallPermit;
use crate::lookup::order::{Arrived, Now};
use crate::lookup::rate_limiter::{BudgetClass, Caller, LimitReached};
use crate::lookup::requester::Sender;
use crate::lookup::single_flight::Full;
use crate::policy::{ClaimFault, Provider, ValidatedToken};
use crate::redacted::Redacted;
use crate::unix_time::UnixTime;

/// What is remembered of a token when a request asks.
#[derive(Debug)]
enum Remembered {
    /// All that it is told.
    Settled(LookUp<Active>),
    /// It was active, and is to be asked about again; what it may be told if that cannot be.
    Aged(Option<LookUp<Active>>),
    Nothing,
}

/// A token that a request brings.
#[derive(Clone, Copy)]
struct Question<'a> {
    kind: TokenKind,
    text: &'a [u8],
    arrived: Arrived,
    of: Of<'a>,
}

/// For whom a token is asked about that was never active.
#[derive(Clone, Copy)]
enum Of<'a> {
    /// The sender of the request.
    Sender(Sender),
    /// The client of a token that is verified.
    Token(&'a ValidatedToken),
}

impl Of<'_> {
    const fn is_settled(self) -> bool {
        !matches!(self, Self::Sender(Sender::NotAsked))
    }
}

/// How soon to look whether another VM has its answer.
const LOOK_AGAIN: Duration = Duration::from_millis(25);

impl ProviderIntrospection {
    /// What is known of a token that says nothing by itself, whose request `arrived` then from nobody knows where.
    pub fn look_up_opaque(
        &mut self,
        text: &[u8],
        provider: &Provider,
        arrived: Arrived,
        now: UnixTime,
    ) -> LookUp<Rc<ValidatedToken>> {
        let found = self.look_up_opaque_from(Sender::Anonymous, text, provider, arrived, now);
        found.unwrap_or(unavailable(Cause::TooManyAsked, RETRY))
    }

    /// What is known of a token that says nothing by itself, whose request `arrived` then from `sender`.
    ///
    /// # Errors
    /// When there would be a call for it, and it is not known for whom.
    pub fn look_up_opaque_from(
        &mut self,
        sender: Sender,
        text: &[u8],
        provider: &Provider,
        arrived: Arrived,
        now: UnixTime,
    ) -> Result<LookUp<Rc<ValidatedToken>>, AddressNeeded> {
        let found = match self.find(
            Question { kind: TokenKind::Opaque, text, arrived, of: Of::Sender(sender) },
            provider,
            now,
        )? {
            LookUp::Active(Active::Opaque(token), _) if !token.is_current(now) => {
                LookUp::Refused(Refusal::Claim(ClaimFault::Expired))
            }
            LookUp::Active(Active::Opaque(token), freshness) => LookUp::Active(token, freshness),
            // Kinds have digests of their own.
            LookUp::Active(Active::Jwt(_), _) => unavailable(Cause::EndpointFailing, RETRY),
            LookUp::Refused(refusal) => LookUp::Refused(refusal),
            LookUp::Wait(token) => LookUp::Wait(token),
            LookUp::Unavailable(wait) => LookUp::Unavailable(wait),
        };
        self.look_ups.count(&found);
        Ok(found)
    }

    /// What the issuer says of a JWT that was proved and admitted as `token`, whose request `arrived` then.
    pub fn look_up_jwt(
        &mut self,
        text: &[u8],
        token: &ValidatedToken,
        provider: &Provider,
        arrived: Arrived,
        now: UnixTime,
    ) -> LookUp<Rc<ActiveToken>> {
        let question = Question { kind: TokenKind::Jwt, text, arrived, of: Of::Token(token) };
        let found = self.find(question, provider, now).unwrap_or(unavailable(Cause::TooManyAsked, RETRY));
        let found = match found {
            LookUp::Active(Active::Jwt(answer), freshness) => match check_consistency(token, &answer) {
                Ok(()) => LookUp::Active(answer, freshness),
                Err(OtherToken) => LookUp::Refused(Refusal::AnotherToken),
            },
            LookUp::Active(Active::Opaque(_), _) => unavailable(Cause::EndpointFailing, RETRY),
            LookUp::Refused(refusal) => LookUp::Refused(refusal),
            LookUp::Wait(token) => LookUp::Wait(token),
            LookUp::Unavailable(wait) => LookUp::Unavailable(wait),
        };
        self.look_ups.count(&found);
        found
    }

    /// Whether an opaque token was active before: only its issuer can have made it.
    pub fn class_of_opaque(&self, token: &TokenDigest) -> BudgetClass {
        if self.cache.is_active(token) { BudgetClass::Established } else { BudgetClass::Unknown }
    }

    fn find(
        &mut self,
        question: Question<'_>,
        provider: &Provider,
        now: UnixTime,
    ) -> Result<LookUp<Active>, AddressNeeded> {
        let Question { kind, text, arrived, of } = question;
        let now = self.order.now(now);
        let digest = TokenDigest::of(kind, text);
        let (class, mut stale) = match self.held(&digest, arrived, now) {
            Remembered::Settled(found) => return Ok(found),
            Remembered::Aged(stale) => (BudgetClass::Established, stale),
            Remembered::Nothing => (kind.class(), None),
        };
        if self.queue.contains(&digest) {
            // When the tokens that wait are dismissed, a request that joined them is decided again, and needs its address then.
            let is_settled = class == BudgetClass::Established || of.is_settled();
            return if is_settled { Ok(LookUp::Wait(digest)) } else { Err(AddressNeeded) };
        }
        let text = Redacted::new(Rc::from(text));
        let mut subject = Subject { digest, kind, caller: class.into(), text };
        // Also before it is refused for want of calls: what another VM knows costs none.
        if self.learn_from_others(&mut subject, provider, now) {
            match self.held(&digest, arrived, now) {
                Remembered::Settled(found) => return Ok(found),
                Remembered::Aged(aged) => stale = aged,
                // What was active is not any more.
                Remembered::Nothing => stale = None,
            }
        }
        // The common limits first: where they leave nothing, the host need not be asked for an address.
        if let Some(found) = self.refuse_call(subject.caller, &stale, now.wall) {
            return Ok(found);
        }
        subject.caller.requester = match (subject.caller.class, of) {
            (_, Of::Token(token)) => requester_of(token),
            (BudgetClass::Established, Of::Sender(_)) => {
                self.cache.active(&digest).and_then(|held| held.active.requester())
            }
            (BudgetClass::Unknown, Of::Sender(Sender::NotAsked)) => return Err(AddressNeeded),
            (BudgetClass::Unknown, Of::Sender(Sender::Anonymous)) => None,
            (BudgetClass::Unknown, Of::Sender(Sender::Known(requester))) => Some(requester),
        };
        if let Some(found) = self.refuse_call(subject.caller, &stale, now.wall) {
            return Ok(found);
        }
        Ok(match self.queue.push(subject, self.settings.timeout, now.at) {
            Ok(()) => LookUp::Wait(digest),
            Err(Full) => stale.unwrap_or(unavailable(Cause::TooManyAsked, RETRY)),
        })
    }

    /// What is said of a token when no call can be made for it soon; a stale answer, if there is one, serves as soon as
    /// there would be any wait.
    fn refuse_call(&self, caller: Caller, stale: &Option<LookUp<Active>>, now: UnixTime) -> Option<LookUp<Active>> {
        let pause = self.limits.pause(caller, now).max(self.endpoint.pause(now));
        if let (Some(stale), true) = (stale, pause > Duration::ZERO) {
            return Some(stale.clone());
        }
        (pause > self.settings.timeout).then(|| {
            let is_failing = self.endpoint.pause(now) > Duration::ZERO || self.limits.is_failing_for(caller.class, now);
            unavailable(if is_failing { Cause::EndpointFailing } else { Cause::BudgetSpent }, pause)
        })
    }

    /// What is remembered of a token.
    fn held(&mut self, digest: &TokenDigest, arrived: Arrived, now: Now) -> Remembered {
        if let Some(held) = self.cache.active(digest) {
            if held.is_fresh(arrived, now) {
                return Remembered::Settled(LookUp::Active(held.active.clone(), Freshness::Fresh));
            }
            let stale = held.is_usable(now).then(|| LookUp::Active(held.active.clone(), Freshness::Stale));
            return match held.failure(arrived, now) {
                Some(wait) => Remembered::Settled(stale.unwrap_or(unavailable(Cause::EndpointFailing, wait))),
                None => Remembered::Aged(stale),
            };
        }
        let Some(negative) = self.cache.negative(digest).filter(|negative| negative.counts(arrived, now)) else {
            return Remembered::Nothing;
        };
        Remembered::Settled(match negative.reason {
            NegativeReason::Inactive => LookUp::Refused(Refusal::Inactive),
            NegativeReason::Claim(fault) => LookUp::Refused(Refusal::Claim(fault)),
            NegativeReason::Unknown => unavailable(Cause::EndpointFailing, negative.until.since(now.at)),
        })
    }

    /// The calls that are due. Those that were never answered are given up.
    pub fn begin_calls(&mut self, jitter: Jitter, now: UnixTime) -> Begun {
        let now = self.order.now(now);
        let mut begun = Begun { calls: Vec::new(), recall: self.queue.dismiss_expired(now.at) };
        let fault = CallFault::Transport(TransportError::TimedOut);
        for number in self.queue.timed_out(now.at) {
            begun.recall.extend(self.fail(number, None, Failure::without_response(fault), jitter, now).recall);
        }
        if let Some(number) = self.endpoint.given_up(now.at) {
            let end = self.finish_metadata(number, &Err(fault), jitter, now.wall);
            begun.recall.extend(end.into_iter().flat_map(|end| end.recall));
        }
        if !self.queue.has_queued() {
            return begun;
        }
        if self.endpoint.address().is_none() {
            let queue = &mut self.queue;
            let patience = self.settings.timeout.saturating_add(RETRY);
            if let Some((number, step)) = self.endpoint.begin(|| queue.next_number(), patience, now) {
                begun.calls.push(self.call(number, Purpose::Metadata(step)));
            }
            return begun;
        }
        for class in [BudgetClass::Established, BudgetClass::Unknown] {
            while let Some(caller) = self.queue.next_caller(class, now.at) {
                match self.limits.try_acquire(caller, now.wall) {
                    CallPermit::Granted => {}
                    CallPermit::ShareExhausted(wait) => {
                        begun.recall.extend(self.dismiss_or_delay(caller, wait, now));
                        continue;
                    }
                    CallPermit::Denied => {
                        // A short while they wait for; to look again would lead back here, and round and round.
                        if self.limits.pause(class, now.wall) > self.settings.timeout {
                            begun.recall.extend(self.queue.dismiss(class));
                        }
                        break;
                    }
                }
                let began = self.order.begin(now.at);
                let Some(number) = self.queue.begin_next(class, self.settings.timeout, began) else { break };
                let Some(call) = self.queue.in_flight(number) else { break };
                let digest = call.subject.digest;
                let purpose = Purpose::Token { digest, class, requester: caller.requester };
                begun.calls.push(self.call(number, purpose));
            }
        }
        begun
    }

    const fn call(&self, number: CallNumber, purpose: Purpose) -> Call {
        Call { number, purpose, timeout: self.settings.timeout }
    }

    /// Whoever waits behind a door that has just closed is to look again: there may be a stale answer, or none for long.
    pub(super) fn dismiss_if_closed(&mut self, class: BudgetClass, now: UnixTime) -> Vec<TokenDigest> {
        if self.limits.pause(class, now) > Duration::ZERO { self.queue.dismiss(class) } else { Vec::new() }
    }

    /// There is no call for this caller for so long: its tokens are dismissed, or wait where that is short.
    fn dismiss_or_delay(&mut self, caller: Caller, wait: Duration, now: Now) -> Vec<TokenDigest> {
        if wait > self.settings.timeout {
            return self.queue.dismiss_of(caller);
        }
        self.queue.delay(caller, now.at.plus(wait));
        Vec::new()
    }

    /// No request waits for that token any more: a call that was not begun is not made.
    pub fn abandon(&mut self, token: &TokenDigest) {
        self.queue.abandon(token);
    }

    /// What to send for a call.
    ///
    /// # Errors
    /// When there is nothing to send.
    pub fn request(
        &self,
        number: CallNumber,
        entropy: &Entropy,
        signer: &dyn RsaSigner,
        now: UnixTime,
    ) -> Result<HttpRequest, NoRequest> {
        if let Some(address) = self.endpoint.document(number) {
            return Ok(HttpRequest { address: address.clone(), message: Message::Get });
        }
        let call = self.queue.in_flight(number).ok_or(NoRequest::Ended)?;
        let endpoint = self.endpoint.address().ok_or(NoRequest::Ended)?;
        let stamp = Stamp { number, entropy, now };
        request_about(call.subject.text.reveal(), endpoint, &self.settings.client, &stamp, signer)
            .map_err(|request::NotSigned| NoRequest::NotSigned)
    }

    /// Whether that call is still to be made or waited for.
    pub fn is_calling(&self, number: CallNumber) -> bool {
        self.queue.is_in_flight(number) || self.endpoint.document(number).is_some()
    }

    /// A call is not made now. Whoever waits for the tokens that come back is to look again.
    pub fn defer(&mut self, number: CallNumber, why: Deferral, now: UnixTime) -> Vec<TokenDigest> {
        let now = self.order.now(now);
        let Some(caller) = self.queue.requeue(number, now.at.plus(LOOK_AGAIN)) else { return Vec::new() };
        self.limits.release(caller, now.wall);
        let Deferral::LimitReached(reached) = why else { return Vec::new() };
        self.limits.exhaust(caller, reached, now.wall);
        match reached {
            LimitReached::Exhausted(_) => self.dismiss_if_closed(caller.class, now.wall),
            LimitReached::ShareExhausted(wait) => self.dismiss_or_delay(caller, wait, now),
            LimitReached::Blocked(_) => {
                let mut recall = self.dismiss_if_closed(BudgetClass::Established, now.wall);
                recall.extend(self.dismiss_if_closed(BudgetClass::Unknown, now.wall));
                recall
            }
        }
    }

    /// When something is to be done without being asked; `None`: when the next request or answer comes.
    pub fn next_due(&self, now: UnixTime) -> Option<UnixTime> {
        // As the clock is now, should it have been set since the last look.
        let mut order = self.order;
        order.now(now);
        let begins = [BudgetClass::Established, BudgetClass::Unknown].into_iter().filter_map(|class| {
            let first = order.wall(self.queue.next_begin(class)?);
            // Then the end of a call says how it goes on, and to ask before would be to ask in vain.
            let awaits_an_end = self.endpoint.is_asking() || self.limits.is_probing(class, now);
            let pause = self.limits.pause(class, now).max(self.endpoint.pause(now));
            (!awaits_an_end).then(|| first.max(now.plus(pause)))
        });
        let ends = self.queue.next_end().into_iter().chain(self.endpoint.next_due());
        begins.chain(ends.map(|end| order.wall(end))).min()
    }
}

const fn unavailable<T>(cause: Cause, wait: Duration) -> LookUp<T> {
    LookUp::Unavailable(Unavailable { cause, wait })
}
