//! `Cache-Control` of a key set response (RFC 9111 section 5.2): how long the server says it is fresh.

use std::time::Duration;

/// `max-age`, or zero for `no-store` and `no-cache`; `None` when the field says nothing usable.
pub(super) fn max_age(field: &str) -> Option<Duration> {
    let mut age = None;
    for directive in field.split(',') {
        let (name, value) = directive.split_once('=').map_or((directive, ""), |(name, value)| (name, value));
        match name.trim().to_ascii_lowercase().as_str() {
            "no-store" | "no-cache" => return Some(Duration::ZERO),
            "max-age" => {
                // Digits beyond what fits mean "for ever"; anything else is not a number of seconds.
                let digits = value.trim().trim_matches('"');
                if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
                    age = Some(Duration::from_secs(digits.parse().unwrap_or(u64::MAX)));
                }
            }
            _ => {}
        }
    }
    age
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_age_is_found_and_nonsense_is_nothing() {
        let seconds = |field| max_age(field).map(|age| age.as_secs());
        assert_eq!(seconds("max-age=3832304, must-revalidate"), Some(3_832_304));
        assert_eq!(seconds("public, Max-Age = \"60\""), Some(60));
        assert_eq!(seconds("max-age=99999999999999999999999"), Some(u64::MAX));
        assert_eq!(seconds("max-age=100, no-store"), Some(0));
        for nonsense in ["", "max-age", "max-age=", "max-age=-1", "max-age=1.5", "s-maxage=5", ",,,", "=5"] {
            assert_eq!(seconds(nonsense), None, "{nonsense:?}");
        }
    }
}
