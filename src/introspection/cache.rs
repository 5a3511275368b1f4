//! The introspection responses that are cached, and for how long.
//!
//! Active responses and all others have caches of their own, so that no number of bad tokens evicts a good one. Keys are
//! digests: a token takes up to eight kilobytes, and a memory dump would hold credentials that are valid elsewhere.

use std::rc::Rc;
use std::time::Duration;

use crate::introspection::call::{TokenDigest, requester_of};
use crate::jose::ActiveToken;
use crate::lookup::bounded_lru::BoundedLru;
use crate::lookup::order::{Arrived, Began, Now};
use crate::lookup::requester::Requester;
use crate::policy::{CacheLimits, ClaimFault, Introspection, ValidatedToken};
use crate::sequence::Sequence;
use crate::unix_time::{MonotonicTime, UnixTime};

/// What an entry takes beside its claims.
const ENTRY_BYTES: usize = 512;
/// How much more JSON takes once it is read.
const BYTES_OF_TEXT: usize = 4;
/// The rate limit lets far fewer tokens be found inactive while they are cached.
const MAX_NEGATIVE: usize = 2048;

/// An active token, in the form in which its request can use it.
#[derive(Clone, Debug)]
pub(super) enum Active {
    /// The claims of the response, which were validated.
    Opaque(Rc<ValidatedToken>),
    /// Its signature was verified; the response must be about the same token.
    Jwt(Rc<ActiveToken>),
}

#[derive(Clone, Debug)]
pub(super) struct CachedActive {
    pub(super) active: Active,
    /// Of all responses about the token, the one with the newest number counts.
    sequence: Sequence,
    /// When the call began, which is the age of the response.
    began: Began,
    /// Until when it is fresh.
    fresh_until: MonotonicTime,
    /// Until when it may serve stale.
    usable_until: MonotonicTime,
    /// When the token expires, by the response.
    expiry: Option<UnixTime>,
    /// The last call that was to refresh it and failed.
    failed: Option<Failed>,
    bytes: usize,
}

/// Why a token is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NegativeReason {
    Inactive,
    Claim(ClaimFault),
    /// The call failed, so it is not known.
    Unknown,
}

/// A response that rejects the token, or a call that failed.
#[derive(Clone, Copy, Debug)]
pub(super) struct CachedNegative {
    pub(super) reason: NegativeReason,
    /// The newest number of a response about the token; `None`: there was none.
    pub(super) sequence: Option<Sequence>,
    pub(super) began: Began,
    pub(super) until: MonotonicTime,
}

/// A call that failed, and until when none is made for the same token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failed {
    pub(super) began: Began,
    pub(super) until: MonotonicTime,
}

/// Which response it is, and when its token expires.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    pub(super) sequence: Sequence,
    pub(super) began: Began,
    pub(super) expiry: Option<UnixTime>,
}

impl Active {
    /// For whom a call about it is made.
    pub(super) fn requester(&self) -> Option<Requester> {
        match self {
            Self::Opaque(token) => requester_of(token),
            // Its request brings the token itself.
            Self::Jwt(_) => None,
        }
    }
}

impl CachedActive {
    pub(super) fn new(active: Active, source: Source, text_length: usize, settings: &Introspection) -> Self {
        let Source { sequence, began, expiry } = source;
        Self {
            active,
            sequence,
            began,
            fresh_until: began.at.plus(settings.cache_ttl),
            usable_until: began.at.plus(settings.cache_ttl.saturating_add(settings.stale_if_error)),
            expiry,
            failed: None,
            bytes: text_length.saturating_mul(BYTES_OF_TEXT).saturating_add(ENTRY_BYTES),
        }
    }

    /// Whether it is fresh for a request that `arrived` then: within its TTL, or its call began since, as for all requests
    /// that waited for it, however short `cache_ttl`.
    pub(super) fn is_fresh(&self, arrived: Arrived, now: Now) -> bool {
        self.is_before(self.fresh_until, now) || self.began.is_after(arrived)
    }

    /// Whether it may serve stale.
    pub(super) fn is_usable(&self, now: Now) -> bool {
        self.is_before(self.usable_until, now)
    }

    /// By our clock the token may have expired already, within the skew: then it serves the requests that waited, once.
    fn is_before(&self, until: MonotonicTime, now: Now) -> bool {
        now.at < until && self.expiry.is_none_or(|expiry| now.wall < expiry)
    }

    /// For how long no newer response can be had, because a call failed after the request `arrived`, or a moment ago.
    pub(super) fn failure(&self, arrived: Arrived, now: Now) -> Option<Duration> {
        self.failed.and_then(|failed| failed.wait(arrived, now))
    }

    pub(super) const fn fail(&mut self, failed: Failed) {
        self.failed = Some(failed);
    }
}

impl Failed {
    fn wait(self, arrived: Arrived, now: Now) -> Option<Duration> {
        (self.began.is_after(arrived) || now.at < self.until).then(|| self.until.since(now.at))
    }
}

impl CachedNegative {
    /// Whether it still counts for a request that `arrived` then.
    pub(super) fn counts(&self, arrived: Arrived, now: Now) -> bool {
        now.at < self.until || self.began.is_after(arrived)
    }
}

/// All responses of one provider.
pub(super) struct ResponseCache {
    active: BoundedLru<TokenDigest, CachedActive>,
    negative: BoundedLru<TokenDigest, CachedNegative>,
}

impl ResponseCache {
    pub(super) fn new(limits: CacheLimits) -> Self {
        Self {
            active: BoundedLru::new(limits.tokens, limits.bytes),
            negative: BoundedLru::new(MAX_NEGATIVE, usize::MAX),
        }
    }

    pub(super) fn active(&mut self, token: &TokenDigest) -> Option<&mut CachedActive> {
        self.active.get_mut(token)
    }

    /// Whether an active response is cached, fresh or not.
    pub(super) fn is_active(&self, token: &TokenDigest) -> bool {
        self.active.peek(token).is_some()
    }

    pub(super) fn negative(&mut self, token: &TokenDigest) -> Option<CachedNegative> {
        self.negative.get_mut(token).copied()
    }

    /// The number of the newest response about a token, whatever it says.
    pub(super) fn sequence(&self, token: &TokenDigest) -> Option<Sequence> {
        let active = self.active.peek(token).map(|cached| cached.sequence);
        active.or_else(|| self.negative.peek(token).and_then(|cached| cached.sequence))
    }

    pub(super) fn insert_active(&mut self, token: TokenDigest, cached: CachedActive) {
        self.remove(&token);
        let bytes = cached.bytes;
        self.active.insert(token, cached, bytes);
    }

    pub(super) fn insert_negative(&mut self, token: TokenDigest, cached: CachedNegative) {
        self.remove(&token);
        self.negative.insert(token, cached, 0);
    }

    pub(super) fn remove(&mut self, token: &TokenDigest) {
        self.active.remove(token);
        self.negative.remove(token);
    }

    pub(super) fn len(&self) -> usize {
        self.active.len()
    }

    pub(super) const fn held_bytes(&self) -> usize {
        self.active.bytes()
    }
}

impl std::fmt::Debug for ResponseCache {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "ResponseCache({} active, {} negative)", self.active.len(), self.negative.len())
    }
}
