//! When a server that was asked too often wants to be asked again: `Retry-After` (RFC 9110 section 10.2.3), or Okta's
//! `X-Rate-Limit-Reset`.

use std::time::Duration;

use crate::unix_time::UnixTime;

/// A server that names no time: half of the minute in which limits are counted.
const UNSAID: Duration = Duration::from_secs(30);
const SHORTEST: Duration = Duration::from_secs(1);
/// What a mistyped or hostile field may cost at most.
pub(super) const LONGEST: Duration = Duration::from_secs(600);

/// How long to ask nothing.
pub(super) fn pause(retry_after: Option<&str>, rate_limit_reset: Option<&str>, now: UnixTime) -> Duration {
    let asked =
        retry_after.and_then(|field| seconds(field).map(Duration::from_secs).or_else(|| Some(date(field)?.since(now))));
    let reset = || Some(UnixTime::from_secs(seconds(rate_limit_reset?)?).since(now));
    asked.or_else(reset).unwrap_or(UNSAID).clamp(SHORTEST, LONGEST)
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
    let month = 1 + u64::try_from(MONTHS.iter().position(|name| *name == month)?).ok()?;
    let year = fixed(parts.next()?, 4).filter(|year| *year >= 1970)?;
    let mut clock = parts.next()?.split(':');
    let (hours, minutes, seconds) = (fixed(clock.next()?, 2)?, fixed(clock.next()?, 2)?, fixed(clock.next()?, 2)?);
    let is_whole = clock.next().is_none() && parts.next() == Some("GMT") && parts.next().is_none();
    if !is_whole || hours > 23 || minutes > 59 || seconds > 60 {
        return None;
    }
    // Years from March on, so that the leap day is the last of one.
    let (shifted_year, shifted_month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = shifted_year / 4 - shifted_year / 100 + shifted_year / 400;
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let days = (365 * shifted_year + leap_days + day_of_year).checked_sub(719_468)?;
    Some(UnixTime::from_secs(days * 86_400 + hours * 3600 + minutes * 60 + seconds))
}

fn fixed(digits: &str, length: usize) -> Option<u64> {
    if digits.len() == length { seconds(digits) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test(unsupported = test)]
    fn seconds_dates_and_resets_are_read_and_bounded() {
        let now = UnixTime::from_secs(784_111_777); // Sun, 06 Nov 1994 08:49:37 GMT
        let wait = |retry, reset| pause(retry, reset, now).as_secs();
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

    #[wasm_bindgen_test(unsupported = test)]
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
