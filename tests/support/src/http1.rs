//! HTTP/1.1 messages as they arrive on a socket, nothing normalised. Shared by the servers and the client;
//! `httparse` reads the heads, the body framing is here.

use std::io::{self, Read};

use serde_json::Value;

const MOST_HEADERS: usize = 256;
const LONGEST_HEAD: usize = 1024 * 1024;

/// Header or trailer fields in the order they came, repeated ones and bytes beyond UTF-8 included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, Vec<u8>)>);

impl Headers {
    /// The values of every field called `name`, whatever its case.
    pub fn all(&self, name: &str) -> Vec<&[u8]> {
        let same = self.0.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        same.map(|(_, value)| value.as_slice()).collect()
    }

    /// The first value of `name`.
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        self.all(name).first().copied()
    }

    /// The first value of `name` as text; what is not UTF-8 is replaced.
    pub fn text(&self, name: &str) -> Option<String> {
        self.first(name).map(|value| String::from_utf8_lossy(value).into_owned())
    }
}

impl<'b> From<&[httparse::Header<'b>]> for Headers {
    fn from(parsed: &[httparse::Header<'b>]) -> Self {
        Self(parsed.iter().map(|field| (field.name.to_owned(), field.value.to_vec())).collect())
    }
}

/// A request as a server got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The method.
    pub method: String,
    /// The request target, query included.
    pub path: String,
    /// The header fields.
    pub headers: Headers,
    /// The body, taken out of its chunks.
    pub body: Vec<u8>,
    /// The trailer fields of a chunked body.
    pub trailers: Headers,
}

/// A response as the client got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The header fields.
    pub headers: Headers,
    /// The body, taken out of its chunks.
    pub body: Vec<u8>,
}

impl Response {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|fault| panic!("{fault} in {:?}", self.text()))
    }

    /// The body as text; what is not UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The first value of a header field, as text.
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers.text(name)
    }

    /// Every value of a header field, as text.
    pub fn headers(&self, name: &str) -> Vec<String> {
        self.headers.all(name).into_iter().map(|value| String::from_utf8_lossy(value).into_owned()).collect()
    }
}

/// Reads one message after another from a stream.
pub struct MessageReader<R> {
    stream: R,
    unread: Vec<u8>,
}

impl<R: Read> MessageReader<R> {
    /// A reader at the start of a message.
    pub fn new(stream: R) -> Self {
        Self { stream, unread: Vec::new() }
    }

    /// The stream it reads from.
    pub fn stream(&self) -> &R {
        &self.stream
    }

    /// The next request with its whole body, or `None` if the peer left between requests.
    pub fn read_request(&mut self) -> io::Result<Option<Received>> {
        let Some(head) = self.read_request_head()? else {
            return Ok(None);
        };
        self.read_request_body(head).map(Some)
    }

    /// The next request up to the end of its head, or `None` if the peer left between requests. Body and trailers are
    /// empty until [`Self::read_request_body`] has read them.
    pub fn read_request_head(&mut self) -> io::Result<Option<Received>> {
        let Some(head) = self.read_head()? else {
            return Ok(None);
        };
        let mut fields = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut parsed = httparse::Request::new(&mut fields);
        parsed.parse(&head).map_err(invalid)?;
        Ok(Some(Received {
            method: parsed.method.unwrap_or_default().to_owned(),
            path: parsed.path.unwrap_or_default().to_owned(),
            headers: Headers::from(&*parsed.headers),
            body: Vec::new(),
            trailers: Headers::default(),
        }))
    }

    /// The body and the trailers of the request whose head was read last.
    pub fn read_request_body(&mut self, mut received: Received) -> io::Result<Received> {
        if is_chunked(&received.headers) {
            (received.body, received.trailers) = self.read_chunks()?;
        } else if let Some(length) = content_length(&received.headers)? {
            received.body = self.take(length)?;
        }
        Ok(received)
    }

    /// The next final response to a request with method `request_method`; interim (1xx) ones are passed over.
    pub fn read_response(&mut self, request_method: &str) -> io::Result<Response> {
        let mut response = self.read_response_head()?;
        while (100..200).contains(&response.status) {
            response = self.read_response_head()?;
        }
        if request_method == "HEAD" || matches!(response.status, 204 | 304) {
            return Ok(response);
        }
        response.body = if is_chunked(&response.headers) {
            self.read_chunks()?.0
        } else if let Some(length) = content_length(&response.headers)? {
            self.take(length)?
        } else {
            let mut rest = std::mem::take(&mut self.unread);
            self.stream.read_to_end(&mut rest)?;
            rest
        };
        Ok(response)
    }

