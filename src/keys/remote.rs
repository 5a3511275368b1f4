//! Keys that are fetched: what is held, which fetch is under way, and when the next one is due.

use std::time::Duration;

use crate::jose::{Algorithm, KeySet};
use crate::keys::fetch::{
    FetchCause, FetchFault, FetchNumber, FetchOutcome, FetchResult, Jitter, KeyFetch, MetadataFault,
};
use crate::keys::sharing::SharedOutcome;
use crate::keys::unknown_key_ids::UnknownKeyIds;
use crate::keys::{CalloutEnd, KeyFigures, KeyGeneration, LookUp, cache_control, sharing};
use crate::policy::{CalloutAddress, Discovery, KeyAddress, RemoteKeys, address_in_metadata};
use crate::unix_time::UnixTime;

const FIRST_BACK_OFF: Duration = Duration::from_secs(1);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(60);
/// With nothing held every request is refused: then recovery counts more than a quiet network.
const LONGEST_BACK_OFF_WITHOUT_KEYS: Duration = Duration::from_secs(5);
/// A server may ask for refreshes more often than configured, but not for a fetch a second.
const SHORTEST_FRESHNESS: Duration = Duration::from_secs(60);
/// A host that never answers a callout must not keep us from asking again.
const ANSWER_GRACE: Duration = Duration::from_secs(2);
/// Enough that a fetch began later than what was asked just now.
const NEXT_MOMENT: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub(super) struct Remote {
    settings: RemoteKeys,
    /// The name of its shared records: a digest, asked for with every tick and made once.
    record_name: String,
    /// The key address that the metadata gave, until a fetch from it fails.
    discovered: Option<CalloutAddress>,
    held: Option<Held>,
    begun: FetchNumber,
    /// A fetch that somebody needs, and from when it may be made.
    wanted: Option<Wanted>,
    in_flight: Option<InFlight>,
    /// When the last fetch that failed began.
    last_failed: Option<UnixTime>,
    failures: u32,
    next_attempt: UnixTime,
    last_asked: UnixTime,
    unknown: UnknownKeyIds,
}

#[derive(Debug)]
struct Held {
    set: KeySet,
    generation: KeyGeneration,
    /// When the fetch that brought it began: it holds all that was published then.
    began: UnixTime,
    fetched_at: UnixTime,
}

#[derive(Clone, Copy, Debug)]
struct Wanted {
    from: UnixTime,
    cause: FetchCause,
}

#[derive(Debug)]
struct InFlight {
    number: FetchNumber,
    began: UnixTime,
    give_up_at: UnixTime,
    jitter: Jitter,
    cause: FetchCause,
    step: Step,
}

/// Which callout of a fetch is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The how-many-eth metadata address.
    Metadata(usize),
    /// The key set.
    Keys,
}

impl Remote {
    pub(super) fn new(settings: &RemoteKeys, now: UnixTime) -> Self {
        Self {
            settings: settings.clone(),
            record_name: sharing::record_name(settings),
            discovered: None,
            held: None,
            begun: FetchNumber::default(),
            wanted: None,
            in_flight: None,
            last_failed: None,
            failures: 0,
            next_attempt: now,
            last_asked: UnixTime::from_millis(0),
            unknown: UnknownKeyIds::default(),
        }
    }

    pub(super) fn record_name(&self) -> &str {
        &self.record_name
    }

    pub(super) const fn longest_wait(&self) -> Duration {
        self.settings.timeout
    }

    pub(super) fn is_fetching(&self, number: FetchNumber) -> bool {
        self.in_flight.as_ref().is_some_and(|fetch| fetch.number == number)
    }

    /// What is held, unless it is too old.
    fn in_use(&self, now: UnixTime) -> Option<&Held> {
        self.held.as_ref().filter(|held| now.since(held.fetched_at) < self.settings.max_stale)
    }

    pub(super) fn generation_in_use(&self, now: UnixTime) -> Option<KeyGeneration> {
        self.in_use(now).map(|held| held.generation)
    }

    pub(super) fn figures(&self, now: UnixTime) -> KeyFigures {
        KeyFigures {
            held: self.held.as_ref().map_or(0, |held| held.set.len()),
            age: self.held.as_ref().map(|held| now.since(held.fetched_at)),
            are_usable: self.in_use(now).is_some(),
        }
    }

