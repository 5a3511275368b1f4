//! A client that sends several requests at once over HTTP/2. It announces that it has no dynamic table, so that header
//! blocks can be read one by one; of the fields it reads only the status and whether there is a `retry-after`.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::http1_client::{LONGEST_WAIT, connect, may_be_cut};
use super::judge::Seen;
use super::plan::Via;
use super::traffic::{Attempt, ClientBehavior, Traffic};
use super::world::World;
use crate::attack::http2::{
    ACK, DATA, END_HEADERS, END_STREAM, Field, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, WIDE_WINDOW,
    WINDOW_UPDATE, block, frame,
};

const MOST_STREAMS: usize = 8;
const CANCEL: [u8; 4] = 8_u32.to_be_bytes();
const LARGEST_FRAME: usize = 16_000;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;

/// Sends batches until the run is over.
pub fn run(world: &World, ports: [u16; 2], number: u8, pause: Duration, seed: u64) {
    let mut traffic = Traffic::new(format!("b{number}"), seed);
    while !world.is_over() {
        let via = if traffic.random.once_in(2) { Via::Listener } else { Via::Extension };
        let opened = world.now();
        let mut connection = Connection::open(ports[via as usize], number).expect("the gateway listens");
        for _ in 0..1 + traffic.random.below(12) {
            if world.is_over() {
                return;
            }
            let batch = traffic.batch(world, via, opened, MOST_STREAMS, false);
            let attempts = batch.attempts.iter().map(Arc::clone).collect();
            if !connection.exchange(world, attempts, batch.patience) {
                break;
            }
            thread::sleep(pause);
        }
    }
}

/// A connection with prior knowledge.
pub struct Connection {
    stream: TcpStream,
    next_stream: u32,
    is_draining: bool,
}

#[derive(Default)]
struct Response {
    status: u16,
    has_retry_after: bool,
    body: Vec<u8>,
}

