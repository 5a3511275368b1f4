//! What one provider's introspection endpoint says of tokens (RFC 7662), and when to ask.
//!
//! A state machine without a clock, a socket or a callback, in the manner of `keys`: it is asked about tokens
//! ([`ProviderIntrospection::look_up_opaque`], [`ProviderIntrospection::look_up_jwt`]), asked which calls are due
//! ([`ProviderIntrospection::begin_calls`]), told how they ended ([`ProviderIntrospection::finish_call`]) and what other
//! VMs of the process learned ([`ProviderIntrospection::adopt`]). The engine is to own one for each provider that has an
//! endpoint. The host carries calls out: lease and answer of the other VMs ([`sharing`]), the budget of all of them
//! ([`budget`]), then the request ([`ProviderIntrospection::request`]).
//!
//! The rules: one call a token at a time, however many requests wait; an answer serves no longer than `cache_ttl` and
//! its token's `exp`; a call that fails changes nothing but the time of the next, and where the operator says so the last
//! active answer goes on serving; an answer that is not active ends that at once; nobody can make us ask more often than
//! the budget allows, nor keep it from those who were active before.

mod answer;
mod answers;
pub mod budget;
pub mod call;
mod circuit;
pub mod confirm;
mod doors;
mod endpoint;
#[cfg(test)]
pub(crate) mod fixture;
mod queue;
pub mod request;
mod retry_after;
pub mod revocation;
pub mod revocation_feed;
pub mod sharing;

use std::rc::Rc;
use std::time::Duration;

use crate::jitter::Jitter;
use crate::jose::{ActiveToken, Claim, IntrospectedToken, RsaSigner};
use crate::policy::{AdmittedToken, CacheLimits, ClaimFault, Introspection, Provider};
use crate::redacted::Redacted;
use crate::unix_time::UnixTime;

use answer::{Failure, Reading, Sign};
use answers::{Active, Against, Answers, Failed, Held, Refused, Times};
use budget::Budget;
use call::{
    Call, CallFault, CallNumber, CallOutcome, CallResult, Postponed, Purpose, Span, Standing, Subject, TokenDigest,
    TokenKind,
};
use confirm::confirm;
use doors::Doors;
use endpoint::{Endpoint, Found};
use queue::{Full, Queue};
use request::{Entropy, HttpRequest, Message, Stamp, request_about};
use sharing::{MAX_SHARED_BYTES, Places, SharedAnswer, SharedSlot};

/// A token whose call failed is not asked about again for so long.
const RETRY: Duration = Duration::from_secs(1);
/// How soon to look whether another VM has its answer.
const LOOK_AGAIN: Duration = Duration::from_millis(25);
/// However short `cache_ttl`, an answer is good for those who waited for it.
const SHORTEST_USE: Duration = Duration::from_secs(1);

/// What is known of a provider's tokens over time.
#[derive(Debug)]
pub struct ProviderIntrospection {
    settings: Introspection,
    record_name: String,
    budget: Budget,
    answers: Answers,
    queue: Queue,
    doors: Doors,
    endpoint: Endpoint,
}

/// What is known of a token.
#[derive(Clone, Debug)]
pub enum LookUp<T> {
    /// It is active.
    Active(T, Freshness),
    /// It is not, or not to be used here.
    Refused(Refusal),
    /// A call that will tell is under way or comes soon: whoever waits for it is told by this.
    Wait(TokenDigest),
    /// It cannot be known now; perhaps after this long.
    Unavailable(Duration),
}

/// How good an active answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Within `cache_ttl`.
    Fresh,
    /// Past it, by `stale_if_error`, because no other is to be had.
    Stale,
}

/// Why a token does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Its issuer says that it is not active: expired, revoked, or never issued.
    Inactive,
    /// It is active, and not what is wanted here.
    Claim(ClaimFault),
    /// What is active is another token than the one that was asked about.
    AnotherToken,
}

/// Calls to make, and who need not wait for one.
#[derive(Debug, Default)]
pub struct Begun {
    /// For the host.
    pub calls: Vec<Call>,
    /// Whoever waits for these tokens is to look again.
    pub recall: Vec<TokenDigest>,
}

