//! What the given files say about the clusters of a host and about the workloads that run the filter.

use std::rc::Rc;

use serde_json::Value;

use super::envoy::fields::{field, is_type, list, string};
use super::visit;
use crate::config_diagnostic::FilePosition;
use crate::document::Document;
use crate::positions::FoldedPositions;

const CLUSTER: &str = "envoy.config.cluster.v3.Cluster";

/// A part of a host's document.
#[derive(Debug)]
pub(super) struct HostObject {
    pub file: String,
    /// The path in the document.
    pub path: String,
    pub value: Value,
    positions: Rc<FoldedPositions>,
}

impl HostObject {
    pub(super) fn position(&self, path: &str) -> Option<FilePosition> {
        Some((self.file.clone(), self.positions.find(path)?))
    }

    /// A member of the object, by its name in snake case.
    pub(super) fn string(&self, name: &str) -> Option<&str> {
        string(&self.value, name)
    }
}

/// The clusters that a plugin can use.
pub(super) struct Scope {
    /// Those of its own document.
    own: Vec<Rc<HostObject>>,
    /// Whether there are no other ones.
    pub is_complete: bool,
}

/// Everything that the files say.
#[derive(Default)]
pub(super) struct HostContext {
    clusters: Vec<Rc<HostObject>>,
    /// The DestinationRules of Istio.
    destination_rules: Vec<HostObject>,
    /// The resources of Istio that can run a filter.
    pub extensions: Vec<HostObject>,
}

impl HostContext {
    pub(super) fn of<'a>(files: impl Iterator<Item = (String, &'a [Document])>) -> Self {
        let mut context = Self::default();
        for (file, documents) in files {
            for document in documents {
                context.clusters.extend(clusters_in(&file, document));
                let positions = Rc::new(document.positions.folded());
                visit(&document.value, "$", &mut |at, value| {
                    let object = || HostObject {
                        file: file.clone(),
                        path: at.to_owned(),
                        value: value.clone(),
                        positions: Rc::clone(&positions),
                    };
                    match string(value, "kind") {
                        Some("DestinationRule") => context.destination_rules.push(object()),
                        Some("WasmPlugin" | "TrafficExtension") => context.extensions.push(object()),
                        _ => {}
                    }
                });
            }
        }
        context
    }

    /// The clusters with this name: of the plugin's document, else of any file.
    pub(super) fn clusters(&self, name: &str, scope: &Scope) -> Vec<Rc<HostObject>> {
        let named = |all: &[Rc<HostObject>]| -> Vec<Rc<HostObject>> {
            all.iter().filter(|cluster| cluster.string("name") == Some(name)).cloned().collect()
        };
        let own = named(&scope.own);
        if own.is_empty() { named(&self.clusters) } else { own }
    }

    /// The DestinationRules for a host.
    pub(super) fn destination_rules(&self, host: &str) -> impl Iterator<Item = &HostObject> {
        let rules = self.destination_rules.iter();
        rules.filter(move |rule| rule.value.pointer("/spec/host").and_then(Value::as_str) == Some(host))
    }
}

impl Scope {
    pub(super) fn of(file: &str, document: &Document) -> Self {
        let is_static = field(&document.value, "static_resources").is_some();
        let is_complete = is_static && field(&document.value, "dynamic_resources").is_none();
        Self { own: clusters_in(file, document), is_complete }
    }
}

fn clusters_in(file: &str, document: &Document) -> Vec<Rc<HostObject>> {
    let mut found = clusters_of(file, document, "$");
    visit(&document.value, "$", &mut |at, value| match string(value, "kind") {
        // Envoy Gateway merges this text into the bootstrap.
        Some("EnvoyProxy") => {
            let path = format!("{at}.spec.bootstrap.value");
            let text = value.pointer("/spec/bootstrap/value").and_then(Value::as_str);
            if let Some(mut bootstrap) = text.and_then(|text| document.embedded(&path, text)) {
                bootstrap.positions = bootstrap.positions.under(&path);
                found.extend(clusters_of(file, &bootstrap, &path));
            }
        }
        Some("EnvoyFilter") => {
            let positions = Rc::new(document.positions.folded());
            let patches = value.pointer("/spec/configPatches").and_then(Value::as_array).into_iter().flatten();
            for (index, patch) in patches.enumerate() {
                let is_added = patch.pointer("/patch/operation").and_then(Value::as_str) == Some("ADD");
                let is_cluster = patch.get("applyTo").and_then(Value::as_str) == Some("CLUSTER");
                if let (true, Some(cluster)) = (is_added && is_cluster, patch.pointer("/patch/value")) {
                    found.push(Rc::new(HostObject {
                        file: file.to_owned(),
                        path: format!("{at}.spec.configPatches[{index}].patch.value"),
                        value: cluster.clone(),
                        positions: Rc::clone(&positions),
                    }));
                }
            }
        }
        _ => {}
    });
    found
}

/// The clusters of a bootstrap, or of a file that Envoy watches.
fn clusters_of(file: &str, document: &Document, at: &str) -> Vec<Rc<HostObject>> {
    let positions = Rc::new(document.positions.folded());
    let object = |path: String, value: &Value| {
        let (file, positions) = (file.to_owned(), Rc::clone(&positions));
        Rc::new(HostObject { file, path, value: value.clone(), positions })
    };
    let mut found = Vec::new();
    if let Some(resources) = field(&document.value, "static_resources") {
        for (index, cluster) in list(resources, "clusters").iter().enumerate() {
            found.push(object(format!("{at}.static_resources.clusters[{index}]"), cluster));
        }
    }
    for (index, resource) in list(&document.value, "resources").iter().enumerate() {
        let inner = field(resource, "resource").map(|inner| (".resource", inner));
        let (below, resource) = inner.unwrap_or(("", resource));
        if is_type(resource, CLUSTER) {
            found.push(object(format!("{at}.resources[{index}]{below}"), resource));
        }
    }
    if is_type(&document.value, CLUSTER) {
        found.push(object(at.to_owned(), &document.value));
    }
    found
}
