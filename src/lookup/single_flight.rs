//! Single flight: what is called about, or is to be, each once however many requests wait for it, and a bounded number.
//!
//! Requesters take turns: the next call is made for the one whose last call began longest ago. One requester may hold a
//! part of the queue and of the calls under way only, so that some is always left for another one.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use crate::lookup::order::Began;
use crate::lookup::requester::{BudgetClass, Caller, PerClass, Requester};
use crate::unix_time::MonotonicTime;

/// Calls at the same time. A slow endpoint and unknown credentials together must not take all of them.
const MAX_IN_FLIGHT: usize = 64;
const MAX_UNKNOWN_IN_FLIGHT: usize = 32;
/// Subjects that wait for their call, and their bytes.
const MAX_ESTABLISHED_QUEUED: usize = 2048;
const MAX_UNKNOWN_QUEUED: usize = 512;
const MAX_QUEUED_BYTES: usize = 4 * 1024 * 1024;
/// A host that never ends a callout must not block the next call.
const RESPONSE_GRACE: Duration = Duration::from_secs(1);

/// The how-many-eth call to an endpoint in this worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallNumber(pub(crate) u64);

/// What a call is about.
pub(crate) trait Subject {
    /// Identifies it.
    type Key: Copy + Eq + Hash;

    fn key(&self) -> Self::Key;

    fn caller(&self) -> Caller;

    /// What it takes.
    fn bytes(&self) -> usize;
}

#[derive(Debug)]
pub(crate) struct SingleFlight<S: Subject> {
    queues: PerClass<Queue<S>>,
    in_flight: HashMap<CallNumber, InFlight<S>>,
    /// How many calls are under way for each requester.
    in_flight_for: HashMap<Requester, usize>,
    /// All that wait or are under way.
    keys: HashSet<S::Key>,
    begun: CallNumber,
}

/// The subjects of one class that wait.
#[derive(Debug)]
struct Queue<S> {
    queued: VecDeque<Queued<S>>,
    bytes: usize,
    /// Those who have subjects here. Subjects without a requester are one flow.
    flows: HashMap<Option<Requester>, Flow>,
    /// The round in which calls are made now.
    round: u64,
}

/// The subjects of one requester.
#[derive(Clone, Copy, Debug, Default)]
struct Flow {
    queued: usize,
    /// The round of the last of them.
    last_round: u64,
}

/// A subject that waits for its call.
#[derive(Debug)]
struct Queued<S> {
    subject: S,
    /// In each round each requester has one subject.
    round: u64,
    not_before: MonotonicTime,
    /// As long as requests wait for it.
    until: MonotonicTime,
}

/// A subject whose call is under way.
#[derive(Debug)]
pub(crate) struct InFlight<S> {
    pub(crate) subject: S,
    pub(crate) began: Began,
    round: u64,
    /// When the call times out.
    until: MonotonicTime,
    /// As long as requests wait for it.
    awaited_until: MonotonicTime,
}

/// The queue has no space for another subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl<S: Subject> Default for SingleFlight<S> {
    fn default() -> Self {
        Self {
            queues: PerClass { established: Queue::new(), unknown: Queue::new() },
            in_flight: HashMap::new(),
            in_flight_for: HashMap::new(),
            keys: HashSet::new(),
            begun: CallNumber::default(),
        }
    }
}

impl<S: Subject> SingleFlight<S> {
    pub(crate) fn contains(&self, key: &S::Key) -> bool {
        self.keys.contains(key)
    }

    pub(crate) fn is_in_flight(&self, number: CallNumber) -> bool {
        self.in_flight.contains_key(&number)
    }

    pub(crate) fn in_flight(&self, number: CallNumber) -> Option<&InFlight<S>> {
        self.in_flight.get(&number)
    }

    pub(crate) fn has_queued(&self) -> bool {
        BudgetClass::ALL.into_iter().any(|class| !self.queues.get(class).queued.is_empty())
    }

    /// Queues a subject; requests wait for it so long.
    pub(crate) fn push(&mut self, subject: S, wait: Duration, now: MonotonicTime) -> Result<(), Full> {
        let Caller { class, requester } = subject.caller();
        let (key, bytes) = (subject.key(), subject.bytes());
        let queue = self.queues.get_mut(class);
        let left = capacity(class).saturating_sub(queue.queued.len());
        if left == 0 || queue.bytes.saturating_add(bytes) > MAX_QUEUED_BYTES {
            return Err(Full);
        }
        let flow = queue.flows.get(&requester).copied().unwrap_or_default();
        if requester.is_some() && !is_within_share(class, flow.queued, left) {
            return Err(Full);
        }
        let round = if flow.queued == 0 { queue.round } else { flow.last_round.saturating_add(1).max(queue.round) };
        let until = now.plus(wait).plus(RESPONSE_GRACE);
        queue.insert(Queued { subject, round, not_before: now, until });
        self.keys.insert(key);
        Ok(())
    }

