//! Every host function that the module imports returns every bad status, in every callback that calls it: no request is
//! forwarded undecided, and none is left without a response while the module runs on.
//!
//! The SDK turns most statuses into a trap. [`RETURNED`] has those that it returns, and what follows from them. It declares
//! `Status` as an enum of eight values: a host that returns another number is tested too (5, 6, 9, 11, 12, 99, -1).
//!
//! `EVERY_FAULT=1` tests all statuses at each kind of call; without it some are left out where the module traps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use embedded_host::{Fault, FaultyCalls, HostCall, imported};

use super::journey::{Configuration, Forwarded, RequestResult, ScenarioResult, play};

/// What a fault leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Effect {
    /// The module traps: the host fails what is undecided.
    Trap,
    /// Every request is decided as without the fault.
    None,
    /// Some requests are rejected with 503, or by a condition that needs what the host does not tell (403).
    Rejected,
    /// The configuration is refused.
    Refused,
    /// A request stays paused.
    Paused,
}
use Effect::{None as Unaffected, Paused, Refused, Rejected, Trap};

const STATUSES: [i32; 14] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 99, -1];
/// Of those that trap: the likeliest, tested in every callback.
const LIKELY: [i32; 3] = [2, 10, 12];

/// The statuses that the SDK returns, by function, and all that they lead to. Every other one traps.
const RETURNED: [(&str, &[i32], &[Effect]); 15] = [
    // An absent property, which this host says of the filter state as well: there nothing was written before. InternalFailure at
    // start is nginx, which must not reject a configuration.
    ("proxy_get_property", &[1], &[Unaffected, Rejected, Refused]),
    ("proxy_get_property", &[3], &[Unaffected, Rejected, Refused]),
    ("proxy_get_property", &[10], &[Rejected]),
    // `verify_signature` is replaced by the module, `clear_route_cache` cannot be, and without `declare_property` the
    // configuration is refused: all but BadArgument, which says that the name is declared already.
    ("proxy_call_foreign_function", &[1, 3, 10], &[Unaffected, Rejected, Refused]),
    ("proxy_call_foreign_function", &[2], &[Unaffected, Rejected]),
    // An empty document: no configuration, no keys, no introspection response, no list.
    ("proxy_get_buffer_bytes", &[1], &[Rejected, Refused]),
    // Without `:status` no response is taken; other headers of it may be absent.
    ("proxy_get_header_map_value", &[1], &[Unaffected, Rejected]),
    ("proxy_http_call", &[2, 10], &[Rejected]),
    // Workers that cannot share wait for each other, and requests that wait too long are rejected.
    ("proxy_get_shared_data", &[1], &[Unaffected, Rejected]),
    ("proxy_set_shared_data", &[8], &[Unaffected, Rejected]),
    // Without a wake-up there is the timer.
    ("proxy_dequeue_shared_queue", &[1, 7], &[Unaffected]),
    ("proxy_enqueue_shared_queue", &[1], &[Unaffected]),
    // The SDK sets the root itself and panics. A host that denies a stream which it did not delete leaves no way to
    // respond to it.
    ("proxy_set_effective_context", &[2], &[Trap, Unaffected, Paused]),
    // Not the SDK's. The standard library traps when it makes its first hasher. Later the configuration is refused, and
    // pauses are the same in all gateways.
    ("random_get", &STATUSES, &[Trap, Unaffected, Refused]),
    // `proxy_increment_metric` returns BadArgument too: below.
    ("proxy_record_metric", &[1], &[Unaffected]),
];
const METRICS: (&str, &[i32], &[Effect]) = ("proxy_increment_metric", &[1, 2], &[Unaffected]);

/// Imported, because the SDK refers to them, and never called.
const NEVER_CALLED: [&str; 14] = [
    "fd_write",
    "proc_exit",
    "proxy_add_header_map_value",
    "proxy_close_stream",
    "proxy_done",
    "proxy_get_status",
    "proxy_grpc_call",
    "proxy_grpc_cancel",
    "proxy_grpc_close",
    "proxy_grpc_send",
    "proxy_grpc_stream",
    "proxy_resolve_shared_queue",
    "proxy_set_buffer_bytes",
    "proxy_set_header_map_pairs",
];

fn returned(function: &str, status: i32) -> Option<&'static [Effect]> {
    let mut rows = RETURNED.into_iter().chain([METRICS]);
    rows.find(|(name, statuses, _)| *name == function && statuses.contains(&status)).map(|(_, _, effects)| effects)
}

/// A fault, and the kind of call that it is in first.
type Case = (Configuration, HostCall, Fault);

/// The script without a fault, and the number of the first call of each kind.
struct Baseline {
    journey: ScenarioResult,
    first: BTreeMap<HostCall, usize>,
}

impl Baseline {
    fn of(configuration: Configuration) -> Self {
        let journey = play(configuration, None);
        assert_eq!((&journey.trap, journey.is_refused), (&None, false), "{:?}", journey.log);
        let (mut numbers, mut first) = (BTreeMap::<_, usize>::new(), BTreeMap::new());
        for call in &journey.trace {
            let number = numbers.entry(call.function.clone()).or_default();
            *number += 1;
            first.entry(call.clone()).or_insert(*number);
        }
        Self { journey, first }
    }

