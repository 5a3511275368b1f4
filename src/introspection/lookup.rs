//! What is known of a token, and which calls are due: the part of [`ProviderIntrospection`] before a call is made.

use std::rc::Rc;
use std::time::Duration;

use crate::callout::TransportError;
use crate::introspection::cache::{Active, NegativeReason};
use crate::introspection::call::{
    Call, CallFault, CallNumber, Deferral, Purpose, Subject, TokenDigest, TokenKind, requester_of,
};
use crate::introspection::consistency::{OtherToken, check_consistency};
use crate::introspection::request::{NotSigned, Stamp, request_about};
use crate::introspection::response::Failure;
use crate::introspection::{
    AddressNeeded, Begun, Cause, Freshness, LookUp, NoRequest, ProviderIntrospection, RETRY, Rejection, unavailable,
};
use crate::jose::{ActiveToken, RsaSigner};
use crate::lookup::call_limits::CallPermit;
use crate::lookup::http_request::HttpRequest;
use crate::lookup::order::{Arrived, Now};
use crate::lookup::rate_limiter::LimitReached;
use crate::lookup::requester::Sender;
use crate::lookup::requester::{BudgetClass, Caller};
use crate::lookup::single_flight::Full;
use crate::policy::{ClaimFault, Provider, ValidatedToken};
use crate::randomness::{Entropy, Jitter};
use crate::redacted::Redacted;
use crate::unix_time::UnixTime;

/// What is cached of a token.
#[derive(Debug)]
enum Cached {
    Final(LookUp<Active>),
    /// An active response to be refreshed; the result while that is not possible.
    Aged(Option<LookUp<Active>>),
    Nothing,
}

/// The token of a request.
#[derive(Clone, Copy)]
struct Query<'a> {
    kind: TokenKind,
    text: &'a [u8],
    arrived: Arrived,
    for_whom: ForWhom<'a>,
}

/// For whom a call is made about a token that was never active.
#[derive(Clone, Copy)]
enum ForWhom<'a> {
    Sender(Sender),
    /// The client of a token whose signature was verified.
    ClientOf(&'a ValidatedToken),
}

/// How soon to look whether another worker has shared its response.
const LOOK_AGAIN: Duration = Duration::from_millis(25);

impl ProviderIntrospection {
    /// What is known of an opaque token whose request `arrived` then, from an unknown address.
    pub fn look_up_opaque(
        &mut self,
        text: &[u8],
        provider: &Provider,
        arrived: Arrived,
        now: UnixTime,
    ) -> LookUp<Rc<ValidatedToken>> {
        let found = self.look_up_opaque_from(Sender::Anonymous, text, provider, arrived, now);
        found.unwrap_or(unavailable(Cause::QueueFull, RETRY))
    }

    /// What is known of an opaque token whose request `arrived` then from `sender`.
    ///
    /// # Errors
    /// When a call is needed, and the address of the sender was not requested from the host yet.
    pub fn look_up_opaque_from(
        &mut self,
        sender: Sender,
        text: &[u8],
        provider: &Provider,
        arrived: Arrived,
        now: UnixTime,
    ) -> Result<LookUp<Rc<ValidatedToken>>, AddressNeeded> {
        let query = Query { kind: TokenKind::Opaque, text, arrived, for_whom: ForWhom::Sender(sender) };
        let found = self.find(query, provider, now)?.and_then(|active, freshness| match active {
            Active::Opaque(token) if !token.is_current(now) => LookUp::Rejected(Rejection::Claim(ClaimFault::Expired)),
            Active::Opaque(token) => LookUp::Active(token, freshness),
            // Each kind has digests of its own.
            Active::Jwt(_) => unavailable(Cause::EndpointFailing, RETRY),
        });
        self.look_ups.count(&found);
        Ok(found)
    }

    /// What the issuer says of a JWT that was verified and validated as `token`, whose request `arrived` then.
    pub fn look_up_jwt(
        &mut self,
        text: &[u8],
        token: &ValidatedToken,
        provider: &Provider,
        arrived: Arrived,
        now: UnixTime,
    ) -> LookUp<Rc<ActiveToken>> {
        let query = Query { kind: TokenKind::Jwt, text, arrived, for_whom: ForWhom::ClientOf(token) };
        let found = self.find(query, provider, now).unwrap_or(unavailable(Cause::QueueFull, RETRY));
        let found = found.and_then(|active, freshness| match active {
            Active::Jwt(active) => match check_consistency(token, &active) {
                Ok(()) => LookUp::Active(active, freshness),
                Err(OtherToken) => LookUp::Rejected(Rejection::OtherToken),
            },
            Active::Opaque(_) => unavailable(Cause::EndpointFailing, RETRY),
        });
        self.look_ups.count(&found);
        found
    }

    /// Whether an opaque token was active before: only its issuer can have made it.
    pub fn class_of_opaque(&self, token: &TokenDigest) -> BudgetClass {
        if self.cache.is_active(token) { BudgetClass::Established } else { BudgetClass::Unknown }
    }

