//! A real Prometheus on loopback that scrapes the targets of a test, with the project's alert rules.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::client::{Request, percent_encoded};
use crate::module::project_root;
use crate::polling;
use crate::process::Process;

const TIME_TO_START: Duration = Duration::from_secs(30);

/// A running Prometheus. Dropping it ends it.
pub struct Prometheus {
    process: Process,
    port: u16,
    _directory: TempDir,
}

impl Prometheus {
    /// Scrapes `/stats/prometheus` of that port every second, as the job `envoy`.
    ///
    /// # Panics
    /// When it is not installed, or does not come up.
    pub fn scraping(port: u16) -> Self {
        let directory = TempDir::with_prefix("prometheus-").expect("a temporary directory");
        let configuration = serde_json::json!({
            "global": { "scrape_interval": "1s", "evaluation_interval": "1s" },
            "rule_files": [project_root().join("monitoring/alerts.yaml")],
            "scrape_configs": [{ "job_name": "envoy", "metrics_path": "/stats/prometheus",
                "static_configs": [{ "targets": [format!("127.0.0.1:{port}")] }] }],
        });
        // JSON is YAML too.
        let file = directory.path().join("prometheus.yaml");
        fs::write(&file, configuration.to_string()).expect("the configuration is written");
        let own_port = free_port();
        let mut command = Command::new(binary());
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{own_port}")).arg("--log.level=warn");
        let process =
            Process::spawn("Prometheus", command, directory.path().join("log")).expect("Prometheus can be run");
        let mut prometheus = Self { process, port: own_port, _directory: directory };
        polling::until("Prometheus", TIME_TO_START, || {
            assert_eq!(prometheus.process.exit_status(), None, "Prometheus ended: {}", prometheus.process.log());
            let ready = Request::get("/-/ready").try_send(own_port).ok()?;
            (ready.status == 200).then_some(())
        });
        prometheus
    }

    /// What an expression comes to now: the labels and value of each sample.
    ///
    /// # Panics
    /// When it is not taken for one.
    pub fn query(&self, expression: &str) -> Vec<(Value, f64)> {
        let answer = self.get(&format!("/api/v1/query?query={}", percent_encoded(expression)));
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        let sample = |sample: &Value| {
            let value = sample["value"][1].as_str()?.parse().ok()?;
            Some((sample["metric"].clone(), value))
        };
        answer["data"]["result"].as_array().into_iter().flatten().filter_map(sample).collect()
    }

    /// The alert rules as it sees them.
    pub fn alerts(&self) -> Vec<Value> {
        let answer = self.get("/api/v1/rules?type=alert");
        let groups = answer["data"]["groups"].as_array().into_iter().flatten();
        groups.flat_map(|group| group["rules"].as_array().into_iter().flatten().cloned()).collect()
    }

    /// Its scrapes' health and last fault.
    pub fn targets(&self) -> Vec<(String, String)> {
        let answer = self.get("/api/v1/targets");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let targets = answer["data"]["activeTargets"].as_array().into_iter().flatten();
        targets.map(|target| (text(&target["health"]), text(&target["lastError"]))).collect()
    }

    fn get(&self, target: &str) -> Value {
        Request::get(target).send(self.port).json()
    }
}

/// Where the Makefile puts it.
fn binary() -> PathBuf {
    let binary = project_root().join(".tools/debian/usr/bin/prometheus");
    assert!(binary.is_file(), "no Prometheus in .tools: run `make setup`");
    binary
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("a bound socket").port()
}
