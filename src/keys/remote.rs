//! Keys that are fetched: the set held, the fetch under way, and when the next one is due.
//!
//! No wall-clock time is compared with another one, except for the age of what other workers share: what is newer is decided by
//! [`FetchOrder`], and spans end by a [`MonotonicClock`].

use std::time::Duration;

use crate::callout::{CalloutResult, TransportError};
use crate::jose::{Algorithm, KeySet};
use crate::keys::failed_signatures::FailedSignatures;
use crate::keys::fetch::{FetchCause, FetchFault, FetchNumber, FetchResult, Jitter, KeyFetch};
use crate::keys::fetch_limit::FetchLimit;
use crate::keys::fetch_state::{CachedSet, InFlight, Wanted};
use crate::keys::key_response::{Step, next_step, read_key_set};
use crate::keys::look_up::{CalloutEnd, KeyGeneration, LookUp};
use crate::keys::order::{Arrived, Began, FetchOrder};
use crate::keys::schedule::FetchSchedule;
use crate::keys::sharing::{SharedOutcome, record_name};
use crate::keys::unknown_key_ids::{UnknownKeyIds, lag};
use crate::lookup::lease::LeaseOutcome;
use crate::policy::{CalloutAddress, EndpointAddress, RemoteKeys};
use crate::sequence::{Moment, Sequence};
use crate::telemetry::stats::KeyStats;
use crate::unix_time::{MonotonicClock, MonotonicTime, UnixTime};

/// A host that never ends a callout must not block the next fetch.
const RESPONSE_GRACE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Remote {
    settings: RemoteKeys,
    /// The name of its shared records: a digest, read with every tick and made once.
    record_name: String,
    /// The key address that the metadata gave, until a fetch from it fails.
    discovered: Option<CalloutAddress>,
    clock: MonotonicClock,
    order: FetchOrder,
    cached: Option<CachedSet>,
    begun: FetchNumber,
    /// A fetch that a request needs, and from when it may be made; one for want of any set ends with the next set.
    planned: Option<Wanted>,
    in_flight: Option<InFlight>,
    schedule: FetchSchedule,
    unknown: UnknownKeyIds,
    failed_signatures: FailedSignatures,
    /// A fetch that a failed signature needs, and since when.
    recheck: Option<MonotonicTime>,
    limit: FetchLimit,
}

impl Remote {
    pub(super) fn new(settings: &RemoteKeys, now: UnixTime) -> Self {
        let clock = MonotonicClock::new(now);
        Self {
            settings: settings.clone(),
            record_name: record_name(settings),
            discovered: None,
            clock,
            order: FetchOrder::default(),
            cached: None,
            begun: FetchNumber::default(),
            planned: None,
            in_flight: None,
            schedule: FetchSchedule::new(clock.at(now)),
            unknown: UnknownKeyIds::default(),
            failed_signatures: FailedSignatures::default(),
            recheck: None,
            limit: FetchLimit::default(),
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

    /// The callout of that fetch, while it is under way.
    pub(super) fn callout_of(&self, number: FetchNumber, wall: UnixTime) -> Option<KeyFetch> {
        self.in_flight.filter(|fetch| fetch.number == number)?;
        self.callout(self.clock.at(wall))
    }

    /// When a request arrives that comes now.
    pub(super) fn arrived(&self, now: UnixTime) -> Arrived {
        self.order.arrived(self.clock.at(now))
    }

    /// The set held, unless it is too old.
    fn in_use(&self, now: MonotonicTime) -> Option<&CachedSet> {
        self.cached.as_ref().filter(|held| now.since(held.fetched_at) < self.settings.max_stale)
    }

    pub(super) fn generation_in_use(&self, now: UnixTime) -> Option<KeyGeneration> {
        self.in_use(self.clock.at(now)).map(|held| held.generation)
    }

    pub(super) fn stats(&self, now: UnixTime) -> KeyStats {
        let now = self.clock.at(now);
        KeyStats {
            held: self.cached.as_ref().map_or(0, |held| held.set.len()),
            age: self.cached.as_ref().map(|held| now.since(held.fetched_at)),
            are_usable: self.in_use(now).is_some(),
        }
    }

    pub(super) fn look_up(
        &mut self,
        key_id: Option<&str>,
        algorithm: Algorithm,
        arrived: Arrived,
        wall: UnixTime,
    ) -> LookUp<'_> {
        let now = self.clock.advance(wall);
        let is_found = self.in_use(now).map(|held| held.set.has_candidate(key_id, algorithm));
        match (is_found, key_id) {
            (None, _) => self.wait_for_first_set(arrived, now),
            (Some(true), _) => {
                let candidates = self.in_use(now).map(|held| held.set.candidates(key_id, algorithm));
                LookUp::Found(candidates.unwrap_or_default())
            }
            // Without a `kid` there is nothing that a newer set could be searched for.
            (Some(false), None) => LookUp::Unknown,
            (Some(false), Some(key_id)) => self.wait_for_key(key_id, arrived, now, wall),
        }
    }

    /// No set may be used.
    fn wait_for_first_set(&mut self, arrived: Arrived, now: MonotonicTime) -> LookUp<'_> {
        let is_wanted_soon = self.planned.is_some_and(|wanted| wanted.from.since(now) <= self.settings.timeout);
        if self.in_flight.is_some() || is_wanted_soon {
            return LookUp::Pending;
        }
        let next_attempt = self.schedule.next_attempt();
        if self.schedule.has_failed_since(arrived) || now < next_attempt {
            return LookUp::Unavailable(next_attempt.since(now));
        }
        self.planned = Some(Wanted { from: now, cause: FetchCause::Due });
        LookUp::Pending
    }

