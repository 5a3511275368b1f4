//! The HTTP/1.1 client of the tests: a request is any bytes that the test chooses, malformed ones included.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::net::{self, AddressFamily, SocketType};

use crate::http1::{MessageReader, Response};
use crate::open_files;

const TIMEOUT: Duration = Duration::from_secs(30);
const SMALL_STACK: usize = 128 * 1024;
const DEFAULT_HOST: &[u8] = b"api.acme.com";

/// A request to be sent. `Host` is added unless the request brings one.
#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    target: Vec<u8>,
    header_lines: Vec<Vec<u8>>,
    body: Body,
}

#[derive(Clone, Debug)]
enum Body {
    None,
    WithLength(Vec<u8>),
    Chunked { chunks: Vec<Vec<u8>>, trailers: Vec<Vec<u8>> },
}

impl Request {
    /// A request with any method and target.
    pub fn new(method: &str, target: impl AsRef<[u8]>) -> Self {
        let target = target.as_ref().to_vec();
        Self { method: method.to_owned(), target, header_lines: Vec::new(), body: Body::None }
    }

    /// A GET.
    pub fn get(target: impl AsRef<[u8]>) -> Self {
        Self::new("GET", target)
    }

    /// A POST, without a body until one is given.
    pub fn post(target: impl AsRef<[u8]>) -> Self {
        Self::new("POST", target)
    }

    /// The method.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// Adds a header field; a second one of the same name is sent as a second line.
    pub fn header(self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.raw_header_line(field_line(name, value))
    }

    /// Adds a header line as it is; the line end is added.
    pub fn raw_header_line(mut self, line: impl AsRef<[u8]>) -> Self {
        self.header_lines.push(line.as_ref().to_vec());
        self
    }

    /// Adds `Authorization: Bearer <token>`.
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// A body with a content length.
    pub fn body(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.body = Body::WithLength(bytes.as_ref().to_vec());
        self
    }

    /// A chunked body; an empty chunk would end it, so there must be none.
    pub fn chunked(mut self, chunks: &[&[u8]]) -> Self {
        self.body = Body::Chunked { chunks: chunks.iter().map(|chunk| chunk.to_vec()).collect(), trailers: Vec::new() };
        self
    }

    /// Adds a trailer field to a chunked body.
    ///
    /// # Panics
    /// When the body is not chunked.
    pub fn trailer(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        let Body::Chunked { trailers, .. } = &mut self.body else { panic!("only a chunked body has trailers") };
        trailers.push(field_line(name, value));
        self
    }

    /// Everything up to and including the empty line after the header.
    pub fn head(&self) -> Vec<u8> {
        let mut head = [self.method.as_bytes(), b" ", &self.target, b" HTTP/1.1\r\n"].concat();
        let mut add = |line: &[u8]| {
            head.extend_from_slice(line);
            head.extend_from_slice(b"\r\n");
        };
        let brings_host = |line: &Vec<u8>| line.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"host:"));
        if !self.header_lines.iter().any(brings_host) {
            add(&field_line("host", DEFAULT_HOST));
        }
        self.header_lines.iter().for_each(|line| add(line));
        match &self.body {
            Body::None => {}
            Body::WithLength(bytes) => add(&field_line("content-length", bytes.len().to_string())),
            Body::Chunked { .. } => add(b"transfer-encoding: chunked"),
        }
        add(b"");
        head
    }

    /// The whole request as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.head();
        match &self.body {
            Body::None => {}
            Body::WithLength(body) => bytes.extend_from_slice(body),
            Body::Chunked { chunks, trailers } => {
                for chunk in chunks {
                    bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    bytes.extend_from_slice(chunk);
                    bytes.extend_from_slice(b"\r\n");
                }
                bytes.extend_from_slice(b"0\r\n");
                for line in trailers {
                    bytes.extend_from_slice(line);
                    bytes.extend_from_slice(b"\r\n");
                }
                bytes.extend_from_slice(b"\r\n");
            }
        }
        bytes
    }

    /// Sends it to 127.0.0.1:`port` on a connection of its own.
    ///
    /// # Panics
    /// When there is no whole response.
    pub fn send(&self, port: u16) -> Response {
        self.try_send(port).unwrap_or_else(|fault| panic!("no response from port {port}: {fault}"))
    }

    /// Sends it on a connection of its own; an error if there is no whole response.
    pub fn try_send(&self, port: u16) -> io::Result<Response> {
        let mut connection = Connection::open(port)?;
        connection.send(self)?;
        connection.read_response()
    }
}