    /// For whom the next call of that class is, if one may begin as far as the queue knows.
    pub(crate) fn next_caller(&self, class: BudgetClass, now: MonotonicTime) -> Option<Caller> {
        let at = self.next(class, now)?;
        self.queues.get(class).queued.get(at).map(|queued| queued.subject.caller())
    }

    pub(crate) fn begin_next(&mut self, class: BudgetClass, timeout: Duration, began: Began) -> Option<CallNumber> {
        let at = self.next(class, began.at)?;
        let queue = self.queues.get_mut(class);
        let Queued { subject, round, until: awaited_until, .. } = queue.remove(at)?;
        // Who comes next is not behind those who came before and were served already, nor ahead of them.
        queue.round = queue.round.max(round.saturating_add(1));
        let number = self.next_number();
        let until = began.at.plus(timeout).plus(RESPONSE_GRACE);
        if let Some(requester) = subject.caller().requester {
            let calls = self.in_flight_for.entry(requester).or_default();
            *calls = calls.saturating_add(1);
        }
        self.in_flight.insert(number, InFlight { subject, began, round, until, awaited_until });
        Some(number)
    }

    /// The first of those that are due in the earliest round.
    fn next(&self, class: BudgetClass, now: MonotonicTime) -> Option<usize> {
        let left = self.calls_left(class);
        let is_next = |queued: &Queued<S>| now >= queued.not_before && self.may_begin(queued, left);
        let candidates = self.queues.get(class).queued.iter().enumerate().filter(|(_, queued)| is_next(queued));
        candidates.min_by_key(|(_, queued)| queued.round).map(|(at, _)| at)
    }

    /// How many calls of that class may begin before another one ends.
    fn calls_left(&self, class: BudgetClass) -> usize {
        let all = MAX_IN_FLIGHT.saturating_sub(self.in_flight.len());
        match class {
            BudgetClass::Established => all,
            BudgetClass::Unknown => {
                let is_unknown = |call: &&InFlight<S>| call.subject.caller().class == BudgetClass::Unknown;
                let unknown = self.in_flight.values().filter(is_unknown).count();
                all.min(MAX_UNKNOWN_IN_FLIGHT.saturating_sub(unknown))
            }
        }
    }

    fn may_begin(&self, queued: &Queued<S>, left: usize) -> bool {
        let Caller { class, requester } = queued.subject.caller();
        let calls = requester.and_then(|requester| self.in_flight_for.get(&requester)).copied().unwrap_or(0);
        left > 0 && (calls == 0 || is_within_share(class, calls, left))
    }

    pub(crate) fn next_number(&mut self) -> CallNumber {
        self.begun.0 += 1;
        self.begun
    }

    /// Removes a call that has ended.
    pub(crate) fn finish(&mut self, number: CallNumber) -> Option<InFlight<S>> {
        let call = self.end(number)?;
        self.keys.remove(&call.subject.key());
        Some(call)
    }

    fn end(&mut self, number: CallNumber) -> Option<InFlight<S>> {
        let call = self.in_flight.remove(&number)?;
        if let Some(requester) = call.subject.caller().requester
            && let Some(calls) = self.in_flight_for.get_mut(&requester)
        {
            *calls = calls.saturating_sub(1);
            if *calls == 0 {
                self.in_flight_for.remove(&requester);
            }
        }
        Some(call)
    }

    /// Queues the subject of a call again, in its old round; the call is not made before `not_before`.
    pub(crate) fn requeue(&mut self, number: CallNumber, not_before: MonotonicTime) -> Option<Caller> {
        let InFlight { subject, round, awaited_until: until, .. } = self.end(number)?;
        let caller = subject.caller();
        self.queues.get_mut(caller.class).insert_first(Queued { subject, round, not_before, until });
        Some(caller)
    }

    /// Removes a subject that waits, because no request waits for it. A call under way continues.
    pub(crate) fn abandon(&mut self, key: &S::Key) {
        if !self.keys.contains(key) {
            return;
        }
        for class in BudgetClass::ALL {
            let queue = self.queues.get_mut(class);
            if let Some(at) = queue.queued.iter().position(|queued| queued.subject.key() == *key) {
                queue.remove(at);
                self.keys.remove(key);
                return;
            }
        }
    }

