//! Whether a call may be made at all: the budget of this VM, what is known of everybody's, and the circuit, for each
//! standing.
//!
//! The host takes each call out of the shared budget as well (`ProviderIntrospection::budget`); the ledger here is what
//! is left of it where there is no shared data, and then the budget is that of one worker.

use std::time::Duration;

use crate::introspection::Cause;
use crate::introspection::answer::Sign;
use crate::introspection::budget::{Budget, Take};
use crate::introspection::call::{Span, Standing};
use crate::introspection::circuit::{Circuit, Permit};
use crate::jitter::Jitter;
use crate::unix_time::UnixTime;

#[derive(Debug)]
pub(super) struct Doors {
    budget: Budget,
    ledger: Option<Vec<u8>>,
    known: Door,
    unknown: Door,
}

#[derive(Debug, Default)]
struct Door {
    circuit: Circuit,
    /// All VMs together have spent the budget.
    spent: Option<Span>,
}

impl Doors {
    pub(super) fn new(budget: Budget) -> Self {
        Self { budget, ledger: None, known: Door::default(), unknown: Door::default() }
    }

    /// How long no call of that standing can be made; zero when one can, or is being made to see.
    pub(super) fn pause(&self, standing: Standing, now: UnixTime) -> Duration {
        let door = self.door(standing);
        let spent = door.spent.filter(|span| span.contains(now)).map_or(Duration::ZERO, |span| span.until.since(now));
        let budget = self.budget.wait(self.ledger.as_deref(), standing, now);
        door.circuit.pause(now).max(spent).max(budget)
    }

    /// Whether a call is under way by which it is seen whether more can be made.
    pub(super) fn is_probing(&self, standing: Standing, now: UnixTime) -> bool {
        self.door(standing).circuit.permit(now) == Permit::Probing
    }

    /// Whether the endpoint fails, or wants to be left alone, as far as tokens of either standing have shown.
    pub(super) fn is_failing(&self, now: UnixTime) -> bool {
        [&self.known, &self.unknown].iter().any(|door| door.circuit.pause(now) > Duration::ZERO)
    }

    /// What closes the door that is closed.
    pub(super) fn cause(&self, standing: Standing, now: UnixTime) -> Cause {
        let is_failing = self.door(standing).circuit.pause(now) > Duration::ZERO;
        if is_failing { Cause::EndpointFailing } else { Cause::BudgetSpent }
    }

    /// Takes a call out of what may be made, if there is one.
    pub(super) fn pass(&mut self, standing: Standing, now: UnixTime) -> bool {
        if self.door(standing).spent.is_some_and(|span| span.contains(now)) {
            return false;
        }
        match self.door(standing).circuit.permit(now) {
            Permit::Granted | Permit::Probe => {}
            Permit::Wait(_) | Permit::Probing => return false,
        }
        match self.budget.take(self.ledger.as_deref(), standing, now) {
            Take::Taken(ledger) => {
                self.ledger = Some(ledger);
                self.door_mut(standing).circuit.begin(now);
                true
            }
            Take::Spent(_) => false,
        }
    }

    /// A call that had passed is not made.
    pub(super) fn withdraw(&mut self, standing: Standing, now: UnixTime) {
        self.ledger = Some(self.budget.give_back(self.ledger.as_deref(), standing, now));
        self.door_mut(standing).circuit.withdraw(now);
    }

    /// All VMs together have spent their budget for so long.
    pub(super) fn spend(&mut self, standing: Standing, wait: Duration, now: UnixTime) {
        self.door_mut(standing).spent = Some(Span { from: now, until: now.plus(wait) });
    }

    pub(super) fn succeed(&mut self, standing: Standing) {
        self.door_mut(standing).circuit.succeed();
    }

    pub(super) fn fail(&mut self, standing: Standing, sign: Sign, jitter: Jitter, now: UnixTime) {
        match sign {
            // It has answered, only not for this one.
            Sign::OfTheToken => self.door_mut(standing).circuit.withdraw(now),
            Sign::OfTrouble => self.door_mut(standing).circuit.fail(jitter, now),
            Sign::OfFailure => {
                self.known.circuit.fail_for_all(jitter, now);
                self.unknown.circuit.fail_for_all(jitter, now);
            }
            Sign::ToWait(pause) => {
                self.known.circuit.hold(pause, now);
                self.unknown.circuit.hold(pause, now);
            }
        }
    }

    const fn door(&self, standing: Standing) -> &Door {
        match standing {
            Standing::Known => &self.known,
            Standing::Unknown => &self.unknown,
        }
    }

    const fn door_mut(&mut self, standing: Standing) -> &mut Door {
        match standing {
            Standing::Known => &mut self.known,
            Standing::Unknown => &mut self.unknown,
        }
    }
}
