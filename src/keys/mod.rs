//! The keys of one provider, and when they are fetched.
//!
//! A state machine without a clock, a socket or a callback. It is asked for keys ([`ProviderKeys::look_up`]) and whether a
//! fetch is due ([`ProviderKeys::begin_fetch`]); it takes how callouts ended ([`ProviderKeys::finish_callout`]) and what other
//! workers share ([`ProviderKeys::adopt`]). The engine owns one for each provider.
//!
//! The rules: a set is replaced whole, so a key that is gone verifies nothing from then on; a failed
//! fetch changes nothing but the time of the next; the last good set stays in use up to `max_stale`;
//! an unknown `kid` is judged only by a fetch that began after the request came, and a cooldown after a token named
//! that `kid` first; a signature that fails is judged again by such a fetch, because a key may be replaced under its `kid`;
//! both kinds of fetches are limited by a token bucket.

mod cache_control;
mod failed_signatures;
pub mod fetch;
mod fetch_limit;
mod fetch_state;
mod key_response;
mod look_up;
mod order;
mod remote;
mod schedule;
pub mod sharing;
mod unknown_key_ids;

use std::time::Duration;

use crate::callout::CalloutResult;
use crate::jose::{Algorithm, KeySet};
use crate::lookup::lease::LeaseOutcome;
use crate::policy::KeyOrigin;
use crate::telemetry::stats::KeyStats;
use crate::unix_time::UnixTime;

use fetch::{FetchNumber, FetchResult, Jitter, KeyFetch};
use remote::Remote;
use sharing::SharedOutcome;

pub use look_up::{CalloutEnd, KeyGeneration, LookUp};
pub use order::Arrived;

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

impl ProviderKeys {
    /// No keys yet, or those of the configuration.
    pub fn new(origin: &KeyOrigin, now: UnixTime) -> Self {
        let source = match origin {
            KeyOrigin::Inline(set) => Source::Inline(set.clone()),
            KeyOrigin::IntrospectionOnly => Source::Inline(KeySet::default()),
            KeyOrigin::Remote(settings) => Source::Remote(Box::new(Remote::new(settings, now))),
        };
        Self { source }
    }

    fn remote(&self) -> Option<&Remote> {
        match &self.source {
            Source::Inline(_) => None,
            Source::Remote(remote) => Some(remote),
        }
    }

    fn remote_mut(&mut self) -> Option<&mut Remote> {
        match &mut self.source {
            Source::Inline(_) => None,
            Source::Remote(remote) => Some(remote),
        }
    }

    /// When a request arrives that comes now, for its lookups.
    pub fn arrived(&self, now: UnixTime) -> Arrived {
        self.remote().map(|remote| remote.arrived(now)).unwrap_or_default()
    }

    /// The keys for a token of that `kid` and `alg`, whose request `arrived` then.
    pub fn look_up(
        &mut self,
        key_id: Option<&str>,
        algorithm: Algorithm,
        arrived: Arrived,
        now: UnixTime,
    ) -> LookUp<'_> {
        match &mut self.source {
            Source::Inline(set) => {
                let candidates = set.candidates(key_id, algorithm);
                if candidates.is_empty() { LookUp::Unknown } else { LookUp::Found(candidates) }
            }
            Source::Remote(remote) => remote.look_up(key_id, algorithm, arrived, now),
        }
    }

    /// Whether a request waits for a newer set: the signature of its token fails with the keys that were found, one of which
    /// may have been replaced under the same `kid`.
    pub fn awaits_newer_set(
        &mut self,
        key_id: Option<&str>,
        algorithm: Algorithm,
        arrived: Arrived,
        now: UnixTime,
    ) -> bool {
        self.remote_mut().is_some_and(|remote| remote.awaits_newer_set(key_id, algorithm, arrived, now))
    }

    /// Which keys may be used now; `None`: none.
    pub fn generation_in_use(&self, now: UnixTime) -> Option<KeyGeneration> {
        self.remote().map_or(Some(KeyGeneration::default()), |remote| remote.generation_in_use(now))
    }

    /// How long a request may wait for this provider's keys.
    pub fn longest_wait(&self) -> Duration {
        self.remote().map_or(Duration::ZERO, Remote::longest_wait)
    }

    /// The first callout of a fetch, if one is due.
    pub fn begin_fetch(&mut self, now: UnixTime, jitter: Jitter) -> Option<KeyFetch> {
        self.remote_mut()?.begin_fetch(now, jitter)
    }

    /// Whether that fetch is under way.
    pub fn is_fetching(&self, number: FetchNumber) -> bool {
        self.remote().is_some_and(|remote| remote.is_fetching(number))
    }

    /// The callout of that fetch, while it is under way.
    pub fn callout_of(&self, number: FetchNumber, now: UnixTime) -> Option<KeyFetch> {
        self.remote()?.callout_of(number, now)
    }

    /// Takes the result of a callout.
    pub fn finish_callout(&mut self, number: FetchNumber, outcome: CalloutResult, now: UnixTime) -> CalloutEnd {
        let late = CalloutEnd { result: FetchResult::Late, next: None, share: None };
        self.remote_mut().map_or(late, |remote| remote.finish_callout(number, outcome, now))
    }

    /// Applies the lease of the process to a fetch that was begun.
    pub fn apply_lease(&mut self, number: FetchNumber, lease: LeaseOutcome, now: UnixTime) {
        self.remote_mut().into_iter().for_each(|remote| remote.apply_lease(number, lease, now));
    }

    /// The name under which the workers of the process share this provider's keys, if they are fetched.
    pub fn record_name(&self) -> Option<String> {
        self.remote().map(|remote| remote.record_name().to_owned())
    }

    /// Takes what another worker shares.
    pub fn adopt(&mut self, outcome: SharedOutcome, jitter: Jitter, now: UnixTime) -> FetchResult {
        self.remote_mut().map_or(FetchResult::Late, |remote| remote.adopt(outcome, jitter, now))
    }

    pub fn stats(&self, now: UnixTime) -> KeyStats {
        match &self.source {
            Source::Inline(set) => KeyStats { held: set.len(), age: None, are_usable: true },
            Source::Remote(remote) => remote.stats(now),
        }
    }

    /// When something is due; `None`: never.
    pub fn next_due(&self) -> Option<UnixTime> {
        self.remote().map(Remote::next_due)
    }
}
