//! The callouts under way: begun by the root (the SDK drops the answer to a request's own callout once
//! that request is gone), what each is for, and what their answers mean.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType, Status};

use crate::engine::{
    CallFault, CallId, CallOutcome, CalloutAddress, Fetch, FetchFault, FetchId, FetchOutcome, MAX_ANSWER_BYTES,
    MAX_CALL_ANSWER_BYTES, MAX_POLL_ANSWER_BYTES, PollNumber, PollOutcome, RateLimitFields,
};
use crate::host::shared_calls::HeldLease;

/// What a callout is made for.
#[derive(Debug)]
pub(super) enum Errand {
    /// A provider's keys.
    Keys(FetchId),
    /// What an issuer says of a token, or where it says so; with our lease, where that is shared.
    Inquiry(CallId, Option<HeldLease>),
    /// The list of revoked tokens.
    Revocations(PollNumber),
}

/// A request to send. Never shown: tokens and secrets are in it.
#[derive(Clone, Copy)]
pub(super) struct Outgoing<'a> {
    pub(super) address: &'a CalloutAddress,
    pub(super) timeout: Duration,
    pub(super) method: &'static str,
    /// Beside those that every request has.
    pub(super) headers: &'a [(&'static str, &'a str)],
    pub(super) body: Option<&'a [u8]>,
}

/// Why there is no answer, as far as the host tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    UpstreamUnknown,
    UpstreamUnavailable,
    ConnectionFailed,
    ConnectionClosed,
    TimedOut,
    Incomplete,
}

/// Which callout is on which errand.
#[derive(Debug, Default)]
pub(super) struct Callouts(RefCell<HashMap<u32, Errand>>);

impl Callouts {
    /// Begins a fetch; with an outcome, it ended at once.
    pub(super) fn begin(&self, fetch: &Fetch) -> Option<FetchOutcome> {
        let (address, timeout) = (&fetch.keys.address, fetch.keys.timeout);
        let request = Outgoing { address, timeout, method: "GET", headers: &[], body: None };
        match self.send(request, || Errand::Keys(fetch.id)) {
            Ok(()) => None,
            Err(trouble) => Some(FetchOutcome::Failed(trouble.into())),
        }
    }

    /// Sends a request on its errand.
    pub(super) fn send(&self, request: Outgoing<'_>, errand: impl FnOnce() -> Errand) -> Result<(), Trouble> {
        let Outgoing { address, timeout, method, headers, body } = request;
        let mut fields = vec![
            (":method", method),
            (":scheme", address.scheme.as_str()),
            (":authority", address.authority.as_str()),
            (":path", address.path.as_str()),
            ("accept", "application/json"),
        ];
        fields.extend(address.headers.fields());
        fields.extend(headers);
        match hostcalls::dispatch_http_call(&address.upstream, fields, body, Vec::new(), timeout) {
            Ok(token) => {
                self.0.borrow_mut().insert(token, errand());
                Ok(())
            }
            Err(Status::BadArgument) => Err(Trouble::UpstreamUnknown),
            Err(_) => Err(Trouble::UpstreamUnavailable),
        }
    }

    /// Forgets all that are under way: those of a configuration that was replaced or taken away. The next one numbers its
    /// providers, fetches and calls anew, so an old answer would bring the keys of another issuer. Nobody is kept
    /// from asking by a call whose answer is not wanted.
    pub(super) fn forget(&self) {
        for errand in self.0.take().into_values() {
            if let Errand::Inquiry(_, Some(lease)) = errand {
                lease.give_back();
            }
        }
    }

    /// The errand that a callout was on; once.
    pub(super) fn take(&self, token: u32) -> Option<Errand> {
        self.0.borrow_mut().remove(&token)
    }
}

