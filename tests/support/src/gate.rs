//! A TCP proxy in front of another port, whose behaviour a test switches while it runs: so that a key server can
//! become slow, die and come back. It does not parse the bytes.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// What a gate does with connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Carries bytes both ways.
    Pass,
    /// Accepts and stays silent; nothing more is carried on open connections either, until the mode changes.
    Hold,
    /// Closes open connections and every new one at once.
    Refuse,
}

/// A running gate. Dropping it closes everything.
pub struct Gate {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    target: u16,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    mode: Mode,
    /// The gate is gone: `Refuse`, and no longer listening.
    dropped: bool,
    accepted: usize,
    /// Both ends of what is open, to close them from outside.
    open: HashMap<usize, Vec<TcpStream>>,
}

impl Gate {
    /// Opens a gate to 127.0.0.1:`target`, passing at first.
    pub fn in_front_of(target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("a bound socket").port();
        let state = State { mode: Mode::Pass, dropped: false, accepted: 0, open: HashMap::new() };
        let shared = Arc::new(Shared { target, state: Mutex::new(state), changed: Condvar::new() });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &accepting));
        Self { port, shared }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Behaves like this from now on.
    pub fn set(&self, mode: Mode) {
        let mut state = self.shared.state.lock().expect("no panic");
        state.mode = mode;
        if mode == Mode::Refuse {
            state.close_all();
        }
        self.shared.changed.notify_all();
    }

    /// How many connections came, refused ones included.
    pub fn accepted(&self) -> usize {
        self.shared.state.lock().expect("no panic").accepted
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.set(Mode::Refuse);
        self.shared.state.lock().expect("no panic").dropped = true;
        // Wakes the accepting thread.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for (id, client) in listener.incoming().enumerate() {
        let Ok(client) = client else { continue };
        {
            let mut state = shared.state.lock().expect("no panic");
            if state.dropped {
                return;
            }
            state.accepted += 1;
            state.register(id, &client);
        }
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            carry_connection(id, client, &shared);
            shared.state.lock().expect("no panic").open.remove(&id);
        });
    }
}

fn carry_connection(id: usize, client: TcpStream, shared: &Arc<Shared>) {
    if !shared.may_pass() {
        return;
    }
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, shared.target)) else {
        return;
    };
    shared.state.lock().expect("no panic").register(id, &server);
    let (Ok(client_too), Ok(server_too)) = (client.try_clone(), server.try_clone()) else {
        return;
    };
    let answering = Arc::clone(shared);
    let answers = thread::spawn(move || carry(server_too, client_too, &answering));
    carry(client, server, shared);
    let _ = answers.join();
}

/// One direction, until either end closes or the gate is shut.
fn carry(mut from: TcpStream, mut to: TcpStream, shared: &Shared) {
    let mut piece = [0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut piece) {
        if !shared.may_pass() || to.write_all(&piece[..length]).is_err() {
            let _ = from.shutdown(Shutdown::Both);
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

impl Shared {
    /// Waits while the gate holds; `false` once it refuses.
    fn may_pass(&self) -> bool {
        let state = self.state.lock().expect("no panic");
        let state = self.changed.wait_while(state, |state| state.mode == Mode::Hold).expect("no panic");
        state.mode == Mode::Pass
    }
}

impl State {
    fn register(&mut self, id: usize, stream: &TcpStream) {
        if let Ok(for_shutdown) = stream.try_clone() {
            self.open.entry(id).or_default().push(for_shutdown);
        }
    }

    fn close_all(&mut self) {
        for stream in self.open.drain().flat_map(|(_, streams)| streams) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use super::*;
    use crate::backend::Backend;
    use crate::client::{Connection, Request};

    const SHORT: Duration = Duration::from_millis(100);
    const LONG: Duration = Duration::from_secs(10);

    fn times_out(connection: &mut Connection) -> bool {
        connection.set_read_timeout(SHORT).unwrap();
        let fault = connection.read_response().expect_err("nothing to read");
        connection.set_read_timeout(LONG).unwrap();
        matches!(fault.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
    }

    #[test]
    fn gate_is_open_at_start_and_counts_connections() {
        let backend = Backend::start();
        let gate = Gate::in_front_of(backend.port());
        assert_eq!(Request::get("/").send(gate.port()).status, 200);
        assert_eq!(Request::get("/").send(gate.port()).status, 200);
        assert_eq!(gate.accepted(), 2);
    }

    #[test]
    fn held_new_connections_are_served_once_the_gate_is_open() {
        let backend = Backend::start();
        let gate = Gate::in_front_of(backend.port());
        gate.set(Mode::Hold);
        let mut held = Connection::open(gate.port()).unwrap();
        held.send(&Request::get("/held")).unwrap();
        assert!(times_out(&mut held));
        assert_eq!(backend.count(), 0);

        gate.set(Mode::Pass);

        assert_eq!(held.read_response().unwrap().json()["path"], "/held");
    }

    #[test]
    fn open_connections_are_held() {
        let backend = Backend::start();
        let gate = Gate::in_front_of(backend.port());
        let mut open = Connection::open(gate.port()).unwrap();
        open.send(&Request::get("/")).unwrap();
        open.read_response().unwrap();

        gate.set(Mode::Hold);
        open.send(&Request::get("/held")).unwrap();
        assert!(times_out(&mut open));
        assert_eq!(backend.count(), 1);

        gate.set(Mode::Pass);
        assert_eq!(open.read_response().unwrap().status, 200);
    }

    #[test]
    fn new_open_and_held_connections_are_closed() {
        let backend = Backend::start();
        let gate = Gate::in_front_of(backend.port());
        let mut open = Connection::open(gate.port()).unwrap();
        open.send(&Request::get("/")).unwrap();
        open.read_response().unwrap();
        gate.set(Mode::Hold);
        let mut held = Connection::open(gate.port()).unwrap();
        held.send(&Request::get("/")).unwrap();
        assert!(times_out(&mut held));

        gate.set(Mode::Refuse);

        assert!(open.read_response().is_err());
        assert!(held.read_response().is_err());
        assert!(Request::get("/").try_send(gate.port()).is_err());
        assert_eq!(backend.count(), 1);

        gate.set(Mode::Pass);
        assert_eq!(Request::get("/").send(gate.port()).status, 200);
    }
}
