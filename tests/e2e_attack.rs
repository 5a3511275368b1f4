//! A short part of `make attack`: spellings that two servers may read differently, through a real Envoy with the filter, at
//! real backends. Whatever they execute is allowed by the rule for the executed path.

#![allow(missing_docs, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

use testbed::attack::backend::{Kind, SHORT};
use testbed::attack::campaign;
use testbed::attack::random::Random;
use testbed::attack::spelling;

#[test]
fn no_backend_executes_what_the_rule_for_it_does_not_allow() {
    let kinds: Vec<&Kind> = SHORT.iter().map(|name| Kind::named(name).expect("a kind")).collect();
    let outcome = campaign::run(&kinds, &spelling::short(&mut Random::new(14), 200), None);
    println!("sent {}, executed {}, other paths {:?}", outcome.sent, outcome.executed, outcome.other_paths);
    assert_eq!(outcome.absent, [] as [String; 0]);
    assert_eq!(outcome.unfinished, [] as [String; 0]);
    assert_eq!(outcome.failures(), "");
}
