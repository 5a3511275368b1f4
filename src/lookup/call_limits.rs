//! Whether a call may be made: the rate limit of this worker, what it knows of that of all workers, and a circuit breaker for
//! each class.
//!
//! The host counts each call in the shared ledger as well. Where there is no shared data the ledger here is the only one, and
//! the limit is that of one worker.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::lookup::circuit_breaker::{CircuitBreaker, Permit};
use crate::lookup::ledger::Ledger;
use crate::lookup::rate_limiter::{LimitReached, RateLimiter};
use crate::lookup::requester::{BudgetClass, Caller, PerClass, Requester};
use crate::randomness::Jitter;
use crate::unix_time::{Span, UnixTime};

/// Requesters whose share of the shared limit is known to be used up.
const MAX_EXHAUSTED_SHARES: usize = 256;
/// An unchanged limit is shared with the other workers this often.
const RESHARE_CEILING_AFTER: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct CallLimits {
    limiter: RateLimiter,
    ledger: Ledger,
    classes: PerClass<Class>,
    exhausted_shares: HashMap<Requester, Span>,
    /// The server's limit as it was last shared.
    shared_ceiling: Option<(NonZeroU32, Span)>,
}

#[derive(Debug, Default)]
struct Class {
    breaker: CircuitBreaker,
    /// The workers have used up the shared limit.
    exhausted: Option<Span>,
}

/// Whether a call may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallPermit {
    /// It may, and is counted.
    Granted,
    /// No call of that class may.
    Denied,
    /// None for this requester may for so long; others may.
    ShareExhausted(Duration),
}

/// What a failed call says about other calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureScope {
    /// Nothing: the endpoint rejected this token. Else anybody could open the circuit breaker with odd ones.
    Token,
    /// The endpoint may be failing.
    Transient,
    /// All of them will fail.
    Endpoint,
    /// The server asked for a pause.
    RateLimited(Duration),
}

impl CallLimits {
    pub(crate) fn new(limiter: RateLimiter, now: UnixTime) -> Self {
        Self {
            limiter,
            ledger: limiter.ledger(None, now),
            classes: PerClass::default(),
            exhausted_shares: HashMap::new(),
            shared_ceiling: None,
        }
    }

    /// How long no call for that caller may be made; zero when one may, or while a probe is under way.
    pub(crate) fn pause(&self, caller: impl Into<Caller>, now: UnixTime) -> Duration {
        let caller = caller.into();
        let class = self.classes.get(caller.class);
        let exhausted = class.exhausted.map_or(Duration::ZERO, |span| rest_of(span, now));
        let limit = self.check(caller, now).err().map_or(Duration::ZERO, LimitReached::wait);
        class.breaker.pause(now).max(exhausted).max(limit)
    }

    fn check(&self, caller: Caller, now: UnixTime) -> Result<(), LimitReached> {
        let mut ledger = self.ledger.clone();
        ledger.advance(now);
        self.limiter.check(&ledger, caller, now)?;
        match self.share_wait(caller, now) {
            Duration::ZERO => Ok(()),
            wait => Err(LimitReached::ShareExhausted(wait)),
        }
    }

    fn share_wait(&self, caller: Caller, now: UnixTime) -> Duration {
        let span = caller.requester.and_then(|requester| self.exhausted_shares.get(&requester));
        span.map_or(Duration::ZERO, |span| rest_of(*span, now))
    }

    /// Whether a probe is under way.
    pub(crate) fn is_probing(&self, class: BudgetClass, now: UnixTime) -> bool {
        self.classes.get(class).breaker.permit(now) == Permit::Probing
    }

    /// The same for either class.
    pub(crate) fn is_failing(&self, now: UnixTime) -> bool {
        BudgetClass::ALL.into_iter().any(|class| self.is_failing_for(class, now))
    }

    /// Whether calls of that class are paused because the endpoint fails, or because it asked for that.
    pub(crate) fn is_failing_for(&self, class: BudgetClass, now: UnixTime) -> bool {
        self.classes.get(class).breaker.pause(now) > Duration::ZERO
    }

