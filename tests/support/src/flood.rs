//! Floods of requests: over many connections, for a bounded time. The test checks the responses. Requests are not pipelined:
//! Envoy closes a connection on which its own replies queue up.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{Connection, Request};
use crate::http1::Response;
use crate::open_files;

/// How much, and for how long at most.
#[derive(Clone, Copy, Debug)]
pub struct Flood {
    /// On 127.0.0.1.
    pub port: u16,
    /// How many connections there are, each kept open and each with a thread of its own.
    pub connections: usize,
    /// How many requests there are in all.
    pub requests: usize,
    /// Nothing more is sent after so long.
    pub at_most: Duration,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flooded {
    /// How many requests were sent and answered.
    pub answered: usize,
    /// How long it took.
    pub lasted: Duration,
}

impl Flood {
    /// Sends what `make` makes of the numbers from 0 on, and has each answer judged.
    ///
    /// # Panics
    /// When a request has no answer, or `judge` does not like it.
    pub fn send(&self, make: impl Fn(usize) -> Request + Sync, judge: impl Fn(&Response) + Sync) -> Flooded {
        open_files::raise_limit();
        let next = AtomicUsize::new(0);
        let began = Instant::now();
        let send_in_turn = || {
            let mut connection = Connection::open(self.port).expect("it listens");
            let mut answered = 0;
            while began.elapsed() < self.at_most {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= self.requests {
                    break;
                }
                connection.send(&make(number)).expect("it reads");
                judge(&connection.read_response().expect("an answer"));
                answered += 1;
            }
            answered
        };
        let answered = thread::scope(|scope| {
            let senders: Vec<_> = (0..self.connections).map(|_| scope.spawn(send_in_turn)).collect();
            senders.into_iter().map(|sender| sender.join().expect("every answer is as it must be")).sum()
        });
        Flooded { answered, lasted: began.elapsed() }
    }
}

impl Flooded {
    /// Requests a second.
    pub fn rate(&self) -> f64 {
        self.answered as f64 / self.lasted.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Backend;

    fn flood(port: u16, at_most: Duration) -> Flood {
        Flood { port, connections: 3, requests: 50, at_most }
    }

    #[test]
    fn every_request_is_sent_once_and_every_response_is_checked() {
        let backend = Backend::start();
        let judged = AtomicUsize::new(0);
        let judge = |response: &Response| {
            assert_eq!(response.status, 200);
            judged.fetch_add(1, Ordering::Relaxed);
        };
        let flooded =
            flood(backend.port(), Duration::from_secs(60)).send(|number| Request::get(format!("/{number}")), judge);
        assert_eq!((flooded.answered, judged.into_inner()), (50, 50));
        let mut paths: Vec<_> = backend.requests().into_iter().map(|received| received.path).collect();
        paths.sort();
        paths.dedup();
        assert_eq!(paths.len(), 50);
    }

    #[test]
    fn no_request_is_sent_after_the_deadline() {
        let backend = Backend::start();
        let flooded = flood(backend.port(), Duration::ZERO).send(|_| Request::get("/"), |_| {});
        assert_eq!((flooded.answered, backend.count()), (0, 0));
    }
}
