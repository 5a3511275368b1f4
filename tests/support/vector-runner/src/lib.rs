//! Verifies test vectors inside a host: the messages of public corpora are not tokens, so the filter itself cannot verify them.
//!
//! The body of each request is `{"jwk", "algorithm", "cases": [[message, signature], …]}`, the response
//! `{"by_host", "native": [verdict, …], "portable": […], "native_ns", "portable_ns"}`, or `{"key": "refused"}`.
//! The verifier is the filter's own code, down to the bytes that are exchanged with the host.
#![cfg(target_family = "wasm")]
#![allow(missing_docs, reason = "the SDK's macro writes an entry point without one")]

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use okta_proxy_wasm::jose::{Algorithm, Key, KeySet, NativeVerifier, PortableVerifier, SignatureVerifier};
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, BufferType, LogLevel};
use serde_json::{Value, json};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_http_context(|_, _| Box::new(Runner));
}}

struct Runner;

impl Context for Runner {}

impl HttpContext for Runner {
    /// With `allow_on_headers_stop_iteration` this waits for the body.
    fn on_http_request_headers(&mut self, _num_headers: usize, _end_of_stream: bool) -> Action {
        Action::Pause
    }

    fn on_http_request_body(&mut self, body_size: usize, end_of_stream: bool) -> Action {
        if end_of_stream {
            let body = hostcalls::get_buffer(BufferType::HttpRequestBody, 0, body_size).ok().flatten();
            let answer = body.and_then(|body| judge(&serde_json::from_slice(&body).ok()?));
            let (status, text) = answer.map_or((400, String::new()), |answer| (200, answer.to_string()));
            if let Err(status) = hostcalls::send_http_response(status, Vec::new(), Some(text.as_bytes())) {
                log_failure(&format!("the host refused the answer: {status:?}"));
            }
        }
        Action::Pause
    }
}

fn judge(vectors: &Value) -> Option<Value> {
    let algorithm = Algorithm::parse(vectors["algorithm"].as_str()?)?;
    let cases: Option<Vec<(Vec<u8>, Vec<u8>)>> = vectors["cases"].as_array()?.iter().map(case).collect();
    let cases = cases?;
    let Ok(keys) = KeySet::parse(json!({ "keys": [vectors["jwk"]] }).to_string().as_bytes()) else {
        return Some(json!({ "key": "refused" }));
    };
    let key = keys.candidates(None, algorithm).first().copied()?;
    let native = NativeVerifier::with_self_test(Box::new(verify_signature), &[algorithm]);
    let (native_verdicts, native_time) = timed(&native, algorithm, key, &cases);
    let (portable_verdicts, portable_time) = timed(&PortableVerifier, algorithm, key, &cases);
    let by_host: Vec<&str> = native.host_algorithms().iter().map(|algorithm| algorithm.name()).collect();
    Some(json!({
        "by_host": by_host,
        "native": native_verdicts,
        "portable": portable_verdicts,
        "native_ns": nanoseconds(native_time),
        "portable_ns": nanoseconds(portable_time),
    }))
}

fn case(pair: &Value) -> Option<(Vec<u8>, Vec<u8>)> {
    let bytes = |at: usize| URL_SAFE_NO_PAD.decode(pair[at].as_str()?).ok();
    Some((bytes(0)?, bytes(1)?))
}

fn timed(
    verifier: &dyn SignatureVerifier,
    algorithm: Algorithm,
    key: &Key,
    cases: &[(Vec<u8>, Vec<u8>)],
) -> (Vec<bool>, Duration) {
    let begun = now();
    let verdicts =
        cases.iter().map(|(message, signature)| verifier.verifies(algorithm, key, message, signature)).collect();
    (verdicts, now().duration_since(begun).unwrap_or_default())
}

fn now() -> SystemTime {
    hostcalls::get_current_time().unwrap_or(SystemTime::UNIX_EPOCH)
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn verify_signature(arguments: &[u8]) -> Option<Vec<u8>> {
    hostcalls::call_foreign_function("verify_signature", Some(arguments)).ok().flatten()
}

fn log_failure(text: &str) {
    // There is nobody left to tell.
    let _ = hostcalls::log(LogLevel::Error, text);
}
