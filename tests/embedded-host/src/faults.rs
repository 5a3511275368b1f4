//! Faults of host functions: a function returns a status instead of serving the call.

/// As the name of a function: whichever function the call is of.
pub const ANY_FUNCTION: &str = "*";

/// A host function of the ABI or of WASI that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its name, or [`ANY_FUNCTION`].
    pub function: &'static str,
    /// What it returns. Any number: a host may return a status that the module does not know.
    pub status: i32,
    /// Which of its calls fail.
    pub calls: FaultyCalls,
}

/// Which calls of a function, or of all functions, fail. Calls are counted from 1, from the start of the VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultyCalls {
    /// This one.
    Only(usize),
    /// This one and all that follow.
    From(usize),
}

impl Fault {
    /// Whether the fault is in a call: the `of_function`-th of that function, and the `of_all`-th of all.
    pub(crate) fn is_in(&self, function: &str, of_function: usize, of_all: usize) -> bool {
        let is_any = self.function == ANY_FUNCTION;
        let call = if is_any { of_all } else { of_function };
        let is_faulty = match self.calls {
            FaultyCalls::Only(number) => call == number,
            FaultyCalls::From(first) => call >= first,
        };
        (is_any || self.function == function) && is_faulty
    }
}
