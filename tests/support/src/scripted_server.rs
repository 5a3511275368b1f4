//! An HTTP/1.1 server whose every response is scripted by the test, misbehaviour included. It stands for a faulty key or
//! introspection endpoint; the backend is built on it too.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use serde_json::Value;

use crate::http1::{MessageReader, Received};
use crate::open_files;

const SMALL_STACK: usize = 256 * 1024;
const BACKLOG: i32 = 4096;

/// What the server does with one request.
#[derive(Clone, Debug)]
pub enum Script {
    /// Answers.
    Respond(ScriptedResponse),
    /// Answers after a while.
    Slow {
        /// How long it waits.
        delay: Duration,
        /// What it says then.
        answer: ScriptedResponse,
    },
    /// Sends these bytes and closes.
    Raw(Vec<u8>),
    /// Resets the connection.
    Reset,
    /// Says nothing until the peer gives up.
    Silent,
}

/// A well-formed response; the content length is added.
#[derive(Clone, Debug)]
pub struct ScriptedResponse {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl ScriptedResponse {
    /// A status and a body.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    /// A status and a JSON body with its content type.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::new(status, body.to_string()).header("content-type", "application/json")
    }

    /// Adds a header field.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    fn to_bytes(&self, request_method: &str) -> Vec<u8> {
        let mut bytes = format!("HTTP/1.1 {} Scripted\r\n", self.status).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", self.body.len()).as_bytes());
        if request_method != "HEAD" {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}

impl From<ScriptedResponse> for Script {
    fn from(answer: ScriptedResponse) -> Self {
        Self::Respond(answer)
    }
}

/// The running server. Dropping it closes everything.
pub struct ScriptedServer {
    port: u16,
    shared: Arc<Shared>,
}

type ScriptFor = dyn Fn(&Received, usize) -> Script + Send + Sync;
type OnHead = dyn Fn(&Received) + Send + Sync;

struct Shared {
    on_head: Box<OnHead>,
    script: Box<ScriptFor>,
    requests: Mutex<Vec<Received>>,
    seen_per_path: Mutex<HashMap<String, usize>>,
    connections: Mutex<HashMap<usize, TcpStream>>,
    stopped: AtomicBool,
}

impl ScriptedServer {
    /// Starts on a free port. `script` gets each request and how many with the same path came before it.
    pub fn start(script: impl Fn(&Received, usize) -> Script + Send + Sync + 'static) -> Self {
        Self::start_observing_heads(|_| {}, script)
    }

