//! The frame of a program that shows something to a person (`make demo`, `make example`): it first reports what is missing,
//! handles Ctrl-C, reports errors in a sentence, cleans up in every case, and exits with a code for scripts.

mod interruption;
mod screen;

use std::iter;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::time::Instant;

use crate::{AuthorizationServer, envoy, module};

pub use interruption::Interruption;
pub use screen::{Screen, in_seconds};

/// Not all was as expected, or it could not be shown.
const FAILED: u8 = 1;
/// The arguments make no sense.
pub const MISUSED: u8 = 2;
/// What a shell reports for a program ended by Ctrl-C.
const INTERRUPTED: u8 = 130;

/// Why a show does not go on.
pub enum Stop {
    /// Somebody asked it to end.
    Interrupted,
}

/// Runs `play`, which says whether all was as expected; `name` is what messages call the program ("demo").
pub fn present(name: &'static str, play: impl FnOnce(&Presentation) -> Result<bool, Stop>) -> ExitCode {
    if let Some(absence) = missing_prerequisites() {
        eprintln!("The {name} cannot start: {absence}.");
        return ExitCode::from(FAILED);
    }
    let presentation = Presentation { screen: Screen::for_stdout(), interruption: Interruption::listen() };
    say_panics_in_one_sentence(name);
    match panic::catch_unwind(AssertUnwindSafe(|| play(&presentation))) {
        Ok(Ok(true)) => ExitCode::SUCCESS,
        Ok(Err(Stop::Interrupted)) => {
            eprintln!("Interrupted; everything is ended and removed.");
            ExitCode::from(INTERRUPTED)
        }
        Ok(Ok(false)) | Err(_) => ExitCode::from(FAILED),
    }
}

/// Where it is shown, and whether it is to go on.
pub struct Presentation {
    /// Where it is shown.
    pub screen: Screen,
    /// Whether it was asked to end.
    pub interruption: Interruption,
}

impl Presentation {
    /// Does something and says so, with the time it took.
    pub fn doing<T>(&self, work: impl FnOnce() -> (T, String)) -> Result<T, Stop> {
        self.check()?;
        let began = Instant::now();
        let (value, text) = work();
        self.check()?;
        self.screen.done(&text, began.elapsed());
        Ok(value)
    }

    /// Whether it may go on.
    pub fn check(&self) -> Result<(), Stop> {
        if self.interruption.has_come() { Err(Stop::Interrupted) } else { Ok(()) }
    }
}

fn missing_prerequisites() -> Option<String> {
    let checks = iter::once(module::find_wasm_module().err())
        .chain(iter::once_with(|| envoy::find_binary().err()))
        .chain(iter::once_with(|| AuthorizationServer::check_installed().err()));
    checks.flatten().next()
}

/// The testbed reports trouble by panicking; a newcomer is told in a sentence, not with a backtrace.
fn say_panics_in_one_sentence(name: &'static str) {
    panic::set_hook(Box::new(move |panic| {
        let text = panic.payload_as_str().unwrap_or("something unforeseen happened");
        eprintln!("\nThe {name} had to stop: {text}.");
    }));
}
