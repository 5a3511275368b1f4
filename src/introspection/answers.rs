//! The answers that are remembered, each with the times between which it serves.
//!
//! Two rooms, both bounded in entries and bytes: one for tokens that were active and wanted, one for all others, so that
//! no number of bad tokens pushes a good one out. What was not used for the longest time goes first. Tokens are known by
//! their digest: the text would cost eight kilobytes where 32 bytes do, and a dump of the memory would hold credentials
//! that are good somewhere else.

use std::rc::Rc;
use std::time::Duration;

use lru::LruCache;

use crate::introspection::call::{Span, TokenDigest};
use crate::introspection::requester::Requester;
use crate::jose::ActiveToken;
use crate::policy::{AdmittedToken, CacheLimits, ClaimFault, Introspection};
use crate::unix_time::UnixTime;

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
    Opaque(Rc<AdmittedToken>),
    /// It was admitted by its signature; this is to be held against it.
    Jwt(Rc<ActiveToken>),
}

/// An active answer.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) active: Active,
    /// When the call began: so old is what it says.
    pub(super) began: UnixTime,
    /// While it is as good as a new one.
    fresh: Span,
    /// While it is better than none.
    usable: Span,
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
    pub(super) began: UnixTime,
    pub(super) lasts: Span,
}

/// A call that failed, and until when none is made for the same token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failed {
    pub(super) began: UnixTime,
    pub(super) lasts: Span,
}

/// When an answer was asked for, when it came, and how long its token says it lives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) began: UnixTime,
    pub(super) ended: UnixTime,
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
    pub(super) fn new(active: Active, times: Times, text_length: usize, settings: &Introspection) -> Self {
        let Times { began, ended, expiry } = times;
        // By our clock the token may have expired already, within the skew: then it serves those who asked, once.
        let until = |after: Duration| expiry.map_or(began.plus(after), |expiry| expiry.min(began.plus(after)));
        Self {
            active,
            began,
            fresh: Span { from: ended, until: until(settings.cache_ttl) },
            usable: Span { from: ended, until: until(settings.cache_ttl.saturating_add(settings.stale_if_error)) },
            failed: None,
            bytes: text_length.saturating_mul(BYTES_OF_TEXT).saturating_add(ENTRY_BYTES),
        }
    }

    /// Whether it is as good as a new one for a request that came at `asked_at`: it has not aged, or it was asked for
    /// since, as it was for all who waited for it, however short `cache_ttl`.
    pub(super) fn is_fresh(&self, asked_at: UnixTime, now: UnixTime) -> bool {
        self.fresh.contains(now) || (self.began >= asked_at && self.began <= now)
    }

    /// Whether it is better than none.
    pub(super) fn is_usable(&self, now: UnixTime) -> bool {
        self.usable.contains(now)
    }

    /// For how long no other answer is to be had, because asking failed since `asked_at` or a moment ago.
    pub(super) fn failure(&self, asked_at: UnixTime, now: UnixTime) -> Option<Duration> {
        self.failed.and_then(|failed| failed.wait(asked_at, now))
    }

    pub(super) const fn fail(&mut self, failed: Failed) {
        self.failed = Some(failed);
    }
}

impl Failed {
    fn wait(self, asked_at: UnixTime, now: UnixTime) -> Option<Duration> {
        let is_news = self.began >= asked_at && self.began <= now;
        (is_news || self.lasts.contains(now)).then(|| self.lasts.until.since(now))
    }
}

impl Refused {
    /// Whether it still counts for a request that came at `asked_at`.
    pub(super) fn counts(&self, asked_at: UnixTime, now: UnixTime) -> bool {
        self.lasts.contains(now) || (self.began >= asked_at && self.began <= now)
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

    /// When the answer that is held was asked for, whatever it says.
    pub(super) fn began(&self, token: &TokenDigest) -> Option<UnixTime> {
        let active = self.active.peek(token).map(|held| held.began);
        let refused = self.refused.peek(token).filter(|refused| refused.against != Against::Unknown);
        active.max(refused.map(|refused| refused.began))
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
