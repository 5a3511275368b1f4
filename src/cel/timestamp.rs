//! Timestamps and durations: the proleptic Gregorian calendar in milliseconds, without leap seconds and names of time zones
//! (their database is twice the size of this module).

use crate::civil_date::{CivilDate, days_in_month, days_since_epoch};

/// `0001-01-01T00:00:00Z` to the last millisecond of the year 9999, the range of CEL's timestamps.
const RANGE: std::ops::RangeInclusive<i64> = -62_135_596_800_000..=253_402_300_799_999;
const DAY: i64 = 86_400_000;

/// A getter of timestamps and durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimePart {
    FullYear,
    /// From 0.
    Month,
    /// Of the month, from 1.
    Date,
    /// Of the month, from 0.
    DayOfMonth,
    /// From 0, which is Sunday.
    DayOfWeek,
    /// From 0.
    DayOfYear,
    Hours,
    Minutes,
    Seconds,
    Milliseconds,
}

impl TimePart {
    pub(super) fn named(function: &str) -> Option<Self> {
        match function {
            "getFullYear" => Some(Self::FullYear),
            "getMonth" => Some(Self::Month),
            "getDate" => Some(Self::Date),
            "getDayOfMonth" => Some(Self::DayOfMonth),
            "getDayOfWeek" => Some(Self::DayOfWeek),
            "getDayOfYear" => Some(Self::DayOfYear),
            "getHours" => Some(Self::Hours),
            "getMinutes" => Some(Self::Minutes),
            "getSeconds" => Some(Self::Seconds),
            "getMilliseconds" => Some(Self::Milliseconds),
            _ => None,
        }
    }

    /// Of the time `millis` after the epoch, where clocks are `offset` milliseconds ahead.
    pub(super) fn of(self, millis: i64, offset: i64) -> i64 {
        let local = millis.saturating_add(offset);
        let (days, in_day) = (local.div_euclid(DAY), local.rem_euclid(DAY));
        let date = CivilDate::of(days);
        match self {
            Self::FullYear => date.year,
            Self::Month => date.month.saturating_sub(1),
            Self::Date => date.day,
            Self::DayOfMonth => date.day.saturating_sub(1),
            // The epoch was a Thursday.
            Self::DayOfWeek => days.saturating_add(4).rem_euclid(7),
            Self::DayOfYear => days.saturating_sub(days_since_epoch(date.year, 1, 1)),
            Self::Hours => in_day / 3_600_000,
            Self::Minutes => in_day / 60_000 % 60,
            Self::Seconds => in_day / 1000 % 60,
            Self::Milliseconds => in_day % 1000,
        }
    }

    /// Of a duration: the whole duration in that unit, or for milliseconds the part below a second.
    pub(super) const fn of_duration(self, millis: i64) -> Option<i64> {
        match self {
            Self::Hours => Some(millis / 3_600_000),
            Self::Minutes => Some(millis / 60_000),
            Self::Seconds => Some(millis / 1000),
            Self::Milliseconds => Some(millis % 1000),
            Self::FullYear | Self::Month | Self::Date | Self::DayOfMonth | Self::DayOfWeek | Self::DayOfYear => None,
        }
    }
}

pub(super) fn timestamp_in_range(millis: i64) -> Option<i64> {
    RANGE.contains(&millis).then_some(millis)
}

/// RFC 3339: `2026-01-31T08:00:00Z`, with a fraction and an offset if need be. Less than a millisecond is cut off.
pub(super) fn parse_timestamp(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(['T', 't'])?;
    let mut date = date.split('-');
    let (year, month, day) = (digits(date.next()?, 4)?, digits(date.next()?, 2)?, digits(date.next()?, 2)?);
    if date.next().is_some() || !(1..=12).contains(&month) || !(1..=days_in_month(year, month)).contains(&day) {
        return None;
    }
    let zone_at = time.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = time.split_at_checked(zone_at)?;
    let offset = if zone.eq_ignore_ascii_case("z") { 0 } else { signed_offset(zone)? };
    let (clock, fraction) = clock.split_once('.').map_or((clock, None), |(clock, fraction)| (clock, Some(fraction)));
    let mut clock = clock.split(':');
    let (hour, minute, second) = (digits(clock.next()?, 2)?, digits(clock.next()?, 2)?, digits(clock.next()?, 2)?);
    if clock.next().is_some() || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let millis = match fraction {
        None => 0,
        Some(fraction) => thousandths(fraction)?,
    };
    let of_day = ((hour * 60 + minute) * 60 + second) * 1000 + millis;
    timestamp_in_range(days_since_epoch(year, month, day) * DAY + of_day - offset)
}

/// `UTC`, `Z`, or an offset of hours and minutes, in milliseconds.
pub(super) fn parse_zone(text: &str) -> Option<i64> {
    match text {
        "UTC" | "Z" => Some(0),
        signed if signed.starts_with(['+', '-']) => signed_offset(signed),
        unsigned => clock_offset(unsigned),
    }
}

fn signed_offset(text: &str) -> Option<i64> {
    match text.strip_prefix('-') {
        Some(offset) => clock_offset(offset).map(|offset| -offset),
        None => clock_offset(text.strip_prefix('+')?),
    }
}

fn clock_offset(text: &str) -> Option<i64> {
    let (hours, minutes) = text.split_once(':')?;
    let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
    (hours < 24 && minutes < 60).then_some((hours * 60 + minutes) * 60_000)
}

/// `1h30m`, `1.5s`, `-90s`, `250ms`. Less than a millisecond is cut off.
pub(super) fn parse_duration(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total: i128 = 0;
    while !rest.is_empty() || total == 0 {
        let unit_at = rest.find(|next: char| !next.is_ascii_digit() && next != '.')?;
        let (number, unit_and_more) = rest.split_at_checked(unit_at)?;
        let unit_ends = unit_and_more.find(|next: char| next.is_ascii_digit() || next == '.');
        let (unit, more) = unit_and_more.split_at_checked(unit_ends.unwrap_or(unit_and_more.len()))?;
        let nanos: i128 = match unit {
            "h" => 3_600_000_000_000,
            "m" => 60_000_000_000,
            "s" => 1_000_000_000,
            "ms" => 1_000_000,
            "us" => 1000,
            "ns" => 1,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || whole.len() > 18 || fraction.len() > 9 {
            return None;
        }
        let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let parsed = |digits: &str| if digits.is_empty() { Some(0) } else { digits.parse::<i128>().ok() };
        let number = parsed(whole)?.checked_mul(scale)?.checked_add(parsed(fraction)?)?;
        total = total.checked_add(number.checked_mul(nanos)?.checked_div(scale)?)?;
        rest = more;
        if rest.is_empty() {
            break;
        }
    }
    i64::try_from(sign * (total / 1_000_000)).ok().filter(|millis| millis.unsigned_abs() <= MAX_DURATION)
}

/// The range of CEL's durations.
const MAX_DURATION: u64 = 315_576_000_000_000;

pub(super) fn duration_in_range(millis: i64) -> Option<i64> {
    (millis.unsigned_abs() <= MAX_DURATION).then_some(millis)
}

fn digits(text: &str, count: usize) -> Option<i64> {
    (text.len() == count && text.bytes().all(|digit| digit.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

fn thousandths(fraction: &str) -> Option<i64> {
    let digits = fraction.bytes().all(|digit| digit.is_ascii_digit()) && (1..=9).contains(&fraction.len());
    if !digits {
        return None;
    }
    format!("{fraction:0<3}").get(..3)?.parse().ok()
}
