//! The third-party clients of `tests/clients`: curl's library, a gRPC client and servers, a browser. They are
//! installed by `make setup`, and each run is a process of its own.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::module::project_root;
use crate::polling;
use crate::process::Process;

const TIME_TO_START: Duration = Duration::from_secs(20);

/// What one of the programs that read JSON and write JSON makes of an input.
///
/// # Panics
/// When it is not installed, or fails.
fn answer_of(mut command: Command, input: &Value) -> Value {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|fault| panic!("{command:?}: {fault}; run `make setup`"));
    child.stdin.take().expect("a pipe").write_all(input.to_string().as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{complaints}", output.status);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|fault| panic!("{command:?}: {fault}\n{complaints}"))
}

fn clients() -> PathBuf {
    project_root().join("tests/clients")
}

/// Transfers by curl's library, as `tests/clients/curl.py` describes them; what came of each.
///
/// # Panics
/// When it is not installed, or fails.
pub fn curl(transfers: &Value) -> Vec<Value> {
    let mut python = Command::new(project_root().join(".tools/clients-venv/bin/python"));
    python.arg(clients().join("curl.py"));
    list(answer_of(python, transfers))
}

/// What npm `oauth4webapi` thinks of requests with proofs, as `tests/support/dpop-clients/judge.mjs` describes them.
///
/// # Panics
/// When it is not installed, or fails.
pub fn judge_proofs(requests: &Value) -> Vec<Value> {
    let mut node = Command::new("node");
    node.arg(project_root().join("tests/support/dpop-clients/judge.mjs"));
    list(answer_of(node, requests))
}

/// gRPC calls, as `tests/clients/grpc-calls.mjs` describes them; what came of each.
///
/// # Panics
/// When it is not installed, or fails.
pub fn grpc_calls(calls: &Value) -> Vec<Value> {
    let mut node = Command::new("node");
    node.arg(clients().join("grpc-calls.mjs"));
    list(answer_of(node, calls))
}

/// HTTP/2 requests, as `tests/clients/http2-requests.mjs` describes them, sent at the same time; the response to each.
///
/// # Panics
/// When Node is not installed, or fails.
pub fn http2_requests(requests: &Value) -> Vec<Value> {
    let mut node = Command::new("node");
    node.arg(clients().join("http2-requests.mjs"));
    list(answer_of(node, requests))
}

/// A client that gets a token bound to its key (DPoP) and calls an API, as `tests/support/dpop-clients/client.mjs` describes it.
///
/// # Panics
/// When Node or the packages are missing, or it fails.
pub fn dpop_client(input: &Value) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("dpop-clients");
    let mut node = Command::new("node");
    node.arg(folder.join("client.mjs"));
    answer_of(node, input)
}

fn list(answer: Value) -> Vec<Value> {
    answer.as_array().unwrap_or_else(|| panic!("{answer} is no list")).clone()
}

/// A running gRPC server that answers with what it was called with. Dropping it ends it.
pub struct GrpcServer(NodeServer);

impl GrpcServer {
    /// Starts it on a free port.
    ///
    /// # Panics
    /// When Node or the packages are missing, or it does not come up.
    pub fn start() -> Self {
        Self(NodeServer::start("grpc-server.mjs", &[]))
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.0.port
    }
}

/// A running server of `tests/clients`, which says `{"port": …}` once it listens. Dropping it ends it.
pub(crate) struct NodeServer {
    process: Process,
    pub(crate) port: u16,
    _directory: TempDir,
}

impl NodeServer {
    pub(crate) fn start(script: &str, arguments: &[String]) -> Self {
        let directory = TempDir::with_prefix("node-server-").expect("a temporary directory");
        let mut command = Command::new("node");
        command.arg(clients().join(script)).args(arguments);
        let mut process = Process::spawn(script, command, directory.path().join("log")).expect("node");
        let port = polling::until(&format!("{script} to start"), TIME_TO_START, || {
            assert_eq!(process.exit_status(), None, "{script} ended, run `make setup`: {}", process.log());
            let ready: Value = process.log().lines().find_map(|line| serde_json::from_str(line).ok())?;
            ready["port"].as_u64().and_then(|port| u16::try_from(port).ok())
        });
        Self { process, port, _directory: directory }
    }

    /// What it has said since it listens, a line each.
    pub(crate) fn said(&self) -> Vec<Value> {
        self.process.log().lines().skip(1).filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

/// A headless Chromium with one page open. Dropping it ends it.
pub struct Browser {
    _process: Process,
    _profile: TempDir,
}

impl Browser {
    /// Opens the page in a browser that has no history.
    ///
    /// # Panics
    /// When it is not installed.
    pub fn open(url: &str) -> Self {
        let folder = clients().join("node_modules/.browser");
        assert!(folder.join("chromium").is_file(), "the browser is not installed; run `make setup`");
        let profile = TempDir::with_prefix("browser-").expect("a temporary directory");
        let mut command = Command::new(folder.join("chromium"));
        // What a slim system lacks; one of its own would come later.
        command.env("LD_LIBRARY_PATH", folder.join("lib")).env("HOME", profile.path());
        command.env("FONTCONFIG_PATH", &folder);
        // In a container there is no room for its own sandbox, and nothing but our page to keep in one. No word to
        // anybody but the page's servers.
        command.args(["--headless", "--no-sandbox", "--no-zygote", "--disable-gpu", "--disable-dev-shm-usage"]);
        command.args(["--no-first-run", "--disable-background-networking", "--disable-component-update"]);
        command.args(["--disable-sync", "--disable-quic", "--no-proxy-server"]);
        command.arg(flag("--user-data-dir=", profile.path())).arg(url);
        let process = Process::spawn("the browser", command, profile.path().join("log")).expect("it runs");
        Self { _process: process, _profile: profile }
    }
}

fn flag(name: &str, path: &Path) -> String {
    format!("{name}{}", path.display())
}
