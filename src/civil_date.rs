//! Dates of the proleptic Gregorian calendar, as days since 1970-01-01.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CivilDate {
    pub year: i64,
    /// The month, from 1.
    pub month: i64,
    /// The day of the month, from 1.
    pub day: i64,
}

impl CivilDate {
    /// The date `days` after 1970-01-01. Calculates with years that begin in March: the leap day is their last day.
    pub fn of(days: i64) -> Self {
        // 1970-01-01 is day 719,468 of the year 0 that begins in March; 400 years have 146,097 days.
        let days = days.saturating_add(719_468);
        let (cycle, day_of_cycle) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let leap_days = day_of_cycle / 1460 - day_of_cycle / 36_524 + day_of_cycle / 146_096;
        let year_of_cycle = (day_of_cycle - leap_days) / 365;
        let day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
        // From March on, five months have 153 days.
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = cycle.saturating_mul(400).saturating_add(year_of_cycle + i64::from(month <= 2));
        Self { year, month, day }
    }
}

/// The days from 1970-01-01 to a date of the years 0 to 9999; negative before.
pub const fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let (year, month_from_march) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let years = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    years + (153 * month_from_march + 2) / 5 + day - 1 - 719_468
}

/// The days of a month of the years 0 to 9999.
pub const fn days_in_month(year: i64, month: i64) -> i64 {
    let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    days_since_epoch(next_year, next_month, 1) - days_since_epoch(year, month, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_the_years_0_to_9999_is_converted_there_and_back() {
        let first = days_since_epoch(0, 1, 1);
        let last = days_since_epoch(9999, 12, 31);
        assert_eq!((first, days_since_epoch(1970, 1, 1), last), (-719_528, 0, 2_932_896));
        for days in first..=last {
            let CivilDate { year, month, day } = CivilDate::of(days);
            assert_eq!(days_since_epoch(year, month, day), days, "{year}-{month}-{day}");
        }
    }
}
