//! `version`: what this tool was built from, and whether a file is the filter's module of a release.

use std::fs;
use std::path::Path;

use okta_proxy_wasm::config::reference;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::arguments::{Format, Version};
use crate::build_info::BuildInfo;
use crate::failure::{Failure, Outcome};
use crate::filter_module::{self, Content};
use crate::output;

/// A module file.
struct Module<'a> {
    file: &'a Path,
    size: usize,
    sha256: String,
    content: Content,
    /// Whether the digest is the expected one.
    is_expected: Option<bool>,
}

pub fn run(arguments: &Version) -> Result<Outcome, Failure> {
    let build = BuildInfo::of_this_tool();
    // The bytes of `okta-proxy-wasm.schema.json` in a release.
    let schema = sha256(format!("{:#}\n", reference::json_schema()).as_bytes());
    let module = arguments.module.as_deref().map(|file| read(file, arguments.sha256.as_deref())).transpose()?;
    match arguments.format {
        Format::Text => output::write(&text(build, &schema, module.as_ref())),
        Format::Json => output::line(&format!("{:#}", as_json(build, &schema, module.as_ref()))),
    }
    let is_good = module.is_none_or(|module| module.content.is_filter() && module.is_expected.unwrap_or(true));
    Ok(Outcome::negative_if(!is_good))
}

fn read<'a>(file: &'a Path, expected: Option<&str>) -> Result<Module<'a>, Failure> {
    let bytes = fs::read(file).map_err(|error| Failure::of_file(file, error))?;
    let sha256 = sha256(&bytes);
    let is_expected = expected.map(|expected| expected == sha256);
    Ok(Module { file, size: bytes.len(), sha256, content: filter_module::content(&bytes), is_expected })
}

fn text(build: BuildInfo, schema: &str, module: Option<&Module<'_>>) -> String {
    let mut lines = vec![
        format!("okta-proxy-wasm {}", build.version),
        format!("commit: {}", build.commit),
        format!("configuration schema: sha256 {schema}"),
    ];
    if let Some(Module { file, size, sha256, content, is_expected }) = module {
        lines.push(format!("module: {}", file.display()));
        lines.push(format!("  content: {content}"));
        lines.push(format!("  size: {size} bytes"));
        let verdict = match is_expected {
            Some(true) => ", as expected",
            Some(false) => ", which is not the expected digest",
            None => "",
        };
        lines.push(format!("  sha256: {sha256}{verdict}"));
    }
    lines.join("\n") + "\n"
}

fn as_json(build: BuildInfo, schema: &str, module: Option<&Module<'_>>) -> Value {
    let module = module.map(|module| {
        json!({
            "file": module.file.display().to_string(),
            "size": module.size,
            "sha256": module.sha256,
            "is_expected_digest": module.is_expected,
            "is_filter": module.content.is_filter(),
            "version": module.content.version(),
            "built_for": module.content.host(),
        })
    });
    json!({
        "version": build.version,
        "commit": (build.commit != "unknown").then_some(build.commit),
        "configuration_schema_sha256": schema,
        "module": module,
    })
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