impl Connection {
    pub fn open(port: u16, number: u8) -> io::Result<Self> {
        let mut stream = connect(port, number);
        let mut first = PREFACE.to_vec();
        // No dynamic table, and a wide window.
        first.extend(frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0, 0, 4, 0x3f, 0xff, 0xff, 0xff]));
        first.extend(frame(WINDOW_UPDATE, 0, 0, &WIDE_WINDOW));
        stream.write_all(&first)?;
        Ok(Self { stream, next_stream: 1, is_draining: false })
    }

    fn start_stream(&mut self) -> u32 {
        self.next_stream += 2;
        self.next_stream - 2
    }

    /// Sends requests whose streams are reset at once.
    pub fn send_and_reset(&mut self, requests: &[Vec<Field>]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for fields in requests {
            let id = self.start_stream();
            bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, id, &block(fields)));
            bytes.extend(frame(RST_STREAM, 0, id, &CANCEL));
        }
        self.stream.write_all(&bytes)
    }

    /// Sends requests and reads no response.
    pub fn send(&mut self, requests: &[Vec<Field>]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for fields in requests {
            let id = self.start_stream();
            bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, id, &block(fields)));
        }
        self.stream.write_all(&bytes)
    }

    /// Ends the connection, for who reads from it too.
    pub fn close(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// The stream, to read from in another thread.
    pub fn stream(&self) -> io::Result<TcpStream> {
        self.stream.try_clone()
    }

    /// Sends a batch and reads the responses; whether the connection can be used again.
    fn exchange(&mut self, world: &World, attempts: Vec<Arc<Attempt>>, patience: ClientBehavior) -> bool {
        let mut open = HashMap::new();
        let mut bytes = Vec::new();
        let last = attempts.len() - 1;
        for (place, attempt) in attempts.into_iter().enumerate() {
            let id = self.start_stream();
            let leaves = patience != ClientBehavior::Waits && place == last;
            bytes.extend(request(id, &attempt, !leaves || patience == ClientBehavior::LeavesAtOnce));
            if leaves {
                bytes.extend(frame(RST_STREAM, 0, id, &CANCEL));
                world.report.count(attempt.kind, "client left".to_owned());
            } else {
                open.insert(id, (attempt, Response::default()));
            }
        }
        let sent = self.stream.write_all(&bytes);
        let read = sent.and_then(|()| self.read_all(world, &mut open));
        let Err(fault) = read else { return !self.is_draining };
        let has_timed_out = matches!(fault.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
        for (attempt, _) in open.values() {
            if !has_timed_out && may_be_cut(world, attempt) {
                world.report.count(attempt.kind, "connection drained".to_owned());
            } else {
                let why = if has_timed_out { format!("none within {LONGEST_WAIT:?}") } else { fault.to_string() };
                world.check_silence(attempt, &format!("{why}, {} streams left", open.len()));
            }
        }
        false
    }

    fn read_all(&mut self, world: &World, open: &mut HashMap<u32, (Arc<Attempt>, Response)>) -> io::Result<()> {
        let deadline = Instant::now() + LONGEST_WAIT;
        while !open.is_empty() {
            if Instant::now() > deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let mut head = [0; 9];
            self.stream.read_exact(&mut head)?;
            let [high, middle, low, kind, flags, stream @ ..] = head;
            let mut payload = vec![0; u32::from_be_bytes([0, high, middle, low]) as usize];
            self.stream.read_exact(&mut payload)?;
            let id = u32::from_be_bytes(stream);
            match kind {
                SETTINGS | PING if flags & ACK == 0 => {
                    let echo: &[u8] = if kind == PING { &payload } else { &[] };
                    self.stream.write_all(&frame(kind, ACK, 0, echo))?;
                }
                GOAWAY => self.is_draining = true,
                RST_STREAM => {
                    if let Some((attempt, _)) = open.remove(&id) {
                        world.check_silence(&attempt, "the stream was reset");
                    }
                }
                HEADERS | DATA => {
                    let Some((_, response)) = open.get_mut(&id) else { continue };
                    let content = without_padding(kind, flags, &payload)?;
                    if kind == DATA {
                        response.body.extend_from_slice(content);
                    } else {
                        read_block(content, response)?;
                    }
                    if flags & END_STREAM != 0
                        && let Some((attempt, Response { status, has_retry_after, body })) = open.remove(&id)
                    {
                        world.check_response(&attempt, &Seen { status, has_retry_after, body });
                        world.forget(&attempt.id);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Reads the statuses of responses until the connection ends.
pub fn read_statuses(mut stream: TcpStream, mut on_status: impl FnMut(u16)) -> io::Result<()> {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let [high, middle, low, kind, flags, ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, high, middle, low]) as usize];
        stream.read_exact(&mut payload)?;
        if kind == HEADERS {
            let mut response = Response::default();
            read_block(without_padding(kind, flags, &payload)?, &mut response)?;
            on_status(response.status);
        }
    }
}

/// The frames of a request; without the end of its stream, its last frame is left out.
fn request(id: u32, attempt: &Attempt, is_whole: bool) -> Vec<u8> {
    let field = |(name, value): (String, String)| (name.into_bytes(), value.into_bytes());
    let pseudo = [
        (":method", attempt.draft.method),
        (":path", &attempt.draft.target),
        (":scheme", "http"),
        (":authority", "api.test"),
    ];
    let pseudo = pseudo.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let fields: Vec<Field> = pseudo.into_iter().chain(attempt.fields()).map(field).collect();
    let body = attempt.draft.body.as_deref().unwrap_or_default();
    let trailers: Vec<Field> = attempt.draft.trailers.iter().cloned().map(field).collect();
    let mut frames = vec![(HEADERS, END_HEADERS, block(&fields))];
    frames.extend(body.chunks(LARGEST_FRAME).map(|chunk| (DATA, 0, chunk.to_vec())));
    if !trailers.is_empty() {
        frames.push((HEADERS, END_HEADERS, block(&trailers)));
    }
    if !is_whole && frames.len() > 1 {
        frames.pop();
    } else if let Some(last) = frames.last_mut() {
        last.1 |= END_STREAM;
    }
    frames.iter().flat_map(|(kind, flags, payload)| frame(*kind, *flags, id, payload)).collect()
}

fn without_padding(kind: u8, flags: u8, payload: &[u8]) -> io::Result<&[u8]> {
    let broken = || io::Error::from(io::ErrorKind::InvalidData);
    let (content, padding) = match payload.split_first() {
        Some((length, rest)) if flags & PADDED != 0 => (rest, usize::from(*length)),
        _ => (payload, 0),
    };
    let content = content.get(..content.len().checked_sub(padding).ok_or_else(broken)?).ok_or_else(broken)?;
    let skipped = if kind == HEADERS && flags & PRIORITY != 0 { 5 } else { 0 };
    content.get(skipped..).ok_or_else(broken)
}

/// Reads a header block (RFC 7541) for the status and `retry-after`.
fn read_block(block: &[u8], response: &mut Response) -> io::Result<()> {
    const STATUSES: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    let mut block = Block(block);
    while let Some(&first) = block.0.first() {
        if first & 0x80 != 0 {
            let index = block.integer(7)?;
            if let Some(status) = index.checked_sub(8).and_then(|place| STATUSES.get(place)) {
                response.status = *status;
            }
            response.has_retry_after |= index == 53;
        } else if first & 0xe0 == 0x20 {
            // The size of the table, which is 0.
            block.integer(5)?;
        } else {
            let index = block.integer(if first & 0xc0 == 0x40 { 6 } else { 4 })?;
            if index == 0 {
                block.string()?;
            }
            let value = block.string()?;
            // A name is written as the index of any of its entries.
            if (8..=14).contains(&index) {
                response.status = value.digits()?;
            }
            response.has_retry_after |= index == 53;
        }
    }
    Ok(())
}

struct Block<'b>(&'b [u8]);

struct Text<'b> {
    is_huffman: bool,
    bytes: &'b [u8],
}

impl<'b> Block<'b> {
    fn byte(&mut self) -> io::Result<u8> {
        let (first, rest) = self.0.split_first().ok_or(io::ErrorKind::InvalidData)?;
        self.0 = rest;
        Ok(*first)
    }

    fn integer(&mut self, prefix: u32) -> io::Result<usize> {
        let most = (1_usize << prefix) - 1;
        let mut value = usize::from(self.byte()?) & most;
        if value < most {
            return Ok(value);
        }
        for shift in (0..28).step_by(7) {
            let byte = usize::from(self.byte()?);
            value += (byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(io::ErrorKind::InvalidData.into())
    }

    fn string(&mut self) -> io::Result<Text<'b>> {
        let is_huffman = self.0.first().is_some_and(|first| first & 0x80 != 0);
        let length = self.integer(7)?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(io::ErrorKind::InvalidData)?;
        self.0 = rest;
        Ok(Text { is_huffman, bytes })
    }
}

impl Text<'_> {
    /// A number of three digits. In Huffman's code 0 to 2 have five bits, 3 to 9 six (RFC 7541, appendix B).
    fn digits(&self) -> io::Result<u16> {
        if !self.is_huffman {
            let text = std::str::from_utf8(self.bytes).map_err(|_| io::ErrorKind::InvalidData)?;
            return text.parse().map_err(|_| io::ErrorKind::InvalidData.into());
        }
        let bits: Vec<u16> =
            self.bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| u16::from(byte >> at & 1))).collect();
        let number = |bits: &[u16]| bits.iter().fold(0, |number, bit| number * 2 + bit);
        let mut rest = &bits[..];
        let mut value = 0;
        for _ in 0..3 {
            let short = number(rest.get(..5).ok_or(io::ErrorKind::InvalidData)?);
            let (digit, length) = if short <= 2 {
                (short, 5)
            } else {
                (number(rest.get(..6).ok_or(io::ErrorKind::InvalidData)?).wrapping_sub(0x19).wrapping_add(3), 6)
            };
            value = value * 10 + digit;
            rest = &rest[length..];
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_in_every_form() {
        let read = |bytes: &[u8]| {
            let mut response = Response::default();
            read_block(bytes, &mut response).expect("a block");
            (response.status, response.has_retry_after)
        };
        assert_eq!(read(&[0x88]), (200, false));
        assert_eq!(read(&[0x20, 0x8c]), (400, false));
        assert_eq!(read(&[0x08, 3, b'4', b'0', b'1']), (401, false));
        // RFC 7541, C.6.1: 302.
        assert_eq!(read(&[0x48, 0x82, 0x64, 0x02]), (302, false));
        // 503 and 431 by hand: 011011 00000 011001, and 011010 011001 00001.
        assert_eq!(read(&[0x08, 0x83, 0b0110_1100, 0b0000_1100, 0b1111_1111]), (503, false));
        assert_eq!(read(&[0x08, 0x83, 0b0110_1001, 0b1001_0000, 0b1111_1111]), (431, false));
        assert_eq!(read(&[0x88, 0x0f, 53 - 15, 1, b'1']), (200, true));
    }
}
