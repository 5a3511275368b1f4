//! `init`: writes a first configuration with policy tests that pass, from a few questions.

use std::fs;
use std::io::{self, BufRead as _, Write as _};
use std::path::{Path, PathBuf};

use okta_proxy_wasm::config;
use serde_json::{Value, json};

use crate::arguments::{CheckFormat, Init, InitHost, ReportFormat, SecretSources, Test};
use crate::check;
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::plugin::diagnostic::HostCode;
use crate::policy_tests;
use crate::style::Style;

/// What the templates have in the place of the inputs.
const DOMAIN: &str = "acme.okta.com";
const AUDIENCE: &str = "\"api://default\"";
const BACKEND: &str = "127.0.0.1:9000";

const ENVOY: &str = include_str!("../../envoy/envoy.yaml");
const ISTIO: [(&str, &str); 2] = [
    ("wasm-plugin.yaml", include_str!("../../deploy/istio/wasm-plugin.yaml")),
    ("identity-provider.yaml", include_str!("../../deploy/istio/identity-provider.yaml")),
];
const ENVOY_GATEWAY: [(&str, &str); 2] = [
    ("extension-policy.yaml", include_str!("../../deploy/envoy-gateway/extension-policy.yaml")),
    ("proxy.yaml", include_str!("../../deploy/envoy-gateway/proxy.yaml")),
];

struct Inputs {
    domain: String,
    authorization_server: String,
    audience: String,
    host: InitHost,
    backend: String,
}

pub fn run(arguments: &Init) -> Result<Outcome, Failure> {
    let inputs = inputs(arguments)?;
    let plugin = plugin(&inputs);
    let text = format!("{plugin:#}\n");
    config::load(text.as_bytes(), &|_: &str| None).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(|fault| format!("\n  {fault}")).collect();
        Failure(format!("no configuration follows from these values:{}", faults.concat()))
    })?;
    let mut files = vec![(String::from("plugin.json"), text)];
    files.extend(host_files(&inputs, &plugin));
    files.push((String::from("policy-tests.yaml"), policy_tests_of(&inputs)));
    let written = write(&arguments.directory, files)?;
    let style = Style::of_stdout();
    output::line(&style.strong("Written:"));
    written.iter().for_each(|path| output::line(&format!("  {}", path.display())));
    let outcome = verify(&written)?;
    output::line(&style.strong("Next:"));
    next_steps(&inputs).iter().for_each(|step| output::line(&format!("  {step}")));
    Ok(outcome)
}

fn inputs(arguments: &Init) -> Result<Inputs, Failure> {
    let domain = ask(arguments.domain.as_deref(), "domain", "The domain of your Okta organization", None)?;
    let audience = ask(arguments.audience.as_deref(), "audience", "The audience of your API", Some("api://default"))?;
    let host = match arguments.host {
        Some(host) => host,
        None => {
            let name = ask(None, "host", "Where it runs: envoy, istio or envoy-gateway", Some("envoy"))?;
            <InitHost as clap::ValueEnum>::from_str(&name, false)
                .map_err(|_| Failure(format!("{name:?} is none of envoy, istio and envoy-gateway")))?
        }
    };
    let backend = match host {
        InitHost::Envoy => ask(arguments.backend.as_deref(), "backend", "The address of your backend", Some(BACKEND))?,
        InitHost::Istio | InitHost::EnvoyGateway => String::from(BACKEND),
    };
    let is_address = |text: &str| text.parse::<std::net::SocketAddr>().is_ok();
    if !is_address(&backend) {
        return Err(Failure(format!("--backend: {backend:?} is not an IP address with a port, such as {BACKEND}")));
    }
    let authorization_server = arguments.authorization_server.clone();
    Ok(Inputs { domain, authorization_server, audience, host, backend })
}

