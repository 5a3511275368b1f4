//! Describes an Envoy and starts it.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Map, Value};
use tempfile::TempDir;

use super::bootstrap::{self, ListenerSource};
use super::cluster::Cluster;
use super::listener::{BoundListener, ListenerOptions};
use super::{Envoy, admin_port, binary};
use crate::client::{Request, percent_encoded};
use crate::polling;
use crate::process::Process;

const TIME_TO_START: Duration = Duration::from_secs(60);
const PORT_TAKEN: &str = "Address already in use";

/// An Envoy to be started. Nothing listens unless it is told to.
#[derive(Clone, Debug)]
pub struct EnvoyBuilder {
    concurrency: u32,
    listeners: Vec<ListenerOptions>,
    listener_source: ListenerSource,
    clusters: Vec<Cluster>,
    environment: Vec<(String, String)>,
    runtime: Map<String, Value>,
    log_level: String,
    component_log_level: String,
    drain_time_s: u32,
}

impl Default for EnvoyBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl EnvoyBuilder {
    /// One worker, log level warning but info for the filter, a drain time of one second.
    pub fn new() -> Self {
        Self {
            concurrency: 1,
            listeners: Vec::new(),
            listener_source: ListenerSource::Watched,
            clusters: Vec::new(),
            environment: Vec::new(),
            runtime: Map::new(),
            log_level: "warning".to_owned(),
            component_log_level: "wasm:info".to_owned(),
            drain_time_s: 1,
        }
    }

    /// How many workers.
    pub fn concurrency(mut self, workers: u32) -> Self {
        self.concurrency = workers;
        self
    }

    /// Adds a listener.
    pub fn listener(mut self, options: ListenerOptions) -> Self {
        self.listeners.push(options);
        self
    }

    /// Puts the listeners into the bootstrap, as most deployments do: a refused plugin then ends Envoy, and
    /// [`Envoy::replace_listener`] cannot be used.
    pub fn static_listeners(mut self) -> Self {
        self.listener_source = ListenerSource::Static;
        self
    }

    /// Adds a cluster.
    pub fn cluster(mut self, cluster: Cluster) -> Self {
        self.clusters.push(cluster);
        self
    }

    /// Sets an environment variable of Envoy.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets a runtime value, such as a feature flag.
    pub fn runtime(mut self, name: &str, value: Value) -> Self {
        self.runtime.insert(name.to_owned(), value);
        self
    }

    /// `--log-level`.
    pub fn log_level(mut self, level: &str) -> Self {
        level.clone_into(&mut self.log_level);
        self
    }

    /// `--component-log-level`.
    pub fn component_log_level(mut self, levels: &str) -> Self {
        levels.clone_into(&mut self.component_log_level);
        self
    }

    /// `--drain-time-s`: how long replaced listeners, and the filter's old root contexts, live on.
    pub fn drain_time_s(mut self, seconds: u32) -> Self {
        self.drain_time_s = seconds;
        self
    }

    /// Starts it, and returns when it is live and all listeners accept.
    ///
    /// # Panics
    /// When it does not come up, with its log.
    pub fn start(&self) -> Envoy {
        self.try_start().unwrap_or_else(|log| panic!("Envoy did not start:\n{log}"))
    }

    /// Starts it; an error is the log of an Envoy that ended or refused its listeners.
    pub fn try_start(&self) -> Result<Envoy, String> {
        // A port was free when it was chosen, and may not be now; that does not happen twice in a row.
        self.start_once().or_else(|log| if log.contains(PORT_TAKEN) { self.start_once() } else { Err(log) })
    }

    /// Starts it from a bootstrap that somebody else wrote, in place of the listeners and clusters added here. Its
    /// ports should be 0; which ones they became says [`Envoy::listening_ports`].
    ///
    /// # Panics
    /// When it does not come up, with its log.
    pub fn start_as_written(&self, bootstrap: &Value) -> Envoy {
        let directory = TempDir::with_prefix("envoy-").expect("a temporary directory");
        let config = bootstrap::write_as_is(directory.path(), bootstrap);
        self.launch(directory, &config, Vec::new()).unwrap_or_else(|log| panic!("Envoy did not start:\n{log}"))
    }

    fn start_once(&self) -> Result<Envoy, String> {
        let directory = TempDir::with_prefix("envoy-").expect("a temporary directory");
        let ports = free_ports(self.listeners.len());
        let bind = |(options, port): (&ListenerOptions, u16)| BoundListener { options: options.clone(), port };
        let listeners: Vec<_> = self.listeners.iter().zip(ports).map(bind).collect();
        let config =
            bootstrap::write(directory.path(), self.listener_source, &listeners, &self.clusters, &self.runtime);
        self.launch(directory, &config, listeners)
    }

    fn launch(&self, directory: TempDir, config: &Path, listeners: Vec<BoundListener>) -> Result<Envoy, String> {
        let admin_address = directory.path().join("admin-address");

        let mut command = Command::new(binary::path());
        command.arg("-c").arg(config).arg("--admin-address-path").arg(&admin_address);
        command.args(["--disable-hot-restart", "--file-flush-interval-msec", "50"]);
        command.args(["--concurrency", &self.concurrency.to_string()]);
        command.args(["--log-level", &self.log_level, "--component-log-level", &self.component_log_level]);
        command.args(["--drain-time-s", &self.drain_time_s.to_string()]);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let mut process = Process::spawn("Envoy", command, directory.path().join("log")).expect("Envoy can be run");

        let admin_port = polling::until("Envoy's admin interface", TIME_TO_START, || {
            let port = admin_port(&admin_address);
            (port.is_some() || process.exit_status().is_some()).then_some(port)
        });
        let Some(admin_port) = admin_port else {
            return Err(process.log());
        };
        let listeners = Mutex::new(listeners);
        let mut envoy = Envoy { process, directory, admin_port, concurrency: self.concurrency.into(), listeners };
        if self.comes_up(&mut envoy) { Ok(envoy) } else { Err(envoy.log()) }
    }

    /// Waits until it serves; `false` once it has ended or refused its listeners.
    fn comes_up(&self, envoy: &mut Envoy) -> bool {
        polling::until("Envoy to be live", TIME_TO_START, || {
            if envoy.has_exited() || envoy.rejected_its_listeners() {
                return Some(false);
            }
            (envoy.is_live() && envoy.accepts_connections()).then_some(true)
        })
    }
}

impl Envoy {
    // While it starts, and when it ends again at once, the admin interface may not answer: that is neither.

    fn rejected_its_listeners(&self) -> bool {
        // With static listeners there are no such counters and the text is empty.
        let filter = percent_encoded("lds.update_(rejected|failure)");
        let counters = self.admin_text(&format!("/stats?filter={filter}")).unwrap_or_default();
        counters.lines().any(|line| !line.ends_with(": 0"))
    }

    fn is_live(&self) -> bool {
        self.admin_text("/ready").is_some_and(|text| text.trim_end() == "LIVE")
    }

    fn admin_text(&self, target: &str) -> Option<String> {
        Some(Request::get(target).try_send(self.admin_port).ok()?.text())
    }

    fn accepts_connections(&self) -> bool {
        let listeners = self.listeners.lock().expect("no panic");
        listeners.iter().all(|bound| TcpStream::connect((Ipv4Addr::LOCALHOST, bound.port)).is_ok())
    }
}

/// Ports nobody listened on a moment ago, all different.
pub(crate) fn free_ports(count: usize) -> Vec<u16> {
    let bind = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let held: Vec<_> = (0..count).map(bind).collect();
    held.iter().map(|listener| listener.local_addr().expect("a bound socket").port()).collect()
}
