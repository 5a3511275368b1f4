//! Which keys are held and when to ask for more, for one provider.
//!
//! A state machine without a clock, a socket or a callback: it is asked for keys
//! ([`ProviderKeys::look_up`]), asked whether a fetch is due ([`ProviderKeys::begin_fetch`]) and told how
//! a fetch ended ([`ProviderKeys::finish_fetch`]). The engine owns one for each provider.
//!
//! The rules: a set is replaced whole, so a key that is gone verifies nothing from then on; a failed
//! fetch changes nothing but the time of the next; the last good set stays in use up to `max_stale`;
//! an unknown `kid` is judged only by a fetch that began after the request came, and such fetches are
//! a cooldown apart.

mod cache_control;
mod unknown_key_ids;

use std::time::Duration;

use crate::jose::jwk::MAX_KEY_SET_BYTES;
use crate::jose::{Algorithm, Key, KeySet, KeySetFault};
use crate::policy::{CalloutAddress, KeyOrigin, RemoteKeys};
use crate::unix_time::UnixTime;

use unknown_key_ids::UnknownKeyIds;

/// The longest answer to a fetch that is worth reading.
pub const MAX_ANSWER_BYTES: usize = MAX_KEY_SET_BYTES;

const FIRST_BACK_OFF: Duration = Duration::from_secs(1);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(60);
/// With nothing held every request is refused: then recovery counts more than a quiet network.
const LONGEST_BACK_OFF_WITHOUT_KEYS: Duration = Duration::from_secs(5);
/// A server may ask for refreshes more often than configured, but not for a fetch a second.
const SHORTEST_FRESHNESS: Duration = Duration::from_secs(60);
/// A host that never answers a callout must not keep us from asking again.
const ANSWER_GRACE: Duration = Duration::from_secs(2);

/// The keys of one provider over time.
#[derive(Debug)]
pub struct ProviderKeys {
    source: Source,
}

#[derive(Debug)]
enum Source {
    Inline(KeySet),
    Remote(Box<Remote>),
}

#[derive(Debug)]
struct Remote {
    settings: RemoteKeys,
    held: Option<Held>,
    fetches: Fetches,
    failures: u32,
    next_attempt: UnixTime,
    unknown: UnknownKeyIds,
}

#[derive(Debug)]
struct Held {
    set: KeySet,
    fetched_at: UnixTime,
}

/// Fetches are numbered in the order they begin, from 1.
#[derive(Debug, Default)]
struct Fetches {
    begun: FetchNumber,
    wanted: bool,
    in_flight: Option<InFlight>,
    last_good: FetchNumber,
    last_failed: FetchNumber,
}

#[derive(Debug)]
struct InFlight {
    number: FetchNumber,
    give_up_at: UnixTime,
    jitter: Jitter,
}

/// The how-many-eth fetch of a provider's keys; zero is "none yet".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchNumber(u64);

/// A random fraction of 1, in 65536ths: spreads the fetches of many gateways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jitter(pub u16);

impl Jitter {
    /// A duration between `least` and `most` tenths of `whole`.
    fn between_tenths(self, whole: Duration, least: u32, most: u32) -> Duration {
        let spread = whole * (most - least) / 10;
        whole * least / 10 + spread * u32::from(self.0) / 65_536
    }
}

/// What is known of the key that a token wants.
#[derive(Debug)]
pub enum LookUp<'a> {
    /// These may have signed it.
    Found(Vec<&'a Key>),
    /// The issuer does not publish such a key.
    Unknown,
    /// A fetch that will tell is under way or wanted.
    Wait,
    /// It cannot be known now; perhaps after this long.
    Unavailable(Duration),
}

/// One fetch to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFetch {
    /// Which one it is; comes back with its outcome.
    pub number: FetchNumber,
    /// Where to.
    pub address: CalloutAddress,
    /// How long it may take.
    pub timeout: Duration,
}

/// How a fetch ended, as the host saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchOutcome {
    /// An HTTP response arrived.
    Response {
        /// Its status.
        status: u16,
        /// Its `Cache-Control`.
        cache_control: Option<String>,
        /// Its body.
        body: Vec<u8>,
    },
    /// None did.
    Failed(FetchFault),
}

/// Why no response arrived, or why one is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FetchFault {
    /// The host knows no upstream of that name.
    UpstreamUnknown,
    /// The upstream has no endpoint that could be asked: DNS, health, circuit breaker.
    UpstreamUnavailable,
    /// The connection failed before an answer came.
    ConnectionFailed,
    /// The upstream's certificate was not accepted, or TLS failed otherwise.
    TlsFailed,
    /// Nothing came in time.
    TimedOut,
    /// The answer broke off, or was longer than the host holds.
    Incomplete,
    /// The body is longer than a key set may be.
    TooLarge,
    /// Another status than 200.
    Status(u16),
    /// Not a key set that can be used.
    KeySet(KeySetFault),
}

