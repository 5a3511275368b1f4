//! The tokens that are asked about, or are to be: each once, however many requests wait for it, and not too many.
//!
//! Requesters take turns: the next call is made for the one that was served longest ago. One requester may hold a part of
//! the places and of the calls under way only, so that there is always some left for another one.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use crate::introspection::call::{CallNumber, Caller, Standing, Subject, TokenDigest};
use crate::introspection::order::Began;
use crate::introspection::requester::Requester;
use crate::unix_time::MonotonicTime;

/// Calls at the same time. A slow endpoint and unknown tokens together must not take all of them.
const MAX_IN_FLIGHT: usize = 64;
const MAX_UNKNOWN_IN_FLIGHT: usize = 32;
/// Tokens that wait for their call, and their bytes.
const MAX_KNOWN_WAITING: usize = 2048;
const MAX_UNKNOWN_WAITING: usize = 512;
const MAX_WAITING_BYTES: usize = 4 * 1024 * 1024;
/// A host that never answers a callout must not keep us from asking again.
const ANSWER_GRACE: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Queue {
    known: Line,
    unknown: Line,
    in_flight: HashMap<CallNumber, InFlight>,
    /// How many of those under way are for whom.
    in_flight_for: HashMap<Requester, usize>,
    /// All that wait or are asked about.
    asked: HashSet<TokenDigest>,
    begun: CallNumber,
}

/// Those of one standing that wait.
#[derive(Debug, Default)]
struct Line {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    /// Those who have tokens here. Tokens without a requester are one flow.
    flows: HashMap<Option<Requester>, Flow>,
    /// The round in which calls are made now.
    round: u64,
}

/// The tokens of one requester.
#[derive(Clone, Copy, Debug, Default)]
struct Flow {
    waiting: usize,
    /// The round of the last of them.
    last_round: u64,
}

/// A token that waits for its call.
#[derive(Debug)]
pub(super) struct Waiting {
    subject: Subject,
    /// In each round each requester has one token.
    round: u64,
    not_before: MonotonicTime,
    /// As long as requests wait for it.
    until: MonotonicTime,
}

/// A token whose call is under way.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) subject: Subject,
    pub(super) began: Began,
    round: u64,
    /// Until it is given up.
    until: MonotonicTime,
    /// As long as requests wait for it.
    awaited_until: MonotonicTime,
}

