//! What is said of a release in more than one of its files.

/// A release: what it is called and what it was made of.
#[derive(Clone, Debug)]
pub struct Release {
    /// The version of the filter, as its manifest has it.
    pub version: String,
    /// The commit that it was built from; empty where that is not known.
    pub revision: String,
    /// Where the sources are published; empty where they are not.
    pub source: String,
    /// The time of the commit, in seconds since 1970 (`SOURCE_DATE_EPOCH`). Never the time of the build.
    pub created: u64,
}

impl Release {
    /// The time of the commit as RFC 3339 has it, in UTC.
    pub fn created_rfc3339(&self) -> String {
        let (days, second) = (self.created / 86_400, self.created % 86_400);
        let (year, month, day) = date(days);
        format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
    }
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar.
fn date(mut day: u64) -> (u64, usize, u64) {
    let is_leap = |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let mut year = 1970;
    while day >= 365 + u64::from(is_leap(year)) {
        day -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    (year, month, day + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_date_writes_them() {
        for (created, written) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_798_761_599, "2026-12-31T23:59:59Z"),
            (1_795_331_494, "2026-11-22T07:11:34Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            let release = Release { version: String::new(), revision: String::new(), source: String::new(), created };
            assert_eq!(release.created_rfc3339(), written);
        }
    }
}
