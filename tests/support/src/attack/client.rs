//! Sends the requests of an attack, over HTTP/1.1 or HTTP/2, byte for byte.

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use super::http2::{Field, Http2};
use super::spelling::{Protocol, Spelling};
use crate::http1::MessageReader;

const TIME_TO_RESPOND: Duration = Duration::from_secs(4);

/// The header by which Envoy chooses the backend.
pub const BACKEND: &str = "x-backend";

/// A client with a connection to each listener.
#[derive(Default)]
pub struct Client {
    http1: HashMap<u16, MessageReader<TcpStream>>,
    http2: HashMap<u16, Http2>,
}

/// The fields that each request has besides its own.
pub struct Common<'a> {
    /// The cluster of the backend.
    pub backend: &'a str,
    /// The number of the attempt.
    pub attempt: &'a str,
}

impl Client {
    /// Sends a request and waits for the end of the response; what came is of no interest. `None`: no response came, and
    /// the connection is closed. Otherwise the status, which is 0 for HTTP/2.
    pub fn send(&mut self, port: u16, spelling: &Spelling, common: &Common<'_>) -> Option<u16> {
        match spelling.protocol {
            Protocol::Http1 => self.send_http1(port, spelling, common).map_err(|_| self.http1.remove(&port)).ok(),
            Protocol::Http2 => self.send_http2(port, spelling, common).map_err(|_| self.http2.remove(&port)).ok(),
        }
    }

    fn send_http1(&mut self, port: u16, spelling: &Spelling, common: &Common<'_>) -> io::Result<u16> {
        let mut reader = match self.http1.remove(&port) {
            Some(reader) => reader,
            None => {
                let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(TIME_TO_RESPOND))?;
                MessageReader::new(stream)
            }
        };
        reader.stream().write_all(&http1_bytes(spelling, common))?;
        let method = if spelling.method.eq_ignore_ascii_case("HEAD") { "HEAD" } else { "GET" };
        let response = reader.read_response(method)?;
        if response.header("connection").is_none_or(|value| value != "close") && response.status != 400 {
            self.http1.insert(port, reader);
        }
        Ok(response.status)
    }

    fn send_http2(&mut self, port: u16, spelling: &Spelling, common: &Common<'_>) -> io::Result<u16> {
        let mut connection = match self.http2.remove(&port) {
            Some(connection) => connection,
            None => Http2::open(port)?,
        };
        let field = |name: &str, value: &[u8]| (name.as_bytes().to_vec(), value.to_vec());
        let mut fields = vec![
            field(":method", spelling.method.as_bytes()),
            field(":path", &spelling.target),
            field(":scheme", b"http"),
            field(":authority", &spelling.host),
            field(BACKEND, common.backend.as_bytes()),
            field("x-attempt", common.attempt.as_bytes()),
        ];
        let lower = |(name, value): &Field| (name.to_ascii_lowercase(), value.clone());
        fields.extend(spelling.headers.iter().map(lower));
        let trailers: Vec<Field> = spelling.trailers.iter().map(lower).collect();
        let _ = connection.request(&fields, spelling.body.as_deref(), &trailers)?;
        self.http2.insert(port, connection);
        Ok(0)
    }
}

/// The request as bytes of HTTP/1.1.
pub fn http1_bytes(spelling: &Spelling, common: &Common<'_>) -> Vec<u8> {
    let mut bytes = [spelling.method.as_bytes(), b" ", &spelling.target, b" HTTP/1.1\r\n"].concat();
    let mut line = |name: &[u8], value: &[u8]| bytes.extend([name, b": ", value, b"\r\n"].concat());
    line(b"host", &spelling.host);
    line(BACKEND.as_bytes(), common.backend.as_bytes());
    line(b"x-attempt", common.attempt.as_bytes());
    // What a server folds into the line before it falls on this one.
    line(b"accept", b"*/*");
    for (name, value) in &spelling.headers {
        line(name, value);
    }
    let is_chunked = !spelling.trailers.is_empty();
    match &spelling.body {
        Some(_) if is_chunked => line(b"transfer-encoding", b"chunked"),
        Some(body) => line(b"content-length", body.len().to_string().as_bytes()),
        None => {}
    }
    bytes.extend(b"\r\n");
    match &spelling.body {
        Some(body) if is_chunked => {
            bytes.extend(format!("{:x}\r\n", body.len()).as_bytes());
            bytes.extend(body);
            bytes.extend(b"\r\n0\r\n");
            for (name, value) in &spelling.trailers {
                bytes.extend([name, &b": "[..], value, b"\r\n"].concat());
            }
            bytes.extend(b"\r\n");
        }
        Some(body) => bytes.extend(body),
        None => {}
    }
    bytes
}
