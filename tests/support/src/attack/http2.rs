//! A client that writes HTTP/2 frames itself, so that a request has any method, pseudo-header and field that a test wants.
//! Header blocks are literals without Huffman codes (RFC 7541 section 6.2.2). It looks at no response but for its end.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const ACK: u8 = 1;
/// The error code of a client that has lost interest (RFC 9113 section 7).
const CANCEL: [u8; 4] = 8_u32.to_be_bytes();
pub(crate) const WIDE_WINDOW: [u8; 4] = (1_u32 << 30).to_be_bytes();

/// A field of a header block.
pub type Field = (Vec<u8>, Vec<u8>);

/// One connection; a stream at a time.
pub struct Http2 {
    stream: TcpStream,
    next_stream: u32,
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With a response.
    Response,
    /// It was reset.
    Reset,
}

impl Http2 {
    /// Connects without TLS, with prior knowledge.
    pub fn open(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut connection = Self { stream, next_stream: 1 };
        let mut first = PREFACE.to_vec();
        first.extend(frame(SETTINGS, 0, 0, &[0, 4, 0x3f, 0xff, 0xff, 0xff]));
        first.extend(frame(WINDOW_UPDATE, 0, 0, &WIDE_WINDOW));
        connection.stream.write_all(&first)?;
        Ok(connection)
    }

    /// Sends a request and waits for the end of its stream. A body is a DATA frame; trailers are a second header block.
    pub fn request(&mut self, fields: &[Field], body: Option<&[u8]>, trailers: &[Field]) -> io::Result<End> {
        let id = self.next_stream;
        self.next_stream += 2;
        let ends = body.is_none() && trailers.is_empty();
        let flags = END_HEADERS | if ends { END_STREAM } else { 0 };
        let mut bytes = frame(HEADERS, flags, id, &block(fields));
        if let Some(body) = body {
            bytes.extend(frame(DATA, if trailers.is_empty() { END_STREAM } else { 0 }, id, body));
        }
        if !trailers.is_empty() {
            bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, id, &block(trailers)));
        }
        self.stream.write_all(&bytes)?;
        self.read_until_end_of(id)
    }

    /// Opens so many streams with the request that `fields` gives for each, and resets each at once, in one write.
    pub fn open_and_reset(&mut self, streams: usize, fields: impl Fn(usize) -> Vec<Field>) -> io::Result<()> {
        let mut bytes = Vec::new();
        for number in 0..streams {
            let id = self.next_stream;
            self.next_stream += 2;
            bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, id, &block(&fields(number))));
            bytes.extend(frame(RST_STREAM, 0, id, &CANCEL));
        }
        self.stream.write_all(&bytes)
    }

    /// Waits until the server has read all that was sent: it acknowledges a PING in turn.
    pub fn wait_until_read(&mut self) -> io::Result<()> {
        self.stream.write_all(&frame(PING, 0, 0, &[7; 8]))?;
        loop {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head)?;
            let [high, middle, low, kind, flags, ..] = head;
            let mut payload = vec![0; u32::from_be_bytes([0, high, middle, low]) as usize];
            self.stream.read_exact(&mut payload)?;
            match (kind, flags & ACK) {
                (PING, ACK) => return Ok(()),
                (SETTINGS, 0) => self.stream.write_all(&frame(kind, ACK, 0, &[]))?,
                (GOAWAY, _) => return Err(io::ErrorKind::ConnectionAborted.into()),
                _ => {}
            }
        }
    }

    fn read_until_end_of(&mut self, id: u32) -> io::Result<End> {
        loop {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head)?;
            let [high, middle, low, kind, flags, stream @ ..] = head;
            let mut payload = vec![0; u32::from_be_bytes([0, high, middle, low]) as usize];
            self.stream.read_exact(&mut payload)?;
            let is_ours = u32::from_be_bytes(stream) == id;
            match kind {
                SETTINGS | PING if flags & ACK == 0 => {
                    let echo: &[u8] = if kind == PING { &payload } else { &[] };
                    self.stream.write_all(&frame(kind, ACK, 0, echo))?;
                }
                GOAWAY => return Err(io::ErrorKind::ConnectionAborted.into()),
                RST_STREAM if is_ours => return Ok(End::Reset),
                HEADERS | DATA if is_ours && flags & END_STREAM != 0 => return Ok(End::Response),
                _ => {}
            }
        }
    }
}

/// One frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A header block of literals.
pub(crate) fn block(fields: &[Field]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        push_text(&mut bytes, name);
        push_text(&mut bytes, value);
    }
    bytes
}

/// A length with a prefix of seven bits (RFC 7541 section 5.1), and the text.
fn push_text(bytes: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text.len();
    if rest < 127 {
        bytes.push(rest as u8);
    } else {
        bytes.push(127);
        rest -= 127;
        while rest >= 128 {
            bytes.push((rest % 128) as u8 | 128);
            rest /= 128;
        }
        bytes.push(rest as u8);
    }
    bytes.extend(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_as_rfc_7541_has_them() {
        let mut bytes = Vec::new();
        push_text(&mut bytes, &[b'a'; 127]);
        assert_eq!(bytes[..2], [127, 0]);
        bytes.clear();
        push_text(&mut bytes, &[b'a'; 1337]);
        assert_eq!(bytes[..3], [127, 186, 9]);
    }
}
