//! The cache of verified tokens, and for a short time of tokens whose signature is invalid.
//!
//! An entry is about the *token* only. Its key is the whole token, compared byte by byte, so two spellings of one token have
//! two entries. Each configuration has its own cache. An entry is valid while the token is current and the keys that
//! verified it are in use ([`KeyGeneration`]). Invalid tokens have a cache of their own and evict no valid one. A full cache
//! evicts the least recently used entry, and only for a token that comes a second time: caching a token that comes once costs
//! more than verifying it.

use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::time::Duration;

use lru::DefaultHasher as RandomHasher;

use crate::engine::deny_reason::DenyReason;
use crate::http::HeaderEdit;
use crate::keys::KeyGeneration;
use crate::lookup::bounded_lru::BoundedLru;
use crate::policy::{CacheLimits, Policy, Provider, ProviderId, StateEntry, ValidatedToken};
use crate::telemetry::stats::TokenCacheStats;
use crate::unix_time::UnixTime;

/// The limits of invalid tokens: enough for a client that retries.
const MAX_INVALID: CacheLimits = CacheLimits { tokens: 256, bytes: 256 * 1024 };
const INVALID_TTL: Duration = Duration::from_secs(5);
/// The size of an entry beside its token and header values.
const ENTRY_BYTES: usize = 512;
/// The bytes of a token that are hashed: the end of its signature, which only the issuer can choose.
const HASHED_BYTES: usize = 64;
/// The most tokens that are recorded as seen, eight bytes each.
const MAX_SEEN: usize = 1 << 16;

/// A token whose signature is verified, or whose introspection response is active, with validated claims.
#[derive(Clone, Debug)]
pub(super) struct AuthenticatedToken {
    pub(super) provider: ProviderId,
    pub(super) provider_name: Rc<str>,
    /// The issuer, if it is known: see [`Provider::issuer_of`].
    pub(super) issuer: Option<Rc<str>>,
    pub(super) token: Rc<ValidatedToken>,
    /// The identity headers for the backend.
    pub(super) identity_headers: Rc<[HeaderEdit]>,
    /// The identity part of the filter state.
    pub(super) filter_state: Rc<[StateEntry]>,
}

impl AuthenticatedToken {
    /// The headers and filter state of a validated token.
    ///
    /// # Errors
    /// If a value cannot be forwarded.
    pub(super) fn new(
        id: ProviderId,
        provider: &Provider,
        token: Rc<ValidatedToken>,
        policy: &Policy,
    ) -> Result<Self, DenyReason> {
        let identity = policy.forwarding.identity(&token)?.into();
        let state = policy.filter_state.of_token(&token)?.into();
        let issuer = provider.issuer_of(token.claims()).cloned();
        Ok(Self {
            provider: id,
            provider_name: Rc::clone(&provider.name),
            issuer,
            token,
            identity_headers: identity,
            filter_state: state,
        })
    }
}

pub(super) struct TokenCache {
    hits: u64,
    misses: u64,
    verified: TokenEntries<(Rc<AuthenticatedToken>, KeyGeneration), EndOfToken>,
    invalid: TokenEntries<(UnixTime, KeyGeneration), RandomHasher>,
}

impl TokenCache {
    pub(super) fn new(limits: CacheLimits) -> Self {
        // Without a cache of verified tokens there is none of invalid ones either.
        let bad = if limits.tokens == 0 { limits } else { MAX_INVALID };
        Self { hits: 0, misses: 0, verified: TokenEntries::new(limits), invalid: TokenEntries::new(bad) }
    }

    /// The entry of a token that is current and was verified with the keys that are in use `now`.
    pub(super) fn find(
        &mut self,
        text: &[u8],
        now: UnixTime,
        keys_in_use: impl Fn(ProviderId) -> Option<KeyGeneration>,
    ) -> Option<&Rc<AuthenticatedToken>> {
        let is_good = |(grant, verified_by): &(Rc<AuthenticatedToken>, KeyGeneration)| {
            grant.token.is_current(now) && keys_in_use(grant.provider) == Some(*verified_by)
        };
        let found = self.verified.entries.get_valid(text, is_good).map(|(grant, _)| grant);
        if found.is_some() {
            self.hits = self.hits.saturating_add(1);
        }
        found
    }