    /// What the fault leads to; an error when a request is forwarded that must not be, or is left without a response.
    fn effect(&self, (configuration, _, fault): &Case) -> Result<Effect, String> {
        let faulty = play(*configuration, Some(*fault));
        let has_trapped = faulty.trap.is_some();
        let mut effect = if has_trapped { Trap } else { Unaffected };
        for (name, fate) in &faulty.results {
            let expected = &self.journey.results[name];
            match (fate, expected) {
                (fate, expected) if fate == expected => {}
                // Trailers that had not come yet when the module trapped.
                (RequestResult::Forwarded(early), RequestResult::Forwarded(expected))
                    if has_trapped && *early == Forwarded { trailers: Vec::new(), ..expected.clone() } => {}
                (RequestResult::Unanswered, _) if has_trapped => {}
                (RequestResult::Unanswered, _) => effect = Paused,
                (RequestResult::Rejected { status: 403, .. }, _) if *name == "office" => effect = effect.max(Rejected),
                (RequestResult::Rejected { status: 503, is_retried: true }, _) => effect = effect.max(Rejected),
                (RequestResult::Rejected { status: 503, .. }, _) if *name == "ready" => effect = effect.max(Rejected),
                _ => return Err(format!("{name:?}: {} instead of {}", brief(fate), brief(expected))),
            }
        }
        Ok(match effect {
            Paused => Paused,
            _ if has_trapped => Trap,
            _ if faulty.is_refused => Refused,
            effect => effect,
        })
    }
}

/// A fate, without the headers.
fn brief(fate: &RequestResult) -> String {
    match fate {
        RequestResult::Forwarded(request) => {
            let (head, trailers) = (request.head.len(), request.trailers.len());
            let (state, is_cleared) = (request.filter_state.len(), request.is_route_cleared);
            format!("forwarded ({head} headers, {trailers} trailers, {state} entries of state, cleared: {is_cleared})")
        }
        RequestResult::Rejected { status, is_retried } => format!("rejected with {status} (Retry-After: {is_retried})"),
        RequestResult::Unanswered => "unanswered".to_owned(),
    }
}

/// The faults to test.
fn cases(baselines: &BTreeMap<Configuration, Baseline>) -> Vec<Case> {
    let is_every_fault = std::env::var_os("EVERY_FAULT").is_some();
    let mut cases = Vec::new();
    for (configuration, baseline) in baselines {
        let (mut functions, mut callbacks) = (BTreeSet::new(), BTreeSet::new());
        let mut calls: Vec<(&HostCall, usize)> = baseline.first.iter().map(|(call, number)| (call, *number)).collect();
        calls.sort_by_key(|(_, number)| *number);
        for (call, number) in calls {
            let is_first = functions.insert(&call.function);
            let is_first_in_callback = callbacks.insert((&call.function, &call.callback));
            // Where an optional feature is refused, the configuration without it tells more.
            let is_told_apart = ["proxy_get_property", "proxy_call_foreign_function"].contains(&&*call.function);
            if *configuration == Configuration::Portable && !is_told_apart && !is_every_fault {
                continue;
            }
            for status in STATUSES {
                let is_returned = returned(&call.function, status).is_some();
                let is_likely = is_first_in_callback && LIKELY.contains(&status);
                if !(is_returned || is_first || is_likely || is_every_fault) {
                    continue;
                }
                let function = imported_name(&call.function);
                let mut add = |calls| cases.push((*configuration, call.clone(), Fault { function, status, calls }));
                add(FaultyCalls::Only(number));
                if is_returned && (is_first_in_callback || is_every_fault) {
                    add(FaultyCalls::From(number));
                }
            }
        }
    }
    cases
}

fn imported_name(function: &str) -> &'static str {
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut names = NAMES.lock().unwrap();
    match names.get(function) {
        Some(name) => name,
        None => {
            let name: &'static str = Box::leak(function.to_owned().into_boxed_str());
            names.insert(name);
            name
        }
    }
}

#[test]
fn no_status_of_any_host_function_forwards_a_request_undecided() {
    let configurations = [Configuration::Portable, Configuration::Envoy];
    let baselines: BTreeMap<_, _> = configurations.into_iter().map(|of| (of, Baseline::of(of))).collect();
    let cases = cases(&baselines);
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let effect = baselines[&case.0].effect(case);
                    results.lock().unwrap().push((case, effect));
                }
            });
        }
    });

    let mut seen = BTreeMap::<_, BTreeSet<Effect>>::new();
    let mut wrong = Vec::new();
    for (case, effect) in results.into_inner().unwrap() {
        let (_, _, Fault { function, status, .. }) = case;
        let expected = returned(function, *status).unwrap_or(&[Trap]);
        match effect {
            Ok(effect) if expected.contains(&effect) => {
                seen.entry((*function, expected)).or_default().insert(effect);
            }
            effect => wrong.push(format!("{case:?}: {effect:?} instead of {expected:?}")),
        }
    }
    println!("{} faults", cases.len());
    assert!(wrong.is_empty(), "{} faults lead elsewhere:\n{}", wrong.len(), wrong.join("\n"));
    for ((function, expected), seen) in seen {
        let expected = expected.iter().copied().collect();
        assert_eq!(seen, expected, "{function}: the table has effects that no fault leads to");
    }
}

#[test]
fn every_imported_function_is_called_by_the_script_or_never() {
    let journey = play(Configuration::Envoy, None);
    let called: BTreeSet<&str> = journey.trace.iter().map(|call| &*call.function).collect();
    let imported = imported();
    let imported: BTreeSet<&str> = imported.iter().map(String::as_str).collect();
    let never: BTreeSet<&str> = imported.difference(&called).copied().collect();
    assert_eq!(never, BTreeSet::from(NEVER_CALLED));
}
