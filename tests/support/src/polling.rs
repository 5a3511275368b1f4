//! Waiting for something to become true. The one place that sleeps in order to synchronise; everybody calls it.

use std::thread;
use std::time::{Duration, Instant};

const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Asks `probe` again and again until it gives a value, and returns it.
///
/// # Panics
/// When `timeout` passes first; the message names `what` was waited for.
pub fn until<T>(what: &str, timeout: Duration, probe: impl FnMut() -> Option<T>) -> T {
    within(timeout, probe).unwrap_or_else(|| panic!("waited {timeout:?} in vain for {what}"))
}

/// The same for when the thing may well not come: `None` once `timeout` has passed.
pub fn within<T>(timeout: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + timeout;
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(value) = probe() {
            return Some(value);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(pause);
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_first_value_found() {
        let mut asked = 0;
        let value = until("the third question", Duration::from_secs(5), || {
            asked += 1;
            (asked == 3).then_some(asked)
        });
        assert_eq!(value, 3);
    }

    #[test]
    #[should_panic(expected = "in vain for the moon")]
    fn names_what_did_not_come() {
        until("the moon", Duration::from_millis(5), || None::<()>);
    }
}
