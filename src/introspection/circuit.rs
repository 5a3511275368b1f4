//! Whether an endpoint that failed is asked again: after so many failures in a row not at all for a while, then once to
//! see, and only when that went well by everybody.

use std::time::Duration;

use crate::introspection::call::Span;
use crate::jitter::Jitter;
use crate::unix_time::UnixTime;

const FAILURES_TO_OPEN: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// One door to an endpoint. Known and unknown tokens have one each: else whoever sends tokens that make the endpoint
/// fail would close it for everybody.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Circuit {
    state: State,
    failures: u32,
    openings: u32,
    /// The server wants to be left alone, whatever the circuit says.
    held: Option<Span>,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// Calls are made.
    #[default]
    Closed,
    /// None are.
    Open(Span),
    /// One is, to see.
    Probing,
}

/// Whether a call may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Permit {
    /// Yes.
    Granted,
    /// One: how it ends decides.
    Probe,
    /// Not for so long.
    Wait(Duration),
    /// One is under way to see; it takes a moment.
    Probing,
}

impl Circuit {
    pub(super) fn permit(&self, now: UnixTime) -> Permit {
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

    /// A call begins that was permitted.
    pub(super) fn begin(&mut self, now: UnixTime) {
        if self.permit(now) == Permit::Probe {
            self.state = State::Probing;
        }
    }

    /// A call that had begun is not made after all.
    pub(super) fn withdraw(&mut self, now: UnixTime) {
        if matches!(self.state, State::Probing) {
            self.state = State::Open(Span { from: now, until: now });
        }
    }

    /// The endpoint has answered.
    pub(super) fn succeed(&mut self) {
        (self.state, self.failures, self.openings) = (State::Closed, 0, 0);
    }

    /// It has not, or with nothing of use.
    pub(super) fn fail(&mut self, jitter: Jitter, now: UnixTime) {
        self.failures = self.failures.saturating_add(1);
        match self.state {
            State::Closed if self.failures < FAILURES_TO_OPEN => {}
            // Calls that were under way when it opened say nothing new.
            State::Open(_) => {}
            State::Closed | State::Probing => self.open(jitter, now),
        }
    }

    /// It will not, for any token.
    pub(super) fn fail_for_all(&mut self, jitter: Jitter, now: UnixTime) {
        self.failures = self.failures.max(FAILURES_TO_OPEN);
        self.fail(jitter, now);
    }

    /// The server wants to be left alone for so long.
    pub(super) fn hold(&mut self, pause: Duration, now: UnixTime) {
        self.withdraw(now);
        let until = now.plus(pause);
        let longer = self.held.filter(|held| held.contains(now) && held.until > until);
        self.held = longer.or(Some(Span { from: now, until }));
    }

    /// How long nothing may be asked; zero when something may.
    pub(super) fn pause(&self, now: UnixTime) -> Duration {
        match self.permit(now) {
            Permit::Wait(wait) => wait,
            Permit::Granted | Permit::Probe | Permit::Probing => Duration::ZERO,
        }
    }

    fn open(&mut self, jitter: Jitter, now: UnixTime) {
        let doubled = FIRST_PAUSE * (1 << self.openings.min(6));
        self.openings = self.openings.saturating_add(1);
        let pause = jitter.between_tenths(doubled.min(LONGEST_PAUSE), 7, 10);
        self.state = State::Open(Span { from: now, until: now.plus(pause) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    const FULL: Jitter = Jitter(u16::MAX);

    fn at(millis: u64) -> UnixTime {
        UnixTime::from_millis(1_700_000_000_000 + millis)
    }

    fn opened() -> Circuit {
        let mut circuit = Circuit::default();
        for _ in 0..FAILURES_TO_OPEN {
            assert_eq!(circuit.permit(at(0)), Permit::Granted);
            circuit.fail(Jitter(0), at(0));
        }
        circuit
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn it_opens_after_failures_in_a_row_and_one_call_sees_whether_to_close() {
        let mut circuit = opened();
        assert_eq!(circuit.permit(at(0)), Permit::Wait(Duration::from_millis(700)));
        assert_eq!(circuit.permit(at(699)), Permit::Wait(Duration::from_millis(1)));
        assert_eq!(circuit.permit(at(700)), Permit::Probe);
        circuit.begin(at(700));
        assert_eq!(circuit.permit(at(700)), Permit::Probing);
        circuit.succeed();
        assert_eq!(circuit.permit(at(700)), Permit::Granted);
        circuit.fail(FULL, at(701));
        assert_eq!(circuit.permit(at(701)), Permit::Granted, "it counts from the start again");
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_success_between_failures_keeps_it_closed() {
        let mut circuit = Circuit::default();
        for _ in 0..100 {
            for _ in 1..FAILURES_TO_OPEN {
                circuit.fail(FULL, at(0));
            }
            circuit.succeed();
        }
        assert_eq!(circuit.permit(at(0)), Permit::Granted);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn each_failed_probe_doubles_the_pause_up_to_a_bound() {
        let mut circuit = opened();
        let mut now = 0;
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let Permit::Wait(pause) = circuit.permit(at(now)) else { panic!("open") };
            pauses.push(pause.as_millis());
            now += u64::try_from(pause.as_millis()).unwrap();
            circuit.begin(at(now));
            circuit.fail(Jitter(0), at(now));
        }
        assert_eq!(pauses, [700, 1400, 2800, 5600, 11_200, 21_000, 21_000, 21_000]);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn calls_that_were_under_way_do_not_lengthen_the_pause() {
        let mut circuit = opened();
        for _ in 0..60 {
            circuit.fail(FULL, at(500));
        }
        assert_eq!(circuit.permit(at(700)), Permit::Probe);
        circuit.begin(at(700));
        circuit.withdraw(at(700));
        assert_eq!(circuit.permit(at(700)), Permit::Probe, "a probe that was not made is made by the next");
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_refusal_of_our_credentials_opens_at_once() {
        let mut circuit = Circuit::default();
        circuit.fail_for_all(Jitter(0), at(0));
        assert_eq!(circuit.permit(at(0)), Permit::Wait(Duration::from_millis(700)));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_server_that_wants_to_be_left_alone_is_left_alone_for_the_longest_it_said() {
        let mut circuit = Circuit::default();
        circuit.hold(Duration::from_secs(7), at(0));
        circuit.hold(Duration::from_secs(2), at(100));
        circuit.succeed();
        assert_eq!(circuit.permit(at(0)), Permit::Wait(Duration::from_secs(7)), "a late success changes nothing");
        assert_eq!(circuit.permit(at(6999)), Permit::Wait(Duration::from_millis(1)));
        assert_eq!(circuit.permit(at(7000)), Permit::Granted);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_clock_that_goes_back_does_not_keep_it_open() {
        let mut circuit = opened();
        circuit.hold(Duration::from_secs(600), at(0));
        let hour_before = UnixTime::from_millis(1_700_000_000_000 - 3_600_000);
        assert_eq!(circuit.permit(hour_before), Permit::Probe);
    }
}