    /// The calls that never ended.
    pub(crate) fn timed_out(&self, now: MonotonicTime) -> Vec<CallNumber> {
        let mut numbers: Vec<CallNumber> =
            self.in_flight.iter().filter(|(_, call)| now >= call.until).map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Removes the subjects of a class that wait.
    pub(crate) fn dismiss(&mut self, class: BudgetClass) -> Vec<S::Key> {
        self.dismiss_where(class, |_| true)
    }

    /// Removes the subjects of this caller that wait.
    pub(crate) fn dismiss_of(&mut self, caller: Caller) -> Vec<S::Key> {
        self.dismiss_where(caller.class, |queued| queued.subject.caller() == caller)
    }

    /// Makes no call for this caller before then.
    pub(crate) fn delay(&mut self, caller: Caller, not_before: MonotonicTime) {
        for queued in &mut self.queues.get_mut(caller.class).queued {
            if queued.subject.caller() == caller {
                queued.not_before = queued.not_before.max(not_before);
            }
        }
    }

    /// Removes the subjects that no request waits for any more.
    pub(crate) fn dismiss_expired(&mut self, now: MonotonicTime) -> Vec<S::Key> {
        let mut keys = self.dismiss_where(BudgetClass::Established, |queued| now >= queued.until);
        keys.extend(self.dismiss_where(BudgetClass::Unknown, |queued| now >= queued.until));
        keys
    }

    fn dismiss_where(&mut self, class: BudgetClass, is_meant: impl Fn(&Queued<S>) -> bool) -> Vec<S::Key> {
        let queue = self.queues.get_mut(class);
        let mut keys = Vec::new();
        if queue.queued.iter().any(&is_meant) {
            for queued in std::mem::take(&mut queue.queued) {
                if is_meant(&queued) {
                    queue.leave(&queued.subject);
                    keys.push(queued.subject.key());
                } else {
                    queue.queued.push_back(queued);
                }
            }
        }
        for key in &keys {
            self.keys.remove(key);
        }
        keys
    }

    /// When the first call times out, or the first subject is removed that no request waits for.
    pub(crate) fn next_end(&self) -> Option<MonotonicTime> {
        let queued = self.queues.established.queued.iter().chain(&self.queues.unknown.queued);
        let queued = queued.map(|queued| queued.until);
        self.in_flight.values().map(|call| call.until).chain(queued).min()
    }

    /// When the first call may begin; `None`: when another one has ended, or when there is one.
    pub(crate) fn next_begin(&self, class: BudgetClass) -> Option<MonotonicTime> {
        let left = self.calls_left(class);
        let queued = self.queues.get(class).queued.iter().filter(|queued| self.may_begin(queued, left));
        queued.map(|queued| queued.not_before).min()
    }

    /// How many subjects wait or have a call under way.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }
}

impl<S: Subject> Queue<S> {
    fn new() -> Self {
        Self { queued: VecDeque::new(), bytes: 0, flows: HashMap::new(), round: 0 }
    }

    fn insert(&mut self, queued: Queued<S>) {
        self.join(&queued);
        self.queued.push_back(queued);
    }

    fn insert_first(&mut self, queued: Queued<S>) {
        self.join(&queued);
        self.queued.push_front(queued);
    }

    fn remove(&mut self, at: usize) -> Option<Queued<S>> {
        let queued = self.queued.remove(at)?;
        self.leave(&queued.subject);
        Some(queued)
    }

    fn join(&mut self, queued: &Queued<S>) {
        self.bytes = self.bytes.saturating_add(queued.subject.bytes());
        let flow = self.flows.entry(queued.subject.caller().requester).or_default();
        flow.queued = flow.queued.saturating_add(1);
        flow.last_round = flow.last_round.max(queued.round);
    }

    fn leave(&mut self, subject: &S) {
        self.bytes = self.bytes.saturating_sub(subject.bytes());
        let requester = subject.caller().requester;
        if let Some(flow) = self.flows.get_mut(&requester) {
            flow.queued = flow.queued.saturating_sub(1);
            if flow.queued == 0 {
                self.flows.remove(&requester);
            }
        }
    }
}

const fn capacity(class: BudgetClass) -> usize {
    match class {
        BudgetClass::Established => MAX_ESTABLISHED_QUEUED,
        BudgetClass::Unknown => MAX_UNKNOWN_QUEUED,
    }
}

/// Whether a requester that holds so many may have another one of those that are left: as in `rate_limiter`.
const fn is_within_share(class: BudgetClass, held: usize, left: usize) -> bool {
    match class {
        BudgetClass::Established => held < left.saturating_mul(5),
        BudgetClass::Unknown => held.saturating_mul(2) < left,
    }
}