/// What the end of a call leads to.
#[derive(Debug)]
pub struct CallEnd {
    /// What changed.
    pub result: CallResult,
    /// Whoever waits for these tokens is to look again.
    pub recall: Vec<TokenDigest>,
    /// What the other VMs of the process should know.
    pub share: Option<SharedAnswer>,
    /// Until when none of them is to call: for [`Budget::block`].
    pub block: Option<UnixTime>,
}

/// Why there is no request to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRequest {
    /// The call has ended already.
    Ended,
    /// The host did not sign: the call is to be finished with [`CallFault::NotSigned`].
    NotSigned,
}

impl ProviderIntrospection {
    /// Knows nothing yet. `limits` are those of the active tokens that are remembered.
    pub fn new(settings: Introspection, limits: CacheLimits) -> Self {
        let budget = Budget::new(settings.requests_per_minute);
        Self {
            record_name: sharing::record_name(&settings),
            budget,
            answers: Answers::new(limits),
            queue: Queue::default(),
            doors: Doors::new(budget),
            endpoint: Endpoint::new(&settings.address),
            settings,
        }
    }

    /// What is known of a token that says nothing by itself, whose request came at `asked_at`.
    pub fn look_up_opaque(&mut self, text: &[u8], asked_at: UnixTime, now: UnixTime) -> LookUp<Rc<AdmittedToken>> {
        match self.find(TokenKind::Opaque, text, asked_at, now) {
            LookUp::Active(Active::Opaque(token), _) if !token.is_current(now) => {
                LookUp::Refused(Refusal::Claim(ClaimFault::Expired))
            }
            LookUp::Active(Active::Opaque(token), freshness) => LookUp::Active(token, freshness),
            // Kinds have digests of their own.
            LookUp::Active(Active::Jwt(_), _) => LookUp::Unavailable(RETRY),
            LookUp::Refused(refusal) => LookUp::Refused(refusal),
            LookUp::Wait(token) => LookUp::Wait(token),
            LookUp::Unavailable(wait) => LookUp::Unavailable(wait),
        }
    }

    /// What the issuer says of a JWT that was proved and admitted as `token`, whose request came at `asked_at`.
    pub fn look_up_jwt(
        &mut self,
        text: &[u8],
        token: &AdmittedToken,
        asked_at: UnixTime,
        now: UnixTime,
    ) -> LookUp<Rc<ActiveToken>> {
        match self.find(TokenKind::Jwt, text, asked_at, now) {
            LookUp::Active(Active::Jwt(answer), freshness) => match confirm(token, &answer) {
                Ok(()) => LookUp::Active(answer, freshness),
                Err(confirm::AnotherToken) => LookUp::Refused(Refusal::AnotherToken),
            },
            LookUp::Active(Active::Opaque(_), _) => LookUp::Unavailable(RETRY),
            LookUp::Refused(refusal) => LookUp::Refused(refusal),
            LookUp::Wait(token) => LookUp::Wait(token),
            LookUp::Unavailable(wait) => LookUp::Unavailable(wait),
        }
    }

    fn find(&mut self, kind: TokenKind, text: &[u8], asked_at: UnixTime, now: UnixTime) -> LookUp<Active> {
        let digest = TokenDigest::of(kind, text);
        let (mut standing, mut stale) = match kind {
            TokenKind::Opaque => (Standing::Unknown, None),
            TokenKind::Jwt => (Standing::Known, None),
        };
        if let Some(held) = self.answers.active(&digest) {
            if held.is_fresh(asked_at, now) {
                return LookUp::Active(held.active.clone(), Freshness::Fresh);
            }
            standing = Standing::Known;
            stale = held.is_usable(now).then(|| LookUp::Active(held.active.clone(), Freshness::Stale));
            if let Some(wait) = held.failure(asked_at, now) {
                return stale.unwrap_or(LookUp::Unavailable(wait));
            }
        } else if let Some(refused) = self.answers.refused(&digest).filter(|refused| refused.counts(asked_at, now)) {
            return match refused.against {
                Against::Inactive => LookUp::Refused(Refusal::Inactive),
                Against::Claim(fault) => LookUp::Refused(Refusal::Claim(fault)),
                Against::Unknown => LookUp::Unavailable(refused.lasts.until.since(now)),
            };
        }
        if self.queue.is_asked(&digest) {
            return LookUp::Wait(digest);
        }
        let pause = self.doors.pause(standing, now).max(self.endpoint.pause(now));
        if let (Some(stale), true) = (&stale, pause > Duration::ZERO) {
            return stale.clone();
        }
        if pause > self.settings.timeout {
            return LookUp::Unavailable(pause);
        }
        let subject = Subject { digest, kind, standing, text: Redacted::new(Rc::from(text)) };
        match self.queue.push(subject, self.settings.timeout, now) {
            Ok(()) => LookUp::Wait(digest),
            Err(Full) => stale.unwrap_or(LookUp::Unavailable(RETRY)),
        }
    }