/// The value of an option, or of the line that is read in its place.
fn ask(given: Option<&str>, option: &str, question: &str, default: Option<&str>) -> Result<String, Failure> {
    if let Some(given) = given {
        return Ok(given.trim().to_owned());
    }
    let shown = default.map(|default| format!(" [{default}]")).unwrap_or_default();
    // Standard output has the result.
    let _prompted = write!(io::stderr(), "{question}{shown}: ").and_then(|()| io::stderr().flush());
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line).map_err(|error| Failure(format!("standard input: {error}")))?;
    match (line.trim(), default) {
        ("", Some(default)) => Ok(default.to_owned()),
        ("", None) if read == 0 => Err(Failure(format!("--{option} is missing"))),
        ("", None) => ask(None, option, question, default),
        (line, _) => Ok(line.to_owned()),
    }
}

fn plugin(inputs: &Inputs) -> Value {
    let upstream = match inputs.host {
        InitHost::Envoy | InitHost::EnvoyGateway => String::from("okta"),
        // The name that Istio gives the cluster of the ServiceEntry.
        InitHost::Istio => format!("outbound|443||{}", inputs.domain),
    };
    json!({
        "providers": { "okta": {
            "okta": { "domain": inputs.domain, "authorization_server": inputs.authorization_server },
            "audiences": [inputs.audience],
            "upstream": upstream,
        } },
        "rules": [{ "name": "health", "match": { "path": "/healthz" }, "access": "public" }],
    })
}

fn host_files(inputs: &Inputs, plugin: &Value) -> Vec<(String, String)> {
    let templates: &[(&str, &str)] = match inputs.host {
        InitHost::Envoy => return vec![(String::from("envoy.yaml"), envoy(inputs, plugin))],
        InitHost::Istio => &ISTIO,
        InitHost::EnvoyGateway => &ENVOY_GATEWAY,
    };
    let preset = |domain: &str| format!("okta: {{domain: {domain}}}");
    let ours =
        format!("okta: {{domain: {}, authorization_server: {}}}", inputs.domain, json!(inputs.authorization_server));
    let fill = |template: &str| {
        let filled = template.replace(&preset(DOMAIN), &ours).replace(DOMAIN, &inputs.domain);
        filled.replace(AUDIENCE, &json!(inputs.audience).to_string())
    };
    templates.iter().map(|(name, template)| ((*name).to_owned(), fill(template))).collect()
}

fn envoy(inputs: &Inputs, plugin: &Value) -> String {
    // The first paragraph is about the repository.
    let body = ENVOY.split_once("\n\n").map_or(ENVOY, |(_, body)| body);
    let (before, rest) = body.split_once("                  value: |\n").unwrap_or((body, ""));
    let after = rest.find("          - name: envoy.filters.http.router").map_or("", |at| rest.split_at(at).1);
    let lines: String = format!("{plugin:#}").lines().map(|line| format!("{:20}{line}\n", "")).collect();
    let (address, port) = inputs.backend.rsplit_once(':').unwrap_or((&inputs.backend, ""));
    let address = address.trim_start_matches('[').trim_end_matches(']');
    let filled = format!(
        "# Written by `okta-proxy-wasm init`. Put okta_proxy_wasm.wasm beside this file, then: envoy -c envoy.yaml\n\
         # Everything marked SECURITY is there because leaving it out weakens the gateway without a message.\n\n\
         {before}                  value: |\n{lines}{after}"
    );
    filled
        .replace("./target/wasm32-wasip1/release/okta_proxy_wasm.wasm", "./okta_proxy_wasm.wasm")
        .replace(DOMAIN, &inputs.domain)
        .replace("{address: 127.0.0.1, port_value: 9000}", &format!("{{address: \"{address}\", port_value: {port}}}"))
}

