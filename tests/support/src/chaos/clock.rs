//! The time of a run.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Time since the run began.
pub type Moment = Duration;

/// Counts from the start of a run.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    unix: Duration,
}

impl Clock {
    pub fn start() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970");
        Self { start: Instant::now(), unix }
    }

    pub fn now(&self) -> Moment {
        self.start.elapsed()
    }

    /// The moment in whole seconds since 1970, rounded down.
    pub fn unix(&self, moment: Moment) -> u64 {
        (self.unix + moment).as_secs()
    }

    /// Sleeps until `moment`, in short steps; returns early once `is_over`.
    pub fn sleep_until(&self, moment: Moment, is_over: impl Fn() -> bool) {
        while self.now() < moment && !is_over() {
            std::thread::sleep((moment - self.now().min(moment)).min(Duration::from_millis(50)));
        }
    }
}
