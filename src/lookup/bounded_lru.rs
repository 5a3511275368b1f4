//! A cache that is bounded in entries and bytes: the entry that was not used for the longest time is evicted first.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};

use lru::{DefaultHasher, LruCache};

pub(crate) struct BoundedLru<K: Hash + Eq, V, S = DefaultHasher> {
    max_entries: usize,
    max_bytes: usize,
    bytes: usize,
    entries: LruCache<K, (V, usize), S>,
}

impl<K: Hash + Eq, V, S: BuildHasher + Default> BoundedLru<K, V, S> {
    pub(crate) fn new(max_entries: usize, max_bytes: usize) -> Self {
        Self::with_hasher(max_entries, max_bytes, S::default())
    }

    pub(crate) fn with_hasher(max_entries: usize, max_bytes: usize, hasher: S) -> Self {
        Self { max_entries, max_bytes, bytes: 0, entries: LruCache::unbounded_with_hasher(hasher) }
    }

    /// The value, which counts as used now.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key).map(|(value, _)| value)
    }

    /// The value, which counts as used now, if it is valid. One that is not is removed. Hashes the key once, and not at all
    /// where nothing is cached.
    pub(crate) fn get_valid<Q>(&mut self, key: &Q, is_valid: impl Fn(&V) -> bool) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if self.entries.is_empty() {
            return None;
        }
        if !self.entries.get(key).map(|(value, _)| is_valid(value))? {
            // The entry that was just found is the most recently used.
            if let Some((_, (_, bytes))) = self.entries.pop_mru() {
                self.bytes = self.bytes.saturating_sub(bytes);
            }
            return None;
        }
        self.entries.peek_mru().map(|(_, (value, _))| value)
    }

    /// The value, without counting it as used.
    pub(crate) fn peek(&self, key: &K) -> Option<&V> {
        self.entries.peek(key).map(|(value, _)| value)
    }

    /// Caches a value of so many bytes, in place of the one of the same key. One that is too large is not cached.
    pub(crate) fn insert(&mut self, key: K, value: V, bytes: usize) {
        self.insert_where(key, value, bytes, |_| true);
    }

    /// The same, but evicts other entries only if `may_evict` allows it for this key.
    pub(crate) fn insert_where(&mut self, key: K, value: V, bytes: usize, may_evict: impl FnOnce(&K) -> bool) {
        if self.max_entries == 0 || bytes > self.max_bytes {
            return;
        }
        self.remove(&key);
        if !self.has_space(bytes) && !may_evict(&key) {
            return;
        }
        while !self.has_space(bytes) {
            let Some((_, (_, evicted))) = self.entries.pop_lru() else { break };
            self.bytes = self.bytes.saturating_sub(evicted);
        }
        self.bytes = self.bytes.saturating_add(bytes);
        self.entries.put(key, (value, bytes));
    }

    fn has_space(&self, bytes: usize) -> bool {
        self.entries.len() < self.max_entries && self.bytes.saturating_add(bytes) <= self.max_bytes
    }

    pub(crate) fn remove(&mut self, key: &K) {
        if let Some((_, bytes)) = self.entries.pop(key) {
            self.bytes = self.bytes.saturating_sub(bytes);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn least_recently_used_entries_are_evicted_by_count_and_bytes() {
        let mut cache: BoundedLru<i32, i32> = BoundedLru::new(3, 100);
        for key in 0..3 {
            cache.insert(key, key, 20);
        }
        cache.get_mut(&0);
        cache.insert(3, 3, 20);
        assert_eq!([0, 1, 2, 3].map(|key| cache.peek(&key).is_some()), [true, false, true, true]);
        cache.insert(4, 4, 80);
        assert_eq!((cache.len(), cache.bytes(), cache.peek(&3)), (2, 100, Some(&3)));
        cache.insert(5, 5, 101);
        assert_eq!((cache.peek(&5), cache.len()), (None, 2));
        cache.insert(4, 9, 101);
        assert_eq!((cache.peek(&4), cache.bytes()), (Some(&4), 100), "a value that is too large replaces nothing");
        cache.insert_where(6, 6, 20, |_| false);
        assert_eq!((cache.peek(&6), cache.len()), (None, 2));
        assert_eq!(cache.get_valid(&4, |_| true), Some(&4));
        assert_eq!(cache.get_valid(&4, |_| false), None);
        assert_eq!((cache.len(), cache.bytes()), (1, 20));
    }
}
