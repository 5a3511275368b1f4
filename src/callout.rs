//! How a callout ends: with an HTTP response, or with a transport error. What the response means is its owner's business.

use std::fmt;

/// Why a callout brought no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransportError {
    /// The host knows no upstream of that name.
    UpstreamUnknown,
    /// The upstream has no usable endpoint: DNS, health checks, circuit breakers.
    UpstreamUnavailable,
    /// No connection: refused, unreachable, or TLS failed. Envoy does not distinguish these.
    ConnectionFailed,
    /// The connection was closed before a response came.
    ConnectionClosed,
    /// No response within the timeout.
    TimedOut,
    /// The response broke off, or was longer than the host buffers.
    Incomplete,
}

pub type CalloutResult = Result<HttpResponse, TransportError>;

/// What the owner of a callout reads of its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseFormat {
    /// The names of the headers, in lower case.
    pub headers: &'static [&'static str],
    /// The longest body. Of a longer one, one byte more is read, so that the owner sees that it is too long.
    pub max_bytes: usize,
}

/// An HTTP response to a callout.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpResponse {
    pub status: u16,
    headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl TransportError {
    /// The stable name of the error, for logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UpstreamUnknown => "upstream_unknown",
            Self::UpstreamUnavailable => "upstream_unavailable",
            Self::ConnectionFailed => "connection_failed",
            Self::ConnectionClosed => "connection_closed",
            Self::TimedOut => "timed_out",
            Self::Incomplete => "incomplete",
        }
    }

    /// Where to look first.
    pub const fn hint(self) -> &'static str {
        match self {
            Self::UpstreamUnknown => "the host has no upstream (cluster) of the configured name",
            Self::UpstreamUnavailable => {
                "the upstream has no endpoint: look at its DNS name, health checks and circuit breakers"
            }
            Self::ConnectionFailed => {
                "no connection to the upstream: refused, unreachable, or TLS failed (Envoy's stats of the cluster tell which: \
                 ssl.fail_verify_san, ssl.fail_verify_error, ssl.connection_error, upstream_cx_connect_fail)"
            }
            Self::ConnectionClosed => "the server closed the connection without an answer",
            Self::TimedOut => "no answer within the timeout",
            Self::Incomplete => "the answer broke off",
        }
    }
}

impl HttpResponse {
    pub const fn new(status: u16, body: Vec<u8>) -> Self {
        Self { status, headers: Vec::new(), body }
    }

    /// The same with a header, if it has a value.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: Option<impl Into<String>>) -> Self {
        self.headers.extend(value.map(|value| (name, value.into())));
        self
    }

    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }
}

impl fmt::Debug for HttpResponse {
    /// Without headers and body: they may describe a person.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "HttpResponse({}, {} bytes)", self.status, self.body.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_does_not_contain_the_body() {
        let response = HttpResponse::new(200, b"{\"sub\":\"alice\"}".to_vec()).with_header("etag", Some("alice"));
        assert_eq!(format!("{response:?}"), "HttpResponse(200, 15 bytes)");
        assert_eq!((response.header("etag"), response.header("retry-after")), (Some("alice"), None));
    }
}
