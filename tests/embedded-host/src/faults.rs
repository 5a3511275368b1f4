//! Faults of host functions: a function returns a status instead of serving the call.

/// A host function of the ABI or of WASI that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its name.
    pub function: &'static str,
    /// What it returns. Any number: a host may return a status that the module does not know.
    pub status: i32,
    /// Which of its calls fail.
    pub calls: FaultyCalls,
}

/// Which calls of a function fail. Calls are counted from 1, from the start of the VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultyCalls {
    /// This one.
    Only(usize),
    /// This one and all that follow.
    From(usize),
}

impl Fault {
    /// Whether the fault is in that call of that function.
    pub(crate) fn is_in(&self, function: &str, call: usize) -> bool {
        let is_faulty = match self.calls {
            FaultyCalls::Only(number) => call == number,
            FaultyCalls::From(first) => call >= first,
        };
        self.function == function && is_faulty
    }
}
