//! Where the project's files are: its root, and the filter as a built Wasm module.

use std::env;
use std::path::{Path, PathBuf};

/// The root of the project, two levels above this crate.
pub fn project_root() -> PathBuf {
    let crate_directory = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_directory.ancestors().nth(2).expect("the crate lives in tests/support").to_owned()
}

/// The built module: `OKTA_PROXY_WASM` if set, otherwise what `cargo build --release --target wasm32-wasip1` wrote.
///
/// # Panics
/// When there is no such file.
pub fn wasm_module() -> PathBuf {
    let path = env::var_os("OKTA_PROXY_WASM").map_or_else(built_module, PathBuf::from);
    assert!(path.is_file(), "no module at {}: run `make build`, or set OKTA_PROXY_WASM", path.display());
    path
}

fn built_module() -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    project_root().join(target).join("wasm32-wasip1/release/okta_proxy_wasm.wasm")
}
