//! What a look-up of a key finds, and what the end of a callout leads to.

use std::time::Duration;

use crate::jose::Key;
use crate::keys::fetch::{FetchResult, KeyFetch};
use crate::keys::sharing::SharedOutcome;

/// Which of the key sets held one after the other: what one verified is not verified by the next, unless that has
/// the same keys and so the same number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyGeneration(u64);

impl KeyGeneration {
    pub(super) const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

/// What is known of the key that a token names.
#[derive(Debug)]
pub enum LookUp<'a> {
    /// These may have signed it.
    Found(Vec<&'a Key>),
    /// The issuer does not publish such a key.
    Unknown,
    /// A fetch is under way or planned soon.
    Pending,
    /// It cannot be known now; perhaps after this long.
    Unavailable(Duration),
}

/// What the end of a callout leads to.
#[derive(Debug)]
pub struct CalloutEnd {
    pub result: FetchResult,
    /// The next callout of the same fetch.
    pub next: Option<KeyFetch>,
    /// What to share with the other workers.
    pub share: Option<SharedOutcome>,
}
