//! Where the project's files are: its root, the target directory, and the filter as a built Wasm module.

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
    find_wasm_module().unwrap_or_else(|absence| panic!("{absence}"))
}

/// The module with every callback, which the same build links beside the other one.
///
/// # Panics
/// When there is no such file.
pub fn wasm_module_for_nginx() -> PathBuf {
    let module = wasm_module();
    let path = module.with_file_name("deps/okta_proxy_wasm.every_callback.wasm");
    assert!(path.is_file(), "{} is missing: run `make wasm`", path.display());
    path
}

/// The same as [`wasm_module`]; an error says that it is missing and what to do.
pub fn find_wasm_module() -> Result<PathBuf, String> {
    let path = env::var_os("OKTA_PROXY_WASM").map_or_else(built_module, PathBuf::from);
    if path.is_file() {
        return Ok(path);
    }
    Err(format!("the module is not built: there is no {}; run `make wasm`, or set OKTA_PROXY_WASM", path.display()))
}

/// The test-only module that judges vectors inside a host (`tests/support/vector-runner`), as `make vector-runner`
/// wrote it. It has a target directory of its own: both builds would write the filter's library to one place.
///
/// # Panics
/// When there is no such file.
pub fn vector_runner() -> PathBuf {
    let path = target_directory().join("vector-runner/wasm32-wasip1/release/vector_runner.wasm");
    assert!(path.is_file(), "there is no {}; run `make vector-runner`", path.display());
    path
}

fn built_module() -> PathBuf {
    target_directory().join("wasm32-wasip1/release/okta_proxy_wasm.wasm")
}

/// Where Cargo builds: `CARGO_TARGET_DIR` if set, otherwise `target`.
pub fn target_directory() -> PathBuf {
    project_root().join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}
