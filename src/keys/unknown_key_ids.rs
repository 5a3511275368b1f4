//! Key ids that the issuer does not publish: remembered for a while, and the brake on the fetches they
//! cause. Bounded: a flood of random ids can neither grow memory nor drive the issuer.

use std::collections::HashMap;
use std::time::Duration;

use crate::unix_time::UnixTime;

const MAX_REMEMBERED: usize = 256;
/// No real key id is longer; a longer one is not worth the memory.
const MAX_ID_BYTES: usize = 128;

/// The unknown key ids of one provider.
#[derive(Debug, Default)]
pub(super) struct UnknownKeyIds {
    until: HashMap<String, UnixTime>,
    last_fetch: Option<UnixTime>,
}

impl UnknownKeyIds {
    /// Whether this id was looked for in a current set a short while ago.
    pub(super) fn is_remembered(&self, key_id: &str, now: UnixTime) -> bool {
        self.until.get(key_id).is_some_and(|until| now < *until)
    }

    /// Remembers that this id is not published, for one cooldown.
    pub(super) fn remember(&mut self, key_id: &str, now: UnixTime, cooldown: Duration) {
        if key_id.len() > MAX_ID_BYTES {
            return;
        }
        if self.until.len() >= MAX_REMEMBERED {
            self.until.retain(|_, until| now < *until);
        }
        if self.until.len() < MAX_REMEMBERED {
            self.until.insert(key_id.to_owned(), now.plus(cooldown));
        }
    }

    /// How long until a fetch for an unknown id is allowed.
    pub(super) fn cooldown_left(&self, now: UnixTime, cooldown: Duration) -> Duration {
        self.last_fetch.map_or(Duration::ZERO, |last| cooldown.saturating_sub(now.since(last)))
    }

    /// Such a fetch begins.
    pub(super) fn fetch_begins(&mut self, now: UnixTime) {
        self.last_fetch = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test(unsupported = test)]
    fn memory_is_bounded_and_forgets() {
        let cooldown = Duration::from_secs(30);
        let mut unknown = UnknownKeyIds::default();
        let start = UnixTime::from_secs(1000);
        for number in 0..100_000 {
            unknown.remember(&format!("kid{number}"), start, cooldown);
        }
        assert_eq!(unknown.until.len(), MAX_REMEMBERED);
        assert!(unknown.is_remembered("kid0", start));
        let later = start.plus(cooldown);
        assert!(!unknown.is_remembered("kid0", later));
        unknown.remember("new", later, cooldown);
        assert!(unknown.is_remembered("new", later));
        unknown.remember(&"x".repeat(1000), later, cooldown);
        assert_eq!(unknown.until.len(), 1);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn fetches_are_a_cooldown_apart_also_when_the_clock_goes_back() {
        let cooldown = Duration::from_secs(30);
        let mut unknown = UnknownKeyIds::default();
        let start = UnixTime::from_secs(1000);
        let seconds = |unknown: &UnknownKeyIds, now| unknown.cooldown_left(now, cooldown).as_secs();
        assert_eq!(seconds(&unknown, start), 0);
        unknown.fetch_begins(start);
        assert_eq!(seconds(&unknown, start), 30);
        assert_eq!(seconds(&unknown, start.plus(Duration::from_secs(20))), 10);
        assert_eq!(seconds(&unknown, start.plus(cooldown)), 0);
        assert_eq!(seconds(&unknown, UnixTime::from_secs(10)), 30, "the clock went back: a cooldown at most");
    }
}
