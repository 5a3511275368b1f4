//! Deviations from what a test expects, a sentence each.

use std::fmt::Debug;

/// The faults found so far.
#[derive(Debug, Default)]
pub struct Faults(pub Vec<String>);

impl Faults {
    /// Notes it when the two differ.
    pub fn expect<T: PartialEq + Debug>(&mut self, what: &str, expected: &T, found: &T) {
        if expected != found {
            self.0.push(format!("{what} should be {expected:?} and is {found:?}"));
        }
    }
}
