//! Finds plugin configurations: a file is one, or is a configuration of Envoy, Istio, Envoy Gateway, Kong or nginx that
//! contains some.

mod context;
mod destinations;
pub mod diagnostic;
mod envoy;
mod hosted;
mod manifests;
mod nginx;
mod source;
mod twice;
mod upstream;

use std::path::{Path, PathBuf};
use std::rc::Rc;

use okta_proxy_wasm::config::Loaded;
use serde_json::Value;

use crate::failure::Failure;
use crate::positions::{Origin, Positions, member_path};
use crate::secrets::visit_secrets;
use context::HostContext;
use diagnostic::{HostCode, HostDiagnostic};
use source::{Source, name_of};

/// A plugin configuration.
pub struct Plugin {
    /// The location, for messages.
    pub location: String,
    /// The text that the filter receives.
    pub text: String,
    /// The parsed text; `null` if it is not a JSON object.
    pub document: Value,
    /// The positions of its values in the file.
    pub positions: Positions,
    /// Where the text is in the file.
    pub origin: Origin,
    /// The file of the position, if the host's configuration includes it.
    pub included_file: Option<String>,
    /// Faults and warnings about the host's configuration.
    diagnostics: Vec<HostDiagnostic>,
    host: PluginHost,
}

/// The host that runs a plugin.
enum PluginHost {
    /// The file is the plugin's configuration.
    None,
    Nginx,
    /// A host with clusters, which has all that the files of the command line say about them.
    Proxy(Rc<HostContext>, context::Scope),
}

impl Plugin {
    /// The faults and warnings about the host's configuration, and about what the host cannot do of the plugin's. `loaded`
    /// is `None` for a configuration that does not load.
    pub fn take_host_diagnostics(&mut self, loaded: Option<&Loaded>) -> Vec<HostDiagnostic> {
        let mut diagnostics = std::mem::take(&mut self.diagnostics);
        match &self.host {
            PluginHost::None => {}
            PluginHost::Nginx => diagnostics.extend(nginx::unsupported(&self.document, loaded)),
            PluginHost::Proxy(context, scope) => {
                diagnostics.extend(upstream::check(context, scope, &self.document, loaded));
            }
        }
        diagnostics
    }
}

/// The plugin configurations of several files.
#[derive(Default)]
pub struct Files {
    pub plugins: Vec<(PathBuf, Plugin)>,
    /// The files without a plugin.
    pub skipped: Vec<PathBuf>,
    /// Files that cannot be read.
    pub failures: Vec<Failure>,
}

/// Reads all files. What one says about clusters and workloads is known to the plugins of the others.
pub fn read_all(paths: &[PathBuf]) -> Files {
    let mut files = Files::default();
    let mut sources = Vec::new();
    for path in paths {
        match Source::read(path) {
            Ok(source) => sources.push((path, source)),
            Err(failure) => files.failures.push(failure),
        }
    }
    let context = Rc::new(HostContext::of(sources.iter().filter_map(|(_, source)| match source {
        Source::Documents { path, documents } => Some((path.display().to_string(), documents.as_slice())),
        Source::Plugin(_) | Source::Nginx { .. } => None,
    })));
    for (path, source) in sources {
        let found = match source {
            Source::Plugin(plugin) => Ok(vec![*plugin]),
            Source::Nginx { path, text } => nginx::plugins_in(&path, &text),
            Source::Documents { path, documents } => Ok(documents
                .iter()
                .flat_map(|document| hosted::plugins_in(&name_of(&path), &path, document, &context))
                .collect()),
        };
        match found {
            Ok(found) if found.is_empty() => files.skipped.push(path.clone()),
            Ok(found) => files.plugins.extend(found.into_iter().map(|plugin| (path.clone(), plugin))),
            Err(failure) => files.failures.push(failure),
        }
    }
    files
}

/// The failure for files of which none has a plugin.
pub fn no_plugin(path: &Path) -> Failure {
    Failure::of_file(path, "no okta-proxy-wasm plugin in this file")
}

/// Reads a file with a single plugin configuration.
pub fn read_one(path: &Path) -> Result<Plugin, Failure> {
    let Files { mut plugins, failures, .. } = read_all(&[path.to_owned()]);
    if let Some(failure) = failures.into_iter().next() {
        return Err(failure);
    }
    match (plugins.pop(), plugins.len()) {
        (None, _) => Err(no_plugin(path)),
        (Some((_, plugin)), 0) => Ok(plugin),
        // Equal configurations of several listeners count once.
        (Some((_, plugin)), _) if plugins.iter().all(|(_, other)| other.document == plugin.document) => Ok(plugin),
        (Some(_), others) => Err(Failure::of_file(
            path,
            format!("{} different configurations in this file; provide one of them", others + 1),
        )),
    }
}

/// Warnings for variables that the host does not pass to the plugin. `path` and `fix` are those of the setting that passes
/// them.
fn variables_not_passed(
    document: &Value,
    path: &str,
    is_passed: impl Fn(&str) -> bool,
    fix: impl Fn(&str) -> String,
) -> Vec<HostDiagnostic> {
    let mut warnings = Vec::new();
    visit_secrets(document, &mut |_, variable| {
        if !is_passed(variable) {
            let message = format!("the variable {variable} is not in this list, and the plugin cannot read it");
            let warning = HostDiagnostic::of_host(HostCode::VARIABLE_NOT_PASSED, path, message, fix(variable));
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
    });
    warnings
}

fn fails_open(path: String, fix: &'static str) -> HostDiagnostic {
    let message = "the plugin fails open: when it does not run, every request is forwarded without a check";
    HostDiagnostic::of_host(HostCode::FAILS_OPEN, path, message, fix)
}

/// Visits every object in a document with its path.
pub fn visit<'a>(value: &'a Value, at: &str, visitor: &mut impl FnMut(&str, &'a Value)) {
    match value {
        Value::Object(members) => {
            visitor(at, value);
            for (name, member) in members {
                visit(member, &member_path(at, name), visitor);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                visit(item, &format!("{at}[{index}]"), visitor);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