    /// Counts a call, if one may be made.
    pub(crate) fn try_acquire(&mut self, caller: Caller, now: UnixTime) -> CallPermit {
        if self.classes.get(caller.class).exhausted.is_some_and(|span| span.contains(now)) {
            return CallPermit::Denied;
        }
        match self.classes.get(caller.class).breaker.permit(now) {
            Permit::Granted | Permit::Probe => {}
            Permit::Wait(_) | Permit::Probing => return CallPermit::Denied,
        }
        match self.share_wait(caller, now) {
            Duration::ZERO => {}
            wait => return CallPermit::ShareExhausted(wait),
        }
        match self.limiter.try_acquire_from(&mut self.ledger, caller, now) {
            Ok(()) => {
                self.classes.get_mut(caller.class).breaker.begin(now);
                CallPermit::Granted
            }
            Err(LimitReached::ShareExhausted(wait)) => CallPermit::ShareExhausted(wait),
            Err(LimitReached::Exhausted(_) | LimitReached::Blocked(_)) => CallPermit::Denied,
        }
    }

    /// A call that was counted is not made.
    pub(crate) fn release(&mut self, caller: Caller, now: UnixTime) {
        self.ledger.advance(now);
        self.ledger.take_back(caller);
        self.classes.get_mut(caller.class).breaker.withdraw(now);
    }

    /// By the shared limit no call may be made.
    pub(crate) fn exhaust(&mut self, caller: Caller, reached: LimitReached, now: UnixTime) {
        let span = Span { from: now, until: now.plus(reached.wait()) };
        match (reached, caller.requester) {
            // As a 429 that this worker got itself.
            (LimitReached::Blocked(wait), _) => self.hold(wait, now),
            (LimitReached::ShareExhausted(_), Some(requester)) => {
                if self.exhausted_shares.len() >= MAX_EXHAUSTED_SHARES {
                    self.exhausted_shares.retain(|_, span| span.contains(now));
                }
                // One that does not fit is denied again by the shared limit.
                if self.exhausted_shares.len() < MAX_EXHAUSTED_SHARES {
                    self.exhausted_shares.insert(requester, span);
                }
            }
            (LimitReached::Exhausted(_) | LimitReached::ShareExhausted(_), _) => {
                self.classes.get_mut(caller.class).exhausted = Some(span)
            }
        }
    }

    /// The server asked for a pause.
    pub(crate) fn hold(&mut self, pause: Duration, now: UnixTime) {
        self.classes.established.breaker.hold(pause, now);
        self.classes.unknown.breaker.hold(pause, now);
    }

    /// The server states its limit; whether that is to be shared.
    pub(crate) fn lower(&mut self, ceiling: NonZeroU32, now: UnixTime) -> bool {
        self.ledger.advance(now);
        self.ledger.lower(ceiling, now);
        let is_news = self.shared_ceiling.is_none_or(|(shared, span)| shared != ceiling || !span.contains(now));
        if is_news {
            self.shared_ceiling = Some((ceiling, Span { from: now, until: now.plus(RESHARE_CEILING_AFTER) }));
        }
        is_news
    }

    /// The calls that may be made in a minute.
    pub(crate) fn limit(&self, now: UnixTime) -> u32 {
        self.limiter.limit(&self.ledger, now)
    }

    pub(crate) fn succeed(&mut self, class: BudgetClass) {
        self.classes.get_mut(class).breaker.succeed();
    }

    pub(crate) fn fail(&mut self, class: BudgetClass, scope: FailureScope, jitter: Jitter, now: UnixTime) {
        match scope {
            // It responds, only not to this one.
            FailureScope::Token => self.classes.get_mut(class).breaker.withdraw(now),
            FailureScope::Transient => self.classes.get_mut(class).breaker.fail(jitter, now),
            FailureScope::Endpoint => {
                self.classes.established.breaker.fail_for_all(jitter, now);
                self.classes.unknown.breaker.fail_for_all(jitter, now);
            }
            FailureScope::RateLimited(pause) => self.hold(pause, now),
        }
    }
}

fn rest_of(span: Span, now: UnixTime) -> Duration {
    if span.contains(now) { span.until.since(now) } else { Duration::ZERO }
}
