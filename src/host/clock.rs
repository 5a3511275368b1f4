//! The host's clock and randomness, turned into the core's inputs.
//!
//! Random bytes come from the host's `random_get` (WASI) each time. The standard library's hashers ask it only once and
//! derive all their keys from that.

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

/// New randomness for pauses. A host without any makes all gateways pause alike.
pub(super) fn jitter() -> Jitter {
    let mut bytes = [0; 2];
    let is_random = getrandom::fill(&mut bytes).is_ok();
    Jitter(if is_random { u16::from_le_bytes(bytes) } else { 0 })
}

/// New random bytes; `None` when the host gives none.
pub(super) fn entropy() -> Option<Entropy> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).ok().map(|()| Entropy(bytes))
}
