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

use crate::document::positions_of_json;
use crate::failure::Failure;
use crate::plugin::diagnostic::{HostCode, HostDiagnostic};
use crate::plugin::source::document_of;
use crate::plugin::{Plugin, PluginHost, variables_not_passed};
use locations::Report;
use scopes::Scopes;
use syntax::Directive;
pub(super) use unsupported::faults as unsupported;

/// The longest text that nginx reads between two quotes, in bytes: its buffer has 4096.
const MAX_TEXT: usize = 4094;
/// Blocks that only configurations of nginx have.
const BLOCKS: [&str; 4] = ["events", "http", "wasm", "server"];

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
            Some(plugin) => plugin.diagnostics.extend(text_too_long(filter)),
            None => plugins.push(plugin(filter, &name, &file)),
        }
    }
    // What is about the file is reported once, with the first configuration.
    if let Some(first) = plugins.first_mut() {
        let documents: Vec<Value> = filters.iter().map(|filter| document_of(filter.argument(1))).collect();
        let mut report = Report::default();
        first.diagnostics.extend(settings::check_wasm(&file, &scopes, &filters, &documents, &mut report));
        first.diagnostics.extend(settings::check_http(&scopes, &mut report));
        locations::warn(&scopes, &mut report);
        first.diagnostics.extend(report.warnings);
    }
    Ok(plugins)
}

fn plugin(filter: &Directive, name: &str, file: &[Directive]) -> Plugin {
    let text = filter.argument(1).to_owned();
    let document = document_of(&text);
    let mut diagnostics: Vec<HostDiagnostic> = text_too_long(filter).into_iter().collect();
    diagnostics.extend(unsupported::warnings(&document));
    // An included file does not show the directives of the main block.
    if file.iter().any(|directive| directive.is("events") || directive.is("http")) {
        let is_passed = |variable: &str| {
            file.iter().any(|directive| {
                directive.is("env") && directive.argument(0).split('=').next().unwrap_or_default() == variable
            })
        };
        let fix = |variable: &str| format!("write `env {variable};` at the top of nginx.conf");
        let missing = variables_not_passed(&document, "env", is_passed, fix);
        diagnostics.extend(missing.into_iter().map(|warning| warning.with_position(filter.file_position())));
    }
    let location = filter.location();
    let origin = filter.arguments.get(1).unwrap_or(&filter.name).origin();
    Plugin {
        location: format!("{location}: {} {}", filter.name.value, filter.argument(0)),
        positions: positions_of_json(&text).map(|position| origin.position(position)),
        origin,
        included_file: (location.file() != name).then(|| location.file().to_owned()),
        diagnostics,
        host: PluginHost::Nginx,
        document,
        text,
    }
}

fn text_too_long(filter: &Directive) -> Option<HostDiagnostic> {
    let text = filter.arguments.get(1)?;
    let length = text.written_length();
    (length > MAX_TEXT).then(|| {
        let position = text.location.position().map(|position| (text.location.file().to_owned(), position));
        HostDiagnostic::of_host(
            HostCode::NGINX_TEXT_TOO_LONG,
            "proxy_wasm",
            format!("the text has {length} bytes, and nginx reads at most {MAX_TEXT}"),
            "write the JSON without spaces, or remove what is default",
        )
        .with_position(position)
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
