//! The pages on Istio and Envoy Gateway: their commands name files that exist, and each step is followed by a check with what it
//! prints.

use std::fs;

use testbed::module::project_root;

use super::{object, tested_files};
use crate::pages::blocks;

/// The commands of the shell blocks of a page, a line each.
fn commands(page: &str) -> Vec<String> {
    let text = fs::read_to_string(project_root().join("docs").join(page)).unwrap();
    let blocks = blocks(&text).into_iter().filter(|block| block.language == "sh");
    blocks.flat_map(|block| block.text.replace("\\\n", " ").lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// The files that a page has an operator apply.
fn applied(page: &str) -> Vec<String> {
    let commands = commands(page);
    let words = commands.iter().flat_map(|line| line.split_whitespace());
    let files = words.filter_map(|word| word.strip_prefix("deploy/")).filter(|file| file.ends_with(".yaml"));
    files.map(str::to_owned).collect()
}

#[test]
fn every_file_is_applied_on_its_page_and_every_applied_file_exists() {
    for (page, folder) in [("istio.md", "istio/"), ("envoy-gateway.md", "envoy-gateway/")] {
        let applied = applied(page);
        let files: Vec<String> = tested_files().filter(|file| file.starts_with(folder)).collect();
        for file in &applied {
            assert!(files.contains(file), "{page} applies {file}, which does not exist");
        }
        for file in &files {
            assert!(applied.contains(file), "{page} does not say when to apply {file}");
        }
    }
}

/// A `curl` is the last check of each page; what was not run is said beside it.
#[test]
fn steps_have_a_check_with_its_expected_output_and_say_what_was_not_run() {
    for (page, outputs) in [
        (
            "istio.md",
            [
                "extensions.istio.io/trafficextension/istio-ingress.okta-proxy-wasm",
                "extensions.istio.io/wasmplugin/istio-ingress.okta-proxy-wasm",
                "envoy.extensions.filters.http.wasm.v3.Wasm",
                "envoy.extensions.filters.http.rbac.v3.RBAC",
                "applying deny RBAC filter",
                "HTTP/1.1 401 Unauthorized",
                "www-authenticate: Bearer",
                "not run",
            ]
            .as_slice(),
        ),
        (
            "envoy-gateway.md",
            [
                "envoyextensionpolicy/default/okta-proxy-wasm/wasm/0",
                "Accepted=True",
                "setting 500 direct response in routes",
                "HTTP/1.1 401 Unauthorized",
                "www-authenticate: Bearer",
                "not run",
            ]
            .as_slice(),
        ),
    ] {
        let text = fs::read_to_string(project_root().join("docs").join(page)).unwrap();
        for said in outputs {
            assert!(text.contains(said), "{page} does not say {said:?}");
        }
        for block in blocks(&text).into_iter().filter(|block| block.text.contains("kubectl apply")) {
            assert!(block.text.contains("# expected: "), "{page}: a step without a check:\n{}", block.text);
        }
    }
    // What a check prints has the names of the manifests in it.
    let entry = object("istio/identity-provider.yaml", "ServiceEntry");
    let checked = format!("--fqdn {}", entry["spec"]["hosts"][0].as_str().unwrap());
    assert!(commands("istio.md").iter().any(|line| line.contains(&checked)), "no check of the cluster");
}
