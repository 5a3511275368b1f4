//! The bundle for Kong Gateway 3.4 to 3.10: `NAME.wasm` and `NAME.meta.json` beside it in its `wasm_filters_path`.

use okta_proxy_wasm::config::reference;
use serde_json::json;

use crate::dist::Dist;

/// Writes the bundle. The module is the one with every callback: the host calls all of them.
///
/// # Errors
/// When a file cannot be written, in words.
pub fn write(dist: &mut Dist, module: &[u8]) -> Result<(), String> {
    dist.write("kong/okta_proxy_wasm.wasm", module)?;
    dist.write("kong/okta_proxy_wasm.meta.json", format!("{:#}\n", meta()).as_bytes())
}

/// With a schema Kong checks a configuration before it takes it, parses it and writes it anew; its Lua makes `{}` of an
/// empty list, which the filter reads as one. It wants draft-04, and does not start with anything else.
fn meta() -> serde_json::Value {
    json!({ "config_schema": reference::json_schema_draft_04() })
}