/// A connection on which the test writes what it likes. Dropping it is the client leaving.
pub struct Connection {
    reader: MessageReader<TcpStream>,
    request_method: String,
}

impl Connection {
    /// Connects to 127.0.0.1:`port`. Reads and writes fail after 30 seconds.
    pub fn open(port: u16) -> io::Result<Self> {
        Self::over(TcpStream::connect((Ipv4Addr::LOCALHOST, port))?)
    }

    /// On a stream that is connected, with the same limits.
    pub fn over(stream: TcpStream) -> io::Result<Self> {
        limit(&stream)?;
        Ok(Self { reader: MessageReader::new(stream), request_method: "GET".to_owned() })
    }

    /// How long a read may last from now on.
    pub fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.reader.stream().set_read_timeout(Some(timeout))
    }

    /// Writes bytes, for instance [`Request::head`] and then pieces of a body.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.stream().write_all(bytes)
    }

    /// Writes a whole request.
    pub fn send(&mut self, request: &Request) -> io::Result<()> {
        request.method.clone_into(&mut self.request_method);
        // A refusal may arrive, and the connection be closed, before a long body is written: the answer counts.
        match self.write(&request.to_bytes()) {
            Err(fault) if matches!(fault.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => Ok(()),
            written => written,
        }
    }

    /// Reads the next response. The connection can be used again afterwards.
    pub fn read_response(&mut self) -> io::Result<Response> {
        self.reader.read_response(&self.request_method)
    }
}

/// Connects to 127.0.0.1:`port` from another address of this machine, such as 127.0.0.2. Reads and writes fail after
/// 30 seconds.
pub fn connect_from(address: Ipv4Addr, port: u16) -> io::Result<TcpStream> {
    let socket = net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
    net::bind(&socket, &SocketAddrV4::new(address, 0))?;
    net::connect(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))?;
    let stream = TcpStream::from(socket);
    limit(&stream)?;
    Ok(stream)
}

fn limit(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))
}

/// Sends the requests over `concurrency` connections at a time. Those of the first round are all connected before
/// the first byte is sent, so with `concurrency` at least `requests.len()` every request is in flight at once.
/// The results are in the order of the requests.
pub fn send_many(port: u16, requests: &[Request], concurrency: usize) -> Vec<io::Result<Response>> {
    open_files::raise_limit();
    let senders = concurrency.clamp(1, requests.len().max(1));
    let all_connected = Barrier::new(senders);
    let next = AtomicUsize::new(senders);
    let send_until_done = |first: usize| {
        let mut first_connection = Some(Connection::open(port));
        all_connected.wait();
        let mut results = Vec::new();
        let mut index = first;
        while let Some(request) = requests.get(index) {
            let connection = first_connection.take().unwrap_or_else(|| Connection::open(port));
            let result = connection.and_then(|mut connection| {
                connection.send(request)?;
                connection.read_response()
            });
            results.push((index, result));
            index = next.fetch_add(1, Ordering::Relaxed);
        }
        results
    };
    let send_until_done = &send_until_done;
    let mut results: Vec<_> = thread::scope(|scope| {
        let spawn = |first| {
            let builder = thread::Builder::new().stack_size(SMALL_STACK);
            builder.spawn_scoped(scope, move || send_until_done(first)).expect("a thread")
        };
        let senders: Vec<_> = (0..senders).map(spawn).collect();
        senders.into_iter().flat_map(|sender| sender.join().expect("no panic")).collect()
    });
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

/// `text` as it may stand in a query or a form.
pub fn percent_encoded(text: &str) -> String {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if unreserved(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn field_line(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
    [name.as_ref(), b": ", value.as_ref()].concat()
}
