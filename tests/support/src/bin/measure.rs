//! `make measure`: the CPU time that the filter adds to a request, beside Envoy's own `jwt_authn`.
//!
//! One Envoy with one worker has a listener for each subject: no filter, ours, `jwt_authn`, and `jwt_authn` with its
//! token cache. All verify the same RS256 tokens with the same keys, given inline, and write two claims into headers;
//! Envoy answers by itself after the filters, so nothing else is measured. Rounds are interleaved in rotating order,
//! and each subject is compared with "no filter" of the same round.

use std::num::NonZero;
use std::{env, fs, thread};

use serde_json::{Value, json};
use testbed::authorization_server::{DEFAULT_AUDIENCE, ISSUER, now};
use testbed::{AuthorizationServer, Envoy, EnvoyBuilder, ListenerOptions, Request, SigningKey, load};

const CONNECTIONS: usize = 4;
const WARM_UP_ROUNDS: usize = 2;
const ROUNDS: usize = 16;
const REQUESTS_PER_ROUND: usize = 1000;
/// So many that none is in anybody's cache when its turn comes again.
const DISTINCT_TOKENS: usize = 6000;
const JWT_AUTHN_CACHE_SIZE: usize = 1000;

/// Whose CPU time is taken: the listener's name and what it is called in the table.
const SUBJECTS: [(&str, &str); 4] = [
    ("none", "no filter"),
    ("ours", "okta-proxy-wasm"),
    ("jwt_authn", "jwt_authn"),
    ("jwt_authn_cached", "jwt_authn, jwt_cache_config"),
];
const NO_FILTER: usize = 0;
const JWT_AUTHN: usize = 2;

fn main() {
    let rounds = match env::args().nth(1).map(|argument| argument.parse()) {
        None => ROUNDS,
        Some(Ok(rounds @ 1..)) => rounds,
        Some(_) => panic!("usage: measure [ROUNDS]"),
    };
    println!("CPU time per request, RS256 (2048 bits), two claims into headers");
    println!("{}; load from {CONNECTIONS} connections of the same machine", machine());
    let server = AuthorizationServer::start();
    let envoy = start_envoy(&server.jwks());

    let repeated = vec![with_token(&server, 0); REQUESTS_PER_ROUND];
    report("one token, repeated", rounds, &measure(&envoy, rounds, |_| &repeated));

    let distinct = mint(&server);
    let slices: Vec<&[Request]> = distinct.chunks(REQUESTS_PER_ROUND).collect();
    report("a new token with each request", rounds, &measure(&envoy, rounds, |round| slices[round % slices.len()]));

    println!(
        "\n\"added\" is the median over the rounds of the difference to \"no filter\" in the same round, in brackets its"
    );
    println!("quartiles. Noise is large where other work shares the processor: compare lines of one run, and trust");
    println!("differences only when they exceed the quartiles.");
}

// --- what is measured ------------------------------------------------------------------------------

fn start_envoy(key_set: &Value) -> Envoy {
    let filter = |cache: Option<usize>| vec![jwt_authn(key_set, cache)];
    let plain = |name| ListenerOptions { direct_response: true, ..ListenerOptions::unfiltered(name) };
    let ours = ListenerOptions { direct_response: true, ..ListenerOptions::filtered("ours", &plugin(key_set)) };
    EnvoyBuilder::new()
        .concurrency(1)
        .listener(plain("none"))
        .listener(ours)
        .listener(ListenerOptions { filters_before: filter(None), ..plain("jwt_authn") })
        .listener(ListenerOptions { filters_before: filter(Some(JWT_AUTHN_CACHE_SIZE)), ..plain("jwt_authn_cached") })
        .start()
}

fn plugin(key_set: &Value) -> Value {
    json!({
        "providers": {"okta": {
            "issuer": ISSUER,
            "audiences": [DEFAULT_AUDIENCE],
            "jwks": {"inline": key_set},
        }},
        "claim_to_headers": [
            {"header": "x-user-id", "claim": "sub"},
            {"header": "x-client-id", "claim": "cid"},
        ],
    })
}

