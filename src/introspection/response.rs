//! Reads an introspection response: what it says of the token, or what its failure says about other calls.
//!
//! Only status 200 with a boolean `active` says anything. Everything else is `Indeterminate` (503): the endpoint's failure is
//! never the client's, and a client that gets `invalid_token` discards a good token and signs in again, in the midst of an
//! outage. A JSON object without a boolean `active` also ends what was active ([`Failure::ends_active`]): a server that
//! begins to say `"active": "false"` must not be outvoted by its last good response.

use crate::callout::{HttpResponse, TransportError};
use crate::introspection::call::CallFault;
use crate::jose::{IntrospectedToken, ResponseFault};
use crate::lookup::call_limits::FailureScope;
use crate::lookup::retry_after;
use crate::unix_time::UnixTime;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) fault: CallFault,
    pub(super) scope: FailureScope,
}

/// What a response says of the token.
///
/// # Errors
/// When it is not an introspection response.
pub(super) fn read_response(response: &HttpResponse, now: UnixTime) -> Result<IntrospectedToken, Failure> {
    let (fault, scope) = match response.status {
        200 => match IntrospectedToken::read(&response.body) {
            Ok(said) => return Ok(said),
            Err(fault) => (CallFault::Response(fault), FailureScope::Transient),
        },
        // Our credentials do not depend on the token.
        401 => (CallFault::CredentialsRefused(401), FailureScope::Endpoint),
        // What they permit may.
        403 => (CallFault::CredentialsRefused(403), FailureScope::Transient),
        429 => (CallFault::TooManyRequests, FailureScope::RateLimited(retry_after::pause(response, now))),
        status @ (400 | 413 | 414 | 422 | 431) => (CallFault::Status(status), FailureScope::Token),
        status => (CallFault::Status(status), FailureScope::Transient),
    };
    Err(Failure { fault, scope })
}

impl Failure {
    pub(super) const fn without_response(fault: CallFault) -> Self {
        let scope =
            if matches!(fault, CallFault::NotSigned) { FailureScope::Endpoint } else { FailureScope::Transient };
        Self { fault, scope }
    }

    /// Whether the last active response must not serve any more, also not by `stale_if_error`.
    pub(super) const fn ends_active(self) -> bool {
        matches!(self.fault, CallFault::Response(ResponseFault::ActiveMissing))
    }

    /// Whether the discovered address may be out of date.
    pub(super) const fn may_have_moved(self) -> bool {
        matches!(
            self.fault,
            CallFault::Status(404 | 405 | 410)
                | CallFault::Transport(TransportError::UpstreamUnavailable | TransportError::ConnectionFailed)
                | CallFault::Response(_)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

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

    #[test]
    fn only_status_200_with_a_boolean_is_a_response() {
        let active = br#"{"active":true}"#;
        assert!(matches!(read_response(&response(200, active), NOW), Ok(IntrospectedToken::Active(_))));
        let inactive = response(200, br#"{"active":false}"#);
        assert!(matches!(read_response(&inactive, NOW), Ok(IntrospectedToken::Inactive)));
        for status in [201, 204, 206, 301, 302, 304, 404, 500, 502, 503, 504, 0, 999] {
            assert_eq!(failure(&response(status, active)), ("status", FailureScope::Transient), "{status}");
        }
    }

    #[test]
    fn each_failure_has_its_scope() {
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
