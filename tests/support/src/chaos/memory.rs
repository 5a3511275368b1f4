//! Memory and open files of Envoy: over a run, and over many reloads.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::gateway::ExtensionFile;
use crate::envoy::{Cluster, Envoy, EnvoyBuilder, ListenerOptions};
use crate::polling;
use crate::process::resident_mebibytes;
use crate::scripted_server::{ScriptedResponse, ScriptedServer};

/// How a changed configuration reaches Envoy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The listener is replaced (LDS).
    Listener,
    /// The filter alone is replaced (ECDS).
    Extension,
}

/// What reloads cost.
#[derive(Clone, Copy, Debug)]
pub struct ReloadMemory {
    /// How many reloads were measured.
    pub reloads: usize,
    /// Resident memory before and after.
    pub resident_mebibytes: [f64; 2],
    /// What Envoy has allocated before and after, V8 left out.
    pub allocated_mebibytes: [f64; 2],
    /// Envoy's statistics before and after.
    pub statistics: [usize; 2],
    /// How long all reloads took.
    pub lasted: Duration,
}

impl ReloadMemory {
    /// How much resident memory a reload costs.
    pub fn resident_kibibytes_per_reload(&self) -> f64 {
        per_reload(self.resident_mebibytes, self.reloads)
    }

    /// How much of Envoy's own memory a reload costs.
    pub fn allocated_kibibytes_per_reload(&self) -> f64 {
        per_reload(self.allocated_mebibytes, self.reloads)
    }
}

fn per_reload([before, after]: [f64; 2], reloads: usize) -> f64 {
    (after - before) * 1024.0 / reloads as f64
}

/// The slope of `samples` of seconds and values, by least squares.
pub(super) fn slope(samples: &[(f64, f64)]) -> f64 {
    let count = samples.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| samples.iter().map(of).sum::<f64>() / count;
    let (mean_x, mean_y) = (mean(|sample| sample.0), mean(|sample| sample.1));
    let spread: f64 = samples.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    let common: f64 = samples.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    if spread == 0.0 { 0.0 } else { common / spread }
}

/// How many files a process has open.
pub(super) fn open_files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

struct Reloading {
    envoy: Envoy,
    extension: ExtensionFile,
    delivery: Delivery,
    _server: ScriptedServer,
}

const LISTENER: &str = "api";

impl Reloading {
    fn start(workers: u32, delivery: Delivery) -> Self {
        let server = ScriptedServer::start(|received, _| match received.path.as_str() {
            "/keys" => {
                ScriptedResponse::json(200, &json!({ "keys": [super::tokens::SigningKey::new("k").jwk()] })).into()
            }
            _ => ScriptedResponse::json(200, &json!({ "revoked": [] })).into(),
        });
        let extension = ExtensionFile::new();
        let first = options(0);
        extension.write(&first);
        let listener = match delivery {
            Delivery::Listener => first,
            Delivery::Extension => {
                ListenerOptions { plugin_configuration: None, filters_after: vec![extension.reference()], ..first }
            }
        };
        let envoy = EnvoyBuilder::new()
            .concurrency(workers)
            .component_log_level("wasm:error")
            .listener(listener)
            .cluster(Cluster::backend("idp", server.port()))
            .cluster(Cluster::without_endpoints("backend"))
            .start();
        Self { envoy, extension, delivery, _server: server }
    }

    fn reload(&self, number: usize) {
        match self.delivery {
            Delivery::Listener => {
                self.envoy.replace_listener(options(number));
            }
            Delivery::Extension => self.extension.replace(&self.envoy, &options(number)),
        }
    }

    /// Waits until Envoy has let go of what was replaced, as far as it does: its drain time is a second.
    fn settle(&self) {
        let mut last = f64::MAX;
        let mut quiet = 0;
        polling::within(Duration::from_secs(8), || {
            let now = self.allocated();
            quiet = if (now - last).abs() < 0.05 { quiet + 1 } else { 0 };
            last = now;
            (quiet > 40).then_some(())
        });
    }

    fn allocated(&self) -> f64 {
        let memory: Value = self.envoy.admin("GET", "/memory").json();
        let bytes: f64 = memory["allocated"].as_str().and_then(|text| text.parse().ok()).unwrap_or_default();
        bytes / 1024.0 / 1024.0
    }

    fn measure(&self) -> (f64, f64, usize) {
        self.settle();
        let statistics = self.envoy.admin("GET", "/stats").text().lines().count();
        (resident_mebibytes(self.envoy.pid()), self.allocated(), statistics)
    }
}

fn options(number: usize) -> ListenerOptions {
    let configuration = json!({
        "providers": { "okta": {
            "issuer": "https://idp.test", "audiences": ["api://default"], "upstream": "idp", "algorithms": ["ES256"],
            "jwks": { "uri": "https://idp.test/keys" } } },
        "revocations": { "uri": "https://idp.test/revoked", "upstream": "idp" },
        "responses": { "realm": format!("generation-{number}") },
    });
    ListenerOptions { access_log: false, ..ListenerOptions::filtered(LISTENER, &configuration) }
}

/// Reloads the configuration so many times, and measures what is left behind. Reloads before the first measurement fill
/// what is filled once.
pub fn measure_reloads(workers: u32, warm_up: usize, reloads: usize, delivery: Delivery) -> ReloadMemory {
    let reloading = Reloading::start(workers, delivery);
    for number in 1..=warm_up {
        reloading.reload(number);
    }
    let before = reloading.measure();
    let began = Instant::now();
    for number in warm_up + 1..=warm_up + reloads {
        reloading.reload(number);
    }
    let lasted = began.elapsed();
    let after = reloading.measure();
    ReloadMemory {
        reloads,
        resident_mebibytes: [before.0, after.0],
        allocated_mebibytes: [before.1, after.1],
        statistics: [before.2, after.2],
        lasted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_of_a_line_is_its_slope() {
        let line: Vec<(f64, f64)> = (0..10).map(|x| (f64::from(x), 3.0 + 2.0 * f64::from(x))).collect();
        assert!((slope(&line) - 2.0).abs() < 1e-9);
    }
}
