//! Key ids that the issuer does not publish: since when they are seen, and which of them are known to be unknown.
//!
//! Bounded and hashed. An entry is never evicted by others: while there is no space a new id is not recorded, and a token with
//! an id that is not recorded is never rejected as unknown (503 instead of 401).

use std::collections::HashMap;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::unix_time::MonotonicTime;

/// Some 300 kB.
const MAX_RECORDED: usize = 4096;
/// An id that was not seen for so long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(120);
/// How often expired entries are removed when there is no space.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// A fetch for the same id follows after this long at the earliest: its requests would otherwise use the whole burst at once.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How long an issuer's key set may lag its tokens, and an id is called unknown without looking, whatever the cooldown.
const LONGEST_LAG: Duration = Duration::from_secs(30);
const LONGEST_RECORD: Duration = Duration::from_secs(10);

/// What is known of one id.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sighting {
    /// When a token named it first.
    pub(super) first: MonotonicTime,
    last: MonotonicTime,
    unknown_until: MonotonicTime,
    retry_from: MonotonicTime,
}

/// The unknown key ids of one provider.
#[derive(Debug, Default)]
pub(super) struct UnknownKeyIds {
    seen: HashMap<[u8; 16], Sighting>,
    sweep_from: MonotonicTime,
}

/// How long after the first sighting of a key id the issuer may still be about to publish the key.
pub(super) fn lag(cooldown: Duration) -> Duration {
    cooldown.min(LONGEST_LAG)
}

impl Sighting {
    /// Whether it was looked for in a current set a short while ago.
    pub(super) fn is_unknown(&self, now: MonotonicTime) -> bool {
        now < self.unknown_until
    }

    /// It is not published: recorded for seconds.
    pub(super) fn is_found_unknown(&mut self, now: MonotonicTime, cooldown: Duration) {
        self.unknown_until = now.plus(cooldown.min(LONGEST_RECORD));
    }

    /// It is not published yet.
    pub(super) fn is_missed(&mut self, now: MonotonicTime) {
        self.retry_from = now.plus(RETRY_AFTER);
    }

    /// How long it is not looked for.
    pub(super) fn pause(&self, now: MonotonicTime) -> Duration {
        self.retry_from.since(now)
    }
}

impl UnknownKeyIds {
    /// A token names this id; `None`: too many others are recorded.
    pub(super) fn sight(&mut self, key_id: &str, now: MonotonicTime) -> Option<&mut Sighting> {
        let hash = hash_of(key_id);
        if !self.seen.contains_key(&hash) {
            if self.seen.len() >= MAX_RECORDED && now >= self.sweep_from {
                self.sweep_from = now.plus(SWEEP_EVERY);
                self.seen.retain(|_, sighting| now.since(sighting.last) < FORGOTTEN_AFTER);
            }
            if self.seen.len() >= MAX_RECORDED {
                return None;
            }
        }
        let never = MonotonicTime::default();
        let new = Sighting { first: now, last: now, unknown_until: never, retry_from: never };
        let sighting = self.seen.entry(hash).or_insert(new);
        if now.since(sighting.last) >= FORGOTTEN_AFTER {
            *sighting = new;
        }
        sighting.last = now;
        Some(sighting)
    }
}

/// Enough of SHA-256 to be collision-resistant.
fn hash_of(key_id: &str) -> [u8; 16] {
    let digest: [u8; 32] = Sha256::digest(key_id).into();
    let (head, _) = digest.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
    *head
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> MonotonicTime {
        MonotonicTime::default().plus(Duration::from_millis(millis))
    }

    #[test]
    fn flood_neither_grows_the_memory_nor_evicts_an_id() {
        let mut unknown = UnknownKeyIds::default();
        assert!(unknown.sight("honest", at(0)).is_some());
        let mut millis = 0;
        for number in 0..600_000 {
            millis = number;
            unknown.sight(&format!("kid{number}"), at(millis));
            assert!(unknown.seen.len() <= MAX_RECORDED);
            if number % 60_000 == 0 {
                let honest = unknown.sight("honest", at(millis)).unwrap();
                assert_eq!(honest.first, at(0), "seen every minute");
            }
        }
        assert!(unknown.sight("another", at(millis)).is_none(), "full");
        let later = at(millis + 121_000);
        assert_eq!(unknown.sight("another", later).unwrap().first, later);
        assert_eq!(unknown.seen.len(), 1, "the flood is forgotten");
    }

    #[test]
    fn id_of_any_length_takes_the_same_space_and_is_unknown_for_seconds() {
        let mut unknown = UnknownKeyIds::default();
        let long = "x".repeat(100_000);
        unknown.sight(&long, at(0)).unwrap().is_found_unknown(at(0), Duration::from_secs(3600));
        assert!(unknown.sight(&long, at(9_999)).unwrap().is_unknown(at(9_999)));
        assert!(!unknown.sight(&long, at(10_000)).unwrap().is_unknown(at(10_000)));
        assert_eq!(unknown.sight(&long, at(10_000)).unwrap().first, at(0), "but not new");
        assert_eq!(unknown.sight(&long, at(130_000)).unwrap().first, at(130_000), "forgotten");
    }
}
