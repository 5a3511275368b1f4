//! Orders of measurement: subjects in rotation, tokens at random, and the same in every run.

/// Everything below `count`, beginning one further with each round, so that none always comes after the same other.
pub fn rotated(count: usize, round: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |place| (round + place) % count)
}

/// Chance that repeats itself: splitmix64.
pub struct Chance(u64);

impl Chance {
    /// Another sequence for each seed.
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// `count` numbers below `end`, each as likely as another.
    pub fn draw(&mut self, count: usize, end: usize) -> Vec<usize> {
        (0..count).map(|_| self.below(end)).collect()
    }

    /// Everything below `count`, once.
    pub fn shuffle(&mut self, count: usize) -> Vec<usize> {
        let mut numbers: Vec<_> = (0..count).collect();
        for last in (1..count).rev() {
            numbers.swap(last, self.below(last + 1));
        }
        numbers
    }

    fn below(&mut self, end: usize) -> usize {
        // The bias of the remainder is of the order of end / 2^64.
        (self.next() % end as u64) as usize
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_subject_runs_once_per_round_and_each_is_first_equally_often() {
        let rounds: Vec<Vec<_>> = (0..3).map(|round| rotated(3, round).collect()).collect();
        assert_eq!(rounds, [[0, 1, 2], [1, 2, 0], [2, 0, 1]]);
        assert_eq!(rotated(3, 3).collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn a_shuffle_has_everything_once_and_depends_on_the_seed() {
        let shuffled = Chance::seeded(1).shuffle(100);
        let mut sorted = shuffled.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
        assert_ne!(shuffled, sorted);
        assert_eq!(shuffled, Chance::seeded(1).shuffle(100));
        assert_ne!(shuffled, Chance::seeded(2).shuffle(100));
    }

    #[test]
    fn draws_reach_every_number_about_equally_often() {
        let drawn = Chance::seeded(7).draw(10_000, 10);
        for number in 0..10 {
            let times = drawn.iter().filter(|drawn| **drawn == number).count();
            assert!((900..1100).contains(&times), "{number}: {times} times");
        }
    }
}
