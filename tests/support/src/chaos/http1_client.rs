//! A client that pipelines over HTTP/1.1.

use std::io::{self, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use super::clock::Moment;
use super::gateway::DRAIN;
use super::judge::Seen;
use super::plan::Via;
use super::traffic::{Attempt, Batch, ClientBehavior, Traffic};
use super::world::World;
use crate::client::connect_from;
use crate::http1::MessageReader;

/// No request waits longer for its response: the longest wait for keys, the backend's delay, and a busy machine.
pub const LONGEST_WAIT: Duration = Duration::from_secs(15);
const MOST_IN_A_PIPELINE: usize = 5;

/// Sends batches until the run is over.
pub fn run(world: &World, ports: [u16; 2], number: u8, pause: Duration, seed: u64) {
    let mut traffic = Traffic::new(format!("a{number}"), seed);
    while !world.is_over() {
        let via = if traffic.random.once_in(2) { Via::Listener } else { Via::Extension };
        let opened = world.now();
        let stream = connect(ports[via as usize], number);
        let mut connection = Connection {
            reader: MessageReader::new(stream),
            has_early_response: false,
            has_queue: false,
            responses: String::new(),
        };
        for _ in 0..1 + traffic.random.below(12) {
            if world.is_over() {
                return;
            }
            let batch = traffic.batch(world, via, opened, MOST_IN_A_PIPELINE, true);
            if !connection.exchange(world, &batch, &mut traffic) {
                break;
            }
            thread::sleep(pause);
        }
    }
}

pub fn connect(port: u16, number: u8) -> TcpStream {
    let stream = connect_from(Ipv4Addr::new(127, 0, 1, number), port).expect("the gateway listens");
    stream.set_read_timeout(Some(LONGEST_WAIT)).expect("a timeout");
    stream
}

/// Whether Envoy may close a connection that was opened then: its listener was replaced, and the time to drain is over.
pub fn may_be_cut(world: &World, attempt: &Attempt) -> bool {
    let generations = world.generations(Via::Listener).lock().expect("no panic");
    let drained = |accepted: Moment| {
        accepted + Duration::from_secs(1) >= attempt.opened
            && world.now() + Duration::from_secs(1) >= accepted.saturating_add(DRAIN)
    };
    attempt.via == Via::Listener && generations.iter().any(|generation| drained(generation.accepted))
}

struct Connection {
    reader: MessageReader<TcpStream>,
    /// The last request had a body and was rejected: when Envoy had not read all of the body, it closes the connection
    /// after the response, without saying so in it.
    has_early_response: bool,
    /// The last response of the pipeline was Envoy's own: while responses wait to be written, Envoy may close the
    /// connection at the next request of the pipeline.
    has_queue: bool,
    /// The responses so far, for people.
    responses: String,
}

impl Connection {
    /// Sends a batch and reads the responses; whether the connection can be used again.
    fn exchange(&mut self, world: &World, batch: &Batch, traffic: &mut Traffic) -> bool {
        self.has_queue = false;
        let mut bytes: Vec<u8> = batch.attempts.iter().flat_map(|attempt| attempt.http1_bytes()).collect();
        if batch.patience == ClientBehavior::LeavesEarly {
            bytes.truncate(bytes.len() - traffic.random.below(bytes.len().min(200)));
        }
        let mut stream = self.reader.stream();
        let cut = if traffic.random.once_in(4) { traffic.random.below(bytes.len()) } else { 0 };
        let written = stream.write_all(&bytes[..cut]).and_then(|()| {
            if cut > 0 {
                thread::sleep(Duration::from_millis(5));
            }
            stream.write_all(&bytes[cut..])
        });
        if batch.patience != ClientBehavior::Waits {
            let _ = stream.shutdown(Shutdown::Both);
            batch.attempts.iter().for_each(|attempt| world.report.count(attempt.kind, "client left".to_owned()));
            return false;
        }
        // A rejected request may have closed the connection before all was written: the responses count.
        let is_broken = written.is_err();
        for (place, attempt) in batch.attempts.iter().enumerate() {
            let response = match self.reader.read_response(attempt.draft.method) {
                Ok(response) => response,
                Err(fault) => {
                    self.fail(world, &batch.attempts[place..], &fault, is_broken);
                    return false;
                }
            };
            let id = response.header("x-request-id");
            if id.as_ref().is_some_and(|id| *id != attempt.id) || (id.is_none() && !attempt.is_oversized) {
                let detail = format!("{}\n      the response is of {id:?}: {}", attempt.described(), response.text());
                world.report.violate("a response out of order".to_owned(), &attempt.id, detail);
            }
            self.has_queue = attempt.reached.load(Ordering::SeqCst) == 0;
            self.responses.push_str(&format!(
                " {}:{}:{}:{}",
                attempt.id,
                attempt.draft.method,
                response.status,
                attempt.reached.load(Ordering::SeqCst)
            ));
            self.has_early_response = attempt.draft.body.is_some() && response.status >= 400;
            let closes = response.headers("connection").iter().any(|value| value.eq_ignore_ascii_case("close"));
            let has_retry_after = response.header("retry-after").is_some();
            world.check_response(attempt, &Seen { status: response.status, has_retry_after, body: response.body });
            world.forget(&attempt.id);
            if closes {
                // The server does not process what was sent after this request (RFC 9112, section 9.6).
                batch.attempts[place + 1..].iter().for_each(|attempt| world.check_unread(attempt));
                return false;
            }
        }
        true
    }

    fn fail(&self, world: &World, left: &[Arc<Attempt>], fault: &io::Error, is_broken: bool) {
        let Some(first) = left.first() else { return };
        let has_timed_out = matches!(fault.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
        let is_excused = !has_timed_out
            && (may_be_cut(world, first) || first.is_oversized || self.has_early_response || self.has_queue);
        if is_excused {
            for attempt in left {
                world.report.count(attempt.kind, "connection drained".to_owned());
            }
            return;
        }
        let why = if has_timed_out { format!("none within {LONGEST_WAIT:?}") } else { fault.to_string() };
        world.check_silence(
            first,
            &format!(
                "{why}, {} requests of the pipeline left, writing failed: {is_broken}; responses on this connection:{}",
                left.len(),
                self.responses
            ),
        );
    }
}
