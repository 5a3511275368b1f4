//! The cost limit of evaluation, for all programs of one request together.
//!
//! One unit is one node of an expression, or work of about the same time: some 20 ns natively, 40 ns in V8. Operations
//! that copy, compare or search bytes are charged by the byte, before they run.

use std::cell::{Cell, RefCell};

use super::error::EvaluationError;

/// The units of one request: less than a millisecond in V8, whatever they are spent on (`make microbench ITEMS=hostile`).
pub(super) const COST_LIMIT: usize = 20_000;

/// Bytes that are compared, copied or searched in the time of a unit.
const BYTES_PER_UNIT: usize = 16;

/// The units that are left.
#[derive(Debug)]
pub(super) struct CostLimit(usize);

impl CostLimit {
    pub(super) const fn new(units: usize) -> Self {
        Self(units)
    }

    pub(super) const fn left(&self) -> usize {
        self.0
    }

    /// Once the limit is exceeded, every further charge fails too: no other part of an expression makes up for it.
    pub(super) fn charge(&mut self, units: usize) -> Result<(), EvaluationError> {
        match self.0.checked_sub(units) {
            Some(left) => {
                self.0 = left;
                Ok(())
            }
            None => {
                self.0 = 0;
                Err(EvaluationError::CostLimitExceeded)
            }
        }
    }

    pub(super) fn charge_bytes(&mut self, bytes: usize) -> Result<(), EvaluationError> {
        self.charge(bytes / BYTES_PER_UNIT)
    }
}

/// The cost limit that all programs of a request share, and their results. A requirement reads a result more than once,
/// to find a remedy; each program is evaluated once.
#[derive(Debug)]
pub struct CostTracker {
    left: Cell<usize>,
    /// By the address of the program, which outlives the request.
    results: RefCell<Vec<(*const (), Result<bool, EvaluationError>)>>,
}

impl Default for CostTracker {
    fn default() -> Self {
        Self { left: Cell::new(COST_LIMIT), results: RefCell::default() }
    }
}

impl CostTracker {
    /// The result of that program, by `evaluate` where there is none yet.
    pub(super) fn evaluate_once<P>(
        &self,
        program: &P,
        evaluate: impl FnOnce(&mut CostLimit) -> Result<bool, EvaluationError>,
    ) -> Result<bool, EvaluationError> {
        let program = std::ptr::from_ref(program).cast::<()>();
        let cached = self.results.borrow().iter().find(|(other, _)| *other == program).map(|(_, result)| *result);
        if let Some(result) = cached {
            return result;
        }
        let mut cost = CostLimit::new(self.left.get());
        let result = evaluate(&mut cost);
        self.left.set(cost.left());
        self.results.borrow_mut().push((program, result));
        result
    }
}
