//! The files Envoy is started from: its bootstrap, and the listeners it watches for changes (LDS by file).

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::cluster::Cluster;
use super::listener::BoundListener;
use crate::module::project_root;

const LISTENERS_FILE: &str = "listeners.json";

/// Where Envoy gets its listeners from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListenerSource {
    /// A watched file: they can be replaced, and a faulty one is refused.
    Watched,
    /// The bootstrap: a faulty one ends Envoy.
    Static,
}

/// Writes what Envoy needs into `directory`, and returns the path of the bootstrap.
pub(super) fn write(
    directory: &Path,
    source: ListenerSource,
    listeners: &[BoundListener],
    clusters: &[Cluster],
    runtime: &Map<String, Value>,
) -> PathBuf {
    let clusters: Vec<_> = clusters.iter().map(|cluster| &cluster.0).collect();
    let mut bootstrap = json!({
        "node": {"id": "testbed", "cluster": "testbed"},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "layered_runtime": {"layers": [{"name": "testbed", "static_layer": runtime}]},
        "static_resources": {"clusters": clusters},
        "stats_config": stats_config(),
    });
    match source {
        ListenerSource::Watched => {
            write_listeners(directory, listeners);
            bootstrap["dynamic_resources"]["lds_config"] = json!({
                "resource_api_version": "V3",
                "path_config_source": {"path": directory.join(LISTENERS_FILE)},
            });
        }
        ListenerSource::Static => {
            bootstrap["static_resources"]["listeners"] = listeners.iter().map(BoundListener::to_json).collect();
        }
    }
    write_as_is(directory, &bootstrap)
}

/// What users copy: how the names of the filter's metrics become labels.
fn stats_config() -> Value {
    let text = fs::read_to_string(project_root().join("envoy/envoy.yaml")).expect("envoy/envoy.yaml");
    let mut bootstrap: Value = yaml_serde::from_str(&text).expect("envoy/envoy.yaml is YAML");
    bootstrap["stats_config"].take()
}

/// Writes a bootstrap into `directory`, and returns its path.
pub(super) fn write_as_is(directory: &Path, bootstrap: &Value) -> PathBuf {
    let path = directory.join("bootstrap.json");
    fs::write(&path, bootstrap.to_string()).expect("the bootstrap is written");
    path
}

/// Puts the listeners into the watched file, at once as far as Envoy can see.
pub(super) fn write_listeners(directory: &Path, listeners: &[BoundListener]) {
    let resource = |bound: &BoundListener| {
        let mut listener = bound.to_json();
        listener["@type"] = json!("type.googleapis.com/envoy.config.listener.v3.Listener");
        listener
    };
    let resources: Vec<_> = listeners.iter().map(resource).collect();
    let unfinished = directory.join("listeners.json.new");
    fs::write(&unfinished, json!({"resources": resources}).to_string()).expect("the listeners are written");
    fs::rename(unfinished, directory.join(LISTENERS_FILE)).expect("the listeners are moved into place");
}
