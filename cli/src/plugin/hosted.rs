//! The plugin configurations in a document of a host, with the diagnostics about the host around each.

use std::path::Path;
use std::rc::Rc;

use serde_json::Value;

use super::context::{HostContext, Scope};
use super::diagnostic::{HostCode, HostDiagnostic};
use super::source::document_of;
use super::{Plugin, PluginHost, envoy, manifests, twice, visit};
use crate::document::{Document, positions_of_json};
use crate::positions::Origin;

/// Words that Envoy and Kubernetes read as booleans (YAML 1.1), and YAML 1.2 as strings.
const BOOLEAN_WORDS: [&str; 16] =
    ["y", "Y", "yes", "Yes", "YES", "n", "N", "no", "No", "NO", "on", "On", "ON", "off", "Off", "OFF"];

/// A plugin configuration in a host's configuration.
pub(super) struct HostedConfig<'a> {
    /// The object with the module's source and failure policy.
    pub container: &'a Value,
    /// Its path below the host's object.
    pub container_path: &'static str,
    /// The path of the configuration for messages, below the host's object.
    pub subpath: String,
    /// The path of the value that has the configuration, below the host's object.
    pub value_path: String,
    /// The configuration text that the filter receives.
    pub text: String,
    pub host: Host<'a>,
}

/// The host whose configuration contains it.
pub(super) enum Host<'a> {
    Envoy,
    /// With the object's `spec`.
    Istio(&'a Value),
    /// With the object's `spec`.
    EnvoyGateway(&'a Value),
    Kong,
}

impl HostedConfig<'_> {
    /// Whether it is a configuration of this filter.
    pub(super) fn is_of_this_filter(&self, plugin: &Value) -> bool {
        plugin.get("providers").is_some() || is_this_filter(self.container)
    }

    /// Diagnostics about the host's configuration around the plugin; `at` is the path of the host's object.
    fn diagnostics(&self, at: &str, document: &Value) -> Vec<HostDiagnostic> {
        let container = format!("{at}{}", self.container_path);
        match self.host {
            Host::Envoy => envoy::diagnostics(self.container, &container, document),
            Host::Istio(spec) => manifests::istio_diagnostics(self.container, &container, spec, at, document),
            Host::EnvoyGateway(spec) => {
                let container = format!("{at}{}", self.subpath.trim_end_matches(".config"));
                manifests::gateway_diagnostics(self.container, &container, spec, at, document)
            }
            Host::Kong => vec![HostDiagnostic::of_host(
                HostCode::KONG_NOT_RUN,
                format!("{at}{}", self.subpath),
                "the module was not run in Kong",
                "do not use it there (docs/deploying.md, \"Kong and nginx\")",
            )],
        }
    }
}

/// All plugin configurations in a host's document.
pub(super) fn plugins_in(name: &str, path: &Path, document: &Document, context: &Rc<HostContext>) -> Vec<Plugin> {
    let root = &document.value;
    let file = path.display().to_string();
    let folded = document.positions.folded();
    let locate = |diagnostic: HostDiagnostic| {
        let is_located = diagnostic.position.is_some() || diagnostic.is_of_plugin;
        let position = diagnostic.path.as_deref().filter(|_| !is_located).and_then(|path| folded.find(path));
        match position {
            Some(position) => diagnostic.with_position(Some((file.clone(), position))),
            None => diagnostic,
        }
    };
    let mut managers = envoy::connection_managers(root);
    let mut found = Vec::new();
    let mut paths = Vec::new();
    visit(root, "$", &mut |at, value| {
        for hosted in envoy::hosted_config(value).into_iter().chain(manifests::hosted_configs(value)) {
            let plugin = document_of(&hosted.text);
            if !hosted.is_of_this_filter(&plugin) {
                continue;
            }
            let mut diagnostics = hosted.diagnostics(at, &plugin);
            let manager = managers.iter().find(|manager| manager.contains(at));
            diagnostics.extend(manager.into_iter().flat_map(|manager| manager.diagnostics(at, &plugin)));
            diagnostics.extend(twice::second_run(&file, at, value, &context.extensions));
            paths.push(at.to_owned());
            let value_path = format!("{at}{}", hosted.value_path);
            let is_text = matches!(hosted.host, Host::Envoy) || is_string(&hosted);
            let (positions, origin) = if is_text {
                let origin = document.origin_of_text(&value_path, &hosted.text);
                (positions_of_json(&hosted.text).map(|position| origin.position(position)), origin)
            } else {
                (document.positions.below(&value_path), Origin::unknown())
            };
            found.push(Plugin {
                location: format!("{name}: {at}{}", hosted.subpath),
                positions,
                origin,
                included_file: None,
                diagnostics: diagnostics.into_iter().map(locate).collect(),
                host: match hosted.host {
                    Host::Envoy | Host::Istio(_) | Host::EnvoyGateway(_) => {
                        PluginHost::Proxy(Rc::clone(context), Scope::of(&file, document))
                    }
                    Host::Kong => PluginHost::None,
                },
                document: plugin,
                text: hosted.text,
            });
        }
    });
    managers.retain(|manager| !paths.iter().any(|at| manager.contains(at)));
    // Reported once, with the first plugin of this filter.
    if let Some(first) = found.first_mut() {
        let mut more: Vec<HostDiagnostic> = managers.iter().filter_map(envoy::ConnectionManager::unprotected).collect();
        more.extend(envoy::missing_labels(root));
        more.extend(document.plain_strings.iter().filter(|(_, text)| BOOLEAN_WORDS.contains(&text.as_str())).map(
            |(path, text)| {
                HostDiagnostic::of_host(
                    HostCode::YAML_BOOLEAN_WORD,
                    path,
                    format!("`{text}` without quotes is a boolean for Envoy and Kubernetes (YAML 1.1), and a string for YAML 1.2"),
                    "write `true` or `false`, or put the string into quotes",
                )
            },
        ));
        first.diagnostics.extend(more.into_iter().map(locate));
    }
    found
}

/// Whether the configuration is written as a string.
fn is_string(hosted: &HostedConfig<'_>) -> bool {
    let member = if hosted.value_path.ends_with("pluginConfig") { "pluginConfig" } else { "config" };
    hosted.container.get(member).is_some_and(Value::is_string)
}

/// Whether the module's source or name is that of this filter.
fn is_this_filter(container: &Value) -> bool {
    let code = container
        .pointer("/vm_config/code")
        .or(container.pointer("/vmConfig/code"))
        .or(container.get("code"))
        .or(container.get("url"))
        .or(container.get("name"));
    let code = code.map(Value::to_string).unwrap_or_default();
    code.contains("okta_proxy_wasm") || code.contains("okta-proxy-wasm")
}