    pub(super) fn look_up(
        &mut self,
        key_id: Option<&str>,
        algorithm: Algorithm,
        asked_at: UnixTime,
        now: UnixTime,
    ) -> LookUp<'_> {
        self.last_asked = self.last_asked.max(asked_at);
        let is_found = self.in_use(now).map(|held| held.set.has_candidate(key_id, algorithm));
        match (is_found, key_id) {
            (None, _) => self.wait_for_first_set(asked_at, now),
            (Some(true), _) => {
                let candidates = self.in_use(now).map(|held| held.set.candidates(key_id, algorithm));
                LookUp::Found(candidates.unwrap_or_default())
            }
            // Without a `kid` there is nothing that a newer set could be searched for.
            (Some(false), None) => LookUp::Unknown,
            (Some(false), Some(key_id)) => self.wait_for_key(key_id, asked_at, now),
        }
    }

    /// Nothing held that may be used.
    fn wait_for_first_set(&mut self, asked_at: UnixTime, now: UnixTime) -> LookUp<'_> {
        let is_wanted_soon = self.wanted.is_some_and(|wanted| wanted.from.since(now) <= self.settings.timeout);
        if self.in_flight.is_some() || is_wanted_soon {
            return LookUp::Wait;
        }
        if self.last_failed.is_some_and(|began| began > asked_at) || now < self.next_attempt {
            return LookUp::Unavailable(self.next_attempt.since(now));
        }
        self.wanted = Some(Wanted { from: now, cause: FetchCause::Due });
        LookUp::Wait
    }

    /// A set is held and this key is not in it.
    fn wait_for_key(&mut self, key_id: &str, asked_at: UnixTime, now: UnixTime) -> LookUp<'_> {
        let cooldown = self.settings.unknown_kid_cooldown;
        if self.unknown.is_remembered(key_id, now) {
            return LookUp::Unknown;
        }
        if self.held.as_ref().is_some_and(|held| held.began > asked_at) {
            self.unknown.remember(key_id, now, cooldown);
            return LookUp::Unknown;
        }
        if self.in_flight.is_some() {
            return LookUp::Wait;
        }
        if self.last_failed.is_some_and(|began| began > asked_at) {
            return LookUp::Unavailable(self.next_attempt.since(now));
        }
        let wait = match self.wanted {
            Some(wanted) => wanted.from.since(now),
            None => {
                // Within the cooldown the fetch is planned for its end, so that a key that was published
                // meanwhile is found without another request.
                let wait = self.unknown.cooldown_left(now, cooldown);
                self.wanted = Some(Wanted { from: now.plus(wait), cause: FetchCause::UnknownKeyId });
                wait
            }
        };
        if wait <= self.settings.timeout { LookUp::Wait } else { LookUp::Unavailable(wait) }
    }

    pub(super) fn begin_fetch(&mut self, now: UnixTime, jitter: Jitter) -> Option<KeyFetch> {
        if let Some(fetch) = &self.in_flight {
            if now < fetch.give_up_at {
                return None;
            }
            let number = fetch.number;
            self.fail(number, FetchFault::TimedOut, now);
        }
        // What lies further off than anything is ever planned is from before the clock went back.
        let furthest = self.settings.refresh.max(LONGEST_BACK_OFF).max(self.settings.unknown_kid_cooldown);
        let is_due = |at: UnixTime| now >= at || at.since(now) > furthest;
        let cause = match self.wanted {
            Some(wanted) if is_due(wanted.from) => wanted.cause,
            _ if is_due(self.next_attempt) => FetchCause::Due,
            Some(_) | None => return None,
        };
        self.wanted = None;
        if cause == FetchCause::UnknownKeyId {
            self.unknown.fetch_begins(now);
        }
        self.begun.0 += 1;
        let step = match (&self.settings.address, &self.discovered) {
            (KeyAddress::Discovered(_), None) => Step::Metadata(0),
            (KeyAddress::Discovered(_) | KeyAddress::Known(_), _) => Step::Keys,
        };
        let began = now.max(self.last_asked.plus(NEXT_MOMENT));
        let give_up_at = now.plus(self.settings.timeout).plus(ANSWER_GRACE);
        self.in_flight = Some(InFlight { number: self.begun, began, give_up_at, jitter, cause, step });
        self.callout(now)
    }

    /// The callout that the fetch under way is at; all of a fetch's callouts share its time.
    fn callout(&self, now: UnixTime) -> Option<KeyFetch> {
        let fetch = self.in_flight.as_ref()?;
        let address = match (&self.settings.address, fetch.step) {
            (KeyAddress::Known(address), _) => address,
            (KeyAddress::Discovered(_), Step::Keys) => self.discovered.as_ref()?,
            (KeyAddress::Discovered(discovery), Step::Metadata(at)) => discovery.documents.get(at)?,
        };
        let elapsed = now.since(fetch.began);
        Some(KeyFetch {
            number: fetch.number,
            address: address.clone(),
            timeout: self.settings.timeout.saturating_sub(elapsed).max(Duration::from_millis(100)),
            cause: fetch.cause,
            began: fetch.began,
            cooldown: self.settings.unknown_kid_cooldown,
        })
    }

    pub(super) fn finish_callout(&mut self, number: FetchNumber, outcome: FetchOutcome, now: UnixTime) -> CalloutEnd {
        let Some(fetch) = self.in_flight.as_ref().filter(|fetch| fetch.number == number) else {
            return CalloutEnd { result: FetchResult::Late, next: None, share: None };
        };
        let (began, jitter) = (fetch.began, fetch.jitter);
        if let (Step::Metadata(at), KeyAddress::Discovered(discovery)) = (fetch.step, &self.settings.address) {
            return match next_step(&outcome, discovery, at) {
                Ok((step, address)) => {
                    self.discovered = address;
                    if let Some(fetch) = &mut self.in_flight {
                        fetch.step = step;
                    }
                    CalloutEnd { result: FetchResult::Continues, next: self.callout(now), share: None }
                }
                Err(fault) => self.failed_here(number, &outcome, fault, now),
            };
        }
        match read_key_set(&outcome) {
            Ok((set, max_age)) => {
                self.in_flight = None;
                let share = Some(SharedOutcome::of(began, &outcome, true, now));
                let result = self.replace(set, max_age, began, now, jitter);
                CalloutEnd { result: fetched_here(result), next: None, share }
            }
            Err(fault) => self.failed_here(number, &outcome, fault, now),
        }
    }

    fn failed_here(
        &mut self,
        number: FetchNumber,
        outcome: &FetchOutcome,
        fault: FetchFault,
        now: UnixTime,
    ) -> CalloutEnd {
        let began = self.in_flight.as_ref().map_or(now, |fetch| fetch.began);
        let share = Some(SharedOutcome::of(began, outcome, false, now));
        CalloutEnd { result: self.fail(number, fault, now), next: None, share }
    }

    pub(super) fn postpone(&mut self, number: FetchNumber, wait: Duration, now: UnixTime) {
        if let Some(fetch) = self.in_flight.take_if(|fetch| fetch.number == number) {
            self.wanted = Some(Wanted { from: now.plus(wait), cause: fetch.cause });
        }
    }

    pub(super) fn adopt(&mut self, outcome: SharedOutcome, jitter: Jitter, now: UnixTime) -> FetchResult {
        let held = self.held.as_ref().map(|held| held.began);
        let known = if outcome.answer.is_some() { held } else { held.max(self.last_failed) };
        // A record from the future is one from before the clock went back.
        if known.is_some_and(|known| outcome.began <= known) || outcome.ended > now {
            return FetchResult::Late;
        }
        let result = match outcome.answer {
            Some(answer) => {
                let response =
                    FetchOutcome::Response { status: 200, cache_control: answer.cache_control, body: answer.body };
                // One that does not read was not written by us.
                let Ok((set, max_age)) = read_key_set(&response) else { return FetchResult::Late };
                if now.since(outcome.ended) >= self.settings.max_stale {
                    return FetchResult::Late;
                }
                self.replace(set, max_age, outcome.began, outcome.ended, jitter)
            }
            None => self.note_failure(FetchFault::Elsewhere, outcome.began, outcome.ended, jitter),
        };
        // For a refresh somebody else's fetch is as good as ours; for an unknown key only one that began no
        // earlier tells what ours would.
        self.in_flight.take_if(|fetch| fetch.cause == FetchCause::Due || fetch.began <= outcome.began);
        result
    }

    /// A new set is held from now on.
    fn replace(
        &mut self,
        set: KeySet,
        max_age: Option<Duration>,
        began: UnixTime,
        at: UnixTime,
        jitter: Jitter,
    ) -> FetchResult {
        let (usable, skipped) = (set.len(), set.skipped().len());
        let is_other = self.held.as_ref().is_some_and(|held| !held.set.has_same_keys(&set));
        let generation = match &self.held {
            None => KeyGeneration::default(),
            Some(held) if is_other => held.generation.next(),
            Some(held) => held.generation,
        };
        self.held = Some(Held { set, generation, began, fetched_at: at });
        self.failures = 0;
        let fresh_for = self.settings.refresh.min(max_age.map_or(Duration::MAX, |age| age.max(SHORTEST_FRESHNESS)));
        self.next_attempt = at.plus(jitter.between_tenths(fresh_for, 8, 10));
        FetchResult::Replaced { usable, skipped, is_other, fetched_here: false }
    }

    fn fail(&mut self, number: FetchNumber, fault: FetchFault, now: UnixTime) -> FetchResult {
        let Some(fetch) = self.in_flight.take_if(|fetch| fetch.number == number) else { return FetchResult::Late };
        self.discovered = None;
        self.note_failure(fault, fetch.began, now, fetch.jitter)
    }

    fn note_failure(&mut self, fault: FetchFault, began: UnixTime, at: UnixTime, jitter: Jitter) -> FetchResult {
        let longest = if self.held.is_some() { LONGEST_BACK_OFF } else { LONGEST_BACK_OFF_WITHOUT_KEYS };
        let doubled = FIRST_BACK_OFF * (1 << self.failures.min(6));
        self.failures = self.failures.saturating_add(1);
        self.last_failed = self.last_failed.max(Some(began));
        let back_off = jitter.between_tenths(doubled.min(longest), 7, 10);
        self.next_attempt = at.plus(back_off);
        FetchResult::Failed { fault, retry_in: back_off }
    }

    pub(super) fn next_due(&self) -> UnixTime {
        match (&self.in_flight, self.wanted) {
            (Some(fetch), _) => fetch.give_up_at,
            (None, Some(wanted)) => wanted.from.min(self.next_attempt),
            (None, None) => self.next_attempt,
        }
    }
}

