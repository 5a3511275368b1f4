//! Stops calls to an endpoint that fails: after some failures in a row none is made for a while, then one probe, and all
//! again once it succeeds.

use std::time::Duration;

use crate::randomness::Jitter;
use crate::unix_time::{Span, UnixTime};

const FAILURES_TO_OPEN: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A circuit breaker. One endpoint may have several, so that callers of one kind do not open it for all.
#[derive(Clone, Copy, Debug, Default)]
pub struct CircuitBreaker {
    state: State,
    failures: u32,
    openings: u32,
    /// The server asked for a pause (429), whatever the state.
    held: Option<Span>,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// Calls are made.
    #[default]
    Closed,
    /// None are.
    Open(Span),
    /// The probe is under way.
    Probing,
}

/// Whether a call may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// Yes.
    Granted,
    Probe,
    /// Not for so long.
    Wait(Duration),
    /// The probe is under way.
    Probing,
}

impl CircuitBreaker {
    /// Whether a call may be made now.
    pub fn permit(&self, now: UnixTime) -> Permit {
        if let Some(held) = self.held.filter(|held| held.contains(now)) {
            return Permit::Wait(held.until.since(now));
        }
        match self.state {
            State::Closed => Permit::Granted,
            State::Open(span) if span.contains(now) => Permit::Wait(span.until.since(now)),
            State::Open(_) => Permit::Probe,
            State::Probing => Permit::Probing,
        }
    }

    pub fn begin(&mut self, now: UnixTime) {
        if self.permit(now) == Permit::Probe {
            self.state = State::Probing;
        }
    }

    /// A call that had begun was not made.
    pub fn withdraw(&mut self, now: UnixTime) {
        if matches!(self.state, State::Probing) {
            self.state = State::Open(Span { from: now, until: now });
        }
    }

    pub fn succeed(&mut self) {
        (self.state, self.failures, self.openings) = (State::Closed, 0, 0);
    }

    pub fn fail(&mut self, jitter: Jitter, now: UnixTime) {
        self.failures = self.failures.saturating_add(1);
        match self.state {
            State::Closed if self.failures < FAILURES_TO_OPEN => {}
            // Calls that were under way when it opened say nothing new.
            State::Open(_) => {}
            State::Closed | State::Probing => self.open(jitter, now),
        }
    }

    /// A call failed in a way in which all calls will: opens at once.
    pub fn fail_for_all(&mut self, jitter: Jitter, now: UnixTime) {
        self.failures = self.failures.max(FAILURES_TO_OPEN);
        self.fail(jitter, now);
    }

    /// The server asked for a pause.
    pub fn hold(&mut self, pause: Duration, now: UnixTime) {
        self.withdraw(now);
        let until = now.plus(pause);
        let longer = self.held.filter(|held| held.contains(now) && held.until > until);
        self.held = longer.or(Some(Span { from: now, until }));
    }

    /// How long no call may be made; zero when one may.
    pub fn pause(&self, now: UnixTime) -> Duration {
        match self.permit(now) {
            Permit::Wait(wait) => wait,
            Permit::Granted | Permit::Probe | Permit::Probing => Duration::ZERO,
        }
    }

    fn open(&mut self, jitter: Jitter, now: UnixTime) {
        let pause = jitter.back_off(FIRST_PAUSE, self.openings, LONGEST_PAUSE);
        self.openings = self.openings.saturating_add(1);
        self.state = State::Open(Span { from: now, until: now.plus(pause) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: Jitter = Jitter(u16::MAX);

    fn at(millis: u64) -> UnixTime {
        UnixTime::from_millis(1_700_000_000_000 + millis)
    }

    fn opened() -> CircuitBreaker {
        let mut breaker = CircuitBreaker::default();
        for _ in 0..FAILURES_TO_OPEN {
            assert_eq!(breaker.permit(at(0)), Permit::Granted);
            breaker.fail(Jitter(0), at(0));
        }
        breaker
    }

    #[test]
    fn opens_after_failures_in_a_row_and_a_successful_probe_closes_it() {
        let mut breaker = opened();
        assert_eq!(breaker.permit(at(0)), Permit::Wait(Duration::from_millis(700)));
        assert_eq!(breaker.permit(at(699)), Permit::Wait(Duration::from_millis(1)));
        assert_eq!(breaker.permit(at(700)), Permit::Probe);
        breaker.begin(at(700));
        assert_eq!(breaker.permit(at(700)), Permit::Probing);
        breaker.succeed();
        assert_eq!(breaker.permit(at(700)), Permit::Granted);
        breaker.fail(FULL, at(701));
        assert_eq!(breaker.permit(at(701)), Permit::Granted, "the count of failures restarts");
    }

    #[test]
    fn success_between_failures_keeps_it_closed() {
        let mut breaker = CircuitBreaker::default();
        for _ in 0..100 {
            for _ in 1..FAILURES_TO_OPEN {
                breaker.fail(FULL, at(0));
            }
            breaker.succeed();
        }
        assert_eq!(breaker.permit(at(0)), Permit::Granted);
    }

    #[test]
    fn each_failed_probe_doubles_the_pause_up_to_a_bound() {
        let mut breaker = opened();
        let mut now = 0;
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let Permit::Wait(pause) = breaker.permit(at(now)) else { panic!("open") };
            pauses.push(pause.as_millis());
            now += u64::try_from(pause.as_millis()).unwrap();
            breaker.begin(at(now));
            breaker.fail(Jitter(0), at(now));
        }
        assert_eq!(pauses, [700, 1400, 2800, 5600, 11_200, 21_000, 21_000, 21_000]);
    }

    #[test]
    fn failures_of_calls_under_way_do_not_extend_the_pause() {
        let mut breaker = opened();
        for _ in 0..60 {
            breaker.fail(FULL, at(500));
        }
        assert_eq!(breaker.permit(at(700)), Permit::Probe);
        breaker.begin(at(700));
        breaker.withdraw(at(700));
        assert_eq!(
            breaker.permit(at(700)),
            Permit::Probe,
            "a probe that was not made leaves the next call as the probe"
        );
    }

    #[test]
    fn failure_for_all_calls_opens_at_once() {
        let mut breaker = CircuitBreaker::default();
        breaker.fail_for_all(Jitter(0), at(0));
        assert_eq!(breaker.permit(at(0)), Permit::Wait(Duration::from_millis(700)));
    }

    #[test]
    fn longest_requested_pause_wins_over_a_late_success() {
        let mut breaker = CircuitBreaker::default();
        breaker.hold(Duration::from_secs(7), at(0));
        breaker.hold(Duration::from_secs(2), at(100));
        breaker.succeed();
        assert_eq!(breaker.permit(at(0)), Permit::Wait(Duration::from_secs(7)), "a late success changes nothing");
        assert_eq!(breaker.permit(at(6999)), Permit::Wait(Duration::from_millis(1)));
        assert_eq!(breaker.permit(at(7000)), Permit::Granted);
    }

    #[test]
    fn clock_set_back_does_not_keep_it_open() {
        let mut breaker = opened();
        breaker.hold(Duration::from_secs(600), at(0));
        let hour_before = UnixTime::from_millis(1_700_000_000_000 - 3_600_000);
        assert_eq!(breaker.permit(hour_before), Permit::Probe);
    }
}