/// There is no room for another token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Queue {
    pub(super) fn is_asked(&self, token: &TokenDigest) -> bool {
        self.asked.contains(token)
    }

    pub(super) fn is_in_flight(&self, number: CallNumber) -> bool {
        self.in_flight.contains_key(&number)
    }

    pub(super) fn in_flight(&self, number: CallNumber) -> Option<&InFlight> {
        self.in_flight.get(&number)
    }

    pub(super) fn has_waiting(&self) -> bool {
        !self.known.waiting.is_empty() || !self.unknown.waiting.is_empty()
    }

    /// Lines a token up; requests wait for it so long.
    pub(super) fn push(&mut self, subject: Subject, patience: Duration, now: MonotonicTime) -> Result<(), Full> {
        let Caller { standing, requester } = subject.caller;
        let (digest, length) = (subject.digest, subject.text.reveal().len());
        let line = self.line_mut(standing);
        let left = room(standing).saturating_sub(line.waiting.len());
        if left == 0 || line.bytes.saturating_add(length) > MAX_WAITING_BYTES {
            return Err(Full);
        }
        let flow = line.flows.get(&requester).copied().unwrap_or_default();
        if requester.is_some() && !is_within_share(standing, flow.waiting, left) {
            return Err(Full);
        }
        let round = if flow.waiting == 0 { line.round } else { flow.last_round.saturating_add(1).max(line.round) };
        let until = now.plus(patience).plus(ANSWER_GRACE);
        line.insert(Waiting { subject, round, not_before: now, until });
        self.asked.insert(digest);
        Ok(())
    }

    /// For whom the next call of that standing is, if one may be made as far as the queue knows.
    pub(super) fn next_caller(&self, standing: Standing, now: MonotonicTime) -> Option<Caller> {
        let at = self.next(standing, now)?;
        self.line(standing).waiting.get(at).map(|waiting| waiting.subject.caller)
    }

    /// Begins that call.
    pub(super) fn begin_next(&mut self, standing: Standing, timeout: Duration, began: Began) -> Option<CallNumber> {
        let at = self.next(standing, began.at)?;
        let line = self.line_mut(standing);
        let Waiting { subject, round, until: awaited_until, .. } = line.remove(at)?;
        // Who comes next is not behind those who came before and were served already, nor ahead of them.
        line.round = line.round.max(round.saturating_add(1));
        let number = self.next_number();
        let until = began.at.plus(timeout).plus(ANSWER_GRACE);
        if let Some(requester) = subject.caller.requester {
            let calls = self.in_flight_for.entry(requester).or_default();
            *calls = calls.saturating_add(1);
        }
        self.in_flight.insert(number, InFlight { subject, began, round, until, awaited_until });
        Some(number)
    }

    /// The first of those that are due in the earliest round.
    fn next(&self, standing: Standing, now: MonotonicTime) -> Option<usize> {
        let left = self.calls_left(standing);
        let is_next = |waiting: &Waiting| now >= waiting.not_before && self.may_begin(waiting, left);
        let candidates = self.line(standing).waiting.iter().enumerate().filter(|(_, waiting)| is_next(waiting));
        candidates.min_by_key(|(_, waiting)| waiting.round).map(|(at, _)| at)
    }

    /// How many calls of that standing may begin before another one ends.
    fn calls_left(&self, standing: Standing) -> usize {
        let all = MAX_IN_FLIGHT.saturating_sub(self.in_flight.len());
        match standing {
            Standing::Known => all,
            Standing::Unknown => {
                let is_unknown = |call: &&InFlight| call.subject.caller.standing == Standing::Unknown;
                let unknown = self.in_flight.values().filter(is_unknown).count();
                all.min(MAX_UNKNOWN_IN_FLIGHT.saturating_sub(unknown))
            }
        }
    }

    fn may_begin(&self, waiting: &Waiting, left: usize) -> bool {
        let Caller { standing, requester } = waiting.subject.caller;
        let calls = requester.and_then(|requester| self.in_flight_for.get(&requester)).copied().unwrap_or(0);
        left > 0 && (calls == 0 || is_within_share(standing, calls, left))
    }

    pub(super) fn next_number(&mut self) -> CallNumber {
        self.begun.0 += 1;
        self.begun
    }

    /// Takes a call out: it has ended.
    pub(super) fn finish(&mut self, number: CallNumber) -> Option<InFlight> {
        let call = self.end(number)?;
        self.asked.remove(&call.subject.digest);
        Some(call)
    }

    fn end(&mut self, number: CallNumber) -> Option<InFlight> {
        let call = self.in_flight.remove(&number)?;
        if let Some(requester) = call.subject.caller.requester
            && let Some(calls) = self.in_flight_for.get_mut(&requester)
        {
            *calls = calls.saturating_sub(1);
            if *calls == 0 {
                self.in_flight_for.remove(&requester);
            }
        }
        Some(call)
    }

    /// Puts a call back, in its old round: it is not made before `not_before`.
    pub(super) fn put_back(&mut self, number: CallNumber, not_before: MonotonicTime) -> Option<Caller> {
        let InFlight { subject, round, awaited_until: until, .. } = self.end(number)?;
        let caller = subject.caller;
        self.line_mut(caller.standing).insert_first(Waiting { subject, round, not_before, until });
        Some(caller)
    }

    /// Removes a token that waits: no request waits for it. A call under way goes on.
    pub(super) fn abandon(&mut self, token: &TokenDigest) {
        if !self.asked.contains(token) {
            return;
        }
        for standing in [Standing::Known, Standing::Unknown] {
            let line = self.line_mut(standing);
            if let Some(at) = line.waiting.iter().position(|waiting| waiting.subject.digest == *token) {
                line.remove(at);
                self.asked.remove(token);
                return;
            }
        }
    }

    /// The calls that were never answered.
    pub(super) fn given_up(&self, now: MonotonicTime) -> Vec<CallNumber> {
        let mut numbers: Vec<CallNumber> =
            self.in_flight.iter().filter(|(_, call)| now >= call.until).map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Sends those of a standing away that wait.
    pub(super) fn dismiss(&mut self, standing: Standing) -> Vec<TokenDigest> {
        self.dismiss_where(standing, |_| true)
    }

    /// Sends those away that wait for this caller.
    pub(super) fn dismiss_of(&mut self, caller: Caller) -> Vec<TokenDigest> {
        self.dismiss_where(caller.standing, |waiting| waiting.subject.caller == caller)
    }

    /// Makes no call for this caller before then.
    pub(super) fn delay(&mut self, caller: Caller, not_before: MonotonicTime) {
        for waiting in &mut self.line_mut(caller.standing).waiting {
            if waiting.subject.caller == caller {
                waiting.not_before = waiting.not_before.max(not_before);
            }
        }
    }

    /// Sends those away that nobody waits for any more.
    pub(super) fn dismiss_overdue(&mut self, now: MonotonicTime) -> Vec<TokenDigest> {
        let mut tokens = self.dismiss_where(Standing::Known, |waiting| now >= waiting.until);
        tokens.extend(self.dismiss_where(Standing::Unknown, |waiting| now >= waiting.until));
        tokens
    }

    fn dismiss_where(&mut self, standing: Standing, is_meant: impl Fn(&Waiting) -> bool) -> Vec<TokenDigest> {
        let line = self.line_mut(standing);
        let mut tokens = Vec::new();
        if line.waiting.iter().any(&is_meant) {
            for waiting in std::mem::take(&mut line.waiting) {
                if is_meant(&waiting) {
                    line.leave(&waiting.subject);
                    tokens.push(waiting.subject.digest);
                } else {
                    line.waiting.push_back(waiting);
                }
            }
        }
        for token in &tokens {
            self.asked.remove(token);
        }
        tokens
    }

    /// When the first call is given up, or the first token that nobody waits for any more is sent away.
    pub(super) fn next_end(&self) -> Option<MonotonicTime> {
        let waiting = self.known.waiting.iter().chain(&self.unknown.waiting).map(|waiting| waiting.until);
        self.in_flight.values().map(|call| call.until).chain(waiting).min()
    }

    /// When the first that waits may be asked about; `None`: when a call has ended, or when there is one.
    pub(super) fn next_begin(&self, standing: Standing) -> Option<MonotonicTime> {
        let left = self.calls_left(standing);
        let waiting = self.line(standing).waiting.iter().filter(|waiting| self.may_begin(waiting, left));
        waiting.map(|waiting| waiting.not_before).min()
    }

    /// How many tokens wait or are asked about.
    pub(super) fn len(&self) -> usize {
        self.asked.len()
    }

    const fn line(&self, standing: Standing) -> &Line {
        match standing {
            Standing::Known => &self.known,
            Standing::Unknown => &self.unknown,
        }
    }

    const fn line_mut(&mut self, standing: Standing) -> &mut Line {
        match standing {
            Standing::Known => &mut self.known,
            Standing::Unknown => &mut self.unknown,
        }
    }
}