/// Reads the answer in hand as that to a fetch of keys.
pub(super) fn read_keys(header_count: usize, body_size: usize) -> FetchOutcome {
    if header_count > 0 && body_size > MAX_ANSWER_BYTES {
        return FetchOutcome::Failed(FetchFault::TooLarge);
    }
    match read(header_count, body_size, MAX_ANSWER_BYTES) {
        Ok((status, body)) => FetchOutcome::Response { status, cache_control: header("cache-control"), body },
        Err(trouble) => FetchOutcome::Failed(trouble.into()),
    }
}

/// Reads the answer in hand as that to an introspection call.
pub(super) fn read_inquiry(header_count: usize, body_size: usize) -> CallOutcome {
    match read(header_count, body_size, MAX_CALL_ANSWER_BYTES) {
        Ok((status, body)) => CallOutcome::Response {
            status,
            retry_after: header("retry-after"),
            rate_limit: RateLimitFields {
                limit: header("x-rate-limit-limit"),
                remaining: header("x-rate-limit-remaining"),
                reset: header("x-rate-limit-reset"),
            },
            body,
        },
        Err(trouble) => CallOutcome::Failed(trouble.into()),
    }
}

/// Reads the answer in hand as that to a poll.
pub(super) fn read_poll(header_count: usize, body_size: usize) -> PollOutcome {
    match read(header_count, body_size, MAX_POLL_ANSWER_BYTES) {
        Ok((status, body)) => PollOutcome::Response { status, etag: header("etag"), body },
        Err(trouble) => PollOutcome::Failed(trouble.into()),
    }
}

/// Status and body of the answer in hand; of one that is longer than `most`, one byte more than that, so that it is
/// seen to be too long whatever its status. Without headers there is no answer: then the host's maps and buffers are
/// absent and must not be asked for.
fn read(header_count: usize, body_size: usize, most: usize) -> Result<(u16, Vec<u8>), Trouble> {
    if header_count == 0 {
        return Err(Trouble::Incomplete);
    }
    let status = header(":status").and_then(|status| status.parse().ok()).unwrap_or(0);
    let body = match body_size.min(most.saturating_add(1)) {
        0 => Vec::new(),
        size => hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, size).ok().flatten().unwrap_or_default(),
    };
    // What the host answers in the upstream's place lacks the header that it adds to real answers.
    let is_synthetic = header("x-envoy-upstream-service-time").is_none();
    match status {
        504 if is_synthetic => Err(Trouble::TimedOut),
        503 if is_synthetic && says_closed(&body) => Err(Trouble::ConnectionClosed),
        503 if is_synthetic => Err(Trouble::ConnectionFailed),
        _ => Ok((status, body)),
    }
}

fn header(name: &str) -> Option<String> {
    let value = hostcalls::get_map_value_bytes(MapType::HttpCallResponseHeaders, name).ok().flatten()?;
    String::from_utf8(value).ok()
}

/// Envoy's text for a connection that came about and was closed; for one that did not, whether TLS or the
/// address was the trouble, it has another and always the same.
fn says_closed(body: &[u8]) -> bool {
    String::from_utf8_lossy(body).contains("connection termination")
}

impl From<Trouble> for FetchFault {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::UpstreamUnknown => Self::UpstreamUnknown,
            Trouble::UpstreamUnavailable => Self::UpstreamUnavailable,
            Trouble::ConnectionFailed => Self::ConnectionFailed,
            Trouble::ConnectionClosed => Self::ConnectionClosed,
            Trouble::TimedOut => Self::TimedOut,
            Trouble::Incomplete => Self::Incomplete,
        }
    }
}

impl From<Trouble> for CallFault {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::UpstreamUnknown => Self::UpstreamUnknown,
            Trouble::UpstreamUnavailable => Self::UpstreamUnavailable,
            Trouble::ConnectionFailed => Self::ConnectionFailed,
            Trouble::ConnectionClosed => Self::ConnectionClosed,
            Trouble::TimedOut => Self::TimedOut,
            Trouble::Incomplete => Self::Incomplete,
        }
    }
}