    /// The calls that are due. Those that were never answered are given up.
    pub fn begin_calls(&mut self, jitter: Jitter, now: UnixTime) -> Begun {
        let mut begun = Begun { calls: Vec::new(), recall: self.queue.dismiss_overdue(now) };
        let timed_out = Failure { fault: CallFault::TimedOut, sign: Sign::OfTrouble };
        for number in self.queue.given_up(now) {
            begun.recall.extend(self.fail(number, timed_out, jitter, now).recall);
        }
        if let Some(number) = self.endpoint.given_up(now) {
            let end = self.finish_metadata(number, &CallOutcome::Failed(CallFault::TimedOut), jitter, now);
            begun.recall.extend(end.into_iter().flat_map(|end| end.recall));
        }
        if !self.queue.has_waiting() {
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
        for standing in [Standing::Known, Standing::Unknown] {
            while self.queue.has_next(standing, now) {
                if !self.doors.pass(standing, now) {
                    // A short while they wait for; to look again would lead back here, and round and round.
                    if self.doors.pause(standing, now) > self.settings.timeout {
                        begun.recall.extend(self.queue.dismiss(standing));
                    }
                    break;
                }
                let Some(number) = self.queue.begin_next(standing, self.settings.timeout, now) else { break };
                let Some(call) = self.queue.in_flight(number) else { break };
                let digest = call.subject.digest;
                begun.calls.push(self.call(number, Purpose::Token { digest, standing }));
            }
        }
        begun
    }

    const fn call(&self, number: CallNumber, purpose: Purpose) -> Call {
        Call { number, purpose, timeout: self.settings.timeout }
    }

    /// Whoever waits behind a door that has just closed is to look again: there may be a stale answer, or none for long.
    fn dismiss_if_closed(&mut self, standing: Standing, now: UnixTime) -> Vec<TokenDigest> {
        if self.doors.pause(standing, now) > Duration::ZERO { self.queue.dismiss(standing) } else { Vec::new() }
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
    pub fn postpone(&mut self, number: CallNumber, why: Postponed, now: UnixTime) -> Vec<TokenDigest> {
        let Some(standing) = self.queue.put_back(number, now.plus(LOOK_AGAIN)) else { return Vec::new() };
        self.doors.withdraw(standing, now);
        match why {
            Postponed::AskedElsewhere => Vec::new(),
            Postponed::BudgetSpent(wait) => {
                self.doors.spend(standing, wait, now);
                self.dismiss_if_closed(standing, now)
            }
        }
    }

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
            Reading::Nothing(failure) => return self.fail(number, failure, jitter, now),
        };
        let Some(call) = self.queue.finish(number) else { return CallEnd::late() };
        self.doors.succeed(call.subject.standing);
        let body = match outcome {
            CallOutcome::Response { body, .. } => body,
            CallOutcome::Failed(_) => Vec::new(),
        };
        let asked = (call.began, now);
        let slot = self.file(&call.subject, said, body.len(), asked, provider, now);
        let token = call.subject.digest;
        let share = (body.len() <= MAX_SHARED_BYTES).then_some(SharedAnswer { token, began: call.began, ended: now, body, slot });
        CallEnd { result: CallResult::Answered, recall: vec![token], share, block: None }
    }