    /// The same; `on_head` gets each request as soon as its head was read, whether its body ever arrives or not.
    pub fn start_observing_heads(
        on_head: impl Fn(&Received) + Send + Sync + 'static,
        script: impl Fn(&Received, usize) -> Script + Send + Sync + 'static,
    ) -> Self {
        open_files::raise_limit();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        // A burst of a thousand connections does not fit the standard library's backlog of 128.
        rustix::net::listen(&listener, BACKLOG).expect("a longer backlog");
        let port = listener.local_addr().expect("a bound socket").port();
        let shared = Arc::new(Shared {
            on_head: Box::new(on_head),
            script: Box::new(script),
            requests: Mutex::default(),
            seen_per_path: Mutex::default(),
            connections: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &accepting));
        Self { port, shared }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Every request so far, in the order they were read.
    pub fn requests(&self) -> Vec<Received> {
        self.shared.requests.lock().expect("no panic").clone()
    }

    /// How many requests came.
    pub fn count(&self) -> usize {
        self.shared.requests.lock().expect("no panic").len()
    }

    /// How many requests came for `path`.
    pub fn count_for(&self, path: &str) -> usize {
        self.shared.seen_per_path.lock().expect("no panic").get(path).copied().unwrap_or(0)
    }

    /// How many connections are open.
    pub fn open_connections(&self) -> usize {
        self.shared.connections.lock().expect("no panic").len()
    }

    /// Forgets the requests so far; the script counts from 0 again.
    pub fn clear(&self) {
        self.shared.requests.lock().expect("no panic").clear();
        self.shared.seen_per_path.lock().expect("no panic").clear();
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, which closes the rest.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for (id, stream) in listener.incoming().enumerate() {
        if shared.stopped.load(Ordering::SeqCst) {
            break;
        }
        let Ok(stream) = stream else { continue };
        let Ok(for_shutdown) = stream.try_clone() else {
            continue;
        };
        shared.connections.lock().expect("no panic").insert(id, for_shutdown);
        let shared = Arc::clone(shared);
        let serve = move || {
            // An error here is the peer's doing; the test sees it at the other end.
            let _ = serve_connection(&stream, &shared);
            shared.connections.lock().expect("no panic").remove(&id);
        };
        thread::Builder::new().stack_size(SMALL_STACK).spawn(serve).expect("a thread");
    }
    for stream in shared.connections.lock().expect("no panic").values() {
        let _ = stream.shutdown(Shutdown::Both);
    }
}

fn serve_connection(mut stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = MessageReader::new(stream);
    while let Some(head) = reader.read_request_head()? {
        (shared.on_head)(&head);
        let received = reader.read_request_body(head)?;
        let method = received.method.clone();
        match shared.script_for(received) {
            Script::Respond(answer) => stream.write_all(&answer.to_bytes(&method))?,
            Script::Slow { delay, answer } => {
                thread::sleep(delay);
                stream.write_all(&answer.to_bytes(&method))?;
            }
            Script::Raw(bytes) => return stream.write_all(&bytes),
            Script::Reset => return Ok(set_socket_linger(stream, Some(Duration::ZERO))?),
            Script::Silent => {
                while stream.read(&mut [0; 1024])? > 0 {}
                return Ok(());
            }
        }
    }
    Ok(())
}

impl Shared {
    fn script_for(&self, received: Received) -> Script {
        let seen_before = {
            let mut seen_per_path = self.seen_per_path.lock().expect("no panic");
            let seen = seen_per_path.entry(received.path.clone()).or_default();
            *seen += 1;
            *seen - 1
        };
        let script = (self.script)(&received, seen_before);
        self.requests.lock().expect("no panic").push(received);
        script
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::client::{Connection, Request};

    #[test]
    fn script_is_followed_request_by_request() {
        let server = ScriptedServer::start(|received, nth| match (received.path.as_str(), nth) {
            ("/keys", 0) => ScriptedResponse::new(503, "later").header("retry-after", "1").into(),
            ("/keys", _) => ScriptedResponse::json(200, &json!({"keys": []})).into(),
            ("/slow", _) => {
                Script::Slow { delay: Duration::from_millis(20), answer: ScriptedResponse::new(200, "slow") }
            }
            ("/short", _) => Script::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nfour".to_vec()),
            _ => Script::Reset,
        });
        let port = server.port();

        let refused = Request::get("/keys").send(port);
        assert_eq!((refused.status, refused.header("Retry-After").as_deref()), (503, Some("1")));
        assert_eq!(Request::get("/keys").send(port).json(), json!({"keys": []}));
        assert_eq!(Request::get("/slow").send(port).text(), "slow");
        assert_eq!(Request::get("/short").try_send(port).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(Request::get("/gone").try_send(port).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert_eq!((server.count(), server.count_for("/keys")), (5, 2));
    }

    #[test]
    fn a_head_is_observed_before_its_body_arrives() {
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&heads);
        let on_head = move |head: &Received| seen.lock().unwrap().push(head.path.clone());
        let server = ScriptedServer::start_observing_heads(on_head, |_, _| ScriptedResponse::new(200, "").into());
        let mut leaving = Connection::open(server.port()).unwrap();
        leaving.write(b"POST /half HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhel").unwrap();
        crate::polling::until("the head", Duration::from_secs(5), || (heads.lock().unwrap().len() == 1).then_some(()));
        drop(leaving);
        assert_eq!((heads.lock().unwrap()[0].as_str(), server.count()), ("/half", 0));
    }

    #[test]
    fn silent_server_sends_nothing_until_it_is_dropped() {
        let server = ScriptedServer::start(|_, _| Script::Silent);
        let mut connection = Connection::open(server.port()).unwrap();
        connection.send(&Request::get("/")).unwrap();
        connection.set_read_timeout(Duration::from_millis(50)).unwrap();
        assert_eq!(connection.read_response().unwrap_err().kind(), io::ErrorKind::WouldBlock);

        drop(server);

        connection.set_read_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(connection.read_response().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
