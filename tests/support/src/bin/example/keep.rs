//! `--keep`: commands to try while everything keeps running.

use testbed::example::{Example, Row, RunningExample};
use testbed::presentation::Screen;

/// Prints the first request that passes as a command for curl, with a fresh token, and where to look for reasons. curl makes no
/// proofs.
pub fn invite(screen: &Screen, example: &Example, running: &RunningExample) {
    screen.heading("Everything stays up until you press Ctrl-C. Try this in another terminal:");
    println!();
    if let Some(row) =
        example.rows.iter().find(|row| row.status == Some(200) && row.token.is_some() && row.proof.is_none())
    {
        screen.verbatim(&format!("# {}\n{}\n", row.what, command(row, running)));
    }
    screen.verbatim(&format!("# the exact reason of each refusal\ntail -f {}", running.envoy.log_path().display()));
    println!();
}

fn command(row: &Row, running: &RunningExample) -> String {
    let token = running.token(row).unwrap_or_default();
    let (method, target) = row.request.split_once(' ').unwrap_or_default();
    let mut options = vec![format!("-X {method}")];
    options.push(match &row.token_cookie {
        None => "-H \"Authorization: Bearer $TOKEN\"".to_owned(),
        Some(cookie) => format!("-H \"Cookie: {cookie}=$TOKEN\""),
    });
    for (name, value) in &row.headers {
        options.extend(value.values().iter().map(|value| format!("-H '{name}: {value}'")));
    }
    options.extend(row.body.iter().map(|body| format!("-d '{body}'")));
    format!("TOKEN={token}\ncurl -i {} {}{target}", options.join(" "), running.curl_address(row))
}
