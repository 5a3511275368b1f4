//! The server of a gateway's `revocations`: one document, over TLS, with an `ETag`.

use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::http1::MessageReader;
use crate::tls::{self, Certificate};

const TAG: &str = "\"1\"";

/// A running one. Dropping it ends it.
pub struct RevocationList {
    port: u16,
    stopped: Arc<AtomicBool>,
}

impl RevocationList {
    /// Starts on a free port.
    pub fn start(document: &str, certificate: &Certificate) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("a bound socket").port();
        let stopped = Arc::new(AtomicBool::new(false));
        let (document, certificate, is_over) = (document.to_owned(), certificate.clone(), Arc::clone(&stopped));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if is_over.load(Ordering::SeqCst) {
                    break;
                }
                // An error here is the peer's doing, who sees it at the other end and asks again.
                let _ = answer(stream, &document, &certificate);
            }
        });
        Self { port, stopped }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for RevocationList {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the accepting thread.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

/// One request a connection: a gateway asks every few seconds.
fn answer(stream: TcpStream, document: &str, certificate: &Certificate) -> io::Result<()> {
    let mut stream = tls::serve(stream, certificate)?;
    let Some(received) = MessageReader::new(&mut stream).read_request()? else { return Ok(()) };
    let (status, body) = match received.headers.text("if-none-match") {
        Some(tag) if tag == TAG => ("304 Not Modified", ""),
        _ => ("200 OK", document),
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\netag: {TAG}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    )?;
    stream.conn.send_close_notify();
    stream.flush()
}
