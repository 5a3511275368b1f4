//! Envoy accepts `envoy/envoy.yaml`, which readers copy, with the built module and its configuration.

use std::fs;

use tempfile::TempDir;
use testbed::envoy;
use testbed::module::project_root;

#[test]
fn the_bootstrap_is_accepted() {
    assert_eq!(envoy::validate(&project_root().join("envoy/envoy.yaml")), Ok(()));
}

/// Envoy in this mode does not say that it is Envoy.
#[test]
fn error_in_the_plugin_configuration_is_detected() {
    let text = fs::read_to_string(project_root().join("envoy/envoy.yaml")).unwrap();
    let directory = TempDir::new().unwrap();
    let faulty = directory.path().join("envoy.yaml");
    fs::write(&faulty, text.replace("\"audiences\"", "\"audience\"")).unwrap();
    assert!(envoy::validate(&faulty).unwrap_err().contains("audience"));
}
