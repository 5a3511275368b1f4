//! The host's clock and randomness as inputs of the core.
//!
//! Every call reads random bytes from the host's `random_get` (WASI). The standard library's hashers call it only once
//! and derive all their keys from the result.

use std::time::{Duration, UNIX_EPOCH};

use proxy_wasm::hostcalls;

use crate::engine::Entropy;
use crate::unix_time::UnixTime;

/// The current time. If the host has no clock it is 1970, and every token is issued in the future.
pub(super) fn now() -> UnixTime {
    to_unix_time(since_epoch())
}

/// The current time in the host's resolution, to measure durations.
pub(super) fn since_epoch() -> Duration {
    let elapsed = hostcalls::get_current_time().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    elapsed.unwrap_or_default()
}

/// The same time as a [`UnixTime`].
pub(super) fn to_unix_time(since_epoch: Duration) -> UnixTime {
    UnixTime::from_millis(0).plus(since_epoch)
}

/// Random bytes. `None` if the host has no random source.
pub(super) fn entropy() -> Option<Entropy> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).ok().map(|()| Entropy(bytes))
}
