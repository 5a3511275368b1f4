//! The module as an OCI image, in the one layout that every gateway takes.
//!
//! Istio's agent, Envoy Gateway and Higress pull the manifest, unpack its last layer and look for a file called
//! `plugin.wasm` there ("compat"). The layouts that were made for Wasm since, with a layer that is the module itself,
//! are refused by them. An index above the manifest would give the release two digests; there is none.
//!
//! What is written is an image layout on disk (`oci:FOLDER:TAG` for skopeo, crane and oras).

use std::io::Write as _;

use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};

use crate::digest::sha256;
use crate::dist::Dist;
use crate::release::Release;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Writes the image into a folder of `dist` and tells the digest of its manifest, without `sha256:`.
///
/// # Errors
/// When a file cannot be written, in words.
pub fn write(dist: &mut Dist, folder: &str, release: &Release, module: &[u8]) -> Result<String, String> {
    let tar = layer(module, release.created).map_err(|fault| format!("the layer: {fault}"))?;
    let layer = compressed(&tar).map_err(|fault| format!("the layer: {fault}"))?;
    let config = json!({
        "architecture": "amd64",
        "config": {},
        "created": release.created_rfc3339(),
        "history": [{ "created": release.created_rfc3339(), "created_by": "okta-proxy-wasm packaging" }],
        "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", sha256(&tar))] },
    })
    .to_string();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, config.as_bytes()),
        "layers": [descriptor(LAYER, &layer)],
        "annotations": annotations(release),
    })
    .to_string();
    let mut entry = descriptor(MANIFEST, manifest.as_bytes());
    if let Some(entry) = entry.as_object_mut() {
        entry.insert(String::from("annotations"), json!({ "org.opencontainers.image.ref.name": release.version }));
    }
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [entry],
    })
    .to_string();

    for blob in [&layer, config.as_bytes(), manifest.as_bytes()] {
        dist.write(&format!("{folder}/blobs/sha256/{}", sha256(blob)), blob)?;
    }
    dist.write(&format!("{folder}/index.json"), index.as_bytes())?;
    dist.write(&format!("{folder}/oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    Ok(sha256(manifest.as_bytes()))
}

fn descriptor(media_type: &str, blob: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": format!("sha256:{}", sha256(blob)), "size": blob.len() })
}

fn annotations(release: &Release) -> Value {
    let title = String::from("okta-proxy-wasm");
    let said = [
        ("module.wasm.image/variant", String::from("compat")),
        ("org.opencontainers.image.created", release.created_rfc3339()),
        ("org.opencontainers.image.licenses", String::from("Apache-2.0")),
        ("org.opencontainers.image.revision", release.revision.clone()),
        ("org.opencontainers.image.source", release.source.clone()),
        ("org.opencontainers.image.title", title),
        ("org.opencontainers.image.version", release.version.clone()),
    ];
    said.into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name.to_owned(), Value::String(value)))
        .collect()
}

/// A tar archive of one file. It names no owner: the one who builds is nobody's business and differs.
fn layer(module: &[u8], created: u64) -> std::io::Result<Vec<u8>> {
    let mut header = tar::Header::new_ustar();
    header.set_path("plugin.wasm")?;
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(created);
    header.set_size(module.len() as u64);
    header.set_cksum();
    let mut archive = tar::Builder::new(Vec::new());
    archive.append(&header, module)?;
    archive.into_inner()
}

/// The archive compressed, with neither time nor file name in the header.
fn compressed(tar: &[u8]) -> std::io::Result<Vec<u8>> {
    // 255: "unknown". The default says on which system this was compressed.
    let mut gzip = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
    gzip.write_all(tar)?;
    gzip.finish()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::io::Read as _;
    use std::path::Path;

    use super::*;

    fn release() -> Release {
        Release {
            version: String::from("1.2.3"),
            revision: String::from("4f2c"),
            source: String::new(),
            created: 1_795_331_494,
        }
    }

    fn written(folder: &Path, module: &[u8]) -> String {
        write(&mut Dist::empty(folder).unwrap(), "oci", &release(), module).unwrap()
    }

    fn blob(folder: &Path, descriptor: &Value) -> Vec<u8> {
        let digest = descriptor["digest"].as_str().unwrap();
        let bytes = fs::read(folder.join("oci/blobs").join(digest.replace(':', "/"))).unwrap();
        assert_eq!(format!("sha256:{}", sha256(&bytes)), digest, "the blob is not what its name says");
        assert_eq!(descriptor["size"], bytes.len(), "{digest}");
        bytes
    }

    fn all_files(folder: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                all_files(&path, found);
            } else {
                found.insert(path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(path).unwrap());
            }
        }
    }

    #[test]
    fn the_last_layer_holds_plugin_wasm_and_every_digest_is_that_of_its_blob() {
        let folder = tempfile::tempdir().unwrap();
        let digest = written(folder.path(), b"\0asm of a module");
        let index: Value = serde_json::from_slice(&fs::read(folder.path().join("oci/index.json")).unwrap()).unwrap();
        assert_eq!(index["manifests"][0]["digest"], format!("sha256:{digest}"));
        let manifest: Value = serde_json::from_slice(&blob(folder.path(), &index["manifests"][0])).unwrap();
        let config: Value = serde_json::from_slice(&blob(folder.path(), &manifest["config"])).unwrap();
        let layer = blob(folder.path(), manifest["layers"].as_array().unwrap().last().unwrap());
        assert_eq!(layer[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255], "time, name or system in the gzip header");

        let mut tar = Vec::new();
        flate2::read::GzDecoder::new(&layer[..]).read_to_end(&mut tar).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"], json!([format!("sha256:{}", sha256(&tar))]));
        let mut archive = tar::Archive::new(&tar[..]);
        let mut entries = archive.entries().unwrap();
        let mut entry = entries.next().unwrap().unwrap();
        let header = entry.header();
        assert_eq!((header.mode().unwrap(), header.uid().unwrap(), header.gid().unwrap()), (0o644, 0, 0));
        assert_eq!((header.mtime().unwrap(), header.username().unwrap()), (1_795_331_494, Some("")));
        assert_eq!(entry.path().unwrap().to_str(), Some("plugin.wasm"));
        let mut module = Vec::new();
        entry.read_to_end(&mut module).unwrap();
        assert_eq!(module, b"\0asm of a module");
        assert!(entries.next().is_none(), "another file beside the module");
    }

    #[test]
    fn an_annotation_without_a_value_is_left_out() {
        let annotations = annotations(&release());
        assert_eq!(annotations["module.wasm.image/variant"], "compat");
        assert_eq!(annotations["org.opencontainers.image.revision"], "4f2c");
        assert_eq!(annotations.get("org.opencontainers.image.source"), None);
    }

    #[test]
    fn the_same_module_gives_the_same_bytes_and_another_one_another_digest() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let digest = written(one.path(), b"module");
        assert_eq!(written(two.path(), b"module"), digest);
        let (mut left, mut right) = (BTreeMap::new(), BTreeMap::new());
        all_files(one.path(), &mut left);
        all_files(two.path(), &mut right);
        assert_eq!(left, right);
        assert_eq!(left.len(), 5, "{:?}", left.keys());
        assert_ne!(written(two.path(), b"another"), digest);
    }
}
