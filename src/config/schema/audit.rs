//! `audit` as the operator writes it: which decisions are logged.

use serde_json::Value;

use crate::config::decode::{Decode, StringEnum, decode_enum, document};
use crate::config::error::{ConfigError, Path};

document! {
    /// Which decisions are logged. What a rule with `report_only` would have refused counts as refused.
    AuditDocument {
        /// Requests that pass: `all`, `sampled` or `none`. Default: `none`.
        allowed: ExtentWord,
        /// The share of what is `sampled`, more than 0 and at most 1, chosen by chance; the record names it as `sampled`.
        /// Default: 0.01.
        sample: f64,
        /// Requests that are refused: `all`, `sampled` or `none`. Anything but `all` prints a warning: of an attack only a
        /// part is seen, or nothing. Default: `all`.
        denied: ExtentWord,
        /// How many refusals with the same reason each worker logs in a second. The others are counted, and a record with
        /// `suppressed` says how many they were. `0`: no limit, which prints a warning. Default: 20.
        denied_per_second: u32,
    }
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtentWord {
    /// Everything.
    All,
    /// A share.
    Sampled,
    /// Nothing.
    None,
}

impl StringEnum for ExtentWord {
    const VARIANTS: &'static [(&'static str, Self)] =
        &[("all", Self::All), ("sampled", Self::Sampled), ("none", Self::None)];
    const EXPECTED: &'static str = "one of \"all\", \"sampled\", \"none\"";
}

impl Decode for ExtentWord {
    fn decode(value: &Value, at: &Path, errors: &mut Vec<ConfigError>) -> Option<Self> {
        decode_enum(value, at, errors)
    }
}