    /// Takes an answer that another VM was given to the question of this call, when it is news here. Then the call need
    /// not be made.
    pub fn adopt(&mut self, number: CallNumber, answer: &SharedAnswer, provider: &Provider, now: UnixTime) -> CallEnd {
        let Some(call) = self.queue.in_flight(number).filter(|call| call.subject.digest == answer.token) else {
            return CallEnd::late();
        };
        let (subject, times) = (call.subject.clone(), (answer.began, answer.ended));
        let is_news = self.answers.began(&answer.token).is_none_or(|began| answer.began > began);
        // A record from the future is one from before the clock went back.
        let is_in_order = answer.began <= answer.ended && answer.ended <= now;
        let Ok(said) = IntrospectedToken::read(&answer.body) else { return CallEnd::late() };
        let lasts = match said {
            IntrospectedToken::Active(_) => answer.began.plus(self.settings.cache_ttl),
            IntrospectedToken::Inactive => answer.ended.plus(self.settings.inactive_cache_ttl),
        };
        if !is_news || !is_in_order || now >= lasts {
            return CallEnd::late();
        }
        self.queue.finish(number);
        self.doors.withdraw(subject.standing, now);
        self.file(&subject, said, answer.body.len(), times, provider, now);
        CallEnd { result: CallResult::Answered, recall: vec![answer.token], share: None, block: None }
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
            TokenKind::Jwt => Ok(Active::Jwt(Rc::new(token))),
            TokenKind::Opaque => {
                let longest = self.settings.cache_ttl.max(SHORTEST_USE).saturating_add(self.settings.stale_if_error);
                let token = AdmittedToken::admit_active(token, provider, now.plus(longest), now)?;
                Ok(Active::Opaque(Rc::new(token)))
            }
        }
    }

    fn fail(&mut self, number: CallNumber, failure: Failure, jitter: Jitter, now: UnixTime) -> CallEnd {
        let Some(call) = self.queue.finish(number) else { return CallEnd::late() };
        let Subject { digest, standing, .. } = call.subject;
        self.doors.fail(standing, failure.sign, jitter, now);
        if failure.doubts_the_address() {
            self.endpoint.lose();
        }
        if failure.ends_what_was_active() {
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
        let pause = self.doors.pause(standing, now);
        CallEnd { result: CallResult::Failed { fault: failure.fault, pause }, recall, share: None, block }
    }

    fn finish_metadata(
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
        Some(CallEnd { result, recall, share: None, block: None })
    }

    /// When something is to be done without being asked; `None`: when the next request asks for it.
    pub fn next_due(&self, now: UnixTime) -> Option<UnixTime> {
        let queued = self.queue.next_due().map(|due| {
            let pause = if self.queue.has_waiting() { self.shortest_pause(now) } else { Duration::ZERO };
            due.max(now.plus(pause))
        });
        queued.into_iter().chain(self.endpoint.next_due()).min()
    }

    fn shortest_pause(&self, now: UnixTime) -> Duration {
        let known = self.doors.pause(Standing::Known, now);
        known.min(self.doors.pause(Standing::Unknown, now)).max(self.endpoint.pause(now))
    }

    /// How long a request may wait for a call.
    pub const fn longest_wait(&self) -> Duration {
        self.settings.timeout
    }

    /// Where the VMs of the process keep what they share of this token.
    pub fn places(&self, token: &TokenDigest) -> Places {
        Places::of(&self.record_name, token)
    }

    /// The name of the record that the budget of all VMs stands in.
    pub fn budget_record(&self) -> String {
        format!("{}/budget", self.record_name)
    }

    /// What takes a call out of that record.
    pub const fn budget(&self) -> Budget {
        self.budget
    }

    /// How many active tokens are remembered, the bytes they take, and how many tokens are being asked about.
    pub fn figures(&self) -> Figures {
        Figures { active: self.answers.len(), bytes: self.answers.held_bytes(), asked: self.queue.len() }
    }
}

/// For the operator's metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Active tokens that are remembered.
    pub active: usize,
    /// The bytes they take, about.
    pub bytes: usize,
    /// Tokens that wait for their call or are asked about.
    pub asked: usize,
}

impl CallEnd {
    const fn late() -> Self {
        Self { result: CallResult::Late, recall: Vec::new(), share: None, block: None }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
