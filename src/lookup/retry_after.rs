//! When a server that was called too often may be called again: `Retry-After` (RFC 9110 section 10.2.3), or Okta's
//! `X-Rate-Limit-Reset`; and what Okta says of its rate limit before that happens.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::callout::HttpResponse;
use crate::civil_date::days_since_epoch;
use crate::unix_time::UnixTime;

/// A server that names no time: half of the minute in which limits are counted.
const UNSAID: Duration = Duration::from_secs(30);
const SHORTEST: Duration = Duration::from_secs(1);
/// What a mistyped or hostile field may cost at most.
pub(crate) const LONGEST: Duration = Duration::from_secs(600);

/// The limits in question are those of a minute, and clocks differ.
const LONGEST_TO_RESET: Duration = Duration::from_secs(60);
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);

/// How long to make no call.
pub(crate) fn pause(response: &HttpResponse, now: UnixTime) -> Duration {
    let retry_after = response
        .header("retry-after")
        .and_then(|field| seconds(field).map(Duration::from_secs).or_else(|| Some(date(field)?.since(now))));
    let reset = || Some(reset_of(response)?.since(now));
    retry_after.or_else(reset).unwrap_or(UNSAID).clamp(SHORTEST, LONGEST)
}

/// How many requests the server allows in a minute. Nothing that could be about another time than a minute counts, nor
/// 0, which Okta says where its limit of simultaneous requests is exceeded.
pub(crate) fn ceiling(response: &HttpResponse, now: UnixTime) -> Option<NonZeroU32> {
    let reset = reset_of(response)?;
    let is_of_a_minute =
        reset.since(now) <= LONGEST_TO_RESET.saturating_add(CLOCK_TOLERANCE) && now.since(reset) <= CLOCK_TOLERANCE;
    let limit = u32::try_from(seconds(response.header("x-rate-limit-limit")?)?).ok()?;
    NonZeroU32::new(limit).filter(|_| is_of_a_minute)
}

/// How long the server will answer 429, when this was the last request that it allows.
pub(crate) fn exhausted(response: &HttpResponse, now: UnixTime) -> Option<Duration> {
    ceiling(response, now)?;
    let wait = reset_of(response)?.since(now).min(LONGEST_TO_RESET);
    (seconds(response.header("x-rate-limit-remaining")?)? == 0 && wait > Duration::ZERO).then_some(wait.max(SHORTEST))
}

fn reset_of(response: &HttpResponse) -> Option<UnixTime> {
    Some(UnixTime::from_secs(seconds(response.header("x-rate-limit-reset")?)?))
}

