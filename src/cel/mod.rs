//! CEL (the Common Expression Language): parses, checks and evaluates the expressions of rules.
//!
//! Supported: the variables `request`, `source`, `destination`, `connection` with Envoy's attributes, `claims`, `token`;
//! the operators and the macros `has`, `all`, `exists`, `exists_one`, `filter` and `map`; `size`, `startsWith`,
//! `endsWith`, `contains`, `matches`, `lowerAscii`, `int`, `double`, `string`, `timestamp`, `duration` and their getters;
//! and two extensions, `ip_in(address, [ranges])` and `path_segment(path, number)`. Anything else of CEL (messages, bytes,
//! `uint`, optional values, names of time zones) is a compile error.
//!
//! Differs from the specification in one point: an equality of values of different types is an error and not `false`, so
//! that `claims.role != 'guest'` does not hold for `["guest"]`. `int` and `double` are one type there, and every value can
//! be compared with the literal `null`.
//!
//! A program is compiled once and evaluated for each request. An evaluation has a bounded cost and stack, reads no clock,
//! and ends in true, false or an error.

mod activation;
mod attribute;
mod calls;
mod check;
mod cost;
mod error;
mod evaluate;
#[cfg(not(target_family = "wasm"))]
mod excerpt;
mod functions;
mod lexer;
mod network;
mod normal_form;
mod outcome;
mod parser;
mod program;
mod suggest;
mod timestamp;
mod types;
mod value;

pub use activation::{Activation, TokenAttributes};
pub use attribute::{Attribute, AttributeValues};
pub use cost::CostTracker;
pub use error::{CompileError, CompileErrorKind, EvaluationError};
#[cfg(not(target_family = "wasm"))]
pub use excerpt::Excerpt;
pub use network::Network;
pub use outcome::{Outcome, ProviderFacts};

use check::CheckedExpr;
use cost::{COST_LIMIT, CostLimit};
use error::ErrorAt;
use evaluate::Evaluation;
use value::Value;

const MAX_SOURCE_BYTES: usize = 4096;

/// A compiled expression with a boolean result.
pub struct Program {
    source: Box<str>,
    expr: CheckedExpr,
}

impl Program {
    /// Parses and checks an expression.
    ///
    /// # Errors
    /// All errors, with their positions and in their order. Where it is not CEL, that is the first one.
    pub fn compile(source: &str) -> Result<Self, Vec<CompileError>> {
        if source.len() > MAX_SOURCE_BYTES {
            return Err(vec![ErrorAt { offset: 0, kind: CompileErrorKind::TooLong }.locate(source)]);
        }
        let parsed = parser::parse(source).map_err(|error| vec![error]);
        match parsed.and_then(|expr| check::check(&expr)) {
            Ok(expr) => Ok(Self { source: source.into(), expr }),
            Err(errors) => Err(errors.into_iter().map(|error| error.locate(source)).collect()),
        }
    }

    /// The text of the expression, which is a value of the operator's document.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The attributes that the host provides, each once.
    pub fn attributes(&self) -> &[Attribute] {
        &self.expr.attributes
    }

    /// Whether it uses the request alone.
    pub const fn is_about_request(&self) -> bool {
        !self.expr.uses_token
    }

    /// Evaluates it for a request, in every reading of the request's host and path.
    ///
    /// # Errors
    /// When there is no result: the caller rejects the request.
    pub fn evaluate(&self, activation: &Activation<'_>) -> Result<bool, EvaluationError> {
        match activation.cost {
            Some(tracker) => tracker.evaluate_once(self, |cost| self.evaluate_readings(activation, cost)),
            None => self.evaluate_readings(activation, &mut CostLimit::new(COST_LIMIT)),
        }
    }

    fn evaluate_readings(&self, activation: &Activation<'_>, cost: &mut CostLimit) -> Result<bool, EvaluationError> {
        let result = self.evaluate_reading(activation, cost)?;
        for (reading, ambiguous) in activation.other_readings(&self.expr.fields) {
            match self.evaluate_reading(&reading, cost) {
                Ok(other) if other == result => {}
                Err(EvaluationError::CostLimitExceeded) => return Err(EvaluationError::CostLimitExceeded),
                Ok(_) | Err(_) => return Err(ambiguous),
            }
        }
        Ok(result)
    }

    fn evaluate_reading(&self, activation: &Activation<'_>, cost: &mut CostLimit) -> Result<bool, EvaluationError> {
        if let Value::Bool(result) = Evaluation::new(activation, cost).value(&self.expr.node)? {
            Ok(result)
        } else {
            Err(EvaluationError::NotBoolean)
        }
    }
}

impl PartialEq for Program {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl std::fmt::Debug for Program {
    /// Without the source, which is a value of the operator's document.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Program").field("attributes", &self.attributes()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod compile_error_tests;
#[cfg(all(test, not(target_family = "wasm")))]
mod differential_tests;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod tests;
