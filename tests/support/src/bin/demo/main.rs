//! `make demo`: the filter at work, for somebody who has never seen it.
//!
//! A real Envoy with the built module, a real authorization server and a backend are started; requests are sent,
//! and each is shown beside its answer, what the backend saw and the reason in the filter's log. The demo is a
//! check too: it ends with 1 when anything is not as it should be. With `--keep` it stays up for curl.

mod acts;
mod case;
mod interruption;
mod keep;
mod screen;
mod stage;
mod tokens;

use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::time::Instant;
use std::{env, iter};

use testbed::{AuthorizationServer, envoy, module};

use acts::{Demo, Stop};
use interruption::Interruption;
use screen::Screen;

const FAILED: u8 = 1;
const MISUSED: u8 = 2;
/// What a shell reports for a program ended by Ctrl-C.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let keep = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => false,
        ["--keep"] => true,
        _ => {
            eprintln!("usage: demo [--keep]");
            return ExitCode::from(MISUSED);
        }
    };
    if let Some(absence) = what_is_missing() {
        eprintln!("The demo cannot start: {absence}.");
        return ExitCode::from(FAILED);
    }
    ExitCode::from(run(keep))
}

fn what_is_missing() -> Option<String> {
    let checks = iter::once(module::find_wasm_module().err())
        .chain(iter::once_with(|| envoy::find_binary().err()))
        .chain(iter::once_with(|| AuthorizationServer::check_installed().err()));
    checks.flatten().next()
}

fn run(keep: bool) -> u8 {
    let interruption = Interruption::listen();
    say_panics_in_one_sentence();
    let played = panic::catch_unwind(AssertUnwindSafe(|| play(keep, &interruption)));
    match played {
        Ok(Ok(true)) => 0,
        Ok(Err(Stop::Interrupted)) => {
            eprintln!("Interrupted; everything is ended and removed.");
            INTERRUPTED
        }
        Ok(Ok(false)) | Err(_) => FAILED,
    }
}

/// Shows everything; whether all was as expected.
fn play(keep: bool, interruption: &Interruption) -> Result<bool, Stop> {
    let began = Instant::now();
    let mut demo = Demo::new(Screen::for_stdout(), interruption);
    demo.introduce();
    let stage = demo.set_the_stage()?;
    demo.tokens_good_and_bad(&stage)?;
    demo.keys_come_late_rotate_and_fail(&stage)?;
    let gateway = demo.no_keys_to_be_had(&stage)?;
    let all_expected = demo.summarize(began.elapsed());
    if keep {
        keep::invite(demo.screen(), &stage, &gateway);
        interruption.wait();
        println!("\nEnding Envoy, the authorization server and the backend.");
    }
    Ok(all_expected)
}

/// The testbed reports trouble by panicking; a newcomer is told in a sentence, not with a backtrace.
fn say_panics_in_one_sentence() {
    panic::set_hook(Box::new(|panic| {
        let text = panic.payload_as_str().unwrap_or("something unforeseen happened");
        eprintln!("\nThe demo had to stop: {text}.");
    }));
}
