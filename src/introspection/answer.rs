//! How a call ended -> what it says of the token, or whose fault it is that it says nothing.
//!
//! Only status 200 with a boolean `active` says anything. Everything else is undecidable (503): the endpoint's failure
//! is never the client's, and a client that is told `invalid_token` throws a good token away and logs in anew, in the
//! midst of an outage. "Not active" it is all the same, in that nothing passes by it; and of a JSON object that has no
//! boolean `active` nothing active survives either ([`Failure::ends_what_was_active`]): a server that begins to say
//! `"active": "false"` must not be outvoted by its last good answer.

use std::time::Duration;

use crate::introspection::call::{CallFault, CallOutcome};
use crate::introspection::retry_after;
use crate::jose::{IntrospectedToken, ResponseFault};
use crate::unix_time::UnixTime;

/// What a call brought.
#[derive(Debug)]
pub(super) enum Reading {
    /// What the endpoint knows of the token.
    Said(IntrospectedToken),
    /// Nothing.
    Nothing(Failure),
}

/// A call that brought nothing, and what follows for the next ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) fault: CallFault,
    pub(super) sign: Sign,
}

/// What a failure says about calls for other tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// Nothing: the endpoint did not like this token. Else anybody could close the door with odd ones.
    OfTheToken,
    /// The endpoint may be failing.
    OfTrouble,
    /// It will fail for each of them.
    OfFailure,
    /// It does not want to be asked for so long.
    ToWait(Duration),
}

impl Reading {
    pub(super) fn of(outcome: &CallOutcome, now: UnixTime) -> Self {
        let (fault, sign) = match outcome {
            CallOutcome::Failed(fault @ CallFault::NotSigned) => (*fault, Sign::OfFailure),
            CallOutcome::Failed(fault) => (*fault, Sign::OfTrouble),
            CallOutcome::Response { status: 200, body, .. } => match IntrospectedToken::read(body) {
                Ok(said) => return Self::Said(said),
                Err(fault) => (CallFault::Answer(fault), Sign::OfTrouble),
            },
            // Who we are does not depend on the token.
            CallOutcome::Response { status: 401, .. } => (CallFault::CredentialsRefused(401), Sign::OfFailure),
            // What we may ask might.
            CallOutcome::Response { status: 403, .. } => (CallFault::CredentialsRefused(403), Sign::OfTrouble),
            CallOutcome::Response { status: 429, retry_after, rate_limit, .. } => {
                let pause = retry_after::pause(retry_after.as_deref(), rate_limit, now);
                (CallFault::TooManyRequests, Sign::ToWait(pause))
            }
            CallOutcome::Response { status: status @ (400 | 413 | 414 | 422 | 431), .. } => {
                (CallFault::Status(*status), Sign::OfTheToken)
            }
            CallOutcome::Response { status, .. } => (CallFault::Status(*status), Sign::OfTrouble),
        };
        Self::Nothing(Failure { fault, sign })
    }
}

impl Failure {
    /// Whether the last active answer must not serve any more, `stale_if_error` or not.
    pub(super) const fn ends_what_was_active(self) -> bool {
        matches!(self.fault, CallFault::Answer(ResponseFault::ActiveMissing))
    }

    /// Whether the address that the metadata gave may be an old one.
    pub(super) const fn doubts_the_address(self) -> bool {
        matches!(
            self.fault,
            CallFault::Status(404 | 405 | 410)
                | CallFault::UpstreamUnavailable
                | CallFault::ConnectionFailed
                | CallFault::Answer(_)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::introspection::call::RateLimitFields;
    use wasm_bindgen_test::wasm_bindgen_test;

    const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

    fn response(status: u16, body: &[u8]) -> CallOutcome {
        let retry_after = (status == 429).then(|| "7".to_owned());
        CallOutcome::Response { status, retry_after, rate_limit: RateLimitFields::default(), body: body.to_vec() }
    }

    fn failure(outcome: &CallOutcome) -> (&'static str, Sign) {
        match Reading::of(outcome, NOW) {
            Reading::Nothing(failure) => (failure.fault.name(), failure.sign),
            Reading::Said(said) => panic!("{said:?}"),
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn only_a_200_with_a_boolean_says_anything() {
        let active = br#"{"active":true}"#;
        assert!(matches!(Reading::of(&response(200, active), NOW), Reading::Said(IntrospectedToken::Active(_))));
        let inactive = response(200, br#"{"active":false}"#);
        assert!(matches!(Reading::of(&inactive, NOW), Reading::Said(IntrospectedToken::Inactive)));
        for status in [201, 204, 206, 301, 302, 304, 404, 500, 502, 503, 504, 0, 999] {
            assert_eq!(failure(&response(status, active)), ("status", Sign::OfTrouble), "{status}");
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn each_failure_says_what_it_says_of_the_next_calls() {
        let body = br#"{"active":true}"#;
        assert_eq!(failure(&response(401, body)), ("credentials_refused", Sign::OfFailure));
        assert_eq!(failure(&response(403, body)), ("credentials_refused", Sign::OfTrouble));
        assert_eq!(failure(&response(429, body)), ("too_many_requests", Sign::ToWait(Duration::from_secs(7))));
        for status in [400, 413, 414, 422, 431] {
            assert_eq!(failure(&response(status, body)), ("status", Sign::OfTheToken), "{status}");
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
            assert_eq!(failure(&response(200, text)), (name, Sign::OfTrouble), "{name}");
        }
        assert_eq!(failure(&CallOutcome::Failed(CallFault::TimedOut)), ("timed_out", Sign::OfTrouble));
        assert_eq!(failure(&CallOutcome::Failed(CallFault::NotSigned)), ("assertion_not_signed", Sign::OfFailure));
    }
}
