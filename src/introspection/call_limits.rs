//! Whether a call may be made: the budget of this VM, what it knows of everybody's, and a circuit breaker for each
//! standing.
//!
//! The host takes each call out of the shared budget as well (`ProviderIntrospection::budget`); the ledger here is what
//! is left of it where there is no shared data, and then the budget is that of one worker.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::introspection::Cause;
use crate::introspection::answer::Sign;
use crate::introspection::budget::{Budget, Denied};
use crate::introspection::call::{Caller, Standing};
use crate::introspection::ledger::Ledger;
use crate::introspection::requester::Requester;
use crate::jitter::Jitter;
use crate::lookup::circuit_breaker::{CircuitBreaker, Permit};
use crate::unix_time::{Span, UnixTime};

/// Requesters of which other VMs are known to have spent the share.
const MAX_OVER_SHARE: usize = 256;
/// An unchanged limit is shared with the other VMs this often.
const CEILING_NEWS: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct CallLimits {
    budget: Budget,
    ledger: Ledger,
    known: Class,
    unknown: Class,
    over_share: HashMap<Requester, Span>,
    /// The server's limit as it was last shared.
    shared_ceiling: Option<(NonZeroU32, Span)>,
}

#[derive(Debug, Default)]
struct Class {
    breaker: CircuitBreaker,
    /// All VMs together have spent the budget.
    spent: Option<Span>,
}

/// Whether a call may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acquire {
    /// It may, and is counted.
    Granted,
    /// No call of that standing may.
    Closed,
    /// None for this requester may for so long; others may.
    OverShare(Duration),
}

impl CallLimits {
    pub(super) fn new(budget: Budget, now: UnixTime) -> Self {
        Self {
            budget,
            ledger: budget.ledger(None, now),
            known: Class::default(),
            unknown: Class::default(),
            over_share: HashMap::new(),
            shared_ceiling: None,
        }
    }

    /// How long no call for that caller can be made; zero when one can, or is being made to see.
    pub(super) fn pause(&self, caller: impl Into<Caller>, now: UnixTime) -> Duration {
        let caller = caller.into();
        let class = self.class(caller.standing);
        let spent = class.spent.map_or(Duration::ZERO, |span| rest_of(span, now));
        let budget = self.check(caller, now).err().map_or(Duration::ZERO, Denied::wait);
        class.breaker.pause(now).max(spent).max(budget)
    }

    fn check(&self, caller: Caller, now: UnixTime) -> Result<(), Denied> {
        let mut ledger = self.ledger.clone();
        ledger.advance(now);
        self.budget.check(&ledger, caller, now)?;
        match self.wait_over_share(caller, now) {
            Duration::ZERO => Ok(()),
            wait => Err(Denied::ShareSpent(wait)),
        }
    }

    fn wait_over_share(&self, caller: Caller, now: UnixTime) -> Duration {
        let span = caller.requester.and_then(|requester| self.over_share.get(&requester));
        span.map_or(Duration::ZERO, |span| rest_of(*span, now))
    }

    /// Whether a call is under way by which it is seen whether more can be made.
    pub(super) fn is_probing(&self, standing: Standing, now: UnixTime) -> bool {
        self.class(standing).breaker.permit(now) == Permit::Probing
    }

    /// Whether the endpoint fails, or wants to be left alone, as far as tokens of either standing have shown.
    pub(super) fn is_failing(&self, now: UnixTime) -> bool {
        [&self.known, &self.unknown].iter().any(|class| class.breaker.pause(now) > Duration::ZERO)
    }

    /// Why no call can be made that cannot.
    pub(super) fn cause(&self, standing: Standing, now: UnixTime) -> Cause {
        let is_failing = self.class(standing).breaker.pause(now) > Duration::ZERO;
        if is_failing { Cause::EndpointFailing } else { Cause::BudgetSpent }
    }

