//! The release image, as users get it: `dist/oci` is pushed to a real registry and pulled back, fetched from there
//! as Istio's agent and Envoy Gateway fetch it, and a real Envoy starts with the result.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::gateway::{Setup, minimal_configuration};
use flate2::read::GzDecoder;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use testbed::module::{project_root, wasm_module};
use testbed::process::Process;
use testbed::{ListenerOptions, Request, TempDir, polling};

const NAME: &str = "acme/okta-proxy-wasm";
const PULLED: &str = "pulled";

fn tools() -> PathBuf {
    let tools = project_root().join(".tools/debian");
    assert!(tools.join(".installed").is_file(), "the registry is not installed: run `make setup`");
    tools
}

fn image() -> PathBuf {
    let image = project_root().join("dist/oci");
    assert!(image.is_dir(), "there is no {}: run `make package`", image.display());
    image
}

fn json(file: &Path) -> Value {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

fn digest(bytes: &[u8]) -> String {
    let digits: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

/// Debian's `docker-registry` on a free port of the loopback interface.
struct Registry {
    _process: Process,
    port: u16,
    folder: TempDir,
}

impl Registry {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let settings = folder.path().join("registry.yaml");
        let storage = folder.path().join("storage");
        let text = format!(
            "version: 0.1\nhttp: {{ addr: '127.0.0.1:0' }}\nstorage: {{ filesystem: {{ rootdirectory: '{}' }} }}\n",
            storage.display()
        );
        fs::write(&settings, text).unwrap();
        let mut command = Command::new(tools().join("usr/bin/docker-registry"));
        command.arg("serve").arg(&settings).current_dir(folder.path());
        let process = Process::spawn("registry", command, folder.path().join("log")).unwrap();
        let port = polling::until("the registry's port", Duration::from_secs(30), || {
            let log = process.log();
            let (_, rest) = log.split_once("listening on 127.0.0.1:")?;
            rest.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
        });
        Self { _process: process, port, folder }
    }

    fn skopeo_copy(&self, from: &str, to: &str) {
        let tools = tools();
        let libraries = fs::read_dir(tools.join("usr/lib")).unwrap().chain(fs::read_dir(tools.join("lib")).unwrap());
        let libraries: Vec<String> = libraries.map(|entry| entry.unwrap().path().display().to_string()).collect();
        let outcome = Command::new(tools.join("usr/bin/skopeo"))
            .args(["--insecure-policy", "copy", "--preserve-digests", "--src-tls-verify=false"])
            .args(["--dest-tls-verify=false", from, to])
            .env("LD_LIBRARY_PATH", libraries.join(":"))
            .env("HOME", self.folder.path())
            .output()
            .unwrap();
        assert!(outcome.status.success(), "skopeo: {}", String::from_utf8_lossy(&outcome.stderr));
    }

    fn get(&self, path: &str, accepted: &str) -> testbed::Response {
        let response = Request::get(format!("/v2/{NAME}/{path}")).header("accept", accepted).send(self.port);
        assert_eq!(response.status, 200, "{path}: {}", response.text());
        response
    }

    /// What Istio's agent does with an image whose digest is pinned: manifest, last layer, the file that is called
    /// `plugin.wasm` in it.
    fn fetch(&self, pinned: &str) -> Vec<u8> {
        let manifest = self.get(
            &format!("manifests/{pinned}"),
            "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json",
        );
        assert_eq!(digest(&manifest.body), pinned);
        let manifest = manifest.json();
        let layer = manifest["layers"].as_array().unwrap().last().unwrap();
        let kinds =
            ["application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.docker.image.rootfs.diff.tar.gzip"];
        assert!(kinds.contains(&layer["mediaType"].as_str().unwrap()), "{layer}");
        let wanted = layer["digest"].as_str().unwrap();
        let blob = self.get(&format!("blobs/{wanted}"), "*/*").body;
        assert_eq!(digest(&blob), wanted);
        let mut archive = tar::Archive::new(GzDecoder::new(&blob[..]));
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            if entry.path().unwrap().file_name().is_some_and(|name| name == "plugin.wasm") {
                let mut module = Vec::new();
                entry.read_to_end(&mut module).unwrap();
                return module;
            }
        }
        panic!("no plugin.wasm in the last layer");
    }
}

/// The digest that `DIGESTS` tells operators to write beside an `oci://` URL.
fn pinned() -> String {
    let digests = fs::read_to_string(project_root().join("dist/DIGESTS")).unwrap();
    let line = digests.lines().find(|line| line.contains("oci:// URL")).unwrap();
    format!("sha256:{}", line.rsplit(' ').next().unwrap())
}

#[test]
fn image_pulled_from_a_registry_has_the_published_digest_and_envoy_decides_with_it() {
    let registry = Registry::start();
    let version = json(&image().join("index.json"))["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"]
        .as_str()
        .unwrap()
        .to_owned();
    let remote = format!("docker://127.0.0.1:{}/{NAME}:{version}", registry.port);
    registry.skopeo_copy(&format!("oci:{}:{version}", image().display()), &remote);

    let manifest = registry.get(&format!("manifests/{version}"), "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(manifest.header("docker-content-digest").as_deref(), Some(pinned().as_str()));
    let back = registry.folder.path().join("back");
    registry.skopeo_copy(&remote, &format!("oci:{}:{version}", back.display()));
    assert_eq!(json(&back.join("index.json"))["manifests"][0]["digest"], pinned());

    let fetched = registry.fetch(&pinned());
    assert_eq!(fetched, fs::read(wasm_module()).unwrap(), "dist is of another build: run `make package`");
    let module = registry.folder.path().join("plugin.wasm");
    fs::write(&module, fetched).unwrap();
    let listener =
        ListenerOptions { module: Some(module), ..ListenerOptions::filtered(PULLED, &minimal_configuration()) };
    let gateway = Setup { more_listeners: vec![listener], ..Setup::default() }.start();
    let port = gateway.envoy.port(PULLED);
    assert_eq!(Request::get("/accounts").send(port).status, 401);
    let answer = Request::get("/accounts").bearer(&gateway.alice()).send(port);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().contains("alice@acme.com"), "{}", answer.text());
    gateway.assert_no_trap();
}
