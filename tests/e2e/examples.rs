//! The folders under `examples/`, each in a real Envoy with the folder's own `envoy.yaml`: every request of its
//! `requests.json` gets the documented response. `make example` shows a reader the same.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use testbed::example::{self, Example, Row, RunningExample};
use testbed::module::project_root;
use testbed::polling::until;

/// Plays a folder and tells every fault at once.
fn play(name: &str) {
    let example = Example::read(name);
    let running = RunningExample::start(&example);
    let mut faults = Vec::new();
    for row in &example.rows {
        faults.extend(
            running.play(row).faults(row).iter().map(|fault| format!("{} ({}): {fault}", row.what, row.request)),
        );
    }
    assert!(faults.is_empty(), "examples/{name}:\n{}", faults.join("\n"));
    assert!(!running.has_trapped(), "examples/{name}: the filter trapped");
}

/// A test for each folder, and the list of those that have one.
macro_rules! requests_of_each_example_get_their_documented_responses {
    ($($test:ident: $folder:literal,)*) => {
        mod requests_of_each_example_get_their_documented_responses {
            $(#[test]
            fn $test() {
                super::play($folder);
            })*
        }
        const PLAYED: &[&str] = &[$($folder),*];
    };
}

requests_of_each_example_get_their_documented_responses! {
    audit_trail: "audit-trail",
    dpop: "dpop",
    global_rate_limits: "global-rate-limits",
    iot_gateway: "iot-gateway",
    ip_allow_list: "ip-allow-list",
    legacy_headers: "legacy-headers",
    mcp_server: "mcp-server",
    microservices: "microservices",
    mtls_bound_tokens: "mtls-bound-tokens",
    mtls_in_front: "mtls-in-front",
    okta: "okta",
    opaque_tokens: "opaque-tokens",
    partner_access: "partner-access",
    rate_limits: "rate-limits",
    response_headers: "response-headers",
    retries_and_timeouts: "retries-and-timeouts",
    revocation: "revocation",
    service_to_service: "service-to-service",
    several_issuers: "several-issuers",
    single_page_app: "single-page-app",
    step_up: "step-up",
    step_up_web: "step-up-web",
    webhooks: "webhooks",
}

/// Clients put tokens into queries, and scripts into fragments, which browsers do not send and others do.
#[test]
fn the_access_log_has_no_query_and_no_fragment() {
    for name in ["okta", "audit-trail"] {
        let running = RunningExample::start(&Example::read(name));
        for target in [
            "/first?access_token=SECRET1#access_token=SECRET2",
            "/second#access_token=SECRET3",
            "/third?a=b?c&access_token=SECRET4",
            "http://acme.com/fourth?x#access_token=SECRET5",
            "/fifth%2f?access_token=SECRET6",
            "/last?access_token=SECRET7",
        ] {
            let mut stream = TcpStream::connect(("127.0.0.1", running.port(None))).expect("a connection");
            let head = format!("GET {target} HTTP/1.1\r\nhost: acme.com\r\nconnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).expect("a request");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("a response");
            assert!(answer.starts_with("HTTP/1.1 4"), "{name}: {target}: {answer}");
        }
        let deadline = Duration::from_secs(20);
        let log =
            until("the line of the last request", deadline, || Some(running.log()).filter(|log| log.contains("/last")));
        for path in ["/first", "/second", "/third", "/fourth", "/fifth"] {
            assert!(log.contains(path), "{name}: no line of {path}: {log}");
        }
        assert!(!log.contains("SECRET") && !log.contains("access_token"), "{name}: {log}");
    }
}

#[test]
fn every_folder_is_covered() {
    assert_eq!(example::names(), PLAYED);
}

#[test]
fn every_member_of_requests_json_is_documented() {
    let list = fs::read_to_string(project_root().join("examples/README.md")).unwrap_or_default();
    let refusal = serde_json::from_str::<Row>(r#"{"no such member": 1}"#).err().map(|fault| fault.to_string());
    let (_, members) = refusal.as_deref().and_then(|text| text.split_once("expected one of ")).unwrap_or_default();
    let members: Vec<&str> = members.split('`').skip(1).step_by(2).collect();
    assert!(members.len() >= 20, "only {members:?} found");
    for member in members {
        assert!(
            list.contains(&format!("`{member}`")) || list.contains(&format!("`{member}: ")),
            "no word of `{member}`"
        );
    }
}

#[test]
fn example_list_names_every_folder_and_each_readme_has_its_command() {
    let list = fs::read_to_string(project_root().join("examples/README.md")).unwrap_or_default();
    for name in PLAYED {
        assert!(list.contains(&format!("]({name})")), "examples/README.md does not lead to {name}");
        let example = Example::read(name);
        assert!(example.readme.contains(&format!("make example NAME={name}")), "{name}/README.md has no command");
        assert!(!example.title().is_empty() && !example.about().is_empty(), "{name}/README.md says nothing");
        assert!(example.rows.len() >= 5, "{name}/requests.json: only {} requests", example.rows.len());
    }
}
