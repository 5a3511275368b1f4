//! A run: everything is started, the plan is executed under load, and the observations are checked.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::clock::Moment;
use super::environment;
use super::floods;
use super::gateway::{CALLS_PER_MINUTE, DRAIN, Gateway};
use super::judge::WARM_UP;
use super::memory::{open_files, slope};
use super::plan::{self, Endpoint, Via};
use super::report::Violation;
use super::world::World;
use super::{http1_client, http2_client};
use crate::client::Request;
use crate::polling;
use crate::process::resident_mebibytes;

const MINUTE: Duration = Duration::from_secs(60);
const TIME_TO_BE_READY: Duration = Duration::from_secs(30);
/// New connections spread over the workers: after so many, each has had some.
const ENOUGH_FOR_EVERY_WORKER: usize = 40;
/// Shorter runs say nothing of memory: caches fill, and V8 collects when it likes.
const LONG_RUN: Duration = Duration::from_secs(300);
const MOST_MEBIBYTES_A_MINUTE: f64 = 2.0;
const MOST_FILES_LEFT: usize = 12;
/// What Envoy's log must not say.
const SIGNS_OF_A_TRAP: [&str; 8] = [
    "panicked",
    "wasm_fail_stream",
    "Uncaught",
    "RangeError",
    "VM failed",
    "fail closed",
    "Proxy-Wasm plugin in-VM backtrace",
    "Function: proxy_on_",
];
const LOG_LINES_SHOWN: usize = 12;

/// What is run.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Of the plan and the requests.
    pub seed: u64,
    /// How long the plan is.
    pub lasts: Duration,
    /// Envoy's workers.
    pub workers: u32,
    /// Clients that pipeline over HTTP/1.1.
    pub http1_clients: u8,
    /// Clients that speak HTTP/2.
    pub http2_clients: u8,
    /// How long a client pauses between batches.
    pub pause: Duration,
    /// Requests a second of a flood.
    pub flood_rate: usize,
}

impl Settings {
    /// Some hundred requests a second.
    pub fn new(seed: u64, lasts: Duration) -> Self {
        Self {
            seed,
            lasts,
            workers: 4,
            http1_clients: 6,
            http2_clients: 3,
            pause: Duration::from_millis(80),
            flood_rate: 300,
        }
    }
}

/// What was seen.
pub struct Outcome {
    /// How many requests were judged.
    pub requests: usize,
    /// Requests with a sufficient token that were served while all that they needed was healthy.
    pub healthy: usize,
    /// How often each kind of violation was seen; empty if nothing was.
    pub violations: std::collections::BTreeMap<String, usize>,
    /// Tables.
    pub summary: String,
    /// Examples of the violations, with what is needed to look into them.
    pub examples: String,
}

/// Runs it.
///
/// # Panics
/// When Envoy does not start or never becomes ready.
pub fn run(settings: &Settings) -> Outcome {
    let plan = plan::make(settings.seed, settings.lasts);
    let world = Arc::new(World::new());
    let gateway = Gateway::start(&world, settings.workers);
    let ports = [Via::Listener, Via::Extension].map(|via| gateway.port(via));
    wait_until_ready(&world, ports);
    // The plan's times count from here.
    let begun = world.now();
    let plan: Vec<_> = plan.into_iter().map(|(at, action)| (begun + at, action)).collect();
    let files_before = files_of_clients(&gateway);
    let memory = Mutex::new(Vec::new());

    thread::scope(|scope| {
        let (world, gateway, plan, memory) = (&*world, &gateway, &plan, &memory);
        let client_seed = |number: u8| settings.seed.wrapping_mul(1000).wrapping_add(u64::from(number));
        for number in 0..settings.http1_clients {
            scope.spawn(move || http1_client::run(world, ports, 10 + number, settings.pause, client_seed(number)));
        }
        for number in 0..settings.http2_clients {
            scope.spawn(move || {
                http2_client::run(world, ports, 100 + number, settings.pause, client_seed(100 + number))
            });
        }
        scope.spawn(move || environment::change(world, plan, settings.seed));
        scope.spawn(move || environment::reload(world, gateway, plan));
        scope.spawn(move || floods::run(world, ports, plan, settings.flood_rate, settings.seed));
        while world.now() < begun + settings.lasts {
            thread::sleep(Duration::from_millis(500));
            gateway.clear();
            let sample = (world.now().as_secs_f64(), resident_mebibytes(gateway.envoy.pid()));
            memory.lock().expect("no panic").push(sample);
        }
        world.is_over.store(true, Ordering::Relaxed);
    });
    let memory = memory.into_inner().expect("no panic");
    check_calls(&world, settings);
    check_files(&world, &gateway, files_before);
    check_log(&world, &gateway);
    let memory_line = check_memory(&world, &memory, settings.lasts);
    outcome(&world, &gateway, settings, &memory_line)
}