    fn find(&mut self, query: Query<'_>, provider: &Provider, now: UnixTime) -> Result<LookUp<Active>, AddressNeeded> {
        let Query { kind, text, arrived, for_whom } = query;
        let now = self.order.now(now);
        let digest = TokenDigest::of(kind, text);
        let (class, mut stale) = match self.cached(&digest, arrived, now) {
            Cached::Final(found) => return Ok(found),
            Cached::Aged(stale) => (BudgetClass::Established, stale),
            Cached::Nothing => (kind.class(), None),
        };
        if self.queue.contains(&digest) {
            // When the queued tokens are dismissed, a request that joined them is decided again, and needs its address then.
            let lacks_address = matches!(for_whom, ForWhom::Sender(Sender::NotRequested));
            let is_pending = class == BudgetClass::Established || !lacks_address;
            return if is_pending { Ok(LookUp::Pending(digest)) } else { Err(AddressNeeded) };
        }
        let text = Redacted::new(Rc::from(text));
        let mut subject = Subject { digest, kind, caller: class.into(), text };
        // Before the limits: what another worker has shared costs no call.
        if self.adopt_shared(&mut subject, provider, now) {
            match self.cached(&digest, arrived, now) {
                Cached::Final(found) => return Ok(found),
                Cached::Aged(aged) => stale = aged,
                // What was active is not any more.
                Cached::Nothing => stale = None,
            }
        }
        // The common limits first: where they leave nothing, no address is needed.
        if let Some(found) = self.limited(subject.caller, &stale, now.wall) {
            return Ok(found);
        }
        subject.caller.requester = match (subject.caller.class, for_whom) {
            (_, ForWhom::ClientOf(token)) => requester_of(token),
            (BudgetClass::Established, ForWhom::Sender(_)) => {
                self.cache.active(&digest).and_then(|cached| cached.active.requester())
            }
            (BudgetClass::Unknown, ForWhom::Sender(Sender::NotRequested)) => return Err(AddressNeeded),
            (BudgetClass::Unknown, ForWhom::Sender(Sender::Anonymous)) => None,
            (BudgetClass::Unknown, ForWhom::Sender(Sender::Known(requester))) => Some(requester),
        };
        if let Some(found) = self.limited(subject.caller, &stale, now.wall) {
            return Ok(found);
        }
        Ok(match self.queue.push(subject, self.settings.timeout, now.at) {
            Ok(()) => LookUp::Pending(digest),
            Err(Full) => stale.unwrap_or(unavailable(Cause::QueueFull, RETRY)),
        })
    }

    /// The result when no call can be made soon. A stale response serves as soon as there would be any wait.
    fn limited(&self, caller: Caller, stale: &Option<LookUp<Active>>, now: UnixTime) -> Option<LookUp<Active>> {
        let pause = self.limits.pause(caller, now).max(self.endpoint.pause(now));
        if let (Some(stale), true) = (stale, pause > Duration::ZERO) {
            return Some(stale.clone());
        }
        (pause > self.settings.timeout).then(|| {
            let is_failing = self.endpoint.pause(now) > Duration::ZERO || self.limits.is_failing_for(caller.class, now);
            unavailable(if is_failing { Cause::EndpointFailing } else { Cause::RateLimited }, pause)
        })
    }

    fn cached(&mut self, digest: &TokenDigest, arrived: Arrived, now: Now) -> Cached {
        if let Some(cached) = self.cache.active(digest) {
            if cached.is_fresh(arrived, now) {
                return Cached::Final(LookUp::Active(cached.active.clone(), Freshness::Fresh));
            }
            let stale = cached.is_usable(now).then(|| LookUp::Active(cached.active.clone(), Freshness::Stale));
            return match cached.failure(arrived, now) {
                Some(wait) => Cached::Final(stale.unwrap_or(unavailable(Cause::EndpointFailing, wait))),
                None => Cached::Aged(stale),
            };
        }
        let Some(negative) = self.cache.negative(digest).filter(|negative| negative.counts(arrived, now)) else {
            return Cached::Nothing;
        };
        Cached::Final(match negative.reason {
            NegativeReason::Inactive => LookUp::Rejected(Rejection::Inactive),
            NegativeReason::Claim(fault) => LookUp::Rejected(Rejection::Claim(fault)),
            NegativeReason::Unknown => unavailable(Cause::EndpointFailing, negative.until.since(now.at)),
        })
    }

