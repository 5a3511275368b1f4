//! Parses and formats times.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use okta_proxy_wasm::civil_date::{CivilDate, days_in_month, days_since_epoch};
use okta_proxy_wasm::unix_time::UnixTime;

const DAY: i64 = 86_400;

/// The system time. Tokens use integer seconds.
pub fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    UnixTime::from_secs(since.as_secs())
}

/// Parses `2027-01-01T12:00:00Z`, a numeric offset instead of `Z`, or seconds since 1970.
pub fn parse(text: &str) -> Option<UnixTime> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(UnixTime::from_secs(seconds));
    }
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let (time, offset) = match time.find(['Z', 'z', '+', '-']) {
        Some(at) => time.split_at(at),
        None => return None,
    };
    let offset = match offset.split_at_checked(1)? {
        ("Z" | "z", "") => 0,
        (sign, offset) => {
            let [hours, minutes] = integers(offset, ':')?;
            let seconds = hours * 3600 + minutes * 60;
            if sign == "-" { -seconds } else { seconds }
        }
    };
    let [year, month, day] = integers(date, '-')?;
    let [hour, minute, second] = integers(time, ':')?;
    let is_time = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    let seconds = days_since_epoch(year, month, day) * DAY + hour * 3600 + minute * 60 + second - offset;
    is_time.then_some(UnixTime::from_secs(u64::try_from(seconds).ok()?))
}

/// Parses `now`, `-10m`, `+1h30m` or `now - 20m` into an offset in seconds.
pub fn parse_relative(text: &str) -> Option<i64> {
    let rest = text.trim().strip_prefix("now").unwrap_or(text).trim();
    if rest.is_empty() {
        return Some(0);
    }
    let (sign, rest) = match rest.split_at_checked(1)? {
        ("-", rest) => (-1, rest.trim()),
        ("+", rest) => (1, rest.trim()),
        _ => return None,
    };
    let (mut total, mut rest) = (0_i64, rest);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, behind) = rest.split_at(rest.find(|character: char| !character.is_ascii_digit())?);
        let unit = match behind.split_at_checked(1)?.0 {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => DAY,
            _ => return None,
        };
        total = total.checked_add(number.parse::<i64>().ok()?.checked_mul(unit)?)?;
        rest = behind.get(1..)?;
    }
    Some(sign * total)
}

pub fn add_signed(now: UnixTime, by: i64) -> Option<u64> {
    now.as_secs().checked_add_signed(by)
}

/// Formats a time as RFC 3339, in UTC.
pub fn to_rfc3339(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    let (CivilDate { year, month, day }, within) = (CivilDate::of(seconds / DAY), seconds % DAY);
    let (hour, minute, second) = (within / 3600, within / 60 % 60, within % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn integers<const N: usize>(text: &str, separator: char) -> Option<[i64; N]> {
    let is_number = |part: &&str| !part.is_empty() && part.len() <= 4 && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Option<Vec<i64>> =
        text.split(separator).map(|part| Some(part).filter(is_number)?.parse().ok()).collect();
    parts?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parsed_times_format_to_the_same_string() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T23:59:59Z", 951_868_799),
            ("2027-01-15T08:00:00Z", 1_800_000_000),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
        ] {
            assert_eq!(parse(text), Some(UnixTime::from_secs(seconds)), "{text}");
            assert_eq!(to_rfc3339(UnixTime::from_secs(seconds)), text);
        }
        assert_eq!(parse("2027-01-15T09:30:00+01:30"), Some(UnixTime::from_secs(1_800_000_000)));
        assert_eq!(parse("1800000000"), Some(UnixTime::from_secs(1_800_000_000)));
        for text in
            ["", "2027-02-29T00:00:00Z", "2027-01-15", "2027-01-15T08:00:00", "2027-1-x", "-5", "1969-12-31T00:00:00Z"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_relative_time_has_a_sign_and_units() {
        for (text, seconds) in
            [("now", 0), ("-10m", -600), ("+1h30m", 5400), ("now - 20m", -1200), ("-2d", -172_800), ("+5s", 5)]
        {
            assert_eq!(parse_relative(text), Some(seconds), "{text}");
        }
        for text in ["10m", "-", "-10", "-m", "soon", "- 1x"] {
            assert_eq!(parse_relative(text), None, "{text}");
        }
    }
}