/// Waits until every worker is ready, and has each worker see the established tokens.
fn wait_until_ready(world: &World, ports: [u16; 2]) {
    for port in ports {
        let mut in_a_row = 0;
        polling::until("every worker to be ready", TIME_TO_BE_READY, || {
            let is_ready = Request::get("/ready").send(port).status == 200;
            in_a_row = if is_ready { in_a_row + 1 } else { 0 };
            (in_a_row >= ENOUGH_FOR_EVERY_WORKER).then_some(())
        });
    }
    for token in world.established() {
        for port in ports {
            for _ in 0..ENOUGH_FOR_EVERY_WORKER {
                // Open at first, whatever the scopes.
                let request = Request::get("/flip").bearer(&token.text).header("x-request-id", WARM_UP);
                let status = request.send(port).status;
                assert_eq!(status, 200, "nothing is at fault yet");
            }
        }
    }
}

/// Envoy's open files without its connections to our servers, which it keeps.
fn files_of_clients(gateway: &Gateway) -> usize {
    open_files(gateway.envoy.pid()).saturating_sub(gateway.upstream_connections())
}

fn check_files(world: &World, gateway: &Gateway, before: usize) {
    let returned = polling::within(DRAIN + Duration::from_secs(10), || {
        (files_of_clients(gateway) <= before + MOST_FILES_LEFT).then_some(())
    });
    if returned.is_none() {
        let detail = format!("{before} before the run, {} after it", files_of_clients(gateway));
        world.report.violate("Envoy keeps files open".to_owned(), "", detail);
    }
}

/// The most calls in any minute.
fn most_in_a_minute(calls: &[Moment]) -> usize {
    let mut first = 0;
    let mut most = 0;
    for (place, call) in calls.iter().enumerate() {
        while calls[first] + MINUTE <= *call {
            first += 1;
        }
        most = most.max(place + 1 - first);
    }
    most
}

/// The bounds of the documentation, for a process.
fn most_calls(world: &World, endpoint: Endpoint, settings: &Settings) -> usize {
    let reloads: usize = world.reloads.counts().values().sum();
    let minutes = (settings.lasts.as_secs() as usize).div_ceil(60).max(1);
    let vms = settings.workers as usize + 1;
    match endpoint {
        // Three at once and one every ten seconds for unknown key ids, one a minute because a set grows old, and the
        // attempts after failures: of a fault at most five, and at most five faults begin in a minute.
        Endpoint::Keys => 3 + 6 + 2 + 25,
        Endpoint::Introspection => CALLS_PER_MINUTE,
        // Each VM polls for each configuration that it runs, the replaced ones until they are drained.
        Endpoint::List => vms * (2 * 67 + (reloads / minutes + 3) * (DRAIN.as_secs() as usize + 2)),
        Endpoint::Backend => usize::MAX,
    }
}

fn check_calls(world: &World, settings: &Settings) {
    for endpoint in [Endpoint::Keys, Endpoint::Introspection, Endpoint::List] {
        let mut calls = world.endpoint(endpoint).calls.lock().expect("no panic").clone();
        calls.sort();
        let (most, bound) = (most_in_a_minute(&calls), most_calls(world, endpoint, settings));
        if most > bound {
            let detail = format!("{most} calls in a minute, where {bound} are documented");
            world.report.violate(format!("too many calls: {endpoint:?}"), "", detail);
        }
    }
}