/// Digits; more of them than fit mean "very long".
fn seconds(field: &str) -> Option<u64> {
    let digits = field.trim();
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`: the one form that is generated (RFC 9110 section 5.6.7). The two obsolete ones are
/// read as no time at all, and so waited for as long as if nothing was said.
fn date(field: &str) -> Option<UnixTime> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_, rest) = field.trim().split_once(", ")?;
    let mut parts = rest.split(' ');
    let day = fixed(parts.next()?, 2).filter(|day| (1..=31).contains(day))?;
    let month = parts.next()?;
    let month = 1 + i64::try_from(MONTHS.iter().position(|name| *name == month)?).ok()?;
    let year = fixed(parts.next()?, 4)?;
    let mut clock = parts.next()?.split(':');
    let (hours, minutes, seconds) = (fixed(clock.next()?, 2)?, fixed(clock.next()?, 2)?, fixed(clock.next()?, 2)?);
    let is_whole = clock.next().is_none() && parts.next() == Some("GMT") && parts.next().is_none();
    if !is_whole || hours > 23 || minutes > 59 || seconds > 60 {
        return None;
    }
    let days = days_since_epoch(i64::try_from(year).ok()?, month, i64::try_from(day).ok()?);
    Some(UnixTime::from_secs(u64::try_from(days).ok()? * 86_400 + hours * 3600 + minutes * 60 + seconds))
}

fn fixed(digits: &str, length: usize) -> Option<u64> {
    if digits.len() == length { seconds(digits) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limited(limit: &str, remaining: &str, reset: &str) -> HttpResponse {
        HttpResponse::new(200, Vec::new())
            .with_header("x-rate-limit-limit", Some(limit))
            .with_header("x-rate-limit-remaining", Some(remaining))
            .with_header("x-rate-limit-reset", Some(reset))
    }

    #[test]
    fn seconds_dates_and_resets_are_read_and_bounded() {
        let now = UnixTime::from_secs(784_111_777); // Sun, 06 Nov 1994 08:49:37 GMT
        let wait = |retry: Option<&str>, reset: Option<&str>| {
            let response = HttpResponse::new(429, Vec::new()).with_header("x-rate-limit-reset", reset);
            pause(&response.with_header("retry-after", retry), now).as_secs()
        };
        for (field, expected) in [
            ("5", 5),
            (" 120 ", 120),
            ("0", 1),
            ("601", 600),
            ("99999999999999999999999999", 600),
            ("Sun, 06 Nov 1994 08:50:07 GMT", 30),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 1),
            ("Sun, 06 Nov 1994 08:00:00 GMT", 1),
            ("Mon, 07 Nov 1994 08:49:37 GMT", 600),
        ] {
            assert_eq!(wait(Some(field), None), expected, "{field}");
        }
        for nonsense in [
            "",
            "soon",
            "-5",
            "1.5",
            "5s",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 Nov 1994 08:49:37 GMT x",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 0000 08:49:37 GMT",
            "Sun, 06 nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(wait(Some(nonsense), None), 30, "{nonsense}");
        }
        assert_eq!(wait(None, Some("784111797")), 20);
        assert_eq!(wait(None, Some("784111700")), 1);
        assert_eq!(wait(Some("7"), Some("784111797")), 7, "the standard's field comes first");
        assert_eq!(wait(Some("soon"), Some("784111797")), 20);
        assert_eq!(wait(None, None), 30);
    }

    #[test]
    fn a_limit_counts_when_it_is_one_number_and_of_a_minute() {
        let now = UnixTime::from_secs(1_700_000_000);
        let limit = |text: &str| ceiling(&limited(text, "5", "1700000030"), now).map(NonZeroU32::get);
        assert_eq!((limit("300"), limit(" 300 "), limit("4294967295")), (Some(300), Some(300), Some(u32::MAX)));
        for junk in [
            "",
            "0",
            "00",
            "-1",
            "+300",
            "300, 600",
            "300;w=60",
            "1e3",
            "4294967296",
            "99999999999999999999",
            "\u{663}",
        ] {
            assert_eq!(limit(junk), None, "{junk}");
        }
        let reset = |text: &str| ceiling(&limited("300", "5", text), now).is_some();
        assert!(reset("1700000000") && reset("1699999940") && reset("1700000120"));
        for junk in ["", "30", "1699999939", "1700000121", "1700000030000", "soon"] {
            assert!(!reset(junk), "{junk}");
        }
        let without_reset = HttpResponse::new(200, Vec::new()).with_header("x-rate-limit-limit", Some("300"));
        assert_eq!(ceiling(&without_reset, now), None);
    }

    #[test]
    fn a_limit_that_is_used_up_is_waited_for_for_a_minute_at_most() {
        let now = UnixTime::from_secs(1_700_000_000);
        let wait = |limit: &str, remaining: &str, reset: &str| {
            exhausted(&limited(limit, remaining, reset), now).map(|wait| wait.as_secs())
        };
        assert_eq!(wait("300", "0", "1700000030"), Some(30));
        assert_eq!(wait("300", "0", "1700000090"), Some(60), "a clock that is not ours");
        assert_eq!(wait("300", "0", "1700000000"), None, "over already");
        assert_eq!(wait("300", "1", "1700000030"), None);
        for junk in ["", "-1", "0, 0", "none"] {
            assert_eq!(wait("300", junk, "1700000030"), None, "{junk}");
        }
        assert_eq!(wait("0", "0", "1700000030"), None, "a limit of simultaneous requests");
        assert_eq!(wait("300", "0", "1700009999"), None);
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (text, expected) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Tue, 29 Feb 2000 12:00:00 GMT", 951_825_600),
            ("Wed, 01 Mar 2000 00:00:00 GMT", 951_868_800),
            ("Sun, 22 Nov 2026 10:00:00 GMT", 1_795_341_600),
            ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799),
        ] {
            assert_eq!(date(text), Some(UnixTime::from_secs(expected)), "{text}");
        }
    }
}