fn fetched_here(result: FetchResult) -> FetchResult {
    match result {
        FetchResult::Replaced { usable, skipped, is_other, .. } => {
            FetchResult::Replaced { usable, skipped, is_other, fetched_here: true }
        }
        FetchResult::Failed { .. } | FetchResult::Continues | FetchResult::Late => result,
    }
}

/// Where the answer to a metadata callout leads: to the keys, or to the next metadata address.
fn next_step(
    outcome: &FetchOutcome,
    discovery: &Discovery,
    at: usize,
) -> Result<(Step, Option<CalloutAddress>), FetchFault> {
    let fault = match outcome {
        // No connection to the issuer: its other address is no better.
        FetchOutcome::Failed(fault) => return Err(*fault),
        FetchOutcome::Response { status: 200, body, .. } => match address_in_metadata(body, discovery, "jwks_uri") {
            Ok(address) => return Ok((Step::Keys, Some(address))),
            Err(fault) => fault,
        },
        FetchOutcome::Response { status: 400..=499, .. } => MetadataFault::Malformed,
        FetchOutcome::Response { status, .. } => return Err(FetchFault::Status(*status)),
    };
    let is_last = at + 1 >= discovery.documents.len();
    if is_last || fault != MetadataFault::Malformed {
        return Err(FetchFault::Metadata(fault));
    }
    Ok((Step::Metadata(at + 1), None))
}

fn read_key_set(outcome: &FetchOutcome) -> Result<(KeySet, Option<Duration>), FetchFault> {
    match outcome {
        FetchOutcome::Failed(fault) => Err(*fault),
        FetchOutcome::Response { status: 200, cache_control, body } => {
            let set = KeySet::parse(body).map_err(FetchFault::KeySet)?;
            Ok((set, cache_control.as_deref().and_then(cache_control::max_age)))
        }
        FetchOutcome::Response { status, .. } => Err(FetchFault::Status(*status)),
    }
}
