//! `make example NAME=…`: a folder under `examples/`, run unchanged, each request shown beside its response.
//!
//! Without a name it lists the folders. It is a check too: it exits with 1 when a response differs from the folder's
//! `requests.json`. With `--keep` it keeps running for curl.

mod keep;

use std::collections::BTreeSet;
use std::env;
use std::iter;
use std::process::ExitCode;
use std::time::Instant;

use serde_json::Value;
use testbed::example::{self, Example, Outcome, Proof, Row, RunningExample};
use testbed::presentation::{MISUSED, Presentation, Screen, Stop, in_seconds, present};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (name, keep) = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => {
            list();
            return ExitCode::SUCCESS;
        }
        [name] if !name.starts_with('-') => (*name, false),
        [name, "--keep"] => (*name, true),
        _ => {
            eprintln!("usage: example [NAME [--keep]]");
            return ExitCode::from(MISUSED);
        }
    };
    if !example::names().iter().any(|known| known == name) {
        eprintln!("There is no examples/{name}. There are:");
        list();
        return ExitCode::from(MISUSED);
    }
    present("example", |presentation| play(name, keep, presentation))
}

fn list() {
    for name in example::names() {
        println!("  make example NAME={name:21}  {}", Example::read(&name).title());
    }
}

/// Shows the example; whether all was as it says.
fn play(name: &str, keep: bool, presentation: &Presentation) -> Result<bool, Stop> {
    let began = Instant::now();
    let screen = &presentation.screen;
    let example = Example::read(name);
    screen.heading(&format!("{} (examples/{name})", example.title()));
    screen.paragraph(&example.about());
    screen.heading("plugin.json: the filter's whole configuration");
    screen.verbatim(&example.plugin);
    screen.heading("Starting");
    let running = presentation.doing(|| {
        let text = "an authorization server for each issuer, what else Envoy asks, the backends, and Envoy with this folder's envoy.yaml";
        (RunningExample::start(&example), text.to_owned())
    })?;

    screen.heading("requests.json");
    screen.table_head();
    let shown = headers_to_show(&example);
    let (mut admitted, mut unexpected) = (0, 0);
    for row in &example.rows {
        presentation.check()?;
        let outcome = running.play(row);
        presentation.check()?;
        let faults = outcome.faults(row);
        let (beside, below): (Vec<_>, Vec<_>) =
            outcome.details(row).into_iter().partition(|line| Screen::fits_beside(line));
        screen.row(&cells(row, &outcome, beside, &shown), &faults);
        for line in below {
            screen.remark(&format!("→ {line}"));
        }
        admitted += usize::from(outcome.was_forwarded());
        unexpected += usize::from(!faults.is_empty());
    }
    summarize(screen, &example, admitted, unexpected, began);
    if keep {
        keep::invite(screen, &example, &running);
        presentation.interruption.wait();
        println!("\nEnding Envoy, the authorization servers and the backends.");
    }
    Ok(unexpected == 0)
}

/// The header fields that a reader wants to see at the backend: the identity, and what the rows speak of.
fn headers_to_show(example: &Example) -> Vec<String> {
    let plugin = example.plugin_configuration();
    let defaults = ["x-user-id", "x-client-id", "x-granted-scopes"].map(str::to_owned).to_vec();
    let configured = plugin["claim_to_headers"]
        .as_array()
        .map_or(defaults, |list| list.iter().filter_map(|entry| entry["header"].as_str().map(str::to_owned)).collect());
    let spoken_of: BTreeSet<String> = example.rows.iter().flat_map(|row| row.backend.keys().cloned()).collect();
    let others: Vec<_> = spoken_of.into_iter().filter(|name| !configured.contains(name)).collect();
    configured.into_iter().chain(others).collect()
}

fn cells(row: &Row, outcome: &Outcome, beside: Vec<String>, shown: &[String]) -> [String; 4] {
    let mut request = vec![row.what.clone(), row.request.clone()];
    for (name, value) in &row.headers {
        request.extend(value.values().iter().map(|value| format!("{name}: {value}")));
    }
    if let Some(claims) = &row.token {
        request.extend(claims.iter().map(|(name, value)| format!("token {name}: {}", in_words(value))));
    }
    request.extend(row.token_cookie.iter().map(|name| format!("token in the cookie {name}")));
    request.extend(row.token_bound_to_key.iter().map(|name| format!("token bound to the key {name}")));
    request.extend(row.proof.as_ref().map(|proof| proof_in_words(proof, row)));
    if row.again {
        request.push("the same bytes as above".to_owned());
    }
    request.extend(row.from.iter().map(|address| format!("from {address}")));
    request.extend(row.certificate.iter().map(|name| format!("certificate of {name}")));
    request.extend(row.untrusted_certificate.iter().map(|name| format!("self-made certificate of {name}")));
    if row.times > 1 {
        request.push(format!("{} times", row.times));
    }
    let answer: Vec<_> = iter::once(outcome.status()).chain(beside).collect();
    [request.join("\n"), answer.join("\n"), outcome.seen(row, shown), outcome.reason()]
}

fn proof_in_words(proof: &Proof, row: &Row) -> String {
    let key = proof.key.iter().map(|name| format!(" by the key {name}"));
    let method = proof.method.as_deref().or(row.request.split(' ').next()).unwrap_or_default();
    let nonce = proof.nonce.then(|| ", with the nonce".to_owned());
    let time = proof.iat.iter().map(|time| format!(", {time}"));
    let details: String = key.chain([format!(" for {method} {}", proof.url)]).chain(nonce).chain(time).collect();
    format!("proof{details}")
}

/// A claim's value as people write it.
fn in_words(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(elements) => elements.iter().map(in_words).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

fn summarize(screen: &Screen, example: &Example, admitted: usize, unexpected: usize, began: Instant) {
    let rows = example.rows.len();
    let judgement = match unexpected {
        0 => "all as expected".to_owned(),
        unexpected => format!("{unexpected} NOT as expected"),
    };
    let counted = format!("{rows} rows: {admitted} reached a backend, {} did not", rows - admitted);
    screen.verdict(unexpected == 0, &format!("{counted}, {judgement}. ({})", in_seconds(began.elapsed())));
}