    /// A set is held without this key.
    fn wait_for_key(&mut self, key_id: &str, arrived: Arrived, now: MonotonicTime, wall: UnixTime) -> LookUp<'_> {
        let cooldown = self.settings.unknown_kid_cooldown;
        // While no fetch is left one is planned, so that a key that was published meanwhile is found without another
        // request.
        let mut pause = self.limit.wait(FetchCause::UnknownKeyId, cooldown, now, wall);
        let mut sighting = self.unknown.sight(key_id, now);
        if sighting.as_ref().is_some_and(|sighting| sighting.is_unknown(now)) {
            return LookUp::Unknown;
        }
        if let Some(held) = self.cached.as_ref().filter(|held| held.began.moment > arrived.moment) {
            // Its tokens may be ahead of the issuer's key set: the key may be about to be published.
            let Some(sighting) = &mut sighting else { return LookUp::Unavailable(pause.max(lag(cooldown))) };
            let published_by = sighting.first.plus(lag(cooldown));
            if held.began.at >= published_by {
                sighting.is_found_unknown(now, cooldown);
                return LookUp::Unknown;
            }
            sighting.is_missed(now);
            pause = pause.max(published_by.since(now));
        } else if let Some(sighting) = sighting {
            pause = pause.max(sighting.pause(now));
        }
        if self.in_flight.is_some() {
            return LookUp::Pending;
        }
        if self.schedule.has_failed_since(arrived) {
            return LookUp::Unavailable(self.schedule.next_attempt().since(now));
        }
        let planned = Wanted { from: now.plus(pause), cause: FetchCause::UnknownKeyId };
        let wanted = self.planned.filter(|wanted| wanted.from <= planned.from).unwrap_or(planned);
        self.planned = Some(wanted);
        let is_in_time = |at: MonotonicTime| at.since(arrived.at) <= self.settings.timeout;
        if is_in_time(wanted.from) { LookUp::Pending } else { LookUp::Unavailable(wanted.from.since(now)) }
    }

    /// Whether a request waits for a newer set, because the signature of its token fails with the keys held.
    ///
    /// Never when no fetch can be made for it now: the keys held are good, and the signature fails with them.
    pub(super) fn awaits_newer_set(
        &mut self,
        key_id: Option<&str>,
        algorithm: Algorithm,
        arrived: Arrived,
        wall: UnixTime,
    ) -> bool {
        let now = self.clock.advance(wall);
        let Some(held) = self.in_use(now) else { return false };
        let key_id = key_id.filter(|id| held.set.has_key_with_id(id, algorithm));
        if arrived.is_judged_by(held.began) || self.failed_signatures.is_final(key_id, now) {
            return false;
        }
        if self.in_flight.is_none() {
            if self.schedule.has_failed_since(arrived) || self.schedule.is_backing_off(now) {
                return false;
            }
            let wanted = self.planned.map(|wanted| wanted.from);
            let is_due = wanted.into_iter().chain([self.schedule.next_attempt()]).any(|from| from <= now);
            if !is_due {
                let cooldown = self.settings.unknown_kid_cooldown;
                if self.limit.wait(FetchCause::SignatureInvalid, cooldown, now, wall) > Duration::ZERO {
                    return false;
                }
                self.recheck = self.recheck.or(Some(now));
            }
        }
        self.failed_signatures.note(key_id, arrived.moment);
        true
    }

    pub(super) fn begin_fetch(&mut self, wall: UnixTime, jitter: Jitter) -> Option<KeyFetch> {
        let now = self.clock.advance(wall);
        if let Some(fetch) = self.in_flight {
            if now < fetch.give_up_at {
                return None;
            }
            self.fail(fetch.number, FetchFault::Transport(TransportError::TimedOut), now);
        }
        let cause = self.due_cause(now, wall)?;
        self.recheck = None;
        // What is planned for an unknown key id stays planned: the lease may not allow this fetch.
        self.planned = self.planned.filter(|_| cause == FetchCause::SignatureInvalid);
        self.begun.0 += 1;
        let step = match (&self.settings.address, &self.discovered) {
            (EndpointAddress::Discovered(_), None) => Step::Metadata(0),
            (EndpointAddress::Discovered(_) | EndpointAddress::Known(_), _) => Step::Keys,
        };
        self.in_flight = Some(InFlight {
            number: self.begun,
            sequence: self.order.number(),
            began: self.order.begin(now),
            give_up_at: now.plus(self.settings.timeout).plus(RESPONSE_GRACE),
            is_leased: false,
            jitter,
            cause,
            step,
        });
        self.callout(now)
    }

    /// Why a fetch is to be made now, if one is.
    fn due_cause(&mut self, now: MonotonicTime, wall: UnixTime) -> Option<FetchCause> {
        if let Some(Wanted { cause, .. }) = self.planned.filter(|wanted| now >= wanted.from) {
            match self.limit.try_acquire(cause, self.settings.unknown_kid_cooldown, wall) {
                Ok(()) => return Some(cause),
                Err(wait) => self.planned = Some(Wanted { from: now.plus(wait), cause }),
            }
        }
        if now >= self.schedule.next_attempt() {
            return Some(FetchCause::Due);
        }
        self.recheck.take()?;
        let cause = FetchCause::SignatureInvalid;
        self.limit.try_acquire(cause, self.settings.unknown_kid_cooldown, wall).ok().map(|()| cause)
    }

    /// The next callout of the fetch under way; all of its callouts share its timeout.
    fn callout(&self, now: MonotonicTime) -> Option<KeyFetch> {
        let fetch = self.in_flight.as_ref()?;
        let address = match (&self.settings.address, fetch.step) {
            (EndpointAddress::Known(address), _) => address,
            (EndpointAddress::Discovered(_), Step::Keys) => self.discovered.as_ref()?,
            (EndpointAddress::Discovered(discovery), Step::Metadata(at)) => discovery.documents.get(at)?,
        };
        let elapsed = now.since(fetch.began.at);
        Some(KeyFetch {
            number: fetch.number,
            address: address.clone(),
            timeout: self.settings.timeout.saturating_sub(elapsed).max(Duration::from_millis(100)),
            cause: fetch.cause,
            sequence: fetch.sequence,
            cooldown: self.settings.unknown_kid_cooldown,
        })
    }

    pub(super) fn finish_callout(&mut self, number: FetchNumber, outcome: CalloutResult, wall: UnixTime) -> CalloutEnd {
        let now = self.clock.advance(wall);
        let Some(fetch) = self.in_flight.filter(|fetch| fetch.number == number) else {
            return CalloutEnd { result: FetchResult::Late, next: None, share: None };
        };
        let share = |response| Some(SharedOutcome { sequence: fetch.sequence, ended: wall, response });
        let read = match (fetch.step, &self.settings.address) {
            (Step::Metadata(at), EndpointAddress::Discovered(discovery)) => match next_step(&outcome, discovery, at) {
                Ok((step, address)) => {
                    self.discovered = address;
                    self.in_flight = Some(InFlight { step, ..fetch });
                    return CalloutEnd { result: FetchResult::Continues, next: self.callout(now), share: None };
                }
                Err(fault) => Err(fault),
            },
            (Step::Metadata(_) | Step::Keys, _) => read_key_set(&outcome),
        };
        let (result, share) = match read {
            Ok((set, max_age)) => {
                self.in_flight = None;
                let result = self.replace(set, max_age, (fetch.sequence, fetch.began), now, fetch.jitter);
                (result.of_own_fetch(), share(outcome.ok()))
            }
            Err(fault) => (self.fail(number, fault, now), share(None)),
        };
        CalloutEnd { result, next: None, share }
    }

    /// Applies the lease of the process to the fetch that was begun.
    pub(super) fn apply_lease(&mut self, number: FetchNumber, lease: LeaseOutcome, wall: UnixTime) {
        let now = self.clock.advance(wall);
        let Some(fetch) = self.in_flight.filter(|fetch| fetch.number == number) else { return };
        match lease {
            LeaseOutcome::Acquired(sequence) => {
                self.order.observe(sequence, now);
                self.in_flight = Some(InFlight { sequence, is_leased: true, ..fetch });
            }
            LeaseOutcome::HeldByOther(sequence) => self.order.observe(sequence, now),
            // Fetches of keys have no rate limit.
            LeaseOutcome::LimitReached(_) => {}
            LeaseOutcome::Cooldown { wait, sequence } => {
                self.order.observe(sequence, now);
                self.drop_unmade(fetch);
                self.limit.block(fetch.cause, now.plus(wait));
                if fetch.cause != FetchCause::SignatureInvalid {
                    self.planned = Some(Wanted { from: now.plus(wait), cause: fetch.cause });
                }
            }
        }
    }

    /// That fetch is not needed any more.
    fn drop_unmade(&mut self, fetch: InFlight) {
        self.in_flight = None;
        if !fetch.is_leased {
            self.limit.give_back(fetch.cause, self.settings.unknown_kid_cooldown);
        }
    }

    pub(super) fn adopt(&mut self, outcome: SharedOutcome, jitter: Jitter, wall: UnixTime) -> FetchResult {
        let now = self.clock.advance(wall);
        let held = self.cached.as_ref().map(|held| held.sequence);
        let failed = self.schedule.last_failed().filter(|_| outcome.response.is_none());
        if held.into_iter().chain(failed).any(|known| !outcome.sequence.is_newer_than(known)) {
            return FetchResult::Late;
        }
        let (sequence, began) = (outcome.sequence, self.order.began(outcome.sequence));
        // One that ended in the future ended before the clock was set back, at an unknown time.
        let ended = now.minus(wall.since(outcome.ended));
        let result = match outcome.response {
            Some(response) => {
                // One that does not read was not written by us.
                let Ok((set, max_age)) = read_key_set(&Ok(response)) else { return FetchResult::Late };
                if now.since(ended) >= self.settings.max_stale {
                    return FetchResult::Late;
                }
                let result = self.replace(set, max_age, (sequence, began), ended, jitter);
                if outcome.ended > wall {
                    self.schedule.set_due(now);
                }
                result
            }
            None => self.note_failure(FetchFault::Elsewhere, (sequence, began.moment), ended, jitter),
        };
        self.order.learn(sequence);
        // A refresh is done by any worker's fetch, and a failed signature by one that brought other keys; else only by one
        // that began no earlier than ours.
        let has_others = matches!(result, FetchResult::Replaced { is_other: true, .. });
        let is_done = |fetch: &InFlight| match fetch.cause {
            FetchCause::Due => true,
            FetchCause::SignatureInvalid if has_others => true,
            FetchCause::SignatureInvalid | FetchCause::UnknownKeyId => fetch.began.moment <= began.moment,
        };
        if let Some(fetch) = self.in_flight.filter(is_done) {
            self.drop_unmade(fetch);
        }
        result
    }

    /// A new set is held from now on.
    fn replace(
        &mut self,
        set: KeySet,
        max_age: Option<Duration>,
        (sequence, began): (Sequence, Began),
        at: MonotonicTime,
        jitter: Jitter,
    ) -> FetchResult {
        let (usable, skipped) = (set.len(), set.skipped().len());
        let is_other = self.cached.as_ref().is_some_and(|held| !held.set.has_same_keys(&set));
        let generation = match &self.cached {
            None => KeyGeneration::default(),
            Some(held) if is_other => held.generation.next(),
            Some(held) => held.generation,
        };
        self.failed_signatures.replace(&set, began.moment, at);
        self.cached = Some(CachedSet { set, generation, sequence, began, fetched_at: at });
        self.planned.take_if(|wanted| wanted.cause == FetchCause::Due);
        self.schedule.note_success(self.settings.refresh, max_age, at, jitter);
        FetchResult::Replaced { usable, skipped, is_other, fetched_here: false }
    }

    fn fail(&mut self, number: FetchNumber, fault: FetchFault, now: MonotonicTime) -> FetchResult {
        let Some(fetch) = self.in_flight.take_if(|fetch| fetch.number == number) else { return FetchResult::Late };
        self.discovered = None;
        self.note_failure(fault, (fetch.sequence, fetch.began.moment), now, fetch.jitter)
    }

    fn note_failure(
        &mut self,
        fault: FetchFault,
        failed: (Sequence, Moment),
        at: MonotonicTime,
        jitter: Jitter,
    ) -> FetchResult {
        let retry_in = self.schedule.note_failure(failed, self.cached.is_some(), at, jitter);
        FetchResult::Failed { fault, retry_in }
    }

    pub(super) fn next_due(&self) -> UnixTime {
        let wanted = [self.planned.map(|wanted| wanted.from), self.recheck];
        self.clock.wall(match &self.in_flight {
            Some(fetch) => fetch.give_up_at,
            None => wanted.into_iter().flatten().fold(self.schedule.next_attempt(), MonotonicTime::min),
        })
    }
}
