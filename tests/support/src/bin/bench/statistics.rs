//! Summaries of many measurements.

/// The lower quartile, the median and the upper quartile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quartiles {
    /// A quarter is below.
    pub low: f64,
    /// Half is below.
    pub median: f64,
    /// A quarter is above.
    pub high: f64,
}

/// Interpolated.
///
/// # Panics
/// When there are no values.
pub fn quartiles(values: &[f64]) -> Quartiles {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let place = share * (sorted.len() - 1) as f64;
        let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
        below + (above - below) * place.fract()
    };
    Quartiles { low: at(0.25), median: at(0.5), high: at(0.75) }
}

/// The median, interpolated.
///
/// # Panics
/// When there are no values.
pub fn median(values: &[f64]) -> f64 {
    quartiles(values).median
}

/// The smallest value that at least `percent` of all values do not exceed: one that was measured, never a mean of two.
///
/// # Panics
/// When there are no values.
pub fn percentile<T: Ord + Copy>(values: &[T], percent: usize) -> T {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted[(sorted.len() * percent).div_ceil(100).max(1) - 1]
}

/// How much more each is than its counterpart.
pub fn differences(with: &[f64], without: &[f64]) -> Vec<f64> {
    with.iter().zip(without).map(|(with, without)| with - without).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_are_interpolated() {
        assert_eq!(quartiles(&[4.0, 1.0, 3.0, 2.0, 5.0]), Quartiles { low: 2.0, median: 3.0, high: 4.0 });
        assert_eq!(quartiles(&[1.0, 2.0]), Quartiles { low: 1.25, median: 1.5, high: 1.75 });
        assert_eq!(quartiles(&[7.0]), Quartiles { low: 7.0, median: 7.0, high: 7.0 });
    }

    #[test]
    fn a_percentile_is_the_nearest_rank() {
        let values: Vec<u32> = (1..=200).rev().collect();
        assert_eq!((percentile(&values, 50), percentile(&values, 99), percentile(&values, 100)), (100, 198, 200));
        assert_eq!((percentile(&[3, 1, 2], 50), percentile(&[3, 1, 2], 99), percentile(&[3], 0)), (2, 3, 3));
    }

    #[test]
    fn differences_are_taken_in_pairs() {
        assert_eq!(differences(&[5.0, 7.0], &[2.0, 9.0]), [3.0, -2.0]);
    }
}
