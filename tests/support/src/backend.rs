//! The backend behind Envoy: responds 200 to everything with an echo of the request, unless configured otherwise, and
//! records it, so that a test can check which requests were forwarded and with which header fields.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::http1::Received;
use crate::scripted_server::{Script, ScriptedResponse, ScriptedServer};

/// A running backend. The body of its answers is
/// `{"method", "path", "headers": [[name, value], ...], "body_length"}`.
pub struct Backend {
    server: ScriptedServer,
    behaviour: Arc<Mutex<Behaviour>>,
}

/// How it answers, other than with 200 at once.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Behaviour {
    /// The statuses of its first answers to a path; 200 follows.
    pub answers: Vec<u16>,
    /// How long each answer takes, in milliseconds.
    pub takes_ms: u64,
    /// Header fields of its answers.
    pub headers: BTreeMap<String, String>,
}

impl Backend {
    /// Starts on a free port.
    pub fn start() -> Self {
        let behaviour = Arc::new(Mutex::new(Behaviour::default()));
        let current = Arc::clone(&behaviour);
        let script = move |received: &Received, seen_before| {
            let behaviour = current.lock().expect("no panic").clone();
            behaviour.script(received, seen_before)
        };
        Self { server: ScriptedServer::start(script), behaviour }
    }

    /// Answers so from now on.
    pub fn behave(&self, behaviour: &Behaviour) {
        *self.behaviour.lock().expect("no panic") = behaviour.clone();
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// Every request forwarded to it so far.
    pub fn requests(&self) -> Vec<Received> {
        self.server.requests()
    }

    /// How many requests were forwarded to it.
    pub fn count(&self) -> usize {
        self.server.count()
    }

    /// Forgets the requests so far.
    pub fn clear(&self) {
        self.server.clear();
    }
}

impl Behaviour {
    fn script(&self, received: &Received, seen_before: usize) -> Script {
        let status = self.answers.get(seen_before).copied().unwrap_or(200);
        let answer = ScriptedResponse::json(status, &echo(received));
        let answer = self.headers.iter().fold(answer, |answer, (name, value)| answer.header(name, value));
        if self.takes_ms == 0 {
            return answer.into();
        }
        Script::Slow { delay: Duration::from_millis(self.takes_ms), answer }
    }
}

fn echo(received: &Received) -> Value {
    let text = |(name, value): &(String, Vec<u8>)| json!([name, String::from_utf8_lossy(value)]);
    json!({
        "method": received.method,
        "path": received.path,
        "headers": received.headers.0.iter().map(text).collect::<Vec<_>>(),
        "body_length": received.body.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Connection, Request, send_many};
    use crate::polling;

    #[test]
    fn sees_a_request_byte_for_byte() {
        let backend = Backend::start();
        let request = Request::post("/a?b=c").header("x-role", "one").header("X-Role", b"\xff\xfe").body("hello");

        let response = request.send(backend.port());

        assert_eq!(response.status, 200);
        assert_eq!(response.json()["path"], "/a?b=c");
        let received = backend.requests().remove(0);
        assert_eq!(received.method, "POST");
        assert_eq!(received.headers.all("x-role"), [&b"one"[..], b"\xff\xfe"]);
        assert_eq!(received.body, b"hello");
    }

    #[test]
    fn chunked_body_is_decoded_and_trailers_are_kept() {
        let backend = Backend::start();
        let request = Request::post("/").chunked(&[b"first, ", b"second"]).trailer("x-sum", "7");

        assert_eq!(request.send(backend.port()).json()["body_length"], 13);

        let received = backend.requests().remove(0);
        assert_eq!(received.body, b"first, second");
        assert_eq!(received.trailers.text("X-Sum").as_deref(), Some("7"));
    }

    #[test]
    fn sequential_requests_on_one_connection_are_served() {
        let backend = Backend::start();
        let mut connection = Connection::open(backend.port()).unwrap();
        for (method, body_is_empty) in [("GET", false), ("HEAD", true), ("GET", false)] {
            connection.send(&Request::new(method, "/")).unwrap();
            assert_eq!(connection.read_response().unwrap().body.is_empty(), body_is_empty);
        }
        backend.clear();
        assert_eq!(backend.count(), 0);
    }

    #[test]
    fn configured_failures_are_returned_in_order() {
        let backend = Backend::start();
        let headers = BTreeMap::from([("x-powered-by".to_owned(), "PHP".to_owned())]);
        backend.behave(&Behaviour { answers: vec![503, 500], takes_ms: 1, headers });
        let answers: Vec<_> = (0..3).map(|_| Request::get("/").send(backend.port())).collect();
        assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [503, 500, 200]);
        assert_eq!(answers[2].header("x-powered-by").as_deref(), Some("PHP"));
    }

    #[test]
    fn client_that_disconnects_in_mid_request_is_not_counted() {
        let backend = Backend::start();
        let mut leaving = Connection::open(backend.port()).unwrap();
        leaving.write(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhel").unwrap();
        drop(leaving);
        Request::get("/").send(backend.port());
        assert_eq!(backend.count(), 1);
    }

    #[test]
    fn a_thousand_clients_are_served_at_once() {
        let backend = Backend::start();
        let requests: Vec<_> = (0..1000).map(|n| Request::get(format!("/{n}"))).collect();

        let responses = send_many(backend.port(), &requests, requests.len());

        for (n, response) in responses.into_iter().enumerate() {
            assert_eq!(response.unwrap().json()["path"], format!("/{n}"));
        }
        polling::until("all requests counted", Duration::from_secs(5), || (backend.count() == 1000).then_some(()));
    }
}