/// What a finished fetch changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchResult {
    /// A new set is held: so many keys, so many skipped as unusable.
    Replaced {
        /// Keys that can be used.
        usable: usize,
        /// Keys that cannot.
        skipped: usize,
    },
    /// Nothing changed; the next attempt is so far off.
    Failed {
        /// Why.
        fault: FetchFault,
        /// When it is tried again.
        retry_in: Duration,
    },
    /// The answer to a fetch that was given up before; ignored.
    Late,
}

impl ProviderKeys {
    /// No keys yet, or those of the configuration.
    pub fn new(origin: &KeyOrigin, now: UnixTime) -> Self {
        let source = match origin {
            KeyOrigin::Inline(set) => Source::Inline(set.clone()),
            KeyOrigin::Remote(settings) => Source::Remote(Box::new(Remote {
                settings: settings.clone(),
                held: None,
                fetches: Fetches::default(),
                failures: 0,
                next_attempt: now,
                unknown: UnknownKeyIds::default(),
            })),
        };
        Self { source }
    }

    /// The last fetch that was begun: one with a higher number knows all that is published now.
    pub fn begun(&self) -> FetchNumber {
        match &self.source {
            Source::Inline(_) => FetchNumber::default(),
            Source::Remote(remote) => remote.fetches.begun,
        }
    }

    /// The keys for a token of that `kid` and `alg`, whose request came when `begun` was the last
    /// fetch begun.
    pub fn look_up(
        &mut self,
        key_id: Option<&str>,
        algorithm: Algorithm,
        begun: FetchNumber,
        now: UnixTime,
    ) -> LookUp<'_> {
        match &mut self.source {
            Source::Inline(set) => {
                let candidates = set.candidates(key_id, algorithm);
                if candidates.is_empty() { LookUp::Unknown } else { LookUp::Found(candidates) }
            }
            Source::Remote(remote) => remote.look_up(key_id, algorithm, begun, now),
        }
    }

    /// How long a request may wait for this provider's keys.
    pub fn longest_wait(&self) -> Duration {
        match &self.source {
            Source::Inline(_) => Duration::ZERO,
            Source::Remote(remote) => remote.settings.timeout,
        }
    }

    /// The fetch to make now, if one is due.
    pub fn begin_fetch(&mut self, now: UnixTime, jitter: Jitter) -> Option<KeyFetch> {
        match &mut self.source {
            Source::Inline(_) => None,
            Source::Remote(remote) => remote.begin_fetch(now, jitter),
        }
    }

    /// Takes the outcome of a fetch.
    pub fn finish_fetch(&mut self, number: FetchNumber, outcome: FetchOutcome, now: UnixTime) -> FetchResult {
        match &mut self.source {
            Source::Inline(_) => FetchResult::Late,
            Source::Remote(remote) => remote.finish_fetch(number, outcome, now),
        }
    }

    /// When something is to be done without being asked; `None`: never.
    pub fn next_due(&self) -> Option<UnixTime> {
        match &self.source {
            Source::Inline(_) => None,
            Source::Remote(remote) => Some(match &remote.fetches {
                Fetches { in_flight: Some(fetch), .. } => fetch.give_up_at,
                Fetches { wanted: true, .. } => UnixTime::from_millis(0),
                Fetches { .. } => remote.next_attempt,
            }),
        }
    }
}

