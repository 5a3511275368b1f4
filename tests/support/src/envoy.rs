//! A real Envoy on loopback: started from a bootstrap made for the test, its listeners delivered by a file so that
//! they can be replaced while it runs, watched through its admin interface and its log.

mod binary;
mod bootstrap;
mod builder;
mod cluster;
mod listener;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

pub use binary::{NEWEST_VERSION, find_binary, validate, version};
pub use builder::EnvoyBuilder;
pub(crate) use builder::free_ports;
pub use cluster::Cluster;
pub use listener::{ClientCertificates, DownstreamTls, ListenerOptions};

use crate::client::{Request, percent_encoded};
use crate::http1::Response;
use crate::polling;
use crate::process::Process;
use listener::BoundListener;

const TIME_TO_UPDATE: Duration = Duration::from_secs(30);
const TIME_TO_LOG: Duration = Duration::from_secs(10);

/// A running Envoy. Dropping it ends the process, and prints its log if the test is failing.
pub struct Envoy {
    // Before the directory: the process is gone before its files are.
    process: Process,
    directory: TempDir,
    admin_port: u16,
    concurrency: u64,
    listeners: Mutex<Vec<BoundListener>>,
}

/// What Envoy said to a changed listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenerUpdate {
    /// Every worker has the new one.
    Accepted,
    /// The old one keeps serving; this is why.
    Rejected(String),
}

impl Envoy {
    /// The process id of Envoy itself.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Where a listener listens.
    ///
    /// # Panics
    /// When there is none of that name.
    pub fn port(&self, listener: &str) -> u16 {
        let listeners = self.listeners.lock().expect("no panic");
        let found = listeners.iter().find(|bound| bound.options.name == listener);
        found.unwrap_or_else(|| panic!("no listener is called {listener}")).port
    }

    /// Where the admin interface listens.
    pub fn admin_port(&self) -> u16 {
        self.admin_port
    }

    /// Adds a listener while Envoy runs, and returns its port at once: nobody may listen there yet.
    pub fn add_listener(&self, options: ListenerOptions) -> u16 {
        let mut listeners = self.listeners.lock().expect("no panic");
        let port = builder::free_ports(1)[0];
        listeners.push(BoundListener { options, port });
        bootstrap::write_listeners(self.directory.path(), &listeners);
        port
    }

    /// Puts `options` in the place of the listener of the same name, on the same port, and waits for Envoy's answer.
    pub fn replace_listener(&self, options: ListenerOptions) -> ListenerUpdate {
        let mut listeners = self.listeners.lock().expect("no panic");
        let place = listeners.iter().position(|bound| bound.options.name == options.name);
        let place = place.unwrap_or_else(|| panic!("no listener is called {}", options.name));
        let mut changed = listeners.clone();
        changed[place].options = options;

        let before = self.stats("^listener_manager");
        bootstrap::write_listeners(self.directory.path(), &changed);
        let grown_by = |now: &BTreeMap<String, u64>, stat: &str| now[stat] - before[stat];
        let accepted = polling::until("Envoy to take or refuse the listener", TIME_TO_UPDATE, || {
            let now = self.stats("^listener_manager");
            assert_eq!(grown_by(&now, "listener_manager.lds.update_failure"), 0, "not a listener at all");
            if grown_by(&now, "listener_manager.lds.update_rejected") > 0 {
                return Some(false);
            }
            // Each worker counts when it has taken over what was modified; nothing is if the listener stayed the same.
            let modified = grown_by(&now, "listener_manager.listener_modified");
            let taken_over = grown_by(&now, "listener_manager.listener_create_success");
            let updated = grown_by(&now, "listener_manager.lds.update_success") > 0;
            (updated && taken_over >= modified * self.concurrency).then_some(true)
        });
        if accepted {
            *listeners = changed;
            return ListenerUpdate::Accepted;
        }
        // The file says what is in force, so that the next change starts from there.
        let reason = self.rejection(&changed[place].options.name);
        bootstrap::write_listeners(self.directory.path(), &listeners);
        ListenerUpdate::Rejected(reason)
    }

    /// Everything Envoy and the filter logged so far, access log included.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The file that [`Self::log`] reads; it is gone once the value is dropped.
    pub fn log_path(&self) -> &Path {
        self.process.log_path()
    }

    /// Waits until a line of the log contains `pattern`, and returns the first such line.
    pub fn wait_for_log(&self, pattern: &str) -> String {
        let contains = |line: &&str| line.contains(pattern);
        polling::until(&format!("the log to say {pattern:?}"), TIME_TO_LOG, || {
            self.log().lines().find(contains).map(str::to_owned)
        })
    }

    /// What the filter logged of its decisions so far.
    pub fn audit_records(&self) -> Vec<Value> {
        let log = self.log();
        let records = log.lines().filter_map(|line| line.get(line.find("{\"schema\"")?..));
        records.filter_map(|text| serde_json::from_str(text).ok()).collect()
    }

    /// Where the listeners of an Envoy listen that was started by [`EnvoyBuilder::start_as_written`], by their names.
    pub fn listening_ports(&self) -> BTreeMap<String, u16> {
        let answer = self.admin("GET", "/listeners?format=json").json();
        let listener = |status: &Value| {
            let port = status["local_address"]["socket_address"]["port_value"].as_u64()?;
            Some((status["name"].as_str()?.to_owned(), port.try_into().ok()?))
        };
        answer["listener_statuses"].as_array().into_iter().flatten().filter_map(listener).collect()
    }

    /// The counters and gauges whose names match the regular expression `filter`.
    pub fn stats(&self, filter: &str) -> BTreeMap<String, u64> {
        let text = self.admin("GET", &format!("/stats?filter={}", percent_encoded(filter))).text();
        let stat = |line: &str| {
            let (name, value) = line.rsplit_once(": ")?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        text.lines().filter_map(stat).collect()
    }

    /// One counter or gauge; 0 if there is none of that name (yet).
    pub fn stat(&self, name: &str) -> u64 {
        self.stats(&format!("^{name}$")).get(name).copied().unwrap_or(0)
    }

    /// Asks the admin interface, for instance `("POST", "/logging?wasm=debug")`.
    pub fn admin(&self, method: &str, target: &str) -> Response {
        Request::new(method, target).send(self.admin_port)
    }

    fn rejection(&self, listener: &str) -> String {
        let dump = self.admin("GET", "/config_dump?resource=dynamic_listeners").json();
        let of_listener = |config: &&Value| config["name"] == listener;
        let config = dump["configs"].as_array().and_then(|configs| configs.iter().find(of_listener));
        let details = config.and_then(|config| config["error_state"]["details"].as_str());
        details.unwrap_or_else(|| panic!("no reason for the rejection in {dump}")).to_owned()
    }

    fn has_exited(&mut self) -> bool {
        self.process.exit_status().is_some()
    }
}

/// The port in a file written with `--admin-address-path`, once it is there.
fn admin_port(path: &Path) -> Option<u16> {
    fs::read_to_string(path).ok()?.trim().rsplit_once(':')?.1.parse().ok()
}
