//! The schema of `audit`: which decisions are logged.

use crate::config::decode::{document, string_enum};

document! {
    /// Which decisions are logged. A request that is allowed by `report_only` alone counts as denied.
    AuditDocument {
        /// Allowed requests: `all`, `sampled` or `none`. Default: `none`.
        allowed: ExtentWord,
        /// The probability of `sampled`, more than 0 and at most 1; the record has it as `sampled`.
        /// Default: 0.01.
        sample: f64,
        /// Denied requests: `all`, `sampled` or `none`. Anything but `all` logs a warning: the log shows only a part of an
        /// attack, or nothing. Default: `all`.
        denied: ExtentWord,
        /// How many denials with the same reason each worker logs per second. The others are counted, and a record with
        /// `suppressed` has their number. `0`: no limit, which logs a warning. Default: 20.
        denied_per_second: u32,
    }
}

/// Which decisions are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtentWord {
    /// All.
    All,
    /// A random sample.
    Sampled,
    /// None.
    None,
}

string_enum!(ExtentWord { "all" => All, "sampled" => Sampled, "none" => None });
