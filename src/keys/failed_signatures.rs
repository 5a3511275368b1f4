//! Tokens whose signature fails with a key that is held: the issuer may have replaced the key and kept its `kid`.
//!
//! For each key id: since when signatures fail, and until when that is final because a newer set was fetched. Only ids of
//! the set held have an entry, so there are at most as many as it has keys; one more is for tokens without a `kid`, and for
//! those that are verified with keys without one.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::jose::KeySet;
use crate::sequence::Moment;
use crate::unix_time::MonotonicTime;

/// So long after a newer set came a failed signature of that key id causes no other fetch. Forged tokens with a known `kid`
/// are common: with more than one refill interval of the token bucket (4 s) they leave it full.
const FINAL_FOR: Duration = Duration::from_secs(10);

/// The failed signatures of one provider's tokens.
#[derive(Debug, Default)]
pub(super) struct FailedSignatures {
    by_id: HashMap<String, Failure>,
    without_id: Failure,
}

#[derive(Clone, Copy, Debug, Default)]
struct Failure {
    /// The first failure since a set came that is newer than it.
    first: Option<Moment>,
    final_until: MonotonicTime,
}

impl FailedSignatures {
    /// Whether a newer set than that of an earlier failure came a short while ago.
    pub(super) fn is_final(&self, key_id: Option<&str>, now: MonotonicTime) -> bool {
        let failure = match key_id {
            Some(id) => self.by_id.get(id),
            None => Some(&self.without_id),
        };
        failure.is_some_and(|failure| now < failure.final_until)
    }

    /// The signature of a token fails whose request came then. `key_id` is one of the set held.
    pub(super) fn note(&mut self, key_id: Option<&str>, arrived: Moment) {
        let failure = match key_id {
            Some(id) if self.by_id.contains_key(id) => self.by_id.get_mut(id),
            Some(id) => Some(self.by_id.entry(id.to_owned()).or_default()),
            None => Some(&mut self.without_id),
        };
        if let Some(failure) = failure {
            failure.first = Some(failure.first.map_or(arrived, |first| first.min(arrived)));
        }
    }

    /// This set is held from now on; its fetch began at that moment.
    pub(super) fn replace(&mut self, set: &KeySet, began: Moment, now: MonotonicTime) {
        if !self.by_id.is_empty() {
            let ids: HashSet<&str> = set.ids().collect();
            self.by_id.retain(|id, _| ids.contains(id.as_str()));
        }
        for failure in self.by_id.values_mut().chain([&mut self.without_id]) {
            if failure.first.take_if(|first| began > *first).is_some() {
                failure.final_until = now.plus(FINAL_FOR);
            }
        }
    }
}
