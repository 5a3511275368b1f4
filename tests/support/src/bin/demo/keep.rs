//! `--keep`: commands to try while everything keeps running.

use testbed::authorization_server::DEFAULT_AUDIENCE;
use testbed::presentation::Screen;

use crate::stage::{Gateway, Stage};

/// Prints commands to try, with the real ports and credentials.
pub fn invite(screen: &Screen, stage: &Stage, gateway: &Gateway) {
    let api = format!("http://127.0.0.1:{}/accounts", gateway.port());
    screen.heading("Everything stays up until you press Ctrl-C. Try this in another terminal:");
    let try_this = |why: &str, commands: &[String]| {
        println!();
        screen.verbatim(&format!("# {why}\n{}", commands.join("\n")));
    };
    try_this("a token for alice, from the token endpoint", &[token_for_alice(stage)]);
    try_this("with it: the backend answers with what it received", &[curl(&api, &[BEARER])]);
    try_this("a spoofed identity does not arrive", &[curl(&api, &[BEARER, "-H 'X-User-ID: mallory@acme.com'"])]);
    try_this(
        "without a token, and with a broken one",
        &[curl(&api, &[]), curl(&api, &["-H \"Authorization: Bearer ${TOKEN%????}AAAA\""])],
    );
    try_this("a service's own token (client credentials)", &[token_for_service(stage), curl(&api, &[BEARER])]);
    let control = stage.authorization_server.control_port();
    try_this(
        "new signing keys: take a new token afterwards, it is admitted at once (not twice within 30 seconds: an unknown\n# key id makes the filter fetch the keys at most once in that time; until then it answers 503)",
        &[format!("curl -s -X POST http://127.0.0.1:{control}/rotate")],
    );
    try_this("the exact reason of each refusal", &[format!("tail -f {}", gateway.envoy.log_path().display())]);
    println!();
}

const BEARER: &str = "-H \"Authorization: Bearer $TOKEN\"";

fn curl(url: &str, options: &[&str]) -> String {
    let options: String = options.iter().map(|option| format!(" {option}")).collect();
    format!("curl -i {url}{options}")
}

fn token_for_alice(stage: &Stage) -> String {
    token(stage, "application", "-d grant_type=password -d username=alice@acme.com -d password=alice-password")
}

fn token_for_service(stage: &Stage) -> String {
    token(stage, "service", "-d grant_type=client_credentials")
}

fn token(stage: &Stage, client: &str, grant: &str) -> String {
    let server = &stage.authorization_server;
    let (id, secret) = server.client_credentials(client);
    let endpoint = format!("http://127.0.0.1:{}/oauth2/default/v1/token", server.plain_http_port());
    format!(
        "TOKEN=$(curl -s {endpoint} -u {id}:{secret} \\\n    {grant} \\\n    -d scope=read:accounts -d \
         resource={DEFAULT_AUDIENCE} | sed 's/.*\"access_token\":\"\\([^\"]*\\)\".*/\\1/')"
    )
}