impl Line {
    fn insert(&mut self, waiting: Waiting) {
        self.join(&waiting);
        self.waiting.push_back(waiting);
    }

    fn insert_first(&mut self, waiting: Waiting) {
        self.join(&waiting);
        self.waiting.push_front(waiting);
    }

    fn remove(&mut self, at: usize) -> Option<Waiting> {
        let waiting = self.waiting.remove(at)?;
        self.leave(&waiting.subject);
        Some(waiting)
    }

    fn join(&mut self, waiting: &Waiting) {
        self.bytes = self.bytes.saturating_add(waiting.subject.text.reveal().len());
        let flow = self.flows.entry(waiting.subject.caller.requester).or_default();
        flow.waiting = flow.waiting.saturating_add(1);
        flow.last_round = flow.last_round.max(waiting.round);
    }

    fn leave(&mut self, subject: &Subject) {
        self.bytes = self.bytes.saturating_sub(subject.text.reveal().len());
        let requester = subject.caller.requester;
        if let Some(flow) = self.flows.get_mut(&requester) {
            flow.waiting = flow.waiting.saturating_sub(1);
            if flow.waiting == 0 {
                self.flows.remove(&requester);
            }
        }
    }
}

const fn room(standing: Standing) -> usize {
    match standing {
        Standing::Known => MAX_KNOWN_WAITING,
        Standing::Unknown => MAX_UNKNOWN_WAITING,
    }
}

/// Whether a requester that holds so many may have another one of those that are left: as in `budget`.
const fn is_within_share(standing: Standing, held: usize, left: usize) -> bool {
    match standing {
        Standing::Known => held < left.saturating_mul(5),
        Standing::Unknown => held.saturating_mul(2) < left,
    }
}
