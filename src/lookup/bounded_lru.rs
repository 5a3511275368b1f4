//! A cache that is bounded in entries and bytes: the entry that was not used for the longest time is evicted first.

use std::hash::Hash;

use lru::LruCache;

pub(crate) struct BoundedLru<K: Hash + Eq, V> {
    max_entries: usize,
    max_bytes: usize,
    bytes: usize,
    entries: LruCache<K, (V, usize)>,
}

impl<K: Hash + Eq, V> BoundedLru<K, V> {
    pub(crate) fn new(max_entries: usize, max_bytes: usize) -> Self {
        Self { max_entries, max_bytes, bytes: 0, entries: LruCache::unbounded() }
    }

    /// The value, which counts as used now.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key).map(|(value, _)| value)
    }

    /// The value, without counting it as used.
    pub(crate) fn peek(&self, key: &K) -> Option<&V> {
        self.entries.peek(key).map(|(value, _)| value)
    }

    /// Caches a value of so many bytes, in place of the one of the same key. One that is too large is not cached.
    pub(crate) fn insert(&mut self, key: K, value: V, bytes: usize) {
        self.remove(&key);
        if self.max_entries == 0 || bytes > self.max_bytes {
            return;
        }
        while self.entries.len() >= self.max_entries || self.bytes.saturating_add(bytes) > self.max_bytes {
            let Some((_, (_, evicted))) = self.entries.pop_lru() else { break };
            self.bytes = self.bytes.saturating_sub(evicted);
        }
        self.bytes = self.bytes.saturating_add(bytes);
        self.entries.put(key, (value, bytes));
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
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test(unsupported = test)]
    fn least_recently_used_entries_are_evicted_by_count_and_bytes() {
        let mut cache = BoundedLru::new(3, 100);
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
        cache.remove(&4);
        assert_eq!((cache.len(), cache.bytes()), (1, 20));
    }
}
