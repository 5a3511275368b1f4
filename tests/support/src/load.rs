//! Load for measurements: requests over a few keep-alive connections, one at a time on each.

use std::net::Ipv4Addr;
use std::num::NonZeroU64;
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::set_current_timer_slack;

use crate::client::{Connection, Request};

const TIME_TO_CONNECT: Duration = Duration::from_millis(20);
/// In nanoseconds. The usual 50 µs by which Linux lets sleepers oversleep are as much as what is measured.
const TIMER_SLACK: NonZeroU64 = NonZeroU64::MIN;

/// Where requests go, over how many connections, and how each must be answered: a request that is answered in
/// another way is a panic, for what is measured then is not what was meant to be.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// On 127.0.0.1.
    pub port: u16,
    /// How many, each of them by a thread of its own.
    pub connections: usize,
    /// The status of every answer.
    pub expected_status: u16,
}

impl Load {
    /// Sends the requests, shared out evenly over the connections, and waits for the answers.
    ///
    /// # Panics
    /// When one is not answered as it must be.
    pub fn send_all(&self, requests: &[Request]) {
        let share = requests.len().div_ceil(self.connections).max(1);
        thread::scope(|scope| {
            for part in requests.chunks(share) {
                scope.spawn(|| self.send_in_turn(part.iter().cloned()));
            }
        });
    }

    /// The same for requests that are made when it is their turn: `make` gets a connection's number and says what is
    /// sent on it.
    ///
    /// # Panics
    /// When one is not answered as it must be.
    pub fn send_made<I: Iterator<Item = Request>>(&self, make: impl Fn(usize) -> I + Sync) {
        let make = &make;
        thread::scope(|scope| {
            for connection in 0..self.connections {
                scope.spawn(move || self.send_in_turn(make(connection)));
            }
        });
    }

    /// Sends one request every `interval`, and returns how long after the moment it was due each was answered. A
    /// request that is late because the answer before it was is late all the same: a stall counts for everybody who
    /// would have waited, and not once (what is known as coordinated omission).
    ///
    /// # Panics
    /// When one is not answered as it must be.
    pub fn send_paced(&self, requests: &[Request], interval: Duration) -> Vec<Duration> {
        let start = Instant::now() + TIME_TO_CONNECT;
        let due_by = |place: usize| start + interval * u32::try_from(place).expect("fewer than 2^32 requests");
        let send_every_nth = |first: usize| {
            // Refused in some sandboxes: then the figures are a little worse, for every subject alike.
            let _ = set_current_timer_slack(Some(TIMER_SLACK));
            let mut connection = self.connect();
            let mut latencies = Vec::new();
            for (place, request) in requests.iter().enumerate().skip(first).step_by(self.connections) {
                let due = due_by(place);
                thread::sleep(due.saturating_duration_since(Instant::now()));
                self.exchange(&mut connection, request);
                latencies.push(due.elapsed());
            }
            latencies
        };
        let send_every_nth = &send_every_nth;
        thread::scope(|scope| {
            let senders: Vec<_> =
                (0..self.connections).map(|first| scope.spawn(move || send_every_nth(first))).collect();
            senders.into_iter().flat_map(|sender| sender.join().expect("every answer is as it must be")).collect()
        })
    }

    fn send_in_turn(&self, requests: impl Iterator<Item = Request>) {
        let mut connection = self.connect();
        requests.for_each(|request| self.exchange(&mut connection, &request));
    }

    fn connect(&self) -> Connection {
        Connection::open(self.port).unwrap_or_else(|fault| panic!("{}:{}: {fault}", Ipv4Addr::LOCALHOST, self.port))
    }

    fn exchange(&self, connection: &mut Connection, request: &Request) {
        let answer = connection.send(request).and_then(|()| connection.read_response());
        let answer = answer.unwrap_or_else(|fault| panic!("no response from port {}: {fault}", self.port));
        assert_eq!(answer.status, self.expected_status, "port {}: {}", self.port, answer.text());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Backend;
    use crate::scripted_server::{Script, ScriptedResponse, ScriptedServer};

    fn load(port: u16, connections: usize) -> Load {
        Load { port, connections, expected_status: 200 }
    }

    fn numbered(count: usize) -> Vec<Request> {
        (0..count).map(|number| Request::get(format!("/{number}"))).collect()
    }

    fn paths_seen(backend: &Backend) -> Vec<String> {
        let mut paths: Vec<_> = backend.requests().into_iter().map(|received| received.path).collect();
        paths.sort();
        paths
    }

    fn paths(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("/{number}")).collect()
    }

    #[test]
    fn every_request_is_sent_once() {
        let backend = Backend::start();
        load(backend.port(), 3).send_all(&numbered(10));
        assert_eq!(paths_seen(&backend), paths(10));
    }

    #[test]
    fn every_connection_sends_its_own_requests() {
        let backend = Backend::start();
        let make = |connection| (0..3).map(move |number| Request::get(format!("/{}", 3 * connection + number)));
        load(backend.port(), 3).send_made(make);
        assert_eq!(paths_seen(&backend), paths(9));
    }

    #[test]
    #[should_panic(expected = "a scoped thread panicked")]
    fn response_with_another_status_panics() {
        let server = ScriptedServer::start(|_, _| ScriptedResponse::new(401, "").into());
        load(server.port(), 1).send_all(&numbered(1));
    }

    #[test]
    fn paced_requests_are_sent_once_and_not_before_they_are_due() {
        let backend = Backend::start();
        let begin = Instant::now();
        let latencies = load(backend.port(), 3).send_paced(&numbered(10), Duration::from_millis(5));
        assert!(begin.elapsed() >= TIME_TO_CONNECT + 9 * Duration::from_millis(5));
        assert_eq!((latencies.len(), paths_seen(&backend)), (10, paths(10)));
    }

    #[test]
    fn a_stall_counts_for_the_requests_that_were_due_meanwhile() {
        let stall = Duration::from_millis(200);
        let server = ScriptedServer::start(move |received, _| match received.path.as_str() {
            "/0" => Script::Slow { delay: stall, answer: ScriptedResponse::new(200, "") },
            _ => ScriptedResponse::new(200, "").into(),
        });
        let latencies = load(server.port(), 1).send_paced(&numbered(5), Duration::from_millis(1));
        assert!(latencies.iter().all(|latency| *latency > stall / 2), "{latencies:?}");
    }
}
