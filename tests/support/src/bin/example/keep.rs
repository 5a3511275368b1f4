//! `--keep`: what a person can try while everything stays up.

use serde_json::Map;
use testbed::example::{Example, RunningExample};
use testbed::presentation::Screen;

/// Prints where everything is, and a token for curl.
pub fn invite(screen: &Screen, example: &Example, running: &RunningExample) {
    screen.heading("Everything stays up until you press Ctrl-C. Try this in another terminal:");
    println!();
    for (listener, port) in running.envoy.listening_ports() {
        screen.verbatim(&format!("# the listener {listener}\ncurl -i http://127.0.0.1:{port}/"));
    }
    let plugin = example.plugin_configuration();
    for provider in plugin["providers"].as_object().into_iter().flatten().map(|(name, _)| name) {
        let token = running.sign(Some(provider), &Map::new());
        screen.verbatim(&format!("\n# a good token of {provider}, for an hour\nTOKEN={token}"));
    }
    screen.verbatim("\n# send it along\ncurl -i -H \"Authorization: Bearer $TOKEN\" …");
    screen.verbatim(&format!("\n# the exact reason of each refusal\ntail -f {}", running.envoy.log_path().display()));
    println!();
}