fn jwt_authn(key_set: &Value, cache_size: Option<usize>) -> Value {
    let mut provider = json!({
        "issuer": ISSUER,
        "audiences": [DEFAULT_AUDIENCE],
        "local_jwks": {"inline_string": key_set.to_string()},
        "claim_to_headers": [
            {"header_name": "x-user-id", "claim_name": "sub"},
            {"header_name": "x-client-id", "claim_name": "cid"},
        ],
    });
    if let Some(size) = cache_size {
        provider["jwt_cache_config"] = json!({"jwt_cache_size": size});
    }
    json!({
        "name": "envoy.filters.http.jwt_authn",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": {"okta": provider},
            "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "okta"}}],
        },
    })
}

fn with_token(server: &AuthorizationServer, number: usize) -> Request {
    let mut claims = server.base_claims(now());
    claims["jti"] = json!(format!("AT.measured{number:032}"));
    Request::get("/accounts").bearer(&server.sign(&json!({}), &claims, SigningKey::Active))
}

fn mint(server: &AuthorizationServer) -> Vec<Request> {
    (0..DISTINCT_TOKENS).map(|number| with_token(server, number + 1)).collect()
}

// --- how -------------------------------------------------------------------------------------------

/// For each subject its CPU time per request, in microseconds, round by round.
fn measure<'r>(envoy: &Envoy, rounds: usize, requests: impl Fn(usize) -> &'r [Request]) -> Vec<Vec<f64>> {
    let mut measured = vec![Vec::new(); SUBJECTS.len()];
    for round in 0..WARM_UP_ROUNDS + rounds {
        let requests = requests(round);
        for place in 0..SUBJECTS.len() {
            // Rotating, so that none always comes after the same other.
            let subject = (round + place) % SUBJECTS.len();
            let port = envoy.port(SUBJECTS[subject].0);
            let before = cpu_nanoseconds(envoy.pid());
            load::send_all(port, requests, CONNECTIONS);
            let spent = cpu_nanoseconds(envoy.pid()) - before;
            if round >= WARM_UP_ROUNDS {
                measured[subject].push(spent as f64 / 1000.0 / requests.len() as f64);
            }
        }
    }
    measured
}

/// What all threads of a process have spent: the first field of each `schedstat`.
fn cpu_nanoseconds(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("Envoy runs, on Linux");
    let spent = tasks.flatten().map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0)
    });
    spent.sum()
}

// --- what it says ----------------------------------------------------------------------------------

fn report(workload: &str, rounds: usize, measured: &[Vec<f64>]) {
    println!("\n{workload}: {rounds} rounds of {REQUESTS_PER_ROUND} requests, in microseconds");
    println!("  {:28}  {:>9}  {:>24}  {:>15}", "", "total", "added [quartiles]", "of jwt_authn's");
    let reference = quartiles(differences(measured, JWT_AUTHN))[1];
    for (subject, (_, title)) in SUBJECTS.iter().enumerate() {
        let total = quartiles(measured[subject].clone())[1];
        if subject == NO_FILTER {
            println!("  {title:28}  {total:9.1}");
            continue;
        }
        let [low, added, high] = quartiles(differences(measured, subject));
        let added_text = format!("{added:+.1} [{low:.1}..{high:.1}]");
        println!("  {title:28}  {total:9.1}  {added_text:>24}  {:>14.2}x", added / reference);
    }
}

fn differences(measured: &[Vec<f64>], subject: usize) -> Vec<f64> {
    measured[subject].iter().zip(&measured[NO_FILTER]).map(|(with, without)| with - without).collect()
}

/// The lower quartile, the median and the upper quartile, interpolated.
fn quartiles(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [0.25, 0.5, 0.75].map(|share| {
        let place = share * (values.len() - 1) as f64;
        let (below, above) = (values[place.floor() as usize], values[place.ceil() as usize]);
        below + (above - below) * place.fract()
    })
}

fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    format!("{}, {cores} cores", model.map_or("unknown processor", |(_, name)| name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_are_interpolated() {
        assert_eq!(quartiles(vec![4.0, 1.0, 3.0, 2.0, 5.0]), [2.0, 3.0, 4.0]);
        assert_eq!(quartiles(vec![1.0, 2.0]), [1.25, 1.5, 1.75]);
    }
}