fn check_log(world: &World, gateway: &Gateway) {
    if gateway.envoy.stats("^server.live$").get("server.live") != Some(&1) {
        world.report.violate("Envoy is not alive".to_owned(), "", String::new());
    }
    let log = gateway.envoy.log();
    for sign in SIGNS_OF_A_TRAP {
        if let Some(line) = log.lines().find(|line| line.contains(sign)) {
            world.report.violate("the filter trapped".to_owned(), "", line.to_owned());
        }
    }
    // The tokens of this run begin so, and `eyJ` is how a JWT begins.
    for secret in ["eyJ", "opaque-t", "random-a", "hunter2"] {
        if let Some(line) = log.lines().find(|line| line.contains(secret)) {
            world.report.violate("a token in Envoy's log".to_owned(), "", line.to_owned());
        }
    }
}

/// Judges the second half of long runs, and says what was measured.
fn check_memory(world: &World, samples: &[(f64, f64)], lasts: Duration) -> String {
    let half = &samples[samples.len() / 2..];
    let per_minute = slope(half) * 60.0;
    let is_long = lasts >= LONG_RUN;
    if is_long && per_minute > MOST_MEBIBYTES_A_MINUTE {
        let detail = format!("{per_minute:.2} MiB a minute in the second half of the run");
        world.report.violate("Envoy's memory grows".to_owned(), "", detail);
    }
    let first = samples.first().map_or(0.0, |sample| sample.1);
    let last = samples.last().map_or(0.0, |sample| sample.1);
    let note = if is_long { "" } else { " (too short a run to judge)" };
    format!(
        "Resident memory: {first:.1} MiB at first, {last:.1} MiB at last, {per_minute:+.2} MiB a minute in the second half{note}"
    )
}

fn outcome(world: &World, gateway: &Gateway, settings: &Settings, memory: &str) -> Outcome {
    let mut summary = world.report.tables();
    summary.push_str("\nCalls:\n");
    for endpoint in [Endpoint::Keys, Endpoint::Introspection, Endpoint::List] {
        let mut calls = world.endpoint(endpoint).calls.lock().expect("no panic").clone();
        calls.sort();
        let (most, bound) = (most_in_a_minute(&calls), most_calls(world, endpoint, settings));
        let name = format!("{endpoint:?}");
        let _ =
            writeln!(summary, "  {name:<14} {:>6}, {most:>5} in the minute with most, at most {bound}", calls.len());
    }
    let _ = writeln!(summary, "\n{memory}");
    let violations = world.report.violation_counts();
    let mut examples = String::new();
    let log = if violations.is_empty() { String::new() } else { gateway.envoy.log() };
    for Violation { kind, detail, id } in world.report.violations() {
        let _ = writeln!(examples, "{kind} ({} times):\n      {detail}", violations[&kind]);
        let needle = format!("\"request_id\":\"{id}\"");
        for line in log.lines().filter(|line| !id.is_empty() && line.contains(&needle)).take(3) {
            let _ = writeln!(examples, "      log: {line}");
        }
    }
    if !violations.is_empty() {
        let lines: Vec<_> =
            log.lines().rev().filter(|line| !line.contains("\"schema\"")).take(LOG_LINES_SHOWN).collect();
        let _ =
            writeln!(examples, "The end of Envoy's log, newest first, without decisions:\n  {}", lines.join("\n  "));
        let seconds = settings.lasts.as_secs();
        let _ = writeln!(
            examples,
            "To repeat the plan: make chaos SEED={} SECONDS={seconds} (not the interleaving: threads and sockets are not controlled)",
            settings.seed
        );
    }
    Outcome { requests: world.report.requests(), healthy: world.report.healthy().served, violations, summary, examples }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minute_with_most_calls_may_begin_anywhere() {
        let calls: Vec<_> = [0, 30, 59, 61, 89, 150].map(Duration::from_secs).into();
        assert_eq!(most_in_a_minute(&calls), 4);
        assert_eq!(most_in_a_minute(&[]), 0);
    }
}
