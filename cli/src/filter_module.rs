//! What is in a file that may be the filter's WebAssembly module: its exports, and the list of crates that
//! `cargo auditable` puts into the section `.dep-v0`. Anybody can write both: only the digest identifies a release.

use std::collections::BTreeSet;
use std::fmt;

use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;
use serde_json::Value;
use wasmparser::{Parser, Payload};

const FILTER: &str = "okta-proxy-wasm";
const CRATES_SECTION: &str = ".dep-v0";
/// An upper limit of the list of crates; the filter's has 20 kB.
const MAX_CRATES: usize = 1 << 20;
const ABI: &str = "proxy_abi_version_";
/// Only nginx needs it: `link/exports.txt` does not have it.
const OF_EVERY_CALLBACK: &str = "proxy_on_response_body";

/// The content of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// The filter: its version, and whether it has every callback.
    Filter { version: String, has_every_callback: bool },
    /// Another module for a proxy.
    ProxyWasm,
    /// A module for something else.
    WebAssembly,
    /// Not a module, or not a valid one.
    Unknown,
}

impl Content {
    pub const fn is_filter(&self) -> bool {
        matches!(self, Self::Filter { .. })
    }

    pub fn version(&self) -> Option<&str> {
        match self {
            Self::Filter { version, .. } => Some(version),
            Self::ProxyWasm | Self::WebAssembly | Self::Unknown => None,
        }
    }

    /// The host that the module was built for.
    pub const fn host(&self) -> Option<&'static str> {
        match self {
            Self::Filter { has_every_callback: false, .. } => Some("envoy"),
            Self::Filter { has_every_callback: true, .. } => Some("nginx"),
            Self::ProxyWasm | Self::WebAssembly | Self::Unknown => None,
        }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filter { version, has_every_callback: false } => write!(formatter, "okta-proxy-wasm {version}"),
            Self::Filter { version, has_every_callback: true } => {
                write!(formatter, "okta-proxy-wasm {version}, for nginx")
            }
            Self::ProxyWasm => formatter.write_str("another Proxy-Wasm module"),
            Self::WebAssembly => formatter.write_str("a WebAssembly module that no proxy loads"),
            Self::Unknown => formatter.write_str("not a WebAssembly module"),
        }
    }
}

pub fn content(bytes: &[u8]) -> Content {
    let mut exports = BTreeSet::new();
    let mut crates = None;
    for payload in Parser::new(0).parse_all(bytes) {
        let Ok(payload) = payload else { return Content::Unknown };
        if let Payload::ExportSection(section) = &payload {
            for export in section.clone() {
                let Ok(export) = export else { return Content::Unknown };
                exports.insert(export.name.to_owned());
            }
        }
        if let Payload::CustomSection(section) = &payload
            && section.name() == CRATES_SECTION
        {
            crates = Some(section.data());
        }
    }
    let is_for_proxies = exports.iter().any(|name| name.starts_with(ABI));
    match crates.and_then(version_of_filter) {
        Some(version) if is_for_proxies => {
            Content::Filter { version, has_every_callback: exports.contains(OF_EVERY_CALLBACK) }
        }
        _ if is_for_proxies => Content::ProxyWasm,
        _ => Content::WebAssembly,
    }
}

/// The version of the filter, if it is the crate that the module was built from.
fn version_of_filter(section: &[u8]) -> Option<String> {
    let text = decompress_to_vec_zlib_with_limit(section, MAX_CRATES).ok()?;
    let list: Value = serde_json::from_slice(&text).ok()?;
    let root =
        list.get("packages")?.as_array()?.iter().find(|package| package.get("root") == Some(&Value::Bool(true)))?;
    let is_version = |version: &&str| version.bytes().all(|byte| byte.is_ascii_graphic());
    let version = root.get("version")?.as_str().filter(is_version)?;
    (root.get("name")?.as_str()? == FILTER).then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use miniz_oxide::deflate::compress_to_vec_zlib;

    use super::*;

    const HEADER: &[u8] = b"\0asm\x01\0\0\0";

    /// A section with a length below 128.
    fn section(kind: u8, content: &[u8]) -> Vec<u8> {
        [&[kind, u8::try_from(content.len()).unwrap()][..], content].concat()
    }

    fn name(text: &str) -> Vec<u8> {
        [&[u8::try_from(text.len()).unwrap()][..], text.as_bytes()].concat()
    }

    /// A module that exports a memory under these names.
    fn module(exports: &[&str], crates: &[u8]) -> Vec<u8> {
        let mut list = vec![u8::try_from(exports.len()).unwrap()];
        exports.iter().for_each(|export| list.extend([&name(export)[..], &[2, 0]].concat()));
        let memory = section(5, &[1, 0, 1]);
        [HEADER, &memory, &section(7, &list), &section(0, &[&name(CRATES_SECTION)[..], crates].concat())].concat()
    }

    #[test]
    fn only_a_proxys_module_that_was_built_from_the_filter_is_the_filter() {
        let list = |name: &str, root: bool| {
            let text = serde_json::json!({ "packages": [{ "name": name, "version": "1.2.3", "root": root }] });
            compress_to_vec_zlib(text.to_string().as_bytes(), 6)
        };
        let filter = |has_every_callback| Content::Filter { version: String::from("1.2.3"), has_every_callback };
        let abi = "proxy_abi_version_0_2_1";
        assert_eq!(content(&module(&[abi], &list(FILTER, true))), filter(false));
        assert_eq!(content(&module(&[abi, OF_EVERY_CALLBACK], &list(FILTER, true))), filter(true));
        assert_eq!(content(&module(&[abi], &list(FILTER, false))), Content::ProxyWasm);
        assert_eq!(content(&module(&[abi], &list("basic-auth", true))), Content::ProxyWasm);
        assert_eq!(content(&module(&[abi], b"no zlib")), Content::ProxyWasm);
        assert_eq!(content(&module(&["memory"], &list(FILTER, true))), Content::WebAssembly);
        assert_eq!(content(HEADER), Content::WebAssembly);
        for other in [&b""[..], b"(module)", b"\0asm", b"{}"] {
            assert_eq!(content(other), Content::Unknown, "{other:?}");
        }
        let whole = module(&[abi], &list(FILTER, true));
        for length in 0..whole.len() {
            assert!(!content(&whole[..length]).is_filter(), "{length}");
        }
    }

    #[test]
    fn a_list_of_crates_that_unpacks_to_very_much_is_not_unpacked() {
        assert_eq!(version_of_filter(&compress_to_vec_zlib(&vec![b' '; MAX_CRATES + 1], 9)), None);
    }
}
