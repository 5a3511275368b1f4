//! What judging conditions may cost, for all conditions of one request together.
//!
//! A step is one node of an expression, or the work of about as much time: some 20 ns natively, 40 ns in V8. Whatever
//! copies, compares or searches bytes is charged by the bytes, before it is done.

use std::cell::{Cell, RefCell};

use super::Condition;
use super::fault::ConditionError;

/// The steps of one request: less than a millisecond in V8, whatever they are spent on (`make microbench ITEMS=hostile`).
pub(super) const STEPS: usize = 20_000;

/// What is compared, copied or searched in the time of a step.
const BYTES_PER_STEP: usize = 16;

/// The steps that are left.
#[derive(Debug)]
pub(super) struct Steps(usize);

impl Steps {
    pub(super) const fn new(steps: usize) -> Self {
        Self(steps)
    }

    pub(super) const fn left(&self) -> usize {
        self.0
    }

    /// Once spent, every further step is an error as well: no other part of an expression makes up for it.
    pub(super) fn spend(&mut self, steps: usize) -> Result<(), ConditionError> {
        match self.0.checked_sub(steps) {
            Some(left) => {
                self.0 = left;
                Ok(())
            }
            None => {
                self.0 = 0;
                Err(ConditionError::TooCostly)
            }
        }
    }

    /// Charges for so many bytes that are looked at once.
    pub(super) fn spend_bytes(&mut self, bytes: usize) -> Result<(), ConditionError> {
        self.spend(bytes / BYTES_PER_STEP)
    }
}

/// The budget that all conditions of a request share, and what they have come to. A requirement asks for a condition
/// more than once, to find out what would help the client: each is judged once.
#[derive(Debug)]
pub struct RequestBudget {
    steps_left: Cell<usize>,
    /// By the address of the condition, which outlives the request.
    results: RefCell<Vec<(*const Condition, Result<bool, ConditionError>)>>,
}

impl Default for RequestBudget {
    fn default() -> Self {
        Self { steps_left: Cell::new(STEPS), results: RefCell::default() }
    }
}

impl RequestBudget {
    /// The result of that condition, by `judge` where there is none yet.
    pub(super) fn judge(
        &self,
        condition: &Condition,
        judge: impl FnOnce(&mut Steps) -> Result<bool, ConditionError>,
    ) -> Result<bool, ConditionError> {
        let condition = std::ptr::from_ref(condition);
        let known = self.results.borrow().iter().find(|(other, _)| *other == condition).map(|(_, result)| *result);
        if let Some(result) = known {
            return result;
        }
        let mut steps = Steps::new(self.steps_left.get());
        let result = judge(&mut steps);
        self.steps_left.set(steps.left());
        self.results.borrow_mut().push((condition, result));
        result
    }
}
