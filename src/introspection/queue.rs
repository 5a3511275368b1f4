//! The tokens that are asked about, or are to be: each once, however many requests wait for it, and not too many.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use crate::introspection::call::{CallNumber, Span, Standing, Subject, TokenDigest};
use crate::unix_time::UnixTime;

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
    /// All that wait or are asked about.
    asked: HashSet<TokenDigest>,
    begun: CallNumber,
}

/// Those of one standing that wait, first come first served.
#[derive(Debug, Default)]
struct Line {
    waiting: VecDeque<Waiting>,
    bytes: usize,
}

/// A token that waits for its call.
#[derive(Debug)]
pub(super) struct Waiting {
    subject: Subject,
    not_before: UnixTime,
    /// As long as requests wait for it.
    lasts: Span,
}

/// A token whose call is under way.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) subject: Subject,
    pub(super) began: UnixTime,
    /// Until it is given up.
    lasts: Span,
    /// As long as requests wait for it.
    awaited: Span,
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
    pub(super) fn push(&mut self, subject: Subject, patience: Duration, now: UnixTime) -> Result<(), Full> {
        let room = match subject.standing {
            Standing::Known => MAX_KNOWN_WAITING,
            Standing::Unknown => MAX_UNKNOWN_WAITING,
        };
        let (digest, length) = (subject.digest, subject.text.reveal().len());
        let line = self.line(subject.standing);
        if line.waiting.len() >= room || line.bytes.saturating_add(length) > MAX_WAITING_BYTES {
            return Err(Full);
        }
        line.bytes = line.bytes.saturating_add(length);
        let lasts = Span { from: now, until: now.plus(patience).plus(ANSWER_GRACE) };
        line.waiting.push_back(Waiting { subject, not_before: now, lasts });
        self.asked.insert(digest);
        Ok(())
    }

    /// Whether a token of that standing may be asked about now, as far as the queue knows.
    pub(super) fn has_next(&self, standing: Standing, now: UnixTime) -> bool {
        let unknown = || self.in_flight.values().filter(|call| call.subject.standing == Standing::Unknown).count();
        let has_room =
            self.in_flight.len() < MAX_IN_FLIGHT && (standing == Standing::Known || unknown() < MAX_UNKNOWN_IN_FLIGHT);
        let line = match standing {
            Standing::Known => &self.known,
            Standing::Unknown => &self.unknown,
        };
        has_room && line.waiting.iter().any(|waiting| waiting.is_due(now))
    }

    /// Begins the call for the first that is due.
    pub(super) fn begin_next(&mut self, standing: Standing, timeout: Duration, now: UnixTime) -> Option<CallNumber> {
        let line = self.line(standing);
        let at = line.waiting.iter().position(|waiting| waiting.is_due(now))?;
        let Waiting { subject, lasts: awaited, .. } = line.remove(at)?;
        let number = self.next_number();
        let lasts = Span { from: now, until: now.plus(timeout).plus(ANSWER_GRACE) };
        self.in_flight.insert(number, InFlight { subject, began: now, lasts, awaited });
        Some(number)
    }

    pub(super) fn next_number(&mut self) -> CallNumber {
        self.begun.0 += 1;
        self.begun
    }

    /// Takes a call out: it has ended.
    pub(super) fn finish(&mut self, number: CallNumber) -> Option<InFlight> {
        let call = self.in_flight.remove(&number)?;
        self.asked.remove(&call.subject.digest);
        Some(call)
    }

    /// Puts a call back to the head of its line: it is not made before `not_before`.
    pub(super) fn put_back(&mut self, number: CallNumber, not_before: UnixTime) -> Option<Standing> {
        let InFlight { subject, awaited, .. } = self.in_flight.remove(&number)?;
        let standing = subject.standing;
        let line = self.line(standing);
        line.bytes = line.bytes.saturating_add(subject.text.reveal().len());
        line.waiting.push_front(Waiting { subject, not_before, lasts: awaited });
        Some(standing)
    }

    /// The calls that were never answered.
    pub(super) fn given_up(&self, now: UnixTime) -> Vec<CallNumber> {
        let mut numbers: Vec<CallNumber> =
            self.in_flight.iter().filter(|(_, call)| !call.lasts.contains(now)).map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Sends those of a standing away that wait.
    pub(super) fn dismiss(&mut self, standing: Standing) -> Vec<TokenDigest> {
        let line = std::mem::take(self.line(standing));
        let tokens: Vec<TokenDigest> = line.waiting.into_iter().map(|waiting| waiting.subject.digest).collect();
        for token in &tokens {
            self.asked.remove(token);
        }
        tokens
    }

    /// Sends those away that nobody waits for any more.
    pub(super) fn dismiss_overdue(&mut self, now: UnixTime) -> Vec<TokenDigest> {
        let mut tokens = Vec::new();
        for standing in [Standing::Known, Standing::Unknown] {
            let line = self.line(standing);
            while let Some(at) = line.waiting.iter().position(|waiting| !waiting.lasts.contains(now)) {
                tokens.extend(line.remove(at).map(|waiting| waiting.subject.digest));
            }
        }
        for token in &tokens {
            self.asked.remove(token);
        }
        tokens
    }

    /// When the first call is given up, or the first token that nobody waits for any more is sent away.
    pub(super) fn next_end(&self) -> Option<UnixTime> {
        let waiting = self.known.waiting.iter().chain(&self.unknown.waiting).map(|waiting| waiting.lasts.until);
        self.in_flight.values().map(|call| call.lasts.until).chain(waiting).min()
    }

    /// When the first that waits may be asked about; `None`: when a call has ended, or when there is one.
    pub(super) fn next_begin(&self, standing: Standing) -> Option<UnixTime> {
        let line = match standing {
            Standing::Known => &self.known,
            Standing::Unknown => &self.unknown,
        };
        let first = line.waiting.iter().map(|waiting| waiting.not_before).min()?;
        self.has_next(standing, first).then_some(first)
    }

    /// How many tokens wait or are asked about.
    pub(super) fn len(&self) -> usize {
        self.asked.len()
    }

    const fn line(&mut self, standing: Standing) -> &mut Line {
        match standing {
            Standing::Known => &mut self.known,
            Standing::Unknown => &mut self.unknown,
        }
    }
}

impl Line {
    fn remove(&mut self, at: usize) -> Option<Waiting> {
        let waiting = self.waiting.remove(at)?;
        self.bytes = self.bytes.saturating_sub(waiting.subject.text.reveal().len());
        Some(waiting)
    }
}

impl Waiting {
    fn is_due(&self, now: UnixTime) -> bool {
        now >= self.not_before
    }
}
