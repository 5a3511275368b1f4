//! Plugin configurations in a configuration of nginx with ngx_wasm_module: `proxy_wasm NAME '…';`.

mod backends;
mod include;
mod locations;
mod module_exports;
mod scopes;
mod settings;
mod syntax;
mod unsupported;

use std::path::Path;

use serde_json::Value;

use crate::failure::Failure;
use crate::plugin::{HostFault, Plugin, document_of, variables_not_passed};
use locations::Report;
use scopes::Scopes;
use syntax::{Directive, Location};
pub(super) use unsupported::faults as unsupported;

/// The longest text that nginx reads between two quotes, in bytes: its buffer has 4096.
const MAX_TEXT: usize = 4094;
/// Blocks that only configurations of nginx have.
const BLOCKS: [&str; 4] = ["events", "http", "wasm", "server"];

impl HostFault {
    /// A fault of a directive.
    fn of_host(directive: &str, message: String, location: &Location) -> Self {
        let position = location.position().map(|position| (location.file().to_owned(), position));
        Self { path: directive.to_owned(), message, position }
    }

    /// A fault of the plugin's configuration.
    fn of_configuration(path: &str, message: &str) -> Self {
        Self { path: path.to_owned(), message: message.to_owned(), position: None }
    }
}

/// Whether a text is a configuration of nginx: it has one of nginx's blocks, or `proxy_wasm`.
pub(super) fn is_nginx(text: &str) -> bool {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let code = lines.collect::<Vec<_>>().join("\n").replace('{', " { ");
    let mut statements = code.split([';', '}', '{']).map(str::trim);
    let has_filter = statements.any(|statement| statement.starts_with("proxy_wasm "));
    let words: Vec<&str> = code.split_whitespace().collect();
    let opens_block = |pair: &[&str]| matches!(pair, [name, "{"] if BLOCKS.contains(name));
    let opens_location = |triple: &[&str]| matches!(triple, ["location", ..]) && triple.contains(&"{");
    has_filter || words.windows(2).any(opens_block) || words.windows(4).any(opens_location)
}

/// The different configurations of this filter in a file and the files that it includes.
pub(super) fn plugins_in(path: &Path, text: &str) -> Result<Vec<Plugin>, Failure> {
    let name = path.display().to_string();
    let file = include::read(path, text)?;
    let scopes = Scopes::of(&file);
    let filters = scopes.all_filters();
    let mut plugins: Vec<Plugin> = Vec::new();
    for filter in &filters {
        let known = plugins.iter_mut().find(|plugin| plugin.text == filter.argument(1));
        match known {
            Some(plugin) => plugin.host_faults.extend(text_too_long(filter)),
            None => plugins.push(plugin(filter, &name, &file)),
        }
    }
    // What is about the file is reported once, with the first configuration.
    if let Some(first) = plugins.first_mut() {
        let documents: Vec<Value> = filters.iter().map(|filter| document_of(filter.argument(1))).collect();
        let mut report = Report::default();
        first.host_faults.extend(settings::check_wasm(&file, &scopes, &filters, &documents, &mut report));
        first.host_faults.extend(settings::check_http(&scopes, &mut report));
        locations::warn(&scopes, &mut report);
        first.warnings.extend(report.warnings);
    }
    Ok(plugins)
}

fn plugin(filter: &Directive, name: &str, file: &[Directive]) -> Plugin {
    let text = filter.argument(1).to_owned();
    let document = document_of(&text);
    let mut warnings = unsupported::warnings(&document);
    // An included file does not show the directives of the main block.
    if file.iter().any(|directive| directive.is("events") || directive.is("http")) {
        let is_passed = |variable: &str| {
            file.iter().any(|directive| {
                directive.is("env") && directive.argument(0).split('=').next().unwrap_or_default() == variable
            })
        };
        warnings.extend(variables_not_passed(&document, "the `env` directives of nginx", is_passed));
    }
    let location = filter.location();
    Plugin {
        location: format!("{location}: {} {}", filter.name.value, filter.argument(0)),
        origin: filter.arguments.get(1).unwrap_or(&filter.name).origin(),
        included_file: (location.file() != name).then(|| location.file().to_owned()),
        warnings,
        host_faults: text_too_long(filter).into_iter().collect(),
        is_in_nginx: true,
        document,
        text,
    }
}

fn text_too_long(filter: &Directive) -> Option<HostFault> {
    let text = filter.arguments.get(1)?;
    let length = text.written_length();
    (length > MAX_TEXT).then(|| {
        HostFault::of_host(
            "proxy_wasm",
            format!(
                "the text has {length} bytes, and nginx reads at most {MAX_TEXT}; write the JSON without spaces, or remove \
                 what is default"
            ),
            &text.location,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nginx_is_recognized_by_its_blocks_and_directives() {
        for text in [
            "worker_processes auto;\nevents\n{\n}\n",
            "http { }",
            "server{listen 80;}",
            "location / { }",
            "location = /x { }",
            "# comment\nproxy_wasm okta '{}';",
            "wasm {\n}",
        ] {
            assert!(is_nginx(text), "{text}");
        }
        for text in
            ["wasm = on\nnginx_http_proxy_wasm_isolation = none\n", "# events {}", "a: b\nserver: {}\n", "", "x"]
        {
            assert!(!is_nginx(text), "{text}");
        }
    }
}