/// Cases that hold for the configuration of [`plugin`].
fn policy_tests_of(inputs: &Inputs) -> String {
    let audience = json!(inputs.audience);
    let config = match inputs.host {
        InitHost::Envoy => "envoy.yaml",
        InitHost::Istio => "wasm-plugin.yaml",
        InitHost::EnvoyGateway => "extension-policy.yaml",
    };
    format!(
        r#"# okta-proxy-wasm test policy-tests.yaml
config: {config}
defaults:
  host: api.example.com
  token: {{ sub: alice@example.com, cid: 0oa1client, scp: [read] }}
cases:
- name: no token
  request: GET /
  expect: {{ status: 401, reason: token_missing }}
- name: the health check needs no token
  request: GET /healthz
  expect: {{ decision: allow, rule: health, headers: {{ x-user-id: null }} }}
- name: a good token
  request: GET /
  token: {{ aud: {audience} }}
  expect: {{ decision: allow, headers: {{ x-user-id: alice@example.com, authorization: null }} }}
- name: a forged identity header is replaced
  request: GET /
  headers: {{ X-User-Id: mallory@example.com }}
  token: {{}}
  expect: {{ decision: allow, headers: {{ x-user-id: alice@example.com }} }}
- name: a token for another API
  request: GET /
  token: {{ aud: "api://another" }}
  expect: {{ status: 401, reason: audience_unexpected }}
- name: an expired token
  request: GET /
  token: {{ iat: -70m, exp: -10m }}
  expect: {{ status: 401, reason: token_expired }}
"#
    )
}

/// Writes all files, or none if one exists.
fn write(directory: &Path, files: Vec<(String, String)>) -> Result<Vec<PathBuf>, Failure> {
    fs::create_dir_all(directory).map_err(|error| Failure::of_file(directory, error))?;
    let paths: Vec<PathBuf> = files.iter().map(|(name, _)| directory.join(name)).collect();
    let existing: Vec<String> =
        paths.iter().filter(|path| path.exists()).map(|path| path.display().to_string()).collect();
    if !existing.is_empty() {
        return Err(Failure(format!("nothing is written, because there are: {}", existing.join(", "))));
    }
    for (path, (_, text)) in paths.iter().zip(files) {
        let file = fs::OpenOptions::new().write(true).create_new(true).open(path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| Failure::of_file(path, error))?;
    }
    Ok(paths)
}

/// Checks what was written, and runs its tests.
fn verify(written: &[PathBuf]) -> Result<Outcome, Failure> {
    let (tests, configurations): (Vec<PathBuf>, Vec<PathBuf>) =
        written.iter().cloned().partition(|path| path.ends_with("policy-tests.yaml"));
    let has_plugin = |path: &&PathBuf| !path.ends_with("identity-provider.yaml") && !path.ends_with("proxy.yaml");
    // The digest is that of the release that will run.
    let accepted = [HostCode::PLACEHOLDER_DIGEST];
    let arguments = crate::arguments::Check {
        files: configurations.iter().filter(has_plugin).cloned().collect(),
        effective: false,
        strict: true,
        format: CheckFormat::Text,
        secrets: SecretSources::default(),
    };
    let checked = check::run_accepting(&arguments, &accepted)?;
    let tested = policy_tests::run(&Test { files: tests, config: None, format: ReportFormat::Text })?;
    Ok(Outcome::negative_if(checked == Outcome::Negative || tested == Outcome::Negative))
}

const fn next_steps(inputs: &Inputs) -> &'static [&'static str] {
    match inputs.host {
        InitHost::Envoy => &[
            "put okta_proxy_wasm.wasm beside envoy.yaml, then: envoy -c envoy.yaml",
            "curl -i http://127.0.0.1:10000/ without a token: 401",
            "write your rules into envoy.yaml, and cases for them into policy-tests.yaml",
        ],
        InitHost::Istio => &[
            "put the Gateway's name and namespace, the image and its digest into the files, then: kubectl apply -f .",
            "curl -i of the gateway without a token: 401. Anything else: docs/istio.md",
        ],
        InitHost::EnvoyGateway => &[
            "put the Gateway's name, the image and its digest into the files, then: kubectl apply -f .",
            "curl -i of the gateway without a token: 401. Anything else: docs/envoy-gateway.md",
        ],
    }
}
