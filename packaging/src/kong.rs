//! The bundle for Kong Gateway 3.4 to 3.10: `NAME.wasm` and `NAME.meta.json` beside it in its `wasm_filters_path`.

use crate::dist::Dist;

/// Without a `config_schema` Kong hands the filter's configuration over as the text that the operator wrote. With one
/// it parses the text and writes it anew, and its Lua turns an empty list into `{}`; a schema that does not satisfy
/// Kong's metaschema (draft-04) keeps Kong from starting.
const META: &str = "{}\n";

/// Writes the bundle. The module is the one with every callback: the host calls all of them.
///
/// # Errors
/// When a file cannot be written, in words.
pub fn write(dist: &mut Dist, module: &[u8]) -> Result<(), String> {
    dist.write("kong/okta_proxy_wasm.wasm", module)?;
    dist.write("kong/okta_proxy_wasm.meta.json", META.as_bytes())
}
