//! The contents of an example's folder. Every fault in it is a panic that names the file.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::row::Row;
use crate::module::project_root;

/// An example as it is written.
pub struct Example {
    /// The folder's name.
    pub name: String,
    /// `README.md`.
    pub readme: String,
    /// `plugin.json`, as text.
    pub plugin: String,
    /// `envoy.yaml`.
    pub bootstrap: Value,
    /// `requests.json`.
    pub rows: Vec<Row>,
    /// `revoked.json`, where it has one: what `revocations` finds.
    pub revoked: Option<String>,
    /// `ratelimit.yaml`, where it has one: the limits of the service that Envoy asks.
    pub limits: Option<Value>,
}

impl Example {
    /// Reads the folder of this name.
    ///
    /// # Panics
    /// When a file is missing or makes no sense.
    pub fn read(name: &str) -> Self {
        let text = |file: &str| {
            let path = root().join(name).join(file);
            fs::read_to_string(&path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()))
        };
        let optional = |file: &str| fs::read_to_string(root().join(name).join(file)).ok();
        let at_fault = |file: &str, fault: &dyn std::fmt::Display| -> ! { panic!("examples/{name}/{file}: {fault}") };
        Self {
            name: name.to_owned(),
            readme: text("README.md"),
            plugin: text("plugin.json"),
            bootstrap: yaml_serde::from_str(&text("envoy.yaml")).unwrap_or_else(|fault| at_fault("envoy.yaml", &fault)),
            rows: serde_json::from_str(&text("requests.json"))
                .unwrap_or_else(|fault| at_fault("requests.json", &fault)),
            revoked: optional("revoked.json"),
            limits: optional("ratelimit.yaml")
                .map(|text| yaml_serde::from_str(&text).unwrap_or_else(|fault| at_fault("ratelimit.yaml", &fault))),
        }
    }

    /// `plugin.json`, read.
    ///
    /// # Panics
    /// When it is no JSON.
    pub fn plugin_configuration(&self) -> Value {
        serde_json::from_str(&self.plugin).unwrap_or_else(|fault| panic!("examples/{}/plugin.json: {fault}", self.name))
    }

    /// The first paragraph of its README, on one line.
    pub fn about(&self) -> String {
        let paragraphs = self.readme.split("\n\n").filter(|paragraph| !paragraph.starts_with('#'));
        paragraphs.take(1).collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The heading of its README.
    pub fn title(&self) -> String {
        self.readme.lines().next().unwrap_or_default().trim_start_matches("# ").to_owned()
    }
}

/// The names of all examples, in their order.
pub fn names() -> Vec<String> {
    let entries = fs::read_dir(root()).expect("there are examples").map(|entry| entry.expect("an entry").path());
    let folders = entries.filter(|path| path.is_dir());
    let mut names: Vec<String> =
        folders.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect();
    names.sort();
    names
}

fn root() -> PathBuf {
    project_root().join("examples")
}