    /// Counts a miss of a token that can be cached. Introspection has its own cache.
    pub(super) const fn count_miss(&mut self) {
        self.misses = self.misses.saturating_add(1);
    }

    /// The numbers as they are.
    pub(super) fn stats(&self) -> TokenCacheStats {
        let (tokens, bytes) = (self.verified.entries.len(), self.verified.entries.bytes());
        TokenCacheStats { tokens, bytes, hits: self.hits, misses: self.misses }
    }

    /// Caches a token that these keys verified. `held_bytes` is its approximate size.
    pub(super) fn insert(
        &mut self,
        text: Rc<[u8]>,
        grant: Rc<AuthenticatedToken>,
        verified_by: KeyGeneration,
        held_bytes: usize,
    ) {
        let edits: usize = grant.identity_headers.iter().map(HeaderEdit::held_bytes).sum();
        let state: usize = grant.filter_state.iter().map(StateEntry::held_bytes).sum();
        let bytes = held_bytes.saturating_add(edits).saturating_add(state);
        self.verified.insert(text, (grant, verified_by), bytes);
    }

    /// Whether the signature was found invalid with these keys a short time ago.
    pub(super) fn is_cached_as_invalid(&mut self, text: &[u8], keys: KeyGeneration, now: UnixTime) -> bool {
        let is_good = |(seen_at, seen_with): &(UnixTime, KeyGeneration)| {
            *seen_at <= now && now.since(*seen_at) < INVALID_TTL && *seen_with == keys
        };
        self.invalid.entries.get_valid(text, is_good).is_some()
    }

    /// Caches a token whose signature is invalid with these keys.
    pub(super) fn insert_invalid(&mut self, text: Rc<[u8]>, keys: KeyGeneration, now: UnixTime) {
        let length = text.len();
        self.invalid.insert(text, (now, keys), length);
    }
}

/// Entries by token. A full cache evicts one only for a token that comes a second time.
struct TokenEntries<T, S: BuildHasher> {
    entries: BoundedLru<Rc<[u8]>, T, S>,
    hasher: S,
    /// Hashes of tokens that came while the cache was full, each at the index that it selects.
    seen: Vec<u64>,
}

impl<T, S: BuildHasher + Clone + Default> TokenEntries<T, S> {
    fn new(limits: CacheLimits) -> Self {
        let hasher = S::default();
        let entries = BoundedLru::with_hasher(limits.tokens, limits.bytes, hasher.clone());
        Self { entries, hasher, seen: vec![0; limits.tokens.min(MAX_SEEN)] }
    }

    fn insert(&mut self, text: Rc<[u8]>, value: T, bytes: usize) {
        let Self { entries, hasher, seen } = self;
        let bytes = bytes.saturating_add(ENTRY_BYTES);
        entries.insert_where(text, value, bytes, |text| is_seen_again(seen, hasher.hash_one(&**text)));
    }
}

fn is_seen_again(seen: &mut [u64], hash: u64) -> bool {
    let slots = u64::try_from(seen.len()).unwrap_or(u64::MAX);
    let slot = hash.checked_rem(slots).and_then(|slot| usize::try_from(slot).ok());
    slot.and_then(|slot| seen.get_mut(slot)).is_some_and(|seen| std::mem::replace(seen, hash) == hash)
}

/// Hashes only the end of a token. Nobody can fill one bucket: *verified* tokens that end alike need the issuer's key.
#[derive(Clone, Default)]
struct EndOfToken(RandomHasher);

impl BuildHasher for EndOfToken {
    type Hasher = EndHasher;

    fn build_hasher(&self) -> EndHasher {
        EndHasher(self.0.build_hasher())
    }
}

struct EndHasher(DefaultHasher);

impl Hasher for EndHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.get(bytes.len().saturating_sub(HASHED_BYTES)..).unwrap_or_default().hash(&mut self.0);
    }

    fn finish(&self) -> u64 {
        self.0.finish()
    }
}

#[cfg(test)]
#[path = "token_cache/tests.rs"]
mod tests;