    fn read_response_head(&mut self) -> io::Result<Response> {
        let head = self.read_head()?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut fields = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut parsed = httparse::Response::new(&mut fields);
        parsed.parse(&head).map_err(invalid)?;
        let headers = Headers::from(&*parsed.headers);
        Ok(Response { status: parsed.code.unwrap_or_default(), headers, body: Vec::new() })
    }

    fn read_head(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut searched = 0;
        loop {
            if let Some(at) = find(&self.unread, b"\r\n\r\n", searched) {
                return Ok(Some(self.unread.drain(..at + 4).collect()));
            }
            searched = self.unread.len().saturating_sub(3);
            if self.unread.len() > LONGEST_HEAD {
                return Err(invalid("a head without end"));
            }
            if !self.fill()? {
                let left_between_messages = self.unread.is_empty();
                return if left_between_messages { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    fn read_chunks(&mut self) -> io::Result<(Vec<u8>, Headers)> {
        let mut body = Vec::new();
        loop {
            let line = self.read_line()?;
            let digits = line.split(|&byte| byte == b';').next().unwrap_or_default();
            let digits = std::str::from_utf8(digits).map_err(invalid)?.trim();
            match usize::from_str_radix(digits, 16).map_err(invalid)? {
                0 => return Ok((body, self.read_trailers()?)),
                length => body.append(&mut self.take(length)?),
            }
            self.read_line()?;
        }
    }

    fn read_trailers(&mut self) -> io::Result<Headers> {
        let mut section = Vec::new();
        loop {
            let line = self.read_line()?;
            section.extend_from_slice(&line);
            section.extend_from_slice(b"\r\n");
            if line.is_empty() {
                break;
            }
        }
        let mut fields = [httparse::EMPTY_HEADER; MOST_HEADERS];
        match httparse::parse_headers(&section, &mut fields).map_err(invalid)? {
            httparse::Status::Complete((_, parsed)) => Ok(Headers::from(parsed)),
            httparse::Status::Partial => Err(invalid("broken trailers")),
        }
    }

    fn read_line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = find(&self.unread, b"\r\n", 0) {
                let mut line: Vec<u8> = self.unread.drain(..at + 2).collect();
                line.truncate(at);
                return Ok(line);
            }
            if !self.fill()? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let at_hand = length.min(self.unread.len());
        let mut bytes: Vec<u8> = self.unread.drain(..at_hand).collect();
        bytes.resize(length, 0);
        self.stream.read_exact(&mut bytes[at_hand..])?;
        Ok(bytes)
    }

    /// Reads what is there; `false` at the end of the stream.
    fn fill(&mut self) -> io::Result<bool> {
        let mut piece = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut piece) {
                // A signal came, to a profiled or suspended test run for instance; the stream is as it was.
                Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
                Err(fault) => return Err(fault),
                Ok(length) => {
                    self.unread.extend_from_slice(&piece[..length]);
                    return Ok(length > 0);
                }
            }
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8], from: usize) -> Option<usize> {
    let windows = bytes.get(from..)?.windows(wanted.len());
    windows.into_iter().position(|window| window == wanted).map(|at| from + at)
}

fn is_chunked(headers: &Headers) -> bool {
    headers.first("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case(b"chunked"))
}

fn content_length(headers: &Headers) -> io::Result<Option<usize>> {
    headers.text("content-length").map(|text| text.trim().parse().map_err(invalid)).transpose()
}

fn invalid(fault: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, fault.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every other read is interrupted, the others bring one byte.
    struct Interrupted<'b>(&'b [u8], bool);

    impl Read for Interrupted<'_> {
        fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 { Err(io::ErrorKind::Interrupted.into()) } else { self.0.read(&mut piece[..1]) }
        }
    }

    #[test]
    fn a_signal_in_the_middle_of_a_message_loses_nothing_of_it() {
        let bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
        let response = MessageReader::new(Interrupted(bytes, false)).read_response("GET").unwrap();
        assert_eq!((response.status, response.text().as_str()), (200, "hello"));
    }
}