impl Remote {
    fn look_up(&mut self, key_id: Option<&str>, algorithm: Algorithm, begun: FetchNumber, now: UnixTime) -> LookUp<'_> {
        let in_use = self.held.as_ref().is_some_and(|held| now.since(held.fetched_at) < self.settings.max_stale);
        if !in_use {
            return self.wait_for_first_set(begun, now);
        }
        let found = self.held.as_ref().is_some_and(|held| !held.set.candidates(key_id, algorithm).is_empty());
        if found {
            let candidates = self.held.as_ref().map(|held| held.set.candidates(key_id, algorithm));
            return LookUp::Found(candidates.unwrap_or_default());
        }
        // Without a `kid` there is nothing a newer set could be searched for.
        key_id.map_or(LookUp::Unknown, |key_id| self.wait_for_key(key_id, begun, now))
    }

    /// Nothing held that may be used.
    fn wait_for_first_set(&mut self, begun: FetchNumber, now: UnixTime) -> LookUp<'_> {
        if self.fetches.in_flight.is_some() || self.fetches.wanted {
            return LookUp::Wait;
        }
        if self.fetches.last_failed > begun || now < self.next_attempt {
            return LookUp::Unavailable(self.next_attempt.since(now));
        }
        self.fetches.wanted = true;
        LookUp::Wait
    }

    /// A set is held and this key is not in it.
    fn wait_for_key(&mut self, key_id: &str, begun: FetchNumber, now: UnixTime) -> LookUp<'_> {
        let cooldown = self.settings.unknown_kid_cooldown;
        if self.unknown.is_remembered(key_id, now) {
            return LookUp::Unknown;
        }
        if self.fetches.last_good > begun {
            self.unknown.remember(key_id, now, cooldown);
            return LookUp::Unknown;
        }
        if self.fetches.in_flight.is_some() || self.fetches.wanted {
            return LookUp::Wait;
        }
        if self.fetches.last_failed > begun {
            return LookUp::Unavailable(self.next_attempt.since(now));
        }
        match self.unknown.allow_fetch(now, cooldown) {
            Ok(()) => {
                self.fetches.wanted = true;
                LookUp::Wait
            }
            Err(wait) => LookUp::Unavailable(wait),
        }
    }

    fn begin_fetch(&mut self, now: UnixTime, jitter: Jitter) -> Option<KeyFetch> {
        if let Some(fetch) = &self.fetches.in_flight {
            if now < fetch.give_up_at {
                return None;
            }
            let number = fetch.number;
            self.finish_fetch(number, FetchOutcome::Failed(FetchFault::TimedOut), now);
        }
        // An attempt that lies further off than any is ever set is one from before the clock went back.
        let furthest = self.settings.refresh.max(LONGEST_BACK_OFF);
        let is_due = now >= self.next_attempt || self.next_attempt.since(now) > furthest;
        if !self.fetches.wanted && !is_due {
            return None;
        }
        self.fetches.wanted = false;
        self.fetches.begun.0 += 1;
        let number = self.fetches.begun;
        let give_up_at = now.plus(self.settings.timeout).plus(ANSWER_GRACE);
        self.fetches.in_flight = Some(InFlight { number, give_up_at, jitter });
        Some(KeyFetch { number, address: self.settings.address.clone(), timeout: self.settings.timeout })
    }

    fn finish_fetch(&mut self, number: FetchNumber, outcome: FetchOutcome, now: UnixTime) -> FetchResult {
        let Some(fetch) = self.fetches.in_flight.take_if(|fetch| fetch.number == number) else {
            return FetchResult::Late;
        };
        match read_key_set(outcome) {
            Ok((set, max_age)) => {
                let result = FetchResult::Replaced { usable: set.len(), skipped: set.skipped().len() };
                self.held = Some(Held { set, fetched_at: now });
                self.fetches.last_good = number;
                self.failures = 0;
                let fresh_for =
                    self.settings.refresh.min(max_age.map_or(Duration::MAX, |age| age.max(SHORTEST_FRESHNESS)));
                self.next_attempt = now.plus(fetch.jitter.between_tenths(fresh_for, 8, 10));
                result
            }
            Err(fault) => {
                let longest = if self.held.is_some() { LONGEST_BACK_OFF } else { LONGEST_BACK_OFF_WITHOUT_KEYS };
                let doubled = FIRST_BACK_OFF * (1 << self.failures.min(6));
                self.failures = self.failures.saturating_add(1);
                self.fetches.last_failed = number;
                let back_off = fetch.jitter.between_tenths(doubled.min(longest), 7, 10);
                self.next_attempt = now.plus(back_off);
                FetchResult::Failed { fault, retry_in: back_off }
            }
        }
    }
}

fn read_key_set(outcome: FetchOutcome) -> Result<(KeySet, Option<Duration>), FetchFault> {
    match outcome {
        FetchOutcome::Failed(fault) => Err(fault),
        FetchOutcome::Response { status: 200, cache_control, body } => {
            let set = KeySet::parse(&body).map_err(FetchFault::KeySet)?;
            Ok((set, cache_control.as_deref().and_then(cache_control::max_age)))
        }
        FetchOutcome::Response { status, .. } => Err(FetchFault::Status(status)),
    }
}

impl FetchFault {
    /// Where to look first.
    pub const fn hint(self) -> &'static str {
        match self {
            Self::UpstreamUnknown => "the host has no upstream (cluster) of the configured name",
            Self::UpstreamUnavailable => {
                "the upstream has no endpoint: look at its DNS name, health checks and circuit breakers"
            }
            Self::ConnectionFailed => "no connection to the upstream's address",
            Self::TlsFailed => "look at the upstream's trusted CA, SNI and subject alternative name",
            Self::TimedOut => "no answer within jwks.timeout",
            Self::Incomplete => "the answer broke off",
            Self::TooLarge | Self::KeySet(KeySetFault::TooLarge) => "an answer this long is no key set",
            Self::Status(_) => "an answer other than 200; redirects are not followed",
            Self::KeySet(KeySetFault::Malformed) => "the answer is no key set: look at the path of jwks.uri",
            Self::KeySet(KeySetFault::TooManyKeys) => "more keys than are taken",
            Self::KeySet(KeySetFault::NoUsableKey) => "no key in the set can verify signatures",
        }
    }

    /// The stable name of the fault, for logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UpstreamUnknown => "upstream_unknown",
            Self::UpstreamUnavailable => "upstream_unavailable",
            Self::ConnectionFailed => "connection_failed",
            Self::TlsFailed => "tls_failed",
            Self::TimedOut => "timed_out",
            Self::Incomplete => "incomplete",
            Self::TooLarge | Self::KeySet(KeySetFault::TooLarge) => "too_large",
            Self::Status(_) => "status",
            Self::KeySet(KeySetFault::Malformed) => "not_a_key_set",
            Self::KeySet(KeySetFault::TooManyKeys) => "too_many_keys",
            Self::KeySet(KeySetFault::NoUsableKey) => "no_usable_key",
        }
    }
}
