//! `make demo`: the filter at work, for a reader who has never seen it.
//!
//! A real Envoy with the built module, a real authorization server and a backend are started; requests are sent,
//! and each is shown beside its response, the request that the backend received and the reason in the filter's log. The demo
//! is a check too: it exits with 1 when anything is unexpected. With `--keep` it keeps running for curl.

mod acts;
mod case;
mod keep;
mod stage;
mod tokens;

use std::env;
use std::process::ExitCode;
use std::time::Instant;

use testbed::presentation::{MISUSED, Presentation, Stop, present};

use acts::Demo;

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
    present("demo", |presentation| play(keep, presentation))
}

/// Shows everything; whether all was as expected.
fn play(keep: bool, presentation: &Presentation) -> Result<bool, Stop> {
    let began = Instant::now();
    let mut demo = Demo::new(presentation);
    demo.introduce();
    let stage = demo.set_the_stage()?;
    demo.tokens_good_and_bad(&stage)?;
    demo.keys_come_late_rotate_and_fail(&stage)?;
    let gateway = demo.no_keys_to_be_had(&stage)?;
    let all_expected = demo.summarize(began.elapsed());
    if keep {
        keep::invite(&presentation.screen, &stage, &gateway);
        presentation.interruption.wait();
        println!("\nEnding Envoy, the authorization server and the backend.");
    }
    Ok(all_expected)
}