    /// The calls that are due. Those that never ended have timed out.
    pub fn begin_calls(&mut self, jitter: Jitter, now: UnixTime) -> Begun {
        let now = self.order.now(now);
        let mut begun = Begun { calls: Vec::new(), resume: self.queue.dismiss_expired(now.at) };
        let fault = CallFault::Transport(TransportError::TimedOut);
        for number in self.queue.timed_out(now.at) {
            begun.resume.extend(self.fail(number, None, Failure::without_response(fault), jitter, now).resume);
        }
        if let Some(number) = self.endpoint.timed_out(now.at) {
            let end = self.finish_metadata(number, &Err(fault), jitter, now.wall);
            begun.resume.extend(end.into_iter().flat_map(|end| end.resume));
        }
        if !self.queue.has_queued() {
            return begun;
        }
        if self.endpoint.address().is_none() {
            let queue = &mut self.queue;
            let wait = self.settings.timeout.saturating_add(RETRY);
            if let Some((number, step)) = self.endpoint.begin(|| queue.next_number(), wait, now) {
                begun.calls.push(self.call(number, Purpose::Metadata(step)));
            }
            return begun;
        }
        for class in [BudgetClass::Established, BudgetClass::Unknown] {
            while let Some(caller) = self.queue.next_caller(class, now.at) {
                match self.limits.try_acquire(caller, now.wall) {
                    CallPermit::Granted => {}
                    CallPermit::ShareExhausted(wait) => {
                        begun.resume.extend(self.dismiss_or_delay(caller, wait, now));
                        continue;
                    }
                    CallPermit::Denied => {
                        // For a short pause they stay queued: to look again would lead back here.
                        if self.limits.pause(class, now.wall) > self.settings.timeout {
                            begun.resume.extend(self.queue.dismiss(class));
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

    /// When calls of a class are paused, its requests look again: there may be a stale response, or none for long.
    pub(super) fn dismiss_if_paused(&mut self, class: BudgetClass, now: UnixTime) -> Vec<TokenDigest> {
        if self.limits.pause(class, now) > Duration::ZERO { self.queue.dismiss(class) } else { Vec::new() }
    }

    /// No call may be made for this caller for so long: its tokens are dismissed, or stay queued where that is short.
    fn dismiss_or_delay(&mut self, caller: Caller, wait: Duration, now: Now) -> Vec<TokenDigest> {
        if wait > self.settings.timeout {
            return self.queue.dismiss_of(caller);
        }
        self.queue.delay(caller, now.at.plus(wait));
        Vec::new()
    }

    /// No request waits for that token any more: a call that has not begun is not made.
    pub fn abandon(&mut self, token: &TokenDigest) {
        self.queue.abandon(token);
    }

    /// What to send for a call.
    ///
    /// # Errors
    /// When there is nothing to send. Without entropy an assertion would not be unique (`jti`).
    pub fn request(
        &self,
        number: CallNumber,
        entropy: Option<&Entropy>,
        signer: &dyn RsaSigner,
        now: UnixTime,
    ) -> Result<HttpRequest, NoRequest> {
        if let Some(address) = self.endpoint.document(number) {
            return Ok(HttpRequest::get(address.clone()));
        }
        let call = self.queue.in_flight(number).ok_or(NoRequest::Ended)?;
        let endpoint = self.endpoint.address().ok_or(NoRequest::Ended)?;
        let stamp = Stamp { number, entropy: entropy.ok_or(NoRequest::NotSigned)?, now };
        request_about(call.subject.text.reveal(), endpoint, &self.settings.client, &stamp, signer)
            .map_err(|NotSigned| NoRequest::NotSigned)
    }

    /// Whether that call is still to be made or waited for.
    pub fn is_calling(&self, number: CallNumber) -> bool {
        self.queue.is_in_flight(number) || self.endpoint.document(number).is_some()
    }

    /// A call is not made now. Requests that wait for the tokens returned are to look again.
    pub fn defer(&mut self, number: CallNumber, why: Deferral, now: UnixTime) -> Vec<TokenDigest> {
        let now = self.order.now(now);
        let Some(caller) = self.queue.requeue(number, now.at.plus(LOOK_AGAIN)) else { return Vec::new() };
        self.limits.release(caller, now.wall);
        let Deferral::LimitReached(reached) = why else { return Vec::new() };
        self.limits.exhaust(caller, reached, now.wall);
        match reached {
            LimitReached::Exhausted(_) => self.dismiss_if_paused(caller.class, now.wall),
            LimitReached::ShareExhausted(wait) => self.dismiss_or_delay(caller, wait, now),
            LimitReached::Blocked(_) => {
                let mut resume = self.dismiss_if_paused(BudgetClass::Established, now.wall);
                resume.extend(self.dismiss_if_paused(BudgetClass::Unknown, now.wall));
                resume
            }
        }
    }

    /// When something is due; `None`: when the next request or response comes.
    pub fn next_due(&self, now: UnixTime) -> Option<UnixTime> {
        // As the clock is now, should it have been set since the last look.
        let mut order = self.order;
        order.now(now);
        let begins = [BudgetClass::Established, BudgetClass::Unknown].into_iter().filter_map(|class| {
            let first = order.wall(self.queue.next_begin(class)?);
            // The end of that call decides what is due next.
            let awaits_an_end = self.endpoint.is_discovering() || self.limits.is_probing(class, now);
            let pause = self.limits.pause(class, now).max(self.endpoint.pause(now));
            (!awaits_an_end).then(|| first.max(now.plus(pause)))
        });
        let ends = self.queue.next_end().into_iter().chain(self.endpoint.next_due());
        begins.chain(ends.map(|end| order.wall(end))).min()
    }
}
