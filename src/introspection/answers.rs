//! The answers that are remembered, each with the times between which it serves.
//!
//! Two rooms, both bounded in entries and bytes: one for tokens that were active and wanted, one for all others, so that
//! no number of bad tokens pushes a good one out. What was not used for the longest time goes first. Tokens are known by
//! their digest: the text would cost eight kilobytes where 32 bytes do, and a dump of the memory would hold credentials
//! that are good somewhere else.

use std::rc::Rc;
use std::time::Duration;

use lru::LruCache;

use crate::introspection::call::TokenDigest;
use crate::introspection::order::{Arrived, Began, Now};
use crate::introspection::requester::Requester;
use crate::jose::ActiveToken;
use crate::policy::{CacheLimits, ClaimFault, Introspection, ValidatedToken};
use crate::sequence::Sequence;
use crate::unix_time::{MonotonicTime, UnixTime};

/// What an entry takes beside its claims.
const ENTRY_BYTES: usize = 512;
/// How much more JSON takes once it is read.
const BYTES_OF_TEXT: usize = 4;
/// The budget lets far fewer than these be found inactive while they are remembered.
const MAX_REFUSED: usize = 2048;

/// A token that is active: in the form in which its request can use it.
#[derive(Clone, Debug)]
pub(super) enum Active {
    /// All that is known of it is what the endpoint said, and that was admitted.
    Opaque(Rc<ValidatedToken>),
    /// It was admitted by its signature; this is to be held against it.
    Jwt(Rc<ActiveToken>),
}

/// An active answer.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) active: Active,
    /// Of all answers about the token, the one with the newest number counts.
    sequence: Sequence,
    /// When the call began: so old is what it says.
    began: Began,
    /// Until when it is as good as a new one.
    fresh_until: MonotonicTime,
    /// Until when it is better than none.
    usable_until: MonotonicTime,
    /// When the token expires, by its issuer's word.
    expiry: Option<UnixTime>,
    /// The last call that was to renew it and failed.
    failed: Option<Failed>,
    bytes: usize,
}

/// Why a token does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Against {
    Inactive,
    Claim(ClaimFault),
    /// Nobody knows: the call failed.
    Unknown,
}

/// An answer that lets nothing pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused {
    pub(super) against: Against,
    /// The newest number of an answer about the token; `None`: there was no answer.
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

/// Which answer it is, and how long its token says it lives.
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
            Self::Opaque(token) => Requester::of_token(token),
            // Its request brings the token itself.
            Self::Jwt(_) => None,
        }
    }
}

impl Held {
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

    /// Whether it is as good as a new one for a request that `arrived` then: it has not aged, or it was asked for
    /// since, as it was for all who waited for it, however short `cache_ttl`.
    pub(super) fn is_fresh(&self, arrived: Arrived, now: Now) -> bool {
        self.is_before(self.fresh_until, now) || self.began.is_after(arrived)
    }

    /// Whether it is better than none.
    pub(super) fn is_usable(&self, now: Now) -> bool {
        self.is_before(self.usable_until, now)
    }

    /// By our clock the token may have expired already, within the skew: then it serves those who asked, once.
    fn is_before(&self, until: MonotonicTime, now: Now) -> bool {
        now.at < until && self.expiry.is_none_or(|expiry| now.wall < expiry)
    }

    /// For how long no other answer can be had, because a call failed after the request `arrived`, or a moment ago.
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

impl Refused {
    /// Whether it still counts for a request that `arrived` then.
    pub(super) fn counts(&self, arrived: Arrived, now: Now) -> bool {
        now.at < self.until || self.began.is_after(arrived)
    }
}

/// All answers of one provider.
pub(super) struct Answers {
    limits: CacheLimits,
    held_bytes: usize,
    active: LruCache<TokenDigest, Held>,
    refused: LruCache<TokenDigest, Refused>,
}

impl Answers {
    pub(super) fn new(limits: CacheLimits) -> Self {
        Self { limits, held_bytes: 0, active: LruCache::unbounded(), refused: LruCache::unbounded() }
    }

    pub(super) fn active(&mut self, token: &TokenDigest) -> Option<&mut Held> {
        self.active.get_mut(token)
    }

    /// Whether an active answer is held, good or not any more.
    pub(super) fn is_active(&self, token: &TokenDigest) -> bool {
        self.active.contains(token)
    }

    pub(super) fn refused(&mut self, token: &TokenDigest) -> Option<Refused> {
        self.refused.get(token).copied()
    }

    /// The number of the newest answer about a token, whatever it says.
    pub(super) fn sequence(&self, token: &TokenDigest) -> Option<Sequence> {
        let active = self.active.peek(token).map(|held| held.sequence);
        active.or_else(|| self.refused.peek(token).and_then(|refused| refused.sequence))
    }

    /// The token is active, and nothing else is known of it.
    pub(super) fn accept(&mut self, token: TokenDigest, held: Held) {
        self.forget(&token);
        if self.limits.tokens == 0 || held.bytes > self.limits.bytes {
            return;
        }
        while self.active.len() >= self.limits.tokens || self.held_bytes.saturating_add(held.bytes) > self.limits.bytes
        {
            let Some((_, oldest)) = self.active.pop_lru() else { break };
            self.held_bytes = self.held_bytes.saturating_sub(oldest.bytes);
        }
        self.held_bytes = self.held_bytes.saturating_add(held.bytes);
        self.active.put(token, held);
    }

    /// The token is not, and was not.
    pub(super) fn refuse(&mut self, token: TokenDigest, refused: Refused) {
        self.forget(&token);
        if self.refused.len() >= MAX_REFUSED {
            self.refused.pop_lru();
        }
        self.refused.put(token, refused);
    }

    /// Nothing is known of the token.
    pub(super) fn forget(&mut self, token: &TokenDigest) {
        if let Some(held) = self.active.pop(token) {
            self.held_bytes = self.held_bytes.saturating_sub(held.bytes);
        }
        self.refused.pop(token);
    }

    pub(super) fn len(&self) -> usize {
        self.active.len()
    }

    pub(super) const fn held_bytes(&self) -> usize {
        self.held_bytes
    }
}

impl std::fmt::Debug for Answers {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Answers({} active, {} refused)", self.active.len(), self.refused.len())
    }
}
