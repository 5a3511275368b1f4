//! The host's clock and randomness, turned into the core's inputs.
//!
//! The standard library draws 128 bits from the host (WASI `random_get`) and makes each hasher's key of them, no two
//! alike in a VM.

use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, UNIX_EPOCH};

use proxy_wasm::hostcalls;

use crate::engine::{Entropy, Jitter};
use crate::unix_time::UnixTime;

/// The time. Without one it would be 1970, where every token is issued in the future.
pub(super) fn now() -> UnixTime {
    at(since_epoch())
}

/// The time as finely as the host has it, to tell how long something took.
pub(super) fn since_epoch() -> Duration {
    let elapsed = hostcalls::get_current_time().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    elapsed.unwrap_or_default()
}

/// The same for the core.
pub(super) fn at(since_epoch: Duration) -> UnixTime {
    UnixTime::from_millis(0).plus(since_epoch)
}

/// New randomness, from the keys that the standard library draws for each hasher.
pub(super) fn jitter() -> Jitter {
    let [low, high, ..] = RandomState::new().hash_one(()).to_le_bytes();
    Jitter(u16::from_le_bytes([low, high]))
}

/// New random bytes: four times what a hasher with a key of its own makes of nothing.
pub(super) fn entropy() -> Entropy {
    let mut bytes = [0; 32];
    for part in bytes.chunks_exact_mut(8) {
        part.copy_from_slice(&RandomState::new().hash_one(()).to_le_bytes());
    }
    Entropy(bytes)
}
