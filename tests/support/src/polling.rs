//! Waiting for a condition. The only file that sleeps in order to synchronise.

use std::thread;
use std::time::{Duration, Instant};

const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Asks `probe` again and again until it gives a value, and returns it.
///
/// # Panics
/// When `timeout` passes first; the message names `what` was waited for.
pub fn until<T>(what: &str, timeout: Duration, probe: impl FnMut() -> Option<T>) -> T {
    within(timeout, probe).unwrap_or_else(|| panic!("waited {timeout:?} in vain for {what}"))
}

/// The same for when the thing may well not come: `None` once `timeout` has passed.
pub fn within<T>(timeout: Duration, probe: impl FnMut() -> Option<T>) -> Option<T> {
    ask(timeout, LONGEST_PAUSE, probe)
}

/// Like [`until`], but asks every millisecond to the end: for when it is measured how long the thing takes.
///
/// # Panics
/// When `timeout` passes first; the message names `what` was waited for.
pub fn closely<T>(what: &str, timeout: Duration, probe: impl FnMut() -> Option<T>) -> T {
    ask(timeout, SHORTEST_PAUSE, probe).unwrap_or_else(|| panic!("waited {timeout:?} in vain for {what}"))
}

fn ask<T>(timeout: Duration, longest_pause: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + timeout;
    let mut pause = SHORTEST_PAUSE;
    loop {
        if let Some(value) = probe() {
            return Some(value);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(pause);
        pause = longest_pause.min(pause * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_value_found_is_returned() {
        let mut asked = 0;
        let value = until("the third question", Duration::from_secs(5), || {
            asked += 1;
            (asked == 3).then_some(asked)
        });
        assert_eq!(value, 3);
    }

    #[test]
    fn condition_is_polled_until_the_deadline() {
        let begin = Instant::now();
        let mut asked = 0;
        closely("the twentieth question", Duration::from_secs(5), || {
            asked += 1;
            (asked == 20).then_some(())
        });
        // With growing pauses it would have taken 800 ms.
        assert!(begin.elapsed() < Duration::from_millis(400), "{:?}", begin.elapsed());
    }

    #[test]
    #[should_panic(expected = "in vain for the moon")]
    fn timeout_names_the_missing_condition() {
        until("the moon", Duration::from_millis(5), || None::<()>);
    }
}