    /// Counts a call, if one may be made.
    pub(super) fn try_acquire(&mut self, caller: Caller, now: UnixTime) -> Acquire {
        if self.class(caller.standing).spent.is_some_and(|span| span.contains(now)) {
            return Acquire::Closed;
        }
        match self.class(caller.standing).breaker.permit(now) {
            Permit::Granted | Permit::Probe => {}
            Permit::Wait(_) | Permit::Probing => return Acquire::Closed,
        }
        match self.wait_over_share(caller, now) {
            Duration::ZERO => {}
            wait => return Acquire::OverShare(wait),
        }
        match self.budget.take_from(&mut self.ledger, caller, now) {
            Ok(()) => {
                self.class_mut(caller.standing).breaker.begin(now);
                Acquire::Granted
            }
            Err(Denied::ShareSpent(wait)) => Acquire::OverShare(wait),
            Err(Denied::Spent(_) | Denied::Blocked(_)) => Acquire::Closed,
        }
    }

    /// A call that was counted is not made.
    pub(super) fn withdraw(&mut self, caller: Caller, now: UnixTime) {
        self.ledger.advance(now);
        self.ledger.take_back(caller);
        self.class_mut(caller.standing).breaker.withdraw(now);
    }

    /// By the budget of all VMs together, no call may be made.
    pub(super) fn deny(&mut self, caller: Caller, denied: Denied, now: UnixTime) {
        let span = Span { from: now, until: now.plus(denied.wait()) };
        match (denied, caller.requester) {
            // As a 429 that this VM was answered itself.
            (Denied::Blocked(wait), _) => self.hold(wait, now),
            (Denied::ShareSpent(_), Some(requester)) => {
                if self.over_share.len() >= MAX_OVER_SHARE {
                    self.over_share.retain(|_, span| span.contains(now));
                }
                // Who finds no place is denied again by the shared budget.
                if self.over_share.len() < MAX_OVER_SHARE {
                    self.over_share.insert(requester, span);
                }
            }
            (Denied::Spent(_) | Denied::ShareSpent(_), _) => self.class_mut(caller.standing).spent = Some(span),
        }
    }

    /// The server wants to be left alone for so long.
    pub(super) fn hold(&mut self, pause: Duration, now: UnixTime) {
        self.known.breaker.hold(pause, now);
        self.unknown.breaker.hold(pause, now);
    }

    /// The server states its limit. Whether the other VMs are to be told.
    pub(super) fn lower(&mut self, ceiling: NonZeroU32, now: UnixTime) -> bool {
        self.ledger.advance(now);
        self.ledger.lower(ceiling, now);
        let is_news = self.shared_ceiling.is_none_or(|(shared, span)| shared != ceiling || !span.contains(now));
        if is_news {
            self.shared_ceiling = Some((ceiling, Span { from: now, until: now.plus(CEILING_NEWS) }));
        }
        is_news
    }

    /// The calls that may be made in a minute.
    pub(super) fn limit(&self, now: UnixTime) -> u32 {
        self.budget.limit(&self.ledger, now)
    }

    pub(super) fn succeed(&mut self, standing: Standing) {
        self.class_mut(standing).breaker.succeed();
    }

    pub(super) fn fail(&mut self, standing: Standing, sign: Sign, jitter: Jitter, now: UnixTime) {
        match sign {
            // It has answered, only not for this one.
            Sign::OfTheToken => self.class_mut(standing).breaker.withdraw(now),
            Sign::OfTrouble => self.class_mut(standing).breaker.fail(jitter, now),
            Sign::OfFailure => {
                self.known.breaker.fail_for_all(jitter, now);
                self.unknown.breaker.fail_for_all(jitter, now);
            }
            Sign::ToWait(pause) => self.hold(pause, now),
        }
    }

    const fn class(&self, standing: Standing) -> &Class {
        match standing {
            Standing::Known => &self.known,
            Standing::Unknown => &self.unknown,
        }
    }

    const fn class_mut(&mut self, standing: Standing) -> &mut Class {
        match standing {
            Standing::Known => &mut self.known,
            Standing::Unknown => &mut self.unknown,
        }
    }
}

fn rest_of(span: Span, now: UnixTime) -> Duration {
    if span.contains(now) { span.until.since(now) } else { Duration::ZERO }
}
