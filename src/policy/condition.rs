//! A rule's `condition`: an expression in CEL (the Common Expression Language) over the request, in Envoy's attribute
//! names, and the token that it brought.
//!
//! What is offered: `request.*`, `source.*`, `destination.*`, `connection.*` as Envoy names them, `claims`, `token`;
//! the operators, `has`, `all`, `exists`, `exists_one`, `filter` and `map`; `size`, `startsWith`, `endsWith`,
//! `contains`, `matches`, `lowerAscii`, `int`, `double`, `string`, `timestamp`, `duration`, the parts of times; and of
//! our own `ip_in(address, [ranges])` and `path_segment(path, number)`. What of CEL is not (messages, bytes, unsigned
//! numbers, optional values, names of time zones) is a fault when the expression is read.
//!
//! A comparison of values of different types is an error, where CEL says that they differ: `claims.role != 'guest'` must
//! not hold for `["guest"]`. Numbers are of one type, and every value can be compared with a literal `null`.
//!
//! An expression is compiled once, by `config`, and judged by every request that its rule concerns. Judging takes a
//! bounded number of steps and a bounded stack, reads no clock, and ends in true, false or an error, on which the
//! caller refuses.

mod attribute;
mod budget;
mod calendar;
mod calls;
mod check;
mod evaluate;
mod facts;
mod fault;
mod functions;
mod lexer;
mod network;
mod normal_form;
mod program;
mod syntax;
mod value;

pub use attribute::{Attribute, AttributeValues};
pub use budget::RequestBudget;
pub use facts::{Facts, TokenFacts};
pub use fault::{ConditionError, ConditionFault, ConditionProblem};

use budget::{STEPS, Steps};
use check::Program;
use evaluate::Evaluation;
use fault::FaultAt;
use value::Value;

/// More is a program, and not a condition.
const LONGEST: usize = 4096;

/// A compiled condition.
pub struct Condition {
    text: Box<str>,
    program: Program,
}

impl Condition {
    /// Reads and checks an expression.
    ///
    /// # Errors
    /// The first fault, with its place.
    pub fn parse(text: &str) -> Result<Self, ConditionFault> {
        if text.len() > LONGEST {
            return Err(FaultAt { offset: 0, problem: ConditionProblem::TooLong }.locate(text));
        }
        let checked = syntax::read(text).and_then(|syntax| check::check(&syntax));
        let program = checked.map_err(|fault| fault.locate(text))?;
        Ok(Self { text: text.into(), program })
    }

    /// What the host has to be asked for this condition, each once.
    pub fn attributes(&self) -> &[Attribute] {
        &self.program.attributes
    }

    /// Whether it is about the request alone.
    pub const fn is_about_request(&self) -> bool {
        !self.program.asks_for_token
    }

    /// Whether a request meets it.
    ///
    /// # Errors
    /// When that cannot be told: the caller refuses the request.
    pub fn holds(&self, facts: &Facts<'_>) -> Result<bool, ConditionError> {
        match facts.budget {
            Some(budget) => budget.judge(self, |steps| self.judge(facts, steps)),
            None => self.judge(facts, &mut Steps::new(STEPS)),
        }
    }

    fn judge(&self, facts: &Facts<'_>, steps: &mut Steps) -> Result<bool, ConditionError> {
        let holds = self.evaluate(facts, steps)?;
        for (reading, ambiguous) in facts.other_readings(&self.program.facts) {
            match self.evaluate(&reading, steps) {
                Ok(value) if value == holds => {}
                Err(ConditionError::TooCostly) => return Err(ConditionError::TooCostly),
                Ok(_) | Err(_) => return Err(ambiguous),
            }
        }
        Ok(holds)
    }

    /// In so many steps, for all readings of a request together.
    fn evaluate(&self, facts: &Facts<'_>, steps: &mut Steps) -> Result<bool, ConditionError> {
        if let Value::Bool(holds) = Evaluation::new(facts, steps).value(&self.program.node)? {
            Ok(holds)
        } else {
            Err(ConditionError::NotBoolean)
        }
    }
}

/// Two that read alike ask for the same.
impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl std::fmt::Debug for Condition {
    /// Not the expression, which is a value of the operator's document.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Condition").field("attributes", &self.attributes()).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "condition/scene_of_tests.rs"]
mod scene_of_tests;

#[cfg(test)]
#[path = "condition/tests.rs"]
mod tests;

#[cfg(test)]
#[path = "condition/fault_tests.rs"]
mod fault_tests;

#[cfg(test)]
#[path = "condition/hostile_tests.rs"]
mod hostile_tests;

#[cfg(all(test, not(target_family = "wasm")))]
#[path = "condition/differential_tests.rs"]
mod differential_tests;
