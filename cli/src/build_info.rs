//! What this tool was built from (`build.rs`).

/// The version, and where the sources are.
#[derive(Clone, Copy, Debug)]
pub struct BuildInfo {
    pub version: &'static str,
    /// 40 digits, with `-dirty` if sources were changed; `unknown` without git.
    pub commit: &'static str,
    /// The address of the published sources; only release builds have it.
    pub source_url: Option<&'static str>,
}

impl BuildInfo {
    pub const fn of_this_tool() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            commit: env!("OKTA_PROXY_WASM_COMMIT"),
            source_url: option_env!("OKTA_PROXY_WASM_SOURCE_URL"),
        }
    }
}
