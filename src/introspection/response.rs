//! How a call ended -> what it says of the token, or whose fault it is that it says nothing.
//!
//! Only status 200 with a boolean `active` says anything. Everything else is undecidable (503): the endpoint's failure
//! is never the client's, and a client that is told `invalid_token` throws a good token away and logs in anew, in the
//! midst of an outage. "Not active" it is all the same, in that nothing passes by it; and of a JSON object that has no
//! boolean `active` nothing active survives either ([`Failure::ends_what_was_active`]): a server that begins to say
//! `"active": "false"` must not be outvoted by its last good answer.

use crate::callout::{HttpResponse, TransportError};
use crate::introspection::call::CallFault;
use crate::jose::{IntrospectedToken, ResponseFault};
use crate::lookup::call_limits::FailureScope;
use crate::lookup::retry_after;
use crate::unix_time::UnixTime;

/// A call that brought nothing, and what follows for the next ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) fault: CallFault,
    pub(super) scope: FailureScope,
}

/// What a response says of the token.
///
/// # Errors
/// When it says nothing.
pub(super) fn read_response(response: &HttpResponse, now: UnixTime) -> Result<IntrospectedToken, Failure> {
    let (fault, scope) = match response.status {
        200 => match IntrospectedToken::read(&response.body) {
            Ok(said) => return Ok(said),
            Err(fault) => (CallFault::Answer(fault), FailureScope::Transient),
        },
        // Who we are does not depend on the token.
        401 => (CallFault::CredentialsRefused(401), FailureScope::Endpoint),
        // What we may ask might.
        403 => (CallFault::CredentialsRefused(403), FailureScope::Transient),
        429 => (CallFault::TooManyRequests, FailureScope::RateLimited(retry_after::pause(response, now))),
        status @ (400 | 413 | 414 | 422 | 431) => (CallFault::Status(status), FailureScope::Token),
        status => (CallFault::Status(status), FailureScope::Transient),
    };
    Err(Failure { fault, scope })
}

impl Failure {
    /// A call without a response.
    pub(super) const fn without_response(fault: CallFault) -> Self {
        let scope =
            if matches!(fault, CallFault::NotSigned) { FailureScope::Endpoint } else { FailureScope::Transient };
        Self { fault, scope }
    }

    /// Whether the last active answer must not serve any more, `stale_if_error` or not.
    pub(super) const fn ends_what_was_active(self) -> bool {
        matches!(self.fault, CallFault::Answer(ResponseFault::NotAnAnswer))
    }

    /// Whether the address that the metadata gave may be an old one.
    pub(super) const fn doubts_the_address(self) -> bool {
        matches!(
            self.fault,
            CallFault::Status(404 | 405 | 410)
                | CallFault::Transport(TransportError::UpstreamUnavailable | TransportError::ConnectionFailed)
                | CallFault::Answer(_)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use wasm_bindgen_test::wasm_bindgen_test;

    const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

    fn response(status: u16, body: &[u8]) -> HttpResponse {
        HttpResponse::new(status, body.to_vec()).with_header("retry-after", (status == 429).then_some("7"))
    }

    fn failure(response: &HttpResponse) -> (&'static str, FailureScope) {
        named(read_response(response, NOW).unwrap_err())
    }

    const fn named(failure: Failure) -> (&'static str, FailureScope) {
        (failure.fault.name(), failure.scope)
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn only_a_200_with_a_boolean_says_anything() {
        let active = br#"{"active":true}"#;
        assert!(matches!(read_response(&response(200, active), NOW), Ok(IntrospectedToken::Active(_))));
        let inactive = response(200, br#"{"active":false}"#);
        assert!(matches!(read_response(&inactive, NOW), Ok(IntrospectedToken::Inactive)));
        for status in [201, 204, 206, 301, 302, 304, 404, 500, 502, 503, 504, 0, 999] {
            assert_eq!(failure(&response(status, active)), ("status", FailureScope::Transient), "{status}");
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn each_failure_says_what_it_says_of_the_next_calls() {
        let body = br#"{"active":true}"#;
        assert_eq!(failure(&response(401, body)), ("credentials_refused", FailureScope::Endpoint));
        assert_eq!(failure(&response(403, body)), ("credentials_refused", FailureScope::Transient));
        assert_eq!(
            failure(&response(429, body)),
            ("too_many_requests", FailureScope::RateLimited(Duration::from_secs(7)))
        );
        for status in [400, 413, 414, 422, 431] {
            assert_eq!(failure(&response(status, body)), ("status", FailureScope::Token), "{status}");
        }
        for (text, name) in [
            (&b"<html>"[..], "not_json"),
            (b"{\"active\":true", "not_json"),
            (br#"{"active":true,"active":true}"#, "not_json"),
            (br#"[{"active":true}]"#, "not_json"),
            (br#"{"active":"true"}"#, "not_an_introspection_answer"),
            (b"{}", "not_an_introspection_answer"),
            (&vec![b' '; 10 * 1024 * 1024], "too_large"),
        ] {
            assert_eq!(failure(&response(200, text)), (name, FailureScope::Transient), "{name}");
        }
        assert_eq!(
            named(Failure::without_response(CallFault::Transport(TransportError::TimedOut))),
            ("timed_out", FailureScope::Transient)
        );
        assert_eq!(
            named(Failure::without_response(CallFault::NotSigned)),
            ("assertion_not_signed", FailureScope::Endpoint)
        );
    }
}
